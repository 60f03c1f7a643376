"""What a checkpoint needs beyond model, optimiser and random numbers, so that a run taken up again goes on as if it had
never stopped.

The teacher (once), and of each process how many batches it has seen and the completions that are still in use: without
them a run with `num_iterations > 1` would write new ones in the middle of their updates. The order of the prompts
depends on the epoch alone; TRL's sampler draws it from a generator that starts again after an interruption.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from trl.trainer.utils import RepeatSampler

TEACHER = "distil_teacher.pt"


def state_file(folder: Path, process: int) -> Path:
    """Of a process."""
    return folder / f"distil_state_{process}.pt"


def save(folder: Path, process: int, step: int, buffered: Any, teacher: torch.nn.Module | None) -> None:
    """Write the state of a process, and the teacher if there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"step": step, "buffered": buffered}, state_file(folder, process))
    if teacher is not None:
        torch.save(teacher.state_dict(), folder / TEACHER)


def load(folder: Path, process: int, teacher: torch.nn.Module | None) -> tuple[int, Any]:
    """Read it: how many batches were seen, and the completions in use.

    Raises:
        ValueError: the checkpoint lacks a file, as one of another trainer or of fewer processes does.
    """
    path = state_file(folder, process)
    for needed in [path] if teacher is None else [path, folder / TEACHER]:
        if not needed.exists():
            raise ValueError(
                f"{folder} has no {needed.name}: it is no checkpoint of this trainer with as many processes"
            )
    if teacher is not None:
        teacher.load_state_dict(torch.load(folder / TEACHER, weights_only=True))
    state = torch.load(path, weights_only=True)
    return state["step"], state["buffered"]


class EpochSampler(RepeatSampler):
    """TRL's sampler with an order that depends on seed and epoch only."""

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        if self.shuffle:
            self.generator.manual_seed((self.seed or 0) + epoch)


def by_epoch(made: RepeatSampler) -> EpochSampler:
    """The same sampler, with that order."""
    return EpochSampler(
        *(made.data_source, made.mini_repeat_count, made.batch_size, made.repeat_count, made.shuffle, made.seed)
    )
