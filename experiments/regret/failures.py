"""Panel (f): what is left of the promise without recoverability, and without a student who can see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from distil_theory import experts, instances, solve
from distil_theory.online import dagger, record
from distil_theory.online.record import Record
from experiments.regret import statistics

PER_DECADE = 5


def fixed_point(cloning: bool) -> float:
    """Where training on the privileged grid ends: the return of the projection of the expert on what the student sees,
    on its own states (repeated until it stays), or on the expert's."""
    _, mdp, student, expert, _ = instances.privileged_grid().convert("float64")
    if cloning:
        return float(solve.expected_return(mdp, experts.observed(mdp, expert, expert)))
    for _ in range(100):
        student = experts.observed(mdp, expert, student)
    return float(solve.expected_return(mdp, student))


def grid(learner: str, rounds: int, seeds: int, base: int) -> Record:
    """One task: students of the privileged grid, who do not see which bridge holds."""
    _, mdp, _, expert, _ = instances.privileged_grid().convert("float64")
    made = dagger.clone if learner == "clone" else dagger.dagger
    return made(mdp, expert, rounds, seeds, base, record.marks(rounds, PER_DECADE))


def tasks(rounds: int, seeds: int, bases: range) -> list[tuple[Any, ...]]:
    """The arguments of `grid`."""
    return [(learner, rounds, seeds, base) for base in bases for learner in ("dagger", "clone")]


def failures(done: list[tuple[Any, ...]], found: list[Record]) -> pd.DataFrame:
    """Returns of the students over rounds, the KL of a round on their own states and on the expert's, and the
    limits."""
    parts = []
    for learner in ("dagger", "clone"):
        r = record.join([x for task, x in zip(done, found, strict=True) if task[0] == learner])
        between = np.diff(r.rounds, prepend=0)[:, None]
        per_round = {x: (np.diff(getattr(r, x), axis=0, prepend=0) / between).mean(axis=1) for x in ("kl", "kl_expert")}
        mean, lower, upper = statistics.mean_interval(1 - r.gap)
        parts.append(pd.DataFrame({
            "learner": learner, "rounds": r.rounds, "n": r.gap.shape[1], "return": mean, "lower": lower, "upper": upper,
            "regret": r.regret.mean(axis=1), **per_round, "limit": fixed_point(learner == "clone"),
        }))  # fmt: skip
    return pd.concat(parts, ignore_index=True)
