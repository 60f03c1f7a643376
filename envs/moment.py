"""What there is to show of an episode at one moment, in words and numbers: text and picture both draw this."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.tabular import TabularEnv


class Moment(NamedTuple):
    """One moment.

    Attributes:
        title: the name of the environment.
        exposes: what goes wrong here.
        h: steps played, from 0 to `H`.
        horizon: `H`.
        s: the state, or None when the episode is over; what follows then speaks of the last decision.
        name, seen, hidden: the state's name, what the student sees of it, and what only the teacher sees.
        actions: names.
        student, expert: their probabilities `(A,)`; None if there are none.
        last: name of the last action and its reward; None before the first.
        total: the return so far.
        path: the states met, and after each the action taken.
    """

    title: str
    exposes: str
    h: int
    horizon: int
    s: int | None
    name: str
    seen: str
    hidden: str
    actions: tuple[str, ...]
    student: np.ndarray | None
    expert: np.ndarray | None
    last: tuple[str, float] | None
    total: float
    path: list[tuple[int, int]]

    @property
    def at(self) -> int:
        """The state, or the last one if the episode is over."""
        return self.path[-1][0] if self.s is None else self.s

    @property
    def start(self) -> int:
        """The first state."""
        return self.path[0][0] if self.path else self.at


def moment(env: TabularEnv) -> Moment:
    """The present moment of an environment.

    Raises:
        ValueError: before the first reset.
    """
    horizon, states, _ = env.mdp.shape
    names, case = env.names, env.instance
    if env.state == env.over and not env.played:
        raise ValueError("nothing to show yet: call reset() before render()")
    over = env.state == env.over
    h, s = divmod(env.played[-1][0] if over else env.state, states)
    path = [(i % states, int(a)) for i, a, _ in env.played]
    student, expert = (None, None) if case is None else (case.student[h, s], case.expert[h, s])
    return Moment(
        title=type(env).__name__,
        exposes="" if case is None else case.exposes,
        h=len(path),
        horizon=horizon,
        s=None if over else s,
        name=names.states[s],
        seen=names.seen[env.mdp.observation[s]],
        hidden=names.hidden[s],
        actions=names.actions[s],
        student=student,
        expert=expert,
        last=(names.actions[path[-1][0]][path[-1][1]], env.played[-1][2]) if path else None,
        total=sum(r for *_, r in env.played),
        path=path,
    )
