r"""Claim 7c: conservative policy iteration, with constants (Kakade & Langford 2002; the constants are ours).

For the mixture `pi_a = (1 - a) pi + a pi*` at every step of an MDP, with `g_h(s) = E_{pi*} A_h^pi(s, .)` and `G = sum_h
E_{d_h} g_h`,

.. math:: J(\pi_\alpha) - J(\pi) \ge \alpha \Big[ G - \sum_h \mathrm{span}(g_h)\,(1 - (1-\alpha)^h) \Big]

The span is over the states that the student, of full support, may be in at step `h`. Proof. (1) `E_{pi_a} A = a g`,
because `E_pi A = 0`; the performance-difference lemma gives `a sum_h E_{d_h^a} g_h`. (2) With probability `(1-a)^h` no
expert action came before step `h`: `d_h^a = (1-a)^h d_h + (1 - (1-a)^h) e_h` for some distribution `e_h`. By induction:
`d_{h+1}^a = [(1-a) P_pi + a P_*]` applied to that; `(1-a)^h d_h` carries `(1-a)^{h+1} d_{h+1}` on, and the rest has no
negative term. (3) With `x = 1 - (1-a)^h`, `E_{d^a} g - E_d g + x span(g) = x (E_e [g - min g] + E_d [max g - g]) >= 0`;
`d^a`, and so `e`, lives where `d` does: `pi` never excludes what `pi_a` does.
"""

from __future__ import annotations

import numpy as np
import sympy

from distil_theory import number_systems as ns
from distil_theory import solve
from distil_theory.claims import symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.falsify import mdps
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP
from distil_theory.three_points import PI, STAR, A, B, R, positive, total, vanish

ALPHA = sympy.Symbol("alpha", positive=True)


def own_advantage() -> bool:
    """Step 1 for any number of actions: `E_pi A = 0`, so `E_{pi_a} A = a g`."""
    advantage = R - total(PI * R)
    v = {total(PI * R): sympy.Symbol("V")}
    mixed = total(((1 - ALPHA) * PI + ALPHA * STAR) * advantage) - ALPHA * total(STAR * advantage)
    return vanish(sympy.expand(mixed.xreplace(v)))


def own_advantage_by_the_code() -> bool:
    """Step 1 by the code on the generic MDP."""
    mdp, student, expert = symbols.mdp()
    advantage = solve.advantage(mdp, student)
    mixed = (((1 - ALPHA) * student + ALPHA * expert) * advantage).sum(axis=2)
    return symbols.vanishes(mixed - ALPHA * (expert * advantage).sum(axis=2))


def occupancies() -> bool:
    """Step 2 by the code: the mixture's occupancy after one step and after two."""
    mdp, student, expert = symbols.mdp(3)
    d, mixed = solve.occupancy(mdp, student), solve.occupancy(mdp, (1 - ALPHA) * student + ALPHA * expert)
    moves = [[(p[h][:, :, None] * mdp.transition[h]).sum(axis=1) for p in (student, expert)] for h in (0, 1)]
    once = d[0] @ moves[0][1]
    twice = (1 - ALPHA) * (d[1] @ moves[1][1] + once @ moves[1][0]) + ALPHA * once @ moves[1][1]
    return symbols.vanishes(mixed[1] - (1 - ALPHA) * d[1] - ALPHA * once) and symbols.vanishes(
        mixed[2] - (1 - ALPHA) ** 2 * d[2] - ALPHA * twice
    )


def induction() -> bool:
    """Step 2, any h: one more step of the mixture splits off `(1-a)^(h+1) d_{h+1}`; no term of the rest is negative."""
    d_next, rest_pi, rest_star, star = sympy.symbols("D R S T", positive=True)  # d P_pi; e P_pi, e P_*; d P_*
    alpha, kept = A / (1 + A), 1 / (1 + B)  # a, and (1-a)^h, from 0 to 1
    whole = (1 - alpha) * (kept * d_next + (1 - kept) * rest_pi) + alpha * (kept * star + (1 - kept) * rest_star)
    rest = (1 - kept) * ((1 - alpha) * rest_pi + alpha * rest_star) + alpha * kept * star
    mass = rest.subs({rest_pi: 1, rest_star: 1, star: 1})
    return vanish(whole - kept * (1 - alpha) * d_next - rest, mass - (1 - kept * (1 - alpha))) and positive(rest)


def spans() -> bool:
    """Step 3 for any number of states: `d` is `PI`, `e` is `STAR`, `g` is `R`."""
    x, low, high = sympy.symbols("x low high")
    left = (1 - x) * total(PI * R) + x * total(STAR * R) - total(PI * R) + x * (high - low)
    return vanish(sympy.expand(left - x * (total(STAR * (R - low)) + total(PI * (high - R)))))


def slack(mdp: TabularMDP, student: Array, expert: Array, alpha: Array) -> Array:
    """Left minus right side; the span is over the states that the student may be in."""
    steps, d = mdp.shape[0], solve.occupancy(mdp, student)
    g = (expert * solve.advantage(mdp, student)).sum(axis=2)
    means = (d * g).sum(axis=1)
    g = ns.where(ns.iszero(d), means[:, None] + 0 * g, g)  # a mean lies between the extremes
    span = sum((g[h].max(axis=0) - g[h].min(axis=0)) * (1 - (1 - alpha) ** h) for h in range(steps))
    change = solve.expected_return(mdp, (1 - alpha) * student + alpha * expert) - solve.expected_return(mdp, student)
    return change - alpha * (means.sum(axis=0) - span)


def both(mdp: TabularMDP, student: Array, expert: Array, alpha: Array) -> list[Array]:
    """The slack, and that of the MDP where what led to the last state leads to the first: nobody ever comes there."""
    p, rho = mdp.transition + 0, mdp.initial + 0
    for x in (p, rho[None, None, None]):
        x[:, :, :, 0] += x[:, :, :, -1]
        x[:, :, :, -1] *= 0
    shut = TabularMDP(p, mdp.reward, rho, batch_ndim=student.ndim - 3)
    return [slack(x, student, expert, alpha) for x in (mdp, shut)]


def margin(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """The least slack for a small, a middling and the largest mixture."""
    return np.min([x for alpha in (0.01, 0.3, 1.0) for x in both(mdp, student, expert, alpha)], axis=0)


def holds_exactly(*parts: Array) -> bool:
    """No slack is negative, in rationals."""
    case = symbols.exact_mdp(*parts)
    return all(bool(x >= 0) for alpha in ("1/100", "3/10", "1") for x in both(*case, symbols.rational(alpha)))


CLAIM = Claim(
    slug="mixture_policy",
    number="7c",
    title="conservative policy iteration, with constants",
    statement=r"J(\pi_\alpha) - J(\pi) \ge \alpha\Big[G - \sum_h "
    r"\mathrm{span}_{d_h^\pi(s) > 0}(g_h)(1 - (1-\alpha)^h)\Big]",
    assumptions=("mixture, not an exponential step", "unaliased student"),
    source="classic",
    scope="any `A`, `S`, `H`: step 2 by induction over `h`; the code on generic MDPs `S = A = 2`, `H = 2, 3`",
    steps=(
        Step("`E_{pi_a} A = a g`, any number of actions", own_advantage, "A = Q"),
        Step(
            "`E_{pi_a} A = a g`, by the code", own_advantage_by_the_code, "action values for advantages, in the solver"
        ),
        Step(
            "`d_1^a = (1-a) d_1 + a d P_*`, and one step more, by the code", occupancies, "the last policy in the flow"
        ),
        Step("one more step keeps `(1-a)^(h+1) d_{h+1}`; the rest has no negative term", induction, "(1-a)^h d_{h+1}"),
        Step("`E_{d^a} g - E_d g + x span(g)` is `x` times what is not negative", spans, "span(g) for x span(g)"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "mixture, not an exponential step": "long_step_forward_kl.json",
        "unaliased student": "mixture_aliased.json",
    },
    panel="monotonicity_returns.png",
    attack=mdps,
)
