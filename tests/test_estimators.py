"""Rollout estimators: the mean over every rollout is the exact gradient, and samples agree with the exact moments."""

import flint
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distil_theory import estimators, objectives, trajectories
from distil_theory import number_systems as ns
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL, JENSEN_SHANNON, REVERSE_KL
from distil_theory.spec import stack
from distil_theory.strategies import mdps, pairs
from tests.problems import policy, random_pair
from tests.test_future import LINEAR

ALIASED = mdps(states=st.integers(2, 3), actions=st.integers(2, 3), horizon=st.integers(1, 3), aliased=True)
UNALIASED = mdps(states=st.integers(1, 3), actions=st.integers(2, 3), horizon=st.integers(1, 3))


def exact_moments(mdp, pi, star, d, labels=False, **options):
    every = trajectories.enumerate_all(mdp)
    if labels:
        every = trajectories.with_labels(mdp, every)
    p = trajectories.probability(mdp, pi, every, star if labels else None)
    return estimators.moments(estimators.samples(mdp, pi, star, d, every, **options), p)


@given(st.one_of(pairs(ALIASED, positive=True), pairs(UNALIASED, positive=True)), st.data())
def test_the_mean_is_the_exact_gradient_whatever_the_baseline(pair, data):
    mdp, pi, star = pair
    steps, states, _ = mdp.shape
    tenths = data.draw(st.lists(st.integers(-30, 30), min_size=steps * states, max_size=steps * states))
    own = np.array([flint.fmpq(n, 10) for n in tenths], dtype=object).reshape(steps, states)
    for part in ("local", "future", "full"):
        expected = objectives.loss_gradient(mdp, pi, star, LINEAR, part=part)
        for baseline in ("none", "position", "state", own):
            mean, _ = exact_moments(mdp, pi, star, LINEAR, part=part, baseline=baseline)
            assert (mean == expected).all(), (part, baseline)


def zero_within(difference, radius=1e-30):
    return all(x.contains(0) and float(x.rad()) < radius for x in np.asarray(difference, dtype=object).flat)


@settings(max_examples=5)
@given(pairs(mdps(states=2, actions=2, horizon=2, aliased=True), positive=True))
def test_a_black_box_expert_estimates_the_full_gradient_of_cross_entropy_without_bias(pair):
    with ns.precision(256):
        mdp = pair.mdp.convert("ball")
        pi, star = (ns.convert(x, "ball") for x in pair[1:])
        for part in ("local", "future", "full"):
            expected = objectives.loss_gradient(mdp, pi, star, CROSS_ENTROPY, part=part)
            for labels in (False, True):
                mean, _ = exact_moments(mdp, pi, star, CROSS_ENTROPY, labels, part=part, baseline="state")
                assert zero_within(mean - expected), (part, labels)


@pytest.mark.parametrize("d", [FORWARD_KL, REVERSE_KL, JENSEN_SHANNON, CROSS_ENTROPY], ids=lambda d: d.name)
@pytest.mark.parametrize("aliased", [False, True])
def test_the_mean_in_floats(d, aliased):
    mdp, logits, expert = random_pair(3, aliased)
    pi = policy(mdp, logits)
    mean, covariance = exact_moments(mdp, pi, expert, d)
    expected = objectives.loss_gradient(mdp, pi, expert, d, part="full")
    np.testing.assert_allclose(mean, expected, atol=1e-13)
    assert np.linalg.eigvalsh(covariance).min() > -1e-12


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("baseline", ["none", "state"])
def test_samples_agree_with_the_exact_mean_and_covariance(labels, baseline):
    mdp, logits, expert = random_pair(2, True)
    pi = policy(mdp, logits)
    mean, covariance = exact_moments(mdp, pi, expert, CROSS_ENTROPY, labels, baseline=baseline)
    n = 100_000
    drawn = trajectories.sample(mdp, pi, n, np.random.default_rng(1), expert if labels else None)
    g = estimators.samples(mdp, pi, expert, CROSS_ENTROPY, drawn, baseline=baseline)
    seen_mean, seen_covariance = estimators.moments(g)
    error = np.sqrt(np.diag(covariance) / n).reshape(mean.shape)
    assert (abs(seen_mean - mean) <= 4.5 * error + 1e-12).all()
    # the spread of a sample covariance, from the fourth moments of the sample
    flat = g.reshape(-1, n) - seen_mean.reshape(-1, 1)
    spread = np.sqrt(np.maximum((flat**2) @ (flat**2).T / n - seen_covariance**2, 0) / n)
    assert (abs(seen_covariance - covariance) <= 5 * spread + 1e-9).all()


def test_the_covariance_of_a_small_sample_is_that_of_numpy():
    mdp, logits, expert = random_pair(2, True)
    pi = policy(mdp, logits)
    drawn = trajectories.sample(mdp, pi, 7, np.random.default_rng(1))
    g = estimators.samples(mdp, pi, expert, REVERSE_KL, drawn)
    mean, covariance = estimators.moments(g)
    np.testing.assert_allclose(covariance, np.cov(g.reshape(-1, 7)), atol=1e-13)
    np.testing.assert_allclose(mean, g.mean(axis=-1), atol=1e-13)


def test_a_baseline_of_the_state_costs_less_variance_and_a_black_box_more():
    mdp, logits, expert = random_pair(3, False)
    pi = policy(mdp, logits)
    total = {}
    for labels in (False, True):
        for baseline in ("none", "position", "state"):
            total[labels, baseline] = np.trace(
                exact_moments(mdp, pi, expert, CROSS_ENTROPY, labels, baseline=baseline)[1]
            )
    assert total[False, "state"] < total[False, "position"] < total[False, "none"]
    assert total[True, "state"] < total[True, "none"]
    assert all(total[False, b] < total[True, b] for b in ("none", "position", "state"))


@given(pairs(UNALIASED, positive=True))
def test_path_weights_have_the_mean_of_claim_2_and_the_weighted_estimator_its_gradient(pair):
    mdp, pi, star = pair
    weight = estimators.mean_weight(mdp, pi, star)
    assert (weight == objectives.occupancy_ratio(mdp, pi, star)).all()
    for clip in (float("inf"), flint.fmpq(3, 2)):
        weight = estimators.mean_weight(mdp, pi, star, clip)
        mean, _ = exact_moments(mdp, pi, star, LINEAR, part="local", clip=clip)
        assert (mean == objectives.loss_gradient(mdp, pi, star, LINEAR, weight)).all()


def test_prefix_weights_by_hand():
    mdp, logits, expert = random_pair(3, False)
    pi = policy(mdp, logits)
    every = trajectories.enumerate_all(mdp)
    weight = estimators.prefix_weights(mdp, pi, expert, every)
    i = 100
    (s0, s1, _), (a0, a1, _) = every.states[:, i], every.actions[:, i]
    first, second = expert[0, s0, a0] / pi[0, s0, a0], expert[1, s1, a1] / pi[1, s1, a1]
    np.testing.assert_allclose(weight[:, i], [1, first, first * second], rtol=1e-13)
    clipped = estimators.prefix_weights(mdp, pi, expert, every, 1.25)
    np.testing.assert_array_equal(clipped, np.minimum(weight, 1.25))


def test_bad_input_is_named():
    mdp, logits, expert = random_pair(2, False)
    pi = policy(mdp, logits)
    every = trajectories.enumerate_all(mdp)
    args = (mdp, pi, expert)
    with pytest.raises(
        ValueError, match="unknown baseline 'mean': choose from none, position, state, or give an array"
    ):
        estimators.samples(*args, FORWARD_KL, every, baseline="mean")
    with pytest.raises(ValueError, match="labels of a black-box expert estimate the cross-entropy, not forward_kl"):
        estimators.samples(*args, FORWARD_KL, trajectories.with_labels(mdp, every))
    with pytest.raises(ValueError, match="baseline has shape"):
        estimators.samples(*args, FORWARD_KL, every, baseline=np.zeros(3))
    none = trajectories.Trajectories(every.states[:, :0], every.actions[:, :0])
    with pytest.raises(ValueError, match="there are no rollouts"):
        estimators.samples(*args, FORWARD_KL, none)
    with pytest.raises(ValueError, match="one MDP, one student and one expert"):
        estimators.samples(stack([mdp, mdp]), *(np.stack([x, x], -1) for x in (pi, expert)), FORWARD_KL, every)
    for clip in (0, -1.0):
        with pytest.raises(ValueError, match="clip must be positive"):
            estimators.prefix_weights(*args, every, clip)
    with pytest.raises(ValueError, match="clip is nan"):
        estimators.prefix_weights(*args, every, float("nan"))
    with pytest.raises(ValueError, match="unknown part"):
        estimators.samples(*args, FORWARD_KL, every, part="all")
    with pytest.raises(ValueError, match="number of rollouts must be a whole number >= 2"):
        estimators.moments(estimators.samples(*args, FORWARD_KL, every)[..., :1])
