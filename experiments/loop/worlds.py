r"""The problems on which the algorithms of THEORY section 13 are compared, each with random students.

========== ============================================================ ==========================================
world      what the student does                                         what its self-teacher has read
========== ============================================================ ==========================================
`sum`      adds two numbers, digit by digit, with carries                the right digits up to its first mistake
`programs` writes a program for a stack machine                          the tests that its first attempt met
`solution` the same, with the habit of another right program            *one* of several right programs
`thinking` thinks, as long as it likes, then answers                     that it will succeed
`garnet`   acts in a random MDP; rewards are chances of success          that it will succeed
`hidden`   the same, but states look alike in pairs                      that it will succeed, and the state
========== ============================================================ ==========================================

In `sum`, `programs` and `solution` the student does not see the feedback; in the last two nobody can vote on answers.
What is promised: in `thinking` and `garnet` claim 9, in `sum` and `programs` claim 19; in `solution` the feedback
excludes right answers, in `hidden` the teacher sees what decides and the student does not: nothing is promised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np

from distil_theory import instances, solve
from distil_theory.algorithms import Task
from distil_theory.aliasing import spread
from distil_theory.instances.stack_machine import DOUBLE, INCREMENT, stack_machine
from distil_theory.instances.token_mdp import TokenMDP
from distil_theory.instances.token_sum import token_sum
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP

UNIFORM = 0.2
"""Share of the uniform policy in a random student: nothing is out of its reach."""
HABIT = 0.7
"""Of `solution`: the weight that a student gives at each token to the right program it knows."""
THOUGHTS, WAYS, UNSURE, CLEARER = 6, 3, 0.6, 0.7
"""Of `thinking`: its horizon, equally good ways to go on, the chance of error without a thought, and the factor by
which each thought reduces it."""
GARNET: dict[str, Any] = {"states": 6, "actions": 3, "branching": 2, "horizon": 4}


@dataclass(frozen=True)
class World:
    """A task, single or a batch of `N`, with `N` students `(H,S,A,N)`."""

    task: Task
    students: Array

    def times(self, k: int) -> World:
        """All students `k` times: the batch is `k` blocks of `N`."""
        if not self.task.mdp.batch_shape:
            return replace(self, students=np.tile(self.students, k))
        mdp = self.task.mdp
        p, r, rho = (np.tile(x, k) for x in (mdp.transition, mdp.reward, mdp.initial))
        many = TabularMDP(p, r, rho, observation=mdp.observation, batch_ndim=1)
        return World(
            replace(self.task, mdp=many, likelihood=np.tile(self.task.likelihood, k)), np.tile(self.students, k)
        )

    @property
    def best(self) -> Array:
        """The largest return of anyone who sees the state, `(N,)`."""
        value = solve.expected_return(self.task.mdp, self.task.optimal)
        return np.broadcast_to(value, self.students.shape[3:])


def thinking() -> Task:
    """Action 0 answers, `WAYS` others go on thinking, the last one blunders; after `k` thoughts an answer is right with
    the chance `1 - UNSURE CLEARER^k`. State 0 thinks, `1 + k` has answered, the last one has failed."""
    failed = THOUGHTS + 1
    actions = WAYS + 2
    step = np.zeros((THOUGHTS, failed + 1, actions, failed + 1))
    step[:, np.arange(1, failed + 1), :, np.arange(1, failed + 1)] = 1
    reward = np.zeros((THOUGHTS, failed + 1, actions))
    chance = 1 - UNSURE * CLEARER ** np.arange(THOUGHTS)
    for h in range(THOUGHTS):
        step[h, 0, 0, 1 + h] = 1
        step[h, 0, 1:-1, 0] = 1
        step[h, 0, -1, failed] = 1
    reward[-1, 1:failed] = chance[:, None]
    reward[-1, 0, :-1] = chance[-1]
    start = np.eye(failed + 1)[0]
    return Task(TabularMDP(step, reward, start), reward, finished=np.arange(failed + 1) > 0)


def random_students(mdp: TabularMDP, n: int, rng: np.random.Generator) -> Array:
    """`n` students `(H,S,A,n)`: Dirichlet(1) at each step and observation, mixed with the uniform policy."""
    steps, _, actions = mdp.shape
    seen = int(np.max(mdp.observation)) + 1
    rows = np.moveaxis(rng.dirichlet(np.ones(actions), size=(steps, seen, n)), 3, 2)
    return spread(mdp, (1 - UNIFORM) * rows + UNIFORM / actions)


def _random_mdps(observations: int | None) -> Callable[[int, int], World]:
    def make(n: int, seed: int) -> World:
        mdp = instances.garnet(**GARNET, batch=n, seed=seed, rewards="terminal")
        if observations is not None:
            alike = np.arange(GARNET["states"]) % observations
            mdp = TabularMDP(mdp.transition, mdp.reward, mdp.initial, observation=alike, batch_ndim=1)
        task = Task(mdp, np.asarray(mdp.reward))
        return World(task, random_students(mdp, n, np.random.default_rng([seed, 1])))

    return make


PAIRS = ((0, 1), (8, 1), (8, 8))
"""Sums in base 3: without a carry, with one that runs through, with carries everywhere."""
PROGRAMS: dict[str, Any] = {"tasks": (INCREMENT, DOUBLE), "instructions": ("PUSH1", "DUP", "ADD", "NOP"), "length": 3}
GAMES: dict[str, Callable[[], TokenMDP]] = {
    "sum": partial(token_sum, 3, 2, PAIRS),
    "programs": partial(stack_machine, **PROGRAMS),
    "solution": partial(stack_machine, **PROGRAMS, feedback="solution"),
}


@cache
def game(name: str) -> TokenMDP:
    """The token MDP of a world in which answers are written."""
    return GAMES[name]()


@cache
def single(name: str) -> Task:
    """The task of a world that is one problem."""
    return thinking() if name == "thinking" else Task.of(game(name))


def with_habits(problems: TokenMDP, students: Array, rng: np.random.Generator) -> Array:
    """Students `(H,S,A,N)` who for each problem know a right answer that is not the one shown, and like it."""
    answers, own = problems.tree.finished(), students.copy()
    for p, right in enumerate(problems.right):
        others = np.flatnonzero(right & ~problems.agree[p][0])
        for i, z in enumerate(rng.choice(others, students.shape[3])):
            for h, token in enumerate(answers[z]):
                for f in range(len(problems.hints[p])):
                    row = own[h, problems.state_index(p, f, answers[z][:h]), :, i]
                    row *= 1 - HABIT
                    row[token] += HABIT
    return own


RANDOM = {"garnet": _random_mdps(None), "hidden": _random_mdps(3)}
WORLDS = ("sum", "programs", "solution", "thinking", "garnet", "hidden")


def world(name: str, n: int, seed: int) -> World:
    """`n` random students; in the random worlds each in an MDP of its own."""
    if name in RANDOM:
        return RANDOM[name](n, seed)
    task, rng = single(name), np.random.default_rng([seed, 1])
    students = random_students(task.mdp, n, rng)
    return World(task, with_habits(game(name), students, rng) if name == "solution" else students)


def one(name: str, seed: int) -> tuple[Task, Array]:
    """A single problem and its student `(H,S,A)`."""
    many = world(name, 1, seed)
    mdp, student = many.task.mdp, many.students[..., 0]
    if not mdp.batch_shape:
        return many.task, student
    p, r, rho = (x[..., 0] for x in (mdp.transition, mdp.reward, mdp.initial))
    alone = TabularMDP(p, r, rho, observation=mdp.observation)
    return Task(alone, np.asarray(alone.reward)), student
