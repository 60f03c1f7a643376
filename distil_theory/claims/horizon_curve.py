r"""Claim 8b: how much a local forward-KL step can lose in `H` steps is one tight curve.

Unaliased, ratios `u = pi*/pi` in `[m, M]`, `m < 1 < M`, episodes that earn between 0 and 1. With `theta = (1-m)/(M-m)`,
`B_k = C(H,k) theta^k (1-theta)^(H-k)`, `S_k = k (M-1) - (H-k)(1-m)`, `Lambda_k = M^k m^(H-k)` the largest loss of a
natural step over all problems in which the expert is better by `delta` or more is

.. math:: W(\delta) = \max_{0 \le r_k \le 1} \Big\{ -\sum_k B_k S_k r_k : \sum_k B_k (\Lambda_k - 1) r_k \ge \delta
          \Big\} = \min_{\lambda \ge 0} \Big\{ \sum_k \big(\lambda B_k (\Lambda_k - 1) - B_k S_k\big)^+ - \lambda \delta
          \Big\}

Proof. (1) An action of ratio `u` is split into two that do the same, with ratios `M` and `m` and shares `alpha`,
`1 - alpha` of its probability, `alpha M + (1-alpha) m = u`: the sums over the actions do not notice. (2) Now in every
state `M` has the probability `theta`, whatever came before: the labels are independent coins. By claim 16 rate and gap
are `E[S R]` and `E[(Lambda - 1) R]`, and `S`, `Lambda` depend on the number `k` of labels `M` only: `R` may be replaced
by `r_k = E[R|k]`. (3) `k` is binomial, with these `S_k` and `Lambda_k`, by induction over `H`. (4) Any `r` is attained
by the MDP that counts. (5) With `c = B S`, `g = B (Lambda - 1)`, `x = lam g - c`: `-c r + lam g r = x r <= x^+` bounds
the loss, for any price `lam >= 0`. (6) It is an equation for `r = 1` where `x > 0` and 0 where `x < 0`. As `lam` grows
`r_k` changes at `c_k/g_k` only, and then the gap rises by `|g_k|` and the loss falls by `lam |g_k|`: every gap is met
from that at `lam = 0` on. There `S < 0` is paid, where `log Lambda <= S < 0`: the gap is negative. (7) The code is this
curve. (8) `m = 0`, `M >= H`: only `k = 0` and `k = H` ever pay, and `W = (H - lam) min( (1-1/M)^H, 1 - M^-H - delta ) -
lam delta`, `lam = H (M-1)/(M^H-1)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy

from distil_theory import number_systems as ns
from distil_theory import solve
from distil_theory.claims import ascents, symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.claims.importance_ratio import rate_and_gap
from distil_theory.horizon import HorizonCurve
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP
from distil_theory.three_points import PI, STAR, total, vanish

LOW, HIGH, THETA, DELTA, PRICE = sympy.symbols("m M theta delta lam", positive=True)
STEPS, K = sympy.symbols("H k", positive=True, integer=True)
SETTINGS = ((1, "1/2", "3/2"), (2, "0", "4"), (3, "1/5", "3"), (4, "1/2", "2"), (5, "0", "6/5"), (4, "0", "9/2"))
SHARES = ("0", "1/7", "2/3", "1")


def split(mdp: TabularMDP, student: Array, expert: Array) -> tuple[TabularMDP, Array, Array]:
    """Step 1: every action as two that do the same, with ratios `M` and `m`."""
    share = (expert / student - LOW) / (HIGH - LOW)
    p, r = (np.concatenate([x, x], axis=2) for x in (mdp.transition, mdp.reward))
    pi = np.concatenate([share * student, (1 - share) * student], axis=2)
    star = np.concatenate([share * student * HIGH, (1 - share) * student * LOW], axis=2)
    return TabularMDP(p, r, mdp.initial), pi, star


def splitting() -> bool:
    """Step 1, by the code: both policies' values in each state of the generic MDP; the rate with one state per step."""
    whole, fine = symbols.mdp(), symbols.mdp(2, 1, 2)
    parts = split(*whole)
    values = [
        solve.values(parts[0], after)[0] - solve.values(whole[0], before)[0]
        for before, after in zip(whole[1:], parts[1:], strict=True)
    ]
    return symbols.vanishes(values) and symbols.vanishes(rate_and_gap(*split(*fine))[0] - rate_and_gap(*fine)[0])


def coins() -> bool:
    """Step 2: the student's share of labels `M` in a state, any number of actions."""
    return vanish(total(sympy.expand(PI * (STAR / PI - LOW) / (HIGH - LOW))) - (1 - LOW) / (HIGH - LOW))


def weights(steps: Any, k: Any, low: Any, high: Any) -> tuple[Any, Any, Any]:
    """`B_k`, `S_k` and `Lambda_k`."""
    theta = (1 - low) / (high - low)
    mass = sympy.binomial(steps, k) * theta**k * (1 - theta) ** (steps - k)
    return mass, k * (high - 1) - (steps - k) * (1 - low), high**k * low ** (steps - k)


def counting() -> bool:
    """Step 3, any H and k: one more label comes to `k` from `k - 1` (label `M`) and from `k` (label `m`)."""
    (new, drift, ratio), (few, few_drift, few_ratio), (many, many_drift, many_ratio) = (
        weights(*n, LOW, HIGH) for n in ((STEPS + 1, K), (STEPS, K - 1), (STEPS, K))
    )
    theta = (1 - LOW) / (HIGH - LOW)
    shares = [sympy.combsimp(sympy.powsimp(sympy.simplify(x / new))) for x in (theta * few, (1 - theta) * many)]
    return vanish(
        sum(shares) - 1,
        drift - few_drift - (HIGH - 1),
        drift - many_drift - (LOW - 1),
        ratio / few_ratio - HIGH,
        ratio / many_ratio - LOW,
    )


def counted() -> bool:
    """Step 4, by the code, for any rewards: the MDP that counts, `H = 3`."""
    curve, paid = HorizonCurve(3, "1/5", 3), np.array(sympy.symbols("r0:4"), dtype=object)
    pair = curve.worst(curve.most)
    reward = np.zeros(pair.mdp.shape, dtype=int).astype(object)
    reward[-1] = np.stack([paid[1:], paid[:-1]], axis=1)
    policies = [
        np.broadcast_to(np.array(row, dtype=object), pair.mdp.shape)
        for row in ([THETA, 1 - THETA], [THETA * HIGH, 1 - THETA * HIGH])
    ]
    mdp = TabularMDP(ns.convert(pair.mdp.transition, "symbolic"), reward, ns.convert(pair.mdp.initial, "symbolic"))
    rate, gap = map(symbols.only, rate_and_gap(mdp, *policies))
    low = (1 - THETA * HIGH) / (1 - THETA)  # so that theta is theta(m, M)
    terms = [(b * s * r, b * (x - 1) * r) for k, r in enumerate(paid) for b, s, x in [weights(3, k, low, HIGH)]]
    return symbols.vanishes([rate - sum(t[0] for t in terms), gap - sum(t[1] for t in terms)])


def price() -> bool:
    """Steps 5 and 6, one `k`, either sign of `g`: loss plus priced gap is `x r`, and what a change of `r_k` does."""
    c, r, size = sympy.symbols("c r size", positive=True)
    fine = symbols.vanishes(-c * r + PRICE * size * r - (PRICE * size - c) * r)
    for g, change in ((size, 1), (-size, -1)):  # x has the sign of g (lam - c/g): paid from then on, or until then
        turn = PRICE * g  # c at the price where x = 0
        fine &= symbols.vanishes([PRICE * g - c - g * (PRICE - c / g), change * g - size, turn * change - PRICE * size])
    # x r <= x^+: for x > 0 the difference is x (1 - r), for x < 0 it is -x r
    return fine and symbols.vanishes((PRICE - PRICE * r) - PRICE * (1 - r)) and bool((-PRICE * r).is_negative)


def tangent() -> bool:
    """Step 6: `u - 1 - log u` vanishes at 1 and has the slope `1 - 1/u`: it is not negative."""
    u = sympy.Symbol("u", positive=True)
    bend = u - 1 - sympy.log(u)
    return bend.subs(u, 1) == 0 and vanish(bend.diff(u) - (u - 1) / u)


def exact_curve() -> bool:
    """Step 7, by the code, in rationals: the least of the bounds of (5), attained by feasible rewards and an MDP; in
    floats the same."""
    fine = True
    for steps, low, high in SETTINGS:
        curve, m, M = HorizonCurve(steps, low, high), symbols.rational(low), symbols.rational(high)
        terms = [weights(steps, k, sympy.Rational(low), sympy.Rational(high)) for k in range(steps + 1)]
        c, g = (np.array([symbols.rational(str(x)) for x in row]) for row in
                zip(*((b * s, b * (x - 1)) for b, s, x in terms), strict=True))  # fmt: skip
        prices = [a / b for a, b in zip(c, g, strict=True) if b != 0 and a / b > 0]
        floats = HorizonCurve(steps, float(m), float(M))
        fine &= bool(curve.gaps[0] < 0) and bool(curve.most == sum(max(x, x * 0) for x in g))
        for share in map(symbols.rational, SHARES):
            delta = curve.most * share
            bound = min(sum(max(lam * b - a, a * 0) for a, b in zip(c, g, strict=True)) - lam * delta for lam in prices)
            paid, worst = curve.rewards(delta), curve.worst(delta)
            ratio = worst.expert / worst.student
            fine &= bool((paid >= 0).all() and (paid <= 1).all() and (paid * g).sum() >= delta)
            fine &= bool(worst.loss == bound == -(paid * c).sum() and (ratio >= m).all() and (ratio <= M).all())
            near = float(floats.loss(min(float(delta), float(floats.most))) - float(worst.loss))
            fine &= abs(near) < 1e-12 and bool((-worst.loss, (paid * g).sum()) == rate_and_gap(*worst[1:]))
    return fine


def closed_form() -> bool:
    """Step 8, any H: the terms between, and the bounds at the two prices; and the code at two settings."""
    chance, (more, above) = 1 / HIGH, sympy.symbols("more above", nonnegative=True)
    _, between, _ = weights(STEPS, 1 + more, sympy.S.Zero, STEPS + above)  # k >= 1, M >= H: c >= 0, and g < 0
    lam = STEPS * (HIGH - 1) / (HIGH**STEPS - 1)
    stay, most = (1 - chance) ** STEPS, 1 - HIGH**-STEPS
    first, last = (STEPS - lam) * stay - lam * DELTA, (STEPS - lam) * (most - DELTA) - lam * DELTA
    paid = -lam * stay + STEPS * stay - lam * DELTA, STEPS * most - STEPS * (HIGH - 1) * HIGH**-STEPS - STEPS * DELTA
    fine = vanish(first - paid[0], last - paid[1]) and bool(sympy.expand(between).is_nonnegative)
    for steps, high in ((3, "3"), (5, "11/2")):
        curve, big = HorizonCurve(steps, "0", high), sympy.Rational(high)
        for share in map(symbols.rational, SHARES):
            gap = sympy.Rational(str(curve.most * share))
            wanted = min(x.subs({STEPS: steps, HIGH: big, DELTA: gap}) for x in (first, last))
            fine &= bool(sympy.Rational(str(curve.loss(curve.most * share))) == wanted)
    return fine


def excess(steps: int, low: Any, high: Any, rate: Any, gap: Any) -> Any:
    """What the curve admits more than is lost, or its largest gap more than this one; the smaller."""
    curve = HorizonCurve(steps, low, high)
    return min(curve.most - gap, curve.loss(min(gap, curve.most)) + rate) if gap >= 0 else 1 + gap * 0


def margin(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """`excess` of each instance, with its own `m` and `M`; 1 where the expert is worse."""
    rows = zip(*ascents.least_and_most(student, expert), *rate_and_gap(mdp, student, expert), strict=True)
    return np.array([excess(mdp.shape[0], *row) for row in rows])


def holds_exactly(*parts: Array) -> bool:
    """The same for one instance, in rationals."""
    mdp, student, expert = symbols.exact_mdp(*parts)
    ends = ascents.least_and_most(student, expert)
    return bool(excess(mdp.shape[0], *ends, *rate_and_gap(mdp, student, expert)) >= 0)


CLAIM = Claim(
    slug="horizon_curve",
    number="8b",
    title="what a local step can lose in `H` steps: a tight curve",
    statement=r"\max_{J^* - J \ge \delta,\, m \le u \le M} -\tfrac{dJ}{d\eta} = \max_{0 \le r_k \le 1} \Big\{"
    r"-\sum_k B_k S_k r_k : \sum_k B_k (\Lambda_k - 1) r_k \ge \delta\Big\}",
    assumptions=("ratios in `[m, M]`", "`0 <= R <= 1`", "natural or proximal step", "unrestricted student",
                 "unaliased student"),
    source="ours",
    scope="any `H`, `S`, `A`, `m`, `M` (claim 16, then action by action, induction over `H`, term by term in "
    "`k`); attained: any rewards for `H = 3`, six curves in rationals",
    steps=(
        Step("splitting actions changes no value and no rate, by the code", splitting, "equal shares"),
        Step("labels `M` have the probability `(1-m)/(M-m)` in every state, any `A`", coins, "u/M for the share"),
        Step("`k` is binomial, `S_k` and `Lambda_k` add up, any `H`", counting, "H for H + 1"),
        Step("the MDP that counts has this rate and gap, any rewards, by the code", counted, "label m moves on, too"),
        Step("loss plus priced gap is `x r <= x^+`; what a change of `r_k` does", price, "gap falls by |g_k|"),
        Step("`log u <= u - 1`, so `S < 0` means `Lambda < 1`", tangent, "log u <= u"),
        Step("the code is the curve, attained, in rationals", exact_curve, "unsorted prices in HorizonCurve"),
        Step("closed form for `m = 0`, `M >= H`, any `H`, and by the code", closed_form, "lam = M^-H"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "ratios in `[m, M]`": "without bounds on the ratios claim 8 is what is left: up to `H (1 - delta)`",
        "`0 <= R <= 1`": "only a scale: if `c <= R <= d`, rate, gap and curve are multiplied by `d - c`",
        "natural or proximal step": "euclidean.json",
        "unrestricted student": "restricted.json",
        "unaliased student": "aliased.json",
    },
    panel="sequential_monotonicity_curves.png",
    attack=ascents.attack,
)  # fmt: skip
