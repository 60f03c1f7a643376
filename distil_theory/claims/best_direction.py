r"""Claim 21: at equal movement no objective gains more than the policy gradient, whatever its teacher knows.

A direction moves the student by `d log pi = eps g` with `E_pi g = 0`. With `<x, y> = sum_h E_{d^pi, pi}[x y]` and
`A = A^pi` its *efficiency* is

.. math:: e(g) = \frac{\langle g, A \rangle}{|g| \, |A|} \le 1 \quad \text{with equality iff } g = c A, \; c > 0,
          \text{ wherever the student goes}

and this is the rate per movement, in units of the best one: to first order, for a KL of `delta` nats per episode, the
return rises by `e(g) |A| sqrt(2 delta)`. The natural policy gradient, and so a natural step on the expectation of
REINFORCE, takes all of it; GRPO nearly all: dividing by a group's standard deviation weighs prompts, by at
most 1.43 against each other in groups of eight, not at all in groups of two and three (`algorithms.groups`). Feedback
can therefore only help to *find* that direction, with less noise (claim 21b) or where rewards are missing; or by steps
that are not small. A class of students that moves in the span of its
score functions, or sees less than the state, has `P A` in the place of `A`, `P` the projection of claim 17. (Steepest
ascent in the Fisher metric: Amari 1998, Kakade 2001.)

Proof. (1) `KL(pi||pi_eps) = log E_pi exp(eps g) - eps E_pi g` in a state, which is `eps^2/2 E_pi g^2` to second order.
(2) Over an episode states add up: the score of a rollout is `sum_h g(s_h, a_h)`, a sum of martingale differences, so
its mean square is `|g|^2`. (3) The return changes at the rate `<g, A>`. (4) For any weights `m` that sum to one,
`2 (E x^2 E y^2 - E[x y]^2) = sum_ij m_i m_j (x_i y_j - x_j y_i)^2`: no term is negative, and all vanish iff `x` and `y`
are proportional. (5) Within the class `<g, A> = <g, P A>`, as `A - P A` is orthogonal to it. (6) The code.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sympy

from distil_theory import efficiency, trajectories, updates
from distil_theory import number_systems as ns
from distil_theory.aliasing import spread
from distil_theory.claims import symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.claims.compatible_class import SIZE, contexts, fork
from distil_theory.claims.restricted import attack, inner, onto, seeing, tilted
from distil_theory.divergences import FORWARD_KL
from distil_theory.number_systems import Array
from distil_theory.solve import advantage
from distil_theory.spec import TabularMDP
from distil_theory.three_points import PI, K, R, total, vanish

EPS = sympy.Symbol("eps", real=True)


def generic(mdp: TabularMDP, student: Array) -> Array:
    """A direction of which nothing is known, centred under the student, who sees the state."""
    x = np.array(sympy.symbols(f"x1:{student.size + 1}", real=True), dtype=object).reshape(student.shape)
    return x - (student * x).sum(axis=2)[:, :, None]


def nats() -> bool:
    """Step 1, the library's step in a generic bandit: value, slope and curvature of the KL at `eps = 0`."""
    for actions in (2, 3):
        mdp, pi, _ = symbols.bandit(actions)
        x = np.array(sympy.symbols(f"x1:{actions + 1}", real=True), dtype=object)[None, None]
        new = updates.exponential_step(mdp, pi, x, EPS)
        kl = -(pi * np.vectorize(sympy.log, otypes=[object])(new / pi)).sum()
        square = (pi * x**2).sum() - (pi * x).sum() ** 2
        if not symbols.vanishes([kl.diff(EPS).subs(EPS, 0), kl.diff(EPS, 2).subs(EPS, 0) - square]):
            return False
    return True


def episode() -> bool:
    """Step 2, the code's rollouts of the generic MDP: `E (sum_h g)^2 = |g|^2`."""
    mdp, pi, _ = symbols.mdp()
    g, every = generic(mdp, pi), trajectories.enumerate_all(mdp)
    score = every.along(g, actions=True).sum(axis=0)
    found = (trajectories.probability(mdp, pi, every) * score**2).sum()
    return symbols.vanishes(found - efficiency.of_direction(mdp, pi, g).moved)


def rate() -> bool:
    """Step 3, the return of the generic MDP, differentiated along a generic direction."""
    mdp, pi, _ = symbols.mdp()
    g = generic(mdp, pi)
    slope = symbols.expected_return(mdp, pi * (1 + EPS * g)).diff(EPS).subs(EPS, 0)
    found = efficiency.of_direction(mdp, pi, g).rate
    return symbols.vanishes([slope - symbols.only(found), slope - inner(mdp, pi, g, advantage(mdp, pi)).sum()])


def lagrange() -> bool:
    """Step 4, any number of states and actions: the inner sum over `j`, then the outer one over `i`."""
    x, y = sympy.symbols("x y")
    over_j = total(PI * sympy.expand((x * K - R * y) ** 2))
    means = dict(zip(map(total, (PI * R**2, PI * R * K, PI * K**2)), sympy.symbols("xx xy yy"), strict=True))
    over_i = total(PI * over_j.xreplace(means).subs({x: R, y: K}, simultaneous=True)).xreplace(means)
    xx, xy, yy = sympy.symbols("xx xy yy")
    return vanish(sympy.expand(over_i - 2 * (xx * yy - xy**2)))


def within() -> bool:
    """Step 5, the code: `A - P A` is orthogonal to what the class can do; parts of the efficiency by the solver."""
    mdp, pi, _, features = fork("symbolic")
    cases = [contexts([0, 0]), contexts([0, 1]), (mdp, pi, symbols.mdp(2, 3, 2)[2], features)]
    ok = True
    for spec, student, expert, basis in cases:
        a = advantage(spec, student)
        pa, g = onto(spec, student, basis, a), onto(spec, student, basis, expert / student)
        move = updates.direction(spec, student, expert, FORWARD_KL)
        found = efficiency.of_direction(spec, student, move, basis)
        wanted = [inner(spec, student, x, y).sum() for x, y in ((g, pa), (g, g), (pa, pa))]
        ok &= symbols.vanishes(inner(spec, student, g, a - pa).sum())
        ok &= symbols.vanishes([x - y for x, y in zip(found, wanted, strict=True)])
    return ok


def attained() -> bool:
    """Step 6: the natural policy gradient, and forward KL to an expert `pi (1 + e A)`, take all; alike contexts too."""
    ok = True
    for mdp, pi, _ in (symbols.mdp(), contexts([0, 0])[:3]):
        best = efficiency.natural_policy_gradient(mdp, pi)
        expert = tilted(pi, spread(mdp, best), SIZE)
        found = efficiency.of_direction(mdp, pi, best), efficiency.of_objective(mdp, pi, expert, FORWARD_KL)
        ok &= all(symbols.vanishes(x.rate**2 - x.moved * x.best) for x in found)
        ok &= symbols.vanishes([found[0].rate - found[0].best, found[1].rate - SIZE * found[1].best])
    return ok


def checks(mdp: TabularMDP, student: Array, expert: Array, features: Sequence[Array]) -> tuple[Array, Array, Array]:
    """Of forward KL to the expert, free and within the class, `|g|^2 |A|^2 - <g, A>^2`, and the product of lengths.

    And what must be 0: the natural policy gradient beside itself, and the parts of the class by sums over states.
    """
    move = updates.direction(mdp, student, expert, FORWARD_KL)
    best = efficiency.natural_policy_gradient(mdp, student)
    slack, sizes, zeros = [], [], []
    for basis in ((), features):
        found, itself = (efficiency.of_direction(mdp, student, x, basis) for x in (move, best))
        sizes.append(found.moved * found.best)
        slack.append(sizes[-1] - found.rate**2)
        zeros += [itself.rate - itself.best, itself.moved - itself.best]
    g, pa = (onto(mdp, student, features, x) for x in (expert / student, advantage(mdp, student)))
    wanted = [inner(mdp, student, x, y).sum(axis=0) for x, y in ((g, pa), (g, g), (pa, pa))]
    zeros += [x - y for x, y in zip(found, wanted, strict=True)]
    return ns.stack(slack), ns.stack(sizes), ns.stack(zeros)


def margin(mdp: TabularMDP, student: Array, expert: Array, features: Sequence[Array]) -> Array:
    """The least of `1 - e^2`, and of the errors of the identities, in units of 1 and the largest product."""
    slack, sizes, zeros = checks(mdp, student, expert, features)
    relative = slack / np.where(sizes > 0, sizes, 1)
    return np.minimum(relative.min(axis=0), -abs(zeros).max(axis=0) / (1 + sizes.max(axis=0)))


def holds_exactly(*parts: Array) -> bool:
    """Both for one MDP, in rationals."""
    mdp, student, expert = symbols.exact_mdp(*parts[:5])
    mdp = TabularMDP(mdp.transition, mdp.reward, mdp.initial, observation=seeing(mdp.shape[1], parts[5].shape[2]))
    slack, _, zeros = checks(mdp, student, expert, list(parts[5]))
    return bool((slack >= 0).all()) and bool((zeros == 0).all())


CLAIM = Claim(
    slug="best_direction",
    number="21",
    title="at equal movement no objective gains more than the policy gradient",
    statement=r"e(g) = \frac{\langle g, A^\pi \rangle}{|g|\,|A^\pi|} \le 1, \quad e(g) = 1 \iff g = c A^\pi,\; c > 0",
    assumptions=("equal movement", "small steps", "natural policy gradient"),
    source="classic",
    scope="any `H`, `S`, `A`, class and observation: Lagrange's identity; the code: any direction on the generic MDP "
    "`H = S = A = 2`, classes on generic contexts and on the risky fork, MDPs in rationals",
    steps=(
        Step("KL is `eps^2/2 E g^2` to second order, by the code", nats, "twice the direction"),
        Step("over an episode it is `|g|^2`, by the code", episode, "the last policy in the flow"),
        Step("the return changes at the rate `<g, A>`, by the code", rate, "pi squared in the flow"),
        Step("`2 (E x^2 E y^2 - E[xy]^2) = E_ij (x_i y_j - x_j y_i)^2`, any number", lagrange, "a plus for the minus"),
        Step("within a class `P A` is the best, by the code", within, "nothing projected"),
        Step("the natural policy gradient takes all, by the code", attained, "Q not centred"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "equal movement": "At an equal step size anything can be ahead: ten times a direction gains ten times as much.",
        "small steps": "A whole step is another matter: one to a better expert gains `J* - J`, however that was found "
        "(claims 7a and 7d).",
        "natural policy gradient": "plain_policy_gradient.json",
    },
    panel="efficiency_divergences.png",
    attack=attack,
)
