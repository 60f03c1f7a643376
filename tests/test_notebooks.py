"""The notebooks run from top to bottom; the exercises' checks accept the solutions and nothing else."""

import importlib.util
import re
from pathlib import Path

import pytest
from myst_nb.core.read import read_myst_markdown_notebook
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "notebooks"
EXERCISES = 6


def run(name, monkeypatch):
    """What the notebook prints, and how many pictures it draws."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = read_myst_markdown_notebook((FOLDER / f"{name}.md").read_text(encoding="utf-8"))
    NotebookClient(notebook, timeout=200, kernel_name="python3", resources={"metadata": {"path": FOLDER}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    return "".join(output.get("text", "") for output in outputs), sum("image/png" in o.get("data", {}) for o in outputs)


@pytest.fixture(scope="module")
def checks():
    spec = importlib.util.spec_from_file_location("checks", FOLDER / "checks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_class_waits_for_answers_and_shows_what_it_says(monkeypatch):
    said, pictures = run("class", monkeypatch)
    assert [int(n) for n in re.findall(r"Exercise (\d): waiting", said)] == list(range(1, EXERCISES + 1))
    assert pictures == 2
    for words in ("earns 67/100", "small step of forward KL: -59/200", "with these weights: 47/100 = the gap, 47/100"):
        assert words in said
    assert re.search(r"aliased_fork +local -\S+ +full KL \+\S+", said)
    assert re.search(r"spurious_disagreement +local \+\S+ +full KL -\S+", said)
    assert "small step: -1/90" in said


def test_all_solutions_are_right(monkeypatch):
    said, _ = run("class_solutions", monkeypatch)
    assert [int(n) for n in re.findall(r"Exercise (\d): right", said)] == list(range(1, EXERCISES + 1))


def test_every_exercise_has_a_solution_and_a_check():
    called = {
        name: re.findall(r"^checks\.\w+", (FOLDER / f"{name}.md").read_text(), re.MULTILINE)
        for name in ("class", "class_solutions")
    }
    assert called["class"] == called["class_solutions"]
    assert len(called["class"]) == EXERCISES


def test_the_review_says_what_the_code_finds(monkeypatch):
    said, _ = run("review", monkeypatch)
    assert re.search(r"problems tried, the smallest margin is -\d", said)
    assert re.search(r"risky_fork +expert better by 47/100 +rate -59/200", said)
    assert "my_review: gap +, rate -" in said
    assert "47/100 = 47/100" in said
    assert re.search(r"proved: 4 steps, [\d,]+ instances", said)
    assert "('falls', 'rises')" in said
    assert "'spurious_disagreement'" in said.split("only when looking ahead")[1]
    assert said.count("True") == 5


WRONG = [
    ("covariance", lambda pi, star, r, h: (pi * r * h).sum()),
    ("covariance", lambda pi, star, r, h: (star * r).sum() - (pi * r).sum()),
    ("misleading", ["1", "1", "1"]),
    ("misleading", ["2", "1", "2"]),
    ("misleading", ["1", "0", "1"]),
    ("safe_gap", 0.2),
    ("safe_step", 1),
    ("prefix_weights", lambda student, expert: {"safe": student[0], "risky": student[1]}),
    ("prefix_weights", lambda student, expert: {"safe": expert[1] / student[1], "risky": expert[0] / student[0]}),
    ("posterior", lambda pi, q: q / q.sum()),
    ("posterior", lambda pi, q: pi * q),
]


@pytest.mark.parametrize(("check", "answer"), WRONG)
def test_a_wrong_answer_is_not_accepted(checks, check, answer):
    more = {"reward": ["1", "0", "1"]} if check == "misleading" else {}
    with pytest.raises(AssertionError):
        getattr(checks, check)(answer, **more)
