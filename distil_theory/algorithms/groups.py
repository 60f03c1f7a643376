r"""Group-normalised advantages, exactly: what GRPO expects to reinforce.

A prompt is answered by a group of `G` independent rollouts with outcomes `r_1 .. r_G`, and each is worth

    A_n = (r_n - mean(r)) / std(r),     0 if all are equal,

with the standard deviation of the group (divisor `G`), or `A_n = r_n - mean(r)` without normalisation. All tokens of a
rollout are pushed by its `A_n`. As `A_n` depends on the others only through how many had which outcome, its expectation
given `r_n = v` is a finite sum over their multinomial law:

    Abar(v) = sum over counts n_1 + .. + n_V = G - 1 of  multinomial(n; p)  A(v; n + e_v),

so the mean update of GRPO is that of REINFORCE with the reward `Abar(outcome)`, held fixed. For a success bit with
probability `p` and without normalisation `Abar(1) - Abar(0) = 1 - 1/G`; with it, groups of two and of three have the
gap `sqrt(G - 1)`, whatever `p`: a constant; from four on rare successes and rare failures count for more: that is the
"difficulty weighting" of GRPO, here without approximation.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations
from math import comb

import numpy as np
from scipy.special import gammaln, xlogy

from distil_theory import validate

ROUNDING = 1e-12
"""Returns that differ by less, relatively, are equal: divided by its standard deviation a rounding error is a 1."""
MOST_COUNTS = 20_000
"""Ways in which the outcomes of a group may be counted."""


@cache
def counts(others: int, values: int) -> np.ndarray:
    """All ways to count `others` outcomes of `values` kinds, `(C, V)`.

    Raises:
        ValueError: more than `MOST_COUNTS`.
    """
    ways = comb(others + values - 1, values - 1)
    if ways > MOST_COUNTS:
        raise ValueError(
            f"a group of {others + 1} with {values} different outcomes has {ways} kinds, more than {MOST_COUNTS}: "
            "take a smaller group, or fewer different rewards"
        )
    # stars and bars: V - 1 bars among others + V - 1 places
    bars = np.array(list(combinations(range(others + values - 1), values - 1)), dtype=int).reshape(ways, values - 1)
    ends = np.full((len(bars), 1), others + values - 1)
    table = np.diff(np.hstack([np.full_like(ends, -1), bars, ends]), axis=1) - 1
    table.flags.writeable = False  # it is kept for the next who asks
    return table


def advantages(values: np.ndarray, p: np.ndarray, group: int, normalise: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """`E[max(A, 0) | outcome]` and `E[min(A, 0) | outcome]`, each `(V,*B)`; their sum is `Abar`.

    Args:
        values: outcomes `(V,)`, all different.
        p: their probabilities `(V,*B)`.
        group: `G`, at least 2: alone nobody is better than the mean.
        normalise: divide by the standard deviation of the group.

    Raises:
        ValueError: a group below 2, outcomes that are not different, too many ways to count them.
    """
    group = validate.whole("group", group, 2)
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(np.unique(values)) < len(values) or not len(values):
        raise ValueError(f"values must be different numbers (V,), not {values}")
    validate.distribution("p", np.asarray(p), ["v"], 0)
    others = counts(group - 1, len(values))
    shape = (len(others), len(values), *[1] * (p.ndim - 1))
    law = gammaln(group) - gammaln(others + 1).sum(axis=1)
    law = np.exp(law.reshape(-1, *shape[2:]) + xlogy(others.reshape(shape), p).sum(axis=1))  # (C, *B)
    plus, minus = [], []
    for v, value in enumerate(values):
        n = others + (np.arange(len(values)) == v)
        mean = n @ values / group
        spread = np.sqrt((n * (values - mean[:, None]) ** 2).sum(axis=1) / group)
        equal = n.max(axis=1) == group
        a = np.where(equal, 0, (value - mean) / np.where(equal, 1, spread if normalise else 1))
        plus.append(np.tensordot(np.maximum(a, 0), law, axes=1))
        minus.append(np.tensordot(np.minimum(a, 0), law, axes=1))
    return np.stack(plus), np.stack(minus)


def of_sample(returns: np.ndarray, group: int, normalise: bool = True) -> np.ndarray:
    """`A_n` of rollouts in groups: returns `(N,*B)`, `N` a multiple of `group`, each group side by side."""
    group = validate.whole("group", group, 2)
    if not len(returns) or len(returns) % group:
        raise ValueError(f"{len(returns)} rollouts cannot be cut into groups of {group}")
    r = returns.reshape(-1, group, *returns.shape[1:])
    centred = r - r.mean(axis=1, keepdims=True)
    equal = np.ptp(r, axis=1, keepdims=True) <= ROUNDING * abs(r).max(axis=1, keepdims=True)
    scale = np.where(equal, 1, np.sqrt((centred**2).mean(axis=1, keepdims=True))) if normalise else 1
    return np.where(equal, 0, centred / scale).reshape(returns.shape)
