"""The benchmark of the rollout diagnosis: one log in three formats, and contenders that agree."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import diagnosis as benchmark
from benchmarks import report
from benchmarks.settings import QUICK
from benchmarks.timing import DisagreementError
from distil_theory import diagnose
from distil_theory.diagnosis import sources

SMALL = replace(QUICK, logged=402)


def test_the_three_files_hold_one_honest_log(tmp_path):
    paths = benchmark.write(tmp_path, 400)
    found = [diagnose(paths[kind]) for kind in benchmark.FORMATS]
    for one in found:
        assert (one.seen.groups, one.seen.rollouts) == (100, 400)
        assert not one.above
        assert not one.below
        assert [r.value for r in one.rates] == [r.value for r in found[0].rates]
    assert found[0].seen.tokens / 400 == pytest.approx(benchmark.LENGTH, abs=1)
    for path in paths.values():
        assert benchmark.peer(path) == pytest.approx(found[0].rates[0].value[0], abs=1e-12)


def test_rows_and_table(monkeypatch):
    whole = benchmark.write
    monkeypatch.setattr(benchmark, "write", lambda *given: {"csv": whole(*given)["csv"]})
    rows = pd.DataFrame(benchmark.measure(SMALL))
    assert (rows["n"] == 400).all()
    assert (rows["value"] > 0).all()
    assert set(rows.loc[rows["metric"] == "memory", "unit"]) == {"B"}
    assert rows.loc[rows["metric"] == "memory", "value"].between(5e7, 2e9).all()
    (table,) = report.tables(rows)
    assert table.row_count == len(benchmark.CONTENDERS)


def test_memory_does_not_grow_with_the_file(tmp_path):
    """Arrow would keep the columns of the whole file, if it were let."""
    path, writer = tmp_path / "log.parquet", None
    for piece in benchmark.pieces(80_000):
        writer = writer or pq.ParquetWriter(path, piece.schema)
        writer.write_table(piece)
    writer.close()
    del piece
    before = pa.total_allocated_bytes()
    most = max(pa.total_allocated_bytes() - before for _ in sources.chunks(path))
    assert path.stat().st_size > 20e6
    assert most < 10e6


def test_contenders_that_disagree_are_not_reported(monkeypatch):
    answers = iter(np.arange(10.0))
    monkeypatch.setattr(benchmark, "_fresh", lambda *_: (next(answers), 1.0, 1.0))
    with pytest.raises(DisagreementError, match="local forward KL"):
        benchmark.measure(SMALL)


def test_a_contender_that_fails_is_named(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("group,reward\n1,2\n")
    with pytest.raises(RuntimeError, match=r"distil_theory.diagnose on log.csv: ValueError: missing column 'student'"):
        benchmark._fresh(benchmark.CONTENDERS[0], path)
