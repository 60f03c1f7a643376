r"""Claim 5: three actions suffice for a better teacher to mislead.

.. math:: \pi = (\tfrac13, \tfrac13, \tfrac13),\; \pi^* = \tfrac{1}{100}(1, 66, 33),\; r = (1, 1, 0)

The expert is better by 1/300, yet a small natural step of reverse KL, Jensen-Shannon or squared Hellinger lowers the
reward; forward cross-entropy raises it. Proof: the four rates, enclosed in balls of 256 bits. The expert nearly
abandons one right answer: `log(3/100) = -3.5` there outweighs the `+0.7` of the other, and the wrong answer gains.
"""

from __future__ import annotations

from functools import partial

from distil_theory import instances
from distil_theory.claims.claim import Claim, Step
from distil_theory.counterexamples import smallest_counterexample
from distil_theory.falsify import one_instance
from distil_theory.number_systems import Array
from distil_theory.prevalence import Bandits, exact_sign, small_step

LOWERS = ("reverse_kl", "jensen_shannon", "hellinger")


def parts() -> tuple[Array, Array, Array]:
    """Reward, student, expert `(3,)`, exact."""
    _, mdp, student, expert, _ = instances.teaching_bandit()
    return mdp.reward[0, 0], student[0, 0], expert[0, 0]


def sign(divergence: str) -> int:
    """Certified sign of the rate of a small natural step."""
    return exact_sign(small_step(divergence, "natural"), *parts())


def better() -> bool:
    """The gap is exactly 1/300."""
    reward, student, expert = parts()
    return bool((reward * (expert - student)).sum() * 300 == 1)


def smallest() -> bool:
    """With right and wrong answers nothing simpler misleads: the smallest denominators, exhaustively."""
    found = {name: smallest_counterexample(name, 3, largest=9) for name in (*LOWERS, "forward_kl")}
    return [x and x.denominator for x in found.values()] == [7, 9, 9, None]


def margin(reward: Array, student: Array, expert: Array) -> Array:
    """The least of: minus the three rates, the rate of forward KL, the gap."""
    bandits = Bandits(reward, student, expert)
    rates = {d: small_step(d, "natural").change(bandits) for d in (*LOWERS, "forward_kl")}
    return min([bandits.gap, rates["forward_kl"], *(-rates[d] for d in LOWERS)], key=lambda x: x[0])


CLAIM = Claim(
    slug="teaching",
    number="5",
    title="three actions suffice to mislead",
    statement=r"J^* - J = \tfrac{1}{300},\; \frac{dJ}{d\eta} < 0 \text{ for reverse KL, JS, Hellinger}",
    assumptions=("small natural step",),
    source="paper",
    scope="one instance, certified; the smallest denominators by exhaustion (rewards 0 and 1, three actions)",
    steps=(
        Step("`J* - J = 1/300`", better, "expert (1, 33, 66)/100"),
        *(
            Step(f"the rate of {name} is negative, in balls", partial(lambda d: sign(d) < 0, name), "h(u) = u")
            for name in LOWERS
        ),
        Step("the rate of forward KL is positive", lambda: sign("forward_kl") > 0, "h(u) = -u"),
        Step("smallest denominators: 7, 9, 9, and none for forward KL", smallest, "rewards in quarters"),
    ),
    margin=margin,
    holds_exactly=lambda *_: False,
    without={"small natural step": "safe_step_reverse_kl.json"},
    panel="monotonicity_simplex.png",
    attack=one_instance(parts),
)
