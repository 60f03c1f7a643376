"""DAgger and cloning, simulated: laws by enumeration, costs by the solver, labels by the predictor's closed form."""

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from distil_theory import experts, instances, solve, trajectories
from distil_theory import number_systems as ns
from distil_theory.divergences import FORWARD_KL, HELLINGER, TOTAL_VARIATION
from distil_theory.online import bounds, kt
from distil_theory.online import dagger as module
from distil_theory.online.dagger import clone, dagger
from distil_theory.online.record import COSTS, marks
from distil_theory.online.streams import uniforms
from distil_theory.online.world import World, edges
from distil_theory.spec import Bandit, TabularMDP, stack

TWO = TabularMDP(
    np.array([[[[0.7, 0.3], [0.2, 0.8]], [[0.5, 0.5], [1.0, 0.0]]]] * 2),
    np.array([[[1.0, 0.0], [0.3, 0.6]], [[0.2, 0.9], [0.5, 0.1]]]),
    np.array([0.6, 0.4]),
)
STAR = np.array([[[0.8, 0.2], [0.3, 0.7]], [[0.1, 0.9], [0.5, 0.5]]])


def law(rounds, cloning=False):
    """Probability of every table of counts: each rollout, each sequence of labels, round by round."""
    every = trajectories.enumerate_all(TWO)
    asked = every if cloning else trajectories.with_labels(TWO, every)
    chances = {np.zeros(TWO.shape, dtype=int).tobytes(): 1.0}
    for _ in range(rounds):
        after = Counter()
        for key, p in chances.items():
            counts = np.frombuffer(key, dtype=int).reshape(TWO.shape)
            student = STAR if cloning else kt.predictor(counts)
            each = trajectories.probability(TWO, student, asked, None if cloning else STAR)
            labels = asked.actions if cloning else asked.labels
            for i, q in enumerate(each):
                new = counts.copy()
                np.add.at(new, (np.arange(2), asked.states[:, i], labels[:, i]), 1)
                after[new.tobytes()] += p * q
        chances = after
    return {key: p for key, p in chances.items() if p > 0}


@pytest.mark.parametrize("cloning", [False, True])
def test_counts_after_two_rounds_have_the_enumerated_law(cloning):
    n = 40_000
    r = (clone if cloning else dagger)(TWO, STAR, 2, n, 7, [2])
    exact = law(2, cloning)
    assert sum(exact.values()) == pytest.approx(1)
    tables = np.moveaxis(r.counts, -1, 0).astype(int)
    met = Counter(np.ascontiguousarray(x).tobytes() for x in tables)
    assert set(met) <= set(exact)
    common = [key for key, p in exact.items() if p * n >= 8]
    rest = n - sum(met[key] for key in common)
    expected = np.array([exact[key] * n for key in common])
    found = np.array([met[key] for key in common] + [rest])
    assert stats.chisquare(found, np.append(expected, n - expected.sum())).pvalue > 1e-3


def test_means_of_two_rounds_are_those_of_the_enumeration():
    n, q = 40_000, solve.values(TWO, STAR)[1]
    best, d_star = solve.expected_return(TWO, STAR), solve.occupancy(TWO, STAR)
    r = dagger(TWO, STAR, 3, n, 1)
    for rounds in (1, 2):
        gap = kl = luck = 0.0
        for key, p in law(rounds).items():
            counts = np.frombuffer(key, dtype=int).reshape(TWO.shape)
            student, labels = kt.predictor(counts), counts.sum(axis=2, keepdims=True)
            gap += p * (best - solve.expected_return(TWO, student))
            kl += p * (solve.occupancy(TWO, student) * FORWARD_KL.value(STAR, student)).sum()
            luck += p * (d_star * ((counts - labels * STAR) / (labels + 1) * q).sum(axis=2)).sum()
        assert luck == pytest.approx(0, abs=1e-14)  # regret is first-order unbiased
        for found, exact in ((r.gap[rounds - 1], gap), (r.kl[rounds] - r.kl[rounds - 1], kl),
                             (r.chance[rounds] - r.chance[rounds - 1], 0)):  # fmt: skip
            assert abs(found.mean() - exact) < 4 * found.std() / np.sqrt(n)


def test_kl_of_one_cell_is_a_sum_over_binomials():
    p, rounds, n = 0.25, 40, 20_000
    r = dagger(Bandit([0.0, 1.0]), np.array([[[p, 1 - p]]]), rounds, n, 2)
    total = 0.0
    for labels in range(rounds):
        k = np.arange(labels + 1)
        x = (k + 0.5) / (labels + 1)
        total += stats.binom.pmf(k, labels, p) @ (p * np.log(p / x) + (1 - p) * np.log((1 - p) / (1 - x)))
        assert abs(r.kl[labels].mean() - total) < 4 * r.kl[labels].std() / np.sqrt(n) + 1e-12


@pytest.mark.parametrize("aliased", [False, True])
@pytest.mark.parametrize("learner", [dagger, clone])
def test_costs_are_those_of_the_solver(learner, aliased):
    mdp = instances.garnet(4, 3, 2, 3, 5)
    if aliased:
        mdp = TabularMDP(mdp.transition, mdp.reward, mdp.initial, observation=[1, 0, 1, 1])
    star = experts.soft_optimal(mdp, 0.2)
    star[0, 1] = [0, 1, 0]
    best, d_star, q = solve.expected_return(mdp, star), solve.occupancy(mdp, star), solve.values(mdp, star)[1]
    before, after = learner(mdp, star, 30, 6, 3, [30]), learner(mdp, star, 31, 6, 3)
    student = kt.predictor(before.counts)[:, mdp.observation]
    np.testing.assert_array_equal(before.kl[0], after.kl[29])
    uniform = np.full(mdp.shape, 1 / 3)
    np.testing.assert_allclose(after.regret[0], best - solve.expected_return(mdp, uniform), atol=1e-12)
    many = np.repeat(star[..., None], 6, axis=-1)
    d = solve.occupancy(mdp, student)
    off = student - many
    kl = FORWARD_KL.value(many, student, axis=2)
    gap = best - solve.expected_return(mdp, student)
    np.testing.assert_allclose(before.gap[0], gap, atol=1e-12)
    cost = {
        "regret": gap,
        "kl": (d * kl).sum((0, 1)),
        "tv": (d * TOTAL_VARIATION.value(many, student, axis=2)).sum((0, 1)),
        "hellinger": (d * HELLINGER.value(many, student, axis=2)).sum((0, 1)),
        "pinsker": (d * np.sqrt(kl / 2)).sum((0, 1)),
        "shortfall": (d * abs((off * q[..., None]).sum(2))).sum((0, 1)),
        "kl_expert": (d_star[..., None] * kl).sum((0, 1)),
    }
    for name, x in cost.items():
        np.testing.assert_allclose(getattr(after, name)[30] - getattr(after, name)[29], x, atol=1e-12, err_msg=name)
    # performance difference, signed
    np.testing.assert_allclose(gap, -(d[:, :, None] * off * q[..., None]).sum((0, 1, 2)), atol=1e-12)
    counts = before.counts[:, mdp.observation]
    labels = counts.sum(axis=2, keepdims=True)
    luck = (d_star[:, :, None, None] * q[..., None] * (counts - labels * many) / (labels + 1.5)).sum((0, 1, 2))
    np.testing.assert_allclose(after.chance[30] - after.chance[29], luck, atol=1e-12)


def test_labels_are_paid_for_as_the_predictor_says():
    mdp = instances.garnet(4, 3, 2, 3, 5)
    r = dagger(mdp, experts.soft_optimal(mdp, 0.2), 50, 20, 0, [10, 50])
    np.testing.assert_allclose(r.log_loss[-1], kt.log_loss(r.counts).sum((0, 1)), rtol=1e-12)
    np.testing.assert_allclose(r.hindsight[-1], kt.hindsight(r.counts).sum((0, 1)), rtol=1e-12)
    np.testing.assert_allclose(r.label_bound[-1], bounds.total(r.counts), rtol=1e-12)
    assert (r.log_loss - r.hindsight <= r.label_bound).all()
    assert (r.counts.sum((1, 2)) == 50).all()  # one label per step and round


def test_nothing_depends_on_who_is_simulated_beside(monkeypatch):
    mdp = instances.garnet(4, 3, 2, 3, 5)
    star = experts.soft_optimal(mdp, 0.2)
    whole = dagger(mdp, star, 70, 12, 4, [7, 70])
    for piece in (1, 5):
        monkeypatch.setattr(module, "PIECE", piece)
        cut = dagger(mdp, star, 70, 12, 4, [7, 70])
        np.testing.assert_array_equal(cut.counts, whole.counts)
        for x, y in zip(cut, whole, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12)
    some = dagger(mdp, star, 80, [9, 2], 4, [7, 70])  # more rounds than are written down
    np.testing.assert_array_equal(some.counts, whole.counts[..., [9, 2]])
    assert not np.array_equal(dagger(mdp, star, 70, 12, 5, [70]).counts, whole.counts)


def test_a_deterministic_expert_is_cloned_without_chance():
    exact = instances.compounding_chain(5)
    floats = exact.convert("float64")
    r = clone(floats.mdp, floats.expert, 9, 3, at=[9])
    counts = np.zeros((5, 2, 2), dtype=int)
    counts[:, 0, 0] = 9
    np.testing.assert_array_equal(r.counts, np.repeat(counts[..., None], 3, axis=-1))
    student = kt.predictor(ns.convert(counts, "rational"))
    gap = solve.expected_return(exact.mdp, exact.expert) - solve.expected_return(exact.mdp, student)
    np.testing.assert_allclose(r.gap[0], float(gap), rtol=1e-12)


def test_impossible_outcomes_are_never_drawn():
    tenths = np.array([[0.1] * 10 + [0.0]])
    last = np.nextafter(1, 0)
    assert tenths.cumsum()[-1] == last  # rounding: below one
    assert (last >= edges(tenths, 1)).sum(axis=1).tolist() == [9]
    assert (0.0 >= edges(np.array([[0.0, 0.5, 0.0, 0.5, 0.0]]), 1)).sum(axis=1).tolist() == [1]
    assert edges(np.ones((1, 3)), 0).shape == (0, 3)


def test_random_numbers_belong_to_their_seed():
    long = np.array(list(uniforms((3,), [0, 1, 2], 150, (2,))))
    assert long.shape == (150, 2, 3)
    np.testing.assert_array_equal(np.array(list(uniforms((3,), [2, 1], 130, (2,)))), long[:130][..., [2, 1]])
    assert not np.array_equal(np.array(list(uniforms((3, 1), [0, 1, 2], 150, (2,)))), long)


def test_marks_are_thin_and_whole():
    assert marks(1).tolist() == [1]
    assert marks(1000, 1).tolist() == [1, 10, 100, 1000]
    assert (np.diff(marks(5000)) > 0).all()
    assert marks(5000)[-1] == 5000
    assert len(COSTS) == 7


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mdp": stack([TWO, TWO])}, "seeds are the batch: one MDP"),
        ({"mdp": instances.risky_fork().mdp}, "the MDP is rational: convert to 'float64'"),
        ({"expert": STAR[:, :1]}, "expert"),
        ({"expert": np.repeat(STAR[..., None], 2, -1)}, "one float64 policy"),
        ({"expert": STAR * 2}, "sums to 2"),
        ({"rounds": 0}, "rounds must be a whole number >= 1"),
        ({"seeds": 0}, "seeds must be a whole number >= 1"),
        ({"seeds": []}, "seeds is empty"),
        ({"seeds": [1, -1]}, "a seed must be a whole number >= 0"),
        ({"base": -1}, "base must be a whole number"),
        ({"at": [3, 2]}, "growing whole numbers"),
        ({"at": [1.5]}, "growing whole numbers"),
        ({"at": []}, "growing whole numbers"),
        ({"at": [2, 9]}, "there are rounds 1 to 5"),
        ({"at": [0, 2]}, "there are rounds 1 to 5"),
    ],
)
def test_bad_input_gets_one_clear_error(changes, words):
    given = {"mdp": TWO, "expert": STAR, "rounds": 5, "seeds": 2, "base": 0, "at": None} | changes
    with pytest.raises(ValueError, match=words):
        dagger(*given.values())


def test_occupancy_and_walks_fit_the_solver():
    mdp = instances.garnet(4, 3, 2, 3, 5)
    world = World(mdp)
    pi = np.random.default_rng(0).dirichlet(np.ones(3), (3, 4, 5)).transpose(0, 1, 3, 2)
    np.testing.assert_allclose(world.occupancy(pi), solve.occupancy(mdp, pi), atol=1e-14)
