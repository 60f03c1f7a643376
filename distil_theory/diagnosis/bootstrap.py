r"""Clustered, studentised bootstrap intervals of means, in one pass over the groups.

Groups are independent, rollouts of one group are not, so groups are drawn. A replicate gives group `g` the weight
`w_g ~ Poisson(1)` (Hanley & MacGibbon 2006; Chamandy et al. 2012), which needs neither the groups of the past nor their
number: sums of `w`, `w c` and `w c^2` are all that is kept. With the replicate's mean `m*` and standard error `s*`

    t* = (m* - m) / s*,        interval  m +- s q_(1-a)(|t*|)            (Efron 1979; Hall 1988)

Percentiles of `m*` lean the wrong way where contributions are skewed; of the studentised intervals the symmetric one
covers best there.

*How many groups carry the variance.* `(sum d^2)^2 / sum d^4`, `d = c - m`: all `G` if all deviate alike, a third of
them in a normal sample, one if a single group has it all. Where it is small no interval is to be trusted.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from distil_theory.diagnosis.log import Array

REPLICATES = 999


class Intervals(NamedTuple):
    """Means over groups with their intervals, `(..., K)` each; `carrying`: effective groups behind the variance."""

    value: Array
    low: Array
    high: Array
    standard_error: Array
    carrying: Array


class Bootstrap:
    """Takes groups in pieces and gives intervals of their means; memory does not grow with their number.

    Args:
        replicates: how many.
        seed: of the weights.
    """

    def __init__(self, replicates: int = REPLICATES, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.replicates = replicates
        self.shift: Array | None = None

    def add(self, x: Array) -> None:
        """Contributions of more groups, `(..., G, K)`; leading axes are logs of their own, which share weights."""
        if self.shift is None:
            self.shift = x.mean(axis=-2)
            self.count = 0
            self.powers = np.zeros((4, *self.shift.shape))
            self.weight = np.zeros(self.replicates)
            self.sums = np.zeros((2, *x.shape[:-2], self.replicates, x.shape[-1]))
        d = x - self.shift[..., None, :]
        w = self.random.poisson(1.0, (self.replicates, x.shape[-2])).astype(float)
        self.count += x.shape[-2]
        self.weight += w.sum(axis=1)
        power = np.ones_like(d)
        for i in range(4):
            power = power * d
            self.powers[i] += power.sum(axis=-2)
            if i < 2:
                self.sums[i] += w @ power

    def intervals(self, level: float = 0.95) -> Intervals:
        """Intervals of the means of all groups so far, each of this level."""
        assert self.shift is not None
        n = self.count
        m, m2, m3, m4 = self.powers / n
        var = np.maximum(m2 - m**2, 0)
        fourth = m4 - 4 * m * m3 + 6 * m**2 * m2 - 3 * m**4
        error = np.sqrt(var / n)
        weight = np.maximum(self.weight, 1)[:, None]
        mean, square = self.sums / weight
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (mean - m[..., None, :]) / np.sqrt(np.maximum(square - mean**2, 0) / weight)
            carrying = np.where(fourth > 0, n * var**2 / fourth, 0.0)
        size = np.sort(np.where(np.isnan(t), np.inf, abs(t)), axis=-2)  # 0/0: no group with spread was drawn
        at = min(math.ceil(level * (self.replicates + 1)), self.replicates) - 1
        value, reach = self.shift + m, np.where(error > 0, size[..., at, :], 1) * error
        return Intervals(value, value - reach, value + reach, error, carrying)


def intervals(x: Array, level: float = 0.95, replicates: int = REPLICATES, seed: int = 0) -> Intervals:
    """Intervals of the means over groups of contributions `(..., G, K)`, each leading index a log of its own."""
    bootstrap = Bootstrap(replicates, seed)
    bootstrap.add(x)
    return bootstrap.intervals(level)
