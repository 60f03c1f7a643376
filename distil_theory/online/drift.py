r"""Students of a moving teacher who shows whole distributions: mirror descent, and what forgets nothing (claim 11).

In round `n` the teacher shows `pi*_n(.|h,s)`, and the student, having played `pi_n`, takes one step:

    proximal   pi_{n+1} = (pi_n + eta pi*_n) / (1 + eta)         the exact mixture step of forward KL,
    natural    pi_{n+1} ∝ pi_n exp(eta pi*_n / pi_n)             exponentiated gradient, the entropy mirror map,
    kt         the add-1/2 predictor of labels drawn from `pi*_n`: a black box, and every label counts for ever

(`updates.proximal_step`, `updates.exponential_step`, `kt.predictor`), everywhere, or where the student's rollout of
that round, or one of the teacher, came by. The cost of the round is exact: `sum_h E_{d^{pi_n}} KL(pi*_n || pi_n)`.
Against a path of teachers of length `P` the first two pay at most a constant and a multiple of `P`
(`bounds.proximal_drift`, `bounds.mirror_drift`); the third pays in proportion to `N` once the teacher has moved for
good.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from distil_theory import updates, validate
from distil_theory.divergences import FORWARD_KL
from distil_theory.online import kt
from distil_theory.online.record import check_marks
from distil_theory.online.streams import seed_list, uniforms
from distil_theory.online.teachers import Teacher
from distil_theory.online.world import World
from distil_theory.spec import TabularMDP
from distil_theory.trajectories import invert

Step = Callable[[TabularMDP, np.ndarray, np.ndarray, float], np.ndarray]
WHERE = ("all", "student", "teacher")


class Track(NamedTuple):
    """Sums over the rounds `1..rounds[m]`, `(M, n)` each, but the first.

    Attributes:
        rounds: the marks, `(M,)`.
        kl: `sum_n sum_h E_{d^{pi_n}} KL(pi*_n || pi_n)`.
        cells: `sum_n sum_{h,s} KL`, every cell counted: at least `kl`.
        path: `sum_{n>1} sum_{h,s} || pi*_n - pi*_{n-1} ||_1`.
        earned: `sum_n J(pi_n)`.
        floor: the least probability of any teacher so far.
        student_floor: the least probability of any student so far.
    """

    rounds: np.ndarray
    kl: np.ndarray
    cells: np.ndarray
    path: np.ndarray
    earned: np.ndarray
    floor: np.ndarray
    student_floor: np.ndarray


def proximal(mdp: TabularMDP, student: np.ndarray, teacher: np.ndarray, eta: float) -> np.ndarray:
    """The mixture `(student + eta teacher)/(1 + eta)`, per observation."""
    return updates.proximal_step(mdp, student, teacher, FORWARD_KL, eta)


def natural(mdp: TabularMDP, student: np.ndarray, teacher: np.ndarray, eta: float) -> np.ndarray:
    """`student exp(eta teacher/student) / Z`, per observation."""
    return updates.exponential_step(mdp, student, updates.direction(mdp, student, teacher, FORWARD_KL), eta)


STEPS: dict[str, Step] = {"proximal": proximal, "natural": natural}


def follow(
    mdp: TabularMDP,
    teacher: Teacher,
    rounds: int,
    step: str,
    eta: float = 1.0,
    where: str = "all",
    seeds: int | Sequence[int] = 1,
    base: int = 0,
    at: Any = None,
) -> Track:
    """Simulate students who follow a teacher from the uniform policy on.

    Args:
        mdp: one float64 MDP, unaliased.
        teacher: of `online.teachers`, or any function like those.
        rounds: `N`.
        step: `"proximal"`, `"natural"`, or `"kt"`, which asks for labels at visited states only.
        eta: size of a step; unused by `"kt"`.
        where: the student learns at `"all"` states, or at those that a rollout of the `"student"` or `"teacher"` meets.
        seeds, base, at: as for `online.dagger.dagger`. Without chance (`"all"`, fixed feedback) one seed is enough.

    Raises:
        ValueError: an unknown step or place, an aliased MDP, what `World` and `check_marks` refuse, a teacher who shows
            no policies of the students' shape.
    """
    world, every, when = World(mdp), seed_list(seeds), check_marks(rounds, at)
    if step not in (*STEPS, "kt"):
        raise ValueError(f"unknown step {step!r}: choose from {', '.join((*STEPS, 'kt'))}")
    if where not in WHERE or (step == "kt" and where == "all"):
        raise ValueError(f"where must be one of {', '.join(WHERE)}, and with labels not 'all'; it is {where!r}")
    if mdp.aliased:
        raise ValueError("the student of a moving teacher sees the state: this MDP hides it")
    if not (isinstance(eta, int | float) and 0 < eta < np.inf):
        raise ValueError(f"eta must be a positive number, not {eta!r}")
    n = len(every)
    student = np.full((*mdp.shape, n), 1 / mdp.shape[2])
    counts, shown = np.zeros(student.shape), student
    sums = np.zeros((4, n))
    floors = np.ones((2, n))
    rows: list[tuple[np.ndarray, ...]] = []
    numbers = uniforms((validate.whole("base", base, 0),), every, when[-1], (3, world.steps))
    for number, u in enumerate(numbers, 1):
        before, shown = shown, _shown(teacher(number, student), student.shape, number)
        sums += _round(world, student, shown, before if number > 1 else shown)
        floors = np.minimum(floors, [x.min(axis=(0, 1, 2)) for x in (shown, student)])
        if number == when[len(rows)]:
            rows.append((*sums.copy(), *floors))
        if where != "all":
            states, _ = world.walk(u[:2], _chooser(student if where == "student" else shown))
            visited = np.zeros(counts[:, :, :1].shape, dtype=bool)
            np.put_along_axis(visited, states[:, None, None], True, 1)
        if step != "kt":
            moved = STEPS[step](mdp, student, shown, eta)
            student = moved if where == "all" else np.where(visited, moved, student)
        else:
            labels = np.stack([_chooser(shown)(h, s, x) for h, (s, x) in enumerate(zip(states, u[2], strict=True))])
            counts += visited & (np.arange(mdp.shape[2])[:, None] == labels[:, None, None])
            student = kt.predictor(counts)
    return Track(when, *map(np.array, zip(*rows, strict=True)))


def _shown(answer: np.ndarray, shape: tuple[int, ...], number: int) -> np.ndarray:
    if np.shape(answer) != shape:
        raise ValueError(f"the teacher's policies have shape {np.shape(answer)} in round {number}, not {shape}")
    validate.distribution(f"the teacher of round {number}", answer, ["h", "s", "a"], 2)
    return answer


def _round(world: World, student: np.ndarray, shown: np.ndarray, before: np.ndarray) -> np.ndarray:
    """KL on the student's states, KL of all cells, length of the teacher's step, return: `(4, n)`."""
    d = world.occupancy(student)
    kl = FORWARD_KL.value(shown, student, axis=2)
    earned = (d[:, :, None] * student * np.asarray(world.mdp.reward)[..., None]).sum(axis=(0, 1, 2))
    return np.array([(d * kl).sum(axis=(0, 1)), kl.sum(axis=(0, 1)), abs(shown - before).sum(axis=(0, 1, 2)), earned])


def _chooser(policy: np.ndarray) -> Any:
    """How `World.walk` draws the actions of `(H,S,A,n)`."""
    own = np.arange(policy.shape[3])

    def choose(h: int, states: np.ndarray, u: np.ndarray) -> np.ndarray:
        return invert(policy[h, states, :, own].T, u)

    return choose
