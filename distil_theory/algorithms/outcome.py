"""What the outcome of a rollout pushes the student to do: GRPO and RLVR (`signals`, `groups`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distil_theory import validate
from distil_theory.algorithms import groups
from distil_theory.algorithms.rollouts import Sampling, draw
from distil_theory.algorithms.signals import Moment, Push
from distil_theory.algorithms.tasks import Task
from distil_theory.aliasing import pool

REWARDS = ("bit", "value")
MOST_VALUES = 6
"""Different rewards that exact mode tells apart."""


@dataclass(frozen=True)
class Outcome:
    """Loss: minus the group-normalised outcome of a rollout, at each of its tokens (GRPO, RLVR).

    Attributes:
        group: rollouts per prompt in exact mode; with samples, `Sampling.group`.
        normalise: divide by the standard deviation of the group.
        reward: `"bit"`: the return is the probability of a success bit; `"value"`: the return itself.

    Raises:
        ValueError: a group below 2, an unknown reward.
    """

    group: int = 8
    normalise: bool = True
    reward: str = "bit"

    queries = False

    def __post_init__(self) -> None:
        validate.whole("group", self.group, 2)
        if self.reward not in REWARDS:
            raise ValueError(f"unknown reward {self.reward!r}: choose from {', '.join(REWARDS)}")

    def check(self, task: Task, sampling: Sampling | None) -> None:
        """Raises `ValueError` if this task, or these rollouts, give no such outcomes."""
        if sampling is None:
            self.outcomes(task)
            return
        validate.whole("sampling.group of group-normalised advantages", sampling.group, 2)
        if self.reward == "bit":
            least, most = -task.most(-task.reward), task.most(task.reward)
            if least < -1e-9 or most > 1 + 1e-9:
                raise ValueError(
                    f"a success bit needs returns in [0,1], these reach {least:g} and {most:g}: take reward='value'"
                )

    def push(self, now: Moment) -> Push:
        """What the moment tells the student to do."""
        task, pi = now.task, now.pi
        if now.sampling is not None:
            drawn = draw(task, pi, now.sampling, now.rng, bit=self.reward == "bit")
            worth = groups.of_sample(drawn.returns, drawn.group, self.normalise)
            talking = ~task.finished[drawn.states]
            parts = [
                drawn.count_actions(pi.shape[1:3], drawn.actions, np.broadcast_to(x, talking.shape) * talking)
                for x in (np.maximum(worth, 0), np.minimum(worth, 0))
            ]
            seen = drawn.count(pi.shape[1])
        else:
            *parts, seen = self._expected(task, pi)
        plus, minus = (pool(task.mdp, x) for x in parts)
        return Push(plus, minus, pool(task.mdp, seen))

    def _expected(self, task: Task, pi: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`d pi E[max(A, 0)|s,a]`, the same with `min`, and `d`: sums over prompts and outcomes."""
        values, tables = self.outcomes(task)
        plus, minus, seen = np.zeros_like(pi), np.zeros_like(pi), np.zeros_like(pi[:, :, 0])
        chances = [task.backward(pi, table) for table in tables]
        for initial, share in zip(task.initial_of, task.prompt_law, strict=True):
            law = np.stack([(initial * v[0]).sum(axis=0) for v, _ in chances])  # (V, B), together the share
            law = np.where(share > 0, law, 1 / len(values)) / np.where(share > 0, share, 1)
            up, down = groups.advantages(values, law / law.sum(axis=0), self.group, self.normalise)
            here = task.forward(pi, initial)
            seen += here
            flow = here[:, :, None] * pi * ~task.finished[:, None, None]
            plus += flow * sum(a * q for a, (_, q) in zip(up, chances, strict=True))
            minus += flow * sum(a * q for a, (_, q) in zip(down, chances, strict=True))
        return plus, minus, seen

    def outcomes(self, task: Task) -> tuple[np.ndarray, list[np.ndarray]]:
        """Different outcomes `(V,)`, and for each the reward `(H,S,A,B)` whose return is its probability.

        Raises:
            ValueError: rewards before the last step, or that are no probabilities, or too many different ones.
        """
        last = task.reward[-1]
        if task.paid_early(task.reward):
            raise ValueError("exact group advantages need rewards at the last step only: use samples")
        if self.reward == "bit":
            if (last < 0).any() or (last > 1).any():
                raise ValueError("a success bit needs rewards in [0,1] at the last step: take reward='value'")
            tables = [1 - last, last]
            values = np.array([0.0, 1.0])
        else:
            values, which = np.unique(last, return_inverse=True)
            new = np.diff(values, prepend=-np.inf) > groups.ROUNDING * abs(last).max()
            which, values = (new.cumsum() - 1)[which].reshape(last.shape), values[new]
            if len(values) > MOST_VALUES:
                raise ValueError(f"{len(values)} different rewards, more than {MOST_VALUES}: take reward='bit'")
            tables = [(which == v) * 1.0 for v in range(len(values))]
        before = np.zeros_like(task.reward[:-1])
        return values, [np.concatenate([before, table[None]]) for table in tables]
