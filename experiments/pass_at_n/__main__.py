"""The command: tables, pictures, verdicts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from experiments import harness, pass_at_n
from experiments.harness import Tables
from experiments.pass_at_n import draw, exact, random_prompts, sampled, students, verdicts

RANKS, QUICK_RANKS = (0, 1, 2, 3, 4, 6), (0, 2)
INSTANCES, QUICK_INSTANCES = 64, 16
STEPS, QUICK_STEPS = 1500, 600
END_STEPS, QUICK_END_STEPS = 3000, 1500
DRAWS, QUICK_DRAWS = 100_000, 5_000

join = partial(pd.concat, ignore_index=True)


def closed_forms(args: argparse.Namespace) -> Tables:
    """Panels (a) and (c): the examples."""
    runs = product(exact.EXAMPLES, students.RUNS, exact.FLOORS[1:2] if args.quick else exact.FLOORS)
    steps = QUICK_END_STEPS if args.quick else END_STEPS
    todo: list[Any] = [(example, *run, floor, steps) for example, run, floor in runs]
    ends = harness.run_tasks(exact.ends, todo, args, "where training ends")
    crossing = [exact.collapse_crossing(), exact.floor_crossing()]
    return {"ends": join(ends), "curves": exact.curves(), "crossing": join(crossing)}


def randomised(args: argparse.Namespace) -> Tables:
    """Panels (a) to (d): random prompts."""
    seeds = range(args.seed, args.seed + args.seeds)
    size, steps = (QUICK_INSTANCES, QUICK_STEPS) if args.quick else (INSTANCES, STEPS)
    runs = product(QUICK_RANKS if args.quick else RANKS, students.RUNS, seeds)
    todo: list[Any] = [(rank, *run, steps, size, seed) for rank, run, seed in runs]
    found = random_prompts.pooled(harness.run_tasks(random_prompts.trained, todo, args, "training"))
    todo = [(eta, size, args.seed) for eta in random_prompts.EM_SIZES]
    em = harness.run_tasks(random_prompts.em, todo, args, "EM steps")
    return {
        "random_curves": random_prompts.curves(found),
        "training": random_prompts.learning(found),
        "crossing_random": random_prompts.crossings(found),
        "modes": random_prompts.modes(found),
        "same": random_prompts.same_student(found, args.seed),
        "em": join(em),
    }


def drawn(args: argparse.Namespace) -> Tables:
    """Panel (e); the samples are drawn with the first seed."""
    todo = [(QUICK_DRAWS if args.quick else DRAWS, args.seed)]
    (estimators,) = harness.run_tasks(sampled.estimators, todo, args, "estimates")
    return {"estimators": estimators, "votes": sampled.votes()}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment: tables, pictures, verdicts; exit status 1 if a claim is contradicted."""
    args = harness.command_line("pass_at_n", (pass_at_n.__doc__ or "").splitlines()[0], argv)
    tables = closed_forms(args) | randomised(args) | drawn(args)
    told = {
        "floor": students.FLOOR,
        "adam": {"rate": students.RATE, "betas": students.BETAS, "steps": QUICK_STEPS if args.quick else STEPS},
        "prompts": {"prompts": random_prompts.PROMPTS, "contexts": random_prompts.CONTEXTS,
                    "answers": random_prompts.ANSWERS, "rights": random_prompts.RIGHTS},
        "law": np.asarray(sampled.LAW).tolist(),
    }  # fmt: skip
    harness.conclude("pass_at_n", args, tables, draw.draw, told, verdicts.summary, verdicts.violated)


if __name__ == "__main__":
    main()
