r"""Divergences as text: a generator `f` in a small grammar, checked, differentiated and run in every number system.

A certificate that speaks of "the divergence f" must carry `f`, and a reader must be able to evaluate it without running
anybody's code. So a generator is a Python *expression* in one name, `u`, and nothing else:

    0 1 2 ..   u   + - * /   unary minus   ** with a rational exponent   log( ) exp( ) sqrt( ) abs( )

at most 200 characters, nested at most 20 deep, in the one spelling that `ast.unparse` gives (`canonical`). It is read
by `ast`, never by `eval`.

`f` must vanish at 1 and be convex on `(0, inf)`. Convexity is *refused* by a certificate, three points of which the
middle one lies above the chord in ball arithmetic, and otherwise believed. `calculus` differentiates it and runs it.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

import numpy as np
import sympy

from distil_theory import calculus, divergences
from distil_theory import number_systems as ns
from distil_theory.calculus import GRID, U
from distil_theory.divergences import FDivergence
from distil_theory.number_systems import Array

LENGTH, DEPTH = 200, 20
STEEPNESS = 64
"""The most that exponents multiply to along a path, an `exp` counting 8: hostile constants would fill the memory."""
_FUNCTIONS = {"log": sympy.log, "exp": sympy.exp, "sqrt": sympy.sqrt, "abs": sympy.Abs}

TEXT = {
    "forward_kl": "u * log(u)",
    "reverse_kl": "-log(u)",
    "jensen_shannon": "(u * log(u) - (u + 1) * log((u + 1) / 2)) / 2",
    "hellinger": "(sqrt(u) - 1) ** 2",
    "pearson_chi2": "(u - 1) ** 2",
    "neyman_chi2": "1 / u + u - 2",
    "total_variation": "abs(u - 1) / 2",
}
"""The generators of the catalogue."""


def alpha(order: Fraction) -> str:
    """The text of `divergences.alpha`."""
    a = Fraction(order)
    if a in (0, 1):
        return TEXT["forward_kl" if a == 1 else "reverse_kl"]
    return canonical(f"(u**({a}) - 1 - ({a})*(u - 1)) / ({a * (a - 1)})")


def skewed_js(beta: Fraction) -> str:
    """The text of `divergences.skewed_js`."""
    divergences.skewed_js(beta)  # refuses what it refuses
    w = Fraction(beta) / (1 + Fraction(beta))
    return _mixture(w, 1 / (w * (1 - w)))


def generalized_js(beta: Fraction, convention: str = "special_cased") -> str:
    """The text of `divergences.generalized_js`."""
    w = Fraction(beta)
    divergences.generalized_js(w, convention)  # refuses what it refuses
    if w in (0, 1):
        return TEXT["forward_kl" if w == 0 else "reverse_kl"]
    return _mixture(w, Fraction(1) if convention == "special_cased" else 1 / (w * (1 - w)))


def _mixture(w: Fraction, size: Fraction) -> str:
    mixture = f"(({w})*u + ({1 - w}))"
    inner = f"({w})*u*log(u) - {mixture}*log({mixture})"
    return canonical(inner if size == 1 else f"({size}) * ({inner})")


# --- from text to an expression ---


def canonical(text: str) -> str:
    """The one spelling of an expression that the grammar accepts.

    Raises:
        ValueError: no Python expression, or too long.
    """
    return ast.unparse(_read(text))


def _read(text: str) -> ast.expr:
    if not isinstance(text, str) or len(text) > LENGTH:
        raise ValueError(f"a generator is a text of at most {LENGTH} characters such as 'u * log(u)'")
    try:
        tree = ast.parse(text, mode="eval").body
        ast.unparse(tree)  # deep nesting shows here
        return tree
    except (SyntaxError, ValueError, RecursionError, MemoryError) as bad:
        raise ValueError(f"{text!r} is no expression: {bad}") from None


@lru_cache(maxsize=1024)
def to_sympy(text: str) -> sympy.Expr:
    """The expression in the positive symbol `U`.

    Raises:
        ValueError: the text is not canonical or not in the grammar; the message names the part.
    """
    tree = _read(text)
    if ast.unparse(tree) != text:
        raise ValueError(f"{text!r} is not canonical: write {ast.unparse(tree)!r}")
    return _translate(tree, DEPTH, STEEPNESS)


def _translate(node: ast.expr, depth: int, steepness: int) -> sympy.Expr:
    def refuse(why: str) -> ValueError:
        return ValueError(f"not in the grammar: {ast.unparse(node)!r} {why}")

    def inner(part: ast.expr, cost: int = 1) -> sympy.Expr:
        if steepness < cost:
            raise refuse(f"is too steep (exponents multiply to at most {STEEPNESS})")
        return _translate(part, depth - 1, steepness // cost)

    if depth <= 0:
        raise refuse(f"is nested deeper than {DEPTH}")
    match node:
        case ast.Constant(value=int() as n) if type(n) is int:
            return sympy.Integer(n)
        case ast.Name(id="u"):
            return U
        case ast.UnaryOp(op=ast.USub(), operand=x):
            return -inner(x)
        case ast.BinOp(left=x, op=ast.Add(), right=y):
            out = inner(x) + inner(y)
        case ast.BinOp(left=x, op=ast.Sub(), right=y):
            out = inner(x) - inner(y)
        case ast.BinOp(left=x, op=ast.Mult(), right=y):
            out = inner(x) * inner(y)
        case ast.BinOp(left=x, op=ast.Div(), right=y):
            out = inner(x) / inner(y)
        case ast.BinOp(left=x, op=ast.Pow(), right=y):
            exponent = inner(y)
            if not exponent.is_Rational:
                raise refuse("has an exponent that is not a rational constant")
            out = inner(x, max(1, math.ceil(abs(exponent)))) ** exponent
        case ast.Call(func=ast.Name(id=name), args=[x], keywords=[]) if name in _FUNCTIONS:
            out = _FUNCTIONS[name](inner(x, 8 if name == "exp" else 1))
        case _:
            raise refuse("is none of: a whole number, u, + - * / **, log, exp, sqrt, abs")
    if out.has(sympy.zoo, sympy.nan, sympy.oo, sympy.I) or (out.is_number and not out.is_real):
        raise refuse("has no real value")
    return out


@lru_cache(maxsize=256)
def parse(text: str) -> FDivergence:
    """The divergence with this generator.

    Raises:
        ValueError: not in the grammar (the message names the part), no real value somewhere, `f(1) != 0`, or certainly
            not convex.
    """
    e = to_sympy(text)
    f, h = calculus.function(e), calculus.function(calculus.score(e))
    at_one = calculus.simplified(e.subs(U, 1))
    if at_one != 0:
        raise ValueError(f"f(1) must be 0, not {at_one}: {text!r}")
    _check_convex(text, f)
    price = calculus.limit(sympy.Add(*(part / U for part in sympy.Add.make_args(e))), sympy.oo)
    bend = calculus.derivative(calculus.score(e)).subs(U, 1)
    unit = float(bend) if bend.is_real else math.inf
    slope = None if price == sympy.oo else lambda one: calculus.value(price, one)
    return FDivergence(text, f, h, slope, text, unit)


def _check_convex(text: str, f: Callable[[Array], Array]) -> None:
    """Raises unless `f` is real at the points of the grid, and no point certainly lies above the chord of its
    neighbours."""
    u = ns.convert(GRID, "ball")
    with ns.precision(192):
        y = f(u)
        for point, value in zip(GRID, y, strict=True):
            if not value.is_finite():
                raise ValueError(f"{text!r} has no finite real value at u = {point}")
        slopes = (y[1:] - y[:-1]) / (u[1:] - u[:-1])
    for i in np.flatnonzero(np.asarray(slopes[:-1] > slopes[1:], dtype=bool)):
        raise ValueError(f"{text!r} is not convex: see u = {GRID[i]}, {GRID[i + 1]}, {GRID[i + 2]}")


# --- random generators ---

_CONVEX = (
    *("u * log(u)", "-log(u)", "(u - 1) ** 2", "1 / u - 1", "1 - sqrt(u)", "u ** (3 / 2) - 1", "1 - u ** (1 / 3)"),
    *("u ** 3 - 1", "exp(-u) - exp(-1)", "exp(u) - exp(1)", "abs(u - 1)", "abs(u - 3) - 2", "log(2) - log(u + 1)"),
)


def random_text(rng: np.random.Generator) -> str:
    """A random convex generator: a positive combination of up to four, one time in eight of `u log u` alone, plus a
    linear term that no divergence sees."""
    chosen = ["u * log(u)"] if rng.random() < 1 / 8 else rng.choice(_CONVEX, size=rng.integers(1, 5), replace=False)
    terms = [f"({Fraction(*map(int, rng.integers(1, 10, 2)))})*({part})" for part in chosen]
    return canonical(" + ".join([*terms, f"({Fraction(int(rng.integers(-9, 10)), 4)})*(u - 1)"]))
