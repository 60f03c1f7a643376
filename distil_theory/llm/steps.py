r"""What a step is predicted to do to the return, and what it does.

A step moves the parameters by `delta`, whatever optimiser it came from. To second order

    J(theta + delta) - J(theta) = <dJ/d theta, delta> + (1/2) <delta, d^2J/d theta^2 delta> + O(|delta|^3).

The first term is the *prediction*: THEORY claim 1 in parameter space, with the displacement that the parameters really
make (Adam's is not its gradient, but `m / sqrt(v)` of all it has seen). The second is the *second-order estimate*:
`J(theta + t delta)` differentiated twice in `t`, by a central difference (`Here.curvature` has it exactly). A
prediction counts as *clear* if it is ten times that large.

*Three directions* for a gradient `g` of a loss:

* `sgd`: `-g`.
* `natural`: `-(F + lambda)^-1 g`, with the exact Fisher matrix of the class `F = sum_h E_{d_h^pi} E_pi (grad log pi)
  (grad log pi)^T` and the damping `lambda = damping tr(F) / P`, a share of its mean eigenvalue. As `g = K^T v` for the
  Jacobian `K` of the logits and `F = K^T W K`, it is `-K^T (W K K^T + lambda)^-1 v`: a system of the size of the table,
  not of the network. Without damping, and if every prefix can move freely, this is the natural step of the tables.
* `adam`: `-g / (|g| + eps)`, Adam's first step: the sign of the gradient. Later steps depend on the path; take
  `torch.optim.Adam` and its displacement.

*Size.* `scaled` gives a direction the length at which student and new student differ by a given KL, `(1/2) <delta, F
delta>` per episode, so that steps of different optimisers are compared at one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from distil_theory import objectives, solve
from distil_theory.aliasing import pool, visible
from distil_theory.divergences import FDivergence
from distil_theory.llm import checks
from distil_theory.llm.exact import Player

OPTIMISERS = ("sgd", "adam", "natural")
EPS = 1e-8
"""Of Adam, as torch's default."""
PROBE = 1e-4
"""The second derivative of the return along a step is a central difference between parameters so far to both sides."""


class Returns(Protocol):
    """Whatever knows the returns of many parameter vectors, as `exact.Player` does."""

    def expected_returns(self, thetas: torch.Tensor) -> torch.Tensor:
        """`J` of `(B, P)`, `(B,)`, without gradients."""


class Change(NamedTuple):
    """Of the return, along one step: to first order, the second-order term, and really."""

    predicted: float
    second_order: float
    actual: float

    @property
    def clear(self) -> bool:
        """Whether the prediction is more than ten times the second-order estimate: known before the step is taken."""
        return abs(self.predicted) > 10 * abs(self.second_order)


def changes(
    player: Returns,
    starts: torch.Tensor,
    steps: torch.Tensor,
    gradients: torch.Tensor,
    sizes: Sequence[float] = (1.0,),
) -> list[list[Change]]:
    """What steps are predicted to do to the return, and do: all of them in one batch.

    Args:
        player: the game and the shape of the networks.
        starts, steps, gradients: of each step, where it begins, the displacement, and `dJ/d theta` there, `(N, P)`.
        sizes: multiples of the displacement.

    Returns:
        For each step a `Change` for each size.
    """
    probe = PROBE / steps.norm(dim=1).clamp(min=torch.finfo(steps.dtype).tiny)
    each = torch.tensor(list(sizes), dtype=steps.dtype, device=steps.device).expand(len(steps), -1)
    lengths = torch.cat([torch.zeros_like(probe)[:, None], probe[:, None], -probe[:, None], each], dim=1)
    thetas = starts[:, None] + lengths[..., None] * steps[:, None]
    returns = player.expected_returns(thetas.flatten(0, 1)).unflatten(0, (len(steps), -1))
    returns = returns - returns[:, :1]  # from one batch: what rounding they share cancels
    bends = (returns[:, 1] + returns[:, 2]) / probe**2
    slopes = (steps * gradients).sum(dim=1)
    return [
        [Change(size * slope, size**2 * bend / 2, now) for size, now in zip(sizes, row, strict=True)]
        for slope, bend, row in zip(slopes.tolist(), bends.tolist(), returns[:, 3:].tolist(), strict=True)
    ]


class Here:
    """A network at one point of its parameters: what every step from here is judged by, each computed once."""

    def __init__(self, player: Player, theta: torch.Tensor) -> None:
        self.player, self.theta = player, theta.detach()
        self._factors: dict[float, Any] = {}

    @cached_property
    def student(self) -> np.ndarray:
        """`(H,S,A)`, float64."""
        return self.player.table(self.player.student(self.theta))

    @cached_property
    def self_teacher(self) -> np.ndarray:
        """The network that reads the feedback, `(H,S,A)`, float64."""
        return self.player.table(self.player.teacher(self.theta))

    @cached_property
    def expected_return(self) -> float:
        """`J(theta)`."""
        return float(solve.expected_return(self.player.game.mdp, self.student))

    @cached_property
    def return_gradient(self) -> torch.Tensor:
        """`dJ/d theta (P,)`, by the chain rule."""
        return self.player.return_gradient(self.theta)

    @cached_property
    def jacobian(self) -> torch.Tensor:
        """`K (O A, P)`."""
        return self.player.jacobian(self.theta).flatten(0, 1)

    @cached_property
    def gram(self) -> torch.Tensor:
        """`K K^T (O A, O A)`: inner products in parameter space of gradients in the logits."""
        return self.jacobian @ self.jacobian.T

    @cached_property
    def weights(self) -> torch.Tensor:
        """`W (O A, O A)`: the Fisher matrix in the logits, `d(o) (diag pi - pi pi^T)` for each observation."""
        mdp = self.player.game.mdp
        there = torch.as_tensor(pool(mdp, solve.occupancy(mdp, self.student)))
        pi = torch.as_tensor(visible(mdp, self.student))
        blocks = torch.diag_embed(pi) - pi[..., None] * pi[..., None, :]
        return torch.block_diag(*(there[..., None, None] * blocks).sum(dim=0)).to(self.theta)

    def score(
        self, expert: np.ndarray, objective: FDivergence, part: str = "local", weight: np.ndarray | None = None
    ) -> np.ndarray:
        """The core's gradient in the logits, `(H,O,A)`; arguments as `objectives.loss_gradient`."""
        return np.asarray(objectives.loss_gradient(self.player.game.mdp, self.student, expert, objective, weight, part))

    def flat(self, score: np.ndarray) -> torch.Tensor:
        """A gradient in the logits, summed over steps: `(O A,)`."""
        return torch.as_tensor(score.sum(axis=0).reshape(-1)).to(self.theta)

    def gradient(self, score: np.ndarray) -> torch.Tensor:
        """The same in parameter space, `(P,)`."""
        return self.jacobian.T @ self.flat(score)

    def direction(self, score: np.ndarray, optimiser: str, damping: float = 0.1) -> torch.Tensor:
        """Where an optimiser goes first, `(P,)`.

        Args:
            score: the gradient of the loss in the logits, `(H,O,A)`.
            optimiser: one of `OPTIMISERS`.
            damping: of the natural step, as a share of the Fisher matrix's mean eigenvalue.

        Raises:
            ValueError: an unknown optimiser, or a damping that is not positive.
        """
        checks.choice("optimiser", optimiser, OPTIMISERS)
        if optimiser == "natural":
            return -self.solve(self.flat(score), damping)
        g = self.gradient(score)
        return -g if optimiser == "sgd" else -g / (g.abs() + EPS)

    def solve(self, v: torch.Tensor, damping: float) -> torch.Tensor:
        """`(F + lambda)^-1 K^T v`, `(P,)`."""
        if not damping > 0:
            raise ValueError(f"damping must be positive, not {damping!r}")
        if damping not in self._factors:
            inner = self.weights @ self.gram
            size = damping * inner.trace() / len(self.theta)
            inner = inner + size * torch.eye(len(v), dtype=v.dtype, device=v.device)
            self._factors[damping] = torch.linalg.lu_factor(inner)
        return self.jacobian.T @ torch.linalg.lu_solve(*self._factors[damping], v[:, None])[:, 0]

    def divergence(self, delta: torch.Tensor) -> torch.Tensor:
        """`(1/2) <delta, F delta>`: the KL per episode between student and new student, to second order."""
        moved = self.jacobian @ delta
        return moved @ self.weights @ moved / 2

    def scaled(self, direction: torch.Tensor, kl: float) -> torch.Tensor:
        """The direction at the length at which `divergence` is `kl`.

        Raises:
            ValueError: a direction that moves no probability.
        """
        size = float(self.divergence(direction))
        if not size > 0:
            raise ValueError("the direction moves no probability: it cannot be scaled to a KL")
        return direction * (kl / size) ** 0.5

    def change(self, delta: torch.Tensor) -> Change:
        """What the step `delta` is predicted to do to the return, and does."""
        return self.changes([delta], [1.0])[0][0]

    def changes(self, deltas: Sequence[torch.Tensor], sizes: Sequence[float] = (1.0,)) -> list[list[Change]]:
        """The same for many steps, each taken at several multiples of its length: a list per step."""
        steps = torch.stack(list(deltas))
        starts, slope = self.theta.expand_as(steps), self.return_gradient.expand_as(steps)
        return changes(self.player, starts, steps, slope, sizes)

    def curvature(self, delta: torch.Tensor) -> float:
        """`<delta, d^2J/d theta^2 delta>`, by differentiating twice along `delta`."""
        t = torch.zeros((), dtype=delta.dtype, device=delta.device, requires_grad=True)
        along = self.player.expected_return(self.theta + t * delta)
        slope = torch.autograd.grad(along, t, create_graph=True)[0]
        return float(torch.autograd.grad(slope, t)[0])

    def incompatibility(self) -> float:
        """`|A - P A|^2 / |A|^2` in `L2(d^pi x pi)`: the share of the advantage that no step of this network can follow
        (claim 17), 0 for a table and 1 for a student that cannot move towards any improvement.

        `P A` is the projection onto the span of the network's score functions. Directions whose singular value is below
        `1e-5` of the largest do not count: to follow them the parameters would have to go so far that no step is small.
        """
        mdp = self.player.game.mdp
        there = torch.as_tensor(pool(mdp, solve.occupancy(mdp, self.student))).sum(dim=0)
        pi = torch.as_tensor(visible(mdp, self.student)[0])
        advantage = pool(mdp, solve.occupancy(mdp, self.student)[:, :, None] * solve.advantage(mdp, self.student))
        a = torch.as_tensor(advantage).sum(dim=0) / there.clamp(min=1e-300)[:, None]
        size = (there[:, None] * pi).sqrt()
        k = self.jacobian.detach().cpu().double().unflatten(0, pi.shape)
        scores = size[..., None] * (k - (pi[..., None] * k).sum(dim=1, keepdim=True))
        basis, values, _ = torch.linalg.svd(scores.flatten(0, 1), full_matrices=False)
        basis = basis[:, values > 1e-5 * values[0]]
        target = (size * a).flatten()
        return float(1 - (basis.T @ target).square().sum() / target.square().sum())
