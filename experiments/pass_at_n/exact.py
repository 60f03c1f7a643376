"""Closed forms of claim 12d beside training, and the exact crossing: the tables `ends`, `curves`, `crossing`."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from distil_theory import number_systems as ns
from distil_theory import success
from distil_theory.divergences import JENSEN_SHANNON
from experiments.pass_at_n import students
from experiments.pass_at_n.students import OBJECTIVES, RUNS, Prompts

EXAMPLES = {"two": ("3/5", "2/5"), "three": ("1/2", "3/10", "1/5")}
FLOORS = (0.1, 0.01, 0.001)
ATTEMPTS = tuple(sorted({round(2 ** (i / 4)) for i in range(41)}))
"""1 to 1024."""
HEAVY = ("1/2", "3/4", "9/10", "99/100")
COUNTS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1000)
SEVERAL = 8
GRID = tuple(10 ** (-i / 4) for i in range(1, 25))
"""Floors of the crossing."""
MOST = 2**14


def spread_weights() -> np.ndarray:
    """Eight prompts of weights 8/36, 7/36, .., 1/36."""
    return np.arange(SEVERAL, 0, -1) / (SEVERAL * (SEVERAL + 1) / 2)


def least_js(weights: np.ndarray, floor: float) -> np.ndarray:
    """The law that minimises `sum_x w_x JS(t_x, p)` for the fixed teacher, found by quasi-Newton steps."""
    teachers = success.truthful_teacher(np.eye(len(weights)), floor)

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        p = np.exp(theta - theta.max())
        p = p / p.sum()
        u = teachers / p
        slope = -p * (weights[:, None] * JENSEN_SHANNON.h(u)).sum(axis=0)
        value = (weights * JENSEN_SHANNON.value(teachers, np.broadcast_to(p, teachers.shape), axis=1)).sum()
        return float(value), slope - p * slope.sum()

    theta = minimize(loss, np.log(weights), jac=True, method="BFGS", options={"gtol": 1e-11}).x
    p = np.exp(theta - theta.max())
    return p / p.sum()


def end(weights: np.ndarray, objective: str, teacher: str, floor: float) -> np.ndarray:
    """Where an objective ends if the prompts look alike and each has an answer of its own, `(X,)`."""
    if objective == "rl":
        return (weights == weights.max()) / (weights == weights.max()).sum()
    if objective == "likelihood" or (objective, teacher) == ("distil", "own"):
        return weights
    if teacher == "own":
        return success.self_taught(weights, success.self_taught_odds(np.inf if objective == "sdpo" else 1.0, floor))
    teachers = success.truthful_teacher(np.eye(len(weights)), floor)
    if objective == "opsd":
        return least_js(weights, floor)
    return (success.smoothed_mixture if objective == "distil" else success.geometric_mean)(teachers, weights)


def ends(example: str, objective: str, teacher: str, floor: float, steps: int) -> pd.DataFrame:
    """One aliased student trained on an example: `p` of each prompt beside the closed form."""
    weights = ns.convert(EXAMPLES[example], "float64")
    problem = Prompts(weights[:, None], np.eye(len(weights))[..., None])
    found = students.train(problem, 0, objective, teacher, steps, np.random.default_rng(0), floor)
    p = np.diagonal(found.pi[..., 0])
    parts: dict[str, Any] = {"example": example, "objective": objective, "teacher": teacher, "floor": floor}
    return pd.DataFrame({**parts, "prompt": range(len(p)), "weight": weights, "p": p,
                         "closed_form": end(weights, objective, teacher, floor)})  # fmt: skip


def curves() -> pd.DataFrame:
    """Pass@N of the closed forms, for both examples and all floors."""
    rows = []
    for example, parts in EXAMPLES.items():
        weights = ns.convert(parts, "float64")
        for objective, teacher in RUNS:
            for floor in FLOORS:
                p = end(weights, objective, teacher, floor)
                passed = success.pass_of_prompts(weights[:, None], p[:, None], np.array(ATTEMPTS))
                head = {"example": example, "objective": objective, "teacher": teacher, "floor": floor}
                rows.append(pd.DataFrame({**head, "n": ATTEMPTS, "pass": passed}))
    return pd.concat(rows, ignore_index=True)


def collapse_crossing() -> pd.DataFrame:
    """From which N the mixture beats the student collapsed onto the heaviest prompt, exactly: one heavy prompt, the
    others alike."""
    rows = []
    for heavy in HEAVY:
        for count in COUNTS:
            h = Fraction(heavy)
            rest = (1 - h) / (count - 1)
            if rest > h:
                continue
            weights = ns.convert([h, *[rest] * (count - 1)], "rational")
            collapsed = ns.convert([1, *[0] * (count - 1)], "rational")
            n = success.crossing(weights, collapsed, weights, MOST)
            rows.append({"family": "collapsed", "heavy": float(h), "prompts": count, "n": n})
    return pd.DataFrame(rows)


def crossing_again(weights: np.ndarray, sharp: np.ndarray, broad: np.ndarray) -> tuple[float, float]:
    """The first N at which `broad` is ahead, and the first after it at which `sharp` is ahead again; NaN if none."""
    n = np.arange(1, MOST + 1)[:, None]
    lead = (weights * ((1 - sharp) ** n - (1 - broad) ** n)).sum(axis=1)
    ahead = lead > 0
    if not ahead.any():
        return float("nan"), float("nan")
    first = int(ahead.argmax())
    back = (lead < 0) & (np.arange(MOST) > first)
    return first + 1.0, float(back.argmax() + 1) if back.any() else float("nan")


def floor_crossing() -> pd.DataFrame:
    """The same for reverse KL and Jensen-Shannon, against the floor: eight prompts of weights 8 : .. : 1."""
    weights, rows = spread_weights(), []
    for objective in OBJECTIVES[1:3]:
        for teacher in students.TEACHERS:
            for floor in GRID:
                sharp, broad = end(weights, objective, teacher, floor), end(weights, "distil", teacher, floor)
                n, again = crossing_again(weights, sharp, broad)
                pass_1, broad_1 = (float(success.pass_of_prompts(weights, p, 1)) for p in (sharp, broad))
                rows.append({"family": "smoothed", "objective": objective, "teacher": teacher, "floor": floor, "n": n,
                             "again": again, "pass_1": pass_1, "pass_1_distil": broad_1})  # fmt: skip
    return pd.DataFrame(rows)
