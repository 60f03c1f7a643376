"""From the rows of the pieces to the tables that are saved: means over seeds, paired differences, verdicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import t

from experiments.llm_scale.cases import OUTCOMES
from experiments.llm_scale.predictions import LEAST, PREDICTIONS, Dial, Prediction, verdict

CORNER = ["game", "width", "teacher", "rate", "gradient"]
REFERENCE = "forward_ce"
METRICS = ("mean_return", "return", "mean_greedy", "greedy", "entropy", "length")
LEVEL = 0.95


def interval(x: np.ndarray) -> tuple[float, float, float]:
    """Mean over seeds with Student's interval; NaN bounds for one seed."""
    n, mean = len(x), float(x.mean())
    half = float(t.ppf((1 + LEVEL) / 2, n - 1) * x.std(ddof=1) / n**0.5) if n > 1 else np.nan
    return mean, mean - half, mean + half


def first_rate(table: pd.DataFrame) -> pd.Series:
    """Where the rate of a width is its first one, which is tried before any other."""
    return table["rate"] == table.groupby("width")["rate"].transform("first")


def with_outcomes(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, those of objectives without a teacher once for each teacher with which they are compared."""
    outcome = rows["objective"].isin(OUTCOMES)
    shared = [key for key in CORNER if key != "teacher"]
    corners = rows.loc[~outcome, CORNER].drop_duplicates()
    copies = rows[outcome].drop(columns=["teacher", "return_teacher"], errors="ignore").merge(corners, on=shared)
    return pd.concat([rows[~outcome], copies], ignore_index=True)


def ends(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per run: what it ends with, and its returns averaged over the training."""
    key = [*CORNER, "objective", "seed"]
    grouped = rows.sort_values("step", kind="stable").groupby(key, sort=False)
    last = grouped.last().drop(columns="step")
    means = {f"mean_{name}": grouped[name].mean() for name in ("return", "greedy")}
    return last.assign(**means, before=grouped["return"].first()).reset_index()


def networks(rows: pd.DataFrame, parameters: dict[str, int]) -> pd.DataFrame:
    """Before training: return of every student and of its two teachers."""
    first = rows[(rows["step"] == 0) & (rows["objective"] == REFERENCE) & (rows["gradient"] == "exact")]
    first = first[first_rate(first)]
    key = ["game", "width", "seed"]
    wide = first.pivot_table(index=key, columns="teacher", values="return_teacher")
    table = wide.add_prefix("return_").join(first.groupby(key)["return"].first()).reset_index()
    table.insert(2, "parameters", table["width"].map(parameters))
    return table


def curves(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds at every step that was kept."""
    out = []
    for key, group in rows.groupby([*CORNER, "objective", "step"], sort=False):
        mean, low, high = interval(group["return"].to_numpy())
        out.append((*key, len(group), mean, low, high, group["return_teacher"].mean(), group["greedy"].mean(),
                    group["entropy"].mean(), group["length"].mean()))  # fmt: skip
    columns = [*CORNER, "objective", "step", "seeds", "return", "lower", "upper", "return_teacher", "greedy", "entropy",
               "length"]  # fmt: skip
    return pd.DataFrame(out, columns=columns)


def by_seed(runs: pd.DataFrame, corner: Dial, game: str, objective: str, minus: str, metric: str) -> pd.Series:
    """Differences of two objectives at a corner, by seed; empty where one of them is missing."""
    at = replace(corner, game=game)
    here = runs[(runs["game"] == at.game) & (runs["width"] == at.width) & (runs["teacher"] == at.teacher)]
    here = here[here["gradient"] == at.gradient]
    grid = here.pivot_table(index="seed", columns="objective", values=metric)
    if not {objective, minus} <= set(grid):
        return pd.Series(dtype=float)
    return (grid[objective] - grid[minus]).dropna()


def paired(runs: pd.DataFrame) -> pd.DataFrame:
    """Every objective less local forward CE, in every metric, with the share of seeds in which it is more."""
    out = []
    for key, group in runs.groupby(CORNER, sort=False):
        for metric in METRICS:
            grid = group.pivot_table(index="seed", columns="objective", values=metric)
            for objective in [o for o in grid if o != REFERENCE and REFERENCE in grid]:
                d = (grid[objective] - grid[REFERENCE]).dropna().to_numpy()
                out.append((*key, objective, metric, len(d), *interval(d), float((d > 0).mean())))
    return pd.DataFrame(out, columns=[*CORNER, "objective", "metric", "seeds", "value", "lower", "upper", "ahead"])


def foretold(runs: pd.DataFrame, predictions: tuple[Prediction, ...] = PREDICTIONS) -> pd.DataFrame:
    """Every prediction that can be judged, game by game, at the first rate of each width."""
    out, runs = [], runs[first_rate(runs)]
    for p in predictions:
        for game in p.games or (p.at.game,):
            d = by_seed(runs, p.at, str(p.at.game or game), p.objective, p.minus, p.metric)
            if p.against is not None:
                d = d - by_seed(runs, p.against, str(p.against.game or game), p.objective, p.minus, p.metric)
            d = d.dropna()
            if len(d) < 2:
                continue
            found = interval(d.to_numpy())
            out.append((p.name, p.about, game, p.objective, p.minus, p.metric, p.expected, len(d), *found,
                        verdict(p.expected, *found, LEAST[p.metric]), p.why))  # fmt: skip
    columns = ["prediction", "about", "game", "objective", "minus", "metric", "expected", "seeds"]
    return pd.DataFrame(out, columns=[*columns, "value", "lower", "upper", "verdict", "why"])


def signs(steps: pd.DataFrame) -> pd.DataFrame:
    """First steps: clear predictions with the right sign, and how the error shrinks, by optimiser and size."""
    steps = steps.assign(
        agree=np.sign(steps["predicted"]) == np.sign(steps["actual"]),
        error=(steps["actual"] - steps["predicted"]).abs(),
        clear=steps["clear"].astype(bool),
    )
    grouped = steps.groupby(["width", "optimiser", "kl"], sort=False)
    table = grouped.agg(n=("clear", "size"), clear=("clear", "sum"), agree=("agree", "sum"), error=("error", "median"))
    table["clear_agree"] = steps[steps["clear"]].groupby(["width", "optimiser", "kl"])["agree"].sum()
    table["clear_agree"] = table["clear_agree"].fillna(0).astype(int)
    return table.reset_index()


def shares(steps: pd.DataFrame, efficiency: pd.DataFrame) -> pd.DataFrame:
    """Per objective and teacher, means over networks: `efficiency` of a free student, `gain` of each optimiser."""
    keys = ["game", "width", "teacher", "objective"]
    one = steps[steps["kl"] == steps["kl"].min()]
    gains = one.pivot_table(index=keys, columns="optimiser", values="gain").add_prefix("gain_")
    return efficiency.groupby(keys, sort=False)["efficiency"].mean().to_frame().join(gains).reset_index()
