r"""The worst local forward-CE step when the expert is better in every state, on the full binary tree (THEORY claim 8)

The setting of `horizon`, and `V* >= V` in every state. Splitting actions leaves values of both policies alone, so again
every problem is a tree of independent labels `M`, `m`; the constraint of a node of the tree is the mean, given its
labels, of the constraints of the states. But those look at the labels *to come* only, so rewards can no longer be
averaged over paths with equally many `M` (with rewards by counts the loss drops from 0.41 to -0.04 at `H = 2`, `m = 0`,
`M = 4`, `delta = 0.1`): one linear programme with a variable per leaf and a row per node,

    maximise - E[S R]   with   E[ (Lambda_{>=h} - 1) R | node ] >= 0 at every node,   >= delta at the root.

Not counted: the last step, where the expert gains in every state. So `W <= (H-1)(1-m)(1-delta)`.

*Closed form for m = 0, M >= H >= 2.* Once a label `M` has been seen `S >= M - H >= 0`: rewards cost there, and `V*`
sees only those after labels `M` to the end. So the worst case is the *horizon chain*. On the safe path (labels `m`) the
last reward is `r` whatever is done; who leaves it at step `h` and then never slips earns `rho_h`; all else fails. With
`theta = 1/M` and `[n] = 1 + theta + .. + theta^(n-1)`: on the safe path at step `h` the expert has `V* = rho_h`, and
`V* >= V` says `rho_h (1 - theta^(H-h)) >= (1-theta) V_{h+1}`. Smaller `rho_h` costs less and relaxes earlier states:
equality, except for the gap at the root. So `V_h = r / [H-h]!` for `h >= 1`,
`rho_0 = r / [H]! + delta / (1-theta^H)`, and with `q = 1 - theta`

    W(delta) = K min( 1, [H]! (1 - delta / (1 - theta^H)) ) - lam delta,         0 <= delta <= 1 - theta^H,
    K = q sum_{n=1}^{H-1} q^(H-1-n) ([n] - n theta^n) / [n+1]!,        lam = H (M-1) / (M^H - 1);

`r`, the minimum, is as large as `rho_0 <= 1` admits, since `[n] > n theta^n` makes `K` positive. As `M` grows, `K`
tends to `H - 1` and `W` to `(H-1)(1 - delta)`.

*The safe horizon is sharp.* `sharpest` builds a pair for which `|rate - gap|` meets `deviation_bound`. Cauchy-Schwarz
is an equation iff `|Lambda - 1 - S|` is constant. Let `X, w` be `Lambda - 1 - S` and `Lambda - 1` so far and
`Q_j(X, w) = X^2 + A_j w^2 + B_j w + C_j` the mean of the final `X^2` with `j` steps to go: a next ratio `1 + x`, `x`
of mean 0 and variance `chi2`, gives `Q_j(X, w) = E Q_{j-1}(X + w x, w + (1 + w) x)`. Take for `x` the two roots of
`Q_{j-1}(..) = Q_H(0, 0)`: as `Q_j = Q_H(0, 0)` now, their product is `-chi2`, so the weights that give them mean 0 give
variance `chi2`. The reward 1 where `X > 0` has rate 0, since `S` and `X` are uncorrelated: the gap is the bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import identity, kron, vstack

from distil_theory import number_systems as ns
from distil_theory import validate
from distil_theory.horizon import HorizonCurve, WorstPair, check_gap, one_gap
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP

DEEPEST = 10
"""Longest horizon of a full tree: `2^(H-1)` states."""


def tree(student: Sequence[np.ndarray], ratio: Sequence[np.ndarray], leaves: np.ndarray) -> tuple[Any, ...]:
    """MDP, student and expert of a full binary tree: rows `(2^h, 2)` per step, final rewards `leaves (2^H,)`.

    Action `a` of state `i` at step `h` leads to state `2 i + a`.
    """
    steps = len(student)
    states = 2 ** (steps - 1)
    transition = np.zeros((steps, states, 2, states))
    transition[..., 0] = 1  # of states that do not exist at that step, and of the last step
    policies = np.full((2, steps, states, 2), 0.5)
    for h in range(steps):
        i = np.arange(2**h)
        if h < steps - 1:
            transition[h, i, :, 0] = 0
            for a in (0, 1):
                transition[h, i, a, 2 * i + a] = 1
        policies[:, h, i] = student[h], student[h] * ratio[h]
    reward = np.zeros((steps, states, 2))
    reward[-1] = leaves.reshape(states, 2)
    return TabularMDP(transition, reward, np.eye(states)[0]), *policies


class EveryStateCurve:
    """`W` as a function of the gap for experts that are better in every state; otherwise as `HorizonCurve`.

    Rationals give exact answers where there is a closed form, `low = 0` and `high >= horizon >= 2`; elsewhere answers
    are floats, good to about 1e-7, from a linear programme.

    Args:
        horizon: `H >= 1`, at most 10 where there is no closed form.
        low, high: `m` and `M`, `0 <= m < 1 < M`.

    Attributes:
        most: the largest gap, the same as without the constraint: the best rewards grow with `Lambda`.
        closed: whether there is a closed form.

    Raises:
        ValueError: no such range or horizon.
    """

    def __init__(self, horizon: int, low: Any, high: Any) -> None:
        curve = HorizonCurve(horizon, low, high)
        self.horizon, self.low, self.high = curve.horizon, curve.low, curve.high
        self.closed = bool(self.low == 0 and self.high >= horizon >= 2)
        self.theta, self.most = curve.theta, curve.most
        if self.closed:
            self._chain()
            return
        if horizon > DEEPEST:
            raise ValueError(f"horizon must be at most {DEEPEST} unless low = 0 and high >= horizon, not {horizon}")
        if ns.name(self.low) != "float64":
            self.low, self.high, self.theta, self.most = (float(ns.convert(x, "float64")) for x in
                                                          (self.low, self.high, self.theta, self.most))  # fmt: skip
        self._tree()

    def _chain(self) -> None:
        """`K`, `lam` and the factorials `[n]!`."""
        steps, t = self.horizon, self.theta
        self._factorial, number, self._k = [t * 0 + 1, t * 0 + 1], t * 0 + 1, t * 0
        for n in range(1, steps):
            after = number + t**n  # [n+1]
            self._factorial.append(self._factorial[n] * after)
            # Horner's rule in q
            self._k = self._k * (1 - t) + (1 - t) * (number - n * t**n) / self._factorial[n + 1]
            number = after
        self.most = 1 - t**steps
        self._lam = steps * t ** (steps - 1) * (1 - t) / self.most

    def _tree(self) -> None:
        """Rows of the nodes, root first, and the terms of the rate, as functions of the reward on each leaf."""
        self._student = np.array([self.theta, 1 - self.theta])
        self._ratio = np.array([self.high, self.low])
        student, expert, drift, rows = np.ones(1), np.ones(1), np.zeros(1), []
        for h in reversed(range(self.horizon)):
            student, expert = np.kron(self._student, student), np.kron(self._student * self._ratio, expert)
            drift = np.add.outer(self._ratio - 1, drift).ravel()
            rows.append(kron(identity(2**h), (expert - student)[None]))
        self._rows, self._rate = vstack(rows[::-1], format="csr"), student * drift
        self._widest = (expert > student * (1 + 1e-12)).astype(float)  # the rewards of the largest gap

    def check(self, delta: Any) -> Array:
        """The gaps as an array; `ValueError` unless each lies in `[0, most]`."""
        return check_gap(delta, self.most, f"for H = {self.horizon} and ratios in [{self.low}, {self.high}]")

    def _safe_reward(self, gaps: Array) -> Array:
        """`r`, the reward of the safe path of the chain."""
        room = self._factorial[self.horizon] * (1 - gaps / self.most)
        return np.where(room < 1, room, 1 + 0 * room)

    def _solve(self, gap: float) -> np.ndarray:
        """The worst rewards on the leaves."""
        if gap > self.most * (1 - 1e-9):  # a solver that drops tiny coefficients may find nothing
            return self._widest
        least = np.zeros(len(self._rate) - 1)
        least[0] = gap
        return self._optimum(self._rate, -self._rows, -least)

    def _optimum(self, cost: np.ndarray, rows: Any, right: np.ndarray) -> np.ndarray:
        options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
        found = linprog(cost, A_ub=rows, b_ub=right, bounds=(0, 1), method="highs-ds", options=options)
        if found.status != 0:
            raise ArithmeticError(f"the linear programme was not solved: {found.message}")
        return np.clip(found.x, 0, 1)

    def loss(self, delta: Any) -> Array:
        """`W` at each gap, shape of `delta`; errors as `HorizonCurve.loss`."""
        gaps = self.check(delta)
        if self.closed:
            return self._k * self._safe_reward(gaps) - self._lam * gaps
        return np.array([-self._rate @ self._solve(gap) for gap in gaps.ravel()]).reshape(gaps.shape)

    def worst(self, delta: Any) -> WorstPair:
        """`W` at one gap with a pair that attains it: the chain (three states), or a tree (`2^(H-1)` states).

        Raises:
            ValueError: as `loss`.
        """
        gap = one_gap(self.check(delta))
        if not self.closed:
            leaves = self._solve(float(gap))
            student, ratio = (
                [np.tile(x, (2**h, 1)) for h in range(self.horizon)] for x in (self._student, self._ratio)
            )
            return WorstPair(-self._rate @ leaves, *tree(student, ratio, leaves))
        steps, zero = self.horizon, self.theta * 0
        r = np.asarray(self._safe_reward(gap))[()]
        success = [r / self._factorial[steps - h] for h in range(steps - 1)]
        success[0] = min(success[0] + gap / self.most, zero + 1)  # 1 where r gives way, up to rounding
        # states: on the safe path, left it without a slip since, failed; action 0 leaves or goes on, 1 stays or slips
        transition = np.zeros((steps, 3, 2, 3), dtype=int) + zero
        transition[:, 0, 1, 0] = transition[:, 1, 0, 1] = transition[:, 1, 1, 2] = transition[:, 2, :, 2] = zero + 1
        transition[:, 0, 0, 1], transition[:, 0, 0, 2] = np.array([*success, zero]), 1 - np.array([*success, zero])
        reward = np.zeros((steps, 3, 2), dtype=int) + zero
        reward[-1] = np.array([[r, r], [zero + 1, zero], [zero, zero]])
        pair = ([self.theta, 1 - self.theta], [zero + 1, zero])
        policies = (np.broadcast_to(np.array(row), (steps, 3, 2)) for row in pair)
        return WorstPair(self.loss(gap), TabularMDP(transition, reward, np.array([1, 0, 0])), *policies)

    def safe_gap(self) -> Any:
        """The least gap at which no local step can lose although it may be better in every state: the zero of `W`."""
        if self.closed:
            slope = self._k * self._factorial[self.horizon]
            return min(self._k / self._lam, slope / (self._lam + slope / self.most))
        cost, root = -self._rows[0].toarray()[0], self._rate[None]
        rows = vstack([root, -self._rows[1:]], format="csr")
        return max(-cost @ self._optimum(cost, rows, np.zeros(rows.shape[0])), 0.0)


def sharpest(horizon: int, chi2: float) -> WorstPair:
    """A pair with `E_pi (u-1)^2 = chi2` in every state whose gap is `deviation_bound(horizon, chi2)` and whose rate is
    0.

    Raises:
        ValueError: no horizon between 2 and 10, or `chi2` so large that the construction wants negative ratios.
    """
    steps, c = validate.whole("horizon", horizon, 2), float(chi2)
    if steps > DEEPEST or not (np.isfinite(c) and c > 0):
        raise ValueError(f"horizon must be at most {DEEPEST} and chi2 positive, not {horizon} and {chi2}")
    forms = np.zeros((steps + 1, 2))  # A_j, B_j; C_j cancels
    for j in range(steps):
        a, b = forms[j]
        forms[j + 1] = a + c * (1 + a), b + 2 * c * a
    x_now, w, student, ratio = np.zeros(1), np.zeros(1), [], []
    for j in reversed(range(steps)):
        a, b = forms[j]
        second = w**2 + a * (1 + w) ** 2
        half = (x_now * w + a * w * (1 + w) + b * (1 + w) / 2) / np.where(second > 0, second, 1)
        far = -half - np.where(half < 0, -1, 1) * np.sqrt(half**2 + c)  # the root without cancellation
        move = np.stack([far, -c / far], axis=1)
        if move.min() < -1:
            raise ValueError(f"chi2 = {chi2} is too large for H = {steps}: the construction wants a ratio below 0")
        student.append(np.stack([-move[:, 1], move[:, 0]], axis=1) / (move[:, 0] - move[:, 1])[:, None])
        ratio.append(1 + move)
        x_now, w = ((x[:, None] + y[:, None] * move).ravel() for x, y in ((x_now, w), (w, 1 + w)))
    return WorstPair(0.0, *tree(student, ratio, (x_now > 0).astype(float)))
