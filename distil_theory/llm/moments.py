r"""Bias and variance of the rollout estimators, in parameter space: exactly, and from samples.

A rollout visits few prefixes, so its gradient estimate is sparse in the logits: `x (O A,)` for one rollout, `K^T x` in
parameter space. With the Gram matrix `G = K K^T` no vector of the length of the network is needed:

    E|K^T x|^2 = sum_tau p(tau) x^T G x,    variance = E|K^T x|^2 - |K^T E x|^2,    bias = |K^T (E x - g)|.

The estimates come from the torch losses: the logits that a rollout meets are leaves of their own, so one backward pass
gives the estimates of all rollouts. All rollouts with their probabilities give the exact moments. Batches of drawn ones
are what a training code sees; only there do baselines that compare a sequence with its batch exist.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from distil_theory import trajectories
from distil_theory.divergences import FDivergence
from distil_theory.llm import credit, layout, losses, sampled
from distil_theory.llm.steps import Here
from distil_theory.trajectories import Trajectories


class Moments(NamedTuple):
    """Of the gradient estimate from one rollout, in parameter space: `bias` is `|mean - target|`, `spread` the square
    root of the trace of the covariance, `size` the norm of the target."""

    bias: float
    spread: float
    size: float


def estimates(
    here: Here,
    expert: np.ndarray,
    objective: FDivergence,
    rollouts: Trajectories,
    *,
    part: str = "full",
    kind: str | np.ndarray = "none",
    clip: float | None = None,
    groups: np.ndarray | None = None,
    discount: float = 1.0,
) -> torch.Tensor:
    """The gradient in the logits that the torch loss makes of each rollout, `(N, O A)`.

    Args:
        here: student and parameters.
        expert: `(H,S,A)`.
        objective: the disagreement; rollouts with labels estimate the cross-entropy from them.
        rollouts: of the student.
        part: `"local"`, `"future"` or `"full"`.
        kind: of the baseline (`credit.BASELINES`), or a table `(H,S)` of values.
        clip: of the prefix weights on the local part; `None`: no weights.
        groups: whole numbers `(N,)`, for `"group"`.
        discount: of the costs to go.

    Raises:
        ValueError: as `credit.distillation_loss`.
    """
    theta = here.theta
    with torch.no_grad():
        logits = here.player.logits(theta).log_softmax(dim=-1)
    seen = np.asarray(here.player.game.mdp.observation)[rollouts.states]
    met = logits[torch.as_tensor(seen.T, device=theta.device)].requires_grad_()
    teacher = layout.along(torch.as_tensor(expert).to(theta).log(), rollouts)
    written = layout.written(rollouts, theta.device)
    log_q = sampled.log_prob(met, written)
    if rollouts.labels is None:
        costs = losses.token_cost(met, teacher, objective)
    else:
        costs = sampled.cross_entropy(met, layout.to_tokens(torch.as_tensor(rollouts.labels, device=theta.device)))
    weights = None
    if clip is not None:
        log_p = teacher.gather(-1, written[..., None])[..., 0]
        weights = credit.prefix_weights(log_q.detach(), log_p, clip=clip)
    if not isinstance(kind, str):
        kind = layout.to_tokens(torch.as_tensor(rollouts.along(kind, actions=False))).to(theta)
    loss = credit.distillation_loss(
        *(costs, log_q),
        part=part,
        weights=weights,
        kind=kind,
        groups=None if groups is None else torch.as_tensor(groups, device=theta.device),
        discount=discount,
    )
    each = torch.autograd.grad(loss * len(met), met)[0]  # undoes the mean over the batch
    place = torch.nn.functional.one_hot(torch.as_tensor(seen.T, device=theta.device), len(logits)).to(each)
    return torch.einsum("nto,nta->noa", place, each).flatten(1)


def exact(here: Here, found: torch.Tensor, p: np.ndarray, target: np.ndarray) -> Moments:
    """Moments of `estimates` of every rollout.

    Args:
        here: where the network is.
        found: `(N, O A)`.
        p: the probability of each rollout, `(N,)`.
        target: what ought to be estimated, the core's gradient in the logits `(H,O,A)`.
    """
    law = torch.as_tensor(p).to(found)
    mean = law @ found
    return _moments(here, mean, (law * ((found @ here.gram) * found).sum(dim=1)).sum(), target)


def drawn(
    here: Here,
    expert: np.ndarray,
    objective: FDivergence,
    target: np.ndarray,
    *,
    batch: int,
    repeats: int,
    rng: np.random.Generator,
    labels: bool = False,
    **options: Any,
) -> Moments:
    """The same from `repeats` batches of drawn rollouts, the spread multiplied by the root of the batch: per rollout.

    Args:
        here, expert, objective: as `estimates`.
        target: as `exact`.
        batch: rollouts per batch, at least one; `kind="group"` puts those that start in one problem into a group.
        repeats: batches, at least two.
        rng: the source of randomness.
        labels: a black-box expert: only its samples are used.
        options: of `estimates`.
    """
    mdp = here.player.game.mdp
    means = []
    for _ in range(repeats):
        rollouts = trajectories.sample(mdp, here.student, batch, rng, expert if labels else None)
        groups = np.asarray(mdp.observation)[rollouts.states[0]]
        means.append(estimates(here, expert, objective, rollouts, groups=groups, **options).mean(dim=0))
    found = torch.stack(means)
    mean = found.mean(dim=0)
    rest = found - mean
    variance = ((rest @ here.gram) * rest).sum() / (repeats - 1) * batch
    return _moments(here, mean, variance + mean @ here.gram @ mean, target)


def _moments(here: Here, mean: torch.Tensor, second: torch.Tensor, target: np.ndarray) -> Moments:
    goal = here.flat(target)
    off = mean - goal
    norms = [float(x @ here.gram @ x) for x in (off, mean, goal)]
    variance = float(second) - norms[1]
    return Moments(max(norms[0], 0) ** 0.5, max(variance, 0) ** 0.5, norms[2] ** 0.5)
