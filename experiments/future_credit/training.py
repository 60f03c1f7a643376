r"""Training on the exact gradient, to the end: the forks of claim 10.

Every student here is trained by natural steps of one size, `pi <- pi exp(eta Delta)/Z`, on one of four objectives:

============ =========================================================================================================
`local`      forward cross-entropy at the states of the student's own rollouts, which are held fixed
`full_kl`    the exact gradient of forward KL along the rollout: an action is also charged for what follows it
`full_ce`    the same of cross-entropy: what follows includes the entropy of the expert
`weighted`   `local`, with each state weighted by `d*/d` (claims 2 and 15)
============ =========================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from distil_theory import instances, lookahead, objectives, solve, updates
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL, FDivergence
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP


class Objective(NamedTuple):
    """A disagreement, the part of its gradient that is followed, and whether states are weighted by `d*/d`."""

    divergence: FDivergence
    part: str
    weighted: bool = False


OBJECTIVES = {
    "local": Objective(FORWARD_KL, "local"),
    "full_kl": Objective(FORWARD_KL, "full"),
    "full_ce": Objective(CROSS_ENTROPY, "full"),
    "weighted": Objective(FORWARD_KL, "local", weighted=True),
}
TOLERANCE = 1e-10
"""Training has ended when no entry of the gradient in the logits is larger."""
FORK_ETA, TRAP_ETA = 0.2, 0.1
MOST_STEPS = 20_000
GUESS = 0.7
"""What the students of the fork first bet on bit 0: training has to find the fair guess itself."""


def direction(mdp: TabularMDP, student: Array, expert: Array, objective: str) -> Array:
    """The natural direction of an objective, `(H,O,A)`."""
    divergence, part, weighted = OBJECTIVES[objective]
    weight = objectives.occupancy_ratio(mdp, student, expert) if weighted else None
    return updates.direction(mdp, student, expert, divergence, weight=weight, part=part)


def residual(mdp: TabularMDP, student: Array, expert: Array, objective: str) -> float:
    """The largest entry of the gradient."""
    divergence, part, weighted = OBJECTIVES[objective]
    weight = objectives.occupancy_ratio(mdp, student, expert) if weighted else None
    return float(abs(objectives.loss_gradient(mdp, student, expert, divergence, weight, part)).max())


def train(
    mdp: TabularMDP,
    student: Array,
    expert: Array,
    objective: str,
    eta: float,
    steps: int,
    watch: Callable[[Array], Any] | None = None,
) -> tuple[Array, int, list[Any]]:
    """Natural steps until the gradient is below `TOLERANCE`, at most `steps`; with `watch` all of them.

    Returns:
        The student, the number of steps, and what `watch` said of each student, from the first on.
    """
    seen = []
    for step in range(steps + 1):
        if watch is not None:
            seen.append(watch(student))
        elif step % 20 == 0 and residual(mdp, student, expert, objective) < TOLERANCE:
            return student, step, seen
        if step < steps:
            move = direction(mdp, student, expert, objective)
            student = updates.exponential_step(mdp, student, move, eta)
    return student, steps, seen


# --- the aliased fork -------------------------------------------------------------------------------------------------


def fork(k: int) -> tuple[TabularMDP, Array, Array]:
    """The aliased fork in floats; its student takes `L` with probability 1/2 and bets on bit 0."""
    _, mdp, student, expert, _ = instances.aliased_fork(k).convert("float64")
    student[:, 1:5] = [GUESS, 1 - GUESS]
    return mdp, student, expert


def fork_charge(k: int, objective: str) -> float:
    """What the objective charges for `L` more than for `R`: `log 2` for each guess, less what it charges after `R`."""
    idle = float(np.log(2))  # the entropy of the expert there, which forward KL does not charge
    return k * {"full_kl": float(np.log(2)), "full_ce": float(np.log(2)) - idle}.get(objective, 0.0)


def fork_root(k: int, objective: str, q: float = 0.9) -> float:
    """Claim 10a: the root of `-q/p + (1-q)/(1-p) + charge = 0`, which is `q` without a charge."""
    charge = fork_charge(k, objective)
    return float(brentq(lambda p: -q / p + (1 - q) / (1 - p) + charge, 1e-9, 1 - 1e-9, xtol=1e-15, rtol=1e-14))


def fork_end(k: int, objective: str) -> dict[str, Any]:
    """Panel (a): where training ends on the fork with `k` tokens, beside the closed form."""
    mdp, student, expert = fork(k)
    end, steps, _ = train(mdp, student, expert, objective, FORK_ETA, MOST_STEPS)
    p = fork_root(k, objective)
    return {
        "k": k,
        "objective": objective,
        "p": end[0, 0, 0],
        "p_closed_form": p,
        "return": float(solve.expected_return(mdp, end)),
        "return_closed_form": p / 2**k + (1 - p) * 0.9,
        "return_expert": float(solve.expected_return(mdp, expert)),
        "return_blind": max(0.5**k, 0.9),
        "guess": float(abs(end[1:, 1] - 0.5).max() + 0.5),
        "residual": residual(mdp, end, expert, objective),
        "steps": steps,
    }


def fork_curve(k: int, objective: str, steps: int) -> pd.DataFrame:
    """Panel (b): the return after each step."""
    mdp, student, expert = fork(k)

    def watch(pi: Array) -> tuple[float, float]:
        return float(pi[0, 0, 0]), float(solve.expected_return(mdp, pi))

    seen = train(mdp, student, expert, objective, FORK_ETA, steps, watch)[2]
    table = pd.DataFrame(seen, columns=["p", "return"])
    p = fork_root(k, objective)
    table.insert(0, "k", k)
    table.insert(1, "objective", objective)
    table.insert(2, "step", range(steps + 1))
    table["limit"] = p / 2**k + (1 - p) * 0.9
    return table


# --- the entropy trap -------------------------------------------------------------------------------------------------


def trap_curve(start: str, objective: str, steps: int) -> pd.DataFrame:
    """Panel (f): the entropy trap, trained from the expert or from the student; its return is the chance of `long`.

    `charged_long` and `charged_short`: what the objective holds against either action at the start, for what follows.
    """
    _, mdp, student, expert, _ = instances.entropy_trap().convert("float64")
    first = {"student": student, "expert": expert}[start]

    def watch(pi: Array) -> tuple[float, float]:
        return float(pi[0, 0, 0]), float(solve.expected_return(mdp, pi))

    seen = train(mdp, first, expert, objective, TRAP_ETA, steps, watch)[2]
    best = lookahead.minimiser(mdp, expert, CROSS_ENTROPY if objective == "full_ce" else FORWARD_KL)
    table = pd.DataFrame(seen, columns=["long", "return"])
    table.insert(0, "start", start)
    table.insert(1, "objective", objective)
    table.insert(2, "step", range(steps + 1))
    table["limit"] = float(best[0, 0, 0])
    ahead = OBJECTIVES[objective].divergence.value(expert, first, axis=2)[1] * (objective != "local")
    table["charged_long"], table["charged_short"] = (float(ahead[s]) for s in (1, 2))
    return table
