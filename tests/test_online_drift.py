"""Teachers that move and students who follow: closed forms, paths, what is touched and what is not."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from distil_theory import experts, instances, solve
from distil_theory.divergences import FORWARD_KL
from distil_theory.online import bounds, drift, teachers
from distil_theory.spec import Bandit, TabularMDP

ONE = Bandit([0.0, 1.0])
P = np.array([[[0.1, 0.9]]])
GARNET = instances.garnet(4, 3, 2, 3, 1, rewards="terminal")
STAR = experts.soft_optimal(GARNET, 0.1)


def kl(p, x):
    return sum(a * np.log(a / b) for a, b in zip(p, x, strict=True))


def test_proximal_steps_have_their_closed_form():
    t = drift.follow(ONE, teachers.fixed(P), 6, "proximal", 0.5)
    x = [np.array([0.1, 0.9]) + np.array([0.4, -0.4]) / 1.5**n for n in range(6)]
    np.testing.assert_allclose(t.kl[:, 0], np.cumsum([kl([0.1, 0.9], y) for y in x]), rtol=1e-12)
    np.testing.assert_allclose(t.earned[:, 0], np.cumsum([y[1] for y in x]), rtol=1e-12)
    np.testing.assert_allclose(t.student_floor[:, 0], [min(y) for y in x], rtol=1e-12)
    np.testing.assert_array_equal(t.path, 0)
    np.testing.assert_allclose(t.floor, 0.1)
    np.testing.assert_array_equal(t.cells, t.kl)  # one cell


def test_natural_steps_add_the_ratio_to_the_logit():
    eta, logit, total = 0.05, 0.0, []
    for _ in range(6):
        x = 1 / (1 + np.exp(-logit))
        total.append(kl([0.1, 0.9], [1 - x, x]))
        logit += eta * (0.9 / x - 0.1 / (1 - x))
    t = drift.follow(ONE, teachers.fixed(P), 6, "natural", eta)
    np.testing.assert_allclose(t.kl[:, 0], np.cumsum(total), rtol=1e-12)


def test_counting_labels_is_the_predictor_in_one_cell():
    n, rounds = 4000, 12
    t = drift.follow(ONE, teachers.fixed(P), rounds, "kt", where="student", seeds=n, base=3)
    total = 0.0
    for labels in range(rounds):
        k = np.arange(labels + 1)
        x = (k + 0.5) / (labels + 1)
        total += stats.binom.pmf(k, labels, 0.1) @ (0.1 * np.log(0.1 / x) + 0.9 * np.log(0.9 / (1 - x)))
        assert abs(t.kl[labels].mean() - total) < 4 * t.kl[labels].std() / np.sqrt(n) + 1e-12


def test_a_round_costs_what_the_solver_says():
    seen = []

    def watch(n, students):
        seen.append(students.copy())
        return teachers.fixed(STAR, 0.02)(n, students)

    t = drift.follow(GARNET, watch, 5, "proximal", 1.0, "student", 3)
    shown = np.repeat(teachers.lifted(STAR, 0.02)[..., None], 3, axis=-1)
    each = np.array([FORWARD_KL.value(shown, x, axis=2) for x in seen])
    weights = np.array([solve.occupancy(GARNET, x) for x in seen])
    np.testing.assert_allclose(t.kl, (weights * each).sum((1, 2)).cumsum(0), rtol=1e-10)
    np.testing.assert_allclose(t.cells, each.sum((1, 2)).cumsum(0), rtol=1e-10)
    np.testing.assert_allclose(t.earned, np.cumsum([solve.expected_return(GARNET, x) for x in seen], 0), rtol=1e-10)


@pytest.mark.parametrize("step", ["natural", "kt"])
@pytest.mark.parametrize("where", ["student", "teacher"])
def test_only_visited_states_are_learned(where, step):
    changed = []

    def watch(n, students):
        changed.append(students.copy())
        return teachers.fixed(STAR, 0.02)(n, students)

    drift.follow(GARNET, watch, 9, step, 0.01, where, 5)
    moved = np.array([abs(y - x).max(axis=2) > 0 for x, y in pairwise(changed)])
    assert (moved.sum(axis=2) == 1).all()  # one state per step, round and seed


def test_the_teacher_walks_its_own_way():
    never = TabularMDP(np.array([[[[0.0, 1.0], [1.0, 0.0]]] * 2] * 2), np.zeros((2, 2, 2)), [1.0, 0.0])
    star = np.array([[[1.0, 0.0]] * 2] * 2)  # always to state 1, so never in state 0 at the second step
    met = []

    def watch(n, students):
        met.append(students)
        return np.repeat(star[..., None], students.shape[-1], axis=-1)

    drift.follow(never, watch, 20, "proximal", 1.0, "teacher", 40)
    np.testing.assert_array_equal(met[-1][1, 0], 0.5)
    np.testing.assert_allclose(met[-1][1, 1, 0], 1 - 0.5**20)


def path_of(teacher, rounds, seeds=4):
    t = drift.follow(GARNET, teacher, rounds, "proximal", 1.0, "all", seeds)
    assert t.floor.min() >= 0.02 - 1e-15
    return t.path[-1]


def test_paths_are_as_stated():
    other, jump = np.roll(STAR, 1, axis=2), 0.94 * abs(STAR - np.roll(STAR, 1, axis=2)).sum()
    turning, nobody = teachers.switching(STAR, other, [3, 5], 0.0), np.zeros((3, 4, 3, 1))
    first = [bool(np.array_equal(turning(n, nobody)[..., 0], STAR)) for n in range(1, 7)]
    assert first == [True, True, False, False, True, True]
    np.testing.assert_allclose(path_of(teachers.switching(STAR, other, [3, 5], 0.02), 8), 2 * jump)
    np.testing.assert_allclose(path_of(teachers.switching(STAR, other, [3, 5, 9], 0.02), 8), 2 * jump)
    np.testing.assert_allclose(path_of(teachers.contrary(STAR, 0.001, 0.02), 8), 7 * 12 * 0.001)
    np.testing.assert_array_equal(path_of(teachers.fixed(STAR, 0.02), 8), 0)
    small, large = (path_of(teachers.fed(STAR, share, 0.02, range(4)), 8) for share in (0.1, 0.2))
    np.testing.assert_allclose(large, 2 * small)
    assert len(set(small)) == 4  # each seed its own feedback
    assert (path_of(teachers.contrary(STAR, 0.5, 0.02), 8) < 7 * 12 * 0.5).all()  # nothing below the floor to take


def test_fresh_feedback_is_uniform_on_the_simplex():
    drawn = np.concatenate([teachers.fed(P, 1.0, 0.0, range(5000), b)(1, np.zeros((1, 1, 2, 5000)))[0, 0, 0]
                            for b in range(2)])  # fmt: skip
    assert stats.kstest(drawn, "uniform").pvalue > 1e-3


def test_the_rising_teacher_is_conditioned_on_the_average():
    teach = teachers.rising(GARNET, 0.25, 0.02)
    first, second = (np.random.default_rng(k).dirichlet(np.ones(3), (3, 4, 2)).transpose(0, 1, 3, 2) for k in (0, 1))
    np.testing.assert_allclose(teach(1, first), teachers.lifted(experts.success_conditioned(GARNET, first), 0.02))
    average = 0.75 * first + 0.25 * second
    np.testing.assert_allclose(teach(2, second), teachers.lifted(experts.success_conditioned(GARNET, average), 0.02))


def test_the_leading_teacher_is_a_mixture():
    first, second = (np.random.default_rng(k).dirichlet(np.ones(3), (3, 4, 2)).transpose(0, 1, 3, 2) for k in (0, 1))
    teach = teachers.leading(STAR, 0.4, 0.25, 0.02)
    np.testing.assert_allclose(teach(1, first), teachers.lifted(0.6 * first + 0.4 * STAR[..., None], 0.02))
    average = 0.75 * first + 0.25 * second
    np.testing.assert_allclose(teach(2, second), teachers.lifted(0.6 * average + 0.4 * STAR[..., None], 0.02))


def test_nobody_foresees_the_coin():
    f, n, throws = 0.02, 4000, 5
    entropy = -(f * np.log(f) + (1 - f) * np.log(1 - f))
    assert teachers.coin_loss(2, f) == pytest.approx(np.log(2) - entropy)
    teach = teachers.coin(3, 2, f, range(n))
    students = np.full((1, 1, 3, n), 1 / 3)
    shown = np.array([teach(r, students)[0, 0] for r in range(1, 2 * throws + 1)])
    np.testing.assert_array_equal(shown[::2], shown[1::2])
    heads = (shown[::2, 0] > 0.5).sum()
    assert abs(heads - n * throws / 2) < 4 * np.sqrt(n * throws / 4)
    t = drift.follow(Bandit([0.0, 1.0, 0.0]), teachers.coin(3, 2, f, range(n)), 2 * throws, "proximal", 1.0, "all", n)
    least, error = throws * teachers.coin_loss(3, f), t.kl[-1].std() / np.sqrt(n)
    assert t.kl[-1].mean() > least - 4 * error
    best = np.array([0.49, 0.49, 0.02])  # who always expects both sides equally pays just that
    assert kl(shown[0, :, 0], best) == pytest.approx(teachers.coin_loss(3, f))


@pytest.mark.parametrize("step", ["proximal", "natural"])
def test_costs_stay_below_the_bounds_of_their_path(step):
    floor = 0.05
    student_floor = float(bounds.mirror_floor(floor))
    eta = 1.0 if step == "proximal" else student_floor / (1 - student_floor)
    for share in (0.05, 0.5):
        t = drift.follow(GARNET, teachers.fed(STAR, share, floor, range(20)), 60, step, eta, "all", 20)
        first = 12 * np.log(3)
        if step == "proximal":
            bound = bounds.proximal_drift(eta, 3, floor, t.path[-1], first)
        else:
            bound = bounds.mirror_drift(eta, 3, student_floor, t.path[-1], first)
        assert (t.cells[-1] <= bound).all()
        assert (t.kl <= t.cells).all()
        assert t.student_floor.min() >= (floor if step == "proximal" else student_floor) - 1e-12


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"step": "leap"}, "unknown step 'leap': choose from proximal, natural, kt"),
        ({"where": "here"}, "where must be one of all, student, teacher"),
        ({"step": "kt"}, "with labels not 'all'"),
        ({"eta": 0}, "eta must be a positive number, not 0"),
        ({"eta": np.inf}, "eta must be a positive number"),
        ({"eta": "1"}, "eta must be a positive number"),
        ({"mdp": instances.privileged_grid().convert("float64").mdp}, "this MDP hides it"),
        ({"teacher": lambda n, students: students[..., :1]}, r"have shape .* in round 1, not \(3, 4, 3, 2\)"),
        ({"teacher": lambda n, students: students * n}, "the teacher of round 2 at .* sums to 2"),
        ({"rounds": 0}, "rounds must be a whole number >= 1"),
        ({"at": [4]}, "there are rounds 1 to 3"),
    ],
)
def test_bad_input_gets_one_clear_error(changes, words):
    given = {"mdp": GARNET, "teacher": teachers.fixed(STAR), "rounds": 3, "step": "proximal", "eta": 1.0,
             "where": "all", "seeds": 2, "base": 0, "at": None} | changes  # fmt: skip
    with pytest.raises(ValueError, match=words):
        drift.follow(*given.values())


@pytest.mark.parametrize("floor", [-0.1, 0.4, np.nan])
def test_an_impossible_floor_is_refused(floor):
    with pytest.raises(ValueError, match=r"floor must lie between 0 and 1/A = 0\.333333"):
        teachers.fixed(STAR, floor)
