r"""How much of the best direction does an objective take? (THEORY claim 21)

A direction moves the logits, and so the student by `d log pi = eps g` with `E_pi g = 0`. In the inner product
`<x, y> = sum_h E_{d^pi, pi}[x y]` it moves the student by `(eps^2/2) |g|^2` nats of KL per episode and the return by
`eps <g, A>`, up to higher orders. So of all directions that move equally far the advantage itself gains most: the
natural policy gradient. What another one takes of that is

    e(g) = <g, A> / (|g| |A|),    between -1 and 1.

No objective takes more than 1, whatever its teacher knows. A student who sees only `o` is compared with `E[A | o, a]`,
the best that it could do, and one of a restricted class with the projection of that (claim 17).

Roots leave the rationals, so an `Efficiency` keeps its three parts; signed squares are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import objectives, solve, updates
from distil_theory.aliasing import pool, visible
from distil_theory.divergences import FORWARD_KL, FDivergence
from distil_theory.number_systems import Array
from distil_theory.point import Point
from distil_theory.spec import TabularMDP

ROUNDING = 1e-24
"""Of floats: a squared length below this share of what it was before centring, at what is seen, or before projecting is
rounding, that is 0."""


class Efficiency(NamedTuple):
    """A direction `g` beside the best one, shape `B` each: `rate` is `<g, A>`, `moved` is `|g|^2`, `best` is `|A|^2`.

    Where nothing moves (`moved = 0`) or nothing can be gained (`best = 0`) there is no efficiency: floats are NaN
    there, other number systems raise `ValueError`.
    """

    rate: Array
    moved: Array
    best: Array

    @property
    def value(self) -> Array:
        """`e`; of rationals only where the root is rational (else `TypeError`)."""
        moved, best = self._lengths
        return self.rate / best * ns.sqrt(best / moved)  # the product of the lengths might underflow

    @property
    def squared(self) -> Array:
        """`e |e|`, the square with the sign of the rate: exact in rationals."""
        moved, best = self._lengths
        return (self.rate / best) * (abs(self.rate) / moved)

    @property
    def _lengths(self) -> tuple[Array, Array]:
        """`moved` and `best`, where both are positive."""
        still, flat = ns.iszero(self.moved), ns.iszero(self.best)
        if ns.name(self.moved) in ("float64", "torch"):
            nan = self.moved * 0 + self.best * 0 + np.nan
            return ns.where(still | flat, nan, self.moved), ns.where(still | flat, nan, self.best)
        if np.any(still | flat):
            what = "the direction moves nothing" if np.any(still) else "the policy gradient is zero"
            raise ValueError(f"there is no efficiency: {what}")
        return self.moved, self.best


def of_objective(
    mdp: TabularMDP,
    student: Array,
    expert: Array,
    divergence: FDivergence,
    geometry: str = "natural",
    weight: Array | None = None,
    part: str = "local",
) -> Efficiency:
    """The efficiency of a small step on a divergence to an expert; arguments and errors as
    `objectives.improvement_rate`, which is its `rate`."""
    args = (mdp, student, expert, divergence)
    move = updates.direction(*args, geometry, weight, part)

    def raw(x: Point) -> Array:
        return pool(mdp, x.flow * x.score) if geometry == "euclidean" else x.velocity(geometry)

    return _compared(mdp, student, move, objectives.at(*args, weight, part, raw))


def of_direction(mdp: TabularMDP, student: Array, step_direction: Array, features: Sequence[Array] = ()) -> Efficiency:
    """The efficiency of any direction of the logits.

    Args:
        mdp: one MDP or a batch.
        student: `(H,S,A,*B)`, full support, constant on states that look alike.
        step_direction: `(H,O,A,*B)`, up to a constant per observation; `-objectives.loss_gradient` of whatever loss,
            or what an optimiser makes of it. Of one student many directions may be given.
        features: of a restricted class (`updates.project`): what it can follow of both directions is compared.

    Raises:
        ValueError: as `updates.first_order_change` and `updates.project`.
    """
    return _compared(mdp, student, step_direction, step_direction, features)


def _compared(
    mdp: TabularMDP, student: Array, step_direction: Array, raw: Array, features: Sequence[Array] = ()
) -> Efficiency:
    """`of_direction`; `raw` is the direction before anybody centred it, of the size that rounding has to do with."""
    p, seen, q = _ground(mdp, student)
    move, best = step_direction, q
    if len(features):
        move, best = (updates.project(mdp, student, x, features) for x in (move, best))
    rate = updates.first_order_change(mdp, student, move)
    flow = seen[:, :, None] * p

    def squared_length(x: Array, before: Array) -> Array:
        f, mean, x, before = (solve.align(ns.common(ns.asarray(y), p)[0], n, 3) for y in (flow, p, x, before))
        length, full = ((f * y * y).sum(axis=2) for y in (x - _mean(mean, x), before))
        if len(features):  # projecting mixes what is seen, centring does not
            length, full = (y.sum(axis=(0, 1), keepdims=True) for y in (length, full))
        if ns.name(length) in ("float64", "torch"):
            length = ns.where(length <= ROUNDING * full, length * 0, length)
        return length.sum(axis=1).sum(axis=0) + rate * 0  # of every batch the whole shape

    n = max(ns.asarray(move).ndim, p.ndim) - 3
    return Efficiency(rate, squared_length(move, raw), squared_length(best, q))


def natural_policy_gradient(mdp: TabularMDP, student: Array) -> Array:
    """The best direction: `E[A | o, a]`, shape `(H,O,A,*B)` (Kakade 2001)."""
    p, _, q = _ground(mdp, student)
    return q - _mean(p, q)


def _mean(p: Array, x: Array) -> Array:
    return (p * x).sum(axis=2)[:, :, None]


def _ground(mdp: TabularMDP, student: Array) -> tuple[Array, Array, Array]:
    """What the student does `(H,O,A,*B)`, what it sees `(H,O,*B)`, and `E[Q | o, a]`."""

    def wanted(x: Point) -> tuple[Array, Array, Array]:
        return visible(mdp, x.pi), pool(mdp, x.occupancy), x.given_observation(x.values[1])

    return objectives.at(mdp, student, student, FORWARD_KL, None, "local", wanted)
