r"""Claim 9: truthful self-teachers are safe with every divergence, at every step size, if the student sees the state.

Feedback that tells the student whether it will succeed makes it its own teacher, `pi* = pi Q / V` (and `pi` where `V =
0`), with `Q, V >= 0` of the present student. For the local objective of any f-divergence, natural step of any size
`eta`,

.. math:: J(\pi_\eta) \ge J(\pi), \qquad \text{forward KL: } \frac{dJ}{d\eta}\Big|_0
          = \sum_h E_{s\sim d_h} \frac{\mathrm{Var}_\pi\, Q_h(s, \cdot)}{V_h(s)}

Proof. (1) The ratio is `u = Q/V`: it orders the actions of a state as `Q` does. (2) With forward KL, `h(u) = u` and
claim 1 gives `Cov_pi(Q, Q/V)`. (3) For any two functions of the action and any number of actions, `2 Cov_pi(x, y) =
sum_ab pi_a pi_b (x_a - x_b)(y_a - y_b)`. (4) `h` and `K = exp(eta h)` never decrease, as `h' = u f''`: with `x = Q`, `y
= h(u)` or `K(u)` no term of (3) is negative. (5) A finite step has `E_new Q - V = Cov_pi(Q, K)/E_pi K >= 0` in every
state, so the performance-difference lemma adds up terms that are not negative. (6) Plain gradient, forward KL: the rate
is `sum_h sum_s d^2 sum_a pi^2 A^2 / V`.

Only the order in (1) matters. So mislabelled feedback (bits flipped with probability `e < 1/2`), over-confident
teachers (`u` to a power) and clipped ratios are safe, too: (7) each is a non-decreasing function of `Q`.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import sympy

from distil_theory import experts, finite_steps, objectives
from distil_theory import number_systems as ns
from distil_theory.claims import symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.claims.two_actions import monotone
from distil_theory.divergences import CATALOGUE, FORWARD_KL
from distil_theory.number_systems import Array
from distil_theory.prevalence import exact_sign, natural_step, small_step
from distil_theory.three_points import ETA, PI, K, R, cov, total, vanish

SIZES = (0.1, 1.0, 10.0)
"""Steps that are tried."""
FLOOR = Fraction(1, 1000)
"""Added to every reward: an action that never succeeds leaves the teacher without the support reverse KL needs."""


def ratio() -> bool:
    """Step 1, the code's teacher on generic bandits: a distribution, and `u V = Q`."""
    for actions in (2, 3, 4):
        mdp, pi, _ = symbols.bandit(actions)
        star = experts.success_conditioned(mdp, pi)
        u_v = star / pi * (pi * mdp.reward).sum()
        if not symbols.vanishes([star.sum() - 1, *(u_v - mdp.reward).flat]):
            return False
    return True


def variance() -> bool:
    """Step 2, the code's rate on generic bandits."""
    for actions in (2, 3):
        mdp, pi, _ = symbols.bandit(actions)
        v = (pi * mdp.reward).sum()
        found = objectives.improvement_rate(mdp, pi, experts.success_conditioned(mdp, pi), FORWARD_KL)
        if not symbols.vanishes(symbols.only(found) - (pi * (mdp.reward - v) ** 2).sum() / v):
            return False
    return True


def pairs_of_actions() -> bool:
    """Step 3, any number of actions: the inner sum over `b`, then the outer one over `a`."""
    x, y = sympy.symbols("x y")
    inner = total(PI * (x - R) * (y - K))
    means = dict(zip(map(total, (PI * R * K, PI * R, PI * K)), sympy.symbols("m_xy m_x m_y"), strict=True))
    outer = total(PI * inner.xreplace(means).subs({x: R, y: K}, simultaneous=True)).xreplace(means)
    return vanish(sympy.expand(outer - 2 * cov(R, K).xreplace(means)))


def powers_grow() -> bool:
    """Step 4: `K' = eta h' K`, so that `K` grows where `h` does; and `h' = u f''`."""
    u = sympy.Symbol("u", positive=True)
    k = sympy.exp(ETA * finite_steps.SCORE(u))
    return vanish(k.diff(u) - ETA * finite_steps.SCORE(u).diff(u) * k) and monotone()


def euclidean() -> bool:
    """Step 6, the code's rate on generic bandits, for the plain gradient."""
    for actions in (2, 3):
        mdp, pi, _ = symbols.bandit(actions)
        v = (pi * mdp.reward).sum()
        star = experts.success_conditioned(mdp, pi)
        found = objectives.improvement_rate(mdp, pi, star, FORWARD_KL, "euclidean")
        if not symbols.vanishes(symbols.only(found) - (pi**2 * (mdp.reward - v) ** 2).sum() / v):
            return False
    return True


def dials() -> bool:
    """Step 7: with flipped bits `u_a - u_b` is `(1 - 2e)(Q_a - Q_b)` over the positive chance of good news."""
    error = sympy.Symbol("e", positive=True)
    mdp, pi, _ = symbols.bandit(3)
    q, u = mdp.reward[0, 0], (experts.noisy(mdp, pi, error) / pi)[0, 0]
    good_news = (pi[0, 0] * ((1 - error) * q + error * (1 - q))).sum()
    return symbols.vanishes([(u[a] - u[b]) * good_news - (1 - 2 * error) * (q[a] - q[b]) for a, b in ((0, 1), (1, 2))])


def teacher(reward: Array, student: Array) -> tuple[Array, Array]:
    """`Q` and `pi Q / V` in a state, arrays `(A, *B)` of floats or rationals."""
    q = reward + ns.scale(reward * 0 + 1, FLOOR)
    return q, student * q / (student * q).sum(axis=0)


def margin(reward: Array, student: Array, expert: Array) -> Array:
    """The least of rates and changes over the catalogue, relative to the size of what moves; `expert` is not used."""
    q, star = teacher(reward, student)
    advantage, least = q - (student * q).sum(axis=0), np.full(reward.shape[1], np.inf)
    for divergence in CATALOGUE:
        h = divergence.h(star / student)
        for motion in (h, *(np.exp(eta * (h - h.max(axis=0))) for eta in SIZES)):
            size = (student * abs(motion)).sum(axis=0)
            least = np.minimum(least, (student * advantage * motion).sum(axis=0) / np.where(size > 0, size, 1))
    return least


def holds_exactly(reward: Array, student: Array, expert: Array) -> bool:
    """No rate and no change of the catalogue is negative, in rationals or balls."""
    q, star = teacher(reward, student / student.sum())
    steps = [small_step(d.name, "natural") for d in CATALOGUE]
    steps += [natural_step(d.name, eta) for d in CATALOGUE for eta in SIZES]
    return all(exact_sign(step, q, student, star) >= 0 for step in steps)


CLAIM = Claim(
    slug="success_conditioned",
    number="9",
    title="truthful self-teachers are safe",
    statement=r"\pi^* = \pi Q^\pi / V^\pi \Rightarrow J(\pi_\eta) \ge J(\pi) \text{ for every } f, \eta > 0",
    assumptions=("truthful feedback on the present student", "natural step", "unaliased student", "local gradient"),
    source="ours",
    scope="any `A`, `H`, `S` (states add up: claims 0, 1), any convex, twice differentiable `f`; the code: "
    "bandits `A = 2, 3, 4`",
    steps=(
        Step("the teacher is a distribution with `u V = Q`, by the code", ratio, "Q/V without pi in experts"),
        Step("forward KL: the rate is `Var(Q)/V`, by the code", variance, "KL direction swapped"),
        Step(
            "`2 Cov(x, y) = sum_{a,b} pi_a pi_b (x_a - x_b)(y_a - y_b)`, any `A`", pairs_of_actions, "drop the factor 2"
        ),
        Step("`h' = u f'' >= 0`, and `exp(eta h)` grows where `h` does", powers_grow, "K = exp(-eta h)"),
        Step(
            "`J(pi_eta) - J = Cov(Q, K)/E K`, any `A`, by the code",
            finite_steps.finite_step,
            "flip the exponential step",
        ),
        Step("Euclidean forward KL: the rate is `sum pi^2 A^2 / V`, by the code", euclidean, "drop pi in the step"),
        Step("flipped bits keep the order of the actions, by the code", dials, "1 - Q for Q in experts.noisy"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "truthful feedback on the present student": "lagged_teacher.json",
        "natural step": "success_euclidean.json",
        "unaliased student": "success_aliased.json",
        "local gradient": "chance_ahead.json",
    },
    panel="sequential_monotonicity_feedback.png",
)
