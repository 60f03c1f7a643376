r"""Claim 4: with two actions every divergence is safe in a bandit; three actions are the minimum.

.. math:: |A| = 2,\; J(\pi^*) > J(\pi) \;\Rightarrow\; \frac{dJ}{d\eta}\Big|_0 \ge 0 \quad \text{for every convex } f,
          \text{ natural and Euclidean}

where `h(u) = u s - f(u)` with any subgradient `s` of `f` at `u` (`f'` where it exists). Proof. Let `p, q` be the
probabilities of the first action. (1) The gap is `(q - p)(r1 - r2)`, the natural rate `p (1-p) (r1 - r2)(h1 - h2)`, the
Euclidean one that times the positive `2 p (1-p)`; and `u1 - u2 = (q - p) / (p (1-p))`. (2) So

    rate * gap = p^2 (1-p)^2 (r1 - r2)^2 (u1 - u2)(h1 - h2).

(3) `h` never decreases: `a = f(y) - f(x) - s_x (y - x)` and `b = f(x) - f(y) - s_y (x - y)` are not negative for a
convex `f`, and `(h_y - h_x)(y - x) = x a + y b >= 0`. (Where `f` is smooth, `h' = u f''`.)
"""

from __future__ import annotations

from functools import partial

import numpy as np
import sympy

from distil_theory import falsify, objectives
from distil_theory.claims import symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.divergences import CATALOGUE
from distil_theory.finite_steps import GENERIC, SCORE
from distil_theory.number_systems import Array
from distil_theory.prevalence import exact_sign, small_step
from distil_theory.three_points import A, positive

P, Q, R1, R2, H1, H2 = sympy.symbols("p1 q1 r1 r2 h1 h2")


def _rate(geometry: str) -> sympy.Expr:
    """The code's rate on the generic bandit, with the two scores as symbols."""
    mdp, student, expert = symbols.bandit(2)
    rate = symbols.only(objectives.improvement_rate(mdp, student, expert, GENERIC, geometry))
    u = expert[0, 0] / student[0, 0]
    return _plain(rate.subs({SCORE(u[0]): H1, SCORE(u[1]): H2}))


def _plain(expression: sympy.Expr) -> sympy.Expr:
    """Without the assumptions that the generic instance puts on its symbols."""
    return expression.xreplace({x: sympy.Symbol(x.name) for x in expression.free_symbols})


def natural() -> bool:
    """Step 1, natural."""
    return symbols.vanishes(_rate("natural") - P * (1 - P) * (R1 - R2) * (H1 - H2))


def euclidean() -> bool:
    """Step 1, Euclidean: the natural rate times the positive `2 p (1 - p)`."""
    return symbols.vanishes(_rate("euclidean") - 2 * P * (1 - P) * _rate("natural"))


def _gap() -> tuple[sympy.Expr, sympy.Expr]:
    """The code's gap on the generic bandit, and `u1 - u2`."""
    mdp, student, expert = symbols.bandit(2)
    u = expert[0, 0] / student[0, 0]
    found = symbols.expected_return(mdp, expert) - symbols.expected_return(mdp, student)
    return _plain(found), _plain(sympy.together(u[0] - u[1]))


def gap() -> bool:
    """Step 1, the gap and the ratios."""
    found, apart = _gap()
    return symbols.vanishes(found - (Q - P) * (R1 - R2)) and symbols.vanishes(apart - (Q - P) / (P * (1 - P)))


def one_sign() -> bool:
    """Step 2: rate times gap is a square times `(u1 - u2)(h1 - h2)`; a Euclidean rate adds the factor `2 p (1 - p)`."""
    found, apart = _gap()
    square = (P * (1 - P) * (R1 - R2)) ** 2
    rates = (_rate("natural"), _rate("euclidean") / (2 * P * (1 - P)))
    return positive((2 * P * (1 - P)).subs(P, A / (1 + A))) and all(
        symbols.vanishes(rate * found - square * apart * (H1 - H2)) for rate in rates
    )


def monotone() -> bool:
    """Step 3: `(h_y - h_x)(y - x) = x a + y b` for any values and slopes; and `h' = u f''`, any f."""
    x, y, f_x, f_y, s_x, s_y = sympy.symbols("x y f_x f_y s_x s_y")
    above_x, above_y = f_y - f_x - s_x * (y - x), f_x - f_y - s_y * (x - y)
    growth = ((y * s_y - f_y) - (x * s_x - f_x)) * (y - x) - x * above_x - y * above_y
    u = sympy.Symbol("u", positive=True)
    f = sympy.Function("f")
    bend = sympy.diff(u * sympy.diff(f(u), u) - f(u), u) - u * sympy.diff(f(u), u, 2)
    return symbols.vanishes(growth) and symbols.vanishes(bend)


def margin(reward: Array, student: Array, expert: Array) -> Array:
    """The least rate over the catalogue and both geometries, relative to the size of the scores."""
    u = expert / student
    advantage = reward - (student * reward).sum(axis=0)
    least = np.full(reward.shape[1], np.inf)
    for divergence in CATALOGUE:
        score = divergence.h(u)
        size = (student * abs(score)).sum(axis=0)
        for x in (score, student * (score - (student * score).sum(axis=0))):
            least = np.minimum(least, (student * advantage * x).sum(axis=0) / np.where(size > 0, size, 1))
    return least


def holds_exactly(reward: Array, student: Array, expert: Array) -> bool:
    """No rate of the catalogue is negative, in rationals where the score is rational and in balls elsewhere."""
    steps = [small_step(divergence.name, geometry) for divergence in CATALOGUE for geometry in ("natural", "euclidean")]
    return all(exact_sign(step, reward, student, expert) >= 0 for step in steps)


CLAIM = Claim(
    slug="two_actions",
    number="4",
    title="two actions are safe in a bandit",
    statement=r"|A| = 2,\; J(\pi^*) > J(\pi) \Rightarrow \frac{dJ}{d\eta}\Big|_0 \ge 0 \text{ for every convex } f"
    r"\text{, natural and Euclidean}",
    assumptions=("two actions", "one context"),
    source="ours",
    scope="any convex `f`, any subgradient at a kink; natural (so proximal) and Euclidean; `|A| = 2` is the claim",
    steps=(
        Step(
            "the natural rate is `p (1-p) (r_1 - r_2) (h_1 - h_2)`, any `h`, by the code",
            natural,
            "a covariance without pi",
        ),
        Step("the Euclidean rate is `2 p (1-p)` times the natural one", euclidean, "a covariance that is not centred"),
        Step("the gap is `(q - p)(r_1 - r_2)`, and `u_1 - u_2 = (q - p)/(p (1-p))`", gap, "a lost factor in V"),
        Step("rate times gap is a square times `(u_1 - u_2)(h_1 - h_2)`", one_sign, "u = pi / pi*"),
        Step("`h` never decreases: `(h_y - h_x)(y - x) = x a + y b`, any convex `f`", monotone, "h = f - u s"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={"two actions": "teaching_reverse_kl.json", "one context": "two_contexts.json"},
    panel="monotonicity_failure_rates.png",
    attack=partial(falsify.bandits, sizes=(2,)),
)
