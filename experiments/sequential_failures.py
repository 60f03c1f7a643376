r"""How often does a step lower the reward in random MDPs although the teacher is better? (THEORY claims 2, 8 and 9)

A *cell* is a family of Garnets with a teacher: `n` MDPs that pay `r ~ U[0, 1]`, or a power of it where success is to be
rare, at the last step only, so that `Q` is a probability of success; the student has Dirichlet(1) rows, one for each
step and observation. Counted are the MDPs with `J* > J` whose return a small step lowers. For the random teacher, also
Dirichlet(1), nothing is thrown away: the law of the reward, if it is no power, is that of `1 - r`, which flips the sign
of `J* - J`.

All MDPs of a cell are one batch. The rate of an objective is `<dJ/d theta, velocity>` (claim 1). Where floats cannot
tell its sign, or that of the gap, the very numbers drawn are read as rationals and normalised, the teacher is made
again from them, and the sign is taken in ball arithmetic. At most `EXACT` signs per objective, cell and block are
decided so; what is left is counted as undecided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from distil_theory import experts, instances, objectives, prevalence, solve
from distil_theory import number_systems as ns
from distil_theory.divergences import BY_NAME, CROSS_ENTROPY, FDivergence
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP

DIVERGENCES = {**BY_NAME, CROSS_ENTROPY.name: CROSS_ENTROPY}
BRANCHING = 2
EXACT = 20
UNDECIDED = 1e-12
"""Signs of rates below this fraction of the largest motion, or of 1, times `H` are decided again, rigorously."""
COUNTS = ("better", "failed", "lowered", "undecided")
"""Of a cell: MDPs with `J* > J`; those of them with a negative rate; all with a negative rate; open signs."""


class Objective(NamedTuple):
    """What is descended: `part` is `local`, `full` or `weighted` (local, by claim 2's state weights)."""

    divergence: str
    part: str = "local"
    geometry: str = "natural"


class Teacher(NamedTuple):
    """Who teaches, with a dial in exact decimals; not `privileged`: sees the observation only."""

    kind: str
    dial: str = "0"
    privileged: bool = True


class Family(NamedTuple):
    """A family of Garnets: sizes; `observations` below `states`: in so many groups, at random, states look alike; the
    reward is the `rare`-th power of a uniform number."""

    horizon: int
    states: int
    actions: int
    observations: int
    rare: int = 1


class Problem(NamedTuple):
    """MDP, student, and a second policy drawn like the student: the random teacher, or an older student."""

    mdp: TabularMDP
    student: Array
    other: Array


def expert_of(teacher: Teacher, problem: Problem) -> Array:
    """The teacher as a policy `(H,S,A,*B)`, in the number system of the problem.

    `random`: the second policy. `soft_optimal`: at temperature `dial`. `noisy`: the student conditioned on a success
    bit that is wrong with probability `dial`. `overconfident`: its true bit counted `1 + dial` times. `lagging`: the
    student conditioned on success is not the present one but a share `dial` of the second policy.
    """
    mdp, student, other = problem
    dial: Any = ns.convert(teacher.dial, "rational")[()]
    number = dial if ns.name(student) == "ball" else float(dial)
    if teacher.kind == "random":
        return other
    if teacher.kind == "soft_optimal":
        return experts.soft_optimal(mdp, number)
    if teacher.kind == "noisy":
        return experts.noisy(mdp, student, number, privileged=teacher.privileged)
    if teacher.kind == "lagging":
        return experts.success_conditioned(mdp, experts.ema(student, other, number), privileged=teacher.privileged)
    assert teacher.kind == "overconfident", teacher
    truthful = experts.success_conditioned(mdp, student, privileged=teacher.privileged)
    return experts.overconfident(truthful, student, float(dial))


def draw(family: Family, n: int, seed: int, block: int) -> Problem:
    """`n` problems; the stream depends on family, seed and block only."""
    steps, states, actions, observations, rare = family
    entropy = np.random.SeedSequence([seed, block, *family])
    of_mdp = int(entropy.generate_state(1)[0])
    mdp = instances.garnet(states, actions, BRANCHING, steps, of_mdp, n, "terminal")
    rng = np.random.default_rng(entropy.spawn(1)[0])
    seen = np.arange(states)
    if observations < states:
        seen = rng.permutation(np.append(seen[:observations], rng.integers(0, observations, states - observations)))
    mdp = TabularMDP(mdp.transition, mdp.reward**rare, mdp.initial, None, seen, 1)
    student, other = (rng.exponential(size=(steps, states, actions, n)) for _ in range(2))
    student, other = (x / x.sum(axis=2, keepdims=True) for x in (student[:, seen], other[:, seen]))
    return Problem(mdp, student, other)


def turned(problem: Problem) -> Problem:
    """The reward turned to `1 - r` where the second policy is worse than the student."""
    mdp, student, other = problem
    worse = solve.expected_return(mdp, other) < solve.expected_return(mdp, student)
    reward = mdp.reward.copy()
    reward[-1] = np.abs(worse - reward[-1])
    return Problem(TabularMDP(mdp.transition, reward, mdp.initial, None, mdp.observation, 1), student, other)


def _velocity(objective: Objective, problem: Problem, expert: Array, weight: Array | None) -> Array:
    divergence, part = DIVERGENCES[objective.divergence], objective.part
    arguments = (problem.mdp, problem.student, expert, divergence)
    if part == "weighted":
        return objectives.pooled_score(*arguments, weight)
    if objective.geometry == "euclidean":
        return -objectives.loss_gradient(*arguments, part=part)
    return objectives.pooled_score(*arguments, part=part)


def rates(todo: Sequence[Objective], problem: Problem, expert: Array) -> tuple[np.ndarray, np.ndarray]:
    """Rate of each objective, and below which size its sign is open; `(objectives, n)`."""
    gradient = objectives.return_gradient(problem.mdp, problem.student)
    weight = objectives.occupancy_ratio(problem.mdp, problem.student, expert)
    found, open_below = np.empty((2, len(todo), gradient.shape[-1]))
    for k, objective in enumerate(todo):
        motion = _velocity(objective, problem, expert, weight)
        # what rounding leaves of a motion that nearly vanishes is of the order of a score, which is of the order of one
        open_below[k] = UNDECIDED * len(gradient) * np.maximum(abs(motion).max(axis=(0, 1, 2)), 1)
        found[k] = np.einsum("hoab,hoab->b", gradient, motion - motion.mean(axis=2, keepdims=True))
    return found, open_below


def _exact(problem: Problem, i: int) -> Problem:
    """Problem `i` of the batch: the floats drawn as rationals, normalised, as balls."""
    mdp, *policies = problem

    def normal(x: Array, axis: int) -> Array:
        x = ns.convert(x[..., i], "rational")
        return x / x.sum(axis=axis, keepdims=True)

    one = TabularMDP(normal(mdp.transition, 3), ns.convert(mdp.reward[..., i], "rational"), normal(mdp.initial, 0),
                     observation=mdp.observation)  # fmt: skip
    return Problem(one.convert("ball"), *(ns.convert(normal(p, 2), "ball") for p in policies))


def _sign(ball: Any) -> int | None:
    """None: not decided."""
    if ball > 0 or ball < 0:
        return 1 if ball > 0 else -1
    return 0 if ball.rad() < 1e-30 else None


def exact_sign(teacher: Teacher, objective: Objective | None, problem: Problem, i: int) -> int | None:
    """Sign of the rate of problem `i`, or of the gap if there is no objective; None if balls leave it open."""
    with ns.precision(prevalence.BITS):
        one = _exact(problem, i)
        expert = expert_of(teacher, one)
        if objective is None:
            return _sign(solve.expected_return(one.mdp, expert) - solve.expected_return(one.mdp, one.student))
        weighted = objective.part == "weighted"
        weight = objectives.occupancy_ratio(one.mdp, one.student, expert) if weighted else None
        part = "local" if weighted else objective.part
        divergence: FDivergence = DIVERGENCES[objective.divergence]
        return _sign(
            objectives.improvement_rate(one.mdp, one.student, expert, divergence, objective.geometry, weight, part)
        )


def count(todo: list[Objective], teachers: list[Teacher], family: Family, n: int, seed: int, block: int) -> Any:
    """`COUNTS` of every teacher and objective, shape `(teachers, objectives, 4)`, for one block of `n` problems."""
    drawn = draw(family, n, seed, block)
    out = np.zeros((len(teachers), len(todo), len(COUNTS)), dtype=int)
    for t, teacher in enumerate(teachers):
        problem = turned(drawn) if teacher.kind == "random" else drawn
        expert = expert_of(teacher, problem)
        gap = solve.expected_return(problem.mdp, expert) - solve.expected_return(problem.mdp, problem.student)
        values, open_below = rates(todo, problem, expert)
        out[t] = tally(teacher, todo, problem, gap, values, open_below)
    return out


def signs(values: Array, open_below: Any, exact: Callable[[int], int | None]) -> tuple[np.ndarray, int]:
    """Sign of each value, the first `EXACT` open ones by `exact`; and how many stay undecided, which count as 0."""
    out, near = np.sign(values), np.flatnonzero(~(abs(values) > open_below))
    decided = [exact(int(i)) for i in near[:EXACT]]
    out[near] = 0
    out[near[:EXACT]] = [sign or 0 for sign in decided]
    return out, len(near) - sum(sign is not None for sign in decided)


def tally(
    teacher: Teacher, todo: Sequence[Objective], problem: Problem, gap: Array, values: Array, open_below: Array
) -> np.ndarray:
    """`COUNTS` per objective, from gaps `(n,)` and rates `(objectives, n)`."""
    better, unclear = signs(gap, UNDECIDED * len(problem.student), partial(exact_sign, teacher, None, problem))
    out = np.zeros((len(todo), len(COUNTS)), dtype=int)
    for k, objective in enumerate(todo):
        rate, open_signs = signs(values[k], open_below[k], partial(exact_sign, teacher, objective, problem))
        lowered = rate < 0
        out[k] = (better > 0).sum(), ((better > 0) & lowered).sum(), lowered.sum(), unclear + open_signs
    return out
