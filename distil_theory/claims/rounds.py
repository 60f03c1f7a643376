"""The first rounds of distributional DAgger, all of them: every rollout and every label, with exact probabilities.

A round is one rollout of the student, at each state of which the expert draws a label; what the student knows are the
counts of these labels, and it is the add-1/2 predictor of `online.kt`. So a game of a few rounds is a walk over tables
of counts, and an expectation over games a finite sum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flint
import numpy as np

from distil_theory import number_systems as ns
from distil_theory import trajectories
from distil_theory.claims import links
from distil_theory.number_systems import Array
from distil_theory.online import bounds, kt
from distil_theory.spec import TabularMDP
from distil_theory.trajectories import Trajectories


class Known(NamedTuple):
    """Counts `(H,S,A)` that a student may have seen, how likely that is, and the student that knows them."""

    counts: np.ndarray
    mass: Any
    student: Array


Factor = Callable[[Array, Trajectories], Array]


def play(mdp: TabularMDP, expert: Array, rounds: int, factor: Factor | None = None) -> list[list[Known]]:
    """What may be known before each of `rounds` rounds, and after the last one.

    Args:
        mdp, expert: one problem, in rationals.
        rounds: `N`, so that there are `N + 1` lists.
        factor: of student and labelled rollouts, `(n,)` balls by which the masses are multiplied: their sum is then the
            mean of a product over the rounds.
    """
    every = trajectories.with_labels(mdp, trajectories.enumerate_all(mdp))
    steps = np.arange(mdp.shape[0])[:, None]
    known = [_known(np.zeros(mdp.shape, dtype=int), flint.fmpq(1))]
    told = [known]
    for _ in range(rounds):
        after: dict[bytes, Known] = {}
        for before in known:
            p = before.mass * trajectories.probability(mdp, before.student, every, expert)
            p = p if factor is None else p * factor(before.student, every)
            for i in np.flatnonzero(~ns.iszero(p).astype(bool)):
                counts = before.counts.copy()
                counts[steps[:, 0], every.states[:, i], every.labels[:, i]] += 1  # type: ignore[index]  # rows of arrays, which numpy's stubs refuse
                found = after.get(counts.tobytes())
                after[counts.tobytes()] = (
                    _known(counts, p[i]) if found is None else found._replace(mass=found.mass + p[i])
                )
        known = list(after.values())
        told.append(known)
    return told


def _known(counts: np.ndarray, mass: Any) -> Known:
    return Known(counts, mass, kt.predictor(ns.convert(counts, "rational")))


def mean(known: list[Known], value: Callable[[Known], Any]) -> Any:
    """The mean of `value` over what may be known."""
    return sum((k.mass * value(k) for k in known), flint.fmpq(0))


def game() -> tuple[TabularMDP, Array]:
    """Two steps, states and actions and an expert who may do anything, in rationals: a game with every case in it."""
    q = ns.convert(
        [["1/2", "1/3"], ["1/4", "3/4"], ["2/3", "1/5"], ["0", "1"]], "rational"
    )  # of state 0, after each state and action
    p = np.stack([q[:2], q[2:]])
    transition = np.stack([p, 1 - p], axis=-1)
    reward = ns.convert([[["1", "0"], ["1/2", "1/3"]], [["0", "1"], ["1", "1/4"]]], "rational")
    expert = ns.convert([[["3/4", "1/4"], ["1/5", "4/5"]], [["1/3", "2/3"], ["9/10", "1/10"]]], "rational")
    return TabularMDP(transition, reward, ns.convert(["2/5", "3/5"], "rational")), expert


def label_loss(known: Known, expert: Array) -> Any:
    """`-log Q + log pi*` of the labels seen, by the code of the predictor: a ball."""
    cells = known.counts.reshape(-1, known.counts.shape[2])
    paid = -sum(ns.log(ns.convert([kt.probability(cell)], "ball"))[0] for cell in cells)
    seen = known.counts > 0  # what an expert never does, it never says
    return paid + (known.counts[seen] * ns.log(ns.convert(expert[seen], "ball"))).sum()


def total_kl(mdp: TabularMDP, expert: Array, told: list[list[Known]]) -> Any:
    """`E sum_n sum_h E_d KL(pi*||pi_n)` of these rounds: a ball."""
    ball, star = mdp.convert("ball"), ns.convert(expert, "ball")
    return sum(mean(now, lambda k: links.visited_kl(ball, star, ns.convert(k.student, "ball"))) for now in told)


class Game(NamedTuple):
    """Means over whole games: what was lost, the KL at the states that were visited, and the recoverability."""

    lost: Any
    kl: Any
    mu: Any


def whole_game(mdp: TabularMDP, expert: Array, n: int) -> Game:
    """`E sum_n (J* - J)`, `E sum_n sum_h E_d KL` of `n` rounds, exactly, and `mu`."""
    told = play(mdp, expert, n - 1)
    lost = sum(mean(now, lambda k: links.gap(mdp, k.student, expert)) for now in told)
    return Game(lost, total_kl(mdp, expert, told), bounds.recoverability(mdp, expert))
