r"""The named instances, with their exact values: what every certificate, picture and environment refers to.

Each line of `VALUES` gives, in lowest terms, the return of the student, that of the expert, and the rate at which a
small natural step of local forward cross-entropy changes the return. The code that runs finds the same rationals, and
so does a sum over all rollouts, which shares nothing with it: `J = sum_tau p(tau) R(tau)` and, for a student who sees
the state, claim 16's `E[S R]` with `S = sum_h (u_h - 1)` along the rollout.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from distil_theory import instances, objectives, solve, trajectories
from distil_theory.claims.claim import Claim, Step
from distil_theory.divergences import FORWARD_KL
from distil_theory.falsify import Found, one_instance
from distil_theory.instances import Instance
from distil_theory.number_systems import Array

VALUES = {
    "teaching_bandit": "2/3 67/100 1/300",
    "euclidean_bandit": "3/4 7/8 1/8",
    "aliased_contexts": "19/40 161/200 -1/400",
    "two_contexts": "1/2 68/125 11/250",
    "success_euclidean": "287501/5000000 250375000001/287501000000 292304543751/359376250000",
    "success_euclidean_js": "76941/20000000 6723606667/25647000000 132498827513/512940000000",
    "success_aliased": "19/40 91/180 -1/90",
    "risky_fork": "12/25 19/20 -59/200",
    "horizon_chain": "897305696101/1000000000000 1 -167870192769/62500000000",
    "better_somewhere": "8964083934019/10000000000000 1 -8949091431519/2500000000000",
    "compounding_chain": "1851897701417011951/195312500000000000 10 39281534412868539/19531250000000000",
    "unforgiving_chain": "946617457412835548901/100000000000000000000 10 5179717490315060989/10000000000000000000",
    "aliased_fork": "41/80 99/100 -31/100",
    "spurious_disagreement": "1/2 3/5 1/10",
    "entropy_trap": "1/2 3/5 1/10",
    "privileged_grid": "34918351/50000000 1 -5581077/25000000",
    "lagged_teacher": "5/6 21/25 1/150",
    "chance_ahead": "10001/40000 1 1/2",
    "entropy_ahead": "19/20 181/190 1/380",
    "reward_before_the_end": "19001/20000 1820101/1900100 28831/3800200",
    "doubtful_branch": "19001/40000 1629820073/3420180000 10234073/6840360000",
    "rare_way": "2/25 4/49 13/2450",
    "lost_way": "1/100 195691951/17461000000 1499553/43652500",
    "lucky_way": "11/50 13/48 -121/2400",
    "hidden_trace": "15/32 517503/640000 1881/6400",
    "tested_program": "159/500 1667788165860395343/1815741416000000000 301421279197863/363148283200000",
    "shown_program": "159/500 197311281/200000000 10593/100000",
    "unfamiliar_program": "2541/4000 1970921139/2000000000 -220473/400000",
}
"""`J(pi)  J(pi*)  dJ/d eta`."""
LISTED = 20_000
"""Rollouts that are summed over, at most."""


def by_the_code(case: Instance) -> list[str]:
    """The three values, by the solver."""
    pair = (case.student, case.expert)
    rate = objectives.improvement_rate(case.mdp, *pair, FORWARD_KL)
    return [str(x) for x in (*(solve.expected_return(case.mdp, policy) for policy in pair), rate)]


def by_rollouts(case: Instance) -> list[str]:
    """The first two, and for a student who sees the state the third, by summing over all rollouts."""
    every = trajectories.enumerate_all(case.mdp)
    p = trajectories.probability(case.mdp, case.student, every)
    paid = trajectories.returns(case.mdp, every)
    better = trajectories.probability(case.mdp, case.expert, every)
    ratios = every.along(case.expert / case.student, actions=True)
    found = [p * paid, better * paid, p * paid * (ratios - 1).sum(axis=0)]
    return [str(x.sum()) for x in found[: 2 if case.mdp.aliased else 3]]


def stands(make: Callable[[], Instance]) -> bool:
    """Both routes find the values; the second where the rollouts can be listed."""
    case, wanted = make(), VALUES[make.__name__].split()
    steps, _, actions = case.mdp.shape
    few = actions**steps <= LISTED
    summed = by_rollouts(case) if few else []
    return by_the_code(case) == wanted and summed == wanted[: len(summed)] and case.gap > 0


def said(name: str) -> str:
    """The numbers of an instance, as a step says them."""
    numbers = zip(("J", "J*", "dJ/deta"), VALUES[name].split(), strict=True)
    return f"{name}: " + ", ".join(f"`{what} = {number}`" for what, number in numbers)


def gap(reward: Array, student: Array, expert: Array) -> Array:
    """`J* - J` of a bandit."""
    return (reward * (expert - student)).sum(axis=0)


def _teaching() -> tuple[Array, ...]:
    case = instances.teaching_bandit()
    return case.mdp.reward[0, 0], case.student[0, 0], case.expert[0, 0]


def attack(margin: Callable[..., Array], n: int, seed: int) -> Found:
    """There is nothing to vary: the gap of the first."""
    return one_instance(_teaching)(margin, n, seed)


CLAIM = Claim(
    slug="named_instances",
    number="0",
    title="the named instances",
    statement=r"J(\pi),\ J(\pi^*),\ \tfrac{dJ}{d\eta}\Big|_0 \text{ of every named instance, in lowest terms}",
    assumptions=(),
    source="ours",
    scope="the instances with their default parameters, in rationals, by two routes",
    steps=tuple(Step(said(make.__name__), partial(stands, make), "any of its numbers") for make in instances.INSTANCES),
    margin=gap,
    holds_exactly=lambda *bandit: bool(gap(*bandit) > 0),
    without={},
    panel="future_credit_signs.png",
    attack=attack,
)
