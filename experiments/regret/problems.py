"""The problems that are simulated, by name, in floats."""

from __future__ import annotations

import numpy as np

from distil_theory import experts, instances
from distil_theory.number_systems import Array
from distil_theory.spec import Bandit, TabularMDP

STATES, ACTIONS, BRANCHING, HORIZON = 5, 3, 3, 5
GARNET_SEED = 3
TEMPERATURE = 0.3
"""Of the soft-optimal expert: rewards of a Garnet lie in [0, 1]."""
CASES = ("cell", "garnet", "deterministic")


def case(name: str) -> tuple[TabularMDP, Array]:
    """`cell`: one cell, two actions, an expert who takes the better one three times in four. `garnet`: soft-optimal
    expert. `deterministic`: its optimal one."""
    if name == "cell":
        return Bandit(np.array([0.0, 1.0])), np.array([[[0.25, 0.75]]])
    mdp = instances.garnet(STATES, ACTIONS, BRANCHING, HORIZON, GARNET_SEED)
    return mdp, experts.optimal(mdp) if name == "deterministic" else experts.soft_optimal(mdp, TEMPERATURE)


def small(seed: int, kind: str) -> tuple[TabularMDP, Array]:
    """One of many random MDPs (`H = S = 4`, `A = 3`, two successors) with its stochastic or deterministic expert."""
    mdp = instances.garnet(4, 3, 2, 4, seed)
    return mdp, experts.optimal(mdp) if kind == "deterministic" else experts.soft_optimal(mdp, TEMPERATURE)


CHAINS = ("recoverable", "unforgiving", "end")


def chain(kind: str, horizon: int, actions: int) -> tuple[TabularMDP, Array]:
    """A path that every action but one leaves, and its expert; like `instances.compounding_chain`, with more actions.

    On the path action 0 stays. `recoverable`: off the path action 1 returns; each step pays 1 for the expert's action,
    so a mistake costs 1. `unforgiving`: there is no way back and only the path pays, so a mistake costs all that is
    left. `end`: the same, but all that is paid is 1 at the end to those who never left.
    """
    p, r = np.zeros((horizon, 2, actions, 2)), np.zeros((horizon, 2, actions))
    p[:, 0, 0, 0], p[:, 0, 1:, 1], p[:, 1, :, 1] = 1, 1, 1
    r[slice(-1, None) if kind == "end" else slice(None), 0, 0] = 1
    if kind == "recoverable":
        p[:, 1, 1], r[:, 1, 1] = (1, 0), 1
    return TabularMDP(p, r, [1.0, 0.0]), np.repeat(np.eye(actions)[None, :2], horizon, axis=0)
