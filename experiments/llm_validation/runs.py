"""One training run from its first weights to its tables, taken up again wherever it was interrupted.

Folder of a run: `after.csv` (completions on held-out items), `steps.csv`, `run.json` (written last: a run with it is
finished), and while it trains `checkpoints/`. What comes before training is the same for all algorithms, so it is
evaluated once per task and seed, and kept beside the runs.

Several processes may work in one folder: who begins something *claims* it, by an advisory lock that ends with the
process, however that ends.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from filelock import FileLock, Timeout
from transformers import PrinterCallback, TrainerCallback

from distil_theory import parallel
from distil_theory.llm import evaluate, models, tasks
from distil_theory.llm.tasks import Task
from distil_theory.llm.training import DistILConfig, DistILTrainer
from experiments import devices
from experiments.harness import replacing, save_table
from experiments.llm_validation import education
from experiments.llm_validation.master import MasterAdamW
from experiments.llm_validation.plan import ALGORITHMS, Run

LOCKS = "locks"
WHOLE = "whole"
"""The file that marks a checkpoint."""
PHASES = ("before", "teacher", "after")


class OutOfTimeError(Exception):
    """The time of this piece of work is over; what was done is kept."""


def said_by_first(value: Any) -> Any:
    """The value that the first process has, so that all of them do the same."""
    said = [value]
    broadcast_object_list(said)
    return said[0]


def over(until: float) -> bool:
    """Whether the time is over, or whoever started this process is gone."""
    parent = multiprocessing.parent_process()
    return bool(said_by_first(time.monotonic() > until or (parent is not None and not parent.is_alive())))


@contextmanager
def claimed(place: Path, *, wait: bool) -> Iterator[bool]:
    """Whether what this path stands for is ours while the block runs, and nobody else's. Of processes that train
    together the first one claims for all.

    Args:
        place: of the file or folder that is to be made; the lock lies beside it.
        wait: until whoever has it lets it go.
    """
    folder = place.parent / LOCKS
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{place.name}.lock")
    try:
        if PartialState().is_main_process:
            lock.acquire(blocking=wait)
    except Timeout:
        yield False
    else:
        yield True
    finally:
        lock.release()


class Watch(TrainerCallback):
    """Saves and stops when the time is over, and marks checkpoints that are whole; none is made of the last step if
    none was wanted before."""

    def __init__(self, until: float) -> None:
        self.until = until

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called by the trainer."""
        if state.global_step >= state.max_steps:
            control.should_save = args.save_steps < args.max_steps
        elif over(self.until):
            control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called by the trainer after the last file of a checkpoint."""
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / WHOLE).touch()


def last_checkpoint(folder: Path) -> str | None:
    """The last one that is whole: a process may be killed while it writes."""
    found = {int(path.parent.name.partition("-")[2]): str(path.parent) for path in folder.glob(f"checkpoint-*/{WHOLE}")}
    return found[max(found)] if found else None


def task_of(run: Run) -> Task:
    """By its name: of the schoolbook of rung 1, or of the library."""
    return education.TASKS[run.task] if run.task in education.TASKS else tasks.get(run.task, shots=run.setting.shots)


def first_weights(run: Run, home: Path, model: Path | None) -> Path:
    """The checkpoint that all runs of this task and seed start from.

    Args:
        run: which one.
        home: where students of rung 1 are kept.
        model: of rung 2; `None`: the one that `models.smollm2` unpacks.
    """
    own = run.setting
    if not own.education:
        return model or models.smollm2()
    student = home / f"student-{run.where}"
    with claimed(student, wait=True):
        return education.educated(student, run.task, run.seed, run.kind, **own.education)


def judged(run: Run, model: Any, tokenizer: Any, phase: str) -> pd.DataFrame:
    """Completions on the held-out items: the same items for every seed, the same draws for every algorithm."""
    task, own = task_of(run), run.setting
    rows = task.rows("held_out", own.items, seed=0)
    prompts = [task.teacher_prompt(row, "", run.kind) for row in rows] if phase == "teacher" else None
    return evaluate.evaluate(model, tokenizer, task, rows, own.samples, seed=1000 + run.seed, prompts=prompts)


def arguments(run: Run, folder: Path, device: str, processes: int) -> DistILConfig:
    """Of the trainer."""
    own = run.setting
    return DistILConfig(
        output_dir=str(folder / "checkpoints"),
        max_steps=own.steps,
        save_steps=own.save,
        save_total_limit=2,
        per_device_train_batch_size=own.prompts * own.generations // processes,
        num_generations=own.generations,
        max_completion_length=task_of(run).max_tokens,
        learning_rate=own.rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=max(own.steps // 10, 1),
        temperature=own.temperature,
        stop=task_of(run).stop,
        seed=run.seed,
        data_seed=run.seed,
        use_cpu=device == "cpu",
        bf16=False,
        gradient_checkpointing=False,
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        teacher_model_kind=own.teacher,
        dataloader_pin_memory=False,
        **own.trainer,
        **ALGORITHMS[run.algorithm],
    )  # fmt: skip


def trained(run: Run, folder: Path, start: Path, device: str, until: float) -> tuple[Any, Any, pd.DataFrame]:
    """Train, from the last checkpoint if there is one; the model, its tokenizer, and a row per step.

    Raises:
        OutOfTimeError: before the last step.
    """
    own, task = run.setting, task_of(run)
    model, tokenizer = models.load(start, own.dtype, device)
    options = {"lr": own.rate, "betas": (0.9, 0.99), "weight_decay": 0.0}
    make = torch.optim.AdamW if own.dtype == "float32" else MasterAdamW
    trainer = DistILTrainer(
        model=model.train(),
        reward_funcs=task.rewards,
        args=arguments(run, folder, device, PartialState().num_processes),
        train_dataset=Dataset.from_list(task.rows("train", own.pool, seed=run.seed)),
        processing_class=tokenizer,
        teacher_prompt=partial(task.teacher_prompt, kind=run.kind),
        optimizers=(make(model.parameters(), **options), None),
        callbacks=[Watch(until)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=last_checkpoint(folder / "checkpoints"))
    if trainer.state.global_step < own.steps:
        raise OutOfTimeError(run.name)
    log = pd.DataFrame([row for row in trainer.state.log_history if "loss" in row])
    return model.eval(), tokenizer, log.drop_duplicates("step", keep="last")


def begun(
    run: Run, home: Path, device: str, model: Path | None, *, phases: Sequence[str] = PHASES[:2], wait: bool = True
) -> Path:
    """The checkpoint that a run starts from; the student in it and its teacher are judged (once), at the latest by who
    waits for it."""
    start = first_weights(run, home, model)
    for phase in phases:
        before = home / f"{phase}-{run.where}.csv"
        with claimed(before, wait=wait) as mine:
            if mine and PartialState().is_main_process and not before.exists():
                save(judged(run, *models.load(start, run.setting.dtype, device), phase), before)
    return start


def judged_before(todo: Sequence[Run], home: Path) -> bool:
    """Whether all these students have been judged before training."""
    return all((home / f"{PHASES[0]}-{run.where}.csv").exists() for run in todo)


def finished(run: Run, home: Path) -> bool:
    """Whether there is nothing left to do."""
    return (home / run.name / "run.json").exists()


def perform(run: Run, home: Path, device: str, model: Path | None, until: float) -> None:
    """Do what is left of a run.

    Args:
        run: which one.
        home: folder of all runs.
        device: where torch computes.
        model: of rung 2.
        until: `time.monotonic()` at which to save and stop.

    Raises:
        OutOfTimeError: it is not finished.
    """
    folder, state = home / run.name, PartialState()
    with state.local_main_process_first():
        start = begun(run, home, device, model, wait=False)
    network, tokenizer, log = trained(run, folder, start, device, until)
    if state.is_main_process:
        save(log, folder / "steps.csv")
        save(judged(run, network, tokenizer, "after"), folder / "after.csv")
        del network
        begun(run, home, device, model)
        processor = devices.name(device)
        if not device.startswith("cuda"):
            processor += f", {torch.get_num_threads()} thread(s)"
        told = {
            "algorithm": run.algorithm, "task": run.task, "seed": run.seed,
            "settings": run.settled(), "code": parallel.code_fingerprint(Path(__file__).parent), "device": device,
            "processor": processor, "processes": state.num_processes,
            "versions": {name: version(name) for name in ("torch", "transformers", "trl", "accelerate", "numpy")},
        }  # fmt: skip
        with replacing(folder / "run.json") as temporary:
            temporary.write_text(json.dumps(told, indent=1) + "\n")
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    state.wait_for_everyone()


def save(table: pd.DataFrame, path: Path) -> None:
    """A csv, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_table(table, path)
