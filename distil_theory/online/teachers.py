r"""Teachers that move: what the student is shown in round `n`, as explicit distributions.

A teacher is called once a round, with the round and the students, `(H,S,A,n)`, and answers with its policies
`(H,S,A,n)`. How much it moves is its *path length*, per cell,

    P_h(s) = sum_n || pi*_{n+1}(.|h,s) - pi*_n(.|h,s) ||_1,

and `floor`, the least probability that it gives to any action, keeps a student's loss finite: `lifted` mixes any policy
with the uniform one.

`fixed`; `rising`: conditioned on the success of a slow average of the student, so it moves as far as the student does;
`leading`: that average, moved towards an expert; `fed`: each round new feedback, which turns a share of the expert
elsewhere; `switching`: between two experts in stated rounds, a path length spent in jumps; `coin`: the same, and nobody
can foresee it; `contrary`: an adversary that goes, by so much a round, to where the student expects it least.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from distil_theory import experts, validate
from distil_theory.online.streams import uniforms
from distil_theory.spec import TabularMDP

OWN = 1
"""Part of the key of a teacher's random numbers: others than those of the students' rollouts."""
Teacher = Callable[[int, np.ndarray], np.ndarray]
"""`teacher(n, students)`: round `1, 2, ...` and `(H,S,A,n)` to `(H,S,A,n)`."""


def lifted(policy: np.ndarray, floor: float) -> np.ndarray:
    """`(1 - A floor) policy + floor`: no action of `(H,S,A,*B)` has less than `floor`.

    Raises:
        ValueError: a floor outside `[0, 1/A]`.
    """
    actions = policy.shape[2]
    if not 0 <= floor <= 1 / actions:
        raise ValueError(f"floor must lie between 0 and 1/A = {1 / actions:g}, not {floor}")
    return (1 - actions * floor) * policy + floor


def fixed(expert: np.ndarray, floor: float = 0.0) -> Teacher:
    """The expert `(H,S,A)`, always."""
    star = lifted(np.asarray(expert), floor)[..., None]
    return lambda _, students: np.broadcast_to(star, students.shape)


def rising(mdp: TabularMDP, rate: float, floor: float) -> Teacher:
    """The slow average of the students, `old <- (1 - rate) old + rate student`, conditioned on its own success.

    Args:
        mdp: with rewards `>= 0`.
        rate: of the average; 1 follows at once.
        floor: of the teacher.
    """
    average: list[np.ndarray] = []

    def teach(_: int, students: np.ndarray) -> np.ndarray:
        average[:] = [experts.ema(average[0], students, rate) if average else students]
        return lifted(experts.success_conditioned(mdp, average[0]), floor)

    return teach


def leading(expert: np.ndarray, share: float, rate: float, floor: float) -> Teacher:
    """The slow average of the students, moved by `share` towards the expert `(H,S,A)`; at 1 it is the expert.

    Args:
        expert: where it leads.
        share: how far ahead it is, between 0 and 1.
        rate: of the average, as in `rising`.
        floor: of the teacher.
    """
    star, average = np.asarray(expert)[..., None], list[np.ndarray]()

    def teach(_: int, students: np.ndarray) -> np.ndarray:
        average[:] = [experts.ema(average[0], students, rate) if average else students]
        return lifted(experts.ema(average[0], np.broadcast_to(star, students.shape), share), floor)

    return teach


def fed(expert: np.ndarray, share: float, floor: float, seeds: Sequence[int], base: int = 0) -> Teacher:
    """New feedback in every round: `(1 - share)` of the expert `(H,S,A)`, and `share` of a policy drawn afresh, each
    row uniformly from the simplex."""
    star = np.asarray(expert)[..., None]
    drawn = uniforms((base, OWN), seeds, 2**62, star.shape[:3])

    def teach(_: int, students: np.ndarray) -> np.ndarray:
        parts = -np.log1p(-next(drawn))
        return lifted((1 - share) * star + share * parts / parts.sum(axis=2, keepdims=True), floor)

    return teach


def switching(first: np.ndarray, second: np.ndarray, at: Collection[int], floor: float) -> Teacher:
    """Two experts `(H,S,A)` in turn; the other one takes over in each of the rounds `at`."""
    both = [lifted(np.asarray(x), floor)[..., None] for x in (first, second)]
    turns = np.sort(np.asarray(at, dtype=int))
    return lambda n, students: np.broadcast_to(both[np.searchsorted(turns, n, side="right") % 2], students.shape)


def coin(actions: int, every: int, floor: float, seeds: Sequence[int], base: int = 0) -> Teacher:
    """A fair coin, thrown every so many rounds, decides whether action 0 or action 1 gets all that `floor` leaves.

    No learner can foresee it: after each throw its expected loss is at least `log 2` less what the floor hides,
    whatever it does (`coin_loss`). The same row in every cell.
    """
    every = validate.whole("every", every, 1)
    thrown = uniforms((base, OWN), seeds, 2**62, ())
    shown: list[np.ndarray] = []

    def teach(n: int, students: np.ndarray) -> np.ndarray:
        if (n - 1) % every == 0:
            side = next(thrown) < 0.5
            pure = np.zeros((1, 1, actions, len(side)))
            pure[0, 0, 0], pure[0, 0, 1] = side, ~side
            shown[:] = [lifted(pure, floor)]
        return np.broadcast_to(shown[0], students.shape)

    return teach


def coin_loss(actions: int, floor: float) -> float:
    """The least expected KL of any student to the teacher of `coin`, just after a throw: the Jensen-Shannon divergence
    of the two rows, `H(mean) - H(row)`."""
    row = lifted(np.eye(actions)[:2, None], floor)[:, 0]
    mean = row.mean(axis=0)
    return float((row[0] * np.log(row[0])).sum() - (mean * np.log(mean)).sum())


def contrary(first: np.ndarray, budget: float, floor: float) -> Teacher:
    """An adversary: each round it moves mass `budget/2` per cell (a step of length `budget` in L1), from the action
    that the student expects most to the one that it expects least; it starts at `first (H,S,A)`."""
    now: list[np.ndarray] = []

    def teach(_: int, students: np.ndarray) -> np.ndarray:
        if not now:
            now[:] = [np.broadcast_to(lifted(np.asarray(first), floor)[..., None], students.shape).copy()]
            return now[0]
        moved = now[0].copy()
        most = students.argmax(axis=2)[:, :, None]
        least = students.argmin(axis=2)[:, :, None]
        mass = np.minimum(budget / 2, np.take_along_axis(moved, most, 2) - floor)
        np.put_along_axis(moved, most, np.take_along_axis(moved, most, 2) - mass, 2)
        np.put_along_axis(moved, least, np.take_along_axis(moved, least, 2) + mass, 2)
        now[:] = [moved]
        return moved

    return teach
