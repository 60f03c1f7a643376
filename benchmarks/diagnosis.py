"""A million logged rollouts through `distil_theory.diagnose`: time per rollout and peak memory, for each kind of file.

The log is synthetic: groups of four rollouts of 16 tokens on average, log-probabilities of the written tokens, drawn
from the student so that nothing is amiss. Against it stands what one would write with pandas: read the file, one
covariance of reward and `sum (u - 1)` within groups, and no interval, no check, no other rate. It has to agree.

Every measurement is a fresh interpreter, so that the peak is its own. The time is processor time of the call, imports
left out: both contenders run on one thread and wait for nothing but the disk.
"""

from __future__ import annotations

import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.settings import Settings
from benchmarks.timing import Row, check_agreement, measured
from experiments.harness import ROOT

FORMATS = ("parquet", "csv", "jsonl")
CONTENDERS = ("distil_theory.diagnose", "pandas, one covariance")
SIZE, LENGTH, TOKENS = 4, 16, 3
PIECE = 4096
"""Groups that are drawn and written at a time."""
DIGITS = 9


def pieces(rollouts: int, seed: int = 0) -> Iterator[Any]:
    """Arrow tables of whole groups."""
    import pyarrow as pa

    rng = np.random.default_rng(seed)
    for first in range(0, rollouts // SIZE, PIECE):
        groups = min(PIECE, rollouts // SIZE - first)
        lengths = rng.integers(LENGTH // 2, LENGTH * 3 // 2 + 1, groups * SIZE)
        student, teacher = rng.dirichlet(np.full(TOKENS, 4.0), (2, lengths.sum()))
        teacher = 0.8 * student + 0.2 * teacher
        token = (rng.random((len(student), 1)) > student.cumsum(axis=1)[:, :-1]).sum(axis=1)
        taken = [np.log(x[np.arange(len(token)), token]).round(DIGITS) for x in (student, teacher)]
        starts = np.append(0, lengths.cumsum()).astype(np.int32)
        ahead = np.add.reduceat(taken[1] - taken[0], starts[:-1])
        reward = (rng.random(len(lengths)) < 1 / (1 + np.exp(-ahead))).astype(float)
        yield pa.table(
            {
                "group": np.repeat(np.arange(first, first + groups), SIZE),
                "reward": reward,
                **{n: pa.ListArray.from_arrays(starts, x) for n, x in zip(("student", "teacher"), taken, strict=True)},
            }
        )


def write(folder: Path, rollouts: int) -> dict[str, Path]:
    """The same log in each format."""
    import pyarrow.parquet as pq

    paths = {kind: folder / f"log.{kind}" for kind in FORMATS}
    names = ["group", "reward", "student", "teacher"]
    parquet = None
    with paths["csv"].open("w", newline="") as text, paths["jsonl"].open("w") as lines:
        table = csv.writer(text)
        table.writerow(names)
        for piece in pieces(rollouts):
            parquet = parquet or pq.ParquetWriter(paths["parquet"], piece.schema)
            parquet.write_table(piece)
            for row in piece.to_pylist():
                lines.write(json.dumps(row) + "\n")
                table.writerow([row["group"], row["reward"], json.dumps(row["student"]), json.dumps(row["teacher"])])
    assert parquet is not None
    parquet.close()
    return paths


def ours(path: Path) -> float:
    """All rates with intervals, checks, carriers; the rate of local forward KL, to compare."""
    import distil_theory

    return float(distil_theory.diagnose(path).rates[0].value[0])


def peer(path: Path) -> float:
    """One covariance within groups."""
    import pandas as pd

    if path.suffix == ".csv":
        frame = pd.read_csv(path, converters={"student": json.loads, "teacher": json.loads})
    else:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_json(path, lines=True)
    pairs = zip(frame["student"], frame["teacher"], strict=True)
    frame["score"] = [np.expm1(np.subtract(teacher, student)).sum() for student, teacher in pairs]
    apart = frame[["reward", "score"]] - frame.groupby("group")[["reward", "score"]].transform("mean")
    each = (apart["reward"] * apart["score"]).groupby(frame["group"])
    return float((each.sum() / (each.size() - 1)).mean())


WORK: dict[str, Callable[[Path], float]] = dict(zip(CONTENDERS, (ours, peer), strict=True))


def work(contender: str, path: str) -> None:
    """Print the result, the seconds and the peak of memory in bytes: what the fresh interpreter is asked."""
    import pandas  # noqa: F401  # before the clock starts

    import distil_theory.diagnosis  # noqa: F401  # likewise

    start = time.process_time()
    found = WORK[contender](Path(path))
    seconds = time.process_time() - start
    print(json.dumps([found, seconds, peak_memory()]))


def peak_memory() -> int:
    """The most memory that this process has had, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage also counts the parent's memory at the moment of the fork
        return 1024 * next(int(x.split()[1]) for x in status.read_text().splitlines() if x.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _fresh(contender: str, path: Path) -> tuple[float, float, float]:
    """`work` in an interpreter of its own.

    Raises:
        RuntimeError: it fails.
    """
    code = f"from benchmarks.diagnosis import work; work({contender!r}, {str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{contender} on {path.name}: {(done.stderr.splitlines() or ['no message'])[-1]}")
    found, seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return found, seconds, peak


def measure(settings: Settings) -> list[Row]:
    """Seconds per rollout and peak bytes of each contender and format; sizes of the files."""
    rows, n = [], settings.logged // SIZE * SIZE
    with tempfile.TemporaryDirectory() as folder:
        for kind, path in write(Path(folder), n).items():
            told = ("diagnosis", f"{kind}, {n:,} rollouts")
            rows.append(Row(*told, "file", "size", path.stat().st_size, "B", n=n))
            found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in CONTENDERS}
            for _ in range(settings.log_rounds):
                for name in CONTENDERS:
                    found[name].append(_fresh(name, path))
            check_agreement({name: [np.array([runs[0][0]])] for name, runs in found.items()}, ["local forward KL"])
            for name, runs in found.items():
                each = np.array(runs)
                rows.append(measured(*told, name, "time", each[:, 1] / n, n=n))
                rows.append(measured(*told, name, "memory", each[:, 2], "B", n=n))
    return rows
