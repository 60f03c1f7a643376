"""`python -m experiments.covariance` as a user runs it; its steps, counts and verdicts against other routes."""

import json

import numpy as np
import pandas as pd
import pytest

from distil_theory.algorithms import DISTIL, Update, agreement, cosines, first_order_error, run
from experiments import covariance, covariance_plots
from experiments.loop import steps, worlds
from experiments.loop.steps import Steps
from tests.quick import assert_empty_tables_noticed, assert_noticed, quick_run

pytestmark = pytest.mark.timeout(900)  # against hanging only: the quick run may share its processor
TABLES = ("points", "signs", "agreement", "errors", "exponents", "cosines", "family")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("covariance")
    return out, quick_run("covariance", out), {name: pd.read_csv(out / f"covariance_{name}.csv") for name in TABLES}


@pytest.fixture
def tables(finished):
    return {name: table.copy() for name, table in finished[2].items()}


def test_every_file_of_the_manifest_is_there(finished):
    out, printed, _ = finished
    manifest = json.loads((out / "covariance.json").read_text())
    assert {f"covariance_{name}.csv" for name in TABLES} <= set(manifest["files"])
    assert {f"covariance_{name}.pdf" for name in covariance_plots.PANELS} <= set(manifest["files"])
    for name in manifest["files"]:
        assert (out / name).stat().st_size > 200, name
    assert "violated" not in printed
    assert "0 of 3,360 steps" in " ".join(printed.split())


def test_steps_of_many_sizes_are_those_of_one(tables):
    n = covariance.QUICK_STUDENTS
    walked = steps.walk("thinking", "SDPO", "euclidean", n, 0)
    here = worlds.world("thinking", n, 0)
    sdpo = covariance.steps.named("SDPO").but(update=Update("euclidean", eta=0.3))
    record = run(here.task, sdpo, steps.STEPS, student=here.students)
    e = steps.ETAS.index(0.3)
    for mine, theirs in zip(walked, (record.predicted, record.second, record.change), strict=True):
        np.testing.assert_allclose(mine[:, e], theirs, rtol=1e-9, atol=1e-15)
    counts = agreement(record, covariance.FACTOR, covariance.TOLERANCE)
    row = tables["signs"].query("world == 'thinking' and algorithm == 'SDPO' and geometry == 'euclidean'")
    row = row[np.isclose(row["eta"], 0.3)].iloc[0]
    assert (row["steps"], row["clear"], row["clear_agree"], row["drops"], row["first_order"]) == counts


def test_exponents_are_those_of_the_library():
    here = worlds.world("sum", 2, 3)
    small = [eta for eta in steps.ETAS if eta <= steps.SMALL]
    error, slope = steps.exponent(steps.walk("sum", "DistIL", "natural", 2, 3))
    for i in range(2):
        found, power = first_order_error(here.task, DISTIL, small, student=here.students[..., i])
        np.testing.assert_allclose(error[: len(small), i], found, rtol=1e-6)
        assert slope[i] == pytest.approx(power, abs=1e-6)
        assert slope[i] == pytest.approx(2, abs=0.1)


def test_who_foretold_a_drop():
    # a drop of the first order, of the second, of neither, and a rise that was predicted
    x = Steps(*(np.repeat(np.array(row)[None, None], len(steps.ETAS), axis=1) for row in (
        [-1.0, 1.0, 1.0, 1.0], [0.0, -2.0, 0.0, 0.1], [-1.0, -1.0, -1.0, 1.1])))  # fmt: skip
    row = covariance.signs({("w", "a", "g"): x}).iloc[0]
    assert row[["steps", "moved", "agree", "clear", "clear_agree"]].tolist() == [4, 4, 2, 3, 2]
    assert row[["drops", "first_order", "second_order"]].tolist() == [3, 1, 1]


def test_pooled_counts_are_sums(tables):
    sums = tables["signs"].groupby(["geometry", "eta"])[["moved", "agree", "drops", "first_order"]].sum()
    found = tables["agreement"].set_index(["geometry", "eta"])
    pd.testing.assert_frame_equal(found[sums.columns].sort_index(), sums.sort_index())
    np.testing.assert_allclose(found["share"], found["agree"] / found["moved"])
    assert (found["share_lower"] <= found["share"]).all()
    assert (found["share"] <= found["share_upper"]).all()


def test_sampled_directions(tables):
    table = tables["cosines"]
    task, student = worlds.one("thinking", 0)
    again = cosines(task, DISTIL, steps.PROMPTS, group=steps.GROUP, repeats=steps.REPEATS, student=student)
    row = table.query("world == 'thinking' and algorithm == 'DistIL'")
    np.testing.assert_allclose(row["cosine"], again.mean)
    assert (row["rollouts"] == again.rollouts).all()
    # errors of length x in random directions: the mean of many leaves x / sqrt(REPEATS)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(steps.REPEATS, 2000)) / np.sqrt(2000) * 0.5
    noise[:, 0] += 1
    single = (noise[:, 0] / np.linalg.norm(noise, axis=1)).mean()
    mean = noise.mean(axis=0)
    assert covariance.expected(single) == pytest.approx(mean[0] / np.linalg.norm(mean), abs=1e-3)
    for _, group in table.groupby(["world", "algorithm"]):
        assert group["cosine"].iloc[-1] > min(group["cosine"].iloc[0], 1 - 1e-9)
        assert group["cosine"].iloc[-1] > 0.95


PLANTED = [
    ("family", "lowered", lambda t: t.index == 4, 1, "claim 9"),
    ("family", "lowest", lambda t: t.index == 4, -1e-9, "claim 9"),
    ("family", "lowest", lambda t: t.index == 4, np.nan, "claim 9"),
    ("family", "steps", lambda t: t.index == 4, 0, "claim 9"),
    ("signs", "clear_agree", lambda t: t["eta"] == covariance.SMALLEST, 0, "clear signs agree"),
    ("signs", "clear_agree", lambda t: t["eta"] == covariance.SMALLEST, np.nan, "clear signs agree"),
    ("signs", "clear", lambda t: t["eta"] == covariance.SMALLEST, 0, "smallest steps are clear"),
    ("exponents", "exponent", lambda t: t["world"] == "sum", 1.0, "grows as eta^1.00"),
    ("exponents", "exponent", lambda t: t["world"] == "sum", np.nan, "grows as eta^nan"),
    ("cosines", "of_mean", lambda t: t["rollouts"] == 64, 0.9, "point elsewhere"),
    ("cosines", "of_mean", lambda t: t["rollouts"] == 64, np.nan, "point elsewhere"),
    ("cosines", "of_mean", lambda t: t["rollouts"] == 64, -1.0, "point elsewhere"),
    ("cosines", "of_mean", lambda t: t["rollouts"] == 4096, 0.98, "the cosine ends"),
]


def test_the_run_contradicts_nothing(tables):
    assert covariance.violated(tables) == []


@pytest.mark.parametrize(("name", "column", "rows", "value", "words"), PLANTED)
def test_violations_are_noticed(tables, name, column, rows, value, words):
    assert_noticed(covariance.violated, tables, name, column, rows, value, words)


def test_an_empty_table_is_noticed(tables):
    assert_empty_tables_noticed(covariance.violated, tables)
