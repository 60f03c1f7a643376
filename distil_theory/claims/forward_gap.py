r"""Claim 2: a small natural step of forward cross-entropy closes the gap at exactly the rate `J* - J`.

.. math:: \frac{dJ}{d\eta}\Big|_0 = J(\pi^*) - J(\pi)

in a bandit, and in an unaliased MDP with `d* << d^pi` when state `s` is weighted by `w_h(s) = d*_h(s) / d_h^pi(s)`.
Proof. (1) Forward KL has `h(u) = u`. In claim 1 the term of action `a` is `pi_a (r_a - J) pi*_a / pi_a`, that is `pi*_a
(r_a - J)`; summed over any number of actions, with `sum pi* = 1`, it gives `J* - J`. (2) In an MDP the same sum in each
state is `w_h(s) d_h^pi(s) E_{pi*} A = d*_h(s) E_{pi*} A`, which the performance-difference lemma adds up to `J* - J`.
"""

from __future__ import annotations

import sympy

from distil_theory import objectives, solve
from distil_theory.claims import symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.divergences import FORWARD_KL
from distil_theory.falsify import mdps
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP


def difference(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """The rate, with the weight of the claim, minus the gap."""
    weight = objectives.occupancy_ratio(mdp, student, expert)
    gap = solve.expected_return(mdp, expert) - solve.expected_return(mdp, student)
    return objectives.improvement_rate(mdp, student, expert, FORWARD_KL, weight=weight) - gap


def each_action() -> bool:
    """The term of one action, for any number of them."""
    p, q, r, j = sympy.symbols("p q r J", positive=True)
    return symbols.vanishes(p * (r - j) * FORWARD_KL.h(q / p) - q * (r - j))


def each_state() -> bool:
    """The term of one action in one state of any MDP, with the weight."""
    d, d_star, p, q, a = sympy.symbols("d d_star p q A", positive=True)
    return symbols.vanishes(d * (d_star / d) * p * a * FORWARD_KL.h(q / p) - d_star * q * a)


CLAIM = Claim(
    slug="forward_gap",
    number="2",
    title="forward cross-entropy closes the gap exactly",
    statement=r"\frac{dJ}{d\eta}\Big|_0 = J(\pi^*) - J(\pi)",
    assumptions=("natural or proximal step", "unrestricted student", "unaliased student", "states weighted by d*/d"),
    source="paper",
    scope="any A, H and S (each term of the sums, and the lemma); the code: bandits A = 2, 3, 4, the MDP H = S = A = 2",
    steps=(
        Step("the term of an action is pi* (r - J), any number of actions", each_action, "h = u^2 for forward KL"),
        Step("the term of a state is d* pi* A: the lemma adds up to J* - J", each_state, "w = d / d*"),
        Step(
            "the code, on generic bandits",
            lambda: all(symbols.vanishes(difference(*symbols.bandit(a))) for a in (2, 3, 4)),
            "KL direction swapped: u = pi / pi*",
        ),
        Step(
            "the code, on the generic MDP",
            lambda: symbols.vanishes(difference(*symbols.mdp())),
            "weight ignored in Point.score",
        ),
    ),
    margin=lambda mdp, student, expert: -abs(difference(mdp, student, expert)),
    holds_exactly=lambda *parts: difference(*symbols.exact_mdp(*parts)) == 0,
    without={
        "natural or proximal step": "euclidean.json",
        "unrestricted student": "restricted.json",
        "unaliased student": "aliased.json",
        "states weighted by d*/d": "state_weights.json",
    },
    panel="monotonicity_returns.png",
    attack=mdps,
)
