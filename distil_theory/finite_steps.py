r"""Claim 7d: a finite natural step is safe iff it mixes student and expert. Each step checked on symbols.

The natural step of size `eta` moves to `pi K / E_pi K` with `K = exp(eta h(u))`, and changes the return by
`Cov_pi(r, K(u)) / E_pi K(u)`. So it is safe for every bandit iff `K` is a line: `three_points` assumes nothing of its
score.

`K = a u + b` is positive for all `u > 0` iff `a, b >= 0`, not both zero. Then the step is the mixture of expert and
student with the weights `a` and `b`, and `h = log(a u + b)/eta`: a constant (`a = 0`: nothing moves, every `eta` is
safe), reverse KL (`b = 0`: the step is the expert), or a skewed Jensen-Shannon divergence. Equivalently `h'' + eta h'^2
= 0`; so a divergence that moves anything has at most one safe step, `eta = -h''/h'^2`, in which the expert has the
weight `w = eta f''(1)`. Forward KL has none; it is the limit of the family as `eta -> 0`.

Scope. As in `three_points`: three or more actions, any expert, `f` differentiable at the ratios that occur.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import sympy

from distil_theory import divergences, updates
from distil_theory.calculus import U
from distil_theory.divergences import FDivergence
from distil_theory.number_systems import name
from distil_theory.point import covariance
from distil_theory.spec import Bandit
from distil_theory.three_points import (
    ANY_SCORE,
    ETA,
    PI,
    STAR,
    A,
    B,
    F,
    K,
    ProofStep,
    R,
    cov,
    positive,
    prove,
    score_determines_f,
    total,
    vanish,
)

SCORE = sympy.Function("h")
GENERIC = FDivergence(
    "generic", lambda u: u * 0, lambda u: u if name(u) == "float64" else np.frompyfunc(SCORE, 1, 1)(u)
)
"""A divergence of which nothing is known; floats only ask whether its score is finite at 0."""


def finite_step() -> bool:
    """`J(new) - J = Cov(r, K)/E K` with any number of actions; the step of the library, on three, is that one."""
    size = total(PI * K)
    moved = vanish(total(PI * K * R) / size - total(PI * R) - cov(R, K) / size)
    p, q, a, b, *reward = sympy.symbols("p q a b r1:4", positive=True)
    pi, star, r = (np.array(v, dtype=object) for v in ((p, q, 1 - p - q), (a, b, 1 - a - b), reward))
    case = Bandit(r), pi[None, None]
    new = updates.exponential_step(*case, updates.direction(*case, star[None, None], GENERIC), ETA)[0, 0]
    k = np.array([sympy.exp(ETA * SCORE(u)) for u in star / pi], dtype=object)
    return moved and vanish(((new - pi) * r).sum() - covariance(pi, r, k, 0) / (pi * k).sum())


def mixture() -> bool:
    """`pi K / E K` with `K = a u + b` is `(a pi* + b pi)/(a + b)`, for any number of actions."""
    k = A * STAR / PI + B
    return vanish(sympy.expand(PI * k) / total(PI * k) - (A * STAR + B * PI) / (A + B))


def positive_line() -> bool:
    """A line positive at all `u > 0` has no negative coefficient: `b - a u` vanishes at `u = b/a > 0`, and `a u - b`
    likewise."""
    root = B / A
    return positive(root) and vanish((B - A * U).subs(U, root), (A * U - B).subs(U, root))


def family() -> bool:
    """`K = a u + b` iff `h'' + eta h'^2 = 0`, iff `f` is the skewed Jensen-Shannon or reverse KL divergence; convex."""
    h, k = SCORE(U), sympy.exp(ETA * SCORE(U))
    good = vanish(k.diff(U, 2) - ETA * k * (h.diff(U, 2) + ETA * h.diff(U) ** 2))
    log, line = sympy.log, A * U + B
    skewed = (A / B * U * log(U) - line / B * log(line)) / ETA
    reverse = -(log(A * U) + 1) / ETA
    for f, score in ((skewed, log(line) / ETA), (reverse, log(A * U) / ETA)):
        f = f - f.subs(U, 1) * U
        good &= vanish(f.subs(U, 1), U * f.diff(U) - f - score, f.diff(U, 2) - score.diff(U) / U)
        good &= vanish(score.diff(U, 2) + ETA * score.diff(U) ** 2) and bool(sympy.factor(score.diff(U)).is_positive)
    return good


def weight() -> bool:
    """`K/K(1) = 1 - w + w u` with `w = eta h'(1) = eta f''(1)`."""
    line, slope = A * U + B, (sympy.log(A * U + B) / ETA).diff(U).subs(U, 1)
    bend = (U * F(U).diff(U) - F(U)).diff(U) - U * F(U).diff(U, 2)
    return vanish(bend, line / line.subs(U, 1) - 1 - ETA * slope * (U - 1))


def one_step_each() -> bool:
    """`(a u + b)^s` with `a > 0` bends unless `s` is 0 or 1: so at most one `eta` is safe, `-h''/h'^2`."""
    s = sympy.Symbol("s", real=True)
    line = A * U + B
    bend = (line**s).diff(U, 2) - s * (s - 1) * A**2 * line ** (s - 2)
    h = sympy.log(line) / ETA
    return vanish(bend, -h.diff(U, 2) / h.diff(U) ** 2 - ETA)


def members() -> bool:
    """The library's reverse KL is safe at 1, Jensen-Shannon at 2, skewed ones at `beta/(1 + beta)`. Forward KL never
    is, as `h'' + eta h'^2 = eta`, but it is the limit of the family as `eta -> 0`."""

    def residue(d: FDivergence, eta: Any) -> Any:
        h = d.h(np.array([U], dtype=object))[0]
        return h.diff(U, 2) + eta * h.diff(U) ** 2

    skews = [Fraction(1, 5), Fraction(1), Fraction(4)]
    skewed = [residue(divergences.skewed_js(b), sympy.Rational(*(b / (1 + b)).as_integer_ratio())) for b in skews]
    w = sympy.Symbol("w", positive=True)
    limit = sympy.limit(sympy.log(1 - w + w * U) / w, w, 0) - (U - 1)
    ends = residue(divergences.REVERSE_KL, 1), residue(divergences.JENSEN_SHANNON, 2), limit
    return vanish(*skewed, *ends, residue(divergences.FORWARD_KL, ETA) - ETA)


CLAIM_7D = (
    *(finite_step, *ANY_SCORE, mixture, positive_line, family, score_determines_f),
    *(weight, one_step_each, members),
)


def prove_claim_7d() -> list[ProofStep]:
    """The steps of claim 7d."""
    return prove(CLAIM_7D)
