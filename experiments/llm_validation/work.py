"""The runs of a grid, one after another, or side by side on one machine or one graphics card.

A model of this size leaves a card idle: to tell it what to do, thirty layers for every token, takes a core of the
processor longer than the card needs to do it. So several processes share the list of runs: each takes the next one that
is neither finished nor claimed (`runs.claimed`), and nobody looks back, so that a run at which somebody died is left
for the next call and cannot kill the others one by one. No number depends on who does what.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import PartialState
from transformers.utils import logging as transformers_logging

from distil_theory.parallel import console
from experiments import harness
from experiments.llm_validation import power, runs
from experiments.llm_validation.plan import Run, Setting


class Work(NamedTuple):
    """All that a process needs to know.

    `setting`: of the grid. `home`: of the runs. `device`, `model`, `until`: as `runs.perform`. `trial`, `train`: the
    pilot's runs, and whether they are trained or only judged. `grid`: the runs. `least`: the table of detectable
    effects, made of the pilot.
    """

    setting: Setting
    home: Path
    device: str
    model: Path | None
    until: float
    trial: Sequence[Run]
    train: bool
    grid: Sequence[Run]
    least: Path


def settle(device: str) -> None:
    """What every process does first."""
    transformers_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch|transformers|trl")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    PartialState(cpu=device == "cpu")  # one for all: processes of `accelerate launch` or `torchrun`


def left(todo: Sequence[Run], home: Path) -> list[Run]:
    """The runs that are not finished."""
    return [run for run in todo if not runs.finished(run, home)]


def pilot(work: Work) -> None:
    """What the table of detectable effects is made of."""
    if work.train:
        through(work, work.trial)
    elif PartialState().is_main_process:
        for run in work.trial:
            runs.begun(run, work.home, work.device, work.model, phases=runs.PHASES[:1], wait=False)


def stated(work: Work) -> bool:
    """Whether the table of detectable effects is there; it is made once the pilot is finished."""
    if work.least.exists():
        return True
    ready = not left(work.trial, work.home) if work.train else runs.judged_before(work.trial, work.home)
    if ready and PartialState().is_main_process:
        harness.save_table(power.table(work.home, work.setting, work.trial, work.train), work.least)
    return ready


def through(work: Work, todo: Sequence[Run]) -> None:
    """Do the runs that are neither finished nor claimed, until the time is over."""
    for place, run in enumerate(todo):
        if runs.over(work.until):
            return
        with runs.claimed(work.home / run.name, wait=False) as mine:
            if not runs.said_by_first(mine and not runs.finished(run, work.home)):
                continue
            began = time.monotonic()
            try:
                runs.perform(run, work.home, work.device, work.model, work.until)
            except runs.OutOfTimeError:
                return
        gc.collect()  # trainers and their models hold on to each other
        if work.device != "cpu":
            torch.cuda.empty_cache()
        if PartialState().is_main_process:
            console.print(f"{time.strftime('%H:%M:%S')} {place + 1}/{len(todo)} {run.name}: "
                          f"{time.monotonic() - began:.0f} s")  # fmt: skip


def labour(work: Work) -> list[str]:
    """Everything, as far as the time allows; nobody died."""
    settle(work.device)
    if not stated(work):
        pilot(work)
        stated(work)
    through(work, work.grid)
    return []


def side_by_side(work: Work, count: int) -> list[str]:
    """The same by so many processes; which of them died, and of what.

    Each starts afresh: CUDA does not survive a fork. One that is killed stops no other; if this process is killed, they
    save and stop after the step they are at.
    """
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=labour, args=(work,), name=f"worker {i + 1}") for i in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return [f"{worker.name} {_ending(worker.exitcode)}" for worker in workers if worker.exitcode]


def _ending(code: int | None) -> str:
    """What an exit status says."""
    assert code is not None
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"failed with status {code}; see above"
