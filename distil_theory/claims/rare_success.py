r"""Claim 21c: local forward cross-entropy works hardest where success is rarest; what that costs, sharp.

The teacher of claim 9, the present student conditioned on success, `pi* = pi Q/V`; the natural step on the local
forward cross-entropy. Weigh each state by `s^2(h, s) = d_h(s) Var_pi Q_h(s, .)`, by how much the student's choice
matters there, and let `m` and `M` be the least and the largest `V` where it matters. The efficiency of claim 21 is

.. math:: e = \frac{E_{s^2}[1/V]}{\sqrt{E_{s^2}[1/V^2]}} \;\ge\; \frac{2 \sqrt{m M}}{m + M}

and it is 1 iff `V` is the same wherever the choice matters: always in a bandit, where forward cross-entropy *is* the
policy gradient. The bound is attained, even by right and wrong answers: one prompt of success `m` and one of success
`M`, met in the proportion `(1-M) : (1-m)`. So nothing but the ratio `m/M` keeps `e` from 0. It is the relative
advantage `A/V` that is learnt: where success is rare, a little of it is a large multiple.

Proof. (1) The direction is `u - 1 = A/V`, and 0 where `V = 0`: `<g, A>`, `|g|^2` and `|A|^2` are the sums of `s^2/V`,
`s^2/V^2` and `s^2`. (2) `E x^2 - (E x)^2` is the variance of `x = 1/V`. (3) For `a <= x <= b`, `(x - a)(b - x) >= 0`,
so `E x^2 <= (a + b) E x - a b =: y`, and `(a + b)^2 (E x)^2 - 4 a b y = ((a + b) E x - 2 a b)^2`: Kantorovich's
inequality. (4) Equality wants only `a` and `b` to occur, with `E x = 2 a b/(a + b)`: the two prompts, by the code.
(5) Weighted by `V` the direction is `A` (claim 21b); by `V^k`, `V^(k-1) A`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import sympy

from distil_theory import efficiency, experts, solve, updates
from distil_theory import number_systems as ns
from distil_theory.claims import rollouts, symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.claims.success_bound import paid_at_the_end
from distil_theory.claims.truthful_lookahead import tree
from distil_theory.divergences import FORWARD_KL
from distil_theory.falsify import Found, merge, smallest
from distil_theory.number_systems import Array
from distil_theory.spec import Bandit, TabularMDP
from distil_theory.three_points import PI, R, total, vanish

SHAPES = ((3, 3, 2), (2, 3, 3), (1, 2, 2))
"""`(H,S,A)`; the last are pairs of prompts near those that attain the bound."""
LOW, HIGH = sympy.symbols("m M", positive=True)


def two_prompts(low: Array, high: Array, right: Array | None = None) -> tuple[Array, ...]:
    """Reward, start and student of prompts with success `low` and `high`, one right answer each, that attain the bound.

    `right` is the chance of the first prompt, if another than `(1 - M)/(2 - m - M)`.
    """
    first = (1 - high) / (2 - low - high) if right is None else right
    zero = low * 0
    reward = np.array([[zero + 1, zero]] * 2)[None]
    return reward, np.array([first, 1 - first]), np.array([[low, 1 - low], [high, 1 - high]])[None]


def prompts(low: Array, high: Array) -> tuple[TabularMDP, Array]:
    """Those of `two_prompts` as one problem and its student."""
    reward, start, student = two_prompts(low, high)
    return Bandit(reward[0], start), student


def parts(mdp: TabularMDP, student: Array) -> tuple[efficiency.Efficiency, Array, Array]:
    """The efficiency by the library; `s^2` and `V`, `(H,S,*B)`."""
    v, q = solve.values(mdp, student)
    mattering = solve.occupancy(mdp, student) * (student * (q - v[:, :, None]) ** 2).sum(axis=2)
    star = experts.success_conditioned(mdp, student)
    return efficiency.of_objective(mdp, student, star, FORWARD_KL), mattering, v


def sums() -> bool:
    """Step 1, the code: the direction on the generic MDP that pays at the end, the sums on the generic tree."""
    mdp, pi = paid_at_the_end()
    v, star = solve.values(mdp, pi)[0], experts.success_conditioned(mdp, pi)
    ok = symbols.vanishes(
        v[:, :, None] * updates.direction(mdp, pi, star, FORWARD_KL) - efficiency.natural_policy_gradient(mdp, pi)
    )
    found, weight, v = parts(*tree())
    weight, v = weight[weight != 0], v[weight != 0]
    wanted = [(weight / v**k).sum() for k in (1, 2, 0)]
    return ok and symbols.vanishes([x - y for x, y in zip(found, wanted, strict=True)])


def variance() -> bool:
    """Step 2, any number of states."""
    mean, square = total(PI * R), total(PI * R**2)
    return vanish(total(PI * sympy.expand((R - mean) ** 2)) - (square - mean**2))


def kantorovich() -> bool:
    """Step 3: the mean of `(x - a)(b - x)`, and the square."""
    a, b, x, square = sympy.symbols("a b Ex Exx")
    mean = sympy.expand((R - a) * (b - R)).subs(R**2, square).subs(R, x)
    y = (a + b) * x - a * b
    return symbols.vanishes(mean - (y - square)) and symbols.vanishes(
        (a + b) ** 2 * x**2 - 4 * a * b * y - ((a + b) * x - 2 * a * b) ** 2
    )


def attained() -> bool:
    """Step 4, the code on the two prompts, any `m` and `M`; and 3/5 for `m = 1/10`, `M = 9/10`."""
    found = parts(*prompts(LOW, HIGH))[0]
    ok = symbols.vanishes(found.squared.subs(sympy.Abs(found.rate), found.rate) - bound(LOW, HIGH))
    low, high = map(symbols.rational, ("1/10", "9/10"))
    return ok and bool(parts(*prompts(low, high))[0].value == symbols.rational("3/5"))


def weighted() -> bool:
    """Step 5, the code on the generic MDP: weights `V^k` give `V^(k-1) A`."""
    mdp, pi = paid_at_the_end()
    v, star = solve.values(mdp, pi)[0], experts.success_conditioned(mdp, pi)
    weight, ok = parts(mdp, pi)[1], True
    for k in (1, 2):
        found = efficiency.of_objective(mdp, pi, star, FORWARD_KL, weight=v**k)
        wanted = [(weight * v ** (n * (k - 1))).sum() for n in (1, 2)]
        ok &= symbols.vanishes([x - y for x, y in zip(found, wanted, strict=False)])  # the third is |A|^2
    return ok


def bound(low: Array, high: Array) -> Array:
    """The square of the bound."""
    return 4 * low * high / (low + high) ** 2


def checks(mdp: TabularMDP, student: Array) -> tuple[Array, Array, Array]:
    """`e^2`, the formula's, and the square of the bound; all 1 where nothing matters."""
    found, weight, v = parts(mdp, student)
    matters = weight > 0
    x = 1 / ns.where(matters, v, v * 0 + 1)
    first, second = ((weight * x**k).sum(axis=1).sum(axis=0) for k in (1, 2))
    void = found.best == 0
    one = found.best * 0 + 1
    formula = ns.where(void, one, first**2 / ns.where(void, one, second * found.best))
    exact = ns.where(void, one, found.rate**2 / ns.where(void, one, found.moved * found.best))
    lowest, highest = (
        sign * ns.amax(ns.where(matters, sign * v, v * 0 - 1).reshape(-1, *v.shape[2:]), 0) for sign in (-1, 1)
    )
    return exact, formula, ns.where(void, one, bound(*(ns.where(void, one, y) for y in (lowest, highest))))


def margin(mdp: TabularMDP, student: Array) -> Array:
    """The least of `e^2` minus the bound, `1 - e^2`, and of the error of the formula."""
    exact, formula, least = checks(mdp, student)
    return np.min([exact - least, 1 - exact, -abs(exact - formula)], axis=0)


def holds_exactly(transition: Array, reward: Array, initial: Array, student: Array) -> bool:
    """The same for one problem, in rationals."""
    mdp, student, _ = symbols.exact_mdp(transition, reward, initial, student, student)
    exact, formula, least = checks(mdp, student)
    return bool(least <= exact) and bool(exact <= 1) and bool(exact == formula)


def draw(rng: np.random.Generator, shape: tuple[int, int, int], n: int) -> tuple[np.ndarray, ...]:
    """Transition, reward, initial and student of `n` problems that pay at the end: right or wrong, or a chance of it.

    Half of them without chance. Of the last shape: pairs of prompts near the sharp ones.
    """
    p, r, rho, pi, _ = rollouts.draw(rng, shape, n)
    if shape == SHAPES[-1]:
        low, high = np.sort(10 ** rng.uniform(-3, -1e-3, (2, n)), axis=0)
        near = 10 ** rng.uniform(-9, 0, n) * rng.uniform(-0.5, 0.5, n)
        first = (1 - high) / (2 - low - high)
        r, rho, pi = two_prompts(low, high, first * (1 - near * (1 - first)))
        return p, r, rho, pi
    sure = rng.random(n) < 0.5
    p = np.where(sure, p == p.max(axis=3, keepdims=True), p)
    r[:-1] = 0
    r[-1] = np.where(rng.random(n) < 0.5, r[-1] > 0, r[-1] ** 2 / (1 + r[-1] ** 2))
    return p, r, rho, pi


def attack(margin: Callable[..., Array], n: int, seed: int) -> Found:
    """The smallest margin over problems of `SHAPES`, a tenth of `n` in all."""
    found: list[Found] = []
    left = -(-n // (10 * len(SHAPES)))
    for shape in SHAPES:
        for start in range(0, left, rollouts.BLOCK):
            rng, size = np.random.default_rng([seed, *shape, start]), min(rollouts.BLOCK, left - start)
            p, r, rho, pi = draw(rng, shape, size)
            values = margin(TabularMDP(p, r, rho, batch_ndim=1), pi)
            found = [merge([*found, smallest(values, size, p, r, rho, pi)])]
    return found[0]


CLAIM = Claim(
    slug="rare_success",
    number="21c",
    title="local forward cross-entropy works hardest where success is rarest",
    statement=r"\pi^* = \pi Q^\pi/V^\pi \Rightarrow e = \frac{E_{s^2}[1/V]}{\sqrt{E_{s^2}[1/V^2]}} \ge "
    r"\frac{2\sqrt{mM}}{m+M}, \quad s^2 = d\,\mathrm{Var}_\pi Q, \; m \le V \le M",
    assumptions=(
        "truthful feedback on the present student",
        "forward cross-entropy",
        "natural step",
        "unaliased student",
        "local gradient",
        "`m <= V <= M`",
    ),
    source="ours",
    scope="any `H`, `S`, `A`: state by state; the code: the generic MDP `H = S = A = 2` paid at the end, two prompts "
    "of any success",
    steps=(
        Step("the three sums of `s^2`, by the code", sums, "Q/V without pi in experts"),
        Step("`E x^2 - (E x)^2` is the variance, any number of states", variance, "mean for the square"),
        Step("Kantorovich's inequality", kantorovich, "a b for 4 a b"),
        Step("two prompts attain it, by the code, any `m` and `M`", attained, "equal weights"),
        Step("weights `V^k` give `V^(k-1) A`, by the code", weighted, "weight ignored in Point.weighted"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "truthful feedback on the present student": "state_weights.json",
        "forward cross-entropy": "efficiency_chances_reverse_kl.json",
        "natural step": "plain_policy_gradient.json",
        "unaliased student": "success_aliased.json",
        "local gradient": "chance_ahead.json",
        "`m <= V <= M`": "efficiency_sharp.json",
    },
    panel="efficiency_curve.png",
    attack=attack,
)
