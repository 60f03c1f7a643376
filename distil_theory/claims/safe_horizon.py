r"""Claim 16b: how far rate and gap of a local forward-KL step lie apart, exactly; and claim 16's bound is sharp.

Unaliased, `0 <= R <= 1`, ratios in `[m, M]`, `m < 1 < M`, in `H` steps; with `B_k`, `S_k`, `Lambda_k` of claim 8b

.. math:: \max \Big|\frac{dJ}{d\eta}\Big|_0 - (J^* - J)\Big| = \sum_k B_k (\Lambda_k - 1 - S_k)^+
          \le \tfrac12 \sqrt{(1+\chi^2)^H - 1 - H\chi^2}, \qquad \chi^2 = (M-1)(1-m),

so a step cannot lose once the gap exceeds the sum. Where only `E_pi (u-1)^2 <= chi2` is known in every state, the
right side is the best bound, and with it the safe horizon, as long as the construction of (4) asks for no ratio below 0
(small `chi2`). Proof. (1) As in claim 8b, `R` may be replaced by `r_k`: the difference is `sum_k B_k x_k r_k <=
sum_k B_k x_k^+` with `x = Lambda - 1 - S`; and as `sum_k B_k x_k = 0`, not below minus that. (2) The MDP that counts
attains it, paid where `x > 0`. (3) The coins have `E (u-1)^2 = (M-1)(1-m)`: the bound is claim 16. (4) Let `X, w` be
`Lambda - 1 - S` and `Lambda - 1` so far; the mean of the last `X^2` with `j` steps to go is `Q_j = X^2 + A_j w^2 + B_j
w + C_j`, with `A_j = (1+chi2)^j - 1` and `C_j = A_j - j chi2`. Take for `x = u - 1` the two roots of `Q_{j-1} = Q_H(0,
0)`: as `Q_j` is `Q_H(0, 0)` already, their product is `-chi2`, so chances that give them mean 0 give variance `chi2`.
In the end `X^2 = C_H` on every path. (5) Let the reward be 1 where `X > 0`: `R = (1 + X/|X|)/2`. As `E X = 0` and
`E[S X] = 0`, `gap - rate = E[X R] = |X|/2`, the bound, and the rate `E[S R]` is 0. (6) The pairs that the code builds.
"""

from __future__ import annotations

import numpy as np
import sympy

from distil_theory import horizon_tree
from distil_theory.claims import ascents, symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.claims.horizon_curve import HIGH, LOW, SETTINGS, STEPS
from distil_theory.claims.importance_ratio import rate_and_gap, squared_bound
from distil_theory.horizon import HorizonCurve, deviation_bound
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP
from distil_theory.three_points import vanish

CHI, ONE = sympy.symbols("chi2 one", positive=True)
THETA = (1 - LOW) / (HIGH - LOW)
PAIRS = ((2, 0.9), (3, 0.05), (5, 0.002), (7, 1e-4))


def centred() -> bool:
    """Steps 1 and 3, one coin: `E u = 1`, so `E Lambda = 1` and `E S = 0` for any number of them; and its variance."""
    mean = THETA * HIGH + (1 - THETA) * LOW
    square = THETA * (HIGH - 1) ** 2 + (1 - THETA) * (1 - LOW) ** 2
    return vanish(mean - 1, square - (HIGH - 1) * (1 - LOW))


def attained() -> bool:
    """Step 2, by the code, in rationals."""
    fine = True
    for steps, low, high in SETTINGS:
        curve = HorizonCurve(steps, low, high)
        pair = curve.worst(curve.most)
        pays = (curve.gain > curve.mass * curve.drift).astype(int)
        reward = np.zeros(pair.mdp.shape, dtype=int) + curve.most * 0
        reward[-1] = np.stack([pays[1:], pays[:-1]], axis=1)
        rate, gap = rate_and_gap(TabularMDP(pair.mdp.transition, reward, pair.mdp.initial), pair.student, pair.expert)
        fine &= bool(gap - rate == curve.deviation())
    return fine


def below_claim_16() -> bool:
    """Step 3, by the code: squares in rationals."""
    fine = True
    for steps, low, high in SETTINGS:
        curve = HorizonCurve(steps, low, high)
        bound = squared_bound(steps, (curve.high - 1) * (1 - curve.low))
        fine &= bool(4 * curve.deviation() ** 2 <= bound)
    return fine


def recursion() -> bool:
    """Step 4, any j: one ratio more, the closed forms, and the two chances."""
    x, w, a, b, here, y = sympy.symbols("x w A B X y")
    after = sympy.expand((here + w * x) ** 2 + a * (w + (1 + w) * x) ** 2 + b * (w + (1 + w) * x))
    mean = after.coeff(x, 0) + CHI * after.coeff(x, 2)
    wanted = here**2 + (a + CHI * (1 + a)) * w**2 + (b + 2 * CHI * a) * w + CHI * a
    power, rest = (1 + CHI) ** STEPS - 1, squared_bound(STEPS, CHI)  # A_j, C_j
    grows = [e.subs(STEPS, STEPS + 1) - e for e in (power, rest)]
    first, second = -y / (x - y), x / (x - y)  # of the roots x > 0 > y
    return vanish(
        mean - wanted,
        grows[0] - CHI * (1 + power),
        grows[1] - CHI * power,
        *(e.subs(STEPS, 0) for e in (power, rest)),
        first * x + second * y,
        first * x**2 + second * y**2 + x * y,
    )


def half_of_it() -> bool:
    """Step 5: what the reward does with `X = +-ONE`, and one step of `E[S X]`: `x_h` meets `(Lambda_{<h} - 1) x_h`, of
    mean `chi2 (E Lambda_{<h} - 1) = 0`."""
    fine = all(vanish(sign * ONE * sympy.Rational(1 + sign, 2) - (ONE + sign * ONE) / 2) for sign in (1, -1))
    s, far, mart, x = sympy.symbols("S Lambda X x")
    step = sympy.expand((s + x) * (mart + (far - 1) * x) - s * mart)
    mean = step.coeff(x, 2) * CHI  # E x = 0
    return fine and vanish(mean - CHI * (far - 1), step.coeff(x, 0))


def built() -> bool:
    """Step 6, in floats: bound and variance are met in every state that is visited."""
    fine = True
    for steps, chi2 in PAIRS:
        _, mdp, student, expert = horizon_tree.sharpest(steps, chi2)
        rate, gap = rate_and_gap(mdp, student, expert)
        square = (student * (expert / student - 1) ** 2).sum(axis=2)
        found = np.concatenate([square[h, : 2**h] for h in range(steps)])
        fine &= bool(abs(rate) < 1e-12 and abs(gap / deviation_bound(steps, chi2) - 1) < 1e-9)
        fine &= bool(np.allclose(found, chi2, rtol=1e-9, atol=0))
    return fine


def margin(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """The sum minus what rate and gap differ by, with each instance's own `m` and `M`."""
    ends, (rate, gap) = ascents.least_and_most(student, expert), rate_and_gap(mdp, student, expert)
    sums = [HorizonCurve(mdp.shape[0], *pair).deviation() for pair in zip(*ends, strict=True)]
    return np.array(sums) - abs(rate - gap)


def holds_exactly(*parts: Array) -> bool:
    """The same for one instance, in rationals."""
    mdp, student, expert = symbols.exact_mdp(*parts)
    rate, gap = rate_and_gap(mdp, student, expert)
    curve = HorizonCurve(mdp.shape[0], *ascents.least_and_most(student, expert))
    return bool(curve.deviation() >= abs(rate - gap))


CLAIM = Claim(
    slug="safe_horizon",
    number="16b",
    title="how far rate and gap lie apart, and the bound of claim 16 is sharp",
    statement=r"\max\Big|\tfrac{dJ}{d\eta} - (J^* - J)\Big| = \sum_k B_k (\Lambda_k - 1 - S_k)^+ \le \tfrac12"
    r"\sqrt{(1+\chi^2)^H - 1 - H\chi^2}",
    assumptions=("`0 <= R <= 1`", "ratios in `[m, M]`", "natural or proximal step", "unrestricted student",
                 "unaliased student"),
    source="ours",
    scope="any `H`, `S`, `A`, `m`, `M`, by claims 8b and 16; attained: six settings in rationals; the sharp "
    "pairs: any `H` by induction, if no ratio is below 0, four of them in floats",
    steps=(
        Step("a coin has mean 1 and variance `(M-1)(1-m)`", centred, "theta = (1-m)/M"),
        Step("the MDP that counts attains the sum, by the code", attained, "the parts below 0 as well, in deviation"),
        Step("the sum is at most claim 16's bound, by the code", below_claim_16, "H^2 chi2 for H chi2"),
        Step("one ratio more, any `j`; chances of the two roots", recursion, "A_j + chi2"),
        Step("`E[X R] = E|X|/2` and `E[S X] = 0`", half_of_it, "R = X/|X|"),
        Step("pairs that meet the bound with rate 0, by the code", built, "a + c for a + c (1 + a) in sharpest"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "`0 <= R <= 1`": "only a scale: if `c <= R <= d`, both sides are multiplied by `d - c`",
        "ratios in `[m, M]`": "state_weights.json",
        "natural or proximal step": "euclidean.json",
        "unrestricted student": "restricted.json",
        "unaliased student": "aliased.json",
    },
    panel="sequential_monotonicity_band.png",
    attack=ascents.attack,
)  # fmt: skip
