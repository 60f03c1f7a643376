"""`python -m experiments.sequential_monotonicity` as a user runs it; its numbers against others, its verdicts."""

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog
from scipy.special import comb

from experiments import harness, sequential_curves, sequential_plots
from experiments import sequential_monotonicity as experiment
from experiments import sequential_sweeps as sweeps
from tests.quick import assert_empty_tables_noticed, assert_nothing_cut_off, quick_run

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]  # the quick run may share its processor
TABLES = ("horizon", "steps", "curves", "curve_marks", "safe_gaps", "failures", "feedback", "band", "needed")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("sequential")
    return (
        out,
        quick_run("sequential_monotonicity", out),
        {name: pd.read_csv(out / f"sequential_monotonicity_{name}.csv") for name in TABLES},
    )


@pytest.fixture
def tables(finished):
    return {name: table.copy() for name, table in finished[2].items()}


def test_every_file_of_the_manifest_is_there_and_nothing_is_left_half(finished):
    out, printed, _ = finished
    manifest = json.loads((out / "sequential_monotonicity.json").read_text())
    assert {f"sequential_monotonicity_{name}.csv" for name in TABLES} <= set(manifest["files"])
    assert {f"sequential_monotonicity_{name}.pdf" for name in sequential_plots.PANELS} <= set(manifest["files"])
    for name in manifest["files"]:
        assert 200 < (out / name).stat().st_size < 2**20, name
    assert not list((out / harness.CACHE).glob(f"{harness.UNFINISHED}*"))
    for words in ("can hurt", "0 failures in", "a horizon up to 5", "exactly, on all 184 chains", "undecided: 0"):
        assert words in " ".join(printed.replace("│", " ").split()), words
    assert "violated" not in printed


def test_chains_have_the_closed_forms_of_claim_8(tables):
    table = tables["horizon"]
    assert set(table["horizon"]) == set(range(2, 25))
    assert table["holds"].all()
    leave = table["rarity"].str.removeprefix("1/").astype(float) ** -1
    stays, safe = (1 - leave) ** (table["horizon"] - 1), 0.9
    every = table["instance"] == "horizon_chain"
    path = np.where(every, safe, safe * (1 - leave))
    gap = 1 - stays * path - (1 - stays) * leave
    rate = -(table["horizon"] - 1) * stays * (path - leave) + (1 - stays) * (1 - leave)
    rate -= np.where(every, 0, stays * path)
    np.testing.assert_allclose(table["gap"], gap, rtol=1e-10)
    np.testing.assert_allclose(table["rate"], rate, rtol=1e-8)
    np.testing.assert_allclose(table["weighted_rate"], gap, rtol=1e-10)
    np.testing.assert_allclose(table["bound"], -(table["horizon"] - every) * (1 - gap), rtol=1e-10)


def test_finite_local_steps_move_both_probabilities_alike(tables):
    table = tables["steps"].query("part == 'local'")
    odds = 0.01 / 0.99 * np.exp(table["eta"] / 0.01)  # u is 100 for what the expert does, 0 for the rest
    p = odds / (1 + odds)
    stays = (1 - p) ** (table["horizon"] - 1)
    np.testing.assert_allclose(table["return"], stays * 0.9 + (1 - stays) * p, rtol=1e-9)
    weighted = tables["steps"].query("part == 'weighted'")
    assert (weighted.groupby("horizon")["return"].diff().dropna() > -1e-12).all()


def test_curves_are_the_maxima_of_their_programmes(tables):
    low, high = sequential_curves.RANGE
    share = (1 - low) / (high - low)
    table = tables["curves"]
    for length, group in table.query("version == 'average'").groupby("horizon"):
        k = np.arange(length + 1)
        mass = comb(length, k) * share**k * (1 - share) ** (length - k)
        drift = k * (high - 1) - (length - k) * (1 - low)
        gain = high**k * low ** (length - k) - 1
        for row in group.iloc[[0, 7, 15, -2]].itertuples():
            least = row.gap - 1e-12
            found = linprog(mass * drift, A_ub=[-mass * gain], b_ub=[-least], bounds=(0, 1))
            assert row.loss == pytest.approx(-found.fun, abs=1e-8)
    wide = table.pivot_table(index=["horizon", "gap"], columns="version", values="loss")
    assert (wide["everywhere"] <= wide["average"] + 1e-7).all()
    assert wide["average"].groupby("horizon").first().is_monotonic_increasing  # the longer, the worse
    two = table.query("version == 'everywhere' and horizon == 2").iloc[0]
    assert (two["gap"], two["loss"]) == (0, pytest.approx(1 / 9))


def test_marks_lie_on_and_below_the_curves(tables):
    marks = tables["curve_marks"]
    excess = marks["loss"] - marks["curve"]
    attained = marks["kind"] == "attained"
    assert abs(excess[attained]).max() < 1e-9
    assert excess.max() < 1e-9
    nearest = excess[~attained].groupby([marks["version"], marks["horizon"]]).max()
    assert nearest.min() > -0.06  # the hardest search: every state, H = 4
    assert nearest[:, 2].min() > -1e-6


def test_safe_gaps_grow_with_the_horizon_and_are_where_curves_cross_zero(tables):
    gaps = tables["safe_gaps"]
    for key, group in gaps.groupby(["version", "low"]):
        assert (group.sort_values("horizon")["safe_gap"].diff().dropna() > 0).all(), key
    np.testing.assert_allclose(gaps["chi2"], [0.5 if low == 0.5 else 0.05 for low in gaps["low"]])
    bound = np.sqrt((1 + gaps["chi2"]) ** gaps["horizon"] - 1 - gaps["horizon"] * gaps["chi2"] + 1e-15) / 2
    np.testing.assert_allclose(gaps["chi2_bound"], bound, rtol=1e-9, atol=1e-7)
    for row in gaps[gaps["horizon"].isin((2, 5))].itertuples():
        exact = sum(p * max(x - 1 - s, 0) for p, s, x in labels(row.horizon, row.low, row.high))
        assert row.deviation == pytest.approx(exact)
    assert (gaps["safe_gap"] <= gaps["deviation"] + 1e-9).all()
    for row in gaps[np.isclose(gaps["low"], 0.5) & gaps["horizon"].isin((2, 4, 8))].itertuples():
        curve = tables["curves"].query("version == @row.version and horizon == @row.horizon")
        assert np.interp(row.safe_gap, curve["gap"], curve["loss"]) == pytest.approx(0, abs=0.02)


def labels(length, low, high):
    """Probability, S and Lambda of every sequence of labels."""
    share = (1 - low) / (high - low)
    for path in product((low, high), repeat=length):
        p = np.prod([share if u == high else 1 - share for u in path])
        yield p, sum(u - 1 for u in path), np.prod(path)


def test_what_a_horizon_needs(tables):
    needed = tables["needed"]
    assert (needed["gap"] > 0).all()
    big = needed[needed["chi2"] > 0.01]
    exact = np.sqrt((1 + big["chi2"]) ** big["horizon"] - 1 - big["horizon"] * big["chi2"]) / 2
    np.testing.assert_allclose(big["gap"], exact, rtol=1e-9)
    chi2, gap = sequential_curves.EXAMPLE
    assert experiment.sentence().endswith("cannot hurt at a horizon up to 5.")
    within = [np.sqrt((1 + chi2) ** h - 1 - h * chi2) / 2 <= gap for h in (5, 6)]
    assert within == [True, False]


def test_the_band_holds_every_pair_and_is_attained(tables):
    band = tables["band"]
    off = (band["rate"] - band["gap"]).abs()
    for length, group in band[band["kind"] != "sharp"].groupby("horizon"):
        exact = sum(p * max(x - 1 - s, 0) for p, s, x in labels(length, *sequential_curves.BAND))
        np.testing.assert_allclose(group["deviation"], exact)
        farthest = off[group.index].max()
        assert farthest == pytest.approx(exact, rel=1e-6)
    found = (band["rate"] - band["gap"])[(band["kind"] == "ascent") & (band["horizon"] == 2)]
    assert found.max() == pytest.approx(-found.min()) == pytest.approx(band["deviation"][found.index[0]])
    chi2, length = band["chi2"], band["horizon"]
    bound = np.sqrt(np.maximum((1 + chi2) ** length - 1 - length * chi2, 0)) / 2
    clear = bound > 1e-3  # below, the difference cancels
    np.testing.assert_allclose(band["chi2_bound"][clear], bound[clear], rtol=1e-6)
    assert (off <= band["chi2_bound"] + 1e-12).all()
    sharp = band[band["kind"] == "sharp"]
    assert set(sharp["horizon"]) == {2, 3, 4, 6, 8}
    np.testing.assert_allclose(sharp["gap"], sharp["chi2_bound"], rtol=1e-7)
    assert sharp["rate"].abs().max() < 1e-10


def test_hidden_state_harms_with_a_privileged_teacher_only(tables):
    fed = tables["feedback"]
    local = fed[(fed["part"] == "local") & (fed["dial"] < 0.5)]
    privileged = local.query("observations == 1 and privileged and teacher == 'noisy' and dial == 0")
    assert (privileged["lower"] > 0.005).all()
    assert local.query("observations == 1 and not privileged")["lowered"].sum() == 0
    assert local.query("observations == 5 and teacher != 'lagging'")["lowered"].sum() == 0
    assert fed.query("part == 'local' and teacher == 'lagging' and dial > 0.5")["failed"].sum() > 0
    shares = fed.query("privileged and teacher == 'noisy' and dial == 0 and divergence == 'pearson_chi2'")
    assert shares.sort_values("observations")["value"].is_monotonic_decreasing
    worse = fed.query("observations == 5 and teacher == 'noisy' and dial > 0.5 and part == 'local'")
    assert (worse["lowered"] == worse["n"]).all()
    assert (worse["better"] == 0).all()


def test_failure_rates_show_what_the_theorems_leave_open(tables):
    rates = tables["failures"].query("teacher == 'random' and geometry == 'natural'")
    base = rates.query("horizon == 4 and states == 5 and actions == 3").set_index(["divergence", "part"])["value"]
    assert base["forward_kl", "local"] > 0.05
    assert base["forward_kl", "weighted"] == 0
    assert base["cross_entropy", "full"] > 0.05
    one = rates.query("horizon == 1 and divergence == 'reverse_kl'")
    assert one["failed"].nunique() == 1  # one step: local, weighted and full are one
    assert (tables["failures"]["better"] <= tables["failures"]["n"]).all()
    assert tables["failures"]["undecided"].sum() == 0


PLANTED = [
    ("horizon", "holds", lambda t: t.index == 3, False, "claims 2 and 8"),
    ("steps", "return", lambda t: (t["horizon"] == 4) & (t["part"] == "local"), 1.0, "no local step lowers"),
    ("curve_marks", "loss", lambda t: t["kind"] == "ascent", 2.0, "loses more than the curve allows"),
    ("curve_marks", "loss", lambda t: t["kind"] == "attained", -2.0, "not attained"),
    ("safe_gaps", "safe_gap", lambda t: t.index == 5, 9.0, "safe gap above the bound"),
    ("failures", "failed", lambda t: t["promise"] == "2: never", 1, "claim 2: never"),
    ("failures", "lowered", lambda t: t["promise"] == "9: never", 1, "claim 9: never"),
    ("feedback", "lowered", lambda t: t["promise"] == "9: always", 1, "claim 9: always"),
    ("feedback", "failed", lambda t: t["promise"].isna(), 0, "harms no MDP"),
    ("band", "rate", lambda t: t["kind"] == "random", 1.0, "beyond the band"),
    ("band", "chi2_bound", lambda t: t["kind"] == "ascent", 0.0, "beyond the band"),
    ("band", "rate", lambda t: t["kind"] == "sharp", 1e-4, "not attained"),
    ("curve_marks", "loss", lambda t: t["kind"] == "ascent", np.nan, "loses more than the curve allows"),
    ("curve_marks", "curve", lambda t: t["kind"] == "attained", np.nan, "not attained"),
    ("safe_gaps", "safe_gap", lambda t: t.index == 5, np.nan, "safe gap above the bound"),
    ("failures", "failed", lambda t: t["promise"] == "2: never", np.nan, "claim 2: never"),
    ("failures", "promise", lambda t: t["promise"].notna(), np.nan, "no cell of failures has a promise"),
    ("band", "rate", lambda t: t["kind"] == "random", np.nan, "beyond the band"),
    ("band", "deviation", lambda t: t["kind"] == "random", np.nan, "beyond the band"),
    ("band", "gap", lambda t: t["kind"] == "sharp", np.nan, "not attained"),
]


def test_the_run_contradicts_nothing(tables):
    assert experiment.violated(tables) == []


@pytest.mark.parametrize(("name", "column", "rows", "value", "words"), PLANTED, ids=lambda x: str(x)[:20])
def test_violations_are_noticed(tables, name, column, rows, value, words):
    place = tables[name].index[rows(tables[name])][:400]
    assert len(place)
    tables[name].loc[place, column] = value
    assert any(words in said for said in experiment.violated(tables))


def test_an_empty_table_is_noticed(tables):
    assert_empty_tables_noticed(experiment.violated, tables)


def test_a_violation_fails_the_run(monkeypatch, tables, tmp_path):
    tables["horizon"].loc[0, "holds"] = False
    for module, names in (
        (sequential_curves, {"chains": "horizon", "steps": "steps", "curves": "curves", "marks": "curve_marks",
                             "safe_gaps": "safe_gaps", "band": "band", "needed": "needed"}),
        (sweeps, {"failure_rates": "failures", "feedback": "feedback"}),
    ):  # fmt: skip
        for function, table in names.items():
            monkeypatch.setattr(module, function, lambda *_, table=table: tables[table])
    monkeypatch.setattr(sequential_plots, "draw", lambda *_: [])
    with pytest.raises(SystemExit, match="1"):
        experiment.main(["--quick", "--out", str(tmp_path)])
    assert (tmp_path / "sequential_monotonicity.json").exists()


def test_nothing_is_cut_off(finished):
    assert_nothing_cut_off(dict(sequential_plots.PANELS.values()), finished[2], slack=0.02)
