"""`python -m experiments.llm_scale` as a user runs it: pieces, tables, pictures, verdicts."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from distil_theory.llm import tree
from experiments import harness
from experiments.llm_scale import cases, plan, predictions, tables, training
from experiments.llm_scale.__main__ import main, violated
from experiments.llm_scale.cases import OBJECTIVES, OUTCOMES, TEACHERS, Case
from experiments.llm_scale.predictions import CONTRADICTED, HELD, PREDICTIONS, UNDECIDED, Dial, Prediction, verdict
from tests.quick import assert_empty_tables_noticed, assert_noticed, quick_run

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]  # the quick run may share its processor
TABLES = ("networks", "curves", "paired", "predictions", "gradients", "signs", "efficiency")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("llm_scale")
    return out, quick_run("llm_scale", out), {name: pd.read_csv(out / f"llm_scale_{name}.csv") for name in TABLES}


def test_every_file_of_the_manifest_is_there(finished):
    out, printed, found = finished
    manifest = json.loads((out / "llm_scale.json").read_text())
    assert {f"llm_scale_{name}.csv" for name in TABLES} <= set(manifest["files"])
    told = manifest["settings"]
    assert (told["device"], told["unfinished"]) == ("cpu", 0)
    assert len(told["processor"]) > 10
    for name in manifest["files"]:
        assert (out / name).stat().st_size > 100, name
    assert "violated" not in printed
    assert "pieces are left" not in printed
    assert not violated(found)


def test_what_is_compared_started_alike_and_is_complete(finished):
    curves = finished[2]["curves"]
    first = curves[curves["step"] == 0].groupby(["game", "width"])["return"]
    assert (first.max() - first.min()).max() < 1e-6
    wide = curves[(curves["width"] == "wide") & (curves["gradient"] == "exact") & tables.first_rate(curves)]
    for teacher in ("network", "exact"):
        assert set(wide.loc[wide["teacher"] == teacher, "objective"]) == {*OBJECTIVES, *OUTCOMES}
    assert set(wide["teacher"]) == set(TEACHERS)
    assert set(curves["gradient"]) == {"exact", "drawn"}
    assert (curves.groupby("width")["rate"].nunique() == [1, 2]).all()
    assert (curves["lower"] <= curves["return"]).all()
    grpo = wide[(wide["objective"] == "grpo") & (wide["step"] == wide["step"].max())]
    assert (grpo.groupby("game")["return"].nunique() == 1).all()  # whatever the teacher: it has none


def test_paired_differences_and_predictions_are_those_of_the_curves(finished):
    curves, paired = finished[2]["curves"], finished[2]["paired"]
    last = curves[curves["step"] == curves["step"].max()].set_index([*tables.CORNER, "objective"])["return"]
    rows = paired[paired["metric"] == "return"]
    for x in rows.itertuples():
        corner = tuple(getattr(x, key) for key in tables.CORNER)
        assert x.value == pytest.approx(last[(*corner, x.objective)] - last[(*corner, "forward_ce")], abs=1e-9)
    assert not (paired["objective"] == "forward_ce").any()
    judged = finished[2]["predictions"]
    assert set(judged["verdict"]) <= {HELD, CONTRADICTED, UNDECIDED}
    games = set(curves["game"])
    wanted = {(p.name, g) for p in PREDICTIONS for g in p.games or (p.at.game,) if g in games}
    assert set(zip(judged["prediction"], judged["game"], strict=True)) == wanted


def test_gradients_signs_and_efficiency(finished):
    gradients, signs, shares = (finished[2][name] for name in ("gradients", "signs", "efficiency"))
    assert gradients.loc[gradients["precision"] == "float64", "max"].max() < 1e-10
    assert set(gradients["quantity"]) == set(OBJECTIVES)
    assert signs["clear"].sum() > 50
    assert signs["clear_agree"].sum() >= 0.99 * signs["clear"].sum()
    small = signs[signs["kl"] == signs["kl"].min()].set_index("optimiser")["error"]
    large = signs[signs["kl"] == 1e-6].set_index("optimiser")["error"]
    assert (np.log10(large / small) > 3.5).all()  # of the square of the step: the KL
    assert (shares["efficiency"].abs() <= 1 + 1e-9).all()
    assert shares["efficiency"].max() > 0.5


def test_a_piece_of_time_leaves_the_rest_to_the_next(tmp_path, capsys):
    main(["--quick", "--large", "--minutes", "0", "--jobs", "1", "--out", str(tmp_path)])
    assert "pieces are left, nothing can be compared yet" in capsys.readouterr().out
    assert not list(tmp_path.glob("*.csv"))


def test_a_device_that_is_not_there_is_told(tmp_path):
    command = [sys.executable, "-m", "experiments.llm_scale", "--device", "nonsense", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=harness.ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("argument --device: torch cannot use 'nonsense'")


def test_violations_are_noticed(finished):
    found = finished[2]
    others = {name: table for name, table in found.items() if name != "predictions"}
    assert_empty_tables_noticed(violated, others)
    double = lambda table: table["precision"] == "float64"  # noqa: E731
    assert_noticed(violated, found, "gradients", "max", double, 1e-6, "off by 1.0e-06 of its norm in float64")
    assert_noticed(violated, found, "signs", "clear_agree", lambda t: t.index == 0, 0, "have the wrong sign")
    assert_noticed(violated, found, "networks", "return_exact", lambda t: t.index == 0, 0.0, "no better than its")
    first = lambda table: (table["step"] == 0) & (table.index == table.index[0])  # noqa: E731
    assert_noticed(violated, found, "curves", "return", first, 0.9, "did not start from the same students")


def test_verdicts():
    assert verdict("higher", 0.05, 0.01, 0.09, 0.02) == HELD
    assert verdict("higher", 0.01, 0.005, 0.015, 0.02) == CONTRADICTED  # decided, and less than what counts
    assert verdict("higher", 0.03, -0.01, 0.07, 0.02) == UNDECIDED
    assert verdict("lower", 0.05, 0.01, 0.09, 0.02) == CONTRADICTED
    assert verdict("lower", -0.01, -0.015, -0.005, 0.02) == CONTRADICTED
    assert verdict("not higher", -0.05, -0.09, 0.01, 0.02) == HELD
    assert verdict("not higher", 0.05, 0.01, 0.09, 0.02) == CONTRADICTED
    assert verdict("not lower", 0.0, -0.03, 0.03, 0.02) == UNDECIDED
    assert verdict("none", 0.0, -0.01, 0.01, 0.02) == HELD
    assert verdict("none", 0.05, 0.01, 0.09, 0.02) == CONTRADICTED


def test_a_dial_is_the_difference_of_two_differences():
    rows = [
        {"game": "sum", "width": "wide", "teacher": teacher, "rate": rate, "gradient": "exact", "objective": objective,
         "seed": seed, "mean_return": value + 0.001 * seed * (objective == "grpo")}
        for teacher, rate, objective, value in (
            ("network", 0.1, "forward_ce", 0.3), ("network", 0.1, "grpo", 0.5), ("exact", 0.1, "forward_ce", 0.6),
            ("exact", 0.1, "grpo", 0.55), ("exact", 0.2, "grpo", 0.0), ("exact", 0.2, "forward_ce", 0.0),
        )
        for seed in range(3)
    ]  # fmt: skip
    told = Prediction("it", "E1", "grpo", "higher", "why", ("sum", "alike"), Dial("network"), Dial("exact"))
    found = tables.foretold(pd.DataFrame(rows), (told,))
    assert found["game"].tolist() == ["sum"]  # of the other game there is nothing
    assert found["value"].item() == pytest.approx(0.25)
    assert found["verdict"].item() == HELD
    assert [len(predictions.LEAST), found["seeds"].item()] == [6, 3]


def test_training_raises_what_it_is_to_raise_and_pieces_do_not_depend_on_their_company():
    case = Case("programs", "wide", 0, plan.QUICK._replace(steps=8, every=8))
    start = cases.educated(case)
    assert start.dtype == np.float32
    _, plays = cases.player(case)
    for teacher, objective, how in (
        ("exact", "forward_ce", "exact"), ("network", "reverse_kl", "drawn"), ("none", "grpo", "exact"),
        ("none", "grpo", "drawn"), ("network_live", "prefix", "exact"),
    ):  # fmt: skip
        rows = pd.DataFrame(training.training(case, start, teacher, (objective,), 0.003, how))
        before, after = (rows.loc[rows["step"] == step, "return"].mean() for step in (0, 8))
        assert after > before + 0.02, (teacher, objective, how)
        assert ("return_teacher" in rows) == (teacher != "none")
    alone = training.run(plays, torch.tensor(start[:1]), "exact", "forward_ce", 0.003, "exact", case.setting)
    both = training.run(plays, torch.tensor(start), "exact", "forward_ce", 0.003, "exact", case.setting)
    assert alone[8]["return"][0] == pytest.approx(both[8]["return"][0], abs=1e-4)


def test_students_who_see_less_end_at_the_mixture_of_answers():
    """Claim 12d: half, 3/10 and 2/10 of a prompt's problems want one answer each."""
    case = Case("alike", "wide", 0, plan.QUICK._replace(seeds=1))
    game, _ = cases.player(case)
    assert game.view_reward.amax(dim=1).tolist() == pytest.approx([0.5, 0.5])
    logits = torch.zeros(1, game.views, game.tree.size, game.tree.tokens, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([logits], lr=0.1)
    for _ in range(400):
        log_pi = logits.log_softmax(dim=-1)
        star = tree.teacher(game, log_pi.detach(), 1.0)
        adam.zero_grad()
        tree.loss(game, log_pi, star, OBJECTIVES["forward_ce"].divergence).sum().backward()
        adam.step()
    mixed = float(tree.expected_return(game, logits.log_softmax(dim=-1).detach()))
    assert mixed == pytest.approx(0.5**2 + 0.3**2 + 0.2**2, abs=0.01)
