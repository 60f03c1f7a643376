r"""Claim 14: the price of the wrong divergence is one tight curve.

.. math:: W = \max_p\; p(1-p)\big[\hat h(1 - \tfrac{\delta}{1-p}) - \check h(1 + \tfrac{\delta}{p})\big]

is the largest loss per unit of a small natural step over all bandits with `J* - J >= delta`, ratios in `[m, M]` and
rewards in [0, 1]; `hcheck`, `hhat` are the convex and concave envelopes of `h` there. Proof. (1) Split an action of
reward `r` into a share `r` of reward 1 and a share `1 - r` of reward 0, at the same ratio: nothing changes. (2) With
`p` the mass of reward 1, `Cov(r, h) = p (1-p) (E[h|1] - E[h|0])`. (3) With `a, b` the mean ratios, `p a + (1-p) b = 1`
and the gap is `p (a - 1)`. (4) Jensen for the envelopes: `E[h|1] >= hcheck(a)`, `E[h|0] <= hhat(b)`, attained by
two-point distributions; both are non-decreasing, so a larger gap loses less. (5) The bandit that `worst_case` returns
attains the value.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy

from distil_theory import objectives, search
from distil_theory.claims import symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.divergences import CATALOGUE, FDivergence
from distil_theory.falsify import Found, merge
from distil_theory.spec import Bandit
from distil_theory.worst_case import Curve, largest_gap

RANGES = ((0.5, 1.4), (0.1, 4.0), (0.02, 10.0))
STARTS = 20_000


def splitting() -> bool:
    """Step 1, the terms of one action in `J`, `J*`, `E h` and `E r h`."""
    p, u, r, h = sympy.symbols("p u r h")
    kinds = {1: p * r, 0: p * (1 - r)}
    return all(
        symbols.vanishes(sum(mass * term(reward) for reward, mass in kinds.items()) - p * term(r))
        for term in (lambda r: r, lambda r: r * u, lambda r: h, lambda r: r * h, lambda r: u)
    )


def covariance() -> bool:
    """Step 2, from the sums of `h` over either kind."""
    p, one, zero = sympy.symbols("p E1 E0")
    return symbols.vanishes((p * one - p * (p * one + (1 - p) * zero)) - p * (1 - p) * (one - zero))


def means() -> bool:
    """Step 3: the mean ratios at a given gap."""
    p, delta, a, b = sympy.symbols("p delta a b")
    solution = sympy.solve([p * a + (1 - p) * b - 1, p * a - p - delta], [a, b])
    return symbols.vanishes(solution[a] - 1 - delta / p) and symbols.vanishes(solution[b] - 1 + delta / (1 - p))


def attained() -> bool:
    """Step 5, by the library's own rate, for the catalogue."""
    worst_error = 0.0
    for divergence in CATALOGUE:
        for low, high in RANGES:
            curve = Curve(divergence, low, high)
            for share in (0.01, 0.3, 1.0):
                worst = curve.worst(share * curve.most)
                pair = (worst.student[None, None], worst.expert[None, None])
                rate = float(objectives.improvement_rate(Bandit(worst.reward), *pair, divergence))
                worst_error = max(worst_error, abs(rate + worst.loss) / max(1, abs(worst.loss)))
    return worst_error < 1e-9


def excess(divergence: FDivergence, low: float, high: float, gap: float, found: float) -> float:
    """Curve, a little to the left and with room for rounding, minus what was found; negative refutes the claim."""
    curve = Curve(divergence, low, high)
    return float(curve.loss(gap * (1 - 1e-12)) - found + 1e-9 * abs(curve.loss(gap)))


def attack(margin: Callable[..., float], n: int, seed: int) -> Found:
    """The adversarial search at gaps and ranges of every divergence; it knows nothing of the proof."""
    found = []
    for divergence in CATALOGUE:
        for low, high in RANGES:
            gap = 0.2 * largest_gap(low, high)
            worst = search.worst_bandit(divergence, gap, low, high, actions=4, seed=seed, starts=STARTS, ascents=8)
            value = margin(divergence, low, high, gap, worst.loss)
            found.append(Found(STARTS, (value,), ((worst.reward, worst.student, worst.expert),)))
    return merge(found)


CLAIM = Claim(
    slug="worst_loss",
    number="14",
    title="the price of the wrong divergence: a tight curve",
    statement=r"\max_{J^* - J \ge \delta,\, m \le u \le M} -\tfrac{dJ}{d\eta} "
    r"= \max_p p(1-p)\big[\hat h(1 - \tfrac{\delta}{1-p}) - \check h(1 + \tfrac{\delta}{p})\big]",
    assumptions=("ratios in [m, M]", "natural step"),
    source="ours",
    scope="any number of actions, any non-decreasing h on [m, M]; attained: the catalogue at 9 settings, in floats",
    steps=(
        Step("splitting actions makes rewards 0 or 1", splitting, "split the ratio, too"),
        Step("Cov = p (1-p) (E[h|1] - E[h|0])", covariance, "p for p (1-p)"),
        Step("mean ratios 1 + delta/p and 1 - delta/(1-p)", means, "delta for delta/p"),
        Step("the returned bandit attains the curve", attained, "swap the envelopes"),
    ),
    margin=excess,
    holds_exactly=lambda *_: False,
    near=0.0,
    without={
        "ratios in [m, M]": "as m -> 0 the loss of reverse KL grows like log(1/m), that of Neyman like 1/m (panel e)",
        "natural step": "euclidean.json",
    },
    panel="worst_case.png",
    lemma="Jensen's inequality",
    attack=attack,
)
