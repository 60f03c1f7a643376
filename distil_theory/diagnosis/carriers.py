"""Which positions and which tokens carry a rate.

Every score is a sum over tokens, so a rate is a sum over positions and over tokens of the vocabulary, of means over
groups like itself, with standard errors over groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from distil_theory.diagnosis import positions
from distil_theory.diagnosis.log import Array, Block
from distil_theory.diagnosis.rates import Column, advantage


class Part(NamedTuple):
    """What a position or token adds to a rate: its mean over groups and standard error."""

    name: str
    value: float
    standard_error: float
    seen: int

    @property
    def z(self) -> float:
        """In standard errors."""
        return self.value / self.standard_error if self.standard_error > 0 else 0.0


class Carriers:
    """Sums over groups, per position and per token; of the columns without ends."""

    def __init__(self, plan: Sequence[Column]) -> None:
        self.columns = [k for k, column in enumerate(plan) if not column.end]
        self.groups = 0
        self.by_position = _Sums(positions.BINS, len(self.columns))
        self.by_token = _Sums(0, len(self.columns))

    @np.errstate(invalid="ignore")  # infinite terms of rollouts that count nothing
    def add(self, block: Block, terms: Array) -> None:
        """Take in whole groups with the terms of their tokens, `(T, K)`."""
        part = np.repeat(advantage(block), block.lengths)[:, None] * terms[:, self.columns]
        part = np.where(np.isfinite(part), part, 0)
        group = np.repeat(np.repeat(np.arange(len(block.sizes)), block.sizes), block.lengths)
        self.by_position.add(group, positions.bins(block), part)
        if block.tokens is not None:
            self.by_token.add(group, block.tokens, part)
        self.groups += len(block.sizes)

    def positions(self, k: int) -> list[Part]:
        """The parts of column `k` of the plan, in order."""
        return self.by_position.parts(self.columns.index(k), self.groups, positions.name)

    def tokens(self, k: int, words: Sequence[str]) -> list[Part]:
        """The parts of column `k` that stand out among all tokens seen, largest first.

        A token is named if its part is more standard errors from 0 than one of as many would be by chance (5 %).
        """
        threshold = -float(ndtri(0.025 / max(int((self.by_token.counts > 0).sum()), 1)))

        def name(i: int) -> str:
            return repr(words[i]) if i < len(words) else f"token {i}"

        parts = self.by_token.parts(self.columns.index(k), self.groups, name, threshold)
        return sorted(parts, key=lambda p: -abs(p.value))


class _Sums:
    """Sums of group sums and of their squares, for each key."""

    def __init__(self, keys: int, columns: int) -> None:
        self.sums, self.squares = np.zeros((keys, columns)), np.zeros((keys, columns))
        self.counts = np.zeros(keys, dtype=np.int64)

    def add(self, group: Array, key: Array, part: Array) -> None:
        more = int(key.max()) + 1 - len(self.counts)
        if more > 0:
            pad = max(more, len(self.counts))
            self.sums, self.squares = (np.pad(x, ((0, pad), (0, 0))) for x in (self.sums, self.squares))
            self.counts = np.pad(self.counts, (0, pad))
        span = len(self.counts)
        pairs, which = np.unique(group * span + key, return_inverse=True)
        keys = pairs % span
        for k in range(part.shape[1]):
            together = np.bincount(which, part[:, k], len(pairs))
            self.sums[:, k] += np.bincount(keys, together, span)
            self.squares[:, k] += np.bincount(keys, together**2, span)
        self.counts += np.bincount(key, minlength=span)

    def parts(self, k: int, groups: int, name: Callable[[int], str], least: float = -1.0) -> list[Part]:
        """Of the keys that were seen, those that are more than `least` standard errors from 0."""
        mean = self.sums[:, k] / groups
        error = np.sqrt(np.maximum(self.squares[:, k] / groups - mean**2, 0) / groups)
        chosen = np.flatnonzero((self.counts > 0) & (abs(mean) > least * error))
        return [Part(name(i), float(mean[i]), float(error[i]), int(self.counts[i])) for i in chosen.tolist()]
