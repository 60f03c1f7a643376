r"""Expressions in the ratio `u`: the score of a generator, derivatives across kinks, and functions on arrays.

From a generator `f` comes the score `h = u f' - f`, through which everything a gradient step does must pass
(`divergences`). It is linear in `f`, so each summand is differentiated and simplified on its own: the logarithm of `u
log u` cancels, and `h = u` runs on rationals.

Where `f` has a kink, `|a|` is `s a` with a sign `s` that is constant on either side: `h` is right away from the kink,
and at it takes the value for `s = 0`, one of the many that a subgradient allows. At `u = 0` a function takes its limit.

Some simplifications never end. Those here may take `CALLS` function calls, counted and not timed, so that a slow
machine gives the same answers. Whether an expression is zero is first asked of balls, which can only say no.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from inspect import CO_GENERATOR
from types import FrameType
from typing import Any

import numpy as np
import sympy
from sympy.functions.elementary.hyperbolic import HyperbolicFunction

from distil_theory import number_systems as ns
from distil_theory.number_systems import Array

U = sympy.Symbol("u", positive=True)
"""The ratio `pi*/pi`."""
GRID = tuple(Fraction(2) ** k * Fraction(m, 4) for k in range(-8, 6) for m in range(4, 8))
"""Ratios at which expressions are compared, in order."""
CALLS = 4_000_000
"""Of functions, about two seconds of them."""


class _Endless(BaseException):
    """Too many calls; sympy, which catches many an exception, must not catch this one."""


def bounded(run: Callable[[], Any], otherwise: Any) -> Any:
    """What `run` gives, or `otherwise` if that takes more than `CALLS` function calls; a profiler at work is let be."""
    if sys.getprofile() is not None:
        return run()
    left = CALLS

    def count(frame: FrameType, event: str, _: Any) -> None:
        nonlocal left
        left -= 1
        if (
            left < 0 and event == "call" and not frame.f_code.co_flags & CO_GENERATOR
        ):  # in one that ends it would be lost
            raise _Endless

    sys.setprofile(count)
    try:
        return run()
    except _Endless:
        return otherwise
    finally:
        sys.setprofile(None)


@lru_cache(maxsize=1024)
def simplified(e: sympy.Expr) -> sympy.Expr:
    """What sympy makes of it, or the same if that takes too long."""
    return bounded(lambda: sympy.simplify(e), e)


@lru_cache(maxsize=1024)
def vanishes(e: sympy.Expr) -> bool:
    """Whether an expression in `U` is shown to be zero: no ball of its values excludes it, and sympy finds it."""
    if e.is_zero is not None or e.has(sympy.nan, sympy.zoo, sympy.oo):
        return bool(e.is_zero)
    with ns.precision(192):
        if any(x > 0 or x < 0 for x in value(e, ns.convert(GRID, "ball"))):
            return False
    return simplified(e) == 0


def frozen(e: sympy.Expr) -> tuple[sympy.Expr, dict[sympy.Expr, sympy.Expr]]:
    """`e` with every `|a|` written `s a`, and what each sign `s` stands for: smooth in `u` where signs are constant."""
    signs: dict[sympy.Expr, sympy.Expr] = {}

    def freeze(part: sympy.Expr) -> sympy.Expr:
        if not part.args:
            return part
        part = part.func(*map(freeze, part.args))
        if not isinstance(part, sympy.Abs):
            return part
        (a,) = part.args
        s = sympy.Dummy(f"s{len(signs)}", real=True, nonzero=True)
        signs[s] = sympy.sign(a.xreplace(signs))
        return s * a

    return freeze(e), signs


@lru_cache(maxsize=1024)
def _score_of_summand(f: sympy.Expr) -> sympy.Expr:
    return sympy.expand_log(simplified(U * f.diff(U) - f))


def score(f: sympy.Expr) -> sympy.Expr:
    """`h = u f' - f` for an expression in `U`, summand by summand."""
    smooth, signs = frozen(f)
    # factors apart: sympy would move a large one into the logarithms, as a power of their arguments
    parts = [part.as_coeff_Mul() for part in sympy.Add.make_args(smooth)]
    return sympy.Add(*(size * _score_of_summand(part).xreplace(signs) for size, part in parts))


def derivative(e: sympy.Expr) -> sympy.Expr:
    """`de/du` away from the kinks of `e`."""
    smooth, signs = frozen(e)
    steps = {s: sympy.Dummy(real=True) for s in smooth.atoms(sympy.sign)}
    return smooth.xreplace(steps).diff(U).xreplace({d: s for s, d in steps.items()}).xreplace(signs)


def function(e: sympy.Expr) -> Callable[[Array], Array]:
    """An expression in `U` as a function of arrays of any number system; at 0 it takes its limit from the right."""

    def at(u: Array) -> Array:
        zero = np.asarray(ns.iszero(u)) if not ns.is_torch(u) else ns.iszero(u)
        if not zero.any():
            return value(e, u)
        return ns.where(zero, value(limit(e, sympy.S.Zero), u), value(e, ns.where(zero, u * 0 + 1, u)))

    return at


@lru_cache(maxsize=1024)
def limit(e: sympy.Expr, end: sympy.Expr) -> sympy.Expr:
    """The limit at 0 or at infinity, summand by summand where that says it; `nan` where sympy does not know it."""
    parts = [part.as_coeff_Mul() for part in sympy.Add.make_args(e)]
    found = sympy.Add(*(size * _limit(part, end) for size, part in parts))
    return _limit(e, end) if found is sympy.nan and len(parts) > 1 else found


@lru_cache(maxsize=1024)
def _limit(e: sympy.Expr, end: sympy.Expr) -> sympy.Expr:
    try:
        found = bounded(lambda: sympy.limit(e, U, end, "+" if end == 0 else "-"), sympy.nan)
    except (NotImplementedError, ValueError, TypeError, RecursionError):  # what sympy raises where it knows none
        return sympy.nan
    known = found.is_number and (found.is_infinite or found.is_real)
    return found if known else sympy.nan


def value(e: sympy.Expr, u: Array) -> Array:
    """The expression at the positive ratios `u`, in their number system; a constant is shaped like `u`."""
    if e == U:
        return u
    if e.is_Rational:
        return ns.scale(u * 0 + 1, Fraction(int(e.p), int(e.q)))
    if e.is_Add or e.is_Mul:
        number, rest = e.as_coeff_Mul() if e.is_Mul else (sympy.S.One, e)
        parts = [value(part, u) for part in (rest.args if rest.func == e.func else [rest])]
        out = parts[0]
        for part in parts[1:]:
            out = out + part if e.is_Add else out * part
        return ns.scale(out, Fraction(int(number.p), int(number.q))) if number != 1 else out
    if e in (sympy.oo, -sympy.oo):
        return ns.infinity(u) if e == sympy.oo else -ns.infinity(u)
    if e is sympy.E or isinstance(e, sympy.exp):
        return ns.exp(value(e.args[0] if e.args else sympy.S.One, u))
    if e.is_Pow and e.exp.is_Rational:
        return ns.power(value(e.base, u), Fraction(e.exp.p, e.exp.q))
    if e.is_Pow:
        return ns.exp(value(e.exp, u) * ns.log(value(e.base, u)))
    if isinstance(e, HyperbolicFunction):  # not in the grammar, but sympy simplifies to it
        return value(e.rewrite(sympy.exp), u)
    for kind, run in ((sympy.log, ns.log), (sympy.Abs, abs), (sympy.sign, ns.sign)):
        if isinstance(e, kind):
            return run(value(e.args[0], u))
    if ns.name(u) in ("float64", "torch"):
        return u * float("nan")
    raise ValueError(f"no value is known for {e}")
