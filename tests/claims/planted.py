"""A process that has the heavy libraries loaded and runs a check of the ledger in a fork, on any copy of the library.

A copy whose source was changed must be imported afresh, numpy and sympy need not be: this process never imports
`distil_theory`, its forks do, each from the folder that it is asked about. One request a line, as JSON: folder, slug,
check. The answer is a line as well; what the fork prints goes to a file of the folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import json
import os
import resource
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

HEAVY = ("numpy", "scipy.optimize", "scipy.special", "scipy.sparse", "sympy", "flint", "joblib", "rich.progress")
HEAVY += ("rich.table", "threadpoolctl", "gymnasium", "hypothesis", "sympy.tensor.tensor")
MARGIN = "margin"
INSTANCES = 2000
SECONDS = 120
"""Of processor time, for one check."""


def check(folder: Path, slug: str, check: str) -> dict[str, Any]:
    """In the fork: the steps whose text begins with `check`, or the margin, of the library in the folder."""
    sys.path.insert(0, str(folder))
    claims = importlib.import_module("distil_theory.claims")
    assert Path(claims.__file__).is_relative_to(folder), f"{claims.__file__} is not in {folder}"
    found = importlib.import_module("distil_theory.falsify").Found(1, (1.0,), ((),))
    claim = next(claim for claim in claims.CLAIMS if claim.slug == slug)
    steps = tuple(step for step in claim.steps if step.says.replace("`", "").startswith(check))
    assert steps or check == MARGIN, f"{slug} has no step {check!r}"
    fine = dataclasses.replace(claim, attack=lambda *_: found, steps=steps)
    verdict = claims.verify(fine if steps else dataclasses.replace(claim, steps=()), INSTANCES)
    return {"verdict": verdict.verdict, "margin": verdict.worst_margin}


def answer(folder: Path, *asked: str) -> dict[str, Any]:
    """In the parent: what the fork found, or what went wrong with it."""
    report, log = folder / "found.json", folder / "log.txt"
    report.unlink(missing_ok=True)
    pid = os.fork()
    if not pid:
        code = 1
        try:
            with log.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            os.chdir(folder)
            report.write_text(json.dumps(check(folder, *asked)))
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if status:
        return {"error": f"status {status}: {log.read_text()}"}
    return json.loads(report.read_text())


class Checks:
    """The process, from outside."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-P", __file__]  # -P: nothing of this folder is imported
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __call__(self, folder: Path, slug: str, check: str) -> dict[str, Any]:
        """`verdict` and `margin`; `AssertionError` with what the fork printed where there is none."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([str(folder), slug, check]), file=self.process.stdin, flush=True)
        found = json.loads(self.process.stdout.readline())
        assert "error" not in found, found["error"]
        return found

    def close(self) -> None:
        """No more requests."""
        self.process.kill()
        self.process.communicate()


def main() -> None:
    """Answer until the input ends."""
    for name in HEAVY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    assert not any(name.partition(".")[0] == "distil_theory" for name in sys.modules)
    gc.freeze()
    for line in sys.stdin:
        folder, *asked = json.loads(line)
        print(json.dumps(answer(Path(folder), *asked)), flush=True)


if __name__ == "__main__":
    main()
