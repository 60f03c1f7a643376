r"""Looking for the worst bandit without knowing the theorem (THEORY claim 14).

`worst_bandit` maximises the loss of one natural step over all bandits with `A` actions whose expert is better by at
least `gap` and whose ratios lie in `[low, high]`: claim 14's problem, of which `worst_case` knows the answer. Nothing
of the proof is used: rewards are anything in [0, 1], the mean ratios and the masses are free. Random feasible bandits
are evaluated in cache-sized pieces; the best of each kind start a local ascent (SLSQP). What it finds is a lower bound
on the supremum, whatever happens: every answer is made feasible to rounding and its loss computed from its definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize

from distil_theory import parallel, validate
from distil_theory.batching import in_pieces
from distil_theory.divergences import FDivergence, named
from distil_theory.envelope import KINK
from distil_theory.worst_case import Curve, WorstCase, natural_loss

SMALLEST = 1e-7
"""Student probabilities stay above this during the ascent."""
PER_KIND = 8
"""Starts of one kind: a step of finite size can have several local maxima."""


Points = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Rewards, students and ratios, `(A, n)` or `(A,)`."""


class Setting(NamedTuple):
    """One search: a divergence of the catalogue by name, the gap, the range of ratios, the step and the size."""

    divergence: str
    gap: float
    low: float
    high: float
    eta: float | None
    actions: int
    seed: int = 0


def worst_bandit(
    divergence: FDivergence | str,
    gap: float,
    low: float,
    high: float,
    eta: float | None = None,
    *,
    actions: int = 3,
    seed: int = 0,
    starts: int = 50_000,
    ascents: int = 32,
) -> WorstCase:
    """The worst bandit that the search finds.

    Args:
        divergence: the objective, or its name in the catalogue.
        gap, low, high, eta: as for `worst_case.worst_loss`.
        actions: how many actions the bandit may have.
        seed: of the random starts.
        starts: how many random bandits are evaluated.
        ascents: how many of them are improved.

    Raises:
        ValueError: a range, gap, step or size that no bandit has, or `h(0+) = -inf` with `low = 0`: no supremum.
    """
    divergence = named(divergence) if isinstance(divergence, str) else divergence
    curve = Curve(divergence, low, high, eta)  # refuses a range or step that no bandit has
    gap = float(curve.check(gap)[0])
    if curve.infinite:
        raise ValueError(f"{divergence.name} has h(0+) = -inf: with low = 0 there is no worst bandit")
    actions, starts = validate.whole("actions", actions, 2), validate.whole("starts", starts, 1)
    loss = partial(natural_loss, divergence.h, eta)
    rng = np.random.default_rng([validate.whole("seed", seed, 0), actions])
    points = _feasible(*_random(rng, actions, starts, gap, low, high), gap, low, high)
    found = in_pieces(loss, *((x, 1) for x in points))
    best: tuple[float, Points] = (-np.inf, points)
    for i in _diverse(points, found, validate.whole("ascents", ascents, 1)):
        start = (points[0][:, i], points[1][:, i], points[2][:, i])
        reward, student, ratio = _ascend(loss, start, gap, low, high)
        end = _feasible(reward, student, ratio, gap, low, high)
        for point in (start, end):
            reward, student, ratio = point
            value = float(loss(*point))
            if value > best[0] and (reward * student * (ratio - 1)).sum() >= gap - 1e-13:
                best = value, point
    value, (reward, student, ratio) = best
    return WorstCase(value, reward, student, student * ratio)


def worst_bandits(settings: Sequence[Setting], *, jobs: int = -1, cache: Path | None = None) -> list[WorstCase]:
    """`worst_bandit` for every setting, in parallel, with progress; finished ones are found again under `cache`."""
    return parallel.run(_one, [tuple(s) for s in settings], jobs=jobs, cache=cache, label="worst bandits")


def _one(divergence: str, gap: float, low: float, high: float, eta: float | None, actions: int, seed: int) -> WorstCase:
    return worst_bandit(divergence, gap, low, high, eta, actions=actions, seed=seed)


def _random(rng: np.random.Generator, actions: int, n: int, gap: float, low: float, high: float) -> Points:
    """Rewards, students and ratios `(A, n)`: a group of actions on which the expert gains `gap` or more, and a rest."""
    size = (actions, n)
    gains = np.arange(actions)[:, None] < rng.integers(1, actions, n)
    share = rng.random(n)  # of the group, between the least and the largest mass that admit the gap
    p = gap / (high - 1) * (1 - share) + (1 - gap / (1 - low)) * share
    student = rng.dirichlet(np.full(actions, 0.5), n).T + SMALLEST
    student *= np.where(gains, p / (student * gains).sum(axis=0), (1 - p) / (student * ~gains).sum(axis=0))
    most = np.minimum(p * (high - 1), (1 - p) * (1 - low))
    gain = gap + (most - gap) * rng.random(n) ** 3
    mean = np.where(gains, 1 + gain / p, 1 - gain / (1 - p))
    ratio = np.choose(rng.integers(0, 3, size), [np.full(size, low), np.full(size, high), rng.uniform(low, high, size)])
    for group in (gains, ~gains):
        ratio = np.where(group, _with_mean(ratio, student * group, mean, low, high), ratio)
    reward = np.choose(rng.integers(0, 4, size), [gains, gains, gains, rng.random(size)]).astype(float)
    return reward, student, ratio


def _with_mean(ratio: np.ndarray, weight: np.ndarray, mean: np.ndarray | float, low: float, high: float) -> np.ndarray:
    """The ratios moved towards `low` or `high` until their weighted mean is right; they stay within."""
    total = weight.sum(axis=0)
    now, mean = (weight * ratio).sum(axis=0) / total, np.clip((weight * mean).sum(axis=0) / total, low, high)
    down = np.where(now > mean, (mean - low) / np.where(now > mean, now - low, 1), 1)
    up = np.where(now < mean, (high - mean) / np.where(now < mean, high - now, 1), 1)
    return np.clip(np.where(now > mean, low + down * (ratio - low), high - up * (high - ratio)), low, high)


def _feasible(
    reward: np.ndarray, student: np.ndarray, ratio: np.ndarray, gap: float, low: float, high: float
) -> Points:
    """The nearest bandits, nearly, that satisfy every constraint to rounding: mean ratio one, and the gap."""
    student = student / student.sum(axis=0)
    ratio = _with_mean(ratio, student, 1.0, low, high)
    change = student * (ratio - 1)
    now, most = (reward * change).sum(axis=0), np.maximum(change, 0).sum(axis=0)
    # towards reward 1 exactly where the expert gains, which has the largest gap of all rewards
    move = np.clip((gap - now) / np.where(most > now, most - now, 1), 0, 1)
    reward = np.clip(reward + move * ((ratio > 1) - reward), 0, 1)
    return reward, student, ratio


def _diverse(points: Points, loss: np.ndarray, count: int) -> np.ndarray:
    """The best starts, at most `PER_KIND` of each kind: which actions are right, and on which the expert gains."""
    reward, _, ratio = points
    order = np.argsort(-loss)
    actions = 2 * (reward[:, order] > 0.5) + (ratio[:, order] > 1)
    kind = ((len(reward) + 1) ** actions).sum(axis=0)  # how many actions are of each of four sorts
    together = np.argsort(kind, kind="stable")
    _, first, size = np.unique(kind[together], return_index=True, return_counts=True)
    place = np.arange(len(kind)) - np.repeat(first, size)  # among those of its kind
    return order[np.sort(together[place < PER_KIND])][:count]


def _ascend(loss: Any, start: Points, gap: float, low: float, high: float) -> Points:
    """A local maximum of the loss near the start, feasible up to the tolerance of SLSQP.

    Every action stays on its side of ratio 1, where total variation jumps; other starts cover the other sides.
    """
    n = len(start[0])
    sides = [(1 + KINK, high) if u > 1 else (low, 1 - KINK) for u in start[2]]
    bounds = np.array([(0, 1)] * n + [(SMALLEST, 1)] * n + sides)

    scale = 1 / max(abs(float(loss(*start))), 1e-3)  # SLSQP expects values of the order of one

    def objective(x: np.ndarray) -> float:
        return -float(loss(*x.reshape(3, n))) * scale

    def slope(x: np.ndarray) -> np.ndarray:
        # central differences, one batch for all coordinates, one-sided at the bounds
        step = 1e-6 * np.maximum(x, 1e-3) * np.eye(len(x))
        up, down = (np.clip(x[:, None] + s, bounds[:, :1], bounds[:, 1:]) for s in (step, -step))
        values = loss(*np.concatenate([up, down], axis=1).reshape(3, n, -1))
        return -(values[: len(x)] - values[len(x) :]) / (up - down).diagonal() * scale

    def constraints(x: np.ndarray) -> np.ndarray:
        r, p, u = x.reshape(3, n)
        return np.array([p.sum() - 1, p @ u - 1, r @ (p * (u - 1)) - gap])

    def jacobian(x: np.ndarray) -> np.ndarray:
        r, p, u = x.reshape(3, n)
        none, one = np.zeros(n), np.ones(n)
        rows = [(none, one, none), (none, u, p), (p * (u - 1), r * (u - 1), r * p)]
        return np.array([np.concatenate(row) for row in rows])

    kinds = [("eq", slice(0, 2)), ("ineq", slice(2, 3))]
    limits: Any = [
        {"type": kind, "fun": lambda x, part=part: constraints(x)[part], "jac": lambda x, part=part: jacobian(x)[part]}
        for kind, part in kinds
    ]
    x = np.clip(np.concatenate(start), bounds[:, 0], bounds[:, 1])
    end = minimize(objective, x, jac=slope, bounds=bounds, constraints=limits, method="SLSQP",
                   options={"maxiter": 120, "ftol": 1e-14}).x  # fmt: skip
    reward, student, ratio = np.clip(end, bounds[:, 0], bounds[:, 1]).reshape(3, n)
    return reward, student, ratio
