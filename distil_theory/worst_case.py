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

An envelope is the curve itself where `h` bends the right way and a chord elsewhere; only the ends of chords that touch
the curve are numerical, found to about 1e-6 of the range, which the value of the chord sees squared. Every answer comes
with the bandit that attains it. For total variation the supremum is approached, not attained, by ratios next to its
kink.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np

from distil_theory.divergences import FDivergence, check_divergence

SAMPLES = 2001
GRID = 1025
KINK = 1e-9
"""How near to a jump at ratio 1 the supremum is taken."""


class WorstCase(NamedTuple):
    """The largest loss and a bandit that attains it: `reward`, `student`, `expert`, each `(A,)`."""

    loss: float
    reward: np.ndarray
    student: np.ndarray
    expert: np.ndarray


class Envelope:
    """Greatest convex minorant of a function on `[low, high]`, with the points that support it.

    Raises:
        ValueError: the function is not finite there.
    """

    def __init__(self, function: Callable[[np.ndarray], np.ndarray], low: float, high: float) -> None:
        self.function = function
        x = np.concatenate([np.geomspace(max(low, high * 1e-6), high, SAMPLES), np.linspace(low, high, SAMPLES)])
        before, after = function(np.array([1 - KINK, 1 + KINK]))
        if low < 1 < high and abs(after - before) > 1e3 * KINK:  # a jump
            x = np.append(x, [1 - KINK, 1, 1 + KINK])
        self._sample(x, low, high)
        corners = [float(self.x[i]) for i in np.flatnonzero(self.chord[:-1] != self.chord[1:]) + 1]
        if corners:  # where chords touch the curve: sample finely around them
            near = 2 * (high - low) / SAMPLES * np.linspace(-1, 1, SAMPLES)
            self._sample(np.concatenate([x, *(corner + near for corner in corners)]), low, high)

    def _sample(self, x: np.ndarray, low: float, high: float) -> None:
        """Vertices `x, y` of the hull of the sampled curve, and whether a chord starts at each."""
        x = np.unique(np.append(x[(x > low) & (x < high)], [low, high]))
        y = self.function(x)
        if not np.isfinite(y).all():
            raise ValueError(f"the function is not finite on [{low}, {high}]")
        slope, noise = np.diff(y) / np.diff(x), 4 * np.finfo(float).eps * abs(y).max() / np.diff(x)
        bend, doubt = np.diff(slope), noise[1:] + noise[:-1]
        if (bend <= doubt).all():
            keep = np.array([0, len(x) - 1])
        else:
            keep = np.arange(len(x)) if (bend >= -doubt).all() else np.array(_lower_hull(x, y))
        self.x, self.y, self.chord = x[keep], y[keep], np.diff(keep) > 1

    def _segment(self, t: np.ndarray) -> np.ndarray:
        return np.clip(np.searchsorted(self.x, t) - 1, 0, len(self.x) - 2)

    def __call__(self, t: np.ndarray) -> np.ndarray:
        """Value of the envelope."""
        if not self.chord.any():
            return self.function(t)
        chord = np.interp(t, self.x, self.y)
        return chord if self.chord.all() else np.where(self.chord[self._segment(t)], chord, self.function(t))

    def support(self, t: float) -> list[tuple[float, float]]:
        """`(point, weight)` pairs with mean `t` and mean value `envelope(t)`."""
        i = int(self._segment(np.array(t)))
        if not self.chord[i]:
            return [(t, 1.0)]
        a, b = float(self.x[i]), float(self.x[i + 1])
        weight = min(max((t - a) / (b - a), 0.0), 1.0)
        return [(x, w) for x, w in ((a, 1 - weight), (b, weight)) if w > 1e-12]


def _lower_hull(x: np.ndarray, y: np.ndarray) -> list[int]:
    """Indices of the lower convex hull of points sorted by `x` (Andrew's monotone chain)."""
    points = list(zip(x.tolist(), y.tolist(), strict=True))
    keep: list[int] = []
    for i, (xi, yi) in enumerate(points):
        while len(keep) > 1:
            (xj, yj), (xk, yk) = points[keep[-2]], points[keep[-1]]
            if (xk - xj) * (yi - yj) > (yk - yj) * (xi - xj):
                break
            keep.pop()
        keep.append(i)
    return keep


def largest_gap(low: float, high: float) -> float:
    """The largest `J* - J` with ratios in `[low, high]` and rewards in [0, 1]: `(M-1)(1-m)/(M-m)`."""
    if not (np.isfinite(high) and 0 <= low < 1 < high):
        raise ValueError(f"ratios must have 0 <= m < 1 < M < inf, not m = {low}, M = {high}")
    return (high - 1) * (1 - low) / (high - low)


class Curve:
    """`W` as a function of the gap, for one divergence and one range of ratios.

    Args:
        divergence: the objective.
        low, high: `m` and `M`, `0 <= m < 1 < M`.
        eta: size of the step; `None` means a small step, and losses are per unit of `eta`.

    Raises:
        ValueError: a range or a step that no bandit has.
    """

    def __init__(self, divergence: FDivergence, low: float, high: float, eta: float | None = None) -> None:
        check_divergence(divergence)
        self.low, self.high, self.eta, self.most = float(low), float(high), eta, largest_gap(low, high)
        if eta is not None and not (np.isfinite(eta) and eta > 0):
            raise ValueError(f"eta must be positive and finite, or None for a small step, not {eta}")
        self.infinite = low == 0 and divergence.needs_expert_support and eta is None
        """A right answer that the expert never gives is pushed away infinitely hard."""
        self.divergence = divergence

    def score(self, u: np.ndarray) -> np.ndarray:
        """`h(u)`, or `K(u) = exp(eta h(u))` up to a factor."""
        h = self.divergence.h(np.asarray(u, dtype=float))
        return h if self.eta is None else np.exp(self.eta * (h - self.divergence.h(np.array([self.high]))))

    @cached_property
    def below(self) -> Envelope:
        """Convex envelope of the score."""
        return Envelope(self.score, self.low, self.high)

    @cached_property
    def above(self) -> Envelope:
        """The negative of the concave envelope of the score."""
        return Envelope(lambda u: -self.score(u), self.low, self.high)

    def _levels(self, p: np.ndarray, gap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Least mean score of the rewarded actions and greatest of the others, the mass of the former being `p`."""
        a, b = (np.clip(t, self.low, self.high) for t in (1 + gap / p, 1 - gap / (1 - p)))
        return self.below(a), -self.above(b)

    def _loss(self, p: np.ndarray, gap: np.ndarray) -> np.ndarray:
        rewarded, unrewarded = self._levels(p, gap)
        size = 1 if self.eta is None else p * rewarded + (1 - p) * unrewarded
        return p * (1 - p) * (unrewarded - rewarded) / size

    def _check(self, gap: np.ndarray | float) -> np.ndarray:
        gaps = np.asarray(gap, dtype=float)
        if not ((gaps > 0) & (gaps <= self.most * (1 + 1e-12))).all():
            raise ValueError(
                f"gap must lie in (0, {self.most:.6g}], the largest with ratios in [{self.low}, {self.high}], not {gap}"
            )
        return np.minimum(gaps, self.most).ravel()

    def _best(self, gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The mass of rewarded actions with the largest loss, and that loss."""
        first = gaps / (self.high - 1)
        last = np.maximum(first, 1 - gaps / (1 - self.low))
        return _maximise(lambda p: self._loss(p, gaps[:, None]), first, last)

    def loss(self, gap: np.ndarray | float) -> np.ndarray:
        """`W` at each gap; negative where every such step gains, `inf` if the expert may abandon a right answer.

        Raises:
            ValueError: a gap outside `(0, largest_gap(low, high)]`.
        """
        gaps = self._check(gap)
        out = np.full(gaps.shape, np.inf) if self.infinite else self._best(gaps)[1]
        return out.reshape(np.shape(gap))

    def worst(self, gap: float) -> WorstCase:
        """`W` at one gap with a bandit that attains it (an empty one where `W` is infinite)."""
        gaps = self._check(gap)
        if self.infinite:
            return WorstCase(np.inf, *(np.empty(0),) * 3)
        delta = float(gaps[0])
        p, loss = (float(x[0]) for x in self._best(gaps))
        groups = [(1.0, p, self.below.support(1 + delta / p)), (0.0, 1 - p, self.above.support(1 - delta / (1 - p)))]
        actions = [(r, mass * weight, u) for r, mass, points in groups for u, weight in points]
        reward, student, ratio = (np.array(column) for column in zip(*actions, strict=True))
        return WorstCase(loss, reward, student, student * ratio)

    def safe_gap(self) -> float:
        """`delta*(m, M)`: an expert better by at least this much cannot mislead.

        For each `p` the loss falls with the gap; the safe gap is the largest of its zeros. Forward KL has 0; where
        nothing less is safe (reverse KL with `m = 0`) it is the largest possible gap.
        """
        if self.infinite:
            return self.most

        def zero(p: np.ndarray) -> np.ndarray:
            low, high = np.zeros_like(p), np.minimum(p * (self.high - 1), (1 - p) * (1 - self.low))
            for _ in range(50):
                middle = (low + high) / 2
                rewarded, unrewarded = self._levels(p, middle)
                hurts = unrewarded - rewarded > 1e-15 * (abs(rewarded) + abs(unrewarded))
                low, high = np.where(hurts, middle, low), np.where(hurts, high, middle)
            return low

        return float(_maximise(zero, np.array([1e-9]), np.array([1 - 1e-9]), grid=129, rounds=4)[1][0])


def _maximise(
    f: Callable[[np.ndarray], np.ndarray], first: np.ndarray, last: np.ndarray, grid: int = GRID, rounds: int = 9
) -> tuple[np.ndarray, np.ndarray]:
    """Arguments and values of the maxima of a batch of functions on `[first, last]`, by grids that close in."""
    rows, n = np.arange(len(first)), grid
    for _ in range(rounds):
        p = first[:, None] + (last - first)[:, None] * np.linspace(0, 1, n)
        value = f(p)
        best = value.argmax(axis=1)
        found = p[rows, best], value[rows, best]
        first, last, n = p[rows, np.maximum(best - 1, 0)], p[rows, np.minimum(best + 1, n - 1)], 17
    return found


def worst_loss(divergence: FDivergence, gap: float, low: float, high: float, eta: float | None = None) -> WorstCase:
    """The largest loss of one natural step over all bandits with `J* - J >= gap` and ratios in `[low, high]`.

    Arguments and errors as for `Curve` and its `worst`.
    """
    return Curve(divergence, low, high, eta).worst(gap)


def safe_gap(divergence: FDivergence, low: float, high: float) -> float:
    """`delta*(m, M)`: if the expert is better by at least this much, no small natural step of the divergence can hurt.

    Raises:
        ValueError: no range `0 <= m < 1 < M`.
    """
    return Curve(divergence, low, high).safe_gap()
