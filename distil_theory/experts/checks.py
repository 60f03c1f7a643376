"""What every expert checks first: policies of no particular problem, and dials."""

from __future__ import annotations

from typing import Any

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import solve, validate
from distil_theory.number_systems import Array

AXES = ("h", "s", "a")


def policies(**named: Any) -> list[Array]:
    """Policies `(H,S,A,*B)`, in one number system, with equally many batch axes.

    Raises:
        ValueError: one of them is no policy, or they differ in shape (the message says which).
    """
    arrays = ns.common(*map(ns.asarray, named.values()))
    core: tuple[Any, ...] = tuple(arrays[0].shape[:3]) if arrays[0].ndim >= 3 else (None, None, None)
    for what, p in zip(named, arrays, strict=True):
        validate.batched(what, p, core, AXES)
        validate.distribution(what, p, AXES, 2)
    one_batch(**{what: tuple(p.shape[3:]) for what, p in zip(named, arrays, strict=True)})
    n = max(p.ndim for p in arrays) - 3
    return [solve.align(p, n, 3) for p in arrays]


def one_batch(**shapes: tuple[int, ...]) -> None:
    """Raises `ValueError` if batch shapes that are not empty differ."""
    if len({shape for shape in shapes.values() if shape}) > 1:
        raise ValueError(f"batch shapes differ: {', '.join(f'{who} {shape}' for who, shape in shapes.items())}")


def number(what: str, value: Any, batch: tuple[int, ...], like: Array) -> tuple[Array, Array]:
    """A finite number `>= 0`, or an array of them over the batch; and `like` in the same number system.

    Raises:
        ValueError: no number, negative, of another number system or of another shape than the batch.
    """
    if isinstance(value, bool | None):
        raise ValueError(f"{what} must be a number or an array of numbers, not {value!r}")
    try:
        given = ns.asarray(value)
        x, like = ns.common(given, like)
    except ValueError as bad:
        raise ValueError(f"{what}: {bad}") from None
    x = x.reshape(tuple(given.shape))  # a scalar that becomes a tensor may come back with one axis
    validate.finite(what, x, ["batch"] * x.ndim)
    if x.ndim and batch and tuple(x.shape) != batch:
        raise ValueError(f"{what} has shape {tuple(x.shape)}, the batch has {batch}")
    _refuse(what, x, ns.isnegative(x), "not be negative")
    return x, like


def dial(what: str, value: Any, like: Array) -> tuple[Array, Array]:
    """A number in [0,1], or an array of them over the batch axes of `like`; and `like (H,S,A,*B)` itself, in the same
    number system, with batch axes for it."""
    x, like = number(what, value, tuple(like.shape[3:]), like)
    _refuse(what, x, ns.isnegative(1 - x), "not exceed 1")
    return x, solve.align(like, x.ndim, 3)


def _refuse(what: str, x: Array, bad: Any, must: str) -> None:
    """Raises `ValueError` for the first number that is marked bad."""
    marked = np.argwhere(validate.as_mask(bad))
    if len(marked):
        place = f" at batch={', '.join(map(str, marked[0]))}" if x.ndim else ""
        raise ValueError(f"{what} is {x[tuple(marked[0])]}{place}: it must {must}")
