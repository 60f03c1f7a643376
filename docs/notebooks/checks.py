"""Are the exercises of the class solved? Each check compares with the library and says what is wrong.

A check takes the answer, `None` (or a function that returns `None`) if there is none yet. It prints one line; a wrong
answer raises `AssertionError`, so that a notebook of solutions which are not solutions does not run.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from distil_theory import Bandit, certify, experts, instances, objectives
from distil_theory import number_systems as ns
from distil_theory.divergences import CATALOGUE, REVERSE_KL
from distil_theory.number_systems import Array
from distil_theory.worst_case import Curve


def _open(answer: Any, exercise: int) -> bool:
    if answer is None:
        print(f"Exercise {exercise}: waiting for your answer.")
    return answer is None


def _right(exercise: int, what: str) -> None:
    print(f"Exercise {exercise}: right. {what}")


def covariance(rate: Callable[[Array, Array, Array, Array], Any]) -> None:
    """Exercise 1: `rate(pi, star, r, h)`, rows of one bandit and the scores `h(pi*/pi)`, to `dJ/d eta`."""
    rng = np.random.default_rng(0)
    for divergence in CATALOGUE:
        pi, star, r = rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(4)), rng.random(4)
        found = rate(pi, star, r, divergence.h(star / pi))
        if _open(found, 1):
            return
        wanted = float(objectives.improvement_rate(Bandit(r), pi[None, None], star[None, None], divergence))
        assert np.isclose(found, wanted, rtol=1e-9, atol=1e-12), (
            f"for {divergence.label} you say {found}, the library says {wanted}: is it a mean of products minus "
            "a product of means, both under the student?"
        )
    _right(1, "A step of any divergence is judged by the covariance of the reward with its score.")


def misleading(answer: Any, reward: Any) -> None:
    """Exercise 2: an expert for the uniform student who is better, and whom reverse KL should not follow."""
    if _open(answer, 2):
        return
    weights = [Fraction(str(w)) for w in answer]
    assert len(weights) == 3, f"an expert for three answers has three weights, not {len(weights)}"
    assert min(weights) > 0, "reverse KL needs an expert with full support: weights above 0"
    star = ns.convert([[[str(w / sum(weights)) for w in weights]]], "rational")
    pi = ns.convert([[["1/3", "1/3", "1/3"]]], "rational")
    signs = certify.signs(certify.Case(Bandit(reward).convert("rational"), pi, star, REVERSE_KL))
    assert signs["gap"] == "+", "this expert earns no more than the student: of course following it does not help"
    assert signs["rate"] == "-", "this expert is better, and a small step of reverse KL raises the reward: try again"
    _right(2, "The expert is better, and a small step towards it lowers the reward: decided exactly.")


def safe_gap(answer: Any) -> None:
    """Exercise 3: how much better must an expert be, whose ratios lie between 1/10 and 4?"""
    if _open(answer, 3):
        return
    wanted = Curve(REVERSE_KL, low=0.1, high=4).safe_gap()
    assert abs(float(answer) - wanted) < 5e-3, f"{answer} is not where the curve crosses zero"
    _right(3, f"An expert better by {wanted:.3f} cannot mislead a small step.")


def safe_step(answer: Any) -> None:
    """Exercise 4: the one step size at which Jensen-Shannon is safe."""
    if _open(answer, 4):
        return
    assert Fraction(str(answer)) == 2, f"with eta = {answer} exp(eta h(u)) is not affine in u: h(u) = log((1 + u)/2)/2"
    _right(4, "exp(2 h(u)) = (1 + u)/2 is affine: that step is the midpoint of student and expert.")


def prefix_weights(weights: Callable[[Array, Array], Any]) -> None:
    """Exercise 5: from the actions' probabilities at the fork to the weights of the states behind them."""
    fork = instances.risky_fork()
    found = weights(fork.student[0, 0], fork.expert[0, 0])
    if _open(found, 5):
        return
    wanted = objectives.occupancy_ratio(fork.mdp, fork.student, fork.expert)[1]
    got = {state: ns.convert(str(found[state]), "rational")[()] for state in ("risky", "safe")}
    assert got == {"risky": wanted[1], "safe": wanted[2]}, (
        f"you say {found}; a state is weighted by how much more often the expert comes there than the student"
    )
    _right(5, "With these weights the local step rises at exactly J* - J.")


def posterior(teacher: Callable[[Array, Array], Any]) -> None:
    """Exercise 6: `teacher(pi, q)`, the student conditioned on success, in one state."""
    rng = np.random.default_rng(0)
    pi, q = rng.dirichlet(np.ones(5)), rng.random(5)
    found = teacher(pi, q)
    if _open(found, 6):
        return
    wanted = experts.success_conditioned(Bandit(q), pi[None, None])[0, 0]
    assert np.allclose(found, wanted), f"you say {found}, Bayes says {wanted}: prior times likelihood, normalised"
    for divergence in CATALOGUE:
        rate = objectives.improvement_rate(Bandit(q), pi[None, None], wanted[None, None], divergence)
        assert rate >= 0, f"{divergence.label} falls: claim 9 is wrong"
    _right(6, "And no divergence of the catalogue is misled by this teacher.")
