"""Prefixes of token sequences, numbered: the tree on which a token MDP lives.

Shorter prefixes come first, prefixes of one length in lexicographic order. So the prefix that a token `a` makes of
prefix number `k` has number `A k + 1 + a`, and finished answers, which come last, are numbered in lexicographic order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distil_theory.number_systems import Array


@dataclass(frozen=True)
class PrefixTree:
    """All prefixes of answers of `length` tokens out of `tokens` many."""

    tokens: int
    length: int

    @property
    def size(self) -> int:
        """Number of unfinished prefixes."""
        return self.start(self.length)

    @property
    def answers(self) -> int:
        """Number of finished answers."""
        return int(self.tokens**self.length)

    def start(self, h: int) -> int:
        """Number of the first prefix of `h` tokens."""
        return sum(self.tokens**i for i in range(h))

    def node(self, prefix: Sequence[int]) -> int:
        """Number of a prefix; of a finished answer, `size` plus its place among the answers."""
        node = 0
        for token in prefix:
            node = self.tokens * node + 1 + token
        return node

    def prefix(self, node: int) -> tuple[int, ...]:
        """The inverse of `node`."""
        backwards = []
        while node:
            node, token = divmod(node - 1, self.tokens)
            backwards.append(token)
        return tuple(reversed(backwards))

    def finished(self) -> list[tuple[int, ...]]:
        """All answers, in order."""
        return [self.prefix(self.size + i) for i in range(self.answers)]

    def at_the_end(self, marked: np.ndarray) -> np.ndarray:
        """Whole numbers `(size, tokens)`, 1 where this token finishes a marked answer; `marked` is boolean
        `(answers,)`."""
        table = np.zeros((self.size, self.tokens), dtype=int)
        table[self.start(self.length - 1) :] = marked.reshape(-1, self.tokens)
        return table

    def law(self, policy: Array, root: int = 0) -> Array:
        """Probability of each answer, `(answers,)`, under a policy `(H, rows, tokens)` in which the rows of this tree
        begin at `root`."""
        p = policy[0, root, :1] * 0 + 1
        for h in range(self.length):
            rows = policy[h, root + self.start(h) : root + self.start(h + 1)]
            p = (p[:, None] * rows).reshape(-1)
        return p
