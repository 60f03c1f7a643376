"""A stretch of a log: whole groups of rollouts, each a list of tokens, in flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Array = np.ndarray
BY_TOKEN = ("student", "teacher", "tokens", "student_full", "teacher_full", "top", "student_top", "teacher_top")


@dataclass(frozen=True)
class Block:
    """Whole groups of rollouts, `G` groups of `N` rollouts of `T` tokens together.

    Args:
        groups: where each group begins among the rollouts, and the end, `(G+1,)`.
        starts: where each rollout begins among the tokens, and the end, `(N+1,)`; no rollout is empty.
        reward: `(N,)`.
        student, teacher: log-probability of each written token, `(T,)`, natural logarithms.
        tokens: the written tokens, `(T,)` whole numbers; with whole distributions they index the vocabulary.
        student_full, teacher_full: log-probabilities of all tokens, `(T, V)`.
        top: which tokens are listed, `(T, k)`.
        student_top, teacher_top: their log-probabilities, `(T, k)`.
        row: number of the first rollout in the log, from 1.
        past: sum and number of the mean rewards of earlier groups, a baseline for groups of one.
    """

    groups: Array
    starts: Array
    reward: Array
    student: Array
    teacher: Array
    tokens: Array | None = None
    student_full: Array | None = None
    teacher_full: Array | None = None
    top: Array | None = None
    student_top: Array | None = None
    teacher_top: Array | None = None
    row: int = 1
    past: tuple[float, int] = (0.0, 0)

    @property
    def sizes(self) -> Array:
        """Rollouts of each group, `(G,)`."""
        return np.diff(self.groups)

    @property
    def means(self) -> Array:
        """Mean reward of each group, `(G,)`."""
        return np.asarray(np.add.reduceat(self.reward, self.groups[:-1]) / self.sizes)

    @property
    def lengths(self) -> Array:
        """Tokens of each rollout, `(N,)`."""
        return np.diff(self.starts)

    @property
    def form(self) -> str:
        """`"full"`, `"top"` or `"sampled"`: what is known of the distributions."""
        return "full" if self.student_full is not None else "top" if self.top is not None else "sampled"

    def row_of(self, token: int) -> int:
        """The row of the log in which the token of this index stands."""
        return self.row + int(np.searchsorted(self.starts, token, side="right")) - 1

    def place(self, token: int) -> str:
        """The token of this index in words."""
        row = self.row_of(token)
        return f"row {row}: the tail of token {token - self.starts[row - self.row] + 1}"

    def cut(self, first: int, last: int) -> Block:
        """Rollouts `first..last-1`, of the groups that lie in there whole."""
        groups = self.groups[(self.groups >= first) & (self.groups <= last)] - first
        starts = self.starts[first : last + 1]
        tokens = slice(int(starts[0]), int(starts[-1]))
        part = {name: x[tokens] for name in BY_TOKEN if (x := getattr(self, name)) is not None}
        return replace(
            self, groups=groups, starts=starts - starts[0], reward=self.reward[first:last], row=self.row + first, **part
        )


def join(blocks: Sequence[Block]) -> Block:
    """Blocks behind one another, as one; all of one form."""
    if len(blocks) == 1:
        return blocks[0]
    rollouts = np.cumsum([0, *(len(b.reward) for b in blocks)])
    tokens = np.cumsum([0, *(len(b.student) for b in blocks)])
    together: dict[str, Any] = {
        name: np.concatenate([getattr(b, name) for b in blocks])
        for name in ("reward", *BY_TOKEN)
        if getattr(blocks[0], name) is not None
    }
    return replace(
        blocks[0],
        groups=np.concatenate([[0], *(b.groups[1:] + n for b, n in zip(blocks, rollouts, strict=False))]),
        starts=np.concatenate([[0], *(b.starts[1:] + n for b, n in zip(blocks, tokens, strict=False))]),
        **together,
    )
