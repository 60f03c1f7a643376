r"""Claim 11: what the add-1/2 predictor pays more than hindsight, for every sequence of labels.

.. math:: -\log Q(x^n) - \min_q \big(-\log q(x^n)\big) \le \tfrac{A-1}{2} \log n + \log A

for any `A`, any `n >= 1` and any labels `x^n`, with equality at `n = 1`. (The rate is that of Krichevsky & Trofimov
1981; for two actions the constant is in Willems, Shtarkov & Tjalkens 1995, for more see Tjalkens, Shtarkov & Willems
1993. The proof rests on neither.) Proof. (1) `Q` is a telescoping product, and
depends on the counts only: `Q = prod_a prod_{j<n_a} (j + 1/2) / prod_{t<n} (t + A/2)`. (2) With `g(k) = e^k k^-k
prod_{j<k} (j + 1/2)`, `0^0 = 1`, and `n = sum n_a`, `Q / prod_a (n_a/n)^{n_a} = prod_a g(n_a) n^n e^-n / prod_{t<n} (t
+ A/2)`. (3) The differences of `log g` decrease: `D(j) = log g(j+1) - log g(j) = log(j + 1/2) + 1 + j log j - (j+1)
log(j+1)` is continuous at 0, and its derivative is `1/(j + 1/2) - log(1 + 1/j) <= 0`, for `log((1+x)/(1-x)) >= 2x` at
`x = 1/(2j+1)`. (4) So, as `g(0) = 1`, `log g` is subadditive, `prod_a g(n_a) >= g(n)`: the constant sequence is the
worst. (5) For that one `Q = prod_{t<n} (2t+1)/(2t+A) >= n^{-(A-1)/2}/A` by induction: equality at `n = 1`, and then
`log(1 + (A-1)/(2n+1)) <= (A-1)/(2n+1) <= (A-1)/2 log(1 + 1/n)`. (6) The code.

Added up over the cells that were visited, that is at most `B = H S [(A-1)/2 log N + log A]`, as no cell has more than
`N` labels. (7) The cells of one step share `N` labels, and `log(N/S)` may replace `log N` once `N >= S` (before, `N log
A` bounds the step): the next label on the constant sequence costs `log(1 + (A-1)/(2t+1))`, less than the last one, so
the worst is to share them as evenly as may be; and between whole numbers the logarithm is concave.

Nothing is assumed of the labels: a teacher who chose them to spite the student would gain nothing. (8) The add-one
predictor of Laplace does not have the bound: on a constant sequence it pays `log C(n+A-1, n)`, about `(A-1) log n`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from math import comb, prod

import flint
import numpy as np
import sympy

from distil_theory import number_systems as ns
from distil_theory.claims import inequalities
from distil_theory.claims.claim import Claim, Step
from distil_theory.falsify import Found, merge, smallest
from distil_theory.number_systems import Array
from distil_theory.online import bounds, kt
from distil_theory.three_points import A, positive, vanish

SIZES = (2, 3, 5, 50)
"""Numbers of actions that `attack` draws."""
MOST = 1_000_000
"""Labels in a cell, at most."""
ONCE = 5
"""Cells with one label, where the bound is attained."""
FEW = 200
"""Labels up to which one cell is decided in whole numbers."""
HALF = sympy.Rational(1, 2)
J, N, T, ACTIONS = sympy.symbols("j n t A", positive=True)


def counts_only() -> bool:
    """Step 1: one more label multiplies `Q` by what the predictor gave it; and the code, over every order."""
    q = sympy.gamma(J + HALF) / sympy.gamma(N + ACTIONS / 2)  # the factors that one more label `a` changes; j = n_a
    more = sympy.expand_func(q.subs({J: J + 1, N: N + 1}, simultaneous=True)) / q
    good = vanish(more - (J + HALF) / (N + ACTIONS / 2))
    for labels in product(range(3), repeat=4):
        counts, chance = np.zeros(3, dtype=int), flint.fmpq(1)
        for label in labels:
            chance *= kt.predictor(ns.convert(counts, "rational"), axis=0)[label]
            counts[label] += 1
        good &= bool(chance == kt.probability(counts))
    return good


def split() -> bool:
    """Step 2, the term of one action: with `x = n_a` and `log q` of its product, what is left is linear in `x`."""
    x, log_q, n = sympy.symbols("x log_q n", positive=True)
    log_g = log_q + x - x * sympy.log(x)
    left = log_q - x * (sympy.log(x) - sympy.log(n))
    return vanish(sympy.expand(left - log_g - x * (sympy.log(n) - 1)))  # these add up to n log n - n


def difference(j: sympy.Expr) -> sympy.Expr:
    """`log g(j+1) - log g(j)`."""
    return sympy.log(j + HALF) + 1 + j * sympy.log(j) - (j + 1) * sympy.log(j + 1)


def differences_fall() -> bool:
    """Step 3: the derivative, the inequality, and the value at 0, where `0^0 = 1`."""
    x = 1 / (2 * J + 1)
    slope = difference(J).diff(J) - (1 / (J + HALF) - sympy.log(1 + 1 / J))
    same = sympy.simplify(sympy.expand_log(sympy.log((1 + x) / (1 - x)).simplify() - sympy.log(1 + 1 / J).simplify()))
    start = sympy.limit(difference(J), J, 0, "+") - sympy.log(HALF * sympy.E)  # g(1)/g(0) = e/2
    return vanish(slope, same, 2 * x - 1 / (J + HALF), sympy.expand_log(start)) and inequalities.artanh()


def subadditive() -> bool:
    """Step 4: `log g(a) + log g(b) - log g(a+b)` grows with `b` by `D(b) - D(a+b) >= 0`, and is 0 at `b = 0`."""
    log_g, (a, b) = sympy.Function("log_g"), sympy.symbols("a b", integer=True, nonnegative=True)

    def excess(b: sympy.Expr) -> sympy.Expr:
        return log_g(a) + log_g(b) - log_g(a + b)

    def d(j: sympy.Expr) -> sympy.Expr:
        return log_g(j + 1) - log_g(j)

    return vanish(excess(b + 1) - excess(b) - (d(b) - d(a + b)), excess(sympy.S.Zero) - log_g(0))


def constant_sequence() -> bool:
    """Step 5: the factor of `A n^((A-1)/2) Q` at one more label is at least 1, and it begins at 1."""
    factor, y = (2 * N + 1) / (2 * N + 1 + A), A / (2 * N + 1)  # with A + 1 actions
    power = A / 2 * 2 / (2 * N + 1)  # what artanh leaves of A/2 log(1 + 1/n)
    start = (A + 1) * sympy.S.One ** (A / 2) / (A + 1)
    return vanish(1 / factor - (1 + y), power - y, start - 1) and inequalities.logarithm() and inequalities.artanh()


def exact_excess(counts: tuple[int, ...]) -> int:
    """The sign of `Q^2 A^2 n^(A-1) - prod (n_a/n)^(2 n_a)`, in whole numbers: not negative where the claim holds."""
    n, q = sum(counts), kt.probability(counts)
    left = int(q.p) ** 2 * len(counts) ** 2 * n ** (len(counts) - 1) * n ** (2 * n)
    right = int(q.q) ** 2 * prod(k ** (2 * k) for k in counts)
    return (left > right) - (left < right)


def partitions(n: int, parts: int, most: int) -> Iterator[tuple[int, ...]]:
    """Counts of `n` labels over `parts` actions, in falling order, none above `most`."""
    if parts == 1:
        yield from [(n,)] if n <= most else []
        return
    for first in range(min(n, most), -1, -1):
        if first * parts < n:
            return
        for rest in partitions(n - first, parts - 1, first):
            yield (first, *rest)


def every_count() -> bool:
    """The code: all counts of up to 12 labels and 5 actions, and equality at one label."""
    cases = [counts for a in (2, 3, 4, 5) for n in range(1, 13) for counts in partitions(n, a, n)]
    return all(exact_excess(c) >= 0 for c in cases) and all(exact_excess(c) == 0 for c in cases if sum(c) == 1)


def code() -> bool:
    """Step 6: losses of the code are those of the exact probability, and its bound the formula."""
    cases = [counts for n in (0, 1, 2, 7) for counts in partitions(n, 3, n)]
    table = np.array(cases).T[None, None]  # (H, S, A) = (1, 1, 3), a batch of counts
    paid = [float(-ns.log(ns.convert([kt.probability(c)], "ball"))[0]) for c in cases]
    best = [-sum(k * np.log(k / sum(c)) for k in c if k) for c in cases]
    n = table.sum(axis=2)[0, 0]
    bound = [np.log(k) + np.log(3) if k else 0 for k in n]  # (A-1)/2 = 1
    pairs = (
        (kt.log_loss(table), paid),
        (kt.hindsight(table), best),
        (kt.regret(table), np.subtract(paid, best)),
        (bounds.per_cell(n, 3), bound),
        (bounds.total(table), bound),
    )
    return all(bool(np.allclose(x, y, rtol=0, atol=1e-12)) for x, y in pairs)


def shared() -> bool:
    """Step 7: the next label costs less than the last; the tangent of the logarithm; and the code, every sharing."""
    falls = -((2 * T + 1 + A) / (2 * T + 1)).diff(T)  # with A + 1 actions
    x, m = sympy.symbols("x m", positive=True)
    tangent = sympy.log(m) + (x - m) / m  # above the logarithm, of mean log m
    above = sympy.expand_log(tangent - sympy.log(x) - (x / m - 1 - sympy.log(x / m)), force=True)
    good = positive(sympy.together(falls)) and vanish(above) and inequalities.logarithm()
    for actions, states, rounds in product((2, 3, 4, 20), (1, 2, 5), (1, 3, 5, 6, 13)):
        alone = kt.regret(np.stack([np.arange(rounds + 1), *np.zeros((actions - 1, rounds + 1))]), axis=0)
        most = max(alone[list(cells)].sum() for cells in partitions(rounds, states, rounds))
        found, whole = (f(1, states, actions, rounds) for f in (bounds.shared_budget, bounds.budget))
        good &= bool(most <= found + 1e-9) and bool(found <= whole + 1e-9)
    return good


def add_one() -> bool:
    """Step 8: Laplace's `(n_a+1)/(n+A)` on a constant sequence: one more label, the start, and the first that is dear.

    Exact: with two actions `n = 2` is enough, as `3 > 2 sqrt 2`; and always for `n` large, as `C(n+A-1, n)` grows like
    `n^(A-1)/(A-1)!`.
    """
    ways = sympy.gamma(N + ACTIONS) / (sympy.gamma(N + 1) * sympy.gamma(ACTIONS))  # C(n+A-1, n)
    more = sympy.gammasimp(ways.subs(N, N + 1) / ways)
    start = sympy.gammasimp(ways.subs(N, 0))
    dear = [comb(n + a - 1, n) ** 2 - a**2 * n ** (a - 1) for a, n in ((2, 2), (3, 6), (5, 40))]
    return vanish(more - (N + ACTIONS) / (N + 1), start - 1) and all(x > 0 for x in dear)


def margin(counts: Array) -> Array:
    """Bound minus regret of cells `(A, n)`."""
    return bounds.per_cell(counts.sum(axis=0), len(counts)) - kt.regret(counts, axis=0)


def holds_exactly(counts: Array) -> bool:
    """One cell: few labels in whole numbers, many in balls."""
    cell = tuple(int(n.p) for n in counts)
    n, half = sum(cell), flint.arb(1) / 2
    if n <= FEW:
        return exact_excess(cell) >= 0
    with ns.precision(256):
        paid = (n + len(cell) * half).lgamma() - (len(cell) * half).lgamma()
        paid -= sum(((k + half).lgamma() - half.lgamma() for k in cell), flint.arb(0))
        best = n * flint.arb(n).log() - sum((k * flint.arb(k).log() for k in cell if k), flint.arb(0))
        return bool(paid - best <= (len(cell) - 1) * half * flint.arb(n).log() + flint.arb(len(cell)).log())


def attack(margin: Callable[..., Array], n: int, seed: int) -> Found:
    """Cells of `SIZES`, a tenth of `n`: up to a million labels from nearly constant to nearly uniform."""
    found = []
    for actions in SIZES:
        rng, size = np.random.default_rng([seed, actions]), -(-n // (10 * len(SIZES)))
        powers = rng.standard_gamma(np.broadcast_to(10 ** rng.uniform(-3, 1, (size, 1)), (size, actions))) + 1e-12
        labels = np.where(np.arange(size) < ONCE, 1, np.floor(2 * (MOST / 2) ** rng.random(size))).astype(int)
        counts = rng.multinomial(labels, powers / powers.sum(axis=1, keepdims=True)).T.astype(float)
        found.append(smallest(margin(counts), size, counts))
    return merge(found)


CLAIM = Claim(
    slug="kt_predictor",
    number="11",
    title="adding a half pays hardly more than hindsight",
    statement=r"-\log Q(x^n) - \min_q(-\log q(x^n)) \le \tfrac{A-1}{2}\log n + \log A \text{ for all } x^n, \quad "
    r"\mathrm{Reg}_N \le H S\big[\tfrac{A-1}{2}\log N + \log A\big]",
    assumptions=("a half is added", "hindsight does not change its mind"),
    source="classic",
    scope="any `A`, `n` and labels: a derivative and two inductions; the code for all counts with `A <= 5`, `n <= 12`",
    steps=(
        Step("`Q` depends on the counts only, and by the code", counts_only, "1 added in kt.predictor"),
        Step("`Q` over hindsight is a product of `g(n_a)`", split, "e^k forgotten in g"),
        Step("differences of `log g` decrease", differences_fall, "j + 1 for j + 1/2"),
        Step("so `log g` is subadditive: the constant sequence is the worst", subadditive, "differences that grow"),
        Step("the constant sequence, by induction over `n`", constant_sequence, "artanh at 1/(2n+2)"),
        Step("all counts of up to 12 labels, in whole numbers, by the code", every_count, "A lost in Q"),
        Step("losses and bounds by the code", code, "Gamma(A/2) forgotten"),
        Step("cells that share their labels: `log(N/S)`", shared, "all cells visited"),
        Step("adding 1 pays twice as much", add_one, "C(n+A, n)"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "a half is added": "Laplace's `(n_a+1)/(n+A)` pays `log C(n+A-1, n)` on a constant sequence, about "
        "`(A-1) log n`: checked in a step",
        "hindsight does not change its mind": "labels that alternate between two actions: two rules that take turns "
        "pay nothing, any single one `n log 2`; what a drift costs is claim 11d",
    },
    panel="regret_cumulative.png",
    attack=attack,
)
