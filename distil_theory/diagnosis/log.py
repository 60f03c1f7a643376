"""A stretch of a log: whole groups of rollouts, each a list of tokens, in flat arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


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

    @property
    def sizes(self) -> Array:
        """Rollouts of each group, `(G,)`."""
        return np.diff(self.groups)

    @property
    def lengths(self) -> Array:
        """Tokens of each rollout, `(N,)`."""
        return np.diff(self.starts)
