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

from distil_theory import finite_steps, grammar, three_points
from distil_theory.characterise import Affine, Counterexample, certified, safe_step, safe_steps
from distil_theory.claims.claim import Claim, Step
from distil_theory.claims.only_forward_kl import BREAKS as SHARED
from distil_theory.divergences import skewed_js
from distil_theory.number_systems import Array
from distil_theory.prevalence import Bandits, exact_sign, natural_step
from distil_theory.prevalence import Step as Move

SAFE = (
    natural_step("reverse_kl", 1.0),
    natural_step("jensen_shannon", 2.0),
    Move(skewed_js(Fraction(1, 2)).h, eta=1 / 3),
    Move(skewed_js(4).h, eta=0.8),
)
BREAKS = SHARED | {
    "finite_step": "Cov(r, h) for Cov(r, K)",
    "mixture": "weights a and b exchanged",
    "positive_line": "a K that becomes negative",
    "family": "log(1 + beta u) without 1/eta",
    "weight": "w = eta",
    "one_step_each": "eta and 2 eta both safe",
    "members": "Jensen-Shannon at eta = 1",
}


def program() -> bool:
    """The programs find the safe steps of the catalogue, and certified bandits beside them."""
    expected = {"reverse_kl": sympy.FiniteSet(1), "jensen_shannon": sympy.FiniteSet(2)}
    beside = [safe_step(grammar.TEXT[name], eta) for name, eta in (("reverse_kl", "1/2"), ("jensen_shannon", "1"))]
    return (
        all(safe_steps(text) == expected.get(name, sympy.EmptySet) for name, text in grammar.TEXT.items())
        and all(isinstance(safe_step(grammar.TEXT[name], str(next(iter(s)))), Affine) for name, s in expected.items())
        and all(isinstance(x, Counterexample) and certified(x) for x in beside)
    )


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
    assumptions=("that one size",),
    source="ours",
    scope="any number of actions (sums by linearity), any f differentiable at the ratios that occur, full support",
    steps=(
        *(Step(three_points.says(f), f, BREAKS[f.__name__]) for f in finite_steps.CLAIM_7D),
        Step("the programs, on the catalogue: 1, 2, or none", program, "eta = 1 for Jensen-Shannon"),
    ),
    margin=margin,
    holds_exactly=lambda *bandit: all(exact_sign(step, *bandit) >= 0 for step in SAFE),
    without={"that one size": "short_step_reverse_kl.json"},
    panel="monotonicity_steps.png",
)
