r"""Claim 7d: each divergence has at most one safe size of a natural step.

.. math:: (f, \eta) \text{ is safe for every bandit} \iff K = e^{\eta h_f} \text{ is affine}
          \iff h_f = \tfrac{1}{\eta} \log(a u + b),\; a, b \ge 0

(not both zero; three or more actions), and then the step is a mixture of student and expert: reverse KL exactly at
`eta = 1` (the step *is* the expert), Jensen-Shannon at 2 (the midpoint), skewed Jensen-Shannon in between, forward KL
only in the limit `eta -> 0`. The proof is the chapter `distil_theory.finite_steps`, with `K` in the place of `h`;
`safe_step` and `safe_steps` are programs.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import sympy

from distil_theory import finite_steps, grammar, instances, three_points, updates
from distil_theory import number_systems as ns
from distil_theory.calculus import U
from distil_theory.characterise import Affine, Counterexample, certified, safe_step, safe_steps
from distil_theory.claims.claim import Claim, Step
from distil_theory.claims.forward_limits import ONE_LOGIT
from distil_theory.claims.only_forward_kl import BREAKS as SHARED
from distil_theory.divergences import JENSEN_SHANNON, REVERSE_KL, skewed_js
from distil_theory.number_systems import Array
from distil_theory.prevalence import Bandits, exact_sign, natural_step
from distil_theory.prevalence import Step as Move

SAFE = (
    natural_step("reverse_kl", 1.0),
    natural_step("jensen_shannon", 2.0),
    Move(skewed_js(Fraction(1, 2)).h, eta=Fraction(1, 3)),
    Move(skewed_js(4).h, eta=Fraction(4, 5)),
)
"""Pairs on which the margin is tried."""
BREAKS = SHARED | {
    "finite_step": "Cov(r, h) for Cov(r, K)",
    "mixture": "weights a and b exchanged",
    "positive_line": "the root at a/b",
    "family": "log(1 + beta u) without 1/eta",
    "weight": "w = eta",
    "one_step_each": "eta and 2 eta both safe",
    "members": "Jensen-Shannon at eta = 1",
}


def pairs() -> bool:
    """Each pair that the margin tries has an affine `K`: `h'' + eta h'^2 = 0`."""
    found = [(step.h(np.array([U], dtype=object))[0], sympy.Rational(step.eta)) for step in SAFE]
    return three_points.vanish(*(h.diff(U, 2) + eta * h.diff(U) ** 2 for h, eta in found))


def program() -> bool:
    """The programs find the safe steps of the catalogue, and certified bandits beside them."""
    expected = {"reverse_kl": sympy.FiniteSet(1), "jensen_shannon": sympy.FiniteSet(2)}
    beside = [safe_step(grammar.TEXT[name], eta) for name, eta in (("reverse_kl", "1/2"), ("jensen_shannon", "1"))]
    return (
        all(safe_steps(text) == expected.get(name, sympy.EmptySet) for name, text in grammar.TEXT.items())
        and all(isinstance(safe_step(grammar.TEXT[name], str(next(iter(s)))), Affine) for name, s in expected.items())
        and all(isinstance(x, Counterexample) and certified(x) for x in beside)
    )


def only_natural_steps() -> bool:
    """In balls, on the bandit of claim 5: reverse KL at 1 and Jensen-Shannon at 2, but Euclidean; and natural, but of a
    student with one free logit."""
    _, mdp, student, expert, _ = instances.teaching_bandit()
    with ns.precision(256):
        case = mdp.convert("ball"), ns.convert(student, "ball"), ns.convert(expert, "ball")
        for divergence, eta in ((REVERSE_KL, 1), (JENSEN_SHANNON, 2)):
            plain, natural = (updates.direction(*case, divergence, g) for g in ("euclidean", "natural"))
            for move in (plain, updates.project(*case[:2], natural, [ns.convert(ONE_LOGIT, "ball")])):
                new = updates.exponential_step(*case[:2], move, ns.convert(eta, "ball")[()])
                if not ((new - case[1]) * case[0].reward).sum() < 0:
                    return False
    return True


def margin(reward: Array, student: Array, expert: Array) -> Array:
    """The least `Cov(r, K)` over four safe pairs; `K <= 1`."""
    bandits = Bandits(reward, student, expert)
    return np.min([step.change(bandits) for step in SAFE], axis=0)


CLAIM = Claim(
    slug="safe_steps",
    number="7d",
    title="the safe-step theorem",
    statement=r"(f, \eta) \text{ safe} \iff e^{\eta h_f} \text{ affine} "
    r"\iff h_f = \tfrac{1}{\eta}\log(a u + b),\; a, b \ge 0",
    assumptions=("that one size", "natural step", "three or more actions", "bandit", "unrestricted student"),
    source="ours",
    scope="any number of actions (sums by linearity), any `f` differentiable at the ratios that occur, full support",
    steps=(
        *(Step(three_points.says(f), f, BREAKS[f.__name__]) for f in finite_steps.CLAIM_7D),
        Step("the four pairs that the margin tries have an affine `K`", pairs, "another eta of the third pair"),
        Step("the programs, on the catalogue: 1, 2, or none", program, "eta = 1 for Jensen-Shannon"),
        Step(
            "a Euclidean or restricted step of those sizes harms", only_natural_steps, "a step in the wrong direction"
        ),
    ),
    margin=margin,
    holds_exactly=lambda *bandit: all(exact_sign(step, *bandit) >= 0 for step in SAFE),
    without={
        "that one size": "short_step_reverse_kl.json",
        "natural step": "Euclidean steps of reverse KL of size 1 and of Jensen-Shannon of size 2 harm: the last step",
        "unrestricted student": "one free logit, and they harm: the last step",
        "three or more actions": "with two, every size of every divergence is safe, as `K` grows with `u`: claim 4",
        "bandit": "mixture_many_steps.json",
    },
    panel="monotonicity_steps.png",
)
