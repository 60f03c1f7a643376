r"""What a divergence objective pushes the student towards, and what that does to the return.

Along its own rollouts the student pays for disagreeing with the expert,

    L = E_pi sum_h w_h(s_h) D_f(pi*_h || pi_h)(s_h),

with an optional state weight `w` that is held fixed. Student logits are `theta[h,o,a]`, one set per *observation*. All
functions take `part`: `"local"` holds the states fixed too (a stop-gradient on the occupancy, what most codes compute),
`"full"` is the exact gradient, `"future"` their difference, the score-function term (THEORY claim 10; `point`).

    dL/d theta[h,o,a] = - sum_{s in o} d_h(s) pi_h(a|o) (x - E_pi x)(s,a),    local: x = w h_f(pi*/pi),
    dJ/d theta[h,o,a] =   sum_{s in o} d_h(s) pi_h(a|o) A_h(s,a)              (policy gradient).

Claim 1: along the natural step the return changes at the rate `sum_h sum_o d_h(o) Cov_pi( E[Q|o], E[x|o] )`; along
the Euclidean step `x` is replaced by `d_h(o) pi (x - E_pi x)`. Expectations given `o` are over `d_h^pi(s|o)`; where
`o` is never visited they are taken uniformly, which changes no return.

Everything here is linear in `h_f(u)` and in the disagreement, so a divergence whose `h` and `value` return arbitrary
rationals checks the identities exactly. `evaluate` gives values, occupancy and both gradients in one pass: the function
to call on a large batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import solve, validate
from distil_theory.aliasing import spread, visible
from distil_theory.batching import in_pieces
from distil_theory.divergences import FORWARD_KL, FDivergence, check_divergence
from distil_theory.number_systems import Array
from distil_theory.point import Point, check_geometry, check_part
from distil_theory.spec import TabularMDP


class Evaluation(NamedTuple):
    """A student at one moment: `v (H,S,*B)`, `q (H,S,A,*B)`, `occupancy (H,S,*B)`, and both gradients
    `(H,O,A,*B)`."""

    v: Array
    q: Array
    occupancy: Array
    return_gradient: Array
    loss_gradient: Array


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
            differs = ~validate.as_mask(ns.iszero(difference))
        if differs.any():
            h, s, *_ = np.argwhere(differs)[0]
            raise ValueError(
                f"student at h={h}, s={s} differs from another state with observation {mdp.observation[s]}"
            )
    return pi, star


def at(
    mdp: TabularMDP,
    student: Array,
    expert: Array,
    divergence: FDivergence,
    weight: Any,
    part: str,
    wanted: Callable[[Point], Any],
) -> Any:
    """What is `wanted` of a `Point`: everything is checked once, then computed in pieces; arguments as
    `loss_gradient`."""
    check_part(part)
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
    return in_pieces(lambda *arrays: wanted(Point(mdp, divergence, part, *arrays)), *operands)


def evaluate(
    mdp: TabularMDP,
    student: Array,
    expert: Array,
    divergence: FDivergence,
    weight: Array | None = None,
    part: str = "local",
) -> Evaluation:
    """Values, occupancy, policy gradient and loss gradient in one pass; arguments and errors as `loss_gradient`."""

    def wanted(x: Point) -> tuple[Array, ...]:
        return (*x.values, x.occupancy, x.return_gradient, x.loss_gradient)

    return Evaluation(*at(mdp, student, expert, divergence, weight, part, wanted))


def pooled_score(
    mdp: TabularMDP,
    student: Array,
    expert: Array,
    divergence: FDivergence,
    weight: Array | None = None,
    part: str = "local",
) -> Array:
    """`E[x | o]`, shape `(H,O,A,*B)`: up to a constant per observation, the natural step on the logits."""
    return at(mdp, student, expert, divergence, weight, part, lambda x: x.velocity("natural"))


def loss(mdp: TabularMDP, student: Array, expert: Array, divergence: FDivergence) -> Array:
    """`sum_h E_{s ~ d_h^pi} D_f(pi* || pi)`, shape `B`: the objective itself, local or not."""
    pi, star = check_pair(mdp, student, expert)
    return (solve.occupancy(mdp, pi) * divergence.value(star, pi, axis=2)).sum(axis=1).sum(axis=0)


def loss_gradient(
    mdp: TabularMDP,
    student: Array,
    expert: Array,
    divergence: FDivergence,
    weight: Array | None = None,
    part: str = "local",
) -> Array:
    """Gradient of the loss in the logits `theta[h,o,a]`, shape `(H,O,A,*B)`.

    Args:
        mdp: one MDP or a batch.
        student: `(H,S,A,*B)`, full support, constant on states that look alike.
        expert: `(H,S,A,*B)`.
        divergence: the objective; `CROSS_ENTROPY` has the local gradient of `FORWARD_KL`, but another future.
        weight: optional state weights `(H,S,*B)`, held fixed.
        part: `"local"` (occupancy held fixed), `"full"`, or `"future"`, which is their difference.

    Raises:
        ValueError: invalid policies, or missing support (the message names the place).
    """
    return at(mdp, student, expert, divergence, weight, part, lambda x: x.loss_gradient)


def return_gradient(mdp: TabularMDP, student: Array) -> Array:
    """Policy gradient `dJ/d theta[h,o,a]`, shape `(H,O,A,*B)` (Sutton et al. 2000)."""
    pi, p, r, rho = solve.problem(mdp, solve.check_policy(mdp, student, "student"))

    def wanted(pi: Array, p: Array, r: Array, rho: Array) -> Array:
        return Point(mdp, FORWARD_KL, "local", pi, p, r, rho, pi).return_gradient

    return in_pieces(wanted, (pi, 3), (p, 4), (r, 3), (rho, 1))


def improvement_rate(
    mdp: TabularMDP,
    student: Array,
    expert: Array,
    divergence: FDivergence,
    geometry: str = "natural",
    weight: Array | None = None,
    part: str = "local",
) -> Array:
    """Claim 1: `dJ/d eta` at `eta = 0` of one step on the loss, as a sum of covariances; shape `B`.

    The proximal step has the rate of the natural one (its first-order condition at `eta -> 0`).

    Raises:
        ValueError: as `loss_gradient`, or an unknown geometry.
    """
    check_geometry(geometry)
    return at(mdp, student, expert, divergence, weight, part, lambda x: x.rate(geometry))


def occupancy_ratio(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """The weight of claim 2, `w_h(s) = d_h^{pi*}(s) / d_h^pi(s)`, shape `(H,S,*B)`; 0 where the student never goes."""
    pi, star = check_pair(mdp, student, expert)
    ours, theirs = solve.occupancy(mdp, pi), solve.occupancy(mdp, star)
    never = ns.iszero(ours)
    return ns.where(never, ours * 0, theirs / ns.where(never, ours * 0 + 1, ours))
