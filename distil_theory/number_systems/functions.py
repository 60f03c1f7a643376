"""The functions the solver needs beyond `+ - * /`, indexing and `.sum`, in all five number systems."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

import flint
import numpy as np

from distil_theory.number_systems.kinds import Array, _objects, _to_arb, _to_sympy, is_torch, name


def _torch() -> Any:
    return sys.modules["torch"]


def _rational_or_raise(what: str, value: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def f(q: Any) -> Any:
        out = value(q)
        if out is None:
            raise TypeError(f"{what}({q}) is not rational; convert to 'ball' (rigorous) or 'float64' first")
        return out

    return f


def _rational_sqrt(q: flint.fmpq) -> flint.fmpq | None:
    if q < 0:
        return None
    roots = [flint.fmpz(part).sqrtrem() for part in (q.numerator, q.denominator)]
    return None if any(rest for _, rest in roots) else flint.fmpq(roots[0][0], roots[1][0])


_RATIONAL = {
    "log": _rational_or_raise("log", lambda q: flint.fmpq(0) if q == 1 else None),
    "exp": _rational_or_raise("exp", lambda q: flint.fmpq(1) if q == 0 else None),
    "sqrt": _rational_or_raise("sqrt", _rational_sqrt),
    "sign": lambda q: flint.fmpq((q > 0) - (q < 0)),
}
_BALL = {
    "log": lambda b: flint.arb.neg_inf() if b == 0 else b.log(),
    "exp": lambda b: b.exp(),
    "sqrt": lambda b: b.sqrt(),
    "sign": lambda b: b.sgn(),
}


def _elementary(function: str, x: Array) -> Array:
    kind = name(x)
    if kind == "float64":
        with np.errstate(divide="ignore"):  # log 0 = -inf is the right limit
            return getattr(np, function)(x)
    if kind == "torch":
        return getattr(x, function)()
    if kind == "symbolic":
        import sympy

        return _objects(getattr(sympy, function), x)
    return _objects((_RATIONAL if kind == "rational" else _BALL)[function], x)


def log(x: Array) -> Array:
    """Natural logarithm, elementwise; `log 0 = -inf` where the system has it."""
    return _elementary("log", x)


def exp(x: Array) -> Array:
    """Exponential, elementwise."""
    return _elementary("exp", x)


def sqrt(x: Array) -> Array:
    """Square root, elementwise; on rationals only of perfect squares."""
    return _elementary("sqrt", x)


def sign(x: Array) -> Array:
    """-1, 0 or 1, elementwise; a ball that contains 0 gives a ball that contains all three."""
    return _elementary("sign", x)


def power(x: Array, exponent: int | float | Fraction) -> Array:
    """`x ** exponent` for `x >= 0`, or any `x` and a whole exponent, elementwise; `0 ** negative = inf`.

    Rationals admit whole and half exponents.
    """
    q = Fraction(exponent)
    if q == 0:
        return x * 0 + 1
    kind = name(x)
    if kind in ("float64", "torch"):
        with np.errstate(divide="ignore"):
            return x ** float(q)
    if kind == "symbolic":
        import sympy

        power = x ** _to_sympy(q)
        return _objects(lambda e: sympy.oo if e is sympy.zoo else e, power)  # we approach 0 from above
    if kind == "rational" and q < 0 and np.any(iszero(x)):
        raise TypeError(f"0 ** {q} is infinite, which no rational is; convert to 'ball' or 'float64' first")
    if kind == "rational" and 2 * q == int(2 * q):
        return (x if q == int(q) else sqrt(x)) ** (int(q) if q == int(q) else int(2 * q))
    if kind == "rational":
        raise TypeError(f"x ** {q} is not rational; convert to 'ball' (rigorous) or 'float64' first")
    if q > 0 and q == int(q):
        return _objects(lambda b: _whole_power(b, int(q)), x)
    at_zero = flint.arb(0) if q > 0 else flint.arb.pos_inf()
    return _objects(lambda b: at_zero if b == 0 else b ** _to_arb(q), x)


def _whole_power(b: Any, n: int) -> Any:
    """By squaring: flint takes no power of a ball that contains numbers below zero."""
    if n == 1:
        return b
    half = _whole_power(b, n // 2)
    return half * half * b if n % 2 else half * half


def scale(x: Array, factor: int | float | Fraction) -> Array:
    """`factor * x` without leaving the number system of `x`: a `Fraction` stays exact where the system is."""
    q = Fraction(factor)
    return x * float(q) if name(x) in ("float64", "torch") else x * q.numerator / q.denominator


def infinity(x: Array) -> Array:
    """Plus infinity, shaped like `x`. Rationals have none: `TypeError`."""
    kind = name(x)
    if kind == "rational":
        raise TypeError("the result is infinite, which no rational is; convert to 'ball' or 'float64' first")
    if kind == "symbolic":
        import sympy

        return _objects(lambda _: sympy.oo, x)
    return _objects(lambda _: flint.arb.pos_inf(), x) if kind == "ball" else x * 0 + float("inf")


def xlogx(x: Array) -> Array:
    """`x log x` with `0 log 0 = 0`, elementwise."""
    zero = iszero(x)
    return where(zero, x * 0, x * log(where(zero, x * 0 + 1, x)))


# --- masks, maxima, shapes
# ------------------------------------------------------------------------------------------------


def iszero(x: Array) -> Any:
    """Boolean mask: *known* to be zero. A ball around zero, or an expression that only might vanish, is not."""
    kind = name(x)
    if kind == "symbolic":
        import sympy

        return np.asarray(_objects(lambda e: sympy.expand(e) == 0, x), dtype=bool)
    return np.asarray(x == 0, dtype=bool) if kind == "ball" else x == 0


def isnegative(x: Array) -> Any:
    """Boolean mask: *known* to be negative."""
    if name(x) == "symbolic":
        return np.asarray(_objects(lambda e: bool(e.is_negative), x), dtype=bool)
    return np.asarray(x < 0, dtype=bool) if name(x) == "ball" else x < 0


def greater(a: Array, b: Array, what: str) -> Any:
    """Boolean mask `a > b`; raises `ValueError` naming `what` where balls overlap or symbols have no known order."""
    kind = name(a)
    if kind == "ball":
        decided = np.asarray((a > b) | (a <= b) | (a - b == 0), dtype=bool)
        if not decided.all():
            raise ValueError(f"{what} is undecided: the balls {a[~decided][0]} and {b[~decided][0]} overlap")
        return np.asarray(a > b, dtype=bool)
    if kind == "symbolic":
        difference = _objects(lambda e: e.simplify().is_positive, a - b)
        if any(d is None for d in np.asarray(difference).flat):
            raise ValueError(f"{what} is undecided: the sign of {a - b} is not known")
        return np.asarray(difference, dtype=bool)
    return a > b


def isfinite(x: Array) -> Any:
    """Boolean mask: a finite number (a symbol counts as finite)."""
    kind = name(x)
    if kind == "ball":
        return np.asarray(_objects(lambda b: b.is_finite(), x), dtype=bool)
    if kind == "symbolic":
        return np.asarray(_objects(lambda e: e.is_finite is not False, x), dtype=bool)
    if kind == "rational":
        return np.ones(np.shape(x), dtype=bool)
    return _torch().isfinite(x) if kind == "torch" else np.isfinite(x)


def where(mask: Any, a: Array, b: Array) -> Array:
    """`a` where the boolean mask holds, else `b`; shapes broadcast."""
    if is_torch(a) or is_torch(b):
        torch = _torch()
        like = a if is_torch(a) else b
        return torch.where(torch.as_tensor(mask, device=like.device), a, b)
    out: Any = np.where(mask, a, b)
    return out if out.ndim else out[()]


def amax(x: Array, axis: int) -> Array:
    """Maximum along one axis; on symbols `sympy.Max`."""
    kind = name(x)
    if kind == "torch":
        return x.amax(axis)
    if kind in ("float64", "rational"):
        return x.max(axis=axis)
    import sympy

    pair = (lambda a, b: a.max(b)) if kind == "ball" else sympy.Max
    return np.frompyfunc(pair, 2, 1).reduce(x, axis=axis)


def stack(arrays: Sequence[Array], axis: int = 0) -> Array:
    """Join arrays of one shape along a new axis."""
    return _torch().stack(list(arrays), axis) if is_torch(arrays[0]) else np.stack(arrays, axis)


def broadcast_to(x: Array, shape: Iterable[int]) -> Array:
    """A view of `x` with the given shape: repeated entries cost no memory."""
    return x.expand(*shape) if is_torch(x) else np.broadcast_to(x, tuple(shape))


def einsum(subscripts: str, *arrays: Array) -> Array:
    """`numpy.einsum` in any number system (no path optimisation: two operands at a time are all we use)."""
    return (_torch() if is_torch(arrays[0]) else np).einsum(subscripts, *arrays)


def contract(transition: Array, v: Array) -> Array:
    """Expected next value: `sum_s' P(s, a, s') v(s')`.

    Args:
        transition: `(S, A, S', *B)`, batch axes last.
        v: `(S', *B)`.

    Returns:
        `(S, A, *B)`. One MDP goes through BLAS, also for many value functions at once; a batch through `einsum`.
    """
    if transition.ndim == 3 and v.ndim <= 2:
        # one large product: numpy would take a batch of S products with (A, S') matrices one by one
        states, actions, successors = transition.shape
        return (transition.reshape(-1, successors) @ v).reshape(states, actions, *v.shape[1:])
    return einsum("ijk...,k...->ij...", transition, v)
