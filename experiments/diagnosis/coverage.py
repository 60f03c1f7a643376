"""Thousands of logs with known truth, diagnosed by the code that users run: the table `cells`, and what follows."""

from __future__ import annotations

import zlib
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binom, norm

from distil_theory.diagnosis import rates
from distil_theory.diagnosis.rates import Column
from distil_theory.diagnosis.tally import Estimates, Tally
from experiments.diagnosis import games, logs, truth
from experiments.diagnosis.games import Every, Game

TRUSTS = (0.2, 0.6, 0.95)
"""Mild to heavy weights."""
SHAPES = ((64, 2), (64, 8), (256, 4), (512, 2))
"""Groups, and rollouts in a group."""
LOGS = 2000
PIECE = 6400
"""Groups in one block; each block has bootstrap weights of its own."""
REPLICATES = 199
LEVEL, LEAST, MOST = 0.95, 0.93, 0.97
CANDIDATES = (0, 2, 5, 8, 10, 15, 20, 25, 30, 40, 60, 80)
"""Thresholds of `carrying`, of which `distil_theory.diagnosis.trust` has one."""
SHARES = (0.05, 0.2, 0.5)
"""A cell warns if so many of its logs do; the last one is the rule, the others show what it would matter."""
POWER = 0.8
TOP = 1
"""Tokens that logs with unlisted tails list."""
SLACK = 1e-12
"""Truth and interval may be one number, up to rounding."""


def kept(every: Every) -> tuple[list[Column], tuple[np.ndarray, ...]]:
    """What a log with whole distributions identifies, and one that lists `TOP` tokens, and `Tally.per_rollout` of every
    rollout there is: logs are drawn from these."""
    alone = np.arange(len(every.chance))[:, None]
    whole, listed = logs.block(every, alone), logs.block(every, alone, TOP)
    plan, ends = list(rates.columns(whole)), [c for c in rates.columns(listed) if c.end]
    scores, checks, moments = Tally(plan).per_rollout(whole)
    bounds = Tally(ends).per_rollout(listed)[0]
    known = np.isfinite(bounds).all(axis=0)  # one end is infinite: not identified
    known &= known.reshape(-1, 2).all(axis=1).repeat(2)
    plan += [c for c, k in zip(ends, known, strict=True) if k]
    return plan, (np.concatenate([scores, bounds[:, known]], axis=1), checks, moments)


def cells(kind: str, name: str, trust: float, groups: int, size: int, count: int, seed: int) -> pd.DataFrame:
    """One row per rate: what `count` logs of this shape say of it."""
    game = games.named([name])[0].trusted(trust)
    rng = np.random.default_rng([seed, zlib.crc32(f"{name} {trust} {groups} {size}".encode())])
    plan, every_score = kept(game.every)
    pieces, at_once = [], max(PIECE // groups, 1)
    for first in range(0, count, at_once):
        n = min(at_once, count - first)
        places = game.every.draw((n, groups), size, rng)
        tally = Tally(plan, logs=n, replicates=REPLICATES, seed=int(rng.integers(2**31)))
        tally.take(logs.bare(game.every, places), *(x[places.ravel()] for x in every_score))
        pieces.append(tally.estimates(LEVEL))
    told = {"set": kind, "game": name, "trust": trust, "groups": groups, "size": size, "rollouts": groups * size}
    return _rows(told, game, plan, pieces)


def _rows(told: dict[str, Any], game: Game, plan: list[Column], pieces: list[Estimates]) -> pd.DataFrame:
    value, low, high, error, carrying = (np.concatenate(x) for x in zip(*(p.rates for p in pieces), strict=True))
    warned, expected = (np.concatenate([getattr(p.trust, x) for p in pieces]) for x in ("warned", "expected"))
    rows = []
    for k, column in enumerate(plan):
        if column.end == "high":
            continue
        upper = k + 1 if column.end else k
        target = truth.rate(game, column.level, column.divergence, rates.CLIP)
        below, above = target < low[:, k] - SLACK, target > high[:, upper] + SLACK
        silent = ~(warned[:, k] | warned[:, upper])
        hit = ~(below | above)
        raises, lowers = low[:, k] > 0, high[:, upper] < 0
        wrong = (raises & (target <= 0)) | (lowers & (target >= 0))
        rows.append(told | {
            "rate": column.name, "form": "top" if column.end else "full", "truth": target, "logs": len(hit),
            "warned": float(1 - silent.mean()), "carrying": float(np.median(carrying[:, k])),
            "expected": float(np.median(expected[:, k])), "covered": float(hit.mean()), "below": float(below.mean()),
            "above": float(above.mean()), "silent": int(silent.sum()), "silent_covered": int((hit & silent).sum()),
            "decided": float((silent & (raises | lowers)).mean()), "wrong": float((silent & wrong).mean()),
            "bias": float(value[:, k].mean() - target), "bias_error": float(value[:, k].std() / len(hit) ** 0.5),
            "deviation": float(value[:, k].std()), "error": float(np.median(error[:, k])),
            "width": float(np.median(high[:, upper] - low[:, k])),
        })  # fmt: skip
    return pd.DataFrame(rows)


def chance_outside(logs_: int) -> float:
    """Probability that a cell of true coverage `LEVEL` is seen outside `[LEAST, MOST]`."""
    return float(binom.cdf(np.ceil(LEAST * logs_) - 1, logs_, LEVEL) + binom.sf(np.floor(MOST * logs_), logs_, LEVEL))


def judged(cells_: pd.DataFrame, share: float = SHARES[-1]) -> pd.DataFrame:
    """The cells, with whether they *warn* (at least this share of their logs do) and whether coverage is *good*."""
    warns = cells_["warned"] >= share
    two_sided = cells_["form"] == "full"  # an interval for an interval covers more
    good = (cells_["covered"] >= LEAST) & ((cells_["covered"] <= MOST) | ~two_sided)
    return cells_.assign(warns=warns, good=good)


def counts(cells_: pd.DataFrame) -> pd.DataFrame:
    """Per set and form: cells, those that warn, those of the others that are outside, and how many chance would put
    there; silent logs of all cells, and of cells that warn, with their coverage."""
    rows = []
    for share, (kind, form) in product(SHARES, cells_[["set", "form"]].drop_duplicates().to_numpy()):
        part = judged(cells_[(cells_["set"] == kind) & (cells_["form"] == form)], share)
        quiet, loud = part[~part["warns"]], part[part["warns"]]
        rows.append({
            "set": kind, "form": form, "share": share, "cells": len(part), "warn": len(loud),
            "outside": int((~quiet["good"]).sum()), "expected_by_chance": sum(map(chance_outside, quiet["logs"])),
            "least": quiet["covered"].min(), "median": quiet["covered"].median(), "most": quiet["covered"].max(),
            "least_of_warned": loud["covered"].min(), "silent_logs": int(part["silent"].sum()),
            "silent_covered": part["silent_covered"].sum() / max(part["silent"].sum(), 1),
            "silent_in_warned": int(loud["silent"].sum()),
            "silent_in_warned_covered": loud["silent_covered"].sum() / max(loud["silent"].sum(), 1),
        })  # fmt: skip
    return pd.DataFrame(rows)


def thresholds(cells_: pd.DataFrame) -> pd.DataFrame:
    """What coverage the cells would have whose median `carrying` reaches a threshold."""
    rows = []
    for (kind, least), part in (
        ((kind, t), part[part["carrying"] >= t])
        for kind, part in cells_[cells_["form"] == "full"].groupby("set", sort=False)
        for t in CANDIDATES
    ):
        rows.append({"set": kind, "threshold": least, "cells": len(part), "outside": int((~part["good"]).sum()),
                     "least": part["covered"].min(), "most": part["covered"].max(),
                     "largest_one_sided": part[["below", "above"]].to_numpy().max(initial=0.0)})  # fmt: skip
    return pd.DataFrame(rows)


def needed(cells_: pd.DataFrame) -> pd.DataFrame:
    """Rollouts until the sign is certain in four of five logs, from the errors of the largest log of each group size
    that does not warn: `n (1.96 + 0.84)^2 (error / rate)^2`."""
    quiet = cells_[~cells_["warns"] & (cells_["form"] == "full") & (cells_["truth"].abs() > 1e-9)]
    quiet = quiet.sort_values("rollouts").groupby(["set", "game", "trust", "size", "rate"], sort=False).tail(1)
    effect = (norm.ppf(1 - (1 - LEVEL) / 2) + norm.ppf(POWER)) * quiet["deviation"] / quiet["truth"].abs()
    keep = quiet[["set", "game", "trust", "size", "rate", "truth", "rollouts", "deviation"]]
    return keep.assign(needed=quiet["rollouts"] * effect**2)


def pooled(pieces: pd.DataFrame) -> pd.DataFrame:
    """Cells of several seeds as one, each log counting once."""
    key = ["set", "game", "trust", "groups", "size", "rollouts", "rate", "form", "truth"]
    sums = ["logs", "silent", "silent_covered"]
    if not pieces.duplicated(key[:-1]).any():
        return pieces
    groups = pieces.groupby(key, sort=False)
    means = groups.mean(numeric_only=True)
    return means.drop(columns=sums).join(groups[sums].sum()).reset_index()[list(pieces.columns)]
