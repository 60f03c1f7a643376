r"""Natural steps of large networks without a matrix: conjugate gradients on Fisher-vector products.

The Fisher matrix of the class is `F = K^T W K` with the Jacobian `K` of the logits, `(V N A, P)`, and the weights
`W = d(o) (diag pi - pi pi^T)` per view and prefix. `steps.Here` stores `K`; for five thousand prefixes and ten thousand
parameters that is gigabytes. But `F x` takes one derivative `K x`, a product per prefix, and one pull-back `K^T`. The
pull-back is linear, and the transpose of it, by reverse mode once more, is `K x`: one graph serves all products, at the
price of a few gradients, whatever the size. Conjugate gradients (Hestenes & Stiefel
1952; for policies Kakade 2002, TRPO) solve `(F + lambda) x = -g` with those alone; `lambda` makes them converge fast.

The trace, for the damping, is estimated: with `B = diag sqrt(pi) - pi sqrt(pi)^T`, for which `B B^T = diag pi - pi
pi^T`, and random signs `z`, `E |K^T sqrt(d) B z|^2 = tr F`. All for many networks `(B, P)` at once.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from distil_theory import validate
from distil_theory.llm import tree
from distil_theory.llm.tree_network import TreePlayer


def weights(player: TreePlayer, thetas: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`d(o) (B, V, N, 1)` and the students' probabilities `(B, V, N, A)`."""
    with torch.no_grad():
        pi = player.students(thetas).exp()
        return (player.game.view_weight[:, None] * tree.reach(player.game.tree, pi))[..., None], pi


def fisher(player: TreePlayer, thetas: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """The map `x -> F x`, `(B, P)` to `(B, P)`, at these networks."""
    there, pi = weights(player, thetas)
    _, pull = torch.func.vjp(player.logits, thetas)
    _, push = torch.func.vjp(lambda u: pull(u)[0], torch.zeros_like(pi))

    def times(x: torch.Tensor) -> torch.Tensor:
        moved = push(x)[0]
        return pull(there * pi * (moved - (pi * moved).sum(dim=-1, keepdim=True)))[0]

    return times


def trace(player: TreePlayer, thetas: torch.Tensor, probes: int = 16, seed: int = 0) -> torch.Tensor:
    """An unbiased estimate of `tr F`, `(B,)`; its relative error shrinks like `1/sqrt(probes)`."""
    there, pi = weights(player, thetas)
    _, pull = torch.func.vjp(player.logits, thetas)
    dice, root = torch.Generator().manual_seed(seed), pi.sqrt()
    total = torch.zeros_like(thetas[:, 0])
    for _ in range(validate.whole("probes", probes, 1)):
        z = torch.randint(2, pi.shape, generator=dice).to(pi) * 2 - 1
        total = total + pull(there.sqrt() * (root * z - pi * (root * z).sum(dim=-1, keepdim=True)))[0].square().sum(1)
    return total / probes


def natural(
    player: TreePlayer, thetas: torch.Tensor, gradient: torch.Tensor, damping: torch.Tensor, iterations: int = 50
) -> tuple[torch.Tensor, torch.Tensor]:
    """`-(F + lambda)^-1 g`, `(B, P)`, and what is left of the system, relative to `g`, `(B,)`.

    Args:
        player, thetas: the networks `(B, P)`.
        gradient: `g (B, P)`.
        damping: `lambda (B,)`, positive.
        iterations: of conjugate gradients.

    Raises:
        ValueError: a damping that is not positive.
    """
    if not bool((damping > 0).all()):
        raise ValueError(f"damping must be positive, not {damping.tolist()}")
    product = fisher(player, thetas)
    x, rest = torch.zeros_like(gradient), -gradient
    way, size = rest, rest.square().sum(dim=1, keepdim=True)
    start = size.clamp(min=torch.finfo(size.dtype).tiny)
    for _ in range(validate.whole("iterations", iterations, 1)):
        moved = product(way) + damping[:, None] * way
        length = size / (way * moved).sum(dim=1, keepdim=True).clamp(min=torch.finfo(size.dtype).tiny)
        x, rest = x + length * way, rest - length * moved
        before, size = size, rest.square().sum(dim=1, keepdim=True)
        way = rest + size / before.clamp(min=torch.finfo(size.dtype).tiny) * way
    return x, (size / start).sqrt()[:, 0]


def divergence(player: TreePlayer, thetas: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
    """`(1/2) <delta, F delta>`, `(B,)`: the KL per episode between student and new student, to second order."""
    return (delta * fisher(player, thetas)(delta)).sum(dim=1) / 2
