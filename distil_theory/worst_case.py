r"""The price of the wrong divergence: how much can one natural step lower the reward? (THEORY claim 14)

Let the expert be better by at least `delta`, all ratios `u = pi*/pi` lie in `[m, M]` with `m < 1 < M`, rewards in [0,
1]. Splitting actions makes rewards 0 or 1. With `p` the student's mass on rewarded actions, and `a`, `b` the mean
ratios of rewarded and unrewarded ones, `p a + (1-p) b = 1`, the gap is `p (a - 1)` and the rate of a small natural
step

    Cov_pi(r, h(u)) = p (1-p) ( E[h | rewarded] - E[h | unrewarded] ).

Given the means, the first expectation is at least the convex envelope of `h` on `[m, M]` at `a`, the second at most
the concave envelope at `b`, and both are attained by two-point distributions. So the worst loss per unit step is

    W = max_p  p (1-p) [ hhat(1 - delta/(1-p)) - hcheck(1 + delta/p) ],      delta/(M-1) <= p <= 1 - delta/(1-m),

a maximum over one number. A finite step `eta` replaces `h` by `K = exp(eta h)` and divides by `p Kcheck(a) + (1-p)
Khat(b)`. For concave `h` (reverse KL, Jensen-Shannon, Hellinger) the worst bandit has three actions: two rewarded,
one of them nearly abandoned by the expert and one over-weighted, and one unrewarded near the ratio 1: the teaching
instance is the generic worst case.

An envelope is a chord or the curve itself where `h` is concave or convex, exactly; otherwise it is that of `SAMPLES`
points. Every answer comes with the bandit that attains it. For total variation the supremum is approached, not
attained, by ratios next to its kink.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from distil_theory.divergences import FDivergence

SAMPLES = 4001
GRID = 2001


class WorstCase(NamedTuple):
    """The largest loss and a bandit that attains it: `reward`, `student`, `expert`, each `(A,)`."""

    loss: float
    reward: np.ndarray
    student: np.ndarray
    expert: np.ndarray


class Envelope:
    """Greatest convex minorant of a function on `[low, high]`, with the points that support it."""

    def __init__(self, function: Callable[[np.ndarray], np.ndarray], low: float, high: float) -> None:
        near_zero, kink = np.geomspace(max(low, high * 1e-6), high, SAMPLES), [1 - 1e-9, 1, 1 + 1e-9]
        x = np.unique(np.concatenate([near_zero, np.linspace(low, high, SAMPLES), kink]))
        x = x[(x >= low) & (x <= high)]
        y = function(x)
        if not np.isfinite(y).all():
            raise ValueError(f"the function is not finite on [{low}, {high}]")
        slope = np.diff(y) / np.diff(x)
        tolerance = 1e-6 * np.abs(slope).max()
        self.function = function
        self.convex = bool((np.diff(slope) >= -tolerance).all())
        concave = bool((np.diff(slope) <= tolerance).all())
        self.x, self.y = (x[[0, -1]], y[[0, -1]]) if concave else (x, y) if self.convex else _lower_hull(x, y)

    def __call__(self, t: np.ndarray) -> np.ndarray:
        """Value of the envelope."""
        return self.function(t) if self.convex else np.interp(t, self.x, self.y)

    def support(self, t: float) -> list[tuple[float, float]]:
        """`(point, weight)` pairs with mean `t` and mean value `envelope(t)`."""
        if self.convex:
            return [(t, 1.0)]
        right = int(np.clip(np.searchsorted(self.x, t), 1, len(self.x) - 1))
        a, b = self.x[right - 1], self.x[right]
        weight = min(max((t - a) / (b - a), 0.0), 1.0)
        return [(x, w) for x, w in ((float(a), 1 - weight), (float(b), weight)) if w > 0]


def _lower_hull(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices of the lower convex hull of points sorted by `x` (Andrew's monotone chain)."""
    keep: list[int] = []
    for i in range(len(x)):
        while len(keep) > 1:
            j, k = keep[-2], keep[-1]
            if (x[k] - x[j]) * (y[i] - y[j]) > (y[k] - y[j]) * (x[i] - x[j]):
                break
            keep.pop()
        keep.append(i)
    return x[keep], y[keep]


def largest_gap(low: float, high: float) -> float:
    """The largest `J* - J` with ratios in `[low, high]` and rewards in [0, 1]: `(M-1)(1-m)/(M-m)`."""
    if not (np.isfinite(high) and 0 <= low < 1 < high):
        raise ValueError(f"ratios must have 0 <= m < 1 < M < inf, not m = {low}, M = {high}")
    return (high - 1) * (1 - low) / (high - low)


def worst_loss(divergence: FDivergence, gap: float, low: float, high: float, eta: float | None = None) -> WorstCase:
    """The largest loss of one natural step over all bandits with `J* - J >= gap` and ratios in `[low, high]`.

    Args:
        divergence: the objective.
        gap: `delta`, in `(0, largest_gap(low, high)]`.
        low, high: `m` and `M`, `0 <= m < 1 < M`.
        eta: size of the step; `None` means a small step, and the loss is per unit of `eta`.

    Returns:
        The loss (negative if every such step gains) with a bandit that attains it; `inf` and an empty bandit where
        `h(0+) = -inf` and `m = 0`.

    Raises:
        ValueError: a range, gap or step that no bandit has.
    """
    most = largest_gap(low, high)
    if not 0 < gap <= most * (1 + 1e-12):
        raise ValueError(f"gap must lie in (0, {most:.6g}], the largest with ratios in [{low}, {high}], not {gap}")
    if eta is not None and not (np.isfinite(eta) and eta > 0):
        raise ValueError(f"eta must be positive and finite, or None for a small step, not {eta}")
    if low == 0 and divergence.needs_expert_support and eta is None:
        return WorstCase(np.inf, *(np.empty(0),) * 3)

    def curve(u: np.ndarray) -> np.ndarray:
        h = divergence.h(np.asarray(u, dtype=float))
        return h if eta is None else np.exp(eta * (h - divergence.h(np.array([float(high)]))))

    below, above = Envelope(curve, low, high), Envelope(lambda u: -curve(u), low, high)

    def loss(p: np.ndarray) -> np.ndarray:
        a, b = np.clip(1 + gap / p, low, high), np.clip(1 - gap / (1 - p), low, high)
        rewarded, unrewarded = below(a), -above(b)
        size = 1 if eta is None else p * rewarded + (1 - p) * unrewarded
        return p * (1 - p) * (unrewarded - rewarded) / size

    first, last = gap / (high - 1), 1 - gap / (1 - low)
    grid = np.linspace(first, max(first, last), GRID)
    best = int(np.argmax(loss(grid)))
    left, right = grid[max(best - 1, 0)], grid[min(best + 1, GRID - 1)]
    p = float(grid[best])
    if right > left:
        found = minimize_scalar(lambda t: -loss(np.array([t]))[0], bounds=(left, right), method="bounded",
                                options={"xatol": 1e-13})  # fmt: skip
        p = float(found.x) if -found.fun > loss(grid[best : best + 1])[0] else p
    groups = [(1.0, p, below.support(1 + gap / p)), (0.0, 1 - p, above.support(1 - gap / (1 - p)))]
    actions = [(r, mass * weight, u) for r, mass, points in groups for u, weight in points]
    reward, student, ratio = (np.array(column) for column in zip(*actions, strict=True))
    return WorstCase(float(loss(np.array([p]))[0]), reward, student, student * ratio)


def safe_gap(divergence: FDivergence, low: float, high: float) -> float:
    """`delta*(m, M)`: if the expert is better by at least this much, no small natural step of the divergence can hurt.

    Returns:
        0 for forward KL (always safe), the largest possible gap where nothing less is safe (reverse KL with `m = 0`).

    Raises:
        ValueError: no range `0 <= m < 1 < M`.
    """
    most = largest_gap(low, high)
    smallest = 1e-12 * most

    def worst(gap: float) -> float:
        return worst_loss(divergence, gap, low, high).loss

    if not np.isfinite(worst(most / 2)):
        return most
    return 0.0 if worst(smallest) <= 0 else float(brentq(worst, smallest, most, xtol=1e-12 * most))
