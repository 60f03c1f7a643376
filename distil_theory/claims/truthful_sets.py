r"""Claim 19: feedback that excludes no right answer is safe although hidden, from reverse to forward KL.

An answer is written token by token (no chance but the student's), and earns `R >= 0` at the end. Feedback, fixed before
and independent of what the student does, tells a teacher that the answer lies in a set `C`; the student sees problem
and prefix, never `C`. Let the feedback be *truthful*: every answer that earns something is in `C`, be it one of many or
almost all. The teacher is the student conditioned on `C`, token by token, trusted to a share `t`: `t pi_C + (1-t) pi`.
If `h` is concave and `h(e^x)` convex, that is, if `u f''` falls and `u^2 f''` grows, the natural local step has

.. math:: \frac{dJ}{d\eta}\Big|_0 \;\ge\; t\, f''(1)\; E\Big[ J(\text{problem}) \log\frac{1}{P_\pi(C)} \Big]
          \;\ge\; 0.

Forward KL, reverse KL (`t < 1`), every skew of Jensen-Shannon, Hellinger, alpha in [0, 1] and sums are such. Proof.
(1) Claim 1, aliased: given problem and prefix `Q` does not depend on `C`, and the covariance is linear in the score, so
hiding `C` only averages over it. `Q` being the mean of what is earned, the rate is `E_pi[ R sum_t (h(u_t) - E_pi h) ]`.
(2) `h(u) <= h(1) + h'(1)(u-1)`, as `h' = u f''` falls, and `E_pi u = 1`: so `E_pi h(u) <= h(1)`. (3) `h(u) - h(1) >=
h'(1) log u`, as `u h' = u^2 f''` grows. (4) The teacher trusted to `t` has `u' = 1 + t (u-1)`, and `log u' >= t log u`.
(5) `u_t = c_{t+1}/c_t` with `c` the probability of `C` given the prefix: the ratios multiply to `1[z in C] / P_pi(C)`
along an answer `z`, so where `R > 0` the logs add up to `log 1/P_pi(C)`. (6) The named divergences. (7) Outside the
class it is false: let the student rarely take a way that is right in 4 of 5 cases, and mostly one that earns nothing
but agrees with the feedback. Pearson and total variation lower the return, and so do the plain gradient and looking
ahead with forward KL. Neyman does, if that way first loses most of its chance. (8) Sums, programs for a stack machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy

from distil_theory import divergences as div
from distil_theory import experts, objectives, solve
from distil_theory import number_systems as ns
from distil_theory.claims import symbols
from distil_theory.claims.answer_sets import LOST, RARE, attack, exactly, slack, written
from distil_theory.claims.claim import Claim, Step
from distil_theory.claims.truthful_lookahead import ANY
from distil_theory.instances.stack_machine import DOUBLE, stack_machine
from distil_theory.instances.token_sum import token_sum
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP
from distil_theory.three_points import PI, STAR, K, R, cov, total, vanish

TRIED = (div.FORWARD_KL, div.REVERSE_KL, div.JENSEN_SHANNON, div.HELLINGER, div.alpha(0.25), div.alpha(0.75),
         div.skewed_js(0.25), div.generalized_js(0.125))  # fmt: skip
U, TRUST, X = sympy.symbols("u t x", positive=True)
SCORE = sympy.Function("h")


def symbolic_tree(agree: Any) -> tuple[TabularMDP, TabularMDP, Array]:
    """Two tokens of two kinds: student, rewards and the law of two values of the feedback are symbols."""
    rows = np.array([symbols.row(f"p{i}_", 2) for i in range(3)], dtype=object)
    paid, law = np.array(sympy.symbols("r1:5"), dtype=object), np.array(symbols.row("w", 2), dtype=object)
    return written(rows, paid, ns.convert(agree, "symbolic"), law)


def along(student: Array, ratio: Array, start: int) -> list[list[tuple[Any, Array, Array]]]:
    """Per answer of two tokens, from the first state of a value: `(u, rows of pi and of u)` at each token."""
    path = []
    for a, b in np.ndindex(2, 2):
        where = ((0, start, a), (1, start + 1 + a, b))
        path.append([(ratio[h, s, x], student[h, s], ratio[h, s]) for h, s, x in where])
    return path


def averages() -> bool:
    """Step 1, any score and any teacher, by the code on the symbolic tree; and any number of tokens and values."""
    mdp, _, pi = symbolic_tree([[1] * 4] * 2)
    rows = np.array([symbols.row(f"q{i}_", 2) for i in range(6)] + [[sympy.Rational(1, 2)] * 2], dtype=object)
    star, total_rate = np.broadcast_to(rows, pi.shape), sympy.S.Zero
    for value in range(2):
        for z, path in enumerate(along(pi, star / pi, 3 * value)):
            chance, score = mdp.initial[3 * value], sympy.S.Zero
            for (u, p, us), token in zip(path, divmod(z, 2), strict=True):
                chance, score = chance * p[token], score + ANY.h(np.array([u]))[0] - (p * ANY.h(us)).sum()
            total_rate += chance * mdp.reward[1, 3 * value + 1 + z // 2, z % 2] * score
    rate = symbols.only(objectives.improvement_rate(mdp, pi, star, ANY))
    mean, weight, other = sympy.symbols("mean w other")
    centred = total(PI * R * K) - mean * total(PI * R)
    linear = cov(R, weight * K + (1 - weight) * other) - weight * cov(R, K)
    return symbols.vanishes(rate - total_rate) and vanish(centred.subs(mean, total(PI * K)) - cov(R, K), linear)


def jensen() -> bool:
    """Step 2: the distance to the tangent at 1 vanishes there, its slope `h'(1) - h'(u)` has the sign of `u - 1`; and
    the mean of `u - 1` is 0, any number of tokens."""
    slope = sympy.Symbol("slope")  # h'(1)
    above = SCORE(1) + slope * (U - 1) - SCORE(U)
    return vanish(
        above.subs(U, 1), above.diff(U) - (slope - SCORE(U).diff(U)), total(sympy.expand(PI * (STAR / PI - 1)))
    )


def in_logs() -> bool:
    """Step 3: the same in `x = log u`: the slope is `u h'(u) - h'(1)`."""
    x, slope = sympy.Symbol("x", real=True), sympy.Symbol("slope")
    above = SCORE(sympy.exp(x)) - SCORE(1) - slope * x
    found = above.diff(x).doit().subs(x, sympy.log(U)).doit()
    return vanish(above.subs(x, 0)) and vanish(found - (U * SCORE(U).diff(U) - slope))


def partly_trusted() -> bool:
    """Step 4: `log u' - t log u` vanishes at 1, and its slope has the sign of `u - 1` for `0 <= t <= 1`."""
    mixed = 1 + TRUST * (U - 1)
    above = sympy.log(mixed) - TRUST * sympy.log(U)
    return above.subs(U, 1) == 0 and vanish(above.diff(U) - TRUST * (1 - TRUST) * (U - 1) / (U * mixed))


def telescopes() -> bool:
    """Step 5, by the code for every set `C` of the symbolic tree; and any length."""
    fine = True
    for first in range(1, 16):
        agree = [[first >> z & 1 for z in range(4)], [1] * 4]
        _, judged, pi = symbolic_tree(agree)
        ratio = experts.success_conditioned(judged, pi) / pi
        whole = solve.values(judged, pi)[0][0]
        for value, sets in enumerate(agree):
            for inside, path in zip(sets, along(pi, ratio, 3 * value), strict=True):
                fine &= symbols.vanishes(path[0][0] * path[1][0] * whole[3 * value] - inside)
    k, c = sympy.Symbol("k", integer=True, nonnegative=True), sympy.Function("c")
    product = c(k) / c(0)
    return fine and symbols.vanishes(product * c(k + 1) / c(k) - product.subs(k, k + 1)) and product.subs(k, 0) == 1


def members() -> bool:
    """Step 6: `h'` falls and `u h'` grows, with `h'(1) = f''(1)`: the code at u, and two families for any parameter."""
    share = X / (1 + X)
    families = [U**share / share, sympy.log(1 + X * U) * (1 + X) / X]
    coded = [d.h(np.array([U], dtype=object))[0] for d in TRIED]
    units = [sympy.nsimplify(d.unit) - h.diff(U).subs(U, 1) for d, h in zip(TRIED, coded, strict=True)]

    def inside(h: Any) -> bool:
        bend, growth = (sympy.simplify(e) for e in (-h.diff(U, 2), (U * h.diff(U)).diff(U)))
        return bool(bend.is_nonnegative and growth.is_nonnegative)

    outside = [d.h(np.array([U], dtype=object))[0] for d in (div.PEARSON, div.NEYMAN)]
    return vanish(*units) and all(map(inside, [*families, *coded])) and not any(map(inside, outside))


def outside() -> bool:
    """Step 7, by the code: exact rates below 0, although the teacher is better; with forward KL above 0."""
    rare, lost = exactly(*RARE, "1"), exactly(*LOST, "99/100")
    cases = ((rare, div.PEARSON, "natural"), (rare, div.TOTAL_VARIATION, "natural"), (lost, div.NEYMAN, "natural"),
             (rare, div.FORWARD_KL, "euclidean"))  # fmt: skip
    fine = all(bool(objectives.improvement_rate(*case, d, geometry) < 0) for case, d, geometry in cases)
    for mdp, pi, star in (rare, lost):
        better = solve.expected_return(mdp, star) > solve.expected_return(mdp, pi)
        fine &= bool(better) and bool(objectives.improvement_rate(mdp, pi, star, div.FORWARD_KL) > 0)
    mdp, (pi, star) = rare[0].convert("ball"), (ns.convert(x, "ball") for x in rare[1:])
    return fine and bool(objectives.improvement_rate(mdp, pi, star, div.FORWARD_KL, part="full") < 0)


def not_negative(*instance: Any) -> bool:
    """No slack of the tried divergences, in balls; one around zero narrower than 1e-30 counts as zero.

    A teacher that is trusted entirely has zeros, which reverse KL does not take.
    """
    with ns.precision(256):
        mdp, judged = (x.convert("ball") for x in instance[:2])
        pi, trust = (ns.convert(x, "ball") for x in instance[2:])
        found = [
            symbols.only(slack(mdp, judged, pi, trust, d)) for d in TRIED if trust < 1 or not d.needs_expert_support
        ]
        return all(bool(x >= 0) or bool(x.contains(0) and x.rad() < 1e-30) for x in found)


def games() -> bool:
    """Step 8, by the code, in balls: both token games, for a student that prefers some tokens."""
    instructions, fine, sure = ("DUP", "ADD", "NOP"), True, ns.convert("1", "rational")
    for game in (
        *(token_sum(2, 1, [(0, 1), (1, 1)], kind, numbers="rational") for kind in ("answer", "trace", "outcome")),
        *(stack_machine((DOUBLE,), instructions, 3, kind, numbers="rational") for kind in ("answer", "trace")),
    ):
        tokens = game.tree.tokens

        def likes(problem: int, prefix: tuple[int, ...], tokens: int = tokens) -> list[Any]:
            liked = [1 + (3 * a + 5 * sum(prefix) + 2 * len(prefix) + problem) % 4 for a in range(tokens)]
            return [f"{x}/{sum(liked)}" for x in liked]

        parts = game.mdp, game.judged, game.policy(likes)
        fine &= not_negative(*parts, sure * 9 / 10) and not_negative(*parts, sure)
    return fine


def margin(student: Array, paid: Array, agree: Array, law: Array, trust: Array) -> Array:
    """The least slack over the tried divergences, relative to the return."""
    mdp, judged, pi = written(student, paid, agree, law)
    earned = solve.expected_return(mdp, pi)
    found = [slack(mdp, judged, pi, trust, divergence) for divergence in TRIED]
    return np.min(found, axis=0) / np.where(earned > 0, earned, 1)


def holds_exactly(student: Array, paid: Array, agree: Array, law: Array, trust: Array) -> bool:
    """The same for one instance, in balls."""
    rows, law = student / student.sum(axis=1, keepdims=True), law / law.sum()
    return not_negative(*written(rows, paid, agree, law), trust)


CLAIM = Claim(
    slug="truthful_sets",
    number="19",
    title="feedback that excludes no right answer is safe, though hidden",
    statement=r"R > 0 \Rightarrow z \in C,\; u f'' \text{ falls},\; u^2 f'' \text{ grows} \;\Rightarrow\; "
    r"\frac{dJ}{d\eta}\Big|_0 \ge t\, f''(1)\, E\Big[J \log\tfrac{1}{P_\pi(C)}\Big] \ge 0",
    assumptions=(
        "feedback excludes no right answer",
        "what is right does not depend on the feedback",
        "the present student conditioned on it",
        "`h` concave, `h(e^x)` convex",
        "no chance but the student's",
        "`R >= 0`, at the end",
        "natural step",
        "local gradient",
    ),
    source="ours",
    scope="any length, vocabulary, problems and feedback (token by token), any twice differentiable `f` of the "
    "class; the code: the tree of two tokens of two kinds with two values of the feedback, any score, and"
    " both token games",
    steps=(
        Step(
            "the rate is `E[R sum (h - E h)]`, hidden or not, by the code, any score",
            averages,
            "belief of another state",
        ),
        Step("`E h(u) <= h(1)` if `h'` falls, any number of tokens", jensen, "E u = 0"),
        Step("`h(u) - h(1) >= h'(1) log u` if `u h'` grows", in_logs, "h'(u) for u h'(u)"),
        Step("`log(1 + t (u-1)) >= t log u`", partly_trusted, "1 - t for t"),
        Step(
            "the ratios multiply to `1[z in C]/P(C)`, by the code, every `C`; any length", telescopes, "Q/V without pi"
        ),
        Step("the class: `alpha in [0,1]`, every skew of JS, by the code; not Pearson, not Neyman", members, "h = u^2"),
        Step("outside the class, and in other steps, it fails, by the code", outside, "1/5 for 4/5 in RARE"),
        Step("sums and programs, in balls", games, "feedback `solution`"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "feedback excludes no right answer": "shown_program_reverse_kl.json",
        "what is right does not depend on the feedback": "success_aliased.json",
        "the present student conditioned on it": "lagged_teacher.json",
        "`h` concave, `h(e^x)` convex": "set_pearson_chi2.json",
        "no chance but the student's": "set_chance.json",
        "`R >= 0`, at the end": "an answer that costs something may agree with the feedback: then the teacher is worse",
        "natural step": "set_euclidean.json",
        "local gradient": "set_ahead.json",
    },
    panel="future_credit_hints.png",
    attack=attack,
)
