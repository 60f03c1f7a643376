r"""One algorithm in one world: 50 students side by side, with exact expectations or with rollouts.

Every step of every algorithm is a natural one of the same size, `KL(old||new) = DELTA` nats per episode along the
student's own states: what is compared is where they point, not how far they go. With their own step sizes, whichever
is largest would win: up to a noise that only rewards have, larger steps are better in worlds as small as these.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from distil_theory import success
from distil_theory.algorithms import ALGORITHMS, Algorithm, Run, Sampling, Update, named, run
from distil_theory.algorithms.attempts import answer_law
from distil_theory.instances.token_mdp import TokenMDP
from distil_theory.number_systems import Array
from experiments.loop import worlds

STEPS, DELTA = 40, 0.01
SAMPLING = Sampling(prompts=8, group=8)
MODES = ("exact", "sampled")
NAMES = tuple(a.name for a in ALGORITHMS)
ATTEMPTS = (1, 8, 16)
VOTES = 16
QUARTERS = (0, 1, 2, 4)
"""Answers are counted at the start, after a quarter, half and all of the steps."""
ROUNDING = 1e-12
"""A change of the return below this is none."""


class Curves(NamedTuple):
    """What a run leaves.

    Attributes:
        returns, entropy, length: before each step and at the end, `(T+1,N)`.
        change: of the return, `(T,N)`.
        best: the return of the best that sees the state, `(N,)`.
        rollouts, queries: used so far, `(T+1,)`.
        checks: steps after which answers were counted, `(C,)`.
        passed: Pass@1, 8, 16, `(C,3,N)`.
        voted: Maj@16, `(C,N)`; NaN where nobody can vote.
    """

    returns: Array
    entropy: Array
    length: Array
    change: Array
    best: Array
    rollouts: Array
    queries: Array
    checks: Array
    passed: Array
    voted: Array

    @property
    def score(self) -> Array:
        """0 for the first student, 1 for the best that sees the state: `(T+1,N)`."""
        return (self.returns - self.returns[0]) / (self.best - self.returns[0])

    @property
    def area(self) -> Array:
        """Mean score over training, `(N,)`."""
        return self.score[1:].mean(axis=0)


def same_size(name: str, delta: float = DELTA) -> Algorithm:
    """The preset, moved by natural steps of one KL."""
    return named(name).but(update=Update("kl", delta=delta))


def train(world: str, mode: str, name: str, n: int, seed: int, steps: int = STEPS) -> Curves:
    """`n` students of a world."""
    here = worlds.world(world, n, seed)
    sampling = SAMPLING if mode == "sampled" else None
    checks = np.array(QUARTERS) * steps // 4
    keep = checks.tolist() if world in worlds.GAMES else ()
    record = run(here.task, same_size(name), steps, student=here.students, sampling=sampling, seed=seed, keep=keep)
    passed = np.stack([record.pass_at(k)[checks] for k in ATTEMPTS], axis=1)
    return Curves(record.returns, record.entropy, record.length, record.change, np.array(here.best), record.rollouts,
                  record.queries, checks, passed, votes(world, record, checks))  # fmt: skip


def votes(world: str, record: Run, checks: Array) -> Array:
    """Maj@16 after `checks` steps, `(C,N)`: a mean over problems."""
    if world not in worlds.GAMES:
        return np.full((len(checks), record.returns.shape[1]), np.nan)
    students = np.stack([record.snapshots[t] for t in checks.tolist()], axis=3)
    return majority(worlds.game(world), students)


def majority(game: TokenMDP, policy: Array) -> Array:
    """Maj@16 of students `(H,S,A,*B)`, shape `B`."""
    law = np.swapaxes(answer_law(game, policy), 0, 1)
    right = np.stack(game.right, axis=1).astype(float).reshape(*law.shape[:2], *[1] * (law.ndim - 2))
    return success.maj_at_n(law / law.sum(axis=0), right, VOTES).mean(axis=0)
