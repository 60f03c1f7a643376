"""From a file, a frame or dictionaries to Arrow columns of a few rows at a time."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

NEEDED = ("group", "reward", "student", "teacher")
PAIRS = ("student_full", "teacher_full"), ("top", "student_top", "teacher_top")
KNOWN = (*NEEDED, "tokens", *itertools.chain(*PAIRS))
ROWS, ROWS_OF_DISTRIBUTIONS = 1024, 64
"""Rows that are read at a time; fewer where each token has a whole distribution."""

Columns = dict[str, pa.Array]
TRUTH = {"True": "true", "False": "false"}
"""As pandas writes them."""
UNFIT = pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError
"""What Arrow raises at a value that no column can hold with the others."""


def chunks(rollouts: Any, names: Mapping[str, str] | None = None) -> Iterator[Columns]:
    """Columns of successive rows, by the names in `KNOWN`.

    Args:
        rollouts: a path ending in .parquet, .csv or .jsonl, a data frame, or dictionaries.
        names: what the log calls a column, for those it calls otherwise.

    Raises:
        ValueError: no such file, unknown ending, missing column, or a row that is no row.
    """
    names = dict(names or {})
    unknown = [name for name in names if name not in KNOWN]
    if unknown:
        raise ValueError(f"there is no column {unknown[0]!r} to rename: choose from {', '.join(KNOWN)}")
    if isinstance(rollouts, str | Path):
        path = Path(rollouts)
        if path.suffix not in READERS:
            raise ValueError(f"{path.name}: a log ends in {', '.join(READERS)}, not in {path.suffix or 'nothing'}")
        if not path.is_file():
            raise ValueError(f"there is no file {path}")
        yield from READERS[path.suffix](path, names)
    elif hasattr(rollouts, "iloc"):
        chosen = present(list(rollouts.columns), names)
        for i in range(0, len(rollouts), rows_at_a_time(chosen)):
            part = rollouts.iloc[i : i + rows_at_a_time(chosen)]
            yield {name: column(name, list(part[own]), i + 1) for name, own in chosen.items()}
    elif isinstance(rollouts, Iterable):
        yield from dictionaries(rollouts, names)
    else:
        raise ValueError(f"rollouts must be a file, a data frame or dictionaries, not {type(rollouts).__name__}")


def present(found: Sequence[str], names: Mapping[str, str]) -> dict[str, str]:
    """Which columns there are, and what the log calls them; `ValueError` if one is missing."""
    chosen = {name: names.get(name, name) for name in KNOWN if names.get(name, name) in found}
    needed = {*NEEDED, *names}
    for pair in PAIRS:
        if any(name in chosen for name in pair):
            needed |= {*pair, "tokens"}
    for name in KNOWN:
        if name in needed and name not in chosen:
            raise ValueError(f"missing column {names.get(name, name)!r}; the log has {', '.join(map(str, found))}")
    return chosen


def rows_at_a_time(chosen: Mapping[str, str]) -> int:
    """How many rows are read together."""
    return ROWS_OF_DISTRIBUTIONS if "student_full" in chosen or "top" in chosen else ROWS


def column(name: str, values: list[Any], row: int) -> pa.Array:
    """Python values as an Arrow column; `ValueError` naming the first row that does not fit."""
    plain = [x.tolist() if hasattr(x, "tolist") else x for x in values]
    try:
        return pa.array(plain)
    except UNFIT:
        for i in range(len(plain)):
            try:
                pa.array(plain[: i + 1])
            except UNFIT:
                raise ValueError(
                    f"row {row + i}: {name} is {short(plain[i])}, unlike the rows before: one type of number or list"
                ) from None
        raise


def short(x: Any) -> str:
    """As much of a value as fits into a sentence."""
    text = repr(x)
    return text if len(text) <= 60 else text[:57] + "..."


def dictionaries(rows: Iterable[Any], names: Mapping[str, str]) -> Iterator[Columns]:
    """A dictionary for each rollout."""
    rest, row, chosen = iter(rows), 1, None
    while part := list(itertools.islice(rest, rows_at_a_time(chosen or {}))):
        for i, x in enumerate(part):
            if not isinstance(x, Mapping):
                raise ValueError(f"row {row + i}: a rollout is a dictionary of columns, not {short(x)}")
            if chosen is None:
                chosen = present(list(x), names)
            for own in chosen.values():
                if own not in x:
                    raise ValueError(f"row {row + i}: missing column {own!r}, which the rows before have")
        assert chosen is not None
        yield {name: column(name, [x[own] for x in part], row) for name, own in chosen.items()}
        row += len(part)


def parquet(path: Path, names: Mapping[str, str]) -> Iterator[Columns]:
    """Row groups, piece by piece."""
    try:
        file = pq.ParquetFile(path, pre_buffer=False)  # else columns of the whole file are kept
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path.name} is no parquet file: {error}") from None
    with file:
        chosen = present(file.schema_arrow.names, names)
        for batch in file.iter_batches(rows_at_a_time(chosen), columns=list(chosen.values()), use_threads=False):
            yield {name: batch.column(batch.schema.get_field_index(own)) for name, own in chosen.items()}


def json_lines(path: Path, names: Mapping[str, str]) -> Iterator[Columns]:
    """A JSON object in each line."""

    def rows() -> Iterator[Any]:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                yield read_json(f"row {number}", line)

    yield from dictionaries(rows(), names)


def read_json(where: str, text: str) -> Any:
    """A JSON value; `ValueError` naming the place."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: no JSON ({error.msg}): {short(text.strip())}") from None


def comma_separated(path: Path, names: Mapping[str, str]) -> Iterator[Columns]:
    """A header, then a rollout in each row; lists are written as JSON, in quotation marks."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))

    def rows() -> Iterator[dict[str, Any]]:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            chosen = present(reader.fieldnames or [], names)
            for number, line in enumerate(reader, 1):
                row: dict[str, Any] = {}
                for name, own in chosen.items():
                    if line[own] is None:
                        raise ValueError(f"row {number}: the row ends before column {own!r}")
                    text = TRUTH.get(line[own], line[own])
                    row[own] = line[own] if name == "group" else read_json(f"row {number}: {own}", text)
                yield row

    yield from dictionaries(rows(), names)


READERS: dict[str, Callable[[Path, Mapping[str, str]], Iterator[Columns]]] = {
    ".parquet": parquet,
    ".csv": comma_separated,
    ".jsonl": json_lines,
}
