r"""An answer that may stop early: the entropy trap with many tokens (claim 10c).

At every token the expert stops with the same small probability and is undecided between several tokens that are equally
good to go on with. Cross-entropy-to-go charges each further token for this indecision, so the shortest answers are the
cheapest. KL-to-go charges for the habits of the student alone, and ends at the expert. Cross-entropy per token, divided
by the length of the answer, does not see the length if the expert's entropy per token is constant.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from distil_theory import lookahead, solve, updates
from distil_theory.divergences import CROSS_ENTROPY
from distil_theory.instances import Instance
from distil_theory.instances.base import exact_instance, moves, rational
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP
from experiments.future_credit.training import direction

ETA = 0.05
HORIZON, TOKENS, ENOUGH, STOP = 40, 8, 8, "1/14"
"""Of the answer that may stop early: the longest answer, harmless ways to go on, the length that is right, and the
probability per token that the expert stops: its answers have 13 tokens on average."""
HABIT = "3/5"
"""The student of that answer likes one of the harmless ways this much."""
WAYS = (1, 2, 4, 8, 16, 32, 64)
"""Numbers of harmless ways for which the limit of cross-entropy-to-go is found."""


def long_answer(horizon: int = HORIZON, tokens: int = TOKENS, enough: int = ENOUGH, stop: str = STOP) -> Instance:
    """An answer, token by token, with one token that ends it and several that are equally good to go on with.

    State 0 is the answer, 1 its end, where nothing matters. Action 0 stops; the expert stops with the same probability
    at each step and is undecided between all other tokens. It pays 1 to have written at least `enough` tokens. The
    student stops as the expert does, but likes one of the harmless tokens: a disagreement without consequences.
    """
    stop_q, habit = (rational(what, x) for what, x in (("stop", stop), ("habit", HABIT)))
    rare = rational("rare", "1/1000000")
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


OBJECTIVES = ("local", "full_kl", "full_ce", "full_ce_per_token")


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
        pi = updates.exponential_step(mdp, pi, move, ETA)
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
