"""Every rollout, listed and drawn: against the solver, in rationals and by counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from distil_theory import number_systems as ns
from distil_theory import solve, trajectories
from distil_theory.spec import Bandit, stack
from distil_theory.strategies import mdps, pairs
from tests.problems import policy, random_pair

PROBLEMS = mdps(states=st.integers(1, 3), actions=st.integers(1, 3), horizon=st.integers(1, 3))


@given(pairs(PROBLEMS))
def test_the_list_is_complete_and_has_the_return_and_the_occupancies_of_the_solver(pair):
    mdp, pi, _ = pair
    every = trajectories.enumerate_all(mdp)
    p = trajectories.probability(mdp, pi, every)
    assert p.sum() == 1
    assert (p != 0).all()
    assert len(np.unique(np.vstack([every.states, every.actions]), axis=1).T) == len(every)
    assert (p * trajectories.returns(mdp, every)).sum() == solve.expected_return(mdp, pi)
    d = solve.occupancy(mdp, pi)
    for h, s in np.ndindex(*d.shape):
        assert p[every.states[h] == s].sum() == d[h, s]


@given(pairs(mdps(states=2, actions=2, horizon=2)))
def test_labels_multiply_the_list_by_every_word_of_the_expert(pair):
    mdp, pi, star = pair
    every = trajectories.with_labels(mdp, trajectories.enumerate_all(mdp))
    p = trajectories.probability(mdp, pi, every, star)
    assert p.sum() == 1
    d = solve.occupancy(mdp, pi)
    for h, s, a in np.ndindex(2, 2, 2):
        assert p[(every.states[h] == s) & (every.labels[h] == a)].sum() == d[h, s] * star[h, s, a]


def test_probabilities_of_a_batch_of_policies():
    mdp, logits, _ = random_pair(2, False)
    many = policy(mdp, np.stack([logits, logits + 1, 2 * logits], axis=-1))
    every = trajectories.enumerate_all(mdp)
    p = trajectories.probability(mdp, many, every)
    assert p.shape == (len(every), 3)
    for i in range(3):
        np.testing.assert_allclose(p[:, i], trajectories.probability(mdp, many[..., i], every), rtol=1e-12)


def test_draws_follow_the_law_of_the_list():
    mdp, logits, expert = random_pair(2, True)
    pi = policy(mdp, logits)
    drawn = trajectories.sample(mdp, pi, 200_000, np.random.default_rng(3), expert)
    every = trajectories.with_labels(mdp, trajectories.enumerate_all(mdp))
    p = trajectories.probability(mdp, pi, every, expert)

    def code(t):
        return np.ravel_multi_index(np.vstack([t.states, t.actions, t.labels]), (3,) * 6)

    counts = np.bincount(code(drawn), minlength=3**6)[code(every)]
    assert counts.sum() == len(drawn) == 200_000
    often = p > 1e-4
    assert chisquare(counts[often], p[often] / p[often].sum() * counts[often].sum()).pvalue > 1e-3
    again = trajectories.sample(mdp, pi, 200_000, np.random.default_rng(3), expert)
    assert (code(again) == code(drawn)).all()


def test_a_draw_never_takes_an_impossible_action():
    pi = np.array([[[0.0, 0.3, 0.0, 0.7, 0.0]]])
    drawn = trajectories.sample(Bandit(np.zeros(5)), pi, 10_000, np.random.default_rng(0))
    assert set(np.unique(drawn.actions)) == {1, 3}
    assert drawn.labels is None

    class Zero:
        def random(self, n):
            return np.zeros(n)

    assert (trajectories.sample(Bandit(np.zeros(5)), pi, 3, Zero()).actions == 1).all()


def test_every_step_has_its_own_transitions():
    mdp, logits, _ = random_pair(4, False)
    pi = policy(mdp, logits)
    drawn = trajectories.sample(mdp, pi, 100_000, np.random.default_rng(5))
    seen = (drawn.states[:, None] == np.arange(3)[:, None]).mean(axis=2)
    np.testing.assert_allclose(seen, solve.occupancy(mdp, pi), atol=0.01)


def test_bad_input_is_named():
    mdp, logits, expert = random_pair(2, False)
    pi = policy(mdp, logits)
    every = trajectories.enumerate_all(mdp)
    with pytest.raises(ValueError, match=r"rollouts are of one MDP, this is a batch of shape \(2,\)"):
        trajectories.enumerate_all(stack([mdp, mdp]))
    with pytest.raises(ValueError, match="labels and an expert who drew them belong together"):
        trajectories.probability(mdp, pi, every, expert)
    with pytest.raises(ValueError, match="these rollouts carry no labels"):
        every.labelled(pi)
    with pytest.raises(ValueError, match="n must be a whole number >= 1, not 0"):
        trajectories.sample(mdp, pi, 0, np.random.default_rng(0))
    exact = ns.convert([[["1/2", "1/2"]]], "rational")
    with pytest.raises(ValueError, match="sample takes one float64 MDP and one policy"):
        trajectories.sample(Bandit(["1", "0"]), exact, 1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="entries of rollouts to list, at most 4000000: sample them instead"):
        trajectories.enumerate_all(random_pair(9, False)[0])
    with pytest.raises(ValueError, match="expert at h=0, s=0 sums to"):
        trajectories.sample(mdp, pi, 1, np.random.default_rng(0), expert / 2)
