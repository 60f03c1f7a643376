"""Interquartile means with stratified bootstrap intervals, as Agarwal et al. 2021 ask for (arXiv 2108.13264).

Runs of one task are a *stratum*: the bootstrap draws runs anew within each, and the mean of the middle half is that of
all runs together. Algorithms that start from the same students are compared by the differences of their runs, which
are drawn together. Shares of rare events are means: the middle half would not see them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import bootstrap, trim_mean

RESAMPLES = 1000
LEVEL = 0.95


class Interval(NamedTuple):
    """A value with its 95 % interval, numbers or arrays `(...)`."""

    value: Any
    lower: Any
    upper: Any


def interquartile_mean(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """Mean of the middle half."""
    return trim_mean(x, 0.25, axis=axis)


def interval(
    strata: Sequence[np.ndarray], statistic: Callable[..., np.ndarray] = interquartile_mean, seed: int = 0
) -> Interval:
    """A statistic of all runs, with the percentiles of its stratified bootstrap.

    Args:
        strata: runs of each task, `(..., N)`; the leading axes alike.
        statistic: of an array, along an axis.
        seed: of the resampling; the same for all algorithms, so that intervals of equal runs are equal.

    Raises:
        ValueError: no strata, or less than two runs in one.
    """
    if not strata or min(x.shape[-1] for x in strata) < 2:
        raise ValueError(f"an interval needs two runs of each task, not {[x.shape[-1] for x in strata]}")

    def together(*parts: np.ndarray, axis: int = -1) -> np.ndarray:
        return statistic(np.concatenate(parts, axis=axis), axis=axis)

    found = bootstrap(
        tuple(strata),
        together,
        n_resamples=RESAMPLES,
        axis=-1,
        vectorized=True,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return Interval(together(*strata), found.confidence_interval.low, found.confidence_interval.high)
