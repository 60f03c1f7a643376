r"""Which part of the algorithm matters? One dial at a time (THEORY section 13)

    python -m experiments.ablations [--quick] [--seed N] [--seeds N] [--out DIR] [--jobs N] [--fresh]

Nine dials (`experiments.loop.dials`), each turned with all else left alone, in two or three worlds, with 50 random
students per seed. One panel each, all from `ablations_values.csv`; `ablations_paired.csv` holds differences from the
first or the usual value, student by student.

(a) `baseline` of the future term     (b) `expert`, explicit or a sample     (c) `rollouts` per step
(d) kind of `feedback`                (e) `noise`: wrong feedback            (f) `fraction` of prompts with any
(g) `rate` of the teacher's average   (h) `clip` range of the ratios         (i) `temperature` of the teacher
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from rich.table import Table

from experiments import ablations_plots, harness
from experiments.harness import Tables
from experiments.interquartile import Interval, interval
from experiments.loop import dials, runs
from experiments.loop.dials import DIALS, Turned

STUDENTS, QUICK_STUDENTS, QUICK_STEPS = 50, 4, 8
USUAL = {"baseline": "position", "expert": "explicit", "rollouts": 64, "feedback": "trace", "noise": 0.0,
         "fraction": 1.0, "rate": 1.0, "clip": 0.2, "temperature": 1.0}  # fmt: skip
"""The value of each dial with which others are compared."""
LOCAL = ("DistIL", "SDPO", "OPSD")
"""Local objectives of an f-divergence."""
MEASURES = ("area", "last", "lowered")
Key = tuple[str, str, str, str]


def cells(quick: bool) -> list[tuple[str, str, str, object]]:
    """Dial, world, algorithm and value; if quick, only the first world, the ends of each dial and its usual value."""
    out = []
    for dial, x in DIALS.items():
        values = [v for v in x.values if not quick or v in (x.values[0], x.values[-1], USUAL[dial])]
        for world, name, value in product(x.worlds[-1:] if quick else x.worlds, x.algorithms, values):
            if dials.said(world, value):
                out.append((dial, world, name, value))
    return out


def turned(args: argparse.Namespace, students: int, steps: int) -> dict[Key, Turned]:
    """All runs; the students of several seeds side by side."""
    keys = cells(args.quick)
    seeds = range(args.seed, args.seed + args.seeds)
    todo = [(*key, students, seed, steps) for key, seed in product(keys, seeds)]
    done = iter(harness.run_tasks(dials.turned, todo, args, "turning dials"))
    found = {}
    for *place, value in keys:
        parts = [next(done) for _ in seeds]
        found[place[0], place[1], place[2], str(value)] = Turned(*(np.concatenate(x) for x in zip(*parts, strict=True)))
    return found


def measured(x: Turned, measure: str) -> Interval:
    """Interquartile mean over students; of a share, the mean."""
    every = getattr(x, measure)
    return interval([every], np.mean) if measure == "lowered" else interval([every])


def values(found: dict[Key, Turned]) -> pd.DataFrame:
    """Every measure at every value."""
    rows = [(*key, measure, *measured(x, measure)) for (key, x), measure in product(found.items(), MEASURES)]
    return pd.DataFrame(rows, columns=["dial", "world", "algorithm", "setting", "measure", "value", "lower", "upper"])


def paired(found: dict[Key, Turned]) -> pd.DataFrame:
    """Mean score over training minus that at the usual value."""
    rows = []
    for (dial, world, name, value), x in found.items():
        usual = str(USUAL[dial])
        if value != usual:
            more = x.area - found[dial, world, name, usual].area
            rows.append((dial, world, name, value, usual, *interval([more]), float((more > 0).mean())))
    names = ["dial", "world", "algorithm", "setting", "minus", "value", "lower", "upper", "better"]
    return pd.DataFrame(rows, columns=names)


def violated(t: Tables) -> list[str]:
    """What contradicts a theorem: a truthful teacher, or one whose bit is wrong less than half of the time, lowers no
    return in a Garnet (claim 9, local objectives)."""
    if empty := harness.empty(t):
        return empty
    table = t["values"]
    out = []
    fell = table.query("dial == 'noise' and world == 'garnet' and measure == 'lowered' and algorithm in @LOCAL")
    fell = fell[fell["setting"].astype(float) < 0.5]
    if fell.empty:
        out.append("claim 9: no Garnet has been asked")
    for x in fell[~(fell["value"] == 0)].itertuples():
        out.append(
            f"claim 9: {x.algorithm} with a bit wrong with probability {x.setting} lowers {x.value:.2%} of the returns"
        )
    for name, part in t.items():
        unknown = part[["value", "lower", "upper"]].isna().any(axis=1)
        if unknown.any():
            out.append(f"{name} has {unknown.sum()} rows that are NaN")
        elif not (part["lower"] <= part["upper"]).all():
            out.append(f"{name} has intervals that end before they start")
    return out


def summary(t: Tables) -> Table:
    """For each dial and algorithm the value with the largest mean score, over worlds."""
    table = Table(title="Turning one dial: mean score over training (worlds averaged)")
    for heading in ("dial", "algorithm", "worst", "usual", "best"):
        table.add_column(heading)
    area = t["values"].query("measure == 'area'")
    for (dial, name), x in area.groupby(["dial", "algorithm"], sort=False):
        complete = x.groupby("setting", sort=False)["value"].agg(["mean", "size"])
        mean = complete.loc[complete["size"] == complete["size"].max(), "mean"]
        words = [f"{v}: {mean[v]:.3f}" for v in (mean.idxmin(), str(USUAL[str(dial)]), mean.idxmax())]
        table.add_row(str(dial), str(name), *words)
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment: tables, pictures, verdicts; exit status 1 if a claim is contradicted."""
    args = harness.command_line("ablations", (__doc__ or "").splitlines()[0], argv)
    students, steps = (QUICK_STUDENTS, QUICK_STEPS) if args.quick else (STUDENTS, dials.STEPS)
    found = turned(args, students, steps)
    tables = {"values": values(found), "paired": paired(found)}
    told = {"students": students, "steps": steps, "eta": dials.ETA, "delta": runs.DELTA, "usual": USUAL}
    read = {"dtype": {"setting": str, "minus": str}, "keep_default_na": False}
    harness.conclude("ablations", args, tables, ablations_plots.draw, told, summary, violated, **read)


if __name__ == "__main__":
    main()
