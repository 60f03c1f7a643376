"""Where a claim on long horizons is tried: random MDPs, and ascents on binary trees that know nothing of any proof."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize

from distil_theory import horizon_tree
from distil_theory import number_systems as ns
from distil_theory.claims import rollouts
from distil_theory.falsify import Found, merge, smallest
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP


def least_and_most(student: Array, expert: Array) -> tuple[Any, Any]:
    """`m` and `M` of each instance."""
    ratio = (expert / student).reshape(-1, *expert.shape[3:])
    return -ns.amax(-ratio, 0), ns.amax(ratio, 0)


def fold(x: Array, steps: int) -> tuple[Any, Any]:
    """Rate, and `V* - V` per node, of the binary tree with ratios and rewards `x`: two ratios per node, root first,
    and the leaves."""
    nodes = 2**steps - 1
    better: list[Array] = []
    up, down, value = x[:nodes], x[nodes : 2 * nodes], x[2 * nodes :]
    star, rate = value, value * 0
    for h in reversed(range(steps)):
        u = np.stack([y[2**h - 1 : 2 ** (h + 1) - 1] for y in (up, down)], axis=1)
        p = np.stack([1 - u[:, 1], u[:, 0] - 1], axis=1) / (u[:, :1] - u[:, 1:])
        value, star, rate = (y.reshape(u.shape) for y in (value, star, rate))
        rate = (p * ((u - 1) * value + rate)).sum(axis=1)
        value, star = (p * value).sum(axis=1), (p * u * star).sum(axis=1)
        better.insert(0, star - value)
    return rate[0], np.concatenate(better)


def box(steps: int, low: float, high: float) -> list[tuple[float, float]]:
    """Where the coordinates of `fold` may lie."""
    nodes = 2**steps - 1
    ends = (1 + 1e-3 * (high - 1), high), (low, 1 - 1e-3 * (1 - low))
    return [ends[0]] * nodes + [ends[1]] * nodes + [(0.0, 1.0)] * (nodes + 1)


def with_slope(value: Callable[[np.ndarray], Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A function and its slopes, exact: by a complex step."""
    return value, lambda x: value(x[:, None] + 1e-30j * np.eye(len(x))).imag * 1e30


def ascend(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Tree, student and expert of the largest loss that one ascent finds, the gap counted at some price; at price 1
    rate and gap differ most."""
    steps, price = int(rng.integers(2, 4)), rng.choice([1.0, 10 ** rng.uniform(-1, 1)])
    bounds = box(steps, rng.choice([0.0, rng.uniform(0, 0.9)]), 1 + 10 ** rng.uniform(-1, 1))
    nodes, start = 2**steps - 1, [rng.uniform(*ends) for ends in bounds]

    def value(x: np.ndarray) -> Any:
        rate, better = fold(x, steps)
        return rate - price * better[0]

    descent, slope = with_slope(value)
    x = minimize(descent, start, jac=slope, bounds=bounds, method="L-BFGS-B", options={"maxiter": 200}).x
    ratio = [
        np.stack([x[2**h - 1 : 2 ** (h + 1) - 1], x[nodes:][2**h - 1 : 2 ** (h + 1) - 1]], 1) for h in range(steps)
    ]
    student = [np.stack([1 - u[:, 1], u[:, 0] - 1], axis=1) / (u[:, :1] - u[:, 1:]) for u in ratio]
    mdp, *pair = horizon_tree.tree(student, ratio, x[2 * nodes :])
    return mdp.transition, mdp.reward, mdp.initial, *pair


def tried(margin: Callable[..., Array], p: Array, r: Array, rho: Array, student: Array, expert: Array) -> Found:
    """A batch of MDPs with its margins."""
    values = margin(TabularMDP(p, r, rho, batch_ndim=1), student, expert)
    return smallest(values, len(values), p, r, rho, student, expert)


def attack(margin: Callable[..., Array], n: int, seed: int) -> Found:
    """Ascents on trees, which know nothing of the proof, and random MDPs with a success bit at the end."""
    found, some = [], min(-(-n // 200), 3000)
    for shape in rollouts.SHAPES:
        p, r, *rest = rollouts.draw(np.random.default_rng([seed, *shape]), shape, some)
        r = (r > 0) * 1.0
        r[:-1] = 0
        found.append(tried(margin, p, r, *rest))
    rng = np.random.default_rng(seed)
    for _ in range(min(max(-(-n // 1000), 16), 100)):
        found.append(tried(margin, *(x[..., None] for x in ascend(rng))))
    return merge(found)
