r"""Claim 12d: over prompts that look alike, the sharper student wins at N = 1 and loses from some N on: one crossing.

Prompts of weight `w_x` look alike, each has one right answer of its own, which the student gives with probability
`p_x`: Pass@N `= 1 - sum_x w_x (1-p_x)^N`. Call `p` *sharper* than `w` if for some `c` every prompt with `w_x > c` has
`p_x >= w_x` and every other one `p_x <= w_x`. Then with `s = 1 - c`

.. math:: F_N = \frac{1}{N s^{N-1}} \sum_x w_x \left[ (1-p_x)^N - (1-w_x)^N \right]
          \text{ never falls in } N, \quad F_1 \le 0

so `p` is at least as good as `w` at N = 1, and once `w` is ahead it stays ahead. It gets there unless `p = w`:
`(t/s)^N` outgrows every bound where `t > s`.

Proof. (1) With one prompt nothing crosses: Pass@N grows with `p`. (2) `w_x [(1-p)^N - (1-w)^N]/N` is `w_x` times the
integral of `t^(N-1)` from `1-w` to `1-p`; divided by `s^(N-1)` the integrand grows with `N` where `t > s`, there `p <=
w`, and falls where `t < s`, there `p >= w`: each term never falls. (3) `F_1 = -sum (w - c)(p - w)`, no term of which is
negative.

*Who is sharper* (`success.alike`). Forward cross-entropy to a truthful teacher ends at `w` itself. (4) Reverse KL to a
teacher smoothed by `e` ends at `p ∝ R^w`, `R = 1 + (1-e) A/e`: the heaviest prompt as `e -> 0`, if there is one
(sharper than `w` for small `e` only: the lightest prompts get more than their weight, and may win at large N). (5)
Jensen-Shannon and reverse KL to the student's own truthful teacher end at `p = R/(exp(lambda/w) - 1)`, and (6) there
`p/w` grows with `w`: sharper. (7) Exactly: `w = (3/5, 2/5)` has Pass@1 `= 13/25 < 3/5` and Pass@2 `= 19/25 > 3/5`,
which is all that the collapsed student has; any two prompts cross at N = 2, where `w` is the best student of all.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import sympy

from distil_theory import number_systems as ns
from distil_theory import updates
from distil_theory.claims import symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.divergences import FORWARD_KL, JENSEN_SHANNON, REVERSE_KL, FDivergence
from distil_theory.falsify import Found, merge, smallest
from distil_theory.number_systems import Array
from distil_theory.spec import Bandit
from distil_theory.success import crossing, geometric_mean, pass_at_n, pass_of_prompts, self_taught, truthful_teacher
from distil_theory.three_points import PI, STAR, A, B, D, T, positive, total, vanish

W, Q, S, N, R, LAMBDA, C = sympy.symbols("w q s N R lam c", positive=True)
ROUNDING = 1e-11
"""Allowed to margins, which are relative."""
CANCELLED = 1e-3
LARGEST = 48
SIZES = (2, 3, 5)
"""Attempts and numbers of prompts that are tried."""


def one_prompt() -> bool:
    """Step 1, the code: a larger `p` has the larger Pass@N."""
    low, high = (np.array(x / (1 + A + B), dtype=object) for x in (A, A + B / 2))
    return all(positive(symbols.only(pass_at_n(high, n) - pass_at_n(low, n))) for n in range(1, 6))


def integral() -> bool:
    """Step 2, one prompt, any `N`: the antiderivative, and how the integrand moves with `N`."""
    whole = T**N / N
    power = (T / S) ** (N - 1)
    ends = whole.subs(T, 1 - Q) - whole.subs(T, 1 - W) - ((1 - Q) ** N - (1 - W) ** N) / N
    growth = sympy.expand_log(sympy.log(T / S), force=True)
    return vanish(whole.diff(T) - T ** (N - 1), ends, power.diff(N) / power - growth)


def first() -> bool:
    """Step 3, any number of prompts, `PI` is `w` and `STAR` is `p`: `sum w (p - w) = sum (w - c)(p - w)`."""
    difference = total(PI * (STAR - PI)) - total((PI - C) * (STAR - PI))
    return vanish(difference)


def natural_rest(weights: Array, teachers: Array, p: Array, divergence: FDivergence) -> bool:
    """Whether the code's natural step of a student `p` of prompts that look alike is zero, with logs as symbols."""
    mdp = Bandit(np.zeros(teachers.shape, dtype=int), weights, [0] * len(weights)).convert("symbolic")
    student = ns.convert(np.stack([p] * len(weights)), "symbolic")[None]
    step = updates.direction(mdp, student, ns.convert(teachers, "symbolic")[None], divergence)
    logs = np.frompyfunc(lambda e: sympy.expand_log(sympy.logcombine(e, force=True), force=True), 1, 1)(step)
    return symbols.vanishes(logs)


def fixed_teacher() -> bool:
    """Step 4: one answer of `sum_x w_x KL(p || t_x) = KL(p || g) - log Z`, and the code: two prompts, `e = 2/17`, `R =
    16`, at rest at `16^(3/4) : 16^(1/4)`."""
    p, mean_log, z = sympy.symbols("p mean_log Z", positive=True)
    g = sympy.exp(mean_log) / z
    whole = p * sympy.log(p) - p * mean_log
    if not vanish(sympy.expand_log(whole - p * sympy.log(p / g) + p * sympy.log(z), force=True)):
        return False
    e = sympy.Symbol("e", positive=True)
    some = np.array([W, 1 - W], dtype=object)
    t = truthful_teacher(np.eye(2, dtype=int), np.array(e, dtype=object))
    g = geometric_mean(t, some)
    ratio = sympy.expand_log(sympy.log(g[0] / g[1]), force=True)
    odds = (2 * W - 1) * sympy.expand_log(sympy.log((1 - e / 2) / (e / 2)), force=True)
    weights, p = ns.convert(["3/4", "1/4"], "rational"), ns.convert(["4/5", "1/5"], "rational")
    teachers = truthful_teacher(np.eye(2, dtype=int), ns.convert("2/17", "rational"))
    return vanish(sympy.expand(ratio - odds)) and natural_rest(weights, teachers, p, REVERSE_KL)


def self_taught_rests() -> bool:
    """Step 5: the score of answer `a` less what it is where it is wrong is `lambda`, for every `w`; the code at `w =
    (2/3, 1/3)`, `R = 3/4`, `p = (3/4, 1/4)`: Jensen-Shannon at `e = 1/7`, reverse KL at `e = 4/7`; forward at `p = w`.
    """
    beta, e = sympy.symbols("beta e", positive=True)
    odds = beta * (1 - e) / (1 + beta * e)
    p = odds / (sympy.exp(LAMBDA / W) - 1)
    score = W * sympy.log(sympy.simplify((1 + beta * ((1 - e) / p + e)) / (1 + beta * e)))
    if not vanish(sympy.expand_log(score, force=True) - LAMBDA):
        return False
    weights, one = ns.convert(["2/3", "1/3"], "rational"), np.eye(2, dtype=int)
    for divergence, floor, law in (
        (JENSEN_SHANNON, "1/7", ["3/4", "1/4"]),
        (REVERSE_KL, "4/7", ["3/4", "1/4"]),
        (FORWARD_KL, "1/5", ["2/3", "1/3"]),
    ):
        p, e = ns.convert(law, "rational"), symbols.rational(floor)
        if not natural_rest(weights, (1 - e) * ns.convert(one, "rational") + e * p, p, divergence):
            return False
    return True


def sharper() -> bool:
    """Step 6, with `y = lambda/w`: `p/w ∝ y/(e^y - 1)` falls in `y`, since `y - 1 + e^-y` is 0 at 0 and grows."""
    y = sympy.Symbol("y", positive=True)
    ratio, below = y / (sympy.exp(y) - 1), y - 1 + sympy.exp(-y)
    slope = ratio.diff(y) * (sympy.exp(y) - 1) ** 2 + sympy.exp(y) * below
    return vanish(slope, below.subs(y, 0), below.diff(y) - (1 - sympy.exp(-y)))


def three_fifths() -> bool:
    """Step 7, the code, exact; and any two prompts, `w > 1/2`, on symbols."""
    w, one = ns.convert(["3/5", "2/5"], "rational"), ns.convert([1, 0], "rational")
    mixed, collapsed = ([pass_of_prompts(w, p, n) for n in (1, 2)] for p in (w, one))
    exact = [*map(symbols.rational, ("13/25", "19/25", "3/5"))]
    if [*mixed, collapsed[1]] != exact or collapsed[0] != collapsed[1] or crossing(w, one, w) != 2:
        return False
    heavy = (1 + A) / (2 + A)
    some = np.array([heavy, 1 - heavy], dtype=object)
    gain = [symbols.only(pass_of_prompts(some, some, n)) - heavy for n in (1, 2)]
    best = symbols.only(pass_of_prompts(some, np.array([D, 1 - D], dtype=object), 2))
    return positive(-gain[0], gain[1], -best.diff(D, 2)) and vanish(best.diff(D).subs(D, heavy))


def increments(w: Array, p: Array) -> Array:
    """How sharp `p (X, n)` is against `w`, both in ascending order of `w`, `-F_1` and the increments of `F`: the least,
    relative to its terms (where these cancel to less than a `CANCELLED` of their parts, to that)."""
    least = np.min(np.diff(p / w, axis=0) / (p / w).max(axis=0), axis=0, initial=np.inf)
    c = np.max(np.where(p < w, w, 0), axis=0)  # the heaviest prompt that loses
    n = np.arange(1, LARGEST + 1).reshape(-1, 1, 1)
    one, other = (w * (1 - x) ** n / (n * (1 - c) ** (n - 1)) for x in (p, w))
    terms = one - other
    size = np.maximum(abs(terms).sum(axis=1), CANCELLED * (one + other).sum(axis=1))
    moves, both = np.diff(terms.sum(axis=1), axis=0), size[1:] + size[:-1]
    moves = np.where(both > ROUNDING, moves / np.where(both > 0, both, 1), np.inf)
    start = -terms[0].sum(axis=0) / np.maximum(size[0], ROUNDING)
    return np.minimum(np.minimum(least, start), moves.min(axis=0))


def margin(weights: Array, odds: Array, growth: Array | None = None) -> Array:
    """The same for `success.self_taught`, for `p ∝ w^2` and, where given, for `p ∝ w e^g`: in ascending order of `w`
    the `growth (X,n)`, not negative, is what `g` gains."""
    order = np.argsort(weights, axis=0)
    w, taught = (np.take_along_axis(x, order, axis=0) for x in (weights, self_taught(weights, odds)))
    students = [taught, w**2 / (w**2).sum(axis=0)]
    if growth is not None:
        powers = w * np.exp(np.cumsum(growth, axis=0) - growth.sum(axis=0))
        students.append(powers / powers.sum(axis=0))
    return np.min([increments(w, p) for p in students], axis=0) + ROUNDING


def attack(find: Callable[..., Array], n: int, seed: int) -> Found:
    """The smallest margin over weights, even and uneven, odds from `1e-3` to `1e6`, and sharper students whose `p/w`
    grows in few steps or many, small or large; n / 20 in all."""
    found: list[Found] = []
    for prompts in SIZES:
        left = -(-n // (20 * len(SIZES)))
        for start in range(0, left, 2**11):
            rng, size = np.random.default_rng([seed, prompts, start]), min(2**11, left - start)
            shape = np.where(rng.random(size) < 0.3, 30.0, 1.0)
            w = rng.standard_gamma(np.broadcast_to(shape, (prompts, size))) + 1e-3
            w, odds = w / w.sum(axis=0), 10 ** rng.uniform(-3, 6, size)
            moves = rng.random((prompts, size)) < rng.uniform(0.1, 1, size)
            moves[rng.integers(1, prompts, size), np.arange(size)] = True  # or it is `w` itself, up to rounding
            growth = moves * (0.1 + rng.standard_exponential((prompts, size))) * 10 ** rng.uniform(-2, 1, size)
            found = [merge([*found, smallest(find(w, odds, growth), size, w, odds, growth)])]
    return found[0]


CLAIM = Claim(
    slug="pass_crossing",
    number="12d",
    title="over prompts that look alike `Pass@N` crosses once",
    statement=r"p \text{ sharper than } w: \; \frac{1}{N s^{N-1}} \sum_x w_x [(1-p_x)^N - (1-w_x)^N] "
    r"\text{ never falls in } N, \text{ and is } \le 0 \text{ at } N = 1",
    assumptions=("several prompts that look alike", "weights that differ", "every prompt has its own right answer"),
    source="ours",
    scope="any number of prompts, any `N` (term by term), any skew; the code: two prompts; one instance in rationals",
    steps=(
        Step("one prompt: `Pass@N` grows with `p`, by the code", one_prompt, "(1-p)^N for 1 - (1-p)^N"),
        Step("several: each term of `F_N` is an integral whose integrand grows away from `s`", integral, "t^N"),
        Step("`F_1 = -sum (w - c)(p - w)`, any number of prompts", first, "c depends on the prompt"),
        Step("a fixed smoothed teacher: reverse KL ends at `R^w`, by the code", fixed_teacher, "the arithmetic mean"),
        Step("the student's own: `p = R/(exp(lambda/w) - 1)`, by the code", self_taught_rests, "R = beta"),
        Step("there `p/w` grows with `w`", sharper, "a slope with a flipped sign"),
        Step("`13/25 < 3/5 < 19/25`; two prompts cross at `N = 2`, by the code", three_fifths, "p_x for w_x"),
    ),
    margin=margin,
    holds_exactly=lambda *_: False,
    without={
        "several prompts that look alike": "With one prompt, or prompts that the student tells apart, `Pass@N` grows "
        "with each `p` whatever `N` (step 1), and nothing stands in the way of `p = 1` for each.",
        "weights that differ": "Equal weights: mixture, geometric mean and the self-taught are all uniform, nothing "
        "collapses and nothing crosses.",
        "every prompt has its own right answer": "An answer that is right for all prompts has `p = 1` in the end, "
        "whatever the objective, unless a fixed teacher also names other answers.",
    },
    panel="pass_at_n_crossing.png",
    near=0,
    attack=attack,
)
