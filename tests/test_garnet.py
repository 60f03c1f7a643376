"""Garnet: the right shape, the right distribution, the same for the same seed."""

import itertools

import numpy as np
import pytest

from distil_theory import solve
from distil_theory.instances import garnet


@pytest.mark.parametrize("batch", [None, 7, (3, 2)])
@pytest.mark.parametrize(("states", "branching"), [(1, 1), (5, 1), (5, 3), (4, 4)])
def test_b_distinct_successors(batch, states, branching):
    mdp = garnet(states, 2, branching, 3, seed=0, batch=batch)
    lengths = () if batch is None else (batch,) if batch == 7 else batch
    assert (mdp.shape, mdp.batch_shape) == ((3, states, 2), lengths)
    assert ((mdp.transition > 0).sum(axis=3) == branching).all()
    assert mdp.stationary
    assert (mdp.initial == 1 / states).all()
    policy = np.full((3, states, 2), 0.5)
    assert solve.expected_return(mdp, policy).shape == lengths
    if batch:
        members = mdp.transition.reshape(*mdp.transition.shape[:4], -1)
        assert states == 1 or (members[..., 0] != members[..., 1]).any()


def test_successors_are_uniform_and_so_are_the_pieces():
    states, b, n = 6, 3, 20000
    p = garnet(states, 1, b, 2, seed=1, batch=n).transition[0, 0, 0]
    hits = (p > 0).mean(axis=1)
    assert (abs(hits - b / states) < 5 * np.sqrt(0.25 / n)).all()
    for i, j in itertools.combinations(range(states), 2):
        together = ((p[i] > 0) & (p[j] > 0)).mean()
        assert together == pytest.approx(b * (b - 1) / (states * (states - 1)), abs=5 * np.sqrt(0.25 / n))
    # a uniform point of the simplex: piece ~ Beta(1, b - 1), E x^k = (b-1) B(k + 1, b - 1)
    pieces = p.T[p.T > 0].reshape(n, b)
    for k, moment in ((1, 1 / 3), (2, 1 / 6), (3, 1 / 10)):
        assert (pieces**k).mean() == pytest.approx(moment, abs=5 / np.sqrt(n) / 4)
    assert np.mean(pieces[:, 0] * pieces[:, 1]) == pytest.approx(1 / 12, abs=0.003)


def test_a_seed_is_an_instance():
    one, again, other = (garnet(4, 3, 2, 5, seed=s, batch=3) for s in (1, 1, 2))
    for field in ("transition", "reward"):
        assert (getattr(one, field) == getattr(again, field)).all()
        assert (getattr(one, field) != getattr(other, field)).any()


def test_rewards():
    made = {kind: garnet(5, 2, 2, 4, seed=3, batch=2000, rewards=kind) for kind in ("uniform", "normal", "terminal")}
    r = {kind: mdp.reward for kind, mdp in made.items()}
    for kind in ("uniform", "terminal"):
        assert r[kind].min() >= 0
        assert r[kind].max() <= 1
        assert r[kind][-1].mean() == pytest.approx(1 / 2, abs=0.01)
        assert r[kind][-1].std() == pytest.approx(np.sqrt(1 / 12), abs=0.01)
    assert (r["normal"].mean(), r["normal"].std()) == pytest.approx((0, 1), abs=0.03)
    assert (r["terminal"][:-1] == 0).all()
    assert (r["uniform"][0] == r["uniform"][1]).all()
    assert (made["terminal"].transition == made["uniform"].transition).all()
    assert made["terminal"].transition.strides[0] == 0  # one array, seen at every step


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, 2, 4, 2, 0), "branching is 4: there are only 3 states"),
        ((3, 2, 0, 2, 0), "branching must be a whole number >= 1"),
        ((3, 2.0, 2, 2, 0), "actions must be a whole number >= 1"),
        ((0, 2, 2, 2, 0), "states must be"),
        ((3, 2, 2, 0, 0), "horizon must be"),
        ((3, 2, 2, 2, -1), "seed must be a whole number >= 0"),
        ((3, 2, 2, 2, 0, 0), "batch must be a whole number >= 1"),
        ((3, 2, 2, 2, 0, (2, "3")), "batch must be a whole number >= 1, not '3'"),
        ((3, 2, 2, 2, 0, None, "cauchy"), "unknown rewards 'cauchy'"),
    ],
)
def test_bad_sizes(arguments, message):
    with pytest.raises(ValueError, match=message):
        garnet(*arguments)
