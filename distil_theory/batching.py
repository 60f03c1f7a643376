"""Batches worked through in pieces that fit the cache.

With batch axes last, every line of array arithmetic runs over the whole batch; on ten thousand instances each
intermediate result would travel to main memory and back. So the solver is written as *kernels*, plain functions of
arrays, and `in_pieces` feeds them a piece of the batch at a time: the same numbers, several times faster, and no loop
over instances. Only large float64 batches are cut; the other number systems are not limited by memory traffic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from distil_theory import number_systems as ns
from distil_theory.number_systems import Array

PIECE = 2**21
"""Bytes of input per piece: small enough for the cache, large enough that a numpy call costs nothing."""

# glibc returns freed memory to the system, and every first touch of it again is a page fault; having freed one array
# of this size, it keeps up to twice as much. A factor of two on batches of ten thousand MDPs; elsewhere no effect.
np.empty(31 * 2**20, dtype=np.uint8)


def compact(x: Array) -> Array:
    """A copy of `x` in one block of memory; axes that repeat one entry stay repeated by view."""
    strides = x.stride() if ns.is_torch(x) else x.strides
    kept = x[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in strides)]
    return ns.broadcast_to(kept.clone() if ns.is_torch(x) else kept.copy(), x.shape)


def in_pieces(kernel: Callable[..., Any], *operands: tuple[Array, int]) -> Any:
    """`kernel(*arrays)`, evaluated piece by piece along the longest batch axis.

    Args:
        kernel: acts on each instance of the batch alone; returns an array or a tuple of arrays, batch axes last.
        operands: pairs of an array and its number of core axes. What follows the core axes are batch axes: equally
            many (lengths of one broadcast), or none.

    Returns:
        What `kernel` returns on the whole arrays.
    """
    arrays = [array for array, _ in operands]
    batch = np.broadcast_shapes(*(tuple(array.shape[core:]) for array, core in operands))
    if not batch or any(ns.is_torch(array) or array.dtype == object for array in arrays):
        return kernel(*arrays)
    axis = int(np.argmax(batch)) - len(batch)
    step = PIECE // max(sum(_bytes(*operand) for operand in operands) * math.prod(batch) // batch[axis], 1)
    if step >= batch[axis]:
        return kernel(*arrays)
    results: list[np.ndarray] = []
    for start in range(0, batch[axis], max(step, 1)):
        here: Any = (..., slice(start, start + max(step, 1)), *(slice(None),) * (-axis - 1))
        # copied, so that the kernel reads one block and not rows that lie a whole batch apart
        cut = [compact(x[here]) if x.ndim > core and x.shape[axis] > 1 else x for x, core in operands]
        piece = kernel(*cut)
        parts = piece if isinstance(piece, tuple) else (piece,)
        if not results:
            shapes = [[*part.shape[:axis], batch[axis], *part.shape[part.ndim + axis + 1 :]] for part in parts]
            results = _room(shapes)
        for result, part in zip(results, parts, strict=True):
            result[here] = part
    return tuple(results) if isinstance(piece, tuple) else results[0]


def _room(shapes: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """Uninitialised arrays in one block: one large block gets huge pages, many middling ones thousands of faults."""
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(np.empty(ends[-1]), ends[:-1]), shapes, strict=True)]


def _bytes(array: np.ndarray, core: int) -> int:
    """What one instance of a batch reads; an array that all instances share does not count."""
    if array.ndim == core:
        return 0
    return 8 * math.prod(n for n, stride in zip(array.shape[:core], array.strides[:core], strict=True) if stride)
