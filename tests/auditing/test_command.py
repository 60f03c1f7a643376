"""`python -m distil_theory audit`: exit status, one clear sentence for bad input, JSON, a picture."""

import json
import subprocess
import sys

import pytest

from distil_theory.__main__ import main
from distil_theory.auditing.command import setting

HERE = "tests.auditing.faulty"


def test_exit_status_and_files(tmp_path, capsys):
    files = ["--json", str(tmp_path / "a.json"), "--figure", str(tmp_path / "a.png")]
    assert main(["audit", f"{HERE}:reverse", "--expect", "reverse_kl", *files]) == 0
    assert "gradient descends  reverse_kl" in capsys.readouterr().out
    report = json.loads((tmp_path / "a.json").read_text())
    assert (report["divergence"], report["faults"], report["ok"]) == ("reverse_kl", [], True)
    assert (tmp_path / "a.png").stat().st_size > 10_000
    assert main(["audit", f"{HERE}:reverse", "--expect", "forward_kl"]) == 1
    assert main(["audit", f"{HERE}:special_ends", "--set", "beta=1"]) == 1
    assert "reverse_kl" in capsys.readouterr().out


BAD = [
    ("faulty", "package.module:function"),
    ("no.such.module:f", "cannot import no.such.module"),
    (f"{HERE}:missing", "has no missing"),
    (f"{HERE}:CASES", "must be a function"),
]


@pytest.mark.parametrize(("path", "words"), BAD)
def test_bad_input_is_one_sentence_and_status_2(path, words, capsys):
    assert main(["audit", path]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_module_that_fails_is_no_faulty_loss(tmp_path, monkeypatch, capsys):
    (tmp_path / "fails_on_import.py").write_text("undefined")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["audit", "fails_on_import:loss"]) == 2
    assert "cannot import fails_on_import: NameError" in capsys.readouterr().err


def test_settings_are_python_literals_or_words():
    assert setting("beta=0.5") == ("beta", 0.5)
    assert setting("how=mean") == ("how", "mean")
    assert main(["audit", f"{HERE}:forward", "--set", "beta"]) == 2


def test_the_auditor_runs_without_torch(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def loss(student, teacher):\n"
        "    q, p = (x - np.log(np.exp(x).sum(-1, keepdims=True)) for x in (student, teacher))\n"
        "    return (np.exp(p) * (p - q)).sum(-1)\n"
    )
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from distil_theory import audit; import mine\n"
        "found = audit(mine.loss); print(found.divergence, sorted(found.faults))"
    )
    env = {"PYTHONPATH": f"{tmp_path}:.", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "forward_kl ['nan_at_zero', 'overflow']"
