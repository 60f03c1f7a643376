"""What a person waits for: importing the library, and the first picture of the experiment.

Each measurement is a fresh interpreter; compiled bytecode and the disk cache are warm, results of earlier runs are not
there. Imports are timed from outside and include the interpreter's own start ("python"). What dominates the import of
`distil_theory` is read from `python -X importtime`: the time of a package's own modules, without what they import.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.settings import Settings
from benchmarks.timing import Row, interleave, measured
from experiments.harness import ROOT

IMPORTS = {
    "python": "pass",
    "numpy": "import numpy",
    "scipy.stats": "import scipy.stats",
    "sympy": "import sympy",
    "distil_theory": "import distil_theory",
    "experiments.monotonicity": "import experiments.monotonicity",
}
EXPERIMENT = ["experiments.monotonicity", "--quick", "--jobs", "1"]
TIMEOUT = 300
"""Seconds after which a subprocess has failed."""
LARGEST = 6
"""How many packages are named when the import is taken apart."""


def _import(statement: str) -> None:
    """Run the statement in a fresh interpreter.

    Raises:
        RuntimeError: it fails, or takes longer than `TIMEOUT`.
    """
    with subprocess.Popen([sys.executable, "-c", statement], cwd=ROOT) as process:
        # not `wait(timeout)`: that looks for the end at intervals that grow to 50 ms, and times would be those instants
        guard = threading.Timer(TIMEOUT, process.kill)
        guard.start()
        try:
            status = process.wait()
        finally:
            guard.cancel()
    if status:
        raise RuntimeError(f"python -c '{statement}': status {status}")


def own_seconds(report: str) -> dict[str, float]:
    """Seconds spent in the modules of each top-level package, largest first, from the text of `-X importtime`."""
    total: Counter[str] = Counter()
    for line in report.splitlines():
        fields = line.removeprefix("import time:").split("|")
        if len(fields) == 3 and fields[0].strip().isdigit():
            total[fields[2].strip().partition(".")[0]] += int(fields[0])
    return {package: microseconds / 1e6 for package, microseconds in total.most_common()}


def _experiment() -> tuple[float, float]:
    """Seconds to the first picture on disk and to the end of a cold run.

    Raises:
        RuntimeError: the experiment fails, takes too long or draws nothing.
    """
    first = None
    with tempfile.TemporaryDirectory() as out, tempfile.TemporaryFile("w+") as errors:
        command = [sys.executable, "-m", *EXPERIMENT, "--out", out]
        start = time.perf_counter()
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors) as process:
            while process.poll() is None:
                elapsed = time.perf_counter() - start
                if first is None and any(Path(out).glob("*.png")):
                    first = elapsed
                if elapsed > TIMEOUT:
                    process.kill()
                time.sleep(0.005)
        end = time.perf_counter() - start
        errors.seek(0)
        if process.returncode or first is None:
            last = (errors.read().splitlines() or ["no message"])[-1]
            raise RuntimeError(f"python -m {EXPERIMENT[0]}: status {process.returncode}, first picture {first}: {last}")
    return first, end


def measure(settings: Settings) -> list[Row]:
    """Imports, what dominates them, and the experiment."""
    runs = {name: lambda s=statement: _import(s) for name, statement in IMPORTS.items()}
    interleave(runs, 1)  # bytecode and disk cache
    imports = interleave(runs, settings.import_rounds)
    rows = [measured("startup", "import", name, "time", samples) for name, samples in imports.items()]
    command = [sys.executable, "-X", "importtime", "-c", IMPORTS["distil_theory"]]
    report = subprocess.run(command, cwd=ROOT, check=True, timeout=TIMEOUT, capture_output=True, text=True).stderr
    for package, seconds in list(own_seconds(report).items())[:LARGEST]:
        rows.append(Row("startup", "own modules", package, "time", seconds, "s"))
    waits = np.array([_experiment() for _ in range(settings.figure_rounds)])
    for name, samples in zip(("first picture", "end"), waits.T, strict=True):
        rows.append(measured("startup", "experiment", name, "time", samples))
    return rows
