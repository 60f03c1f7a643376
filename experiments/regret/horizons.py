"""Panel (e): learning on one's own states, or on the expert's, as the horizon grows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from distil_theory import instances, solve
from distil_theory.online import bounds, dagger, kt
from experiments.regret import problems, statistics

ERROR = "1/100"
EXACT_HORIZONS = (1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64)
ACTIONS = 32
"""Of the chains on which students learn: many, so that one who has never been off the path hardly guesses its way
back."""
HORIZONS = (2, 4, 8, 16, 32)


def exact() -> pd.DataFrame:
    """The loss of a student who errs with probability 1/100 per step on the path, in rationals, by horizon.

    `cloned` errs off the path nearly always, `own_states` as rarely as on it; `unforgiving`: nothing can be made good
    there. `bound`: what a total variation of 1/100 per step allows, on the expert's states or on the student's.
    """
    rows = []
    for horizon in EXACT_HORIZONS:
        error = float(instances.compounding_chain(horizon, ERROR).student[0, 0, 1])
        steps = horizon * (horizon + 1) / 2
        for student, made, bound in (
            ("cloned", instances.compounding_chain(horizon, ERROR), bounds.cloning(horizon, error)),
            ("own_states", instances.compounding_chain(horizon, ERROR, ERROR), bounds.dagger(1, horizon, error)),
            ("unforgiving", instances.unforgiving_chain(horizon, ERROR), bounds.dagger(horizon, horizon, error)),
        ):
            mu = bounds.recoverability(made.mdp, made.expert)
            first_order = error * (horizon if student == "own_states" else steps)
            rows.append((student, horizon, error, float(mu), float(made.gap), float(bound), first_order))
    return pd.DataFrame(rows, columns=["student", "horizon", "error", "mu", "gap", "bound", "first_order"])


def cloned(kind: str, horizon: int, episodes: int, shared: bool = False) -> tuple[float, float]:
    """`J* - J`, and its bound by the log-loss and the range of the return, of the student cloned from so many rollouts:
    exact, for the expert never leaves the path.

    Args:
        kind: of chain.
        horizon: `H`.
        episodes: rollouts of the expert.
        shared: one table for all steps, so that each rollout gives `H` labels to the same cell.
    """
    mdp, star = problems.chain(kind, horizon, ACTIONS)
    counts = np.zeros(mdp.shape)
    counts[:, 0, 0] = episodes * (horizon if shared else 1)
    student = kt.predictor(counts)
    log_loss = -np.log(student[:, 0, 0]).sum()  # the expert never leaves the path
    most = 1 if kind == "end" else horizon
    gap = solve.expected_return(mdp, star) - solve.expected_return(mdp, student)
    return float(gap), float(bounds.cloning_log_loss(most, log_loss, deterministic=True))


def learners(kind: str, horizon: int, rounds: int, seeds: int, base: int) -> pd.DataFrame:
    """One task: students of `dagger` and `clone`, and the exact clones, after each of some numbers of rounds."""
    mdp, star = problems.chain(kind, horizon, ACTIONS)
    when = np.unique(np.append(np.geomspace(16, rounds, 7).round().astype(int), rounds))
    parts = []
    for learner, made in (("dagger", dagger.dagger), ("clone", dagger.clone)):
        r = made(mdp, star, rounds, seeds if learner == "dagger" else 2, base, when)
        before = np.diff(r.rounds, prepend=0)[:, None]
        per_round = {x: (np.diff(getattr(r, x), axis=0, prepend=0) / before).mean(axis=1) for x in ("kl", "kl_expert")}
        mean, lower, upper = statistics.mean_interval(r.gap)
        parts.append(pd.DataFrame({"learner": learner, "rounds": when, "gap": mean, "lower": lower, "upper": upper,
                                   "n": r.gap.shape[1], **per_round}))  # fmt: skip
    for learner, shared in (("exact", False), ("shared", True)):
        gap, bound = np.array([cloned(kind, horizon, int(n), shared) for n in when]).T
        parts.append(pd.DataFrame({"learner": learner, "rounds": when, "gap": gap, "lower": gap, "upper": gap, "n": 0,
                                   "log_loss_bound": bound}))  # fmt: skip
    table = pd.concat(parts, ignore_index=True)
    where = {"chain": kind, "horizon": horizon, "mu": float(bounds.recoverability(mdp, star)), "base": base}
    return pd.concat([pd.DataFrame(where, table.index), table], axis=1)


def tasks(rounds: int, seeds: int, bases: range) -> list[tuple[Any, ...]]:
    """The arguments of `learners`."""
    return [(kind, horizon, rounds, seeds, base) for base in bases for kind in problems.CHAINS for horizon in HORIZONS]


def pooled(found: list[pd.DataFrame]) -> pd.DataFrame:
    """The means over bases, each with as many seeds."""
    table = pd.concat(found, ignore_index=True)
    bases = table["base"].nunique()
    table["half"] = (table["upper"] - table["lower"]) / 2
    keys = ["chain", "horizon", "mu", "learner", "rounds"]
    one = table.drop(columns="base").groupby(keys, sort=False).mean(numeric_only=True).reset_index()
    one["n"] *= bases
    half = one.pop("half") / np.sqrt(bases)
    return one.assign(lower=one["gap"] - half, upper=one["gap"] + half)


def growth(table: pd.DataFrame) -> pd.DataFrame:
    """The exponent of the horizon, after the last round, between the two longest horizons."""
    last = table[table["rounds"] == table["rounds"].max()]
    rows = []
    for (chain, learner), x in last.groupby(["chain", "learner"], sort=False):
        (h1, g1), (h2, g2) = x.sort_values("horizon")[["horizon", "gap"]].to_numpy()[-2:]
        rows.append((chain, learner, float(np.log(g2 / g1) / np.log(h2 / h1))))
    return pd.DataFrame(rows, columns=["chain", "learner", "exponent"])
