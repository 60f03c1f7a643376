"""The command: tables, pictures, verdicts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from experiments import harness, regret
from experiments.harness import Tables
from experiments.regret import cumulative, draw, drifting, failures, horizons, problems, slopes, verdicts


@dataclass(frozen=True)
class Sizes:
    """Rounds and seeds of each panel."""

    rounds: int
    seeds: int
    slope_rounds: int
    slope_seeds: int
    drift_rounds: int
    drift_seeds: int
    horizon_rounds: int
    horizon_seeds: int
    failure_rounds: int
    failure_seeds: int


FULL = Sizes(10_000, 1000, 3000, 100, 512, 32, 2048, 32, 5_000, 200)
QUICK = Sizes(250, 1000, 250, 64, 64, 16, 200, 12, 500, 100)


def simulate(args: argparse.Namespace, n: Sizes) -> Tables:
    """Every table."""
    bases = range(args.seed, args.seed + args.seeds)
    todo = cumulative.tasks(n.rounds, n.seeds, bases)
    records = cumulative.joined(todo, harness.run_tasks(cumulative.block, todo, args, "many seeds"))
    curves = pd.concat(
        harness.run_tasks(slopes.curves, slopes.tasks(n.slope_rounds, n.slope_seeds, bases), args, "random MDPs"),
        ignore_index=True,
    )
    every = slopes.slopes(curves)
    todo = drifting.tasks(n.drift_rounds, n.drift_seeds, bases)
    drift = drifting.pooled(harness.run_tasks(drifting.run, todo, args, "moving teachers"))
    todo = horizons.tasks(n.horizon_rounds, n.horizon_seeds, bases)
    horizon = horizons.pooled(harness.run_tasks(horizons.learners, todo, args, "horizons"))
    todo = failures.tasks(n.failure_rounds, n.failure_seeds, bases)
    return {
        "cumulative": cumulative.cumulative(records),
        "slopes": every,
        "slopes_curves": curves.drop(columns="base"),
        "slopes_mean": slopes.mean_slopes(every),
        "chain": cumulative.chain(records),
        "confidence": cumulative.confidence(records),
        **drift,
        "horizon": horizon,
        "horizon_exact": horizons.exact(),
        "horizon_growth": horizons.growth(horizon),
        "failures": failures.failures(todo, harness.run_tasks(failures.grid, todo, args, "hidden state")),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment: tables, pictures, verdicts; exit status 1 if a bound is contradicted."""
    args = harness.command_line("regret", (regret.__doc__ or "").splitlines()[0], argv)
    sizes = QUICK if args.quick else FULL
    tables = simulate(args, sizes)
    told = asdict(sizes) | {
        "garnet": [problems.STATES, problems.ACTIONS, problems.BRANCHING, problems.HORIZON, problems.GARNET_SEED],
        "temperature": problems.TEMPERATURE,
        "mdps": slopes.MDPS,
        "eta": drifting.ETA,
        "floor": drifting.FLOOR,
        "chain_actions": horizons.ACTIONS,
        "block": cumulative.BLOCK,
    }
    harness.conclude("regret", args, tables, draw.draw, told, verdicts.summary, verdicts.violated)


if __name__ == "__main__":
    main()
