"""Experts made from experts: over-confident, collapsed, slow, and hidden behind their actions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import solve, validate
from distil_theory.experts.checks import AXES, dial, policies
from distil_theory.number_systems import Array


def overconfident(expert: Array, student: Array, excess: Any) -> Array:
    """`pi* ∝ pi u^(1 + excess)` with `u = expert / student`, shape `(H,S,A,*B)`.

    Of the success-conditioned expert it makes `pi (Q/V)^(1 + excess)`.

    Args:
        expert, student: `(H,S,A,*B)`; the student with full support.
        excess: one number `>= -1`: 0 is the expert, -1 the student, infinity would leave the largest ratio only.
            Rationals admit whole numbers, and halves where the roots are rational.

    Raises:
        ValueError: no policies, different shapes, no full support; an excess that is no number or below -1.
        TypeError: a power that is not rational.
    """
    star, pi = policies(expert=expert, student=student)
    validate.positive("student", pi, AXES, "a softmax student gives every action positive probability")
    try:
        if isinstance(excess, bool):
            raise TypeError
        exponent = 1 + Fraction(excess if isinstance(excess, int | float) else str(excess))
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        raise ValueError(f"excess must be one finite number, not {excess!r}") from None
    if exponent < 0:
        raise ValueError(f"excess is {excess}: below -1 the expert would advise against what it knows")
    u = star / pi
    if ns.name(u) != "symbolic":
        u = u / ns.amax(u, 2)[:, :, None]  # the largest ratio is 1: nothing overflows
    weights = pi * ns.power(u, exponent)
    return weights / weights.sum(axis=2)[:, :, None]


def collapsed(expert: Array, amount: Any) -> Array:
    """`(1 - amount) pi* + amount onehot(argmax pi*)`, shape `(H,S,A,*B)`; of equal favourites the first.

    Args:
        expert: `(H,S,A,*B)`.
        amount: between 0 and 1; a number, or an array over the batch.

    Raises:
        ValueError: no policy, an amount outside [0,1], balls or symbols that leave the favourite undecided.
    """
    (star,) = policies(expert=expert)
    x, star = dial("amount", amount, star)
    favourite = ns.stack([solve._greedy(rows, h) for h, rows in enumerate(star)])
    return (1 - x) * star + x * favourite


def ema(old: Array, new: Array, rate: Any) -> Array:
    """Exponential moving average `(1 - rate) old + rate new`, shape `(H,S,A,*B)`.

    Args:
        old, new: policies `(H,S,A,*B)`.
        rate: between 0 and 1; a number, or an array over the batch.

    Raises:
        ValueError: no policies, different shapes, a rate outside [0,1].
    """
    old, new = policies(old=old, new=new)
    x, old = dial("rate", rate, old + new * 0)
    new = solve.align(ns.common(new, old)[0], x.ndim, 3)
    return (1 - x) * old + x * new


def sample(expert: Array, h: Any, states: Any, rng: np.random.Generator) -> np.ndarray:
    """A black-box expert: one action for each pair of step and state, drawn independently.

    Args:
        expert: `(H,S,A,*B)`, float64.
        h: steps, whole numbers that broadcast with `states`.
        states: whole numbers `(..., *B)`; without a batch, of any shape.
        rng: the source of randomness; a generator in the same state gives the same actions.

    Returns:
        Actions, whole numbers of the broadcast shape.

    Raises:
        ValueError: no policy in float64; steps or states that are no whole numbers, out of range or do not fit.
    """
    (star,) = policies(expert=expert)
    if ns.name(star) != "float64":
        raise ValueError(f"the expert is {ns.name(star)}: convert to 'float64' to sample from it")
    steps, where = (np.asarray(x) for x in (h, states))
    for what, index, length in (("h", steps, star.shape[0]), ("states", where, star.shape[1])):
        if index.dtype.kind not in "iu":
            raise ValueError(f"{what} must be whole numbers, not {index.dtype}")
        bad = index[(index < 0) | (index >= length)]
        if bad.size:
            raise ValueError(f"{what} has the entry {bad[0]}: out of range 0..{length - 1}")
    try:
        shape = np.broadcast_shapes(steps.shape, where.shape)
    except ValueError:
        raise ValueError(f"h has shape {steps.shape}, states {where.shape}: they do not broadcast") from None
    batch = star.shape[3:]
    if shape[len(shape) - len(batch) :] != batch:
        raise ValueError(f"h and states have shape {shape}: it must end with the batch shape {batch} of the expert")
    own = np.meshgrid(*map(np.arange, batch), indexing="ij", sparse=True)
    below = np.moveaxis(star, 2, -1)[(steps, where, *own)].cumsum(axis=-1)
    # scaled to end at exactly one, so that no draw, all below one, falls off the end
    return (rng.random(shape)[..., None] >= below / below[..., -1:]).sum(axis=-1)
