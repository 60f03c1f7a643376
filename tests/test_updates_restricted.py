"""Restricted students: the natural gradient of a class is a projection (claims 6b and 17)."""

import numpy as np
import pytest
from hypothesis import given

from distil_theory import aliasing, instances, objectives, strategies, updates
from distil_theory import number_systems as ns
from distil_theory.divergences import FORWARD_KL, JENSEN_SHANNON
from tests.problems import policy, random_pair


def one_logit(instance):
    return ns.convert([[[1, 0, 0]]], "rational"), instance.mdp, instance.student, instance.expert


def test_claim_6b_by_hand():
    # Only theta_1 moves. phi = (1,0,0) - 1/3, <phi, phi> = 2/9, <phi, u> = (1/3)(3/100 - 1) = -97/300, so the speed of
    # theta_1 is -97/300 * 9/2 = -291/200, and dJ = Cov(r, phi) * speed = (1/3 - 2/9) * -291/200 = -97/600: lowered.
    phi, mdp, pi, star = one_logit(instances.teaching_bandit())
    step = updates.project(mdp, pi, updates.direction(mdp, pi, star, FORWARD_KL), [phi])
    assert updates.first_order_change(mdp, pi, step) == -ns.convert("97/600", "rational").item()


@given(strategies.pairs())
def test_a_full_class_is_no_restriction(pair):
    mdp, pi, star = pair
    shape = updates.direction(mdp, pi, star, FORWARD_KL).shape
    everything = ns.convert(np.eye(int(np.prod(shape))).reshape(-1, *shape), "rational")
    whole = updates.direction(mdp, pi, star, FORWARD_KL)
    gap = updates.project(mdp, pi, whole, everything) - whole
    visited = aliasing.pool(mdp, updates.solve.occupancy(mdp, pi)) > 0
    assert not np.any(gap[visited])  # where nobody goes the class need not move


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_projection_is_the_natural_gradient_of_the_class(count):
    rng = np.random.default_rng(0)
    mdp, pi, star = (x for x in instances.risky_fork().convert("float64")[1:4])
    features = rng.normal(size=(count, *pi.shape))
    gradient = -objectives.loss_gradient(mdp, pi, star, JENSEN_SHANNON)
    d = updates.solve.occupancy(mdp, pi)
    fisher = np.zeros((count, count))
    for h, s, a in np.ndindex(pi.shape):
        score = features[:, h, s, a] - features[:, h, s] @ pi[h, s]  # gradient of log pi(a|s) in the weights
        fisher += d[h, s] * pi[h, s, a] * np.outer(score, score)
    weights = np.linalg.solve(fisher, np.tensordot(features, gradient, 3))
    expected = np.tensordot(weights, features, 1)
    expected -= (pi * expected).sum(axis=2, keepdims=True)
    step = updates.project(mdp, pi, updates.direction(mdp, pi, star, JENSEN_SHANNON), features)
    np.testing.assert_allclose(step, expected, rtol=1e-9, atol=1e-12)


def test_a_dependent_feature_adds_nothing():
    phi, mdp, pi, star = one_logit(instances.teaching_bandit())
    whole = updates.direction(mdp, pi, star, FORWARD_KL)
    once = updates.project(mdp, pi, whole, [phi])
    assert np.array_equal(updates.project(mdp, pi, whole, [phi, 2 * phi, phi * 0 + 1]), once)
    fraction = updates.project(mdp, pi, once, [phi])
    assert np.array_equal(fraction, once)  # a projection


@pytest.mark.parametrize("aliased", [False, True])
def test_a_batch_of_projections_is_a_batch_of_least_squares(aliased):
    mdp, logits, star = random_pair(2, aliased, batch=3)
    pi = policy(mdp, logits)
    features = np.random.default_rng(2).normal(size=(2, *logits.shape))
    move = updates.direction(mdp, pi, star, JENSEN_SHANNON)
    step = updates.project(mdp, pi, move, features)
    p, d = aliasing.visible(mdp, pi), aliasing.pool(mdp, updates.solve.occupancy(mdp, pi))
    centred = features - (p * features).sum(axis=3, keepdims=True)
    for i in range(3):
        weight = np.sqrt(d[:, :, None] * p)[..., i].ravel()  # E_pi over observations and actions, as a norm
        columns = centred[..., i].reshape(2, -1)
        w, *_ = np.linalg.lstsq((columns * weight).T, move[..., i].ravel() * weight)
        np.testing.assert_allclose(step[..., i].ravel(), w @ columns, rtol=1e-9, atol=1e-12)
    change = updates.first_order_change(mdp, pi, step)
    gradient = objectives.return_gradient(mdp, pi)
    np.testing.assert_allclose(change, [(gradient * step)[..., i].sum() for i in range(3)], rtol=1e-12)
    with pytest.raises(ValueError, match="student at h=0, s=0, batch=0 sums to"):
        updates.project(mdp, 2 * pi, move, features)


@pytest.mark.parametrize("kind", ["float64", "torch"])
def test_what_rounding_leaves_of_a_dependent_feature_is_no_direction(kind):
    rng = np.random.default_rng(1)
    mdp, pi, star = (x for x in instances.risky_fork().convert(kind)[1:4])
    a, b = (ns.convert(x, kind) for x in rng.normal(size=(2, *pi.shape)))
    whole = updates.direction(mdp, pi, star, JENSEN_SHANNON)
    step = updates.project(mdp, pi, whole, [a, b, 0.1 * a + 0.7 * b + 3])
    np.testing.assert_allclose(step, updates.project(mdp, pi, whole, [a, b]), rtol=1e-9, atol=1e-12)
    tiny = updates.project(mdp, pi, whole, [1e-9 * a, 1e-9 * b])  # a small feature is a feature
    np.testing.assert_allclose(tiny, updates.project(mdp, pi, whole, [a, b]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([], "features is empty"),
        ([[[["1", "0"]]]], r"feature 0 has shape .*axis a should have length 3 in \(h, o, a\)"),
    ],
)
def test_bad_features_are_named(features, message):
    _, mdp, pi, star = one_logit(instances.teaching_bandit())
    with pytest.raises(ValueError, match=message):
        updates.project(mdp, pi, updates.direction(mdp, pi, star, FORWARD_KL), features)


def test_features_of_a_batch_name_their_place():
    mdp, logits, star = random_pair(2, True, batch=3)
    pi = policy(mdp, logits)
    move = updates.direction(mdp, pi, star, JENSEN_SHANNON)
    with pytest.raises(
        ValueError, match=r"feature 1 has shape .*axis batch should have length 3 in \(h, o, a, batch\)"
    ):
        updates.project(mdp, pi, move, [move, move[..., :2]])
    bad = move.copy()
    bad[1, 0, 2, 1] = np.nan
    with pytest.raises(ValueError, match="feature 0 is nan at h=1, o=0, a=2, batch=1"):
        updates.project(mdp, pi, move, [bad])
    with pytest.raises(ValueError, match="step_direction is nan at h=1, o=0, a=2, batch=1"):
        updates.project(mdp, pi, bad, [move])
    with pytest.raises(
        ValueError, match=r"step_direction has shape .*axis o should have length 2 in \(h, o, a, batch\)"
    ):
        updates.first_order_change(mdp, pi, move[:, :1])
