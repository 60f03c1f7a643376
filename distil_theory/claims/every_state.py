r"""Claim 8c: what a local forward-KL step can lose although the expert is better in every state.

The setting of claim 8b, and `V* >= V` in every state. The largest loss is that of a binary tree of independent labels
`M` (with probability `theta = (1-m)/(M-m)`) and `m`, a linear programme with a variable per leaf and a row per node:

.. math:: W(\delta) = \max_{0 \le R \le 1} \big\{ -E[S R] : E[(\Lambda_{\ge h} - 1) R \mid \text{node}] \ge 0
          \text{ at every node, } \ge \delta \text{ at the root} \big\}.

For `m = 0`, `M >= H >= 2`, with `q = 1 - theta`, `[n] = 1 + theta + .. + theta^(n-1)`, `[n]! = [1] .. [n]` and
`lam = H (M-1) / (M^H - 1)`,

.. math:: W(\delta) = K_H \min\Big(1, [H]!\Big(1 - \frac{\delta}{1 - \theta^H}\Big)\Big) - \lambda \delta, \qquad
          K_n = q K_{n-1} + q \frac{[n] - n \theta^{n-1}}{[n]!}, \quad K_1 = 0,

which tends to `(H-1)(1-delta)` as `M` grows: the *horizon chain*. Proof. (1) By claim 8b values of both policies stay
when actions are split. In a state after `h` steps `V* - V = E[(Lambda_{>=h} - 1) R | s]`, since `Lambda_{>=h}` has mean
1: the row of a node is the mean of the rows of the states with its labels. So `R` given all labels is feasible, and
every feasible `R` is an MDP, the tree. (2) Weak duality: for prices `y >= 0` of the rows the loss is at most `sum over
leaves of (y row - c)^+ - y_root delta`; the prices of a solver make it, without trust, the value of the code.
(3) `m = 0`: after a label `M`, `S >= M - H >= 0`: rewards cost. `V*` sees only those after labels `M` to the end, so
nothing is paid but `r` on the safe path (labels `m`), and `rho_h` to who leaves it at step `h` and then never slips.
(4) On the safe path with `n = H - h` steps to go `V* = rho` and `V_n = q V_{n-1} + theta^n rho`: `V* >= V` says
`rho [n] >= V_{n-1}`. A smaller `rho` costs less and relaxes earlier rows: equality, `V_n = rho_n = r / [n]!`, by
induction from `V_0 = r`. (5) The loss from there, `X_n = q (X_{n-1} + V_{n-1}) - theta^n n (M-1) rho_n`, is `K_n r`.
(6) At the root `rho` also pays `delta / (1 - theta^H)`, which costs `lam delta`, and is at most 1: that limits `r`,
which pays as `K_n > 0`. (7) The code is this curve. (8) The instances of claim 8 stay below.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import sympy
from scipy.optimize import linprog, minimize
from threadpoolctl import threadpool_limits

from distil_theory import instances, solve
from distil_theory import number_systems as ns
from distil_theory.claims import symbols
from distil_theory.claims.ascents import box, fold, with_slope
from distil_theory.claims.claim import Claim, Step
from distil_theory.claims.importance_ratio import rate_and_gap
from distil_theory.falsify import Found, merge
from distil_theory.horizon_tree import EveryStateCurve, tree
from distil_theory.spec import TabularMDP
from distil_theory.three_points import vanish

THETA, DELTA, RHO, SAFE = sympy.symbols("theta delta rho V", positive=True)
N = sympy.Symbol("n", positive=True, integer=True)
Q, BIG = 1 - THETA, 1 / THETA
SETTINGS = ((2, 0.0, 1.5), (3, 0.2, 4.0), (3, 0.0, 3.0), (4, 0.5, 1.5), (4, 0.0, 5.0))
EXACT = ((2, "5/2"), (3, "3"), (5, "11/2"))
CLOSE = 1e-7
"""Good enough for a linear programme in floats."""


def bracket(n: Any) -> Any:
    """`[n]`."""
    return (1 - THETA**n) / (1 - THETA)


def rows_of_nodes() -> bool:
    """Step 1, by the code: rate and `V* - V` of the tree `H = 3` at every node, for any rewards on its leaves, any
    `theta` and `M`."""
    steps, up = 3, sympy.Symbol("M", positive=True)
    p = np.array([THETA, 1 - THETA], dtype=object)
    u = np.array([up, (1 - THETA * up) / (1 - THETA)], dtype=object)  # mean 1
    leaves = np.array(sympy.symbols("R1:9"), dtype=object)
    labels = [np.array(word) for word in product((0, 1), repeat=steps)]
    halves, ones = ([np.full((2**h, 2), x) for h in range(steps)] for x in (0.5, 1.0))
    shape, *_ = tree(halves, ones, np.zeros(2**steps))
    reward = np.full(shape.shape, sympy.S.Zero, dtype=object)
    reward[-1] = leaves.reshape(-1, 2)
    mdp = TabularMDP(*(ns.convert(x, "symbolic") for x in (shape.transition, reward, shape.initial)))
    pair = [np.broadcast_to(row, shape.shape) for row in (p, p * u)]
    rate = sum(p[w].prod() * (u[w] - 1).sum() * r for w, r in zip(labels, leaves, strict=True))
    better = np.subtract(*(solve.values(mdp, policy)[0] for policy in reversed(pair)))
    fine = symbols.vanishes(symbols.only(rate_and_gap(mdp, *pair)[0]) - rate)
    for h in range(steps):
        for i, past in enumerate(product((0, 1), repeat=h)):
            inside = [(w[h:], r) for w, r in zip(labels, leaves, strict=True) if tuple(w[:h]) == past]
            fine &= symbols.vanishes(better[h, i] - sum(p[w].prod() * (u[w].prod() - 1) * r for w, r in inside))
    return fine


def programme(steps: int, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """`c (leaves,)` and the rows `(nodes, leaves)`, root first, from the definitions."""
    theta, labels = (1 - low) / (high - low), np.array(list(product([False, True], repeat=steps)))
    u, p = np.where(labels, high, low), np.where(labels, theta, 1 - theta)
    rows = []
    for h in range(steps):
        for past in product([False, True], repeat=h):
            here = (labels[:, :h] == past).all(axis=1)
            rows.append(here * p[:, h:].prod(axis=1) * (u[:, h:].prod(axis=1) - 1))
    return p.prod(axis=1) * (u - 1).sum(axis=1), np.array(rows)


def duality() -> bool:
    """Step 2: one leaf, and the bound at the prices of another programme, against the code and the pair it returns."""
    y, row, c, r = sympy.symbols("y row c r")
    fine = symbols.vanishes(-c * r + y * row * r - (y * row - c) * r)  # x r <= x^+: claim 8b
    for steps, low, high in SETTINGS:
        curve, (cost, rows) = EveryStateCurve(steps, low, high), programme(steps, low, high)
        for share in (0.02, 0.5, 0.9):
            least = np.zeros(len(rows))
            least[0] = share * float(curve.most)
            solved = linprog(cost, A_ub=-rows, b_ub=-least, bounds=(0, 1), method="highs")
            prices = np.maximum(-solved.ineqlin.marginals, 0)
            bound = np.maximum(prices @ rows - cost, 0).sum() - prices @ least
            worst = curve.worst(least[0])
            rate, gap = rate_and_gap(*worst[1:])
            theirs, ours = (solve.values(worst.mdp, policy)[0] for policy in (worst.expert, worst.student))
            fine &= bool(abs(worst.loss - bound) < CLOSE and abs(worst.loss + rate) < CLOSE)
            fine &= bool(gap > least[0] - CLOSE and (theirs - ours).min() > -CLOSE)
    return fine


def rewards_cost() -> bool:
    """Step 3, any H: `j = 1 + more` labels `M` and `H - j` ratios 0, `M = H + above`."""
    more, above = sympy.symbols("more above", nonnegative=True)
    drift = (1 + more) * (N + above - 1) - (N - 1 - more)
    return bool(sympy.expand(drift).is_nonnegative)


def safe_path() -> bool:
    """Step 4, any n: `V* - V = q (rho [n] - V_{n-1})`, and `V = rho` where that is zero."""
    here = Q * SAFE + THETA**N * RHO
    return vanish(RHO - here - Q * (RHO * bracket(N) - SAFE), here.subs(SAFE, RHO * bracket(N)) - RHO, bracket(1) - 1)


def chain_loss() -> bool:
    """Step 5, any n: the recursion of `X` is that of `K`; `K_n > 0` as `[n] - n theta^(n-1)` grows from 0."""
    k = sympy.Symbol("K")  # K_{n-1} r, with V_{n-1} = [n] rho
    loss = Q * (k + bracket(N) * RHO) - THETA**N * N * (BIG - 1) * RHO
    term = bracket(N) - N * THETA ** (N - 1)
    grows = term.subs(N, N + 1) - term - N * THETA ** (N - 1) * (1 - THETA)
    return vanish(loss - (Q * k + Q * term * RHO), grows, term.subs(N, 1))


def root() -> bool:
    """Step 6, any H: what `delta` adds to `rho`, what that costs, and the limit of large ratios."""
    extra = DELTA / (1 - THETA**N)
    met = (RHO + extra) * (1 - THETA**N) - Q * bracket(N) * RHO - DELTA
    lam = N * (BIG - 1) / (BIG**N - 1)
    term = (bracket(N) - N * THETA ** (N - 1)).subs(N, N + 1)
    return vanish(met, THETA**N * N * (BIG - 1) * extra - lam * DELTA) and term.subs(THETA, 0) == 1


def exact_chain() -> bool:
    """Step 7, by the code, in rationals: the formula, and the chain that attains it, better in every state."""
    fine = True
    for steps, high in EXACT:
        curve, theta = EveryStateCurve(steps, "0", high), 1 / symbols.rational(high)
        number = [sum((theta**i for i in range(n)), theta * 0) for n in range(steps + 1)]
        k, factorial = theta * 0, theta * 0 + 1
        for n in range(1, steps + 1):
            factorial *= number[n]
            k = (1 - theta) * (k + (number[n] - n * theta ** (n - 1)) / factorial)
        lam = steps * (1 / theta - 1) / (theta**-steps - 1)
        for share in map(symbols.rational, ("0", "1/9", "1/2", "1")):
            delta = share * (1 - theta**steps)
            safe = min(theta * 0 + 1, factorial * (1 - share))
            worst = curve.worst(delta)
            theirs, ours = (solve.values(worst.mdp, policy)[0] for policy in (worst.expert, worst.student))
            fine &= bool(worst.loss == k * safe - lam * delta and rate_and_gap(*worst[1:]) == (-worst.loss, delta))
            fine &= bool((theirs >= ours).all())
    return fine


def instances_stay_below() -> bool:
    """Step 8, with their own largest ratio; the first two in rationals."""
    fine = True
    for make in (instances.risky_fork, instances.horizon_chain, instances.unfamiliar_program):
        _, mdp, student, expert, _ = make()
        rate, gap = rate_and_gap(mdp, student, expert)
        ratio = expert / student
        closed = ratio.min() == 0 and ratio.max() >= mdp.shape[0]
        low, high, delta = (x if closed else float(x) for x in (ratio.min(), ratio.max(), gap))
        fine &= bool(0 < -(rate if closed else float(rate)) < EveryStateCurve(mdp.shape[0], low, high).loss(delta))
    return fine


def margin(steps: int, low: float, high: float, gap: float, found: float) -> float:
    """The curve, with room for what the linear programme leaves open, minus what was found."""
    curve = EveryStateCurve(steps, low, high)
    return float(curve.loss(min(gap, float(curve.most))) - found + CLOSE)


def attack(margin: Callable[..., float], n: int, seed: int) -> Found:
    """Ascents on trees with free ratios and rewards, better at every node; they know nothing of the proof."""
    rng = np.random.default_rng(seed)
    found: list[Found] = []
    while len(found) < min(-(-n // 1000), 100):
        steps, low = int(rng.integers(2, 4)), rng.choice([0.0, rng.uniform(0, 0.6)])
        high = 1 + 10 ** rng.uniform(-0.5, 1)
        bounds, gap = box(steps, low, high), rng.uniform(0, 0.3) * (1 - low)
        gap *= float(EveryStateCurve(steps, low, high).most)
        least = np.zeros(2**steps - 1)
        least[0] = gap

        def rate(x: np.ndarray, steps: int = steps) -> Any:
            return fold(x, steps)[0]

        def better(x: np.ndarray, steps: int = steps, least: np.ndarray = least) -> Any:
            return (fold(x, steps)[1].T - least).T

        (loss, slope), (room, turn) = with_slope(rate), with_slope(better)
        limits = {"type": "ineq", "fun": room, "jac": turn}
        start, options = [rng.uniform(*ends) for ends in bounds], {"maxiter": 80, "ftol": 1e-10}
        with threadpool_limits(1):  # twenty times as fast as two threads on matrices this small
            x = minimize(loss, start, jac=slope, bounds=bounds, constraints=[limits], method="SLSQP", options=options).x
        inside = all(a - 1e-12 <= y <= b + 1e-12 for y, (a, b) in zip(x, bounds, strict=True))
        reached = -loss(x) if inside and room(x).min() > -1e-9 else -np.inf
        value = margin(steps, low, high, gap, reached) if np.isfinite(reached) else 1.0  # nothing found, no loss
        found.append(Found(1, (value,), ((x,),)))
    return merge(found)


CLAIM = Claim(
    slug="every_state",
    number="8c",
    title="what a local step can lose if the expert is better in every state",
    statement=r"m = 0,\, M \ge H:\; \max_{J^* - J \ge \delta,\, V^* \ge V} -\tfrac{dJ}{d\eta} = K_H \min\Big(1, "
    r"[H]!\Big(1 - \frac{\delta}{1 - \theta^H}\Big)\Big) - \lambda\delta",
    assumptions=("better in every state", "`m = 0` and `M >= H`, for the closed form", "`0 <= R <= 1`",
                 "natural or proximal step", "unrestricted student", "unaliased student"),
    source="ours",
    scope="any `H`: the closed form, by induction over the steps to go; the linear programme: rows for the tree"
    " `H = 3`, any rewards and ratios, value at five settings in floats, by duality",
    steps=(
        Step("`V* - V` is a node's row, the rate that of the leaves, by the code", rows_of_nodes, "2 i for 2 i + a"),
        Step("weak duality, and the code's value between pair and bound", duality, "rows without the student"),
        Step("`m = 0`: after a label `M` rewards cost, any `H`", rewards_cost, "M >= H - 1"),
        Step("`V* >= V` says `rho [n] >= V`, any `n`", safe_path, "theta^(n-1) for theta^n"),
        Step("the chain loses `K_n r`, and `K_n > 0`, any `n`", chain_loss, "n + 1 for n"),
        Step("the gap costs `lam delta`; the limit of large ratios", root, "lam = M^-H"),
        Step("the code is this curve, attained, in rationals", exact_chain, "number - theta^n in EveryStateCurve"),
        Step("risky fork, horizon chain and a program stay below", instances_stay_below, "K / 10"),
    ),
    margin=margin,
    holds_exactly=lambda *_: False,
    near=0.0,
    without={
        "better in every state": "better_somewhere.json",
        "`m = 0` and `M >= H`, for the closed form": "the linear programme takes its place: at `M < H` the chain is "
        "not the worst tree",
        "`0 <= R <= 1`": "only a scale: if `c <= R <= d`, rate, gap and curve are multiplied by `d - c`",
        "natural or proximal step": "euclidean.json",
        "unrestricted student": "restricted.json",
        "unaliased student": "aliased.json",
    },
    panel="sequential_monotonicity_curves.png",
    attack=attack,
)  # fmt: skip
