"""What the horizon can do at worst: the chains of claim 8, the curves of 8b and 8c, the band of claims 16 and 16b.

Everything is evaluated by the library: the chains in rationals, so that bounds and equations are decided, not
estimated; the pairs that attain a curve again, as MDPs; random MDPs in batches.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from distil_theory import horizon, horizon_tree, instances, objectives, solve, updates
from distil_theory.divergences import FORWARD_KL
from distil_theory.horizon import HorizonCurve, WorstPair
from distil_theory.horizon_tree import EveryStateCurve
from experiments import harness
from experiments import sequential_search as search

CHAINS = {"horizon_chain": instances.horizon_chain, "better_somewhere": instances.better_somewhere}
RARITIES = ("1/1000", "1/100", "1/20", "1/5")
"""The student's probabilities of leaving and of succeeding."""
DELTA, LONGEST = "1/10", 24
STEPPED, STEPPED_RARITY = (2, 4, 8, 16), "1/100"
"""Horizons of which finite steps are drawn."""
RANGE, CURVES, CLIMBED = (0.5, 2.0), (2, 4, 8), (2, 4)
"""Ratios and horizons of the tight curves; horizons at which ascents look for worse."""
VERSIONS: dict[str, Callable[..., Any]] = {"average": HorizonCurve, "everywhere": EveryStateCurve}
RANGES, LONG = ((0.5, 2.0), (0.8, 1.25)), 32
"""Ratios of the safe gaps, and their longest horizon."""
BAND, BAND_SHAPES = (0.7, 1.5), {2: (3, 3), 4: (4, 3), 8: (4, 3)}
"""Ratios of the band; horizon to states and actions of its random MDPs."""
SHARPEST = {2: 0.5, 3: 0.05, 4: 3e-3, 6: 9e-4, 8: 9e-6}
"""Horizon to a `chi2` for which `horizon_tree.sharpest` finds a pair."""
EXAMPLE = 0.05, 0.1
"""`chi2` and gap of the sentence in words."""
BLOCK, KEPT = 10_000, 600
"""Random pairs per task; how many of each horizon the table keeps."""


def chain(name: str, steps: int, rarity: str) -> tuple[float, float, float, float, bool]:
    """Gap, rate, prefix-weighted rate, bound, and whether bound and equation hold exactly."""
    _, mdp, student, expert, _ = case = CHAINS[name](steps, DELTA, rarity, rarity)
    rate = objectives.improvement_rate(mdp, student, expert, FORWARD_KL)
    weight = objectives.occupancy_ratio(mdp, student, expert)
    weighted = objectives.improvement_rate(mdp, student, expert, FORWARD_KL, weight=weight)
    bound = -(steps - (name == "horizon_chain")) * (1 - case.gap)
    holds = bool(rate >= bound and weighted == case.gap and case.gap > 0)
    return float(case.gap), float(rate), float(weighted), float(bound), holds


def chains(args: argparse.Namespace, longest: int = LONGEST) -> pd.DataFrame:
    """Panel (a): every chain at every horizon, in rationals."""
    tasks = [(name, steps, rarity) for name in CHAINS for rarity in RARITIES for steps in range(2, longest + 1)]
    done = harness.run_tasks(chain, tasks, args, "chains, in rationals")
    rows = [(*task, *found) for task, found in zip(tasks, done, strict=True)]
    names = ["instance", "horizon", "rarity", "gap", "rate", "weighted_rate", "bound", "holds"]
    return pd.DataFrame(rows, columns=names)


def steps(points: int) -> pd.DataFrame:
    """Panel (a): what a natural step of size `eta` does to the return on the horizon chain."""
    rows, etas = [], np.concatenate([[0], np.geomspace(1e-4, 1, points)])
    for length in STEPPED:
        mdp, student, expert = instances.horizon_chain(length, DELTA, *[STEPPED_RARITY] * 2).convert("float64")[1:4]
        weight = objectives.occupancy_ratio(mdp, student, expert)
        for part, w in (("local", None), ("weighted", weight)):
            velocity = updates.direction(mdp, student, expert, FORWARD_KL, weight=w)
            after = solve.expected_return(mdp, updates.exponential_step(mdp, student, velocity, etas))
            rows.append(pd.DataFrame({"horizon": length, "part": part, "eta": etas, "return": after}))
    return pd.concat(rows, ignore_index=True)


def curves(points: int) -> pd.DataFrame:
    """Panel (b): the largest loss at each gap."""
    rows = []
    for version, curve in VERSIONS.items():
        for length in CURVES:
            tight = curve(length, *RANGE)
            gaps = np.linspace(0, 1, points) * tight.most
            rows.append(pd.DataFrame({"version": version, "horizon": length, "gap": gaps, "loss": tight.loss(gaps)}))
    return pd.concat(rows, ignore_index=True)


def again(pair: WorstPair) -> tuple[float, float]:
    """Gap and rate of a pair, by the library."""
    rate = objectives.improvement_rate(pair.mdp, pair.student, pair.expert, FORWARD_KL)
    values = [solve.expected_return(pair.mdp, policy) for policy in (pair.expert, pair.student)]
    return float(values[0] - values[1]), float(rate)


def climb(version: str, length: int, starts: int, rounds: int, seed: int) -> pd.DataFrame:
    """Where ascents from random starts end, beside the curve; those whose expert is better."""
    prices = np.geomspace(0.05, 8, starts)
    found = search.ascend(version, length, *RANGE, prices, rounds, [seed])
    kept = found.gap >= 0
    gap, loss = found.gap[kept], -found.rate[kept]
    tight = VERSIONS[version](length, *RANGE)
    return pd.DataFrame({"gap": gap, "loss": loss, "curve": tight.loss(np.minimum(gap, tight.most))})


def marks(starts: int, rounds: int, args: argparse.Namespace) -> pd.DataFrame:
    """Panel (b): pairs that attain the curves, evaluated again, and what the ascents found."""
    rows = []
    for version, curve in VERSIONS.items():
        for length in CURVES:
            tight = curve(length, *RANGE)
            for share in (0, 0.25, 0.5, 0.75, 1):
                worst = tight.worst(share * tight.most)
                gap, rate = again(worst)
                rows.append(("attained", version, length, gap, -rate, float(worst.loss)))
    names = ["kind", "version", "horizon", "gap", "loss", "curve"]
    tasks = [(version, length, starts, rounds, seed) for version in VERSIONS for length in CLIMBED
             for seed in range(args.seed, args.seed + args.seeds)]  # fmt: skip
    tables = [pd.DataFrame(rows, columns=names)]
    for (version, length, *_), table in zip(tasks, harness.run_tasks(climb, tasks, args, "ascents"), strict=True):
        tables.append(table.assign(kind="ascent", version=version, horizon=length)[names])
    return pd.concat(tables, ignore_index=True)


def safe_gaps(longest: int) -> pd.DataFrame:
    """Panel (b): the safe gap against the horizon, beside the bound that knows `chi2` only."""
    rows = []
    for low, high in RANGES:
        chi2 = (1 - low) * (high - 1)
        for version, curve in VERSIONS.items():
            last = longest if version == "average" else min(longest, horizon_tree.DEEPEST)
            for length in range(1, last + 1):
                tight = curve(length, low, high)
                exact = HorizonCurve(length, low, high).deviation()
                bound = float(horizon.deviation_bound(length, chi2))
                rows.append(
                    (version, low, high, length, float(tight.safe_gap()), float(tight.most), exact, chi2, bound)
                )
    names = ["version", "low", "high", "horizon", "safe_gap", "largest_gap", "deviation", "chi2", "chi2_bound"]
    return pd.DataFrame(rows, columns=names)


def sampled(length: int, n: int, kept: tuple[int, int], seed: int, block: int) -> pd.DataFrame:
    """Random pairs: the first few, and those whose rate differs most from the gap; all are compared with the bounds."""
    found = search.random_pairs(length, *BAND_SHAPES[length], *BAND, n, [seed, block])
    off = abs(found.rate - found.gap)
    some, most = kept
    first = np.arange(min(some, n))
    shown = np.unique(np.concatenate([first, np.argsort(-off)[:most]]))
    relative = off / horizon.deviation_bound(length, found.chi2)
    shown = np.union1d(shown, [np.argmax(off), np.argmax(relative)])
    return pd.DataFrame({"gap": found.gap, "rate": found.rate, "chi2": found.chi2}).iloc[shown]


def band(n: int, starts: int, rounds: int, args: argparse.Namespace) -> pd.DataFrame:
    """Panel (e): rate and gap of random pairs, of ascents and of the sharp pairs, beside claim 16's bounds."""
    blocks = max(n // BLOCK, 1)
    kept = (max(KEPT // blocks, 1), max(KEPT // (4 * blocks), 1))
    seeds = range(args.seed, args.seed + args.seeds)
    tasks = [(length, min(n, BLOCK), kept, s, b) for length in BAND_SHAPES for s in seeds for b in range(blocks)]
    done = harness.run_tasks(sampled, tasks, args, "random pairs")
    tables = [
        table.assign(kind="random", horizon=task[0], low=BAND[0], high=BAND[1])
        for task, table in zip(tasks, done, strict=True)
    ]
    for length in CLIMBED:
        for goal in ("average", "above"):
            found = search.ascend(goal, length, *BAND, np.ones(starts), rounds, [args.seed])
            columns = {"gap": found.gap, "rate": found.rate, "chi2": found.chi2}
            tables.append(
                pd.DataFrame(columns | {"kind": "ascent", "horizon": length, "low": BAND[0], "high": BAND[1]})
            )
    for length in BAND_SHAPES:
        curve = HorizonCurve(length, *BAND)
        if farthest(curve) < 0:
            continue  # attained by a worse expert: an ascent's affair
        gap, rate = again(curve.worst(farthest(curve)))
        chi2 = (1 - BAND[0]) * (BAND[1] - 1)
        tables.append(pd.DataFrame([("attained", length, *BAND, gap, rate, chi2)],
                                   columns=["kind", "horizon", "low", "high", "gap", "rate", "chi2"]))  # fmt: skip
    for length, chi2 in (*SHARPEST.items(), (2, (1 - BAND[0]) * (BAND[1] - 1))):
        pair = horizon_tree.sharpest(length, chi2)
        gap, rate = again(pair)
        ratio = pair.expert / pair.student
        tables.append(pd.DataFrame([("sharp", length, ratio.min(), ratio.max(), gap, rate, chi2)],
                                   columns=["kind", "horizon", "low", "high", "gap", "rate", "chi2"]))  # fmt: skip
    table = pd.concat(tables, ignore_index=True)[["kind", "horizon", "low", "high", "chi2", "gap", "rate"]]
    exact = {length: HorizonCurve(length, *BAND).deviation() for length in BAND_SHAPES}
    table["deviation"] = table["horizon"].map(exact).where(table["kind"] != "sharp")
    table["chi2_bound"] = [
        float(horizon.deviation_bound(h, c)) for h, c in zip(table["horizon"], table["chi2"], strict=True)
    ]
    return table


def farthest(curve: HorizonCurve) -> float:
    """The gap at which the rate lies farthest below it: where the curve has the slope -1."""
    return float(curve.gaps[np.searchsorted(curve.prices, 1)])


def needed(points: int, lengths: Sequence[int] = (2, 4, 8, 16, 32)) -> pd.DataFrame:
    """Panel (e): the gap that makes a horizon safe, for each `chi2`."""
    chi2 = np.geomspace(1e-6, 1, points)
    rows = [pd.DataFrame({"horizon": h, "chi2": chi2, "gap": horizon.deviation_bound(h, chi2)}) for h in lengths]
    return pd.concat(rows, ignore_index=True)
