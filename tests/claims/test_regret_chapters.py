"""The chapters of claim 11 against cases solved by hand, and their batches against one problem at a time."""

from math import e, log, sqrt

import numpy as np
import pytest

from distil_theory import Bandit, instances, solve, trajectories
from distil_theory import number_systems as ns
from distil_theory.claims import (
    compounding_errors,
    drift,
    drifting_teacher,
    hellinger_regret,
    kt_predictor,
    links,
    return_regret,
    rollouts,
    rounds,
)
from distil_theory.online import bounds, kt
from distil_theory.spec import TabularMDP

BATCH = rollouts.draw(np.random.default_rng(5), (3, 2, 2), 40)
MDP = TabularMDP(*BATCH[:3], batch_ndim=1)


def q(text):
    return ns.convert(text, "rational")


def one(i):
    p, r, rho, pi, star = (x[..., i] for x in BATCH)
    return TabularMDP(p, r, rho), pi, star


# --- 11: the predictor ------------------------------------------------------------------------------------------------


def test_margins_of_cells_by_hand():
    cells = np.array([[1.0, 2, 1, 10], [0, 0, 1, 0]])
    # Q = 1/2, 3/8, 1/8 against hindsight 1, 1, 1/4; the bound is (1/2) log n + log 2
    expected = [0, log(2) / 2 + log(2) - log(8 / 3), log(2) / 2 + log(2) - log(2)]
    np.testing.assert_allclose(kt_predictor.margin(cells)[:3], expected, atol=1e-14)


def test_the_sign_of_a_cell_in_whole_numbers_and_in_balls():
    assert kt_predictor.exact_excess((1, 0)) == 0
    assert kt_predictor.exact_excess((2, 0)) == 1
    assert kt_predictor.exact_excess((7, 0, 2)) == 1
    for n in (kt_predictor.FEW, kt_predictor.FEW + 1, 10**5):
        assert kt_predictor.holds_exactly(q([n, 0, 3]))


# --- 11b: return ------------------------------------------------------------------------------------------------------


def test_what_is_known_after_a_round_and_two():
    expert = q([[["3/4", "1/4"]]])
    told = rounds.play(Bandit(q(["1", "0"])), expert, 2)
    masses = [{tuple(k.counts[0, 0]): str(k.mass) for k in known} for known in told]
    assert masses == [
        {(0, 0): "1"},
        {(1, 0): "3/4", (0, 1): "1/4"},
        {(2, 0): "9/16", (1, 1): "3/8", (0, 2): "1/16"},
    ]
    assert [str(p) for p in next(k for k in told[1] if k.counts[0, 0, 0]).student[0, 0]] == ["3/4", "1/4"]
    doubled = rounds.play(Bandit(q(["1", "0"])), expert, 2, lambda student, every: q(["2", "2"])[every.labels[0]])
    assert [str(rounds.mean(known, lambda _: 1)) for known in doubled] == ["1", "2", "4"]


def test_known_counts_against_drawn_rollouts():
    mdp, expert = rounds.game()
    known = rounds.play(mdp, expert, 1)[1]
    drawn = trajectories.sample(
        mdp.convert("float64"), np.full((2, 2, 2), 0.5), 20_000, np.random.default_rng(0), ns.convert(expert, "float64")
    )
    keys = drawn.states[0] * 8 + drawn.labels[0] * 4 + drawn.states[1] * 2 + drawn.labels[1]
    share = np.bincount(keys, minlength=16) / 20_000
    for k in known:
        (s, a), (t, b) = (np.argwhere(k.counts[h])[0] for h in (0, 1))
        chance = float(ns.convert([k.mass], "float64")[0])
        assert share[s * 8 + a * 4 + t * 2 + b] == pytest.approx(chance, abs=5 * sqrt(chance / 20_000))
    assert len(known) == 16


def test_a_game_by_hand():
    # one step, two actions of which the second earns 1, which the expert takes: after n labels it has 1/(2n+2) left
    game = rounds.whole_game(Bandit(q(["0", "1"])), q([[["0", "1"]]]), 3)
    assert str(game.lost) == "11/12"  # 1/2 + 1/4 + 1/6
    assert game.mu == 1
    assert float(game.kl) == pytest.approx(log(2) + log(4 / 3) + log(6 / 5))


def test_the_factor_mu_is_attained():
    mdp, student, expert = return_regret.slip_once(4, "1/5")
    link = links.links(mdp, student, expert)
    assert [str(x) for x in link[:2]] == ["4/5", "1/5"]
    assert link.mu == 4
    assert float(link.kl) == pytest.approx(log(5 / 4))
    floats = mdp.convert("float64"), *(ns.convert(p, "float64")[..., None] for p in (student, expert))
    assert return_regret.margin(*floats)[0] == pytest.approx(0, abs=1e-15)


def test_the_sure_expert():
    star = np.array([[[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]]])
    assert links.sure(star).tolist() == [[[0, 1, 0], [1, 0, 0]]]
    exact = ns.convert(links.sure(ns.convert(star, "rational")), "float64")
    assert (exact == links.sure(star)).all()


def test_what_a_sure_expert_pays_for_its_labels():
    # after the labels 1 and 1 the predictor has paid -log(1/2 * 3/4), and an expert who is sure pays nothing
    bandit, expert = Bandit(q(["0", "1"])), q([[["0", "1"]]])
    known = rounds.play(bandit, expert, 2)[2]
    assert [float(rounds.label_loss(k, expert)) for k in known] == [pytest.approx(log(8 / 3))]


def test_labels_that_repeat_exceed_the_budget():
    rounds_ = 60
    student = kt.predictor(np.stack([np.arange(rounds_), np.zeros(rounds_)]), axis=0)
    kl = -np.log(4 * student[0] * student[1]) / 2
    n = np.arange(rounds_)
    np.testing.assert_allclose(kl, np.log((n + 1) ** 2 / (2 * n + 1)) / 2, atol=1e-12)
    assert kl.sum() > 10 * bounds.budget(1, 1, 2, rounds_)


# --- 11c: high probability --------------------------------------------------------------------------------------------


def test_one_round_of_the_supermartingales_over_all_rollouts():
    for i in (0, 17, 39):
        mdp, student, expert = one(i)
        every = trajectories.with_labels(mdp, trajectories.enumerate_all(mdp))
        p = trajectories.probability(mdp, student, every, expert)
        x = (np.sqrt(expert) - np.sqrt(student)) ** 2
        x = every.along(x.sum(axis=2) / 2, actions=False).sum(axis=0)
        ratio = np.sqrt(every.labelled(student / expert)).prod(axis=0)
        mean = (p * x).sum()
        found = hellinger_regret.one_round(mdp, student, expert)
        assert found.labels == pytest.approx((p * ratio * np.exp(x)).sum())
        assert found.states == pytest.approx((p * np.exp(-x / 3)).sum() * np.exp((1 - 1 / e) * mean / 3))
        assert found.squares == pytest.approx(2 * mean)
        assert found.labels < 1
        assert found.states < 1


def test_hellinger_of_students_who_cannot_see():
    # two contexts that look alike, opposite actions: 2 - 2 sqrt(x) and 2 - 2 sqrt(1-x)
    x = np.linspace(0.01, 0.99, 99)
    mean = 2 - np.sqrt(x) - np.sqrt(1 - x)
    assert mean.min() == pytest.approx(2 - sqrt(2))
    assert x[mean.argmin()] == pytest.approx(0.5)


# --- 11d: drift -------------------------------------------------------------------------------------------------------


def test_runs_by_hand():
    teachers = np.array([[0.75, 0.25], [0.75, 0.25], [0.25, 0.75]])
    found = drift.run(teachers, teachers, drift.proximal, 1)
    students = np.array([[1 / 2, 1 / 2], [5 / 8, 3 / 8], [11 / 16, 5 / 16]])
    assert found.paid == pytest.approx((teachers * np.log(teachers / students)).sum())
    assert found.least == pytest.approx(5 / 16)
    assert drift.path(teachers) == pytest.approx(1)
    new = drift.natural(np.array([0.5, 0.5]), np.array([0.75, 0.25]), 0.4)
    assert new[0] / new[1] == pytest.approx(np.exp(0.4))


def test_sparse_teachers_have_zeros():
    assert drift.sparse(np.array([[0.6, 0.3, 0.1], [0.5, 0.3, 0.2]])).tolist()[0] == pytest.approx([2 / 3, 1 / 3, 0])


def test_drifts_by_the_batch_and_one_by_one():
    teachers = drift.draw(np.random.default_rng(2), 3, 12)
    np.testing.assert_allclose(teachers.sum(axis=1), 1, atol=1e-12)
    found = drifting_teacher.margin(teachers)
    for i in range(12):
        assert drifting_teacher.margin(teachers[..., i : i + 1])[0] == pytest.approx(found[i], abs=1e-9)
    exact = drift.slacks(ns.convert(teachers[..., 0] / teachers[..., 0].sum(axis=1)[:, None], "ball"))
    assert min(float(x) for x in exact) == pytest.approx(found[0], abs=1e-6)


def test_the_floor_needs_small_steps():
    pi, star = np.array([0.01, 0.99]), np.array([0.5, 0.5])
    new = drift.natural(pi, star, 1.0)
    assert new[1] < np.exp(-44)  # from nearly certain to nearly never
    small = bounds.mirror_floor(0.01) / (1 - bounds.mirror_floor(0.01))
    for _ in range(2000):
        pi = drift.natural(pi, star, small)
        assert pi.min() >= bounds.mirror_floor(0.01)
    assert pi[0] == pytest.approx(0.5, abs=1e-3)


def test_the_path_is_paid_for():
    # a mirror image in turns: a large step pays (1/2) log((1-f)/f) per unit of path, which the bound nearly is
    f, n = 1e-6, 40
    turns = np.array([[1 - f, f], [f, 1 - f]] * (n // 2))
    found = drift.run(turns, turns, drift.proximal, 1e12)
    assert drift.path(turns) == pytest.approx((n - 1) * 2 * (1 - 2 * f))
    assert found.paid == pytest.approx(drift.path(turns) * log((1 - f) / f) / 2, rel=0.01)
    bound = bounds.proximal_drift(1e12, 2, f, drift.path(turns))
    assert found.paid < bound < 1.01 * found.paid
    # sampled labels of a fair coin in the teacher's place: it never moves, they go about N
    labels = np.eye(2)[np.random.default_rng(0).integers(0, 2, 1000)]
    assert drift.path(labels) == pytest.approx(1000, rel=0.1)


# --- 11e: compounding errors ------------------------------------------------------------------------------------------


def test_the_chains_by_hand():
    case = instances.compounding_chain(3, "1/10")
    x = links.sizes(case.mdp, case.student, case.expert)
    # off the path after h steps: 1/10, 9/50, 61/250
    assert str(x.lost) == str(q(["131/250"])[0])
    assert [str(v) for v in (x.theirs, x.mu, x.most, x.whole)] == ["1/10", "1", "1", "3"]
    assert float(x.kl) == pytest.approx(3 * log(10 / 9))
    end = compounding_errors.paid_at_the_end(case)
    assert str(solve.expected_return(end, case.student)) == "189/250"
    assert solve.expected_return(end, case.expert) == 1


@pytest.mark.parametrize("horizon", [1, 2, 3, 10])
def test_the_unforgiving_chain(horizon):
    case = instances.unforgiving_chain(horizon, "1/7")
    assert case.gap == horizon - sum(q(["6/7"])[0] ** h for h in range(1, horizon + 1))
    d = solve.occupancy(case.mdp, case.student)
    assert ((d[:, :, None] * abs(case.student - case.expert)).sum(axis=(1, 2)) / 2 == q(["1/7"])[0]).all()
    with pytest.raises(ValueError, match="error must lie strictly between 0 and 1"):
        instances.unforgiving_chain(3, 1)


@pytest.mark.parametrize("chapter", [return_regret, hellinger_regret, compounding_errors])
def test_a_batch_is_many_single_problems(chapter):
    found = chapter.CLAIM.margin(MDP, *BATCH[3:])
    assert found.shape == (40,)
    for i in (0, 13, 39):
        alone = TabularMDP(*(x[..., i : i + 1] for x in BATCH[:3]), batch_ndim=1)
        assert chapter.margin(alone, *(x[..., i : i + 1] for x in BATCH[3:]))[0] == pytest.approx(found[i], abs=1e-12)
        assert chapter.holds_exactly(*(ns.convert(x[..., i], "rational") for x in BATCH))
