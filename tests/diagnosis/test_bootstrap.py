"""Intervals of means: they cover, one pass is enough, and logs of their own do not see each other."""

import numpy as np
import pytest

from distil_theory.diagnosis.bootstrap import Bootstrap, intervals

DRAWS = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "skewed": lambda rng, shape: rng.exponential(size=shape) - 1,
    "heavy": lambda rng, shape: rng.standard_t(5, size=shape),
}


@pytest.mark.parametrize("name", DRAWS)
def test_intervals_cover(name):
    x = DRAWS[name](np.random.default_rng(1), (2000, 60, 1))
    found = intervals(x)
    assert 0.93 < ((found.low <= 0) & (found.high >= 0)).mean() < 0.97


def test_pieces_are_as_good_as_the_whole():
    x = np.random.default_rng(2).normal(3, 2, (500, 2)) ** 2
    bootstrap = Bootstrap(seed=3)
    for piece in np.split(x, [7, 250]):
        bootstrap.add(piece)
    found = bootstrap.intervals()
    np.testing.assert_allclose(found.value, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.standard_error, x.std(axis=0) / 500**0.5, rtol=1e-9)
    d = x - x.mean(axis=0)
    np.testing.assert_allclose(found.carrying, (d**2).sum(axis=0) ** 2 / (d**4).sum(axis=0), rtol=1e-9)
    again = intervals(x, seed=3)
    np.testing.assert_allclose((found.high - found.low) / (again.high - again.low), 1, atol=0.1)


def test_columns_without_spread_are_points():
    found = intervals(np.ones((10, 1)))
    assert found.low == found.high == 1
    assert found.carrying == 0
