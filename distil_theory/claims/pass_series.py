r"""Claim 12c: the log-likelihood of success is a sum over all Pass@N.

.. math:: \log p = -\sum_{N \ge 1} \frac{(1-p)^N}{N}, \qquad
          \nabla \log p = \sum_{N \ge 1} \frac1N \nabla \mathrm{Pass@}N \qquad (0 < p \le 1)

Proof. (1) `p (1 + (1-p) + .. + (1-p)^(M-1)) = 1 - (1-p)^M`, by induction over `M`. (2) `d Pass@N / dp = N (1-p)^(N-1)`:
the first `M` terms have the gradient `grad p (1 - (1-p)^M)/p`, which is `Pass@M` of the gradient of `log p`, *exactly*.
(3) What is left of `log p`, `R_M(p) = int_p^1 (1-t)^M / t dt`, obeys `(1-p)^(M+1) <= (M+1) R_M <= (1-p)^(M+1) / p`: all
three vanish at 1, and their slopes are in order. So sum and derivative may be exchanged: both series converge
geometrically, uniformly on `p >= p_0 > 0`.

So `M = 1` is plain RL, `M -> inf` is likelihood RL. (4) Drawing `k` answers and raising the mean log-probability of the
right ones, if there are any, has the expected gradient of the series truncated at `M = k`: filtered self-distillation
with `k` samples per prompt *is* likelihood RL, up to `(1-p)^k`.

At `p = 0` the series is the harmonic one: every truncation is finite, `-(1 + 1/2 + .. + 1/M)`, and `log 0` is not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import sympy

from distil_theory import number_systems as ns
from distil_theory import objectives
from distil_theory.claims import symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.claims.enclosures import not_negative
from distil_theory.falsify import Found, smallest
from distil_theory.number_systems import Array
from distil_theory.spec import Bandit
from distil_theory.success import pass_at_n, truncated_log
from distil_theory.three_points import vanish

P = sympy.Symbol("p", positive=True)
TERMS = sympy.Symbol("M", positive=True, integer=True)
TRIED = (1, 2, 8, 64)
"""Truncations of the attack."""


def geometric_sum() -> bool:
    """Step 1: true for `M = 1`, and one more term keeps it."""
    total = (1 - (1 - P) ** TERMS) / P
    return vanish(total.subs(TERMS, 1) - 1, sympy.expand(total.subs(TERMS, TERMS + 1) - total - (1 - P) ** TERMS))


def gradients() -> bool:
    """Step 2, the code: the slope of the truncated series is `sum 1/N dPass@N/dp = Pass@M / p`."""
    p = np.array(P, dtype=object)
    passes = [symbols.only(pass_at_n(p, n)).diff(P) for n in range(1, 7)]
    slopes = [symbols.only(truncated_log(p, m)).diff(P) for m in range(1, 7)]
    if not symbols.vanishes([d - n * (1 - P) ** (n - 1) for n, d in enumerate(passes, 1)]):
        return False
    sums = np.cumsum([d / n for n, d in enumerate(passes, 1)])
    ends = [symbols.only(pass_at_n(p, m)) / P for m in range(1, 7)]
    return symbols.vanishes([*(slopes - sums), *(sums - np.array(ends))])


def remainder() -> bool:
    """Step 3: all vanish at `p = 1`, and the slopes of upper, rest and lower are in this order, falling."""
    left = (1 - P) ** (TERMS + 1) / (TERMS + 1)
    upper, rest, lower = (left / P).diff(P), -((1 - P) ** TERMS) / P, left.diff(P)
    positive = (1 - P) ** (TERMS + 1) / P
    zeros = [sympy.simplify(x.subs(P, 1)) for x in (left, left / P)]
    return zeros == [0, 0] and vanish(rest - upper - positive / (P * (TERMS + 1)), lower - rest - positive)


def samples() -> bool:
    """Step 4, the code: every sequence of `k <= 3` of three answers, two of them right, on symbols."""
    _, pi, _ = symbols.bandit(3)
    row, right = pi[0, 0], np.array([1, 1, 0])
    plain = objectives.return_gradient(Bandit(np.array([*map(sympy.Integer, right)], dtype=object)), pi)[0, 0]
    p = (row * right).sum()
    for k in (1, 2, 3):
        mean = row * 0
        for drawn in product(range(3), repeat=k):
            wins = [a for a in drawn if right[a]]
            if wins:
                score = sum(np.eye(3, dtype=int)[a] - row for a in wins) / sympy.Integer(len(wins))
                mean = mean + np.prod(row[list(drawn)]) * score
        if not symbols.vanishes(mean * p - pass_at_n(np.array(p, dtype=object), k) * plain):
            return False
    return True


def slack(p: Array, terms: int) -> list[Array]:
    """Upper bound less what is left, what is left less the lower bound."""
    rest, left = ns.log(p) - truncated_log(p, terms), ns.power(1 - p, terms + 1) / (terms + 1)
    return [left / p + rest, -rest - left]  # `rest` is minus what is left of the log


def margin(p: Array) -> Array:
    """The least slack over the truncations that are tried."""
    return np.min([x for m in TRIED for x in slack(p, m)], axis=0)


def holds_exactly(p: Array) -> bool:
    """The same in balls; both bounds are attained at `p = 1`."""
    if p == 1:
        return True
    return all(not_negative(partial(_in_balls, p, m, i)) for m in TRIED for i in (0, 1))


def _in_balls(p: Array, terms: int, bound: int) -> Any:
    return symbols.only(slack(ns.convert(p, "ball"), terms)[bound])


def attack(find: Callable[..., Array], n: int, seed: int) -> Found:
    """The smallest margin over `n / 10` probabilities: uniform, nearly 0, nearly 1."""
    rng, size = np.random.default_rng(seed), max(n // 10, 1)
    p = rng.random(size)
    small = np.exp(-12 * rng.random(size))
    p = np.choose(rng.integers(0, 3, size), [1 - p, small, 1 - small / 2])
    return smallest(find(p), size, p)


CLAIM = Claim(
    slug="pass_series",
    number="12c",
    title="the log-likelihood is the sum of `Pass@N / N`",
    statement=r"\log p = -\sum_{N\ge1} (1-p)^N / N, \quad \nabla\log p = \sum_{N\ge1} \tfrac1N \nabla\mathrm{Pass@}N",
    assumptions=("`p > 0`", "`log P`, prompt by prompt"),
    source="paper",
    scope="any `0 < p <= 1` and any number of terms; the code up to 6 terms, and 3 samples of 3 answers",
    steps=(
        Step("`p sum_{N <= M} (1-p)^(N-1) = 1 - (1-p)^M`, any `M`", geometric_sum, "(1-p)^(M+1) added"),
        Step("`M` terms have the gradient `Pass@M/p`, by the code", gradients, "no 1/N"),
        Step("what is left lies between `(1-p)^(M+1)/(M+1)` and that over `p`", remainder, "M for M + 1 below"),
        Step("`k` samples, the mean over the right ones: the first `k` terms", samples, "the sum over the right ones"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "`p > 0`": "At `p = 0` the series is minus the harmonic one: truncated at `M` it is finite, with the gradient "
        "`M grad p`; samples show no success and give no gradient.",
        "`log P`, prompt by prompt": "success_aliased.json",
    },
    panel="pass_at_n_training.png",
    attack=attack,
)
