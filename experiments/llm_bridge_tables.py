"""From the rows that the pieces of `experiments.llm_bridge` return to the tables that are saved, with intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from distil_theory import prevalence
from experiments.llm_bridge_cases import OBJECTIVES

RESAMPLES = 2000
CELL = ["truthful", "width", "teacher", "optimiser", "objective"]


def better(raw: dict[str, pd.DataFrame], table: pd.DataFrame) -> pd.DataFrame:
    """The rows whose teacher is better than the network; `gap` is by how much."""
    if "gap" not in table:
        keys = ["game", "width", "seed"]
        known = raw["networks"].melt([*keys, "return"], ["return_self", "return_exact"], "teacher", "best")
        known["teacher"] = known["teacher"].str.removeprefix("return_")
        table = table.merge(known.assign(gap=known["best"] - known["return"])[[*keys, "teacher", "gap"]])
    return table[table["gap"] > 0]


def shares(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """How often the return is lowered, with Wilson intervals: a seed in a game is one draw."""
    rows = []
    for key, group in table.groupby(by, sort=False):
        n, lowered = len(group), int((group["actual"] < 0).sum())
        interval = prevalence.wilson(lowered, n)
        rows.append((*key, n, lowered, lowered / n, *interval, int((group["predicted"] < 0).sum())))
    return pd.DataFrame(rows, columns=[*by, "n", "lowered", "share", "lower", "upper", "predicted_lower"])


def lowered(steps: pd.DataFrame) -> pd.DataFrame:
    """Panel (c): shares for each game and for all with one kind of feedback (`game` empty), and, paired by network, how
    much more often an objective lowers the return than local forward CE does, with bootstrap intervals."""
    rng = np.random.default_rng(0)
    tables = []
    for by in (CELL, ["game", *CELL]):
        table = shares(steps, by)
        keys = [k for k in by if k != "objective"]
        rows = []
        for key, group in steps.groupby(keys, sort=False):
            fell = (group.set_index(["game", "seed", "objective"])["actual"] < 0).unstack("objective").astype(float)
            picks = rng.integers(len(fell), size=(RESAMPLES, len(fell)))
            for objective in fell:
                more = (fell[objective] - fell["forward_ce"]).to_numpy()
                spread = np.quantile(more[picks].mean(axis=1), [0.025, 0.975])
                rows.append((*key, objective, more.mean(), *spread))
        paired = pd.DataFrame(rows, columns=[*keys, "objective", "more", "more_lower", "more_upper"])
        tables.append(table.merge(paired))
    return pd.concat(tables, ignore_index=True)


def signs(steps: pd.DataFrame, training: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Panel (b): sign agreement of clear predictions, first steps by size and training steps; and the exceptions."""
    later = training.dropna(subset=["predicted"]).assign(teacher="self", optimiser="adam, later", kl=np.nan)
    every = pd.concat([steps, later], ignore_index=True)
    clear = every["clear"].astype(bool)
    every["agree"] = np.sign(every["predicted"]) == np.sign(every["actual"])
    every["error"] = (every["actual"] - every["predicted"]).abs()
    rows = []
    for key, group in every.assign(clear=clear).groupby(["optimiser", "objective", "kl"], dropna=False, sort=False):
        sure = group[group["clear"]]
        sizes = (group[c].abs().median() for c in ("predicted", "second_order", "error"))
        rows.append((*key, len(group), len(sure), int(sure["agree"].sum()), int(group["agree"].sum()), *sizes))
    names = ["n", "clear", "clear_agree", "agree", "predicted", "second_order", "error"]
    exceptions = every[clear & ~every["agree"]].drop(columns=["agree"])
    return pd.DataFrame(rows, columns=["optimiser", "objective", "kl", *names]), exceptions


def order(steps: pd.DataFrame) -> pd.DataFrame:
    """Panel (a): error of the prediction over the size of the step, and the exponent between neighbouring sizes."""
    keys = ["game", "width", "seed", "teacher", "objective", "optimiser"]
    grid = (steps["actual"] - steps["predicted"]).abs().set_axis(pd.MultiIndex.from_frame(steps[[*keys, "kl"]]))
    wide = grid.unstack("kl").sort_index(axis=1)
    rows = []
    for optimiser, group in wide.groupby("optimiser", sort=False):
        before = None
        for kl in wide.columns:
            exponent = [np.nan] * 3
            if before is not None:  # eta is the root of the KL
                slope = np.log(group[kl] / group[before]) / (0.5 * np.log(kl / before))
                exponent = np.quantile(slope, [0.05, 0.5, 0.95]).tolist()
            rows.append((optimiser, kl, kl**0.5, group[kl].median(), *exponent))
            before = kl
    return pd.DataFrame(rows, columns=["optimiser", "kl", "eta", "error", "exponent_5", "exponent", "exponent_95"])


def damped(raw: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Rates of the natural step in units of the gap, over the damping."""
    table = better(raw, raw["damping"])
    table = table.assign(ratio=table["rate"] / table["gap"], table_ratio=table["table_rate"] / table["gap"])
    by = ["truthful", "width", "teacher", "objective", "damping"]
    rows = []
    for key, group in table.groupby(by, sort=False):
        low, high = prevalence.wilson(int((group["rate"] < 0).sum()), len(group))
        quartiles = np.quantile(group["ratio"], [0.25, 0.5, 0.75])
        off = (group["ratio"] - group["table_ratio"]).abs().median()
        rows.append((*key, len(group), *quartiles, off, (group["rate"] < 0).mean(), low, high))
    names = ["n", "ratio_25", "ratio", "ratio_75", "off_table", "falls", "lower", "upper"]
    return pd.DataFrame(rows, columns=[*by, *names])


def curves(training: pd.DataFrame) -> pd.DataFrame:
    """Panel (e): means over seeds with bootstrap intervals, and paired differences to local forward CE."""
    rng = np.random.default_rng(0)
    rows = []
    for game, part in training.groupby("game", sort=False):
        picks = rng.integers(part["seed"].nunique(), size=(RESAMPLES, part["seed"].nunique()))
        for quantity in ("return", "return_self", "entropy", "length"):
            grids = {o: g.pivot(index="seed", columns="step", values=quantity) for o, g in part.groupby("objective")}
            for objective in OBJECTIVES:
                for versus, grid in (("", grids[objective]), ("forward_ce", grids[objective] - grids["forward_ce"])):
                    spread = np.quantile(grid.to_numpy()[picks].mean(axis=1), [0.025, 0.975], axis=0)
                    for step, mean, low, high in zip(grid.columns, grid.mean(), *spread, strict=True):
                        rows.append((game, quantity, objective, versus, step, len(grid), mean, low, high))
    names = ["game", "quantity", "objective", "minus", "step", "seeds", "mean", "lower", "upper"]
    return pd.DataFrame(rows, columns=names).dropna(subset=["mean"])
