"""The tail of a distribution of which only masses are known: bounds hold for every tail, and are attained."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distil_theory.diagnosis import rates
from distil_theory.diagnosis.tails import bounds, curvature, score
from distil_theory.divergences import CATALOGUE, FORWARD_KL, HELLINGER, PEARSON, REVERSE_KL, TOTAL_VARIATION, alpha
from tests.diagnosis.games import coins

EVERY = (*CATALOGUE, alpha(0.3), alpha(-0.5), alpha(1.5))


def total(divergence, q, u):
    return (q * score(divergence, np.log(u))).sum()


@pytest.mark.parametrize("divergence", EVERY, ids=lambda d: d.name)
@given(st.integers(0, 10**6))
def test_every_tail_lies_within(divergence, seed):
    rng = np.random.default_rng(seed)
    q, u = rng.dirichlet(np.ones(5)) * rng.random(), rng.uniform(0.2, 6, 5)
    value = total(divergence, q, u)
    masses = np.array([q.sum()]), np.array([(q * u).sum()])
    for ratios in (None, (u.min() * (1 - 1e-9), u.max() * (1 + 1e-9))):
        if ratios and not ratios[0] < 1 < ratios[1]:
            continue
        low, high = bounds(divergence, *masses, ratios)
        assert low[0] - 1e-7 <= value <= high[0] + 1e-7


@pytest.mark.parametrize("divergence", [d for d in EVERY if d.name != "total_variation"], ids=lambda d: d.name)
def test_two_ratios_or_one_attain_the_ends(divergence):
    q, p, m, M = 0.1, 0.13, 0.25, 4.0
    low, high = (float(x[0]) for x in bounds(divergence, np.array([q]), np.array([p]), (m, M)))
    share = (p / q - m) / (M - m)
    two = total(divergence, q * np.array([1 - share, share]), np.array([m, M]))
    one = total(divergence, np.array([q]), np.array([p / q]))
    assert sorted([one, two]) == pytest.approx([low, high], abs=1e-9)


def test_total_variation_has_its_two_steps():
    q, p = np.array([0.1]), np.array([0.08])
    np.testing.assert_allclose([x[0] for x in bounds(TOTAL_VARIATION, q, p)], [-0.05, 0.05])
    low, high = bounds(TOTAL_VARIATION, q, p, (0.5, 2))
    # from the mean 0.8: all below 1; or as much as possible just above 1, the rest at 0.5
    np.testing.assert_allclose([low[0], high[0]], [-0.05, 0.1 * (0.6 - 0.5)], atol=1e-6)  # the step is SINGLE wide


def test_what_nobody_bounds_is_infinite():
    q, p = np.array([0.1, 0.0]), np.array([0.05, 0.0])
    low, high = bounds(REVERSE_KL, q, p)
    assert low.tolist() == [-np.inf, 0]
    np.testing.assert_allclose(high, [0.1 * np.log(0.5), 0])
    low, high = bounds(PEARSON, q, p)
    np.testing.assert_allclose(low, [0.1 * (0.25 - 1), 0])
    assert high.tolist() == [np.inf, 0]
    low, high = bounds(FORWARD_KL, q, p)
    np.testing.assert_allclose(low, [-0.05, 0])
    np.testing.assert_allclose(high, low)
    low, high = bounds(HELLINGER, q, p)
    np.testing.assert_allclose([low[0], high[0]], [-0.1, 0.1 * (np.sqrt(0.5) - 1)])


def test_tails_of_rounding_are_empty():
    q, p = np.array([3e-7, -2e-7, 0.0, 3e-7]), np.array([-1e-7, 4e-7, 0.01, 0.01])
    for divergence in (REVERSE_KL, PEARSON, HELLINGER):
        low, high = bounds(divergence, q, p)
        assert not low[:2].any()
        assert not high[:2].any()
    assert bounds(PEARSON, q, p)[1].tolist() == [0, 0, np.inf, np.inf]  # the teacher is where the student never is
    assert bounds(REVERSE_KL, q, p)[0].tolist() == [0, 0, 0, -np.inf]


def test_contradictions_are_refused():
    with pytest.raises(ValueError, match=r"mean ratio 5, outside the given bounds \[0.5, 2\]"):
        bounds(HELLINGER, np.array([0.1]), np.array([0.5]), (0.5, 2))


def test_rounding_is_no_contradiction():
    for q, p in ((2e-6, 1e-8), (1e-8, 3e-6), (0.0, 5e-6)):
        low, high = bounds(HELLINGER, np.array([q]), np.array([p]), (0.5, 2))
        assert -1e-5 < low[0] <= high[0] < 1e-5


def test_contradictions_name_their_row():
    block = coins(3, 2, 2, form="top")  # the tail is one token, of ratio 2
    t = int(np.argmin(block.tokens))  # the first written token that is listed
    words = f"row {t // 2 + 1}: the tail of token {t % 2 + 1} has the mean ratio 2, outside"
    with pytest.raises(ValueError, match=words):
        rates.contributions(block, rates.columns(block), ratios=(0.9, 1.1))


def test_curvature():
    found = {d.name: curvature(lambda u, d=d: score(d, np.log(u))) for d in EVERY}
    convex = {d.name for d in (PEARSON, alpha(1.5))}
    assert {name for name, bend in found.items() if bend == 1} == convex
    assert {name for name, bend in found.items() if bend == 0} == {"total_variation"}
