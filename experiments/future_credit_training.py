r"""Training on the exact gradient, to the end: the forks of claim 10, and an answer that may stop early.

Every student here is trained by natural steps of one size, `pi <- pi exp(eta Delta)/Z`, on one of four objectives:

============ =========================================================================================================
`local`      forward cross-entropy at the states of the student's own rollouts, which are held fixed
`full_kl`    the exact gradient of forward KL along the rollout: an action is also charged for what follows it
`full_ce`    the same of cross-entropy: what follows includes the entropy of the expert
`weighted`   `local`, with each state weighted by `d*/d` (claims 2 and 15)
============ =========================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from distil_theory import instances, lookahead, objectives, solve, updates
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL, FDivergence
from distil_theory.instances import Instance
from distil_theory.instances.base import exact_instance, moves
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
FORK_ETA, TRAP_ETA, LENGTH_ETA = 0.1, 0.1, 0.02
MOST_STEPS = 20_000
GUESS = 0.7
"""What the students of the fork first bet on bit 0: training has to find the fair guess itself."""
HORIZON, TOKENS, ENOUGH, STOP = 40, 8, 8, "1/14"
"""Of the answer that may stop early: the longest answer, harmless ways to go on, the length that is right, and the
probability per token that the expert stops: its answers have 13 tokens on average."""
HABIT = "3/5"
"""The student of that answer likes one of the harmless ways this much."""
WAYS = (1, 2, 4, 8, 16, 32, 64)
"""Numbers of harmless ways for which the limit of cross-entropy-to-go is found."""


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
    each = {"full_kl": np.log(2), "full_ce": np.log(2) - np.log(2)}
    return k * float(each.get(objective, 0.0))


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


# --- the entropy trap, and the answer that may stop early ---------------------------------------------------------------


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


def long_answer(horizon: int = HORIZON, tokens: int = TOKENS, enough: int = ENOUGH, stop: str = STOP) -> Instance:
    """An answer, token by token, with one token that ends it and several that are equally good to go on with.

    State 0 is the answer, 1 its end, where nothing matters. Action 0 stops; the expert stops with the same probability
    at each step and is undecided between all other tokens. It pays 1 to have written at least `enough` tokens. The
    student stops as the expert does, but likes one of the harmless tokens: a disagreement without consequences.
    """
    stop_q, habit = (instances.base.rational(what, x) for what, x in (("stop", stop), ("habit", HABIT)))
    rare = instances.base.rational("rare", "1/1000000")
    rest = [(1 - stop_q) / tokens] * tokens
    mine = [(1 - stop_q) * habit] + [(1 - stop_q) * (1 - habit) / (tokens - 1)] * (tokens - 1) if tokens > 1 else rest
    silent = [1 - tokens * rare] + [rare] * tokens
    reward = np.full((horizon, 2, tokens + 1), 0, dtype=object)
    reward[enough - 1 :, 0, 0] = 1
    reward[-1, 0] = 1
    return exact_instance(
        "long_answer",
        TabularMDP(moves(lambda h, s, a: int(s or a == 0), horizon, 2, tokens + 1), reward, [1, 0]),
        [[[stop_q, *mine], silent]] * horizon,
        [[[stop_q, *rest], silent]] * horizon,
        "cross-entropy-to-go charges every further token for the expert's own indecision: answers become short",
    )


LENGTH_OBJECTIVES = ("local", "full_kl", "full_ce", "full_ce_per_token")


def per_token(mdp: TabularMDP, pi: Array, expert: Array) -> Array:
    """The natural direction of `E[ 1/n sum_{h<n} c_h ]`: cross-entropy per token of an answer with `n` tokens.

    Its local part weights a token by `E[1/n]`, its score function carries the mean over the whole answer. The expert is
    at rest if its entropy per token is constant, as here. Times the expert's mean length, so that it moves as fast.
    """
    cost = CROSS_ENTROPY.value(expert, pi, axis=2)[:, 0].cumsum()
    n = np.arange(1, len(cost) + 1)
    ends = np.zeros((2, *pi.shape))
    ends[:, :, 0, 0] = 1 / n, cost / n
    ends[:, -1, 0] = ends[:, -1, 0, :1]  # the last token ends the answer, whatever it is
    start = mdp.initial
    weight = solve.values(TabularMDP(mdp.transition, ends[0], start), pi)[0]
    later = solve.values(TabularMDP(mdp.transition, ends[1], start), pi)[1]
    score = length(mdp, expert)[0] * (weight[:, :, None] * expert / pi - later)
    return score - (pi * score).sum(axis=2)[:, :, None]


def length_curve(objective: str, steps: int) -> pd.DataFrame:
    """Panel (g): expected length and return after each step, from the student; and in the limit."""
    _, mdp, pi, expert, _ = long_answer().convert("float64")
    best = lookahead.minimiser(mdp, expert, CROSS_ENTROPY) if objective == "full_ce" else expert
    rows = []
    for step in range(steps + 1):
        rows.append((objective, step, *length(mdp, pi)))
        mean = objective == "full_ce_per_token"
        move = per_token(mdp, pi, expert) if mean else direction(mdp, pi, expert, objective)
        pi = updates.exponential_step(mdp, pi, move, LENGTH_ETA)
    table = pd.DataFrame(rows, columns=["objective", "step", "length", "return"])
    table["length_limit"], table["return_limit"] = length(mdp, best)
    return table


def length(mdp: TabularMDP, pi: Array) -> tuple[float, float]:
    """Expected number of tokens, and return."""
    return float(solve.occupancy(mdp, pi)[:, 0].sum()), float(solve.expected_return(mdp, pi))


def length_limits(ways: Sequence[int]) -> pd.DataFrame:
    """Panel (g): the length of the answers that minimise cross-entropy-to-go, by the number of harmless ways on."""
    rows = []
    for tokens in ways:
        _, mdp, _, expert, _ = long_answer(tokens=tokens).convert("float64")
        best = lookahead.minimiser(mdp, expert, CROSS_ENTROPY)
        entropy = float(-(expert[0, 0] * np.log(expert[0, 0])).sum())
        rows.append((tokens, entropy, *length(mdp, best), *length(mdp, expert)))
    names = ["ways", "entropy_per_token", "length", "return", "length_expert", "return_expert"]
    return pd.DataFrame(rows, columns=names)


def concat(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables below one another."""
    return pd.concat(parts, ignore_index=True)
