r"""Rollouts on a prefix tree: what a training code sees of the exact gradient, drawn in one batch.

Some prompts are drawn, each a problem with its feedback, and for each a group of answers. Their counts, added up the
tree, are an empirical occupancy: in the place of the exact one it makes the sampled loss of a local objective. An
answer's advantage in its group, times the log-probability of the answer, makes that of GRPO (`algorithms.groups`):

    A_n = (r_n - mean r) / std r,     0 if all of the group earn the same.

Randomness is drawn on the CPU from a generator and inverted through the cumulated law of the answers: one seed gives
the same rollouts on every device, but for answers at which rounding decides.
"""

from __future__ import annotations

from math import comb
from typing import NamedTuple

import torch

from distil_theory.llm import tree
from distil_theory.llm.tree_game import TreeGame


class Rollouts(NamedTuple):
    """Contexts `(B, prompts)` and answers `(B, prompts, group)`, as whole numbers."""

    context: torch.Tensor
    answer: torch.Tensor


def draw(game: TreeGame, log_pi: torch.Tensor, prompts: int, group: int, dice: torch.Generator) -> Rollouts:
    """`group` answers of each of the students `(B, V, N, A)` to each of `prompts` prompts; every student sees the same
    prompts and the same randomness."""
    with torch.no_grad():
        chance, luck = (torch.rand(n, generator=dice, dtype=torch.float64) for n in (prompts, prompts * group))
        context = _invert(game.weight.double(), chance.to(game.weight.device))
        law = tree.log_law(game.tree, log_pi).double().exp()[:, game.view[context]]
        answer = _invert(law, luck.to(law.device).view(prompts, group).expand(*law.shape[:-1], group))
        return Rollouts(context.expand(len(law), -1), answer)


def _invert(law: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
    total = law.cumsum(dim=-1)
    return torch.searchsorted(total, (chance * total[..., -1:]).contiguous()).clamp(max=law.shape[-1] - 1)


def visits(game: TreeGame, rollouts: Rollouts) -> torch.Tensor:
    """How often each prefix was met, per rollout, `(B, C, N)`: the mean of it is the occupancy."""
    batch, prompts, group = rollouts.answer.shape
    places = (rollouts.context[..., None] * game.tree.answers + rollouts.answer).flatten(1)
    count = game.weight.new_zeros(batch, len(game.weight) * game.tree.answers)
    share = count.new_full((batch, prompts * group), 1 / (prompts * group))
    count = count.scatter_add(1, places, share).unflatten(1, (len(game.weight), -1))
    found = []
    for _ in range(game.tree.length):
        count = count.unflatten(-1, (-1, game.tree.tokens)).sum(dim=-1)
        found.append(count)
    return torch.cat(found[::-1], dim=-1)


def outcome_loss(game: TreeGame, log_pi: torch.Tensor, rollouts: Rollouts, *, normalise: bool) -> torch.Tensor:
    """Minus the mean advantage-weighted log-probability of the drawn answers as far as they talk, `(B,)`: what is drawn
    behind `halt` nobody writes, and it would only add noise."""
    reward = game.reward[rollouts.context[..., None], rollouts.answer]
    advantage = reward - reward.mean(dim=-1, keepdim=True)
    if normalise:
        spread = reward.std(dim=-1, correction=0, keepdim=True)
        advantage = torch.where(spread > 0, advantage / torch.where(spread > 0, spread, 1), 0)
    views = game.view[rollouts.context]
    law = tree.log_law(game.tree, log_pi.masked_fill((game.talks == 0)[:, None], 0))
    said = law.gather(1, views[..., None].expand(-1, -1, game.tree.answers)).gather(2, rollouts.answer)
    return -(advantage * said).mean(dim=(1, 2))


def group_slope(p: torch.Tensor, group: int) -> torch.Tensor:
    """What GRPO multiplies the policy gradient of a prompt with, in expectation: `E[A|right] - E[A|wrong]` for a
    success bit of probability `p` (`groups.advantages`, as a polynomial)."""
    total = torch.zeros_like(p)
    for k in range(group):  # of the other rollouts, k are right
        right, wrong = (k + 1) / group, k / group
        gap = ((1 - right) / right) ** 0.5 if right < 1 else 0.0
        gap += (wrong / (1 - wrong)) ** 0.5 if wrong > 0 else 0.0
        total = total + comb(group - 1, k) * gap * p**k * (1 - p) ** (group - 1 - k)
    return total
