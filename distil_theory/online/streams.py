"""Random numbers by seed: what one student meets does not depend on which others are simulated beside it.

Seed `k` under a key, a few whole numbers, is numpy's generator of `[*key, k]`. Its numbers are drawn for some rounds at
a time and laid side by side, seeds last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from distil_theory import validate

AHEAD = 64
"""Rounds drawn at a time."""


def seed_list(seeds: int | Sequence[int]) -> list[int]:
    """`seeds` as a list of whole numbers: a number means the first so many.

    Raises:
        ValueError: none, or one that is no whole number >= 0.
    """
    if not isinstance(seeds, Sequence | np.ndarray):
        return list(range(validate.whole("seeds", seeds, 1)))
    if not len(seeds):
        raise ValueError("seeds is empty: there is nobody to simulate")
    return [validate.whole("a seed", k, 0) for k in seeds]


def uniforms(key: Sequence[int], seeds: Sequence[int], rounds: int, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """For each round uniform numbers on [0, 1), shape `(*shape, seeds)`."""
    generators = [np.random.default_rng([*key, k]) for k in seeds]
    for start in range(0, rounds, AHEAD):
        several = (min(AHEAD, rounds - start), *shape)
        yield from np.ascontiguousarray(np.moveaxis(np.array([g.random(several) for g in generators]), 0, -1))
