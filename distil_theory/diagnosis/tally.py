"""One pass over a log: what has to be kept of it, and what follows in the end.

A tally may take many logs at once, behind one another in a block, each of equally many groups: coverage is measured by
the code that users run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from distil_theory.diagnosis import positions, rates, trust
from distil_theory.diagnosis.bootstrap import REPLICATES, Bootstrap, Intervals
from distil_theory.diagnosis.log import Array, Block
from distil_theory.diagnosis.rates import CLIP, Column


class Estimates(NamedTuple):
    """What a log says: intervals of its rates and of `trust.CHECKS`, `(..., K)` and `(..., 3)`, and their trust."""

    rates: Intervals
    checks: Intervals
    trust: trust.Trust


class Tally:
    """Sums over groups, in memory that does not grow with their number.

    Args:
        plan: which rates, from `rates.columns`.
        clip, ratios: as for `rates.contributions`.
        replicates, seed: of the bootstrap.
        logs: how many logs a block holds; `None`: one, and arrays without that axis.
    """

    def __init__(
        self,
        plan: Sequence[Column],
        clip: float = CLIP,
        ratios: tuple[float, float] | None = None,
        replicates: int = REPLICATES,
        seed: int = 0,
        logs: int | None = None,
    ) -> None:
        self.plan, self.clip, self.ratios, self.logs = plan, clip, ratios, logs
        self.bootstrap = Bootstrap(replicates, seed)
        lead = () if logs is None else (logs,)
        self.moments = np.zeros((*lead, positions.BINS, len(trust.powers(plan)) + 1))
        self.infinite = np.zeros(len(self.plan), dtype=bool)
        """Rates of which a contribution is infinite, or no number: a group of one rollout has no `Cov`."""
        self.rollouts = np.zeros(lead)

    def add(self, block: Block) -> Array:
        """Take in whole groups; returns the terms of their tokens, `(T, K)`."""
        terms = rates.token_terms(block, self.plan, self.clip, self.ratios)
        self.take(block, *self.per_rollout(block, terms))
        return terms

    def per_rollout(self, block: Block, terms: Array | None = None) -> tuple[Array, Array, Array]:
        """What is kept of each rollout: scores `(N, K)`, `trust.checks` `(N, 3)`, `trust.token_moments`."""
        if terms is None:
            terms = rates.token_terms(block, self.plan, self.clip, self.ratios)
        scores = np.add.reduceat(terms, block.starts[:-1], axis=0)
        return scores, trust.checks(block), trust.token_moments(block, self.plan)

    def take(self, block: Block, scores: Array, checks: Array, moments: Array) -> None:
        """Take in whole groups whose `per_rollout` is known; of the block only groups, starts and reward are read."""
        means = np.add.reduceat(checks, block.groups[:-1], axis=0) / block.sizes[:, None]
        found = np.concatenate([rates.covariance(block, scores, self.plan), means], axis=1)
        lead = self.rollouts.shape
        infinite = ~np.isfinite(found)
        self.infinite |= infinite[:, : len(self.plan)].any(axis=0)
        found[infinite] = 0
        self.bootstrap.add(found.reshape(*lead, -1, found.shape[1]))
        first = block.groups[:-1].reshape(*lead, -1)[..., 0].ravel()  # of each log, among the rollouts
        seen = np.add.reduceat(moments, first, axis=0)
        self.moments[..., : seen.shape[1], :] += seen.reshape(*lead, *seen.shape[1:])
        self.rollouts += np.diff([*first, len(block.reward)]).reshape(lead)

    def estimates(self, level: float = 0.95) -> Estimates:
        """Of all groups so far, with intervals of this level."""
        found = self.bootstrap.intervals(level)
        k = len(self.plan)
        own, checks = (Intervals(*(x[..., part] for x in found)) for part in (slice(k), slice(k, None)))
        expected = trust.expected(self.moments, self.rollouts, self.plan)
        own = own._replace(value=np.where(self.infinite, np.nan, own.value))
        return Estimates(own, checks, trust.judge(own, checks, expected, self.plan, self.bootstrap.count))
