r"""Single steps against claim 1: what was predicted and what happened, by step size; samples against expectations.

Natural and Euclidean steps, expectations exact. The step sizes of one run are those of its students, so that each
student's first step is tried at all sizes from the same place: there `|change - predicted|` must shrink as `eta^2`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from distil_theory.algorithms import Algorithm, Disagreement, Update, cosines, named, run
from distil_theory.algorithms.diagnostics import Cosines
from distil_theory.algorithms.teachers import Teacher
from distil_theory.divergences import BY_NAME
from distil_theory.number_systems import Array
from experiments.loop import worlds
from experiments.loop.runs import ROUNDING

STEPS = 10
ETAS = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)
SMALL = 0.03
"""Up to here exponents are fitted."""
GEOMETRIES = ("natural", "euclidean")
PROMPTS, GROUP, REPEATS = (1, 4, 16, 64, 256, 1024), 4, 50
FAMILY_ETAS = (0.1, 1.0, 10.0)
FAMILY_STEPS = 20
FAMILY_WORLDS = ("garnet", "thinking")
"""Worlds of claim 9: the student sees the state, its teacher is conditioned on its own success."""


class Steps(NamedTuple):
    """Of every step: `predicted`, `second`, `change` of the return, `(T,E,N)`."""

    predicted: Array
    second: Array
    change: Array


def walk(world: str, name: str, geometry: str, n: int, seed: int) -> Steps:
    """`n` students, `STEPS` steps of each size."""
    here = worlds.world(world, n, seed).times(len(ETAS))
    algorithm = named(name).but(update=Update(geometry, eta=np.repeat(ETAS, n)))
    record = run(here.task, algorithm, STEPS, student=here.students)
    return Steps(*(x.reshape(STEPS, len(ETAS), n) for x in (record.predicted, record.second, record.change)))


def exponent(steps: Steps) -> tuple[Array, Array]:
    """Errors of the first step `(E,N)`, and the slopes of their logarithms in that of `eta <= SMALL`, `(N,)`."""
    error = np.abs(steps.change - steps.predicted)[0]
    some = np.array(ETAS) <= SMALL
    with np.errstate(divide="ignore", invalid="ignore"):
        return error, np.polyfit(np.log(np.array(ETAS)[some]), np.log(error[some]), 1)[0]


class Fallen(NamedTuple):
    """Steps, those that lowered the return, and the lowest change."""

    steps: int
    lowered: int
    lowest: float


def family(world: str, divergence: str, eta: float, n: int, seed: int) -> Fallen:
    """Local natural steps of an f-divergence towards the student conditioned on its own success (claim 9)."""
    here = worlds.world(world, n, seed)
    # trusted to 99 %: reverse KL and others need every action to stay possible
    algorithm = Algorithm(divergence, Teacher("success", trust=0.99), Disagreement(BY_NAME[divergence]),
                          Update("natural", eta=eta))  # fmt: skip
    change = run(here.task, algorithm, FAMILY_STEPS, student=here.students).change
    return Fallen(change.size, int((change < -ROUNDING).sum()), float(change.min()))


def pointing(world: str, name: str, seed: int) -> Cosines:
    """Sampled against exact gradient of one random student, by number of prompts."""
    task, student = worlds.one(world, seed)
    return cosines(task, named(name), PROMPTS, group=GROUP, repeats=REPEATS, student=student, seed=seed)
