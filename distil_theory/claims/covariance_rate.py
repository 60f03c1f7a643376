r"""Claim 1: the first-order improvement of a small step is a covariance.

.. math:: \frac{dJ}{d\eta}\Big|_0 = \sum_h E_{s\sim d_h^\pi} \mathrm{Cov}_{a\sim\pi}\big(Q_h^\pi, h_f(u)\big),
          \qquad u = \pi^*/\pi

for the natural step on the local loss of an unaliased student; for the Euclidean step `h_f` is replaced by
`d_h pi (h_f - E_pi h_f)`. A student that sees only an observation `o` has
`sum_h sum_o d_h(o) Cov_pi( E[Q|o], E[h_f|o] )`, where the expectations are over `d_h^pi(s|o)`; again the Euclidean step
has `d_h(o) pi (E[h_f|o] - E_pi E[h_f|o])` for `E[h_f|o]`.

Proof. (1) Term by term `d/dp [p f(q/p)] = -h(q/p)`. (2) Softmax: `d pi_a / d theta_b = pi_a ([a=b] - pi_b)`, so the
loss, its occupancy held fixed, has the gradient `-d pi_b (h_b - E_pi h)`. (3) The Fisher matrix of a state is `d (diag
pi - pi pi^T)` and takes `h`, up to a constant, to minus that gradient: the natural step is `h`. (4) The policy gradient
`d pi A` is what the performance-difference lemma leaves to first order, because `E_pi A = 0`. (5) Along a direction
`x` it gives `sum_h E_d sum_a pi A x`, and `sum_a pi A x = Cov_pi(Q, x)`. States behind one observation share logits:
their gradients add up, and divided by `d(o)` they are the expectations given `o`.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import partial

import numpy as np
import sympy

from distil_theory import divergences, objectives, solve, updates
from distil_theory import number_systems as ns
from distil_theory.aliasing import pool, visible
from distil_theory.claims import symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.divergences import CATALOGUE, PEARSON, REVERSE_KL, TOTAL_VARIATION, FDivergence
from distil_theory.falsify import mdps
from distil_theory.finite_steps import GENERIC
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP
from distil_theory.three_points import PI, SHIFT, A, B, K, R, cov, total, vanish

BOTH = ("natural", "euclidean")
THIRD, HALF = Fraction(1, 3), Fraction(1, 2)
FAMILIES = (
    *(divergences.alpha(a) for a in (-2, -1, THIRD, HALF, 2, 3)),
    *(divergences.skewed_js(b) for b in (THIRD, 1, 4)),
    *(divergences.generalized_js(b, c) for b in (0, THIRD, 1) for c in ("special_cased", "continuous")),
)


def generic() -> Iterator[tuple[TabularMDP, Array, Array]]:
    """The generic MDP, once for a student that sees the state and once for one that sees nothing."""
    yield symbols.mdp()
    yield symbols.alike(*symbols.mdp(), (0, 0))


def formula(mdp: TabularMDP, student: Array, expert: Array, geometry: str, f: FDivergence = GENERIC) -> Array:
    """The covariances of the claim, written from values and occupancy only."""
    d, q, h = solve.occupancy(mdp, student), solve.values(mdp, student)[1], f.h(expert / student)
    rate = 0
    for o in range(mdp.observations):
        states = np.flatnonzero(np.asarray(mdp.observation) == o)
        seen, p = d[:, states].sum(axis=1), student[:, states[0]]
        mean_q, mean_h = ((d[:, states, None] * x[:, states]).sum(axis=1) / seen[:, None] for x in (q, h))
        x = mean_h - (p * mean_h).sum(axis=1)[:, None]
        x = seen[:, None] * p * x if geometry == "euclidean" else x
        advantage = mean_q - (p * mean_q).sum(axis=1)[:, None]
        rate = rate + (seen * (p * advantage * x).sum(axis=1)).sum(axis=0)
    return rate


def differences(mdp: TabularMDP, student: Array, expert: Array, geometry: str, f: FDivergence = GENERIC) -> list[Array]:
    """Formula, and the rate of the code, minus `<dJ/d theta, Delta theta>`."""
    step = updates.direction(mdp, student, expert, f, geometry)
    change = updates.first_order_change(mdp, student, step)
    rate = objectives.improvement_rate(mdp, student, expert, f, geometry)
    return [formula(mdp, student, expert, geometry, f) - change, rate - change]


def score_is_the_derivative() -> bool:
    """Step 1, any f: `d/dp [p f(q/p)] = f(u) - u f'(u)`."""
    p, q, u = sympy.symbols("p q u", positive=True)
    f = sympy.Function("f")
    score = u * sympy.diff(f(u), u) - f(u)
    return symbols.vanishes((sympy.diff(p * f(q / p), p) + score.subs(u, q / p)).doit())


def scores_of_the_library() -> bool:
    """`h = u f' - f` up to one constant on both sides of 1, `f(1) = 0`, `f''(1)` and `lim f(u)/u` as said."""
    for d in (*CATALOGUE, *FAMILIES):
        f, h, one = (symbols.only(x(np.array(A, dtype=object))) for x in (d.f, d.h, lambda u: u / u))
        off = A * f.diff(A) - f - h
        sides = [off.subs(A, u) for u in (1 + B, 1 / (1 + B))]
        left, right = (side.subs(B, 1) for side in sides)
        slope = sympy.oo if d.slope is None else symbols.only(d.slope(np.array(one, dtype=object)))
        good = vanish(sides[0] - left, sides[1] - right, left - right, f.subs(A, 1))
        limit = sympy.limit(f.subs(A, 1 + B) / B, B, sympy.oo)
        good &= limit == slope or vanish(limit - slope)
        if not good or (d is not TOTAL_VARIATION and not vanish(f.diff(A, 2).subs(A, 1) - sympy.nsimplify(d.unit))):
            return False
    return True


def any_number_of_actions() -> bool:
    """Steps 2 to 5: softmax, chain rule, Fisher matrix, policy gradient, covariance."""
    theta, k, rest = sympy.symbols("theta k rest", positive=True)
    p, other = sympy.exp(theta) / (sympy.exp(theta) + rest), k / (sympy.exp(theta) + rest)
    softmax = vanish(p.diff(theta) - p * (1 - p), other.diff(theta) + other * p)
    mean, q_mean, d, d_moves = sympy.symbols("Eh V d dd")
    known = {total(PI * K): mean, total(PI * R): q_mean}
    chain = PI * (0 - K) + PI * total(PI * K)  # sum_a -h_a pi_a ([a=b] - pi_b)
    shifted = K - SHIFT
    fisher = PI * shifted - PI * total(PI * shifted)
    natural = vanish((fisher + chain).xreplace(known))
    advantage = R - q_mean
    lemma = d_moves * total(PI * advantage) + d * total(PI * (K - mean) * advantage)  # of sum_s d' E_pi' A
    return softmax and natural and vanish(sympy.expand((lemma - d * cov(R, K)).xreplace(known)))


def local_gradient() -> bool:
    """Step 2 by the code: each state's `D_f`, differentiated in a logit, times the occupancy, which is held."""
    ok = True
    for mdp, student, expert in generic():
        d, value = solve.occupancy(mdp, student), symbols.ANY.value(expert, student, axis=2)
        gradient = objectives.loss_gradient(mdp, student, expert, symbols.ANY)
        for (h, o), p in np.ndenumerate(visible(mdp, student)[:, :, 0]):  # a logit moves (p, 1 - p) by p (1 - p)
            slopes = d[h] * [e.diff(p) * p * (1 - p) for e in value[h]]
            found = pool(mdp, slopes[None])[0, o]
            ok &= vanish((found - gradient[h, o, 0]).doit(), gradient[h, o].sum())
    return ok


def steps_of_the_code() -> bool:
    """Step 3 by the code: Fisher matrix times natural step, and the Euclidean step, are minus the gradient."""
    ok = True
    for mdp, student, expert in (symbols.bandit(3), *generic()):
        natural, plain = (updates.direction(mdp, student, expert, GENERIC, g) for g in BOTH)
        gradient = objectives.loss_gradient(mdp, student, expert, GENERIC)
        seen, pi = pool(mdp, solve.occupancy(mdp, student)), visible(mdp, student)
        for h, o in np.ndindex(*seen.shape):
            p, g = pi[h, o], gradient[h, o]
            fisher = seen[h, o] * (np.diag(p) - np.outer(p, p))
            ok &= symbols.vanishes(fisher @ natural[h, o] + g) and symbols.vanishes(plain[h, o] + g - (p * g).sum())
    return ok


def policy_gradient() -> bool:
    """Step 4 by the code: its policy gradient is the derivative of its return in every logit."""
    ok = True
    for mdp, student, _ in generic():
        gradient, value = objectives.return_gradient(mdp, student), symbols.expected_return(mdp, student)
        for (h, o), p in np.ndenumerate(visible(mdp, student)[:, :, 0]):
            slope = sympy.diff(sympy.expand(value), p) * p * (1 - p)
            ok &= symbols.vanishes([slope - gradient[h, o, 0], gradient[h, o].sum()])
    return ok


def rates(geometry: str) -> bool:
    """Step 5 by the code; the beliefs of the contexts that look alike differ."""
    cases = (symbols.bandit(2), symbols.bandit(3), symbols.mdp(), symbols.alike(*symbols.mdp(1), (0, 0)))
    return all(symbols.vanishes(x) for case in cases for x in differences(*case, geometry))


def margin(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """Minus the differences for reverse KL, both steps; and again where the last two of the three states look alike."""
    cases = ((mdp, student, expert), symbols.alike(mdp, student, expert, (0, 1, 1)))
    return -sum(abs(x) for case in cases for g in BOTH for x in differences(*case, g, REVERSE_KL))


def holds_exactly(*parts: Array) -> bool:
    """No difference for Pearson's divergence, in rationals; for reverse KL balls around zero narrower than 1e-30."""
    mdp, student, expert = symbols.exact_mdp(*parts)
    with ns.precision(256):
        for m, pi, star in ((mdp, student, expert), symbols.alike(mdp, student, expert, (0, 1, 1))):
            ball, pi_ball, star_ball = m.convert("ball"), ns.convert(pi, "ball"), ns.convert(star, "ball")
            for geometry in BOTH:
                exact = differences(m, pi, star, geometry, PEARSON)
                balls = [symbols.only(x) for x in differences(ball, pi_ball, star_ball, geometry, REVERSE_KL)]
                if any(x != 0 for x in exact) or not all(x.contains(0) and x.rad() < 1e-30 for x in balls):
                    return False
    return True


CLAIM = Claim(
    slug="covariance_rate",
    number="1",
    title="first-order improvement is a covariance",
    statement=r"\frac{dJ}{d\eta}\Big|_0 = \sum_h E_{s\sim d_h^\pi} \mathrm{Cov}_{a\sim\pi}(Q_h^\pi, h_f(\pi^*/\pi))",
    assumptions=("natural step", "unrestricted student", "local loss", "unaliased student"),
    source="paper",
    scope="any `A`, `H`, `S`, `h` (term by term); the code, any `h`: bandits `A = 2, 3`, the MDP `H = S = A = "
    "2`, contexts that look alike",
    steps=(
        Step("the score: `d/dp [p f(q/p)] = -h(q/p)`, any `f`", score_is_the_derivative, "h = u f' + f, in the step"),
        Step(
            "`h`, `f''(1)` and the slope of the catalogue and of 15 members of the families",
            scores_of_the_library,
            "twice the h of Hellinger",
        ),
        Step(
            "softmax, Fisher matrix and policy gradient, any number of actions", any_number_of_actions, "dpi_a = -pi_a"
        ),
        Step(
            "the local gradient holds the occupancy fixed, generic MDP, any `f`", local_gradient, "drop the occupancy"
        ),
        Step(
            "Fisher matrix times natural step is minus the gradient, the Euclidean step",
            steps_of_the_code,
            "the score squared",
        ),
        Step("the policy gradient theorem, by differentiating the return", policy_gradient, "A = Q in Point"),
        Step("natural step, generic bandits and MDP, any `h`", partial(rates, "natural"), "uniform beliefs"),
        Step("Euclidean step, generic bandits and MDP, any `h`", partial(rates, "euclidean"), "drop the centring"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "natural step": "euclidean.json",
        "unrestricted student": "restricted.json",
        "local loss": "spurious_disagreement.json",
        "unaliased student": "aliased.json",
    },
    panel="monotonicity_returns.png",
    attack=mdps,
)
