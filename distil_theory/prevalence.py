r"""How often does a step lower the reward although the expert is better? (THEORY claims 5 and 7d)

Bandits are drawn with `pi, pi* ~ Dirichlet(1)` and rewards iid uniform on [0, 1], conditioned on `J* > J`. The law
of the rewards is the same after `r -> 1 - r`, which flips the sign of `J* - J`: so instead of rejecting half of
the draws we flip them, and every draw counts.

A step fails iff `<dJ/d theta, x> < 0`, where `dJ/d theta = pi (r - J)` and `x` is the *motion* of the logits: `h_f(u)`
for a *small natural step* (claim 1). *A natural step of size eta* moves to `pi exp(eta h_f(u)) / Z` and fails iff the
same holds for `x = exp(eta h_f(u))` (claim 7d). With `x = u` it is the gap `J* - J`.

A sign that floats cannot decide is decided in ball arithmetic, on the very floats that were drawn, read as rationals
and normalised. (Given columns that sum to one only to 1e-9 are the same bandits only to 1e-9, too.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import validate
from distil_theory.divergences import FORWARD_KL, named
from distil_theory.number_systems import Array
from distil_theory.point import check_geometry

CHUNK = 16_384
"""Instances worked on at a time: small enough to stay in the cache. Part of the definition of a draw."""
UNDECIDED = 1e-12
"""Signs of sums below this fraction of their largest term are decided again, rigorously."""
BITS = 256


@dataclass(frozen=True, eq=False)
class Bandits:
    """Bandits with a student and an expert each; arrays `(A, n)` of any number system."""

    reward: Array
    student: Array
    expert: Array

    @cached_property
    def ratio(self) -> Array:
        """`u = pi*/pi`."""
        return self.expert / self.student

    @cached_property
    def gradient(self) -> Array:
        """`dJ/d theta = pi (r - J)`."""
        advantage = self.reward - _dot(self.student, self.reward)
        advantage *= self.student
        return advantage

    @cached_property
    def gap(self) -> Array:
        """`J* - J`, shape `(n,)`."""
        return _dot(self.gradient, self.ratio)

    @cached_property
    def extremes(self) -> tuple[float, np.ndarray]:
        """The largest reward in size; the smallest and the largest ratio. Floats only."""
        return max(self.reward.max(), -self.reward.min()), np.array([self.ratio.min(), self.ratio.max()])


@dataclass(frozen=True)
class Step:
    """A small step (`eta = None`), or a natural step of size `eta`, on the divergence with the score `h`."""

    h: Callable[[Array], Array]
    geometry: str = "natural"
    eta: float | Fraction | None = None

    def motion(self, bandits: Bandits) -> Array:
        """`x (A, n)`, up to a positive factor and a constant per bandit: the step fails iff `<dJ/d theta, x> < 0`."""
        score = self.h(bandits.ratio)
        if self.eta is not None:
            exponent = ns.scale(score, self.eta)
            return ns.exp(exponent - ns.amax(exponent, 0))
        return bandits.student * (score - _dot(bandits.student, score)) if self.geometry == "euclidean" else score

    def bound(self, bandits: Bandits) -> float:
        """The size that no entry of the motion exceeds twice: `h` never decreases, so its ends are enough."""
        return 1.0 if self.eta is not None else abs(self.h(bandits.extremes[1])).max()

    def change(self, bandits: Bandits) -> Array:
        """`<dJ/d theta, motion>`, shape `(n,)`: the rate of a small natural or Euclidean step; else its sign counts."""
        return _dot(bandits.gradient, self.motion(bandits))

    def condition(self, bandits: Bandits) -> float:
        """By how much the motion may magnify rounding, beyond what `UNDECIDED` has room for: `exp` does by `eta h`."""
        return 1.0 if self.eta is None else max(1.0, 1e-3 * self.eta * abs(self.h(bandits.extremes[1])).max())


def _dot(x: Array, y: Array) -> Array:
    return ns.einsum("an,an->n", x, y)


def small_step(divergence: str, geometry: str) -> Step:
    """One small step: fails iff the first-order change of the return is negative (claim 1)."""
    check_geometry(geometry)
    return Step(named(divergence).h, "euclidean" if geometry == "euclidean" else "natural")


def natural_step(divergence: str, eta: float) -> Step:
    """A natural step of size `eta > 0`: fails iff `Cov_pi(r, exp(eta h)) < 0` (claim 7d)."""
    h = named(divergence).h
    if not (np.isfinite(eta) and eta > 0):
        raise ValueError(f"eta must be positive and finite, not {eta!r}")
    return Step(h, eta=eta)


def draws(actions: int, n: int, seed: int, block: int = 0) -> Iterator[Bandits]:
    """`n` bandits with a better expert, in chunks of at most `CHUNK`; the stream depends on `(seed, actions, block)`.

    Raises:
        ValueError: fewer than two actions (no expert could be better), no draws, a negative seed.
    """
    actions, n = validate.whole("actions", actions, 2), validate.whole("n", n, 1)
    entropy = [validate.whole("seed", seed, 0), actions, validate.whole("block", block, 0)]
    rng = np.random.Generator(np.random.SFC64(entropy))
    for start in range(0, n, CHUNK):
        size = (actions, min(CHUNK, n - start))
        reward, student, expert = rng.random(size), _dirichlet(rng, size), _dirichlet(rng, size)
        worse = _dot(reward, expert) < _dot(reward, student)
        # 1 - r where the expert is worse: |w - r| with w = 0 or 1
        np.abs(np.subtract(worse, reward, out=reward), out=reward)
        yield Bandits(reward, student, expert)


def _dirichlet(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Columns from Dirichlet(1): normalised exponentials."""
    x = rng.random(size)
    np.log(np.subtract(1, x, out=x), out=x)  # 1 - x lies in (0, 1]
    x /= x.sum(axis=0)
    return x


def pieces(reward: np.ndarray, student: np.ndarray, expert: np.ndarray) -> Iterator[Bandits]:
    """Given float arrays `(A, n)` in chunks of at most `CHUNK`.

    Raises:
        ValueError: shapes differ, a reward is not finite, a column is no distribution or the student has a zero; a
            chunk is checked when its turn comes.
    """
    arrays = [np.asarray(x, dtype=float) for x in (reward, student, expert)]
    for what, x in zip(("reward", "student", "expert"), arrays, strict=True):
        validate.shape(what, x, [None, None] if what == "reward" else arrays[0].shape, ["a", "n"])
    for start in range(0, arrays[0].shape[1], CHUNK):
        chunk = Bandits(*(x[:, start : start + CHUNK] for x in arrays))
        with np.errstate(divide="ignore", invalid="ignore"):
            if not _valid(chunk):
                _refuse(chunk, start)
        yield chunk


def _valid(bandits: Bandits) -> bool:
    """The common case, read as few times as possible; NaN fails every comparison."""
    largest, (low, high) = bandits.extremes
    totals = [p.sum(axis=0) for p in (bandits.student, bandits.expert)]
    near_one = all(max(total.max() - 1, 1 - total.min()) <= validate.TOLERANCE for total in totals)
    return bool(near_one and bandits.student.min() > 0 and low >= 0 and largest * high < np.inf)


def _refuse(bandits: Bandits, start: int) -> None:
    axes = ["a", "n"]
    try:
        validate.finite("reward", bandits.reward, axes)
        validate.distribution("student", bandits.student, axes, 0)
        validate.distribution("expert", bandits.expert, axes, 0)
        validate.positive("student", bandits.student, axes, "the ratio expert/student must exist")
    except ValueError as bad:
        raise ValueError(f"in the columns from {start} on: {bad}") from None


GAP = Step(FORWARD_KL.h)
"""The step whose change is the gap `J* - J` (claim 2)."""


def _judge(step: Step, bandits: Bandits) -> tuple[np.ndarray, np.ndarray]:
    """The change of each bandit, and the indices of those where floats cannot tell its sign."""
    motion = step.motion(bandits)
    value, condition = _dot(bandits.gradient, motion), step.condition(bandits)
    # first against a bound for the whole chunk; what that leaves open, against the terms of the bandit itself, and
    # against the rounding of a score, of the order of one, that nearly vanishes
    size, coarse = abs(value), UNDECIDED * condition * bandits.extremes[0] * max(step.bound(bandits), 1.0)
    if size.min() > coarse:
        return value, np.empty(0, dtype=int)
    unclear = np.flatnonzero(~(size > coarse))
    largest = abs(bandits.reward[:, unclear]).max(axis=0)
    terms = UNDECIDED * condition * _dot(bandits.student[:, unclear], abs(motion[:, unclear])) + 1e-15
    return value, unclear[~(size[unclear] > largest * terms)]


def signs(step: Step, bandits: Bandits, exact: Bandits | None = None) -> np.ndarray:
    """Sign of the first-order change of each bandit: -1, 0 or 1; near zero by ball arithmetic.

    Args:
        step: what to decide.
        bandits: `(A, n)`, floats.
        exact: what the floats stand for (weights proportional to the probabilities); default: the floats themselves.

    Distributions are normalised exactly before they are decided. A ball around zero narrower than 1e-30 counts as 0.

    Raises:
        ArithmeticError: a ball contains zero and is wider than that.
    """
    value, undecided = _judge(step, bandits)
    out = np.sign(value).astype(np.int8)
    for i in undecided:
        out[i] = _exactly(step, exact or bandits, i)
    return out


def _exactly(step: Step, bandits: Bandits, i: int) -> int:
    columns = (x[:, i] for x in (bandits.reward, bandits.student, bandits.expert))
    return exact_sign(step, *(ns.convert(x, "rational") for x in columns))


def exact_sign(step: Step, reward: Array, student: Array, expert: Array) -> int:
    """Sign for one rational instance `(A,)`; 0 also where the expert turns out not to be better."""
    student, expert = student / student.sum(), expert / expert.sum()
    if (reward * (expert - student)).sum() <= 0:
        return 0
    columns = [x[:, None] for x in (reward, student, expert)]
    try:
        (value,) = step.change(Bandits(*columns))
        return int(value > 0) - int(value < 0)
    except TypeError:  # the score is not rational
        with ns.precision(BITS):
            (ball,) = step.change(Bandits(*(ns.convert(x, "ball") for x in columns)))
    if ball > 0 or ball < 0:
        return 1 if ball > 0 else -1
    if not ball.rad() < 1e-30:
        raise ArithmeticError(f"the sign of {ball} is not decided by {BITS} bits")
    return 0


def count_failures(steps: Sequence[Step], blocks: Iterable[Bandits]) -> np.ndarray:
    """How many of the bandits with a better expert each step harms, one count per step.

    Args:
        steps: from `small_step` or `natural_step`.
        blocks: `draws(...)`, or `pieces(...)` of your own arrays.
    """
    counts = np.zeros(len(steps), dtype=int)
    for bandits in blocks:
        gap, unclear = _judge(GAP, bandits)
        better = gap > 0
        better[unclear] = True  # closer than floats can tell: decided below, if it matters
        for k, step in enumerate(steps):
            value, undecided = _judge(step, bandits)
            failed = (value < 0) & better
            counts[k] += np.count_nonzero(failed)
            for i in {*undecided, *unclear[failed[unclear]]}:
                counts[k] += (_exactly(step, bandits, i) < 0) - int(failed[i])
    return counts


def wilson(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion."""
    from scipy.stats import binomtest  # here, for it is half of the time that the whole library takes to import

    low, high = binomtest(count, n).proportion_ci(confidence, method="wilson")
    return float(low), float(high)
