r"""Claim 11c: the regret of distributional DAgger with high probability, and no logarithm of the least probability.

In the setting of claim 11b, with `D_H^2 = sum_a (sqrt pi* - sqrt pi)^2` and any `0 < eps < 1`, with probability at
least `1 - 2 eps`

.. math:: \sum_n \sum_h E_{d_h^{\pi_n}} D_H^2(\pi^*, \pi_n)
          \le \frac{2e}{e-1} \Big[\frac{B}{2} + (1+H) \log \tfrac1\varepsilon\Big],

and the regret `sum_n (J* - J(pi_n))` is at most `mu sqrt(N H * the same)`. Proof. (1) The mean of `sqrt(pi/pi*)` of a
fresh label is `sum sqrt(pi pi*) = 1 - D_H^2/2`, (2) at most `exp(-D_H^2/2)`. (3) Given the states of a rollout its
labels are independent of each other and of the student's own actions. So `exp( sum [D_H^2/2 - (1/2) log(pi*/pi_n)] )`
over the visited states and their labels is a supermartingale that begins at 1. (4) By Markov's inequality, with
probability `1 - eps`, `(1/2) sum D_H^2 <= (1/2) sum log(pi*/pi_n)(labels) + log(1/eps) <= B/2 + log(1/eps)`: pathwise,
by claim 11, `pi*` being no better than hindsight. (5) From visited states to expectations: `X_n = sum_h D_H^2/2` along
the rollout is in `[0, H]`, the chord gives `e^-x <= 1 - (1 - 1/e) x` on `[0, 1]`, so (6) `exp( (1 - 1/e) sum E X_n/H -
sum X_n/H )` is a supermartingale, too, and `(1 - 1/e) sum E X_n <= sum X_n + H log(1/eps)` with probability `1 - eps`.
(7) Together. (8) `TV^2 <= D_H^2 (1 - D_H^2/4) <= D_H^2`: Cauchy-Schwarz for `|p - q| = |sqrt p - sqrt q| (sqrt p + sqrt
q)`. (9) Performance difference and Cauchy-Schwarz as in claim 11b.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import sympy

from distil_theory import number_systems as ns
from distil_theory import solve
from distil_theory.claims import inequalities, links, return_regret, rollouts, rounds, symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.divergences import HELLINGER
from distil_theory.number_systems import Array
from distil_theory.online import bounds
from distil_theory.spec import TabularMDP
from distil_theory.three_points import positive, vanish
from distil_theory.trajectories import Trajectories

E = sympy.E


def half(expert: Array, student: Array, axis: int = 2) -> Array:
    """`D_H^2 / 2`, which is at most 1."""
    return HELLINGER.value(expert, student, axis) / 2


def affinity() -> bool:
    """Step 1: the term of an action (`p = x^2`, `q = y^2`, which sum to 1), and the code where roots are rational."""
    x, y = sympy.symbols("x y", positive=True)
    term = x**2 * sympy.sqrt(y**2 / x**2) - (x**2 + y**2 - (x - y) ** 2) / 2  # these sum to 1 - D_H^2/2
    expert, student = (ns.convert(row, "rational") for row in (["9/25", "16/25"], ["25/169", "144/169"]))
    return vanish(sympy.expand(term)) and bool(
        1 - half(expert, student, 0) == (expert * ns.sqrt(student / expert)).sum()
    )


def exponent() -> bool:
    """Step 2: `1 - x <= e^-x`: `log y <= y - 1` at `y = e^-x`."""
    x = sympy.Symbol("x", real=True)
    return inequalities.logarithm() and vanish(sympy.log(sympy.exp(-x)) + x)


def labels_factor(student: Array, every: Trajectories) -> Array:
    """`prod_h sqrt(pi/pi*)(label) exp(D_H^2/2)` of each rollout with labels, in balls."""
    expert = ns.convert(rounds.game()[1], "ball")
    pi = ns.convert(student, "ball")
    factor = every.labelled(ns.sqrt(pi / expert)) * ns.exp(every.along(half(expert, pi), actions=False))
    return factor.prod(axis=0)


def states_factor(student: Array, every: Trajectories) -> Array:
    """`exp( (1 - 1/e) E X/H - X/H )` of each rollout, in balls."""
    mdp, expert = rounds.game()
    x = half(ns.convert(expert, "ball"), ns.convert(student, "ball"))
    mean = links.visited(mdp.convert("ball"), ns.convert(student, "ball"), x)
    share = 1 - ns.exp(ns.convert([-1], "ball"))[0]
    return ns.exp((share * mean - every.along(x, actions=False).sum(axis=0)) / len(x))


def falls(factor: rounds.Factor) -> bool:
    """Whether the product over two rounds of the game has a smaller mean than over one, and that one less than 1."""
    with ns.precision(128):
        told = rounds.play(*rounds.game(), 2, factor)
        means = [rounds.mean(known, lambda _: 1) for known in told]
    return bool(means[0] == 1) and bool(means[1] < means[0]) and bool(means[2] < means[1])


def independent() -> bool:
    """Step 3: given the states, the mean of the product over the labels is `prod (1 - x) e^x <= 1`; and the game."""
    p, q, r, s, f, g = sympy.symbols("p q r s f g")
    two = p * r * f * g + p * (1 - r) * f * s + (1 - p) * r * q * g + (1 - p) * (1 - r) * q * s
    product = (p * f + (1 - p) * q) * (r * g + (1 - r) * s)
    x = sympy.Symbol("x", nonnegative=True)
    slope = ((1 - x) * sympy.exp(x)).diff(x) + x * sympy.exp(x)
    return vanish(sympy.expand(two - product), sympy.simplify(slope)) and falls(labels_factor)


def chord() -> bool:
    """Steps 5 and 6: the chord, `1 - y <= e^-y` with `y = (1 - 1/e) E x`, and the game."""
    return inequalities.chord() and exponent() and falls(states_factor)


def markov() -> bool:
    """Step 4: where `e^X > 1/eps`, `eps e^X > 1`: the probability is at most `eps E e^X <= eps`, for any values."""
    x, eps = sympy.symbols("x eps", positive=True)
    above = (1 / eps + x) * eps - 1  # the indicator minus its bound, where X is above; elsewhere 0 <= eps e^X
    return vanish(above - eps * x) and positive((above / eps).simplify())


def together() -> bool:
    """Step 7: solve for `sum E D_H^2`; the bound that is returned is that one."""
    b, h, log, mean, seen = sympy.symbols("B H L mean seen", positive=True)
    worst = sympy.solve((1 - 1 / E) * mean - (seen + h * log), mean)[0].subs(seen, b / 2 + log)
    bound = 2 * E / (E - 1) * (b / 2 + (1 + h) * log)
    values = {b: 3, h: 5, log: sympy.log(20)}
    found = bounds.hellinger(3.0, 5, 1 / 20)
    return vanish(sympy.simplify(2 * worst - bound)) and bool(np.isclose(float(bound.subs(values)), found, rtol=1e-14))


def variation() -> bool:
    """Step 8: the product, the sums of the squares, and what `D^2 (1 - D^2/4)` is; Cauchy-Schwarz."""
    x, y, d = sympy.symbols("x y d", positive=True)
    squares = (x + y) ** 2 + (x - y) ** 2 - 2 * (x**2 + y**2)  # so the sums of the first two add up to 4
    product = (x - y) * (x + y) - (x**2 - y**2)
    quarter = d * (4 - d) / 4 - d * (1 - d / 4)  # TV^2 = (sum of products)^2 / 4
    return vanish(sympy.expand(squares), sympy.expand(product), sympy.expand(quarter)) and inequalities.cauchy_schwarz()


def root() -> bool:
    """Step 9: by the bound that is returned."""
    found = bounds.return_regret_high_probability(3.0, 5, 7, 2.0, 0.1)
    return (
        return_regret.own_states()
        and inequalities.span_times_variation()
        and bool(np.isclose(found, 3 * np.sqrt(5 * 7 * bounds.hellinger(2.0, 7, 0.1)), rtol=1e-14))
    )


class Round(NamedTuple):
    """One round of a problem or a batch.

    `labels` and `states` are the means of the two factors, by backward recursion; `x` is `E X`, and `variation` and
    `squares` the sums of TV and of `D_H^2` over the student's states.
    """

    labels: Array
    states: Array
    variation: Array
    squares: Array


def one_round(mdp: TabularMDP, student: Array, expert: Array) -> Round:
    """The supermartingales' factors of one round, and the sums that the last steps compare."""
    x, steps = half(expert, student), mdp.shape[0]
    variation = links.visited(mdp, student, abs(expert - student).sum(axis=2) / 2)
    mean = links.visited(mdp, student, x)
    one = x[0] * 0 + 1
    labels, states = one, one
    for h in reversed(range(steps)):
        later = [one if h == steps - 1 else (student[h] * ns.contract(mdp.transition[h], z)).sum(axis=1) for z in
                 (labels, states)]  # fmt: skip
        labels, states = (1 - x[h]) * ns.exp(x[h]) * later[0], ns.exp(-x[h] / steps) * later[1]
    share = 1 - ns.exp(mean * 0 - 1)
    means = [(mdp.initial * z).sum(axis=0) for z in (labels, states)]
    return Round(means[0], means[1] * ns.exp(share * mean / steps), variation, 2 * mean)


def margin(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """The least slack: both factors have a mean of at most 1, `E TV <= sqrt(H E D_H^2)`, and that times `mu`."""
    found, mu = one_round(mdp, student, expert), bounds.recoverability(mdp, expert)
    gap = solve.expected_return(mdp, expert) - solve.expected_return(mdp, student)
    root = np.sqrt(mdp.shape[0] * found.squares)
    return np.min([1 - found.labels, 1 - found.states, root - found.variation, mu * root - gap], axis=0)


def holds_exactly(*parts: Array) -> bool:
    """The same of one MDP: `gap <= mu E TV` in rationals, the others in balls."""
    mdp, student, expert = symbols.exact_mdp(*parts)
    mu, gap = bounds.recoverability(mdp, expert), links.gap(mdp, student, expert)
    variation = links.visited(mdp, student, abs(expert - student).sum(axis=2) / 2)
    if variation == 0:
        return bool(gap <= 0)  # alike wherever the student goes: the factors are 1, the sums 0
    with ns.precision(256):
        found = one_round(mdp.convert("ball"), *(ns.convert(policy, "ball") for policy in (student, expert)))
        strict = found.labels < 1, found.states < 1, variation**2 < mdp.shape[0] * found.squares
        return bool(gap <= mu * variation) and all(bool(x) for x in strict)


CLAIM = Claim(
    slug="hellinger_regret",
    number="11c",
    title="the regret of distributional DAgger with high probability",
    statement=r"\sum_n\sum_h E_{d_h^{\pi_n}} D_H^2 \le "
    r"\tfrac{2e}{e-1}\big[\tfrac B2 + (1+H)\log\tfrac1\varepsilon\big], \quad "
    r"\sum_n\big(J(\pi^*) - J(\pi_n)\big) \le \mu\sqrt{NH \cdot \text{the same}}, \quad "
    r"\text{with probability } 1 - 2\varepsilon",
    assumptions=("recoverability", "unaliased student", "the student's own states", "fresh labels", "a fixed expert"),
    source="ours",
    scope="any `A`, `S`, `H`, `N`: step by step; both supermartingales over every game of two rounds of one problem",
    steps=(
        Step("`E sqrt(pi/pi*)` of a label is `1 - D_H^2/2`", affinity, "twice the half"),
        Step("which is at most `exp(-D_H^2/2)`", exponent, "log e^-x = x"),
        Step("labels are independent: a supermartingale, and over every game", independent, "D_H^2 for D_H^2/2"),
        Step("Markov's inequality", markov, "eps^2 e^X"),
        Step("from visited states to expectations, and over every game", chord, "1 for 1 - 1/e"),
        Step("together", together, "H for 1 + H"),
        Step("`TV^2 <= D_H^2 (1 - D_H^2/4)`", variation, "squares that add up to 2"),
        Step("performance difference and Cauchy-Schwarz", root, "H forgotten"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "recoverability": "`mu` may be `H`, and is attained: a step of claim 11b",
        "unaliased student": "two contexts that look alike: `D_H^2 = 2 - sqrt 2` at the best student, every round",
        "the student's own states": "claim 11e",
        "fresh labels": "a fair coin tossed once and repeated: `D_H^2` tends to `2 - sqrt 2`, in every run",
        "a fixed expert": "claim 11d",
    },
    panel="regret_chain.png",
    attack=rollouts.attack,
)
