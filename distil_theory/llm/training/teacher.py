r"""The teacher: the student's own network, or an average of its past, that reads more than the student does.

* `"live"`: the network as it is; `"base"`: as it was before training; both with the feedback in the context.
* `"ema"`: weights `theta' <- theta' + rate (theta - theta')` after every `every`-th update of the student; in float32
  at least, since half precision would round small steps away.

What it reads is a *teacher prompt*: any text that replaces the prompt of the student, such as the prompt with the
answer, with the verdict on this very completion, or with another sample that was right. Nothing is cut off: a prompt
that the model cannot read whole is an error.

If the prompt depends on the completion that the teacher judges, `E[p/pi | prefix] = 1` no longer holds, and with it
every statement that is read off ratios of written tokens (`distil_theory.diagnose` tests for it).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback

TeacherPrompt = Callable[[Mapping[str, Any], str], Any]
"""The teacher's prompt, text or messages, from a row of the dataset and what the student wrote."""

COLUMN = "teacher_prompt"


def from_column(row: Mapping[str, Any], completion: str) -> Any:
    """The teacher prompt that stands in the dataset.

    Raises:
        ValueError: there is none.
    """
    if COLUMN not in row:
        raise ValueError(f"the dataset has no column {COLUMN!r}, and no teacher_prompt(row, completion) was given")
    return row[COLUMN]


def written_text(completion: Any) -> str:
    """What the student wrote, as text, also where it comes as messages."""
    return completion if isinstance(completion, str) else "".join(str(m["content"]) for m in completion)


def frozen_copy(model: nn.Module) -> nn.Module:
    """A copy that nothing trains, in evaluation mode, and free of what trainers hang onto `forward` of the original."""
    forwards = [(module, module.__dict__.pop("forward")) for module in model.modules() if "forward" in module.__dict__]
    try:
        twin = copy.deepcopy(model)
    finally:
        for module, forward in forwards:
            module.__dict__["forward"] = forward
    return twin.requires_grad_(False).eval()


def made(kind: str, student: Any) -> Any:
    """The network of the teacher; `None`: the student's own."""
    if kind == "live":
        return None
    twin = frozen_copy(student)
    return twin.float() if kind == "ema" and student.dtype in (torch.bfloat16, torch.float16) else twin


@torch.no_grad()
def average(teacher: nn.Module, student: nn.Module, rate: float) -> None:
    """`theta' <- theta' + rate (theta - theta')`, in place and in the teacher's precision."""
    into = list(teacher.parameters())
    torch._foreach_lerp_(into, [p.detach().to(q) for p, q in zip(student.parameters(), into, strict=True)], rate)


class AverageCallback(TrainerCallback):
    """Averages after every `every`-th update."""

    def __init__(self, teacher: nn.Module, unwrap: Callable[[Any], nn.Module], rate: float, every: int) -> None:
        self.teacher, self.unwrap, self.rate, self.every = teacher, unwrap, rate, every

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called by the trainer."""
        if state.global_step % self.every == 0:
            average(self.teacher, self.unwrap(kwargs["model"]), self.rate)
