"""Each divergence: one definition, held against calculus, against scipy, and against its neighbours."""

from fractions import Fraction

import flint
import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr

from distil_theory import number_systems as ns
from distil_theory.divergences import (
    BY_NAME,
    CATALOGUE,
    FORWARD_KL,
    HELLINGER,
    JENSEN_SHANNON,
    NEYMAN,
    PEARSON,
    REVERSE_KL,
    TOTAL_VARIATION,
    alpha,
    generalized_js,
    skewed_js,
)
from distil_theory.strategies import simplex

SMOOTH = [d for d in CATALOGUE if d is not TOTAL_VARIATION]
MEMBERS = [
    *SMOOTH,
    *(alpha(Fraction(a)) for a in ("-1", "-1/2", "0", "1/4", "1/2", "1", "3/2", "2", "3")),
    *(skewed_js(Fraction(b)) for b in ("1/5", "1", "4")),
    *(
        generalized_js(Fraction(b), convention)
        for b in ("0", "1/10", "1/2", "3/4", "1")
        for convention in ("special_cased", "continuous")
    ),
]
ALL = [*MEMBERS, TOTAL_VARIATION]
U = np.array([0.0, 1e-9, 0.01, 0.3, 0.9, 1.0, 1.1, 2.0, 7.0, 1e3])
each = pytest.mark.parametrize("d", ALL, ids=lambda d: d.name)


def at(function, u):
    """A sympy expression: `function` of the library at the expression `u`."""
    return function(np.array([u], dtype=object))[0]


@pytest.mark.parametrize("d", MEMBERS, ids=lambda d: d.name)
def test_calculus(d):
    u = sympy.Symbol("u", positive=True)
    f, h = at(d.f, u), at(d.h, u)
    assert sympy.simplify(sympy.expand_log(u * sympy.diff(f, u) - f - h, force=True)) == 0
    assert at(d.f, sympy.Integer(1)) == 0
    assert float(sympy.diff(f, u, 2).subs(u, 1)) == pytest.approx(d.unit, rel=1e-14)
    limit = sympy.limit(f / u, u, sympy.oo)
    if d.slope is None:
        assert limit == sympy.oo
    else:
        assert sympy.simplify(sympy.expand_log(limit - at(d.slope, sympy.Integer(1)), force=True)) == 0


def test_calculus_of_total_variation():
    # on either side of the kink, u = 1 + side t with t > 0
    t = sympy.Symbol("t", positive=True)
    for side in (1, -1):
        u = 1 + side * t
        f, h = at(TOTAL_VARIATION.f, u), at(TOTAL_VARIATION.h, u)
        assert sympy.simplify(u * side * sympy.diff(f, t) - f - h) == 0
        assert h == sympy.Rational(side, 2)
    assert sympy.limit(at(TOTAL_VARIATION.f, 1 + t) / t, t, sympy.oo) == at(TOTAL_VARIATION.slope, sympy.Integer(1))
    assert at(TOTAL_VARIATION.f, sympy.Integer(1)) == at(TOTAL_VARIATION.h, sympy.Integer(1)) == 0
    assert TOTAL_VARIATION.unit == 0


@each
def test_shape_of_f_and_h(d):
    # f convex with its minimum over distributions at equality; h non-decreasing (h' = u f'')
    with np.errstate(invalid="raise"):
        f, h = d.f(U), d.h(U)
    assert not np.isnan(f).any()
    assert not np.isnan(h).any()
    assert (np.diff(h) >= -1e-12).all()
    finite = np.isfinite(f)
    slopes = np.diff(f[finite]) / np.diff(U[finite])
    assert (np.diff(slopes) >= -1e-6).all()
    assert d.needs_expert_support == (h[0] == -np.inf)
    assert d.label


@pytest.mark.parametrize(
    ("d", "multiple", "of"),
    [
        (alpha(1), 1, FORWARD_KL),
        (alpha(0), 1, REVERSE_KL),
        (alpha(0.5), 2, HELLINGER),
        (alpha(2), 0.5, PEARSON),
        (alpha(-1), 0.5, NEYMAN),
        (skewed_js(1), 4, JENSEN_SHANNON),
        (generalized_js(0.5), 1, JENSEN_SHANNON),
        (generalized_js(0.5, "continuous"), 4, JENSEN_SHANNON),
        *((skewed_js(b), 1, generalized_js(Fraction(b) / (1 + Fraction(b)), "continuous")) for b in ("1/7", "2", "9")),
        *((generalized_js(b), float(b * (1 - b)), generalized_js(b, "continuous")) for b in (0.125, 0.75)),
        *((generalized_js(0, c), 1, FORWARD_KL) for c in ("special_cased", "continuous")),
        *((generalized_js(1, c), 1, REVERSE_KL) for c in ("special_cased", "continuous")),
    ],
    ids=lambda x: getattr(x, "name", None),
)
def test_identities(d, multiple, of):
    np.testing.assert_allclose(d.f(U), multiple * of.f(U), rtol=1e-12, atol=1e-12)
    difference = d.h(U[1:]) - multiple * of.h(U[1:])  # h up to a constant
    np.testing.assert_allclose(difference, difference[0], rtol=0, atol=1e-7)
    assert d.unit == pytest.approx(multiple * of.unit)
    assert (d.slope is None) == (of.slope is None)
    if d.slope:
        np.testing.assert_allclose(d.slope(np.ones(1)), multiple * of.slope(np.ones(1)), rtol=1e-12)


def test_conventions_of_generalized_js_near_the_ends():
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.7])
    small = Fraction(1, 10**6)
    for beta, end in ((small, FORWARD_KL), (1 - small, REVERSE_KL)):
        whole = end.value(p, q)
        assert generalized_js(beta, "continuous").value(p, q) == pytest.approx(whole, rel=1e-4)
        assert generalized_js(beta).value(p, q) == pytest.approx(float(small) * whole, rel=1e-3)  # vanishes ...
        assert generalized_js(round(beta)).value(p, q) == pytest.approx(whole, rel=1e-14)  # ... and jumps at the end


def textbook(p, q):
    """Values by the formulas of the textbooks, on full-support distributions."""
    m = (p + q) / 2
    return {
        "forward_kl": rel_entr(p, q).sum(),
        "reverse_kl": rel_entr(q, p).sum(),
        "jensen_shannon": jensenshannon(p, q) ** 2,
        "hellinger": ((np.sqrt(p) - np.sqrt(q)) ** 2).sum(),
        "pearson_chi2": ((p - q) ** 2 / q).sum(),
        "neyman_chi2": ((p - q) ** 2 / p).sum(),
        "total_variation": abs(p - q).sum() / 2,
        "generalized_js_special_cased_0.5": (rel_entr(p, m).sum() + rel_entr(q, m).sum()) / 2,
    }


@st.composite
def two(draw, positive=True):
    size = draw(st.integers(2, 4))
    return draw(simplex(size, positive=positive)), draw(simplex(size, positive=positive))


@given(two())
def test_against_scipy(pq):
    p, q = (ns.convert(x, "float64") for x in pq)
    for name, expected in textbook(p, q).items():
        d = BY_NAME.get(name) or generalized_js(0.5)
        assert d.name == name
        assert d.value(p, q) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    w = 0.3
    m = w * p + (1 - w) * q
    skew = w * rel_entr(p, m).sum() + (1 - w) * rel_entr(q, m).sum()
    assert generalized_js(w).value(p, q) == pytest.approx(skew, rel=1e-9, abs=1e-12)


@given(two(positive=False))
def test_nonnegative_symmetric_and_zero_iff_equal(pq):
    p, q = (ns.convert(x, "float64") for x in pq)
    for d in ALL:
        value = d.value(p, q)
        assert not np.isnan(value)
        if (p == q).all():
            assert value == pytest.approx(0, abs=1e-14)
        else:
            assert value > 1e-9
        assert d.value(p, p) == pytest.approx(0, abs=1e-14)
    for d in (TOTAL_VARIATION, JENSEN_SHANNON, HELLINGER):
        assert d.value(p, q) == pytest.approx(d.value(q, p), rel=1e-12)
    assert REVERSE_KL.value(p, q) == pytest.approx(FORWARD_KL.value(q, p), rel=1e-12)
    assert TOTAL_VARIATION.value(*pq) == sum(abs(a - b) for a, b in zip(*pq, strict=True)) / 2  # exactly
    assert TOTAL_VARIATION.value(p, q) <= 1


@given(two(positive=False))
def test_data_processing(pq):
    # merging two actions loses information: no divergence increases
    p, q = (ns.convert(x, "float64") for x in pq)
    for d in ALL:
        fine, coarse = d.value(p, q), d.value(np.append(p[:-2], p[-2:].sum()), np.append(q[:-2], q[-2:].sum()))
        assert coarse <= fine + 1e-12


# Which values are infinite: f(0+) where only the expert is zero, f'(inf) where only the student is.
INFINITE_WITHOUT_EXPERT = {"reverse_kl", "neyman_chi2", "alpha_-1", "alpha_-0.5", "alpha_0"}
INFINITE_WITHOUT_STUDENT = {"forward_kl", "pearson_chi2", "alpha_1", "alpha_1.5", "alpha_2", "alpha_3"}
for _convention in ("special_cased", "continuous"):
    INFINITE_WITHOUT_EXPERT.add(f"generalized_js_{_convention}_1")
    INFINITE_WITHOUT_STUDENT.add(f"generalized_js_{_convention}_0")


@each
@pytest.mark.parametrize("kind", ["float64", "torch", "ball"])
def test_zeros(d, kind):
    half, full = ["1/2", "1/2", 0], ["1/4", "1/2", "1/4"]
    rows = [(half, full), (full, half), (half, half), (half, [0, "1/2", "1/2"])]
    p, q = (ns.convert(list(x), kind) for x in zip(*rows, strict=True))
    values = d.value(p, q)
    expected = [
        d.name in INFINITE_WITHOUT_EXPERT,
        d.name in INFINITE_WITHOUT_STUDENT,
        False,
        d.name in INFINITE_WITHOUT_EXPERT | INFINITE_WITHOUT_STUDENT,
    ]
    if kind == "ball":
        assert not any(v.is_nan() for v in values)
        assert [v == flint.arb.pos_inf() for v in values] == expected
        assert all(v.is_finite() for v, infinite in zip(values, expected, strict=True) if not infinite)
    values = np.array([float(v) for v in values])
    assert (values == np.inf).tolist() == expected
    assert np.isfinite(values[~np.array(expected)]).all()
    assert values[2] == pytest.approx(0, abs=1e-14)
    by_rows = d.value(ns.convert(np.array(rows, dtype=object)[:, 0].T, kind), q.T, axis=0)
    np.testing.assert_array_equal(np.array([float(v) for v in by_rows]), values)


def test_finite_values_with_zeros_by_hand():
    # u = (2, 1, 0) under q = (1/4, 1/2, 1/4)
    p, q = np.array([0.5, 0.5, 0]), np.array([0.25, 0.5, 0.25])
    by_hand = {
        FORWARD_KL: np.log(2) / 2,
        HELLINGER: (np.sqrt(0.5) - 0.5) ** 2 + 0.25,
        PEARSON: 0.5,
        TOTAL_VARIATION: 0.25,
        JENSEN_SHANNON: (np.log(4 / 3) / 2 + np.log(2 / 3) / 4 + np.log(2) / 4) / 2,
    }
    for d, value in by_hand.items():
        assert d.value(p, q) == pytest.approx(value, rel=1e-14)
    # the other way round the student has no mass on the third action: 1/4 at the price of the slope
    by_hand = {REVERSE_KL: np.log(2) / 2, HELLINGER: by_hand[HELLINGER], NEYMAN: 0.5, TOTAL_VARIATION: 0.25}
    for d, value in {**by_hand, JENSEN_SHANNON: jensenshannon(p, q) ** 2}.items():
        assert d.value(q, p) == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize("d", [d for d in CATALOGUE if d.name != "total_variation"], ids=lambda d: d.name)
def test_a_ball_around_a_ratio_of_one_has_a_finite_value(d):
    p = ns.convert(["1/3", "2/3"], "ball")
    value = d.value(p, p)
    assert value.contains(0)
    assert value.rad() < 1e-12
