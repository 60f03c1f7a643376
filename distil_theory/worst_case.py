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

Every answer comes with the bandit that attains it, or an error if floats cannot hold its masses. For total variation
the supremum is approached, not attained, by ratios next to its kink.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np

from distil_theory.divergences import FDivergence, check_divergence
from distil_theory.envelope import Envelope
from distil_theory.point import covariance

GRID = 3 * 385
LARGEST_EXPONENT = 600.0
"""`K = exp(eta h)` may grow by this many powers of e from ratio 1 to `M`: more is beyond floats."""


class WorstCase(NamedTuple):
    """The largest loss and a bandit that attains it: `reward`, `student`, `expert`, each `(A,)`."""

    loss: float
    reward: np.ndarray
    student: np.ndarray
    expert: np.ndarray


def largest_gap(low: float, high: float) -> float:
    """The largest `J* - J` with ratios in `[low, high]` and rewards in [0, 1]: `(M-1)(1-m)/(M-m)`."""
    if not (np.isfinite(high) and 0 <= low < 1 < high):
        raise ValueError(f"ratios must have 0 <= m < 1 < M < inf, not m = {low}, M = {high}")
    return (high - 1) * (1 - low) / (high - low)


def natural_loss(
    h: Callable[[np.ndarray], np.ndarray], eta: float | None, reward: np.ndarray, student: np.ndarray, ratio: np.ndarray
) -> np.ndarray:
    """`J(pi) - J(pi_eta)`, or its derivative at 0 if `eta` is None, of bandits `(A, n)` or `(A,)`, by definition."""
    score = h(ratio)
    if eta is None:
        return -covariance(student, reward, score, axis=0)
    new = student * np.exp(eta * (score - score.max(axis=0)))
    return (student * reward).sum(axis=0) - (new * reward).sum(axis=0) / new.sum(axis=0)


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
        if eta is not None and eta * self._h(np.array([self.high]))[0] > LARGEST_EXPONENT:
            raise ValueError(
                f"eta = {eta} is too large: exp(eta h) grows by more than e^{LARGEST_EXPONENT:.0f} up to M"
            )

    def _h(self, u: np.ndarray) -> np.ndarray:
        return self.divergence.h(u) - self.divergence.h(np.ones(1))

    def score(self, u: np.ndarray) -> np.ndarray:
        """`h(u)`, or `K(u) = exp(eta h(u))` up to a factor."""
        h = self._h(np.asarray(u, dtype=float))
        return h if self.eta is None else np.exp(self.eta * (h - self._h(np.array([self.high]))))

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

    def check(self, gap: np.ndarray | float) -> np.ndarray:
        """The gaps as a flat array; `ValueError` unless each lies in `(0, largest_gap(low, high)]`, up to rounding."""
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
        gaps = self.check(gap)
        # at the largest gap only wrong answers are abandoned
        out = np.where(gaps < self.most, np.inf, -np.inf) if self.infinite else self._best(gaps)[1]
        return out.reshape(np.shape(gap))

    def worst(self, gap: float) -> WorstCase:
        """`W` at one gap with a bandit that attains it (an empty one where `W` is infinite).

        Raises:
            ArithmeticError: floats cannot hold the masses of such a bandit: the value is approached, not attained.
        """
        delta = float(self.check(gap)[0])
        if self.infinite:
            return WorstCase(float(self.loss(gap)), *(np.empty(0),) * 3)
        p, loss = (float(x[0]) for x in self._best(np.array([delta])))
        for least in (1e-12, 0.0):  # an action of no weight is left out, if it has none
            right = [(1.0, p * w, u) for u, w in self.below.support(1 + delta / p, least)]
            wrong = [(0.0, (1 - p) * w, u) for u, w in self.above.support(1 - delta / (1 - p), least)]
            reward, student, ratio = (np.array(column) for column in zip(*right, *wrong, strict=True))
            if self._attains(loss, delta, reward, student, ratio):
                return WorstCase(loss, reward, student, student * ratio)
        raise ArithmeticError(
            f"the loss {loss:.6g} is approached by masses that floats cannot balance: a smaller eta or M?"
        )

    def _attains(self, loss: float, gap: float, reward: np.ndarray, student: np.ndarray, ratio: np.ndarray) -> bool:
        own = natural_loss(self.divergence.h, self.eta, reward, student, ratio)
        size = 1.0 if self.eta is not None else max(1.0, float(student @ abs(self.score(ratio))))
        tight = abs(student.sum() - 1) < 1e-12 and abs(student @ ratio - 1) < 1e-12
        return bool(
            tight and abs(own - loss) < 1e-9 * size and abs((reward * student) @ (ratio - 1) - gap) < 1e-9 * gap + 1e-12
        )

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

        kink = (1 - self.low) / (self.high - self.low)  # where the largest gap of a mass p has its maximum
        parts = [_maximise(zero, np.array([a]), np.array([b]), grid=129, rounds=5)[1][0] for a, b in
                 ((kink * 1e-9, kink), (kink, 1 - (1 - kink) * 1e-9))]  # fmt: skip
        return float(max(parts))


def _maximise(
    f: Callable[[np.ndarray], np.ndarray], first: np.ndarray, last: np.ndarray, grid: int = GRID, rounds: int = 9
) -> tuple[np.ndarray, np.ndarray]:
    """Arguments and values of the maxima of a batch of functions of `0 < p < 1` on `[first, last]`, by grids that close
    in; the first is linear and geometric towards either end."""
    rows, low, high = np.arange(len(first)), first[:, None], last[:, None]
    t = np.linspace(0, 1, grid // 3)
    up, down = low * (high / low) ** t, 1 - (1 - high) * ((1 - low) / (1 - high)) ** t
    p = np.sort(
        np.concatenate([low + (high - low) * t, np.clip(up, low, high), np.clip(down, low, high)], axis=1), axis=1
    )
    for _ in range(rounds):
        value = f(p)
        best = value.argmax(axis=1)
        found = p[rows, best], value[rows, best]
        low, high = p[rows, np.maximum(best - 1, 0)], p[rows, np.minimum(best + 1, p.shape[1] - 1)]
        p = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, 17)
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
