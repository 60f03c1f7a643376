"""`experiments/gpu.sh` without a card: what is done is packed, taken up elsewhere, and not done again."""

import os
import subprocess
import sys
import tarfile

from experiments import harness


def called(out, packed, *more, **environment):
    """One call with a minute's limit; its exit status and what it says."""
    given = {
        "DEVICE": "cpu",
        "QUICK": "--quick",
        "SCALE": "0",
        "PACKED": str(packed),
        "PYTHON": "python",
        **environment,
    }
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    command = ["bash", "experiments/gpu.sh", str(out), *more]
    done = subprocess.run(command, cwd=harness.ROOT, env={**os.environ, "PATH": path, **given}, capture_output=True)
    return done.returncode, (done.stdout + done.stderr).decode()


def test_the_first_step_is_done_packed_and_not_done_again(tmp_path):
    status, said = called(tmp_path / "out", tmp_path / "packed", "3")
    assert status == 0, said
    assert "== device: at most" in said
    assert "== grid" not in said  # there is no model
    assert [path.name for path in (tmp_path / "packed").iterdir()] == ["results.tgz.aa"]
    with tarfile.open(tmp_path / "packed" / "results.tgz.aa") as packed:
        packed.extractall(tmp_path / "home", filter="data")
    assert (tmp_path / "home" / "device.csv").read_text() == (tmp_path / "out" / "device.csv").read_text()
    assert (tmp_path / "home" / "device.log").stat().st_size > 100
    status, said = called(tmp_path / "home", tmp_path / "again", "3")
    assert (status, "== device" in said) == (0, False), said


def test_a_failed_step_is_told_and_no_time_is_no_work(tmp_path):
    status, said = called(tmp_path / "out", tmp_path / "packed", "1", DEVICE="nonsense")
    assert status == 1
    assert "== device" in said
    assert "status 0" not in said
    status, said = called(tmp_path / "other", tmp_path / "packed", "0")
    assert (status, "==" in said) == (0, False), said


def test_what_is_asked_for_wrongly_is_said_before_anything_is_done(tmp_path):
    out = tmp_path / "with a space"
    for more, words in (
        ([], "OUT MINUTES [MODEL]: MINUTES is a whole number"),
        (["ten"], "OUT MINUTES [MODEL]: MINUTES is a whole number"),
        (["5", str(tmp_path / "no model.gguf")], "no model.gguf does not exist"),
    ):
        status, said = called(out, out / "packed", *more)
        assert status == 2, said
        assert words in said
        assert not out.exists()
