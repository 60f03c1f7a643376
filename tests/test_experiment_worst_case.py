"""`python -m experiments.worst_case` as a user runs it: tables, pictures, verdicts."""

import json

import numpy as np
import pandas as pd
import pytest

from distil_theory.divergences import BY_NAME
from distil_theory.worst_case import Curve, largest_gap
from experiments import harness, worst_case
from tests.quick import quick_run

pytestmark = pytest.mark.long

TABLES = ("", "_curves", "_steps", "_safe_gap", "_instances", "_boundary", "_counterexamples")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("worst_case")
    return out, quick_run("worst_case", out), {name: pd.read_csv(out / f"worst_case{name}.csv") for name in TABLES}


def test_every_file_of_the_manifest_is_there_and_nothing_is_left_half(finished):
    out, printed, _ = finished
    manifest = json.loads((out / "worst_case.json").read_text())
    assert {f"worst_case{name}.csv" for name in TABLES} <= set(manifest["files"])
    for name in manifest["files"]:
        assert (out / name).stat().st_size > 200, name
    assert not list((out / harness.CACHE).glob(f"{harness.UNFINISHED}*"))
    assert "violated" not in printed
    for divergence in BY_NAME:
        assert harness.plain(divergence) in printed


def test_the_search_covers_twenty_settings_of_every_divergence(finished):
    table = finished[2][""]
    assert set(table["divergence"]) == set(BY_NAME)
    for name, group in table[table["eta"].isna()].groupby("divergence"):
        settings = set(zip(group["gap"], group["low"], group["high"], strict=True))
        assert len(settings) >= 20, name
    assert (table["found"] <= table["allowed"] + 1e-9 * table["curve"].abs()).all()
    assert table["excess"].max() < 1e-5
    best = table.groupby(["divergence", "gap", "low", "high", "eta"], dropna=False)["excess"].max()
    assert best.min() > -1e-4


def test_the_safe_gap_map_is_monotone(finished):
    table = finished[2]["_safe_gap"]
    assert set(table["divergence"]) == set(worst_case.MAPPED)
    for name, group in table.groupby("divergence"):
        grid = group.pivot(index="high", columns="low", values="safe_gap").to_numpy()
        assert (np.diff(grid, axis=0) >= -1e-9).all(), name  # a larger range of ratios asks for a larger gap
        assert (np.diff(grid, axis=1) <= 1e-9).all(), name
        assert (group["safe_gap"] <= group["largest_gap"]).all()
    abandoned = table[(table["divergence"] == "reverse_kl") & (table["low"] == 0)]
    np.testing.assert_allclose(abandoned["safe_gap"], abandoned["largest_gap"])


def test_instances_attain_the_curve(finished):
    for name, group in finished[2]["_instances"].groupby("divergence"):
        assert len(group) == 3
        assert group["student"].sum() == pytest.approx(1)
        assert group["motion"].sum() == pytest.approx(0, abs=1e-9)
        rate = (group["reward"] * group["motion"]).sum() * BY_NAME[name].unit
        assert -rate == pytest.approx(float(Curve(BY_NAME[name], *worst_case.RANGE).loss(worst_case.GAP)), rel=1e-9)


def test_steps_dip_below_zero_at_the_safe_ones(finished):
    table = finished[2]["_steps"].set_index(["divergence", "eta"])["loss"]
    assert table["reverse_kl", 1.0] == pytest.approx(-worst_case.GAP)  # the step is the expert
    assert table["jensen_shannon", 2.0] < 0
    assert table["reverse_kl", 0.5] > 0
    assert table["forward_kl", 2.0] > 0


def test_boundary_and_counterexamples(finished):
    boundary = finished[2]["_boundary"]
    lowest = boundary[boundary["end"] == "low"].sort_values("value").groupby("divergence")["loss"].first()
    assert lowest["neyman_chi2"] > 1e4 > lowest["reverse_kl"] > 2 > 1 > lowest["jensen_shannon"]
    smallest = finished[2]["_counterexamples"]
    assert smallest.loc[smallest["actions"] == 2, "n"].isna().all()
    row = smallest.query(
        "divergence == 'reverse_kl' and actions == 3 and levels == 1 and geometry == 'natural' and eta.isna()"
    )
    assert row[["n", "reward", "student", "expert"]].values.tolist() == [[7, "1 0 1", "4 2 1", "1 1 5"]]


def test_violations_are_noticed():
    row = {"divergence": "reverse_kl", "gap": 0.1, "low": 0.1, "high": 4.0, "eta": np.nan, "actions": 3, "seed": 0,
           "found": 0.2, "curve": 0.2, "allowed": 0.2, "excess": 0.0}  # fmt: skip
    none = {"divergence": "reverse_kl", "actions": 3, "geometry": "natural", "eta": np.nan, "n": np.nan}

    def said(found=(), smallest=()):
        return worst_case.violated(pd.DataFrame([row | dict(found)]), pd.DataFrame([none | dict(smallest)]))

    assert said() == []
    assert said(smallest={"n": 7}) == []  # reverse KL does fail
    assert "loses more than the curve allows" in said({"found": 0.2 + 1e-9, "excess": 5e-9})[0]
    assert "stayed below the curve" in said({"found": 0.1999, "excess": -5e-4})[0]
    assert "claim 4" in said(smallest={"n": 7, "actions": 2})[0]
    assert "safe step" in said(smallest={"n": 7, "divergence": "forward_kl"})[0]
    assert "safe step" in said(smallest={"n": 7, "eta": 1.0})[0]


def test_settings_stay_where_the_loss_is_finite():
    every = list(worst_case.settings([0], [3], [None]))
    for name in ("reverse_kl", "neyman_chi2"):
        assert min(s.low for s in every if s.divergence == name) == worst_case.NEARLY_ABANDONED
    assert min(s.low for s in every if s.divergence == "jensen_shannon") == 0
    assert all(0 < s.gap <= largest_gap(s.low, s.high) for s in every)
