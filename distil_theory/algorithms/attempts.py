"""Feedback on the student's own first attempts: as the student changes, so does the law of what the teacher reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from distil_theory import number_systems as ns
from distil_theory.instances.token_mdp import TokenMDP

if TYPE_CHECKING:
    from distil_theory.algorithms.tasks import Task


class Attempts(NamedTuple):
    """The channel from first attempts to feedback: per problem the first state of each value of its feedback, the
    probability of the problem, and `P(feedback | attempt) (values, answers)`; `last`, where the last tokens of answers
    are written, as an offset from the first state."""

    roots: tuple[np.ndarray, ...]
    weights: tuple[float, ...]
    says: tuple[np.ndarray, ...]
    last: slice

    @classmethod
    def of(cls, game: TokenMDP) -> Attempts:
        """Of a token MDP."""
        counts, size = [len(hints) for hints in game.hints], game.tree.size
        first = np.cumsum([0, *counts[:-1]])
        roots = tuple((start + np.arange(n)) * size for start, n in zip(first, counts, strict=True))
        initial = ns.convert(game.mdp.initial, "float64")
        says = tuple(ns.convert(matrix, "float64") for matrix in game.says)
        last = slice(game.tree.start(game.tree.length - 1), size)
        return cls(roots, tuple(float(initial[r].sum()) for r in roots), says, last)

    def initial(self, task: Task, pi: np.ndarray) -> np.ndarray:
        """Law of the first state `(S,B)` if the student `(H,S,A,B)` makes the attempts."""
        begin = np.zeros((pi.shape[1], pi.shape[3]))
        begin[[r[0] for r in self.roots]] = 1
        flow = task.forward(pi, begin)[-1][:, None] * pi[-1]
        out = np.zeros_like(begin)
        for roots, weight, says in zip(self.roots, self.weights, self.says, strict=True):
            answers = flow[roots[0] + self.last.start : roots[0] + self.last.stop].reshape(says.shape[1], -1)
            out[roots] = weight * (says @ answers)
        return out
