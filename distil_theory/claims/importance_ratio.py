r"""Claim 16: local forward cross-entropy is the first-order expansion of the importance ratio.

Along a rollout of the student let `u_h = pi*/pi`, `S = sum_h (u_h - 1)`, `Lambda = prod_h u_h`, and `R` the total
reward. For the natural step on the local loss

.. math:: \frac{dJ}{d\eta}\Big|_0 = E_\pi[S R], \qquad J(\pi^*) - J(\pi) = E_\pi[(\Lambda - 1) R],

and if `E_pi (u-1)^2 <= chi2` in every state that is visited and `0 <= R <= 1`, then

.. math:: \Big|\frac{dJ}{d\eta}\Big|_0 - (J^* - J)\Big| \le \tfrac12 \sqrt{(1+\chi^2)^H - 1 - H\chi^2}.

So a local step is safe once the gap exceeds the right side, about `chi2 sqrt(H (H-1) / 8)`. (Rewards with
`lo <= R <= hi`: times `hi - lo`.) Proof. Write `x = u - 1`; in each state `E_pi x = sum_a (pi* - pi) = 0` (1), so `S`
and `Lambda - 1` have mean 0 from any state on. (2) For `X_h(s) = E_pi[S R | s_h = s]`, of what is still to come, one
step is `(x + S')(r + R')`, of mean `x (r + V') + X'`: hence `X_h = E_{pi*} A_h + P_pi X_{h+1}`, the recursion of
`sum_h E_{d_h} E_{pi*} A`, which is the rate (claim 1 with `h(u) = u`). What was earned before `h` has covariance 0 with
`x_h`. (3) For `Lambda R` one step is `u Lambda' (r + R')`, of mean `u (r + V*')`: with `pi u = pi*`, Bellman's equation
of the expert. (4) The code. (5) `M_h = Lambda_h - 1 - S_h`, of the first `h` steps, has `M_{h+1} - M_h = (Lambda_h - 1)
x_h`. (6) So, with `v = E x^2` given the past, `E M_{h+1}^2 = E M_h^2 + E[(Lambda_h - 1)^2 v]`, and `E Lambda_{h+1}^2 =
E[Lambda_h^2 (1 + v)]`. (7) With `v <= chi2`, by induction from 1 and 0, `E Lambda_h^2 <= (1+chi2)^h`, and as
`E (Lambda_h - 1)^2 = E Lambda_h^2 - 1`, `E M_h^2 <= (1+chi2)^h - 1 - h chi2`. (8) `E M = 0`, so `E[M R] =
E[M (R - 1/2)]`, where `(R - 1/2)^2 = 1/4 - R (1 - R) <= 1/4`; Cauchy-Schwarz is the mean of the square `(M - t Y)^2`
at `t = E[M Y] / E[Y^2]`, `Y = R - 1/2`. (9) Attained for two steps: a fair coin each, `u = 1 +- x`, reward 1 if both
fall alike.
"""

from __future__ import annotations

import numpy as np
import sympy

from distil_theory import estimators, objectives, solve, trajectories
from distil_theory import number_systems as ns
from distil_theory.claims import rollouts, symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.divergences import FORWARD_KL
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP

P, Q, R, X, LATER, CHI = sympy.symbols("p q r x V chi2", positive=True)
S, PAID, FAR, MART = sympy.symbols("S R Lambda M", real=True)


def rate_and_gap(mdp: TabularMDP, student: Array, expert: Array) -> tuple[Array, Array]:
    """By the solver."""
    gap = solve.expected_return(mdp, expert) - solve.expected_return(mdp, student)
    return objectives.improvement_rate(mdp, student, expert, FORWARD_KL), gap


def expansions(mdp: TabularMDP, student: Array, expert: Array) -> tuple[Array, Array]:
    """`E_pi[S R]` and `E_pi[(Lambda - 1) R]`, over every rollout."""
    every = rollouts.every(mdp)
    p, u = rollouts.probability(mdp, student, every), every.along(expert / student, actions=True)
    whole = estimators.prefix_weights(mdp, student, expert, every)[-1] * u[-1]
    earned = p * every.along(mdp.reward, actions=True).sum(axis=0)
    return ((u - 1).sum(axis=0) * earned).sum(axis=0), ((whole - 1) * earned).sum(axis=0)


def centred() -> bool:
    """Step 1, the term of an action, and the code's sum over the actions."""
    _, student, expert = symbols.mdp()
    return symbols.vanishes(P * FORWARD_KL.h(Q / P) - P - (Q - P)) and symbols.vanishes(
        (student * (expert / student - 1)).sum(axis=2)
    )


def given(expression: sympy.Expr, means: dict[sympy.Expr, sympy.Expr]) -> sympy.Expr:
    """The mean over what comes later: each monomial in `S`, `R`, `Lambda` is replaced by its own."""
    return sum(
        coefficient * means[S ** powers[0] * PAID ** powers[1] * FAR ** powers[2]]
        for powers, coefficient in sympy.Poly(expression, S, PAID, FAR).terms()
    )


def rate_recursion() -> bool:
    """Step 2, one action and one successor: `(x + S')(r + R')` has the mean `x (r + V') + X'`."""
    rest = sympy.Symbol("X")  # E[S' R']
    later = {sympy.Integer(1): 1, S: 0, PAID: LATER, S * PAID: rest}
    mean = given((Q / P - 1 + S) * (R + PAID), later)
    return symbols.vanishes(P * mean - (Q - P) * (R + LATER) - P * rest)


def past() -> bool:
    """Step 2: what was earned before meets `x` with mean 0: the term of an action, and the code's rollouts."""
    before = sympy.Symbol("before")
    term = symbols.vanishes(P * before * (Q / P - 1) - before * (Q - P))  # times the sums of q and p, 1 - 1
    mdp, student, expert = symbols.mdp()
    every = trajectories.enumerate_all(mdp)
    x, paid = every.along(expert / student, actions=True) - 1, every.along(mdp.reward, actions=True)
    return term and symbols.vanishes((trajectories.probability(mdp, student, every) * x[1] * paid[0]).sum())


def gap_recursion() -> bool:
    """Step 3, one action and one successor: `u Lambda' (r + R')` has the mean `u (r + V*')`."""
    later = {FAR: 1, FAR * PAID: LATER}
    return symbols.vanishes(P * given((Q / P) * FAR * (R + PAID), later) - Q * (R + LATER))


def code() -> bool:
    """Step 4: solver and sums over rollouts, on the generic MDP."""
    instance = symbols.mdp()
    pairs = zip(rate_and_gap(*instance), expansions(*instance), strict=True)
    return all(symbols.vanishes(one - other) for one, other in pairs)


def increments() -> bool:
    """Step 5, any h; and the code's prefix ratios, over every rollout of three steps."""
    one_more = symbols.vanishes((FAR * (1 + X) - 1 - (S + X)) - (FAR - 1 - S) - (FAR - 1) * X)
    mdp, student, expert = symbols.mdp(3, 1, 2)
    every = trajectories.enumerate_all(mdp)
    u, w = every.along(expert / student, actions=True), estimators.prefix_weights(mdp, student, expert, every)
    martingale = w[-1] * u[-1] - 1 - (u - 1).sum(axis=0)
    return one_more and symbols.vanishes(martingale - ((w - 1) * (u - 1)).sum(axis=0))


def second_moments() -> bool:
    """Step 6, the term of an action: linear in `q - p`, which sums to 0, but for the squares."""
    x, step = Q / P - 1, FAR - 1
    martingale = P * (MART + step * x) ** 2 - P * MART**2 - 2 * MART * step * (Q - P) - step**2 * P * x**2
    ratio = P * (FAR * (1 + x)) ** 2 - FAR**2 * (P + 2 * (Q - P) + P * x**2)
    centre = P * (FAR * (1 + x) - 1) ** 2 - (P * (FAR * (1 + x)) ** 2 - 2 * FAR * Q + P)
    return symbols.vanishes(martingale) and symbols.vanishes(ratio) and symbols.vanishes(centre)


def squared_bound(horizon: Array, chi2: Array) -> Array:
    """What bounds `E M^2` after so many steps."""
    return (1 + chi2) ** horizon - 1 - horizon * chi2


def induction() -> bool:
    """Step 7, any h: one more step adds `chi2 ((1+chi2)^h - 1)`; and the start."""
    h = sympy.Symbol("h", positive=True, integer=True)
    grown = squared_bound(h, CHI) + CHI * ((1 + CHI) ** h - 1)
    leading = sympy.diff(squared_bound(h, CHI), CHI, 2).subs(CHI, 0) / 2 / 4 - h * (h - 1) / 8
    return bool(sympy.simplify(grown - squared_bound(h + 1, CHI)) == 0 == sympy.simplify(leading)) and bool(
        squared_bound(0, CHI) == 0
    )


def cauchy_schwarz() -> bool:
    """Step 8: centring, and the mean of a square at the best `t`."""
    half = sympy.Rational(1, 2)
    mm, my, yy, t = sympy.symbols("MM MY YY t")
    square = sympy.expand((MART - t * PAID) ** 2).subs({MART**2: mm, PAID**2: yy}).subs(MART * PAID, my)
    return symbols.vanishes((PAID - half) ** 2 - (half**2 - PAID * (1 - PAID))) and symbols.vanishes(
        square.subs(t, my / yy) - (mm - my**2 / yy)
    )


def attained() -> bool:
    """Step 9, by the code, for any x: `|rate - gap| = x^2 / 2`, the bound for two steps and `chi2 = x^2`."""
    fair = np.full((2, 2, 2), sympy.Rational(1, 2), dtype=object)
    p, reward, initial, student, expert = rollouts.coins(fair, np.asarray(X, dtype=object))
    rate, gap = map(symbols.only, rate_and_gap(TabularMDP(p, reward, initial), student, expert))
    return symbols.vanishes(4 * (rate - gap) ** 2 - squared_bound(2, X**2))


def sizes(mdp: TabularMDP, student: Array, expert: Array) -> tuple[Array, Array]:
    """`chi2`, the largest over the states, and the range of the total reward, over all ways to collect it."""
    chi2 = (student * (expert / student - 1) ** 2).sum(axis=2)
    chi2 = ns.amax(chi2.reshape(-1, *chi2.shape[2:]), 0)
    steps, states, actions = mdp.shape
    reward = mdp.reward.reshape(steps, states * actions, *mdp.batch_shape)
    return chi2, (ns.amax(reward, 1) + ns.amax(-reward, 1)).sum(axis=0)


def margin(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """The least of bound minus difference, and of the errors of the two identities."""
    (rate, gap), (first, whole) = (f(mdp, student, expert) for f in (rate_and_gap, expansions))
    chi2, span = sizes(mdp, student, expert)
    bound = span / 2 * np.sqrt(np.maximum(squared_bound(mdp.shape[0], chi2), 0))
    return np.min([bound - abs(rate - gap), -abs(rate - first), -abs(gap - whole)], axis=0)


def holds_exactly(*parts: Array) -> bool:
    """The identities and the square of the bound for one MDP, in rationals."""
    instance = symbols.exact_mdp(*parts)
    (rate, gap), (chi2, span) = rate_and_gap(*instance), sizes(*instance)
    below = 4 * (rate - gap) ** 2 <= span**2 * squared_bound(len(parts[1]), chi2)
    return bool(below) and (rate, gap) == expansions(*instance)


CLAIM = Claim(
    slug="importance_ratio",
    number="16",
    title="local forward cross-entropy expands the importance ratio to first order",
    statement=r"\frac{dJ}{d\eta}\Big|_0 = E_\pi[SR],\; J^* - J = E_\pi[(\Lambda - 1)R],\; \Big|\frac{dJ}{d\eta}\Big|_0 "
    r"- (J^* - J)\Big| \le \tfrac12\sqrt{(1+\chi^2)^H - 1 - H\chi^2}",
    assumptions=(
        "natural or proximal step",
        "unrestricted student",
        "unaliased student",
        "`chi2` small",
        "`0 <= R <= 1`",
    ),
    source="ours",
    scope="any `H`, `S`, `A`: induction over `h`, action by action; the code on the generic MDP `H = S = A = 2`",
    steps=(
        Step("`u - 1` has mean 0 in each state", centred, "h = u^2 for forward KL"),
        Step("`E[S R]` obeys the recursion of the rate", rate_recursion, "(x + S') R'"),
        Step("earlier rewards take no part", past, "x = u"),
        Step("`E[Lambda R]` obeys Bellman's equation of the expert", gap_recursion, "Lambda' of mean 0"),
        Step(
            "the rate is `E[S R]`, the gap `E[(Lambda - 1) R]`, by the code",
            code,
            "start of another step in trajectories.probability",
        ),
        Step(
            "`M_{h+1} - M_h = (Lambda_h - 1)(u_h - 1)`, any `h`, and by the code",
            increments,
            "w_0 = u_0 in estimators.prefix_weights",
        ),
        Step("second moments after one more action", second_moments, "v for 1 + v"),
        Step("the bounds add up to `(1+chi2)^h - 1 - h chi2`, any `h`", induction, "chi2 (1+chi2)^h"),
        Step("centring at `1/2`, and Cauchy-Schwarz", cauchy_schwarz, "R not centred: 1 for 1/4"),
        Step("attained for two steps, by the code", attained, "gap of the last step in solve.expected_return"),
    ),
    margin=rollouts.in_blocks(margin),
    holds_exactly=holds_exactly,
    without={
        "natural or proximal step": "euclidean.json",
        "unrestricted student": "restricted.json",
        "unaliased student": "aliased.json",
        "`chi2` small": "state_weights.json",
        "`0 <= R <= 1`": "only a scale: if `c <= R <= d`, rate, gap and bound are multiplied by `d - c`",
    },
    panel="sequential_monotonicity_band.png",
    attack=rollouts.attack,
)
