r"""Rollouts of many students at once: batch `B` of them, each answers `prompts` prompts, `group` times each.

As `trajectories.sample`, which draws for one student, but with the batch as last axis: `states[h,n,b]`. Rollouts of one
group lie side by side and share their prompt; the feedback that only the teacher reads is drawn for each rollout. A
success *bit* is drawn with the return as its probability; where returns are 0 or 1 it is the return.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from distil_theory import validate
from distil_theory.algorithms.tasks import Task
from distil_theory.trajectories import pick


@dataclass(frozen=True)
class Sampling:
    """How many rollouts a step may use: `prompts` times `group`.

    Raises:
        ValueError: numbers that are no positive whole numbers.
    """

    prompts: int = 8
    group: int = 8

    def __post_init__(self) -> None:
        validate.whole("prompts", self.prompts, 1)
        validate.whole("group", self.group, 1)


@dataclass(frozen=True)
class Rollouts:
    """`N` rollouts of each of `B` students: `states`, `actions` and labels of an expert `(H,N,B)`, `returns (N,B)`."""

    states: np.ndarray
    actions: np.ndarray
    labels: np.ndarray | None
    returns: np.ndarray
    group: int

    def __len__(self) -> int:
        return int(self.states.shape[1])

    def along(self, table: np.ndarray, actions: np.ndarray | None = None) -> np.ndarray:
        """Entries of a table `(H,S,B)`, or `(H,S,A,B)` at the given actions, met on the way: `(H,N,B)`."""
        h, b = np.arange(len(self.states))[:, None, None], np.arange(self.states.shape[2])
        return table[h, self.states, b] if actions is None else table[h, self.states, actions, b]

    def count(self, states: int, values: np.ndarray | None = None) -> np.ndarray:
        """Sum of values `(H,N,B)` (default: 1) over the visits to each state, divided by `N`: `(H,S,B)`."""
        return self._sum((len(self.states), states, self.states.shape[2]), values, None)

    def count_actions(
        self, shape: tuple[int, int], actions: np.ndarray, values: np.ndarray | None = None
    ) -> np.ndarray:
        """The same over visits to each state with the given actions `(H,N,B)`: `(H,S,A,B)` with `shape = (S, A)`."""
        return self._sum((len(self.states), *shape, self.states.shape[2]), values, actions)

    def _sum(self, shape: tuple[int, ...], values: np.ndarray | None, actions: np.ndarray | None) -> np.ndarray:
        h, b = np.arange(shape[0])[:, None, None], np.arange(shape[-1])
        index: tuple[Any, ...] = (h, self.states, b) if actions is None else (h, self.states, actions, b)
        places = np.ravel_multi_index(np.broadcast_arrays(*index), shape).ravel()
        weights = None if values is None else values.ravel()
        return np.bincount(places, weights, int(np.prod(shape))).reshape(shape) / len(self)


def draw(
    task: Task,
    student: np.ndarray,
    sampling: Sampling,
    rng: np.random.Generator,
    expert: np.ndarray | None = None,
    *,
    bit: bool = False,
) -> Rollouts:
    """Rollouts of a student `(H,S,A,B)`, with labels if an expert `(H,S,A,B)` is asked.

    Args:
        task: what is played.
        student: who plays.
        sampling: how often.
        rng: the source of randomness.
        expert: draws a label at each visited state.
        bit: returns are success bits.
    """
    batch, n = student.shape[3], sampling.prompts * sampling.group
    b = np.arange(batch)
    law = np.broadcast_to(task.prompt_law, (*task.prompt_law.shape[:1], batch))
    prompt = np.repeat(pick(law[:, None] + np.zeros((sampling.prompts, 1)), rng), sampling.group, axis=0)  # (N, B)
    start = np.broadcast_to(task.initial_of, (*task.initial_of.shape[:2], batch))
    states = [pick(np.moveaxis(start[prompt, :, b], -1, 0), rng)]
    actions, labels = [], []
    reward = np.broadcast_to(task.reward, student.shape)
    total: np.ndarray = np.zeros((n, batch))
    for h in range(len(student)):
        actions.append(pick(np.moveaxis(student[h, states[h], :, b], -1, 0), rng))
        total += reward[h, states[h], actions[h], b]
        if expert is not None:
            labels.append(pick(np.moveaxis(expert[h, states[h], :, b], -1, 0), rng))
        if h < len(student) - 1:
            states.append(_successors(task, h, states[h], actions[h], rng))
    if bit:
        total = np.where(rng.random(total.shape) < total, 1.0, 0.0)
    seen = np.stack(labels) if labels else None
    return Rollouts(np.stack(states), np.stack(actions), seen, total, sampling.group)


def _successors(task: Task, h: int, s: np.ndarray, a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if task.successor is not None:
        return task.successor[min(h, len(task.successor) - 1), s, a]
    p = task.mdp.transition[h]
    rows = p[s, a] if p.ndim == 3 else p[s, a, :, np.arange(s.shape[1])]
    return pick(np.moveaxis(rows, -1, 0), rng)
