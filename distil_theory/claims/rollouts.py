"""Every rollout of a whole batch of MDPs: sums over paths, a second route to what the solver finds by recursion."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import trajectories
from distil_theory.falsify import SEVERAL, Found, merge, smallest
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP
from distil_theory.trajectories import Trajectories

SHAPES = ((2, 3, 3), (3, 2, 2), (4, 2, 2))
"""`(H,S,A)` of the MDPs that `attack` draws: few rollouts, so that exact arithmetic decides at once."""
BLOCK = 512
"""MDPs whose rollouts are held in memory together."""
Margin = Callable[[TabularMDP, Array, Array], Array]


def every(mdp: TabularMDP) -> Trajectories:
    """Every rollout that some MDP of this shape allows; those that `mdp` does not allow have probability 0."""
    steps, states, actions = mdp.shape
    uniform, start = np.full((states, actions, states), 1 / states), np.full(states, 1 / states)
    return trajectories.enumerate_all(TabularMDP(uniform, np.zeros((states, actions)), start, horizon=steps))


def probability(mdp: TabularMDP, policy: Array, rollouts: Trajectories) -> Array:
    """`p(tau)`, shape `(N,*B)`: `trajectories.probability`, which takes one MDP, or the same for a batch."""
    if not mdp.batch_shape:
        return trajectories.probability(mdp, policy, rollouts)
    s, a = rollouts.states, rollouts.actions
    likely = mdp.initial[s[0]]
    for h, factor in enumerate(rollouts.along(policy, actions=True)):
        likely = likely * factor * (mdp.transition[h, s[h], a[h], s[h + 1]] if h < len(s) - 1 else 1)
    return likely


def conditional(rollouts: Trajectories, x: Array, p: Array, states: int) -> Array:
    """`E[ x_h | s_h = s ]` of `x (H,N,*B)`, shape `(H,S,*B)`; 0 where no rollout goes."""
    means = []
    for h, s in np.ndindex(len(rollouts.states), states):
        here = rollouts.states[h] == s
        mass, total = p[here].sum(axis=0), (x[h] * p)[here].sum(axis=0)
        void = ns.iszero(mass)
        means.append(ns.where(void, total * 0, total / ns.where(void, mass * 0 + 1, mass)))
    return np.stack(means).reshape(-1, states, *p.shape[1:])


def draw(rng: np.random.Generator, shape: tuple[int, int, int], n: int) -> tuple[np.ndarray, ...]:
    """Transition, reward, initial, student and expert of `n` MDPs `(H,S,A)`.

    A third of them sharp, and in another third the expert resembles the student.
    """
    kind, alike = rng.integers(0, 3, n), 10 ** rng.uniform(-3, 0, n)
    sharp = np.where(kind == 0, 0.2, 1.0)

    def rows(*lead: int) -> np.ndarray:
        powers = rng.standard_gamma(np.broadcast_to(sharp, (*lead, n))) + 1e-9
        return powers / powers.sum(axis=-2, keepdims=True)

    student, expert = rows(*shape), rows(*shape)
    expert = np.where(kind == 1, (1 - alike) * student + alike * expert, expert)
    return rows(*shape, shape[1]), rng.normal(size=(*shape, n)), rows(shape[1]), student, expert


def coins(student: Array, x: Array) -> tuple[Array, ...]:
    """Transition, reward, initial, student and expert of two coins with ratios `1 +- x`.

    The student `(2,2,2,*B)` is a fair coin, or nearly; the state remembers the first, and 1 is paid if both are alike.
    """
    zero = x * 0
    same = np.array([[zero + 1, zero], [zero, zero + 1]])
    transition = np.stack([np.stack([same, same])] * 2)  # action a leads to state a
    signs = np.stack([zero + 1, zero - 1])
    expert = student * (1 + x * signs)
    expert = expert / expert.sum(axis=2)[:, :, None]
    return transition, np.stack([same * 0, same]), np.stack([zero + 1, zero]), student, expert


def attack(margin: Margin, n: int, seed: int) -> Found:
    """The smallest margin over random MDPs of `SHAPES`, a tenth of `n`, and over a third as many pairs of coins."""
    found: list[Found] = []
    left = -(-n // (10 * len(SHAPES)))
    for shape in (*SHAPES, (2, 2, 2)):
        for start in range(0, left, SEVERAL):
            rng, size = np.random.default_rng([seed, *shape, start]), min(SEVERAL, left - start)
            if shape in SHAPES:
                p, r, rho, pi, star = draw(rng, shape, size)
            else:
                first = 0.5 + 10 ** rng.uniform(-12, -1, size) * rng.uniform(-0.5, 0.5, (2, 2, size))
                p, r, rho, pi, star = coins(np.stack([first, 1 - first], axis=2), rng.uniform(0, 1, size))
            values = margin(TabularMDP(p, r, rho, batch_ndim=1), pi, star)
            found = [merge([*found, smallest(values, size, p, r, rho, pi, star)])]
    return found[0]


def in_blocks(margin: Margin) -> Margin:
    """The same margin of a batch, `BLOCK` MDPs at a time."""

    def blockwise(mdp: TabularMDP, student: Array, expert: Array) -> Array:
        parts = (mdp.transition, mdp.reward, mdp.initial, student, expert)
        found = []
        for start in range(0, student.shape[-1], BLOCK):
            p, r, rho, pi, star = (x[..., start : start + BLOCK] for x in parts)
            found.append(margin(TabularMDP(p, r, rho, batch_ndim=1), pi, star))
        return np.concatenate(found)

    return blockwise
