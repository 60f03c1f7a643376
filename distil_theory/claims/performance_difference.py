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


def identity(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """Left minus right side, for `pi' = expert`."""
    gap = solve.expected_return(mdp, expert) - solve.expected_return(mdp, student)
    flow = solve.occupancy(mdp, expert)[:, :, None] * solve.align(expert, student.ndim - 3, 3)
    return gap - (flow * solve.advantage(mdp, student)).sum(axis=2).sum(axis=1).sum(axis=0)


def one_step() -> bool:
    """Step 1 for one action: its term, with `1` as the share of `V` that it carries."""
    r, v, next_old, next_new = sympy.symbols("r v EV EW")  # EV, EW: expectations of V and V' over s'
    advantage, difference = r + next_old - v, next_new - next_old
    return symbols.vanishes((r + next_new - v) - (advantage + difference))


def telescope() -> bool:
    """Step 2 on generic occupancies: what flows out of step `h` arrives in step `h + 1`."""
    spec, _, expert = symbols.mdp()
    d, later = solve.occupancy(spec, expert), np.array(sympy.symbols("D1 D2"), dtype=object)
    leaving = (d[0][:, None] * expert[0] * (spec.transition[0] @ later)).sum()
    return symbols.vanishes(leaving - (d[1] * later).sum())


CLAIM = Claim(
    slug="performance_difference",
    number="0",
    title="performance-difference lemma",
    statement=r"J(\pi') - J(\pi) = \sum_h E_{s \sim d_h^{\pi'}} E_{a \sim \pi'_h(\cdot|s)} A_h^{\pi}(s,a)",
    assumptions=(),
    source="classic",
    scope="steps 1 and 2 for any H, S, A (each term of the sums); the code on the generic MDP H = S = A = 2",
    steps=(
        Step("one step: D_h = E_pi' [A_h + P D_{h+1}], action by action", one_step, "A = Q + V in solve.advantage"),
        Step("occupancies carry it on: the sum telescopes", telescope, "transpose the flow in solve.forward"),
        Step("the code, on the generic MDP", lambda: symbols.vanishes(identity(*symbols.mdp())), "d of the student"),
    ),
    margin=lambda mdp, student, expert: -abs(identity(mdp, student, expert)),
    holds_exactly=lambda *parts: identity(*symbols.exact_mdp(*parts)) == 0,
    without={},
    panel="monotonicity.png",
    attack=mdps,
)
