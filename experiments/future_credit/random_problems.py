"""Random problems, in batches: truthful teachers that look ahead (claim 18), restricted students (claim 17)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from distil_theory import experts, instances, objectives, prevalence, solve
from distil_theory.claims import restricted, rollouts
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL, JENSEN_SHANNON, PEARSON, REVERSE_KL
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP


def blocks(n: int, size: int, seeds: Iterable[int]) -> list[tuple[int, int, int]]:
    """`(size, seed, block)` for `n` problems of each seed."""
    return [(size, seed, block) for seed in seeds for block in range(-(-n // size))]


# --- claim 18 ---------------------------------------------------------------------------------------------------------

BOUNDED = (FORWARD_KL, REVERSE_KL, JENSEN_SHANNON, PEARSON, CROSS_ENTROPY)
HORIZONS, STATES, ACTIONS = (2, 3, 5), 4, 3
SHOWN = 150
"""Points of each horizon and objective that are drawn, and at most as many more of those that lower the return."""


def truthful(horizon: int, n: int, seed: int, block: int) -> tuple[TabularMDP, Array, Array]:
    """`n` random problems without chance that pay at the end, students, and their truthful teachers.

    Rewards are powers of uniform numbers, from almost equal to almost all nothing; students from even to sure.
    """
    rng = np.random.default_rng([seed, block, horizon])
    plain = instances.garnet(STATES, ACTIONS, 1, horizon, int(rng.integers(2**31)), n, "terminal")
    reward = plain.reward ** rng.choice([0.3, 1, 4, 16], n)
    mdp = TabularMDP(plain.transition, reward, plain.initial, batch_ndim=1)
    weights = rng.standard_gamma(np.broadcast_to(rng.choice([0.3, 1, 3], n), (*mdp.shape, n))) + 1e-6
    student = weights / weights.sum(axis=2, keepdims=True)
    return mdp, student, experts.success_conditioned(mdp, student)


def bound_block(horizon: int, n: int, seed: int, block: int) -> pd.DataFrame:
    """Rate of the full objective and `E[V_0 L]`, of every problem of one block."""
    mdp, student, expert = truthful(horizon, n, seed, block)
    v = solve.values(mdp, student)[0][0]
    parts = []
    for divergence in BOUNDED:
        rate = objectives.improvement_rate(mdp, student, expert, divergence, part="full")
        cost = divergence.value(expert, student, axis=2)[:, :, None] + 0 * student
        later = solve.values(TabularMDP(mdp.transition, cost, mdp.initial, batch_ndim=1), student)[0][0]
        bound = (mdp.initial * v * later).sum(axis=0)
        parts.append(pd.DataFrame({"horizon": horizon, "objective": divergence.name, "bound": bound, "rate": rate}))
    return pd.concat(parts, ignore_index=True)


def bound_points(blocks: list[pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Panel (e): some of the problems, and of all of them counts and the least `(rate - bound)/(rate + bound)`."""
    every = pd.concat(blocks, ignore_index=True)
    every["slack"] = (every["rate"] - every["bound"]) / (every["rate"].abs() + every["bound"].abs())
    grouped = every.groupby(["objective", "horizon"], sort=False)
    counts = grouped.agg(
        n=("rate", "size"),
        below_bound=("slack", lambda x: int((~(x >= -1e-9)).sum())),
        below_zero=("rate", lambda x: int((x < 0).sum())),
        least_slack=("slack", "min"),
    ).reset_index()
    parts = [pd.concat([group.head(SHOWN), group[SHOWN:].query("rate < 0").head(SHOWN)]) for _, group in grouped]
    some = pd.concat(parts, ignore_index=True)
    return some, counts


# --- claim 17 ---------------------------------------------------------------------------------------------------------

CLASSES = {"hidden state": ((2, 3, 2), 2, None), "two parameters": ((2, 3, 2), 3, 2)}
"""`(H,S,A)`, number of observations, number of random features; `None`: all logits of each observation are free."""
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98)
FANNED = (0.0, 0.1, 0.5)


def advantage(mdp: TabularMDP, pi: Array, features: Sequence[Array], x: Array, share: float) -> Array:
    """`A (H,S,A,*B)` of norm 1 and mean 0 under the student, made of `x`: `share` of its square is out of reach."""
    x = x - (pi * x).sum(axis=2)[:, :, None]
    inside = restricted.onto(mdp, pi, features, x)
    within, beyond = (y / np.sqrt(restricted.inner(mdp, pi, y, y).sum(axis=0)) for y in (inside, x - inside))
    return np.sqrt(1 - share) * within + np.sqrt(share) * beyond


def leak_block(kind: str, share: float, n: int, seed: int, block: int) -> pd.DataFrame:
    """`gap`, `rate` of the weighted step and the bound of claim 17, where `share` of the advantage's square is out of
    reach of the class; in units of `sum_h |A|_h |w(u-1)|_h`."""
    shape, observations, count = CLASSES[kind]
    rng = np.random.default_rng([seed, block, list(CLASSES).index(kind), round(1000 * share)])
    p, x, rho, pi, star = rollouts.draw(rng, shape, n)
    sight = restricted.seeing(shape[1], observations)
    pi = pi[:, sight]
    if count is None:
        units = np.eye(shape[0] * observations * shape[2]).reshape(-1, shape[0], observations, shape[2], 1)
        features = [np.broadcast_to(unit, (*unit.shape[:-1], n)) for unit in units]
    else:
        features = list(rng.normal(size=(count, shape[0], observations, shape[2], n)))
    probe = TabularMDP(p, x * 0, rho, observation=sight, batch_ndim=1)
    reward = advantage(probe, pi, features, x, share)  # with these rewards V = 0, so they are the advantage
    mdp = TabularMDP(p, reward, rho, observation=sight, batch_ndim=1)
    found = restricted.split(mdp, pi, star, features)

    def size(y: Array, z: Array) -> Array:
        return np.sqrt(restricted.inner(mdp, pi, y, y) * restricted.inner(mdp, pi, z, z)).sum(axis=0)

    unit = size(reward, found.step)
    bound = size(found.outside, found.lost)
    return pd.DataFrame({"class": kind, "share": share, "gap": found.gap / unit, "rate": found.rate / unit,
                         "bound": bound / unit})  # fmt: skip


def leak_points(blocks: list[pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Panel (h): some of the problems, and how often the weighted step lowers the return of a student whose expert is
    better."""
    rows, some = [], []
    for (kind, share), group in pd.concat(blocks, ignore_index=True).groupby(["class", "share"], sort=False):
        better = group[group["gap"] > 0]
        harmed = int((better["rate"] < -1e-12).sum())
        over = float(((group["gap"] - group["rate"]).abs() - group["bound"]).max())
        rows.append((kind, share, harmed / len(better), *prevalence.wilson(harmed, len(better)), len(better), over))
        if share in FANNED:
            some.append(group.head(2 * SHOWN))
    names = ["class", "share", "value", "lower", "upper", "n", "worst_excess"]
    return pd.concat(some, ignore_index=True), pd.DataFrame(rows, columns=names)
