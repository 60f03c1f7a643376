"""Which mutants do the tests kill? Each mutant in a fork of one process that has the heavy libraries loaded already.

Every worker has its own copy of the project, so tests that read the source or start another Python see the mutant too.
Tests run in stages, first those that lately killed a mutant of the same function, and stop at the first failure.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

HEAVY = ("numpy", "scipy.optimize", "sympy", "flint", "hypothesis", "pandas", "joblib", "rich.progress", "torch")
HEAVY += ("gymnasium", "quantecon", "mdptoolbox.mdp", "matplotlib.pyplot")
MEMORY = 8 * 2**30
GRACE = 10
"""Seconds of processor time that a mutant gets beyond three times what the tests take."""
SLOW = 0.15
"""Seconds: within a stage, tests that take longer come last."""
KILLED, SURVIVED, TIMEOUT, CRASHED = "killed", "survived", "timeout", "crashed"


class Job(NamedTuple):
    """A mutated file, and the group (a function) whose mutants tend to fall to the same tests."""

    code: str
    group: str


class Outcome(NamedTuple):
    """What became of a mutant, and the test that killed it."""

    verdict: str
    test: str = ""


@dataclass(eq=False)  # pytest keeps plugins in sets
class Watch:
    """A pytest plugin: leaves out what is too slow, puts slow tests last, notes durations and the first failure."""

    durations: dict[str, float]
    without: Sequence[str] = ()
    failed: str = ""
    took: dict[str, float] = field(default_factory=dict)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if not item.nodeid.startswith(tuple(self.without))]
        items.sort(key=lambda item: self.durations.get(item.nodeid, 0) > SLOW)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.took[report.nodeid] = self.took.get(report.nodeid, 0) + report.duration
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid


def preload() -> None:
    """Import what takes long, once; nothing of the project."""
    for name in HEAVY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # else pytest, which collects garbage at its end, walks through all of them in every fork


def copied(root: Path, to: Path) -> Path:
    """A copy of the project, without hidden files."""
    return Path(shutil.copytree(root, to, ignore=shutil.ignore_patterns(".*")))


def _run_tests(copy: Path, stages: Iterable[Sequence[str]], watch: Watch, report: Path, seconds: int) -> None:
    """In the child: the stages until one fails; the report is written when they end."""
    sys.dont_write_bytecode = bool(seconds)  # of two mutants with one size and one time, one would run as the other
    os.setsid()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    if seconds:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    os.chdir(copy)
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(copy)}
    sys.path[:] = [str(copy), *sys.path[1:]]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    code = 0
    for stage in stages:
        options = ["-x", "-q", "--tb=no", "--no-header", "--no-summary", "-p", "no:cacheprovider", "-p", "no:xdist"]
        code = int(pytest.main([*stage, *options, f"--basetemp={copy / '.tmp'}"], plugins=[watch]))
        if code:
            break
    report.write_text(json.dumps({"code": code, "test": watch.failed, "took": watch.took}))


def _fork(copy: Path, stages: Iterable[Sequence[str]], watch: Watch, report: Path, seconds: int = 0) -> int:
    report.unlink(missing_ok=True)
    if pid := os.fork():
        return pid
    try:
        if seconds:
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
        _run_tests(copy, stages, watch, report, seconds)
    finally:
        os._exit(0)


def baseline(copy: Path, stages: Sequence[Sequence[str]], without: Sequence[str]) -> tuple[dict[str, float], float]:
    """How long each test takes, and all together, on the code as it is; bytecode of everything is kept."""
    report = copy / "report.json"
    _, _, used = os.wait4(_fork(copy, stages, Watch({}, without), report), 0)
    found = json.loads(report.read_text())
    if found["code"]:
        raise RuntimeError(f"the tests fail without any mutant: {found['test']}")
    return found["took"], used.ru_utime + used.ru_stime


def run(
    root: Path,
    file: str,
    jobs: Sequence[Job],
    stages: Sequence[Sequence[str]],
    *,
    without: Sequence[str] = (),
    workers: int = 2,
    store: Path | None = None,
    salt: str = "",
    progress: Callable[[int, Job, Outcome], Any] = lambda index, job, outcome: None,
) -> list[Outcome]:
    """The outcome of every job, in order.

    Args:
        root: the project.
        file: the file that the jobs replace, relative to the root.
        jobs: the mutants.
        stages: lists of test files, one run of pytest each; a mutant that survives one meets the next.
        without: tests left out, by the beginnings of their node ids.
        workers: processes.
        store: a file in which outcomes are kept and found again, one line each.
        salt: outcomes that were stored with another text are not taken.
        progress: called after each mutant.
    """
    keys = [hashlib.sha256(f"{salt}\0{file}\0{job.code}".encode()).hexdigest()[:24] for job in jobs]
    known = {}
    if store is not None and store.exists():
        known = {key: Outcome(*rest) for key, *rest in map(json.loads, store.read_text().splitlines())}
    waiting = [i for i, key in enumerate(keys) if key not in known][::-1]
    if not waiting:
        return [known[key] for key in keys]
    preload()
    killers: dict[str, list[str]] = {}
    running: dict[int, tuple[int, Path, float]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        if store is not None:
            store.parent.mkdir(parents=True, exist_ok=True)
            log = stack.enter_context(store.open("a"))
        first = copied(root, Path(folder) / "0")
        durations, whole = baseline(first, stages, without)
        for cached in (first / file).parent.glob(f"__pycache__/{Path(file).stem}.*"):
            cached.unlink()
        free = [first, *(copied(first, Path(folder) / str(i)) for i in range(1, workers))]
        limit = int(3 * whole) + GRACE  # of processor time, so that a busy machine makes no difference
        while waiting or running:
            while waiting and free:
                i, copy = waiting.pop(), free.pop()
                (copy / file).write_text(jobs[i].code)
                likely = killers.get(jobs[i].group, [])[:3]
                watch = Watch(durations, without)
                pid = _fork(copy, [likely, *stages] if likely else stages, watch, copy / "report.json", limit)
                running[pid] = i, copy, time.monotonic() + 20 * limit
            pid, outcome = _wait(running)
            i, copy, _ = running.pop(pid)
            free.append(copy)
            known[keys[i]] = outcome
            ranked = killers.setdefault(jobs[i].group, [])
            if "::" in (test := outcome.test.partition("[")[0]):
                ranked[:] = [test, *(other for other in ranked if other != test)]
            if store is not None:
                print(json.dumps([keys[i], *outcome]), file=log, flush=True)
            progress(len(waiting) + len(running), jobs[i], outcome)
    return [known[key] for key in keys]


def _wait(running: dict[int, tuple[int, Path, float]]) -> tuple[int, Outcome]:
    """The next process to end, or to be ended because its time is up."""
    while True:
        for pid, (_, copy, deadline) in running.items():
            late = time.monotonic() > deadline
            if late:
                os.killpg(pid, signal.SIGKILL)
            done, status = os.waitpid(pid, 0 if late else os.WNOHANG)
            if not done:
                continue
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # what the tests of the mutant may have left behind
            report = copy / "report.json"
            if late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
                return pid, Outcome(TIMEOUT)
            if not report.exists():
                return pid, Outcome(CRASHED)
            found = json.loads(report.read_text())
            verdict = KILLED if found["test"] else CRASHED if found["code"] else SURVIVED
            return pid, Outcome(verdict, found["test"])
        time.sleep(0.005)
