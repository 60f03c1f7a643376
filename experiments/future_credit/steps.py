"""One small natural step with looking ahead and without: rates whose signs are certified, bounds, and what hides.

Nothing here is trained. The named instances are exact, their signs decided in rationals or in ball arithmetic
(`certify.signs`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from distil_theory import certify, instances, objectives, solve, updates
from distil_theory.divergences import (
    FORWARD_KL,
    JENSEN_SHANNON,
    REVERSE_KL,
)
from distil_theory.instances import Instance
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP
from experiments.future_credit.training import OBJECTIVES, direction

CERTIFIED = {"local": "local", "weighted": "weighted", "full_kl": "full", "full_ce": "full cross-entropy"}
"""The objectives as `certify` calls them."""


class Row(NamedTuple):
    """An instance of the matrix: the claim it belongs to, what it is about, and the signs that the theory expects."""

    make: Callable[[], Instance]
    claim: str
    about: str
    signs: str


MATRIX = (
    Row(instances.aliased_fork, "10a", "the expert leads to where one can only guess", "--+-"),
    Row(instances.spurious_disagreement, "10b", "a harmless disagreement ahead", "++--"),
    Row(instances.entropy_trap, "10c", "the expert's own indecision ahead", "+++-"),
    Row(instances.chance_ahead, "18", "truthful feedback, but chance", "++--"),
    Row(instances.doubtful_branch, "18b", "the same; such a branch for any f-divergence", "++--"),
    Row(instances.entropy_ahead, "18", "truthful feedback, two right ways on", "+++-"),
    Row(instances.reward_before_the_end, "18", "truthful feedback, but early rewards", "++--"),
    Row(instances.hidden_trace, "19", "truthful hint, hidden: sums", "++++"),
    Row(instances.tested_program, "19", "truthful hint, hidden: programs", "++++"),
    Row(instances.rare_way, "19", "truthful hint, the right way is rare", "++-+"),
    Row(instances.lucky_way, "19", "truthful hint, but chance", "-+--"),
    Row(instances.risky_fork, "8", "a risk that only the expert can take", "-+--"),
    Row(instances.horizon_chain, "8", "the same, the expert better at every state", "-+--"),
    Row(instances.unfamiliar_program, "8", "a program shown begins with a rare token", "-+--"),
)
"""Signs of the rates: local, weighted, full KL, full cross-entropy."""
DRAWN = {
    "spurious_disagreement": 2.0, "doubtful_branch": 3.0, "reward_before_the_end": 0.05, "entropy_ahead": 2.0,
    "rare_way": 1.0, "aliased_fork": 2.0,
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
