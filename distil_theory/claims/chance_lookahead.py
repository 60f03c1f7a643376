r"""Claim 18b: with chance, no f-divergence is safe to look ahead with, not even with a truthful teacher.

Let `f` be convex on `(0, inf)`, `f(1) = 0`, and not a multiple of `u - 1`. Then some problem, with the reward at the
end and the teacher of claim 9, the student conditioned on success, has a better expert, and

.. math:: \frac{dJ}{d\eta}\Big|_0 \;\le\; -\tfrac{1}{32}\, \delta\, n\, c \;<\; 0

for the natural step on the full objective. It is the doubtful branch of `instances.doubt`: a fair coin after `left`
leads to a sure 1 or to `n` tokens at a stake `q`, `right` earns `b = (1+q)/2 - delta`. In the branch the ratios
teacher/student are `x` and `y` with probabilities `p` and `1 - p`, at every token. Write `c = p f(x) + (1-p) f(y)` for
the disagreement at a token and `K = Cov_pi(u, h(u))` there.

Proof. (1) By claim 1 with the score `h(u) - Q^c` the rate is

    (delta/4) [ h(u_left) - h(u_right) ]  +  (n/4) q K  -  (delta/8) n c.

The first term is what the fork learns from its teacher, the second what the tokens learn, the third the fork's share
of the disagreement ahead: it is charged to `left`, though the coin sent the student there. (2) One more token adds `q
K/4 - delta c/8`: the ratios have mean 1, so the branch is worth `q` before every token; and the disagreement still to
come is the same after either token. (3) Ratios at the fork are `1 + e` and `1 - e` with `e = delta/(2 V) <= delta/(1 -
delta)`: as `delta` falls the first bracket falls to the jump of `h` at 1, which is 0 for a smooth `f`. Choose `n` with
`n c` at least eight times the jump, then `delta` so small that the bracket is at most `n c/4`, then `q` so small that
`q K <= delta c/8`. (4) With these the rate is at most `delta n c (1/16 + 1/32 - 1/8)`. (5) There are ratios with `c >
0`: it is a positive multiple of the difference of the slopes of `f` from 1 to `x` and from 1 to `y`, and `f` is a line
if these are all equal. (6) The expert is better: claim 9.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import sympy

from distil_theory import experts, falsify, instances, objectives, solve
from distil_theory import number_systems as ns
from distil_theory.claims import symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.claims.truthful_lookahead import ANY, F, H
from distil_theory.divergences import CATALOGUE, TOTAL_VARIATION, FDivergence
from distil_theory.instances.doubt import doubtful_problem
from distil_theory.number_systems import Array

SMOOTH = tuple(d for d in CATALOGUE if d is not TOTAL_VARIATION)
"""One token is enough for these."""


def by_the_code(n: int) -> bool:
    """Step 1 with `n` tokens, any `f` and `h`, any `p`, `x`, `q` and `b`."""
    p, x, q, b = sympy.symbols("p x q b", positive=True)
    y = sympy.cancel((1 - p * x) / (1 - p))
    token, ratio, stake, right = (np.array(z, dtype=object) for z in ([p, 1 - p], [x, y], q, b))
    mdp, pi = doubtful_problem(token, ratio, stake, right, n)
    u = np.frompyfunc(sympy.factor, 1, 1)(experts.success_conditioned(mdp, pi) / pi)
    rate = symbols.only(objectives.improvement_rate(mdp, pi, pi * u, ANY, part="full"))
    delta, left = (1 + q) / 2 - b, u[0, 0]
    c, k = p * F(x) + (1 - p) * F(y), p * (x - 1) * H(x) + (1 - p) * (y - 1) * H(y)
    claimed = delta / 4 * (H(left[0]) - H(left[1])) + n * q * k / 4 - delta * n * c / 8
    certain = {F(1): 0}
    return symbols.vanishes((rate - claimed).subs(certain)) and all(
        symbols.vanishes(u[1 + k, 1 + good] - [x, y]) for k in range(n) for good in range(k + 1)
    )


def one_more_token() -> bool:
    """Step 2: from `V` before a token, its values `V x` and `V y` after it have mean `V` and covariance `V K` with
    `h`. The student gets to the branch with probability 1/4, from `left` with 1/2: what the fork is charged for another
    token is the covariance of `(b + delta, b)` with `(c/2, 0)`."""
    p, x, v, b, c, delta = sympy.symbols("p x V b c delta", positive=True)
    y, score = (1 - p * x) / (1 - p), (H(x), H(sympy.Symbol("y")))

    def cov(a: tuple[sympy.Expr, ...], b: tuple[sympy.Expr, ...], p: sympy.Expr = p) -> sympy.Expr:
        mean = p * a[0] + (1 - p) * a[1]
        return p * (a[0] - mean) * b[0] + (1 - p) * (a[1] - mean) * b[1]

    worth = p * (v * x) + (1 - p) * (v * y)
    moved = cov((v * x, v * y), score) - v * cov((x, y), score)
    charged = cov((b + delta, b), (c / 2, sympy.S.Zero), sympy.Rational(1, 2))
    return symbols.vanishes([worth - v, moved, charged - delta * c / 8])


def fork() -> bool:
    """Step 3: `u = 1 + e` and `1 - e` at the fork with `e = delta/(2 V)`; with `q >= 0`, `2 V = 1 + q - delta` is at
    least `1 - delta`."""
    delta, q = sympy.symbols("delta q", positive=True)
    left = (1 + q) / 2
    v = (left + left - delta) / 2
    e = delta / (2 * v)
    smaller = delta / (1 - delta) - e - delta * q / ((1 - delta) * (1 + q - delta))
    return symbols.vanishes([left / v - 1 - e, (left - delta) / v - 1 + e, 2 * v - (1 - delta) - q, smaller])


def adds_up() -> bool:
    """Step 4: with a bracket `n c/4 - s` and `q K = delta c/8 - t`, the rate is `-delta n c/32 - delta s/4 - n t/4`."""
    delta, n, c, s, t = sympy.symbols("delta n c s t", nonnegative=True)
    rate = delta / 4 * (n * c / 4 - s) + n / 4 * (delta * c / 8 - t) - delta / 8 * n * c
    return symbols.vanishes(rate + delta * n * c / 32 + delta * s / 4 + n * t / 4)


def disagreement() -> bool:
    """Step 5: with mean ratio 1, `c (x - y) = (1 - y)(x - 1) [ f(x)/(x-1) - f(y)/(y-1) ]`."""
    x, y = sympy.symbols("x y", positive=True)
    p = (1 - y) / (x - y)
    slopes = F(x) / (x - 1) - F(y) / (y - 1)
    return symbols.vanishes((p * F(x) + (1 - p) * F(y)) * (x - y) - (1 - y) * (x - 1) * slopes)


def total_variation() -> bool:
    """The code, exactly: with three tokens total variation falls as well, with one it rises."""
    rates = []
    for n in (1, 3):
        _, mdp, student, expert, _ = instances.doubtful_branch(n)
        rates.append(objectives.improvement_rate(mdp, student, expert, TOTAL_VARIATION, part="full"))
    return bool(rates[0] > 0) and bool(rates[1] < 0)


def tokens(student: Array, expert: Array) -> tuple[Array, Array]:
    """Two tokens with probabilities in [1/100, 99/100] from the first action of a bandit, and the ratios there."""
    p, star = ((1 + 98 * x[0] / x.sum(axis=0)) / 100 for x in (student, expert))
    star = ns.where(abs(star - p) * 100 < 1, (1 + 2 * p) / 4, star)  # near copies disagree about nothing
    star = ns.where(abs(star - p) * 100 < 1, (2 + p) / 4, star)
    token = ns.stack([p, 1 - p])
    return token, ns.stack([star, 1 - star]) / token


def recipe(token: Array, ratio: Array, divergence: FDivergence) -> tuple[Array, Array, Array]:
    """Step 3 in floats, one token: `c`, and powers of two `e = delta/(1 - delta)` and `q`."""
    h, c = divergence.h(ratio), divergence.value(token * ratio, token, axis=0)
    cov = (token * (ratio - 1) * h).sum(axis=0)
    e = c * 0 + 0.5
    for _ in range(24):
        e = np.where(divergence.h(1 + e) - divergence.h(1 - e) > c / 4, e / 2, e)
    return c, e, 2.0 ** (np.floor(np.log2(e / (1 + e) * c / (8 * cov))) - 1)


def fall(token: Array, ratio: Array, e: Array, q: Array, divergence: FDivergence) -> tuple[Array, Array]:
    """Minus the rate of the full objective over `delta`, and the gap `J* - J` over `delta`, by the code."""
    delta = e / (1 + e)
    mdp, pi = doubtful_problem(token, ratio, q, (1 + q) / 2 - delta)
    star = experts.success_conditioned(mdp, pi)
    rate = objectives.improvement_rate(mdp, pi, star, divergence, part="full")
    gap = solve.expected_return(mdp, star) - solve.expected_return(mdp, pi)
    return -rate / delta, gap / delta


def margin(reward: Array, student: Array, expert: Array) -> Array:
    """The least over smooth divergences of the fall minus `c/32`, relative to `c`, and of the gap; rewards are not
    used."""
    token, ratio = tokens(student, expert)
    least = np.full(student.shape[1:], np.inf)
    for divergence in SMOOTH:
        c, e, q = recipe(token, ratio, divergence)
        falls, gap = fall(token, ratio, e, q, divergence)
        least = np.minimum(least, np.minimum(falls / c - 1 / 32, gap))
    return least


def attack(margin: Callable[..., Array], n: int, seed: int) -> falsify.Found:
    """Two actions say all; an instance takes six small MDPs, so a tenth as many are drawn."""
    return falsify.bandits(margin, n // 10, seed, sizes=(2,))


def holds_exactly(reward: Array, student: Array, expert: Array) -> bool:
    """The same in balls."""
    token, ratio = tokens(student, expert)
    with ns.precision(256):
        pi, u = (ns.convert(x, "ball") for x in (token, ratio))
        for divergence in SMOOTH:
            _, e, q = recipe(ns.convert(token, "float64")[:, None], ns.convert(ratio, "float64")[:, None], divergence)
            falls, gap = fall(pi, u, ns.convert(e[0], "ball"), ns.convert(q[0], "ball"), divergence)
            c = divergence.value(pi * u, pi, axis=0)
            if not (bool(symbols.only(falls - c / 32) >= 0) and bool(symbols.only(gap) > 0)):
                return False
    return True


CLAIM = Claim(
    slug="chance_lookahead",
    number="18b",
    title="with chance, no divergence is safe to look ahead with",
    statement=r"f \ne c\,(u-1) \Rightarrow \exists\, P, R, \pi:\ \pi^* = \pi Q^\pi/V^\pi,\ J^* > J \text{ and } "
    r"\frac{dJ}{d\eta}\Big|_0 < 0 \text{ for } L = E_\pi \sum_h D_f(\pi^*\|\pi)",
    assumptions=("`f` is no multiple of `u - 1`", "chance"),
    source="ours",
    scope="any convex `f`; the rate by the code with 1 and 2 tokens, any `f` and `h`, then by induction",
    steps=(
        Step("the rate with one token, by the code, any `f`", lambda: by_the_code(1), "add Q^c to the score"),
        Step("the rate with two tokens, by the code, any `f`", lambda: by_the_code(2), "stakes that grow"),
        Step("one more token adds `q K/4 - delta c/8`, any `n`", one_more_token, "ratios whose mean is not 1"),
        Step("the fork's ratios are `1 + e` and `1 - e`, `e <= delta/(1 - delta)`", fork, "e = delta/V"),
        Step("the three terms are at most `-delta n c/32`", adds_up, "q K <= delta c"),
        Step("`c > 0` for some ratios, unless `f` is a line", disagreement, "slopes from 0 instead of 1"),
        Step("total variation jumps: three tokens, by the code", total_variation, "one token"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "`f` is no multiple of `u - 1`": "then every disagreement is 0, and nothing moves",
        "chance": "divergence_ahead.json",
    },
    panel="future_credit_steps.png",
    attack=attack,
)
