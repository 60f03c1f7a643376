"""`python -m experiments.llm_validation` as a user runs it, interrupts it, and doubts it; its statistics."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from distil_theory.llm import models
from experiments import harness
from experiments.llm_validation import __main__ as command
from experiments.llm_validation import education, plan, power, predictions, runs, settings, statistics, tables
from experiments.llm_validation.master import MasterAdamW
from experiments.llm_validation.statistics import Spread

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
TABLES = ("items", "curves", "runs", "metrics", "paired", "predictions", "power")


def command_line(out, *more):
    return ["--quick", "--out", str(out), *more]


def read(out, rung):
    return {name: pd.read_csv(out / f"llm_validation_rung{rung}_{name}.csv") for name in TABLES}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("llm_validation")
    with command.console.capture() as printed:
        command.main(command_line(out, "--rung", "1", "--set", "tasks=free"))
    return out, printed.get(), read(out, 1)


def test_every_run_is_there_and_every_file_of_the_manifest(finished):
    out, printed, found = finished
    own = settings.setting("rung1", quick=True).but(tasks=("free",))
    manifest = json.loads((out / "llm_validation_rung1.json").read_text())
    assert manifest["settings"]["unfinished"] == []
    for name in manifest["files"]:
        assert (out / name).stat().st_size > 100, name
    assert not list(out.rglob(f"{harness.UNFINISHED}*"))
    assert not list(out.rglob("checkpoint-*"))
    assert "violated" not in printed
    done = found["runs"].groupby(["algorithm", "task"])["seed"].nunique()
    assert len(done) == len(plan.ALGORITHMS) * len(own.tasks)
    assert (done == own.seeds).all()
    assert len(found["items"]) == len(found["runs"]) * own.items * len(runs.PHASES)
    assert set(found["curves"].groupby(["task", "algorithm", "seed"])["step"].max()) == {own.steps}
    told = {p.name for p in predictions.PREDICTIONS if p.about("free", own)}
    assert set(found["predictions"]["prediction"]) == told
    assert len(told) > 8


def test_algorithms_start_from_one_student_and_end_elsewhere(finished):
    items = finished[2]["items"]
    keys = ["task", "seed", "item"]
    before, after = (items[items["phase"] == phase] for phase in ("before", "after"))
    assert (before.groupby(keys)["entropy"].nunique() == 1).all()
    assert (after.groupby(keys)["entropy"].nunique() > 1).all()
    assert command.violated(finished[2]) == []
    worse = items.copy()
    worse.loc[before.index[0], "right"] += 1
    assert "did not start from one student" in command.violated({**finished[2], "items": worse})[0]
    outside = finished[2]["paired"].copy()
    outside.loc[outside["lower"].first_valid_index(), "value"] += 1e6
    assert "outside its interval" in command.violated({**finished[2], "paired": outside})[0]


def test_a_run_that_is_killed_or_out_of_time_goes_on_to_the_same_tables(finished, tmp_path):
    """One process is killed after its first checkpoint; the next ones stop after every step."""
    whole, _, found = finished
    name, own = (
        "llm_validation_rung1",
        ["--rung", "1", "--set", "tasks=free", "--set", "algorithms=local_ce,grpo", "--set", "save=1"],
    )
    shutil.copy(whole / f"{name}_power.csv", tmp_path)
    home = tmp_path / harness.CACHE / name
    running = start(command_line(tmp_path, *own))
    while not list(home.rglob("checkpoint-1/trainer_state.json")) and running.poll() is None:
        time.sleep(0.005)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    assert not (tmp_path / f"{name}_items.csv").exists()
    pieces, printed = 0, "are left"
    while "are left" in printed:
        with command.console.capture() as said:
            command.main(command_line(tmp_path, *own, "--minutes", "0.002"))
        printed, pieces = said.get(), pieces + 1
        assert pieces < 20
    assert pieces > 4
    assert_part(read(tmp_path, 1), found, ["local_ce", "grpo"])


def assert_part(mine, found, algorithms):
    """The same numbers as those of these algorithms in a larger grid."""
    for table in ("items", "curves"):
        part = found[table][found[table]["algorithm"].isin(algorithms)]
        order = ["algorithm", "seed", *(["phase", "item"] if table == "items" else ["step"])]
        both = (t.sort_values(order).reset_index(drop=True) for t in (mine[table], part))
        pd.testing.assert_frame_equal(*both, rtol=1e-9)


def workers(running):
    """Who works."""
    children = psutil.Process(running.pid).children()
    return [child for child in children if any("spawn_main" in word for word in child.cmdline())]


def one_is_at_work(home, running):
    """Returns when a worker has written its first checkpoint."""
    while not list(home.rglob("checkpoint-1/whole")) and running.poll() is None:
        time.sleep(0.005)


def test_workers_make_the_same_tables_though_one_is_killed(finished, tmp_path):
    whole, _, found = finished
    own = ["--rung", "1", "--set", "tasks=free", "--set", "algorithms=local_ce,grpo", "--set", "save=1"]
    shutil.copy(whole / "llm_validation_rung1_power.csv", tmp_path)
    home = tmp_path / harness.CACHE / "llm_validation_rung1"
    running = start(command_line(tmp_path, *own, "--workers", "2"))
    one_is_at_work(home, running)
    workers(running)[0].kill()
    said, errors = running.communicate(timeout=300)
    assert running.returncode == 1, errors
    assert "was ended by SIGKILL" in said
    done = re.findall(r"/4 (\S+):", said)
    assert 0 < len(done) == len(set(done)) < 5
    with command.console.capture():
        command.main(command_line(tmp_path, *own))
    assert_part(read(tmp_path, 1), found, ["local_ce", "grpo"])
    assert not list(tmp_path.rglob("checkpoint-*"))


def test_workers_save_and_stop_when_their_parent_is_killed(finished, tmp_path):
    shutil.copy(finished[0] / "llm_validation_rung1_power.csv", tmp_path)
    home = tmp_path / harness.CACHE / "llm_validation_rung1"
    long = ["--rung", "1", "--set", "tasks=free", "--set", "steps=5000", "--set", "save=1"]
    running = start(command_line(tmp_path, *long, "--workers", "2"))
    one_is_at_work(home, running)
    orphans = workers(running)
    running.kill()
    assert len(orphans) == 2
    _, alive = psutil.wait_procs(orphans, timeout=60)
    for worker in alive:
        worker.kill()
    assert not alive
    assert not list(home.rglob("run.json"))


def test_what_is_claimed_is_nobody_elses(tmp_path):
    with runs.claimed(tmp_path / "x", wait=False) as mine, runs.claimed(tmp_path / "x", wait=False) as again:
        assert (mine, again) == (True, False)
        with runs.claimed(tmp_path / "y", wait=False) as other:
            assert other
    with runs.claimed(tmp_path / "x", wait=True) as mine:
        assert mine


def start(argv, *launch):
    command = [sys.executable, *launch, "-m", "experiments.llm_validation", *argv]
    silent = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=harness.ROOT, env={**os.environ, "ACCELERATE_USE_CPU": "true"}, **silent)


def test_two_processes_share_the_completions(tmp_path):
    only = ["--rung", "1", "--set", "tasks=free", "--set", "algorithms=local_ce,ce_to_go", "--set", "seeds=1"]
    running = start(command_line(tmp_path, *only), "-m", "torch.distributed.run", "--nproc_per_node", "2")
    _, errors = running.communicate(timeout=300)
    assert running.returncode == 0, errors
    found = read(tmp_path, 1)
    assert found["runs"]["processes"].tolist() == [2, 2]
    assert set(found["curves"]["step"]) == {1, 2}


def test_the_second_rung_computes_in_half_precision(tmp_path):
    with command.console.capture() as printed:
        command.main(command_line(tmp_path, "--rung", "2", "--set", "algorithms=local_ce,ce_to_go"))
    found = read(tmp_path, 2)
    assert "violated" not in printed.get()
    assert set(found["runs"]["task"]) == set(settings.RUNG_2.tasks)
    manifest = json.loads((tmp_path / "llm_validation_rung2.json").read_text())
    assert manifest["settings"]["settings"]["dtype"] == "bfloat16"


def test_new_seeds_judge_what_the_first_ones_found(tmp_path):
    with command.console.capture() as printed:
        command.main(command_line(tmp_path, "--rung", "2", "--again", "--set", "algorithms=local_ce,reverse_kl"))
    found = read(tmp_path, "2_again")
    assert "violated" not in printed.get()
    assert set(found["runs"]["seed"]).isdisjoint(range(settings.RUNG_2.seeds))
    assert set(found["runs"]["task"]) == {"dimensions_steps"}
    judged = found["predictions"].set_index("prediction")
    asked = ["reverse KL ahead of local", "reverse KL is sharper"]
    assert list(judged.index) == [*asked, "reverse KL is ahead by sharpness", "reverse KL knows no more"]
    assert judged["detectable"].notna().all()
    after = found["items"].query("phase == 'after'").groupby("algorithm")["avg"].mean()
    assert judged["value"].iloc[0] == pytest.approx(after["reverse_kl"] - after["local_ce"])
    assert judged["expected"].iloc[0] == "higher"


def test_bad_options(tmp_path):
    with pytest.raises(SystemExit, match="--again: it belongs to --rung 2"):
        command.main(["--quick", "--out", str(tmp_path), "--again"])
    for name in ("none.gguf", "none"):
        with pytest.raises(SystemExit, match=f"--model: {tmp_path / name} does not exist"):
            command.main(["--quick", "--rung", "2", "--out", str(tmp_path), "--model", str(tmp_path / name)])
    for change, words in (("colour=red", "is no NAME=VALUE"), ("steps=many", "'many' is no value of steps")):
        with pytest.raises(SystemExit, match=words):
            command.main(["--quick", "--out", str(tmp_path), "--set", change])
    assert not list(tmp_path.rglob("*.csv"))


# --- statistics
# -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [Spread(0, 0, 0.2), Spread(0.1, 0, 0.2), Spread(0, 0.2, 0.2), Spread(0.05, 0.2, 0.2)])
def test_intervals_cover_and_the_detectable_effect_is_detected(noise):
    rng = np.random.default_rng(0)
    seeds, items, grids = 3, 32, 400
    effect = statistics.detectable(noise, seeds, items)
    covered = detected = 0
    for _ in range(grids):
        d = noise.seed * rng.normal(size=(seeds, 1)) + noise.item * rng.normal(size=items)
        d = d + noise.rest * rng.normal(size=(seeds, items))
        found = statistics.difference(d)
        covered += found.lower <= 0 <= found.upper
        detected += statistics.difference(d + effect).lower > 0
    assert covered / grids > 0.92
    assert 0.7 < detected / grids < 0.9


def test_the_three_intervals_by_hand():
    d = np.array([[1.0, 3.0], [2.0, 6.0]])
    seed, item, both = (statistics.difference(d, way) for way in statistics.WAYS)
    assert [x.value for x in (seed, item, both)] == [3, 3, 3]
    assert seed.error == pytest.approx(1)  # means of seeds 2 and 4
    assert item.error == pytest.approx(1.5)  # means of items 1.5 and 4.5
    assert both.error == pytest.approx((1 + 2.25 - 1 / 4) ** 0.5)  # residuals of 1/2: variance 1, over four cells
    assert seed.upper == pytest.approx(3 + 12.7062047, abs=1e-6)
    assert np.isnan(statistics.difference(d[:1]).lower)
    assert np.isfinite(statistics.difference(d[:1], "item").lower)
    for bad, words in ((d[0], "expected"), (d * np.nan, "is not finite")):
        with pytest.raises(ValueError, match=words):
            statistics.difference(bad)


def test_verdicts_need_an_interval_and_a_detectable_difference():
    p = predictions.PREDICTIONS[0]
    low = statistics.Difference(-0.3, 0.1, 5, -0.5, -0.1)
    assert p.expected == "lower"
    assert tables.verdict(p, low, 0.2) == "held"
    assert tables.verdict(p, low, 0.4) == "undecided"
    assert tables.verdict(p, low._replace(upper=0.1), 0.2) == "undecided"
    assert tables.verdict(p, low, float("nan")) == "undecided"
    assert tables.verdict(p, low._replace(value=0.3, lower=0.1, upper=0.5), 0.2) == "contradicted"


def test_metrics_of_an_item_by_hand():
    answers = pd.DataFrame({"item": ["x"] * 4, "vote": ["7", "7", "8", ""], "right": [1.0, 1, 0, 0],
                            "length": [1, 2, 3, 6], "entropy": 0.5, "ended": True, "log_prob": [-3.0, -1, -2, -9],
                            "completion": [" 3+4=7", "....=7", "8", ""]})  # fmt: skip
    (row,) = tables.by_item(answers).to_dict("records")
    assert row["worked"] == 0.25
    assert (row["avg"], row["maj"], row["best"], row["length"]) == (0.5, 1.0, 1.0, 3.0)
    assert row["pass_2"] == pytest.approx(1 - 1 / 6)
    assert (row["likeliest"], row["untapped"]) == (1.0, 0.5)
    (row,) = tables.by_item(answers.assign(log_prob=[-3.0, -2, -1, -9])).to_dict("records")
    assert (row["likeliest"], row["untapped"], row["per_token"]) == (0.0, -0.5, 0.0)
    (row,) = tables.by_item(answers.assign(log_prob=[-3.0, -1.9, -9, -3])).to_dict("records")
    assert (row["likeliest"], row["per_token"]) == (1.0, 0.0)  # the last: likely for its six tokens


# --- training
# -------------------------------------------------------------------------------------------------------------


def test_small_steps_are_not_rounded_away_and_survive_a_checkpoint():
    def fresh():
        p = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
        return p, MasterAdamW([p], lr=1e-4)

    def steps(p, adam, n):
        for _ in range(n):
            p.grad = torch.ones_like(p)
            adam.step()

    p, adam = fresh()
    steps(p, adam, 30)
    assert (p == 1).logical_not().all()  # 30 steps of 1e-4: one alone is less than half a bit
    again, other = fresh()
    steps(again, other, 10)
    third, resumed = fresh()
    resumed.load_state_dict(other.state_dict())
    assert torch.equal(third, again)
    steps(third, resumed, 20)
    assert torch.equal(third, p)
    assert torch.equal(resumed.masters[0], adam.masters[0])


def digits_of(prompt):
    return tuple(map(int, prompt.rpartition(" ")[2].rstrip("=").split("+")))


@pytest.mark.parametrize("name", education.TASKS)
def test_lessons_are_right_lines_of_training_problems(name):
    task, rng = education.TASKS[name], np.random.default_rng(0)
    pairs = education.lesson(task, "answer", 200, rng, 0.7)
    told = [(p, c) for p, c in pairs if p.startswith("We know that ")]
    assert 100 < len(told) < 180
    for prompt, line in told:
        assert task.vote(line) == prompt.partition(". ")[0].rpartition(" ")[2]
    wrong = [c for p, c in pairs if not p.startswith("We know that ") and task.vote(c) != str(sum(digits_of(p)))]
    assert 10 < len(wrong) < 60
    assert not any("+" in c for c in wrong)
    for prompt, line in pairs:
        digits = digits_of(prompt)
        assert task.split_of(digits) == "train"
        assert line.endswith("\n")
    lengths = {len(line) for _, line in pairs}
    assert lengths == {education.LENGTH + 1} if name == "padded" else len(lengths) > 3
    assert max(lengths) <= task.max_tokens


def test_a_student_is_the_same_whenever_it_is_educated(tmp_path):
    small = {**settings.setting("rung1", quick=True).education, "steps": 2}
    weights = []
    for place in ("a", "b"):
        folder = education.educated(tmp_path / place, "free", 0, "answer", **small)
        weights.append(models.load(folder)[0].state_dict())
    untaught = models.load(tmp_path / "a-untaught")[0].state_dict()
    assert all(torch.equal(x, y) for x, y in zip(weights[0].values(), weights[1].values(), strict=True))
    assert any(not torch.equal(x, y) for x, y in zip(weights[0].values(), untaught.values(), strict=True))


def test_runs_are_found_by_what_decides_them():
    run = plan.Run("grpo", "free", 0, settings.RUNG_1)
    same = plan.Run("grpo", "free", 0, settings.RUNG_1.but(seeds=9, save=1, by_task=True, tasks=("free",)))
    assert run.fingerprint == same.fingerprint
    assert run.fingerprint != plan.Run("grpo", "free", 0, settings.RUNG_1.but(steps=61)).fingerprint
    first = [r.seed for r in plan.ordered(settings.RUNG_2, range(3))]
    assert first == sorted(first)
    one_task = [(r.task, r.seed) for r in plan.ordered(settings.LARGE, range(3))][:21]
    assert one_task == [("dimensions_steps", seed) for seed in range(3) for _ in range(7)]
    assert {r.seed for r in power.pilot(settings.RUNG_1, 2)}.isdisjoint(range(100))
