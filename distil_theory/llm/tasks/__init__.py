"""Tasks for language models, generated: mathematics, code with execution traces, science.

`base` says what a task is: prompt, exact reward, splits that never overlap, and what a verifier tells the teacher.

    task = tasks.get("product", noise=0.2)
    rows = task.rows("train", 64, seed=0)              # dicts: prompt, answer, item, problem
    task.reward(rows[0], " 56\\n")
    task.teacher_prompt(rows[0], " 54\\n", "critique")  # feedback on this attempt, before the question

Torch is not needed here beyond what the package itself imports.
"""

from __future__ import annotations

from typing import Any

from distil_theory.llm.tasks import code, mathematics, science
from distil_theory.llm.tasks.base import KINDS, SPLITS, Task

ALL = (
    *(mathematics.PRODUCT, mathematics.GCD, mathematics.LCM),
    *(mathematics.SUM, mathematics.SUM_STEPS, mathematics.SUM_CHOICE),
    *(code.STACK_MACHINE, code.STACK_TRACE, code.EXPRESSION, code.EXPRESSION_STEPS),
    *(code.COUNT_BITS, code.SORT_DIGITS, code.COPY_DIGITS),
    *(science.UNITS, science.DIMENSIONS, science.DIMENSIONS_STEPS),
)
NAMES = tuple(task.name for task in ALL)

__all__ = ["ALL", "KINDS", "NAMES", "SPLITS", "Task", "get"]


def get(name: str, **changes: Any) -> Task:
    """A task by name, with other attributes if wished (`noise=0.2`).

    Raises:
        ValueError: an unknown name, or a `noise` outside [0, 1].
    """
    if name not in NAMES:
        raise ValueError(f"unknown task {name!r}: choose from {', '.join(NAMES)}")
    return ALL[NAMES.index(name)].but(**changes)
