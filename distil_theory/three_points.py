r"""Claim 3: only a line is safe. Proved with three actions, each step checked on symbols.

A natural step moves the logits of a bandit's student along a *score* `g(u)` of the ratio `u = pi*/pi`. A small step has
`g = h = u f' - f` and changes the return at the rate `Cov_pi(r, h(u))`; the expert is better iff `Cov_pi(r, u) > 0`. We
show for any function `g` that

    Cov_pi(r, u) > 0  implies  Cov_pi(r, g(u)) >= 0    for every bandit    iff    g(u) = a u + b with a >= 0.

*A line is safe*: `Cov_pi(r, a u + b) = a Cov_pi(r, u)`, with any number of actions.

*Nothing else is*, and nothing is assumed of `g`. If `g` is not a line, then some ratios `x < y < z` with `x < 1 < z`
have `g(y)` off the chord, by `delta` say. Take a full-support student with `E_pi u = 1`, so that `pi u` is an expert,
and the reward

    r = sign(delta) q + e 1_z,     q = (pi_z (z-1), 0, pi_x (1-x)).

`q` has the covariance 0 with `u` and `-delta pi_x pi_y pi_z (z-x)` with `g(u)`. Hence

    gap = e pi_z (z-1) > 0,     rate = e pi_z (g(z) - E_pi g) - |delta| pi_x pi_y pi_z (z-x) < 0    for small e.

A falling line is refuted by any bandit with a better expert. Rescaling `r` to [0, 1] changes no sign, and copies of an
action give any larger number of actions. Only ratios from `x` to `z` occur: the same holds for ratios in any open
interval around 1.

*Back to f.* `(f/u)' = h/u^2`: with `f(1) = 0` the score determines `f`. So `h` is a line iff `f = a u log u + b (u-1)`:
forward KL, up to what no divergence sees. Finite steps have `K = exp(eta h)` for `g`: `finite_steps`.

Scope. Bandits with three or more actions (with two, everything is safe: claim 4), any expert (the refuting ones have
full support), every `f` that is differentiable at the ratios that occur. Sums over any number of actions are
`sympy.Sum`s; of these only linearity is used, and `sum pi = sum pi* = 1`. Inequalities: a ratio of polynomials with
positive coefficients is positive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import sympy

from distil_theory.calculus import U
from distil_theory.number_systems.rational_functions import is_zero
from distil_theory.point import covariance

# --- the construction: the same lines on rationals, balls and symbols ---


def three_actions(x: Any, y: Any, z: Any) -> tuple[Any, Any, Any]:
    """A full-support student on ratios `x < y < z` with `x < 1 < z` and mean ratio 1."""
    a, b = (1 - x) / (y - x), (z - 1) / (z - y)
    middle = a * b / (a + b)  # less than both: else the outer two could not balance it
    right = (1 - middle * y - (1 - middle) * x) / (z - x)
    return 1 - middle - right, middle, right


def misleading_reward(x: Any, z: Any, student: Any, side: int, tilt: Any) -> tuple[Any, Any, Any]:
    """`side q + tilt 1_z`: the expert is better by `tilt pi_z (z-1)`, and the middle action is rewarded wrongly."""
    left, _, right = student
    return side * right * (z - 1), side * 0 * x, side * left * (1 - x) + tilt


def off_chord(ratio: Any, g: Any) -> Any:
    """How far the middle one of three points `(ratio, g)` lies above the chord of the others."""
    (x, y, z), (gx, gy, gz) = ratio, g
    return gy - ((z - y) * gx + (y - x) * gz) / (z - x)


# --- symbols ---

A, B, C, D, T, ETA = sympy.symbols("a b c d t eta", positive=True)
X, Y, Z = A / (1 + A), (A / (1 + A) + C * (1 + B)) / (1 + C), 1 + B
"""Every triple `x < y < z` with `0 < x < 1 < z`, once, as `a, b, c` run through the positive numbers."""
STUDENT = tuple(sympy.factor(p) for p in three_actions(X, Y, Z))
G = sympy.symbols("g_x g_y g_z", real=True)
LOSS = STUDENT[0] * STUDENT[1] * STUDENT[2] * (Z - X)
SLOPE, SHIFT = sympy.symbols("alpha beta", real=True)
F = sympy.Function("f")
INDEX, N = sympy.symbols("i n", integer=True, positive=True)
PI, STAR, R, K = (sympy.IndexedBase(x)[INDEX] for x in ("pi", "pi_star", "r", "K"))


def vanish(*expressions: Any) -> bool:
    """Whether each is identically zero."""
    return all(is_zero(e) for e in expressions)


def positive(*expressions: Any) -> bool:
    """Whether each is a ratio of polynomials in positive symbols with positive coefficients only."""
    parts = [part for e in expressions for part in sympy.fraction(sympy.factor(e))]
    symbols = [sorted(part.free_symbols, key=str) or [A] for part in parts]
    coefficients = [c for part, x in zip(parts, symbols, strict=True) for c in sympy.Poly(part, *x).coeffs()]
    return all(x.is_positive for some in symbols for x in some) and all(bool(c > 0) for c in coefficients)


def total(e: Any, copies: Any = N) -> Any:
    """`sum_i e_i` by linearity, for any number of actions; probabilities sum to one."""
    terms = [term.as_independent(INDEX, as_Add=False) for term in sympy.Add.make_args(sympy.expand(e))]
    out = sum(outside * sympy.Sum(inside, (INDEX, 1, copies)) for outside, inside in terms)
    return out.xreplace({sympy.Sum(p, (INDEX, 1, N)): sympy.S.One for p in (PI, STAR)})


def cov(x: Any, y: Any) -> Any:
    """`Cov_pi(x, y)` for any number of actions."""
    return sympy.expand(total(PI * x * y) - total(PI * x) * total(PI * y))


def by_the_code(x: Sequence[Any], y: Sequence[Any]) -> Any:
    """`Cov_pi(x, y)` of the three-action student by the library's own function."""
    p, first, second = (np.array(v, dtype=object) for v in (STUDENT, x, y))
    return covariance(p, first, second, axis=0)


# --- the steps ---


def line_is_safe() -> bool:
    """`Cov(r, a u + b) = a Cov(r, u)` and `Cov(r, u) = J* - J`."""
    u, gap = STAR / PI, total(STAR * R) - total(PI * R)
    return vanish(cov(R, SLOPE * u + SHIFT) - SLOPE * gap, cov(R, u) - gap)


def rescaling() -> bool:
    """`r -> (r - shift) scale` scales the gap and the rate alike."""
    return vanish(*(cov((R - SHIFT) * SLOPE, g) - SLOPE * cov(R, g) for g in (STAR / PI, K)))


def every_triple() -> bool:
    """`a, b, c` give each triple once, and a student with full support and mean ratio 1."""
    back = X / (1 - X) - A, Z - 1 - B, (Y - X) / (Z - Y) - C
    mean = sum(p * u for p, u in zip(STUDENT, (X, Y, Z), strict=True))
    return vanish(*back, sum(STUDENT) - 1, mean - 1) and positive(X, 1 - X, Y - X, Z - Y, Z - 1, *STUDENT)


def gap_and_rate() -> bool:
    """Gap and rate of the construction, for any three values of the score, by the library's covariance."""
    delta, mean = off_chord((X, Y, Z), G), sum(p * g for p, g in zip(STUDENT, G, strict=True))
    good = True
    for side in (1, -1):
        r = misleading_reward(X, Z, STUDENT, side, T)
        rate = T * STUDENT[2] * (G[2] - mean) - side * delta * LOSS
        good &= vanish(by_the_code(r, (X, Y, Z)) - T * STUDENT[2] * (Z - 1), by_the_code(r, G) - rate)
    return good and positive(T * STUDENT[2] * (Z - 1))


def small_tilt() -> bool:
    """With `|delta| = d` the rate is negative for the tilt `d pi_x pi_y (z-x) / (2 H)` if `H = g(z) - E g > 0`, and for
    any tilt otherwise."""
    tilt = D * STUDENT[0] * STUDENT[1] * (Z - X) / (2 * T)
    return positive(tilt, D * LOSS - tilt * STUDENT[2] * T, D * LOSS, D * LOSS + ETA * STUDENT[2] * T)


def no_triple_no_bend() -> bool:
    """On the chord of two fixed points everywhere is on a line; and of three points on a line each is on the chord of
    the others, whichever is the middle one."""
    points = list(zip(sympy.symbols("p q s", positive=True), G, strict=True))
    (p, g_p), _, (s, g_s) = points
    chord = -off_chord((p, U, s), (g_p, 0, g_s))
    line = vanish(chord.diff(U, 2), chord.subs(U, p) - g_p, chord.subs(U, s) - g_s)
    area = sympy.Matrix([[1, *point] for point in points]).det()
    for order in ((0, 1, 2), (1, 0, 2), (0, 2, 1)):
        ratio, g = zip(*(points[i] for i in order), strict=True)
        bend = off_chord(ratio, g) * (ratio[2] - ratio[0])
        line &= vanish(bend - area) or vanish(bend + area)
    return line


def copies() -> bool:
    """`k` copies of an action, each with `1/k` of its probability and the same ratio and reward, change no mean."""
    p, x, k = sympy.symbols("p x k", positive=True)
    return vanish(sympy.Sum(p / k * x, (INDEX, 1, k)).doit() - p * x)


def score_determines_f() -> bool:
    """`(f/u)' = (u f' - f)/u^2`."""
    return vanish((F(U) / U).diff(U) - (U * F(U).diff(U) - F(U)) / U**2)


def line_means_forward_kl() -> bool:
    """The ODE `u f' - f = a u + b`, `f(1) = 0`; convex iff `a >= 0`, as `u f'' = a`."""
    found = sympy.dsolve(U * F(U).diff(U) - F(U) - SLOPE * U - SHIFT, F(U), ics={F(1): 0}).rhs
    return vanish(found - SLOPE * U * sympy.log(U) - SHIFT * (U - 1), U * found.diff(U, 2) - SLOPE)


class ProofStep(NamedTuple):
    """One step: the name of its function, whether the computer found it to hold, what it says."""

    name: str
    holds: bool
    says: str


def says(step: Callable[[], bool]) -> str:
    """What a step says: its docstring in one line."""
    return " ".join((step.__doc__ or "").split())


def prove(steps: Sequence[Callable[[], bool]]) -> list[ProofStep]:
    """Each step, checked now."""
    return [ProofStep(step.__name__, step() is True, says(step)) for step in steps]


ANY_SCORE = (line_is_safe, every_triple, gap_and_rate, small_tilt, no_triple_no_bend, copies, rescaling)
"""Only a line is safe, whatever the score."""
CLAIM_3 = (*ANY_SCORE, score_determines_f, line_means_forward_kl)


def prove_claim_3() -> list[ProofStep]:
    """The steps of claim 3."""
    return prove(CLAIM_3)
