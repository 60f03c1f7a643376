"""What a named instance is, and how it is written down: strings that are exact rationals.

`exact_instance` makes one; `rational` and `probability` read a parameter, so that `"1/10"` stays one tenth; `moves`
turns "where does this lead?" into a transition array.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flint
import numpy as np

from distil_theory import number_systems as ns
from distil_theory import solve
from distil_theory.instances.names import Names, named
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP


class _Problem(NamedTuple):
    """What an instance unpacks to."""

    name: str
    mdp: TabularMDP
    student: Array
    expert: Array
    exposes: str


class Instance(_Problem):
    """A problem with a student and an expert `(H,S,A)`; `exposes` says what goes wrong, or right, here.

    Two attributes are for those who look at it, and no part of the tuple: `names`, words for states and actions, and
    `world`, what the problem was made from if there is more to show than names: a `TokenMDP`, a `Grid`, or None.
    """

    names: Names
    world: Any

    def __new__(  # noqa: D102  # the class says what it takes
        cls, name: str, mdp: TabularMDP, student: Array, expert: Array, exposes: str, names: Names, world: Any = None
    ) -> Instance:
        made = super().__new__(cls, name, mdp, student, expert, exposes)
        made.names, made.world = names, world
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:  # what pickle and copy call __new__ with
        return *self, self.names, self.world

    def convert(self, to: str) -> Instance:
        """The same instance in another number system."""
        pi, star = (ns.convert(policy, to) for policy in (self.student, self.expert))
        return Instance(self.name, self.mdp.convert(to), pi, star, self.exposes, self.names, self.world)

    @property
    def gap(self) -> Array:
        """`J(pi*) - J(pi)`."""
        return solve.expected_return(self.mdp, self.expert) - solve.expected_return(self.mdp, self.student)


def exact_instance(
    name: str,
    mdp: TabularMDP,
    student: Any,
    expert: Any,
    exposes: str,
    names: Names | Sequence[str] | None = None,
    world: Any = None,
) -> Instance:
    """An `Instance` in exact rationals.

    Args:
        name: that of the function which makes it.
        mdp: the problem, without floats that are no whole numbers.
        student, expert: `(H,S,A)`, nested lists whose entries are strings such as `"1/3"`, whole numbers or rationals.
        exposes: one sentence on what goes wrong, or right, here.
        names: of states and actions, or one line `"state: action, action"` per state; default: numbers.
        world: a `TokenMDP` or `Grid`.

    Raises:
        ValueError: a policy or the names do not fit the problem (the message says which, and where).
    """
    mdp = mdp.convert("rational")
    pi, star = (ns.convert(p, "rational") for p in (student, expert))
    pi, star = solve.check_policy(mdp, pi, "student"), solve.check_policy(mdp, star, "expert")
    words = names if isinstance(names, Names) else named(mdp, names)
    return Instance(name, mdp, pi, star, exposes, words, world)


def rational(what: str, value: Any, low: Any = 0, high: Any = 1) -> Any:
    """The parameter `what` as a rational strictly between `low` and `high`.

    Floats are refused unless whole: `0.1` is not one tenth, `"1/10"` is.

    Raises:
        ValueError: no exact number, or out of range.
    """
    low, high = (ns.convert(x, "rational")[()] for x in (low, high))
    try:
        if isinstance(value, bool | float | np.floating):
            raise TypeError
        q = ns.convert(value, "rational")
        if q.ndim:
            raise TypeError
    except (TypeError, ValueError, ZeroDivisionError):
        raise ValueError(f"{what} must be an exact number such as '1/10', not {value!r}") from None
    if not low < q[()] < high:
        raise ValueError(f"{what} must lie strictly between {low} and {high}, not {value!r}")
    return q[()]


def biased(p: Any) -> list[Any]:
    """The distribution `(p, 1 - p)`."""
    return [p, 1 - p]


Successor = Mapping[int, Any] | int


def moves(leads_to: Callable[[int, int, int], Successor], steps: int, states: int, actions: int) -> Array:
    """Transition `(H,S,A,S')` in rationals.

    Args:
        leads_to: of `h, s, a`: the next state, or a map from next states to probabilities.
        steps, states, actions: `H`, `S`, `A`.
    """
    p = np.full((steps, states, actions, states), flint.fmpq(0), dtype=object)
    for h, s, a in np.ndindex(steps, states, actions):
        after = leads_to(h, s, a)
        for t, chance in after.items() if isinstance(after, Mapping) else [(after, 1)]:
            p[h, s, a, t] += ns.convert(chance, "rational")[()]
    return p
