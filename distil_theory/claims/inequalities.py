r"""Inequalities that several chapters need, each proved: a derivative that is positive, or a square.

============================ ===========================================================================================
`logarithm`                  `log x <= x - 1`
`artanh`                     `log((1+x)/(1-x)) >= 2x` for `0 <= x < 1`
`exponential`                `e^x <= 1 + x + (e-2) x^2` for `x <= 1`
`chord`                      `e^-x <= 1 - (1 - 1/e) x` for `0 <= x <= 1`
`cauchy_schwarz`             `(E x y)^2 <= E x^2 E y^2`
`jensen_square_root`         `E sqrt(x) <= sqrt(E x)`
`span_times_variation`       `|sum (p - q) Q| <= (max Q - min Q) TV(p, q)`
`pinsker`                    `TV(p, q)^2 <= KL(p||q) / 2`
============================ ===========================================================================================
"""

from __future__ import annotations

from typing import Any

import sympy

from distil_theory.three_points import PI, STAR, A, R, positive, total, vanish

T, X = sympy.symbols("t x", positive=True)


def grows(f: Any, variable: Any) -> bool:
    """Whether `f` is 0 at 0 and its derivative positive beyond: then `f > 0` there."""
    return bool(sympy.limit(f, variable, 0, "+") == 0) and positive(sympy.together(f.diff(variable)))


def logarithm() -> bool:
    """`x - 1 - log x >= 0` above 1 and below it: `x = 1 + a` and `x = 1/(1+a)`."""
    return all(grows(x - 1 - sign * sympy.log(1 + A), A) for x, sign in ((1 + A, 1), (1 / (1 + A), -1)))


def artanh() -> bool:
    """At 0 both sides vanish; the derivative of their difference is `2/(1-x^2) - 2`, positive at `x = a/(1+a)`."""
    difference = sympy.log((1 + X) / (1 - X)) - 2 * X
    slope = sympy.simplify(difference.diff(X))
    return bool(difference.subs(X, 0) == 0) and positive(sympy.together(slope.subs(X, A / (1 + A))))


def exponential() -> bool:
    """`(e^x - 1 - x)/x^2` is `int_0^1 (1-s) e^{sx} ds`, which grows with `x`, and it is `e - 2` at 1."""
    s, x = sympy.symbols("s x", real=True)
    inside, whole = (1 - s) * sympy.exp(s * x), (sympy.exp(x) - 1 - x) / x**2
    primitive = (1 - s) * sympy.exp(s * x) / x + sympy.exp(s * x) / x**2
    integral = vanish(primitive.diff(s) - inside, primitive.subs(s, 1) - primitive.subs(s, 0) - whole)
    slope = sympy.factor(inside.diff(x).subs(s, A / (1 + A)))
    return integral and bool(slope.is_positive) and vanish(whole.subs(x, 1) - (sympy.E - 2))


def chord() -> bool:
    """Chord minus `e^-x` is 0 at both ends and concave."""
    difference = 1 - (1 - sympy.exp(-1)) * X - sympy.exp(-X)
    ends = [sympy.simplify(difference.subs(X, end)) for end in (0, 1)]
    return ends == [0, 0] and bool((-difference.diff(X, 2)).is_positive)


def cauchy_schwarz() -> bool:
    """`E (x - t y)^2 >= 0` at `t = E xy / E y^2` is `E x^2 - (E xy)^2 / E y^2`."""
    x, y, t, xx, xy, yy = sympy.symbols("x y t XX XY YY")
    square = sympy.expand((x - t * y) ** 2).subs({x**2: xx, y**2: yy}).subs(x * y, xy)
    return vanish(square.subs(t, xy / yy) - (xx - xy**2 / yy))


def jensen_square_root() -> bool:
    """The tangent at the mean `m`: it exceeds the root by a square, and its mean is the root of the mean."""
    m = sympy.Symbol("m", positive=True)
    tangent = sympy.sqrt(m) + (X - m) / (2 * sympy.sqrt(m))
    square = (sympy.sqrt(X) - sympy.sqrt(m)) ** 2 / (2 * sympy.sqrt(m))
    return vanish(tangent - sympy.sqrt(X) - square, tangent.subs(X, m) - sympy.sqrt(m))


def span_times_variation() -> bool:
    """A shift of `Q` changes nothing, for any number of actions; from the middle, `|Q| <= span/2`; attained by two."""
    shift, low, span, p, q = sympy.symbols("shift low span p q")
    centred = sympy.expand(total((STAR - PI) * (R - shift)) - total((STAR - PI) * R))
    inside = A / (1 + A)  # from 0 to 1: Q = low + span * inside
    room = (span / 2) ** 2 - (low + span * inside - (low + span / 2)) ** 2
    two = (p - q) * (low + span) + ((1 - p) - (1 - q)) * low
    return (
        vanish(centred, two - span * (p - q))
        and vanish(room - span**2 * inside * (1 - inside))
        and positive(inside, 1 - inside)
    )


def pinsker() -> bool:
    """`t log t - t + 1 >= (3/2)(t-1)^2/(t+2)`: the difference and its slope vanish at 1, and it is convex.

    So `KL >= (3/2) sum (p-q)^2/(p+2q)`; by Cauchy-Schwarz that is at least `(1/2)(sum |p-q|)^2`: the `p + 2q` add up
    to 3.
    """
    difference = T * sympy.log(T) - T + 1 - sympy.Rational(3, 2) * (T - 1) ** 2 / (T + 2)
    flat = [difference.subs(T, 1), difference.diff(T).subs(T, 1)] == [0, 0]
    convex = vanish(difference.diff(T, 2) - (T - 1) ** 2 * (T + 8) / (T * (T + 2) ** 3))
    p, q = sympy.symbols("p q", positive=True)
    per_action = q * (sympy.Rational(3, 2) * (T - 1) ** 2 / (T + 2)).subs(T, p / q)
    term = vanish(per_action - sympy.Rational(3, 2) * (p - q) ** 2 / (p + 2 * q))
    mass = total(STAR + 2 * PI)
    return (
        flat
        and convex
        and positive((T + 8) / (T * (T + 2) ** 3))
        and term
        and bool(sympy.Rational(3, 2) / mass == sympy.Rational(1, 2))
        and cauchy_schwarz()
    )
