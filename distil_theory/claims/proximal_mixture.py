r"""Claim 7a: the proximal step of forward cross-entropy improves the return at any size.

.. math:: J(\pi_\alpha) = J(\pi) + \alpha\,(J(\pi^*) - J(\pi)), \qquad \pi_\alpha = \frac{\pi + \eta\,\pi^*}{1 + \eta},
          \quad \alpha = \frac{\eta}{1 + \eta}

in a bandit whose actions may be whole sequences. Proof. (1) `x = pi_alpha` minimises `E_{pi*}[-log x] + KL(pi || x) /
eta`: the Lagrange condition `pi*_a / x_a + pi_a / (eta x_a) = lambda` holds with `lambda = (1 + eta)/eta` for every
action, and `-log` is convex. (2) The return is linear in the policy.
"""

from __future__ import annotations

import sympy

from distil_theory import number_systems as ns
from distil_theory import solve, updates
from distil_theory.claims import symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.divergences import FORWARD_KL
from distil_theory.number_systems import Array
from distil_theory.spec import Bandit, TabularMDP

ETA = sympy.Symbol("eta", positive=True)


def difference(mdp: TabularMDP, student: Array, expert: Array, eta: Array) -> Array:
    """`J(pi_alpha)` minus what the claim says."""
    old, goal = (solve.expected_return(mdp, policy) for policy in (student, expert))
    new = solve.expected_return(mdp, updates.proximal_step(mdp, student, expert, FORWARD_KL, eta))
    return new - old - eta / (1 + eta) * (goal - old)


def stationary() -> bool:
    """Step 1, for any action of any number of them: the multiplier does not depend on it."""
    p, q = sympy.symbols("p q", positive=True)
    x = (p + ETA * q) / (1 + ETA)
    return symbols.vanishes(q / x + p / (ETA * x) - (1 + ETA) / ETA)


def convex() -> bool:
    """Step 1: `-log x` has a positive second derivative."""
    x = sympy.Symbol("x", positive=True)
    return bool(sympy.diff(-sympy.log(x), x, 2).is_positive)


def linear() -> bool:
    """Step 2, the term of one action of any number of them."""
    p, q, r = sympy.symbols("p q r", positive=True)
    return symbols.vanishes((p + ETA * q) / (1 + ETA) * r - p * r - ETA / (1 + ETA) * (q - p) * r)


def margin(reward: Array, student: Array, expert: Array) -> Array:
    """Minus the difference, for a small, a middling and a large step."""
    mdp, pair = Bandit(reward, batch_ndim=1), (student[None, None], expert[None, None])
    return -sum(abs(difference(mdp, *pair, eta)) for eta in (0.01, 1.0, 100.0))


CLAIM = Claim(
    slug="proximal_mixture",
    number="7a",
    title="the proximal step is monotone at any size",
    statement=r"J\Big(\frac{\pi + \eta\pi^*}{1 + \eta}\Big) = J(\pi) + \frac{\eta}{1 + \eta} (J(\pi^*) - J(\pi))",
    assumptions=("proximal, not exponential", "whole sequences", "unaliased student"),
    source="classic",
    scope="any number of actions (each term of the sums); the code on generic bandits `A = 2, 3, 4`, any `eta > 0`",
    steps=(
        Step("the mixture is stationary, action by action", stationary, "(pi + pi*) / (1 + eta)"),
        Step("the objective is convex", convex, "log for -log"),
        Step("the return is linear, action by action", linear, "eta for eta / (1 + eta)"),
        Step(
            "the code, on generic bandits",
            lambda: all(symbols.vanishes(difference(*symbols.bandit(a), ETA)) for a in (2, 3, 4)),
            "swap student and expert in updates.proximal_step",
        ),
    ),
    margin=margin,
    holds_exactly=lambda *bandit: all(
        difference(*symbols.exact_bandit(*bandit), ns.convert(eta, "rational")) == 0 for eta in ("1/100", 1, 100)
    ),
    without={
        "proximal, not exponential": "long_step_forward_kl.json",
        "whole sequences": "mixture_many_steps.json",
        "unaliased student": "mixture_aliased.json",
    },
    panel="monotonicity_returns.png",
)
