"""The command: tables, pictures, verdicts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product
from typing import Any

import pandas as pd

from distil_theory.diagnosis import rates, trust
from experiments import diagnosis, harness
from experiments.diagnosis import coverage, draw, faults, games, verdicts
from experiments.harness import Tables

QUICK_GAMES = {"tuned": ("chain",), "held-out": ("binary sums", "spurious")}
QUICK_SHAPES, QUICK_LOGS = ((64, 2), (256, 2)), 400
TUNED_SHAPES = ((64, 4), (256, 4))
FAULT_LOGS, QUICK_FAULT_LOGS = 1000, 200


def simulate(args: argparse.Namespace) -> Tables:
    """Every table."""
    seeds = range(args.seed, args.seed + args.seeds)
    sets: Any = {"tuned": (games.TUNED, TUNED_SHAPES), "held-out": (games.HELD_OUT, coverage.SHAPES)}
    todo = [
        (kind, name, share, *shape, QUICK_LOGS if args.quick else coverage.LOGS, seed)
        for kind, (names, shapes) in sets.items()
        for name, share, shape, seed in product(
            QUICK_GAMES[kind] if args.quick else names, coverage.TRUSTS, QUICK_SHAPES if args.quick else shapes, seeds
        )
    ]
    todo.sort(key=lambda task: -task[3] * task[4])  # long pieces first
    found = coverage.pooled(pd.concat(harness.run_tasks(coverage.cells, todo, args, "logs"), ignore_index=True))
    cells = coverage.judged(found)
    tried = [
        (fault, *shape, QUICK_FAULT_LOGS if args.quick else FAULT_LOGS, args.seed)
        for fault, shape in product(faults.FAULTS, faults.SHAPES[:3] if args.quick else faults.SHAPES)
    ]
    return {
        "cells": cells,
        "counts": coverage.counts(cells),
        "thresholds": coverage.thresholds(cells),
        "needed": coverage.needed(cells),
        "checks": pd.concat(harness.run_tasks(faults.checks, tried, args, "faulty logs"), ignore_index=True),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment: tables, pictures, verdicts; exit status 1 if coverage or a check fails."""
    args = harness.command_line("diagnosis", (diagnosis.__doc__ or "").splitlines()[0], argv)
    told = {
        "logs": QUICK_LOGS if args.quick else coverage.LOGS,
        "trusts": coverage.TRUSTS,
        "replicates": coverage.REPLICATES,
        "clip": rates.CLIP,
        "listed_tokens": coverage.TOP,
        "carrying": trust.CARRYING,
        "expected": trust.EXPECTED,
        "deviations": trust.DEVIATIONS,
        "games": {"tuned": list(games.TUNED), "held-out": list(games.HELD_OUT)},
    }
    harness.conclude("diagnosis", args, simulate(args), draw.draw, told, verdicts.summary, verdicts.violated)


if __name__ == "__main__":
    main()
