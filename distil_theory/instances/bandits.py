"""One step: bandits and contextual bandits, each a theorem's limit in a few numbers."""

from __future__ import annotations

from typing import Any

from distil_theory import experts
from distil_theory import number_systems as ns
from distil_theory.instances.base import Instance, exact_instance
from distil_theory.spec import Bandit


def teaching_bandit() -> Instance:
    """Claim 5: two correct answers, and the expert nearly abandons one of them."""
    return exact_instance(
        "teaching_bandit",
        Bandit(["1", "1", "0"]),
        [[["1/3", "1/3", "1/3"]]],
        [[["1/100", "66/100", "33/100"]]],
        "small natural steps of reverse KL, Jensen-Shannon and Hellinger lower the reward; forward KL raises it",
        ["question: right answer, other right answer, wrong answer"],
    )


def euclidean_bandit() -> Instance:
    """Claim 6a: the plain softmax gradient of forward cross-entropy lowers the reward."""
    return exact_instance(
        "euclidean_bandit",
        Bandit(["1", "1", "0"]),
        [[["1/8", "5/8", "1/4"]]],
        [[["3/4", "1/8", "1/8"]]],
        "the Euclidean step of forward KL lowers the reward; the natural step raises it",
        ["question: right answer, other right answer, wrong answer"],
    )


def aliased_contexts() -> Instance:
    """Claim 6c: two contexts that look alike; the expert sees which is which, the student cannot."""
    return exact_instance(
        "aliased_contexts",
        Bandit([["1", "0"], ["0", "9/10"]], ["1/2", "1/2"], [0, 0]),
        [[["1/2", "1/2"], ["1/2", "1/2"]]],
        [[["8/10", "2/10"], ["1/10", "9/10"]]],
        "with hidden state even the natural step of forward KL lowers the reward",
        ["context A: first, second", "context B: first, second"],
    )


def two_contexts() -> Instance:
    """Claim 4: two visible contexts with two actions each suffice to break reverse KL."""
    return exact_instance(
        "two_contexts",
        Bandit([["1", "0"], ["1", "0"]], ["2/5", "3/5"]),
        [[["1/2", "1/2"], ["1/2", "1/2"]]],
        [[["1/100", "99/100"], ["9/10", "1/10"]]],
        "two actions are safe in one bandit, not in a contextual one: reverse KL lowers the reward",
        ["context A: right, wrong", "context B: right, wrong"],
    )


def success_euclidean() -> Instance:
    """Claim 9: a self-teacher with truthful feedback does not save the plain gradient of reverse KL.

    The expert is the student, conditioned on success. The common action succeeds less often than the average, but
    far more often than the second: measured by `log u` it deserves to be raised, measured by the reward it does not.
    """
    return _self_taught(
        "success_euclidean",
        Bandit(["1/100", "1/1000000", "1"]),
        ["3/4", "1/5", "1/20"],
        "conditioned on success the expert is never wrong; yet the Euclidean step of reverse KL lowers the reward",
        ["question: common answer, hopeless answer, rare right answer"],
    )


def success_euclidean_js() -> Instance:
    """Claim 9: the same for Jensen-Shannon, whose `h` is bounded at 0: it takes a success as rare as 1/1000."""
    return _self_taught(
        "success_euclidean_js",
        Bandit(["3/1000", "1/1000000", "1"]),
        ["949/1000", "50/1000", "1/1000"],
        "conditioned on success the expert is never wrong; yet the Euclidean step of Jensen-Shannon lowers the reward",
        ["question: common answer, hopeless answer, rare right answer"],
    )


def success_aliased() -> Instance:
    """Claim 9: a self-teacher with truthful feedback, and a context that only it can see.

    In the easy context nearly anything succeeds, so success says little; in the hard one success singles out the second
    action, loudly, for a gain of little. A student who cannot tell them apart listens to the loud one.
    """
    return _self_taught(
        "success_aliased",
        Bandit([["1", "4/5"], ["0", "1/10"]], ["1/2", "1/2"], [0, 0]),
        ["1/2", "1/2"],
        "conditioned on success, but with hidden state: the natural step of forward KL lowers the reward",
        ["easy context: first, second", "hard context: first, second"],
    )


def _self_taught(name: str, mdp: Bandit, row: list[Any], exposes: str, names: list[str]) -> Instance:
    """The student `row` in every context, and itself conditioned on success."""
    student = ns.convert([[row] * mdp.shape[1]], "rational")
    return exact_instance(name, mdp, student, experts.success_conditioned(mdp, student), exposes, names)
