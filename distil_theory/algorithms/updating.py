r"""How a step follows a push: five geometries, on the visible policy `p[h,o,a]` and a push `W = W+ + W-` (`signals`).

With `g = W - p sum_b W_b`, minus the gradient of the loss in the logits:

    euclidean   theta += eta g
    natural     theta += eta g / (d p),   d = seen: the Fisher matrix of the flow; where nobody went nothing moves
    kl          theta += t g / (d p) (or t g), t such that  sum_h E_d KL(old||new) = delta: scalar root, per instance;
                all the way if a float that is not 0 gets no further, not at all if the direction is mere rounding
    proximal    argmin_x  local loss(x) + sum_h E_d KL(p||x) / eta: for forward cross-entropy the mixture
                (d p + eta w pi*) / (d + eta w), otherwise a scalar dual (`updates`)
    ppo         `epochs` steps of size eta on the clipped objective, by `inner` geometry, from theta = theta_old:

        L(theta) = (1/H) sum_{h,o,a}  min(rho, 1 + clip) W+  +  max(rho, 1 - clip) W-,     rho = p_theta / p_old.

That is PPO's `min(rho A, clip(rho) A)`, summed over actions: `W+-` are the positive and negative parts of the advantage
times the old flow `d p_old`. For distillation the advantage of an action is `h_f(u) - E_pi h_f(u)`, for a label its
count, for an outcome the group-normalised one; see `signals`. `1/H` is the normalisation by tokens: all rollouts have
`H` of them. At `theta_old` every ratio is 1, inside the clip: the first inner gradient is `g/H`, unclipped. After that
an action that is pushed up stops at `1 + clip`, one that is pushed down at `1 - clip`, unless the normalisation of the
policy carries it further.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from distil_theory import updates, validate
from distil_theory.algorithms.signals import Push
from distil_theory.algorithms.teachers import freeze, positive
from distil_theory.divergences import FORWARD_KL, FDivergence

KINDS = ("natural", "euclidean", "proximal", "kl", "ppo")
INNER = ("natural", "euclidean")
FLOOR = 1e-30
"""Least probability of an action: below it a ratio of float64s would soon overflow."""
LONGEST = 2.0**60
"""Step size at which the search for a trust region ends: the policy has come as far as `FLOOR` lets it."""
STILL = 1e-12
"""A direction along which no logit moves faster (natural) is rounding: a trust region must not be filled with it."""


def normalised(theta: np.ndarray) -> np.ndarray:
    """Logits `(H,O,A,B)` as log-probabilities, none below `FLOOR`."""
    theta = np.maximum(theta - theta.max(axis=2, keepdims=True), np.log(FLOOR))
    return theta - np.log(np.exp(theta).sum(axis=2, keepdims=True))


def gradient(p: np.ndarray, push: np.ndarray) -> np.ndarray:
    """`g = W - p sum_b W_b`, shape `(H,O,A,B)`."""
    return push - p * push.sum(axis=2, keepdims=True)


def direction(p: np.ndarray, push: np.ndarray, seen: np.ndarray, geometry: str) -> np.ndarray:
    """Velocity of the logits, Euclidean or natural."""
    g = gradient(p, push)
    if geometry == "euclidean":
        return g
    flow = seen[:, :, None] * p
    return np.divide(g, flow, out=np.zeros_like(g), where=flow > 0)


def divergence_of_step(theta: np.ndarray, new: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """`sum_h E_d KL(old||new)` of log-probabilities, shape `(B,)`."""
    return (seen * (np.exp(theta) * (theta - new)).sum(axis=2)).sum(axis=(0, 1))


@dataclass(frozen=True)
class Update:
    """One way to move; numbers may be arrays over the batch.

    Attributes:
        kind: one of `KINDS`.
        eta: step size; of `ppo` the inner one. Not used by `kl`.
        delta: size of the trust region of `kl`, in nats per episode.
        clip: of `ppo`, above 0; infinity: not clipped.
        epochs: of `ppo`.
        inner: geometry of `kl` and of the inner steps of `ppo`: `"natural"` (of the old policy) or `"euclidean"`.

    Raises:
        ValueError: an unknown kind or geometry, a number out of range.
    """

    kind: str = "natural"
    eta: Any = 0.1
    delta: Any = 0.01
    clip: Any = 0.2
    epochs: int = 4
    inner: str = "natural"

    def __post_init__(self) -> None:
        for what, value, choices in (("update", self.kind, KINDS), ("inner geometry", self.inner, INNER)):
            if value not in choices:
                raise ValueError(f"unknown {what} {value!r}: choose from {', '.join(choices)}")
        freeze(self, **{what: positive(what, getattr(self, what)) for what in ("eta", "delta")})
        freeze(self, clip=positive("clip", self.clip, finite=False))
        validate.whole("epochs", self.epochs, 1)

    def step(self, theta: np.ndarray, push: Push, divergence: FDivergence | None = None) -> np.ndarray:
        """New log-probabilities `(H,O,A,B)` from old ones.

        Args:
            theta: log-probabilities of the visible policy.
            push: from an objective.
            divergence: of a local disagreement; `proximal` needs one.

        Raises:
            ValueError: a proximal step for an objective that is no local disagreement.
        """
        p, eta = np.exp(theta), np.asarray(self.eta, dtype=float)
        if self.kind == "proximal":
            return normalised(np.log(np.maximum(self._proximal(p, push, divergence, eta), FLOOR)))
        if self.kind == "ppo":
            return self._clipped(theta, push, eta)
        total = push.plus + push.minus
        move = direction(p, total, push.seen, self.inner if self.kind == "kl" else self.kind)
        if self.kind == "kl":
            speed = abs(direction(p, total, push.seen, "natural")).max(axis=(0, 1, 2))
            eta = np.where(speed > STILL, self._radius(theta, move, push.seen), 0)
        return normalised(theta + eta * move)

    def _radius(self, theta: np.ndarray, move: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Step size `(B,)` at which the KL is `delta`; `LONGEST` where it stays below."""
        delta = np.asarray(self.delta, dtype=float)
        met = seen.any(axis=2)  # of a token MDP each row is met at one step only
        theta, move, seen = (x[met][None] for x in (theta, move, seen))

        def missing(t: np.ndarray) -> np.ndarray:
            return delta - divergence_of_step(theta, normalised(theta + t * move), seen)

        high = np.full(theta.shape[3], 1.0)
        while ((short := missing(high) > 0) & (high < LONGEST)).any():
            high = np.where(short, 2 * high, high)
        low = np.where(high > 1, high / 2, 1 / LONGEST)
        return np.where(high < LONGEST, updates.bisect(missing, low, high, geometric=True), LONGEST)

    def _proximal(self, p: np.ndarray, push: Push, divergence: FDivergence | None, eta: np.ndarray) -> np.ndarray:
        if push.target is None or push.proximal is None or divergence is None:
            raise ValueError("the proximal step minimises a local disagreement exactly: this objective is none")
        flow = push.seen[:, :, None] * p
        seen = push.seen[:, :, None] > 0
        if divergence.h is FORWARD_KL.h:
            mixed = flow + eta * push.target
            total = mixed.sum(axis=2, keepdims=True)
            return np.where(seen, mixed / np.where(seen, total, 1), p)
        size = np.where(seen, push.seen[:, :, None], 1)
        pull = push.proximal
        return np.where(seen, updates._dual(lambda x: pull(x) / size, p, eta + np.zeros(p.shape[3])), p)

    def _clipped(self, theta: np.ndarray, push: Push, eta: np.ndarray) -> np.ndarray:
        p, now = np.exp(theta), theta
        for _ in range(self.epochs):
            ratio = np.exp(now - theta)
            g = clipped_gradient(np.exp(now), ratio, push, self.clip)
            if self.inner == "natural":
                flow = push.seen[:, :, None] * p
                g = np.divide(g, flow, out=np.zeros_like(g), where=flow > 0)
            now = normalised(now + eta * g)
        return now


def clipped_objective(ratio: np.ndarray, push: Push, clip: Any) -> np.ndarray:
    """`L(theta)` of the module, shape `(B,)`, at ratios `p_theta/p_old (H,O,A,B)`."""
    clip = np.asarray(clip, dtype=float)
    terms = np.minimum(ratio, 1 + clip) * push.plus + np.maximum(ratio, 1 - clip) * push.minus
    return terms.sum(axis=(0, 1, 2)) / len(ratio)


def clipped_gradient(p: np.ndarray, ratio: np.ndarray, push: Push, clip: Any) -> np.ndarray:
    """Gradient of `clipped_objective` in the logits, `(H,O,A,B)`; `p` is the new policy."""
    clip = np.asarray(clip, dtype=float)
    alive = np.where(ratio < 1 + clip, push.plus, 0) + np.where(ratio > 1 - clip, push.minus, 0)
    return gradient(p, ratio * alive) / len(ratio)
