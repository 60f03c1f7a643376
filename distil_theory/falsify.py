"""Trying hard to break a claim about bandits: where is its margin smallest?

Random instances rarely sit where a theorem breaks. So a third of them are near-degenerate (probabilities of 1e-6,
experts that nearly abandon an action or nearly agree with the student, rewards at the ends), and from the smallest
margins of all a descent goes on: central differences of the margin in the logits and rewards, one batch for all
directions, with steps that shrink when they do not help. The expert is always better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from distil_theory import number_systems as ns
from distil_theory.number_systems import Array
from distil_theory.prevalence import CHUNK
from distil_theory.spec import TabularMDP

Margin = Callable[[Array, Array, Array], Array]
"""`reward, student, expert (A, n)` to the margin `(n,)`."""
DESCENTS, ROUNDS = 32, 60


class Found(NamedTuple):
    """How many instances were tried, the smallest margin of all, and the instance that has it (arrays)."""

    tried: int
    margin: float
    instance: tuple[np.ndarray, ...]


def instances(rng: np.random.Generator, actions: int, n: int) -> np.ndarray:
    """Coordinates `(3, A, n)`: rewards in [0, 1], and logits of student and expert; the expert is better or equal."""
    reward = rng.random((actions, n))
    logits = np.log(rng.standard_exponential((2, actions, n)))
    kind = rng.integers(0, 6, n)
    ends, sharp, alike = kind <= 2, kind == 1, kind == 2
    reward[:, ends] = reward[:, ends].round()
    logits[:, :, sharp] *= 6  # probabilities down to 1e-6 and below
    logits[1, :, alike] = logits[0, :, alike] + 1e-3 * logits[1, :, alike]
    point = np.concatenate([reward[None], logits])
    reward, student, expert = unpack(point)
    worse = (reward * (expert - student)).sum(axis=0) < 0
    point[0] = np.where(worse, 1 - point[0], point[0])
    return point


def unpack(point: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates `(3, A, n)` to reward, student and expert `(A, n)`."""
    powers = np.exp(point[1:] - point[1:].max(axis=1, keepdims=True)) + 1e-12
    student, expert = powers / powers.sum(axis=1, keepdims=True)
    return point[0], student, expert


def bandits(margin: Margin, n: int, seed: int, sizes: Sequence[int] = (2, 3, 5)) -> Found:
    """The smallest margin over bandits with a better expert, of each number of actions in `sizes`.

    Args:
        margin: NaN counts as minus infinity.
        n: how many instances are drawn in all; the descent tries some more.
        seed: of the draws.
        sizes: numbers of actions.
    """
    found = [_smallest(margin, actions, -(-n // len(sizes)), seed) for actions in sizes]
    return min(found, key=lambda f: f.margin)._replace(tried=sum(f.tried for f in found))


def mdps(margin: Callable[[TabularMDP, Array, Array], Array], n: int, seed: int) -> Found:
    """The smallest margin over random MDPs (H = 3, S = 3, A = 2, 3) with a student and an expert, half of them sharp.

    Args:
        margin: `mdp, student, expert`, a batch, to `(n,)`.
        n, seed: as for `bandits`.
    """
    found = []
    for actions in (2, 3):
        rng, size = np.random.default_rng([seed, actions]), -(-n // 2)
        sharp = np.where(rng.random(size) < 0.5, 0.2, 1.0)

        def rows(*shape: int, rng: np.random.Generator = rng, sharp: np.ndarray = sharp) -> np.ndarray:
            powers = rng.standard_gamma(np.broadcast_to(sharp, (*shape, len(sharp)))) + 1e-9
            return powers / powers.sum(axis=-2, keepdims=True)

        mdp = TabularMDP(rows(3, 3, actions, 3), rng.normal(size=(3, 3, actions, size)), rows(3), batch_ndim=1)
        student, expert = rows(3, 3, actions), rows(3, 3, actions)
        values = np.nan_to_num(margin(mdp, student, expert), nan=-np.inf)
        i = int(values.argmin())
        parts = (mdp.transition, mdp.reward, mdp.initial, student, expert)
        found.append(Found(size, float(values[i]), tuple(x[..., i] for x in parts)))
    return min(found, key=lambda f: f.margin)._replace(tried=sum(f.tried for f in found))


def one_instance(parts: Callable[[], tuple[Array, ...]]) -> Callable[..., Found]:
    """The attack on a claim about one instance: its margin there. `parts()` are exact arrays of one bandit."""

    def attack(margin: Margin, n: int, seed: int) -> Found:
        arrays = tuple(ns.convert(x, "float64") for x in parts())
        return Found(1, float(margin(*(x[..., None] for x in arrays))[0]), arrays)

    return attack


def _smallest(margin: Margin, actions: int, n: int, seed: int) -> Found:
    rng = np.random.default_rng([seed, actions])

    def value(point: np.ndarray) -> np.ndarray:
        reward, student, expert = unpack(point)
        better = (reward * (expert - student)).sum(axis=0) > 0
        found = margin(reward, student, expert)
        return np.where(better, np.where(np.isnan(found), -np.inf, found), np.inf)

    kept, values, tried = np.empty((3, actions, 0)), np.empty(0), 0
    for start in range(0, n, CHUNK):
        points = instances(rng, actions, min(CHUNK, n - start))
        kept, values = np.concatenate([kept, points], axis=2), np.append(values, value(points))
        tried += points.shape[2]
        best = np.argsort(values)[:DESCENTS]
        kept, values = kept[:, :, best], values[best]
    step = np.full(len(values), 0.1)
    directions = np.eye(3 * actions).reshape(3, actions, 1, -1)
    for _ in range(ROUNDS):
        size = step[:, None]
        ends = [kept[..., None] + sign * size * directions for sign in (1, -1)]
        for end in ends:
            end[0] = np.clip(end[0], 0, 1)
        both = np.stack([value(end.reshape(3, actions, -1)).reshape(len(values), -1) for end in ends])
        tried += both.size
        # along the measured slope, or to the best single coordinate, whichever is smaller
        flat = ~np.isfinite(both).all(axis=0)
        rise = np.where(flat, 0, both[0]) - np.where(flat, 0, both[1])
        length = np.linalg.norm(rise, axis=1, keepdims=True)
        down = kept - (step[:, None] * rise / np.where(length > 0, length, 1)).T.reshape(3, actions, -1)
        down[0] = np.clip(down[0], 0, 1)
        sign, coordinate = np.unravel_index(
            both.transpose(1, 0, 2).reshape(len(values), -1).argmin(axis=1), (2, 3 * actions)
        )
        rows = np.arange(len(values))
        single = np.stack([ends[s][:, :, i, c] for s, i, c in zip(sign, rows, coordinate, strict=True)], axis=-1)
        candidates = np.stack([kept, down, single])
        scores = np.stack([values, value(down), both[sign, rows, coordinate]])
        tried += len(values)
        choice = scores.argmin(axis=0)
        step = np.where(choice == 0, step / 2, step * 1.3)
        kept, values = np.moveaxis(candidates[choice, :, :, rows], 0, -1), scores[choice, rows]
    i = int(values.argmin())
    reward, student, expert = (x[:, i] for x in unpack(kept))
    return Found(tried, float(values[i]), (reward, student, expert))
