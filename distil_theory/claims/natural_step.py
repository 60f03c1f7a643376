r"""Claim 7b: how large a natural step of forward cross-entropy may be.

.. math:: J(\pi_\eta) \ge J + \eta\,(J^* - J) - \frac{\eta^2 U^2 R}{12\sqrt3}, \qquad \pi_\eta \propto \pi\, e^{\eta u}

with `U = max u - min u`, `R = max r - min r`; so `J(pi_eta) >= J` for `eta <= 12 sqrt(3) (J* - J) / (U^2 R)`. Proof.
(1) `J' = Cov(r, u)` and `J'' = E (r - Er)(u - Eu)^2 = Cov(r, (u - m)^2)` under `pi_eta`, `m = Eu`; at `0` the first is
`J* - J` (claim 2). (2) `J(eta) - J - eta J'(0)` is the integral of `(eta - t) J''(t)`: at least `eta^2/2` times the
least `J''`. (3) Scale to `R = U = 1`; `r -> 1 - r` flips the sign of `J''`; splitting makes rewards 0 or 1 (claim 14):
so let `p` be the mass of reward 1, `a, b` the means of `u` in either part, `m = p a + (1-p) b`, and bound `J''` from
above. (4) `J'' = p (1-p) (E[(u-m)^2|1] - E[(u-m)^2|0])`. In the first part `(u-m)^2` lies below its chord over [0, 1],
and in the second `E (u-m)^2 = (b-m)^2 + E (u-b)^2`:

.. math:: J'' \le F(p, a, b) = p(1-p)\,[a(1-2m) + m^2 - (b-m)^2]

(5) `F(a, a) - F(a, b) = p (1-p) (2p-1) (a-b)^2`: for `p >= 1/2` at most `F(a, a) = p(1-p) a(1-a) <= 1/16`. Else
`F(a, 0) - F(a, b) = p (1-p) (1-2p) b (2a-b)`, not negative for `b <= a`; `b > a` is the same after `u -> 1 - u`. (6)
`F(a, 0) = p(1-p)(a - 2 p a^2)`. For `p <= 1/4` at most that at `a = 1`, `p(1-p)(1-2p) <= 1/(6 sqrt 3)`, a cubic with a
double root; for `p > 1/4` at most `(1-p)/8 <= 3/32`. Both 1/16 and 3/32 are smaller than `1/(6 sqrt 3) = 0.0962`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy

from distil_theory import number_systems as ns
from distil_theory import solve, updates
from distil_theory.claims import symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.claims.worst_loss import covariance, splitting
from distil_theory.number_systems import Array
from distil_theory.spec import Bandit, TabularMDP
from distil_theory.three_points import PI, A, B, D, K, R, T, positive, total, vanish

P = sympy.Symbol("p", positive=True)
HALF = sympy.Rational(1, 2)
BOUND = 1 / (6 * sympy.sqrt(3))


def derivatives() -> bool:
    """Step 1, by the code on the generic bandit of two actions, along any direction `x`, at any eta."""
    eta, *moves = sympy.symbols("eta x1 x2", positive=True)
    x = np.array(moves, dtype=object)
    mdp, student, _ = symbols.bandit(2)
    new = updates.exponential_step(mdp, student, x[None, None], eta)
    p, r, value = new[0, 0], mdp.reward[0, 0], symbols.expected_return(mdp, new)
    centred_r, centred_x = r - (p * r).sum(), x - (p * x).sum()
    powers = {sympy.exp(eta * x[0]): sympy.Symbol("E1"), sympy.exp(eta * x[1]): sympy.Symbol("E2")}
    first = sympy.diff(value, eta) - (p * centred_r * x).sum()
    second = sympy.diff(value, eta, 2) - (p * centred_r * centred_x**2).sum()
    return all(sympy.cancel(difference.xreplace(powers)) == 0 for difference in (first, second))


def each_action() -> bool:
    """Step 1, the term of an action, any number of them: `d pi_a / d eta = pi_a (u_a - Eu)`, and once more."""
    eta, w, z1, z2, u = sympy.symbols("eta w z1 z2 u")  # z1 = Z'/Z = Eu, z2 = E u^2, at eta
    z = sympy.Function("Z")(eta)
    p = w * sympy.exp(eta * u) / z
    rules = [(sympy.diff(z, eta, 2), z2 * z), (sympy.diff(z, eta), z1 * z)]
    first = (sympy.diff(p, eta).subs(rules) / p) - (u - z1)
    second = (sympy.diff(p, eta, 2).subs(rules) / p) - ((u - z1) ** 2 - (z2 - z1**2))
    return symbols.vanishes(first) and symbols.vanishes(second)


def third_moment(r: Any, u: Any) -> Any:
    """`E (r - Er)(u - Eu)^2` for any number of actions."""
    means = {total(PI * R): sympy.Symbol("Er"), total(PI * K): sympy.Symbol("Eu")}
    r, u = (x - total(PI * x).xreplace(means) for x in (r, u))
    return total(PI * r * u**2).xreplace(means)


def scaling() -> bool:
    """Steps 1 and 3: it is `E r ((u-m)^2 - Var u)`; `r -> c + k r`, `u -> d + l u` multiply it by `k l^2`."""
    c, k, d, ell, mean, var = sympy.symbols("c k d l Eu var")
    direct = total(PI * R * ((K - mean) ** 2 - var))
    variance = sympy.expand(total(PI * K**2) - mean**2)
    known = {total(PI * R): sympy.Symbol("Er"), total(PI * K): mean}
    same = vanish(sympy.expand((direct.subs(var, variance) - third_moment(R, K)).xreplace(known)))
    return same and vanish(sympy.expand(third_moment(c + k * R, d + ell * K) - k * ell**2 * third_moment(R, K)))


def taylor() -> bool:
    """Step 2: `(eta - t) J' + J` has the derivative `(eta - t) J''`; its ends; the weights add up to `eta^2/2`."""
    t, eta = sympy.symbols("t eta")
    j = sympy.Function("J")
    whole = (eta - t) * j(t).diff(t) + j(t)
    ends = whole.subs(t, eta) - j(eta), whole.subs(t, 0) - eta * j(t).diff(t).subs(t, 0) - j(0)
    weights = sympy.integrate(eta - t, (t, 0, eta)) - eta**2 / 2
    return vanish(whole.diff(t) - (eta - t) * j(t).diff(t, 2), *ends, weights)


def bound() -> sympy.Expr:
    """`F` of step 4."""
    m = P * A + (1 - P) * B
    return P * (1 - P) * (A * (1 - 2 * m) + m**2 - (B - m) ** 2)


def two_parts() -> bool:
    """Step 4: chord minus curve is `u (1 - u)`, mean square minus square of the mean is `E (u - b)^2`, and `F`."""
    u, m = sympy.symbols("u m")
    chord = u * (1 - m) ** 2 + (1 - u) * m**2
    mean = {total(PI * K): B}
    square = (total(PI * (K - m) ** 2) - (B - m) ** 2 - total(PI * (K - B) ** 2)).xreplace(mean)
    parts = chord.subs(u, A) - (B - m) ** 2
    whole = P * (1 - P) * parts.subs(m, P * A + (1 - P) * B) - bound()
    inside = positive((u * (1 - u)).subs(u, T / (1 + T)))
    return covariance() and inside and vanish(chord - (u - m) ** 2 - u * (1 - u), sympy.expand(square), whole)


def moves() -> bool:
    """Step 5: `b` to `a` or to 0, each with its sign, and the symmetry `u -> 1 - u`."""
    f, half = bound(), P * (1 - P)
    up, down = half * (2 * P - 1) * (A - B) ** 2, half * (1 - 2 * P) * B * (2 * A - B)
    large, small = {P: (1 + 2 * T) / (2 + 2 * T), A: B + D}, {P: 1 / (2 + 2 * T), A: B + D}
    sixteenth = (P - HALF) ** 2 / 4 + half * (A - HALF) ** 2
    mirrored = f.subs({A: 1 - A, B: 1 - B}, simultaneous=True)
    identities = f.subs(B, A) - f - up, f.subs(B, 0) - f - down, mirrored - f, HALF**4 - f.subs(B, A) - sixteenth
    return vanish(*identities) and positive(up.subs(large), down.subs(small), half.subs(P, T / (1 + T)))


def cubic() -> bool:
    """Step 6: growth in `a`, the double root, the parabola's top, and the two small constants."""
    f, root = bound().subs(B, 0), (3 - sympy.sqrt(3)) / 6
    other = 3 * HALF - 2 * root
    growth = P * (1 - P) * (1 - A) * ((1 - 4 * P) + 2 * P * (1 - A))
    grows = positive(growth.subs({P: 1 / (4 + 4 * T), A: B / (1 + B)}), ((4 * P - 1) / 32).subs(P, (1 + T) / 4))
    rest = BOUND - f.subs(A, 1) - 2 * (P - root) ** 2 * (other - P)
    top = (1 - P) / 8 - f - 2 * P**2 * (1 - P) * (A - 1 / (4 * P)) ** 2
    large = 3 * HALF**5 - (1 - P) / 8 - (4 * P - 1) / 32
    constants = [HALF**4 < BOUND, 3 * HALF**5 < BOUND, other > HALF]
    return grows and vanish(f.subs(A, 1) - f - growth, rest, top, large) and all(map(bool, constants))


def safe_size() -> bool:
    """The size up to which the bound is not below `J`: bound minus `J` is `eta (largest - eta)` times a positive."""
    eta, gap, c = sympy.symbols("eta gap c", positive=True)  # c = U^2 R / (12 sqrt 3)
    return vanish(eta * gap - eta**2 * c - c * eta * (gap / c - eta))


SIZES = ("1/10", "1", "5")
"""Steps `eta U` on which the bound is tried."""


def slack(mdp: TabularMDP, student: Array, expert: Array, size: Array, root: Array) -> Array:
    """Left minus right side at `eta = size / U`; `root` is the square root of 3."""
    u, reward = (expert / student)[0, 0], mdp.reward[0, 0]
    spread, height = (ns.amax(x, 0) + ns.amax(-x, 0) for x in (u, reward))
    spread = ns.where(ns.iszero(spread), spread * 0 + 1, spread)  # nothing moves, whatever the size
    new = updates.exponential_step(mdp, student, u[None, None], size / spread)
    old, better, now = (solve.expected_return(mdp, policy) for policy in (student, expert, new))
    return now - old - size / spread * (better - old) + size**2 * height / (12 * root)


def margin(reward: Array, student: Array, expert: Array) -> Array:
    """The least slack over several step sizes, where the expert differs visibly from the student."""
    visible = np.ptp(expert / student, axis=0) > 1e-3  # elsewhere rounding would decide
    mdp, pair = Bandit(reward, batch_ndim=1), (student[None, None], expert[None, None])
    sizes = [ns.convert(size, "float64") for size in SIZES]
    least = np.min([slack(mdp, *pair, size, np.sqrt(3)) for size in sizes], axis=0)
    return np.where(visible, least, np.inf)


def holds_exactly(reward: Array, student: Array, expert: Array) -> bool:
    """The slack of one bandit, in balls; a ball around zero narrower than 1e-30 counts as zero."""
    mdp, pi, star = symbols.exact_bandit(reward, student, expert)
    with ns.precision(256):
        balls, (pi, star, three) = mdp.convert("ball"), (ns.convert(x, "ball") for x in (pi, star, 3))
        sizes = [symbols.only(ns.convert(size, "ball")) for size in SIZES]
        found = [symbols.only(slack(balls, pi, star, size, symbols.only(ns.sqrt(three)))) for size in sizes]
        return all(bool(x >= 0) or bool(x.contains(0) and x.rad() < 1e-30) for x in found)


CLAIM = Claim(
    slug="natural_step",
    number="7b",
    title="how large a natural step may be",
    statement=r"J(\pi_\eta) \ge J + \eta (J^* - J) - \frac{\eta^2 U^2 R}{12\sqrt3},\quad "
    r"\ge J \text{ for } \eta \le \tfrac{12\sqrt3 (J^* - J)}{U^2 R}",
    assumptions=("natural step", "bandit", "unrestricted student", "that size, for not less than `J`"),
    source="ours",
    scope="any number of actions, any `eta > 0` (each term of the sums); step 1 "
    "by the code on the generic bandit `A = 2`",
    steps=(
        Step("`J'` and `J''` along the step, by the code", derivatives, "a step in the wrong direction"),
        Step("`J'` and `J''`, the term of an action, any number of them", each_action, "E u for E u^2"),
        Step("how `J''` scales, any number of actions", scaling, "k l for k l^2"),
        Step("Taylor with its remainder", taylor, "eta^2 for eta^2/2"),
        Step("splitting actions makes rewards 0 or 1", splitting, "the whole mass for reward 0"),
        Step("`J'' <= F`: chord above, square of the mean below", two_parts, "m for m^2"),
        Step("`F` does not fall when `b` moves to `a` or to 0", moves, "b moves to 1"),
        Step("`F <= 1/(6 sqrt 3)`", cubic, "1/(5 sqrt 3)"),
        Step("bound minus `J` is positive up to that size", safe_size, "twice that size"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "natural step": "euclidean.json",
        "bandit": "state_weights.json",
        "unrestricted student": "restricted.json",
        "that size, for not less than `J`": "long_step_forward_kl.json",
    },
    panel="monotonicity_returns.png",
)
