"""Panel (b): how costs grow with the rounds, on random MDPs, with a stochastic and with a deterministic expert."""

from __future__ import annotations

from typing import Any

import pandas as pd

from distil_theory.online import bounds, record
from distil_theory.online.dagger import dagger
from experiments.regret import problems, statistics

KINDS = ("stochastic", "deterministic")
MDPS = 24
PER_DECADE = 5
QUANTITIES = {
    "kl": "cumulative KL, mean",
    "regret": "return regret, mean",
    "spread": "return regret, one run: deviation",
    "bound": "mu sqrt(N H B / 2)",
}
"""What has a slope; `average_...` is the same divided by the number of rounds."""


def curves(kind: str, seed: int, rounds: int, seeds: int, base: int) -> pd.DataFrame:
    """One task: the curves of one random MDP, over `seeds` runs."""
    mdp, star = problems.small(seed, kind)
    r = dagger(mdp, star, rounds, seeds, base, record.marks(rounds, PER_DECADE))
    mu = float(bounds.recoverability(mdp, star))
    bound = bounds.return_regret(mu, r.rounds, mdp.shape[0], bounds.budget(*mdp.shape, r.rounds))
    return pd.DataFrame({
        "kind": kind, "mdp": seed, "base": base, "rounds": r.rounds, "kl": r.kl.mean(axis=1),
        "regret": (r.regret + r.chance).mean(axis=1), "regret_error": statistics.standard_error(r.regret + r.chance),
        "raw_error": statistics.standard_error(r.regret), "spread": r.regret.std(axis=1, ddof=1), "bound": bound,
    })  # fmt: skip


def tasks(rounds: int, seeds: int, bases: range) -> list[tuple[Any, ...]]:
    """The arguments of `curves`: every base has MDPs of its own."""
    return [(kind, MDPS * base + k, rounds, seeds, base) for base in bases for kind in KINDS for k in range(MDPS)]


def slopes(table: pd.DataFrame) -> pd.DataFrame:
    """The slope of each quantity of each MDP in the last decade of rounds, and its growth per factor `e` of rounds.

    `slope`: of the logarithm against that of the rounds. `per_log`: of the quantity against the logarithm of the
    rounds; for `kl` in units of `H S (A-1)/2`, the growth of the bound `B`. Empty where it makes no sense.
    """
    rows = []
    for (kind, mdp), x in table.groupby(["kind", "mdp"], sort=False):
        shape = problems.small(int(mdp), kind)[0].shape
        for quantity in QUANTITIES:
            if kind == "deterministic" and quantity == "spread":
                continue  # hardly any: only visits are left to chance
            y = x[quantity].to_numpy()
            per_log = statistics.slope(x["rounds"], y, logarithmic=False)
            unit = shape[0] * shape[1] * (shape[2] - 1) / 2 if quantity == "kl" else 1.0
            rows.append((kind, mdp, quantity, statistics.slope(x["rounds"], y), per_log / unit))
    return pd.DataFrame(rows, columns=["kind", "mdp", "quantity", "slope", "per_log"])


def mean_slopes(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the MDPs with their t intervals; averages over rounds have a slope that is smaller by one."""
    rows = []
    for (kind, quantity), x in table.groupby(["kind", "quantity"], sort=False):
        for of, y in (("slope", x["slope"]), ("average_slope", x["slope"] - 1), ("per_log", x["per_log"])):
            interval = map(float, statistics.mean_interval(y.to_numpy()))
            rows.append((kind, quantity, of, *interval, y.min(), y.max(), len(y)))
    names = ["kind", "quantity", "of", "mean", "lower", "upper", "least", "largest", "n"]
    return pd.DataFrame(rows, columns=names)
