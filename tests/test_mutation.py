"""The tool that plants small errors: it finds what the tests notice, forgets nothing, and its report is complete."""

import json

import pytest

from tests.mutation import report, runner
from tests.mutation.plan import PLANS

SOURCE = "def double(x):\n    return x * 2\n"
KILLED, SAME, BROKEN = (SOURCE.replace("x * 2", wrong) for wrong in ("x * 3", "2 * x", "x ("))
ENDLESS = SOURCE.replace("return", "while x: pass\n    return")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of one function and one test, and nothing heavy to load."""
    monkeypatch.setattr(runner, "HEAVY", ())
    root = tmp_path / "project"
    root.mkdir()
    (root / "doubling.py").write_text(SOURCE)
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\npythonpath = ['.']\n")
    (root / "test_doubling.py").write_text("from doubling import double\ndef test_two():\n    assert double(2) == 4\n")
    return root


def verdicts(root, *codes, **options):
    jobs = [runner.Job(code, "double") for code in codes]
    return runner.run(root, "doubling.py", jobs, [["test_doubling.py"]], **options)


def test_a_wrong_mutant_is_killed_and_an_equivalent_one_survives(project, monkeypatch):
    monkeypatch.setattr(runner, "GRACE", 1)
    found = verdicts(project, KILLED, SAME, ENDLESS, BROKEN)
    assert [outcome.verdict for outcome in found] == ["killed", "survived", "timeout", "killed"]
    assert found[0].test == "test_doubling.py::test_two"
    assert (project / "doubling.py").read_text() == SOURCE


def test_an_interrupted_run_goes_on_where_it_was(project, tmp_path):
    store, seen = tmp_path / "kept" / "outcomes.jsonl", []

    def interrupted(left, job, outcome):
        seen.append(job.code)
        if len(seen) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verdicts(project, KILLED, SAME, store=store, workers=1, progress=interrupted)
    assert len(store.read_text().splitlines()) == 1
    found = verdicts(project, KILLED, SAME, store=store, workers=1, progress=interrupted)
    assert seen == [KILLED, SAME]  # each once
    assert [outcome.verdict for outcome in found] == ["killed", "survived"]
    verdicts(project, KILLED, store=store, salt="other tests", progress=interrupted)
    assert seen == [KILLED, SAME, KILLED]  # outcomes of other tests do not count


def test_without_a_mutant_the_tests_must_pass(project):
    (project / "doubling.py").write_text(KILLED)
    with pytest.raises(RuntimeError, match=r"fail without any mutant: test_doubling.py::test_two"):
        verdicts(project, SAME)


def test_small_changes_of_all_that_runs_and_of_nothing_else():
    mutants = pytest.importorskip("tests.mutation.mutants", reason="needs the extra `mutation`")
    source = '"""Docs."""\nfrom a import b\n\nF = [lambda u: u + 1]\n\n\ndef f(x: int = 2) -> int:\n    """One."""\n'
    source += '    demand(x > 0, "why")\n    if not x:\n        raise ValueError("no")\n    return b(x, F)\n'
    found = mutants.mutants("m", source)
    changes = {(x.line, x.function, x.after) for x in found}
    for line, function, after in [
        (4, "module", "F = [lambda u: u - 1]"),
        (4, "module", "F = [lambda u: u + 2]"),
        (7, "f", "def f(x: int = 3) -> int:"),
        (9, "f", 'demand(x >= 0, "why")'),
        (9, "f", "pass"),
        (10, "f", "if x:"),
        (11, "f", "pass"),
        (12, "f", "return None"),
        (12, "f", "return b(F, x)"),
    ]:
        assert (line, function, after) in changes
    assert {x.line for x in found} == {4, 7, 9, 10, 11, 12}
    assert not [x for x in found if "XX" in x.after]
    for x in found:
        compile(x.code, "m", "exec")
        assert x.code != source


def test_a_survivor_without_a_reason_and_a_low_score_are_complaints():
    rows = [dict(zip(report.COLUMNS, ("m", str(i), "f", "a", f"b{i}", "killed", "t"), strict=True)) for i in range(10)]
    rows[0]["verdict"] = "survived"
    known = {report.key(rows[0]): ("same", "why")}
    assert report.complaints(rows, known) == []
    assert report.complaints(rows, {}) == ["no reason: m.py:0: b0"]
    rows[1]["verdict"] = "survived"
    known[report.key(rows[1])] = "unseen", "why"
    assert [line.partition(":")[0] for line in report.complaints(rows, known)] == ["m", "all"]
    rows[1]["verdict"] = "killed"
    assert "no survivor" in report.complaints(rows, known)[0]


def test_the_stored_campaign_is_complete():
    assert report.complaints(report.load(), report.reasons()) == []
    assert {row["module"] for row in report.load()} == set(PLANS)
    assert json.dumps(report.load()) == json.dumps(sorted(report.load(), key=lambda r: (r["module"], int(r["line"]))))
