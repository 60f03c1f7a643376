"""`python -m experiments.ablations` as a user runs it; its dials and verdicts."""

import json

import numpy as np
import pandas as pd
import pytest

from distil_theory.algorithms import Task, run
from distil_theory.instances.feedback import Feedback, with_feedback
from experiments import ablations
from experiments.loop import dials, worlds
from experiments.loop.dials import DIALS
from tests.quick import assert_empty_tables_noticed, assert_noticed, quick_run

pytestmark = pytest.mark.timeout(900)  # against hanging only: the quick run may share its processor


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("ablations")
    printed = quick_run("ablations", out)
    read = {"dtype": {"setting": str, "minus": str}, "keep_default_na": False}
    return out, printed, {n: pd.read_csv(out / f"ablations_{n}.csv", **read) for n in ("values", "paired")}


@pytest.fixture
def tables(finished):
    return {name: table.copy() for name, table in finished[2].items()}


def test_every_file_of_the_manifest_is_there(finished):
    out, printed, tables = finished
    manifest = json.loads((out / "ablations.json").read_text())
    assert {f"ablations_{dial}.pdf" for dial in DIALS} <= set(manifest["files"])
    for name in manifest["files"]:
        assert (out / name).stat().st_size > 200, name
    assert "violated" not in printed
    assert set(tables["values"]["dial"]) == set(DIALS)


def test_a_value_is_the_run_of_its_setting(tables):
    here = worlds.world("garnet", ablations.QUICK_STUDENTS, 0)
    slow = dials.same_size("SDPO").but(update=dials.Update("natural", eta=dials.ETA)).but(rate=0.0)
    record = run(here.task, slow, ablations.QUICK_STEPS, student=here.students)
    score = (record.returns - record.returns[0]) / (here.best - record.returns[0])
    row = tables["values"].query("dial == 'rate' and algorithm == 'SDPO' and setting == '0.0'").set_index("measure")
    assert row.loc["area", "value"] == pytest.approx(np.sort(score[1:].mean(axis=0))[1:-1].mean())
    assert row.loc["lowered", "value"] == pytest.approx((record.change < 0).mean())


def test_no_feedback_teaches_nothing_and_more_teaches_more(tables):
    area = tables["values"].query("measure == 'area'").set_index(["dial", "algorithm", "setting"])["value"]
    for name in dials.FOUR:
        assert area["feedback", name, "none"] == pytest.approx(0, abs=1e-12)
        assert area["fraction", name, "0.05"] < area["fraction", name, "1.0"]
        assert abs(area["noise", name, "0.5"]) < 1e-12 < area["noise", name, "0.0"]
    done = dials.turned("feedback", "small sum", "DistIL", "answer", 3, 1, 4)
    game = dials.game("small sum")
    task = Task.of(with_feedback(game, Feedback("answer")))
    students = worlds.random_students(task.mdp, 3, np.random.default_rng([1, 1]))
    other = run(task, dials._small("DistIL")[0], 4, student=students).returns
    np.testing.assert_allclose(done.last, (other[-1] - other[0]) / (1 - other[0]))


def test_students_do_not_depend_on_the_feedback():
    first = [
        Task.of(with_feedback(dials.game("small sum"), DIALS["feedback"].told(kind))) for kind in ("none", "trace")
    ]
    rows = [worlds.random_students(t.mdp, 2, np.random.default_rng([0, 1])) for t in first]
    seen = [t.mdp.observation for t in first]
    for o in range(seen[0].max() + 1):
        mine, theirs = (row[:, list(view).index(o)] for row, view in zip(rows, seen, strict=True))
        np.testing.assert_array_equal(mine, theirs)


def test_the_usual_value_is_one_of_the_dial():
    for dial, x in DIALS.items():
        assert ablations.USUAL[dial] in x.values
    assert not dials.said("programs", "outcome")
    every = ablations.cells(quick=False)
    assert len(set(map(str, every))) == len(every)
    assert ("feedback", "programs", "SDPO", "outcome") not in every


PLANTED = [
    ("values", "value", lambda t: (t["dial"] == "noise") & (t["measure"] == "lowered"), 0.01, "claim 9"),
    ("values", "value", lambda t: (t["dial"] == "noise") & (t["measure"] == "lowered"), np.nan, "claim 9"),
    ("values", "world", lambda t: t["dial"] == "noise", "elsewhere", "no Garnet"),
    ("values", "lower", lambda t: t.index == 7, np.nan, "NaN"),
    ("paired", "value", lambda t: t.index == 7, np.nan, "NaN"),
    ("paired", "upper", lambda t: t.index == 7, -9.0, "end before they start"),
]


def test_the_run_contradicts_nothing(tables):
    assert ablations.violated(tables) == []


@pytest.mark.parametrize(("name", "column", "rows", "value", "words"), PLANTED)
def test_violations_are_noticed(tables, name, column, rows, value, words):
    assert_noticed(ablations.violated, tables, name, column, rows, value, words)


def test_an_empty_table_is_noticed(tables):
    assert_empty_tables_noticed(ablations.violated, tables)
