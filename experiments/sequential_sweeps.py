"""Which cells are counted, and what the theorems promise about them: settings and tables of the failure rates."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from distil_theory import prevalence
from experiments import harness
from experiments.sequential_failures import COUNTS, Family, Objective, Teacher, count

NAMES = ("forward_kl", "reverse_kl", "jensen_shannon", "hellinger", "pearson_chi2")
BASE = Family(4, 5, 3, 5)
FAMILIES = {
    "horizon": [BASE._replace(horizon=x) for x in (1, 2, 4, 8)],
    "states": [BASE._replace(states=x, observations=x) for x in (2, 5, 10)],
    "actions": [BASE._replace(actions=x) for x in (2, 3, 6)],
}
"""What panel (c) varies, one size at a time."""
TEACHERS = [
    Teacher("random"),
    *(Teacher("soft_optimal", x) for x in ("0.3", "0.1", "0.03")),
    Teacher("noisy", "0"),
    Teacher("noisy", "0.25"),
]
OBJECTIVES = [
    *(Objective(name, part) for part in ("local", "weighted", "full") for name in NAMES),
    Objective("cross_entropy", "full"),
    *(Objective(name, "local", "euclidean") for name in NAMES),
]
FED_BASE = Family(3, 5, 3, 5, rare=4)
"""Panel (d): success is rarer, so that states differ more."""
ERRORS = ("0", "0.02", "0.05", "0.1", "0.2", "0.3", "0.4", "0.45", "0.48", "0.6", "0.8", "1")
TRUSTS = ("-0.5", "0", "0.5", "1", "2", "4")
LAGS = ("0", "0.1", "0.25", "0.5", "0.75", "1")
FED = [*OBJECTIVES[:5], Objective("forward_kl", "weighted"), Objective("forward_kl", "full"), OBJECTIVES[15]]
BLOCK = 2_000
KEYS = [
    "horizon",
    "states",
    "actions",
    "observations",
    "rare",
    "teacher",
    "dial",
    "privileged",
    "divergence",
    "part",
    "geometry",
]


def feedback_cells() -> list[tuple[list[Teacher], Family]]:
    """Panel (d): teachers by family; all states different, all alike, and what lies between."""
    errors, trusts = (
        [Teacher(kind, x) for x in dials] for kind, dials in (("noisy", ERRORS), ("overconfident", TRUSTS))
    )
    spoiled = [*errors, *trusts]
    seen = [t._replace(privileged=False) for t in spoiled]
    clean = [Teacher("noisy", "0"), Teacher("noisy", "0", False)]
    return [
        ([*spoiled, *(Teacher("lagging", x) for x in LAGS)], FED_BASE),
        ([*spoiled, *seen], FED_BASE._replace(observations=1)),
        *((clean, FED_BASE._replace(observations=o)) for o in range(2, FED_BASE.states)),
    ]


def table(
    todo: Sequence[Objective],
    cells: Sequence[tuple[list[Teacher], Family]],
    n: int,
    args: argparse.Namespace,
    label: str,
) -> pd.DataFrame:
    """Failures of every objective in every cell, with Wilson intervals and what a theorem promises."""
    blocks = [(seed, b) for seed in range(args.seed, args.seed + args.seeds) for b in range(-(-n // BLOCK))]
    tasks = [(list(todo), teachers, family, min(n, BLOCK), *block) for teachers, family in cells for block in blocks]
    done = np.array_split(np.arange(len(tasks)), len(cells))
    results = harness.run_tasks(count, tasks, args, label)
    rows = []
    for (teachers, family), places in zip(cells, done, strict=True):
        counts = np.sum([results[i] for i in places], axis=0)
        drawn = len(places) * min(n, BLOCK)
        for t, teacher in enumerate(teachers):
            for k, objective in enumerate(todo):
                rows.append((*family, *teacher, *objective, *proportion(counts[t, k], drawn)))
    names = [*KEYS, "value", "lower", "upper", *COUNTS, "n"]
    out = pd.DataFrame(rows, columns=names)
    out["promise"] = [promise(row) for row in out.itertuples()]
    return out


def proportion(counts: np.ndarray, drawn: int) -> tuple:
    """Share of the MDPs with a better teacher that lose, its interval, and the counts."""
    better, failed = int(counts[0]), int(counts[1])
    share = (failed / better, *prevalence.wilson(failed, better)) if better else (np.nan, np.nan, np.nan)
    return *share, *map(int, counts), drawn


def promise(row: Any) -> str:
    """The claim that admits no failure in this cell: `never lowers` the return, `always lowers` it, or nothing.

    Claim 2: forward KL, natural, weighted, or with one step only, if the teacher is better. Claim 9: the student
    conditioned on success, on a bit wrong with probability below 1/2, over-confident or not: local natural steps of
    every divergence; and the plain gradient of forward KL if the teacher is not over-confident. Beyond 1/2 every order
    of actions is turned round. For an aliased student only if the teacher sees no more than it does.
    """
    unaliased, natural = row.observations == row.states, row.geometry == "natural"
    dial = float(row.dial)
    truthful = row.teacher == "overconfident" or (row.teacher == "lagging" and dial == 0)
    truthful |= row.teacher == "noisy" and dial < 0.5
    ordered = (unaliased and row.part in ("local", "weighted")) or (not row.privileged and row.part == "local")
    plain = row.divergence == "forward_kl" and row.part == "local" and unaliased and row.teacher == "noisy"
    if ordered and (natural or plain):
        if truthful:
            return "9: never"
        if row.teacher == "noisy" and dial > 0.5:
            return "9: always"
    forward = row.divergence == "forward_kl" or (row.divergence == "cross_entropy" and row.horizon == 1)
    if unaliased and natural and forward and (row.part == "weighted" or row.horizon == 1):
        return "2: never"
    return ""


def failure_rates(n: int, args: argparse.Namespace) -> pd.DataFrame:
    """Panel (c)."""
    families = list(dict.fromkeys(family for group in FAMILIES.values() for family in group))
    return table(OBJECTIVES, [(TEACHERS, family) for family in families], n, args, "random MDPs")


def feedback(n: int, args: argparse.Namespace) -> pd.DataFrame:
    """Panel (d)."""
    return table(FED, feedback_cells(), n, args, "feedback and aliasing")
