"""Pass@N and its relatives against every sequence of answers, exactly; estimates against every set of samples."""

import itertools
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from scipy.optimize import minimize

from distil_theory import experts, instances, objectives, solve, trajectories
from distil_theory import number_systems as ns
from distil_theory import success as s
from distil_theory.divergences import FORWARD_KL, JENSEN_SHANNON, REVERSE_KL, skewed_js
from distil_theory.instances.token_sum import token_sum
from distil_theory.spec import Bandit, TabularMDP
from tests.problems import policy, random_pair

LAW = ns.convert(["1/2", "3/10", "1/5"], "rational")
RIGHT = ns.convert([0, 1, 1], "rational")
PAID = ns.convert(["1/3", "-2", "1"], "rational")


def q(text):
    return ns.convert(text, "rational")[()]


def best(r, answers):
    return max(r[a] for a in answers)


def plurality(r, answers):
    counts = np.bincount(answers, minlength=len(r))
    top = [a for a in range(len(r)) if counts[a] == counts.max()]
    return sum((r[a] for a in top), 0 * r[0]) / len(top)


def mean(r, answers):
    return sum((r[a] for a in answers), 0 * r[0]) / len(answers)


def expected(metric, law, r, n):
    """Over every sequence of `n` answers."""
    total = q("0")
    for answers in itertools.product(range(len(law)), repeat=n):
        chance = q("1")
        for a in answers:
            chance = chance * law[a]
        total = total + chance * metric(r, answers)
    return total


@pytest.mark.parametrize("n", range(1, 7))
def test_metrics_are_means_over_all_sequences(n):
    for r in (RIGHT, PAID):
        floats = [ns.convert(x, "float64") for x in (LAW, r)]
        for metric, found in ((best, s.best_at_n), (plurality, s.maj_at_n), (mean, s.avg_at_n)):
            exact = expected(metric, LAW, r, n)
            assert found(LAW, r, n) == exact, metric
            assert found(*floats, n) == pytest.approx(float(Fraction(str(exact))), rel=1e-13)
    assert s.pass_at_n(q("1/2"), n) == s.best_at_n(LAW, RIGHT, n) == expected(best, LAW, RIGHT, n)


def test_more_answers_than_attempts_and_ties_of_all():
    law, r = ns.convert(["1/10", "1/5", "3/10", "2/5"], "rational"), ns.convert([1, 0, 1, 0], "rational")
    for n in (2, 4):
        assert s.maj_at_n(law, r, n) == expected(plurality, law, r, n)


def test_pass_at_n_keeps_its_precision():
    for p in (1e-18, 1e-9, 0.3, 1.0, 0.0):
        for n in (1, 64, 10**6):
            # (1-p)^n in balls; Bernoulli's bounds np - (np)^2/2 <= Pass <= np where it is tiny
            with ns.precision(400):
                exact = float(1 - (1 - ns.convert(p, "ball")[()]) ** n)
            assert s.pass_at_n(p, n) == pytest.approx(exact, rel=1e-14, abs=0)
    p = np.array([0.1, 0.5])
    np.testing.assert_allclose(s.pass_at_n(p[:, None], np.array([1, 2, 3])), 1 - (1 - p[:, None]) ** [1, 2, 3])
    exact = s.pass_at_n(ns.convert(["1/3", "0"], "rational")[:, None], np.array([1, 2]))
    assert exact.tolist() == [[q("1/3"), q("5/9")], [0, 0]]


def test_batches_are_many_single_laws():
    rng = np.random.default_rng(0)
    law, r = rng.dirichlet(np.ones(5), 7).T, rng.normal(size=(5, 7))
    for metric in (s.best_at_n, s.maj_at_n, s.avg_at_n):
        found = metric(law, r, 6)
        shared = metric(law, r[:, 0], 6)
        for i in range(7):
            assert found[i] == pytest.approx(metric(law[:, i], r[:, i], 6), rel=1e-12)
            assert shared[i] == pytest.approx(metric(law[:, i], r[:, 0], 6), rel=1e-12)
    curve = s.best_at_n(law, r, np.arange(1, 4)[:, None])
    assert curve.shape == (3, 7)
    np.testing.assert_allclose(curve[2], s.best_at_n(law, r, 3))


def test_maj_at_n_against_drawn_answers_and_its_limit():
    rng = np.random.default_rng(1)
    law, r = np.array([0.35, 0.3, 0.2, 0.15]), np.array([0.0, 1, 1, 0])
    votes = rng.multinomial(25, law, 40_000)
    top = votes == votes.max(axis=1, keepdims=True)
    drawn = (top * r).sum(axis=1) / top.sum(axis=1)
    assert abs(drawn.mean() - s.maj_at_n(law, r, 25)) < 4 * drawn.std() / 200
    assert s.maj_at_n(law, r, 1) == pytest.approx(0.5)
    curve = [float(s.maj_at_n(law, r, n)) for n in (25, 100, 300)]
    assert curve[0] > curve[1] > curve[2]  # the right answers are more likely together, the wrong one is the mode
    assert s.maj_at_n(np.array([1.0, 0.0]), [0.0, 1.0], 9) == 0


def samples(k):
    """Every sequence of `k` samples of the three answers with its probability."""
    for answers in itertools.product(range(3), repeat=k):
        chance = q("1")
        for a in answers:
            chance = chance * LAW[a]
        yield chance, list(answers)


@pytest.mark.parametrize(("k", "n"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 2), (6, 3)])
def test_estimates_are_unbiased_exactly(k, n):
    r = [PAID[a] for a in range(3)]
    chances, drawn = zip(*samples(k), strict=True)
    chance, drawn = np.array(chances, dtype=object), np.array(drawn)
    counts = np.stack([(drawn == a).sum(axis=1) for a in range(3)])
    correct = counts[1] + counts[2]
    by_sample = np.array(r, dtype=object)[drawn].T
    for estimate, truth in (
        (s.estimate_pass_at_n(correct, k, n, "rational"), s.pass_at_n(q("1/2"), n)),
        (s.estimate_best_at_n(by_sample, n), s.best_at_n(LAW, PAID, n)),
        (s.estimate_maj_at_n(counts, PAID, n, "rational"), s.maj_at_n(LAW, PAID, n)),
        (s.estimate_avg_at_n(by_sample, n), s.avg_at_n(LAW, PAID)),
    ):
        assert (chance * estimate.value).sum() == truth
        if estimate.variance is not None:
            spread = (chance * estimate.value * estimate.value).sum() - truth * truth
            assert (chance * estimate.variance).sum() == spread
    has = s.estimate_pass_at_n(correct, k, n).variance is not None
    assert has == (s.estimate_best_at_n(by_sample, n).variance is not None) == (k >= 2 * n)
    floats = s.estimate_best_at_n(ns.convert(by_sample, "float64"), n)
    np.testing.assert_allclose(floats.value, ns.convert(s.estimate_best_at_n(by_sample, n).value, "float64"))
    with_pass = s.estimate_best_at_n((drawn > 0).T * 1.0, n)
    np.testing.assert_allclose(with_pass.value, s.estimate_pass_at_n(correct, k, n).value, atol=1e-14)
    if has:
        np.testing.assert_allclose(with_pass.variance, s.estimate_pass_at_n(correct, k, n).variance, atol=1e-14)


def test_estimates_are_means_over_subsets():
    rewards = np.array([0.3, -1.0, 0.3, 2.0, 0.0])
    answers = np.array([0, 1, 0, 2, 1])
    paid = np.array([0.5, 0.0, 1.0])
    for n in range(1, 6):
        subsets = list(itertools.combinations(range(5), n))
        assert s.estimate_best_at_n(rewards, n).value == pytest.approx(
            np.mean([rewards[list(i)].max() for i in subsets])
        )
        voted = np.mean([float(plurality(paid, answers[list(i)])) for i in subsets])
        assert s.estimate_maj_at_n([2, 2, 1], paid, n).value == pytest.approx(voted)
        assert s.estimate_pass_at_n(3, 5, n).value == pytest.approx(1 - comb(2, n) / comb(5, n))
    assert s.estimate_pass_at_n(0, 5, 2).standard_error == 0
    assert np.isnan(s.estimate_pass_at_n(1, 5, 3).standard_error)
    many = s.estimate_pass_at_n(np.arange(0, 2001), 2000, 500)
    assert np.isfinite(many.value).all()
    assert (np.diff(many.value) >= 0).all()
    assert (many.variance > -1e-15).all()


def test_a_mean_over_prompts():
    values = np.array([[0.0, 1.0], [1.0, 1.0], [0.5, 1.0]])
    sampled = s.mean_over_prompts(values)
    np.testing.assert_allclose(sampled.value, [0.5, 1])
    np.testing.assert_allclose(sampled.standard_error, [np.std(values[:, 0], ddof=1) / np.sqrt(3), 0])
    fixed = s.mean_over_prompts(values, [0.5, 0.25, 0.25], np.full((3, 2), 0.04))
    np.testing.assert_allclose(fixed.value, [0.375, 1])
    np.testing.assert_allclose(fixed.variance, 0.04 * (1 / 4 + 1 / 8))
    assert s.mean_over_prompts(values, [0.5, 0.25, 0.25]).variance is None


def test_the_answers_of_a_token_policy():
    game = token_sum(2, 1, [(0, 0), (0, 1), (1, 1)], "trace")
    student = game.policy(lambda problem, prefix: [0.7, 0.3])
    found = s.answer_law(game.mdp, student)
    assert found.weight.sum() == pytest.approx(1)
    np.testing.assert_allclose(found.law.sum(axis=0), 1)
    right = (found.law * found.rewards).sum(axis=0)
    np.testing.assert_allclose(right, s.success(game.mdp, student)[found.prompts])
    assert (found.weight * right).sum() == pytest.approx(solve.expected_return(game.mdp, student))
    i = found.answers.T.tolist().index([0, 1])
    np.testing.assert_allclose(found.law[i], 0.21)
    both = s.answer_law(game.mdp, np.stack([student, student[..., ::-1]], -1))
    np.testing.assert_allclose(both.law[..., 0], found.law)
    assert s.best_at_n(both.law, both.rewards, 2).shape == (len(found.prompts), 2)


def finite(mdp, student):
    """One random MDP that pays at the end."""
    reward = np.abs(mdp.reward).copy()
    reward[:-1] = 0
    return TabularMDP(mdp.transition, reward, mdp.initial, observation=mdp.observation, batch_ndim=len(mdp.batch_shape))


@pytest.mark.parametrize("aliased", [False, True])
def test_the_gradient_and_the_em_step_by_rollouts(aliased):
    mdp, theta, _ = random_pair(3, aliased)
    mdp = finite(mdp, theta)
    pi = policy(mdp, theta)
    every = trajectories.enumerate_all(mdp)
    chance, paid = trajectories.probability(mdp, pi, every), trajectories.returns(mdp, every)
    start = every.states[0]
    p = np.array([(chance * paid)[start == x].sum() / mdp.initial[x] for x in range(3)])
    np.testing.assert_allclose(s.success(mdp, pi), p)
    assert s.log_likelihood(mdp, pi) == pytest.approx((mdp.initial * np.log(p)).sum())
    # given success, how often is each action taken behind each observation?
    given = chance * paid / p[start]
    visits = np.zeros(theta.shape)
    for h in range(3):
        np.add.at(visits[h], (mdp.observation[every.states[h]], every.actions[h]), given)
    np.testing.assert_allclose(s.em_step(mdp, pi), policy(mdp, np.log(visits)), rtol=1e-10)
    seen = policy(mdp, theta)[:, [list(mdp.observation).index(o) for o in range(theta.shape[1])]]
    gradient = visits - visits.sum(axis=2, keepdims=True) * seen
    teacher = experts.success_conditioned(mdp, pi)
    weight = s.likelihood_weight(mdp, pi)
    np.testing.assert_allclose(-objectives.loss_gradient(mdp, pi, teacher, FORWARD_KL, weight), gradient, atol=1e-12)
    plain = -objectives.loss_gradient(mdp, pi, teacher, FORWARD_KL, solve.values(mdp, pi)[0])
    np.testing.assert_allclose(plain, objectives.return_gradient(mdp, pi), atol=1e-12)  # Pass@1
    move = np.random.default_rng(0).normal(size=theta.shape)
    ends = [s.log_likelihood(mdp, policy(mdp, theta + e * move)) for e in (1e-5, -1e-5)]
    assert (ends[0] - ends[1]) / 2e-5 == pytest.approx((gradient * move).sum(), rel=1e-6)
    partly = s.em_step(mdp, pi, 1.0)
    np.testing.assert_allclose(partly, (pi + s.em_step(mdp, pi)) / 2)


def test_em_never_lowers_the_likelihood_and_may_lower_success():
    mdp, theta, _ = random_pair(3, True, batch=50)
    mdp, pi = finite(mdp, theta), policy(mdp, theta)
    for _ in range(4):
        for step in (0.1, None):
            new = s.em_step(mdp, pi, step)
            assert (s.log_likelihood(mdp, new) >= s.log_likelihood(mdp, pi) - 1e-13).all()
        pi = new
    _, mdp, student, _, _ = instances.success_aliased()
    new = s.em_step(mdp, student)
    assert new[0, 0].tolist() == [q("5/18"), q("13/18")]
    assert s.success(mdp, new).tolist() == [q("77/90"), q("13/180")]  # from 9/10 and 1/20
    assert solve.expected_return(mdp, new) < solve.expected_return(mdp, student)
    assert s.log_likelihood(mdp.convert("ball"), new) > s.log_likelihood(mdp.convert("ball"), student)
    sure = Bandit(ns.convert([0, 1, 1], "rational"))  # unrestricted: one step and P = 1
    assert s.em_step(sure, LAW[None, None])[0, 0].tolist() == [0, q("3/5"), q("2/5")]


def semi_gradient_end(weights, divergence, floor, self_taught, steps=6000, rate=0.5):
    """Where natural steps end if the prompts look alike, from the score `E[h|a]` alone."""
    w, right = np.asarray(weights), np.eye(len(weights))
    pi = np.full(len(w), 1 / len(w))
    for _ in range(steps):
        other = pi[None] if self_taught else np.full((1, len(w)), 1 / len(w))
        h = divergence.h(((1 - floor) * right + floor * other) / pi)
        score = (w[:, None] * h).sum(axis=0)
        pi = pi * np.exp(rate * (score - score.max()))
        pi /= pi.sum()
    return pi


W3 = [0.5, 0.3, 0.2]


@pytest.mark.parametrize(("divergence", "beta"), [(REVERSE_KL, np.inf), (JENSEN_SHANNON, 1.0), (skewed_js(0.25), 0.25)])
def test_the_self_taught_end_where_their_scores_balance(divergence, beta):
    found = s.self_taught(W3, s.self_taught_odds(beta, 0.1))
    np.testing.assert_allclose(found, semi_gradient_end(W3, divergence, 0.1, True), rtol=1e-7)
    assert (np.diff(found / W3) < 0).all()  # sharper than the weights


def test_fixed_teachers_end_at_means():
    teachers = s.truthful_teacher(np.eye(3), 0.1)
    np.testing.assert_allclose(s.smoothed_mixture(teachers, W3), 0.9 * np.array(W3) + 0.1 / 3)
    np.testing.assert_allclose(s.geometric_mean(teachers, W3), semi_gradient_end(W3, REVERSE_KL, 0.1, False), rtol=1e-7)
    softmax = (1 + 0.9 * 3 / 0.1) ** np.array(W3)
    np.testing.assert_allclose(s.geometric_mean(teachers, W3), softmax / softmax.sum())
    np.testing.assert_allclose(s.self_taught(W3, 1e-9), W3, rtol=1e-6)  # forward CE
    np.testing.assert_allclose(s.self_taught([1 / 3] * 3, 1e9), 1 / 3)  # equal weights stay equal
    sharp = s.self_taught(W3, 1e12)
    assert sharp[0] > 0.99

    def js(theta):  # Jensen-Shannon to one-hot teachers, minimised without any of the above
        p = np.exp(theta - theta.max())
        p /= p.sum()
        m = (np.eye(3) + p) / 2
        return sum(W3[x] * (np.log(1 / m[x, x]) + (p * np.log(p / m[x])).sum()) for x in range(3)) / 2

    end = minimize(js, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-15}).x
    np.testing.assert_allclose(
        np.exp(end) / np.exp(end).sum(), s.self_taught(W3, s.self_taught_odds(1.0, 0)), atol=1e-6
    )
    two = s.self_taught(np.array([[0.5, 0.6], [0.5, 0.4]]), np.array([1.0, 3.0]))
    np.testing.assert_allclose(two[:, 1], s.self_taught([0.6, 0.4], 3.0), rtol=1e-12)


def test_the_crossing_of_three_fifths():
    w = ns.convert(["3/5", "2/5"], "rational")
    one, other = ns.convert([1, 0], "rational"), w
    assert [s.pass_of_prompts(w, other, n) for n in (1, 2)] == [q("13/25"), q("19/25")]
    assert [s.pass_of_prompts(w, one, n) for n in (1, 2)] == [q("3/5")] * 2
    assert s.crossing(w, one, other) == 2
    assert s.crossing(w, other, one, 50) == 1
    assert s.crossing(w, one, one, 50) is None
    many = ns.convert(["1/2", *["1/20"] * 10], "rational")
    n = s.crossing(many, [1] + [0] * 10, many)
    assert s.pass_of_prompts(many, many, n) > q("1/2") >= s.pass_of_prompts(many, many, n - 1)


def test_answers_too_rare_for_the_exponential_stay_rare():
    for odds in (1e200, 1e300, 1.7e308):
        np.testing.assert_allclose(s.self_taught([0.9, 0.1], odds), [1, 0], atol=1e-100)
        np.testing.assert_allclose(s.self_taught([0.5, 0.5], odds), 0.5)
    # the first has nearly all, lambda = w_1 log R, and log p_2 = log R - lambda / w_2
    found = s.self_taught([0.6, 0.4], 1e300)
    assert np.log(found[1]) == pytest.approx(-np.log(1e300) / 2, rel=1e-12)


def test_batches_of_prompts_that_look_alike():
    rng = np.random.default_rng(2)
    t, w = rng.dirichlet(np.ones(3), (3, 3)).transpose(0, 2, 1), rng.dirichlet(np.ones(3), 3).T
    for mean in (s.smoothed_mixture, s.geometric_mean):
        shared, batch, weighed = mean(t, W3), mean(t, w), mean(t[..., 0], w)
        for i in range(3):
            np.testing.assert_allclose(shared[:, i], mean(t[..., i], W3))
            np.testing.assert_allclose(batch[:, i], mean(t[..., i], w[:, i]))
            np.testing.assert_allclose(weighed[:, i], mean(t[..., 0], w[:, i]))
    taught, floors = s.self_taught(W3, [1.0, 2.0, 3.0]), s.truthful_teacher(np.eye(3), [0.1, 0.2, 0.3])
    for i in range(3):
        np.testing.assert_allclose(taught[:, i], s.self_taught(W3, i + 1.0))
        np.testing.assert_allclose(floors[..., i], s.truthful_teacher(np.eye(3), (i + 1) / 10))
    np.testing.assert_allclose(s.pass_of_prompts(W3, W3, [1, 2, 3]), [s.pass_of_prompts(W3, W3, n) for n in (1, 2, 3)])
    both = s.pass_of_prompts(w, w, np.array([[1], [2]]))
    np.testing.assert_allclose(both, [s.pass_of_prompts(w, w, n) for n in (1, 2)])


def test_one_law_and_many_rewards():
    r = np.random.default_rng(3).normal(size=(3, 4))
    maj, sampled = s.maj_at_n(W3, r, 4), s.estimate_maj_at_n([3, 2, 1], r, 4).value
    for i in range(4):
        assert maj[i] == pytest.approx(s.maj_at_n(W3, r[:, i], 4))
        assert sampled[i] == pytest.approx(s.estimate_maj_at_n([3, 2, 1], r[:, i], 4).value)


def test_many_em_steps_of_one_student():
    mdp, pi = Bandit([[1.0, 0], [0, 1]], [0.6, 0.4], [0, 0]), np.full((1, 2, 2), 0.5)
    found = s.em_step(mdp, pi, np.array([0.1, 10]))
    for i, eta in enumerate((0.1, 10)):
        np.testing.assert_allclose(found[..., i], s.em_step(mdp, pi, eta))


NAN = float("nan")
ALIKE = Bandit([[1.0, 0], [0, 1]], [0.6, 0.4], [0, 0])
EARLY, CHANCE = instances.reward_before_the_end(), instances.chance_ahead()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: s.pass_at_n(0.5, 0), "n must be a whole number >= 1, not 0"),
        (lambda: s.pass_at_n(0.5, [1, 0]), "n must be whole numbers >= 1"),
        (lambda: s.pass_at_n(1.2, 3), "p is 1.2: expected a probability"),
        (lambda: s.pass_at_n(NAN, 3), "p is nan"),
        (lambda: s.pass_at_n([], 3), "p is empty"),
        (lambda: s.best_at_n([0.5, 0.4], [0, 1], 2), "sums to 0.9"),
        (lambda: s.best_at_n([0.5, 0.5], [0, NAN], 2), "rewards is nan at answer=1"),
        (lambda: s.maj_at_n([0.5, 0.5], [0, 1, 1], 2), "rewards has shape"),
        (lambda: s.maj_at_n([], [], 2), "probabilities"),
        (lambda: s.maj_at_n([0.5, 0.5], [0, 1], 1.5), "n must be a whole number"),
        (lambda: s.estimate_pass_at_n(3, 5, 6), "n = 6 attempts cannot be estimated from 5 samples"),
        (lambda: s.estimate_pass_at_n(6, 5, 2), "correct must lie in 0..5: 6 does not"),
        (lambda: s.estimate_pass_at_n(0.5, 5, 2), "correct must be whole numbers"),
        (lambda: s.estimate_pass_at_n([], 5, 2), "correct must be whole numbers"),
        (lambda: s.estimate_best_at_n([1.0, NAN], 1), "rewards is nan at sample=1"),
        (lambda: s.estimate_best_at_n([], 1), "expected one for each sample"),
        (lambda: s.estimate_maj_at_n([[1, 2], [1, 1]], [0, 1], 1), "as many samples"),
        (lambda: s.mean_over_prompts([0.5, 0.5], [0.5, 0.4]), "weights sums to 0.9"),
        (lambda: s.mean_over_prompts([0.5], None, [0.1]), "variances of the estimates need weights"),
        (lambda: s.self_taught([0.5, 0.5], 0.0), "odds must be positive"),
        (lambda: s.self_taught([1.0, 0.0], 1.0), "weights is 0 at prompt=1"),
        (lambda: s.self_taught_odds(np.inf, 0), "floor must be positive"),
        (lambda: s.truthful_teacher([[0, 0], [1, 0]], 0.1), "number of right answers is 0 at prompt=0"),
        (lambda: s.truthful_teacher([[1, 2]], 0.1), "right must mark answers with 0 or 1"),
        (lambda: s.geometric_mean(np.eye(2), [0.5, 0.5]), "reverse KL would be infinite"),
        (lambda: s.success(EARLY.mdp, EARLY.student), "paid before the end"),
        (lambda: s.log_likelihood(Bandit([0.0, 0.0]), [[[0.5, 0.5]]]), "never succeeds from s=0"),
        (lambda: s.success(Bandit([-1.0, 0.0]), [[[0.5, 0.5]]]), "the reward at h=0, s=0, a=0 is negative"),
        (lambda: s.em_step(Bandit([1.0, 0.0]), [[[0.5, 0.5]]], 0.0), "eta must be positive"),
        (lambda: s.mean_over_prompts([[0.5], [1.0]], [0.5, 0.5], [0.1, 0.1]), r"variances has shape \(2,\)"),
        (lambda: s.mean_over_prompts([0.5, NAN]), "values is nan at prompt=1"),
        (lambda: s.estimate_maj_at_n([1.5, 0.5], [0, 1], 1), "counts must be whole numbers"),
        (lambda: s.estimate_maj_at_n([-1, 3], [0, 1], 1), "counts must lie in 0..2: -1 does not"),
        (lambda: s.pass_of_prompts([0.6, 0.4], [0.5], 1), "p has shape"),
        (lambda: s.crossing([0.6, 0.4], [NAN, 0.0], [0.6, 0.4]), "sharp is nan"),
        (lambda: s.crossing([0.6, 0.4], [1.0, 0.0], [0.6, 0.4, 0.0]), "broad has shape"),
        (lambda: s.crossing([0.6, 0.4], [3.0, 0.0], [0.6, 0.4]), "sharp is 3.0: expected a probability"),
        (lambda: s.smoothed_mixture([[5.0, 1.0], [0.0, 1.0]], [0.5, 0.5]), "teachers at prompt=0 sums to 6.0"),
        (lambda: s.smoothed_mixture(np.eye(3), [0.5, 0.5]), "teachers has shape"),
        (lambda: s.em_step(ALIKE, [[[0.5, 0.5], [0.4, 0.6]]]), "student at h=0, s=1 differs from another state"),
        (lambda: s.answer_law(CHANCE.mdp, CHANCE.student), "left to chance"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
