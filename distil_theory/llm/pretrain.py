r"""A first education, after which the network that reads feedback is better than the one that does not.

An untrained network cannot read feedback, and a teacher that is no better has nothing to teach. So the network first
imitates a *reference student*, in both its roles: without feedback the reference student itself, with feedback the
exact teacher made of it, the reference student conditioned on what the feedback reveals (`TokenMDP.teacher`). Both
targets are tables, the loss is the cross-entropy averaged over all prefixes, problems and values of feedback, each role
half; Adam, full batch, a fixed number of steps. It stops early: what results is a student and a teacher of its own
making, near the reference and not equal to it.

The *reference student* has random logits, the same for all feedback, and is partly skilled: a share of its
probability is that of a student conditioned on being right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from distil_theory import experts, validate
from distil_theory.instances.token_mdp import TokenMDP
from distil_theory.llm import losses
from distil_theory.llm.exact import Player, Texts


def reference(game: TokenMDP, seed: int, skill: float = 0.3, spread: float = 1.0) -> np.ndarray:
    """A random student `(H,S,A)` of a float64 game.

    Args:
        game: the game.
        seed: of its habits.
        skill: between 0 and 1, the share that knows what is right.
        spread: standard deviation of the logits.
    """
    if not 0 <= skill <= 1:
        raise ValueError(f"skill must lie in [0, 1], not {skill!r}")
    rng = np.random.default_rng(validate.whole("seed", seed, 0))
    weights = np.exp(spread * rng.normal(size=(game.mdp.observations, game.tree.tokens)))
    rows = weights / weights.sum(axis=1, keepdims=True)
    habits = np.broadcast_to(rows[game.mdp.observation][None], game.mdp.shape)
    return np.asarray((1 - skill) * habits + skill * experts.success_conditioned(game.mdp, habits))


def pretrained(
    player: Player,
    targets: Sequence[np.ndarray],
    steps: int = 150,
    rate: float = 0.01,
    thetas: torch.Tensor | None = None,
) -> torch.Tensor:
    """Parameters `(B, P)` of networks that imitated a reference student each, with and without feedback.

    Args:
        player: the shape of the networks, and the game.
        targets: the reference students `(H,S,A)`; the networks are taught side by side.
        steps, rate: of Adam.
        thetas: where they begin, `(B, P)`; default: all at `player.theta`.

    Raises:
        ValueError: no positive number of steps, no targets, or not as many networks.
    """
    validate.whole("steps", steps, 1)
    count = validate.whole("number of targets", len(targets), 1)
    start = player.theta.expand(count, -1) if thetas is None else thetas
    if tuple(start.shape) != (count, len(player.theta)):
        raise ValueError(f"thetas has shape {tuple(start.shape)}: expected ({count}, {len(player.theta)})")
    learnt = start.detach().clone().requires_grad_()
    roles = [
        (player.asked, torch.stack([_rows(player, target, False) for target in targets])),
        (player.told, torch.stack([_rows(player, player.game.teacher(target), True) for target in targets])),
    ]
    adam = torch.optim.Adam([learnt], lr=rate)
    for _ in range(steps):
        adam.zero_grad()
        for read, rows in roles:
            _imitation(player, learnt, read, rows).backward()
        adam.step()
    return learnt.detach()


def _imitation(player: Player, thetas: torch.Tensor, read: Texts, rows: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, averaged over the texts and summed over the networks: none feels the others."""
    said = torch.func.vmap(player.answers, in_dims=(0, None))(thetas, read)
    return losses.token_cost(said, rows).mean(dim=1).sum()


def _rows(player: Player, policy: np.ndarray, feedback: bool) -> torch.Tensor:
    """Log-probabilities `(rows, A)` of a policy at each text: the row of a prefix at the step that is its length."""
    game = player.game
    lengths = np.array([len(game.tree.prefix(i)) for i in range(game.tree.size)])
    states = np.arange(game.mdp.shape[1] - 1)
    if not feedback:
        states = np.unique(np.asarray(game.mdp.observation)[:-1], return_index=True)[1]
    with np.errstate(divide="ignore"):
        rows = np.log(policy[lengths[states % game.tree.size], states])
    return torch.as_tensor(rows).to(player.theta)


def misled(game: TokenMDP) -> TokenMDP:
    """The same game with false feedback: every problem is told what a verifier says of the next one.

    Nothing but the teacher's view changes: same states, same rewards, same student. Feedback that is false with
    probability `e` mixes the two games, and so do the return of the teacher and every loss, linearly.

    Raises:
        ValueError: there is only one problem.
    """
    count = len(game.problems)
    if count < 2:
        raise ValueError("one problem only: there is no other whose feedback could mislead")

    def swap(of: tuple[tuple, ...]) -> tuple[tuple, ...]:
        return tuple(
            tuple(of[(p + 1) % count][f % len(of[(p + 1) % count])] for f in range(len(of[p]))) for p in range(count)
        )

    agree = swap(game.agree)
    ends = [game.tree.at_the_end(one) for of in agree for one in of]
    consistent = np.concatenate([*ends, np.zeros((1, game.tree.tokens), dtype=int)]).astype(float)
    return replace(
        game,
        hints=swap(game.hints),
        agree=agree,
        consistent=np.broadcast_to(consistent[None], game.mdp.shape),
    )
