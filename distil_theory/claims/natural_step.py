r"""Claim 7b: how large a natural step of forward cross-entropy may be.

.. math:: J(\pi_\eta) \ge J + \eta\,(J^* - J) - \frac{\eta^2 U^2 R}{12\sqrt3}, \qquad \pi_\eta \propto \pi\, e^{\eta u}

with `U = max u - min u`, `R = max r - min r`. Proof. (1) `J' = Cov(r, u)` and `J'' = E (r - Er)(u - Eu)^2` under
`pi_eta`; at `0` the first is `J* - J` (claim 2), and Taylor leaves `eta^2/2` times the least `J''`. (2) Scale to
`R = U = 1`; splitting makes rewards 0 or 1 (claim 14); `r -> 1 - r` flips the sign: so let `p` be the mass of reward 1,
`a, b` the means of `u` in either part, `m = p a + (1-p) b`. On the first `(u-m)^2` lies below its chord, on the second
`E (u-m)^2 >= (b-m)^2`:

.. math:: J'' \le F = p(1-p)\,[a(1-2m) + m^2 - (b-m)^2]

(3) `dF/db = 2 p (1-p) (2p-1)(a-b)`: so either `b` moves to `a`, where `F = p(1-p) a(1-a) <= 1/16`, or it moves to an
end, by symmetry 0, where `F = p(1-p)(a - 2 p a^2)` with `p <= 1/2`. (4) For `p <= 1/4` that grows with `a`:
`F <= p(1-p)(1-2p) <= 1/(6 sqrt 3)`, a cubic with a double root; otherwise it is at most `(1-p)/8 <= 3/32`. Both 1/16
and 3/32 are smaller than `1/(6 sqrt 3) = 0.0962`.
"""

from __future__ import annotations

import numpy as np
import sympy

from distil_theory import number_systems as ns
from distil_theory import solve, updates
from distil_theory.claims import symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.number_systems import Array
from distil_theory.spec import Bandit, TabularMDP

P, A, B = sympy.symbols("p a b", positive=True)
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
    second = (sympy.diff(p, eta, 2).subs(rules) / p) - ((u - z1) ** 2 - (z2 - z1**2))  # E (r - Er) ... = Cov(r, v)
    return symbols.vanishes(first) and symbols.vanishes(second)


def bound() -> sympy.Expr:
    """`F` of step 2."""
    m = P * A + (1 - P) * B
    return P * (1 - P) * (A * (1 - 2 * m) + m**2 - (B - m) ** 2)


def chord() -> bool:
    """Step 2: chord minus curve is `u (1 - u)`, not negative on [0, 1]."""
    u, m = sympy.symbols("u m")
    return symbols.vanishes(u * (1 - m) ** 2 + (1 - u) * m**2 - (u - m) ** 2 - u * (1 - u))


def moves() -> bool:
    """Step 3: the derivative in b, both cases, and the symmetry u -> 1 - u."""
    f = bound()
    return all(
        map(
            symbols.vanishes,
            (
                sympy.diff(f, B) - 2 * P * (1 - P) * (2 * P - 1) * (A - B),
                f.subs(B, A) - P * (1 - P) * A * (1 - A),
                f.subs(B, 0) - P * (1 - P) * (A - 2 * P * A**2),
                f.subs({A: 1 - A, B: 1 - B}, simultaneous=True) - f,
            ),
        )
    )


def cubic() -> bool:
    """Step 4: the double root, the parabola's top, and the two small constants."""
    root = (3 - sympy.sqrt(3)) / 6
    other = sympy.Rational(3, 2) - 2 * root
    rest = BOUND - P * (1 - P) * (1 - 2 * P) - 2 * (P - root) ** 2 * (other - P)
    top = P * (1 - P) * (A - 2 * P * A**2) - ((1 - P) / 8 - 2 * P**2 * (1 - P) * (A - 1 / (4 * P)) ** 2)
    small = [sympy.Rational(1, 16) < BOUND, sympy.Rational(3, 32) < BOUND, other > sympy.Rational(1, 2)]
    return symbols.vanishes(rest) and symbols.vanishes(top) and all(map(bool, small))


SIZES = ("1/10", "1", "5")
"""Steps `eta U` on which the bound is tried."""


def slack(mdp: TabularMDP, student: Array, expert: Array, size: Array, root: Array) -> Array:
    """Left minus right side at `eta = size / U`; `root` is the square root of 3."""
    u, reward = (expert / student)[0, 0], mdp.reward[0, 0]
    spread, height = (ns.amax(x, 0) + ns.amax(-x, 0) for x in (u, reward))
    new = updates.exponential_step(mdp, student, u[None, None], size / spread)
    old, better, now = (solve.expected_return(mdp, policy) for policy in (student, expert, new))
    return now - old - size / spread * (better - old) + size**2 * height / (12 * root)


def margin(reward: Array, student: Array, expert: Array) -> Array:
    """The least slack over several step sizes, where the expert differs visibly from the student."""
    visible = np.ptp(expert / student, axis=0) > 1e-3  # elsewhere rounding would decide
    mdp, pair = Bandit(reward, batch_ndim=1), (student[None, None], expert[None, None])
    sizes = [ns.convert(size, "float64") for size in SIZES]
    with np.errstate(all="ignore"):
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
    statement=r"J(\pi_\eta) \ge J + \eta (J^* - J) - \frac{\eta^2 U^2 R}{12\sqrt3}",
    assumptions=("small step",),
    source="ours",
    scope="any number of actions (each term of the sums); step 1 by the code on the generic bandit A = 2, at any eta",
    steps=(
        Step("J' and J'' along the step, by the code", derivatives, "a flipped sign in updates.exponential_step"),
        Step("J' and J'', the term of an action, any number of them", each_action, "E u for E u^2"),
        Step("(u - m)^2 lies below its chord", chord, "m for m^2"),
        Step("F is monotone in b; its values at the ends", moves, "b for a"),
        Step("F <= 1/(6 sqrt 3)", cubic, "1/(5 sqrt 3)"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={"small step": "long_step_forward_kl.json"},
    panel="monotonicity_returns.png",
)
