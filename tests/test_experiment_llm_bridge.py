"""`python -m experiments.llm_bridge` as a user runs it: tables, pictures, verdicts."""

import json

import numpy as np
import pandas as pd
import pytest

from experiments import devices, harness, llm_bridge, llm_bridge_pieces
from experiments.llm_bridge_cases import GAMES, OBJECTIVES, OPTIMISERS, WIDTHS, Case, educated
from experiments.llm_bridge_tables import better, curves, order, shares, signs
from tests.quick import quick_run

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]  # the quick run may share its processor
TABLES = (
    *("networks", "gradients", "order", "signs", "steps", "exceptions", "lowered"),
    *("noise", "damping", "training", "estimators"),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("llm_bridge")
    return out, quick_run("llm_bridge", out), {name: pd.read_csv(out / f"llm_bridge_{name}.csv") for name in TABLES}


def test_every_file_of_the_manifest_is_there_and_nothing_is_left_half(finished):
    out, printed, _ = finished
    manifest = json.loads((out / "llm_bridge.json").read_text())
    assert {f"llm_bridge_{name}.csv" for name in TABLES} <= set(manifest["files"])
    assert manifest["settings"]["device"] == "cpu"
    for name in manifest["files"]:
        assert (out / name).stat().st_size > 100, name
    assert not list((out / harness.CACHE).glob(f"{harness.UNFINISHED}*"))
    assert "violated" not in printed
    for word in (*OPTIMISERS, "forward CE", "reverse KL", "Jensen-Shannon", "Hellinger", "truthful", "several"):
        assert word in printed


def test_torch_gradients_are_the_cores(finished):
    table = finished[2]["gradients"]
    assert set(table["quantity"]) == {"return", *OBJECTIVES}
    assert set(table["route"]) == {"autograd", "losses on every rollout"}
    for precision, limit in (("float32", 1e-5), ("float64", 1e-10)):
        worst = table[table["precision"] == precision]["max"]
        assert len(worst) == len(WIDTHS) * (2 * len(OBJECTIVES) + 1)
        assert worst.max() < limit


def test_predictions_are_right_where_they_are_clear(finished):
    table = finished[2]["signs"]
    assert set(table["optimiser"]) == {*OPTIMISERS, "adam, later"}
    assert table["clear_agree"].sum() >= 0.99 * table["clear"].sum() > 0
    assert len(finished[2]["exceptions"]) == table["clear"].sum() - table["clear_agree"].sum()
    small = table[table["kl"] == 1e-8]
    np.testing.assert_array_equal(small["clear"], small["clear_agree"])
    law = finished[2]["order"].set_index(["optimiser", "kl"])["exponent"]
    for optimiser in OPTIMISERS:
        assert law[optimiser, 1e-10] == pytest.approx(2, abs=0.1)


def test_the_teacher_is_better_and_the_widths_differ(finished):
    table = finished[2]["networks"]
    assert (table["return_exact"] > table["return"]).all()
    wide = table[table["width"] == WIDTHS[-1]]
    assert (wide["return_self"] > wide["return"]).all()
    assert (wide.loc[wide["game"] == "habit", "incompatibility"] < 1e-8).all()  # few free logits
    assert wide["incompatibility"].max() < table.loc[table["width"] == WIDTHS[0], "incompatibility"].min()
    assert (wide["parameters"] > 5 * wide["free_logits"]).all()
    assert table[table["width"] == WIDTHS[0]]["incompatibility"].max() > 0.01


def test_without_damping_a_free_network_gains_its_gap(finished):
    """Claims 2 and 17."""
    table = finished[2]["damping"]
    prefix = table[(table["objective"] == "prefix") & (table["width"] == WIDTHS[-1])].sort_values("damping")
    ratio = prefix.groupby("damping")["ratio"].first()
    assert ratio.iloc[0] == pytest.approx(1, abs=1e-3)
    assert ratio.iloc[-1] < 0.99
    assert (prefix[prefix["damping"] < 1e-8]["falls"] == 0).all()


def test_shares_lie_in_their_intervals(finished):
    for name in ("lowered", "noise"):
        table = finished[2][name]
        assert ((table["lower"] <= table["share"]) & (table["share"] <= table["upper"])).all()
        assert (table["n"] >= 1).all()
        assert set(table["objective"]) == set(OBJECTIVES)
    paired = finished[2]["lowered"]
    assert (paired.loc[paired["objective"] == "forward_ce", ["more", "more_lower", "more_upper"]] == 0).all(axis=None)
    cell = ["truthful", "width", "teacher", "optimiser", "objective"]
    pooled = paired[paired["game"].isna()].set_index(cell)["n"].sort_index()
    np.testing.assert_array_equal(paired[paired["game"].notna()].groupby(cell)["n"].sum().sort_index(), pooled)
    assert set(finished[2]["noise"]["noise"]) == set(llm_bridge_pieces.NOISE)


def test_estimators_are_unbiased_where_they_should_be(finished):
    table = finished[2]["estimators"]
    exact = table[table["how"] == "exact"].set_index(["family", "estimator"])
    unbiased = exact[~exact.index.get_level_values(1).str.contains("discount|clip [0-9]")]
    assert len(unbiased) >= 8
    assert (unbiased["bias"] < 1e-9 * unbiased["size"]).all()
    assert (exact["bias"] > 1e-3 * exact["size"]).sum() >= 4
    same = exact.loc["CE-to-go"]["spread"]
    assert same["core, no baseline"] == pytest.approx(same["no baseline"], rel=1e-9)
    drawn = table[(table["how"] == "drawn")]
    assert (drawn["bias"] < 5 * drawn["spread"] / drawn["rollouts"] ** 0.5).all()


def test_training_starts_from_one_network(finished):
    table = finished[2]["training"]
    start = table[(table["step"] == 0) & table["minus"].isna()]
    assert (start.groupby(["game", "quantity"])["mean"].nunique() == 1).all()
    assert (table["lower"] <= table["upper"]).all()
    zero = table[(table["minus"] == "forward_ce") & (table["objective"] == "forward_ce")]
    assert (zero[["mean", "lower", "upper"]] == 0).all(axis=None)


def test_violations_are_noticed():
    keys = {"game": "tests", "truthful": True, "width": 16, "seed": 0}
    raw = {
        "gradients": pd.DataFrame([{"precision": p, "error": e} for p, e in (("float32", 1e-6), ("float64", 1e-12))]),
        "networks": pd.DataFrame(
            [keys | {"incompatibility": 0.0, "return": 0.1, "return_self": 0.5, "return_exact": 0.6}]
        ),
        "damping": pd.DataFrame([keys | {"objective": "prefix", "damping": 1e-9, "rate": 0.4, "gap": 0.4}]),
        "steps": pd.DataFrame(
            [
                keys
                | {
                    "teacher": "exact",
                    "objective": "reverse_kl",
                    "optimiser": "undamped",
                    "kl": 1e-8,
                    "predicted": 1e-4,
                }
            ]
        ),
    }
    saved = {
        "llm_bridge_signs": pd.DataFrame({"clear": [1000], "clear_agree": [995]}),
        "llm_bridge_order": pd.DataFrame({"kl": [1e-10], "exponent": [2.02]}),
    }

    def said(table=None, column=None, value=None, row=0):
        tables = {name: frame.copy() for name, frame in (raw | saved).items()}
        if table:
            tables[table].loc[row, column] = value
        return llm_bridge.violated({k: tables[k] for k in raw}, {k: tables[k] for k in saved})

    assert said() == []
    assert "torch gradient is off by 1.0e-04 of its norm in float32" in said("gradients", "error", 1e-4)[0]
    assert "in float64" in said("gradients", "error", np.nan, 1)[0]
    assert "20 of 1000 clear predictions" in said("llm_bridge_signs", "clear_agree", 980)[0]
    assert "exponents [1.5]" in said("llm_bridge_order", "exponent", 1.5)[0]
    for missing in (0.3, np.nan):
        assert "claims 2 and 17" in said("damping", "rate", missing)[0]
    for lower in (-1e-4, np.nan):
        assert "claim 19" in said("steps", "predicted", lower)[0]
    assert "exponents []" in said("llm_bridge_order", "kl", 1e-2)[0]
    for name in raw:
        assert llm_bridge.violated(raw | {name: raw[name][:0]}, saved) == [f"there is nothing in the table {name}"]
    assert said("networks", "incompatibility", 0.1) == []


def test_tables_by_hand():
    steps = pd.DataFrame(
        {
            "game": "g", "truthful": True, "width": 4, "seed": [0, 0, 1, 1], "teacher": "self", "objective": "prefix",
            "optimiser": "sgd", "kl": [1e-4, 1e-2] * 2, "predicted": [0.1, 1.0, -0.1, 1.0], "second_order": 0.0,
            "actual": [0.11, 2.0, -0.09, -1.0], "clear": [True, True, True, True],
        }
    )  # fmt: skip
    by_size, exceptions = signs(steps, pd.DataFrame(columns=steps.columns))
    assert by_size[["n", "clear", "clear_agree"]].values.tolist() == [[2, 2, 2], [2, 2, 1]]
    assert exceptions["actual"].tolist() == [-1]
    assert order(steps)["exponent"].tolist()[1] == pytest.approx(np.log10([100, 200]).mean())
    raw = {"networks": pd.DataFrame([{"game": "g", "width": 4, "seed": s, "return": 0.5, "return_self": [0.6, 0.4][s],
                                      "return_exact": 0.7} for s in (0, 1)])}  # fmt: skip
    assert better(raw, steps)["seed"].tolist() == [0, 0]
    share = shares(steps, ["width", "objective"])
    assert share[["n", "lowered", "share", "predicted_lower"]].values.tolist() == [[4, 2, 0.5, 1]]
    training = pd.DataFrame([
        {"game": "g", "seed": s, "objective": o, "step": 0, "return": s + (o == "prefix"), "return_self": 0.0,
         "entropy": 0.0, "length": np.nan} for s in (0, 2) for o in OBJECTIVES
    ])  # fmt: skip
    table = curves(training).set_index(["quantity", "objective", "minus"]).sort_index()
    assert table.loc[("return", "prefix", ""), "mean"].item() == 2
    assert table.loc[("return", "prefix", "forward_ce"), ["mean", "lower", "upper"]].values.tolist() == [1, 1, 1]
    assert "length" not in table.index.get_level_values(0)


def test_a_device_that_is_not_there():
    with pytest.raises(SystemExit, match="argument --device: torch cannot use 'nonsense'"):
        devices.check("nonsense")
    assert devices.check("cpu") == "cpu"


def test_networks_are_educated_side_by_side_as_if_alone():
    together = educated(Case("habit", 4, (0, 3), education=5))
    alone = educated(Case("habit", 4, (3,), education=5))
    np.testing.assert_allclose(together[1].theta, alone[0].theta, rtol=1e-5)
    assert not np.allclose(together[0].theta, alone[0].theta)
    assert {name for name, game in GAMES.items() if game.truthful} == {"sum", "tests"}
