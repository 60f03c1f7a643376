r"""Which divergences are safe? Claims 3 and 7d as programs: an identity, or a bandit that refutes.

`three_points` proves that a small natural step is safe for every bandit iff the score `h(u)` is a line, that a step of
size `eta` is iff `K(u) = exp(eta h(u))` is one, and that three ratios off a chord make a bandit that refutes. Here this
is a program. Scores are computed in balls at rational ratios; the first triple that is certainly off its chord gives a
bandit, which is then judged on its own, in exact and ball arithmetic; so does a score that certainly falls. If every
triple that was tried may lie on its chord, sympy is asked for the identity

    small step       f = a u log u + b (u - 1),    that is   h = a u + b;
    step of eta      K/K(1) = 1 - w + w u,         that is   the mixture (1-w) pi + w pi*,  w = eta f''(1).

If it cannot show it, the answer is `Supported`, which proves nothing. (Rational ratios lose nothing: a monotone score
that is a line at the rationals is a line.)

Total variation is no exception, but its `h` is set-valued at the kink: no ratio of a counterexample is a kink.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import flint
import numpy as np
import sympy

from distil_theory import calculus, grammar, prevalence
from distil_theory import number_systems as ns
from distil_theory.calculus import U
from distil_theory.divergences import BY_NAME, FDivergence
from distil_theory.misleading import Counterexample, build, certified, motion, scores, smooth
from distil_theory.number_systems import Array
from distil_theory.three_points import off_chord

OUTER = tuple((1 / Fraction(n), Fraction(n)) for n in (2, 4, 10, 100, 2**20, 2**64))
"""Pairs `x < 1 < z`; in theory one is enough."""
Divergence = str | FDivergence | Callable[[Array], Array]
"""A generator in the grammar, a divergence of the catalogue, or a bare score `h` that runs on balls."""


class Affine(NamedTuple):
    """`h(u) = slope u + intercept`; for a step of size `eta` the same of `K(u)/K(1)`, and `slope` is the weight of the
    expert in the mixture.

    `proof` holds the identities in `u` that sympy simplified to zero. With the slope 0 the step moves nothing.
    """

    text: str
    eta: flint.fmpq | None
    slope: sympy.Expr
    intercept: sympy.Expr
    proof: tuple[str, ...]


class Supported(NamedTuple):
    """Neither: no identity was found, and none of `tried` triples of ratios lies certainly off its chord.

    `slope` is a ball for the slope of the chord over the last range tried (`None`: none was): if the score is a line,
    of this slope, and if that may be 0, perhaps the step moves nothing.
    """

    text: str | None
    eta: flint.fmpq | None
    tried: int
    slope: flint.arb | None


def characterise(f: Divergence) -> Affine | Counterexample | Supported:
    """Is a small natural step safe for every bandit? (claim 3)

    Args:
        f: a generator in the grammar, a divergence of the catalogue, or a bare score `h` that runs on balls.

    Raises:
        ValueError: the text is no divergence.
    """
    return _decide(f, None)


def safe_step(f: Divergence, eta: Any) -> Affine | Counterexample | Supported:
    """Is a natural step of size `eta` safe for every bandit? (claim 7d); arguments and errors as `characterise`, and
    `eta` must be a positive rational."""
    try:
        size = ns.convert(eta, "rational")[()]
    except (TypeError, ValueError, ZeroDivisionError):
        size = None
    if not isinstance(size, flint.fmpq) or size <= 0:
        raise ValueError(f"eta must be a positive rational number, not {eta!r}")
    return _decide(f, size)


def safe_steps(f: str | FDivergence) -> sympy.Set:
    """All `eta > 0` for which a natural step is safe for every bandit: none, one, or all (`h` constant: nothing moves).

    A safe `eta` equals `-h''/h'^2` at *every* ratio: two ratios that want different steps, in ball arithmetic, leave
    none; so does a bend `h'' >= 0`, or `h' = 0` at some ratio unless `h` is constant.

    Raises:
        ValueError: no text of a divergence.
        ArithmeticError: neither could be shown.
    """
    text, _ = _generator(f)
    if text is None:
        raise ValueError("safe_steps needs the text of a generator: a bare score has no symbolic derivatives")
    constant = _identity(text, None)
    if constant and constant.slope == 0:
        return sympy.Interval.open(0, sympy.oo)
    h, _ = scores(text)
    first = calculus.derivative(h)
    second = calculus.derivative(first)
    with ns.precision(prevalence.BITS):
        ratios = ns.convert(grammar.GRID, "ball")
        ratios = ratios[smooth(text, ratios)]
        level, slope, bend = (calculus.function(e)(ratios) for e in (h, first, second))
        if any(s == 0 for s in slope) and any(x > level[0] or x < level[0] for x in level):
            return sympy.EmptySet  # an affine K with a flat point is constant, and so is h
        wanted = [-b / s**2 for b, s in zip(bend, slope, strict=True) if s > 0]
        if any(w <= 0 for w in wanted) or any(not w.overlaps(wanted[0]) for w in wanted):
            return sympy.EmptySet
    eta = calculus.simplified((-second / first**2).subs(U, 1))
    if eta.is_positive and _mixture_weight(text, eta) is not None:
        return sympy.FiniteSet(eta)
    if eta.is_positive and eta.is_Rational and isinstance(safe_step(text, str(eta)), Counterexample):
        return sympy.EmptySet  # the only candidate is refuted: a jump, away from which all is well
    raise ArithmeticError(f"the safe steps of {text!r} are undecided")


def _decide(f: Divergence, eta: flint.fmpq | None) -> Affine | Counterexample | Supported:
    text, h = _generator(f)
    g, tried, slope = motion(h, eta), 0, None
    for x, z in OUTER:
        ratios = ns.convert([x, *(y for y in grammar.GRID if x < y < z), z], "rational")
        with ns.precision(prevalence.BITS):
            balls = ns.convert(ratios, "ball")
            levels = _on_balls(g, balls)
            usable = smooth(text, balls) & np.asarray(ns.isfinite(levels), dtype=bool)
            if not (usable[0] and usable[-1]):
                continue
            ratios, balls, levels = ratios[usable], balls[usable], levels[usable]
            off = [off_chord(balls[[0, i, -1]], levels[[0, i, -1]]) for i in range(1, len(balls) - 1)]
            tried += len(off)
            for i in _simplest(off, ratios[1:-1]):
                example = build(text, eta, ratios[[0, i + 1, -1]], levels[[0, i + 1, -1]])
                if certified(example, h):
                    return example
            slope = (levels[-1] - levels[0]) / (balls[-1] - balls[0])
            if slope < 0 and off:
                ends = [0, min(range(1, len(ratios) - 1), key=lambda i: _size(ratios[i])), -1]
                example = build(text, eta, ratios[ends], levels[ends])
                if certified(example, h):
                    return example
    identity = None if text is None else _identity(text, eta)
    return identity or Supported(text, eta, tried, slope)


def _simplest(off: list[flint.arb], ratios: Array) -> list[int]:
    """The points that are certainly off the chord: first those of simple ratio among the farthest, then the others."""
    size = [max(float(abs(d).mid()), 1e-300) if d > 0 or d < 0 else 0.0 for d in off]
    near = max(size, default=0.0) / 2
    order = sorted(range(len(off)), key=lambda i: (size[i] < near, _size(ratios[i])))
    return [i for i in order if size[i]]


def _size(ratio: flint.fmpq) -> int:
    return int(ratio.numerator + ratio.denominator)


def _generator(f: Divergence) -> tuple[str | None, Callable[[Array], Array]]:
    """Text, if there is one, and score."""
    if isinstance(f, FDivergence) and BY_NAME.get(f.name) is f:
        f = grammar.TEXT[f.name]
    if isinstance(f, str):
        return f, grammar.parse(f).h
    if isinstance(f, FDivergence):
        return None, f.h
    if callable(f):
        return None, f
    raise ValueError(f"f must be a generator such as 'u * log(u)', a divergence or a score, not {f!r}")


def _on_balls(g: Callable[[Array], Array], balls: Array) -> Array:
    """`g` there, in balls: floats would pass their rounding off as exact."""
    try:
        out = g(balls)
        if ns.name(out) == "ball" and np.shape(out) == balls.shape:
            return out
        why = f"it gave {np.shape(out)} of {ns.name(out)}"
    except (TypeError, AttributeError) as bad:
        why = str(bad)
    raise ValueError(f"the score does not run on balls (write it with number_systems functions): {why}")


def _identity(text: str, eta: flint.fmpq | None) -> Affine | None:
    """The affine identity, if sympy can show it."""
    h, f = scores(text)
    if eta is None:
        slope = calculus.derivative(h)
        if not calculus.vanishes(calculus.derivative(slope)):
            return None
        slope = calculus.simplified(slope)
        intercept = calculus.simplified(h - slope * U)
        standard = slope * U * sympy.log(U) + intercept * (U - 1)
        if (slope + intercept).has(U) or not slope.is_nonnegative or not calculus.vanishes(f - standard):
            return None
        proof = f"f = {standard}", f"h = {slope * U + intercept}"
        return Affine(
            text, eta, slope, intercept, proof if slope else (*proof, "h is constant: no step moves anything")
        )
    weight = _mixture_weight(text, sympy.Rational(int(eta.numerator), int(eta.denominator)))
    if weight is None:
        return None
    return Affine(text, eta, weight, 1 - weight, (f"K/K(1) = {1 - weight + weight * U}",))


def _mixture_weight(text: str, eta: sympy.Expr) -> sympy.Expr | None:
    """The weight `w` of the expert if `K/K(1) = 1 - w + w u`."""
    h, _ = scores(text)
    weight = calculus.simplified(eta * calculus.derivative(h).subs(U, 1))
    line = 1 - weight + weight * U
    rise = sympy.expand(eta * (h - h.subs(U, 1)))  # else `exp` would raise constants to large powers, as in 3^(10^6)
    return weight if calculus.vanishes(sympy.exp(rise) - line) else None
