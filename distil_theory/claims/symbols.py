"""Generic instances on which the code that runs is run: every probability, reward and score is a symbol."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy

from distil_theory import solve
from distil_theory.divergences import FDivergence
from distil_theory.number_systems import Array, convert, name
from distil_theory.number_systems.rational_functions import is_zero
from distil_theory.spec import Bandit, TabularMDP
from distil_theory.three_points import A, F


def _f(u: Array) -> Array:
    return np.frompyfunc(F, 1, 1)(u)


def _h(u: Array) -> Array:
    """`u f' - f`; floats only ask whether it is finite at 0."""
    return u if name(u) == "float64" else u * np.frompyfunc(F(A).diff(A).subs, 2, 1)(A, u) - _f(u)


ANY = FDivergence("any", _f, _h)
"""A divergence of which only `h = u f' - f` is known."""


def row(letter: str, n: int) -> list[Any]:
    """A generic distribution: `n - 1` positive symbols and what is left."""
    free = sympy.symbols(f"{letter}1:{n}", positive=True)
    return [*free, 1 - sum(free)]


def bandit(actions: int) -> tuple[Bandit, Array, Array]:
    """A bandit with student and expert, all symbols."""
    reward = sympy.symbols(f"r1:{actions + 1}", real=True)
    student, expert = (np.array(row(letter, actions), dtype=object)[None, None] for letter in "pq")
    return Bandit(np.array(reward, dtype=object)), student, expert


def mdp(steps: int = 2, states: int = 2, actions: int = 2) -> tuple[TabularMDP, Array, Array]:
    """An MDP with student and expert, all symbols."""

    def table(letter: str, n: int, *lead: int) -> Array:
        rows = [row(f"{letter}_{'_'.join(map(str, index))}_", n) for index in np.ndindex(*lead)]
        return np.array(rows, dtype=object).reshape(*lead, n)

    reward = np.array(sympy.symbols(f"r1:{steps * states * actions + 1}", real=True), dtype=object)
    spec = TabularMDP(
        table("P", states, steps, states, actions), reward.reshape(steps, states, actions), table("rho", states)[()]
    )
    return spec, table("p", actions, steps, states), table("q", actions, steps, states)


def alike(spec: TabularMDP, student: Array, expert: Array, sight: tuple[int, ...]) -> tuple[TabularMDP, Array, Array]:
    """The same where states with equal `sight` look alike, to a student who acts as in the first of them."""
    first, parts = [sight.index(o) for o in sight], (spec.transition, spec.reward, spec.initial)
    return TabularMDP(*parts, observation=sight, batch_ndim=student.ndim - 3), student[:, first], expert


def expected_return(spec: TabularMDP, policy: Array) -> Any:
    """`J` as one expression."""
    return only(solve.expected_return(spec, policy))


def only(x: Array) -> Any:
    """The one entry of an array without axes."""
    return np.asarray(x, dtype=object)[()]


def rational(text: str) -> Any:
    """One exact number."""
    return only(convert(text, "rational"))


def vanishes(expression: Any) -> bool:
    """Whether an expression, or every entry of an array, is identically zero."""
    return all(is_zero(e) for e in np.asarray(expression, dtype=object).flat)


def exact_bandit(reward: Array, student: Array, expert: Array) -> tuple[Bandit, Array, Array]:
    """One bandit `(A,)` with student and expert, in rationals; rows are normalised exactly."""
    return Bandit(reward), (student / student.sum())[None, None], (expert / expert.sum())[None, None]


def normalised(rows: Array) -> Array:
    """Rows that sum to one up to rounding, exactly: the largest entry takes what is left.

    Those of floats stay fractions with powers of two below, far quicker to add than what a division by the sum leaves.
    """
    flat = rows.reshape(-1, rows.shape[-1]).copy()
    each, largest = np.arange(len(flat)), flat.argmax(axis=1)
    flat[each, largest] += 1 - flat.sum(axis=1)
    return flat.reshape(rows.shape)


def exact_mdp(
    transition: Array, reward: Array, initial: Array, student: Array, expert: Array
) -> tuple[TabularMDP, Array, Array]:
    """One MDP with student and expert, in rationals; rows are normalised exactly."""
    p, rho, pi, star = map(normalised, (transition, initial, student, expert))
    return TabularMDP(p, reward, rho), pi, star
