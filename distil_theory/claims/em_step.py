r"""Claim 12b: the EM step never lowers the likelihood of success, whatever the student cannot see, at any step size.

`L(pi) = sum_x rho(x) log P_x` over prompts. Let `q_x = pi(.|success, x)` be the teacher, `m` its mean over the prompts
behind an observation, by success: the most likely student of its class. Then for any new student `pi'` of the class

.. math:: L(\pi') - L(\pi) = E_m \log(\pi'/\pi) + \sum_x \rho(x) KL(q_x \| q'_x)

(1) term by term, any number of prompts and answers. (2) `pi' = m` makes the first sum `KL(m || pi) >= 0`. (3) So does a
part of the way: for `pi' = (pi + eta m)/(1 + eta)` it is at least `eta/(1 + eta) KL(m || pi)`, by concavity of the log:
any increase of the bound suffices (*generalised EM*). (4) That is the library's proximal step of forward cross-entropy
towards the success-conditioned teacher: the one step of this ledger that hidden state cannot turn against itself. (5)
In many steps `m` counts rollouts given success. (6) With nothing hidden one step reaches `P = 1`.

What rises is the mean *log*: the mean success, Pass@1, may fall (`success_aliased`: from 0.475 to 0.464).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import sympy

from distil_theory import experts, solve, trajectories, updates
from distil_theory import number_systems as ns
from distil_theory.claims import rollouts, symbols
from distil_theory.claims.agreement import logarithm
from distil_theory.claims.claim import Claim, Step
from distil_theory.claims.enclosures import not_negative
from distil_theory.claims.restricted import seeing
from distil_theory.claims.success_bound import paid_at_the_end
from distil_theory.divergences import FORWARD_KL
from distil_theory.falsify import SEVERAL, Found, merge, smallest
from distil_theory.number_systems import Array
from distil_theory.spec import Bandit, TabularMDP
from distil_theory.success import em_step, log_likelihood, success
from distil_theory.three_points import ETA, PI, STAR, A, positive, total, vanish

U = sympy.Symbol("u", positive=True)
CASES = (((1, 3, 3), 1), ((1, 4, 2), 3), ((2, 3, 2), 2))
"""`(H,S,A)` and number of observations (the last states look alike)."""
SIZES = (0.1, 10.0)
LATE = 6
FLOOR = 1e-6
"""Added to every reward: nothing is hopeless."""


def increment() -> bool:
    """Step 1, one prompt and one answer: `q log(q/q') + q log(pi'/pi) = q log(P'/P)` for `q = pi R / P`."""
    pi, new, r, p, p_new, w = sympy.symbols("pi new r P P_new w", positive=True)
    q, q_new = pi * r / p, new * r / p_new
    log = sympy.log
    left = w * q * (log(q / q_new) + log(new / pi)) - w * q * log(p_new / p)
    return vanish(sympy.expand_log(left, force=True))


def pooled() -> bool:
    """Step 2, any number of answers: `-E_m log(pi/m) >= -sum (pi - m) = 0`; `PI` is the student, `STAR` is `m`."""
    return logarithm() and vanish(total(STAR * (PI / STAR - 1)))


def part_of_the_way() -> bool:
    """Step 3, one answer with `u = m/pi`: `log((1 + eta u)/(1 + eta)) - eta/(1 + eta) log u` is least, and 0, at 1."""
    gap = sympy.log((1 + ETA * U) / (1 + ETA)) - ETA / (1 + ETA) * sympy.log(U)
    slope = gap.diff(U)
    return gap.subs(U, 1) == 0 and positive(slope.subs(U, 1 + A), -slope.subs(U, 1 / (1 + A)))


def the_proximal_step() -> bool:
    """Step 4, the code on two generic prompts that look alike, to a step of any size."""
    mdp, pi, _ = symbols.alike(*symbols.mdp(1, 2, 2), (0, 0))
    star = experts.success_conditioned(mdp, pi)
    proximal = updates.proximal_step(mdp, pi, star, FORWARD_KL, ETA)
    return symbols.vanishes(em_step(mdp, pi, ETA) - proximal)


def counts() -> bool:
    """Step 5, the code on a generic student, states alike: the share of each action, given success."""
    _, pi = paid_at_the_end()
    reward = np.array([[[0, 0], [0, 0]], [[3, 0], [1, 2]]]) / sympy.Integer(3)
    chance = np.arange(1, 9).reshape(2, 2, 2, 1) / sympy.Integer(9)
    start = np.array([sympy.Rational(1, 3), sympy.Rational(2, 3)], dtype=object)
    mdp = TabularMDP(np.concatenate([chance, 1 - chance], axis=3), reward, start, observation=[0, 0])
    pi = pi[:, [0, 0]]
    every = trajectories.enumerate_all(mdp)
    won = trajectories.probability(mdp, pi, every) * trajectories.returns(mdp, every)
    won = won / success(mdp, pi)[every.states[0]]
    new = em_step(mdp, pi)
    share = np.array([[won[every.actions[h] == a].sum() for a in range(2)] for h in range(2)])
    return all(symbols.vanishes(new[h, 0] * share[h].sum() - share[h]) for h in range(2))


def one_step_is_enough() -> bool:
    """Step 6, the code on a generic bandit with two right answers of three: `P = 1`, exactly."""
    _, pi, _ = symbols.bandit(3)
    mdp = Bandit(np.array([sympy.S.One, sympy.S.One, sympy.S.Zero], dtype=object))
    return symbols.vanishes(symbols.only(solve.expected_return(mdp, em_step(mdp, pi))) - 1)


def problem(p: Array, reward: Array, rho: Array) -> TabularMDP:
    """An MDP, or a batch, of the attack."""
    sight = seeing(len(rho), dict((shape[:2], o) for shape, o in CASES)[reward.shape[0], len(rho)])
    return TabularMDP(p, reward, rho, observation=sight, batch_ndim=reward.ndim - 3)


def margin(p: Array, reward: Array, rho: Array, student: Array) -> Array:
    """The least increase of the likelihood over step sizes."""
    mdp = problem(p, reward, rho)
    old = log_likelihood(mdp, student)
    return np.min([log_likelihood(mdp, em_step(mdp, student, eta)) - old for eta in (*SIZES, None)], axis=0)


def holds_exactly(p: Array, reward: Array, rho: Array, student: Array) -> bool:
    """The same in balls; equal where nothing moves."""
    p, rho, student = (x / x.sum(axis=-1, keepdims=True) for x in (p, rho, student))
    mdp = problem(p, reward, rho)
    prompts = np.asarray(rho > 0, dtype=bool)
    before = success(mdp, student)[prompts]
    for eta in (*(ns.convert(x, "rational") for x in SIZES), None):
        after = success(mdp, em_step(mdp, student, eta))[prompts]
        if not (np.all(after == before) or not_negative(partial(_mean_log, rho[prompts], after / before))):
            return False
    return True


def _mean_log(rho: Array, ratio: Array) -> Array:
    return (ns.convert(rho, "ball") * ns.log(ns.convert(ratio, "ball"))).sum()


def attack(find: Callable[..., Array], n: int, seed: int) -> Found:
    """The smallest margin over random problems whose last states look alike, n / 10 in all; half of the students have
    nearly converged, where little is left to gain."""
    found: list[Found] = []
    left = -(-n // (10 * len(CASES)))
    for i, (shape, observations) in enumerate(CASES):
        sight = seeing(shape[1], observations)
        for start in range(0, left, SEVERAL):
            rng, size = np.random.default_rng([seed, i, start]), min(SEVERAL, left - start)
            p, _, rho, pi, _ = rollouts.draw(rng, shape, size)
            paid = rng.random((shape[1], shape[2], size))
            paid = np.where(rng.random(size) < 0.5, paid.round(), paid**8) + FLOOR
            reward = np.concatenate([np.zeros((shape[0] - 1, *paid.shape)), paid[None]])
            pi, late = pi[:, sight], rng.random(size) < 0.5
            for _ in range(LATE):
                pi = np.where(late, em_step(problem(p, reward, rho), pi), pi)
            found = [merge([*found, smallest(find(p, reward, rho, pi), size, p, reward, rho, pi)])]
    return found[0]


CLAIM = Claim(
    slug="em_step",
    number="12b",
    title="EM never lowers the likelihood of success, hidden state or not",
    statement=r"L(\pi') - L(\pi) = E_m \log(\pi'/\pi) + \sum_x \rho(x) KL(q_x \| q'_x) \ge 0 \text{ for } "
    r"\pi' = (\pi + \eta m)/(1 + \eta), \quad L = \sum_x \rho(x) \log P_x",
    assumptions=("the teacher is conditioned on the student's own success", "the mean log, not the mean"),
    source="classic",
    scope="one step, any number of prompts and answers (term by term), any `eta`; many steps by summation; the code: "
    "two prompts, `A = 2`; what `m` counts, for any student of an MDP `H = S = A = 2`, states alike",
    steps=(
        Step("the increase, one prompt and one answer", increment, "P / P_new"),
        Step("`KL(m || pi) >= 0`, any number of answers", pooled, "m / pi for pi / m"),
        Step("part of the way: the log is concave, one answer", part_of_the_way, "eta for eta / (1 + eta)"),
        Step("it is the proximal step, by the code", the_proximal_step, "prompts not weighted"),
        Step("many steps: `m` counts rollouts given success, by the code", counts, "visits without success"),
        Step("nothing hidden: one step reaches `P = 1`, by the code", one_step_is_enough, "Q forgotten"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "the teacher is conditioned on the student's own success": "aliased.json",
        "the mean log, not the mean": "success_aliased.json",
    },
    panel="pass_at_n_training.png",
    attack=attack,
)
