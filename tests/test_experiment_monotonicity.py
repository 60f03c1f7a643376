"""`python -m experiments.monotonicity`, run as a user would, without torch, in an empty folder."""

import json
import os
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest

from distil_theory import instances, objectives, solve
from distil_theory.divergences import BY_NAME
from experiments import harness, monotonicity, monotonicity_plots
from tests.quick import assert_nothing_cut_off

pytestmark = pytest.mark.long

PANELS = [
    "monotonicity",
    "monotonicity_returns",
    "monotonicity_simplex",
    "monotonicity_steps",
    "monotonicity_worst_case",
]


def run(out, *options):
    code = (
        "import sys\n"
        "class NoTorch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'torch': raise ImportError('torch is blocked')\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        "from experiments.monotonicity import main\n"
        f"main(['--quick', '--out', {str(out)!r}, *{list(options)!r}])"
    )
    environment = os.environ | {"COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=harness.ROOT, capture_output=True, text=True, env=environment
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("quick")
    process = run(out, "--jobs", "2")
    assert process.returncode == 0, process.stderr
    return out, process.stdout, {name: pd.read_csv(out / f"{name}.csv") for name in PANELS}


def test_the_terminal_tells_the_verdicts_in_words(finished):
    _, text, _ = finished
    rows = {
        name: next(line for line in text.splitlines() if f"│ {name}" in line) for name in ("forward KL", "reverse KL")
    }
    assert "raises it" in rows["forward KL"]
    assert "+0.0033" in rows["forward KL"]  # 1/300
    assert "LOWERS it" in rows["reverse KL"]
    assert "J* - J = 1/300" in text


def test_panel_c_has_the_promised_columns_and_the_theorems_zeros(finished):
    table = finished[2]["monotonicity"]
    assert list(table) == ["quantity", "actions", "geometry", "divergence", "value", "lower", "upper", "n"]
    assert len(table) == 5 * 3 * len(BY_NAME)
    assert set(table["quantity"]) == {"failure_rate"}
    assert set(table["n"]) == {100_000}
    assert (table["lower"] <= table["value"]).all()
    assert (table["value"] <= table["upper"]).all()
    safe = (table["actions"] == 2) | ((table["divergence"] == "forward_kl") & (table["geometry"] != "euclidean"))
    assert (table.loc[safe, "value"] == 0).all()
    assert (table.loc[~safe, "value"] > 0.04).all()


def test_panel_d_touches_zero_at_the_safe_steps_only(finished):
    table = finished[2]["monotonicity_steps"]
    zero = table[table["value"] == 0]
    assert set(zip(zero["divergence"], zero["eta"], strict=True)) == set(monotonicity.SAFE_STEPS.items())


def test_panel_a_is_exact_on_the_lines_where_floats_cannot_tell(finished):
    table = finished[2]["monotonicity_simplex"]
    on_the_line = np.isclose(table["expert_3"], 1 / 3, rtol=0, atol=1e-12)
    assert on_the_line.sum() == 39  # k = 20 of 60: i = 1..39
    assert (table.loc[on_the_line, "gap_sign"] == 0).all()
    assert (table.loc[table["gap_sign"] > 0, "forward_kl"] == 1).all()
    misled = table[(table["gap_sign"] > 0) & (table["reverse_kl"] < 0)]
    assert len(misled) > 50
    # Cov(r, log u) has the sign of log(u1 u2 / u3^2) for the uniform student
    product = table["expert_1"] * table["expert_2"] - table["expert_3"] ** 2
    clear = (abs(product) > 1e-9) & (table["gap_sign"] > 0)
    assert (np.sign(product[clear]) == table.loc[clear, "reverse_kl"]).all()


def test_panel_b_starts_at_the_students_return_and_follows_its_tangent(finished):
    table = finished[2]["monotonicity_returns"]
    assert set(table["claim"]) == {"claim 5", "claim 6a", "claim 6b", "claim 6c"}
    for (instance, _, name), group in table.groupby(["instance", "claim", "divergence"]):
        exact = next(make for make in instances.INSTANCES if make.__name__ == instance)()
        assert group["return"].iloc[0] == pytest.approx(float(solve.expected_return(exact.mdp, exact.student)))
        if name in BY_NAME:
            first = group.iloc[1]
            change = first["return"] - group["return"].iloc[0]
            assert np.sign(change) == np.sign(first["tangent"] - group["return"].iloc[0])
    bound = table.dropna(subset="bound")
    assert set(bound["divergence"]) == {"forward_kl"}
    assert (bound["bound"] <= bound["return"] + 1e-12).all()
    safe = bound[(bound["eta"] > 0) & (bound["bound"] >= 2 / 3 - 1e-15)]
    assert len(safe) == 1  # the certified step is a point of the grid
    proximal = table[(table["divergence"] == "forward_kl_proximal") & (table["claim"] == "claim 5")]
    assert np.allclose(proximal["return"], 2 / 3 + proximal["eta"] / (1 + proximal["eta"]) / 300, atol=1e-12)


def test_panel_e_is_attained_and_falls_with_the_gap(finished):
    table = finished[2]["monotonicity_worst_case"]
    np.testing.assert_allclose(table["attained"], table["worst_loss"], rtol=1e-9, atol=1e-11)
    for name, group in table.groupby("divergence"):
        assert (np.diff(group["worst_loss"]) < 0).all()
        first = group["worst_loss"].iloc[0]
        assert first < 0 if name == "forward_kl" else first > 0.1


def test_the_same_numbers_for_any_number_of_jobs(finished, tmp_path):
    out, _, _ = finished
    assert run(tmp_path, "--jobs", "1").returncode == 0
    names = sorted(p.name for p in out.iterdir() if p.is_file())
    assert names == sorted(p.name for p in tmp_path.iterdir() if p.is_file())
    for name in names:
        assert (out / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_the_manifest_says_what_drew_the_numbers(finished):
    manifest = json.loads((finished[0] / "monotonicity.json").read_text())
    assert manifest["seed"] == 0
    assert manifest["quick"] is True
    assert manifest["packages"]["numpy"] == np.__version__
    assert set(manifest["files"]) <= {p.name for p in finished[0].iterdir()}


def counted(path, n):
    (path / f"ran_{n}").touch(exist_ok=False)
    return n * n


def test_finished_work_is_found_again_and_fresh_forgets_it(tmp_path):
    args = harness.command_line("monotonicity", "", ["--out", str(tmp_path / "out"), "--jobs", "1"])
    tasks = [(tmp_path, n) for n in range(4)]
    assert harness.run_tasks(counted, tasks[:2], args, "part") == [0, 1]
    assert harness.run_tasks(counted, tasks, args, "whole") == [0, 1, 4, 9]  # 0 and 1 again would raise
    args = harness.command_line("monotonicity", "", ["--out", str(tmp_path / "out"), "--jobs", "1", "--fresh"])
    for n in range(4):
        (tmp_path / f"ran_{n}").unlink()
    assert harness.run_tasks(counted, tasks[:2], args, "again") == [0, 1]
    assert (tmp_path / "ran_0").exists()  # it was forgotten, so it ran again
    assert harness.run_tasks(counted, tasks, args, "resumed") == [0, 1, 4, 9]  # --fresh keeps its own work


def test_other_settings_are_other_work(monkeypatch, tmp_path):
    monkeypatch.setattr(monotonicity, "BLOCK", 2000)
    args = harness.command_line("monotonicity", "", ["--out", str(tmp_path), "--jobs", "1"])
    first = monotonicity.step_failure_rates(args, 2000)
    monkeypatch.setattr(monotonicity, "ETAS", tuple(2 * eta for eta in monotonicity.ETAS))
    second = monotonicity.step_failure_rates(args, 2000)
    reverse = (first["divergence"] == "reverse_kl") & (first["eta"] == 2)
    other = (second["divergence"] == "reverse_kl") & (second["eta"] == 2)
    assert first.loc[reverse, "value"].item() == second.loc[other, "value"].item() > 0


def test_nothing_is_cut_off(finished):
    for drawing, table, height in monotonicity_plots.PANELS.values():
        assert_nothing_cut_off({drawing: height}, finished[2][table])


def test_a_killed_run_leaves_no_litter(tmp_path):
    (tmp_path / harness.CACHE).mkdir()
    litter = tmp_path / harness.CACHE / f"{harness.UNFINISHED}x.png"
    litter.touch()
    harness.command_line("monotonicity", "", ["--out", str(tmp_path)])
    assert not litter.exists()


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")

    def fail_half_way():
        with harness.replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    assert path.read_text() == "old"
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


@pytest.mark.parametrize(
    "options",
    [
        ["--seed", "-1"],
        ["--seeds", "0"],
        ["--jobs", "0"],
        ["--seed", "x"],
        ["--out", "/dev/null/x"],
        ["--out", "/proc/1"],
        ["--jobs", "99999999"],
    ],
)
def test_bad_options_are_refused_before_any_work(options, capsys):
    with pytest.raises(SystemExit, match="2"):
        monotonicity.main(options)
    assert "error: argument" in capsys.readouterr().err


def test_an_unwritable_folder_is_refused_before_any_work(monkeypatch, tmp_path, capsys):
    def read_only(dir):
        raise PermissionError(f"read-only: {dir}")

    monkeypatch.setattr(harness.tempfile, "TemporaryFile", read_only)
    with pytest.raises(SystemExit, match="2"):
        harness.command_line("monotonicity", "", ["--out", str(tmp_path)])
    assert "argument --out: read-only" in capsys.readouterr().err


def test_a_contradicted_theorem_is_reported(finished):
    tables = finished[2]
    rates, steps = tables["monotonicity"].copy(), tables["monotonicity_steps"].copy()
    assert monotonicity.violated(rates, steps) == []
    rates.loc[(rates["divergence"] == "forward_kl") & (rates["geometry"] == "natural"), "value"] = 1e-6
    assert len(monotonicity.violated(rates, steps)) == 5 + 1
    steps.loc[(steps["divergence"] == "reverse_kl") & (steps["eta"] == 1), "value"] = 1e-6
    assert "reverse_kl fails at its safe step" in monotonicity.violated(rates, steps)[-1]
    with pytest.raises(SystemExit, match="1"):
        harness.finish(["claim"])


def test_the_verdicts_notice_a_wrong_sign(monkeypatch):
    assert monotonicity.verdicts()[1] == []
    right = objectives.improvement_rate
    monkeypatch.setattr(objectives, "improvement_rate", lambda *a, **k: -right(*a, **k))
    assert len(monotonicity.verdicts()[1]) == 4


def test_seeds_are_pooled(tmp_path):
    args = harness.command_line("monotonicity", "", ["--out", str(tmp_path), "--jobs", "1", "--seeds", "2"])
    blocks = monotonicity._blocks(args, 200_000)
    assert blocks == [(100_000, 0, 0), (100_000, 0, 1), (100_000, 1, 0), (100_000, 1, 1)]
    assert joblib.hash(blocks) != joblib.hash(blocks[:2])
