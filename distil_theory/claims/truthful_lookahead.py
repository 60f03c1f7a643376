r"""Claim 18: with truthful feedback and no chance, looking ahead is safe, too, whatever the f-divergence.

The self-teacher of claim 9, `pi* = pi Q/V`, in a problem whose transitions are deterministic (every token MDP is) and
whose reward comes at the end, `R >= 0`. The natural step on the *full* objective `L = E_pi sum_h c_h`, `c =
D_f(pi*||pi)`, of an unaliased student has

.. math:: \frac{dJ}{d\eta}\Big|_0 \;\ge\; E_{s_0}\big[ V_0(s_0)\, L(s_0) \big] \;\ge\; 0

with `L(s_0)` the loss of rollouts from `s_0`, where it is finite (reverse KL needs `Q > 0`). Cross-entropy, which is no
f-divergence, is not covered: it fails.

Proof. (1) Claim 1 with the score `h(u) - Q^c` gives `sum_h E[ Cov_pi(Q, h(u)) ] - E sum_h A_h C_h`, where `C_h` is what
the rollout still pays after step `h`. Exchanging the sums, `E sum_h A_h C_h = E sum_k c_k sum_{h<k} A_h`. (2) Without
chance `A_h = V_{h+1} - V_h` along a rollout: the inner sum telescopes to `V_k - V_0`. (3) `Q = V u`, so the rate is `E
sum_h [ V_h Cov_pi(u, h(u)) - c_h (V_h - V_0) ]`. (4) `(u-1) h(u) - f(u) = u [ (u-1) f'(u) - f(u) ]`, and the bracket
has the derivative `(u-1) f''` and is zero at 1: it is never negative. Taking `E_pi`, `Cov_pi(u, h(u)) >= c`. (5) So
each term of (3) is at least `c_h V_0`.
"""

from __future__ import annotations

import numpy as np
import sympy

from distil_theory import experts, objectives, solve
from distil_theory import number_systems as ns
from distil_theory.claims import symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.divergences import FORWARD_KL, JENSEN_SHANNON, PEARSON, REVERSE_KL, FDivergence
from distil_theory.falsify import mdps
from distil_theory.number_systems import Array
from distil_theory.number_systems import name as system
from distil_theory.point import covariance
from distil_theory.spec import TabularMDP

F, H = sympy.Function("f"), sympy.Function("h")
ANY = FDivergence(
    "any",
    lambda u: u if system(u) == "float64" else np.frompyfunc(F, 1, 1)(u),
    lambda u: u if system(u) == "float64" else np.frompyfunc(H, 1, 1)(u),
)
"""`f` and `h` of which nothing is known."""
TRIED = (FORWARD_KL, REVERSE_KL, JENSEN_SHANNON, PEARSON)


def tree() -> tuple[TabularMDP, Array]:
    """Two tokens of two kinds: states are prefixes, the whole text is paid for; student and rewards are symbols."""
    go = np.zeros((2, 3, 2, 3), dtype=int)
    go[0, 0, [0, 1], [1, 2]] = go[0, 1:, :, 0] = go[1, :, :, 0] = 1
    paid = np.array(sympy.symbols("r1:5", positive=True), dtype=object).reshape(2, 2)
    reward = np.full((2, 3, 2), sympy.S.Zero, dtype=object)
    reward[1, 1:] = paid
    mdp = TabularMDP(ns.convert(go, "symbolic"), reward, ns.convert([1, 0, 0], "symbolic"))
    rows = [symbols.row(f"p{h}{s}_", 2) for h in range(2) for s in range(3)]
    return mdp, np.array(rows, dtype=object).reshape(2, 3, 2)


def terms(mdp: TabularMDP, pi: Array, star: Array, divergence: FDivergence) -> Array:
    """Step 3: `E sum_h [ V_h Cov_pi(u, h(u)) - c_h (V_h - V_0) ]` of a problem with one first state, the first."""
    u, v = star / pi, solve.values(mdp, pi)[0]
    cost = divergence.value(star, pi, axis=2)
    inside = v * covariance(pi, u, divergence.h(u), axis=2) - cost * (v - v[0, 0])
    return (solve.occupancy(mdp, pi) * inside).sum()


def by_the_code() -> bool:
    """Steps 1 to 3 on the generic tree, any f and h: the code's rate of the full objective."""
    mdp, pi = tree()
    star = experts.success_conditioned(mdp, pi)
    rate = objectives.improvement_rate(mdp, pi, star, ANY, part="full")
    return symbols.vanishes(symbols.only(rate) - terms(mdp, pi, star, ANY))


def telescopes() -> bool:
    """Step 2, any number of steps: one more advantage `V_{k+1} - V_k` takes `V_k - V_0` to `V_{k+1} - V_0`."""
    k = sympy.Symbol("k", integer=True, nonnegative=True)
    v = sympy.Function("V")
    so_far = v(k) - v(0)
    return symbols.vanishes(so_far + (v(k + 1) - v(k)) - so_far.subs(k, k + 1)) and so_far.subs(k, 0) == 0


def rollouts_pay_later() -> bool:
    """Step 1, any number of steps: `sum_h A_h (c_{h+1} + .. + c_n) = sum_k c_k (A_0 + .. + A_{k-1})`, by induction.

    With `a` and `s` the sums of `A` and `c` up to `n` the left side is `a s - sum_h A_h (c_0 + .. + c_h)`: one more
    step adds to it what it adds to the right side, and both are 0 for `n = 0`.
    """
    a, s, more, cost = sympy.symbols("a s A_new c_new")
    left = (a + more) * (s + cost) - a * s - more * (s + cost)
    right = cost * a
    return symbols.vanishes(left - right) and symbols.vanishes(left.subs({a: 0, s: 0}))


def tangent() -> bool:
    """Step 4, any f."""
    u = sympy.Symbol("u", positive=True)
    f = F(u)
    h, bracket = u * f.diff(u) - f, (u - 1) * f.diff(u) - f
    return (
        symbols.vanishes((u - 1) * h - f - u * bracket)
        and symbols.vanishes(bracket.diff(u) - (u - 1) * f.diff(u, 2))
        and symbols.vanishes(bracket.subs(u, 1).doit() + F(1))
    )


def term_by_term() -> bool:
    """Step 5: with `Cov = c + x` the term is `c V_0 + V x`."""
    c, v, v_0, x = sympy.symbols("c V V_0 x", nonnegative=True)
    return symbols.vanishes(v * (c + x) - c * (v - v_0) - (c * v_0 + v * x))


def without_chance(mdp: TabularMDP, student: Array) -> tuple[TabularMDP, Array, Array]:
    """The problem with every transition sent to its likeliest successor, paid at the end (1/1000 or 1.001), and the
    truthful expert."""
    p = np.asarray(mdp.transition)
    sure = (np.arange(p.shape[3]).reshape(-1, *[1] * (p.ndim - 4)) == p.argmax(axis=3)[:, :, :, None]) * 1
    paid = (np.asarray(mdp.reward > 0) * 1).astype(object) * 1
    paid[:-1] = 0
    one = mdp.initial.reshape(-1)[0] * 0 + 1
    paid[-1] = paid[-1] * 1000 + 1
    reward = paid * (one / 1000)
    reward = reward.astype(float) if ns.name(mdp.initial) == "float64" else reward
    problem = TabularMDP(sure * one, reward, mdp.initial, batch_ndim=len(mdp.batch_shape))
    return problem, student, experts.success_conditioned(problem, student)


def slack(mdp: TabularMDP, student: Array, expert: Array, divergence: FDivergence) -> Array:
    """Rate of the full objective minus `E[V_0 L]`, relative to the loss."""
    rate = objectives.improvement_rate(mdp, student, expert, divergence, part="full")
    cost = divergence.value(expert, student, axis=2)
    charged = TabularMDP(mdp.transition, cost[:, :, None] + student * 0, mdp.initial, batch_ndim=len(mdp.batch_shape))
    rho = ns.common(mdp.initial, cost)[0]
    loss, v = solve.values(charged, student)[0][0], solve.values(mdp, student)[0][0]
    return rate - (rho * v * loss).sum(axis=0)


def margin(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """The least slack over four divergences, relative to the square of the largest ratio; `expert` is not used."""
    case = without_chance(mdp, student)
    size = (case[2] / case[1]).max(axis=(0, 1, 2)) ** 2
    return np.min([slack(*case, divergence) for divergence in TRIED], axis=0) / size


def holds_exactly(*parts: Array) -> bool:
    """The slack in balls; a ball around zero narrower than 1e-30 counts as zero."""
    mdp, pi, _ = symbols.exact_mdp(*parts)
    case = without_chance(mdp, pi)
    with ns.precision(256):
        problem, (pi, star) = case[0].convert("ball"), (ns.convert(x, "ball") for x in case[1:])
        found = [symbols.only(slack(problem, pi, star, divergence)) for divergence in TRIED]
        return all(bool(x >= 0) or bool(x.contains(0) and x.rad() < 1e-30) for x in found)


CLAIM = Claim(
    slug="truthful_lookahead",
    number="18",
    title="without chance, truthful feedback makes looking ahead safe",
    statement=r"\pi^* = \pi Q^\pi/V^\pi,\ P \text{ deterministic} \Rightarrow "
    r"\frac{dJ}{d\eta}\Big|_0 \ge E[V_0(s_0) L(s_0)] \ge 0 \text{ for } L = E_\pi \sum_h D_f(\pi^*\|\pi)",
    assumptions=("deterministic transitions", "reward at the end", "`f`-divergence, not cross-entropy",
                 "truthful feedback on the present student", "unaliased student"),
    source="ours",
    scope="any `A`, `H`, `S` (induction over steps), any convex, twice differentiable `f`; the code: "
    "the tree `H = A = 2`, any `f`",
    steps=(
        Step(
            "the rate is `E sum [V Cov(u, h) - c (V - V_0)]`, by the code, any `f`", by_the_code, "add Q^c to the score"
        ),
        Step("sums over `h < k` may be exchanged, any `H`", rollouts_pay_later, "h <= k"),
        Step("advantages of a rollout telescope, any `H`", telescopes, "A = Q"),
        Step("`(u-1) h - f = u [(u-1) f' - f] >= 0`, any convex `f`", tangent, "h = u f' + f"),
        Step("so each term is at least `c V_0`", term_by_term, "V for V - V_0"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "deterministic transitions": "chance_ahead.json",
        "reward at the end": "reward_before_the_end.json",
        "`f`-divergence, not cross-entropy": "entropy_ahead.json",
        "truthful feedback on the present student": "spurious_disagreement.json",
        "unaliased student": "success_aliased.json",
    },
    panel="future_credit_bound.png",
    attack=mdps,
)  # fmt: skip
