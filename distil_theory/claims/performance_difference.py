r"""The performance-difference lemma (Kakade & Langford 2002): what a policy gains is what its actions gain.

.. math:: J(\pi') - J(\pi) = \sum_h E_{s \sim d_h^{\pi'}} E_{a \sim \pi'_h} A_h^{\pi}(s, a)

Proof. Let `D_h(s) = V'_h(s) - V_h(s)`. (1) One step: because `sum_a pi'(a) = 1`,
`D_h(s) = sum_a pi'_h(a|s) [ A_h(s,a) + sum_s' P_h(s'|s,a) D_{h+1}(s') ]`. (2) Weighting with `d'_h` and using
`d'_{h+1}(s') = sum d'_h pi'_h P_h`, the second part is `sum_s' d'_{h+1}(s') D_{h+1}(s')`: the sum telescopes from
`J' - J = sum_s rho(s) D_0(s)` to `D_H = 0`.
"""

from __future__ import annotations

import numpy as np
import sympy

from distil_theory import solve
from distil_theory.claims import symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.falsify import mdps
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP
from distil_theory.three_points import INDEX, STAR, R, total, vanish

STEPS = 3
"""Of the generic MDP: with two, a mistake in the step of a transition could hide."""


def identity(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """Left minus right side, for `pi' = expert`."""
    gap = solve.expected_return(mdp, expert) - solve.expected_return(mdp, student)
    flow = solve.occupancy(mdp, expert)[:, :, None] * solve.align(expert, student.ndim - 3, 3)
    return gap - (flow * solve.advantage(mdp, student)).sum(axis=2).sum(axis=1).sum(axis=0)


def one_step_any_actions() -> bool:
    """Step 1 for any number of actions; `old` and `new` are the expectations of `V` and `V'` over `s'`."""
    old, new, v = sympy.IndexedBase("old")[INDEX], sympy.IndexedBase("new")[INDEX], sympy.Symbol("V")
    advantage = R + old - v
    return vanish(total(STAR * (R + new)) - v - total(STAR * (advantage + new - old)))


def one_step() -> bool:
    """Step 1 by the code, on the generic MDP."""
    mdp, student, expert = symbols.mdp(STEPS)
    difference = solve.values(mdp, expert)[0] - solve.values(mdp, student)[0]
    advantage, ok = solve.advantage(mdp, student), True
    for h in range(STEPS):
        later = mdp.transition[h] @ difference[h + 1] if h + 1 < STEPS else 0
        ok &= symbols.vanishes(difference[h] - (expert[h] * (advantage[h] + later)).sum(axis=1))
    return ok


def telescope() -> bool:
    """Step 2 by the code, for any `D`: what flows out of a step arrives in the next one."""
    mdp, _, expert = symbols.mdp(STEPS)
    d, later, ok = solve.occupancy(mdp, expert), np.array(sympy.symbols("D1 D2"), dtype=object), True
    for h in range(STEPS - 1):
        leaving = (d[h][:, None] * expert[h] * (mdp.transition[h] @ later)).sum()
        ok &= symbols.vanishes(leaving - (d[h + 1] * later).sum())
    return ok


CLAIM = Claim(
    slug="performance_difference",
    number="0",
    title="performance-difference lemma",
    statement=r"J(\pi') - J(\pi) = \sum_h E_{s \sim d_h^{\pi'}} E_{a \sim \pi'_h(\cdot|s)} A_h^{\pi}(s,a)",
    assumptions=(),
    source="classic",
    scope="any `A`, `H`, `S` (one step, term by term, by induction); the code on the generic MDP `H = 3`, `S = A = 2`",
    steps=(
        Step("`D_h = E_pi' [A_h + P D_{h+1}]`, any number of actions", one_step_any_actions, "A = r + old + V"),
        Step("one step, by the code", one_step, "A = Q + V in solve.advantage"),
        Step("occupancies carry it on: the sum telescopes, by the code", telescope, "the last policy in the flow"),
        Step(
            "the code, on the generic MDP", lambda: symbols.vanishes(identity(*symbols.mdp(STEPS))), "d of the student"
        ),
    ),
    margin=lambda mdp, student, expert: -abs(identity(mdp, student, expert)),
    holds_exactly=lambda *parts: identity(*symbols.exact_mdp(*parts)) == 0,
    without={},
    panel="monotonicity.png",
    attack=mdps,
)
