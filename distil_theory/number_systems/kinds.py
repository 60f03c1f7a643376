"""Which number system an array lives in, and how to bring it into another."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import flint
import numpy as np

Array = Any
"""An array of any of the five number systems."""

NAMES = ("float64", "rational", "ball", "symbolic", "torch")
precision = flint.ctx.workprec
"""Context manager: `with precision(256): ...` computes balls with 256 bits."""


def is_torch(x: Any) -> bool:
    """Whether `x` is a torch tensor; asks its class, imports nothing."""
    return type(x).__module__.partition(".")[0] == "torch"


def _is_symbolic(x: Any) -> bool:
    return type(x).__module__.partition(".")[0] == "sympy"


def name(x: Array) -> str:
    """Which of the five number systems `x` (an array made by `asarray`, or a scalar) lives in."""
    if is_torch(x):
        return "torch"
    if isinstance(x, np.ndarray) and x.dtype != object:
        return "float64"
    if isinstance(x, float | int | np.number):
        return "float64"
    first = x.flat[0] if isinstance(x, np.ndarray) else x
    if isinstance(first, flint.fmpq):
        return "rational"
    if isinstance(first, flint.arb):
        return "ball"
    if _is_symbolic(first):
        return "symbolic"
    raise TypeError(f"{type(first).__name__} belongs to none of the number systems {', '.join(NAMES)}")


@lru_cache(maxsize=2**14)
def _from_text(x: str) -> flint.fmpq:
    q = Fraction(x)
    return flint.fmpq(q.numerator, q.denominator)


def _to_fmpq(x: Any) -> flint.fmpq:
    if isinstance(x, flint.fmpq):
        return x
    if isinstance(x, float):
        if not math.isfinite(x):
            raise TypeError(f"{x} is not a rational number")
        x = Fraction(x)  # every float is a rational: exact
    if isinstance(x, str | np.integer):
        return _from_text(str(x))
    if _is_symbolic(x) and x.is_Rational:
        x = Fraction(int(x.p), int(x.q))
    if isinstance(x, int | Fraction):
        return flint.fmpq(x.numerator, x.denominator)
    raise TypeError(f"{x!r} is not a rational number")


def _to_arb(x: Any) -> flint.arb:
    return x if isinstance(x, flint.arb) else flint.arb(_to_fmpq(x))


def _to_sympy(x: Any) -> Any:
    import sympy

    if isinstance(x, sympy.Basic):
        return x
    q = _to_fmpq(x)
    return sympy.Rational(int(q.numerator), int(q.denominator))


def _to_float(x: Any) -> float:
    if isinstance(x, flint.fmpq):
        return int(x.numerator) / int(x.denominator)
    return float(Fraction(x)) if isinstance(x, str) else float(x)


_CASTS: dict[str, Callable[[Any], Any]] = {
    "rational": _to_fmpq,
    "ball": _to_arb,
    "symbolic": _to_sympy,
}


def _objects(f: Callable[..., Any], *arrays: Any) -> Any:
    """`f` applied elementwise to object arrays; scalars in, scalar out."""
    return np.frompyfunc(f, len(arrays), 1)(*arrays)


def convert(x: Any, to: str) -> Array:
    """`x` (nested lists or any array) in the number system `to`.

    Floats become the rational they are; the string `"1/3"` becomes one third. Raises `TypeError` for an entry that
    has no exact value in the target, `ValueError` for an unknown name.
    """
    if to not in NAMES:
        raise ValueError(f"unknown number system {to!r}; choose from {', '.join(NAMES)}")
    if is_torch(x):
        if to == "torch":
            return x
        x = x.detach().cpu().numpy()
    if to == "symbolic":
        import sympy  # noqa: F401  # now, rather than inside a numpy loop whose error flags it would disturb
    if to in _CASTS:
        out = _objects(_CASTS[to], np.asarray(x, dtype=object))
        return out if isinstance(out, np.ndarray) else np.array(out, dtype=object)
    a = np.asarray(x)
    out = a.astype(np.float64) if a.dtype.kind in "fiub" else _objects(_to_float, a.astype(object))
    out = np.asarray(out, dtype=np.float64)
    if to == "torch":
        import torch  # the caller asked for it by name

        return torch.from_numpy(np.ascontiguousarray(out))
    return out


def asarray(x: Any) -> Array:
    """`x` as an array of the number system its entries call for.

    Integers are neutral and strings are rationals, so `[1, "1/2", 0]` is rational. Raises `ValueError` when
    floats meet exact numbers (say which you mean with `convert`) or when an entry is no number.
    """
    if is_torch(x):
        return x if x.is_floating_point() else x.double()
    try:
        a = np.asarray(x)
    except ValueError as ragged:
        raise ValueError(f"not a rectangular array of numbers: {ragged}") from None
    if a.dtype.kind in "fiub":
        return a.astype(np.float64, copy=False)
    a = np.asarray(x, dtype=object)
    if not a.size:
        return a.astype(np.float64)
    kinds = {_kind(t) for t in set(map(type, a.flat))}
    if "unknown" in kinds:
        raise ValueError(f"not an array of numbers: {next(e for e in a.flat if _kind(type(e)) == 'unknown')!r}")
    if "float64" in kinds and kinds & {"rational", "ball", "symbolic"}:
        raise ValueError(
            "floats and exact numbers are mixed in one array; say which you mean with number_systems.convert"
        )
    target = next((k for k in ("symbolic", "ball", "rational") if k in kinds), "float64")
    try:
        return convert(a, target)
    except (TypeError, ValueError, ZeroDivisionError) as bad:
        raise ValueError(f"not an array of numbers: {bad}") from None


def _kind(kind: Any) -> str:
    if issubclass(kind, bool | np.bool_ | int | np.integer):
        return "int"
    if issubclass(kind, float | np.floating):
        return "float64"
    if issubclass(kind, flint.arb):
        return "ball"
    if kind.__module__.partition(".")[0] == "sympy":
        return "symbolic"
    return "rational" if issubclass(kind, flint.fmpq | Fraction | str) else "unknown"


def common(*arrays: Array) -> list[Array]:
    """The arrays in one number system: rationals follow balls and symbols; anything else that differs raises
    `ValueError`.

    A float array of whole numbers (a 0/1 reward, a one-hot policy) is exact and follows too.
    """
    names = [name(a) for a in arrays]
    precisions = {a.dtype for a, n in zip(arrays, names, strict=True) if n == "torch"}
    if len(precisions) > 1:
        raise ValueError(f"tensors of different precision are mixed: {', '.join(sorted(map(str, precisions)))}")
    if len(set(names)) == 1:
        return list(arrays)
    target = next((k for k in ("torch", "symbolic", "ball", "rational") if k in names), "float64")
    for a, n in zip(arrays, names, strict=True):
        whole = n == "float64" and bool(np.all(np.isfinite(a) & (a == np.floor(a))))
        if n != target and not (whole or (n == "rational" and target in ("ball", "symbolic"))):
            raise ValueError(
                f"number systems {n} and {target} are mixed; say which you mean with number_systems.convert"
            )
    out = [a if n == target else convert(a, target) for a, n in zip(arrays, names, strict=True)]
    if target == "torch":
        like = next(a for a, n in zip(arrays, names, strict=True) if n == "torch")
        out = [a if n == target else a.to(like) for a, n in zip(out, names, strict=True)]
    return out
