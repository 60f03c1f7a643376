"""Claims 8 and 16: the tight curve in the horizon, with and without experts that are better in every state."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from flint import fmpq
from scipy.optimize import linprog, minimize

from distil_theory import instances, objectives, solve
from distil_theory.divergences import FORWARD_KL
from distil_theory.horizon import HorizonCurve, deviation_bound, safe_horizon
from distil_theory.horizon_tree import EveryStateCurve, sharpest
from distil_theory.spec import TabularMDP
from distil_theory.worst_case import Curve, largest_gap

SETTINGS = [(1, 0.2, 3), (2, 0, 4), (2, 0.5, 1.6), (3, 0, 1.3), (3, 0.2, 4), (4, 0.5, 1.5), (5, 0.1, 2.5), (6, 0.3, 10)]
SHARES = [0, 0.01, 0.3, 0.7, 1]
by_setting = pytest.mark.parametrize("setting", SETTINGS, ids=str)


def facts(pair):
    """Rate, gap and the smallest `V* - V` by the library."""
    ours, theirs = (solve.values(pair.mdp, policy)[0] for policy in (pair.student, pair.expert))
    start = (pair.mdp.initial * (theirs - ours)[0]).sum()
    return objectives.improvement_rate(pair.mdp, pair.student, pair.expert, FORWARD_KL), start, (theirs - ours).min()


def leaves(horizon, low, high, delta, every):
    """The largest loss on the full binary tree, by a linear programme written from the definitions."""
    theta = (1 - low) / (high - low)
    labels = np.array(list(itertools.product([False, True], repeat=horizon)))
    u, p = np.where(labels, high, low), np.where(labels, theta, 1 - theta)
    rows, right = [p.prod(axis=1) * (u.prod(axis=1) - 1)], [delta]
    for h in range(1, horizon if every else 1):
        for past in itertools.product([False, True], repeat=h):
            inside = (labels[:, :h] == past).all(axis=1)
            rows.append(inside * p[:, h:].prod(axis=1) * (u[:, h:].prod(axis=1) - 1))
            right.append(0)
    cost = p.prod(axis=1) * (u - 1).sum(axis=1)
    return -linprog(cost, A_ub=-np.array(rows), b_ub=-np.array(right), bounds=(0, 1)).fun


@by_setting
def test_the_knapsack_is_the_linear_programme_over_all_paths(setting):
    curve = HorizonCurve(*setting)
    gaps = np.array(SHARES[:-1]) * curve.most
    wanted = [leaves(*setting, gap, every=False) for gap in gaps]
    np.testing.assert_allclose(curve.loss(gaps), wanted, atol=1e-8)
    with_states = EveryStateCurve(*setting).loss(gaps)
    np.testing.assert_allclose(with_states, [leaves(*setting, gap, every=True) for gap in gaps], atol=1e-8)
    assert (with_states <= curve.loss(gaps) + 1e-8).all()


@pytest.mark.parametrize("family", [HorizonCurve, EveryStateCurve])
@by_setting
def test_the_returned_pair_attains_the_curve(family, setting):
    horizon, low, high = setting
    curve = family(*setting)
    for share in SHARES:
        worst = curve.worst(share * curve.most)
        rate, gap, least = facts(worst)
        assert rate == pytest.approx(-worst.loss, abs=1e-10)
        assert curve.loss(share * curve.most) == pytest.approx(worst.loss, abs=1e-10)
        assert gap >= share * curve.most - 1e-10
        assert (worst.mdp.reward[:-1] == 0).all()
        assert worst.mdp.reward.min() >= 0
        assert worst.mdp.reward.max() <= 1
        ratio = worst.expert / worst.student
        assert ratio.min() >= low - 1e-12
        assert ratio.max() <= high + 1e-12
        if family is EveryStateCurve:
            assert least >= -1e-9
        else:
            assert gap == pytest.approx(share * curve.most, abs=1e-10)  # the constraint binds
            assert worst.mdp.shape == (horizon, horizon, 2)


@pytest.mark.parametrize(
    ("family", "setting"),
    [
        (HorizonCurve, (4, Fraction(1, 5), Fraction(3))),
        (HorizonCurve, (3, 0, "7/5")),
        (HorizonCurve, (1, "1/2", "3/2")),
        (EveryStateCurve, (2, 0, Fraction(5, 2))),
        (EveryStateCurve, (5, 0, "11/2")),
    ],
)
def test_rationals_stay_exact(family, setting):
    curve = family(*setting)
    for share in (fmpq(0), fmpq(1, 7), fmpq(5, 6), fmpq(1)):
        delta = curve.most * share
        worst = curve.worst(delta)
        rate, gap, least = facts(worst)
        assert isinstance(worst.loss, fmpq)
        assert -rate == worst.loss == curve.loss(delta)
        assert gap == delta
        assert family is HorizonCurve or least >= 0
    assert curve.loss(curve.safe_gap()) == 0
    floats = family(setting[0], *(float(Fraction(x)) for x in setting[1:]))
    assert float(Fraction(str(curve.safe_gap()))) == pytest.approx(floats.safe_gap(), abs=1e-12)


def test_a_minimum_of_lines():
    for horizon, m, M in [(3, fmpq(0), fmpq(6, 5)), (5, fmpq(1, 3), fmpq(5, 2)), (4, fmpq(1, 2), fmpq(2))]:
        curve, theta = HorizonCurve(horizon, m, M), (1 - m) / (M - m)
        terms = []
        for k in range(horizon + 1):
            mass = math.comb(horizon, k) * theta**k * (1 - theta) ** (horizon - k)
            terms.append((mass, k * (M - 1) - (horizon - k) * (1 - m), M**k * m ** (horizon - k) - 1))
        prices = [s / g for _, s, g in terms if g != 0 and s / g > 0]
        for share in (fmpq(1, 9), fmpq(1, 2), fmpq(8, 9)):
            delta = curve.most * share
            lines = (sum(b * max(x * g - s, 0) for b, s, g in terms) - x * delta for x in prices)
            assert curve.loss(delta) == min(lines)


def test_closed_forms():
    # one step: the rate is the gap, as for claim 14
    for low, high in ((0, 3), (0.3, 1.5)):
        gaps = np.linspace(0.01, 1, 5) * largest_gap(low, high)
        for family in (HorizonCurve, EveryStateCurve):
            curve = family(1, low, high)
            assert curve.most == pytest.approx(largest_gap(low, high))
            np.testing.assert_allclose(curve.loss(gaps), Curve(FORWARD_KL, low, high).loss(gaps), atol=1e-10)
            assert curve.safe_gap() == pytest.approx(0, abs=1e-12)
    # two steps, m = 0
    for M in (1.2, 1.5, 2, 3, 8):
        q, gaps = 1 - 1 / M, np.array([0, 0.1, 0.5, 0.9, 1]) * (1 - 1 / M**2)
        share = np.minimum(1, (gaps + q**2) / (1 - 1 / M**2))
        np.testing.assert_allclose(HorizonCurve(2, 0, M).loss(gaps), 2 * q * share - 2 * gaps, atol=1e-12)
        better = np.minimum(q * (M - 1) / (M + 1) - 2 * gaps / (M + 1), q**2 - gaps)
        np.testing.assert_allclose(EveryStateCurve(2, 0, M).loss(gaps), better, atol=1e-8)
    # more steps, m = 0, M >= H: two lines, from the chapter of `horizon`
    for horizon, M in ((3, 3), (5, 5.5), (9, 20.0)):
        curve, price, q = HorizonCurve(horizon, 0, M), horizon * (M - 1) / (M**horizon - 1), 1 - 1 / M
        gaps = np.linspace(0, 1, 9) * curve.most
        two = (horizon - price) * np.minimum(q**horizon, 1 - M**-horizon - gaps) - price * gaps
        np.testing.assert_allclose(curve.loss(gaps), two, atol=1e-12)
    # the chain is the worst tree where it is said to be, by the linear programme
    for horizon, M in ((3, 3), (4, 4), (5, 7), (6, 6)):
        closed = EveryStateCurve(horizon, 0, M)
        assert closed.closed
        for share in (0.05, 0.4, 0.9):
            assert leaves(horizon, 0, M, share * closed.most, True) == pytest.approx(
                float(closed.loss(share * closed.most)), abs=1e-7
            )
    assert EveryStateCurve(4, 0, 3).loss(0.1) > 0.4  # the chain alone would lose less
    assert not EveryStateCurve(4, 0, 3).closed


def test_limits_of_large_ratios():
    gaps = np.array([0.05, 0.3, 0.8])
    for horizon in (2, 3, 5, 8):
        np.testing.assert_allclose(HorizonCurve(horizon, 0, 1e7).loss(gaps), horizon * (1 - gaps), rtol=1e-4)
        np.testing.assert_allclose(EveryStateCurve(horizon, 0, 1e7).loss(gaps), (horizon - 1) * (1 - gaps), rtol=1e-4)
    # with m > 0 the limit is less: the expert fails where it took two or more steps of ratio m only
    m, horizon, low_gaps = 0.3, 3, np.array([0.05, 0.3, 0.7])
    alone = 1 - m**horizon - horizon * (1 - m) * m ** (horizon - 1)
    limit = horizon * (1 - m) * (alone - low_gaps) / (1 - m**horizon)
    np.testing.assert_allclose(HorizonCurve(horizon, m, 1e6).loss(low_gaps), limit, rtol=1e-4)
    # never more than claim 8 says
    for setting in SETTINGS:
        curve = HorizonCurve(*setting)
        gaps, steps = np.linspace(0, 1, 5) * curve.most, np.array([setting[0], setting[0] - 1])
        bounds = steps[:, None] * (1 - setting[1]) * (1 - gaps)
        assert (curve.loss(gaps) <= bounds[0] + 1e-12).all()
        assert (EveryStateCurve(*setting).loss(gaps) <= bounds[1] + 1e-8).all()


def test_rewards_pay_for_few_and_for_many_large_ratios():
    for setting in SETTINGS[1:]:
        curve = HorizonCurve(*setting)
        assert (np.diff(curve.gaps) > 0).all()
        assert (np.diff(curve.prices) >= 0).all()
        assert curve.gaps[0] < 0  # without the constraint the expert is worse
        for share in (0.1, 0.5, 0.9):
            paid = curve.rewards(share * curve.most)
            down, up = np.flatnonzero(np.diff(paid) < 0), np.flatnonzero(np.diff(paid) > 0)
            assert not len(down) or not len(up) or down.max() < up.min()
            assert ((paid > 0) & (paid < 1)).sum() <= 1


def test_the_risky_fork_stays_below_its_curve():
    _, mdp, student, expert, *_ = instances.risky_fork().convert("float64")
    ratio = (expert / student)[[0, 1, 1], [0, *np.argwhere(np.ptp(student[1], axis=-1) > 0)[0].repeat(2)]]
    rate, gap = objectives.improvement_rate(mdp, student, expert, FORWARD_KL), 0.0
    gap = solve.expected_return(mdp, expert) - solve.expected_return(mdp, student)
    curve = EveryStateCurve(2, float(ratio.min()), float(ratio.max()))
    assert 0 < -rate < curve.loss(float(gap)) < HorizonCurve(2, ratio.min(), ratio.max()).loss(float(gap))


def draw(rng, states, actions, horizon, batch):
    """Random MDPs with rewards at every step, at most 1 in total, and pairs of unequal closeness."""
    p = rng.dirichlet(np.full(states, 0.3), (batch, horizon, states, actions))
    reward = rng.random((batch, horizon, states, actions)) ** 3 / horizon
    student, other = (rng.dirichlet(np.full(actions, 0.7), (batch, horizon, states)) + 1e-3 for _ in range(2))
    mix = rng.random((batch, 1, 1, 1)) ** 2
    student, other = (x / x.sum(axis=-1, keepdims=True) for x in (student, other))
    expert = (1 - mix) * student + mix * other
    initial = rng.dirichlet(np.ones(states), batch)
    p, reward, initial, student, expert = (np.moveaxis(x, 0, -1) for x in (p, reward, initial, student, expert))
    return TabularMDP(p, reward, initial, batch_ndim=1), student, expert


def test_random_problems_stay_below_the_curves_and_the_bounds():
    rng, seen = np.random.default_rng(0), 0
    for horizon in (2, 3, 4):
        mdp, student, expert = draw(rng, 3, 3, horizon, 300)
        rate = objectives.improvement_rate(mdp, student, expert, FORWARD_KL)
        advantage = solve.values(mdp, expert)[0] - solve.values(mdp, student)[0]
        gap = (mdp.initial * advantage[0]).sum(axis=0)
        ratio, axes = expert / student, (0, 1, 2)
        chi2 = (student * (ratio - 1) ** 2).sum(axis=2).max(axis=(0, 1))
        assert (abs(rate - gap) <= deviation_bound(horizon, chi2)).all()
        for i, (low, high) in enumerate(zip(ratio.min(axis=axes), ratio.max(axis=axes), strict=True)):
            curve = HorizonCurve(horizon, low, high)
            assert abs(rate[i] - gap[i]) <= curve.deviation() <= deviation_bound(horizon, (high - 1) * (1 - low))
            if gap[i] >= 0:
                assert -rate[i] <= curve.loss(gap[i])
                assert gap[i] < curve.safe_gap() or rate[i] >= 0
            if advantage[..., i].min() >= 0:
                seen += 1
                assert -rate[i] <= EveryStateCurve(horizon, low, high).loss(gap[i]) + 1e-8
    assert seen > 20


def test_claim_16_by_enumerating_trajectories():
    rng = np.random.default_rng(2)

    def rows(*shape):
        whole = rng.integers(1, 9, shape)
        return np.vectorize(fmpq, otypes=[object])(whole, whole.sum(axis=-1, keepdims=True) + 0 * whole)

    steps, states, actions = 3, 2, 2
    transition, initial = rows(steps, states, actions, states), rows(states)
    student, expert = rows(steps, states, actions), rows(steps, states, actions)
    reward = rows(steps, states, actions) - fmpq(1, 3)
    rate = gap = total = fmpq(0)
    paths = itertools.product(range(states), range(actions), repeat=steps)
    for s0, a0, s1, a1, s2, a2 in paths:
        s, a = (s0, s1, s2), (a0, a1, a2)
        p = initial[s0] * transition[0, s0, a0, s1] * transition[1, s1, a1, s2]
        drift, product, earned = fmpq(0), fmpq(1), fmpq(0)
        for h in range(steps):
            p *= student[h, s[h], a[h]]
            u = expert[h, s[h], a[h]] / student[h, s[h], a[h]]
            drift, product, earned = drift + u - 1, product * u, earned + reward[h, s[h], a[h]]
        rate, gap, total = rate + p * drift * earned, gap + p * (product - 1) * earned, total + p
    mdp = TabularMDP(transition, reward, initial)
    assert total == 1
    assert rate == objectives.improvement_rate(mdp, student, expert, FORWARD_KL)
    assert gap == solve.expected_return(mdp, expert) - solve.expected_return(mdp, student)


class Trees:
    """Full trees of `A` actions with free student, ratios and rewards: nothing of the theorem."""

    def __init__(self, horizon, actions):
        self.actions, self.levels = actions, [actions**h for h in range(horizon)]
        self.rows = sum(self.levels)
        self.sizes = [self.rows * actions, 2 * self.rows * actions]

    def __call__(self, x):
        """Rate, `V* - V` per node (root first) and what the rows of both policies sum to, less one."""
        p, u, v = np.split(x, self.sizes)
        p, u = (t.reshape(self.rows, self.actions, *x.shape[1:]) for t in (p, u))
        star, rate, end = v, v * 0, self.rows
        gaps = []
        for n in reversed(self.levels):
            pi, ratio, end = p[end - n : end], u[end - n : end], end - n
            v, star, rate = (t.reshape(n, self.actions, *x.shape[1:]) for t in (v, star, rate))
            rate = (pi * ((ratio - 1) * v + rate)).sum(axis=1)
            v, star = (pi * v).sum(axis=1), (pi * ratio * star).sum(axis=1)
            gaps.insert(0, star - v)
        return rate[0], np.concatenate(gaps), np.concatenate([p.sum(axis=1) - 1, (p * u).sum(axis=1) - 1])


def ascend(trees, low, high, delta, every, rng, floor):
    """The loss at the end of one ascent from a random point, or minus infinity where it is not feasible."""
    free = trees.sizes[0]
    student = rng.dirichlet(np.ones(trees.actions), trees.rows).ravel()
    start = [student, rng.uniform(low, high, free), rng.random(trees.actions * trees.levels[-1])]
    bounds = [(floor, 1)] * free + [(low, high)] * free + [(0, 1)] * len(start[2])
    least = np.zeros(trees.rows if every else 1)
    least[0] = delta

    def part(index):
        def value(x):
            out = trees(x)[index]
            return out if index != 1 else (out[: len(least)].T - least).T

        return value, lambda x: value(x[:, None] + 1e-30j * np.eye(len(x))).imag * 1e30  # exact slopes

    (rate, slope), (gap, gap_slope), (sums, sums_slope) = map(part, range(3))
    limits = [{"type": "ineq", "fun": gap, "jac": gap_slope}, {"type": "eq", "fun": sums, "jac": sums_slope}]
    end = minimize(rate, np.concatenate(start), jac=slope, bounds=bounds, constraints=limits, method="SLSQP",
                   options={"maxiter": 120, "ftol": 1e-12}).x  # fmt: skip
    feasible = abs(sums(end)).max() < 1e-9 and gap(end).min() > -1e-9
    return -rate(end) if feasible else -np.inf


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize(("horizon", "actions"), [(2, 2), (2, 3), (3, 2), (3, 3)])
def test_a_search_that_knows_no_theorem_reaches_the_curve_and_never_passes_it(every, horizon, actions):
    for low, high, delta in ((0.2, 3, 0.05), (0, 4, 0.1)):
        curve = (EveryStateCurve if every else HorizonCurve)(horizon, low, high)
        rng, best, bound = np.random.default_rng(1), -np.inf, float(curve.loss(delta))
        for i in range(12):  # students far from zero make the ascent easy, those near zero leave nothing out
            found = ascend(Trees(horizon, actions), low, high, delta, every, rng, floor=(0.05, 1e-6)[i % 2])
            assert found <= bound + 1e-7
            best = max(best, found)
            if i >= 1 and best > bound - 1e-5:
                break
        assert best == pytest.approx(bound, rel=1e-4)


def test_safe_gaps():
    for setting in SETTINGS[1:]:
        for family in (HorizonCurve, EveryStateCurve):
            curve = family(*setting)
            gap = curve.safe_gap()
            assert 0 < gap < curve.most
            assert curve.loss(gap) == pytest.approx(0, abs=1e-8)
            assert curve.loss(gap * 0.99) > 0 > curve.loss(gap + 0.01 * (curve.most - gap))
        assert gap <= HorizonCurve(*setting).safe_gap() + 1e-9
    for low, high in ((0, 5), (0.5, 1.5)):  # one more step, in which nothing is decided, changes nothing
        safe = [HorizonCurve(h, low, high).safe_gap() for h in (1, 2, 3, 5, 8, 40)]
        assert (np.diff(safe) > 0).all()
    assert HorizonCurve(2, 0, 1e6).safe_gap() == pytest.approx(1, abs=1e-5)
    # long horizons neither overflow nor lose the curve
    curve = HorizonCurve(3000, 0.2, 30)
    assert 0.9 < curve.safe_gap() <= curve.most <= 1 + 1e-12
    assert np.isfinite(curve.loss(np.linspace(0, curve.most, 5))).all()


def test_rounding():
    # ratios next to one: Lambda - 1 must not cancel; two steps have the safe gap chi2 / 2
    assert HorizonCurve(2, 1 - 1e-6, 1 + 1e-6).safe_gap() == pytest.approx(5e-13, rel=1e-9, abs=0)
    # Lambda = 1 for two ratios of each kind: no corner of its own, though log(0.1) + log(10) > 0 in floats
    floats, exact = HorizonCurve(4, 0.1, 1 / 0.1), HorizonCurve(4, "1/10", 10)
    assert len(floats.gaps) == len(exact.gaps)
    np.testing.assert_allclose(floats.losses, [float(Fraction(str(x))) for x in exact.losses], atol=1e-12)
    # the largest gap where the linear programme has coefficients of 1e-12
    assert facts(EveryStateCurve(3, 1e-6, 1e4).worst(EveryStateCurve(3, 1e-6, 1e4).most))[1] > 1 - 1e-7
    # a gap that rounding put beyond the largest
    assert floats.loss(floats.most * (1 + 5e-13)) == floats.loss(floats.most)


def test_the_largest_deviation_is_attained():
    for setting in SETTINGS[1:]:
        curve = HorizonCurve(*setting)
        horizon, low, high = setting
        worst, k = curve.worst(0.1 * curve.most), np.arange(horizon + 1)
        drift = k * (high - 1) - (horizon - k) * (1 - low)
        pays = float(high) ** k * float(low) ** (horizon - k) - 1 > drift
        reward = np.zeros(worst.mdp.shape)
        reward[-1] = np.stack([pays[1:], pays[:-1]], axis=1)
        mdp = TabularMDP(worst.mdp.transition, reward, worst.mdp.initial)
        rate, gap, _ = facts(worst._replace(mdp=mdp))
        assert gap - rate == pytest.approx(curve.deviation(), abs=1e-12)
        assert curve.safe_gap() <= curve.deviation() <= deviation_bound(horizon, (high - 1) * (1 - low)) + 1e-15


@pytest.mark.parametrize(("horizon", "chi2"), [(2, 0.9), (2, 0.01), (3, 0.05), (4, 0.003), (5, 0.002), (7, 1e-4)])
def test_the_safe_horizon_is_sharp(horizon, chi2):
    pair = sharpest(horizon, chi2)
    rate, gap, _ = facts(pair)
    for h in range(horizon):
        here, ratio = slice(0, 2**h), pair.expert[h] / pair.student[h]
        np.testing.assert_allclose((pair.student[h] * (ratio - 1) ** 2).sum(axis=1)[here], chi2, rtol=1e-9)
    assert rate == pytest.approx(0, abs=1e-12)
    assert gap == pytest.approx(float(deviation_bound(horizon, chi2)), rel=1e-9)
    assert safe_horizon(gap * (1 + 1e-9), chi2) == horizon
    assert safe_horizon(gap * (1 - 1e-9), chi2) == horizon - 1


def test_the_bound_and_the_horizon():
    sizes = [Fraction(1, 10**6), Fraction(1, 1000), Fraction(1, 3), Fraction(7)]
    for h in (1, 2, 7, 40):
        exact = [math.sqrt((1 + c) ** h - 1 - h * c) / 2 for c in sizes]
        np.testing.assert_allclose(deviation_bound(h, np.array(sizes, dtype=float)), exact, rtol=1e-12)
    assert deviation_bound(10, 1e-12) == pytest.approx(1e-12 * math.sqrt(90 / 8), rel=1e-9)
    assert deviation_bound(10, 0) == 0
    assert deviation_bound(10**6, 10.0) == np.inf
    for gap, chi2 in ((0.1, 0.01), (0.3, 1e-6), (1e-9, 1.0), (0.05, 0.1)):
        horizon = safe_horizon(gap, chi2)
        assert deviation_bound(horizon, chi2) <= gap < deviation_bound(horizon + 1, chi2)
    assert safe_horizon(0.1, 0.01) == 27
    # independent symmetric ratios: exact for two steps; in the end E |Z^2 - 1| / sqrt 2 of a normal Z
    shares = [HorizonCurve(h, 0.9999, 1.0001).deviation() / deviation_bound(h, 1e-8) for h in (2, 3, 4, 400)]
    np.testing.assert_allclose(shares, [1, 1.5 / math.sqrt(3), 1.5 / math.sqrt(6), 0.684], rtol=2e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: HorizonCurve(0, 0.1, 2), "horizon must be a whole number >= 1"),
        (lambda: HorizonCurve(2.0, 0.1, 2), "horizon must be a whole number"),
        (lambda: HorizonCurve(2, 1.0, 2.0), "0 <= m < 1 < M"),
        (lambda: HorizonCurve(2, -0.1, 2.0), "0 <= m < 1 < M"),
        (lambda: HorizonCurve(2, 0.1, np.inf), "0 <= m < 1 < M"),
        (lambda: HorizonCurve(2, np.nan, 2.0), "0 <= m < 1 < M"),
        (lambda: HorizonCurve(2, [0.1], 2.0), "rectangular"),
        (lambda: HorizonCurve(2, [0.1], [2.0]), "two floats or two rationals"),
        (lambda: HorizonCurve(2, Fraction(1, 2), 1.5), "mixed"),
        (lambda: HorizonCurve(2, 0, 2).loss([0.1, 0.76]), "delta must lie in"),
        (lambda: HorizonCurve(2, 0, 2).loss(-0.1), "delta must lie in"),
        (lambda: HorizonCurve(2, 0, 2).worst(np.nan), "delta must lie in"),
        (lambda: HorizonCurve(2, 0, 2).worst([0.1, 0.2]), "one gap"),
        (lambda: HorizonCurve(2, 0, "2").loss(0.1), "mixed"),
        (lambda: EveryStateCurve(11, 0, 4), "horizon must be at most 10"),
        (lambda: EveryStateCurve(3, 0, 4).loss(1.0), "delta must lie in"),
        (lambda: EveryStateCurve(3, 0.1, 4).worst(1.0), "delta must lie in"),
        (lambda: EveryStateCurve(3, 0.1, 4).worst([0.1, 0.2]), "one gap"),
        (lambda: deviation_bound(2, [0.1, -1]), "chi2 must be finite"),
        (lambda: deviation_bound(0, 0.1), "horizon must be"),
        (lambda: safe_horizon(0.1, 0), "chi2 must be positive"),
        (lambda: safe_horizon(np.nan, 0.1), "gap must be positive"),
        (lambda: sharpest(1, 0.1), "horizon must be a whole number >= 2"),
        (lambda: sharpest(11, 0.1), "at most 10"),
        (lambda: sharpest(3, 0.5), "too large for H = 3"),
        (lambda: sharpest(3, 0.0), "chi2 positive"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
