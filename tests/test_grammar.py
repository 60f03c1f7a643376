"""Generators as text: the catalogue again, in five number systems; scores by differences; what is refused."""

import math
from fractions import Fraction
from itertools import pairwise

import flint
import numpy as np
import pytest
import sympy
import torch

from distil_theory import calculus, divergences, grammar
from distil_theory import number_systems as ns
from distil_theory.calculus import U

FAMILIES = [
    *((grammar.alpha(a), divergences.alpha(a)) for a in map(Fraction, ("-1", "-1/2", "0", "1/4", "1", "3/2", "3"))),
    *((grammar.skewed_js(b), divergences.skewed_js(b)) for b in map(Fraction, ("1/5", "1", "4"))),
    *(
        (grammar.generalized_js(b, c), divergences.generalized_js(b, c))
        for b in map(Fraction, ("0", "1/10", "1/2", "1"))
        for c in ("special_cased", "continuous")
    ),
]
NAMED = [(text, divergences.named(name)) for name, text in grammar.TEXT.items()]
RATIOS = np.array([0.0, 1e-6, 0.3, 0.9, 1.0, 1.1, 2.0, 7.0, 1e3])


def test_every_divergence_of_the_catalogue_has_a_text():
    assert grammar.TEXT.keys() == divergences.BY_NAME.keys()


@pytest.mark.parametrize(("text", "d"), NAMED + FAMILIES, ids=lambda x: x if isinstance(x, str) else x.name)
def test_a_text_is_its_divergence(text, d):
    ours = grammar.parse(text)
    for mine, theirs in ((ours.f, d.f), (ours.h, d.h)):
        np.testing.assert_allclose(mine(RATIOS), theirs(RATIOS), rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(mine(torch.tensor(RATIOS)), theirs(RATIOS), rtol=1e-11, atol=1e-11)
        balls = ns.convert(["1/7", "3/5", "2", "30"], "ball")
        with ns.precision(200):
            assert all(a.overlaps(b) for a, b in zip(mine(balls), theirs(balls), strict=True))
        symbols = np.array([U], dtype=object)
        gap = mine(symbols)[0] - theirs(symbols)[0]
        assert sympy.simplify(sympy.expand_log(gap, force=True)) == 0
    assert ours.unit == pytest.approx(d.unit, rel=1e-14)
    assert ours.needs_expert_support == d.needs_expert_support
    assert (ours.slope is None) == (d.slope is None)
    if d.slope is not None:
        assert ours.slope(np.ones(1)) == pytest.approx(d.slope(np.ones(1)))


def test_rationals_stay_rational_where_the_logarithm_cancels():
    u = ns.convert(["0", "1/3", "5"], "rational")
    assert list(grammar.parse("u * log(u)").h(u)) == list(u)
    assert list(grammar.parse("(u - 1) ** 2").f(u)) == [1, flint.fmpq(4, 9), 16]
    with pytest.raises(TypeError, match="not rational"):
        grammar.parse("-log(u)").h(u[1:])


@pytest.mark.parametrize("seed", range(25))
def test_the_score_against_differences(seed):
    """`u f' - f` from values of `f` alone, in 600 bits."""
    text = grammar.random_text(np.random.default_rng(seed))
    assert grammar.canonical(text) == text
    assert len(text) <= grammar.LENGTH
    d = grammar.parse(text)
    with ns.precision(600):
        u, e = ns.convert(["1/10", "1/3", "8/7", "5/2", "11"], "ball"), flint.arb(2) ** -150
        h = u * (d.f(u + e) - d.f(u - e)) / (2 * e) - d.f(u)
        assert all(abs(x) < 1e-60 for x in h - d.h(u))
        score = d.h(u)
        assert all(a <= b for a, b in pairwise(score))  # convex


def test_a_kink_has_the_score_of_either_side():
    d = grammar.parse("abs(u - 3) - 2")
    assert d.h(np.array([1.0, 2.9, 3.1, 9.0])) == pytest.approx([-1, -1, 5, 5])
    assert calculus.score(grammar.to_sympy("abs(u - 1) / 2")) == sympy.sign(U - 1) / 2
    assert calculus.derivative(sympy.Abs(U - 2) ** 2 + sympy.sign(U - 5)) == 2 * (U - 2)
    assert calculus.derivative(U * sympy.sign(U - 5)) == sympy.sign(U - 5)
    inner = sympy.Abs(sympy.Abs(U - 2) - 1)
    slope = calculus.function(calculus.derivative(inner))
    assert list(slope(np.array([0.5, 1.5, 2.5, 3.5]))) == [-1, 1, -1, 1]


def test_limits():
    d = grammar.parse("u ** 3 - 1")
    assert d.slope is None
    assert list(d.h(np.zeros(2))) == [1, 1]
    assert d.unit == 6
    assert grammar.parse("abs(u - 1) ** (3 / 2)").unit == math.inf
    assert calculus.limit(sympy.sin(U), sympy.oo) is sympy.nan
    with pytest.raises(ValueError, match="no value is known"):
        calculus.value(sympy.sin(U), ns.convert(["1"], "ball"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "a text of at most"),
        ("u" * 201, "a text of at most"),
        ("u +", "no expression"),
        ("\0", "no expression"),
        ("-" * 199 + "u", "not canonical|no expression|deeper than 20"),
        ("(" * 199, "no expression"),
        ("u*log(u)", r"write 'u \* log\(u\)'"),
        ("(-log(u))", r"write '-log\(u\)'"),
        ("0x1 * (u - 1)", "write"),
        ("v - 1", "'v'"),
        ("u - True", "'True'"),
        ("u - 1.0", "'1.0'"),
        ("sin(u)", r"'sin\(u\)'"),
        ("log(u, 2)", "'log"),
        ("log(x=u)", "'log"),
        ("log(u, base=u)", "'log"),
        ("u - sqrt(-u)", r"'sqrt\(-u\)' has no real value"),
        ("u.real", "'u.real'"),
        ("+u - 1", r"'\+u'"),
        ("u // 1 - 1", "'u // 1'"),
        ("u if u else 1", "none of"),
        ("(lambda: 1)()", "none of"),
        ("__import__('os')", "none of"),
        ("u ** u", "exponent"),
        ("u ** sqrt(2)", "exponent"),
        ("9 ** 9 ** 9", "too steep"),
        ("((u - 1) ** 9) ** 9", "too steep"),
        ("exp(exp(exp(u)))", "too steep"),
        ("u ** (1 / 0)", "'1 / 0' has no real value"),
        ("sqrt(-1) * (u - 1)", r"'sqrt\(-1\)' has no real value"),
        ("log(0)", "has no real value"),
        ("u", r"f\(1\) must be 0, not 1"),
        ("u * log(u) + 1 / 10 ** 60", r"f\(1\) must be 0"),
        ("log(2 * u - 1)", "no finite real value at u = 1/256"),
        ("log(u)", "not convex: see u = 1/256"),
        ("(u - 1) ** 2 - abs(u - 3) + 2", "not convex: see u = 5/2, 3, 7/2"),
        ("sqrt(u) - 1 + 1 / 10 * (u - 1) ** 2", "not convex"),
    ],
)
def test_refused(text, why):
    with pytest.raises(ValueError, match=why):
        grammar.parse(text)


def test_depth():
    def nested(n):
        return "sqrt(" * n + "u" + ")" * n

    assert grammar.to_sympy(nested(19)) == U ** sympy.Rational(1, 2**19)
    with pytest.raises(ValueError, match="deeper than 20"):
        grammar.to_sympy(nested(20))


def test_the_families_refuse_what_the_divergences_refuse():
    for make in (lambda: grammar.skewed_js(0), lambda: grammar.generalized_js(2), lambda: grammar.alpha("x")):
        with pytest.raises(ValueError, match=r"."):
            make()
