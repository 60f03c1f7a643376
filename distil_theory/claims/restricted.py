"""A student of a restricted class that may not see the state: projections as functions of states, and random cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from distil_theory import objectives, solve, updates
from distil_theory.aliasing import belief, pool, spread
from distil_theory.claims import rollouts
from distil_theory.divergences import FORWARD_KL
from distil_theory.falsify import SEVERAL, Found, merge, smallest
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP

CASES = (((2, 3, 2), 2, 2), ((2, 2, 3), 2, 3), ((3, 3, 2), 3, 2), ((1, 3, 3), 1, 2))
"""`(H,S,A)`, number of observations (the last states look alike), number of features."""


class Split(NamedTuple):
    """`<A, .>` of the step by the code, `J* - J`, and `P A`, `(I-P) A`, `w(u-1)`, `(I-P) w(u-1)`, `(H,S,A,*B)`."""

    rate: Array
    gap: Array
    inside: Array
    outside: Array
    step: Array
    lost: Array


def onto(mdp: TabularMDP, student: Array, features: Sequence[Array], x: Array) -> Array:
    """`P x`, on states: first what the student sees, then what the class can follow."""
    seen = pool(mdp, belief(mdp, solve.occupancy(mdp, student))[:, :, None] * x)
    return spread(mdp, updates.project(mdp, student, seen, features))


def inner(mdp: TabularMDP, student: Array, x: Array, y: Array) -> Array:
    """`<x, y>_h`, shape `(H,*B)`."""
    flow = solve.occupancy(mdp, student)[:, :, None] * student
    return (flow * x * y).sum(axis=2).sum(axis=1)


def split(mdp: TabularMDP, student: Array, expert: Array, features: Sequence[Array]) -> Split:
    """The rate is that of the library's weighted, projected direction; everything else is built on states here."""
    weight, a = objectives.occupancy_ratio(mdp, student, expert), solve.advantage(mdp, student)
    move = updates.direction(mdp, student, expert, FORWARD_KL, weight=weight)
    move = updates.project(mdp, student, move, features)
    gap = solve.expected_return(mdp, expert) - solve.expected_return(mdp, student)
    step = weight[:, :, None] * (expert / student - 1)
    inside, kept = (onto(mdp, student, features, x) for x in (a, step))
    return Split(updates.first_order_change(mdp, student, move), gap, inside, a - inside, step, step - kept)


def tilted(student: Array, x: Array, size: Any) -> Array:
    """The expert with `u - 1 = size x`."""
    return student * (1 + size * x)


def seeing(states: int, observations: int) -> np.ndarray:
    """The observation of each state: the last ones look alike."""
    return np.minimum(np.arange(states), observations - 1)


def attack(margin: Callable[..., Array], n: int, seed: int) -> Found:
    """The smallest margin over random MDPs with random features, some with states that look alike; n / 10 in all."""
    found: list[Found] = []
    left = -(-n // (10 * len(CASES)))
    for i, (shape, observations, count) in enumerate(CASES):
        sight = seeing(shape[1], observations)
        for start in range(0, left, SEVERAL):
            rng, size = np.random.default_rng([seed, i, start]), min(SEVERAL, left - start)
            p, r, rho, pi, star = rollouts.draw(rng, shape, size)
            features, pi = rng.normal(size=(count, shape[0], observations, shape[2], size)), pi[:, sight]
            mdp = TabularMDP(p, r, rho, observation=sight, batch_ndim=1)
            values = margin(mdp, pi, star, list(features))
            found = [merge([*found, smallest(values, size, p, r, rho, pi, star, features)])]
    return found[0]
