r"""Bias against variance of what one rollout says about the way to the expert (claim 15).

An estimate `g(tau)` of the gradient moves the logits by `-F^-1 g`, and so promises the change of return `X(tau) = <dJ/d
theta, -F^-1 g(tau)> = -sum A g(tau)` of an unaliased student: its mean is the rate of the expected step. Path weights
that are not clipped have the mean `J* - J`; clipped ones, the local and the future-aware gradient miss it by a *bias*
and repay it in variance. With `N` rollouts the squared error of the promise is `bias^2 + Var X / N`. Everything is
exact, by enumeration of every rollout, and met by drawn ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from distil_theory import estimators, experts, instances, solve, trajectories
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL, FDivergence
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP
from distil_theory.trajectories import Trajectories

INFINITE = float("inf")
CLIPS = (1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0, 50.0, 200.0, 1000.0, INFINITE)
ROLLOUTS = tuple(int(n) for n in np.unique(np.geomspace(1, 1e6, 61).round()))
PROBLEMS = ("risky_fork_2", "horizon_chain_2", "horizon_chain_4", "horizon_chain_8",
            "garnet_2", "garnet_4", "garnet_8")  # fmt: skip
STATES, ACTIONS, BRANCHING, GARNET_SEED = 3, 2, 2, 3
GARNET_EXPERT = 0.15
"""Temperature of the soft-optimal expert of the Garnet; its student does the same at every step."""
LARGEST_Z = 6.0
"""Drawn rollouts may miss the exact mean or deviation by this many standard errors."""


class Estimator(NamedTuple):
    """One way to estimate the gradient from a rollout."""

    name: str
    divergence: FDivergence = FORWARD_KL
    part: str = "local"
    baseline: str = "none"
    clip: float | None = None


ESTIMATORS = (
    Estimator("local"),
    *(Estimator("weighted", clip=c) for c in CLIPS),
    *(Estimator("full_kl", FORWARD_KL, "full", baseline) for baseline in estimators.BASELINES),
    *(Estimator("full_ce", CROSS_ENTROPY, "full", baseline) for baseline in estimators.BASELINES),
)


def problem(name: str) -> tuple[TabularMDP, Array, Array]:
    """A problem in floats, by name and horizon."""
    kind, _, steps = name.rpartition("_")
    horizon = int(steps)
    if kind == "garnet":
        mdp = instances.garnet(STATES, ACTIONS, BRANCHING, horizon, GARNET_SEED)
        logits = np.random.default_rng(GARNET_SEED).normal(size=mdp.shape[1:])
        student = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return mdp, np.repeat(student[None], horizon, axis=0), experts.soft_optimal(mdp, GARNET_EXPERT)
    made = (
        instances.horizon_chain(horizon, "1/10", "1/5", "1/10") if kind == "horizon_chain" else instances.risky_fork()
    )
    return made.convert("float64")[1:4]


def promises(
    mdp: TabularMDP, student: Array, expert: Array, rollouts: Trajectories, advantage: Array, how: Estimator
) -> Array:
    """`X(tau)` of each rollout, shape `(N,)`."""
    g = estimators.samples(mdp, student, expert, how.divergence, rollouts, how.part, how.baseline, how.clip)
    return -(advantage[:, :, :, None] * g).sum(axis=2).sum(axis=1).sum(axis=0)


def lost_to_the_clip(mdp: TabularMDP, student: Array, expert: Array, every: Trajectories, clip: float) -> list[float]:
    """Claim 15: `sum_h E_{pi*}[ (1 - min(w,c)/w) g_h ]`, and the same with `|g_h|`."""
    p_star = trajectories.probability(mdp, expert, every)
    w = estimators.prefix_weights(mdp, student, expert, every)
    kept = np.minimum(w, clip) / np.where(w > 0, w, 1)
    g = every.along((expert * solve.advantage(mdp, student)).sum(axis=2), actions=False)
    return [float((p_star * np.where(w > 0, 1 - kept, 0) * x).sum()) for x in (g, abs(g))]


def frontier(name: str, drawn: int, seed: int) -> pd.DataFrame:
    """Panel (j): exact bias and deviation of every estimator, and what `drawn` rollouts make of them."""
    mdp, student, expert = problem(name)
    every = trajectories.enumerate_all(mdp)
    p = trajectories.probability(mdp, student, every)
    rng = np.random.default_rng([seed, PROBLEMS.index(name)])
    some = trajectories.sample(mdp, student, drawn, rng)
    advantage = solve.advantage(mdp, student)
    gap = float(solve.expected_return(mdp, expert) - solve.expected_return(mdp, student))
    rows = []
    for how in ESTIMATORS:
        x = promises(mdp, student, expert, every, advantage, how)
        mean, cov = estimators.moments(x, p)
        deviation = float(np.sqrt(max(cov[0, 0], 0)))
        fourth = float((p * (x - mean) ** 4).sum())
        y = promises(mdp, student, expert, some, advantage, how)
        got, got_cov = estimators.moments(y)
        row = {"problem": name, "horizon": mdp.shape[0], "estimator": how.name, "baseline": how.baseline,
               "clip": how.clip, "gap": gap, "rate": float(mean), "bias": float(mean) - gap,
               "deviation": deviation, "drawn": drawn, "drawn_rate": float(got),
               "drawn_deviation": float(np.sqrt(got_cov[0, 0])), "rate_error": deviation / np.sqrt(drawn),
               "variance_error": float(np.sqrt(max(fourth - deviation**4, 0) / drawn))}  # fmt: skip
        if how.clip is not None:
            row["lost"], row["bias_bound"] = lost_to_the_clip(mdp, student, expert, every, how.clip)
        rows.append(row)
    return pd.DataFrame(rows)


def crossing(mine: Any, other: Any) -> float:
    """From how many rollouts on `bias^2 + var/N` of `mine`, of smaller bias, is below that of `other`; 1 if always."""
    less_bias = other.bias**2 - mine.bias**2
    more = mine.deviation**2 - other.deviation**2
    if less_bias <= 0:
        return np.nan
    return max(1.0, more / less_bias)


def errors(table: pd.DataFrame, rollouts: Sequence[int] = ROLLOUTS) -> pd.DataFrame:
    """Panel (j): root of the mean squared error by the number of rollouts; of the clips the best one for each."""
    rows = []
    for name, group in table.groupby("problem", sort=False):
        for n in rollouts:
            rmse = np.sqrt(group["bias"] ** 2 + group["deviation"] ** 2 / n)
            for who, part in group.assign(rmse=rmse).groupby("estimator", sort=False):
                best = part.loc[part["rmse"].idxmin()]
                rows.append((name, n, who, best["rmse"], best["clip"], best["baseline"]))
            endless = group["clip"] == INFINITE
            rows.append((name, n, "weighted_unclipped", rmse[endless].item(), INFINITE, "none"))
    return pd.DataFrame(rows, columns=["problem", "rollouts", "estimator", "rmse", "clip", "baseline"])


def crossings(table: pd.DataFrame) -> pd.DataFrame:
    """From how many rollouts on unclipped weights beat the local gradient, and the future-aware one."""
    rows = []
    for name, group in table.groupby("problem", sort=False):
        endless = group[group["clip"] == INFINITE].iloc[0]
        others = {"local": group[group["estimator"] == "local"].iloc[0]}
        full = group[(group["estimator"] == "full_kl") & (group["baseline"] == "state")]
        others["full_kl"] = full.iloc[0]
        rows += [(name, who, crossing(endless, other)) for who, other in others.items()]
    return pd.DataFrame(rows, columns=["problem", "against", "rollouts"])
