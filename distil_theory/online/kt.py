r"""The add-1/2 predictor of Krichevsky and Trofimov (1981): a student that pays hardly more than hindsight.

One cell `(h, s)` meets a sequence of labels `x_1, x_2, ...` out of `A` actions and predicts each one before it comes,

    pi(a) = (n_a + 1/2) / (n + A/2),      n_a: how often the label was `a` so far,  n = sum n_a.

The probability that it gives to a whole sequence is a telescoping product, so it depends on the counts only,

    Q = prod_a prod_{j < n_a} (j + 1/2)  /  prod_{t < n} (t + A/2),

and `-log Q` exceeds the loss of the best fixed distribution in hindsight, `-sum_a n_a log(n_a/n)`, by at most
`(A-1)/2 log n + log A`: claim 11.

Counts are `(H,S,A,*B)`, or any array whose axis of actions is named by `axis`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flint
import numpy as np
from scipy.special import gammaln

from distil_theory import number_systems as ns
from distil_theory import validate
from distil_theory.number_systems import Array


def predictor(counts: Array, axis: int = 2) -> Array:
    """`(counts + 1/2) / (n + A/2)`, of the shape of `counts` and in its number system (integers become floats).

    Args:
        counts: how often each action was the label, `(H,S,A,*B)`; no entry negative.
        axis: of the actions.

    Raises:
        ValueError: a negative count, one that is no finite number, or no such axis.
    """
    counts = _counts(counts, axis)
    return (2 * counts + 1) / (2 * counts.sum(axis=axis, keepdims=True) + counts.shape[axis])


def log_loss(counts: Array, axis: int = 2) -> Array:
    """What the predictor pays in all for any sequence with these counts: `-log Q`, in nats, without the action axis."""
    counts = ns.convert(_counts(counts, axis), "float64")
    actions, n = counts.shape[axis], counts.sum(axis=axis)
    ways = (gammaln(counts + 0.5) - gammaln(0.5)).sum(axis=axis)
    return gammaln(n + actions / 2) - gammaln(actions / 2) - ways


def hindsight(counts: Array, axis: int = 2) -> Array:
    """What the best fixed distribution pays: `-sum_a n_a log(n_a/n)`, in nats, without the action axis."""
    counts = _counts(counts, axis)
    return ns.xlogx(counts.sum(axis=axis)) - ns.xlogx(counts).sum(axis=axis)


def regret(counts: Array, axis: int = 2) -> Array:
    """`log_loss - hindsight` of each cell, in nats."""
    return log_loss(counts, axis) - hindsight(ns.convert(_counts(counts, axis), "float64"), axis)


def probability(counts: Sequence[int] | np.ndarray) -> Any:
    """`Q` of one cell as an exact rational.

    Args:
        counts: `A` whole numbers.

    Raises:
        ValueError: one of them is no whole number or negative.
    """
    told = [validate.whole("a count", n, 0) for n in counts]
    q, n = flint.fmpq(1), 0
    for count in told:
        for j in range(count):
            q *= flint.fmpq(2 * j + 1, 2 * n + len(told))
            n += 1
    return q


def _counts(counts: Array, axis: int) -> Array:
    counts = ns.asarray(counts)
    good = ns.name(counts) == "symbolic" or bool(np.all(np.asarray(ns.isfinite(counts) & (counts >= 0))))
    if not np.prod(counts.shape) or not good:
        raise ValueError("counts of labels must be finite numbers >= 0, and at least one of them")
    if not -counts.ndim <= axis < counts.ndim:
        raise ValueError(f"counts of shape {tuple(counts.shape)} have no axis {axis} of actions")
    return counts
