"""An experiment as a user runs it."""

import subprocess
import sys
from pathlib import Path

from experiments import harness


def quick_run(experiment: str, out: Path) -> str:
    """`python -m experiments.<experiment> --quick` into a folder, in one process; what it prints."""
    command = [sys.executable, "-m", f"experiments.{experiment}", "--quick", "--out", str(out), "--jobs", "1"]
    done = subprocess.run(command, cwd=harness.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
