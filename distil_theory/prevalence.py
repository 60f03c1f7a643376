r"""How often does a step lower the reward although the expert is better? (THEORY claims 5 and 7d)

Bandits are drawn with `pi, pi* ~ Dirichlet(1)` and rewards iid uniform on [0, 1], conditioned on `J* > J`. The law
of the rewards is the same after `r -> 1 - r`, which flips the sign of `J* - J`: so instead of rejecting half of
the draws we flip them, and every draw counts.

*Small steps* fail where the first-order change of claim 1 is negative. *A natural step of size eta* moves to
`pi exp(eta h_f(u)) / Z` and fails iff `Cov_pi(r, K(u)) < 0` with `K = exp(eta h_f)` (claim 7d).

A sign that floats cannot decide is decided in ball arithmetic, on the very floats that were drawn, read as rationals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

from distil_theory import number_systems as ns
from distil_theory import validate
from distil_theory.divergences import BY_NAME, FDivergence
from distil_theory.number_systems import Array
from distil_theory.objectives import check_geometry, covariance

CHUNK = 16_384
"""Instances worked on at a time: small enough to stay in the cache. Part of the definition of a draw."""
UNDECIDED = 1e-12
"""Margins below this fraction of their largest term are decided again, rigorously."""
BITS = 256

Margin = Callable[[Array, Array, Array], tuple[Array, Array]]
"""`(reward, student, expert)`, each `(A, n)`, to the margin `(n,)` and the size of its terms `(n,)`."""


class Draw(NamedTuple):
    """Bandits `(A, n)` in which the expert is better."""

    reward: np.ndarray
    student: np.ndarray
    expert: np.ndarray


def draws(actions: int, n: int, seed: int, block: int = 0) -> Iterator[Draw]:
    """`n` bandits in chunks of at most `CHUNK`; the stream depends on `(seed, actions, block)` only.

    Raises:
        ValueError: fewer than two actions (no expert could be better), no draws, a negative seed.
    """
    actions, n = validate.whole("actions", actions, 2), validate.whole("n", n, 1)
    rng = np.random.default_rng([validate.whole("seed", seed, 0), actions, validate.whole("block", block, 0)])
    for start in range(0, n, CHUNK):
        size = (actions, min(CHUNK, n - start))
        student, expert = rng.standard_exponential(size), rng.standard_exponential(size)
        student /= student.sum(axis=0)
        expert /= expert.sum(axis=0)
        reward = rng.random(size)
        worse = (reward * (expert - student)).sum(axis=0) < 0
        np.subtract(1, reward, out=reward, where=worse)
        yield Draw(reward, student, expert)


def small_step(divergence: str, geometry: str) -> Margin:
    """First-order change of the return of one small step (claim 1 for `H = S = 1`)."""
    h = _named(divergence).h
    check_geometry(geometry)

    def margin(reward: Array, student: Array, expert: Array) -> tuple[Array, Array]:
        score = h(expert / student)
        if geometry == "euclidean":
            score = student * (score - (student * score).sum(axis=0))
        return _covariance(student, reward, score)

    return margin


def natural_step(divergence: str, eta: float) -> Margin:
    """`Cov_pi(r, exp(eta h))`, with the sign of the change of the return in a natural step `eta > 0` (claim 7d)."""
    h = _named(divergence).h
    if not (np.isfinite(eta) and eta > 0):
        raise ValueError(f"eta must be positive and finite, not {eta!r}")

    def margin(reward: Array, student: Array, expert: Array) -> tuple[Array, Array]:
        exponent = ns.scale(h(expert / student), eta)
        return _covariance(student, reward, ns.exp(exponent - ns.amax(exponent, 0)))

    return margin


def _named(divergence: str) -> FDivergence:
    if divergence not in BY_NAME:
        raise ValueError(f"unknown divergence {divergence!r}: choose from {', '.join(BY_NAME)}")
    return BY_NAME[divergence]


def _covariance(p: Array, reward: Array, score: Array) -> tuple[Array, Array]:
    return covariance(p, reward, score, axis=0), (p * abs(score)).sum(axis=0)


def signs(
    margin: Margin, reward: np.ndarray, student: np.ndarray, expert: np.ndarray, exact: Draw | None = None
) -> np.ndarray:
    """Sign of the margin of each instance: -1, 0 or 1; near zero by ball arithmetic.

    Args:
        margin: what to decide.
        reward, student, expert: `(A, n)`.
        exact: what the floats stand for (weights proportional to the probabilities); default: the floats themselves.

    Distributions are normalised exactly before they are decided. A ball around zero narrower than 1e-30 counts as 0.

    Raises:
        ArithmeticError: a ball contains zero and is wider than that.
    """
    value, size = margin(reward, student, expert)
    out = np.sign(value).astype(int)
    for i in np.flatnonzero(~(abs(value) > UNDECIDED * size)):
        out[i] = exact_sign(margin, *(ns.convert(x[:, i], "rational") for x in exact or (reward, student, expert)))
    return out


def exact_sign(margin: Margin, reward: Array, student: Array, expert: Array) -> int:
    """Sign of the margin of one rational instance `(A,)`; 0 also where the expert turns out not to be better."""
    student, expert = student / student.sum(), expert / expert.sum()
    if (reward * (expert - student)).sum() <= 0:
        return 0
    with ns.precision(BITS):
        (ball,), _ = margin(*(ns.convert(x, "ball")[:, None] for x in (reward, student, expert)))
    if ball > 0 or ball < 0:
        return 1 if ball > 0 else -1
    if not ball.rad() < 1e-30:
        raise ArithmeticError(f"the sign of {ball} is not decided by {BITS} bits")
    return 0


def count_failures(margins: Sequence[Margin], actions: int, n: int, seed: int, block: int = 0) -> np.ndarray:
    """How many of `n` drawn bandits each step harms, one count per margin."""
    counts = np.zeros(len(margins), dtype=int)
    for draw in draws(actions, n, seed, block):
        counts += [int((signs(margin, *draw) < 0).sum()) for margin in margins]
    return counts


def wilson(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion."""
    low, high = binomtest(count, n).proportion_ci(confidence, method="wilson")
    return float(low), float(high)
