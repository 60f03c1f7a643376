"""`python -m experiments.pass_at_n` as a user runs it: tables against values found another way, verdicts, a kill."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from distil_theory import objectives, success
from distil_theory.divergences import FORWARD_KL, JENSEN_SHANNON, REVERSE_KL
from distil_theory.spec import Bandit
from experiments.pass_at_n import draw, exact, random_prompts, sampled, students, verdicts
from tests.quick import assert_nothing_cut_off, killed_and_taken_up, quick_run

TABLES = ("ends", "curves", "crossing", "random_curves", "training", "crossing_random", "modes", "same", "em",
          "estimators", "votes")  # fmt: skip
RUN = """
import sys
from experiments.pass_at_n import __main__ as command
command.draw.draw = lambda *_: []
command.main(sys.argv[1:])
"""
pytestmark = pytest.mark.timeout(900)  # the quick run takes 15 s of one processor, which may be shared


def read(out):
    return {name: pd.read_csv(out / f"pass_at_n_{name}.csv") for name in TABLES}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("pass_at_n")
    return out, quick_run("pass_at_n", out), read(out)


def test_every_file_of_the_manifest_is_there_and_the_verdicts_are_told(finished):
    out, printed, tables = finished
    manifest = json.loads((out / "pass_at_n.json").read_text())
    assert {f"pass_at_n_{name}.csv" for name in TABLES} <= set(manifest["files"])
    for name in ("", "_curves", "_training", "_crossing", "_modes", "_estimators"):
        assert f"pass_at_n{name}.png" in manifest["files"]
    for name in manifest["files"]:
        assert (out / name).stat().st_size > 50, name
    for words in ("loses at N = 1", "wins at large N", "never falls", "unbiased"):
        assert words in " ".join(printed.replace("│", " ").split())
    assert "violated" not in printed
    assert verdicts.violated(tables) == []


def test_a_killed_run_is_resumed_to_the_same_tables(finished, tmp_path):
    killed_and_taken_up([sys.executable, "-c", RUN, "--quick"], (1, 2), tmp_path, 5)
    for name in TABLES:
        assert (tmp_path / f"pass_at_n_{name}.csv").read_bytes() == (
            finished[0] / f"pass_at_n_{name}.csv"
        ).read_bytes(), name


@pytest.mark.parametrize(
    ("objective", "divergence"), [("distil", FORWARD_KL), ("sdpo", REVERSE_KL), ("opsd", JENSEN_SHANNON)]
)
@pytest.mark.parametrize("teacher", students.TEACHERS)
def test_directions_are_the_library_s_local_gradients(objective, divergence, teacher):
    problem = students.random_prompts(np.random.default_rng(1), 4, 5, 2, 3)
    logits = np.random.default_rng(2).normal(size=problem.right.shape)
    pi = np.exp(students.log_policy(logits))
    mdp = Bandit(problem.right, problem.weights, batch_ndim=1)
    given = pi * problem.right / (pi * problem.right).sum(axis=1, keepdims=True)
    t = 0.99 * given + 0.01 * pi if teacher == "own" else 0.99 * problem.right / 2 + 0.01 / 5
    wanted = -objectives.loss_gradient(mdp, pi[None], t[None], divergence)[0]
    unit = 2 if objective == "opsd" else 1  # h = log(1+u) without its half
    np.testing.assert_allclose(students.ascent(problem, logits, objective, teacher), unit * wanted, atol=1e-14)


@pytest.mark.parametrize("rank", [0, 1, 3])
@pytest.mark.parametrize("objective", ["distil", "likelihood", "rl"])
def test_classes_go_uphill(objective, rank):
    """Against differences of `sum w CE(t, pi)`, `sum w log P`, `sum w P` in the parameters."""
    rng = np.random.default_rng(3)
    problem = students.random_prompts(rng, 6, 5, 2, 2, contexts=2)
    theta, logits_of, pull = students.student_class(rank)(problem, rng)

    def value(parameters):
        log_pi = students.log_policy(logits_of(parameters))
        p = (np.exp(log_pi) * problem.right).sum(axis=1)
        t = success.truthful_teacher(problem.right, students.FLOOR)
        each = {"distil": (t * log_pi).sum(axis=1), "likelihood": np.log(p), "rl": p}[objective]
        return (problem.weights * each).sum(axis=0)

    slopes = pull(theta, students.ascent(problem, logits_of(theta), objective, "fixed"))
    for i, slope in enumerate(slopes):
        move = rng.normal(size=slope.shape)
        ends = [value([x + e * move if j == i else x for j, x in enumerate(theta)]) for e in (1e-5, -1e-5)]
        np.testing.assert_allclose((ends[0] - ends[1]) / 2e-5, (slope * move).sum(axis=(0, 1)), rtol=1e-6, atol=1e-9)
    if rank:
        logits = logits_of(theta)
        assert (logits[0] == logits[1]).all()  # a hidden pair
        assert np.linalg.matrix_rank(logits[..., 0]) == min(rank, 3)


def test_success_too_rare_for_floats_still_has_a_direction():
    problem = students.Prompts(np.ones((1, 1)), np.array([[[1.0], [0.0]]]))
    logits = np.array([[[-800.0], [0.0]]])
    for objective, teacher in students.RUNS:
        assert np.isfinite(students.ascent(problem, logits, objective, teacher)).all()
    assert students.ascent(problem, logits, "likelihood", "none")[0, :, 0].tolist() == [1, -1]


def test_the_examples_by_hand(finished):
    table = finished[2]["curves"]
    two = table[(table["example"] == "two") & (table["floor"] == 0.01)]
    passed = two.set_index(["objective", "teacher", "n"])["pass"].sort_index()
    assert passed["distil", "own", 1] == pytest.approx(13 / 25)
    assert passed["distil", "own", 2] == pytest.approx(19 / 25)
    np.testing.assert_allclose(passed["rl", "none"], 3 / 5)
    odds = 199 ** (1 / 5)  # (1 - e/2)/(e/2) to the power w_1 - w_2
    p = odds / (1 + odds)
    assert passed["sdpo", "fixed", 1] == pytest.approx(0.6 * p + 0.4 * (1 - p))
    ends = finished[2]["ends"]
    assert abs(ends["p"] - ends["closed_form"]).max() < 0.01
    np.testing.assert_allclose(ends.groupby(["example", "objective", "teacher"])["p"].sum(), 1)


def test_crossings_by_hand(finished):
    table = finished[2]["crossing"]
    exactly = table[table["family"] == "collapsed"].set_index(["heavy", "prompts"])["n"]
    assert (exactly[:, 2] == 2).all()
    for (heavy, prompts), n in exactly.items():
        light = (1 - heavy) / (prompts - 1)
        miss = [heavy * (1 - heavy) ** k + (1 - heavy) * (1 - light) ** k for k in (n - 1, n)]
        assert miss[0] >= 1 - heavy - 1e-12
        assert miss[1] < 1 - heavy
    own = table[(table["family"] == "smoothed") & (table["teacher"] == "own")]
    assert own["again"].isna().all()
    fixed = table[(table["family"] == "smoothed") & (table["teacher"] == "fixed")]
    assert fixed["again"].notna().any()  # a smoothed fixed teacher lets reverse KL win at large N
    row = fixed[(fixed["objective"] == "sdpo") & fixed["again"].notna()].iloc[-1]
    w, e = exact.spread_weights(), row["floor"]
    power = (1 + (1 - e) * 8 / e) ** w
    sharp, broad = power / power.sum(), (1 - e) * w + e / 8
    n = int(row["again"])
    assert (w * (1 - sharp) ** n).sum() < (w * (1 - broad) ** n).sum()
    assert (w * (1 - sharp) ** (n - 1)).sum() >= (w * (1 - broad) ** (n - 1)).sum()


def test_random_prompts_tell_the_story(finished):
    tables = finished[2]
    end = tables["random_curves"].set_index(["rank", "objective", "teacher", "n"])["mean"]
    for rank in (0, 2):
        assert end[rank, "distil", "own", 1] < end[rank, "opsd", "own", 1] < end[rank, "sdpo", "own", 1]
        assert end[rank, "distil", "own", 64] > end[rank, "opsd", "own", 64] > end[rank, "sdpo", "own", 64]
    last = tables["training"].groupby(["rank", "objective", "teacher", "n"])["mean"].last()
    for key, value in last.items():
        assert value == pytest.approx(end[key], rel=1e-9)
    kept = tables["modes"].set_index(["rank", "objective", "teacher", "measure"])["mean"]
    assert kept[2, "distil", "own", "covered"] > kept[2, "sdpo", "own", "covered"] > kept[2, "rl", "none", "covered"]
    assert kept[2, "distil", "fixed", "effective"] > kept[2, "distil", "own", "effective"] + 0.4
    crossed = tables["crossing_random"].set_index(["rank", "objective", "teacher"])
    assert crossed.loc[(2, "rl", "none"), "median"] == 2
    em = tables["em"]
    assert (em.groupby("eta")["likelihood"].apply(np.diff).explode() > -1e-12).all()
    assert em["pass_1_fell"].max() > 0


def test_estimates(finished):
    table = finished[2]["estimators"].set_index(["metric", "n"])
    deviation, gap = sampled.by_counts(1)
    assert deviation == pytest.approx(np.sqrt(0.12 * 0.88 / 64))
    assert gap < 1e-12
    assert table.loc[("avg", 4), "exact"] == pytest.approx(0.12)
    naive = table.loc[("pass", 16)]
    assert naive["naive"] < naive["exact"] - 0.02
    votes = finished[2]["votes"].set_index("n")
    assert (np.diff(votes["maj"]) <= 1e-12).all()
    assert (np.diff(votes["maj_mode_right"]) >= -1e-12).all()
    assert votes.loc[2, "maj"] == pytest.approx(0.12)  # two answers: a tie or the same twice


def test_seeds_are_pooled_and_pieces_the_same_everywhere():
    found = [random_prompts.trained(1, "sdpo", "own", 20, 3, seed) for seed in (0, 1)]
    (both,) = random_prompts.pooled(found)
    assert both.p.shape == (12, 6)
    assert (both.p[:, :3] == found[0].p).all()
    assert (both.p[:, 3:] == found[1].p).all()
    assert (random_prompts.trained(1, "sdpo", "own", 20, 3, 0).passes == found[0].passes).all()


def test_nothing_is_cut_off(finished):
    assert_nothing_cut_off(draw.HEIGHTS, finished[2])


def test_violations_are_noticed(finished):
    tables = finished[2]

    def at(name, **where):
        table = tables[name]
        return int(np.flatnonzero(np.logical_and.reduce([table[k] == v for k, v in where.items()]))[0])

    two = {"example": "two", "floor": 0.01}
    for name, column, value, row, message in (
        ("ends", "p", 0.5, 0, "claim 12d: distil, fixed teacher"),
        ("ends", "p", float("nan"), 0, "there is a gap in column p of the table ends"),
        ("curves", "pass", 0.51, at("curves", **two, objective="likelihood", n=1), "the mixture (3/5, 2/5) has Pass@1"),
        ("curves", "pass", 0.61, at("curves", **two, objective="rl", n=4), "does not have Pass@N 3/5 at every N"),
        ("curves", "pass", 0.1, at("curves", example="three", objective="sdpo", n=8), "Pass@N falls with N"),
        ("em", "least_increase", -1e-9, 3, "lowers the likelihood by 1.0e-09"),
        ("em", "least_increase", float("nan"), 3, "lowers the likelihood by nan"),
        ("same", "direction_difference", 1e-6, 1, "go different ways"),
        ("same", "direction_difference", float("nan"), 1, "go different ways"),
        ("crossing", "n", 3, at("crossing", family="collapsed", prompts=2), "the mixture is ahead from N = 3"),
        ("crossing", "n", 1, at("crossing", family="collapsed", prompts=8), "the mixture is ahead from N = 1"),
        ("crossing", "n", float("nan"), at("crossing", family="collapsed", prompts=8), "is ahead from N = nan"),
        ("crossing", "pass_1", 0.1, at("crossing", objective="opsd", teacher="own"), "is behind at N = 1"),
        ("crossing", "again", 40, at("crossing", objective="opsd", teacher="own"), "ahead again from N = 40"),
        ("estimators", "mean", 0.2, 0, "pass@1: estimates have the mean 0.2"),
        ("estimators", "variance_gap", 0.01, 0, "pass@1: the mean of the estimated variances"),
        ("estimators", "variance_gap", float("nan"), 0, "pass@1: the mean of the estimated variances"),
        ("estimators", "error_of_mean", float("inf"), 0, "an infinite number in column error_of_mean"),
        ("random_curves", "mean", 1.0, at("random_curves", rank=2, objective="distil", teacher="own", n=1),
         "does not lose against sdpo at N = 1"),
        ("random_curves", "mean", 0.1, at("random_curves", rank=2, objective="distil", teacher="own", n=64),
         "does not win against rl at N = 64"),
        ("votes", "maj", 0.5, -1, "Maj@N does not fall where the mode is wrong"),
        ("modes", "mean", float("nan"), 0, "there is a gap in column mean of the table modes"),
    ):  # fmt: skip
        table = tables[name].copy()
        table[column] = table[column].astype(float)
        table.loc[table.index[row], column] = value
        said = verdicts.violated(tables | {name: table})
        assert any(message in line for line in said), (name, column, said)
    for name, keep, message in (
        ("ends", lambda x: x["objective"] == "distil", "ends of every run"),
        ("em", lambda x: x["step"] == 0, "EM steps"),
        ("same", lambda x: x["direction_difference"].isna(), "directions of equal students"),
        ("crossing", lambda x: x["family"] == "smoothed", "collapsed students"),
        ("crossing", lambda x: x["teacher"] != "own", "self-taught students"),
        ("crossing", lambda x: x["again"].isna(), "fixed floors at which the sharper student is ahead again"),
        ("estimators", lambda x: x["n"] > 32, "variances of Pass@N"),
        ("estimators", lambda x: x["metric"] == "pass", "estimates of every metric"),
    ):
        assert f"the tables lack {message}" in verdicts.violated(tables | {name: tables[name][keep]}), (name, message)
    for name in tables:
        assert f"there is nothing in the table {name}" in verdicts.violated(tables | {name: tables[name][:0]})
