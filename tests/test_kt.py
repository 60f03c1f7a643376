"""The add-1/2 predictor against hand-solved cases, one label at a time, and exhaustively in whole numbers."""

from fractions import Fraction
from math import log, prod

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.special import betaln

from distil_theory import number_systems as ns
from distil_theory.claims.kt_predictor import partitions
from distil_theory.online import bounds, kt


def test_predictions_by_hand():
    # no label yet: uniform; then (1 + 1/2)/(1 + 1), and with three actions (2 + 1/2)/(3 + 3/2)
    assert kt.predictor(np.zeros((1, 1, 2)))[0, 0].tolist() == [0.5, 0.5]
    assert kt.predictor([1, 0], axis=0).tolist() == [0.75, 0.25]
    exact = kt.predictor(ns.convert([[2, 0], [1, 0], [0, 0]], "rational"), axis=0)
    assert [str(p) for p in exact[:, 0]] == ["5/9", "1/3", "1/9"]
    assert [str(p) for p in exact[:, 1]] == ["1/3", "1/3", "1/3"]
    assert ns.name(kt.predictor(ns.convert([1, 0], "ball"), axis=-1)) == "ball"
    assert kt.predictor(np.array([[[3]]]))[0, 0, 0] == 1  # a single action


def test_losses_by_hand():
    # labels 1 and 2: 1/2 * 1/4, against (1/2)^2 in hindsight
    assert kt.log_loss([1, 1], axis=0) == pytest.approx(log(8))
    assert kt.hindsight([1, 1], axis=0) == pytest.approx(log(4))
    assert kt.regret([1, 1], axis=0) == pytest.approx(log(2))
    assert str(kt.probability([1, 1])) == "1/8"
    assert str(kt.probability([2, 0])) == "3/8"
    assert str(kt.probability([0, 0, 0])) == "1"
    assert str(kt.probability([1, 0, 2])) == "1/35"  # 1/3 * 1/5 * 3/7
    assert kt.regret([5, 0, 0], axis=0) == pytest.approx(-sum(log((2 * t + 1) / (2 * t + 3)) for t in range(5)))
    assert kt.regret(np.zeros((2, 3, 4))).tolist() == np.zeros((2, 3)).tolist()


def test_axes_and_batches():
    counts = np.random.default_rng(0).integers(0, 6, (2, 3, 4, 5))
    p = kt.predictor(counts)
    np.testing.assert_allclose(p.sum(axis=2), 1, atol=1e-15)
    np.testing.assert_allclose(kt.predictor(np.moveaxis(counts, 2, 0), axis=0), np.moveaxis(p, 2, 0))
    for f in (kt.log_loss, kt.hindsight, kt.regret):
        assert f(counts).shape == (2, 3, 5)
        assert f(counts)[1, 2, 4] == pytest.approx(f(counts[1, 2, :, 4], axis=0))
        np.testing.assert_allclose(f(np.moveaxis(counts, 2, -1), axis=-1), f(counts))


@given(st.lists(st.integers(0, 3), max_size=30))
@example([])
def test_one_label_at_a_time_is_the_closed_form(labels):
    counts, paid = np.zeros(4, dtype=int), 0.0
    for label in labels:
        paid -= np.log(kt.predictor(counts, axis=0)[label])
        counts[label] += 1
    assert kt.log_loss(counts, axis=0) == pytest.approx(paid, abs=1e-10)
    assert float(-ns.log(ns.convert([kt.probability(counts)], "ball"))[0]) == pytest.approx(paid, abs=1e-10)


@given(st.lists(st.integers(0, 40), min_size=2, max_size=2))
def test_two_actions_are_the_mean_over_a_beta_prior(counts):
    # Q = int x^n (1-x)^m dBeta(1/2, 1/2): what the predictor is in Bayes' eyes
    n, m = counts
    assert kt.log_loss(counts, axis=0) == pytest.approx(betaln(0.5, 0.5) - betaln(n + 0.5, m + 0.5), abs=1e-9)


def test_the_bound_exhaustively_in_whole_numbers():
    odd = [1]  # prod_{j<k} (2j + 1)
    for k in range(40):
        odd.append(odd[-1] * (2 * k + 1))
    power = [k ** (2 * k) for k in range(41)]
    tried = attained = 0
    for actions in (2, 3, 4, 5):
        for n in range(1, 41):
            below = prod(2 * t + actions for t in range(n))
            left, right = actions**2 * n ** (actions - 1) * n ** (2 * n), below**2
            for counts in partitions(n, actions, n):
                slack = left * prod(odd[k] for k in counts) ** 2 - right * prod(power[k] for k in counts)
                assert slack >= 0
                attained += slack == 0
                tried += 1
    ways = np.eye(1, 41, dtype=int)[0]  # partitions of n into parts of at most 1, 2, ...: as many as into that many
    expected = 0
    for part in (1, 2, 3, 4, 5):
        for n in range(part, 41):
            ways[n] += ways[n - part]
        expected += ways[1:].sum() if part > 1 else 0
    assert tried == expected
    assert attained == 4  # one label, whatever the number of actions


def test_partitions_are_all_counts_up_to_their_order():
    for n, actions in ((4, 3), (6, 2), (5, 5)):
        every = {tuple(sorted(c, reverse=True)) for c in np.ndindex(*(n + 1,) * actions) if sum(c) == n}
        found = list(partitions(n, actions, n))
        assert len(found) == len(set(found))
        assert set(found) == every


@given(st.integers(2, 50).flatmap(lambda a: st.lists(st.integers(0, 10_000), min_size=a, max_size=a)).filter(any))
@example([10_000, 0])
@example([1] + [0] * 49)
@example([10_000] + [0] * 49)
@example([1] * 50)
def test_the_bound_holds_beyond(counts):
    paid, bound = kt.regret(counts, axis=0), bounds.per_cell(sum(counts), len(counts))
    assert -1e-9 < paid <= bound + 1e-9 * (1 + sum(counts) ** 0.5)
    constant = kt.regret([sum(counts)] + [0] * (len(counts) - 1), axis=0)
    assert paid <= constant + 1e-7  # the worst order of all
    if sum(counts) > 1:
        assert bound - constant > 0.01


def test_laplace_pays_twice_as_much():
    # add 1 on a constant sequence: Q = prod (t+1)/(t+A) = 1/C(n+A-1, n)
    for actions, n in ((2, 2), (3, 6), (5, 40)):
        q = prod(Fraction(t + 1, t + actions) for t in range(n))
        assert -log(q) > bounds.per_cell(n, actions) > kt.regret([n] + [0] * (actions - 1), axis=0)


@pytest.mark.parametrize("bad", [[], [-1, 2], [np.nan, 1.0], [np.inf, 1.0]])
@pytest.mark.parametrize("f", [kt.predictor, kt.log_loss, kt.hindsight, kt.regret])
def test_counts_that_are_none(f, bad):
    with pytest.raises(ValueError, match="counts of labels must be finite numbers >= 0"):
        f(np.array(bad), axis=0)


@pytest.mark.parametrize("f", [kt.predictor, kt.log_loss, kt.hindsight, kt.regret])
def test_an_axis_that_is_none(f):
    with pytest.raises(ValueError, match=r"counts of shape \(2,\) have no axis 2 of actions"):
        f([1, 2])


def test_probability_wants_whole_numbers():
    with pytest.raises(ValueError, match=r"a count must be a whole number >= 0, not 0\.5"):
        kt.probability([0.5, 1])
