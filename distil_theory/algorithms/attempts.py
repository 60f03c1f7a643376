"""Answers of many students at once, and feedback on their own first attempts.

As a student changes, so does what it attempts, and with it the law of what its teacher reads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import solve
from distil_theory.instances.prefixes import PrefixTree
from distil_theory.instances.token_mdp import TokenMDP


def answer_law(game: TokenMDP, policy: np.ndarray) -> np.ndarray:
    """Probability of every finished answer `(problems, answers, *B)`, in the order of `game.tree.finished()`.

    Args:
        game: a token MDP.
        policy: a student's `(H,S,A,*B)`, alike whatever the feedback.

    Raises:
        ValueError: a policy that does not fit.
    """
    pi = solve.check_policy(game.mdp, policy, "student")
    roots = [game.state_index(p, 0, ()) for p in range(len(game.problems))]
    return np.stack([_law(game.tree, pi, root) for root in roots])


def _law(tree: PrefixTree, pi: np.ndarray, root: int) -> np.ndarray:
    law = np.ones((1, *pi.shape[3:]))
    for h in range(tree.length):
        rows = pi[h, root + tree.start(h) : root + tree.start(h + 1)]
        law = (law[:, None] * rows).reshape(-1, *pi.shape[3:])
    return law


class Attempts(NamedTuple):
    """The channel from first attempts to feedback: per problem the first state of each value of its feedback, the
    probability of the problem, and `P(feedback | attempt) (values, answers)`."""

    tree: PrefixTree
    roots: tuple[np.ndarray, ...]
    weights: tuple[float, ...]
    says: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, game: TokenMDP) -> Attempts:
        """Of a token MDP; `ValueError` if there is an attempt of which it does not know what is said."""
        counts, size = [len(hints) for hints in game.hints], game.tree.size
        first = np.cumsum([0, *counts[:-1]])
        roots = tuple((start + np.arange(n)) * size for start, n in zip(first, counts, strict=True))
        initial = ns.convert(game.mdp.initial, "float64")
        says = tuple(ns.convert(matrix, "float64") for matrix in game.says)
        for p, matrix in enumerate(says):
            unheard = np.flatnonzero(abs(matrix.sum(axis=0) - 1) > 1e-9)
            if len(unheard):
                y = game.text(game.tree.finished()[unheard[0]])
                raise ValueError(f"the reference never makes the attempt {y!r} of problem {p}: what is said then?")
        return cls(game.tree, roots, tuple(float(initial[r].sum()) for r in roots), says)

    def initial(self, pi: np.ndarray) -> np.ndarray:
        """Law of the first state `(S,B)` if the student `(H,S,A,B)` makes the attempts."""
        out = np.zeros((pi.shape[1], pi.shape[3]))
        for roots, weight, says in zip(self.roots, self.weights, self.says, strict=True):
            out[roots] = weight * (says @ _law(self.tree, pi, roots[0]))
        return out
