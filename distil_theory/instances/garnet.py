r"""Garnet: random MDPs with few successors, a family for sweeps (Archibald, McKinnon & Thomas 1995).

Each `(s, a)` leads to `b` distinct states, drawn uniformly. Their probabilities are the pieces of a stick of length one
that is broken at `b - 1` uniform places: a uniform draw from the simplex. Small `b` makes transitions nearly
deterministic and some states rarely visited, which is where occupancies and probability ratios become extreme.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from distil_theory import validate
from distil_theory.spec import TabularMDP

REWARDS = ("uniform", "normal", "terminal")


def garnet(
    states: int,
    actions: int,
    branching: int,
    horizon: int,
    seed: int,
    batch: int | Sequence[int] | None = None,
    rewards: str = "uniform",
) -> TabularMDP:
    """A random MDP in float64, or a batch of independent ones; the same for the same arguments.

    Args:
        states, actions, branching, horizon: `S`, `A`, `b <= S`, `H`.
        seed: a whole number.
        batch: length of the batch axis, or the lengths of several; `None` for a single MDP.
        rewards: of each `(s, a)`: `"uniform"` on [0,1], `"normal"` (standard), or `"terminal"`: uniform on [0,1] at the
            last step and nothing before, as claims 8, 9 and 16 want it.

    Returns:
        A stationary `TabularMDP` (but for terminal rewards) that starts in a uniformly drawn state.

    Raises:
        ValueError: a size that is no positive whole number, `b > S`, a bad seed, unknown rewards.
    """
    sizes = {"states": states, "actions": actions, "branching": branching, "horizon": horizon}
    states, actions, branching, horizon = (validate.whole(what, n, 1) for what, n in sizes.items())
    if branching > states:
        raise ValueError(f"branching is {branching}: there are only {states} states to lead to")
    if rewards not in REWARDS:
        raise ValueError(f"unknown rewards {rewards!r}: choose from {', '.join(REWARDS)}")
    lengths: Any = () if batch is None else batch if isinstance(batch, list | tuple) else (batch,)
    shape = tuple(validate.whole("batch", n, 1) for n in lengths)
    rng = np.random.default_rng(validate.whole("seed", seed, 0))

    # the b smallest of S random keys are b distinct states, uniformly
    keys = rng.random((states, actions, states, *shape))
    successors = keys.argpartition(branching - 1, axis=2)[:, :, :branching]
    cuts = np.sort(rng.random((states, actions, branching - 1, *shape)), axis=2)
    pieces = np.diff(cuts, axis=2, prepend=0, append=1)
    transition = np.zeros(keys.shape)
    np.put_along_axis(transition, successors, pieces, axis=2)
    reward = rng.normal(size=keys.shape[:2] + shape) if rewards == "normal" else rng.random(keys.shape[:2] + shape)
    initial = np.full((states, *shape), 1 / states)
    if rewards != "terminal":
        return TabularMDP(transition, reward, initial, horizon, batch_ndim=len(shape))
    last = np.concatenate([np.zeros((horizon - 1, *reward.shape)), reward[None]])
    repeated = np.broadcast_to(transition, (horizon, *transition.shape))
    return TabularMDP(repeated, last, initial, batch_ndim=len(shape))
