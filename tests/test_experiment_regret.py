"""`python -m experiments.regret` as a user runs it: values found another way, verdicts, an interruption."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from distil_theory import instances, solve
from experiments import harness
from experiments.regret import __main__ as command
from experiments.regret import cumulative, draw, drifting, failures, horizons, problems, slopes, statistics, verdicts
from tests.quick import (
    assert_empty_tables_noticed,
    assert_nothing_cut_off,
    assert_noticed,
    killed_and_taken_up,
    quick_run,
)

TABLES = ("cumulative", "slopes", "slopes_curves", "slopes_mean", "chain", "confidence", "drift", "drift_time",
          "horizon", "horizon_exact", "horizon_growth", "failures")  # fmt: skip
A = horizons.ACTIONS
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # the quick run may share its processor


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("regret")
    return out, quick_run("regret", out), {name: pd.read_csv(out / f"regret_{name}.csv") for name in TABLES}


@pytest.fixture
def tables(finished):
    return {name: table.copy() for name, table in finished[2].items()}


def test_every_file_of_the_manifest_is_there_and_the_verdicts_are_told(finished):
    out, printed, _ = finished
    manifest = json.loads((out / "regret.json").read_text())
    assert {f"regret_{name}.csv" for name in TABLES} <= set(manifest["files"])
    assert {f"regret_{f.__name__}.png" for f in draw.HEIGHTS} <= set(manifest["files"])
    for name in manifest["files"]:
        assert 200 < (out / name).stat().st_size < 2**20, name
    assert not list((out / harness.CACHE).glob(f"{harness.UNFINISHED}*"))
    said = " ".join(printed.replace("│", " ").split())
    for words in ("any seed of 1,000", "single seeds above B", "exponents of the horizon", "(limit 3/8)"):
        assert words in said, words
    assert "violated" not in printed


def test_a_killed_run_is_taken_up_again_and_ends_with_the_same_tables(finished, tmp_path):
    command_line = [sys.executable, "-m", "experiments.regret", "--quick"]
    killed_and_taken_up(command_line, (2, 2), tmp_path, np.random.default_rng().integers(1, 40))
    for name in TABLES:
        file = f"regret_{name}.csv"
        assert (tmp_path / file).read_bytes() == (finished[0] / file).read_bytes(), name


def test_sums_of_kl_are_below_their_bounds(tables):
    table = tables["cumulative"]
    sizes = {"cell": (1, 2), "garnet": (25, 3), "deterministic": (25, 3)}
    for problem, (cells, actions) in sizes.items():
        x = table[table["problem"] == problem]
        bound = cells * ((actions - 1) / 2 * np.log(x["rounds"]) + np.log(actions))
        np.testing.assert_allclose(x["bound"], bound, rtol=1e-10)
        assert (x["upper"] < x["bound"]).all()
        assert (x["shared_bound"] <= x["bound"] * (1 + 1e-12)).all()
        assert (x["n"] == 1000).all()
        last = x.iloc[-1]
        assert last["q05"] <= last["q50"] <= last["q95"]
        assert last["lower"] < last["mean"] < last["upper"]
    one = table[(table["problem"] == "cell") & (table["rounds"] <= 2)].set_index("rounds")["exact"]
    half = 0.25 * np.log(0.5) + 0.75 * np.log(1.5)  # against (1/2, 1/2); then 3/4 of the labels make it (1/4, 3/4)
    assert one[1] == pytest.approx(half)
    assert one[2] == pytest.approx(half + 0.25 * (0.25 * np.log(1 / 3) + 0.75 * np.log(3)))
    ends = table[table["rounds"] == 250].set_index("problem")["above"]
    assert 0.05 < ends["cell"] < 0.35  # the bound is on the mean: single seeds may be above
    assert ends["garnet"] == ends["deterministic"] == 0
    assert (table["label_ratio"] <= table["label_ratio_max"] + 1e-12).all()


def test_slopes_of_laws_that_are_known():
    n = np.geomspace(1, 1000, 25)
    assert statistics.slope(n, 3 * np.sqrt(n)) == pytest.approx(0.5)
    assert statistics.slope(n, 2 + 7 * np.log(n), logarithmic=False) == pytest.approx(7)
    for x, y in ((n, -n), ([1, 100], np.ones(2))):
        with pytest.raises(ValueError, match="three points in the last decade"):
            statistics.slope(x, y)
    assert statistics.share(np.array([True, False, False, False])) == (0.25, *statistics.wilson(1, 4))
    mean, low, high = statistics.mean_interval(np.array([1.0, 2.0, 3.0]))
    assert (mean, high - mean, mean - low) == (2, pytest.approx(4.302653 / np.sqrt(3)), pytest.approx(high - mean))


def test_growth_over_random_mdps(tables):
    each, means = tables["slopes"], tables["slopes_mean"].set_index(["kind", "quantity", "of"])
    assert each["mdp"].nunique() == slopes.MDPS >= 20
    for (kind, quantity), x in each.groupby(["kind", "quantity"]):
        row = means.loc[(kind, quantity, "slope")]
        assert row["mean"] == pytest.approx(x["slope"].mean())
        assert means.loc[(kind, quantity, "average_slope"), "mean"] == pytest.approx(row["mean"] - 1)
        assert row["lower"] <= row["mean"] <= row["upper"]
    assert means.loc[("stochastic", "spread", "slope"), "lower"] > means.loc[("stochastic", "kl", "slope"), "upper"]
    curves = tables["slopes_curves"]
    last = curves[(curves["rounds"] == 250) & (curves["kind"] == "stochastic")]
    assert (last["regret_error"] < 0.3 * last["raw_error"]).all()  # the control variate takes most of the noise
    mdp, star = problems.small(0, "stochastic")
    uniform = np.full(mdp.shape, 1 / 3)
    first = curves[(curves["rounds"] == 1) & (curves["mdp"] == 0) & (curves["kind"] == "stochastic")]["regret"].item()
    assert first == pytest.approx(solve.expected_return(mdp, star) - solve.expected_return(mdp, uniform), rel=1e-9)


def test_links_of_the_chain_are_in_order_and_their_ratios_multiply_to_the_whole(tables):
    for (problem, n), x in tables["chain"].groupby(["problem", "rounds"]):
        x = x.set_index("link")
        product = x.loc[list(cumulative.LINKS)[1:], "ratio"].prod()
        assert product == pytest.approx(x.loc["bound", "mean"] / x.loc["regret", "mean"], rel=1e-6)
        horizon, budget = (1, np.log(n) / 2 + np.log(2)) if problem == "cell" else (5, 25 * (np.log(n) + np.log(3)))
        assert x.loc["bound", "mean"] == pytest.approx(x["mu"].iloc[0] * np.sqrt(n * horizon * budget / 2))
    mdp, star = problems.case("garnet")
    q = solve.values(mdp, star)[1]
    mu = tables["chain"].query("problem == 'garnet'")["mu"].iloc[0]
    assert mu == pytest.approx((q.max(axis=2) - q.min(axis=2)).max())


def test_bounds_of_high_probability_by_hand(tables):
    x = tables["confidence"].query("problem == 'garnet' and rounds == 250 and eps == 0.05").set_index("quantity")
    h = 2 * np.e / (np.e - 1) * (25 * (np.log(250) + np.log(3)) / 2 + 6 * np.log(20))
    assert x.loc["hellinger", "bound"] == pytest.approx(h)
    mu = tables["chain"].query("problem == 'garnet'")["mu"].iloc[0]
    assert x.loc["regret", "bound"] == pytest.approx(mu * np.sqrt(250 * 5 * h))
    assert (x["allowed"] == 0.1).all()


def test_costs_of_moving_teachers(tables):
    t = tables["drift"]
    assert set(t["teacher"]) == set(drifting.KNOBS)
    x = t.query("teacher == 'fed' and knob == 0.3 and step == 'proximal' and where == 'all'").iloc[0]
    assert x["bound"] == pytest.approx(2 * (12 * np.log(3) + np.log(50) / 2 * x["path"]))
    x = t.query("teacher == 'fed' and knob == 0.3 and step == 'natural' and where == 'all'").iloc[0]
    f = 0.02 / (np.e - 1)
    eta = f / (1 - f)
    whole = (12 * np.log(3) + np.log(1 / f) / 2 * x["path"]) / (eta * (1 - (np.e - 2) * eta))
    assert x["bound"] == pytest.approx(whole)
    coin = t[t["teacher"] == "coin"]
    # rows (0.96, 0.02, 0.02) and (0.02, 0.96, 0.02), mean (0.49, 0.49, 0.02)
    entropy = -(0.96 * np.log(0.96) + 0.04 * np.log(0.02))
    least = -0.98 * np.log(0.49) - 0.02 * np.log(0.02) - entropy
    np.testing.assert_allclose(coin["unavoidable"], coin["knob"] * least, rtol=1e-10)
    growth = verdicts.drift_growth(tables["drift_time"])
    assert growth["kt"] > 0.7 > 0.4 > growth["proximal"]


def test_losses_of_exact_clones_by_hand(tables):
    exact = tables["horizon_exact"].set_index(["student", "horizon"])
    for h in (1, 8, 64):
        steps = np.arange(1, h + 1)
        assert exact.loc[("cloned", h), "gap"] == pytest.approx((1 - 0.98**steps).sum() / 2)
        assert exact.loc[("own_states", h), "gap"] == pytest.approx(h / 100)
        assert exact.loc[("unforgiving", h), "gap"] == pytest.approx((1 - 0.99**steps).sum())
        assert exact.loc[("cloned", h), "bound"] == pytest.approx(h * (h + 1) / 200)
    assert (exact.loc["own_states", "mu"] == 1).all()
    np.testing.assert_allclose(exact.loc["unforgiving", "mu"], exact.loc["unforgiving"].index)
    t = tables["horizon"].set_index(["chain", "horizon", "learner", "rounds"])
    n = tables["horizon"]["rounds"].max()
    for h in horizons.HORIZONS:
        e, shared = ((A - 1) / 2 / (labels + A / 2) for labels in (n, n * h))
        steps = np.arange(1, h + 1)
        for learner, x in (("exact", e), ("shared", shared)):
            assert t.loc[("end", h, learner, n), "gap"] == pytest.approx(1 - (1 - x) ** h)
            assert t.loc[("unforgiving", h, learner, n), "gap"] == pytest.approx((1 - (1 - x) ** steps).sum())
            assert t.loc[("end", h, learner, n), "log_loss_bound"] == pytest.approx(-h * np.log(1 - x))
        off, lost = 0.0, 0.0  # off the path: the way back is one action of A, guessed
        for _ in range(h):
            lost += (1 - off) * e + off * (1 - 1 / A)
            off = (1 - off) * e + off * (1 - 1 / A)
        assert t.loc[("recoverable", h, "exact", n), "gap"] == pytest.approx(lost)


def test_the_chain_of_two_actions_is_the_named_instance():
    named = {"recoverable": instances.compounding_chain(5), "unforgiving": instances.unforgiving_chain(5)}
    for kind, made in named.items():
        mdp, star = problems.chain(kind, 5, 2)
        assert solve.expected_return(mdp, star) == pytest.approx(5)
        student = made.convert("float64").student
        assert solve.expected_return(mdp, student) == pytest.approx(5 - float(made.gap))


def test_the_fixed_points_of_the_privileged_grid(tables):
    assert failures.fixed_point(cloning=False) == pytest.approx(3 / 8)
    assert failures.fixed_point(cloning=True) == pytest.approx(1 / 2)
    _, mdp, _, star, _ = instances.privileged_grid().convert("float64")
    t = tables["failures"]
    first = t[t["rounds"] == 1].set_index("learner")
    uniform = np.full(mdp.shape, 1 / 4)
    kl = np.where(star > 0, star * np.log(np.where(star > 0, star, 1) * 4), 0).sum(axis=2)
    for weight, column in ((uniform, "kl"), (star, "kl_expert")):
        cost = (solve.occupancy(mdp, weight) * kl).sum()
        assert first.loc["dagger", column] == pytest.approx(cost)
        assert first.loc["clone", column] == pytest.approx(cost)


PLANTED = [
    ("cumulative", "mean", lambda t: t["rounds"] == 250, 1e3, "is above the bound"),
    ("cumulative", "mean", lambda t: (t["problem"] == "garnet") & (t["rounds"] == 1), 6.0, "above the shared_bound"),
    ("cumulative", "mean", lambda t: t["problem"] == "cell", np.nan, "is above the bound"),
    ("cumulative", "exact", lambda t: t["problem"] == "cell", 0.01, "is not the exact"),
    ("cumulative", "label_ratio_max", lambda t: t.index == 3, 1.001, "label regret of a seed"),
    ("cumulative", "label_ratio_max", lambda t: t.index == 3, np.nan, "label regret of a seed"),
    ("slopes_mean", "upper", lambda t: (t["quantity"] == "kl") & (t["of"] == "slope"), 0.6, "grows as fast as sqrt"),
    ("slopes_mean", "upper", lambda t: (t["quantity"] == "regret") & (t["of"] == "slope"), np.nan, "as fast as sqrt"),
    ("slopes_mean", "lower", lambda t: (t["quantity"] == "bound") & (t["of"] == "slope"), 0.1, "as fast as its bound"),
    ("slopes_mean", "lower", lambda t: (t["quantity"] == "spread") & (t["of"] == "slope"), 0.1, "wander like"),
    ("slopes_curves", "regret", lambda t: t["rounds"] == 250, 1e4, "above its bound"),
    ("slopes_curves", "kl", lambda t: t.index == 7, np.nan, "a curve has no value"),
    ("chain", "mean", lambda t: t["link"] == "pinsker", 1e4, "pinsker 10000.0 is above cauchy"),
    ("chain", "mean", lambda t: t["link"] == "shortfall", np.nan, "shortfall nan is above"),
    ("chain", "mean", lambda t: t["link"] == "short_bound", 0.0, "is above short_bound 0.0"),
    ("confidence", "lower", lambda t: t.index == 5, 0.9, "of the seeds above the bound on"),
    ("confidence", "lower", lambda t: t.index == 5, np.nan, "of the seeds above the bound on"),
    ("drift", "mean", lambda t: t["step"] == "proximal", 1e5, "above the bound"),
    ("drift", "bound", lambda t: t["step"] == "natural", np.nan, "above the bound"),
    ("drift_time", "mean", lambda t: t["step"] == "proximal", 1e5, "above the bound"),
    ("drift", "mean", lambda t: t["teacher"] == "coin", 0.0, "below what nobody can avoid"),
    ("drift", "student_floor", lambda t: t["step"] == "natural", 0.001, "below the floor"),
    ("drift", "floor", lambda t: t["step"] == "kt", np.nan, "below the floor"),
    ("horizon_exact", "gap", lambda t: t.index == 4, 99.0, "is above the bound"),
    ("horizon_exact", "gap", lambda t: t.index == 4, np.nan, "is above the bound"),
    ("horizon", "gap", lambda t: t["learner"] == "clone", 0.0, "the simulated clone loses"),
    ("horizon", "log_loss_bound", lambda t: t["learner"] == "shared", 0.0, "the clone loses"),
    ("horizon", "gap", lambda t: t["learner"] == "dagger", 30.0, "does not lose more than DAgger"),
    ("horizon", "gap", lambda t: t["learner"] == "dagger", 0.0, "though nothing can be made good"),
    ("horizon", "gap", lambda t: t["learner"] == "dagger", np.nan, "does not lose more than DAgger"),
    ("failures", "limit", lambda t: t["learner"] == "dagger", 0.4, "should end at 0.375"),
    ("failures", "return", lambda t: t["learner"] == "clone", 0.9, "not 0.5"),
    ("failures", "return", lambda t: t["learner"] == "clone", np.nan, "not 0.5"),
    ("failures", "kl", lambda t: t["learner"] == "dagger", 0.0, "pays nothing for it"),
]


def test_the_run_contradicts_nothing(tables):
    assert verdicts.violated(tables) == []


@pytest.mark.parametrize(("name", "column", "rows", "value", "words"), PLANTED, ids=lambda x: str(x)[:20])
def test_violations_are_noticed(tables, name, column, rows, value, words):
    assert_noticed(verdicts.violated, tables, name, column, rows, value, words)


LONG = [
    ("slopes_mean", "upper", lambda t: (t["quantity"] == "spread") & (t["of"] == "slope"), 0.7, "wander like"),
    ("slopes_mean", "mean", lambda t: (t["quantity"] == "kl") & (t["of"] == "per_log"), 0.8, "not by all of it"),
    ("slopes_mean", "mean", lambda t: (t["quantity"] == "kl") & (t["of"] == "per_log"), np.nan, "not by all of it"),
    ("drift_time", "mean", lambda t: t["step"] == "kt", 5.0, "exponents of N under the ever rarer switches"),
    *(("horizon_growth", "exponent", lambda t, k=key: (t["chain"] == k[0]) & (t["learner"] == k[1]), value,
       f"{key[0]}, {key[1]}: the loss grows like") for key in verdicts.EXPONENTS for value in (3.0, np.nan)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "column", "rows", "value", "words"), LONG, ids=lambda x: str(x)[:20])
def test_long_runs_must_look_like_the_limit(name, column, rows, value, words):
    full = {name: pd.read_csv(harness.FIGURES / f"regret_{name}.csv") for name in TABLES}
    assert verdicts.violated(full) == []
    place = full[name].index[rows(full[name])]
    assert len(place)
    full[name] = full[name].astype({column: float})
    full[name].loc[place, column] = value
    assert any(words in said for said in verdicts.violated(full))


def test_an_empty_table_is_noticed(tables):
    assert_empty_tables_noticed(verdicts.violated, tables)


@pytest.mark.parametrize(
    ("name", "column", "value", "words"),
    [("chain", "rounds", np.nan, "a gap"), ("confidence", "bound", np.nan, "a gap"),
     ("chain", "error", np.inf, "an infinite number"), ("cumulative", "bound", np.inf, "an infinite number")],
)  # fmt: skip
def test_a_gap_or_an_infinite_number_is_noticed(tables, name, column, value, words):
    wrong = tables[name].assign(**{column: value})
    assert f"there is {words} in column {column} of the table {name}" in verdicts.violated(tables | {name: wrong})


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [("cumulative", "problem", "cell"), ("chain", "problem", "garnet"), ("confidence", "quantity", "regret"),
     ("slopes_curves", "kind", "stochastic"), ("horizon_exact", "student", "cloned"), ("horizon", "learner", "shared")],
)  # fmt: skip
def test_a_table_that_lacks_rows_is_noticed(tables, name, column, value):
    kept = tables[name][tables[name][column] != value]
    assert f"the table {name} lacks the {column} {value}" in verdicts.violated(tables | {name: kept})


@pytest.mark.parametrize(
    ("name", "where"),
    [("drift_time", {"step": "natural", "where": "student"}), ("drift_time", {"step": "kt"}),
     ("slopes_mean", {"of": "average_slope"}), ("slopes_mean", {"kind": "deterministic", "quantity": "bound"}),
     ("horizon_growth", {"learner": "clone"}), ("horizon_growth", {"chain": "end", "learner": "shared"}),
     ("drift", {"teacher": "coin", "step": "natural"})],
)  # fmt: skip
def test_a_combination_that_is_missing_is_noticed(tables, name, where):
    gone = np.logical_and.reduce([tables[name][column] == value for column, value in where.items()])
    assert gone.any()
    said = verdicts.violated(tables | {name: tables[name][~gone]})
    assert all(x.startswith(f"the table {name} lacks the ") for x in said)
    assert sum(all(value in x for value in where.values()) for x in said) == len(said) > 0


def test_a_violation_fails_the_run(monkeypatch, tables, tmp_path):
    tables["cumulative"].loc[:, "label_ratio_max"] = 2.0
    monkeypatch.setattr(command, "simulate", lambda *_: tables)
    monkeypatch.setattr(draw, "draw", lambda *_: [])
    with pytest.raises(SystemExit, match="1"):
        command.main(["--quick", "--out", str(tmp_path)])
    assert (tmp_path / "regret.json").exists()


def test_seeds_are_pooled(tables):
    assert len(cumulative.tasks(10, 700, range(3, 5))) == 3 * 2 * 2
    assert len(set(cumulative.tasks(10, 700, range(3, 5)))) == 12
    mdps = {task[1] for task in slopes.tasks(10, 5, range(2))}
    assert len(mdps) == 2 * slopes.MDPS
    runs = [horizons.learners("end", 2, 40, 6, base) for base in (0, 1)]
    one = horizons.pooled(runs).set_index(["learner", "rounds"])
    each = [x.set_index(["learner", "rounds"]) for x in runs]
    assert one.loc[("dagger", 40), "gap"] == pytest.approx(np.mean([x.loc[("dagger", 40), "gap"] for x in each]))
    assert one.loc[("dagger", 40), "n"] == 12
    drift, other = ([drifting.run(kind, 0.1, "proximal", "all", 8, 5, base) for base in (0, 1)]
                    for kind in ("fed", "doubling"))  # fmt: skip
    ends = drifting.pooled([*drift, *other])["drift"]
    assert ends["n"].tolist() == [10]
    assert ends["error"].item() == pytest.approx(np.mean([x["error"].iloc[-1] for x in drift]) / np.sqrt(2))


def test_nothing_is_cut_off(finished):
    assert_nothing_cut_off(draw.HEIGHTS, finished[2])
