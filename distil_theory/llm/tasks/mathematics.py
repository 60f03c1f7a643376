"""Arithmetic: products, greatest common divisors, least common multiples, sums with and without written steps.

In `sum_steps` every example writes down what is left to add, so a right answer takes 4, 11 or 21 tokens, as many as
the problem needs. In `sum_choice` half of the examples write the sum at once: the student chooses *whether* to think,
and an objective that rewards short answers for being short will show it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from distil_theory.llm.tasks.base import Problem, Task, nearby


def numbers(low: int, high: int, fewest: int, most: int | None = None) -> Callable[[np.random.Generator], Problem]:
    """Draws `fewest` to `most` numbers of `low..high`, uniformly."""

    def draw(rng: np.random.Generator) -> Problem:
        k = int(rng.integers(fewest, (most or fewest) + 1))
        return tuple(rng.integers(low, high + 1, k).tolist())

    return draw


def unordered(problem: Problem) -> Problem:
    """The same numbers in ascending order."""
    return tuple(sorted(problem))


def with_a_common_factor(rng: np.random.Generator) -> Problem:
    """Two numbers up to 72 that share a factor from 1 to 9: most random pairs have none."""
    shared, a, b = rng.integers(1, [10, 9, 9]).tolist()
    return (shared * a, shared * b)


def multiples(a: int, last: int) -> str:
    """`1 * a = a, 2 * a = ...` up to `last`."""
    return ", ".join(f"{k} * {a} = {k * a}" for k in range(1, last // a + 1))


def euclid(a: int, b: int) -> str:
    """Euclid's divisions: `48 = 2 * 18 + 12, ...`; the last divisor is the answer."""
    steps = []
    while b:
        steps.append(f"{a} = {a // b} * {b} + {a % b}")
        a, b = b, a % b
    return ", ".join(steps)


def chain(terms: Problem) -> str:
    """What is left to add, the first two replaced by their sum: `2 + 7 + 5` gives `9 + 5 = 14`."""
    left = [" + ".join(map(str, (sum(terms[:k]), *terms[k:]))) for k in range(2, len(terms) + 1)]
    return " = ".join(left)


def plus(terms: Problem) -> str:
    """`2 + 7 + 5 =`."""
    return " + ".join(map(str, terms)) + " ="


PRODUCT = Task(
    name="product",
    field="mathematics",
    max_tokens=6,
    draw=numbers(2, 12, 2),
    ask=lambda p: f"{p[0]} * {p[1]} =",
    solve=lambda p: str(p[0] * p[1]),
    work=lambda p: multiples(max(p), p[0] * p[1]),
    miss=nearby(lambda p: p[0] * p[1]),
    same=unordered,
)
GCD = Task(
    name="gcd",
    field="mathematics",
    max_tokens=5,
    draw=with_a_common_factor,
    ask=lambda p: f"gcd({p[0]}, {p[1]}) =",
    solve=lambda p: str(math.gcd(*p)),
    work=lambda p: euclid(max(p), min(p)),
    miss=nearby(lambda p: math.gcd(*p)),
    same=unordered,
)
LCM = Task(
    name="lcm",
    field="mathematics",
    max_tokens=6,
    draw=numbers(2, 16, 2),
    ask=lambda p: f"lcm({p[0]}, {p[1]}) =",
    solve=lambda p: str(math.lcm(*p)),
    work=lambda p: multiples(max(p), math.lcm(*p)),
    miss=nearby(lambda p: math.lcm(*p)),
    same=unordered,
)
SUM = Task(
    name="sum",
    field="mathematics",
    max_tokens=6,
    draw=numbers(1, 9, 2, 4),
    ask=plus,
    solve=lambda p: str(sum(p)),
    work=chain,
    chained=True,
    miss=nearby(sum),
    same=unordered,
)
SUM_STEPS = SUM.but(name="sum_steps", max_tokens=26, write=chain)
SUM_CHOICE = SUM.but(name="sum_choice", max_tokens=26, write=lambda p: chain(p) if p[-1] % 2 else str(sum(p)))
