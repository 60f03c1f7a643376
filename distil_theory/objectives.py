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
exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import solve, validate
from distil_theory.divergences import FDivergence, check_divergence
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP

GEOMETRIES = ("natural", "euclidean", "proximal")


def check_geometry(geometry: str) -> None:
    """Raises `ValueError` unless `geometry` is one of `GEOMETRIES`."""
    if geometry not in GEOMETRIES:
        raise ValueError(f"unknown geometry {geometry!r}: choose from {', '.join(GEOMETRIES)}")


def check_pair(mdp: TabularMDP, student: Array, expert: Array) -> tuple[Array, Array]:
    """Student and expert as valid `(H,S,A,*B)` arrays with equal batch axes.

    Raises:
        ValueError: either does not fit the MDP, the student has a zero, or it acts differently in two states that
        look alike.
    """
    pi, star = ns.common(solve.check_policy(mdp, student, "student"), solve.check_policy(mdp, expert, "expert"))
    validate.positive("student", pi, ["h", "s", "a"], "a softmax student gives every action positive probability")
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


def visible(mdp: TabularMDP, x: Array) -> Array:
    """`(H,S,...)` that depends on the state only through the observation, as `(H,O,...)`."""
    if not mdp.aliased and np.array_equal(mdp.observation, range(mdp.shape[1])):
        return x
    return x[:, np.unique(np.asarray(mdp.observation), return_index=True)[1]]


def spread(mdp: TabularMDP, y: Array) -> Array:
    """`(H,O,...)` as `(H,S,...)`: every state gets the entry of its observation."""
    return y[:, mdp.observation.tolist()]


def pool(mdp: TabularMDP, x: Array) -> Array:
    """Sum of `(H,S,...)` over the states behind each observation: `(H,O,...)`."""
    if not mdp.aliased:
        return visible(mdp, x)
    o = np.asarray(mdp.observation)
    return ns.stack([x[:, np.flatnonzero(o == k)].sum(axis=1) for k in range(mdp.observations)], axis=1)


def belief(mdp: TabularMDP, occupancy: Array) -> Array:
    """`d_h(s|o)`, shape `(H,S,*B)`: which state it is, given what the student sees; uniform where `o` is never seen."""
    if not mdp.aliased:
        return occupancy * 0 + 1
    seen, size = spread(mdp, pool(mdp, occupancy)), spread(mdp, pool(mdp, occupancy * 0 + 1))
    never = ns.iszero(seen)
    return ns.where(never, 1 / size, occupancy / ns.where(never, seen * 0 + 1, seen))


def covariance(p: Array, x: Array, y: Array, axis: int) -> Array:
    """`Cov_p(x, y)` along `axis`."""
    centred = x - (p * x).sum(axis=axis, keepdims=True)
    return (p * centred * y).sum(axis=axis)


def _score(divergence: FDivergence, star: Array, pi: Array, weight: Any) -> Array:
    """`w h_f(u)`, shape `(H,S,A,*B)`."""
    check_divergence(divergence)
    score = divergence.ratio_score(star, pi)
    if weight is None:
        return score
    w = ns.asarray(weight)
    validate.batched("weight", w, score.shape[:2], ["h", "s"])
    validate.finite("weight", w, ["h", "s"])
    w = ns.common(w, score)[0]
    return solve.align(w, score.ndim - 3, 2)[:, :, None] * score


def pooled_score(
    mdp: TabularMDP, student: Array, expert: Array, divergence: FDivergence, weight: Array | None = None
) -> Array:
    """`E[w h_f(u) | o]`, shape `(H,O,A,*B)`: up to a constant per observation, the natural step on the logits."""
    pi, star = check_pair(mdp, student, expert)
    score = _score(divergence, star, pi, weight)
    given = belief(mdp, solve.occupancy(mdp, pi))
    return pool(mdp, given[:, :, None] * score)


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
    pi, star = check_pair(mdp, student, expert)
    score = _score(divergence, star, pi, weight)
    centred = score - (pi * score).sum(axis=2)[:, :, None]
    return pool(mdp, -solve.occupancy(mdp, pi)[:, :, None] * pi * centred)


def return_gradient(mdp: TabularMDP, student: Array) -> Array:
    """Policy gradient `dJ/d theta[h,o,a]`, shape `(H,O,A,*B)` (Sutton et al. 2000)."""
    pi = solve.check_policy(mdp, student, "student")
    d, a = solve.occupancy(mdp, pi), solve.advantage(mdp, pi)
    return pool(mdp, d[:, :, None] * solve.align(pi, a.ndim - 3, 3) * a)


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
    pi, star = check_pair(mdp, student, expert)
    d = solve.occupancy(mdp, pi)
    given = belief(mdp, d)[:, :, None]
    seen, q = pool(mdp, d), pool(mdp, given * solve.values(mdp, pi)[1])
    g = pool(mdp, given * _score(divergence, star, pi, weight))
    p = visible(mdp, pi)
    if geometry == "euclidean":
        g = seen[:, :, None] * p * (g - (p * g).sum(axis=2)[:, :, None])
    return (seen * covariance(p, q, g, axis=2)).sum(axis=1).sum(axis=0)


def occupancy_ratio(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """The weight of claim 2, `w_h(s) = d_h^{pi*}(s) / d_h^pi(s)`, shape `(H,S,*B)`; 0 where the student never goes."""
    pi, star = check_pair(mdp, student, expert)
    ours, theirs = solve.occupancy(mdp, pi), solve.occupancy(mdp, star)
    never = ns.iszero(ours)
    return ns.where(never, ours * 0, theirs / ns.where(never, ours * 0 + 1, ours))
