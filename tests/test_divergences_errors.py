"""Bad parameters and bad distributions of the divergences."""

import flint
import numpy as np
import pytest

from distil_theory import number_systems as ns
from distil_theory.divergences import (
    BY_NAME,
    CROSS_ENTROPY,
    FORWARD_KL,
    HELLINGER,
    JENSEN_SHANNON,
    NEYMAN,
    PEARSON,
    REVERSE_KL,
    TOTAL_VARIATION,
    FDivergence,
    alpha,
    generalized_js,
    named,
    skewed_js,
)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), "two", None])
@pytest.mark.parametrize(
    ("family", "what"),
    [(alpha, "alpha order"), (skewed_js, "skewed_js beta"), (generalized_js, "generalized_js beta")],
)
def test_parameters_must_be_finite(family, what, bad):
    with pytest.raises(ValueError, match=f"^{what} must be a finite number, not {bad!r}$"):
        family(bad)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: skewed_js(0), "skewed_js beta must be positive, not 0"),
        (lambda: skewed_js(-2), "skewed_js beta must be positive, not -2"),
        (lambda: generalized_js(-0.1), r"must lie in \[0, 1\], not -0.1"),
        (lambda: generalized_js(1.5), r"must lie in \[0, 1\], not 1.5"),
        (lambda: generalized_js(0.5, "trl"), "unknown convention 'trl'"),
    ],
)
def test_bad_parameters(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize(
    ("expert", "student", "match"),
    [
        ([0.5, 0.5], [0.5, 0.25, 0.25], "student has shape"),
        ([0.5, 0.6], [0.5, 0.5], "expert sums to 1.1"),
        ([0.5, 0.5], [0.5, 0.4], "student sums to 0.9"),
        ([1.5, -0.5], [0.5, 0.5], "expert has the negative probability -0.5 at axis 0=1"),
        ([np.nan, 1.0], [0.5, 0.5], "expert is nan at axis 0=0"),
    ],
)
def test_bad_distributions(expert, student, match):
    with pytest.raises(ValueError, match=match):
        FORWARD_KL.value(np.array(expert), np.array(student))


def test_ratio_score_names_the_missing_support():
    expert, student = np.array([[[1.0, 0.0]]]), np.array([[[0.5, 0.5]]])
    for d in (REVERSE_KL, NEYMAN):
        with pytest.raises(ValueError, match=rf"expert is 0 at h=0, s=0, a=1: {d.name} has h\(0\+\) = -inf"):
            d.ratio_score(expert, student)
    for d in BY_NAME.values():
        with pytest.raises(ValueError, match="student is 0 at h=0, s=0, a=1"):
            d.ratio_score(student, expert)
    np.testing.assert_array_equal(FORWARD_KL.ratio_score(expert, student), [[[2.0, 0.0]]])


def test_rationals_stay_rational_or_refuse():
    p, q = (ns.convert(x, "rational") for x in (["1/9", "8/9"], ["4/9", "5/9"]))
    assert PEARSON.value(p, q) == flint.fmpq(9, 81) * (flint.fmpq(9, 4) + flint.fmpq(9, 5))
    assert NEYMAN.value(p, q) == flint.fmpq(9, 81) * (9 + flint.fmpq(9, 8))
    for d in (FORWARD_KL, REVERSE_KL, JENSEN_SHANNON, HELLINGER, skewed_js(2), alpha(0.25)):
        with pytest.raises(TypeError, match="not rational"):
            d.value(p, q)
    certain = ns.convert([1, 0], "rational")
    for d, pair in ((PEARSON, (p, certain)), (FORWARD_KL, (p, certain))):
        with pytest.raises(TypeError):
            d.value(*pair)
    assert TOTAL_VARIATION.value(p, certain) == flint.fmpq(8, 9)
    assert NEYMAN.value(p, certain) == flint.fmpq(64, 9) + flint.fmpq(8, 9)


@pytest.mark.parametrize(("rows", "axis"), [(1.0, -1), ([0.5, 0.5], 1), ([0.5, 0.5], 3), ([0.5, 0.5], -2)])
def test_there_must_be_an_axis_of_actions(rows, axis):
    with pytest.raises(ValueError, match=f"there is no axis {axis} of actions"):
        FORWARD_KL.value(rows, rows, axis)


@pytest.mark.parametrize("h", [lambda u: -1 / u, lambda u: u * np.log(u) - 1], ids=["infinite", "undefined"])
def test_an_own_divergence_in_plain_numpy_is_asked_for_its_support_in_silence(h):
    with np.errstate(all="raise"):  # h is tried at u = 0, whatever the caller has set
        assert FDivergence("own", lambda u: u - 1, h).needs_expert_support


@pytest.mark.parametrize(
    ("d", "name", "label"),
    [
        (alpha(1), "alpha_1", "alpha 1"),
        (alpha(0), "alpha_0", "alpha 0"),
        (alpha(0.5), "alpha_0.5", "alpha 0.5"),
        (skewed_js(3), "skewed_js_3", "skewed JS 3"),
        (generalized_js(0), "generalized_js_special_cased_0", "generalised JS 0"),
        (generalized_js(1, "continuous"), "generalized_js_continuous_1", "generalised JS 1"),
        (CROSS_ENTROPY, "cross_entropy", "forward cross-entropy"),
        (generalized_js(0.25), "generalized_js_special_cased_0.25", "generalised JS 0.25"),
    ],
)
def test_those_outside_the_catalogue_are_told_apart_in_tables(d, name, label):
    assert (d.name, d.label) == (name, label)


def test_cross_entropy_runs_along_the_last_axis_and_is_infinite_where_the_student_is_zero():
    p, q = np.array([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]]), np.array([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0]])
    np.testing.assert_allclose(CROSS_ENTROPY.value(p[:2], q[:2]), -(p[:2] * np.log(q[:2])).sum(axis=1))
    assert CROSS_ENTROPY.value(p[0], q[2]) == np.inf
    np.testing.assert_allclose(CROSS_ENTROPY.value(p[:2].T, q[:2].T, axis=0), CROSS_ENTROPY.value(p[:2], q[:2]))
    assert CROSS_ENTROPY.value(p[2], q[2]) == 0


def test_the_catalogue_is_found_by_name_and_nothing_else_is():
    for d in BY_NAME.values():
        assert named(d.name) is d
    with pytest.raises(ValueError, match="unknown divergence 'kl': choose from forward_kl, reverse_kl, jensen_shannon"):
        named("kl")
