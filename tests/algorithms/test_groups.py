"""Group-normalised advantages against every group that there is."""

import itertools
import math

import numpy as np
import pytest

from distil_theory.algorithms import groups


def worth(outcomes, n, normalise):
    """What GRPO gives the n-th rollout of one group, in plain Python."""
    mean = sum(outcomes) / len(outcomes)
    if len(set(outcomes)) == 1:
        return 0.0
    spread = math.sqrt(sum((r - mean) ** 2 for r in outcomes) / len(outcomes)) if normalise else 1
    return (outcomes[n] - mean) / spread


def brute(values, p, group, normalise):
    plus, minus = np.zeros(len(values)), np.zeros(len(values))
    for v, first in enumerate(values):
        for others in itertools.product(range(len(values)), repeat=group - 1):
            law = math.prod(p[o] for o in others)
            a = worth([first, *(values[o] for o in others)], 0, normalise)
            plus[v] += law * max(a, 0)
            minus[v] += law * min(a, 0)
    return plus, minus


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize(
    ("values", "group"), [((0, 1), 2), ((0, 1), 5), ((0, 0.5, 1), 4), ((1, -2, 0.3), 3), ((7,), 3)]
)
def test_every_group_enumerated(values, group, normalise):
    rng = np.random.default_rng(group)
    p = np.stack([rng.dirichlet(np.ones(len(values))) for _ in range(3)], axis=-1)
    plus, minus = groups.advantages(np.array(values), p, group, normalise)
    assert plus.shape == minus.shape == (len(values), 3)
    for b in range(3):
        want = brute(values, p[:, b], group, normalise)
        np.testing.assert_allclose(plus[:, b], want[0], atol=1e-12)
        np.testing.assert_allclose(minus[:, b], want[1], atol=1e-12)


def test_certain_outcomes_teach_nothing():
    plus, minus = groups.advantages(np.array([0.0, 1.0]), np.array([[0.0, 1.0], [1.0, 0.0]]), 4)
    np.testing.assert_allclose(plus[1, 0], 0)  # all succeed
    np.testing.assert_allclose(minus[0, 1], 0)  # all fail
    np.testing.assert_allclose(plus[1, 1], math.sqrt(3))  # one success among four


def test_without_normalisation_the_gap_is_one_less_its_own_share():
    plus, minus = groups.advantages(np.array([0.0, 1.0]), np.array([[0.7], [0.3]]), 8, normalise=False)
    total = plus + minus
    assert total[1, 0] - total[0, 0] == pytest.approx(1 - 1 / 8)


def test_samples_group_by_group():
    rng = np.random.default_rng(0)
    returns = rng.integers(0, 2, (12, 5)).astype(float)
    for normalise in (True, False):
        got = groups.of_sample(returns, 4, normalise)
        for n, b in np.ndindex(12, 5):
            own = returns[n // 4 * 4 : n // 4 * 4 + 4, b]
            assert got[n, b] == pytest.approx(worth(own.tolist(), n % 4, normalise))


def test_counts_are_all_and_each_once():
    got = groups.counts(4, 3)
    assert len(got) == math.comb(6, 2)
    assert (got.sum(axis=1) == 4).all()
    assert len({tuple(row) for row in got}) == len(got)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: groups.advantages(np.array([0.0, 1.0]), np.array([0.5, 0.5]), 1), "group must be .* >= 2"),
        (lambda: groups.advantages(np.array([1.0, 1.0]), np.array([0.5, 0.5]), 2), "different numbers"),
        (lambda: groups.advantages(np.array([0.0, 1.0]), np.array([0.5, 0.6]), 2), "sums to"),
        (lambda: groups.advantages(np.arange(6.0), np.full(6, 1 / 6), 64), "more than 20000"),
        (lambda: groups.of_sample(np.ones((5, 2)), 2), "5 rollouts cannot be cut into groups of 2"),
        (lambda: groups.of_sample(np.ones((0, 2)), 2), "0 rollouts cannot"),
    ],
)
def test_errors(call, words):
    with pytest.raises(ValueError, match=words):
        call()
