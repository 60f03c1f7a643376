r"""What a divergence objective pushes the student towards, and what that does to the return.

The *local* objective holds the states fixed: `L = sum_h E_{s ~ d_h^pi} w_h(s) D_f(pi*_h(.|s) || pi_h(.|s))` with a
stop-gradient on `d` and on the optional state weight `w`. Student logits are `theta[h,o,a]`, one set per
*observation*. Since `d D_f / d theta_b = -pi_b (h_b - E_pi h)` with `h = h_f(u)`, `u = pi*/pi`,

    dL/d theta[h,o,a] = - sum_{s in o} d_h(s) w_h(s) pi_h(a|o) (h_f(u) - E_pi h_f(u))(s,a),
    dJ/d theta[h,o,a] =   sum_{s in o} d_h(s) pi_h(a|o) A_h(s,a)                        (policy gradient).

Claim 1: along the natural step the return changes at the rate `sum_h sum_o d_h(o) Cov_pi( E[Q|o], E[w h|o] )`; along
the Euclidean step `h` is replaced by `d_h(o) pi (h - E_pi h)`. Expectations given `o` are over `d_h^pi(s|o)`; where
`o` is never visited they are taken uniformly, which changes no return.

Everything here is linear in `h_f(u)`, so a divergence whose `h` returns arbitrary rationals checks the identities
exactly. `evaluate` gives values, occupancy and both gradients in one pass: the function to call on a large batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import solve, validate
from distil_theory.aliasing import belief, pool, spread, visible
from distil_theory.batching import in_pieces
from distil_theory.divergences import FDivergence, check_divergence
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP

GEOMETRIES = ("natural", "euclidean", "proximal")


class Evaluation(NamedTuple):
    """A student at one moment: `v (H,S,*B)`, `q (H,S,A,*B)`, `occupancy (H,S,*B)`, and both gradients
    `(H,O,A,*B)`."""

    v: Array
    q: Array
    occupancy: Array
    return_gradient: Array
    local_gradient: Array


def check_geometry(geometry: str) -> None:
    """Raises `ValueError` unless `geometry` is one of `GEOMETRIES`."""
    if geometry not in GEOMETRIES:
        raise ValueError(f"unknown geometry {geometry!r}: choose from {', '.join(GEOMETRIES)}")


def check_pair(
    mdp: TabularMDP, student: Array, expert: Array, divergence: FDivergence | None = None
) -> tuple[Array, Array]:
    """Student and expert as valid `(H,S,A,*B)` arrays with equally many batch axes.

    Raises:
        ValueError: either does not fit the MDP, the student has a zero, the student acts differently in two states
        that look alike, or the expert lacks support that the divergence needs.
    """
    pi, star = ns.common(solve.check_policy(mdp, student, "student"), solve.check_policy(mdp, expert, "expert"))
    validate.positive("student", pi, ["h", "s", "a"], "a softmax student gives every action positive probability")
    if divergence is not None:
        check_divergence(divergence)
        divergence.check_support(star)
    shapes = {"MDPs": mdp.batch_shape, "student": tuple(pi.shape[3:]), "expert": tuple(star.shape[3:])}
    if len({shape for shape in shapes.values() if shape}) > 1:
        raise ValueError(f"batch shapes differ: {', '.join(f'{who} {shape}' for who, shape in shapes.items())}")
    batch_ndim = max(map(len, shapes.values()))
    pi, star = solve.align(pi, batch_ndim, 3), solve.align(star, batch_ndim, 3)
    if mdp.aliased:
        difference = pi - spread(mdp, visible(mdp, pi))
        if ns.name(pi) == "ball":  # equal balls do not cancel: only a certain difference is an error
            differs = ns.isnegative(difference) | ns.isnegative(-difference)
        else:
            differs = ~np.asarray(ns.iszero(difference))
        if differs.any():
            h, s, *_ = np.argwhere(differs)[0]
            raise ValueError(
                f"student at h={h}, s={s} differs from another state with observation {mdp.observation[s]}"
            )
    return pi, star


def covariance(p: Array, x: Array, y: Array, axis: int) -> Array:
    """`Cov_p(x, y)` along `axis`."""
    centred = x - (p * x).sum(axis=axis, keepdims=True)
    return (p * centred * y).sum(axis=axis)


class Point:
    """Student and expert in an MDP: what every objective is made of, each computed once, when asked for.

    Arrays are checked, in one number system, with aligned batch axes.
    """

    def __init__(self, mdp: TabularMDP, h: Any, pi: Array, p: Array, r: Array, rho: Array, *pair: Array) -> None:
        self.mdp, self.h, self.pi, self.p, self.r, self.rho = mdp, h, pi, p, r, rho
        self.star, self.weight = (*pair, None, None)[:2]

    @cached_property
    def values(self) -> tuple[Array, Array]:
        """`v, q` of the student."""
        return solve.backward(self.pi, self.p, self.r)

    @cached_property
    def occupancy(self) -> Array:
        """`d_h(s)` of the student."""
        return solve.forward(self.pi, self.p, self.rho)

    @cached_property
    def flow(self) -> Array:
        """`d_h(s) pi_h(a|s)`."""
        return self.occupancy[:, :, None] * self.pi

    @cached_property
    def score(self) -> Array:
        """`w h_f(u)`, shape `(H,S,A,*B)`."""
        score = self.h(self.star / self.pi)
        return score if self.weight is None else self.weight[:, :, None] * score

    @property
    def return_gradient(self) -> Array:
        """`dJ/d theta[h,o,a]`."""
        v, q = self.values
        return pool(self.mdp, self.flow * (q - v[:, :, None]))

    @property
    def local_gradient(self) -> Array:
        """`dL/d theta[h,o,a]`."""
        mean = (self.pi * self.score).sum(axis=2)
        return pool(self.mdp, self.flow * (mean[:, :, None] - self.score))

    def given_observation(self, x: Array) -> Array:
        """`E[x | o]`, from `(H,S,A,*B)` to `(H,O,A,*B)`."""
        if not self.mdp.aliased:
            return visible(self.mdp, x)
        return pool(self.mdp, belief(self.mdp, self.occupancy)[:, :, None] * x)

    def velocity(self, geometry: str) -> Array:
        """Motion of the logits at `eta = 0`, up to a constant per observation."""
        if geometry == "euclidean":
            return -self.local_gradient
        return self.given_observation(self.score)

    def rate(self, geometry: str) -> Array:
        """Claim 1's sum of covariances."""
        seen, q = pool(self.mdp, self.occupancy), self.given_observation(self.values[1])
        terms = covariance(visible(self.mdp, self.pi), q, self.velocity(geometry), axis=2)
        return (seen * terms).sum(axis=1).sum(axis=0)


def at(
    mdp: TabularMDP,
    student: Array,
    expert: Array,
    divergence: FDivergence,
    weight: Any,
    wanted: Callable[[Point], Any],
) -> Any:
    """What is `wanted` of a `Point`: everything is checked once, then computed in pieces; arguments as
    `local_gradient`."""
    check_divergence(divergence)
    pi, star = check_pair(mdp, student, expert, divergence)
    pi, p, r, rho = solve.problem(mdp, pi)
    batch = np.broadcast_shapes(tuple(pi.shape[3:]), tuple(r.shape[3:]), tuple(star.shape[3:]))
    pi, star = (ns.broadcast_to(x, (*mdp.shape, *batch)) for x in (pi, star))
    operands = [(pi, 3), (p, 4), (r, 3), (rho, 1), (star, 3)]
    if weight is not None:
        w = ns.asarray(weight)
        validate.batched("weight", w, mdp.shape[:2], ["h", "s"])
        validate.finite("weight", w, ["h", "s"])
        if tuple(w.shape[2:]) not in ((), batch):
            raise ValueError(f"weight has batch shape {tuple(w.shape[2:])}, the MDPs and policies have {batch}")
        operands.append((solve.align(ns.common(w, pi)[0], pi.ndim - 3, 2), 2))
    return in_pieces(lambda *arrays: wanted(Point(mdp, divergence.h, *arrays)), *operands)


def evaluate(
    mdp: TabularMDP, student: Array, expert: Array, divergence: FDivergence, weight: Array | None = None
) -> Evaluation:
    """Values, occupancy, policy gradient and local gradient in one pass; arguments and errors as `local_gradient`."""

    def wanted(x: Point) -> tuple[Array, ...]:
        return (*x.values, x.occupancy, x.return_gradient, x.local_gradient)

    return Evaluation(*at(mdp, student, expert, divergence, weight, wanted))


def pooled_score(
    mdp: TabularMDP, student: Array, expert: Array, divergence: FDivergence, weight: Array | None = None
) -> Array:
    """`E[w h_f(u) | o]`, shape `(H,O,A,*B)`: up to a constant per observation, the natural step on the logits."""
    return at(mdp, student, expert, divergence, weight, lambda x: x.velocity("natural"))


def local_loss(mdp: TabularMDP, student: Array, expert: Array, divergence: FDivergence) -> Array:
    """`sum_h E_{s ~ d_h^pi} D_f(pi* || pi)`, shape `B`."""
    pi, star = check_pair(mdp, student, expert)
    return (solve.occupancy(mdp, pi) * divergence.value(star, pi, axis=2)).sum(axis=1).sum(axis=0)


def local_gradient(
    mdp: TabularMDP, student: Array, expert: Array, divergence: FDivergence, weight: Array | None = None
) -> Array:
    """Gradient of the local loss in the logits `theta[h,o,a]`, shape `(H,O,A,*B)`; occupancy and `weight` are held
    fixed.

    Args:
        mdp: one MDP or a batch.
        student: `(H,S,A,*B)`, full support, constant on states that look alike.
        expert: `(H,S,A,*B)`.
        divergence: the objective; cross-entropy has the gradient of `FORWARD_KL`.
        weight: optional state weights `(H,S,*B)`.

    Raises:
        ValueError: invalid policies, or missing support (the message names the place).
    """
    return at(mdp, student, expert, divergence, weight, lambda x: x.local_gradient)


def return_gradient(mdp: TabularMDP, student: Array) -> Array:
    """Policy gradient `dJ/d theta[h,o,a]`, shape `(H,O,A,*B)` (Sutton et al. 2000)."""
    pi, p, r, rho = solve.problem(mdp, solve.check_policy(mdp, student, "student"))
    return in_pieces(lambda *arrays: Point(mdp, None, *arrays).return_gradient, (pi, 3), (p, 4), (r, 3), (rho, 1))


def improvement_rate(
    mdp: TabularMDP,
    student: Array,
    expert: Array,
    divergence: FDivergence,
    geometry: str = "natural",
    weight: Array | None = None,
) -> Array:
    """Claim 1: `dJ/d eta` at `eta = 0` of one step on the local loss, as a sum of covariances; shape `B`.

    The proximal step has the rate of the natural one (its first-order condition at `eta -> 0`).

    Raises:
        ValueError: as `local_gradient`, or an unknown geometry.
    """
    check_geometry(geometry)
    return at(mdp, student, expert, divergence, weight, lambda x: x.rate(geometry))


def occupancy_ratio(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """The weight of claim 2, `w_h(s) = d_h^{pi*}(s) / d_h^pi(s)`, shape `(H,S,*B)`; 0 where the student never goes."""
    pi, star = check_pair(mdp, student, expert)
    ours, theirs = solve.occupancy(mdp, pi), solve.occupancy(mdp, star)
    never = ns.iszero(ours)
    return ns.where(never, ours * 0, theirs / ns.where(never, ours * 0 + 1, ours))
