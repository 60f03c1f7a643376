"""Long work in seeded pieces: in parallel, with progress, and found again if it was interrupted."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
from rich.console import Console
from rich.progress import track
from threadpoolctl import threadpool_limits

console = Console()


def code_fingerprint(*folders: Path) -> str:
    """Hash of every source file of the library, of further folders, and of the numerical libraries: results of other
    code are not taken for ours."""
    digest = hashlib.sha256("".join(version(p) for p in ("numpy", "scipy", "python-flint")).encode())
    for folder in (Path(__file__).parent, *folders):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def run(
    function: Callable[..., Any], tasks: Sequence[tuple], *, jobs: int = -1, cache: Path | None = None, label: str = ""
) -> list[Any]:
    """`function(*task)` for every task; any backend of joblib, so also a cluster, may do the work.

    Args:
        function: of a module, deterministic; what it returns must not depend on where it runs.
        tasks: its arguments, each of which can be pickled.
        jobs: processes; -1 means all cores. Changes no number.
        cache: folder in which finished tasks are kept and found again, for the same code.
        label: what the progress bar says.
    """
    if cache is not None:
        folder = Path(inspect.getfile(function)).parent
        function = joblib.Memory(cache / code_fingerprint(folder), verbose=0).cache(function)
    work = (joblib.delayed(function)(*task) for task in tasks)
    with threadpool_limits(1):  # as in the worker processes: BLAS adds in another order with more threads
        results = joblib.Parallel(n_jobs=jobs, return_as="generator")(work)
        return list(track(results, description=label, total=len(tasks), console=console, transient=True))
