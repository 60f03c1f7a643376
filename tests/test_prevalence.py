"""How often steps fail: margins against the library's rates, signs against actual steps, counts, intervals."""

import math

import flint
import numpy as np
import pytest
from hypothesis import find

from distil_theory import number_systems as ns
from distil_theory import objectives, prevalence, solve, updates
from distil_theory.divergences import BY_NAME, FORWARD_KL, JENSEN_SHANNON, REVERSE_KL
from distil_theory.prevalence import (
    Bandits,
    Step,
    count_failures,
    draws,
    exact_sign,
    natural_step,
    pieces,
    signs,
    small_step,
    wilson,
)
from distil_theory.spec import Bandit
from distil_theory.strategies import bandits, pairs

pytestmark = pytest.mark.long

FIELDS = ("reward", "student", "expert")
ACTIONS = pytest.mark.parametrize("actions", [2, 3, 5])


def sample(actions, n=500, seed=1):
    (draw,) = draws(actions, n, seed)
    return draw, Bandit(draw.reward, batch_ndim=1), draw.student[None, None], draw.expert[None, None]


def exact(*vectors):
    return [ns.convert(v, "rational") for v in vectors]


@ACTIONS
@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_motions_have_the_rates_of_the_library(actions, name):
    draw, mdp, pi, star = sample(actions)
    for geometry in ("natural", "euclidean"):
        step = small_step(name, geometry)
        motion = step.motion(draw)
        rate = objectives.improvement_rate(mdp, pi, star, BY_NAME[name], geometry)
        size = (draw.student * abs(motion)).sum(axis=0)
        assert (abs((draw.gradient * motion).sum(axis=0) - rate) <= 1e-13 * (1 + size)).all()
        assert 0 < abs(motion).max() <= 2 * step.bound(draw)
        np.testing.assert_array_equal(signs(step, draw), np.sign(rate))


@ACTIONS
@pytest.mark.parametrize("name", sorted(BY_NAME))
@pytest.mark.parametrize("eta", [0.1, 1.0, 3.0])
def test_natural_step_has_the_sign_of_the_actual_change(actions, name, eta):
    draw, mdp, pi, star = sample(actions)
    step = updates.direction(mdp, pi, star, BY_NAME[name])
    change = solve.expected_return(mdp, updates.exponential_step(mdp, pi, step, eta)) - solve.expected_return(mdp, pi)
    clear = abs(change) > 1e-12
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(signs(natural_step(name, eta), draw)[clear], np.sign(change)[clear])


@ACTIONS
def test_draws(actions):
    n = prevalence.CHUNK + 1000
    chunks = list(draws(actions, n, 3))
    assert [c.reward.shape for c in chunks] == [(actions, prevalence.CHUNK), (actions, 1000)]
    reward, student, expert = (np.concatenate([getattr(c, x) for c in chunks], axis=1) for x in FIELDS)
    assert ((reward * (expert - student)).sum(axis=0) > 0).all()
    for p in (student, expert):
        np.testing.assert_allclose(p.sum(axis=0), 1, rtol=1e-12)
        np.testing.assert_allclose(p.mean(axis=1), 1 / actions, atol=0.02)  # Dirichlet(1): mean 1/A and variance
        np.testing.assert_allclose(p.var(axis=1), (actions - 1) / actions**2 / (actions + 1), atol=0.02)
    assert reward.min() >= 0
    assert reward.max() <= 1
    assert reward.mean() == pytest.approx(0.5, abs=0.02)


def test_draws_are_reproducible_and_blocks_differ():
    first, again, block, seed = (next(draws(3, 100, *key)) for key in ((1,), (1,), (1, 1), (2,)))
    for x in FIELDS:
        np.testing.assert_array_equal(getattr(first, x), getattr(again, x))
    assert not np.array_equal(first.student, block.student)
    assert not np.array_equal(first.student, seed.student)
    streams = [next(draws(3, 100, *key)).student.tobytes() for key in ((1, 2), (2, 1), (0, 3), (3, 0))]
    assert len(set(streams)) == 4


def test_counts_do_not_depend_on_what_is_counted_together():
    steps = [small_step("reverse_kl", "natural"), natural_step("jensen_shannon", 0.5)]
    n = prevalence.CHUNK + 500
    together = count_failures(steps, draws(3, n, 5))
    np.testing.assert_array_equal(together, [count_failures([step], draws(3, n, 5))[0] for step in steps])
    apart = [sum((signs(step, draw) < 0).sum() for draw in draws(3, n, 5)) for step in steps]
    np.testing.assert_array_equal(together, apart)
    (draw,) = draws(3, 60, 5)
    one = [Bandits(*(getattr(draw, x)[:, i : i + 1] for x in FIELDS)) for i in range(60)]
    whole = count_failures(steps, [draw])
    np.testing.assert_array_equal(whole, [sum((signs(step, d) < 0).sum() for d in one) for step in steps])


def test_given_arrays_are_counted_only_where_the_expert_is_better():
    n, steps = prevalence.CHUNK + 700, [small_step("reverse_kl", "natural"), small_step("forward_kl", "euclidean")]
    rng = np.random.default_rng(4)
    reward = rng.random((3, n))
    student, expert = (rng.dirichlet(np.ones(3), n).T for _ in range(2))
    # a tie and two experts that differ from the student by one unit in the last place
    reward[:, :3] = [[0.75, 0.25, 0.5], [0.25, 0.75, 0.5], [0.5, 0.5, 0.5]]
    student[:, :3] = expert[:, :3] = [[0.25], [0.25], [0.5]]
    expert[:2, :3] += [[2.0**-54], [-(2.0**-54)]]
    better = (reward * (expert - student)).sum(axis=0) > 0
    assert 0.4 < better.mean() < 0.6
    whole = Bandits(reward, student, expert)
    advantage = reward - (student * reward).sum(axis=0)
    rates = [(advantage * student * step.motion(whole)).sum(axis=0) for step in steps]
    expected = [int(((rate < 0) & better)[3:].sum()) for rate in rates]
    assert count_failures(steps, pieces(reward, student, expert)).tolist() == expected
    assert min(expected) > 100


@pytest.mark.parametrize(
    ("field", "index", "value", "message"),
    [
        (
            "student",
            (0, 20_000),
            -0.1,
            "columns from 16384 on: student has the negative probability -0.1 at a=0, n=3616",
        ),
        ("student", (slice(None), 3), [0, 0.5, 0.5], "columns from 0 on: student is 0 at a=0, n=3"),
        ("expert", (1, 5), 0.9, "columns from 0 on: expert at n=5 sums to"),
        ("expert", (1, 5), np.nan, "columns from 0 on: expert is nan at a=1, n=5"),
        ("reward", (2, 7), np.inf, "columns from 0 on: reward is inf at a=2, n=7"),
    ],
)
def test_bad_given_arrays(field, index, value, message):
    arrays = {
        "reward": np.ones((3, 20_001)),
        "student": np.full((3, 20_001), 1 / 3),
        "expert": np.full((3, 20_001), 1 / 3),
    }
    arrays[field][index] = value
    with pytest.raises(ValueError, match=message):
        count_failures([small_step("reverse_kl", "natural")], pieces(**arrays))
    arrays["expert"] = np.ones((2, 5))
    with pytest.raises(ValueError, match="expert has shape"):
        next(pieces(**arrays))


@ACTIONS
def test_safe_steps_never_fail_and_their_neighbours_do(actions):
    safe = [small_step("forward_kl", "natural"), natural_step("reverse_kl", 1.0), natural_step("jensen_shannon", 2.0)]
    assert count_failures(safe, draws(actions, 20_000, 7)).tolist() == [0, 0, 0]
    near = (("reverse_kl", 0.5), ("reverse_kl", 1.5), ("jensen_shannon", 1.0), ("jensen_shannon", 4.0))
    beside = [natural_step(d, eta) for d, eta in near]
    beside += [small_step(d, "natural") for d in ("reverse_kl", "jensen_shannon", "hellinger", "pearson_chi2")]
    beside += [small_step("forward_kl", "euclidean")]
    counts = count_failures(beside, draws(actions, 20_000, 7))
    assert (counts == 0).all() if actions == 2 else (counts > 0).all()


def test_near_zero_margins_are_decided_exactly():
    # pi* = pi but for e on the first two actions, e one unit in the last place: J* - J = e (r1 - r2)
    e, unit = 2.0**-54, np.array([[0.25], [0.25], [0.5]])
    up = unit + np.array([[e], [-e], [0]])
    for reward, sign in (([0.75, 0.25, 0.5], 1), ([0.25, 0.75, 0.5], 0), ([0.5, 0.5, 0.25], 0)):
        r = np.array(reward)[:, None]
        bandits = Bandits(r, unit, up)
        assert abs(bandits.gap[0]) < 1e-12
        assert signs(small_step("forward_kl", "natural"), bandits).tolist() == [sign]
        assert signs(small_step("reverse_kl", "natural"), bandits).tolist() == [sign]


@pytest.mark.parametrize("digits", [10, 20, 30])
@pytest.mark.parametrize("sign", [-1, 1])
def test_signs_beyond_floats(digits, sign):
    # uniform student, u = (x, y, 1) with x + y = 2: forward KL and reverse KL against a reward nearly orthogonal.
    # Cov_pi(r, log u) = 1/3 [r1 log x + r2 log y - mean]; choose r1 so that it is +-10^-digits.
    pi = exact(["1/3", "1/3", "1/3"])[0]
    star = exact(["1/6", "1/2", "1/3"])[0]  # u = (1/2, 3/2, 1)
    with ns.precision(256):
        l1, l2 = (ns.log(ns.convert([x], "ball"))[0] for x in ("1/2", "3/2"))
        mean = (l1 + l2) / 3
        # r = (r1, 1, 0): r1 (l1 - mean) + (l2 - mean) = 0
        root = -(l2 - mean) / (l1 - mean)
        near = root.mid() - sign * ns.convert([f"1e-{digits}"], "ball")[0]
        r1 = ns.convert([str(near.str(45, radius=False))], "rational")[0]
    reward = np.array([r1, *exact([1, 0])[0]], dtype=object)
    assert exact_sign(small_step("reverse_kl", "natural"), reward, pi, star) == sign
    floats = Bandits(*(ns.convert(x, "float64")[:, None] for x in (reward, pi, star)))
    step = small_step("reverse_kl", "natural")
    drawn = Bandits(*(x[:, None] for x in (reward, pi, star)))
    if digits > 15:
        assert abs((floats.gradient * step.motion(floats)).sum()) < 1e-15
        assert signs(step, floats, exact=drawn).tolist() == [sign]


def test_ties_count_as_zero():
    equal = exact([1, 1, 1], ["1/4", "1/4", "1/2"], ["1/2", "1/4", "1/4"])
    assert exact_sign(small_step("reverse_kl", "natural"), *equal) == 0  # constant reward: the expert is not better
    worse = exact([0, 1, 1], ["1/4", "1/4", "1/2"], ["1/2", "1/4", "1/4"])
    assert exact_sign(small_step("forward_kl", "natural"), *worse) == 0
    # r = 1 on two actions where the expert goes up and down, 0 on two where it goes down and up: sign(u - 1) balances
    tie = exact([1, 1, 0, 0], ["1/4"] * 4, ["5/10", "1/10", "1/10", "3/10"])
    assert exact_sign(small_step("total_variation", "natural"), *tie) == 0
    assert exact_sign(small_step("forward_kl", "natural"), *tie) == 1
    with pytest.raises(ArithmeticError, match="not decided by 256 bits"):
        exact_sign(Step(lambda u: ns.log(u) * flint.arb(0, 1)), *tie)
    # sign(u - 1) at u = 1 is known to rationals, not to balls
    level = exact([1, 1, 0, 0, 0], ["1/5"] * 5, ["2/5", "1/10", "1/20", "1/4", "1/5"])
    assert exact_sign(small_step("total_variation", "natural"), *level) == 0
    better = exact([1, 1, 0, 0, 0], ["1/5"] * 5, ["4/10", "1/10", "1/10", "1/5", "1/5"])
    assert exact_sign(small_step("total_variation", "natural"), *better) == 1


def test_counterexamples_can_be_found():
    def fails(pair, d):
        gap = solve.expected_return(pair.mdp, pair.expert) - solve.expected_return(pair.mdp, pair.student)
        args = pair.mdp.reward[0, 0], pair.student[0, 0], pair.expert[0, 0]
        return gap > 0 and exact_sign(small_step(d.name, "natural"), *args) < 0

    for d in (REVERSE_KL, JENSEN_SHANNON):
        pair = find(pairs(bandits(actions=3), positive=True), lambda pair, d=d: fails(pair, d))
        assert not fails(pair, FORWARD_KL)


def test_wilson_is_the_textbook_formula():
    z = 1.959963984540054
    for count, n in ((0, 50), (3, 50), (25, 50), (50, 50)):
        p = count / n
        centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        assert wilson(count, n) == pytest.approx((centre - half, centre + half), abs=1e-12)
    assert wilson(3, 50, 0.99)[0] < wilson(3, 50)[0] < wilson(3, 50)[1] < wilson(3, 50, 0.99)[1]


@pytest.mark.parametrize(
    ("args", "match"),
    [
        ((1, 10, 0), "actions must be a whole number >= 2, not 1"),
        ((2.0, 10, 0), "actions must be a whole number"),
        ((3, 0, 0), "n must be a whole number >= 1, not 0"),
        ((3, 10, -1), "seed must be a whole number >= 0, not -1"),
        ((3, 10, 0, -1), "block must be a whole number >= 0, not -1"),
    ],
)
def test_bad_draws(args, match):
    with pytest.raises(ValueError, match=match):
        list(draws(*args))


@pytest.mark.parametrize("args", [(5, 4), (-1, 4), (1, 4, 1.5)])
def test_bad_intervals(args):
    with pytest.raises(ValueError):  # noqa: PT011  # the wording is scipy's
        wilson(*args)


def test_bad_margins():
    with pytest.raises(ValueError, match="geometry"):
        small_step("reverse_kl", "riemann")
    for eta in (0, -1.0):
        with pytest.raises(ValueError, match="eta"):
            natural_step("reverse_kl", eta)
    for make in (lambda: small_step("kl", "natural"), lambda: natural_step("kl", 1.0)):
        with pytest.raises((ValueError, KeyError), match="kl"):
            make()


def test_a_tie_is_no_failure():
    assert count_failures([Step(lambda u: u * 0)], draws(3, 20, 0)).tolist() == [0]


def test_weights_are_normalised_exactly():
    reward, student, expert = exact([0, 1, "1/2"], ["1/4", "1/4", "1/2"], ["1/4", "1/2", "1/4"])
    for scale in (1, 10, 1000):
        assert exact_sign(small_step("reverse_kl", "natural"), reward, student * scale, expert) == 1
        assert exact_sign(small_step("reverse_kl", "natural"), reward, expert * scale, student / scale) == 0


def compare_with_exact(step, reward, student, expert):
    """All signs against exact ones, where the expert is better (else `exact_sign` is 0)."""
    bandits, compared = Bandits(reward, student, expert), 0
    given = signs(step, bandits)
    for i in range(reward.shape[1]):
        r, pi, star = exact(*(x[:, i] for x in (reward, student, expert)))
        if (r * (star / star.sum() - pi / pi.sum())).sum() > 0:
            assert given[i] == exact_sign(step, r, pi, star), i
            compared += 1
    assert compared > reward.shape[1] / 5


def test_near_ties_of_large_steps_are_decided_exactly():
    # two ratios that differ by 1e-6: K = (1, e^-0.1, 0), and the second reward is solved for Cov(r, K) = 0;
    # the rounding of log u is magnified by eta = 1e5
    eta, rng = 1e5, np.random.default_rng(0)
    student = rng.dirichlet(np.full(3, 5.0), 300).T
    ratio = np.array([1.2 * np.ones(300), 1.2 * np.exp(-0.1 / eta) * np.ones(300), np.ones(300)])
    ratio[2] = (1 - (student * ratio)[:2].sum(axis=0)) / student[2]
    keep = ratio[2] > 0.01
    student, expert = student[:, keep], (student * ratio)[:, keep]
    p, k = student, np.exp(-0.1)
    r1, r3 = 0.1, 0.2
    # (r1 - J) p1 + k p2 (r2 - J) = 0 with J = p1 r1 + p2 r2 + p3 r3
    rest, weight = p[0] * r1 + p[2] * r3, p[0] + k * p[1]
    r2 = (weight * rest - p[0] * r1) / (k * p[1] - weight * p[1])
    compare_with_exact(natural_step("reverse_kl", eta), np.array([r1 + 0 * r2, r2, r3 + 0 * r2]), student, expert)


@pytest.mark.parametrize("name", ["hellinger", "jensen_shannon"])
def test_an_expert_next_to_the_student_is_decided_exactly(name):
    rng = np.random.default_rng(0)
    student = rng.dirichlet(np.ones(3), 400).T
    expert = student * (1 + 1e-15 * rng.normal(size=student.shape))
    compare_with_exact(small_step(name, "euclidean"), rng.random((3, 400)), student, expert)
