r"""Distributional DAgger with a black-box expert, and behaviour cloning: thousands of students side by side (claim 11).

Each round the student `pi_n` makes one rollout, `s_0, ..., s_{H-1}`, and at each visited state the expert *samples* a
fresh action `x_h ~ pi*_h(.|s_h)`. The next student is the add-1/2 predictor (`online.kt`) of the labels so far, per
`(h, s)`, or per `(h, o)` if it cannot tell some states apart. `clone` is the same student, but the rollouts, and with
them the labels, are the expert's own: it never sees where its own mistakes lead.

*Regret is first-order unbiased.* With `n` labels in a cell, `c_a` of them `a`,

    pi_n(a) - pi*(a) = (c_a - n pi*(a)) / (n + A/2)  +  (1/2 - (A/2) pi*(a)) / (n + A/2).

How often `(h, s)` is visited depends on labels of earlier steps only, so given the visits the first part has mean zero:
the luck of the labels. It is of order `n^{-1/2}`, the second of order `1/n`; and the return is linear in the policy up
to second order, `J(pi) - J* = sum_h E_{d^{pi*}} sum_a (pi - pi*) Q^{pi*} + O(|pi - pi*|^2)`. Hence the return regret of
a single run wanders like `sqrt(N)`, up or down, while its mean grows like `log N`. `Record.chance` is the sum of the
first part, an exact control variate: `regret + chance` has the mean of the regret and hardly any of its noise.

Unaliased students only: others see several rows of the expert as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from distil_theory import solve, validate
from distil_theory.number_systems import Array
from distil_theory.online import bounds, kt
from distil_theory.online.record import COSTS, Record, check_marks, join, row_costs
from distil_theory.online.streams import seed_list, uniforms
from distil_theory.online.world import Shared, World
from distil_theory.spec import TabularMDP
from distil_theory.trajectories import invert

PIECE = 256
"""Seeds simulated at a time: their tables fit the cache. Changes no number but for rounding."""


class Students:
    """Add-1/2 predictors, one per seed, with the cost of each row; a label refreshes the rows that it concerns.

    Attributes:
        counts: labels so far `(H,O,A,n)`.
        policy: `(H,O,A,n)`.
        costs: `(7,H,S,n)`, as `record.COSTS`.
    """

    def __init__(self, world: World, star: np.ndarray, q: np.ndarray, n: int) -> None:
        self.world, self.n = world, n
        steps, states, actions = star.shape
        shape = (steps, world.mdp.observations, actions, n)
        self.counts, self.policy = np.zeros(shape), np.full(shape, 1 / actions)
        self.costs = np.empty((len(COSTS), steps, states, n))
        self._tables = [x.reshape(-1, actions).T.copy() for x in (star, q, np.asarray(world.mdp.reward))]
        star, q, reward = (x.reshape(actions, steps, states, 1) for x in self._tables)
        self.costs[:] = row_costs(star, np.full((actions, 1, 1, 1), 1 / actions), q, reward, np.zeros(1))
        groups = [np.flatnonzero(world.seen == o) for o in range(world.mdp.observations)]
        self._behind = np.array([np.resize(g, max(map(len, groups))) for g in groups]).T  # states, some repeated
        self._own, self._h = np.arange(n), np.arange(steps)[:, None]
        self._each = np.arange(actions)[:, None, None] * n

    def choose(self, h: int, states: np.ndarray, u: np.ndarray) -> np.ndarray:
        """An action at step `h` of each student, in its state `(n,)`."""
        cell = (h * self.policy.shape[1] + self.world.seen[states]) * (self.policy.shape[2] * self.n) + self._own
        return invert(self.policy.reshape(-1).take(cell + self._each[:, 0]), u)

    def learn(self, states: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """One label at one state of each step, both `(H,n)`; returns the loss of the labels, `(n,)`."""
        _, observations, actions, n = self.policy.shape
        seen = self.world.seen[states]
        cell = (self._h * observations + seen) * (actions * n) + self._own
        counts, policy = self.counts.reshape(-1), self.policy.reshape(-1)
        here = cell + labels * n
        loss = -np.log(policy.take(here)).sum(axis=0)
        counts[here] += 1
        row = cell + self._each
        c = counts.take(row)
        total = c.sum(axis=0)
        pi = kt.predictor(c, axis=0)
        policy[row] = pi
        costs = self.costs.reshape(len(COSTS), -1)
        for behind in self._behind:
            state = self._h * self.world.states + behind[seen]
            star, q, reward = (table[:, state] for table in self._tables)
            costs[:, state * n + self._own] = row_costs(star, pi, q, reward, total)
        return loss


def dagger(
    mdp: TabularMDP, expert: Array, rounds: int, seeds: int | Sequence[int] = 1000, base: int = 0, at: Any = None
) -> Record:
    """Simulate distributional DAgger with a black-box expert.

    Args:
        mdp: one float64 MDP; an observation map that merges states makes the student blind to their difference.
        expert: `(H,S,A)`.
        rounds: `N`, of one rollout each.
        seeds: how many, or which; each has random numbers of its own.
        base: a whole number that makes other random numbers of the same seeds.
        at: the rounds to write down, growing (`record.marks`); default every round.

    Raises:
        ValueError: a batch of MDPs, another number system, a policy that does not fit, sizes that are no whole numbers.
    """
    return _simulate(mdp, expert, rounds, seeds, base, at, cloning=False)


def clone(
    mdp: TabularMDP, expert: Array, rounds: int, seeds: int | Sequence[int] = 1000, base: int = 0, at: Any = None
) -> Record:
    """The same student and record, but each round's rollout is the expert's own, and its actions are the labels."""
    return _simulate(mdp, expert, rounds, seeds, base, at, cloning=True)


def _simulate(
    mdp: TabularMDP, expert: Array, rounds: int, seeds: int | Sequence[int], base: int, at: Any, *, cloning: bool
) -> Record:
    world, every = World(mdp), seed_list(seeds)
    star, when = world.policy("expert", expert), check_marks(rounds, at)
    base = validate.whole("base", base, 0)
    v, q = solve.values(mdp, star)
    best, d_star = float((mdp.initial * v[0]).sum()), solve.occupancy(mdp, star)
    teacher = Shared(star)

    def piece(seeds: Sequence[int]) -> Record:
        students = Students(world, star, q, len(seeds))
        total, loss = np.zeros((len(COSTS) + 1, len(seeds))), np.zeros(len(seeds))
        rows: list[tuple[np.ndarray, ...]] = []
        for n, u in enumerate(uniforms((base,), seeds, when[-1], (3, world.steps)), 1):
            total += _costs(world, students, d_star)
            states, acted = world.walk(u[:2], teacher.choose if cloning else students.choose)
            loss += students.learn(states, acted if cloning else teacher.label(states, u[2]))
            if n == when[len(rows)]:
                rows.append(_row(n, best, total, loss, students, d_star))
        return Record._make([when, *map(np.array, zip(*rows, strict=True)), students.counts])

    return join([piece(every[i : i + PIECE]) for i in range(0, len(every), PIECE)])


def _costs(world: World, students: Students, d_star: np.ndarray) -> np.ndarray:
    """The costs of the students of this round, `(8, n)`: as `COSTS`, and `KL` on the expert's states."""
    d = world.occupancy(world.by_state(students.policy))
    costs = students.costs
    out = np.empty((len(costs) + 1, costs.shape[-1]))
    np.einsum("khsn,hsn->kn", costs[:-1], d, out=out[:-2])
    np.einsum("khsn,hs->kn", costs[[-1, 0]], d_star, out=out[-2:])
    return out


def _row(
    n: int, best: float, total: np.ndarray, loss: np.ndarray, students: Students, d_star: np.ndarray
) -> tuple[np.ndarray, ...]:
    """One mark of the record, in the order of its fields."""
    now = _costs(students.world, students, d_star)[COSTS.index("earns")]
    kl, tv, hellinger, pinsker, shortfall, earned, chance, kl_expert = total.copy()
    hindsight = kt.hindsight(students.counts).sum(axis=(0, 1))
    sums = (n * best - earned, kl, tv, hellinger, pinsker, shortfall, kl_expert, chance)
    return best - now, *sums, loss.copy(), hindsight, bounds.total(students.counts)
