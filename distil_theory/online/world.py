"""One problem, walked by many students at once: rollouts and occupancies with a policy per seed, seeds last.

`solve` and `trajectories` take any policy; a simulation of thousands of rounds asks the same problem again and again,
so here its tables are laid out once: edges for drawing by inversion, and each transition as one matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import solve
from distil_theory.spec import TabularMDP

Choice = Callable[[int, np.ndarray, np.ndarray], np.ndarray]
"""`choose(h, states, u)`: an action for each seed, from its state and a uniform number, all `(n,)`."""


def edges(p: np.ndarray, axis: int) -> np.ndarray:
    """Inner edges of the pieces of [0, 1) that stand for the outcomes: draw with `(u >= edges).sum(axis)`.

    Scaled to end at exactly one, so that no draw falls into a last piece of probability zero.
    """
    below = p.cumsum(axis=axis)
    below = below / below.take([-1], axis=axis)
    return below.take(range(p.shape[axis] - 1), axis=axis)


class World:
    """One float64 MDP, ready for drawing.

    Raises:
        ValueError: a batch of MDPs, or another number system.
    """

    def __init__(self, mdp: TabularMDP) -> None:
        if mdp.batch_shape:
            raise ValueError(f"seeds are the batch: one MDP, not a batch of shape {mdp.batch_shape}")
        if ns.name(mdp.reward) != "float64":
            raise ValueError(f"the MDP is {ns.name(mdp.reward)}: convert to 'float64' to simulate")
        self.mdp = mdp
        self.steps, self.states, self.actions = mdp.shape
        self.seen = np.asarray(mdp.observation)
        p = np.asarray(mdp.transition).reshape(self.steps, self.states * self.actions, self.states)
        self._arrivals = np.ascontiguousarray(p.transpose(0, 2, 1))
        self._start, self._edges = edges(np.asarray(mdp.initial)[:, None], 0), edges(self._arrivals, 1)

    def policy(self, what: str, policy: Any) -> np.ndarray:
        """`policy` as a checked float64 array `(H,S,A)`.

        Raises:
            ValueError: it does not fit, is a batch, or is in another number system.
        """
        pi = solve.check_policy(self.mdp, policy, what)
        if ns.name(pi) != "float64" or pi.ndim != 3:
            raise ValueError(f"{what} must be one float64 policy (H,S,A), not {ns.name(pi)} of shape {tuple(pi.shape)}")
        return np.asarray(pi)

    def by_state(self, table: np.ndarray) -> np.ndarray:
        """`(H,O,...)` as `(H,S,...)`."""
        return table[:, self.seen] if self.mdp.aliased or np.any(self.seen != np.arange(self.states)) else table

    def occupancy(self, pi: np.ndarray) -> np.ndarray:
        """`d_h(s)` of each policy of `(H,S,A,n)`, shape `(H,S,n)`."""
        d = np.empty((self.steps, self.states, pi.shape[3]))
        d[0] = np.asarray(self.mdp.initial)[:, None]
        for h in range(self.steps - 1):
            flow = d[h][:, None] * pi[h]
            np.matmul(self._arrivals[h], flow.reshape(-1, flow.shape[-1]), out=d[h + 1])
        return d

    def walk(self, u: np.ndarray, choose: Choice) -> tuple[np.ndarray, np.ndarray]:
        """One rollout per seed: states and actions, `(H,n)` each.

        Args:
            u: uniform numbers `(2,H,n)`, for the states and for the actions.
            choose: the policy.
        """
        states, actions = np.empty((2, *u.shape[1:]), dtype=np.int64)
        states[0] = (u[0, 0] >= self._start).sum(axis=0)
        for h in range(self.steps):
            actions[h] = choose(h, states[h], u[1, h])
            if h < self.steps - 1:
                from_here = states[h] * self.actions + actions[h]
                states[h + 1] = (u[0, h + 1] >= self._edges[h][:, from_here]).sum(axis=0)
        return states, actions


class Shared:
    """One policy `(H,S,A)` that all seeds follow, or ask for labels."""

    def __init__(self, policy: np.ndarray) -> None:
        steps, self._states, actions = policy.shape
        self._edges = np.ascontiguousarray(edges(policy, 2).reshape(-1, actions - 1).T)
        self._first = np.arange(steps)[:, None] * self._states

    def choose(self, h: int, states: np.ndarray, u: np.ndarray) -> np.ndarray:
        """An action at step `h` for each state `(n,)`."""
        return (u >= self._edges[:, h * self._states + states]).sum(axis=0)

    def label(self, states: np.ndarray, u: np.ndarray) -> np.ndarray:
        """An action for each of the visited states `(H,n)`."""
        return (u >= self._edges[:, self._first + states]).sum(axis=0)
