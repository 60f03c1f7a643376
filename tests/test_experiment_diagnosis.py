"""`python -m experiments.diagnosis` as a user runs it: the code that users run is what is judged; verdicts; a kill."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from distil_theory import diagnose
from distil_theory.diagnosis import rates
from distil_theory.diagnosis.tally import Tally
from experiments import harness
from experiments.diagnosis import coverage, draw, faults, games, logs, truth, verdicts
from tests.quick import (
    assert_empty_tables_noticed,
    assert_nothing_cut_off,
    assert_noticed,
    killed_and_taken_up,
    quick_run,
)

TABLES = ("cells", "counts", "thresholds", "needed", "checks")
RUN = """
import sys
from experiments.diagnosis import __main__ as command
command.draw.draw = lambda *_: []
command.main(sys.argv[1:])
"""
pytestmark = pytest.mark.timeout(900)  # the quick run takes 12 s of one processor, which may be shared


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("diagnosis")
    printed = quick_run("diagnosis", out)
    return out, printed, {name: pd.read_csv(out / f"diagnosis_{name}.csv") for name in TABLES}


def test_every_file_of_the_manifest_is_there_and_the_verdicts_are_told(finished):
    out, printed, tables = finished
    manifest = json.loads((out / "diagnosis.json").read_text())
    assert {f"diagnosis_{name}.csv" for name in TABLES} <= set(manifest["files"])
    for name in ("", "_cells", "_errors", "_needed", "_verdicts", "_checks"):
        assert f"diagnosis{name}.png" in manifest["files"]
    for name in manifest["files"]:
        assert (out / name).stat().st_size > 50, name
    for words in ("that do not warn", "expected by chance", "until the sign"):
        assert words in " ".join(printed.replace("│", " ").split())
    assert "violated" not in printed
    assert verdicts.violated(tables) == []


def test_every_column_is_explained(finished):
    page = (harness.FIGURES / "README.md").read_text(encoding="utf-8")
    page = page.partition("## `python -m experiments.diagnosis`")[2].partition("\n## ")[0]
    for name, table in finished[2].items():
        assert f"| `{name}`" in page
        for column in table.columns:
            assert f"`{column}`" in page, (name, column)


def test_a_killed_run_is_resumed_to_the_same_tables(finished, tmp_path):
    killed_and_taken_up([sys.executable, "-c", RUN, "--quick"], (1, 2), tmp_path, 4)
    for name in TABLES:
        assert (tmp_path / f"diagnosis_{name}.csv").read_bytes() == (finished[0] / f"diagnosis_{name}.csv").read_bytes()


@pytest.mark.parametrize("form", ["full", "top"])
def test_scores_looked_up_are_what_diagnose_makes_of_the_rows(form):
    """One log: its rows through the public function, and its places through the table of all rollouts."""
    game = games.random_tree("tree", 3, 3, 3, 8, 1, 1.0).trusted(0.5)
    every = game.every
    places = every.draw((60,), 3, np.random.default_rng(1))
    flat = places.ravel()
    names = ["tokens", "student", "teacher", "student_full", "teacher_full"]
    rows = {"group": np.repeat(np.arange(60), 3), "reward": every.reward[flat]}
    rows |= {name: list(getattr(every, name)[flat]) for name in names[: 5 if form == "full" else 3]}
    if form == "top":
        block = logs.block(every, places, coverage.TOP)
        split = np.split(np.arange(len(block.student)), block.starts[1:-1])
        rows |= {name: [getattr(block, name)[i] for i in split] for name in ("top", "student_top", "teacher_top")}
    found = {r.name: r for r in diagnose(pd.DataFrame(rows), seed=3).rates if not r.unidentified}
    plan, kept = coverage.kept(every)
    tally = Tally(plan, seed=3)
    tally.take(logs.bare(every, places), *(x[flat] for x in kept))
    own = tally.estimates().rates
    seen = 0
    for k, column in enumerate(plan):
        if bool(column.end) != (form == "top") or column.name not in found:
            continue
        if column.end == "high":
            continue
        last = k + 1 if column.end else k
        rate = found[column.name]
        np.testing.assert_allclose([own.value[k], own.value[last]], rate.value, atol=1e-12)
        # bootstrap weights are drawn block by block, and blocks are smaller there
        np.testing.assert_allclose(own.high[last] - own.low[k], rate.high - rate.low, rtol=0.15)
        seen += 1
    assert seen == (28 if form == "full" else 3)


def test_a_cell_counts_what_it_says():
    table = coverage.cells("held-out", "spurious", 0.2, 64, 2, 150, 3)
    game = games.named(["spurious"])[0].trusted(0.2)
    assert (table["logs"] == 150).all()
    np.testing.assert_allclose(table["covered"] + table["below"] + table["above"], 1)
    for x in table.itertuples():
        level, _, divergence = x.rate.partition("/")
        divergence = next(d for d in rates.CATALOGUE if d.name == divergence)
        assert x.truth == pytest.approx(truth.rate(game, level, divergence, rates.CLIP))
        assert x.silent_covered <= x.silent
        assert x.silent == round(150 * (1 - x.warned))
        assert x.wrong <= x.decided
    again = coverage.cells("held-out", "spurious", 0.2, 64, 2, 150, 3)
    pd.testing.assert_frame_equal(table, again)


def test_chance_outside_is_the_binomial():
    n = 2000
    k = np.arange(n + 1)
    outside = (k / n < 0.93) | (k / n > 0.97)
    assert coverage.chance_outside(n) == pytest.approx(binom.pmf(k[outside], n, 0.95).sum())
    assert coverage.chance_outside(n) < 1e-4


def test_pooled_seeds_count_each_log_once():
    first, second = (coverage.cells("held-out", "spurious", 0.2, 64, 2, 60, seed) for seed in (0, 1))
    both = coverage.pooled(pd.concat([first, second], ignore_index=True))
    assert len(both) == len(first)
    assert (both["logs"] == 120).all()
    np.testing.assert_allclose(both["covered"], (first["covered"] + second["covered"]) / 2)
    assert list(both.columns) == list(first.columns)


def test_the_games_of_the_two_sets_are_different_ones():
    assert not set(games.TUNED) & set(games.HELD_OUT)
    for name in [*games.TUNED, *games.HELD_OUT]:
        game = games.named([name])[0]
        assert game.mdp.shape[1] <= games.MOST_STATES
        assert abs(game.every.mean(np.ones(len(game.every.chance))) - 1).max() < 1e-12


def test_panels_lie_inside_their_pictures(finished):
    assert_nothing_cut_off(draw.HEIGHTS, finished[2])


def test_violations_are_noticed(finished):
    tables = finished[2]

    def quiet(table):
        return (table["set"] == "held-out") & ~table["warns"] & (table["form"] == "full")

    for column, value, words in (
        ("covered", 0.85, "95 % intervals hold the truth in 85.0% of 400 logs, without a warning"),
        ("covered", 1.0, "95 % intervals hold the truth in 100.0%"),
        ("covered", float("nan"), "there is a gap in column covered of the table cells"),
        ("wrong", 0.07, "the verdict has the wrong sign in 7.0%"),
        ("bias", 1.0, "are off by 1,"),
    ):
        assert_noticed(verdicts.violated, tables, "cells", column, quiet, value, words)
    for fault, column, value, words in (
        ("valid", "noticed", 0.2, "honest teacher (valid) are doubted in 20.0%"),
        ("own trace", "expected_s", 0.1, "(own trace) do not have mean one"),
        ("own verdict", "noticed", 0.3, "own verdict is noticed in 30.0%"),
        ("shifted", "noticed", 0.3, "shifted is noticed in 30.0%"),
    ):
        rows = lambda t, fault=fault: (t["fault"] == fault) & (t["rollouts"] >= 1000)  # noqa: E731
        assert_noticed(verdicts.violated, tables, "checks", column, rows, value, words)
    for name, keep, message in (
        ("cells", lambda t: t["warns"], "cells that do not warn"),
        ("cells", lambda t: ~t["warns"], "cells that warn"),
        ("cells", lambda t: ~t["rate"].str.startswith("clipped"), "rates of every level"),
        ("cells", lambda t: t["form"] == "full", "logs with unlisted tails"),
        ("checks", lambda t: t["fault"] != faults.FAULTS[1], "every fault"),
    ):
        assert f"the tables lack {message}" in verdicts.violated(tables | {name: tables[name][keep(tables[name])]})
    assert_empty_tables_noticed(verdicts.violated, tables)
