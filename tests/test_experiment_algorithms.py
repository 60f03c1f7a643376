"""`python -m experiments.algorithms` as a user runs it; its worlds, its statistics and its verdicts."""

import json

import numpy as np
import pandas as pd
import pytest

from distil_theory import solve, success
from distil_theory.algorithms import Sampling
from experiments import algorithms, algorithms_plots, harness
from experiments.interquartile import interval
from experiments.loop import runs, worlds
from tests.quick import assert_empty_tables_noticed, assert_noticed, quick_run

pytestmark = pytest.mark.timeout(900)  # against hanging only: the quick run may share its processor
TABLES = ("learning", "answers", "drops", "paired", "budget", "needed", "runs")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("algorithms")
    printed = quick_run("algorithms", out)
    return out, printed, {name: pd.read_csv(out / f"algorithms_{name}.csv") for name in TABLES}


@pytest.fixture
def tables(finished):
    return {name: table.copy() for name, table in finished[2].items()}


def test_every_file_of_the_manifest_is_there(finished):
    out, printed, _ = finished
    manifest = json.loads((out / "algorithms.json").read_text())
    assert {f"algorithms_{name}.csv" for name in TABLES} <= set(manifest["files"])
    assert {f"algorithms_{name}.pdf" for name in algorithms_plots.PANELS} <= set(manifest["files"])
    for name in manifest["files"]:
        assert (out / name).stat().st_size > 200, name
    assert not list((out / harness.CACHE).glob(f"{harness.UNFINISHED}*"))
    assert "violated" not in printed
    for name in runs.NAMES:
        assert name.split(",")[0] in printed


def middle(x):
    """The interquartile mean of a multiple of four numbers, by hand."""
    x = np.sort(x)
    assert len(x) % 4 == 0
    return x[len(x) // 4 : -len(x) // 4].mean()


def test_tables_sum_up_the_runs(tables):
    every = tables["runs"]
    assert len(every) == 6 * 2 * 10 * algorithms.QUICK_STUDENTS
    for key, x in every.groupby(["world", "mode", "algorithm"]):
        row = tables["paired"].set_index(["world", "mode", "algorithm"]).loc[key]
        assert row["area"] == pytest.approx(middle(x["area"]), abs=2e-4)
        base = every.query("world == @key[0] and mode == @key[1] and algorithm == 'DistIL'")
        difference = x["area"].to_numpy() - base["area"].to_numpy()
        assert row["value"] == pytest.approx(middle(difference), abs=3e-4)
        fell = tables["drops"].set_index(["world", "mode", "algorithm"]).loc[key]
        assert fell["lowered"] == x["lowered"].sum()
        assert fell["value"] == pytest.approx(x["lowered"].mean() / (fell["steps"] / len(x)))
    whole = every.query("mode == 'exact' and algorithm == 'GRPO'")["area"]
    row = tables["paired"].query("world == 'all worlds' and mode == 'exact' and algorithm == 'GRPO'").iloc[0]
    assert row["area"] == pytest.approx(middle(whole), abs=2e-4)


def test_intervals():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, 40))
    found = interval([x])
    np.testing.assert_allclose(found.value, [middle(row) for row in x])
    assert (found.lower < found.value).all()
    assert (found.value < found.upper).all()
    # the standard error of the mean of the middle half of normal numbers is 1.09 / sqrt(n)
    wide = interval([rng.normal(size=(200, 64))])
    covered = ((wide.lower < 0) & (0 < wide.upper)).mean()
    assert 0.88 < covered < 0.99
    assert (wide.upper - wide.lower).mean() == pytest.approx(2 * 1.96 * 1.09 / 8, rel=0.1)
    # strata are drawn on their own: constant ones do not mix
    np.testing.assert_array_equal(interval([np.zeros(8), np.ones(8)], np.mean), [0.5, 0.5, 0.5])
    for bad in ([], [np.ones(1)]):
        with pytest.raises(ValueError, match="two runs"):
            interval(bad)


def test_thinking_longer_is_worth_it():
    task = worlds.thinking()
    steps, _, actions = task.mdp.shape

    def always(first, then):
        policy = np.zeros(task.mdp.shape)
        policy[:, :, then], policy[first, :, :] = 1, np.eye(actions)[0]
        return float(solve.expected_return(task.mdp, policy))

    np.testing.assert_allclose([always(k, 1) for k in range(steps)], 1 - 0.6 * 0.7 ** np.arange(steps))
    assert always(1, actions - 1) == 0
    assert worlds.world("thinking", 2, 0).best == pytest.approx(1 - 0.6 * 0.7**5)


def test_students_of_solution_know_another_right_program():
    game, here = worlds.game("solution"), worlds.world("solution", 7, 3)
    for p, right in enumerate(game.right):
        shown = game.agree[p][0]
        assert shown.sum() == 1
        assert right[shown].all()
        law = answer_law(game, here.students, p)
        assert (law[right & ~shown].max(axis=0) > worlds.HABIT**3).all()
        assert (law[shown] < 1 - worlds.HABIT).all()


def answer_law(game, policy, problem):
    found = success.answer_law(game.mdp.convert("float64"), policy)
    return found.law[:, list(found.prompts).index(game.state_index(problem, 0, ()))]


@pytest.mark.parametrize("world", ["sum", "solution"])
def test_answers_are_counted_as_success_does(world):
    game, students = worlds.game(world), worlds.world(world, 3, 1).students
    found = success.answer_law(game.mdp.convert("float64"), students)
    voted = (found.weight[:, None] * success.maj_at_n(found.law, found.rewards, runs.VOTES)).sum(axis=0)
    np.testing.assert_allclose(runs.majority(game, students), voted, rtol=1e-9)
    curves = runs.train(world, "exact", "OPSD", 3, 1, 4)
    p = (found.law * found.rewards).sum(axis=0)
    for i, k in enumerate(runs.ATTEMPTS):
        np.testing.assert_allclose(curves.passed[0, i], (found.weight[:, None] * (1 - (1 - p) ** k)).sum(axis=0))
    np.testing.assert_allclose(curves.voted[0], voted)


def test_all_steps_have_one_size():
    here = worlds.world("sum", 4, 2)
    record = runs.run(here.task, runs.same_size("SDPO"), 1, student=here.students, sampling=Sampling(4, 4), keep=(1,))
    seen = solve.occupancy(here.task.mdp, here.students)
    old, new = here.students, record.policy
    kl = (seen[:, :, None] * old * np.log(old / new)).sum(axis=(0, 1, 2))
    assert (kl > 0).all()  # frequencies stand for the occupancy in sampled mode
    exact = runs.run(here.task, runs.same_size("SDPO"), 1, student=here.students).policy
    np.testing.assert_allclose((seen[:, :, None] * old * np.log(old / exact)).sum(axis=(0, 1, 2)), runs.DELTA)


def test_copies_of_a_world_are_equal():
    for name in ("garnet", "thinking"):
        here = worlds.world(name, 3, 5)
        many = here.times(2)
        both = solve.expected_return(many.task.mdp, many.students)
        np.testing.assert_array_equal(both[:3], both[3:])
        np.testing.assert_allclose(both[:3], solve.expected_return(here.task.mdp, here.students))
    task, student = worlds.one("hidden", 4)
    many = worlds.world("hidden", 1, 4)
    assert solve.expected_return(task.mdp, student) == pytest.approx(
        float(solve.expected_return(many.task.mdp, many.students)[0])
    )


def test_what_is_spent_until_a_goal():
    score = np.array([[0.0, 0.0], [0.6, 0.1], [0.4, 0.2]])
    np.testing.assert_array_equal(algorithms.first(score, np.array([0, 64, 128]), 0.5), [64, 128])


PLANTED = [
    ("drops", "lowered", lambda t: (t["world"] == "garnet") & (t["algorithm"] == "SDPO"), 1, "claim 9"),
    ("drops", "largest", lambda t: (t["world"] == "thinking") & (t["algorithm"] == "DistIL"), 1e-9, "claim 9"),
    ("drops", "lowered", lambda t: (t["world"] == "garnet") & (t["algorithm"] == "OPSD"), np.nan, "claim 9"),
    ("drops", "steps", lambda t: t["world"] == "garnet", 0, "claim 9"),
    ("drops", "world", lambda t: t["world"] == "garnet", "nowhere", "claim 9"),
    ("paired", "value", lambda t: t.index == 3, np.nan, "NaN"),
    ("learning", "upper", lambda t: t.index == 3, np.nan, "NaN"),
    ("answers", "upper", lambda t: t.index == 3, -1, "end before they start"),
]


def test_the_run_contradicts_nothing(tables):
    assert algorithms.violated(tables) == []


@pytest.mark.parametrize(("name", "column", "rows", "value", "words"), PLANTED)
def test_violations_are_noticed(tables, name, column, rows, value, words):
    assert_noticed(algorithms.violated, tables, name, column, rows, value, words)


def test_an_empty_table_is_noticed(tables):
    assert_empty_tables_noticed(algorithms.violated, tables)
