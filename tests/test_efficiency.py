"""Efficiency: cases by hand, another route by rollouts, batches, number systems, and where there is none."""

import numpy as np
import pytest

from distil_theory import efficiency, experts, instances, objectives, solve, trajectories, updates
from distil_theory import number_systems as ns
from distil_theory.aliasing import pool
from distil_theory.divergences import CATALOGUE, FORWARD_KL, REVERSE_KL
from distil_theory.spec import Bandit, TabularMDP


def q(x):
    return ns.convert(x, "rational")


def drawn(seed, batch=(), seen=None):
    """A random MDP (H, S, A) = (3, 3, 2) with student and expert."""
    rng = np.random.default_rng(seed)

    def rows(*shape):
        return np.moveaxis(rng.dirichlet(np.ones(shape[-1]), (*shape[:-1], *batch)), -1, len(shape) - 1)

    p, rho = rows(3, 3, 2, 3), rows(3)
    mdp = TabularMDP(p, rng.normal(size=(3, 3, 2, *batch)), rho, observation=seen, batch_ndim=len(batch))
    pi = rows(3, 3, 2)
    return mdp, pi if seen is None else pi[:, seen], rows(3, 3, 2)


def test_two_prompts_by_hand():
    """Success 1/10 and 9/10, met in the proportion 1 : 9. The choice matters there as 1 : 9, too."""
    mdp, pi = Bandit(q([["1", "0"]] * 2), q(["1/10", "9/10"])), q([[["1/10", "9/10"], ["9/10", "1/10"]]])
    star = experts.success_conditioned(mdp, pi)
    found = efficiency.of_objective(mdp, pi, star, FORWARD_KL)
    # V (1 - V) = 9/100 at both: sum d Var/V = 9/100 (1/10 * 10 + 9/10 * 10/9), sum d Var/V^2 = 9/100 (10 + 10/9)
    assert [str(x) for x in found] == ["9/50", "1", "9/100"]
    assert str(found.value) == "3/5"
    assert str(found.squared) == "9/25"
    whole = efficiency.of_objective(mdp, pi, star, FORWARD_KL, weight=solve.values(mdp, pi)[0])
    assert whole.value == 1


def test_the_wrong_way_is_negative():
    mdp, pi = Bandit(q(["1", "0"])), q([[["1/2", "1/2"]]])
    found = efficiency.of_objective(mdp, pi, q([[["1/4", "3/4"]]]), FORWARD_KL)
    assert found.value == found.squared == -1


@pytest.mark.parametrize("seen", [None, [0, 1, 0]])
@pytest.mark.parametrize("part", ["local", "full"])
def test_lengths_are_mean_squares_over_rollouts(seen, part):
    """`|g|^2` is the mean square of a rollout's score, `rate` the covariance of that with its return."""
    mdp, pi, star = drawn(1, seen=seen)
    every = trajectories.enumerate_all(mdp)
    p, earned = trajectories.probability(mdp, pi, every), trajectories.returns(mdp, every)
    for divergence in CATALOGUE:
        for geometry in ("natural", "euclidean"):
            found = efficiency.of_objective(mdp, pi, star, divergence, geometry, part=part)
            move = updates.direction(mdp, pi, star, divergence, geometry, part=part)
            best = efficiency.natural_policy_gradient(mdp, pi)
            score, top = (every.along(x[:, mdp.observation], actions=True).sum(axis=0) for x in (move, best))
            np.testing.assert_allclose(found.moved, (p * score**2).sum(), rtol=1e-12)
            np.testing.assert_allclose(found.best, (p * top**2).sum(), rtol=1e-12)
            np.testing.assert_allclose(found.rate, (p * score * earned).sum(), rtol=1e-9, atol=1e-14)
            rate = objectives.improvement_rate(mdp, pi, star, divergence, geometry, part=part)
            np.testing.assert_allclose(found.rate, rate, rtol=1e-9, atol=1e-14)
            assert abs(found.value) <= 1 + 1e-12


@pytest.mark.parametrize("seen", [None, [0, 1, 0]])
def test_the_best_direction_is_the_policy_gradient_over_fisher(seen):
    mdp, pi, _ = drawn(6, seen=seen)
    weight = pool(mdp, solve.occupancy(mdp, pi)[:, :, None] * pi)
    best = efficiency.natural_policy_gradient(mdp, pi)
    np.testing.assert_allclose(weight * best, objectives.return_gradient(mdp, pi), rtol=1e-12, atol=1e-15)
    found = efficiency.of_direction(mdp, pi, best)
    assert found.value == pytest.approx(1, rel=1e-12)
    assert found.rate == pytest.approx(found.best, rel=1e-12)


def test_it_is_what_small_steps_of_equal_kl_gain():
    """Steps of the same small KL: what they gain, over what the natural policy gradient gains."""
    mdp, pi, star = drawn(4)

    def gain(move):
        size = np.sqrt(2e-8 / efficiency.of_direction(mdp, pi, move).moved)
        new = updates.exponential_step(mdp, pi, move, size)
        return solve.expected_return(mdp, new) - solve.expected_return(mdp, pi)

    best = gain(efficiency.natural_policy_gradient(mdp, pi))
    assert best > 0
    for divergence in CATALOGUE:
        found = efficiency.of_objective(mdp, pi, star, divergence).value
        assert gain(updates.direction(mdp, pi, star, divergence)) / best == pytest.approx(found, abs=2e-3)


def test_a_constant_per_observation_is_no_motion():
    mdp, pi, star = drawn(2, seen=[0, 1, 0])
    move = updates.direction(mdp, pi, star, REVERSE_KL)
    shifted = move + np.random.default_rng(0).normal(size=(3, 2, 1))
    for one, other in zip(*(efficiency.of_direction(mdp, pi, x) for x in (move, shifted)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_a_class_of_one_feature_has_two_directions_only():
    mdp, pi, star = drawn(3)
    feature = np.random.default_rng(0).normal(size=(3, 3, 2))
    move = updates.direction(mdp, pi, star, FORWARD_KL)
    found = efficiency.of_direction(mdp, pi, move, [feature])
    assert abs(found.value) == pytest.approx(1)
    free = efficiency.of_direction(mdp, pi, updates.project(mdp, pi, move, [feature]))
    assert abs(free.value) < 0.99
    assert free.rate == pytest.approx(found.rate)
    assert free.best > found.best


def test_a_batch_is_many_single_problems():
    mdp, pi, star = drawn(5, batch=(7,))
    found = efficiency.of_objective(mdp, pi, star, FORWARD_KL)
    assert found.value.shape == (7,)
    for i in range(7):
        one = TabularMDP(mdp.transition[..., i], mdp.reward[..., i], mdp.initial[..., i])
        alone = efficiency.of_objective(one, pi[..., i], star[..., i], FORWARD_KL)
        np.testing.assert_allclose([x[i] for x in found], alone, rtol=1e-10)
        np.testing.assert_allclose(found.value[i], alone.value, rtol=1e-10)


def test_number_systems_agree():
    case = instances.risky_fork()
    exact = efficiency.of_objective(case.mdp, case.student, case.expert, FORWARD_KL)
    assert str(exact.squared) == "-330695/720071"
    with pytest.raises(TypeError, match="not rational"):
        _ = exact.value
    for system in ("float64", "ball", "symbolic"):
        mdp, pi, star = case.mdp.convert(system), *(ns.convert(x, system) for x in (case.student, case.expert))
        found = efficiency.of_objective(mdp, pi, star, FORWARD_KL)
        assert float(found.value) == pytest.approx(-((330695 / 720071) ** 0.5), rel=1e-12)


def test_there_is_none_where_nothing_moves_or_nothing_can_be_gained():
    reward = np.array([[1.0, 1.0, 0.3], [0.0, 0.0, 0.3]])  # (A, B): the third bandit pays alike
    pi = np.full((1, 1, 2, 3), 0.5)
    star = pi.copy()
    star[0, 0, :, 0] = 0.75, 0.25
    star[0, 0, :, 2] = 0.1, 0.9
    found = efficiency.of_objective(Bandit(reward, batch_ndim=1), pi, star, FORWARD_KL)
    np.testing.assert_array_equal(np.isnan(found.value), [False, True, True])
    np.testing.assert_array_equal(np.isnan(found.squared), [False, True, True])
    half = q([[["1/2", "1/2"]]])
    for mdp, expert, why in (
        (Bandit(q(["1", "0"])), half, "the direction moves nothing"),
        (Bandit(q(["1/3", "1/3"])), q([[["1/4", "3/4"]]]), "the policy gradient is zero"),
    ):
        with pytest.raises(ValueError, match=f"there is no efficiency: {why}"):
            _ = efficiency.of_objective(mdp, half, expert, FORWARD_KL).squared


def test_what_rounding_leaves_is_no_direction():
    """A student who is his own expert, and one who can gain nothing, in probabilities that floats round."""
    for seed in range(20):
        mdp, pi, star = drawn(seed)
        assert np.isnan(efficiency.of_objective(mdp, pi, pi, REVERSE_KL).value)
        flat = TabularMDP(mdp.transition, np.full((3, 3, 2), 0.1), mdp.initial)
        assert np.isnan(efficiency.of_objective(flat, pi, star, FORWARD_KL).value)


def test_a_teacher_who_is_the_student_up_to_rounding_shows_no_direction():
    for seed in range(20):
        mdp, pi, _ = drawn(seed)
        for geometry in ("natural", "euclidean"):
            assert np.isnan(efficiency.of_objective(mdp, pi, 0.3 * pi + 0.7 * pi, FORWARD_KL, geometry).value)


def test_what_is_small_is_no_rounding():
    """Success of 1e-13 beside a prompt that never fails; logits of one observation far off; very small units."""
    half, right = np.full((1, 2, 2), 0.5), np.array([[[0.0, 0.0], [0.0, 1.0]]])
    beside = Bandit([[1.0, 1.0], [1e-13, 2e-13]], [0.5, 0.5])
    assert efficiency.of_direction(beside, half, right).value == pytest.approx(1)
    off = right + np.array([[[1e13], [0.0]]])
    assert efficiency.of_direction(Bandit([[1.0, 1], [0, 1]], [0.5, 0.5]), half, off).value == pytest.approx(1)
    for unit in (1e-90, 1e90):
        found = efficiency.of_direction(Bandit([0, unit]), half[:, :1], right[:, 1:] * unit)
        assert found.value == found.squared == pytest.approx(1)


def test_many_directions_of_one_student():
    mdp, pi, _ = drawn(7, seen=[0, 1, 0])
    moves = np.random.default_rng(0).normal(size=(3, 2, 2, 5))
    found = efficiency.of_direction(mdp, pi, moves)
    assert [x.shape for x in found] == [(5,)] * 3
    for i in range(5):
        np.testing.assert_allclose([x[i] for x in found], efficiency.of_direction(mdp, pi, moves[..., i]), rtol=1e-12)
    many, students, _ = drawn(7, batch=(4,))
    with pytest.raises(ValueError, match=r"step_direction has batch shape \(5,\), the MDPs and policies have \(4,\)"):
        efficiency.of_direction(many, students, np.zeros((3, 3, 2, 5)))


def test_bad_directions_are_named():
    mdp, pi, _ = drawn(0)
    with pytest.raises(ValueError, match="step_direction"):
        efficiency.of_direction(mdp, pi, np.zeros((3, 2, 2)))
    with pytest.raises(ValueError, match="step_direction"):
        efficiency.of_direction(mdp, pi, np.full((3, 3, 2), np.nan))
