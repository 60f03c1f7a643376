r"""Claim 15: weighted by the ratio of its own past, forward cross-entropy closes the gap; what clipping costs.

Along a rollout of the student let `w_h = prod_{h'<h} u_{h'}`, `u = pi*/pi`, and let the local loss of the state at step
`h` count `min(w_h, c)` times. With `g_h(s) = E_{a ~ pi*} A_h^pi(s, a)` the expected natural step changes the return by

.. math:: \frac{dJ}{d\eta}\Big|_0 = J(\pi^*) - J(\pi)
          - \sum_h E_{\tau\sim\pi^*}\Big[\Big(1 - \frac{\min(w_h,c)}{w_h}\Big) \, g_h(s_h)\Big]

so without a clip it is `J* - J`, whatever the expert, and with one the bias is at most the same sum with `|g_h|`: what
the expert gains and loses where its path is more than `c` times as likely as the student's. Proof. (1) Change of
measure: an action multiplies `p_pi(tau) w` by `pi u = pi*`, so `p_pi w_h` is the probability of the path up to `s_h`
under the expert, by induction from `w_0 = 1`. (2) So `m_h(s) = E_pi[w_h; s_h = s]` obeys
`m_{h+1}(s') = sum_{s,a} m_h pi u P = sum_{s,a} m_h pi* P`, the recursion of `d*_h`, and `E[w_h | s_h = s] = d*_h/d_h`.
(3) The gradient is linear in the weight, so in the mean the path weight acts as the state weight
`E[min(w_h, c) | s_h = s]`. Without a clip that is the weight of claim 2, which gives `J* - J`. (4) By claim 1 the rate
is `sum_h E_pi[ min(w_h, c) g_h(s_h) ]`; path by path `p w g - p min(w,c) g = p w (1 - min(w,c)/w) g`, and `p w` is the
expert's probability. (5) `0 <= 1 - min(w,c)/w < 1`, and it vanishes where `w <= c`: the triangle inequality. The bound
is attained whenever `g` has one sign. A softmax student gives every action a chance, so `d* << d^pi` always holds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import sympy

from distil_theory import estimators, instances, objectives, solve, trajectories
from distil_theory import number_systems as ns
from distil_theory.claims import forward_gap, links, rollouts, symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.divergences import FORWARD_KL
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP

CLIPS = ("1/2", "2")
W, C, P, G = sympy.symbols("w c p g", positive=True)


def measure() -> bool:
    """Step 1: one action, whatever came before; and the code, on each rollout of the generic MDP."""
    q = sympy.Symbol("q", positive=True)
    one_more = symbols.vanishes((P * W) * q - (P * sympy.Symbol("pi")) * (W * q / sympy.Symbol("pi")))
    mdp, student, expert = symbols.mdp()
    every = trajectories.enumerate_all(mdp)
    whole = estimators.prefix_weights(mdp, student, expert, every)[-1]
    whole = whole * every.along(expert / student, actions=True)[-1]
    p, p_star = (trajectories.probability(mdp, policy, every) for policy in (student, expert))
    return one_more and symbols.vanishes(p * whole - p_star)


def recursion() -> bool:
    """Step 2: one more step of `m`, from generic masses, is a step of the solver with the expert, term by term."""
    m, p, q, arrive = sympy.symbols("m pi q P", positive=True)
    term = symbols.vanishes(m * p * (q / p) * arrive - m * q * arrive)
    mdp, _, expert = symbols.mdp()
    mass = np.array(sympy.symbols("m1 m2", positive=True), dtype=object)
    moved = (mass[:, None, None] * expert[0][:, :, None] * mdp.transition[0]).sum(axis=1).sum(axis=0)
    return term and symbols.vanishes(solve.forward(expert, mdp.transition, mass)[1] - moved)


def mean() -> bool:
    """Step 2, the code: the mean of the prefix ratio over every rollout of the generic MDP."""
    mdp, student, expert = symbols.mdp()
    every = trajectories.enumerate_all(mdp)
    w = estimators.prefix_weights(mdp, student, expert, every)
    weight = rollouts.conditional(every, w, trajectories.probability(mdp, student, every), mdp.shape[1])
    return symbols.vanishes(weight * solve.occupancy(mdp, student) - solve.occupancy(mdp, expert))


def closes() -> bool:
    """Step 3: with that mean the rate is the gap, by the code of claim 2 on the generic MDP."""
    return symbols.vanishes(forward_gap.difference(*symbols.mdp()))


def path() -> bool:
    """Step 4: what one rollout contributes, for any weight `k` in place of `min(w, c)`."""
    k = sympy.Symbol("k", positive=True)
    return symbols.vanishes(P * W * G - P * k * G - P * W * (1 - k / W) * G)


def share() -> bool:
    """Step 5, below the clip and above it."""
    above = 1 - sympy.Min(C + W, C) / (C + W)
    below = 1 - sympy.Min(C, C + W) / C
    return bool(above.simplify().is_positive) and bool((1 - above).simplify().is_positive) and below == 0


class Clipped(NamedTuple):
    """At one clip: rate minus gap, the sum that it is said to be minus, and its bound."""

    bias: Array
    lost: Array
    bound: Array


def clipped(mdp: TabularMDP, student: Array, expert: Array, clip: Array) -> Clipped:
    """The rate by the solver, the sums by enumeration; a single MDP takes its weight from `estimators.mean_weight`."""
    every = rollouts.every(mdp)
    p, p_star = (rollouts.probability(mdp, policy, every) for policy in (student, expert))
    w = estimators.prefix_weights(mdp, student, expert, every)
    if mdp.batch_shape:
        kept = estimators.prefix_weights(mdp, student, expert, every, clip)
        weight = rollouts.conditional(every, kept, p, mdp.shape[1])
    else:
        weight = estimators.mean_weight(mdp, student, expert, clip)
    rate = objectives.improvement_rate(mdp, student, expert, FORWARD_KL, weight=weight)
    void = ns.iszero(w)  # the expert does not come here either
    cut = 1 - clip / ns.where(void, w * 0 + 1, w)
    left = p_star * ns.where(void | (cut < 0), cut * 0, cut)  # 1 - min(w, c) / w
    g = every.along((expert * solve.advantage(mdp, student)).sum(axis=2), actions=False)
    lost, bound = ((left * x).sum(axis=1).sum(axis=0) for x in (g, abs(g)))
    return Clipped(rate - links.gap(mdp, student, expert), lost, bound)


def fork() -> bool:
    """Steps 3 to 5, the code on the risky fork in rationals: the clipped estimator, its bias and its bound."""
    _, mdp, student, expert, _ = instances.risky_fork()
    every, fine = trajectories.enumerate_all(mdp), True
    p = trajectories.probability(mdp, student, every)
    for clip in map(symbols.rational, ("1/100", "1/2", "2", "10", "20")):
        drawn = estimators.samples(mdp, student, expert, FORWARD_KL, every, part="local", clip=clip)
        weight = estimators.mean_weight(mdp, student, expert, clip)
        mean = objectives.loss_gradient(mdp, student, expert, FORWARD_KL, weight)
        found = clipped(mdp, student, expert, clip)
        fine &= bool(((drawn * p).sum(axis=-1) == mean).all())
        fine &= bool(found.bias == -found.lost) and bool(abs(found.bias) <= found.bound)
    return fine


def margin(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """The least of bound minus bias, and of the error of the identity, over the clips."""
    found = [clipped(mdp, student, expert, float(symbols.rational(clip))) for clip in CLIPS]
    return np.min([x for bias, lost, bound in found for x in (bound - abs(bias), -abs(bias + lost))], axis=0)


def holds_exactly(*parts: Array) -> bool:
    """Identity and bound for one MDP, in rationals."""
    instance = symbols.exact_mdp(*parts)
    found = [clipped(*instance, symbols.rational(clip)) for clip in CLIPS]
    return all(bool(bias == -lost) and bool(abs(bias) <= bound) for bias, lost, bound in found)


CLAIM = Claim(
    slug="prefix_weights",
    number="15",
    title="weighted by its own past, forward cross-entropy closes the gap",
    statement=r"\frac{dJ}{d\eta}\Big|_0 = J^* - J - \sum_h E_{\tau\sim\pi^*}\Big[\Big(1 - "
    r"\tfrac{\min(w_h,c)}{w_h}\Big) g_h(s_h)\Big],\quad w_h = \prod_{h'<h} \tfrac{\pi^*}{\pi}",
    assumptions=(
        "natural or proximal step",
        "unrestricted student",
        "unaliased student",
        "states weighted by the past",
    ),
    source="ours",
    scope="any `H`, `S`, `A` and `c`: steps 1, 2 by induction over `h`, 4, 5 rollout by rollout, claim 2; the "
    "code: the generic MDP `H = S = A = 2` without a clip, the risky fork with five",
    steps=(
        Step(
            "the student's path times its weight is the expert's path",
            measure,
            "w_0 = u_0 in estimators.prefix_weights",
        ),
        Step(
            "`m_{h+1}` follows from `m_h` as `d*_{h+1}` from `d*_h`",
            recursion,
            "the flow of another step in solve.forward",
        ),
        Step("`E[w_h | s_h = s] = d*/d`, by the code on the generic MDP", mean, "pi/pi* in prefix_weights"),
        Step(
            "with that mean the rate is `J* - J`, by the code on the generic MDP",
            closes,
            "weight ignored in Point.weighted",
        ),
        Step("what a clip takes from one rollout", path, "1 - min(w, c)"),
        Step("`0 <= 1 - min(w,c)/w < 1`, and 0 up to the clip", share, "Max for Min"),
        Step(
            "the clipped estimator, bias and bound of the risky fork, by the code",
            fork,
            "max for min in prefix_weights",
        ),
    ),
    margin=rollouts.in_blocks(margin),
    holds_exactly=holds_exactly,
    without={
        "natural or proximal step": "weighted_euclidean.json",
        "unrestricted student": "weighted_restricted.json",
        "unaliased student": "weighted_aliased.json",
        "states weighted by the past": "state_weights.json",
    },
    panel="future_credit_frontier.png",
    attack=rollouts.attack,
)
