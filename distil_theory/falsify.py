"""Trying hard to break a claim: where is its margin smallest?

Random instances rarely sit where a theorem breaks. So a third of them are near-degenerate (probabilities of 1e-6,
experts that nearly abandon an action or nearly agree with the student, rewards at the ends), and from the smallest
margins of all a descent goes on: central differences of the margin in the logits and rewards, one batch for all
directions, with steps that shrink when they do not help. The expert is always better.

Floats say where to look, not what is true: the smallest margins are handed on with their instances, so that those near
zero are decided in exact arithmetic (`claims.claim.verify`).
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
KEPT = 100
"""Instances handed on, those of smallest margin."""
SEVERAL = 2**14
"""MDPs drawn at a time."""


class Found(NamedTuple):
    """How many instances were tried, the smallest margins in ascending order, and their instances (arrays each)."""

    tried: int
    margins: tuple[float, ...]
    instances: tuple[tuple[np.ndarray, ...], ...]

    @property
    def margin(self) -> float:
        """The smallest margin of all; minus infinity if nothing could be tried."""
        return self.margins[0] if self.margins else float("-inf")

    @property
    def instance(self) -> tuple[np.ndarray, ...]:
        """The instance that has it."""
        return self.instances[0] if self.instances else ()


def merge(found: Sequence[Found]) -> Found:
    """What several searches found together."""
    pairs = [pair for f in found for pair in zip(f.margins, f.instances, strict=True)]
    pairs = sorted(pairs, key=lambda pair: pair[0])[:KEPT]
    return Found(sum(f.tried for f in found), *(tuple(x) for x in zip(*pairs, strict=True))) if pairs else found[0]


def smallest(values: np.ndarray, tried: int, *arrays: np.ndarray) -> Found:
    """The instances `(..., n)` of the smallest `values (n,)`; NaN counts as minus infinity."""
    values = np.where(np.isnan(values), -np.inf, values)
    best = np.argsort(values, kind="stable")[:KEPT]
    return Found(tried, tuple(values[best].tolist()), tuple(tuple(x[..., i] for x in arrays) for i in best))


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
    return merge([_search(margin, actions, -(-n // len(sizes)), seed) for actions in sizes])


def mdps(margin: Callable[[TabularMDP, Array, Array], Array], n: int, seed: int) -> Found:
    """The smallest margin over random MDPs (H = 3, S = 3, A = 2, 3) with a student and an expert, half of them sharp.

    Args:
        margin: `mdp, student, expert`, a batch, to `(n,)`.
        n, seed: as for `bandits`; a tenth as many are drawn, for an MDP takes ten times as long.
    """
    found = []
    for actions in (2, 3):
        left = -(-n // 20)
        for start in range(0, left, SEVERAL):
            rng, size = np.random.default_rng([seed, actions, start]), min(SEVERAL, left - start)
            sharp = np.where(rng.random(size) < 0.5, 0.2, 1.0)

            def rows(*shape: int, rng: np.random.Generator = rng, sharp: np.ndarray = sharp) -> np.ndarray:
                powers = rng.standard_gamma(np.broadcast_to(sharp, (*shape, len(sharp)))) + 1e-9
                return powers / powers.sum(axis=-2, keepdims=True)

            mdp = TabularMDP(rows(3, 3, actions, 3), rng.normal(size=(3, 3, actions, size)), rows(3), batch_ndim=1)
            student, expert = rows(3, 3, actions), rows(3, 3, actions)
            parts = (mdp.transition, mdp.reward, mdp.initial, student, expert)
            found = [merge([*found, smallest(margin(mdp, student, expert), size, *parts)])]
    return found[0]


def one_instance(parts: Callable[[], tuple[Array, ...]]) -> Callable[..., Found]:
    """The attack on a claim about one instance: its margin there. `parts()` are exact arrays of one bandit."""

    def attack(margin: Margin, n: int, seed: int) -> Found:
        arrays = tuple(ns.convert(x, "float64") for x in parts())
        return smallest(margin(*(x[..., None] for x in arrays)), 1, *(x[..., None] for x in arrays))

    return attack


def _search(margin: Margin, actions: int, n: int, seed: int) -> Found:
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
        best = np.argsort(values, kind="stable")[:KEPT]
        kept, values = kept[:, :, best], values[best]
    drawn = smallest(values[DESCENTS:], 0, *unpack(kept[:, :, DESCENTS:]))
    kept, values = kept[:, :, :DESCENTS], values[:DESCENTS]
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
    return merge([smallest(values, tried, *unpack(kept)), drawn])
