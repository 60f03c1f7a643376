r"""Claim 2: a small natural step of forward cross-entropy closes the gap at exactly the rate `J* - J`.

.. math:: \frac{dJ}{d\eta}\Big|_0 = J(\pi^*) - J(\pi)

in a bandit, and in an unaliased MDP when state `s` is weighted by `w_h(s) = d*_h(s) / d_h^pi(s)` (a softmax student has
full support: where it never comes, nobody does). Proof. (1) Forward KL has `h(u) = u`: the covariance of claim 1 is
`Cov_pi(r, u) = E_{pi*} r - E_pi r = J* - J`. (2) In an MDP the same covariance in each state is `w_h(s) d_h^pi(s)
E_{pi*} A = d*_h(s) E_{pi*} A`, which the performance-difference lemma adds up to `J* - J`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy

from distil_theory import objectives, solve
from distil_theory.claims import symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.divergences import FORWARD_KL
from distil_theory.falsify import mdps
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP
from distil_theory.three_points import PI, STAR, R, cov, total, vanish


def difference(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """The rate, with the weight of the claim, minus the gap."""
    weight = objectives.occupancy_ratio(mdp, student, expert)
    gap = solve.expected_return(mdp, expert) - solve.expected_return(mdp, student)
    return objectives.improvement_rate(mdp, student, expert, FORWARD_KL, weight=weight) - gap


def h_of_the_ratio() -> Any:
    """The library's `h(pi*/pi)` for forward KL, of any action."""
    return FORWARD_KL.h(np.array([STAR / PI], dtype=object))[0]


def each_action() -> bool:
    """Step 1, any number of actions."""
    return vanish(cov(R, h_of_the_ratio()) - (total(STAR * R) - total(PI * R)))


def each_state() -> bool:
    """Step 2, one state of any MDP, any number of actions; `R` is `Q`."""
    d, d_star = sympy.symbols("d d_star", positive=True)
    weighted = d * cov(R, d_star / d * h_of_the_ratio())
    return vanish(weighted - d_star * (total(STAR * R) - total(PI * R)))


CLAIM = Claim(
    slug="forward_gap",
    number="2",
    title="forward cross-entropy closes the gap exactly",
    statement=r"\frac{dJ}{d\eta}\Big|_0 = J(\pi^*) - J(\pi)",
    assumptions=(
        "natural or proximal step",
        "unrestricted student",
        "unaliased student",
        "states weighted by `d*/d`",
        "local loss",
    ),
    source="paper",
    scope="any `A`, `H`, `S` (claims 0 and 1, state by state); the code: "
    "bandits `A = 2, 3, 4`, the MDP `H = S = A = 2`",
    steps=(
        Step("`Cov(r, h) = J* - J`, any number of actions", each_action, "h = u^2 for forward KL"),
        Step("the term of a state is `d* E_{pi*} A`: the lemma adds up to `J* - J`", each_state, "w = d / d*"),
        Step(
            "the code, on generic bandits",
            lambda: all(symbols.vanishes(difference(*symbols.bandit(a))) for a in (2, 3, 4)),
            "KL direction swapped: u = pi / pi*",
        ),
        Step(
            "the code, on the generic MDP",
            lambda: symbols.vanishes(difference(*symbols.mdp())),
            "state weight ignored",
        ),
    ),
    margin=lambda mdp, student, expert: -abs(difference(mdp, student, expert)),
    holds_exactly=lambda *parts: difference(*symbols.exact_mdp(*parts)) == 0,
    without={
        "natural or proximal step": "euclidean.json",
        "unrestricted student": "restricted.json",
        "unaliased student": "aliased.json",
        "states weighted by `d*/d`": "state_weights.json",
        "local loss": "spurious_disagreement.json",
    },
    panel="monotonicity_returns.png",
    attack=mdps,
)
