r"""Claim 7c: conservative policy iteration, with constants (Kakade & Langford 2002; the constants are ours).

For the mixture `pi_a = (1 - a) pi + a pi*` at every step of an MDP, with `g_h(s) = E_{pi*} A_h^pi(s, .)` and `G = sum_h
E_{d_h} g_h`,

.. math:: J(\pi_\alpha) - J(\pi) \ge \alpha \Big[ G - \sum_h \mathrm{span}(g_h)\,(1 - (1-\alpha)^h) \Big]

Proof. (1) `E_{pi_a} A = a g`, because `E_pi A = 0`; the performance-difference lemma gives `a sum_h E_{d_h^a} g_h`.
(2) With probability `(1-a)^h` no expert action came before step `h`: `d_h^a = (1-a)^h d_h + (1 - (1-a)^h) e_h` for some
distribution `e_h`. By induction: `d_{h+1}^a = [(1-a) P_pi + a P_*]` applied to that, and `(1-a)^h d_h` carries
`(1-a)^{h+1} d_{h+1}` on. (3) So `E_{d^a} g = E_d g + (1 - (1-a)^h)(E_e g - E_d g) >= E_d g - (1 - (1-a)^h) span(g)`.
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

ALPHA = sympy.Symbol("alpha", positive=True)


def own_advantage() -> bool:
    """Step 1: `E_pi A = 0`, so `E_{pi_a} A = a g`; the code on the generic MDP."""
    mdp, student, expert = symbols.mdp()
    advantage = solve.advantage(mdp, student)
    mixed = (((1 - ALPHA) * student + ALPHA * expert) * advantage).sum(axis=2)
    return symbols.vanishes(mixed - ALPHA * (expert * advantage).sum(axis=2))


def occupancies() -> bool:
    """Step 2: what is left of `d_h^a` after `(1-a)^h d_h` is a polynomial in `a` and probabilities, sign by sign."""
    mdp, student, expert = symbols.mdp()
    d, mixed = solve.occupancy(mdp, student), solve.occupancy(mdp, (1 - ALPHA) * student + ALPHA * expert)
    moved = (d[0][:, None] * expert[0])[:, :, None] * mdp.transition[0]
    return symbols.vanishes(mixed[1] - (1 - ALPHA) * d[1] - ALPHA * moved.sum(axis=1).sum(axis=0))


def induction() -> bool:
    """Step 2, any h: one more step of the mixture splits off `(1-a)^(h+1) d_{h+1}`."""
    h, d_next, rest_pi, rest_star, star = sympy.symbols("h D R S T", positive=True)  # d P_pi; e P_pi, e P_*; d P_*
    kept = (1 - ALPHA) ** h
    whole = (1 - ALPHA) * (kept * d_next + (1 - kept) * rest_pi) + ALPHA * (kept * star + (1 - kept) * rest_star)
    rest = (1 - kept) * ((1 - ALPHA) * rest_pi + ALPHA * rest_star) + ALPHA * kept * star
    mass = rest.subs({rest_pi: 1, rest_star: 1, star: 1})
    return symbols.vanishes(whole - kept * (1 - ALPHA) * d_next - rest) and symbols.vanishes(
        mass - (1 - kept * (1 - ALPHA))
    )


def slack(mdp: TabularMDP, student: Array, expert: Array, alpha: Array) -> Array:
    """Left minus right side; the span is over all states."""
    steps = mdp.shape[0]
    g = (expert * solve.advantage(mdp, student)).sum(axis=2)
    total = (solve.occupancy(mdp, student) * g).sum(axis=1).sum(axis=0)
    span = sum((g[h].max(axis=0) - g[h].min(axis=0)) * (1 - (1 - alpha) ** h) for h in range(steps))
    change = solve.expected_return(mdp, (1 - alpha) * student + alpha * expert) - solve.expected_return(mdp, student)
    return change - alpha * (total - span)


CLAIM = Claim(
    slug="mixture_policy",
    number="7c",
    title="conservative policy iteration, with constants",
    statement=r"J(\pi_\alpha) - J(\pi) \ge \alpha\Big[G - \sum_h \mathrm{span}(g_h)(1 - (1-\alpha)^h)\Big]",
    assumptions=(),
    source="classic",
    scope="any A, S, H: step 2 by induction over h; the code on the generic MDP H = S = A = 2",
    steps=(
        Step("E_{pi_a} A = a g, by the code", own_advantage, "A = Q in solve.advantage"),
        Step("d_1^a = (1-a) d_1 + a d P_*, by the code", occupancies, "flow of the student in solve.forward"),
        Step("one more step keeps (1-a)^(h+1) d_{h+1}, and the masses add to one", induction, "(1-a)^(h-1)"),
    ),
    margin=lambda mdp, pi, star: np.min([slack(mdp, pi, star, alpha) for alpha in (0.01, 0.3, 1.0)], axis=0),
    holds_exactly=lambda *parts: all(
        slack(*symbols.exact_mdp(*parts), symbols.rational(alpha)) >= 0 for alpha in ("1/100", "3/10", "1")
    ),
    without={},
    panel="monotonicity_returns.png",
    attack=mdps,
)
