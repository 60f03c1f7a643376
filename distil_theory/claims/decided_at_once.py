r"""Claim 21d: right or wrong at once, a concave `h` takes more of the best direction than forward cross-entropy.

Prompts whose answers are right or wrong, each answer one action, the teacher the student conditioned on success and
trusted to a share `t` (mixed with the student, as reverse KL needs). With `V` the success of a prompt every divergence
moves the student there along the advantage, and differs from others only in how far:

.. math:: g = c(1/V) \, A, \quad c(x) = h(1 + t(x-1)) - h(1-t), \qquad e = \frac{E_{s^2}\, c}{\sqrt{E_{s^2}\, c^2}}

(`s^2 = d Var_pi Q`, claim 21c). If `h` is concave (reverse KL, Jensen-Shannon, Hellinger, skewed JS), `e` is at least
that of forward cross-entropy, where `c = t x`; if convex (Pearson) at most. Total variation, `c = 1`, takes all, and so
does reverse KL in the limit `t -> 1`. Where an action leaves success open no such order holds: in a single bandit of
three chances of success forward cross-entropy takes all, reverse KL and JS may take less than a tenth, Pearson less
than a third (certificates), and reverse KL in the limit, if some action is sure to fail, goes to "avoid certain
failure", the direction `1[Q > 0]`.

Proof. (1) Two ratios occur at a prompt, and any function of two values is linear. (2) `c(0) = 0`, so for a concave `c`
the quotient `psi = c/x` falls, and `c` grows as `h` does (claim 9). (3) Chebyshev: the covariance of a falling and a
growing function is a sum of terms that are not positive. (4) Under the law `nu`, `s^2` weighted by `x`, this says
`E psi c <= E psi E c` and `E c = E psi x <= E psi E x`, which is `E c^2 (E x)^2 <= (E c)^2 E x^2` under `s^2`. For a
convex `c` both signs turn. (5) As `t -> 1`, `log(1 - t + t u) / log(1 - t)` tends to 1 where `u = 0`, to 0 elsewhere;
and the direction `1[Q > 0]` has in a state of success `V`, `p = P(Q > 0)`, the rate `V (1 - p)` and the squared length
`p (1 - p)`: it takes all iff `Q` is the same wherever it is not 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy

from distil_theory import efficiency, experts, updates
from distil_theory import number_systems as ns
from distil_theory.claims import symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.claims.success_conditioned import pairs_of_actions
from distil_theory.claims.truthful_lookahead import ANY, H
from distil_theory.divergences import (
    FORWARD_KL,
    HELLINGER,
    JENSEN_SHANNON,
    NEYMAN,
    PEARSON,
    REVERSE_KL,
    TOTAL_VARIATION,
    FDivergence,
)
from distil_theory.falsify import Found, smallest
from distil_theory.number_systems import Array
from distil_theory.spec import Bandit, TabularMDP

AHEAD = (JENSEN_SHANNON, HELLINGER, TOTAL_VARIATION, REVERSE_KL, NEYMAN)
TRUST = "9/10"
"""In the teacher, for the last two: they cannot bear a zero."""
PROMPTS = 3
T, C, X = sympy.symbols("t c x", positive=True)


def contexts(start: Array, success: Array) -> tuple[TabularMDP, Array]:
    """Prompts `(S,*B)` with a right and a wrong answer, and the student who is right with chance `success`."""
    bits = np.stack([np.ones(len(success), dtype=int), np.zeros(len(success), dtype=int)], axis=1)
    reward = bits.reshape(*bits.shape, *[1] * (success.ndim - 1)) + success[:, None] * 0
    return Bandit(reward, start, batch_ndim=success.ndim - 1), ns.stack([success, 1 - success], axis=1)[None]


def taught(start: Array, success: Array, divergence: FDivergence, trust: Any) -> tuple[TabularMDP, Array, Array]:
    """Problem, student and the truthful teacher, trusted to a share."""
    mdp, pi = contexts(start, success)
    return mdp, pi, trust * experts.success_conditioned(mdp, pi) + (1 - trust) * pi


def one_slope() -> bool:
    """Step 1, the code on two prompts: the direction of any divergence, any trust."""
    start, success = (np.array(sympy.symbols(x), dtype=object) for x in ("w v", "V W"))
    mdp, pi, star = taught(np.array([start[0], 1 - start[0]]), success, ANY, T)
    move, a = updates.direction(mdp, pi, star, ANY), efficiency.natural_policy_gradient(mdp, pi)
    c = np.array([H(sympy.expand(T / v + 1 - T)) - H(1 - T) for v in success], dtype=object)
    same = np.vectorize(lambda e: e.replace(H, lambda u: H(sympy.expand(sympy.cancel(u)))), otypes=[object])
    return symbols.vanishes(same(move) - c[None, :, None] * a)


def quotient() -> bool:
    """Step 2: `x^2 psi' = x c' - c` is 0 at 0 and has the derivative `x c''`; `c'' = t^2 h''`, `c(0) = 0`."""
    c = sympy.Function("c")(X)
    falls = X * c.diff(X) - c
    score = H(1 + T * (X - 1)) - H(1 - T)
    return (
        symbols.vanishes((X**2 * (c / X).diff(X) - falls).doit())
        and symbols.vanishes(falls.diff(X) - X * c.diff(X, 2))
        and symbols.vanishes(sympy.expand(score.subs(X, 0)).doit())
    )


def assembled() -> bool:
    """Step 4: the two covariances under `nu` add up to the difference of the squares."""
    ex, ec, exx, exc, ecc = sympy.symbols("Ex Ec Exx Exc Ecc", positive=True)
    psi, x, c, psi_c = ec / ex, exx / ex, exc / ex, ecc / ex  # means under nu, whose density is x / E x
    return symbols.vanishes(ec**2 * exx - ex**2 * ecc - ex**3 * ((psi * x - c) * psi + (psi * c - psi_c)))


def avoid_failure() -> bool:
    """Step 5: the limit of reverse KL, and the direction `1[Q > 0]` in a generic bandit, by the code."""
    u, share = sympy.Symbol("u", positive=True), sympy.log(1 - T + T * C) / sympy.log(1 - T)
    limits = [sympy.limit(share.subs(C, x), T, 1, "-") for x in (u, sympy.Integer(0))]
    _, pi, _ = symbols.bandit(3)
    q = np.array([sympy.Integer(0), *sympy.symbols("Q2 Q3", positive=True)], dtype=object)
    alive = np.array([[[0, 1, 1]]], dtype=object) * sympy.Integer(1)
    found = efficiency.of_direction(Bandit(q), pi, alive)
    p, v = 1 - pi[0, 0, 0], (pi[0, 0] * q).sum()
    spread = (pi[0, 0, 1:] * (q[1:] - v / p) ** 2).sum()  # of what is left where failure is not certain
    return limits == [0, 1] and symbols.vanishes(
        [found.rate - v * (1 - p), found.moved - p * (1 - p), found.best - (spread + (1 - p) / p * v**2)]
    )


def squares(start: Array, success: Array) -> tuple[Array, Array]:
    """`e^2` of those that are to be ahead less that of forward cross-entropy, and of that less Pearson's."""
    one = ns.common(ns.asarray(1), success)[0]
    trust = ns.convert(TRUST, ns.name(success))[()]

    def square(divergence: FDivergence) -> Array:
        share = trust if divergence.needs_expert_support else one
        return efficiency.of_objective(*taught(start, success, divergence, share), divergence).squared

    plain = square(FORWARD_KL)
    return ns.stack([square(divergence) - plain for divergence in AHEAD]), plain - square(PEARSON)


def margin(start: Array, success: Array) -> Array:
    """The least of the leads."""
    ahead, behind = squares(start, success)
    return np.minimum(ahead.min(axis=0), behind)


def holds_exactly(start: Array, success: Array) -> bool:
    """The same in balls; one around zero narrower than 1e-30 counts as zero."""
    start = symbols.normalised(start[None])[0]
    with ns.precision(256):
        ahead, behind = squares(*(ns.convert(x, "ball") for x in (start, success)))
        return all(bool(x >= 0) or bool(x.contains(0) and x.rad() < 1e-30) for x in (*ahead.flat, symbols.only(behind)))


def attack(margin: Callable[..., Array], n: int, seed: int) -> Found:
    """The smallest margin over prompts of any success, some nearly equal; a tenth of `n`."""
    rng, size = np.random.default_rng([seed, PROMPTS]), -(-n // 10)
    start = rng.dirichlet(np.ones(PROMPTS), size).T
    spread = 10 ** rng.uniform(-6, 0, size)
    success = 10 ** (rng.uniform(-4, -1e-2, size) - spread * rng.random((PROMPTS, size)))
    return smallest(margin(start, success), size, start, success)


CLAIM = Claim(
    slug="decided_at_once",
    number="21d",
    title="right or wrong at once, a concave divergence takes more of the best direction",
    statement=r"Q \in \{0, 1\},\; \pi^* = \pi Q/V,\; h \text{ concave} \Rightarrow e_h \ge e_{\text{forward KL}}, "
    r"\quad h \text{ convex} \Rightarrow e_h \le e_{\text{forward KL}}",
    assumptions=("success decided at once", "`h` concave", "truthful feedback on the present student", "natural step"),
    source="ours",
    scope="any number of prompts and answers, any concave, twice differentiable `h` and total variation: Chebyshev; "
    "the code: two prompts, any divergence and trust",
    steps=(
        Step("one slope for each prompt, by the code, any `h` and trust", one_slope, "u = pi / pi*"),
        Step("`c/x` falls if `c` is concave with `c(0) = 0`", quotient, "c for x c' - c"),
        Step("covariances by pairs, any number", pairs_of_actions, "drop the factor 2"),
        Step("two covariances make the inequality", assembled, "psi x for psi c"),
        Step("reverse KL in the limit avoids sure failure, by the code", avoid_failure, "a length that is not centred"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "success decided at once": "efficiency_chances_reverse_kl.json",
        "`h` concave": "efficiency_sharp_pearson_chi2.json",
        "truthful feedback on the present student": "lagged_teacher.json",
        "natural step": "efficiency_plain_jensen_shannon.json",
    },
    panel="efficiency_divergences.png",
    attack=attack,
)
