"""From the folders of finished runs to tidy tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distil_theory import success
from distil_theory.llm import evaluate
from experiments.harness import Tables
from experiments.llm_validation import statistics
from experiments.llm_validation.plan import REFERENCE, Run, Setting
from experiments.llm_validation.predictions import Prediction
from experiments.llm_validation.runs import PHASES

ATTEMPTS = (1, 2, 4, 8, 16)
KEY = ["task", "seed", "algorithm"]
CURVES = {
    "reward": "success", "completions/mean_length": "length", "entropy": "entropy", "distil/entropy": "entropy",
    "loss": "loss", "grad_norm": "gradient", "distil/kl": "kl",
}  # fmt: skip
"""Columns of the trainer's log, and what we call them; a later one fills what an earlier one lacks."""


def worked(completion: str) -> bool:
    """Whether something is written before the last `=`: steps, a calculation."""
    return bool(completion.rpartition("=")[0].strip(". "))


def by_item(completions: pd.DataFrame, attempts: Sequence[int] = ATTEMPTS) -> pd.DataFrame:
    """One row per item: right answers, Pass@N, Maj@k and Best@k of its `k` answers, mean length and entropy.

    Answers are right or wrong, so Best@k is Pass@k; Maj@k is the chance that the most frequent vote is right, ties
    being broken by a fair draw. `likeliest`: whether the answer that the student itself finds likeliest is right, and
    `untapped` what that is above the mean: success that the student has and that sampling at temperature 1 hides. The
    likeliest answer is often a short one; `per_token` is of that with the greatest mean log-probability per token,
    which favours long ones.
    """
    rows = []
    for item, own in completions.groupby("item", sort=False):
        k, right = len(own), int(own["right"].sum())
        passed = {f"pass_{n}": float(success.estimate_pass_at_n([right], k, n).value[0]) for n in attempts if n <= k}
        sure = own["log_prob"].to_numpy(float)
        likeliest, per_token = (float(own["right"].iloc[x.argmax()]) for x in (sure, sure / own["length"].to_numpy()))
        rows.append({"item": item, "samples": k, "right": right, "avg": right / k, "maj": evaluate.majority(own, k),
                     "likeliest": likeliest, "untapped": likeliest - right / k, "per_token": per_token,
                     "best": float(right > 0), **passed, "length": own["length"].mean(),
                     "entropy": own["entropy"].mean(), "ended": own["ended"].mean(),
                     "worked": own["completion"].map(worked).mean()})  # fmt: skip
    return pd.DataFrame(rows)


def collected(home: Path, runs: Sequence[Run]) -> Tables:
    """The tables `items`, `curves`, `runs` of all finished runs; before training once for every run."""
    items, curves, told = [], [], []
    for run in runs:
        folder = home / run.name
        if not (folder / "run.json").exists():
            continue
        names = {"task": run.task, "seed": run.seed, "algorithm": run.algorithm}
        for phase in PHASES:
            path = folder / "after.csv" if phase == "after" else home / f"{phase}-{run.where}.csv"
            items.append(by_item(pd.read_csv(path, keep_default_na=False)).assign(**names, phase=phase))
        log = pd.read_csv(folder / "steps.csv")
        curves.append(learning(log).assign(**names))
        told.append(machine(json.loads((folder / "run.json").read_text())) | {"seconds": log["step_time"].sum()})
    if not told:
        return {"items": pd.DataFrame(), "curves": pd.DataFrame(), "runs": pd.DataFrame()}
    ordered = [*KEY, "phase"]
    table = pd.concat(items, ignore_index=True)
    return {
        "items": table[[*ordered, *(c for c in table.columns if c not in ordered)]],
        "curves": pd.concat(curves, ignore_index=True)[[*KEY, "step", *dict.fromkeys(CURVES.values())]],
        "runs": pd.DataFrame(told),
    }


def learning(log: pd.DataFrame) -> pd.DataFrame:
    """The trainer's log in our words."""
    out = pd.DataFrame({"step": log["step"].astype(int)})
    for source, name in CURVES.items():
        found = log[source] if source in log else pd.Series(np.nan, index=log.index)
        out[name] = out[name].fillna(found) if name in out else found
    return out


def machine(told: dict[str, Any]) -> dict[str, Any]:
    """A row of the table `runs`."""
    names = (*KEY, "device", "processor", "processes", "code")
    return {name: told[name] for name in names} | told["versions"]


FORETOLD = ("prediction", "claims", "task", "algorithm", "minus", "metric", "expected", "seeds", "value", "lower",
            "upper", "detectable", "verdict")  # fmt: skip
METRICS = ("avg", "maj", "likeliest", "untapped", "per_token", "best", *(f"pass_{n}" for n in ATTEMPTS[1:-1]), "length",
           "entropy", "ended", "worked")  # fmt: skip


def there(items: pd.DataFrame) -> list[str]:
    """The metrics that the answers are enough for."""
    return [name for name in METRICS if name in items]


def metrics(items: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds and items, with the interval over both where there are two seeds."""
    rows = []
    for (task, algorithm, phase), own in items.groupby(["task", "algorithm", "phase"], sort=False):
        for metric in there(items):
            found = statistics.difference(cells(own, metric))
            rows.append({"task": task, "algorithm": algorithm, "phase": phase, "metric": metric,
                         "seeds": own["seed"].nunique(), "items": own["item"].nunique(), "value": found.value,
                         "lower": found.lower, "upper": found.upper})  # fmt: skip
    return pd.DataFrame(rows)


def cells(items: pd.DataFrame, metric: str) -> np.ndarray:
    """Values `(seeds, items)` of one algorithm, task and phase."""
    return items.pivot(index="seed", columns="item", values=metric).to_numpy(float)


def differences(items: pd.DataFrame, task: str, algorithm: str, minus: str, metric: str) -> np.ndarray | None:
    """After training, `(seeds, items)` of the seeds that both have finished; `None` if there are none."""
    after = items[(items["phase"] == "after") & (items["task"] == task)]
    pair = [after[after["algorithm"] == name].pivot(index="seed", columns="item", values=metric)
            for name in (algorithm, minus)]  # fmt: skip
    seeds = pair[0].index.intersection(pair[1].index)
    return (pair[0].loc[seeds] - pair[1].loc[seeds]).to_numpy(float) if len(seeds) else None


def paired(items: pd.DataFrame, minus: str = REFERENCE) -> pd.DataFrame:
    """Every algorithm less the reference, in every task and metric, by seed, by item and by both."""
    rows = []
    names = [a for a in items["algorithm"].unique() if a != minus]
    for task, algorithm, metric in product(items["task"].unique(), names, there(items)):
        d = differences(items, task, algorithm, minus, metric)
        for way in statistics.WAYS if d is not None else ():
            found = statistics.difference(d, way)
            rows.append({"task": task, "algorithm": algorithm, "minus": minus, "metric": metric, "way": way,
                         "seeds": d.shape[0], "items": d.shape[1], **found._asdict()})  # type: ignore[union-attr]  # fmt: skip
    return pd.DataFrame(rows)


def foretold(
    items: pd.DataFrame, power: pd.DataFrame, setting: Setting, predictions: Sequence[Prediction]
) -> pd.DataFrame:
    """What was predicted, what was found, and whether that decides it."""
    least = power[power["source"] == "stated"].set_index(["task", "metric"])["detectable"]
    rows = []
    for p in predictions:
        for task in setting.tasks:
            if not p.about(task, setting):
                continue
            d = differences(items, task, p.algorithm, p.minus, p.metric)
            if d is None:
                continue
            found, mde = statistics.difference(d), float(least.get((task, p.metric), np.nan))
            rows.append({"prediction": p.name, "claims": p.claims, "task": task, "algorithm": p.algorithm,
                         "minus": p.minus, "metric": p.metric, "expected": p.expected, "seeds": d.shape[0],
                         "value": found.value, "lower": found.lower, "upper": found.upper, "detectable": mde,
                         "verdict": verdict(p, found, mde)})  # fmt: skip
    return pd.DataFrame(rows, columns=list(FORETOLD))


def verdict(p: Prediction, found: statistics.Difference, detectable: float) -> str:
    """`held` or `contradicted` if the interval over seeds and items leaves 0 out and the difference is one that the
    grid was made to detect; else `undecided`."""
    if not (found.lower > 0 or found.upper < 0) or not abs(found.value) >= detectable:
        return "undecided"
    if p.expected == "none":
        return "contradicted"
    return "held" if (found.value > 0) == (p.expected == "higher") else "contradicted"
