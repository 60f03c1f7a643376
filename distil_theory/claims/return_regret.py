r"""Claim 11b: the return that distributional DAgger loses while it learns, of order `sqrt(N log N)`.

`N` rounds; in each the student makes one rollout, a fixed expert draws a fresh label at each visited state, and the
student is the add-1/2 predictor of each `(h, s)`. With `B` of claim 11 and the recoverability `mu = max_{h,s} span_a
Q_h^{pi*}(s, a)`,

.. math:: E \sum_n \sum_h E_{d_h^{\pi_n}} KL(\pi^*\|\pi_n) \le B, \qquad
          E \sum_n \big(J(\pi^*) - J(\pi_n)\big) \le \mu \sqrt{N H B / 2},

and `<= mu B` if the expert is deterministic. Proof. (1) Labels are fresh: given the past and the visited state, the
expected log-loss of the student minus that of the expert is `KL(pi*||pi_n)`. Added up (the tower rule), the left sum is
the mean of `-log Q + log pi*(labels)`. (2) Pathwise no fixed distribution, `pi*` included, beats hindsight, because
`log x <= x - 1`; so that is at most the regret of claim 11, `<= B`. (3) The performance-difference lemma with the
*expert's* action values on the *student's* states, `J* - J = sum_h E_{d_h^pi} sum_a (pi* - pi) Q_h^{pi*}`. (4) `sum_a
(p - q) Q <= span(Q) TV(p, q)`. (5) Pinsker: `TV^2 <= KL/2`. (6) Cauchy-Schwarz over `n`, `h` and the states, of total
weight `N H`: `sum TV <= sqrt(N H sum TV^2)`. (7) Jensen over the runs: the mean of a square root is at most the root of
the mean. (8) For a deterministic expert `TV = 1 - pi(a*) <= -log pi(a*) = KL`: no root is needed. (9) A whole game.

(10) *Without.* Where a slip costs all that is left `mu = H`, and a student that may slip at the first step only loses
`mu sum_h E_d TV` exactly: the factor `mu` is attained. Two contexts that look alike: each student loses 1/2 a round for
ever, and `KL >= log 2`. Labels that repeat the first one: after `n` of them `KL = (1/2) log((n+1)^2/(2n+1))`, which
adds up to about `(N/2) log N`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy

from distil_theory import falsify, instances, solve
from distil_theory import number_systems as ns
from distil_theory.claims import inequalities, links, rollouts, rounds, symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.divergences import FORWARD_KL
from distil_theory.number_systems import Array
from distil_theory.online import bounds, kt
from distil_theory.spec import TabularMDP
from distil_theory.three_points import vanish

SHORT, SURE = 3, 1e-25
"""Rounds of the games that are played through; how small a ball around zero must be."""


def fresh() -> bool:
    """Step 1: the term of a label; and the code, over every game of two rounds."""
    p, q = sympy.symbols("p q", positive=True)
    term = vanish(sympy.expand_log(p * (sympy.log(p) - sympy.log(q)) - p * sympy.log(p / q)))
    mdp, expert = rounds.game()
    told = rounds.play(mdp, expert, 2)
    with ns.precision(256):
        kl = rounds.total_kl(mdp, expert, told[:2])
        excess = rounds.mean(told[2], lambda k: rounds.label_loss(k, expert)) - kl
    return term and bool(excess.contains(0)) and bool(excess.rad() < SURE)


def hindsight() -> bool:
    """Step 2: `n_a log(q_a n / n_a) <= q_a n - n_a`, which adds up to 0; and every game of two rounds."""
    count, q, n = sympy.symbols("n_a q n", positive=True)
    term = vanish(count * (q * n / count - 1) - (q * n - count)) and inequalities.logarithm()
    mdp, expert = rounds.game()
    for known in rounds.play(mdp, expert, 2)[2]:
        regret = float(kt.regret(known.counts).sum())
        chain = float(rounds.label_loss(known, expert)), regret, bounds.total(known.counts), bounds.budget(2, 2, 2, 2)
        term &= bool(np.all(np.diff(chain) >= -1e-12))
    return term


def own_states() -> bool:
    """Step 3, by the code on the generic MDP of three steps."""
    mdp, student, expert = symbols.mdp(3)
    gap = solve.expected_return(mdp, expert) - solve.expected_return(mdp, student)
    _, q = solve.values(mdp, expert)
    return symbols.vanishes(gap - links.visited(mdp, student, ((expert - student) * q).sum(axis=2)))


def root() -> bool:
    """Steps 5 and 6: from `sum TV^2 <= sum KL / 2`, with weights that add up to `N H`; and the bound returned."""
    return inequalities.cauchy_schwarz() and bool(
        np.isclose(bounds.return_regret(3.0, 5, 7, 2.0), 3 * np.sqrt(5 * 7) * np.sqrt(2.0 / 2), rtol=1e-15)
    )


def deterministic() -> bool:
    """Step 8: the total variation, `log x <= x - 1`, and the code's KL."""
    x, rest = sympy.symbols("x rest", positive=True)
    variation = ((1 - x) + (1 - x)) / 2  # |1 - pi(a*)| and the sum of the others, whatever their number
    student = np.array([x, rest, 1 - x - rest], dtype=object)
    kl = FORWARD_KL.value(ns.convert([1, 0, 0], "symbolic"), student, axis=0)
    return vanish(variation - (1 - x), sympy.expand_log(kl + sympy.log(x), force=True)) and inequalities.logarithm()


def games() -> bool:
    """Step 9: three rounds, with an expert who draws and with one who is sure."""
    mdp, expert = rounds.game()
    case = instances.compounding_chain(SHORT)
    drawn, certain = rounds.whole_game(mdp, expert, SHORT), rounds.whole_game(case.mdp, case.expert, SHORT)
    good = bool(drawn.lost > 0) and bool(certain.lost > 0) and bool(certain.mu == 1)
    for game, (horizon, states, actions) in ((drawn, mdp.shape), (certain, case.mdp.shape)):
        budget = float(bounds.budget(horizon, states, actions, SHORT))
        good &= bool(game.kl < budget) and bool(2 * game.lost**2 < game.mu**2 * SHORT * horizon * game.kl)
        mu, lost = (float(ns.convert([x], "float64")[0]) for x in (game.mu, game.lost))
        good &= bool(lost < bounds.return_regret(mu, SHORT, horizon, budget))
    return good and bool(certain.lost < certain.mu * certain.kl)


def slip_once(steps: int, error: Any) -> tuple[TabularMDP, Array, Array]:
    """The unforgiving chain with a student that may slip at the first step only."""
    _, mdp, student, expert, _ = instances.unforgiving_chain(steps, error)
    return mdp, np.concatenate([student[:1], expert[1:]]), expert


def without() -> bool:
    """Step 10: each in closed form."""
    good = True
    for steps in (1, 3, 6):
        mdp, student, expert = slip_once(steps, "1/7")
        link = links.links(mdp, student, expert)
        good &= bool(link.gap == link.mu * link.variation) and bool(link.gap * 7 == steps == link.mu)
    x = sympy.Symbol("x", positive=True)  # two contexts, one student: KL = -(1/2) log(x (1-x)), least at 1/2
    good &= vanish(4 * x * (1 - x) - (1 - (1 - 2 * x) ** 2), (x + (1 - x)) / 2 - sympy.Rational(1, 2))
    for n in (0, 1, 5):
        repeated = kt.predictor(ns.convert([[[n, 0]]], "rational"))[0, 0]
        good &= bool(4 * repeated[0] * repeated[1] * (n + 1) ** 2 == 2 * n + 1)  # KL = -(1/2) log(4 x (1-x))
    return bool(good)


def margin(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """The least slack of a link: span times variation, Pinsker with Cauchy-Schwarz, and those of a sure expert.

    A tiny KL that floats round to below zero is 0.
    """
    drawn, certain = (links.links(mdp, student, star) for star in (expert, links.sure(expert)))
    slacks = [
        drawn.mu * drawn.variation - drawn.gap,
        bounds.return_regret(drawn.mu, 1, mdp.shape[0], np.maximum(drawn.kl, 0)) - drawn.mu * drawn.variation,
        certain.mu * certain.variation - certain.gap,
        bounds.deterministic(certain.mu, certain.kl - certain.variation),
    ]
    return np.min(slacks, axis=0)


def holds_exactly(*parts: Array) -> bool:
    """The same links, in rationals and balls."""
    mdp, student, expert = symbols.exact_mdp(*parts)
    with ns.precision(256):
        drawn, certain = (links.links(mdp, student, star) for star in (expert, links.sure(expert)))
        good = all(bool(x.gap <= x.mu * x.variation) for x in (drawn, certain))
        same = bool(drawn.variation == 0)
        return (
            good
            and (same or bool(2 * drawn.variation**2 <= mdp.shape[0] * drawn.kl))
            and (bool(certain.variation == 0) or bool(certain.variation <= certain.kl))
        )


def attack(margin: Callable[..., Array], n: int, seed: int) -> falsify.Found:
    """Random MDPs, and a few of the chain where the factor `mu` is attained."""
    chain = [ns.convert(x, "float64") for x in links.parts(*slip_once(3, "1/7"))]
    slips = 10.0 ** -np.arange(1, 7)
    batch = [np.repeat(x[..., None], len(slips), axis=-1) for x in chain]
    batch[3][0] = np.stack([1 - slips, slips])
    transition, reward, initial, student, expert = batch
    attained = margin(TabularMDP(transition, reward, initial, batch_ndim=1), student, expert)
    return falsify.merge([rollouts.attack(margin, n, seed), falsify.smallest(attained, len(slips), *batch)])


CLAIM = Claim(
    slug="return_regret",
    number="11b",
    title="regret of distributional DAgger in return",
    statement=r"E\sum_n \big(J(\pi^*) - J(\pi_n)\big) \le \mu\sqrt{NHB/2}, \quad "
    r"\le \mu B \text{ for a deterministic expert}, \quad B = HS\big[\tfrac{A-1}{2}\log N + \log A\big]",
    assumptions=("recoverability", "unaliased student", "the student's own states", "fresh labels", "a fixed expert"),
    source="paper",
    scope="any `A`, `S`, `H`, `N`: step by step; the code on the generic MDP `H = 3`, `S = A = 2`, and on every game "
    "of three rounds of two problems, exactly",
    steps=(
        Step("labels are fresh: excess log-loss is KL, any label, and by the code", fresh, "labels counted twice"),
        Step("no fixed distribution beats hindsight", hindsight, "q_a n + n_a"),
        Step("the expert's action values on the student's states, by the code", own_states, "d of the expert"),
        Step("`|sum (p - q) Q| <= span(Q) TV`", inequalities.span_times_variation, "span for span/2"),
        Step("Pinsker's inequality", inequalities.pinsker, "2 for 3/2"),
        Step("Cauchy-Schwarz over rounds, steps and states", root, "H forgotten in return_regret"),
        Step("Jensen over the runs", inequalities.jensen_square_root, "a tangent of slope 1/sqrt(m)"),
        Step("a sure expert: `TV <= KL`", deterministic, "|1 - pi(a*)| only once"),
        Step("three rounds, every game, by the code", games, "max Q for span Q"),
        Step("without recoverability, sight or fresh labels", without, "slips at every step"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "recoverability": "where a slip costs all that is left `mu = H`, and the bound with `TV` is attained by a "
        "student that may slip at the first step only (a step)",
        "unaliased student": "two contexts that look alike and want opposite actions: every student loses `1/2` a "
        "round, and `KL >= log 2` at the best (a step)",
        "the student's own states": "claim 11e: errors `e` on the expert's states may cost `e H (H+1)/2` instead of "
        "`mu e H`",
        "fresh labels": "a fair coin tossed once and repeated: after `n` labels `KL = (1/2) log((n+1)^2/(2n+1))` "
        "(a step)",
        "a fixed expert": "claim 11d: the path that the teacher goes is added",
    },
    panel="regret_slopes.png",
    attack=attack,
)
