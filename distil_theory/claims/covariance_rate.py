r"""Claim 1: the first-order improvement of a small step is a covariance.

.. math:: \frac{dJ}{d\eta}\Big|_0 = \sum_h E_{s\sim d_h^\pi} \mathrm{Cov}_{a\sim\pi}\big(Q_h^\pi, h_f(u)\big),
          \qquad u = \pi^*/\pi

for the natural step on the local loss of an unaliased student; for the Euclidean step `h_f` is replaced by
`d_h pi (h_f - E_pi h_f)`. Proof. (1) Softmax: `d pi(a) / d theta(b) = pi(a) ([a=b] - pi(b))`, and term by term
`d/dp [p f(q/p)] = -h(q/p)`: the loss has the gradient `-d pi_b (h_b - E_pi h)`. (2) The natural step is `h` up to a
constant per state. (3) The policy gradient theorem, `dJ/d theta = d pi A`, turns the step into
`sum_h E_d sum_a pi A h`, and `sum_a pi A x = Cov_pi(Q, x)`.
"""

from __future__ import annotations

import sympy

from distil_theory import objectives, solve, updates
from distil_theory.claims import symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.divergences import FORWARD_KL, JENSEN_SHANNON, PEARSON, REVERSE_KL, FDivergence
from distil_theory.falsify import mdps
from distil_theory.finite_steps import GENERIC
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP


def difference(mdp: TabularMDP, student: Array, expert: Array, geometry: str, f: FDivergence = GENERIC) -> Array:
    """The covariance minus `<dJ/d theta, Delta theta>`."""
    step = updates.direction(mdp, student, expert, f, geometry)
    rate = objectives.improvement_rate(mdp, student, expert, f, geometry)
    return rate - updates.first_order_change(mdp, student, step)


def score_is_the_derivative() -> bool:
    """Step 1, any f: `d/dp [p f(q/p)] = f(u) - u f'(u)`."""
    p, q, u = sympy.symbols("p q u", positive=True)
    f = sympy.Function("f")
    score = u * sympy.diff(f(u), u) - f(u)
    return symbols.vanishes((sympy.diff(p * f(q / p), p) + score.subs(u, q / p)).doit())


def policy_gradient() -> bool:
    """Step 3: the code's policy gradient is the derivative of the code's return in every logit of a generic MDP."""
    mdp, student, _ = symbols.mdp()
    gradient, ok = objectives.return_gradient(mdp, student), True
    value = sympy.expand(symbols.expected_return(mdp, student))
    for index in ((0, 0), (1, 1)):
        p = student[index][0]  # a logit moves (p, 1 - p) by p (1 - p)
        ok &= symbols.vanishes(sympy.diff(value, p) * p * (1 - p) - gradient[index][0])
    return ok


def local_gradient() -> bool:
    """Step 1: the code's gradient is the derivative of the loss in each state, times the occupancy, which is held."""
    mdp, student, expert = symbols.mdp()
    d, ok = solve.occupancy(mdp, student), True
    for divergence in (FORWARD_KL, REVERSE_KL, JENSEN_SHANNON):
        gradient = objectives.loss_gradient(mdp, student, expert, divergence)
        for index in ((0, 0), (1, 1)):
            p, q = student[index], expert[index]
            loss = (p * divergence.f(q / p)).sum()
            logs = sympy.expand_log(sympy.diff(loss, p[0]), force=True)
            ok &= symbols.vanishes(d[index] * logs * p[0] * p[1] - sympy.expand_log(gradient[index][0], force=True))
    return ok


CLAIM = Claim(
    slug="covariance_rate",
    number="1",
    title="first-order improvement is a covariance",
    statement=r"\frac{dJ}{d\eta}\Big|_0 = \sum_h E_{s\sim d_h^\pi} \mathrm{Cov}_{a\sim\pi}(Q_h^\pi, h_f(\pi^*/\pi))",
    assumptions=(),
    source="paper",
    scope="step 1 for any f; steps 2 and 3 by the code: bandits A = 2, 3 with any h, the MDP H = S = A = 2",
    steps=(
        Step("the score: d/dp [p f(q/p)] = -h(q/p), any f", score_is_the_derivative, "h = u f' + f"),
        Step("the local gradient holds the occupancy fixed, generic MDP", local_gradient, "drop the occupancy"),
        Step(
            "natural step, generic bandit, any h",
            lambda: all(symbols.vanishes(difference(*symbols.bandit(a), "natural")) for a in (2, 3)),
            "drop the centring in objectives.covariance",
        ),
        Step(
            "Euclidean step, generic bandit, any h",
            lambda: all(symbols.vanishes(difference(*symbols.bandit(a), "euclidean")) for a in (2, 3)),
            "weight a state by d instead of d^2 in Point.rate",
        ),
        Step("the policy gradient theorem, by differentiating the return", policy_gradient, "A = Q in Point"),
    ),
    margin=lambda mdp, student, expert: (
        -abs(difference(mdp, student, expert, "natural", REVERSE_KL))
        - abs(difference(mdp, student, expert, "euclidean", REVERSE_KL))
    ),
    holds_exactly=lambda *parts: all(
        difference(*symbols.exact_mdp(*parts), geometry, PEARSON) == 0 for geometry in ("natural", "euclidean")
    ),
    without={},
    panel="monotonicity_returns.png",
    attack=mdps,
)
