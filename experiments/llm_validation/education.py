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

from collections.abc import Callable
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
Write = Callable[[Problem, np.random.Generator], str]


def sums(terms: Problem) -> str:
    """`2+7+5` gives `9+5=14`: what is left to add, the first two replaced by their sum."""
    return "=".join("+".join(map(str, (sum(terms[:k]), *terms[k:]))) for k in range(2, len(terms) + 1))


def chain(terms: Problem, rng: np.random.Generator) -> str:
    """The answer at once, or after the steps from left to right."""
    return str(sum(terms)) if rng.random() < 0.5 else sums(terms)


def free(terms: Problem, rng: np.random.Generator) -> str:
    """The answer at once, or after the terms in any order and the steps."""
    if rng.random() < 0.5:
        return str(sum(terms))
    own = tuple(rng.permutation(terms).tolist())
    return f"{'+'.join(map(str, own))}={sums(own)}"


def padded(terms: Problem, rng: np.random.Generator) -> str:
    """The same with dots before the last `=`, so that every line is as long as the longest."""
    work, _, answer = free(terms, rng).rpartition("=")
    return f"{work}{'.' * (LENGTH - len(work) - 1 - len(answer))}={answer}"


WRITERS: dict[str, Write] = {"chain": chain, "free": free, "padded": padded}
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
    for name in WRITERS
}


def lesson(task: Task, kind: str, size: int, rng: np.random.Generator, hinted: float) -> list[tuple[str, str]]:
    """Prompts with lines, this share of them below feedback of this kind (on no attempt)."""
    found: list[tuple[str, str]] = []
    while len(found) < size:
        problem = task.draw(rng)
        if task.split_of(problem) != "train":
            continue
        row = {"prompt": task.ask(problem), "problem": problem}
        prompt, line = task.ask(problem), WRITERS[task.name](problem, rng)
        if rng.random() < hinted:
            prompt = task.teacher_prompt(row, "", kind)
        elif not line.rpartition("=")[0].strip(".") and rng.random() < GUESSED:
            line = f"{line.rpartition('=')[0]}{'=' * line.count('=')}{task.miss(problem, rng)}"
        found.append((prompt, line + task.stop))
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
    unfinished = folder.with_name(f"{folder.name}-unfinished")
    model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    return unfinished.rename(folder)
