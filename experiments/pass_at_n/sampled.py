"""Estimates from samples against the truth, and votes against attempts: the tables `estimators`, `votes`."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import binom

from distil_theory import success
from distil_theory.number_systems import Array
from distil_theory.success import Estimate

LAW = np.array([0.35, 0.08, 0.04, 0.2, 0.15, 0.1, 0.05, 0.03])
RIGHT = np.array([0.0, 1, 1, 0, 0, 0, 0, 0])
GRADED = np.array([0.1, 1.0, 0.8, 0.3, 0.2, 0.0, 0.5, 0.4])
"""Eight answers: two are right, a wrong one is the mode. Best@N is of grades."""
MODE_RIGHT = np.array([1.0, 0, 0, 0, 0, 0, 0, 0])
"""The same law for a prompt whose right answer is the mode."""
SAMPLES = 64
ATTEMPTS = (1, 2, 4, 8, 16, 32, 48, 64)
VOTED, VOTERS = 32, 400
"""Maj@N is estimated up to this N, from so many draws: each is a recursion over counts."""
VOTES = (1, 2, 3, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129)


def estimators(draws: int, seed: int) -> pd.DataFrame:
    """What `draws` estimates from 64 samples each say on average, and what they say of their own error."""
    rng = np.random.default_rng([seed, 3])
    answers = rng.choice(len(LAW), size=(SAMPLES, draws), p=LAW)
    counts = np.stack([(answers == a).sum(axis=0) for a in range(len(LAW))])
    correct = (counts * (RIGHT[:, None] > 0)).sum(axis=0)
    rows = []
    for n in ATTEMPTS:
        plug_in = success.pass_at_n(correct / SAMPLES, n)
        graded = success.estimate_best_at_n(GRADED[answers], n)
        found = [
            ("pass", success.estimate_pass_at_n(correct, SAMPLES, n), success.pass_at_n(LAW @ RIGHT, n), plug_in),
            ("best", graded, success.best_at_n(LAW, GRADED, n), None),
            ("avg", success.estimate_avg_at_n(RIGHT[answers], n), success.avg_at_n(LAW, RIGHT), None),
        ]
        if n <= VOTED:
            votes = success.estimate_maj_at_n(counts[:, :VOTERS], RIGHT, n)
            found.append(("maj", votes, success.maj_at_n(LAW, RIGHT, n), None))
        rows += [_row(metric, n, estimate, exact, naive) for metric, estimate, exact, naive in found]
    return pd.DataFrame(rows)


def _row(metric: str, n: int, estimate: Estimate, exact: Array, naive: Array | None) -> dict[str, object]:
    value = estimate.value
    row: dict[str, object] = {
        "metric": metric, "n": n, "samples": SAMPLES, "draws": len(value), "exact": float(exact),
        "mean": value.mean(), "error_of_mean": value.std(ddof=1) / np.sqrt(len(value)), "deviation": value.std(ddof=1),
        "naive": np.nan if naive is None else naive.mean(), "deviation_exact": np.nan, "deviation_estimated": np.nan,
        "variance_gap": np.nan, "covered": np.nan,
    }  # fmt: skip
    if metric == "pass":
        deviation, gap = by_counts(n)
        row |= {"deviation_exact": deviation, "error_of_mean": deviation / np.sqrt(len(value)), "variance_gap": gap}
    if estimate.variance is not None:
        row["deviation_estimated"] = np.sqrt(max(estimate.variance.mean(), 0))
        row["covered"] = (abs(value - exact) <= 1.96 * estimate.standard_error + 1e-12).mean()
    return row


def by_counts(n: int) -> tuple[float, float]:
    """The exact standard deviation of the estimate of Pass@N, and by how much of the variance the mean of the estimated
    variances misses it: sums over all numbers of right answers."""
    p, counts = LAW @ RIGHT, np.arange(SAMPLES + 1)
    chance, estimate = binom.pmf(counts, SAMPLES, p), success.estimate_pass_at_n(counts, SAMPLES, n)
    variance = chance @ (estimate.value - success.pass_at_n(p, n)) ** 2
    gap = np.nan if estimate.variance is None else abs(chance @ estimate.variance - variance) / variance
    return float(np.sqrt(variance)), float(gap)


def votes() -> pd.DataFrame:
    """The four metrics of the law, exactly, against N; `maj_mode_right`: if the mode is the right answer."""
    rows = [
        {"n": n, "pass": success.pass_at_n(LAW @ RIGHT, n), "maj": success.maj_at_n(LAW, RIGHT, n),
         "maj_mode_right": success.maj_at_n(LAW, MODE_RIGHT, n), "best": success.best_at_n(LAW, GRADED, n),
         "avg": success.avg_at_n(LAW, RIGHT)}
        for n in VOTES
    ]  # fmt: skip
    return pd.DataFrame(rows).astype(float).astype({"n": int})
