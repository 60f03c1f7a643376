r"""Unbiased estimates of Pass@N, Best@N, Maj@N, Avg@N from `k >= N` samples of a prompt, with their variances.

Each is a U-statistic: the mean of the metric over all `N`-subsets of the `k` samples, in closed form. With `c` right
answers, Pass@N `= 1 - C(k-c, N)/C(k, N)` (Chen et al. 2021, arXiv 2107.03374).

*Variance.* `Var(U) = E U^2 - theta^2`, and the mean of the metric of two *disjoint* `N`-subsets, multiplied, is an
unbiased estimate of `theta^2`; it exists for `k >= 2N`. So `U^2` minus it is an unbiased estimate of the variance: for
Pass@N, `[C(k-c, N)/C(k, N)]^2 - C(k-c, 2N)/C(k, 2N)`. For Best@N an estimate may be negative; a standard error then
counts as 0.
"""

from __future__ import annotations

from fractions import Fraction
from math import comb
from typing import Any, NamedTuple

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import validate
from distil_theory.number_systems import Array
from distil_theory.success.votes import plurality, without_replacement


class Estimate(NamedTuple):
    """An unbiased estimate and, where the samples suffice, an unbiased estimate of its variance; shape `B` each."""

    value: Array
    variance: Array | None

    @property
    def standard_error(self) -> Any:
        """The root of the variance, in floats; NaN where there is none."""
        if self.variance is None:
            return np.full(np.shape(self.value), np.nan)
        return np.sqrt(np.maximum(ns.convert(self.variance, "float64"), 0))


def _sizes(samples: Any, n: Any) -> tuple[int, int]:
    k, n = validate.whole("samples", samples, 1), validate.whole("n", n, 1)
    if n > k:
        raise ValueError(f"n = {n} attempts cannot be estimated from {k} samples: it takes at least as many")
    return k, n


def _whole_counts(what: str, counts: Any, largest: int) -> np.ndarray:
    c = np.asarray(counts)
    if c.dtype.kind not in "iu" or not c.size:
        raise ValueError(f"{what} must be whole numbers, not {counts!r}")
    if c.min() < 0 or c.max() > largest:
        raise ValueError(f"{what} must lie in 0..{largest}: {c.min() if c.min() < 0 else c.max()} does not")
    return c


def _subsets(among: np.ndarray, k: int, n: int, numbers: str) -> Array:
    """`C(among, n) / C(k, n)`, factor by factor; 0 where `among < n`."""
    left = ns.convert(among, numbers)
    out = left * 0 + 1
    for j in range(n):
        out = out * ns.where(among > j, left - j, left * 0) / (k - j)
    return out


def estimate_pass_at_n(correct: Any, samples: int, n: int, numbers: str = "float64") -> Estimate:
    """Pass@N from `correct` right answers among `samples`.

    Args:
        correct: whole numbers, shape `B`.
        samples: `k`, the same for all.
        n: attempts, at most `k`.
        numbers: `"float64"`, or `"rational"` for exact values.

    Raises:
        ValueError: `n < 1`, `n > samples`, counts that are not whole, out of range or empty.
    """
    k, n = _sizes(samples, n)
    wrong = k - _whole_counts("correct", correct, k)
    miss = _subsets(wrong, k, n, numbers)
    return Estimate(1 - miss, miss * miss - _subsets(wrong, k, 2 * n, numbers) if k >= 2 * n else None)


def _rewards(rewards: Any, what: str = "rewards", each: str = "sample") -> Array:
    r = ns.asarray(rewards)
    if not r.ndim or not np.size(r):
        raise ValueError(f"{what} has shape {np.shape(r)}: expected one for each {each} ({each}s, ...)")
    validate.finite(what, r, [each])
    return r


def estimate_avg_at_n(rewards: Any, n: int = 1) -> Estimate:
    """Avg@N, the mean of `rewards (k, *B)` whatever `n`; the variance needs `k >= 2`."""
    r = _rewards(rewards)
    k, _ = _sizes(len(r), n)
    mean = r.sum(axis=0) / k
    return Estimate(mean, ((r - mean) ** 2).sum(axis=0) / (k * (k - 1)) if k > 1 else None)


def estimate_best_at_n(rewards: Any, n: int) -> Estimate:
    """Best@N from the rewards of `k` samples, `(k, *B)`: `sum_i r_(i) C(i-1, N-1) / C(k, N)` over ascending order.

    Two disjoint subsets with the maxima `r_(i)`, `i < j`: the lower one is chosen in `C(i-1, N-1)` ways, and all of it
    lies below `j`, so that the other has `C(j-1-N, N-1)`.

    Raises:
        ValueError: `n < 1`, `n` above the number of samples, rewards that are NaN or empty.
    """
    r = _rewards(rewards)
    k, n = _sizes(len(r), n)
    r = np.sort(r, axis=0)

    def shares(ways: list[int], of: int) -> Array:
        exact = [Fraction(w, of) for w in ways]
        column = np.array([float(x) for x in exact]) if ns.name(r) == "float64" else ns.convert(exact, ns.name(r))
        return column.reshape(-1, *[1] * (r.ndim - 1))

    lower = r * shares([comb(i, n - 1) for i in range(k)], comb(k, n))
    value = lower.sum(axis=0)
    if k < 2 * n:
        return Estimate(value, None)
    upper = r * shares([comb(j - n, n - 1) if j >= n else 0 for j in range(k)], comb(k - n, n))
    below = lower.cumsum(axis=0) - lower
    return Estimate(value, value * value - 2 * (upper * below).sum(axis=0))


def estimate_maj_at_n(counts: Any, rewards: Any, n: int, numbers: str = "float64") -> Estimate:
    """Maj@N from how often each answer was given: the mean over all `n`-subsets of the samples, exactly.

    Args:
        counts: whole numbers `(A, *B)` with the same sum `k` in every column.
        rewards: of each answer, `(A,)` or `(A, *B)`.
        n: attempts, at most `k`.
        numbers: `"float64"`, or `"rational"`.

    Returns:
        The estimate; there is no variance: over prompts use `mean_over_prompts`.

    Raises:
        ValueError: as `estimate_pass_at_n`, or columns with different sums.
    """
    c = np.asarray(counts)
    if not c.ndim:
        raise ValueError(f"counts is {counts!r}: expected an array (answers, ...)")
    if c.dtype.kind not in "iu" or not c.size:
        raise ValueError(f"counts must be whole numbers, not {counts!r}")
    totals = np.unique(c.sum(axis=0))
    if len(totals) != 1:
        raise ValueError(f"every column of counts must have as many samples: {totals.tolist()}")
    c = _whole_counts("counts", c, max(int(totals[0]), 0))
    k, n = _sizes(totals[0], n)
    r = ns.convert(_rewards(rewards, each="answer"), numbers)
    validate.batched("rewards", r, c.shape[:1], ["answer"])
    axes = max(c.ndim, r.ndim)
    c, r = (x.reshape(*x.shape, *[1] * (axes - x.ndim)) for x in (c, r))
    c = np.broadcast_to(c, np.broadcast_shapes(c.shape, r.shape))
    weights, whole = without_replacement(c, k, n, numbers)
    return Estimate(plurality(weights, r) / whole, None)


def mean_over_prompts(values: Any, weights: Any = None, variances: Any = None) -> Estimate:
    """The mean of estimates `(X, *B)` over prompts, with its variance.

    Args:
        values: one estimate per prompt.
        weights: of *fixed* prompts, a distribution `(X,)`; default: the prompts are themselves a sample, and the
            variance is that of their values divided by `X`, which needs two.
        variances: of the estimates, `(X, *B)`, for fixed prompts: the variance is then `sum_x w_x^2 var_x`.

    Raises:
        ValueError: empty or NaN, weights that do not sum to one, variances without weights or of another shape.
    """
    v = _rewards(values, "values", "prompt")
    if weights is None:
        if variances is not None:
            raise ValueError("variances of the estimates need weights: sampled prompts vary more than that")
        return estimate_avg_at_n(v)
    w = ns.common(ns.asarray(weights), v)[0]
    validate.shape("weights", w, v.shape[:1], ["prompt"])
    validate.distribution("weights", w, ["prompt"], 0)
    w = w.reshape(-1, *[1] * (v.ndim - 1))
    mean = (w * v).sum(axis=0)
    if variances is None:
        return Estimate(mean, None)
    each = ns.common(_rewards(variances, "variances", "prompt"), v)[0]
    if each.shape != v.shape:
        raise ValueError(f"variances has shape {each.shape}: expected that of values, {v.shape}")
    return Estimate(mean, (w * w * each).sum(axis=0))
