r"""What a task is: problems, a prompt, an exact reward, and what a verifier says to the teacher only.

*Prompts are raw text.* Up to four solved examples, one a line, then the question; the student continues the line:

    3 * 4 = 12
    ...
    7 * 8 =            <- the completion is " 56" and a newline, which ends it

*The teacher* is the same model with a sentence of feedback before each question, those of the examples included, so
that it is shown how to read it. With `q` the question, `z` its answer, `y` the final answer of the student's attempt:

========== ================================================= ==========================================================
kind       sentence, followed by `So q`                      what it tells
========== ================================================= ==========================================================
`none`     (nothing; not even `So`)                          the student's own prompt
`outcome`  `We know that y is wrong.` (or `right`)           one bit about the attempt
`answer`   `We know that q z.`                               the final answer
`trace`    `We know that ..., q z.` (or `q ... = z`)         worked steps, or the states of an execution, and the answer
`critique` `We know that y is wrong, q z.` (or `right`)      the attempt judged, with a reason, by somebody who may err
========== ================================================= ==========================================================

(Small models copy what they have seen behind the same words: with a bare `Hint: z` this teacher is no better than its
student, see `docs/llm_tasks.md`.)

*The law of the critique.* With probability `noise` the critic has looked up a wrong answer, drawn from the task's
`miss`, and judges the attempt by it: it then names a wrong answer for certain, and its verdict is wrong if the attempt
was right, or happened to be that wrong answer. The draw is a hash of (task, problem, attempt): independent between
pairs, the same whenever the same attempt is judged, on any machine, in any process. The critiques of the examples are
right.

*Splits.* A hash of the problem, up to the order of its parts where order does not matter, says whether it is held out.
So the splits cannot overlap whatever the seeds and sizes, `8 * 7` stays with `7 * 8`, and nobody keeps lists. The
examples, all four of them however many are shown, are in neither split.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from distil_theory import validate

KINDS = ("none", "outcome", "answer", "trace", "critique")
SPLITS = ("train", "held_out")
EXAMPLES = 4
HELD_OUT = 3
"""One problem in so many is held out."""

Problem = tuple[Any, ...]
Row = dict[str, Any]


def hashed(*parts: Any) -> int:
    """A whole number below 2^64 from the text of these things: the same on every machine."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True)
class Task:
    """A family of problems with exactly one right final answer each.

    Attributes:
        name, field: what it is called; `"mathematics"`, `"code"` or `"science"`.
        max_tokens: of a completion; the longest right one fits in SmolLM2's tokens (characters: up to twice as many).
        draw: a problem, a tuple of numbers and words, from a generator.
        ask: the question, one line without what follows it.
        solve: the final answer.
        work: worked steps or an execution trace, for the feedback `trace`.
        chained: the work continues the question, as in `2 + 7 + 5 =` `9 + 5 = 14`; else the answer is told behind it.
        miss: a wrong final answer, drawn.
        write: a right completion; `None`: the final answer alone.
        same: problems with the same value are never on both sides of the split.
        noise: how often the critic errs, in [0, 1].
        shots: solved examples in a prompt, 0 to 4.

    Raises:
        ValueError: `noise` or `shots` out of range.
    """

    name: str
    field: str
    max_tokens: int
    draw: Callable[[np.random.Generator], Problem]
    ask: Callable[[Problem], str]
    solve: Callable[[Problem], str]
    work: Callable[[Problem], str]
    miss: Callable[[Problem, np.random.Generator], str]
    write: Callable[[Problem], str] | None = None
    chained: bool = False
    same: Callable[[Problem], Hashable] = tuple
    noise: float = 0.1
    shots: int = EXAMPLES

    stop = "\n"

    def __post_init__(self) -> None:
        if not 0 <= self.noise <= 1:
            raise ValueError(f"noise must lie in [0, 1], not {self.noise!r}")
        if validate.whole("shots", self.shots, 0) > EXAMPLES:
            raise ValueError(f"shots must be at most {EXAMPLES}, not {self.shots}")

    def but(self, **changes: Any) -> Task:
        """The same task with other attributes."""
        return replace(self, **changes)

    # --- problems
    # ---------------------------------------------------------------------------------------------------------

    @cached_property
    def examples(self) -> tuple[Problem, ...]:
        """The four solved problems of which prompts show the first `shots`."""
        rng, found = np.random.default_rng(hashed(self.name, "examples")), dict[Hashable, Problem]()
        while len(found) < EXAMPLES:
            problem = self.draw(rng)
            found.setdefault(self.same(problem), problem)
        return tuple(found.values())

    def split_of(self, problem: Problem) -> str:
        """`"train"`, `"held_out"`, or `"examples"`."""
        same = self.same(problem)
        if same in map(self.same, self.examples):
            return "examples"
        return "train" if hashed(self.name, same) % HELD_OUT else "held_out"

    def rows(self, split: str, n: int, seed: int = 0) -> list[Row]:
        """`n` different problems of a split: dicts of text `prompt`, `answer`, `item` (the question), `problem` (JSON).

        Raises:
            ValueError: an unknown split, `n < 1`, or more than there are.
        """
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}: choose from {', '.join(SPLITS)}")
        n = validate.whole("n", n, 1)
        rng, found = np.random.default_rng([seed, hashed(self.name, split)]), dict[str, Problem]()
        for _ in range(10_000 + 100 * n):
            problem = self.draw(rng)
            if self.split_of(problem) == split:
                found.setdefault(self.ask(problem), problem)
            if len(found) == n:
                break
        else:
            raise ValueError(f"task {self.name!r} has no {n} different problems in {split!r}: {len(found)} were found")
        return [
            {"prompt": self._text(x), "answer": self.solve(x), "item": item, "problem": json.dumps(x)}
            for item, x in found.items()
        ]

    def _text(self, problem: Problem, above: Sequence[str] = ("",) * (EXAMPLES + 1)) -> str:
        """Examples and question, with feedback before each (or nothing); that of the question stands last."""
        shown = zip(above, self.examples[: self.shots], strict=False)
        lines = [f"{line}{self.ask(x)} {self.completion(x)}\n" for line, x in shown]
        return "".join(lines) + above[-1] + self.ask(problem)

    def completion(self, problem: Problem) -> str:
        """What the examples show: a right completion, without the space before and the newline after it."""
        return (self.write or self.solve)(problem)

    # --- reward
    # ---------------------------------------------------------------------------------------------------------

    def vote(self, completion: str) -> str:
        """The final answer that a completion gives: its line, or what stands behind the last `=` of it."""
        return completion.partition(self.stop)[0].rpartition("=")[2].strip()

    def reward(self, row: Row, completion: str) -> float:
        """1 if the final answer is right, else 0. Steps are not judged."""
        return float(self.vote(completion) == row["answer"])

    def rewards(self, prompts: Sequence[str], completions: Sequence[str], **columns: Any) -> list[float]:
        """The same for a batch, as TRL's trainers call it; needs the column `answer`."""
        return [self.reward({"answer": z}, y) for z, y in zip(columns["answer"], completions, strict=True)]

    # --- feedback
    # ---------------------------------------------------------------------------------------------------------

    def feedback(self, problem: Problem, attempt: str, kind: str) -> str:
        """What the teacher reads before the question; of the attempt only its final answer is given here.

        Raises:
            ValueError: an unknown kind.
        """
        rng = np.random.default_rng(hashed(self.name, *problem, "critic", attempt))
        erred = kind == "critique" and rng.random() < self.noise
        return self._said(problem, attempt, kind, self.miss(problem, rng) if erred else self.solve(problem))

    def _said(self, problem: Problem, attempt: str, kind: str, believed: str) -> str:
        if kind not in KINDS:
            raise ValueError(f"unknown kind of feedback {kind!r}: choose from {', '.join(KINDS)}")
        fact = f"{self.ask(problem)} {believed}"
        verdict = f"{attempt or 'no answer'} is {'right' if attempt == believed else 'wrong'}"
        facts = {
            "outcome": verdict,
            "answer": fact,
            "trace": f"{self.ask(problem)} {self.work(problem)}" if self.chained else f"{self.work(problem)}, {fact}",
            "critique": f"{verdict}, {fact}",
        }
        return f"We know that {facts[kind]}. So " if kind in facts else ""

    def teacher_prompt(self, row: Row, completion: str, kind: str) -> str:
        """The prompt of the teacher that reads feedback on the student's own completion.

        The attempts of the examples are wrong and right in turn.

        Raises:
            ValueError: an unknown kind.
        """
        above, problem = [], tuple(json.loads(row["problem"]))
        for i, x in enumerate(self.examples[: self.shots]):
            z = self.solve(x)
            tried = z if i % 2 else self.miss(x, np.random.default_rng(hashed(self.name, "shown", i)))
            above.append(self._said(x, tried, kind, z))
        return self._text(problem, [*above, self.feedback(problem, self.vote(completion), kind)])


def nearby(problem_answer: Callable[[Problem], int], within: int = 9) -> Callable[[Problem, np.random.Generator], str]:
    """A wrong number: the right one, plus or minus 1 to `within`, but not below zero; uniform."""

    def miss(problem: Problem, rng: np.random.Generator) -> str:
        z = problem_answer(problem)
        return str(rng.choice([y for y in range(max(z - within, 0), z + within + 1) if y != z]))

    return miss
