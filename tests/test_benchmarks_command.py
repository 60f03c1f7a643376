"""The benchmark as a command: startup times, files, and what it says when it cannot go on."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import __main__ as program
from benchmarks import compiled, report, startup
from benchmarks.settings import QUICK
from benchmarks.timing import DisagreementError

ROOT = Path(__file__).resolve().parents[1]
TINY = replace(QUICK, mdps=7, looped=3, mdp_shape=(4, 5, 3), mdp_rounds=2, bandits=500, bandit_rounds=2)


def test_import_time_is_added_up_by_package():
    text = "import time: self [us] | cumulative | imported package\n"
    text += "import time:       300 |        300 |   numpy.linalg\nimport time:       500 |        800 | numpy\n"
    text += "import time:        20 |         20 | sympy\n"
    assert startup.own_seconds(text) == pytest.approx({"numpy": 800e-6, "sympy": 20e-6})
    assert list(startup.own_seconds(text)) == ["numpy", "sympy"]


def test_an_import_is_waited_for_without_polling_and_must_succeed(monkeypatch, capfd):
    waits, wait = [], subprocess.Popen.wait
    monkeypatch.setattr(
        subprocess.Popen, "wait", lambda self, timeout=None: waits.append(timeout) or wait(self, timeout)
    )
    startup._import("pass")
    assert set(waits) == {None}  # with a timeout, `wait` sleeps between looks: times would be multiples of its naps
    with pytest.raises(RuntimeError, match="python -c 'import nothing_of_the_kind': status 1"):
        startup._import("import nothing_of_the_kind")
    monkeypatch.setattr(startup, "TIMEOUT", 0.05)
    with pytest.raises(RuntimeError, match="status -"):
        startup._import("import time; time.sleep(60)")
    assert "nothing_of_the_kind" in capfd.readouterr().err


def test_a_failing_experiment_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(startup, "EXPERIMENT", ["experiments.monotonicity", "--seeds", "0"])
    with pytest.raises(RuntimeError, match=r"experiments.monotonicity: status 2.*at least 1"):
        startup._experiment()


@pytest.mark.parametrize(
    ("value", "text"), [(2.0, "2 s"), (0.0123, "12.3 ms"), (1e-6, "1 us"), (4.56e-8, "45.6 ns"), (1e-10, "0.1 ns")]
)
def test_seconds_for_people(value, text):
    assert report.seconds(value) == text


def test_the_whole_program_writes_every_file(tmp_path):
    out = tmp_path / "new" / "folder"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "mdps", "bandits", "single", "scaling"]
    done = subprocess.run(
        [*command, "--out", str(out)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in out.iterdir() if path.is_file()} == {
        "results.csv", "results.md", "results.png", "results.pdf", "machine.json",
    }  # fmt: skip
    table = pd.read_csv(out / "results.csv")
    assert ",".join(table.columns) == "benchmark,workload,contender,metric,value,unit,lower,upper,n,rounds"
    assert set(table["benchmark"]) == {"floor", "mdps", "bandits", "single", "scaling"}
    assert not table["value"].isna().any()
    assert (table["lower"].fillna(-math.inf) <= table["value"]).all()
    assert (table["upper"].fillna(math.inf) >= table["value"]).all()
    machine = json.loads((out / "machine.json").read_text())
    assert machine["threads"] == {f"{x}_NUM_THREADS": "1" for x in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    assert {"numpy", "scipy", "quantecon", "numba", "pymdptoolbox"} <= set(machine["packages"])
    assert machine["command"].startswith("python -m benchmarks --quick --only mdps")
    page = (out / "results.md").read_text()
    for shown in ("quantecon, loop", "random numbers alone", "exponent", "GB/s", "counts agree but for 0"):
        assert shown in page
        assert shown in done.stdout


@pytest.mark.parametrize(("module", "package"), [("quantecon", "quantecon"), ("mdptoolbox", "pymdptoolbox")])
def test_a_missing_library_is_named_before_any_work(monkeypatch, capsys, tmp_path, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(program, "measure", lambda *_: pytest.fail("work was done"))
    with pytest.raises(SystemExit) as stop:
        program.main(["--quick", "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"benchmarks compares with {package}: pip install {package}\n"
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as stop:
        program.main(["--quick", "--out", str(tmp_path / "file" / "out")])
    assert stop.value.code == 2
    assert "argument --out:" in capsys.readouterr().err


def test_a_disagreement_ends_with_status_one_and_leaves_old_results(monkeypatch, tmp_path):
    def disagree(*_):
        raise DisagreementError("v: peer differs")

    (tmp_path / "results.csv").write_text("old")
    monkeypatch.setattr(program, "measure", disagree)
    with pytest.raises(SystemExit, match="nothing is reported: v: peer differs"):
        program.main(["--quick", "--out", str(tmp_path)])
    assert (tmp_path / "results.csv").read_text() == "old"


def test_compile_without_a_compiler_is_one_line_and_goes_on(monkeypatch, capsys, tmp_path):
    asked = []
    monkeypatch.setattr(compiled.shutil, "which", lambda _: None)
    monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda _: True)
    monkeypatch.setattr(program, "measure", lambda settings, only, too: asked.append(too) or sys.exit(0))
    with pytest.raises(SystemExit):
        program.main(["--quick", "--compile", "--out", str(tmp_path)])
    assert asked == [False]
    assert "torch.compile is left out: there is no C++ compiler" in " ".join(capsys.readouterr().out.split())


def test_one_thread_is_set_before_numpy_comes():
    code = "import sys, os, benchmarks; assert 'numpy' not in sys.modules; print(os.environ['OPENBLAS_NUM_THREADS'])"
    env = os.environ | {"OPENBLAS_NUM_THREADS": "2", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr
