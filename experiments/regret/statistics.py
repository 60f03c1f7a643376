"""Means, intervals and slopes over seeds and over MDPs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from distil_theory.prevalence import wilson

LARGEST_Z = 4.0
"""A mean contradicts a bound on an expectation if it is above by more than this many standard errors."""


def mean_interval(x: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over the last axis and the two ends of its t interval."""
    mean, error = x.mean(axis=-1), standard_error(x)
    half = stats.t.ppf((1 + confidence) / 2, x.shape[-1] - 1) * error
    return mean, mean - half, mean + half


def standard_error(x: np.ndarray) -> np.ndarray:
    """Of the mean over the last axis; at least what rounding leaves of equal numbers."""
    return x.std(axis=-1, ddof=1) / np.sqrt(x.shape[-1]) + 1e-12 * abs(x).mean(axis=-1)


def share(above: np.ndarray) -> tuple[float, float, float]:
    """The share of true entries with its Wilson interval."""
    count, n = int(above.sum()), int(above.size)
    return (count / n, *wilson(count, n))


def slope(x: Sequence[float] | np.ndarray, y: np.ndarray, *, logarithmic: bool = True) -> float:
    """Least-squares slope of `log y` (or of `y`) against `log x` over the last factor of ten of `x`.

    Raises:
        ValueError: fewer than three points there, or no positive `y`.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    last = x >= x.max() / 10
    if last.sum() < 3 or (logarithmic and not np.all(y[last] > 0)):
        raise ValueError("a slope needs three points in the last decade, and positive ones for a logarithm")
    return float(stats.linregress(np.log(x[last]), np.log(y[last]) if logarithmic else y[last]).slope)
