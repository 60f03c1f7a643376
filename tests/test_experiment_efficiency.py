"""`python -m experiments.efficiency` as a user runs it: files, tables against another route, verdicts."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest

from distil_theory import efficiency as shares
from distil_theory import experts, solve, trajectories
from distil_theory.spec import TabularMDP
from experiments import efficiency, harness
from experiments.efficiency_plots import ESTIMATORS, OBJECTIVES, SETTINGS
from tests.quick import quick_run

pytestmark = pytest.mark.long

TABLES = ("curve", "divergences", "variance")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("efficiency")
    printed = quick_run("efficiency", out)
    return out, printed, {name: pd.read_csv(out / f"efficiency_{name}.csv") for name in TABLES}


def test_every_file_of_the_manifest_is_there_and_nothing_is_left_half(finished):
    out, printed, _ = finished
    manifest = json.loads((out / "efficiency.json").read_text())
    assert {f"efficiency_{name}.csv" for name in TABLES} <= set(manifest["files"])
    for name in manifest["files"]:
        assert (out / name).stat().st_size > 200, name
    assert not list((out / harness.CACHE).glob(f"{harness.UNFINISHED}*"))
    assert "violated" not in printed


def test_the_curve_is_a_bound_that_two_prompts_attain(finished):
    table = finished[2]["curve"]
    assert set(table["setting"]) == {*SETTINGS, "two prompts"}
    np.testing.assert_allclose(table["bound"], 2 * np.sqrt(table["ratio"]) / (1 + table["ratio"]), rtol=1e-6)
    assert (table["efficiency"] > table["bound"] - 1e-9).all()
    met = table[table["setting"] == "two prompts"]
    np.testing.assert_allclose(met["efficiency"], met["bound"], rtol=1e-9)


def test_objectives_stand_in_their_order(finished):
    table = finished[2]["divergences"].set_index(["setting", "objective"])
    assert len(table) == len(OBJECTIVES) * len(SETTINGS)
    assert (table["q95"] <= 1 + 1e-9).all()
    median = table["median"]["one action"]
    assert median["total_variation"] == pytest.approx(1)
    assert median["reverse_kl"] > median["jensen_shannon"] > median["hellinger"] > median["forward_kl"]
    assert median["forward_kl"] > median["pearson_chi2"]
    assert median["prefix_weighted"] == pytest.approx(median["forward_kl"])  # there are no prefixes
    assert (table.xs("value_weighted", level="objective")["least"] > 1 - 1e-9).all()


def test_variances_are_those_of_rollouts():
    mdp, student = efficiency.token_problems(np.random.default_rng(2), 3)
    found = efficiency.variances(mdp, student)
    for i in (0, 2):
        one, pi = TabularMDP(mdp.transition[..., 0], mdp.reward[..., i], mdp.initial[..., i]), student[..., i]
        star, v = experts.success_conditioned(one, pi), solve.values(one, pi)[0]
        every = trajectories.enumerate_all(one)
        p, z = trajectories.probability(one, pi, every), trajectories.returns(one, every)
        assert set(z) <= {0, 1}
        acts, met, taught = np.eye(3)[every.actions], every.along(pi, actions=False), every.along(star, actions=False)
        value = every.along(v, actions=False)[..., None]
        estimates = {
            "reinforce": z[:, None] * (acts - met),
            "baseline": (z[:, None] - value) * (acts - met),
            "successes": z[:, None] * (taught - met),
            "value_weighted": value * (taught - met),
        }
        assert set(estimates) == set(ESTIMATORS)
        here = np.eye(36)[every.states]
        for name, x in estimates.items():
            square = np.einsum("n,hns,hna->h", p, here, x**2)
            mean = np.einsum("n,hns,hna->hsa", p, here, x)
            np.testing.assert_allclose(found[name][:, i], square - (mean**2).sum(axis=(1, 2)), atol=1e-14)


def test_what_grpo_expects_is_the_mean_over_groups():
    """All outcomes of a group of four; groups of two and three make the policy gradient, groups of eight nearly."""
    mdp, student = efficiency.token_problems(np.random.default_rng(4), 2)
    v, q = solve.values(mdp, student)
    success = v[0, ::9]
    worth = 0
    for bits in itertools.product((0, 1), repeat=4):
        if 0 < sum(bits) < 4:
            others = np.prod([success if z else 1 - success for z in bits[1:]], axis=0)
            worth = worth + (1 if bits[0] else -1) * others * (bits[0] - np.mean(bits)) / np.std(bits)
    found = efficiency.group_normalised(mdp, student, 4)
    np.testing.assert_allclose(found, np.repeat(worth, 9, axis=0)[:, None] * (q - v[:, :, None]), atol=1e-14)
    for group, least, most in ((2, 1 - 1e-9, 1 + 1e-9), (3, 1 - 1e-9, 1 + 1e-9), (8, 0.984, 0.99999)):
        direction = efficiency.group_normalised(mdp, student, group)
        e = shares.of_direction(mdp, student, direction).value
        assert (least < e).all()
        assert (e < most).all()


def test_right_answers_are_spread_over_prompts():
    mdp, student = efficiency.token_problems(np.random.default_rng(0), 50)
    right = mdp.reward[-1].reshape(efficiency.PROMPTS, -1, 50).sum(axis=1)
    assert right.min() >= 1
    assert right.max() <= 26
    assert len(np.unique(right)) > 10
    assert (solve.occupancy(mdp, student)[-1] > 0).all()  # every prefix is reached


def test_violations_are_noticed(finished):
    tables = finished[2]
    assert efficiency.violated(tables) == []
    low = tables["curve"].assign(efficiency=tables["curve"]["efficiency"].where(tables["curve"].index != 3, 0.0))
    assert "lies below the bound" in efficiency.violated(tables | {"curve": low})[0]
    high = tables["curve"].assign(efficiency=tables["curve"]["efficiency"] + 1e-3)
    assert efficiency.violated(tables | {"curve": high}) == ["claim 21c: two prompts do not attain the bound"]
    assert "nothing in the table variance" in efficiency.violated(tables | {"variance": tables["variance"][:0]})[0]


def test_claims_that_fail_are_named(monkeypatch):
    problem = efficiency.answer_problems(np.random.default_rng(0), 20)
    assert efficiency.by_objective({"one action": problem})[1] == []
    real = efficiency.of
    worse = {"forward_kl": 0.99, "jensen_shannon": 0.1, "value_weighted": 1.1}
    monkeypatch.setattr(efficiency, "of", lambda name, *rest: real(name, *rest) * 0 + worse.get(name, 0.995))
    wrong = efficiency.by_objective({"one action": problem})[1]
    assert [text.partition(":")[0] for text in wrong] == ["claim 21", "claim 21b", "claim 21d"]
    assert "jensen_shannon" in wrong[2]
    noisy = {name: np.full((1, 20), float(i)) for i, name in enumerate(ESTIMATORS, 1)}
    monkeypatch.setattr(efficiency, "variances", lambda *_: noisy)
    found = [text.split()[2] for text in efficiency.variance(*problem)[1]]
    assert found == ["value_weighted", "successes", "value_weighted"]
