"""The one place where the core's arrays and a language model's tensors change into each other.

The core writes a policy `(H,S,A,*B)`: step, state, action, batch last. A language model writes `(batch, token,
vocab)`: batch first. A batch of sequences is a core array whose states are the sequences: at token `h` sequence `n` is
in "state" `n` of its own. So `(batch, token, vocab)` is `(H,S,A)` with the first two axes exchanged, and batch axes of
the core are further sequences.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from distil_theory.trajectories import Trajectories


def to_tokens(x: torch.Tensor) -> torch.Tensor:
    """`(H,S,A,*B)` as `(batch, token, vocab)`, the batch running over `(S,*B)`; `(H,S)` as `(batch, token)`.

    Raises:
        ValueError: fewer than two axes.
    """
    if x.ndim == 2:
        return x.transpose(0, 1)
    if x.ndim < 2:
        raise ValueError(f"an array of shape {tuple(x.shape)} has no axes (H, S, A)")
    return x.movedim((0, 2), (-2, -1)).flatten(0, x.ndim - 3)


def to_core(x: torch.Tensor, batch: Sequence[int] = ()) -> torch.Tensor:
    """The inverse of `to_tokens`: `(batch, token, vocab)` as `(H,S,A,*batch)`.

    Raises:
        ValueError: other axes, or a batch that the core's batch axes do not divide.
    """
    if x.ndim == 2 and not batch:
        return x.transpose(0, 1)
    if x.ndim != 3:
        raise ValueError(f"a tensor of shape {tuple(x.shape)} has no axes (batch, token, vocab)")
    try:
        split = x.unflatten(0, (-1, *batch))
    except RuntimeError:
        raise ValueError(f"{x.shape[0]} sequences do not fill a batch of shape {tuple(batch)}") from None
    return split.movedim((-2, -1), (0, 2))


def along(table: torch.Tensor, rollouts: Trajectories) -> torch.Tensor:
    """Rows of a table `(H,S,A)` met on each rollout, `(batch, token, vocab)`: what a model says along its texts."""
    states = torch.as_tensor(rollouts.states, device=table.device)
    steps = torch.arange(len(states), device=table.device)[:, None]
    return to_tokens(table[steps, states])


def written(rollouts: Trajectories, device: torch.device | str = "cpu") -> torch.Tensor:
    """The actions of each rollout, whole numbers `(batch, token)`."""
    return to_tokens(torch.as_tensor(rollouts.actions, device=device))
