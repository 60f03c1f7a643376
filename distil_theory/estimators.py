r"""Estimators of the exact (future-aware) gradient from rollouts, as a training code would compute them.

For one rollout `tau` of the student, in the logits `theta[h,o,a]` (THEORY claim 10),

    g(tau) = sum_h  grad c_h(s_h)  +  sum_h  grad log pi(a_h|o_h) ( C_h - b_h(s_h) ),   C_h = sum_{h'>h} c_{h'}(s_{h'}),

where `grad log pi(a_h|o_h) = e_{a_h} - pi(.|o_h)` at `(h, o_h)`. Any baseline `b` of the state keeps the mean. With an
*explicit* expert `c_h` and its gradient are computed from the expert's distribution; a *black-box* expert only draws an
action `b_h ~ pi*`, and `c_h = -log pi(b_h|s_h)` estimates the cross-entropy (not the KL: an entropy has no unbiased
estimator from finitely many samples). Path weights (claim 15) multiply the local part by the prefix ratio `prod_{h'<h}
pi*/pi` of the rollout, possibly clipped.

The same function serves `trajectories.enumerate_all`, where `moments` gives mean and covariance exactly, in any number
system, and `trajectories.sample`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import trajectories, validate
from distil_theory.divergences import CrossEntropy, FDivergence, check_divergence
from distil_theory.number_systems import Array
from distil_theory.objectives import check_pair
from distil_theory.point import Point, check_part
from distil_theory.solve import problem
from distil_theory.spec import TabularMDP
from distil_theory.trajectories import Trajectories

BASELINES = ("none", "position", "state")


def samples(
    mdp: TabularMDP,
    student: Array,
    expert: Array,
    divergence: FDivergence,
    rollouts: Trajectories,
    part: str = "full",
    baseline: str | Array = "none",
    clip: float | None = None,
) -> Array:
    """One gradient estimate for each rollout, shape `(H,O,A,N)`.

    Args:
        mdp: a single MDP.
        student, expert: `(H,S,A)`.
        divergence: the disagreement `c`; rollouts with labels estimate `CROSS_ENTROPY` from them.
        rollouts: of the student.
        part: `"local"`, `"future"` or `"full"`.
        baseline: `"none"`; `"position"`, the exact mean of `C_h`; `"state"`, its exact mean given `s_h`; or an array
            `(H,S)`, such as a fitted value function.
        clip: weight the local part by prefix ratios clipped here (`float("inf")`: not clipped); `None`: no weights.

    Raises:
        ValueError: a batch, invalid policies or support, labels with another objective than cross-entropy, an unknown
            part or baseline, no rollouts.
    """
    check_part(part)
    check_divergence(divergence)
    pi, star = check_pair(mdp, student, expert, divergence)
    if mdp.batch_shape or pi.ndim > 3:
        raise ValueError("an estimator needs one MDP, one student and one expert, not a batch")
    if not len(rollouts):
        raise ValueError("there are no rollouts to estimate from")
    if rollouts.labels is not None and not isinstance(divergence, CrossEntropy):
        raise ValueError(f"labels of a black-box expert estimate the cross-entropy, not {divergence.name}")
    pi, p, r, rho = problem(mdp, pi)
    here = Point(mdp, divergence, "local", pi, p, r, rho, star)
    _, _, actions = mdp.shape
    every = np.arange(actions)[:, None]
    met = np.moveaxis(rollouts.along(pi, actions=False), -1, 1)  # pi(.|s_h), shape (H, A, N)
    total = met * 0
    if part != "future":
        if rollouts.labels is None:
            x = here.score
            slope = pi * ((pi * x).sum(axis=2)[:, :, None] - x)
            grad = np.moveaxis(rollouts.along(slope, actions=False), -1, 1)
        else:
            grad = met - (every == rollouts.labels[:, None])
        if clip is not None:
            grad = grad * prefix_weights(mdp, pi, star, rollouts, clip)[:, None]
        total = total + grad
    if part != "local":
        cost = rollouts.along(here.cost, actions=False) if rollouts.labels is None else -ns.log(rollouts.labelled(pi))
        later = cost[::-1].cumsum(axis=0)[::-1] - cost - _baseline(here, baseline, rollouts)
        total = total + ((every == rollouts.actions[:, None]) - met) * later[:, None]
    seen = np.arange(mdp.observations)[:, None] == mdp.observation[rollouts.states][:, None]
    return (1 * seen)[:, :, None] * total[:, None]  # 1 *: a truth value is no number to sympy


def _baseline(here: Point, baseline: Any, rollouts: Trajectories) -> Array:
    """`b_h(s_h)`, shape `(H,N)`."""
    if isinstance(baseline, str):
        if baseline not in BASELINES:
            raise ValueError(f"unknown baseline {baseline!r}: choose from {', '.join(BASELINES)}, or give an array")
        table = (here.pi * here.future_cost).sum(axis=2)
        if baseline == "position":
            table = (here.occupancy * table).sum(axis=1)[:, None] + table * 0
        elif baseline == "none":
            table = table * 0
    else:
        table = ns.asarray(baseline)
        validate.shape("baseline", table, here.pi.shape[:2], ["h", "s"])
        validate.finite("baseline", table, ["h", "s"])
        table = ns.common(table, here.pi)[0]
    return rollouts.along(table, actions=False)


def prefix_weights(
    mdp: TabularMDP, student: Array, expert: Array, rollouts: Trajectories, clip: float = float("inf")
) -> Array:
    """`min(prod_{h'<h} pi*/pi, clip)` along each rollout, shape `(H,N,*B)`; given `s_h` its mean is claim 2's weight.

    Raises:
        ValueError: invalid policies, or a clip that is not positive.
    """
    pi, star = check_pair(mdp, student, expert)
    ratio = rollouts.along(star / pi, actions=True)
    limit = _clip(clip, ratio)
    weights, now = [], ratio[0] * 0 + 1
    for factor in ratio:
        weights.append(now if limit is None else ns.where(ns.greater(now, limit, "a clipped ratio"), limit, now))
        now = now * factor
    return ns.stack(weights)


def _clip(clip: Any, like: Array) -> Array | None:
    if isinstance(clip, float) and clip == float("inf"):
        return None
    limit = ns.common(ns.asarray(clip), like)[0]
    validate.finite("clip", limit, [])
    if not bool(limit > 0):
        raise ValueError(f"clip must be positive, not {clip}")
    return limit + like[0] * 0


def mean_weight(mdp: TabularMDP, student: Array, expert: Array, clip: float = float("inf")) -> Array:
    """`E[ min(w, clip) | s_h = s ]` over every rollout of the student, shape `(H,S)`; 0 where it never goes.

    With this state weight `objectives.loss_gradient` is the exact mean of the path-weighted estimator.
    """
    every = trajectories.enumerate_all(mdp)
    p = trajectories.probability(mdp, student, every)
    mass = prefix_weights(mdp, student, expert, every, clip) * p
    at = np.arange(mdp.shape[1])[:, None] == every.states[:, None]
    nothing = p * 0
    there, total = (ns.where(at, x, nothing).sum(axis=2) for x in (p, mass[:, None]))
    never = ns.iszero(there)
    return ns.where(never, total * 0, total / ns.where(never, there * 0 + 1, there))


def moments(estimates: Array, p: Array | None = None) -> tuple[Array, Array]:
    """Mean `(H,O,A)` and covariance `(K,K)`, `K = H O A`, of the estimate from one rollout.

    Args:
        estimates: `(H,O,A,N)`, from `samples`.
        p: the probability of each rollout, for exact moments; without it the rollouts are a sample, and the
            covariance has the divisor `N - 1`.

    Raises:
        ValueError: probabilities of the wrong number, or a sample of fewer than two.
    """
    flat = estimates.reshape(-1, estimates.shape[-1])
    if p is None:
        n = validate.whole("number of rollouts", flat.shape[1], 2)
        mean = flat.sum(axis=1) / n
        centred = flat - mean[:, None]
        return mean.reshape(estimates.shape[:-1]), (centred @ centred.T) / (n - 1)
    validate.shape("p", p, flat.shape[1:], ["rollout"])
    mean = (flat * p).sum(axis=1)
    centred = flat - mean[:, None]
    return mean.reshape(estimates.shape[:-1]), (centred * p) @ centred.T
