"""What the grid can be expected to find, computed before it is run: the table `power`.

*Binomial*: only the noise of sampling each answer, from students before any training: no grid of this size can find
less. *Pilot*: two algorithms trained with other seeds; how their differences vary between seeds, items and cells.
*Assumed*: where a pilot would cost as much as the grid (rung 2), the spread between seeds and items is a guess that is
written down beforehand, `ASSUMED`; a pilot with few seeds is not believed to have less than half of it. *Stated* is
what counts: the larger of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.llm_validation import statistics, tables
from experiments.llm_validation.plan import Run, Setting, ordered
from experiments.llm_validation.statistics import Spread

FIRST_SEED = 100
ONE_BIT, COIN = ("likeliest", "untapped"), 0.45
"""What hangs on one answer to each item, and the deviation of a difference in a cell: the largest that the first seeds
of rung 2 had, where fair coins in both algorithms would have `sqrt(1/2)`."""
ASSUMED = {name: (0.05, 0.15) for name in ("avg", "length", "entropy", "worked", *ONE_BIT)}
"""Standard deviations of a difference between seeds and between items: of a share; of the mean length and entropy."""
SHARES = ("avg", "worked", *ONE_BIT)


def pilot(setting: Setting, seeds: int) -> list[Run]:
    """Its runs: the reference and cross-entropy-to-go, with seeds that the grid does not use."""
    small = setting.but(algorithms=("local_ce", "ce_to_go"))
    return ordered(small, range(FIRST_SEED, FIRST_SEED + seeds))


def table(home: Path, setting: Setting, runs: Sequence[Run], trained: bool) -> pd.DataFrame:
    """The table.

    Args:
        home: of the runs.
        setting: of the grid to come.
        runs: of the pilot.
        trained: whether they are finished; otherwise their students have only been judged before training.
    """
    items = tables.collected(home, runs)["items"] if trained else pd.DataFrame()
    rows = []
    for task in setting.tasks:
        wheres = {run.seed: run.where for run in runs if run.task == task}
        read = [pd.read_csv(home / f"before-{where}.csv", keep_default_na=False) for where in wheres.values()]
        answers = pd.concat(read, keys=list(wheres), names=["seed"])
        answers["avg"], answers["worked"] = answers["right"], answers["completion"].map(tables.worked).astype(float)
        for metric in ASSUMED:
            rest = COIN
            if metric not in ONE_BIT:
                within = answers.groupby(["seed", "item"])[metric].var(ddof=1).mean()
                rest = float(np.sqrt(2 * within / setting.samples))
            scale = 1.0 if metric in SHARES else float(answers[metric].mean())
            seed_sd, item_sd = (x * scale for x in ASSUMED[metric])
            source, found = "assumed", Spread(seed_sd, item_sd, rest)
            if trained:
                d = tables.differences(items, task, "ce_to_go", "local_ce", metric)
                assert d is not None
                own = statistics.spread(d)
                source, found = "pilot", Spread(max(own.seed, seed_sd / 2), own.item, max(own.rest, rest))
            for name, noise in (("binomial", Spread(0.0, 0.0, rest)), (source, found)):
                least = statistics.detectable(noise, setting.seeds, setting.items)
                rows.append({"task": task, "metric": metric, "source": name, "seeds": setting.seeds,
                             "items": setting.items, "samples": setting.samples, "pilot_seeds": len(wheres),
                             "seed_sd": noise.seed, "item_sd": noise.item, "rest_sd": noise.rest,
                             "detectable": least})  # fmt: skip
    out = pd.DataFrame(rows)
    stated = out.sort_values("detectable").groupby(["task", "metric"], sort=False).tail(1).assign(source="stated")
    return pd.concat([out, stated], ignore_index=True)
