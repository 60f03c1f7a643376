"""`python -m experiments.llm_tasks` as a user runs it, with a tiny model: tables, picture, what is missing."""

import json

import pandas as pd
import pytest

from distil_theory.llm import models, tasks
from experiments import llm_tasks
from tests.quick import assert_empty_tables_noticed, quick_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("llm_tasks")
    return (
        out,
        quick_run("llm_tasks", out),
        {n: pd.read_csv(out / f"llm_tasks_{n}.csv") for n in ("success", "examples")},
    )


def test_every_file_of_the_manifest_is_there(finished):
    out, printed, tables = finished
    manifest = json.loads((out / "llm_tasks.json").read_text())
    assert {"llm_tasks_success.csv", "llm_tasks_examples.csv", "llm_tasks.png", "llm_tasks.pdf"} == set(
        manifest["files"]
    )
    for name in manifest["files"]:
        assert (out / name).stat().st_size > 500, name
    assert manifest["settings"]["model"] == "tiny, random"
    assert "the teacher that reads" in printed
    assert llm_tasks.violated(tables) == []
    assert_empty_tables_noticed(llm_tasks.violated, tables)


def test_every_kind_of_feedback_is_measured(finished):
    table = finished[2]["success"]
    assert sorted(table["task"].unique()) == ["dimensions", "product", "stack_trace"]
    assert (table.groupby("task")["kind"].unique().map(list) == [list(tasks.KINDS)] * 3).all()
    length = table[table["metric"] == "length"]
    assert length["value"].between(1, length["task"].map(lambda name: tasks.get(name).max_tokens)).all()


def test_teachers_are_compared_on_the_same_questions(tmp_path, monkeypatch):
    """A student who knows one of two answers; a teacher who knows the other, too, once it is told of the attempt."""
    asked = []

    def play(model, tokenizer, task, rows, samples, *, seed, prompts):
        asked.append(prompts)
        told = sum(" is wrong, " in prompt.split("\n")[-1] for prompt in prompts)
        right = [1.0, 1.0, *[float(told == 2)] * 2]
        lines = {"item": ["a", "a", "b", "b"], "sample": [0, 1] * 2, "completion": [" 7\n"] * 4, "vote": ["7"] * 4}
        return pd.DataFrame(lines | {"right": right, "length": [1, 2, 3, 4], "entropy": 0.5, "ended": True})

    monkeypatch.setattr(llm_tasks.evaluate, "evaluate", play)
    folder = str(models.tiny(tmp_path / "tiny", width=16))
    table, _ = llm_tasks.measured("product", 2, 2, 2, 0, folder, "float32", "cpu")
    found = table.set_index(["kind", "metric"]).sort_index()
    for kind in tasks.KINDS:
        gain = found.loc[(kind, "gain")]
        better = 0.5 * (kind == "critique")
        assert gain[["value", "standard_error"]].to_numpy().ravel().tolist() == [better, better]
        assert found.loc[(kind, "avg"), "value"].item() == 0.5 + better
        assert found.loc[(kind, "length_sd"), "value"].item() == pytest.approx((5 / 3) ** 0.5)
    rows = tasks.get("product", shots=2, noise=llm_tasks.NOISE).rows("held_out", 2)
    assert asked[0] == [row["prompt"] for row in rows]
    assert all(" 7 is wrong" in prompt for prompt in asked[1])


def test_the_prompts_shown_are_those_of_the_task(finished):
    examples = finished[2]["examples"].set_index(["task", "kind"])
    task = tasks.get("product", shots=2)
    row = task.rows("held_out", 2, 0)[0]
    assert examples.loc[("product", "none"), "prompt"] == row["prompt"]
    assert examples.loc[("product", "answer"), "prompt"] == task.teacher_prompt(row, "", "answer")
    assert str(examples.loc[("product", "answer"), "answer"]) == row["answer"]
