"""From Arrow columns to flat arrays; every fault of a log is one sentence that names the row."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from distil_theory.diagnosis.log import Array, Block
from distil_theory.diagnosis.sources import Columns, short

ROUNDING = 1e-6
"""Log-probabilities this far above 0 count as 0."""
LARGEST = 1e60
VOCABULARY = 1 << 20
"""Tokens have smaller numbers: memory grows with the largest one."""
AGREEMENT = 1e-3
"""How far sums of probabilities, and the written token's own, may be off: what single precision can do."""


class Reader:
    """Checks columns and makes blocks of them.

    Attributes:
        words: the tokens by number, if the log has texts; else empty.
        row: the next row's number.
    """

    def __init__(self) -> None:
        self.words: dict[str, int] = {}
        self.row = 1
        self.width: dict[str, int] = {}

    def block(self, columns: Columns) -> tuple[list[object], Block]:
        """Group of each rollout, and the rollouts as a block whose groups are not known yet."""
        self.at = self.row
        self.row += len(columns["group"])
        ids = columns["group"].to_pylist()
        for i, x in enumerate(ids):
            if x is None or isinstance(x, list | dict) or x != x or x == "":
                self.fault(i, f"group is {short(x)}: a number or a text names the prompt")
        reward, student = self.reward(columns["reward"]), self.numbers("student", columns["student"])
        lengths = self.lengths("student", columns["student"])
        self.starts = np.concatenate([[0], np.cumsum(lengths)])
        if (lengths == 0).any():
            self.fault(int(np.argmin(lengths)), "student is empty: a rollout has at least one token")
        for name in columns:
            if name not in ("group", "reward", "student"):
                other = self.lengths(name, columns[name])
                if (other != lengths).any():
                    i = int(np.argmax(other != lengths))
                    self.fault(i, f"student has {lengths[i]} tokens, {name} has {other[i]}")
        teacher = self.numbers("teacher", columns["teacher"])
        self.log_probabilities("student", student)
        self.log_probabilities("teacher", teacher)
        if np.isneginf(student).any():
            self.at_token(int(np.argmax(np.isneginf(student))), "student", "is -inf, but the student wrote it")
        tokens = self.tokens(columns["tokens"]) if "tokens" in columns else None
        wide: dict[str, Any] = {name: self.table(name, columns[name]) for name in columns if "_" in name}
        if "top" in columns:
            wide["top"] = self.listed(columns["top"])
        block = Block(
            groups=np.array([0, len(ids)]),
            starts=self.starts,
            reward=reward,
            student=np.minimum(student, 0),
            teacher=np.minimum(teacher, 0),
            tokens=tokens,
            row=self.at,
            **wide,
        )
        self.distributions(block)
        return ids, block

    def fault(self, i: int, words: str) -> NoReturn:
        """Raise what is wrong with the rollout of this index."""
        raise ValueError(f"row {self.at + i}: {words}")

    def at_token(self, t: int, name: str, words: str) -> NoReturn:
        """Raise what is wrong with the token of this index."""
        i = int(np.searchsorted(self.starts, t, side="right")) - 1
        self.fault(i, f"{name}[{t - self.starts[i]}] {words}")

    def reward(self, column: pa.Array) -> Array:
        """Rewards as floats; truth values count 0 and 1."""
        if not (
            pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)
        ):
            self.fault(0, f"reward is {short(column[0].as_py())}, not a number")
        found = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
        reward = np.asarray(found.to_numpy(zero_copy_only=False), dtype=float)
        if not np.isfinite(reward).all():
            i = int(np.argmin(np.isfinite(reward)))
            self.fault(i, f"reward is {short(column[i].as_py())}, not a finite number")
        if (abs(reward) > LARGEST).any():
            i = int(np.argmax(abs(reward) > LARGEST))
            self.fault(i, f"reward is {reward[i]:g}, too large to be squared and squared again")
        return reward

    def lengths(self, name: str, column: pa.Array) -> Array:
        """Tokens of each rollout."""
        if not is_list(column.type):
            self.fault(0, f"{name} is {short(column[0].as_py())}, not a list with an entry per token")
        if column.null_count:
            self.fault(int(np.argmax(column.is_null().to_numpy(zero_copy_only=False))), f"{name} is missing")
        return np.asarray(pc.list_value_length(column).to_numpy(zero_copy_only=False), dtype=np.int64)

    def numbers(self, name: str, column: pa.Array) -> Array:
        """The numbers of all tokens, flat; those that are missing become NaN."""
        self.lengths(name, column)
        flat = column.flatten()
        if not (pa.types.is_floating(flat.type) or pa.types.is_integer(flat.type) or pa.types.is_null(flat.type)):
            self.fault(0, f"{name} is {short(column[0].as_py())}, not a list of numbers")
        return np.asarray(flat.to_numpy(zero_copy_only=False), dtype=float)

    def log_probabilities(self, name: str, x: Array) -> None:
        """No NaN, and nothing above 0."""
        wrong = ~(x <= ROUNDING)
        if wrong.any():
            t = int(np.argmax(wrong))
            why = "is missing or NaN" if np.isnan(x[t]) else f"is {x[t]:g}: a log-probability is at most 0"
            self.at_token(t, name, why)

    def tokens(self, column: pa.Array) -> Array:
        """Tokens as whole numbers; texts are numbered as they come."""
        flat = column.flatten()
        if flat.null_count:
            self.at_token(int(np.argmax(flat.is_null().to_numpy(zero_copy_only=False))), "tokens", "is missing")
        if pa.types.is_string(flat.type) or pa.types.is_large_string(flat.type):
            coded = flat.dictionary_encode()
            number = np.array([self.words.setdefault(w, len(self.words)) for w in coded.dictionary.to_pylist()])
            return number[coded.indices.to_numpy()]
        if not pa.types.is_integer(flat.type):
            self.fault(0, f"tokens is {short(column[0].as_py())}, not a list of whole numbers or of texts")
        found = flat.to_numpy(zero_copy_only=False).astype(np.int64)
        if (found < 0).any():
            self.at_token(int(np.argmax(found < 0)), "tokens", "is negative")
        if (found >= VOCABULARY).any():
            t = int(np.argmax(found >= VOCABULARY))
            self.at_token(t, "tokens", f"is {found[t]}: no vocabulary is so large")
        return found

    def listed(self, column: pa.Array) -> Array:
        """Which tokens are listed, whole numbers."""
        found = self.table("top", column)
        wrong = ~((found >= 0) & (found == np.floor(found)))
        if wrong.any():
            t, v = np.argwhere(wrong)[0]
            self.at_token(int(t), "top", f"has {found[t, v]:g} at {v}, which is no token")
        return found.astype(np.int64)

    def table(self, name: str, column: pa.Array) -> Array:
        """A row of numbers for each token, `(T, V)` or `(T, k)`, of one width in the whole log."""
        outer = column.flatten()
        if not is_list(outer.type) or not (
            pa.types.is_floating(outer.flatten().type) or pa.types.is_integer(outer.flatten().type)
        ):
            self.fault(0, f"{name} must be a list of lists of numbers, one for each token")
        widths = np.asarray(pc.list_value_length(outer).to_numpy(zero_copy_only=False), dtype=float)
        kind = "full" if name.endswith("full") else "top"
        width = self.width.setdefault(kind, int(widths[0]) if widths[0] > 0 else 1)
        if (widths != width).any():
            t = int(np.argmax(widths != width))
            self.at_token(t, name, f"has {widths[t]:g} entries, others have {width}")
        return np.asarray(outer.flatten().to_numpy(zero_copy_only=False), dtype=float).reshape(-1, width)

    def distributions(self, block: Block) -> None:
        """Sums, and what the written token has in them."""
        if block.form == "sampled":
            return
        assert block.tokens is not None
        if self.words:
            self.fault(0, "tokens are texts, but distributions need them as whole numbers")
        if block.form == "full":
            width = self.width["full"]
            if (block.tokens >= width).any():
                t = int(np.argmax(block.tokens >= width))
                self.at_token(t, "tokens", f"is {block.tokens[t]}, but distributions have {width} entries")
            own_at = np.ones(len(block.tokens), dtype=bool), block.tokens
        else:
            assert block.top is not None
            ordered = np.sort(block.top, axis=1)
            twice = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
            if twice.any():
                self.at_token(int(np.argmax(twice)), "top", "lists a token twice")
            match = block.top == block.tokens[:, None]
            own_at = match.any(axis=1), match.argmax(axis=1)
        for who in ("student", "teacher"):
            name = f"{who}_{block.form}"
            table, own = getattr(block, name), getattr(block, who)
            if not (table <= ROUNDING).all():
                t, v = np.argwhere(~(table <= ROUNDING))[0]
                self.at_token(int(t), name, f"has {table[t, v]:g} at {v}: a log-probability is at most 0")
            total = np.exp(table).sum(axis=1)
            self._sums(block, name, total, np.where(own_at[0], 0, np.exp(own)))
            listed = np.take_along_axis(table, np.where(own_at[0], own_at[1], 0)[:, None], axis=1)[:, 0]
            off = own_at[0] & (abs(np.exp(listed) - np.exp(own)) > AGREEMENT * np.exp(np.maximum(listed, own)) + 1e-12)
            if off.any():
                t = int(np.argmax(off))
                self.at_token(t, who, f"is {own[t]:g}, but {name} gives this token {listed[t]:g}")

    def _sums(self, block: Block, name: str, total: Array, own: Array) -> None:
        if block.form == "full" and (abs(total - 1) > AGREEMENT).any():
            t = int(np.argmax(abs(total - 1) > AGREEMENT))
            self.at_token(t, name, f"sums to {total[t]:g}, not to 1")
        if (total + own > 1 + AGREEMENT).any():
            t = int(np.argmax(total + own > 1 + AGREEMENT))
            also = " with the written token" if own[t] else ""
            self.at_token(t, name, f"sums to {total[t] + own[t]:g}{also}, more than 1")


def is_list(kind: pa.DataType) -> bool:
    """Any of Arrow's kinds of lists."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
