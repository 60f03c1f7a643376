r"""Student and expert in an MDP at one moment: what every objective is made of, each quantity computed once.

The objective is `L = E_pi sum_h w_h(s_h) c_h(s_h)`, the expected disagreement `c = D_f(pi*||pi)` along the student's
own rollouts. Its exact gradient in the logits has two parts (THEORY claim 10): the *local* one moves the student at the
states where it is, the *future* one moves it towards states where there is less to disagree about,

    dL/d theta[h,o,a] = - sum_{s in o} d_h(s) pi_h(a|o) (x - E_pi x)(s,a),    x = w h_f(pi*/pi)  -  Q^c_h(s,a),

with `Q^c` the disagreement *after* the action. So one array, the score `x`, says everything: local, future and full
gradients, Euclidean and natural steps, and claim 1's rate differ only in what `x` is and how it is preconditioned.
"""

from __future__ import annotations

from functools import cached_property

from distil_theory import solve
from distil_theory.aliasing import belief, pool, visible
from distil_theory.divergences import FDivergence
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP

GEOMETRIES = ("natural", "euclidean", "proximal")
PARTS = ("local", "future", "full")


def check_geometry(geometry: str) -> None:
    """Raises `ValueError` unless `geometry` is one of `GEOMETRIES`."""
    if geometry not in GEOMETRIES:
        raise ValueError(f"unknown geometry {geometry!r}: choose from {', '.join(GEOMETRIES)}")


def check_part(part: str) -> None:
    """Raises `ValueError` unless `part` is one of `PARTS`."""
    if part not in PARTS:
        raise ValueError(f"unknown part of the gradient {part!r}: choose from {', '.join(PARTS)}")


def covariance(p: Array, x: Array, y: Array, axis: int) -> Array:
    """`Cov_p(x, y)` along `axis`."""
    centred = x - (p * x).sum(axis=axis, keepdims=True)
    return (p * centred * y).sum(axis=axis)


class Point:
    """Student and expert in an MDP: what every objective is made of, each computed once, when asked for.

    Arrays are checked, in one number system, with aligned batch axes.
    """

    def __init__(
        self,
        mdp: TabularMDP,
        divergence: FDivergence,
        part: str,
        pi: Array,
        p: Array,
        r: Array,
        rho: Array,
        star: Array,
        weight: Array | None = None,
    ) -> None:
        self.mdp, self.divergence, self.part = mdp, divergence, part
        self.pi, self.p, self.r, self.rho, self.star, self.weight = pi, p, r, rho, star, weight

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

    def weighted(self, x: Array, axes: int) -> Array:
        """`w_h(s) x`, where `x` has `axes` more core axes than `w`."""
        return x if self.weight is None else self.weight[(slice(None), slice(None), *[None] * axes)] * x

    @cached_property
    def cost(self) -> Array:
        """The weighted disagreement `w_h(s) c_h(s)`, shape `(H,S,*B)`."""
        return self.weighted(self.divergence.value(self.star, self.pi, axis=2), 0)

    @cached_property
    def future_cost(self) -> Array:
        """`Q^c_h(s,a)`: the weighted disagreement expected after the action, shape `(H,S,A,*B)`; 0 at the last step."""
        here = self.cost[:, :, None] + self.pi * 0
        return solve.backward(self.pi, self.p, here)[1] - here

    @cached_property
    def score(self) -> Array:
        """What the gradient of the part sees, shape `(H,S,A,*B)`: `w h_f(u)`, `-Q^c`, or their sum."""
        if self.part == "future":
            return -self.future_cost
        local = self.weighted(self.divergence.h(self.star / self.pi), 1)
        return local if self.part == "local" else local - self.future_cost

    @property
    def return_gradient(self) -> Array:
        """`dJ/d theta[h,o,a]`."""
        v, q = self.values
        return pool(self.mdp, self.flow * (q - v[:, :, None]))

    @property
    def loss_gradient(self) -> Array:
        """`dL/d theta[h,o,a]`, of the part."""
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
            return -self.loss_gradient
        return self.given_observation(self.score)

    def rate(self, geometry: str) -> Array:
        """Claim 1's sum of covariances."""
        seen, q = pool(self.mdp, self.occupancy), self.given_observation(self.values[1])
        terms = covariance(visible(self.mdp, self.pi), q, self.velocity(geometry), axis=2)
        return (seen * terms).sum(axis=1).sum(axis=0)
