r"""Claim 12a: forward cross-entropy bounds the agreement with the teacher; success only if the teacher succeeds.

.. math:: \log E_{a\sim\pi^*} \pi(a|s) \ge -CE(\pi^*, \pi)

The left side is the log of the chance that student and teacher, asked independently, say the same. Proof (Jensen). (1)
`log y <= y - 1`. (2) With `m = E_{pi*} pi` and `y = pi_a/m`: `E_{pi*} log(pi/m) <= E_{pi*}(pi/m - 1) = 0`, any number
of answers. (3) By the code: agreement is the return of the bandit that pays `pi*_a` for answer `a`.

(4) If the teacher gives right answers only, `agreement <= max pi* P(success)`: raising it raises a lower bound of
success. (5) If it does not, agreement may rise while success falls, though the teacher is the better one: two contexts
that look alike, teacher `(4/5, 1/5)` and `(1/10, 9/10)`, rewards `(1, 0)` and `(0, 9/10)`.
"""

from __future__ import annotations

import numpy as np
import sympy

from distil_theory import instances, solve, updates
from distil_theory import number_systems as ns
from distil_theory.claims import symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.claims.enclosures import not_negative
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL
from distil_theory.number_systems import Array
from distil_theory.spec import Bandit, TabularMDP
from distil_theory.three_points import PI, STAR, A, B, positive, total, vanish

Y, M = sympy.symbols("y m", positive=True)


def logarithm() -> bool:
    """Step 1: `y - 1 - log y` is 0 at 1, its slope has the sign of `y - 1`."""
    gap = Y - 1 - sympy.log(Y)
    return gap.subs(Y, 1) == 0 and vanish(gap.diff(Y) - (Y - 1) / Y)


def jensen() -> bool:
    """Step 2, any number of answers."""
    return vanish(total(STAR * (PI / M - 1)).subs(total(STAR * PI), M))


def slack(student: Array, expert: Array) -> Array:
    """`log agreement + CE` of one state, by the library: the agreement is a return."""
    paid = Bandit(expert, batch_ndim=expert.ndim - 1)
    return ns.log(solve.expected_return(paid, student[None, None])) + CROSS_ENTROPY.value(expert, student, axis=0)


def by_the_code() -> bool:
    """Step 3, on generic bandits: `log m + CE = sum pi* log(m / pi)`."""
    for actions in (2, 3):
        _, pi, star = symbols.bandit(actions)
        p, q = pi[0, 0], star[0, 0]
        m = (p * q).sum()
        wanted = sum(b * (sympy.log(m) - sympy.log(a)) for a, b in zip(p, q, strict=True))
        if not symbols.vanishes(sympy.expand_log(symbols.only(slack(p, q)) - wanted, force=True)):
            return False
    return True


def only_right_answers() -> bool:
    """Step 4, the term of a right answer: `pi*_a pi_a <= max pi* pi_a` with `max pi* = pi*_a + b`."""
    p, largest = Y, A + B
    return positive(largest * p - A * p)


def both() -> tuple[Array, Array, Array]:
    """Step 5, exact: how fast agreement and success of the hidden contexts change with a natural step; the gap."""
    _, mdp, student, teacher, _ = instances.aliased_contexts()
    step = updates.direction(mdp, student, teacher, FORWARD_KL)
    paid = TabularMDP(mdp.transition, teacher, mdp.initial, observation=mdp.observation)
    gap = solve.expected_return(mdp, teacher) - solve.expected_return(mdp, student)
    return *(updates.first_order_change(x, student, step) for x in (paid, mdp)), gap


def apart() -> bool:
    """Step 5: the one rises by 1/200, the other falls by 1/400."""
    agreement, success, gap = both()
    return agreement == symbols.rational("1/200") and success == symbols.rational("-1/400") and bool(gap > 0)


def margin(reward: Array, student: Array, expert: Array) -> Array:
    """`log agreement + CE`."""
    return slack(student, expert)


def holds_exactly(reward: Array, student: Array, expert: Array) -> bool:
    """The same in balls; equal where the student gives all answers the same probability."""
    p, q = student / student.sum(), expert / expert.sum()
    if np.all(p == p[0]):
        return True
    return not_negative(lambda: symbols.only(slack(ns.convert(p, "ball"), ns.convert(q, "ball"))))


CLAIM = Claim(
    slug="agreement",
    number="12a",
    title="forward cross-entropy bounds agreement",
    statement=r"\log E_{a\sim\pi^*} \pi(a|s) \ge -\mathrm{CE}(\pi^*, \pi)",
    assumptions=("success instead of agreement: the teacher gives right answers only",),
    source="paper",
    scope="any number of answers, state by state; the code: bandits `A = 2, 3`; one instance in rationals",
    steps=(
        Step("`log y <= y - 1`", logarithm, "log y <= y"),
        Step("`E_{pi*}(pi/m - 1) = 0` with `m = E_{pi*} pi`, any number of answers", jensen, "m = E_pi pi"),
        Step("the code, on generic bandits", by_the_code, "the cross-entropy of the student's own answers"),
        Step("right answers only: agreement is at most `max pi*` times success", only_right_answers, "min pi*"),
        Step("hidden contexts: agreement rises, success falls, the teacher is better", apart, "the contexts are seen"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={"success instead of agreement: the teacher gives right answers only": "aliased.json"},
    panel="pass_at_n_training.png",
)
