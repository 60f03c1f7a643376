r"""Rung 1: sums that may be thought about, and the first lessons of the small transformer that is to solve them.

A problem is three digits to add, `7+2+5=`. An answer is a line with an optional scratch; what counts stands behind its
last `=`. Three ways to write it, one task each:

========== ============================================ ==========================================================
task       lines, each as likely as the other           what it is for
========== ============================================ ==========================================================
`chain`    `14` or `9+5=14`                             thinking has one way to go on: the teacher is sure of it
`free`     `14` or `5+7+2=12+2=14`, in any order        thinking is a matter of taste: the teacher is not sure
`padded`   `..........=14` or the same scratch, padded  as `free`, but every line is equally long
========== ============================================ ==========================================================

Whether to think is the student's choice, and thinking helps: a step is easier than a sum of three. The feedback
tells the teacher the answer, not the way. Cross-entropy-to-go charges a line with the teacher's own entropy along it,
which only `free` has much of, so it should stop thinking there (THEORY claims 10c, 18); KL-to-go charges what the
student lacks.

*The lessons* are supervised: lines about training problems, many of them right ones below the feedback. Without it, who
answers at once is wrong half of the time, as a bad model to imitate. They end while the student is still often wrong;
with the feedback, which it has only to copy, it is then right much more often. Each seed is a student of its own, from
which all algorithms start.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distil_theory.llm import models, tasks
from distil_theory.llm.tasks.base import Problem, Task

TERMS = 3
LENGTH = len("9+9+9=18+9=27")
HINTED = ((0.4, 0.8), (1.0, 0.25))
"""The share of lessons with feedback, up to which share of the lessons: reading it is learnt first."""
GUESSED = 1 / 2
"""How often an answer at once is wrong where there is none."""


def sums(terms: Problem) -> str:
    """`2+7+5` gives `9+5=14`: what is left to add, the first two replaced by their sum."""
    return "=".join("+".join(map(str, (sum(terms[:k]), *terms[k:]))) for k in range(2, len(terms) + 1))


def scratch(name: str, terms: Problem, rng: np.random.Generator) -> str:
    """What stands before the last `=` of a line of this task; nothing half of the time."""
    if rng.random() < 0.5:
        return ""
    if name == "chain":
        return sums(terms).rpartition("=")[0]
    own = tuple(rng.permutation(terms).tolist())
    return f"{'+'.join(map(str, own))}={sums(own).rpartition('=')[0]}"


def line(name: str, work: str, answer: str) -> str:
    """A line of this task."""
    if name == "padded":
        work = work.ljust(LENGTH - 1 - len(answer), ".")
    return f"{work}={answer}" if work else answer


NAMES = ("free", "chain", "padded")
TASKS = {
    name: Task(
        name=name,
        field="mathematics",
        max_tokens=LENGTH + 2,
        draw=tasks.mathematics.numbers(1, 9, TERMS),
        ask=lambda p: "+".join(map(str, p)) + "=",
        solve=lambda p: str(sum(p)),
        work=sums,
        miss=tasks.base.nearby(sum),
        same=tasks.mathematics.unordered,
        shots=0,
    )
    for name in NAMES
}


def lesson(task: Task, kind: str, size: int, rng: np.random.Generator, hinted: float) -> list[tuple[str, str]]:
    """Prompts with lines, this share of them below feedback of this kind (on no attempt)."""
    found: list[tuple[str, str]] = []
    while len(found) < size:
        problem = task.draw(rng)
        if task.split_of(problem) != "train":
            continue
        row, work, answer = {"problem": json.dumps(problem)}, scratch(task.name, problem, rng), task.solve(problem)
        told = rng.random() < hinted
        if not (told or work) and rng.random() < GUESSED:
            answer = task.miss(problem, rng)
        prompt = task.teacher_prompt(row, "", kind) if told else task.ask(problem)
        found.append((prompt, line(task.name, work, answer) + task.stop))
    return found


def batched(tokenizer: Any, pairs: list[tuple[str, str]]) -> dict[str, torch.Tensor]:
    """Token ids padded on the right, and labels, -100 where nothing is to be learnt."""
    texts = [[tokenizer(x, add_special_tokens=False)["input_ids"] for x in pair] for pair in pairs]
    longest = max(len(p) + len(c) for p, c in texts)
    ids = torch.full((len(pairs), longest), tokenizer.pad_token_id)
    labels = torch.full_like(ids, -100)
    for row, (prompt, line) in enumerate(texts):
        ids[row, : len(prompt) + len(line)] = torch.tensor(prompt + line)
        labels[row, len(prompt) : len(prompt) + len(line)] = torch.tensor(line)
    return {"input_ids": ids, "labels": labels, "attention_mask": (ids != tokenizer.pad_token_id).long()}


def educated(
    folder: Path, task: str, seed: int, kind: str, *, steps: int, batch: int, rate: float, **size: Any
) -> Path:
    """The folder of a student after its lessons; made the first time, and always the same for the same arguments.

    Args:
        folder: where it shall be; a finished one is kept.
        task: one of `TASKS`.
        seed: of weights and lessons.
        kind: of feedback.
        steps, batch, rate: of AdamW, whose rate falls to zero along a cosine.
        size: of the network, as `models.tiny`.
    """
    if (folder / "config.json").is_file():
        return folder
    start = models.tiny(folder.with_name(f"{folder.name}-untaught"), seed, **size)
    model, tokenizer = models.load(start)
    rng = np.random.default_rng([seed, 13])
    adam = torch.optim.AdamW(model.train().parameters(), lr=rate, weight_decay=0.0)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for step in range(steps):
        hinted = next(share for until, share in HINTED if step < until * steps)
        model(**batched(tokenizer, lesson(TASKS[task], kind, batch, rng, hinted))).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        adam.zero_grad()
        falling.step()

    def write(where: Path) -> None:
        model.save_pretrained(where)
        tokenizer.save_pretrained(where)

    return models.atomically(folder, write)
