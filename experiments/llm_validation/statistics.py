r"""Paired differences over seeds *and* held-out items, and the smallest difference that a grid can be expected to find.

Two algorithms start from the same weights, see the same prompts and answer the same held-out items, so what is compared
is `d_{s,i}`, the difference of item `i` after the training run of seed `s`, an `(S, I)` table. With

    d_{s,i} = m + a_s + b_i + e_{s,i}    (seeds and items crossed, variances A, B, E)

the mean of the table has the variance `A/S + B/I + E/(SI)`. `E` holds what is left of sampling each answer: of a bit of
probability `p`, `k` times, `2 p (1 - p)/k` for a difference. The variances between the means of seeds, between the
means of items and of what is left are unbiased for `A/S + E/(SI)`, `B/I + E/(SI)` and `E`, so

    V = V_seed + V_item - V_rest    is unbiased, with Satterthwaite's degrees of freedom,

and never taken to be less than `V_seed` or `V_item`. Three intervals answer three questions: `seed`, would other seeds
say the same of these items? `item`, would other items say the same of these runs? `both`, other seeds and other items.
With three seeds Student's factor is 4.3 instead of 2: an interval by seed alone is wide, and honestly so.

The *minimum detectable effect* is the true difference that a two-sided test finds in four grids of five, from the
noncentral t distribution (Cohen 1988). It is stated before the grid is run; a difference below it is undecided.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import nct, t

LEVEL = 0.95
POWER = 0.8
WAYS = ("seed", "item", "both")


class Difference(NamedTuple):
    """A mean of paired differences with its standard error, degrees of freedom, and interval."""

    value: float
    error: float
    freedom: float
    lower: float
    upper: float


class Spread(NamedTuple):
    """Standard deviations of the crossed model: between seeds, between items, of what is left in a cell."""

    seed: float
    item: float
    rest: float


def _squares(d: np.ndarray) -> tuple[float, float, float]:
    """Variance of the mean as seeds see it, as items see it, and that of what is left (0 where there is only one)."""
    seeds, items = d.shape
    rows, columns, mean = d.mean(axis=1), d.mean(axis=0), d.mean()
    by_seed = ((rows - mean) ** 2).sum() / max(seeds * (seeds - 1), 1)
    by_item = ((columns - mean) ** 2).sum() / max(items * (items - 1), 1)
    rest = ((d - rows[:, None] - columns + mean) ** 2).sum() / max((seeds - 1) * (items - 1), 1)
    return float(by_seed), float(by_item), float(rest / d.size)


def spread(d: np.ndarray) -> Spread:
    """The standard deviations of the crossed model, from differences `(S, I)`; variances below 0 count as 0."""
    by_seed, by_item, rest = _squares(np.asarray(d, dtype=float))
    seeds, items = np.shape(d)
    parts = (seeds * (by_seed - rest), items * (by_item - rest), d.size * rest)
    return Spread(*(max(x, 0.0) ** 0.5 for x in parts))


def difference(d: Any, way: str = "both") -> Difference:
    """The mean of differences `(S, I)` with its interval.

    Args:
        d: paired differences, seeds in rows, items in columns.
        way: one of `WAYS`; `"both"` and `"seed"` need two seeds, without them there is no interval (NaN).

    Raises:
        ValueError: another shape, numbers that are not finite, an unknown way.
    """
    d = np.asarray(d, dtype=float)
    if d.ndim != 2 or d.shape[1] < 2 or not d.shape[0]:
        raise ValueError(f"differences have the shape {d.shape}: expected (seeds, items), two items at least")
    if not np.isfinite(d).all():
        raise ValueError(f"the difference at (seed, item) {tuple(np.argwhere(~np.isfinite(d))[0])} is not finite")
    if way not in WAYS:
        raise ValueError(f"unknown way {way!r}: choose from {', '.join(WAYS)}")
    seeds, items = d.shape
    by_seed, by_item, rest = _squares(d)
    if way == "item":
        variance, freedom = by_item, items - 1.0
    elif seeds < 2:
        variance, freedom = np.nan, np.nan
    elif way == "seed":
        variance, freedom = by_seed, seeds - 1.0
    else:
        variance = max(by_seed + by_item - rest, by_seed, by_item)
        own = ((by_seed, seeds - 1), (by_item, items - 1), (rest, (seeds - 1) * (items - 1)))
        freedom = variance**2 / max(sum(v**2 / n for v, n in own), 1e-300) if variance else seeds - 1.0
        freedom = max(freedom, seeds - 1.0)
    error = float(np.sqrt(variance))
    half = float(t.ppf((1 + LEVEL) / 2, freedom)) * error
    mean = float(d.mean())
    return Difference(mean, error, freedom, mean - half, mean + half)


def binomial_rest(chance: Any, samples: int) -> float:
    """What sampling alone leaves in a cell: the standard deviation of a difference of two shares of `samples` bits.

    Args:
        chance: of success on each item, `(I,)`.
        samples: answers to each item, of each algorithm.
    """
    p = np.asarray(chance, dtype=float)
    return float(np.sqrt(2 * (p * (1 - p)).mean() / samples))


def detectable(noise: Spread, seeds: int, items: int) -> float:
    """The minimum detectable effect of a grid of so many seeds and items: found with probability `POWER`; NaN with one
    seed or one item, which have no interval."""
    if min(seeds, items) < 2:
        return float("nan")
    rest = noise.rest**2 / (seeds * items)
    own: Sequence[tuple[float, int]] = (
        (noise.seed**2 / seeds + rest, seeds - 1),
        (noise.item**2 / items + rest, items - 1),
        (rest, (seeds - 1) * (items - 1)),
    )
    variance = own[0][0] + own[1][0] - rest
    if variance == 0:
        return 0.0
    freedom = max(variance**2 / sum(v**2 / n for v, n in own), seeds - 1.0)
    border = t.ppf((1 + LEVEL) / 2, freedom)
    found = brentq(lambda z: nct.sf(border, freedom, z) - POWER, 0, 100)
    return float(found * variance**0.5)
