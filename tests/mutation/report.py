"""The results as a table, the reasons of the survivors, and the report made of both."""

from __future__ import annotations

import csv
import datetime
import hashlib
import platform
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS, REASONS, REPORT, SOURCES = (HERE / n for n in ("results.csv", "reasons.csv", "REPORT.md", "sources.csv"))
COLUMNS = ("module", "line", "function", "before", "after", "verdict", "test")
NAMED = ("module", "function", "before", "after")
LIMIT = 0.9
KINDS = {
    "same": "no input tells the two apart",
    "speed": "only time or memory differ",
    "rounding": "differs by rounding, or in how a tolerance is chosen",
    "words": "only the words of a message or a label differ",
    "unseen": "differs, but no test says so",
}


def key(row: dict[str, Any]) -> tuple[str, ...]:
    """What names a mutant even when lines are added above it."""
    return tuple(row[name] for name in NAMED)


def digest(source: str) -> str:
    """Of the source that was mutated."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write(path: Path, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def load() -> list[dict[str, str]]:
    """The stored results."""
    return _read(RESULTS)


def save(module: str, rows: list[dict[str, Any]], source: str, partial: bool) -> None:
    """Put the rows of one module in the place of what was there; of a part, only those rows."""
    new = {key(row) for row in rows}
    old = [r for r in load() if r["module"] != module or (partial and key(r) not in new)]
    _write(RESULTS, COLUMNS, sorted([*old, *rows], key=lambda r: (r["module"], int(r["line"]))))
    if not partial:
        versions = {"python": platform.python_version()} | {p: version(p) for p in ("mutmut", "libcst", "pytest")}
        entry = {"module": module, "source": source, "day": datetime.date.today().isoformat()}
        entry["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
        others = [r for r in _read(SOURCES) if r["module"] != module]
        _write(SOURCES, tuple(entry), sorted([*others, entry], key=lambda r: r["module"]))


def scores(rows: list[dict[str, str]], reasons: dict[tuple[str, ...], tuple[str, str]]) -> list[dict[str, Any]]:
    """One row per module, and one for all."""
    table = []
    for module in [*dict.fromkeys(row["module"] for row in rows), "all"]:
        mine = [row for row in rows if module in ("all", row["module"])]
        count = Counter(row["verdict"] for row in mine)
        alive = [row for row in mine if row["verdict"] == "survived"]
        same = sum(reasons.get(key(row), ("", ""))[0] in ("same", "speed") for row in alive)
        dead = len(mine) - len(alive)
        line = {"module": module, "mutants": len(mine), "killed": count["killed"], "timeout": count["timeout"]}
        line |= {"crashed": count["crashed"], "survived": len(alive), "score": dead / len(mine)}
        table.append(line | {"same": same, "without": dead / (len(mine) - same)})
    return table


def complaints(rows: list[dict[str, str]], reasons: dict[tuple[str, ...], tuple[str, str]]) -> list[str]:
    """Survivors without a reason, reasons without a survivor, scores below the limit."""
    alive = {key(row): row for row in rows if row["verdict"] == "survived"}
    found = [f"no reason: {r['module']}.py:{r['line']}: {r['after']}" for k, r in alive.items() if k not in reasons]
    found += [f"a reason for no survivor: {' | '.join(k)}" for k in reasons if k not in alive]
    found += [f"{' | '.join(k)}: unknown kind {kind!r}" for k, (kind, _) in reasons.items() if kind not in KINDS]
    for line in scores(rows, reasons):
        if line["score"] < LIMIT:
            found.append(f"{line['module']}: only {line['score']:.1%} of the mutants were noticed")
    return found


def reasons() -> dict[tuple[str, ...], tuple[str, str]]:
    """Kind and reason of each survivor, written by hand."""
    return {key(row): (row["kind"], row["reason"]) for row in _read(REASONS)}


def write(root: Path) -> list[str]:
    """Write the report; what is wrong with the results."""
    rows, why = load(), reasons()
    if not rows:
        return ["there are no results yet"]
    text = ["# Mutation report", "", "Made by `python -m tests.mutation`; [what it means](README.md).", ""]
    text += ["| module | mutants | killed | timed out | crashed | survived | score | same or slower | score without |"]
    text += ["| --- " + "| ---: " * 8 + "|"]
    for line in scores(rows, why):
        text.append(
            f"| {line['module']} | {line['mutants']} | {line['killed']} | {line['timeout']} | {line['crashed']} "
            f"| {line['survived']} | {line['score']:.1%} | {line['same']} | {line['without']:.1%} |"
        )
    text.append("")
    for row in _read(SOURCES):
        current = digest((root / "distil_theory" / f"{row['module']}.py").read_text(encoding="utf-8"))
        stale = "" if current == row["source"] else "; **the source has changed since**"
        text.append(f"- `{row['module']}.py` (sha256 {row['source']}): {row['day']}, {row['versions']}{stale}")
    text += ["", "## Survivors", ""]
    kinds = Counter(why.get(key(row), ("?",))[0] for row in rows if row["verdict"] == "survived")
    text += [f"- *{kind}* ({kinds[kind]}): {meaning}" for kind, meaning in KINDS.items() if kinds[kind]]
    for module in dict.fromkeys(row["module"] for row in rows):
        text += ["", f"### `{module}.py`", "", "| line | function | before | after | kind | reason |"]
        text += ["| ---: | --- | --- | --- | --- | --- |"]
        for row in rows:
            if row["module"] == module and row["verdict"] == "survived":
                before, after = (f"`{row[c]}`".replace("|", "\\|") for c in ("before", "after"))
                kind, reason = why.get(key(row), ("?", "?"))
                text.append(f"| {row['line']} | {row['function']} | {before} | {after} | {kind} | {reason} |")
    REPORT.write_text("\n".join(text) + "\n", encoding="utf-8")
    return complaints(rows, why)
