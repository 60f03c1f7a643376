r"""Token games on their prefix tree: the exact core for many thousands of prefixes, batched, on any torch device.

A token MDP as a dense table has `S^2 A` transitions, nearly all of them zero: five thousand prefixes are 800 megabytes.
But its transition is a tree. Prefixes are numbered by length and then in lexicographic order
(`instances.prefixes`), so the level of length `h` is one slice of `A^h` rows, and the children of its rows, in order,
*are* the next level. Every sum over trajectories is then a product, a sum and a reshape per level:

    d_{h+1} = flatten(d_h pi_h),                                  what is reached,
    V_h = c_h + sum_a pi_h Q_h,   Q_{h-1} = unflatten(V_h),       what is expected from there on,

with the reward of the finished answers below, `Q_{H-1} = unflatten(R)`. Nothing is stored twice, no index is looked up.

*Shapes.* A student is a table of log-probabilities `(*B, V, N, A)`, views, prefixes, tokens; whatever depends on the
feedback, as a teacher does, has contexts for views, `(*B, C, N, A)`; answers are `(..., A^H)`. Batch axes come first,
as torch has them. All functions are differentiable, and none looks at a number: nothing waits for the device.

The same quantities as in `objectives` and `solve`, by other means, and tested to be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from distil_theory.divergences import FDivergence
from distil_theory.instances.prefixes import PrefixTree
from distil_theory.llm import losses
from distil_theory.llm.tree_game import TreeGame
from distil_theory.point import check_part

# --- sweeps over the tree
# -------------------------------------------------------------------------------------------------------------------


def levels(tree: PrefixTree, table: torch.Tensor, axis: int) -> list[torch.Tensor]:
    """A table cut along its axis of prefixes, a slice for each length."""
    return list(table.split([tree.tokens**h for h in range(tree.length)], dim=axis))


def descend(
    rows: Sequence[torch.Tensor], start: float, join: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> list[torch.Tensor]:
    """What the `levels` of a table come to along each prefix, one level after the other: `start` at the root."""
    found = [torch.full_like(rows[0][..., 0, :1], start)]
    for row in rows:
        found.append(join(found[-1][..., None], row).flatten(-2))
    return found


def reach(tree: PrefixTree, pi: torch.Tensor) -> torch.Tensor:
    """Probability of each prefix, `(..., N)`, under probabilities `pi (..., N, A)`."""
    *before, _ = levels(tree, pi, -2)
    return torch.cat(descend(before, 1, torch.mul), dim=-1)


def log_reach(tree: PrefixTree, log_pi: torch.Tensor) -> torch.Tensor:
    """The logarithm of `reach`, from log-probabilities, where the probability itself may be too small for a float."""
    *before, _ = levels(tree, log_pi, -2)
    return torch.cat(descend(before, 0, torch.add), dim=-1)


def log_law(tree: PrefixTree, log_pi: torch.Tensor) -> torch.Tensor:
    """Log-probability of each finished answer, `(..., answers)`."""
    return descend(levels(tree, log_pi, -2), 0, torch.add)[-1]


def values(
    tree: PrefixTree, pi: torch.Tensor, last: torch.Tensor, cost: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """`V (..., N)` and `Q (..., N, A)` under probabilities `pi (..., N, A)`.

    Args:
        tree: the prefixes.
        pi: the policy.
        last: what a finished answer is worth, `(..., answers)`.
        cost: what is charged at each prefix, `(..., N)`: part of its `V`, not of its `Q`.
    """
    rows = levels(tree, pi, -2)
    charged = [None] * tree.length if cost is None else levels(tree, cost, -1)
    v, q = [last], []
    for row, charge in zip(reversed(rows), reversed(charged), strict=True):
        q.append(v[-1].unflatten(-1, (-1, tree.tokens)))
        here = (row * q[-1]).sum(dim=-1)
        v.append(here if charge is None else here + charge)
    return torch.cat(v[:0:-1], dim=-1), torch.cat([x.expand_as(r) for x, r in zip(q[::-1], rows, strict=True)], dim=-2)


def expected_return(game: TreeGame, log_pi: torch.Tensor) -> torch.Tensor:
    """`J`, `(*B,)`, of a student `(*B, V, N, A)`."""
    return (game.view_weight * success(game, log_pi)).sum(dim=-1)


def greedy(log_pi: torch.Tensor) -> torch.Tensor:
    """Who always writes the likeliest token (the first of equal ones), as log-probabilities of the same shape."""
    best = torch.zeros_like(log_pi).scatter(-1, log_pi.argmax(dim=-1, keepdim=True), 1)
    return best.log()


def success(game: TreeGame, log_pi: torch.Tensor) -> torch.Tensor:
    """The return on each view, `(*B, V)`."""
    return values(game.tree, log_pi.exp(), game.view_reward)[0][..., 0]


def teacher_return(game: TreeGame, log_star: torch.Tensor) -> torch.Tensor:
    """`J*`, `(*B,)`, of a teacher `(*B, C, N, A)`."""
    return (game.weight * values(game.tree, log_star.exp(), game.reward)[0][..., 0]).sum(dim=-1)


def conditioned(tree: PrefixTree, pi: torch.Tensor, worth: torch.Tensor) -> torch.Tensor:
    """`pi Q / V`, a policy conditioned on what its answers are worth, `(..., N, A)`; `pi` where `V = 0`.

    Args:
        tree: the prefixes.
        pi: probabilities `(..., N, A)`.
        worth: of the answers, `(..., answers)`, not negative.
    """
    v, q = values(tree, pi, worth)
    never = (v == 0)[..., None]
    return torch.where(never, pi, pi * q / torch.where(never, torch.ones_like(v[..., None]), v[..., None]))


def teacher(game: TreeGame, log_pi: torch.Tensor, trust: float = 0.99) -> torch.Tensor:
    """The exactly conditioned student, trusted to a share: `log(trust pi* + (1 - trust) pi)`, `(*B, C, N, A)`."""
    pi = log_pi.exp().index_select(-3, game.view)
    return torch.log(trust * conditioned(game.tree, pi, game.likelihood) + (1 - trust) * pi)


# --- objectives
# -------------------------------------------------------------------------------------------------------------------


def disagreement(game: TreeGame, log_pi: torch.Tensor, log_star: torch.Tensor, objective: FDivergence) -> torch.Tensor:
    """`D_f(pi* || pi)` at each prefix, 0 where the answer has ended, `(*B, C, N)`."""
    seen = log_pi.index_select(-3, game.view)
    return losses.FORMS[objective.name](log_star, seen) * game.talks


def prefix_weight(game: TreeGame, log_pi: torch.Tensor, log_star: torch.Tensor, clip: float) -> torch.Tensor:
    """Claim 15: `min(prod pi*/pi, clip)` along each prefix, `(*B, C, N)`; `inf`: no clip, claim 2."""
    ours = log_reach(game.tree, log_pi).index_select(-2, game.view)
    return (log_reach(game.tree, log_star) - ours).exp().clamp(max=clip)


def loss(
    game: TreeGame,
    log_pi: torch.Tensor,
    log_star: torch.Tensor,
    objective: FDivergence,
    part: str = "local",
    clip: float | None = None,
) -> torch.Tensor:
    """A scalar per student, `(*B,)`, whose gradient is that of `objectives.loss_gradient`.

    Args:
        game: in the precision and on the device of the tables.
        log_pi: the student `(*B, V, N, A)`.
        log_star: the teacher `(*B, C, N, A)`, a constant.
        objective: the disagreement.
        part: `"local"`: the occupancy is a constant; `"full"`: it is not; `"future"`: only the occupancy moves.
        clip: of the prefix weights on the disagreement; `None`: no weights.

    Raises:
        ValueError: an unknown part.
    """
    check_part(part)
    cost = disagreement(game, log_pi, log_star.detach(), objective)
    if clip is not None:
        cost = cost * prefix_weight(game, log_pi, log_star, clip).detach()
    there = reach(game.tree, log_pi.exp()).index_select(-2, game.view)
    there = there.detach() if part == "local" else there
    return (game.weight[:, None] * there * (cost.detach() if part == "future" else cost)).sum(dim=(-2, -1))


def loss_gradient(
    game: TreeGame,
    log_pi: torch.Tensor,
    log_star: torch.Tensor,
    objective: FDivergence,
    part: str = "local",
    clip: float | None = None,
) -> torch.Tensor:
    """The same gradient in the student's logits by the formulas of `objectives`, without autograd: `(*B, V, N, A)`;
    arguments as `loss`."""
    check_part(part)
    pi = log_pi.exp().index_select(-3, game.view)
    there = game.weight[:, None] * reach(game.tree, pi) * game.talks
    push = torch.zeros_like(pi)
    if part != "future":
        x = objective.h(log_star.exp() / pi)
        push = -there[..., None] * pi * (x - (pi * x).sum(dim=-1, keepdim=True))
        if clip is not None:
            push = push * prefix_weight(game, log_pi, log_star, clip)[..., None]
    if part != "local":
        cost = disagreement(game, log_pi, log_star, objective)
        v, q = values(game.tree, pi, torch.zeros_like(game.reward), cost)
        push = push + there[..., None] * pi * (q - (v - cost)[..., None])
    return game.pooled(push.flatten(-2)).unflatten(-1, pi.shape[-2:])


def return_gradient(game: TreeGame, log_pi: torch.Tensor) -> torch.Tensor:
    """Policy gradient `dJ/d logits`, `(*B, V, N, A)`."""
    pi = log_pi.exp()
    v, q = values(game.tree, pi, game.view_reward)
    return (game.view_weight[:, None] * reach(game.tree, pi))[..., None] * pi * (q - v[..., None])


def efficiency(game: TreeGame, log_pi: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Claim 21: the first-order gain of a free student's natural step for what it moves, 1 for the policy gradient.

    The cosine, in `L2(d^pi x pi)`, of the step `-g / (d pi)` with the advantage, `(*B,)`.

    Args:
        game: the game.
        log_pi: the student `(*B, V, N, A)`.
        gradient: `g` of a loss in the logits, of the same shape.
    """
    pi = log_pi.exp()
    size = (game.view_weight[:, None] * reach(game.tree, pi))[..., None] * pi
    best = return_gradient(game, log_pi)
    pairs = ((-gradient, best), (gradient, gradient), (best, best))
    along, moved, most = ((x * y / size).sum(dim=(-3, -2, -1)) for x, y in pairs)
    return along / (moved * most).sqrt()
