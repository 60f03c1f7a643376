"""Counterexamples for the blackboard: the bandits of smallest denominator on which a step harms.

`smallest_counterexample` goes through *all* bandits whose probabilities are multiples of `1/n`, for growing `n`, with
signs decided exactly. What it finds is the simplest there is; finding none is a proof for that size.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from typing import NamedTuple

import numpy as np

from distil_theory import prevalence, validate
from distil_theory.prevalence import CHUNK, Bandits, signs
from distil_theory.worst_case import natural_loss


class Counterexample(NamedTuple):
    """Rewards `reward/levels`, probabilities `student/n`, `expert/n`, whole numbers `(A,)`; the expert is better, the
    step harms."""

    denominator: int
    levels: int
    reward: np.ndarray
    student: np.ndarray
    expert: np.ndarray


def smallest_counterexample(
    divergence: str,
    actions: int = 3,
    geometry: str = "natural",
    eta: float | None = None,
    largest: int = 20,
    levels: int = 1,
) -> Counterexample | None:
    """The bandit of smallest denominator on which a step harms although the expert is better.

    All students and experts with full support and denominator `n`, all rewards in {0, 1/levels, .., 1}, for `n = A ..
    largest`; among the first that fail the one that loses most. `None` proves that there is none.

    Args:
        divergence: a name of the catalogue.
        actions: number of actions.
        geometry: of a small step, `"natural"` or `"euclidean"`.
        eta: size of a natural step; `None` means a small step.
        largest: the last denominator.
        levels: rewards are multiples of `1/levels`.
    """
    step = prevalence.small_step(divergence, geometry) if eta is None else prevalence.natural_step(divergence, eta)
    actions, levels = validate.whole("actions", actions, 2), validate.whole("levels", levels, 1)
    for n in range(actions, validate.whole("largest", largest, 1) + 1):
        most, worst = -np.inf, None
        for reward, student, expert in _lattice(actions, n, levels):
            floats = Bandits(reward / levels, student / n, expert / n)
            failed = np.flatnonzero(signs(step, floats, Bandits(reward, student, expert)) < 0)
            loss = natural_loss(step.h, eta, *(x[:, failed] for x in (floats.reward, floats.student, floats.ratio)))
            if len(failed) and loss.max() > most:
                most, i = loss.max(), failed[loss.argmax()]
                worst = Counterexample(n, levels, reward[:, i], student[:, i], expert[:, i])
        if worst is not None:
            return worst
    return None


def _lattice(actions: int, n: int, levels: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """All bandits of denominator `n` with a better expert, `(A, chunk)`, up to the order of the actions."""
    cuts = np.array(list(combinations(range(1, n), actions - 1))).reshape(-1, actions - 1)
    experts = np.diff(cuts, prepend=0, append=n, axis=1)
    students = experts[(np.diff(experts, axis=1) <= 0).all(axis=1)]
    rewards = np.array(list(product(range(levels + 1), repeat=actions)))
    rewards = rewards[(rewards.min(axis=1) == 0) & (rewards.max(axis=1) == levels)]
    shape = (len(rewards), len(students), len(experts))
    for start in range(0, int(np.prod(shape)), CHUNK):
        picks = np.unravel_index(np.arange(start, min(start + CHUNK, int(np.prod(shape)))), shape)
        reward, student, expert = (
            table[pick].T for table, pick in zip((rewards, students, experts), picks, strict=True)
        )
        better = (reward * (expert - student)).sum(axis=0) > 0
        if better.any():
            yield reward[:, better], student[:, better], expert[:, better]
