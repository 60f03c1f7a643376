"""The command: tables, pictures, verdicts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import Any

import pandas as pd

from experiments import future_credit, harness
from experiments.future_credit import answers, draw, frontier, random_problems, steps, training, verdicts
from experiments.harness import Tables

TOKENS, QUICK_TOKENS = tuple(range(1, 13)), (1, 4, 12)
CURVES = (1, 4, 12)
STEPS = {"learning": 40, "trap": 80, "length": 400}
BLOCK = 2000


join = partial(pd.concat, ignore_index=True)


def trained(args: argparse.Namespace) -> Tables:
    """Panels (a), (b), (f), (g)."""
    tokens = QUICK_TOKENS if args.quick else TOKENS
    every = tuple(training.OBJECTIVES)
    ends = harness.run_tasks(training.fork_end, [*product(tokens, every)], args, "training on the fork")
    todo: list[Any] = [*product(CURVES, every, [STEPS["learning"]])]
    curves = harness.run_tasks(training.fork_curve, todo, args, "learning curves")
    runs = [*product(("student", "expert"), ("local", "full_kl", "full_ce"), [STEPS["trap"]])]
    traps = harness.run_tasks(training.trap_curve, runs, args, "the entropy trap")
    todo = [*product(answers.OBJECTIVES, [STEPS["length"]])]
    lengths = harness.run_tasks(answers.length_curve, todo, args, "the length of answers")
    return {
        "fork": pd.DataFrame(ends),
        "learning": join(curves),
        "trap": join(traps),
        "length": join(lengths),
        "length_limits": answers.length_limits(answers.WAYS),
    }


def randomised(args: argparse.Namespace) -> Tables:
    """Panels (e) and (h): claims 18 and 17 on random problems."""
    n = 4_000 if args.quick else 40_000
    blocks = random_problems.blocks(n, BLOCK, range(args.seed, args.seed + args.seeds))
    todo: list[Any] = [(horizon, *block) for horizon, block in product(random_problems.HORIZONS, blocks)]
    bounds = harness.run_tasks(random_problems.bound_block, todo, args, "claim 18 on random problems")
    settings = product(random_problems.CLASSES, random_problems.SHARES, blocks)
    todo = [(kind, share, *block) for kind, share, block in settings]
    leaks = harness.run_tasks(random_problems.leak_block, todo, args, "claim 17 on random problems")
    names = ("bound", "bound_counts", "leak", "leak_rates")
    return dict(zip(names, (*random_problems.bound_points(bounds), *random_problems.leak_points(leaks)), strict=True))


def traded(args: argparse.Namespace) -> Tables:
    """Panel (j); the rollouts are drawn with the first seed."""
    drawn = 20_000 if args.quick else 200_000
    todo = [(name, drawn, args.seed) for name in frontier.PROBLEMS if not (args.quick and name == "garnet_8")]
    found = join(harness.run_tasks(frontier.frontier, todo, args, "bias and variance"))
    return {"frontier": found, "errors": frontier.errors(found), "crossings": frontier.crossings(found)}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment: tables, pictures, verdicts; exit status 1 if a claim is contradicted."""
    args = harness.command_line("future_credit", (future_credit.__doc__ or "").splitlines()[0], argv)
    stepped = {"steps": steps.step_curves(), "signs": steps.sign_matrix(), "hints": steps.hint_curves()}
    tables = trained(args) | stepped | randomised(args) | traded(args)
    told = {
        "steps": STEPS,
        "tolerance": training.TOLERANCE,
        "eta": {"fork": training.FORK_ETA, "trap": training.TRAP_ETA, "length": answers.ETA},
        "clips": [str(clip) for clip in frontier.CLIPS],
        "shares": random_problems.SHARES,
        "block": BLOCK,
    }
    harness.conclude("future_credit", args, tables, draw.draw, told, verdicts.summary, verdicts.violated)


if __name__ == "__main__":
    main()
