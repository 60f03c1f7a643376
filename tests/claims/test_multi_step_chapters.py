"""Claims 15 to 17 against cases solved by hand, and their batches against one MDP at a time."""

import numpy as np
import pytest

from distil_theory import instances, trajectories
from distil_theory import number_systems as ns
from distil_theory.claims import compatible_class, importance_ratio, prefix_weights, restricted, rollouts
from distil_theory.spec import TabularMDP
from tests.problems import policy, random_pair

BATCH = rollouts.draw(np.random.default_rng(3), (3, 2, 2), 700)


def q(text):
    return ns.convert(text, "rational")[()]


def one(i):
    p, r, rho, pi, star = (x[..., i] for x in BATCH)
    return TabularMDP(p, r, rho), pi, star


def test_what_a_clip_costs_on_the_risky_fork():
    _, mdp, student, expert, _ = instances.risky_fork()
    # `risky` has the ratio (9/10)/(1/20) = 18 and leads to a state with g = 1 - 1/10; at the fork w = 1, g = -17/50
    for clip, lost in (("18", "0"), ("9", "81/200"), ("2", "18/25"), ("1/9", q("161/200") - q("68/225"))):
        found = prefix_weights.clipped(mdp, student, expert, q(clip))
        assert found.lost == q(lost)
        assert found.bias == -found.lost
        assert found.bound == (q(lost) if q(clip) >= 1 else q("161/200") + q("68/225"))


@pytest.mark.parametrize("chapter", [prefix_weights, importance_ratio])
def test_a_batch_is_many_single_mdps(chapter):
    mdp = TabularMDP(*BATCH[:3], batch_ndim=1)
    found = chapter.CLAIM.margin(mdp, *BATCH[3:])  # more than one block
    assert found.shape == (700,)
    assert rollouts.BLOCK < 700
    for i in (0, rollouts.BLOCK - 1, rollouts.BLOCK, 699):
        alone = TabularMDP(*(x[..., i : i + 1] for x in BATCH[:3]), batch_ndim=1)
        assert chapter.margin(alone, *(x[..., i : i + 1] for x in BATCH[3:]))[0] == pytest.approx(found[i], abs=1e-12)


def test_probabilities_of_a_batch_are_those_of_each_mdp():
    mdp, every = TabularMDP(*BATCH[:3], batch_ndim=1), rollouts.every(TabularMDP(*BATCH[:3], batch_ndim=1))
    found = rollouts.probability(mdp, BATCH[3], every)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-12)
    for i in (0, 350):
        single, pi, _ = one(i)
        np.testing.assert_allclose(found[:, i], trajectories.probability(single, pi, every), atol=1e-15)
        x = np.ones((3, len(every)))
        np.testing.assert_allclose(rollouts.conditional(every, x, found[:, i], 2), 1, atol=1e-12)


def test_rollouts_that_are_impossible_count_nothing():
    _, mdp, student, _, _ = instances.risky_fork()
    every = rollouts.every(mdp)
    p = rollouts.probability(mdp, student, every)
    assert len(every) == 36
    assert p.sum() == 1
    ones = np.full((2, 36), q("1"))
    assert rollouts.conditional(every, ones, p, 3).tolist() == [[1, 0, 0], [0, 1, 1]]


def test_a_fair_pair_of_coins_attains_the_bound():
    fair = np.full((2, 2, 2, 1), 0.5)
    p, r, rho, pi, star = rollouts.coins(fair, np.array([0.5]))
    mdp = TabularMDP(p, r, rho, batch_ndim=1)
    rate, gap = importance_ratio.rate_and_gap(mdp, pi, star)
    assert (rate[0], gap[0]) == pytest.approx((0, 1 / 8))
    chi2, span = importance_ratio.sizes(mdp, pi, star)
    assert (chi2[0], span[0]) == pytest.approx((1 / 4, 1))
    assert importance_ratio.margin(mdp, pi, star)[0] == pytest.approx(0, abs=1e-15)


def test_one_free_logit_by_hand():
    _, mdp, student, expert, _ = instances.teaching_bandit()
    logit = [ns.convert([[[1, 0, 0]]], "rational")]
    found = restricted.split(mdp, student, expert, logit)
    assert found.rate == q("-97/600")  # claim 6b
    # A = (1, 1, -2)/3; along (2, -1, -1)/3 that is 1/2 of it: P A = (1/3, -1/6, -1/6), B = (0, 1/2, -1/2)
    assert found.outside[0, 0].tolist() == [0, q("1/2"), q("-1/2")]
    zeros, error, squares = compatible_class.checks(mdp, student, expert, logit)
    assert not zeros.any()
    assert error == q("33/200")  # 67/100 - 2/3 + 97/600
    assert squares[0, 0] == q("1/6")


def test_the_bound_is_decided_where_it_is_attained():
    mdp, logits, expert = random_pair(3, False)
    student, feature = policy(mdp, logits), np.random.default_rng(0).normal(size=(1, *logits.shape))
    parts = (mdp.transition, mdp.reward, mdp.initial, student, expert, feature)
    assert compatible_class.holds_exactly(*(ns.convert(x, "rational") for x in parts))
    assert compatible_class.margin(mdp, student, expert, list(feature)) > -1e-12
    _, mdp, student, expert, _ = instances.teaching_bandit()  # one direction is left outside: the bound is an equality
    logit = ns.convert([[[[1, 0, 0]]]], "rational")
    assert compatible_class.holds_exactly(mdp.transition, mdp.reward, mdp.initial, student, expert, logit)
