"""Convex envelopes of functions of one variable: the greatest convex minorant, and the points that support it.

The envelope is the curve itself where it bends the right way and a chord elsewhere. Only the ends of chords that touch
the curve are numerical; they are found to a small fraction of a sample, and the value of a chord sees that squared.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SAMPLES, COARSE = 2001, 129
LONG = 8
"""A chord that skips more samples than this is refined at its ends; shorter ones may be rounding."""
SPACING = 5e-10
"""Least distance between samples, relative."""
KINK = 1e-9
"""How near to a jump at 1 the supremum is taken."""


class Envelope:
    """Greatest convex minorant of a function on `[low, high]`, with the points that support it.

    Raises:
        ValueError: the function is not finite there.
    """

    def __init__(self, function: Callable[[np.ndarray], np.ndarray], low: float, high: float) -> None:
        self.function = function
        bends = self._bends(low, high)
        if bends:  # one chord, or the curve itself
            self.x, self.chord = np.array([low, high]), np.array([bends < 0])
            self.y = function(self.x)
            return
        near_one = np.clip([low, 1, 4], low, high)
        pieces: list[tuple[float, float]] = [(low, high), (near_one[0], near_one[1]), (near_one[1], near_one[2])]
        x = np.geomspace(max(low, 1e-12 * high), high, SAMPLES)
        x = np.concatenate([x, *(np.linspace(start, end, SAMPLES) for start, end in pieces)])
        if low < 1 < high:
            before, after, first, last = function(np.array([1 - KINK, 1 + KINK, low, high]))
            if abs(after - before) > 1e-6 * abs(last - first):  # a jump
                x = np.append(x, [1 - KINK, 1, 1 + KINK])
        x = self._sample(x, low, high)
        at = np.searchsorted(x, self.x)
        long = np.diff(at) > LONG
        corners = at[np.unique(np.concatenate([np.flatnonzero(long), np.flatnonzero(long) + 1]))]
        fine = [np.linspace(x[max(i - 2, 0)], x[min(i + 2, len(x) - 1)], SAMPLES) for i in corners]
        if fine:  # where chords touch the curve: sample finely around them
            self._sample(np.concatenate([x, *fine]), low, high)

    def _bends(self, low: float, high: float) -> int:
        """1 for a convex, -1 for a concave function, 0 for one that does both; a line counts as convex."""
        x = np.unique(
            np.concatenate([np.linspace(low, high, COARSE), np.geomspace(max(low, 1e-12 * high), high, COARSE)])
        )
        y = self.function(x)
        if not np.isfinite(y).all():
            raise ValueError(f"the function is not finite on [{low}, {high}]")
        slope, noise = np.diff(y) / np.diff(x), 4 * np.finfo(float).eps * abs(y).max() / np.diff(x)
        bend, doubt = np.diff(slope), noise[1:] + noise[:-1]
        return 1 if (bend >= -doubt).all() else -1 if (bend <= doubt).all() else 0

    def _sample(self, x: np.ndarray, low: float, high: float) -> np.ndarray:
        """Vertices `x, y` of the hull of the sampled curve, and whether a chord starts at each; returns the samples."""
        x = np.unique(x[(x > low) & (x < high)])
        x = x[
            np.diff(x, prepend=low) > SPACING * x
        ]  # the slope between closer points is rounding, and misleads the hull
        x = np.concatenate([[low], x[x < high * (1 - SPACING)], [high]])
        y = self.function(x)
        keep = np.array(_lower_hull(x, y))
        self.x, self.y, self.chord = x[keep], y[keep], np.diff(keep) > 1
        return x

    def _segment(self, t: np.ndarray) -> np.ndarray:
        return np.clip(np.searchsorted(self.x, t) - 1, 0, len(self.x) - 2)

    def __call__(self, t: np.ndarray) -> np.ndarray:
        """Value of the envelope."""
        if not self.chord.any():
            return self.function(t)
        chord = np.interp(t, self.x, self.y)
        return chord if self.chord.all() else np.where(self.chord[self._segment(t)], chord, self.function(t))

    def support(self, t: float, least: float = 0.0) -> list[tuple[float, float]]:
        """`(point, weight)` pairs with mean `t` and mean value `envelope(t)`; weights up to `least` are dropped."""
        i = int(self._segment(np.array(t)))
        if not self.chord[i]:
            return [(t, 1.0)]
        a, b = float(self.x[i]), float(self.x[i + 1])
        weight = min(max((t - a) / (b - a), 0.0), 1.0)
        return [(x, w) for x, w in ((a, 1 - weight), (b, weight)) if w > least]


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
