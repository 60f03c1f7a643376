r"""Claim 10: the exact gradient looks ahead: local part plus score function times future disagreement.

For `L(theta) = E_pi sum_h c_h(s_h)`, with `c` any f-divergence from the expert or the cross-entropy,

.. math:: \nabla L = E \sum_h \nabla c_h(s_h) + E \sum_h \nabla \log \pi(a_h|s_h) \sum_{h'>h} c_{h'}(s_{h'})

and the natural step of an unaliased student changes the return at the rate of claim 1 less `sum_h E_{d_h} Cov_pi(Q_h,
Q^c_h)`, where `Q^c_h(s, a)` is the disagreement expected after the action.

Proof. (1) Term by term `d/dp [p f(q/p)] = -h(q/p)` (claim 1): the local part. (2) What is left is the derivative of the
occupancies, that is the policy gradient of an MDP in which the disagreement is the reward; so its weight is `Q^c`. (3)
Both parts have the form `-d pi (x - E_pi x)`, with `x = h(u)` and `x = -Q^c`, and claim 1 is linear in `x`.

Where it ends. (4) In a state, `-sum q log x + sum x Q^c` is convex in `x`, and least under `sum x = 1` at `x =
q/(lambda + Q^c)`: a backward recursion (`lookahead.minimiser`). (5) Of an f-divergence with increasing `h` the expert
is the only interior stationary point, in states that are reached: at the last step `h(u)` does not depend on the
action, nor does `u`, whose mean is 1; so `pi = pi*`, `c = 0`, nothing is left to pay, and the step before is the last
one. With cross-entropy the expert is not even stationary. (6) A student who cannot see what the expert sees is kept
from where it would have to guess: on the aliased fork with `k` tokens the optimum solves `-q/p + (1-q)/(1-p) + k log 2
= 0`.
"""

from __future__ import annotations

import numpy as np
import sympy

from distil_theory import instances, lookahead, objectives, solve
from distil_theory import number_systems as ns
from distil_theory.claims import symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.claims.covariance_rate import score_is_the_derivative
from distil_theory.claims.truthful_lookahead import ANY
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL, PEARSON, FDivergence
from distil_theory.falsify import mdps
from distil_theory.number_systems import Array
from distil_theory.point import covariance
from distil_theory.spec import TabularMDP
from distil_theory.three_points import PI, STAR, total, vanish


def cross_entropy() -> bool:
    """What is meant: the code's loss is `-sum_h sum_s d sum_a q log p`, on a generic MDP."""
    mdp, student, expert = symbols.mdp()
    logs = np.frompyfunc(sympy.log, 1, 1)(student)
    written = -(solve.occupancy(mdp, student)[:, :, None] * expert * logs).sum()
    difference = symbols.only(objectives.loss(mdp, student, expert, CROSS_ENTROPY)) - written
    odds = {
        x: 1 / (1 + x) for x in difference.free_symbols
    }  # then 1 - x is x / (1 + x): logs fall into logs of x, 1 + x
    plain = difference.subs(odds, simultaneous=True).replace(sympy.log, lambda x: sympy.log(sympy.factor(x)))
    return symbols.vanishes(sympy.expand_log(plain, force=True))


def derivative() -> bool:
    """Steps 1 and 2: the code's full gradient is the derivative of the code's loss on a generic MDP."""
    mdp, student, expert = symbols.mdp()
    for divergence in (PEARSON, CROSS_ENTROPY):
        gradient = objectives.loss_gradient(mdp, student, expert, divergence, part="full")
        loss = symbols.only(objectives.loss(mdp, student, expert, divergence))
        for index in ((0, 0), (1, 1)):
            p = student[index][0]  # a logit moves (p, 1 - p) by p (1 - p)
            slope = sympy.diff(loss, p) * p * (1 - p) - gradient[index][0]
            if not symbols.vanishes(sympy.expand_log(slope, force=True)):
                return False
    return True


def charged(mdp: TabularMDP, student: Array, expert: Array, divergence: FDivergence) -> TabularMDP:
    """The MDP in which the disagreement is the reward."""
    cost = divergence.value(expert, student, axis=2)
    return TabularMDP(mdp.transition, cost[:, :, None] + student * 0, mdp.initial, None, mdp.observation)


def policy_gradient() -> bool:
    """Step 2, any f: the future part is the policy gradient of the disagreement."""
    mdp, student, expert = symbols.mdp()
    future = objectives.loss_gradient(mdp, student, expert, ANY, part="future")
    return symbols.vanishes(objectives.return_gradient(charged(mdp, student, expert, ANY), student) - future)


def rate() -> bool:
    """Step 3, any f, any h: what the future part costs the return is a covariance of two action values."""
    mdp, student, expert = symbols.mdp()
    found = objectives.improvement_rate(mdp, student, expert, ANY, part="future")
    q, q_c = solve.values(mdp, student)[1], solve.values(charged(mdp, student, expert, ANY), student)[1]
    return symbols.vanishes(found + (solve.occupancy(mdp, student) * covariance(student, q, q_c, 2)).sum())


def minimum() -> bool:
    """Step 4: stationary at `q/(lambda + Q)`, convex; and the sum of these falls as `lambda` grows."""
    x, q, multiplier, later = sympy.symbols("x q lambda Q", positive=True)
    lagrangian, best = -q * sympy.log(x) + x * (later + multiplier), q / (multiplier + later)
    bend = sympy.diff(lagrangian, x, 2)
    return vanish(sympy.diff(lagrangian, x).subs(x, best)) and bool(
        bend.is_positive and best.diff(multiplier).is_negative
    )


def only_the_expert() -> bool:
    """Step 5, any number of actions: `E_pi u = 1`, so a constant `u` is 1, and then the loss is `f(1)`."""
    mean = total(PI * STAR / PI)
    zero = [symbols.only(d.f(ns.convert("1", "symbolic"))) for d in (FORWARD_KL, PEARSON)]
    return vanish(mean - 1, *zero)


def aliased_fork() -> bool:
    """Step 6, by the code, for the student's probability `p` as a symbol and one to three tokens."""
    p, q = sympy.Symbol("p", positive=True), sympy.Rational(9, 10)
    for k in (1, 2, 3):
        case = instances.aliased_fork(k).convert("symbolic")
        student = np.array(case.student)
        student[0, 0] = [p, 1 - p]
        found = objectives.loss_gradient(case.mdp, student, case.expert, FORWARD_KL, part="full")[0, 0, 0]
        wanted = p * (1 - p) * (-q / p + (1 - q) / (1 - p) + k * sympy.log(2))
        if not symbols.vanishes(sympy.expand_log(sympy.expand(found - wanted), force=True)):
            return False
    return True


def margin(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """How much more than the least possible the student pays, in cross-entropy and in KL."""
    best = [(d, lookahead.minimiser(mdp, expert, d)) for d in (CROSS_ENTROPY, FORWARD_KL)]
    return np.min(
        [objectives.loss(mdp, student, expert, d) - objectives.loss(mdp, pi, expert, d) for d, pi in best], axis=0
    )


CLAIM = Claim(
    slug="future_aware",
    number="10",
    title="the exact gradient looks ahead",
    statement=r"\nabla L = E \sum_h \nabla c_h(s_h) + E \sum_h \nabla\log\pi(a_h|s_h) \sum_{h'>h} c_{h'}(s_{h'})",
    assumptions=("`f`-divergence, not cross-entropy (only the expert is stationary)", "unaliased student (the same)"),
    source="paper",
    scope="steps 1 and 3 for any `f` and term by term, 2 by the policy gradient theorem for any `H`; the code "
    "on the generic MDP `H = S = A = 2`; 4 and 5 for any `A`, `H`; 6 for one to three tokens",
    steps=(
        Step("the score: `d/dp [p f(q/p)] = -h(q/p)`, any `f`", score_is_the_derivative, "h = u f' + f, in the step"),
        Step("cross-entropy is `-sum q log p`, by the code", cross_entropy, "+ entropy in CrossEntropy"),
        Step("the full gradient is the derivative of the loss, by the code", derivative, "Q^c with a lost factor"),
        Step("the future part is the policy gradient of the disagreement, any `f`", policy_gradient, "-Q^c for Q^c"),
        Step("it costs the return `Cov(Q, Q^c)`, any `f`", rate, "Q^c of the last step only"),
        Step("the minimum in a state is `q/(lambda + Q^c)`", minimum, "q/(lambda - Q^c), in the step"),
        Step("a ratio that is constant is 1", only_the_expert, "f(1) = 1"),
        Step("the aliased fork: `-q/p + (1-q)/(1-p) + k log 2`, by the code", aliased_fork, "k + 1 tokens"),
    ),
    margin=margin,
    holds_exactly=lambda *_: False,
    near=0.0,
    without={
        "`f`-divergence, not cross-entropy (only the expert is stationary)": "entropy_trap.json",
        "unaliased student (the same)": "aliased_fork_full.json",
    },
    panel="future_credit_fork.png",
    attack=mdps,
)
