"""One clear error for bad input, naming what is wrong and where, before any work starts.

Every check raises `ValueError`. Probabilities must be finite, non-negative and sum to one along the axis of the
outcome: exactly for rationals, up to `TOLERANCE` for floats, up to the enclosure for balls, identically for symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from distil_theory import number_systems as ns
from distil_theory.number_systems import Array
from distil_theory.number_systems.rational_functions import is_zero

TOLERANCE = 1e-9
"""Largest deviation of a float row sum from one; a row of a few thousand roundings stays far below it."""


def as_mask(mask: Any) -> np.ndarray:
    """Booleans of any number system, wherever they are, as an array of numpy."""
    return np.asarray(mask.detach().cpu() if ns.is_torch(mask) else mask, dtype=bool)


def _place(mask: np.ndarray, axes: Sequence[str]) -> tuple[tuple[int, ...], str]:
    """First marked index, and how a person would say it: `h=0, s=2, a=1`."""
    index = tuple(int(i) for i in np.argwhere(mask)[0])
    labels = [*axes, *("batch" for _ in range(len(index) - len(axes)))]
    return index, ", ".join(f"{label}={i}" for label, i in zip(labels, index, strict=True))


def shape(what: str, array: Array, expected: Sequence[int | None], axes: Sequence[str]) -> None:
    """`array` has the expected shape; `None` admits any length. Nothing may be empty."""
    got = tuple(array.shape)
    wanted = f"({', '.join(axes)})"
    if len(got) != len(expected):
        raise ValueError(f"{what} has shape {got}: expected {len(expected)} axes {wanted}")
    for length, want, axis in zip(got, expected, axes, strict=True):
        if length == 0:
            raise ValueError(f"{what} is empty: axis {axis} of shape {got} has length 0")
        if want is not None and length != want:
            raise ValueError(f"{what} has shape {got}: axis {axis} should have length {want} in {wanted}")


def batched(what: str, array: Array, core: Sequence[int], axes: Sequence[str]) -> None:
    """`array` has the core shape, followed by any batch axes."""
    extra = max(array.ndim - len(core), 0)
    shape(what, array, [*core, *[None] * extra], [*axes, *["batch"] * extra])


def finite(what: str, array: Array, axes: Sequence[str]) -> None:
    """Every entry is a finite number."""
    bad = ~as_mask(ns.isfinite(array))
    if bad.any():
        index, place = _place(bad, axes)
        at = f" at {place}" if place else ""
        raise ValueError(f"{what} is {array[index]}{at}: expected a finite number")


def distribution(what: str, p: Array, axes: Sequence[str], axis: int) -> None:
    """`p` is a probability distribution along `axis`, whose name is `axes[axis]`."""
    if isinstance(p, np.ndarray) and p.dtype != object and p.min() >= 0:  # NaN is not >= 0
        total = p.sum(axis=axis)
        if max(total.max() - 1, 1 - total.min()) <= TOLERANCE:
            return  # the common case, read twice and no more
    finite(what, p, axes)
    negative = as_mask(ns.isnegative(p))
    if negative.any():
        index, place = _place(negative, axes)
        raise ValueError(f"{what} has the negative probability {p[index]} at {place}")
    total = p.sum(axis=axis)
    wrong = ~as_mask(_is_one(total))
    if wrong.any():
        index, place = _place(wrong, [*axes[:axis], *axes[axis + 1 :]])
        row = p[(*index[:axis], slice(None), *index[axis:])]
        at = f" at {place}" if place else ""
        raise ValueError(f"{what}{at} sums to {total[index] if index else total} over {axes[axis]}, not to 1: {row}")


def _is_one(total: Array) -> Any:
    kind = ns.name(total)
    if kind in ("float64", "torch"):
        # a float32 tensor cannot sum closer to one than its own rounding
        tolerance = TOLERANCE if kind == "float64" or total.element_size() == 8 else 1e-5
        return abs(total - 1) <= tolerance
    if kind == "ball":
        return np.asarray(np.frompyfunc(lambda b: b.contains(1), 1, 1)(total), dtype=bool)
    if kind == "symbolic":
        return np.asarray(np.frompyfunc(lambda e: e == 1 or is_zero(e - 1), 1, 1)(total), dtype=bool)
    return np.asarray(total == 1, dtype=bool)


def positive(what: str, p: Array, axes: Sequence[str], why: str) -> None:
    """No entry of `p` is zero; `why` says what would break."""
    if isinstance(p, np.ndarray) and p.dtype != object and p.min() > 0:
        return
    zero = as_mask(ns.iszero(p))
    if zero.any():
        _, place = _place(zero, axes)
        raise ValueError(f"{what} is 0 at {place}: {why}")


def whole(what: str, n: Any, least: int) -> int:
    """`n` as an int; booleans and fractions are refused."""
    if isinstance(n, bool | np.bool_) or not isinstance(n, int | np.integer) or n < least:
        raise ValueError(f"{what} must be a whole number >= {least}, not {n!r}")
    return int(n)


def observation_map(observation: Any, states: int) -> np.ndarray:
    """The map `S -> O` as a read-only int array whose values are exactly `0..O-1`."""
    try:
        o = np.asarray(observation)
    except ValueError:
        o = np.empty(0)  # ragged
    if o.shape != (states,) or o.dtype.kind not in "iu":
        raise ValueError(f"observation must map each of the {states} states to a whole number, not {observation!r}")
    if o.min() < 0 or o.max() >= states:
        s = int(np.argmax((o < 0) | (o >= states)))
        raise ValueError(f"observation of s={s} is {o[s]}: out of range 0..{states - 1}")
    missing = sorted(set(range(int(o.max()) + 1)) - set(o.tolist()))
    if missing:
        raise ValueError(f"observations must be numbered without gaps: no state is seen as {missing[0]}")
    o = o.astype(np.int64)
    o.flags.writeable = False
    return o
