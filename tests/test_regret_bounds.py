"""Each link of the regret bounds against numbers worked out by hand, brute force, and each other."""

from itertools import product
from math import e, exp, log, sqrt

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from distil_theory import TabularMDP, instances, solve
from distil_theory.online import bounds, kt
from tests.problems import policy, random_pair


def test_labels_by_hand():
    assert bounds.per_cell([0, 1, 4], 3).tolist() == pytest.approx([0, log(3), log(4) + log(3)])
    assert bounds.per_cell(100, 1) == 0  # nothing to predict
    assert bounds.budget(2, 5, 3, 10) == pytest.approx(10 * (log(10) + log(3)))
    counts = np.zeros((1, 3, 2, 2))  # two tables of three cells
    counts[0, 0, 0, 0], counts[0, 1, 1, 0] = 1, 9
    assert bounds.total(counts).tolist() == pytest.approx([log(2) + log(9) / 2 + log(2), 0])


@given(st.integers(1, 5), st.integers(2, 60), st.lists(st.integers(0, 30), min_size=1, max_size=6))
@example(1, 20, [5, 0, 0, 0, 0])
@example(1, 20, [1, 1, 1, 1, 1])
def test_cells_that_share_their_labels(horizon, actions, n):
    rounds = max(sum(n), 1)
    counts = np.zeros((horizon, len(n), actions))
    counts[:, :, 0] = n
    paid = kt.regret(counts).sum()
    shared, whole = (f(horizon, len(n), actions, rounds) for f in (bounds.shared_budget, bounds.budget))
    assert paid <= shared + 1e-9
    assert shared <= whole + 1e-9
    if rounds >= len(n):
        assert shared == pytest.approx(horizon * len(n) * ((actions - 1) / 2 * log(rounds / len(n)) + log(actions)))
    else:
        assert shared == pytest.approx(horizon * rounds * log(actions))


def test_sharing_is_about_the_regret_not_about_the_bounds_of_the_cells():
    # N = S = 5 with twenty actions: three cells may add up to more than the shared budget, but do not pay it
    counts = np.zeros((1, 5, 20))
    counts[0, :3, 0] = 2, 2, 1
    shared = bounds.shared_budget(1, 5, 20, 5)
    assert kt.regret(counts).sum() < shared == pytest.approx(5 * log(20))
    assert bounds.total(counts) > shared
    assert bounds.shared_budget(1, 5, 20, 0) == 0


@pytest.mark.parametrize("horizon", [1, 4])
def test_recoverability_of_the_chains(horizon):
    for make, mu in ((instances.compounding_chain, 1), (instances.unforgiving_chain, horizon)):
        case = make(horizon)
        assert bounds.recoverability(case.mdp, case.expert) == mu


def test_recoverability_by_brute_force():
    mdp, theta, expert = random_pair(3, False, batch=4)
    found = bounds.recoverability(mdp, expert)
    for b in range(4):
        one = TabularMDP(mdp.transition[..., b], mdp.reward[..., b], mdp.initial[..., b])
        # one action, then the expert: the difference of two returns from the state, found by rollouts of length one
        worst = 0
        for h, s, a, c in product(range(3), range(3), range(3), range(3)):
            v = solve.values(one, expert[..., b])[0]
            later = [one.transition[h, s, x] @ v[h + 1] if h < 2 else 0 for x in (a, c)]
            worst = max(worst, one.reward[h, s, a] + later[0] - one.reward[h, s, c] - later[1])
        assert found[b] == pytest.approx(worst)
    assert (bounds.recoverability(mdp, expert, policy(mdp, theta)) <= found + 1e-12).all()


def test_states_out_of_reach_do_not_count():
    case = instances.unforgiving_chain(3, "1/10")
    # what is off the path costs nothing; a student that never gets to the path has nothing to lose
    off = TabularMDP(case.mdp.transition, case.mdp.reward, [0, 1])
    assert bounds.recoverability(off, case.expert) == 3
    assert bounds.recoverability(off, case.expert, case.student) == 0


@pytest.mark.parametrize("batch", [2, 3])
def test_recoverability_of_one_expert_and_many_students(batch):
    # as many students as steps and states: axes that broadcast by accident would not be noticed
    mdp, theta, expert = random_pair(3, False, batch=batch)
    one = TabularMDP(mdp.transition[..., 0], mdp.reward[..., 0], [1, 0, 0])
    students = policy(mdp, theta)
    single = [bounds.recoverability(one, expert[..., 0], students[..., b]) for b in range(batch)]
    assert bounds.recoverability(one, expert[..., 0], students).tolist() == pytest.approx(single)
    many = [bounds.recoverability(one, expert[..., b], students[..., 0]) for b in range(batch)]
    assert bounds.recoverability(one, expert, students[..., 0]).tolist() == pytest.approx(many)


def test_return_bounds_by_hand():
    assert bounds.return_regret(2, 8, 4, 9) == pytest.approx(2 * sqrt(8 * 4 * 9 / 2))
    assert bounds.return_regret(np.array([1, 2]), 2, 1, 4).tolist() == [2, 4]
    assert bounds.deterministic(3, np.array([1.0, 2.0])).tolist() == [3, 6]
    assert bounds.hellinger(4, 2, exp(-1)) == pytest.approx(2 * e / (e - 1) * (2 + 3))
    assert bounds.return_regret_high_probability(2, 8, 4, 9, 0.1) == pytest.approx(
        2 * sqrt(32 * bounds.hellinger(9, 4, 0.1))
    )
    assert bounds.return_regret([1, 2], 2, 1, 4).tolist() == [2, 4]
    # eps = 1 promises nothing any more; what is left is the price of going from labels to expectations
    assert bounds.hellinger(4, 2, 1.0) == pytest.approx(e / (e - 1) * 4)
    assert bounds.cloning(4, 0.1) == pytest.approx(1.0)
    assert bounds.dagger(1, 4, 0.1) == pytest.approx(0.4)
    assert bounds.cloning_log_loss(2, 0.5) == pytest.approx(1.0)
    assert bounds.cloning_log_loss(2, 0.5, deterministic=True) == pytest.approx(1.0)


def test_drift_by_hand():
    assert bounds.proximal_drift(1, 2, exp(-4), 3) == pytest.approx(2 * (log(2) + 6))
    assert bounds.proximal_drift(1, 2, 0.5, 0) == pytest.approx(2 * log(2))
    assert bounds.proximal_drift(np.inf, 2, exp(-4), 3) == pytest.approx(log(2) + 6)  # the student copies the teacher
    assert bounds.proximal_drift(np.array([1, 3]), 2, exp(-4), 3, first=0).tolist() == pytest.approx([12, 8])
    assert bounds.mirror_drift(0.01, 2, 0.1, 3) == pytest.approx(
        (log(2) + 1.5 * log(10)) / (0.01 * (1 - 0.01 * (e - 2)))
    )
    assert bounds.mirror_floor(0.5) == pytest.approx(0.5 / (e - 1))
    assert bounds.smoothing(2, 0.25, 3) == pytest.approx(3 * log(2))
    rounds = np.array([1, 10, 1e6])
    cost = bounds.smoothing(3, 1 / (3 * (rounds + 1)), rounds)
    assert (np.diff(cost) > 0).all()
    assert cost[0] == pytest.approx(log(2))
    assert 1 - 1e-6 < cost[-1] < 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bounds.per_cell(np.nan, 3), "numbers of labels must be 0 or at least 1, not nan"),
        (lambda: bounds.per_cell([4, -1], 3), "numbers of labels must be 0 or at least 1"),
        (lambda: bounds.per_cell(0.5, 3), "numbers of labels must be 0 or at least 1, not 0.5"),
        (lambda: bounds.per_cell(4, 0), "actions must be at least 1, not 0"),
        (lambda: bounds.budget(1, 1, 2, np.nan), "numbers of labels must be 0 or at least 1"),
        (lambda: bounds.shared_budget(1, 1, 2, np.nan), "numbers of labels must be 0 or at least 1"),
        (lambda: bounds.shared_budget(1, 1, 2, -3), "numbers of labels must be 0 or at least 1"),
        (lambda: bounds.total(np.array([[[np.nan, 1]]])), "numbers of labels must be 0 or at least 1"),
        (lambda: bounds.total(np.array([[[-3, 5]]])), "numbers of labels must be 0 or at least 1"),
        (lambda: bounds.total(np.array([3, 5])), r"counts of shape \(2,\) must have axes \(H, S, A\)"),
        (lambda: bounds.hellinger(1, 2, 0), r"eps must lie in \(0, 1\], not 0"),
        (lambda: bounds.hellinger(1, 2, np.nan), "eps must lie in"),
        (lambda: bounds.return_regret_high_probability(1, 2, 3, 4, 1.5), "eps must lie in"),
        (lambda: bounds.proximal_drift(0, 2, 0.1, 1), "eta must be positive"),
        (lambda: bounds.proximal_drift(1, 3, 0.4, 1), "A floor must lie in"),
        (lambda: bounds.proximal_drift(1, 3, 0, 1), "A floor must lie in"),
        (lambda: bounds.mirror_drift(0.2, 2, 0.1, 1), "eta = 0.2 is larger than floor"),
        (lambda: bounds.smoothing(2, 0.6, 1), "A f must lie in"),
    ],
)
def test_what_is_not_proved_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_simulation_stays_below():
    """Two hundred students at once: in the mean, and with high probability, on a random problem."""
    rng, rounds, runs, eps = np.random.default_rng(1), 60, 200, 0.05
    mdp, _, expert = random_pair(2, False, states=3, actions=3)
    best, star = solve.expected_return(mdp, expert), expert
    counts, lost, kl, squares = np.zeros((2, 3, 3, runs)), 0, 0, 0
    for _ in range(rounds):
        student = kt.predictor(counts)
        d = solve.occupancy(mdp, student)
        lost = lost + best - solve.expected_return(mdp, student)
        kl = kl + (d * (star[..., None] * np.log(star[..., None] / student)).sum(2)).sum((0, 1))
        squares = squares + (d * ((np.sqrt(star[..., None]) - np.sqrt(student)) ** 2).sum(2)).sum((0, 1))
        state = np.array([rng.choice(3, p=mdp.initial) for _ in range(runs)])
        for h in range(2):
            label = (rng.random(runs) > star[h, state].cumsum(1).T).sum(0)
            counts[h, state, label, np.arange(runs)] += 1
            act = (rng.random(runs) > student[h, state, :, np.arange(runs)].cumsum(1).T).sum(0)
            state = (rng.random(runs) > mdp.transition[h, state, act].cumsum(1).T).sum(0)
    mu, budget = bounds.recoverability(mdp, expert), bounds.budget(2, 3, 3, rounds)
    assert counts.sum() == 2 * rounds * runs
    assert kl.mean() < (kt.regret(counts).sum((0, 1))).mean() + 4 * kl.std() / sqrt(runs)
    paid = kt.regret(counts).sum((0, 1))
    assert (paid < bounds.total(counts)).all()
    assert paid.max() < bounds.shared_budget(2, 3, 3, rounds) < budget
    assert lost.mean() < bounds.return_regret(mu, rounds, 2, kl.mean()) < bounds.return_regret(mu, rounds, 2, budget)
    assert (squares > bounds.hellinger(budget, 2, eps)).mean() <= 2 * eps
    assert (lost < mu * np.sqrt(rounds * 2 * squares)).all()
