r"""Claim 12b: for a teacher who gives right answers, forward cross-entropy bounds the likelihood of success.

.. math:: \log P_\pi(\text{success}) = E_q \log \pi + E_q \log R + H(q) + KL(q \| \pi R / P),  \qquad P = E_\pi R

for any law `q` of answers with `R > 0` on its support; for right and wrong answers `E_q log R = 0` and `pi R / P` is
`pi(.|success)`. So the rest bounds `log P` from below, tight iff `q = pi(.|success)`. Proof. (1) Term by term. (2) `KL`
is not negative. (3) The library's success-conditioned teacher attains the bound.

(4) *The gradient* of `sum_x rho(x) log P_x` is that of forward cross-entropy towards the success-conditioned teacher of
the present student, with state `s` weighted by the chance of `s` *given success* over that without: in token MDPs
`V_h(s)/V_0(x)`. So self-distillation with feedback *is*, to first order, likelihood RL. (5) Weighted by `V_h(s)` it is
the policy gradient: plain RL, Pass@1. Weight 1 is local DistIL.

The answers may be whole rollouts: `log pi` is then `sum_h log pi(a_h|s_h)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy

from distil_theory import experts, objectives, solve
from distil_theory import number_systems as ns
from distil_theory.claims import symbols
from distil_theory.claims.agreement import logarithm
from distil_theory.claims.claim import Claim, Step
from distil_theory.claims.enclosures import not_negative
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL
from distil_theory.number_systems import Array
from distil_theory.spec import Bandit, TabularMDP
from distil_theory.success import likelihood_weight, success
from distil_theory.three_points import PI, STAR, R, total, vanish

PI_A, Q_A, R_A, P = sympy.symbols("pi_a q_a r_a P", positive=True)


def term() -> bool:
    """Step 1, the term of one answer: `q (log P - log pi - log R + log q) = q log(q / (pi R / P))`."""
    log = sympy.log
    kl = Q_A * sympy.expand_log(log(Q_A / (PI_A * R_A / P)), force=True)
    return vanish(Q_A * (log(P) - log(PI_A) - log(R_A) + log(Q_A)) - kl)


def kl_is_not_negative() -> bool:
    """Step 2, any number of answers: `E_q log(t/q) <= sum_a (t - q) = 0` for the law `t = pi R / P`."""
    teacher = PI * R / P
    return logarithm() and vanish(total(STAR * (teacher / STAR - 1)).subs(total(PI * R), P))


def bound(reward: Array, student: Array, q: Array) -> Array:
    """`E_q log pi + E_q log R + H(q)`, arrays `(A, *B)`; `q = 0` where `R = 0`."""
    void = ns.iszero(q)
    log_r = ns.log(ns.where(void, q * 0 + 1, reward + q * 0))
    return (q * log_r - ns.xlogx(q)).sum(axis=0) - CROSS_ENTROPY.value(q, student, axis=0)


def attained() -> bool:
    """Step 3, on generic bandits: the bound of the library's own teacher is `log P`."""
    for actions in (2, 3):
        pi = symbols.bandit(actions)[1]
        reward = np.array([sympy.Symbol(f"r{i}", positive=True) for i in range(actions)], dtype=object)
        star = experts.success_conditioned(Bandit(reward), pi)[0, 0]
        found = bound(reward, pi[0, 0], star)
        logs = sympy.expand_log(symbols.only(found), force=True)
        if not symbols.vanishes(logs - sympy.log((pi[0, 0] * reward).sum())):
            return False
    return True


def paid_at_the_end() -> tuple[TabularMDP, Array]:
    """The generic MDP with a reward at the end only, and its student."""
    mdp, pi, _ = symbols.mdp()
    reward = mdp.reward.copy()
    reward[0] = sympy.S.Zero
    return TabularMDP(mdp.transition, reward, mdp.initial), pi


def likelihood_gradient() -> bool:
    """Step 4, the code on the generic MDP: prompt by prompt, `grad log P_x` from the policy gradient."""
    mdp, pi = paid_at_the_end()
    star, wanted = experts.success_conditioned(mdp, pi), 0
    for x in range(2):
        start = np.array([sympy.Integer(int(x == s)) for s in range(2)], dtype=object)
        alone = TabularMDP(mdp.transition, mdp.reward, start)
        wanted = wanted + mdp.initial[x] * objectives.return_gradient(alone, pi) / success(alone, pi)[x]
    found = objectives.loss_gradient(mdp, pi, star, FORWARD_KL, likelihood_weight(mdp, pi))
    return _same(found, -wanted)


def policy_gradient() -> bool:
    """Step 5, the code on the generic MDP."""
    mdp, pi = paid_at_the_end()
    star, v = experts.success_conditioned(mdp, pi), solve.values(mdp, pi)[0]
    return _same(objectives.loss_gradient(mdp, pi, star, FORWARD_KL, v), -objectives.return_gradient(mdp, pi))


def _same(found: Array, wanted: Array) -> bool:
    return symbols.vanishes(found - wanted)


def conditioned(reward: Array, student: Array, expert: Array) -> tuple[Array, Array]:
    """Right answers (rewards of 1/2 and more, 0 or 1; all where that is none), and the expert given a right one."""
    right = (2 * reward >= 1) * (reward * 0 + 1)
    right = right + (right.sum(axis=0) == 0) * (right * 0 + 1)
    return right, expert * right / (expert * right).sum(axis=0)


def margin(reward: Array, student: Array, expert: Array) -> Array:
    """`log P` less the bound."""
    right, q = conditioned(reward, student, expert)
    return np.log((student * right).sum(axis=0)) - bound(right, student, q)


def holds_exactly(reward: Array, student: Array, expert: Array) -> bool:
    """The same in balls; equal where the two agree, given a right answer."""
    pi = student / student.sum()
    right, q = conditioned(reward, pi, expert)
    p = (pi * right).sum()
    if np.all(q * p == pi * right):
        return True

    def gap() -> Any:
        balls = (ns.convert(x, "ball") for x in (right, pi, q))
        return symbols.only(ns.log(ns.convert(p, "ball")) - bound(*balls))

    return not_negative(gap)


CLAIM = Claim(
    slug="success_bound",
    number="12b",
    title="likelihood of success: the bound, and its gradient",
    statement=r"\log P_\pi \ge E_q \log \pi + H(q) \text{ for every } q \text{ on right answers}, \quad "
    r"\text{gap } KL(q \| \pi(\cdot|\text{success}))",
    assumptions=("the teacher gives right answers only", "`log P`, prompt by prompt", "states weighted by success"),
    source="paper",
    scope="any number of answers (term by term); the code: bandits `A = 2, 3`, the MDP `H = S = A = 2`",
    steps=(
        Step("the gap is KL, the term of one answer", term, "log pi for -log pi"),
        Step("KL is not negative, any number of answers", kl_is_not_negative, "t = pi R"),
        Step("the success-conditioned teacher attains the bound, by the code", attained, "the teacher without pi"),
        Step(
            "`grad sum rho log P` is forward cross-entropy, by the code", likelihood_gradient, "weights e V, not over d"
        ),
        Step("weighted by `V_h(s)`: the policy gradient, by the code", policy_gradient, "weights ignored"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "the teacher gives right answers only": "aliased.json",
        "`log P`, prompt by prompt": "success_aliased.json",
        "states weighted by success": "The local loss weights every state that the student visits alike: another "
        "gradient, safe as well while the student sees the state (claim 9).",
    },
    panel="pass_at_n_training.png",
)
