r"""Claim 11d: a teacher that drifts costs the path it goes, and nothing that grows with the rounds.

In one cell the teacher shows its distribution `pi*_1, pi*_2, ...` (an average over past students, or feedback that
changes), and the student takes a step after each. `P = sum_n ||pi*_{n+1} - pi*_n||_1`, no teacher and not the first
student below `f`, `C = KL(pi*_1||pi_1) + Ent(pi*_1) - Ent(pi*_N)`, at most `log A` from a uniform start. Then

.. math:: \sum_n KL(\pi^*_n\|\pi_n) \le \frac{C + \frac12 \log\frac1f\, P}{\alpha},

proximal: `alpha = eta/(1+eta)`; natural: `alpha = eta (1 - (e-2) eta)`, `phi = f/(e-1)` for `f`, `eta <= phi/(1-phi)`.

Proof. (1) The proximal step is the mixture `(1-alpha) pi + alpha pi*`: it stays above `f`, and as `-log` is convex,
`KL(pi*||pi') <= (1-alpha) KL(pi*||pi)`. (2) Another teacher `p'` for `p`: `KL(p'||x) - KL(p||x) = Ent(p) - Ent(p') +
sum (p' - p)(-log x)`, the last at most `(1/2) ||p'-p||_1 log(1/f)`, a span times a total variation. (3) So `K_{n+1} <=
(1-alpha) K_n + c_n` with `c_n` these; added up, `alpha sum K_n <= K_1 + sum c_n`, and entropies telescope. Rounds in
which the cell is not visited only shorten the path (triangle inequality). (4) Teachers with zeros: step towards
`(1 - A f) pi* + f` (proximal ones); that costs `N log 1/(1 - A f)` more, at most 1 for `f = 1/((N+1) A)`.

The natural step is `pi' = pi e^{eta w}/Z`, `w = pi*/pi`. (5) With `chi2 = sum pi (w-1)^2`, `KL(pi*||pi') = KL(pi*||pi)
- eta chi2 + log sum pi e^{eta (w-1)}`. (6) If `eta max(w-1) <= 1`, `e^x <= 1 + x + (e-2) x^2` makes the last at most
`(e-2) eta^2 chi2`; and `KL <= log(1 + chi2) <= chi2`. (7) No student falls below `phi`: `chi2 <= max w - 1 <= 1/eta`,
so `pi'/pi >= exp(eta (w - (e-1)))`. Where `w >= e-1` it does not fall; else `pi' >= (pi*/w) exp(eta (w - (e-1)))`,
which decreases in `w <= 1/eta`, hence is at least `f/(e-1)`. (The textbook bound of mirror descent has a term with
`eta N` on top.)

(8) *The path is necessary.* A teacher that tosses a coin between `p` and `p'` before each of `K` rounds costs any
learner at least the Jensen-Shannon divergence of the pair each time, whatever it does. And `(1/2) log(1/f)` is the
price: if `p = (1-f, f)` and `p'` its mirror image take turns, the student of large `eta` pays `(1/2) log((1-f)/f)` per
unit of path. (9) The return: `sum_n J(pi*_n) - J(pi_n) <= mu sqrt(N H B / 2)` with `B` the sum of these bounds over the
cells, `mu` the largest recoverability: claim 11b, round by round. Teacher and student of a round are fixed before its
rollout; where only the visited cells take a step, the left side is in the mean.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import sympy

from distil_theory import number_systems as ns
from distil_theory import updates
from distil_theory.claims import drift, inequalities, symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.divergences import FORWARD_KL, JENSEN_SHANNON
from distil_theory.falsify import Found, merge, smallest
from distil_theory.number_systems import Array
from distil_theory.online import bounds
from distil_theory.three_points import PI, STAR, A, positive, total, vanish

SIZES = (2, 4)
E = sympy.E
P, P2, X, LOGX, ALPHA, ETA = sympy.symbols("p p' x log_x alpha eta", positive=True)


def code() -> bool:
    """Both students take the library's steps, on the generic bandit of three actions."""
    bandit, student, expert = symbols.bandit(3)
    mixed = updates.proximal_step(bandit, student, expert, FORWARD_KL, ETA)[0, 0]
    move = updates.direction(bandit, student, expert, FORWARD_KL)
    new, (pi, star) = updates.exponential_step(bandit, student, move, ETA)[0, 0], (student[0, 0], expert[0, 0])
    own = drift.natural(pi, star, ETA)
    odds = [sympy.simplify(sympy.log(new[a] / new[0] * own[0] / own[a])) for a in (1, 2)]
    return symbols.vanishes(mixed - drift.proximal(pi, star, ETA)) and odds == [0, 0]


def mixture() -> bool:
    """Step 1: the floor; `-log` is convex, by its tangent at the mixture `m`; the term of an action, so bounded."""
    f, over, m = sympy.symbols("f over m", positive=True)
    floor = positive((drift.proximal(f + over, f + A, ETA) - f).together())
    tangent = (1 - ALPHA) * (X / m - 1) + ALPHA * (P / m - 1)  # above the means of log(x/m) and log(p/m)
    share, mixed = ETA / (1 + ETA), (1 - ALPHA) * X + ALPHA * P
    weights = vanish(tangent.subs(m, mixed), drift.proximal(X, P, ETA) - mixed.subs(ALPHA, share))
    entropy = P * sympy.log(P)
    bound = entropy - (1 - ALPHA) * P * LOGX - ALPHA * entropy - (1 - ALPHA) * (entropy - P * LOGX)
    return floor and weights and vanish(sympy.expand(bound)) and inequalities.logarithm()


def other_teacher() -> bool:
    """Step 2: the term of an action; `-log x` is between 0 and `log(1/f)`."""
    before, after = (p * sympy.log(p) - p * LOGX for p in (P, P2))
    term = after - before - (P2 * sympy.log(P2) - P * sympy.log(P)) + (P2 - P) * LOGX
    return vanish(sympy.expand(term)) and inequalities.span_times_variation()


def added_up() -> bool:
    """Step 3: `alpha S <= K_1 - (1-alpha) K_N + sum c`, by induction; the triangle; and the bound returned."""
    s, k1, now, later, c, cost = sympy.symbols("S K_1 K K' C c")
    slack = k1 - (1 - ALPHA) * now + c - ALPHA * s  # not negative after N rounds
    after = k1 - (1 - ALPHA) * later + c + cost - ALPHA * (s + later)
    step = after - slack - ((1 - ALPHA) * now + cost - later)
    x, y = sympy.symbols("x y", real=True)
    triangle = (abs(x) + abs(y)) ** 2 - (x + y) ** 2 - 2 * (abs(x) * abs(y) - x * y)
    found = bounds.proximal_drift(0.25, 3, 0.01, 2.0), bounds.proximal_drift(0.25, 3, 0.01, 2.0, first=0.5)
    wanted = [5 * (first + np.log(100) / 2 * 2) for first in (np.log(3), 0.5)]
    return vanish(sympy.expand(step), slack.subs({s: k1, now: k1, c: 0}), sympy.expand(triangle)) and bool(
        np.allclose(found, wanted, rtol=1e-14)
    )


def zeros() -> bool:
    """Step 4: the target sums to 1; the term of an action, convex as in step 1; its cost, `N log(1 + 1/N) <= 1`."""
    f, n, actions = sympy.symbols("f n A", positive=True)
    mass = total((1 - actions * f) * PI) + actions * f
    log_p, log_target = sympy.symbols("log_p log_target")  # the target is at least (1 - A f) p
    nearer, further = P * (log_p - LOGX), P * (log_p - log_target)
    term = P * log_p - P * ((1 - ALPHA) * LOGX + ALPHA * log_target) - (1 - ALPHA) * nearer - ALPHA * further
    cost = sympy.log(1 / (1 - actions * f)).subs(f, 1 / ((n + 1) * actions)) - sympy.log(1 + 1 / n)
    found = [bounds.smoothing(3, 1 / (3 * (n + 1)), n) for n in (1, 10, 1000)]
    return (
        vanish(sympy.expand(mass) - 1, sympy.expand(term), sympy.expand_log(sympy.simplify(cost), force=True))
        and inequalities.logarithm()
        and bool(np.allclose(found, [n * np.log(1 + 1 / n) for n in (1, 10, 1000)], rtol=1e-12))
        and bool(max(found) <= 1)
    )


def exponent() -> bool:
    """Step 5: the term of an action, `log(pi'/pi) = eta (w-1) - log Z`; and `sum p (w-1) = chi2`."""
    log_z = sympy.Symbol("log_Z")
    w = STAR / PI
    moved = STAR * (sympy.log(PI) - (sympy.log(PI) + ETA * (w - 1) - log_z))
    term = sympy.expand(moved + ETA * STAR * (w - 1) - STAR * log_z)
    return vanish(term, sympy.expand(total(STAR * (w - 1)) - total(PI * (w - 1) ** 2)))


def decrease() -> bool:
    """Step 6: the mean of the parabola, `log Z <= Z - 1`; Jensen for `log w` at `m = 1 + chi2`; and the bound."""
    w, chi2, m = STAR / PI, sympy.Symbol("chi2"), sympy.Symbol("m", positive=True)
    square = total(PI * (w - 1) ** 2)
    parabola = total(PI * (1 + ETA * (w - 1) + (E - 2) * ETA**2 * (w - 1) ** 2)) - 1 - (E - 2) * ETA**2 * square
    tangent = sympy.expand(total(STAR * (w / m - 1)) - ((1 + square) / m - 1))  # vanishes at m = 1 + chi2
    whole = -ETA * chi2 + (E - 2) * ETA**2 * chi2 + ETA * (1 - (E - 2) * ETA) * chi2
    found = bounds.mirror_drift(0.01, 3, 0.01, 2.0)
    wanted = (np.log(3) + np.log(100) / 2 * 2) / (0.01 * (1 - (np.e - 2) * 0.01))
    return (
        vanish(sympy.expand(parabola), tangent, sympy.expand(whole))
        and inequalities.exponential()
        and inequalities.logarithm()
        and bool(np.isclose(found, wanted, rtol=1e-14))
    )


def floor_kept() -> bool:
    """Step 7: exponents; the slope of `-log w + eta w` at `w = 1/(eta (1+a))`; `phi/(1-phi) <= 1/(e-1)`."""
    w = sympy.Symbol("w", positive=True)
    left = ETA * (w - 1) - (E - 2) * ETA**2 / ETA - ETA * (w - (E - 1))
    slope = (-sympy.log(w) + ETA * w).diff(w).subs(w, 1 / (ETA * (1 + A)))
    share = A / (1 + A) / 2  # f <= 1/2; 1/(e-1) >= phi/(1-phi) iff e - 1 >= f e
    return (
        vanish(sympy.expand(left))
        and positive(-sympy.simplify(slope), sympy.together(E - 1 - share * E))
        and vanish(sympy.simplify((1 / (E - 1) - X / (E - 1 - X)) * (E - 1) * (E - 1 - X) - (E - 1 - X * E)))
        and bool(np.isclose(bounds.mirror_floor(0.3), 0.3 / (np.e - 1), rtol=1e-15))
    )


def necessary() -> bool:
    """Step 8: the two terms of an action; both students over all tosses; and the price of a large step."""
    m, f = (P + P2) / 2, sympy.Symbol("f", positive=True)
    cost = (P * sympy.log(P / X) + P2 * sympy.log(P2 / X)) / 2
    split = (P * sympy.log(P / m) + P2 * sympy.log(P2 / m)) / 2 + m * sympy.log(m / X)
    good = vanish(sympy.expand(sympy.expand_log(cost - split, force=True)))
    pair = ns.convert([["9/10", "1/10"], ["1/10", "9/10"]], "ball")
    pays = 3 * JENSEN_SHANNON.value(pair[0], pair[1], 0)
    for step, eta in ((drift.proximal, ns.convert(4, "ball")[()]), (drift.natural, ns.convert("1/20", "ball")[()])):
        paid, went = drift.flips(pair, 3, step, eta)
        good &= bool(paid >= pays) and bool(abs(went - 2 * ns.convert("4/5", "ball")[()]) < 1e-12)
    flip = (1 - f) * sympy.log((1 - f) / f) + f * sympy.log(f / (1 - f))
    return good and vanish(sympy.expand_log(flip - 2 * (1 - 2 * f) * sympy.log((1 - f) / f) / 2, force=True))


def margin(teachers: Array) -> Array:
    """The least slack of teachers `(N,A,n)`; the bounds are those that `online.bounds` returns."""
    rounds, actions = teachers.shape[:2]
    floor, last = teachers.min(axis=(0, 1)), -ns.xlogx(teachers[-1]).sum(axis=0)
    first, phi = np.log(actions) - last, bounds.mirror_floor(floor)
    out, path = [], drift.path(teachers)
    for eta in map(float, drift.ETAS):
        found = drift.run(teachers, teachers, drift.proximal, eta)
        out += [bounds.proximal_drift(eta, actions, floor, path, first) - found.paid, found.least - floor]
    eta = phi / (1 - phi)
    found = drift.run(teachers, teachers, drift.natural, eta)
    out += [bounds.mirror_drift(eta, actions, phi, path, first) - found.paid, found.least - phi]
    out += drift.one_step(teachers, floor, phi, eta, 1 / bounds.mirror_drift(eta, actions, phi, 0.0, 1.0))
    zero, small = drift.sparse(teachers), 1 / ((rounds + 1) * actions)
    found = drift.run(zero, (1 - actions * small) * zero + small, drift.proximal, 1.0)
    first, cost = np.log(actions) + ns.xlogx(zero[-1]).sum(axis=0), bounds.smoothing(actions, small, rounds)
    bound = bounds.proximal_drift(1.0, actions, small, drift.path(zero), first) + cost
    return np.min([*out, bound - found.paid], axis=0)


def holds_exactly(teachers: Array) -> bool:
    """The same of one sequence, in balls: no slack is negative, but for the radius where it is 0."""
    with ns.precision(256):
        given = ns.convert(teachers / teachers.sum(axis=1)[:, None], "ball")
        return all(bool(x > -1e-60) for x in drift.slacks(given))


def attack(margin: Callable[..., Array], n: int, seed: int) -> Found:
    """Sequences of each number of actions, a hundredth of `n`."""
    found: list[Found] = []
    for actions in SIZES:
        left = -(-n // (100 * len(SIZES)))
        for start in range(0, left, 1000):
            teachers = drift.draw(np.random.default_rng([seed, actions, start]), actions, min(1000, left - start))
            found = [merge([*found, smallest(margin(teachers), teachers.shape[2], teachers)])]
    return merge(found)


CLAIM = Claim(
    slug="drifting_teacher",
    number="11d",
    title="a teacher that drifts costs the path it goes",
    statement=r"\sum_n KL(\pi^*_n\|\pi_n) \le \tfrac1\alpha\Big[C + \tfrac12\log\tfrac1f \sum_n "
    r"\|\pi^*_{n+1} - \pi^*_n\|_1\Big], \quad \alpha = \tfrac{\eta}{1+\eta}, \quad "
    r"\text{or } \alpha = \eta(1 - (e-2)\eta) \text{ with } \tfrac{f}{e-1} \text{ for } f",
    assumptions=("an explicit teacher", "probabilities above a floor", "small natural steps", "a finite path"),
    source="ours",
    scope="any `A`, `N` and any teachers above the floor; both steps by the code on the generic bandit `A = 3`; the "
    "return as in claim 11b",
    steps=(
        Step("both steps are the library's", code, "the ratio upside down"),
        Step("a mixture is nearer by `1 - alpha`, and above the floor", mixture, "alpha = eta"),
        Step("another teacher: entropies and a total variation", other_teacher, "p' for p' - p"),
        Step("added up over the rounds", added_up, "K_N for (1-alpha) K_N"),
        Step("teachers with zeros: at most 1 more", zeros, "f = 1/(N A)"),
        Step("one natural step, exactly", exponent, "p w for p (w-1)"),
        Step("it comes nearer by `eta (1 - (e-2) eta) chi2`", decrease, "e - 1 for e - 2"),
        Step("it keeps above `f/(e-1)`", floor_kept, "e for e - 1"),
        Step("the path is necessary, and so is its price", necessary, "m = p"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "an explicit teacher": "with sampled labels in its place the path is theirs: a fair coin that never "
        "moves goes about `N`",
        "probabilities above a floor": "the price `(1/2) log((1-f)/f)` of the path has no bound: a step",
        "small natural steps": "where `eta w` is large the new student is all but a point: with "
        "`pi = (1/100, 99/100)`, a fair teacher and `eta = 1` the likely action keeps less than `e^-44`",
        "a finite path": "a coin before each round costs its Jensen-Shannon divergence each time: a step",
    },
    panel="regret_drift.png",
    attack=attack,
)
