"""Positions of tokens: the first ones stand alone, later ones in bins that double."""

from __future__ import annotations

import numpy as np

from distil_theory.diagnosis.log import Array, Block

SINGLY, BINS = 16, 40


def bins(block: Block) -> Array:
    """The bin of each token, `(T,)`."""
    position = np.arange(len(block.student)) - np.repeat(block.starts[:-1], block.lengths)
    later = SINGLY + np.floor(np.log2(np.maximum(position, SINGLY) / SINGLY)).astype(np.int64)
    return np.where(position < SINGLY, position, np.minimum(later, BINS - 1))


def widths(count: int) -> Array:
    """How many positions each of the first bins has."""
    i = np.arange(count)
    return np.where(i < SINGLY, 1.0, SINGLY * 2.0 ** (i - SINGLY))


def name(i: int) -> str:
    """How a report calls a bin; positions count from 1."""
    if i < SINGLY:
        return str(i + 1)
    first = SINGLY * 2 ** (i - SINGLY)
    return f"{first + 1}-{2 * first}"
