r"""Claim 3: forward KL is the only divergence whose small natural step never harms.

.. math:: \Big(J^* > J \Rightarrow \frac{dJ}{d\eta}\Big|_0 \ge 0 \text{ for every } \pi, \pi^*, r\Big)
          \iff h_f(u) = a u + b,\; a \ge 0 \iff f(u) = a\, u \log u + c\,(u - 1)

for bandits with three or more actions. The proof, step by step, is the chapter `distil_theory.three_points`; the
program `characterise` turns it into an identity or a certified bandit for any generator you write down. A bandit here
is one state, which the student sees; already two that look alike, or two steps, break forward KL (claims 6 and 8).
"""

from __future__ import annotations

from distil_theory import grammar, three_points
from distil_theory.characterise import Affine, Counterexample, certified, characterise
from distil_theory.claims.claim import Claim, Step
from distil_theory.number_systems import Array
from distil_theory.prevalence import GAP, Bandits, exact_sign

BREAKS = {
    "line_is_safe": "Cov(r, a u) = a^2 Cov(r, u)",
    "every_triple": "weights that do not sum to one",
    "gap_and_rate": "q without the factor (z - 1)",
    "small_tilt": "a tilt twice as large",
    "no_triple_no_bend": "weights of the chord exchanged",
    "copies": "copies of an action with its whole mass each",
    "rescaling": "r -> -r",
    "score_determines_f": "(f/u)' = h/u",
    "line_means_forward_kl": "f = a u^2",
}
"""For each step of the proof, a change that it notices."""


def program() -> bool:
    """The program finds forward KL affine, and against every other divergence of the catalogue a bandit that is
    certified, and would not be if the step were that of forward KL, which cannot harm."""
    found = {name: characterise(text) for name, text in grammar.TEXT.items()}
    forward, others = found.pop("forward_kl"), list(found.values())
    return isinstance(forward, Affine) and all(
        isinstance(x, Counterexample) and certified(x) and not certified(x._replace(text=forward.text)) for x in others
    )


def margin(reward: Array, student: Array, expert: Array) -> Array:
    """Sufficiency: the rate of forward KL."""
    return GAP.change(Bandits(reward, student, expert))


CLAIM = Claim(
    slug="only_forward_kl",
    number="3",
    title="forward KL is the only safe divergence",
    statement=r"(J^* > J \Rightarrow \tfrac{dJ}{d\eta} \ge 0 \;\forall \pi, \pi^*, r) "
    r"\iff f = a\,u\log u + c\,(u-1),\; a \ge 0",
    assumptions=("three or more actions", "small step", "natural or proximal step", "bandit", "unrestricted student"),
    source="ours",
    scope="any number of actions (sums by linearity), any `f` differentiable at the ratios that occur, full support",
    steps=(
        *(Step(three_points.says(f), f, BREAKS[f.__name__]) for f in three_points.CLAIM_3),
        Step(
            "the program, on the catalogue: forward KL affine, a certified bandit against each other",
            program,
            "every sign -1 in prevalence.exact_sign",
        ),
    ),
    margin=margin,
    holds_exactly=lambda *bandit: exact_sign(GAP, *bandit) >= 0,
    without={
        "three or more actions": "with two actions every divergence is safe: claim 4",
        "small step": "safe_step_reverse_kl.json",
        "natural or proximal step": "euclidean.json",
        "bandit": "state_weights.json",
        "unrestricted student": "restricted.json",
    },
    panel="monotonicity_failure_rates.png",
)
