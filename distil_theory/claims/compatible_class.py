r"""Claim 17: which restricted students keep the guarantee: those whose class can express the advantage.

The student's logits are linear in some weights, `theta = sum_k v_k phi_k` with features of `(h, o, a)` (for any smooth
class: the gradients of its logits), and may see less than the state. With `<x, y> = sum_h E_{s ~ d_h^pi, a ~ pi} x y`
let `P` be the projection onto the span of the score functions `psi_k = phi_k - E_pi phi_k`; `w = d*/d`, `u = pi*/pi`,
`B = A - P A`. The natural step of the class on the loss of claim 2 has

.. math:: \frac{dJ}{d\eta}\Big|_0 = \langle PA, w(u-1) \rangle
          = J(\pi^*) - J(\pi) - \sum_h \langle (I-P)A, (I-P)\,w(u-1) \rangle_h

(a) so the error is at most `sum_h |(I-P) A|_h |(I-P) w(u-1)|_h`; (b) it is 0 for **every** expert iff `B = 0` wherever
the student goes; (c) unless `P A` is `A` or 0 some better expert makes the step *lower* the return; (d) if the logits
of each `(h, o)` are free, `P A = E[A | o, a]`, and `B = 0` iff `A`, where the student goes, depends on the state only
through the observation. Proof. (1) The gradient in `v_k` is `-<psi_k, w u>`, and `<psi_k, w> = 0`; the Fisher matrix is
`<psi_k, psi_l>`; so the natural step moves the scores by `P w(u-1)`, the solution of the normal equations. (2) `P` is
symmetric and idempotent, and `dJ = <A, .>` of that motion. (3) `<A, w(u-1)> = J* - J`: claim 2, and `E_pi A = 0`.
(4) Hence the two formulas, and (a) is Cauchy-Schwarz in each step. (5) Score functions have `E_pi = 0` in each state,
`A` too: so `B` has, and `pi (1 + e B)` is an expert of full support for `0 < e < 1 / max |B|`. Then `u - 1 = e B` and
`gap - rate = <B, w e B> = e sum_h E_{d*_h} E_pi B^2`, positive unless `B = 0` almost everywhere, as `d*` and `d^pi`
have the same null sets. (6) For `u - 1 = e (B - k P A)` the rate is `e (-k |P A|^2 + O(e))` and the gap
`e (|B|^2 - k |P A|^2 + O(e))`, because `w` is a polynomial in `e` that is 1 at 0: for `0 < k < |B|^2 / |P A|^2` and
small `e` the expert is better and the return falls. (If `P A = 0` the student is stationary and the rate is 0.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sympy

from distil_theory import instances, objectives, solve
from distil_theory import number_systems as ns
from distil_theory.aliasing import belief, pool, spread
from distil_theory.claims import forward_gap, symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.claims.restricted import attack, inner, onto, seeing, split, tilted
from distil_theory.divergences import FORWARD_KL
from distil_theory.number_systems import Array
from distil_theory.spec import Bandit, TabularMDP

SIZE, TILT = sympy.symbols("e k", positive=True)


def contexts(sight: Sequence[int]) -> tuple[TabularMDP, Array, Array, list[Array]]:
    """Two generic contexts, two actions, student, expert and a generic feature, up to scale and constants."""
    mdp, student, expert = symbols.mdp(1, 2, 2)
    mdp = TabularMDP(mdp.transition, mdp.reward, mdp.initial, observation=sight)
    feature = [[[sympy.Symbol("f", real=True), 0], [1, 0]]] if mdp.observations == 2 else [[[1, 0]]]
    return mdp, student[:, list(sight)], expert, [ns.convert(np.array(feature, dtype=object), "symbolic")]


def gradient() -> bool:
    """Step 1, the code: the gradient along a feature is `-<psi, w(u-1)>`, on the generic MDP and on alike contexts."""
    ok = True
    for mdp, student, expert in (symbols.mdp(), contexts([0, 0])[:3]):
        shape = (mdp.shape[0], mdp.observations, mdp.shape[2])
        feature = np.array(sympy.symbols(f"f1:{np.prod(shape) + 1}"), dtype=object).reshape(shape)
        weight = objectives.occupancy_ratio(mdp, student, expert)
        along = (objectives.loss_gradient(mdp, student, expert, FORWARD_KL, weight) * feature).sum()
        phi = spread(mdp, feature)
        score = phi - (student * phi).sum(axis=2)[:, :, None]
        step = weight[:, :, None] * (expert / student - 1)
        ok &= symbols.vanishes(along + inner(mdp, student, score, step).sum())
    return ok


def projection() -> bool:
    """Steps 1 and 2, the code, for any x and y: the normal equations, symmetry, idempotence.

    One generic feature on generic contexts that look alike, and two on a bandit, in rationals.
    """
    alike, pi, _, features = contexts([0, 0])
    bandit, policy = Bandit(np.zeros(4)), ns.convert([[["1/10", "2/10", "3/10", "4/10"]]], "symbolic")
    two = [ns.convert(row, "symbolic") for row in ([[[1, 2, 0, 5]]], [[[0, 3, 1, 1]]])]
    ok = True
    for mdp, student, basis, states in ((alike, pi, features, 2), (bandit.convert("symbolic"), policy, two, 1)):
        x, y = (np.array(sympy.symbols(f"{name}1:5"), dtype=object).reshape(1, states, -1) for name in "xy")
        px, py = (onto(mdp, student, basis, z) for z in (x, y))
        scores = [phi - (student * phi).sum(axis=2)[:, :, None] for phi in (spread(mdp, f) for f in basis)]
        ok &= all(symbols.vanishes(inner(mdp, student, score, x - px).sum()) for score in scores)
        ok &= symbols.vanishes(inner(mdp, student, px, y).sum() - inner(mdp, student, x, py).sum())
        ok &= symbols.vanishes(onto(mdp, student, basis, px) - px)
    return ok


def whole_class() -> bool:
    """Step 3: claim 2 for one state and action, any of them; and with nothing projected `<A, w(u-1)>` is the gap."""
    mdp, student, expert = symbols.mdp()
    step = objectives.occupancy_ratio(mdp, student, expert)[:, :, None] * (expert / student - 1)
    gap = symbols.expected_return(mdp, expert) - symbols.expected_return(mdp, student)
    found = inner(mdp, student, solve.advantage(mdp, student), step).sum()
    return forward_gap.each_state() and symbols.vanishes(found - gap)


def fork(to: str) -> tuple[TabularMDP, Array, Array, list[Array]]:
    """The risky fork and two features over both steps."""
    _, mdp, student, expert, _ = instances.risky_fork().convert(to)
    units = np.eye(12, dtype=int).reshape(12, 2, 3, 2)
    return mdp, student, expert, [ns.convert(x, to) for x in (units[0] + units[8], units[10])]


def formulas() -> bool:
    """Step 4, the code: both formulas on generic contexts, alike or not; and on the fork, for any expert."""
    mdp, student, _, features = fork("symbolic")
    ok = True
    for case in (contexts([0, 1]), contexts([0, 0]), (mdp, student, symbols.mdp(2, 3, 2)[2], features)):
        found = split(*case)
        ok &= symbols.vanishes(found.rate - inner(*case[:2], found.inside, found.step).sum())
        ok &= symbols.vanishes(found.gap - found.rate - inner(*case[:2], found.outside, found.lost).sum())
    return ok


def cauchy_schwarz() -> bool:
    """Step 4: in each `h` the mean of the square `(x - t y)^2` at its least is `xx - xy^2 / yy`."""
    xx, xy, yy, t = sympy.symbols("xx xy yy t")
    square = xx - 2 * t * xy + t**2 * yy
    least = sympy.solve(sympy.diff(square, t), t)[0]
    return symbols.vanishes(square.subs(t, least) - (xx - xy**2 / yy))


def explicit() -> bool:
    """Step 5: the term of an action; the code, for any e on contexts that look alike, for e = 1/2 on the fork."""
    d, d_star, p, b = sympy.symbols("d d_star p B", positive=True)
    ok = symbols.vanishes(d * p * b * (d_star / d) * SIZE * b - SIZE * d_star * p * b**2)
    for (mdp, student, _, features), size in ((contexts([0, 0]), SIZE), (fork("symbolic"), sympy.Rational(1, 2))):
        a = solve.advantage(mdp, student)
        b = a - onto(mdp, student, features, a)
        expert = tilted(student, b, size)
        found = split(mdp, student, expert, features)
        square = (solve.occupancy(mdp, expert)[:, :, None] * student * b**2).sum()
        ok &= symbols.vanishes((student * b).sum(axis=2))
        ok &= symbols.vanishes(found.gap - found.rate - size * square) and square != 0
    return ok


def harm() -> bool:
    """Step 6: exact in e on generic contexts; `w` is 1 at e = 0 on the generic MDP; and the fork at e = 1/1000."""
    mdp, student, _, features = contexts([0, 0])
    a = solve.advantage(mdp, student)
    inside = onto(mdp, student, features, a)
    found = split(mdp, student, tilted(student, a - inside - TILT * inside, SIZE), features)
    size = inner(mdp, student, inside, inside).sum(), inner(mdp, student, a - inside, a - inside).sum()
    ok = symbols.vanishes(found.rate + SIZE * TILT * size[0])
    ok &= symbols.vanishes(found.gap - SIZE * (size[1] - TILT * size[0]))
    mdp, student, other = symbols.mdp()
    weight = objectives.occupancy_ratio(mdp, student, tilted(student, other / student - 1, SIZE))
    ok &= symbols.vanishes(np.vectorize(lambda w: w.subs(SIZE, 0), otypes=[object])(weight) - 1)
    mdp, student, _, features = fork("rational")
    a = solve.advantage(mdp, student)
    inside = onto(mdp, student, features, a)
    size = inner(mdp, student, inside, inside).sum(), inner(mdp, student, a - inside, a - inside).sum()
    tilt, small = size[1] / size[0] / 2, symbols.rational("1/1000")
    found = split(mdp, student, tilted(student, a - inside - tilt * inside, small), features)
    return ok and bool(found.gap > 0) and bool(found.rate < 0)


def observation() -> bool:
    """(d) With free logits `P x = E[x | o, a]`; contexts whose rewards differ by a constant are compatible.

    Three actions, any rewards and experts; student and start in rationals.
    """
    start, pi = (ns.convert(x, "symbolic") for x in (["1/3", "2/3"], [[["1/6", "1/3", "1/2"]] * 2]))
    expert = symbols.mdp(1, 2, 3)[2]
    units = [ns.convert(np.eye(3)[k].reshape(1, 1, 3), "symbolic") for k in range(3)]
    reward = np.array(sympy.symbols("r1:7"), dtype=object).reshape(2, 3)
    alike = TabularMDP(np.tile([1, 0], (2, 3, 1)), reward, start, horizon=1, observation=[0, 0])
    a = solve.advantage(alike, pi)
    seen = pool(alike, belief(alike, solve.occupancy(alike, pi))[:, :, None] * a)
    ok = symbols.vanishes(onto(alike, pi, units, a) - spread(alike, seen))
    extra = np.array(sympy.symbols("b1:3"), dtype=object)
    same = TabularMDP(alike.transition, (reward[0] + extra[:, None])[None], start, observation=[0, 0])
    found = split(same, pi, expert, units)
    return ok and symbols.vanishes(found.outside) and symbols.vanishes(found.rate - found.gap)


def checks(mdp: TabularMDP, student: Array, expert: Array, features: Sequence[Array]) -> tuple[Array, Array, Array]:
    """What must be 0, `|gap - rate|`, and `<x, x> <y, y>` in each step: of the bound in (a).

    The zeros: both formulas, for this expert and for the one of step 5, and what that one says of its error.
    """
    a = solve.advantage(mdp, student)
    b = a - onto(mdp, student, features, a)
    most = ns.amax(abs(b).reshape(-1, *b.shape[3:]), 0)
    size = 1 / (2 * ns.where(ns.iszero(most), most * 0 + 1, most))
    zeros = []
    for teacher in (tilted(student, b, size), expert):
        found = split(mdp, student, teacher, features)
        error = inner(mdp, student, found.outside, found.lost).sum(axis=0)
        zeros += [
            found.rate - inner(mdp, student, found.inside, found.step).sum(axis=0),
            found.gap - found.rate - error,
        ]
        if teacher is not expert:
            there = solve.occupancy(mdp, teacher)[:, :, None] * student
            zeros.append(error - size * (there * b**2).sum(axis=2).sum(axis=1).sum(axis=0))
    squares = (inner(mdp, student, x, x) for x in (found.outside, found.lost))
    return ns.stack(zeros), found.gap - found.rate, ns.stack(list(squares))


def margin(mdp: TabularMDP, student: Array, expert: Array, features: Sequence[Array]) -> Array:
    """The least of bound minus error, and of the errors of the identities, in units of 1 + bound."""
    zeros, error, squares = checks(mdp, student, expert, features)
    bound = np.sqrt(squares[0] * squares[1]).sum(axis=0)
    return np.minimum(bound - abs(error), -abs(zeros).max(axis=0)) / (1 + bound)


def holds_exactly(*parts: Array) -> bool:
    """The identities in rationals; the bound in balls, where it may be attained: up to 1e-30."""
    mdp, student, expert = symbols.exact_mdp(*parts[:5])
    sight = seeing(mdp.shape[1], parts[5].shape[2])
    mdp = TabularMDP(mdp.transition, mdp.reward, mdp.initial, observation=sight)
    zeros, error, squares = checks(mdp, student, expert, list(parts[5]))
    with ns.precision(512):
        bound = ns.sqrt(ns.convert(squares[0] * squares[1], "ball")).sum()
        slack = bound - ns.convert(abs(error), "ball")[()]
        return bool((zeros == 0).all()) and not bool(slack < 0) and bool(slack.rad() < 1e-30)


CLAIM = Claim(
    slug="compatible_class",
    number="17",
    title="restricted students keep the guarantee iff their class expresses the advantage",
    statement=r"\frac{dJ}{d\eta}\Big|_0 = \langle PA, w(u-1)\rangle = J^* - J \text{ for every } \pi^* "
    r"\iff A^\pi \in \mathrm{span}\,\psi",
    assumptions=("advantage in the span", "advantage seen", "natural step of the class", "states weighted by `d*/d`"),
    source="ours",
    scope="any `H`, `S`, `A`, class and observation: state by state, from the normal equations; the code: one "
    "feature on generic contexts, alike or not, two on a rational bandit and on the risky fork for any "
    "expert, MDPs in rationals",
    steps=(
        Step(
            "the gradient along a feature is `-<psi, w(u-1)>`, by the code", gradient, "weight ignored in Point.score"
        ),
        Step(
            "`P` solves the normal equations, is symmetric and idempotent, by the code", projection, "no Gram-Schmidt"
        ),
        Step("`<A, w(u-1)> = J* - J`, by the code", whole_class, "w = d/d* upside down"),
        Step("both formulas on generic contexts, by the code", formulas, "uniform weights in aliasing.belief"),
        Step("Cauchy-Schwarz in each step", cauchy_schwarz, "t = 1"),
        Step("the expert `pi (1 + e B)` misses by `e |B|^2` under `d*`, by the code", explicit, "d for d*"),
        Step("a better expert that lowers the return, by the code", harm, "minus for plus in updates.project"),
        Step("free logits: `P A = E[A | o, a]`, by the code", observation, "uniform weights in aliasing.belief"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "advantage in the span": "weighted_restricted.json",
        "advantage seen": "weighted_aliased.json",
        "natural step of the class": "weighted_euclidean.json",
        "states weighted by `d*/d`": "state_weights.json",
    },
    panel="future_credit_leak.png",
    attack=attack,
)
