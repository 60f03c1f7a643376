"""Identities of symbols: what is shown to be zero is zero, and what these proofs need is shown."""

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from distil_theory.number_systems import rational_functions
from distil_theory.number_systems.rational_functions import identically_zero, is_zero

A, B, C = sympy.symbols("a b c", positive=True)
X = sympy.Symbol("x", real=True)
F = sympy.Function("f")
SLOPE = F(X).diff(X)
LEAVES = st.sampled_from([A, B, X, F(A), sympy.log(B), sympy.cos(C), *map(sympy.Rational, ("1", "-2", "3/7"))])
FREE = dict(zip((F(A), sympy.log(B), sympy.cos(C), C), sympy.symbols("f1 l1 s1 c1"), strict=True))
ATOMS = (A, B, X, *FREE.values())
NUMBERS = ("2/3 5 -7/11 13 1/17 19/23 29", "31 -1/37 41/3 -43 4/47 53 -5/59", "7/2 61 67/5 -3/71 73 1/79 83/6")
NUMBERS = [numbers.split() for numbers in NUMBERS]
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda x: x[0] + x[1]),
        st.tuples(inner, inner).map(lambda x: x[0] * x[1]),
        st.tuples(inner, st.sampled_from([-2, -1, 2, 3])).map(lambda x: (x[0] + A**2 + B) ** x[1]),
    ),
    max_leaves=5,
)
NOTHING = A / (A + B) + B / (A + B) - 1
ZERO = [
    NOTHING,
    (A**3 - B**3) / (A - B) - A**2 - A * B - B**2,
    F(A * (A + B) / (A**2 + A * B)) - F(1),
    F((A + B) / C) - F(A / C + B / C),
    sympy.log(F(B * (1 + 1 / B))) - sympy.log(F(B + 1)),
    sympy.exp(A + B) - sympy.exp(A) * sympy.exp(B),
    sympy.exp(2 * F(A)) - sympy.exp(F(A)) ** 2,
    sympy.exp(A * (B + 1)) / sympy.exp(A * B) - sympy.exp(A),
    (A + B) ** (X + 2) - (A + B) ** X * (A**2 + 2 * A * B + B**2),
    (A + B) ** sympy.Rational(3, 2) - (A + B) * sympy.sqrt(B + A),
    F(A / (2 * B + 2 * C)) - F(A / 2 / (B + C)),
    SLOPE.subs(X, (A**2 + A * B) / A) - SLOPE.subs(X, A + B),
    sympy.Sum(X, (X, 1, C)) * (A + B) / A - sympy.Sum(X, (X, 1, C)) * (1 + B / A),
]
NOT_SHOWN = [
    A - B,
    A / (A + B) + B / (A + B) - sympy.Rational(10**20 + 1, 10**20),
    F(A) - F(B),
    F(A) - sympy.Function("g")(A),
    sympy.Symbol("x") - X,  # one name, other assumptions
    SLOPE.subs(X, A) - SLOPE.subs(X, B),
    F(X).diff(X, 2).subs(X, A) - SLOPE.subs(X, A),
    SLOPE.subs(X, A * B) - SLOPE.subs(X, A + B),
    SLOPE.subs(X, A * B) - F(X).diff(X, 2).subs(X, A * B),
    sympy.exp(A) - sympy.exp(B),
    sympy.exp(A) - sympy.exp(-A),
    (A + 1) ** X - (A + 2) ** X,
    sympy.exp(sympy.Float("0.5") * A) - sympy.exp(A / 2),
    NOTHING ** (X + 1) - NOTHING * NOTHING**X,
    sympy.Mul(0, sympy.oo, evaluate=False),
    sympy.exp(A / 2) - sympy.exp(A),
    sympy.sqrt(A + B) - sympy.sqrt(A) - sympy.sqrt(B),
    ((-X) ** A) ** B - (-X) ** (A * B),  # false for x = 1, a = 2, b = 1/2
    sympy.zoo,
    sympy.oo - A,
    sympy.nan,
    sympy.Mul(0, sympy.zoo, evaluate=False),
    sympy.Mul(0, 1 / NOTHING, evaluate=False),
]


@pytest.mark.parametrize("e", ZERO, ids=range(len(ZERO)))
def test_these_are_shown(e):
    assert identically_zero(e)
    assert not identically_zero(e + sympy.Rational(1, 10**30))
    assert not identically_zero(e + A)


@pytest.mark.parametrize("e", NOT_SHOWN, ids=range(len(NOT_SHOWN)))  # sympy prints in no fixed order
def test_these_are_not(e):
    assert not identically_zero(e)


def test_other_relations_are_left_to_sympy():
    n, below = sympy.Symbol("n", integer=True), sympy.Symbol("m", negative=True)
    whole, sign = sympy.floor(n, evaluate=False) - n, sympy.sign(below, evaluate=False) + 1
    for e in (sympy.sin(X) ** 2 + sympy.cos(X) ** 2 - 1, whole, sign):  # the last two not at any positive fraction
        assert not identically_zero(e)
        assert is_zero(e)
        assert not is_zero(e + sympy.Rational(1, 1000))


def test_a_wrong_formula_is_refuted_at_a_point(monkeypatch):
    monkeypatch.setattr(sympy, "simplify", lambda e: pytest.fail("not needed"))
    assert not is_zero(A - B)
    assert not is_zero(F(A) * sympy.log(B) - F(B) * sympy.log(A))
    assert is_zero(NOTHING)


@settings(max_examples=20)
@given(TREES, TREES, TREES)
def test_the_laws_of_a_field(x, y, z):
    assert identically_zero(x * (y + z) - sympy.expand(x * y) - sympy.expand(x * z))
    assert identically_zero((x + y) / (A + z**2) - x / (A + z**2) - sympy.together(y / (A + z**2)))


@given(TREES, TREES)
def test_zero_exactly_where_all_values_are(x, y):
    """Functions are replaced by numbers first, which no relation ties to their arguments."""
    points = [dict(zip(ATOMS, sympy.sympify(numbers), strict=True)) for numbers in NUMBERS]
    for e in (x - y, x - sympy.together(x), (x + y) ** 2 - x**2 - y * (2 * x + y)):
        assert identically_zero(e) == all(e.xreplace(FREE).xreplace(point) == 0 for point in points)


def test_many_atoms(monkeypatch):
    many = sympy.symbols(f"s1:{rational_functions.SIZES[-1] - 1}")
    assert identically_zero((sum(many) + A) * B - sum(s * B for s in many) - A * B)
    monkeypatch.setattr(rational_functions, "SIZES", (2, 4))
    assert identically_zero((A + B) * (C + X) - A * C - A * X - B * C - B * X)
    assert not identically_zero(sum(many) * A - sum(s * A for s in many))  # more than there is room for: not shown
