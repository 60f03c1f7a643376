r"""One update of the student, in three geometries.

*Euclidean*: plain gradient descent on the logits, `Delta theta = -dL/d theta`. *Natural*: the same preconditioned
with the Fisher matrix weighted by `d^pi`, which per observation gives `Delta theta = E[h_f(u)|o]` up to a constant;
we centre it under `pi`. Either way the new policy is `pi_eta ∝ pi exp(eta Delta theta)`. *Proximal*: the exact
minimiser of

    E[ D_f(pi*||x) | o ] + KL(pi_old || x) / eta.

For forward cross-entropy that is the mixture `(pi_old + eta pi*)/(1 + eta)`. In general the stationarity condition
`E[h_f(pi*_a/x_a)|o] + pi_old_a/(eta x_a) = lambda` has, for each multiplier `lambda`, one root `x_a(lambda)` per
action, decreasing in `lambda`, and `sum_a x_a(lambda) = 1` fixes the multiplier: a scalar root inside a scalar root,
both bracketed. To first order in `eta` the proximal step is the natural one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import objectives, solve, validate
from distil_theory.aliasing import belief, pool, spread, visible
from distil_theory.divergences import FORWARD_KL, FDivergence
from distil_theory.number_systems import Array
from distil_theory.objectives import check_pair
from distil_theory.point import Point, check_geometry
from distil_theory.spec import TabularMDP


def direction(
    mdp: TabularMDP,
    student: Array,
    expert: Array,
    divergence: FDivergence,
    geometry: str = "natural",
    weight: Array | None = None,
    part: str = "local",
) -> Array:
    """Velocity of the logits `Delta theta[h,o,a]` at `eta = 0`, shape `(H,O,A,*B)`, centred under the student.

    Raises:
        ValueError: as `objectives.loss_gradient`, or an unknown geometry.
    """
    check_geometry(geometry)

    def wanted(x: Point) -> Array:
        g, p = x.velocity(geometry), visible(mdp, x.pi)
        return g - (p * g).sum(axis=2)[:, :, None]

    return objectives.at(mdp, student, expert, divergence, weight, part, wanted)


def project(mdp: TabularMDP, student: Array, step_direction: Array, features: Sequence[Array]) -> Array:
    """The part of a natural direction that a restricted class can follow, shape `(H,O,A,*B)`, centred.

    Logits `theta = sum_k w_k phi_k` can only move in the span of the features; the natural gradient of the class is the
    projection in `<x, y> = sum_h sum_o d_h(o) Cov_pi(x, y)` (claims 6b and 17). Gram-Schmidt needs only `+ - * /`:
    it is exact on rationals.

    Args:
        mdp: one MDP or a batch.
        student: `(H,S,A,*B)`.
        step_direction: the natural `direction` of the unrestricted student.
        features: arrays `phi_k`, each `(H,O,A,*B)`; one that depends on the others linearly adds nothing.

    Raises:
        ValueError: no features, or a feature of the wrong shape.
    """
    if not isinstance(features, Sequence | np.ndarray) or not len(features):
        raise ValueError("features is empty or no sequence: a restricted class needs at least one array (H,O,A)")
    pi = solve.check_policy(mdp, student, "student")
    step_direction = _check_direction(mdp, pi, step_direction)
    seen = pool(mdp, solve.occupancy(mdp, pi))[:, :, None] * visible(mdp, pi)

    def inner(x: Array, y: Array) -> Array:
        return (seen * x * y).sum(axis=2).sum(axis=1).sum(axis=0)

    moved = step_direction * 0
    basis: list[tuple[Array, Array]] = []

    def along(phi: Array, size: Array, x: Array) -> Array:
        """Component of `x` along `phi`; nothing where `phi` vanished."""
        void = ns.iszero(size)
        return phi * ns.where(void, size * 0, inner(phi, x) / ns.where(void, size * 0 + 1, size))

    for k, feature in enumerate(features):
        phi = ns.asarray(feature)
        validate.shape(f"feature {k}", phi, step_direction.shape, ["h", "o", "a", *["batch"] * (phi.ndim - 3)])
        validate.finite(f"feature {k}", phi, ["h", "o", "a"])
        phi = ns.common(phi, pi)[0]
        phi = phi - (visible(mdp, pi) * phi).sum(axis=2)[:, :, None]
        full = inner(phi, phi)
        for other, size in basis:
            phi = phi - along(other, size, phi)
        size = inner(phi, phi)
        if ns.name(size) in ("float64", "torch"):  # what rounding left of a combination of earlier features
            size = ns.where(size <= 1e-20 * full, size * 0, size)
        basis.append((phi, size))
        moved = moved + along(phi, size, step_direction)
    return moved


def first_order_change(mdp: TabularMDP, student: Array, step_direction: Array) -> Array:
    """`dJ/d eta` along a direction of the logits, `<dJ/d theta, Delta theta>`, shape `B`."""
    gradient = objectives.return_gradient(mdp, student)
    move = _check_direction(mdp, gradient, step_direction)
    ndim = max(gradient.ndim, move.ndim) - 3
    return (solve.align(gradient, ndim, 3) * solve.align(move, ndim, 3)).sum(axis=2).sum(axis=1).sum(axis=0)


def _check_direction(mdp: TabularMDP, like: Array, step_direction: Any) -> Array:
    """A direction as a finite `(H,O,A,*B)` array in the number system of `like`."""
    move = ns.asarray(step_direction)
    steps, _, actions = mdp.shape
    validate.batched("step_direction", move, (steps, mdp.observations, actions), ["h", "o", "a"])
    validate.finite("step_direction", move, ["h", "o", "a"])
    batch, others = tuple(move.shape[3:]), tuple(like.shape[3:])
    if batch and others and batch != others:
        raise ValueError(f"step_direction has batch shape {batch}, the MDPs and policies have {others}")
    return ns.common(move, like)[0]


def _check_step(eta: Any, like: Array) -> Array:
    """A finite step size, or an array of them, in the number system of `like`."""
    if isinstance(eta, bool | None):
        raise ValueError(f"eta must be a number or an array of numbers, not {eta!r}")
    step = ns.common(ns.asarray(eta), like)[0]
    validate.finite("eta", step, ["batch"] * step.ndim)
    return step


def exponential_step(mdp: TabularMDP, student: Array, step_direction: Array, eta: Array) -> Array:
    """`pi exp(eta Delta theta) / Z`, shape `(H,S,A,*B)`: the Euclidean or natural step of size `eta`.

    Args:
        mdp: one MDP or a batch.
        student: `(H,S,A,*B)`.
        step_direction: `(H,O,A,*B)` from `direction`.
        eta: a number, or an array of step sizes that broadcasts with the batch axes (one instance, many steps).
    """
    pi = solve.check_policy(mdp, student, "student")
    move = spread(mdp, _check_direction(mdp, pi, step_direction))
    eta = _check_step(eta, pi)
    batch_ndim = max(move.ndim - 3, eta.ndim)
    move = solve.align(move, batch_ndim, 3) * eta
    if ns.name(move) != "symbolic":
        move = move - ns.amax(move, 2)[:, :, None]  # the largest factor is 1: nothing overflows
    new = solve.align(pi, batch_ndim, 3) * ns.exp(move)
    return new / new.sum(axis=2)[:, :, None]


def proximal_step(mdp: TabularMDP, student: Array, expert: Array, divergence: FDivergence, eta: Array) -> Array:
    """The exact proximal minimiser, shape `(H,S,A,*B)`.

    Args:
        mdp: one MDP or a batch.
        student, expert: `(H,S,A,*B)`.
        divergence: forward KL has a closed form in every number system; the others are solved in float64.
        eta: positive number, or array of step sizes that broadcasts with the batch axes.

    Raises:
        ValueError: invalid policies or support; `eta <= 0`; a dual solve that did not converge.
        TypeError: another divergence than forward KL outside float64.
    """
    pi, star = check_pair(mdp, student, expert, divergence)
    eta = _check_step(eta, pi)
    if not validate.as_mask(eta > 0).all():
        raise ValueError(f"eta must be positive, not {eta}")
    batch_ndim = max(pi.ndim - 3, eta.ndim)
    given = solve.align(belief(mdp, solve.occupancy(mdp, pi)), batch_ndim, 2)[:, :, None]
    pi, star = solve.align(pi, batch_ndim, 3), solve.align(star, batch_ndim, 3)
    old = visible(mdp, pi)
    if divergence.h is FORWARD_KL.h:
        return spread(mdp, (old + eta * pool(mdp, given * star)) / (1 + eta))
    if ns.name(pi) != "float64":
        raise TypeError(f"the proximal step of {divergence.name} is solved numerically: convert to 'float64' first")

    def slope(x: np.ndarray) -> np.ndarray:
        return pool(mdp, given * divergence.h(star / spread(mdp, x)))

    return spread(mdp, _dual(slope, old + eta * 0, eta))


def _dual(h_at: Callable[[np.ndarray], np.ndarray], old: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Solve `h_at(x) + old/(eta x) = lambda`, `sum_a x = 1` for `x`, actions on axis 2. In the relative step `z =
    x/old` the roots lie in `[1/(1 + eta span h), 1/old]`, and `lambda - 1/eta` between the extremes of `h` at `z =
    1`."""
    h = h_at(old)
    low, high = h.min(axis=2), h.max(axis=2)
    z_low = 1 / (1 + eta * (high - low)[:, :, None]) * (1 - 1e-12) + 0 * old

    def actions(mu: np.ndarray) -> np.ndarray:
        def residual(z: np.ndarray) -> np.ndarray:
            return h_at(old * z) - mu[:, :, None] + (1 / z - 1) / eta

        z_high = 1 / old + 0 * z_low
        beyond = residual(z_high) > 0  # the root would exceed probability one: clip, the sum is too large anyway
        return old * np.where(beyond, z_high, bisect(residual, z_low, z_high, geometric=True))

    x = actions(bisect(lambda mu: actions(mu).sum(axis=2) - 1, low, high))
    total = x.sum(axis=2)
    if not np.allclose(total, 1, rtol=0, atol=1e-9):
        raise ValueError(
            f"the proximal dual did not converge: probabilities sum to {total.flat[abs(total - 1).argmax()]}"
        )
    return x / total[:, :, None]


def bisect(
    decreasing: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray, *, geometric: bool = False
) -> np.ndarray:
    """Root of an elementwise decreasing function between `low` and `high`, to the last bits, jumps included."""
    for _ in range(60 if geometric else 120):
        middle = np.sqrt(low) * np.sqrt(high) if geometric else (low + high) / 2
        right = decreasing(middle) > 0
        low, high = np.where(right, middle, low), np.where(right, high, middle)
    return (low + high) / 2
