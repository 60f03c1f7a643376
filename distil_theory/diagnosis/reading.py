"""A log as blocks of whole groups, in bounded memory.

Rows of a group stand together. A group is complete when the next one begins; of those that ended a hash is kept, to
notice one that comes back. A block has at most `CELLS` numbers per column, or is one group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from distil_theory.diagnosis.checked import Reader
from distil_theory.diagnosis.log import Block, join
from distil_theory.diagnosis.sources import chunks

CELLS = 1 << 17
"""Tokens of a block, times 1/16 of the vocabulary where there are distributions."""


class Log:
    """Iterates over the blocks of a log.

    Args:
        rollouts, names: as for `sources.chunks`.
        drop_single: leave out groups of one rollout, where others have more.

    Attributes:
        dropped: groups left out.
        reader: knows the texts of tokens.

    Raises:
        ValueError: while it is read; the message names the row.
    """

    def __init__(self, rollouts: Any, names: Mapping[str, str] | None = None, drop_single: bool = False) -> None:
        self.rollouts, self.names, self.drop_single = rollouts, names, drop_single
        self.dropped = 0
        self.reader = Reader()
        self._ended: set[int] = set()
        self._single: int | None = None
        """First row that is a group of its own."""
        self._plural: int | None = None
        self._past = (0.0, 0)

    def __iter__(self) -> Iterator[Block]:
        """Blocks of whole groups; at least one."""
        kept: Block | None = None
        last: object = None
        for columns in chunks(self.rollouts, self.names):
            if not len(columns["group"]):
                continue
            ids, block = self.reader.block(columns)
            begins = [i for i, x in enumerate(ids) if (x != ids[i - 1] if i else kept is None or x != last)]
            for i in begins:
                mark = hash(repr(ids[i]))  # of numbers alone not all hashes differ
                if mark in self._ended:
                    raise ValueError(f"row {block.row + i}: group {ids[i]!r} comes back after others: sort by group")
                self._ended.add(mark)
            if kept is not None:  # its last group may go on
                begins = [0, *(i + len(kept.reward) for i in begins)]
                block = join([kept, block])
            block, last = replace(block, groups=np.array([*begins, len(block.reward)])), ids[-1]
            if begins[-1]:
                yield from self._wanted(block.cut(0, begins[-1]))
            kept = block.cut(begins[-1], len(block.reward))
        if kept is None:
            raise ValueError("the log is empty")
        yield from self._wanted(kept)
        if self.dropped == len(self._ended):
            raise ValueError("every group is a single rollout, and those were to be dropped")

    def _wanted(self, block: Block) -> Iterator[Block]:
        """In pieces of bounded size, without groups of one if they are to be dropped; `ValueError` where both kinds
        meet."""
        alone = block.sizes == 1
        if self.drop_single and alone.any():
            self.dropped += int(alone.sum())
            keep = np.flatnonzero(~alone)
            runs = np.split(keep, np.flatnonzero(np.diff(keep) > 1) + 1) if len(keep) else []
            for run in runs:
                yield from self._pieces(block.cut(int(block.groups[run[0]]), int(block.groups[run[-1] + 1])))
            return
        for kind, name in ((alone, "_single"), (~alone, "_plural")):
            if kind.any() and getattr(self, name) is None:
                setattr(self, name, block.row + int(block.groups[int(np.argmax(kind))]))
        if self._single is not None and self._plural is not None:
            raise ValueError(
                f"row {self._single}: this group is one rollout, others have more: rates within a group take two of "
                "each; add rollouts, or drop such groups (--drop-single)"
            )
        yield from self._pieces(block)

    def _pieces(self, block: Block) -> Iterator[Block]:
        for piece in pieces(block):
            yield replace(piece, past=self._past)
            self._past = self._past[0] + float(piece.means.sum()), self._past[1] + len(piece.sizes)


def pieces(block: Block) -> Iterator[Block]:
    """The same groups in blocks of bounded size."""
    table = block.student_full if block.student_full is not None else block.student_top
    limit = CELLS if table is None else max(1, CELLS * 16 // table.shape[1])
    ends = block.starts[block.groups]  # tokens before each group
    first = 0
    while first < len(block.groups) - 1:
        last = max(first + 1, int(np.searchsorted(ends, ends[first] + limit, side="right")) - 1)
        yield block.cut(int(block.groups[first]), int(block.groups[last]))
        first = last
