r"""How much can one local forward-CE step lose in `H` steps? The tight curve in the horizon (THEORY claims 8 and 16)

Unaliased MDP, total reward `R` of an episode in [0, 1], all ratios `u = pi*/pi` in `[m, M]`, `m < 1 < M`, expert
better by at least `delta`. With `S = sum_h (u_h - 1)` and `Lambda = prod_h u_h` along a rollout of the student, the
rate of a small natural step is `E_pi[S R]` and the gap `J* - J` is `E_pi[(Lambda - 1) R]` (claim 16). How negative can
the rate be?

*Every problem is a binary tree.* Split an action of ratio `u` into two that do the same, with ratios `M` and `m` and
shares `alpha, 1 - alpha`, `alpha M + (1 - alpha) m = u`: no value, rate or gap changes, of either policy, in any state.
Now every state has ratio `M` with probability `theta = (1-m)/(M-m)`, whatever came before: the labels `M` or `m` of the
`H` steps are independent coins. `S` and `Lambda` depend on the labels only, so the mean of `R` given the labels is as
good as `R`: rewards on the leaves of one binary tree. And as they depend on the *number* `k` of labels `M` only, so
does its mean given `k`, which is what remains of the problem:

    W(delta) = max over r_0, .., r_H in [0, 1] of  - sum_k B_k S_k r_k    with  sum_k B_k (Lambda_k - 1) r_k >= delta,

`B_k = C(H,k) theta^k (1-theta)^(H-k)`, `S_k = k (M-1) - (H-k) (1-m)`, `Lambda_k = M^k m^(H-k)`. Conversely the tree
with counts for states is an MDP: the maximum is attained.

*The knapsack.* At price `lam >= 0` of the gap, `r_k = 1` iff `lam (Lambda_k - 1) > S_k`: where the convex curve
`Lambda(S)` lies above a line through (0, 1). So the worst reward pays for few and for many labels `M`, not in between.
As the price grows each `k` changes once, at `lam_k = S_k / (Lambda_k - 1)`, if that is positive: those with `S_k < 0`
leave, those with `Lambda_k > 1` enter. Sorted by price they are the corners of `W`, a concave, strictly decreasing and
piecewise linear function, the minimum of `H + 1` lines at most,

    W(delta) = min over k of  sum_j B_j (lam_k (Lambda_j - 1) - S_j)^+  -  lam_k delta,

for all gaps that exist, `0 <= delta <= sum_k B_k (Lambda_k - 1)^+`.

The constraint binds: by the inequality of the means `S < 0` implies `Lambda < 1`, so without it the gap is negative.
For `m = 0` and `M >= H` only `k = 0` and `k = H` take part: with `lam = H (M-1)/(M^H - 1)` and `q = 1 - 1/M`

    W(delta) = (H - lam) min( q^H, 1 - M^-H - delta ) - lam delta.

*Safe gaps.* `W` has one zero. By the same splitting `|rate - gap| <= E (Lambda - 1 - S)^+` over the coins, attained. If
only `E_pi (u-1)^2 <= chi2` is known in every state, `Lambda - 1 - S = sum_h (Lambda_{<h} - 1)(u_h - 1)` is a martingale
of mean zero, and Cauchy-Schwarz with `R` centred at 1/2 gives `|rate - gap| <= sqrt( (1+chi2)^H - 1 - H chi2 ) / 2`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.special import gammaln, xlogy

from distil_theory import number_systems as ns
from distil_theory import validate
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP


class WorstPair(NamedTuple):
    """The largest loss, and an MDP with student and expert `(H,S,A)` that attains it."""

    loss: Any
    mdp: TabularMDP
    student: Array
    expert: Array


def check_range(low: Any, high: Any) -> Array:
    """`(m, M)` as an array `(2,)` of floats or rationals; `ValueError` unless `0 <= m < 1 < M < inf`."""
    ends = ns.asarray([low, high])
    if ends.shape != (2,) or ns.name(ends) not in ("float64", "rational"):
        raise ValueError(f"ratios must be two floats or two rationals, not m = {low}, M = {high}")
    if not (ns.isfinite(ends).all() and 0 <= ends[0] < 1 < ends[1]):
        raise ValueError(f"ratios must have 0 <= m < 1 < M < inf, not m = {low}, M = {high}")
    return ends


def check_gap(delta: Any, most: Any, where: str) -> Array:
    """The gaps in the number system of `most`; `ValueError` unless each lies in `[0, most]`, up to rounding."""
    gaps = ns.common(ns.asarray(delta), np.asarray(most))[0]
    slack = 1e-12 * most if ns.name(most) == "float64" else 0
    if not ((gaps >= 0) & (gaps <= most + slack)).all():
        raise ValueError(f"delta must lie in [0, {most}], the largest gap {where}, not {delta}")
    return np.where(gaps > most, most, gaps)


def one_gap(gaps: Array) -> Any:
    """The only entry of an array of shape `()`."""
    if np.shape(gaps):
        raise ValueError(f"a pair attains one gap at a time, not delta of shape {np.shape(gaps)}")
    return np.asarray(gaps)[()]


class HorizonCurve:
    """`W` as a function of the gap, for one horizon and one range of ratios.

    Floats give floats; rationals (`Fraction`, `fmpq`, strings) give exact answers, and then want rational gaps.

    Args:
        horizon: `H >= 1`.
        low, high: `m` and `M`, `0 <= m < 1 < M`.

    Attributes:
        gaps, losses: the corners of the curve, `(n,)`, gaps increasing from a negative one to `most`.
        prices: minus the slopes between them, `(n-1,)`, increasing.
        most: the largest gap.

    Raises:
        ValueError: no such horizon or range.
    """

    def __init__(self, horizon: int, low: Any, high: Any) -> None:
        self.horizon = validate.whole("horizon", horizon, 1)
        self.low, self.high = check_range(low, high)
        self.theta = (1 - self.low) / (self.high - self.low)
        """Probability of the ratio `M` under the student."""
        self._weigh()
        self._leaves = self.drift * self.mass < 0  # rewarded as long as the gap is free
        self._turns = np.flatnonzero((self._leaves & (self.gain < 0)) | (self.gain > 0))
        prices = (self.mass * self.drift)[self._turns] / self.gain[self._turns]
        order = np.argsort(prices, kind="stable")
        self._turns, self.prices = self._turns[order], prices[order]
        gain, loss = self.gain * self._leaves, -self.mass * self.drift * self._leaves
        self.gaps = np.cumsum(np.concatenate([[gain.sum()], abs(self.gain[self._turns])]))
        self.losses = np.cumsum(np.concatenate([[loss.sum()], -abs(self.mass * self.drift)[self._turns]]))
        self.most = self.gaps[-1]

    def _weigh(self) -> None:
        """`B_k`, `S_k` and `B_k (Lambda_k - 1)`, each `(H+1,)`; the last is expert's minus student's mass of `k`."""
        steps, m, M, theta = self.horizon, self.low, self.high, self.theta
        k = np.arange(steps + 1)
        self.drift = k * (M - 1) - (steps - k) * (1 - m)
        if ns.name(M) == "rational":
            count = [math.comb(steps, i) for i in range(steps + 1)]
            self.mass = np.array([c * theta**i * (1 - theta) ** (steps - i) for i, c in enumerate(count)])
            self.gain = self.mass * np.array([M**i * m ** (steps - i) - 1 for i in range(steps + 1)])
            return
        # neither overflow of M^k nor cancellation in Lambda - 1; Lambda = 1 exactly must not pass for a tiny gain
        log_count = gammaln(steps + 1) - gammaln(k + 1) - gammaln(steps - k + 1)
        log_mass = log_count + k * np.log(theta) + (steps - k) * np.log(1 - theta)
        log_ratio = k * np.log(M) + xlogy(steps - k, m)
        log_ratio[abs(log_ratio) <= 1e-15 * steps * np.log(M)] = 0
        self.mass = np.exp(log_mass)
        small = self.mass * np.expm1(np.minimum(log_ratio, 1))
        self.gain = np.where(log_ratio < 1, small, np.exp(log_mass + log_ratio) - self.mass)

    def _segment(self, gaps: Array) -> Array:
        """Which corner ends the segment a gap lies on."""
        return np.clip(np.searchsorted(self.gaps, gaps), 1, len(self.gaps) - 1)

    def check(self, delta: Any) -> Array:
        """The gaps as an array; `ValueError` unless each lies in `[0, most]`."""
        return check_gap(delta, self.most, f"for H = {self.horizon} and ratios in [{self.low}, {self.high}]")

    def loss(self, delta: Any) -> Array:
        """`W` at each gap, minus the smallest rate; negative where no local step can lose. Shape of `delta`.

        Raises:
            ValueError: a gap outside `[0, most]`, or a float where the curve is exact.
        """
        gaps = self.check(delta)
        end = self._segment(gaps)
        return self.losses[end] + self.prices[end - 1] * (self.gaps[end] - gaps)

    def rewards(self, delta: Any) -> Array:
        """The worst rewards `r_k`, `(H+1,)`, of one gap: 0 or 1 but for at most one `k`."""
        gap = one_gap(self.check(delta))
        end = int(self._segment(gap))
        reward = self._leaves.astype(int) + self.theta * 0
        before, last = self._turns[: end - 1], self._turns[end - 1]
        reward[before] = 1 - reward[before]
        share = (gap - self.gaps[end - 1]) / (self.gaps[end] - self.gaps[end - 1])
        reward[last] = 1 - share if self._leaves[last] else share
        return reward

    def worst(self, delta: Any) -> WorstPair:
        """`W` at one gap with a pair that attains it: state = number of ratios `M` so far, `H` states, two actions.

        Raises:
            ValueError: as `loss`.
        """
        reward, steps = self.rewards(delta), self.horizon
        k = np.arange(steps)
        transition = np.zeros((steps, steps, 2, steps))
        transition[:, k, 0, np.minimum(k + 1, steps - 1)] = 1  # the last state counts on only in the last step
        transition[:, k, 1, k] = 1
        final = np.zeros((steps, steps, 2), dtype=int) + self.theta * 0
        final[-1] = np.stack([reward[1:], reward[:-1]], axis=1)
        mdp = TabularMDP(transition, final, (k == 0).astype(float))
        student, expert = (
            np.broadcast_to(np.array(row), (steps, steps, 2))
            for row in ([self.theta, 1 - self.theta], [self.theta * self.high, (1 - self.theta) * self.low])
        )
        return WorstPair(self.loss(delta), mdp, student, expert)

    def safe_gap(self) -> Any:
        """The least gap at which no local step can lose: the zero of `W`; 0 for `H = 1`, where the rate is the gap."""
        below = self.losses <= 0
        if not below.any():  # the student's mass where the expert wins has underflowed
            return self.most
        end = int(np.argmax(below))
        share = self.losses[end - 1] / (self.losses[end - 1] - self.losses[end])
        return max(self.gaps[end - 1] + share * (self.gaps[end] - self.gaps[end - 1]), self.theta * 0)

    def deviation(self) -> Any:
        """The largest `|rate - gap|` of any MDP with this horizon and range, `E (Lambda - 1 - S)^+`: attained."""
        difference = self.gain - self.mass * self.drift
        return (difference * (difference > 0)).sum()


def deviation_bound(horizon: int, chi2: Any) -> np.ndarray:
    """`sqrt((1+chi2)^H - 1 - H chi2) / 2 >= |rate - gap|`, if `E_pi (u-1)^2 <= chi2` in every state; shape of `chi2`.

    Attained, with rate 0, by `horizon_tree.sharpest` for small `chi2`: no larger horizon or gap is safe.

    Raises:
        ValueError: no horizon, or a `chi2` that is negative or no number.
    """
    steps, c = validate.whole("horizon", horizon, 1), np.asarray(chi2, dtype=float)
    if not (np.isfinite(c) & (c >= 0)).all():
        raise ValueError(f"chi2 must be finite and >= 0, not {chi2}")
    # sum over j >= 2 of C(H,j) chi2^j, at most 24 terms that matter, or a difference in which nothing cancels
    term, series = steps * c, c * 0
    with np.errstate(over="ignore", invalid="ignore"):
        for j in range(2, 26):
            term = term * c * (max(steps - j + 1, 0) / j)
            series = series + term
        closed = np.expm1(steps * np.log1p(c)) - steps * c
    return np.sqrt(np.where((steps <= 25) | (steps * c < 0.5), series, closed)) / 2


def safe_horizon(gap: float, chi2: float) -> int:
    """The largest `H` for which `deviation_bound(H, chi2) <= gap`: local forward CE cannot lose in so many steps.

    About `1/2 + sqrt(1/4 + 8 gap^2 / chi2^2)` when that is small against `1/chi2`.

    Raises:
        ValueError: `gap` or `chi2` is not positive and finite.
    """
    for what, x in (("gap", gap), ("chi2", chi2)):
        if not (np.isfinite(x) and x > 0):
            raise ValueError(f"{what} must be positive and finite, not {x}")
    low, high = 1, 2
    while deviation_bound(high, chi2) <= gap:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if deviation_bound(middle, chi2) <= gap else (low, middle)
    return low
