"""Panels (a) and (c): the expected losses of many seeds, summed over rounds, and each link of the chain of bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import gammaln, xlogy

from distil_theory.online import bounds, record
from distil_theory.online.dagger import dagger
from distil_theory.online.record import Record
from experiments.regret import problems, statistics

BLOCK = 500
"""Seeds simulated in one task."""
PER_DECADE = 5
EPS = (0.01, 0.05, 0.2)
LINKS = {
    "regret": "what happens",
    "shortfall": "performance difference",
    "recoverability": "mu x total variation",
    "pinsker": "Pinsker",
    "cauchy": "Cauchy-Schwarz",
    "jensen": "Jensen",
    "bound": "label regret",
}
"""From the regret up to its bound, and what each step is called."""
SHORT = {"kl": "mu x KL", "short_bound": "mu x B"}
"""The shorter chain of a deterministic expert, after `recoverability`."""


def block(name: str, rounds: int, base: int, first: int, seeds: int) -> Record:
    """One task: `seeds` runs of a problem from seed `first` on."""
    mdp, star = problems.case(name)
    return dagger(mdp, star, rounds, range(first, first + seeds), base, record.marks(rounds, PER_DECADE))


def tasks(rounds: int, seeds: int, bases: range) -> list[tuple[Any, ...]]:
    """The arguments of `block`, all problems, every base."""
    return [(name, rounds, base, i, min(BLOCK, seeds - i)) for name in problems.CASES for base in bases
            for i in range(0, seeds, BLOCK)]  # fmt: skip


def joined(done: list[tuple[Any, ...]], found: list[Record]) -> dict[str, Record]:
    """The records of each problem as one."""
    return {n: record.join([r for t, r in zip(done, found, strict=True) if t[0] == n]) for n in problems.CASES}


def exact_cell(rounds: np.ndarray, p: float = 0.25) -> np.ndarray:
    """The expected cumulative KL of one cell with two actions, as a finite sum over binomials, at each of `rounds`."""
    kl = np.empty(rounds.max())
    for n in range(len(kl)):
        k = np.arange(n + 1)
        mass = np.exp(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) + xlogy(k, p) + xlogy(n - k, 1 - p))
        x = (k + 0.5) / (n + 1)
        kl[n] = mass @ (p * np.log(p / x) + (1 - p) * np.log((1 - p) / (1 - x)))
    return kl.cumsum()[rounds - 1]


def cumulative(records: dict[str, Record]) -> pd.DataFrame:
    """Panel (a): KL over rounds: mean, band of seeds, bounds; label regret relative to its bound."""
    parts = []
    for name, r in records.items():
        mdp, _ = problems.case(name)
        mean, lower, upper = statistics.mean_interval(r.kl)
        bound = bounds.budget(*mdp.shape, r.rounds)
        above = [statistics.share(row) for row in r.kl > bound[:, None]]
        label = (r.log_loss - r.hindsight) / r.label_bound
        low, middle, high = np.quantile(r.kl, (0.05, 0.5, 0.95), axis=1)
        parts.append(pd.DataFrame({
            "problem": name, "rounds": r.rounds, "n": r.kl.shape[1], "mean": mean, "lower": lower, "upper": upper,
            "error": statistics.standard_error(r.kl), "q05": low, "q50": middle, "q95": high,
            "exact": exact_cell(r.rounds) if name == "cell" else np.nan,
            "bound": bound, "shared_bound": bounds.shared_budget(*mdp.shape, r.rounds),
            **{f"above{end}": [x[i] for x in above] for i, end in enumerate(("", "_lower", "_upper"))},
            "label_ratio": label.mean(axis=1), "label_ratio_max": label.max(axis=1),
        }))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def chain(records: dict[str, Record]) -> pd.DataFrame:
    """Panel (c), left: every link between the expected regret and its bound, and its ratio to the link before."""
    parts = []
    for name, r in records.items():
        mdp, star = problems.case(name)
        mu, per_round = float(bounds.recoverability(mdp, star)), r.rounds[:, None] * mdp.shape[0]
        budget, ones = bounds.budget(*mdp.shape, r.rounds), np.ones((1, r.kl.shape[1]))
        links = {
            "regret": r.regret, "shortfall": r.shortfall, "recoverability": mu * r.tv, "pinsker": mu * r.pinsker,
            "cauchy": mu * np.sqrt(per_round * r.kl / 2),
            "jensen": mu * np.sqrt(per_round * r.kl.mean(axis=1, keepdims=True) / 2) * ones,
            "bound": bounds.return_regret(mu, r.rounds, mdp.shape[0], budget)[:, None] * ones,
        }  # fmt: skip
        if name == "deterministic":
            links |= {"kl": mu * r.kl, "short_bound": bounds.deterministic(mu, budget)[:, None] * ones}
        before = None
        for link, x in links.items():
            mean, lower, upper = statistics.mean_interval(x)
            if link == "regret":  # the same mean with hardly any of the noise: `online.dagger`
                mean, lower, upper = statistics.mean_interval(r.regret + r.chance)
            previous = links["recoverability"].mean(axis=1) if link == "kl" else before
            ratio = np.nan if previous is None else mean / previous
            parts.append(pd.DataFrame({"problem": name, "rounds": r.rounds, "link": link, "mean": mean, "lower": lower,
                                       "upper": upper, "error": statistics.standard_error(x), "ratio": ratio,
                                       "mu": mu}))  # fmt: skip
            before = mean
    return pd.concat(parts, ignore_index=True)


def confidence(records: dict[str, Record]) -> pd.DataFrame:
    """Panel (c), right: how many seeds are above the bounds that hold with probability `1 - 2 eps`."""
    rows = []
    for name, r in records.items():
        mdp, star = problems.case(name)
        horizon, mu = mdp.shape[0], float(bounds.recoverability(mdp, star))
        for m, n in enumerate(r.rounds):
            budget = bounds.budget(*mdp.shape, n)
            for eps in EPS:
                allowed = {
                    "hellinger": bounds.hellinger(budget, horizon, eps),
                    "regret": bounds.return_regret_high_probability(mu, n, horizon, budget, eps),
                }
                for what, bound in allowed.items():
                    x = getattr(r, what)[m]
                    quantile, largest = float(np.quantile(x, 1 - 2 * eps)), float(x.max())
                    rows.append((name, n, what, eps, x.size, float(bound), *statistics.share(x > bound), 2 * eps,
                                 quantile, largest))  # fmt: skip
    names = ["problem", "rounds", "quantity", "eps", "n", "bound", "above", "lower", "upper", "allowed", "quantile",
             "largest"]  # fmt: skip
    return pd.DataFrame(rows, columns=names)
