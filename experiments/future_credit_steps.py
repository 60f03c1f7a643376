"""One small natural step with looking ahead and without: rates whose signs are certified, bounds, and what hides.

Nothing here is trained. The named instances are exact, their signs decided in rationals or in ball arithmetic
(`certify.signs`); claims 17 and 18 are met by random problems in batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from distil_theory import certify, experts, instances, objectives, prevalence, solve, updates
from distil_theory.claims import restricted, rollouts
from distil_theory.divergences import (
    CROSS_ENTROPY,
    FORWARD_KL,
    JENSEN_SHANNON,
    PEARSON,
    REVERSE_KL,
    FDivergence,
)
from distil_theory.instances import Instance
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP
from experiments.future_credit_training import OBJECTIVES, direction

CERTIFIED = {"local": "local", "weighted": "weighted", "full_kl": "full", "full_ce": "full cross-entropy"}
"""The objectives as `certify` calls them."""


class Row(NamedTuple):
    """An instance of the matrix: the claim it belongs to, what it is about, and the signs that the theory expects."""

    make: Callable[[], Instance]
    claim: str
    about: str
    signs: str


MATRIX = (
    Row(instances.aliased_fork, "10a", "the expert leads to where the student can only guess", "--+-"),
    Row(instances.spurious_disagreement, "10b", "a harmless disagreement ahead", "++--"),
    Row(instances.entropy_trap, "10c", "the expert's own indecision ahead", "+++-"),
    Row(instances.chance_ahead, "18", "truthful feedback, but chance", "++--"),
    Row(instances.entropy_ahead, "18", "truthful feedback, two right ways on", "+++-"),
    Row(instances.reward_before_the_end, "18", "truthful feedback, but early rewards", "++--"),
    Row(instances.hidden_trace, "19", "truthful hint, hidden: sums", "++++"),
    Row(instances.tested_program, "19", "truthful hint, hidden: programs", "++++"),
    Row(instances.rare_way, "19", "truthful hint, the right way is rare", "++-+"),
    Row(instances.lucky_way, "19", "truthful hint, but chance", "-+--"),
    Row(instances.risky_fork, "8", "a better expert, but not at the student's side", "-+--"),
    Row(instances.horizon_chain, "8", "better at every state", "-+--"),
    Row(instances.unfamiliar_program, "8", "a program shown begins with a rare token", "-+--"),
)
"""Signs of the rates: local, weighted, full KL, full cross-entropy."""
DRAWN = {
    "spurious_disagreement": 2.0, "chance_ahead": 4e-4, "reward_before_the_end": 0.05, "entropy_ahead": 2.0,
    "rare_way": 2.0, "aliased_fork": 2.0,
}  # fmt: skip
"""Instances whose return is drawn along a step, with the largest step size."""
POINTS = 81


def step_curves() -> pd.DataFrame:
    """Panel (c): the exact return along one natural step of each objective, and its tangent."""
    parts = []
    for name, largest in DRAWN.items():
        _, mdp, student, expert, _ = getattr(instances, name)().convert("float64")
        etas = np.linspace(0, largest, POINTS)
        first = float(solve.expected_return(mdp, student))
        for objective in OBJECTIVES:
            move = direction(mdp, student, expert, objective)
            curve = solve.expected_return(mdp, updates.exponential_step(mdp, student, move, etas))
            rate = float(updates.first_order_change(mdp, student, move))
            parts.append(pd.DataFrame({"instance": name, "objective": objective, "eta": etas, "return": curve,
                                       "tangent": first + etas * rate, "rate": rate}))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def sign_matrix() -> pd.DataFrame:
    """Panel (d): rates on the named instances and their certified signs, beside those that the theory expects."""
    rows = []
    for make, claim, about, expected in MATRIX:
        exact = make()
        floats = exact.convert("float64")
        for (objective, name), wanted in zip(CERTIFIED.items(), expected, strict=True):
            case = certify.Case(*exact[1:4], FORWARD_KL, objective=name)
            divergence, part, weighted = OBJECTIVES[objective]
            weight = objectives.occupancy_ratio(*floats[1:4]) if weighted else None
            rate = float(objectives.improvement_rate(*floats[1:4], divergence, weight=weight, part=part))
            row = (exact.name, claim, about, float(floats.gap), objective, rate, certify.signs(case)["rate"], wanted)
            rows.append(row)
    names = ["instance", "claim", "about", "gap", "objective", "rate", "sign", "expected"]
    return pd.DataFrame(rows, columns=names)


# --- claim 18 ---------------------------------------------------------------------------------------------------------

BOUNDED = (FORWARD_KL, REVERSE_KL, JENSEN_SHANNON, PEARSON, CROSS_ENTROPY)
HORIZONS, STATES, ACTIONS = (2, 3, 5), 4, 3
SHOWN = 150
"""Points of each horizon and objective that are drawn."""


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
        below_bound=("slack", lambda x: int((x < -1e-9).sum())),
        below_zero=("rate", lambda x: int((x < 0).sum())),
        least_slack=("slack", "min"),
    ).reset_index()
    some = pd.concat([group.head(SHOWN) for _, group in grouped], ignore_index=True)
    return some, counts


# --- claim 17 ---------------------------------------------------------------------------------------------------------

CLASSES = {"hidden state": ((2, 3, 2), 2, None), "two parameters": ((2, 3, 2), 3, 2)}
"""`(H,S,A)`, number of observations, number of random features; `None`: all logits of each observation are free."""
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98)
FANNED = (0.0, 0.1, 0.5)


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
    x = x - (pi * x).sum(axis=2)[:, :, None]
    inside = restricted.onto(probe, pi, features, x)
    parts = [part / np.sqrt(restricted.inner(probe, pi, part, part).sum(axis=0)) for part in (inside, x - inside)]
    # with these rewards V = 0, so they are the advantage
    reward = np.sqrt(1 - share) * parts[0] + np.sqrt(share) * parts[1]
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


# --- claim 19 ---------------------------------------------------------------------------------------------------------

HINTS = {"hidden_trace": True, "tested_program": True, "shown_program": False, "unfamiliar_program": False}
"""Token MDPs, and whether their hint excludes no right answer."""
HINTED = (FORWARD_KL, REVERSE_KL, JENSEN_SHANNON)
TRUST = 0.99
"""How far the named teachers trust their hint."""


def surprise(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """`log 1/P_pi(C)` in each first state, `(S,)`.

    The ratios of a teacher that trusts its hint entirely multiply to `1/P(C)` along any answer that agrees with it, and
    to 0 along the others: so it is the largest product.
    """
    u = (expert / student - (1 - TRUST)) / TRUST
    logs = np.log(np.maximum(u, 1e-300))
    return solve.optimal(TabularMDP(mdp.transition, logs, mdp.initial)).v[0]


def hint_curves(largest: float = 2.0) -> pd.DataFrame:
    """Panel (i): the return along one local step, its tangent, and the least slope that claim 19 promises."""
    parts = []
    etas = np.linspace(0, largest, POINTS)
    for name, is_truthful in HINTS.items():
        _, mdp, student, expert, _ = getattr(instances, name)().convert("float64")
        v = solve.values(mdp, student)[0][0]
        least = TRUST * float((mdp.initial * v * surprise(mdp, student, expert)).sum())
        for divergence in HINTED:
            move = updates.direction(mdp, student, expert, divergence)
            rate = float(updates.first_order_change(mdp, student, move))
            curve = solve.expected_return(mdp, updates.exponential_step(mdp, student, move, etas))
            promised = divergence.unit * least if is_truthful else np.nan
            parts.append(pd.DataFrame({"instance": name, "divergence": divergence.name, "eta": etas, "return": curve,
                                       "rate": rate, "promised_rate": promised}))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def blocks(n: int, size: int, seeds: Iterator[int] | range) -> list[tuple[int, int, int]]:
    """`(size, seed, block)` for `n` problems of each seed."""
    return [(size, seed, block) for seed in seeds for block in range(-(-n // size))]


