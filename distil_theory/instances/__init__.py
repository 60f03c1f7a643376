"""The named instances of the theory, in exact rationals: small enough to check with a pencil.

Each is an `Instance`: the problem, a student, an expert, and one sentence on the failure that it exposes.
`instance.convert("float64")` (or `"ball"`, `"symbolic"`, `"torch"`) gives the same instance in other numbers.
"""

from __future__ import annotations

from typing import NamedTuple

from distil_theory import number_systems as ns
from distil_theory import solve
from distil_theory.number_systems import Array
from distil_theory.spec import Bandit, TabularMDP


class Instance(NamedTuple):
    """A problem with a student and an expert `(H,S,A)`; `exposes` says what goes wrong, or right, here."""

    name: str
    mdp: TabularMDP
    student: Array
    expert: Array
    exposes: str

    def convert(self, to: str) -> Instance:
        """The same instance in another number system."""
        return self._replace(
            mdp=self.mdp.convert(to), student=ns.convert(self.student, to), expert=ns.convert(self.expert, to)
        )

    @property
    def gap(self) -> Array:
        """`J(pi*) - J(pi)`."""
        return solve.expected_return(self.mdp, self.expert) - solve.expected_return(self.mdp, self.student)


def _instance(name: str, mdp: TabularMDP, student: list, expert: list, exposes: str) -> Instance:
    pi, star = (ns.convert(p, "rational") for p in (student, expert))
    return Instance(name, mdp.convert("rational"), pi, star, exposes)


def teaching_bandit() -> Instance:
    """Claim 5: two correct answers, and the expert nearly abandons one of them."""
    return _instance(
        "teaching_bandit",
        Bandit(["1", "1", "0"]),
        [[["1/3", "1/3", "1/3"]]],
        [[["1/100", "66/100", "33/100"]]],
        "small natural steps of reverse KL, Jensen-Shannon and Hellinger lower the reward; forward KL raises it",
    )


def euclidean_bandit() -> Instance:
    """Claim 6a: the plain softmax gradient of forward cross-entropy lowers the reward."""
    return _instance(
        "euclidean_bandit",
        Bandit(["1", "1", "0"]),
        [[["1/8", "5/8", "1/4"]]],
        [[["3/4", "1/8", "1/8"]]],
        "the Euclidean step of forward KL lowers the reward; the natural step raises it",
    )


def aliased_contexts() -> Instance:
    """Claim 6c: two contexts that look alike; the expert sees which is which, the student cannot."""
    return _instance(
        "aliased_contexts",
        Bandit([["1", "0"], ["0", "9/10"]], ["1/2", "1/2"], [0, 0]),
        [[["1/2", "1/2"], ["1/2", "1/2"]]],
        [[["8/10", "2/10"], ["1/10", "9/10"]]],
        "with hidden state even the natural step of forward KL lowers the reward",
    )


def two_contexts() -> Instance:
    """Claim 4: two visible contexts with two actions each suffice to break reverse KL."""
    return _instance(
        "two_contexts",
        Bandit([["1", "0"], ["1", "0"]], ["2/5", "3/5"]),
        [[["1/2", "1/2"], ["1/2", "1/2"]]],
        [[["1/100", "99/100"], ["9/10", "1/10"]]],
        "two actions are safe in one bandit, not in a contextual one: reverse KL lowers the reward",
    )


def risky_fork() -> Instance:
    """Claim 8: the expert is better at every state, yet the local forward-KL step lowers the return.

    State 0 is the fork (actions: safe, risky), 1 the risky state (good, bad), 2 the safe one, where nothing matters.
    """
    go = [[["0", "0", "1"], ["0", "1", "0"]], *[[[int(s == j) for s in range(3)]] * 2 for j in (1, 2)]]
    stay = [[[int(s == j) for s in range(3)]] * 2 for j in range(3)]
    reward = [[["1/2", "0"], ["0", "0"], ["0", "0"]], [["0", "0"], ["1", "0"], ["0", "0"]]]
    return _instance(
        "risky_fork",
        TabularMDP(
            ns.convert([go, stay], "rational"), ns.convert(reward, "rational"), ns.convert([1, 0, 0], "rational")
        ),
        [[["19/20", "1/20"], ["1/2", "1/2"], ["1/2", "1/2"]], [["1/2", "1/2"], ["1/10", "9/10"], ["1/2", "1/2"]]],
        [[["1/10", "9/10"], ["1/2", "1/2"], ["1/2", "1/2"]], [["1/2", "1/2"], ["1", "0"], ["1/2", "1/2"]]],
        "many steps: a better expert is not enough for the local step; weighting states by claim 2 repairs it",
    )


INSTANCES = (teaching_bandit, euclidean_bandit, aliased_contexts, two_contexts, risky_fork)
"""All named instances, as functions."""
