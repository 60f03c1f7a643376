"""The chapters of claim 21 against cases solved by hand, and their batches against one problem at a time."""

import numpy as np
import pytest

from distil_theory import efficiency, estimators, experts, trajectories
from distil_theory import number_systems as ns
from distil_theory.claims import best_direction, critic_in_disguise, decided_at_once, rare_success
from distil_theory.divergences import FORWARD_KL, HELLINGER, JENSEN_SHANNON, PEARSON, REVERSE_KL, TOTAL_VARIATION
from distil_theory.spec import Bandit, TabularMDP


def q(x):
    return ns.convert(x, "rational")


def one(p, r, rho, pi, i=0):
    return TabularMDP(p[..., i], r[..., i], rho[..., i]), pi[..., i]


def test_the_bound_by_hand():
    assert rare_success.bound(*q(["1/10", "9/10"])) == q(["9/25"])[0]
    mdp, pi = rare_success.prompts(*q(["1/10", "9/10"]))
    assert [str(x) for x in mdp.initial] == ["1/10", "9/10"]
    exact, formula, least = rare_success.checks(mdp, pi)
    assert exact == formula == least == q(["9/25"])[0]


def test_margins_of_prompts_by_hand():
    """Equal numbers of prompts of success 1/10 and 1/2: `s^2` is 9/100 and 25/100."""
    p = np.ones((1, 2, 2, 2, 1)) / 2
    reward = np.array([[[1.0, 0], [1, 0]]])[..., None]
    pi = np.array([[[0.1, 0.9], [0.5, 0.5]]])[..., None]
    found = rare_success.margin(TabularMDP(p, reward, np.full((2, 1), 0.5), batch_ndim=1), pi)
    square = (0.9 + 0.5) ** 2 / ((9 + 1) * 0.34)
    assert found[0] == pytest.approx(min(square - 4 * 0.05 / 0.36, 1 - square, 0), abs=1e-15)
    assert square - 4 * 0.05 / 0.36 > 0.02


def test_what_no_choice_decides_takes_all():
    reward = np.array([[[1.0, 1], [0, 0]]])[..., None]
    mdp = TabularMDP(np.ones((1, 2, 2, 2, 1)) / 2, reward, np.full((2, 1), 0.5), batch_ndim=1)
    assert rare_success.margin(mdp, np.full((1, 2, 2, 1), 0.5))[0] == 0


@pytest.mark.parametrize("shape", rare_success.SHAPES)
def test_batches_are_many_single_problems(shape):
    parts = rare_success.draw(np.random.default_rng(3), shape, 9)
    mdp = TabularMDP(*parts[:3], batch_ndim=1)
    for chapter in (rare_success, critic_in_disguise):
        found = chapter.margin(mdp, parts[3])
        for i in (0, 4, 8):
            alone = TabularMDP(*(x[..., i : i + 1] for x in parts[:3]), batch_ndim=1)
            assert chapter.margin(alone, parts[3][..., i : i + 1])[0] == pytest.approx(found[i], abs=1e-12)
            assert chapter.holds_exactly(*(q(x[..., i]) for x in parts))


def test_pairs_of_prompts_come_near_the_bound():
    p, r, rho, pi = rare_success.draw(np.random.default_rng(0), rare_success.SHAPES[-1], 300)
    exact, _, least = rare_success.checks(TabularMDP(p, r, rho, batch_ndim=1), pi)
    assert (exact - least).min() > -1e-12
    assert ((exact - least)[least < 0.5] < 1e-9).any()
    assert (exact - least).max() > 1e-3


def test_efficiencies_of_two_prompts_by_hand():
    """`c(1/V)` at `V = 1/10` and `9/10`, weighted 1 : 9."""
    start, success = np.array([0.1, 0.9]), np.array([0.1, 0.9])
    x = 1 / success
    for divergence, trust, c in (
        (FORWARD_KL, 1, x),
        (JENSEN_SHANNON, 1, np.log1p(x)),
        (HELLINGER, 1, np.sqrt(x)),
        (PEARSON, 1, x**2),
        (TOTAL_VARIATION, 1, 1 + 0 * x),
        (REVERSE_KL, 0.9, np.log1p(9 * x)),
    ):
        found = efficiency.of_objective(*decided_at_once.taught(start, success, divergence, trust), divergence)
        assert found.value == pytest.approx((start * c).sum() / np.sqrt((start * c**2).sum()), rel=1e-12)


def test_leads_by_hand():
    start, success = (np.array(x)[:, None] for x in ([0.1, 0.9, 0.0], [0.1, 0.9, 0.5]))
    found = decided_at_once.margin(start, success)[0]
    assert found == pytest.approx(0.36 - (10 + 0.9 / 0.81) ** 2 / (1000 + 0.9 / 0.9**4), rel=1e-9)


def test_reverse_kl_takes_all_in_the_limit_where_actions_decide_and_avoids_failure_where_not():
    start, success = np.array([0.5, 0.5]), np.array([0.01, 0.5])
    found = [
        efficiency.of_objective(*decided_at_once.taught(start, success, REVERSE_KL, 1 - rest), REVERSE_KL).value
        for rest in (1e-2, 1e-6, 1e-12)
    ]
    assert found == sorted(found)
    assert found[-1] > 0.994
    mdp, pi = Bandit([0.0, 0.1, 1.0]), np.array([[[0.01, 0.9, 0.09]]])
    star = experts.success_conditioned(mdp, pi)
    # V = 0.18, p = 0.99, Var Q = 0.099 - 0.0324
    limit = 0.18 * 0.01 / np.sqrt(0.99 * 0.01 * 0.0666)
    assert efficiency.of_direction(mdp, pi, np.array([[[0.0, 1, 1]]])).value == pytest.approx(limit)
    rests = (1e-4, 1e-8, 1e-12, 1e-16)
    trusted = [(1 - rest) * star + rest * pi for rest in rests]
    found = [efficiency.of_objective(mdp, pi, x, REVERSE_KL).value for x in trusted]
    assert found == sorted(found, reverse=True)
    assert limit < found[-1] < 0.3
    assert efficiency.of_objective(mdp, pi, star, FORWARD_KL).value == pytest.approx(1)


def test_distilling_on_successes_is_reinforce_with_less_noise():
    """The local gradient of the library on rollouts that succeed, and REINFORCE: one mean, and less of a square."""
    mdp, pi = one(*rare_success.draw(np.random.default_rng(8), (2, 3, 3), 1))
    star = experts.success_conditioned(mdp, pi)
    every = trajectories.enumerate_all(mdp)
    p, z = trajectories.probability(mdp, pi, every), trajectories.returns(mdp, every)
    local = -estimators.samples(mdp, pi, star, FORWARD_KL, every, part="local")
    mean = (local * z * p).sum(axis=-1)
    here = np.eye(3)[every.states]  # (H, N, S)
    noisy = np.einsum("hns,hna->hsan", here, np.eye(3)[every.actions] - every.along(pi, actions=False))
    np.testing.assert_allclose(mean, (noisy * z * p).sum(axis=-1), atol=1e-15)
    drops = critic_in_disguise.checks(mdp, pi)[0]
    assert (drops > -1e-12).all()
    assert ((noisy**2 * z * p).sum(axis=-1) - (local**2 * z * p).sum(axis=-1)).min() > -1e-15


def test_alike_prompts_are_compared_with_what_they_can_know():
    found = best_direction.attack(best_direction.margin, 400, 2)
    assert found.margin > -1e-9
    for parts in found.instances[:3]:
        assert best_direction.holds_exactly(*(q(x) for x in parts))
