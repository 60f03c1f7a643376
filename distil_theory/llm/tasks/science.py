"""Generated physics at a desk: units converted, and quantities combined so that their dimensions fit.

`units` converts within a dimension by powers of ten and by 60; the factors are exact whole numbers. `dimensions` gives
two quantities and a relation (`distance = speed * time`); the answer is a number with its unit, and the written step is
the calculation with the units in it. A right number with a wrong unit is wrong.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from distil_theory.llm.tasks.base import Problem, Task, nearby

CONVERSIONS = {
    ("km", "m"): 1000,
    ("m", "cm"): 100,
    ("m", "mm"): 1000,
    ("cm", "mm"): 10,
    ("kg", "g"): 1000,
    ("g", "mg"): 1000,
    ("l", "ml"): 1000,
    ("h", "min"): 60,
    ("min", "s"): 60,
}
"""How many of the second unit one of the first is."""


class Law(NamedTuple):
    """`result = first * second`, each with its unit; the units multiply to the result's."""

    result: str
    first: str
    second: str
    units: tuple[str, str, str]


LAWS = (
    Law("distance", "speed", "time", ("m", "m/s", "s")),
    Law("force", "mass", "acceleration", ("N", "kg", "m/s^2")),
    Law("energy", "power", "time", ("J", "W", "s")),
    Law("work", "force", "distance", ("J", "N", "m")),
    Law("voltage", "current", "resistance", ("V", "A", "ohm")),
    Law("charge", "current", "time", ("C", "A", "s")),
    Law("mass", "density", "volume", ("kg", "kg/l", "l")),
)


def units_problem(rng: np.random.Generator) -> Problem:
    """A number from 2 to 30 and a pair of units."""
    pairs = list(CONVERSIONS)
    return (int(rng.integers(2, 31)), *pairs[rng.integers(len(pairs))])


def converted(problem: Problem) -> int:
    """The number in the smaller unit."""
    k, big, small = problem
    return int(k * CONVERSIONS[big, small])


UNITS = Task(
    name="units",
    field="science",
    max_tokens=8,
    draw=units_problem,
    ask=lambda p: f"{p[0]} {p[1]} in {p[2]} =",
    solve=lambda p: str(converted(p)),
    work=lambda p: f"1 {p[1]} is {CONVERSIONS[p[1:]]} {p[2]}, {p[0]} * {CONVERSIONS[p[1:]]} is {converted(p)}",
    miss=lambda p, rng: str(p[0] * int(rng.choice([f for f in (10, 60, 100, 1000) if f != CONVERSIONS[p[1:]]]))),
)


def dimensions_problem(rng: np.random.Generator) -> Problem:
    """A law by its place, and two numbers from 2 to 9."""
    return (int(rng.integers(len(LAWS))), *rng.integers(2, 10, 2).tolist())


def calculation(problem: Problem) -> str:
    """`3 m/s * 4 s = 12 m`."""
    law, a, b = LAWS[problem[0]], *problem[1:]
    return f"{a} {law.units[1]} * {b} {law.units[2]} = {quantity(problem)}"


def quantity(problem: Problem) -> str:
    """The result with its unit."""
    return f"{problem[1] * problem[2]} {LAWS[problem[0]].units[0]}"


def asked(problem: Problem) -> str:
    """`speed 3 m/s, time 4 s, distance =`."""
    law, a, b = LAWS[problem[0]], *problem[1:]
    return f"{law.first} {a} {law.units[1]}, {law.second} {b} {law.units[2]}, {law.result} ="


def wrong_quantity(problem: Problem, rng: np.random.Generator) -> str:
    """Another number with the right unit."""
    number = nearby(lambda p: p[1] * p[2])(problem, rng)
    return f"{number} {LAWS[problem[0]].units[0]}"


DIMENSIONS = Task(
    name="dimensions",
    field="science",
    max_tokens=8,
    draw=dimensions_problem,
    ask=asked,
    solve=quantity,
    work=calculation,
    chained=True,
    miss=wrong_quantity,
)
DIMENSIONS_STEPS = DIMENSIONS.but(name="dimensions_steps", max_tokens=28, write=calculation)
