"""The named instances, by hand in comments and certified: rational equality, or signs of rigorous balls."""

import flint
import numpy as np
import pytest

from distil_theory import instances, objectives, solve, updates
from distil_theory import number_systems as ns
from distil_theory.divergences import BY_NAME, FORWARD_KL, HELLINGER, JENSEN_SHANNON, REVERSE_KL
from distil_theory.instances.base import biased, moves, rational
from distil_theory.spec import Bandit


def q(text):
    return ns.convert([text], "rational")[0]


def rate(instance, divergence, geometry="natural", weight=None):
    """Exact for forward KL; a ball otherwise, narrow and away from zero."""
    if divergence is FORWARD_KL:
        args = (instance.mdp, instance.student, instance.expert)
        return objectives.improvement_rate(*args, divergence, geometry, weight)
    with ns.precision(256):
        ball = instance.convert("ball")
        # a ball of a student must be the same where states look alike; no rational instance needs logs there
        out = objectives.improvement_rate(ball.mdp, ball.student, ball.expert, divergence, geometry)
        assert out.rad() < 1e-30
        return out


@pytest.mark.parametrize("make", instances.INSTANCES, ids=lambda f: f.__name__)
def test_the_expert_is_better_everywhere(make):
    instance = make()
    assert instance.name == make.__name__
    assert instance.gap > 0
    assert instance.exposes
    assert ns.name(instance.gap) == "rational"
    exact = instance.gap
    assert instance.convert("float64").gap == pytest.approx(int(exact.p) / int(exact.q), rel=1e-12)


def test_gaps_by_hand():
    # teaching: J = 2/3, J* = 67/100. Euclidean: J = 3/4, J* = 7/8. Aliased: J = (1/2 + 9/20)/2 = 19/40 and
    # J* = (8/10 + 81/100)/2 = 161/200. Two contexts: J = 1/2, J* = 2/5 1/100 + 3/5 9/10 = 544/1000.
    # Fork: J = 19/40 + 1/20 1/10 = 48/100, J* = 1/20 + 9/10 = 95/100.
    by_hand = {
        "teaching_bandit": "1/300",
        "euclidean_bandit": "1/8",
        "aliased_contexts": "33/100",
        "two_contexts": "44/1000",
        "risky_fork": "47/100",
    }
    assert {name: getattr(instances, name)().gap for name in by_hand} == {name: q(x) for name, x in by_hand.items()}
    fork = instances.risky_fork()
    better = solve.values(fork.mdp, fork.expert)[0] - solve.values(fork.mdp, fork.student)[0]
    assert (better >= 0).all()
    assert (better[[0, 1], [0, 1]] > 0).all()


def test_teaching_bandit():
    teaching = instances.teaching_bandit()
    assert rate(teaching, FORWARD_KL) == q("1/300")
    # u = (3/100, 198/100, 99/100), Cov(r, h) = 1/9 (h1 + h2 - 2 h3): log u1 u2/u3^2 = log(.0594/.9801) < 0;
    # (1 + u1)(1 + u2) = 3.0694 < 1.99^2 = 3.9601; sqrt: .173 + 1.407 < 1.99
    expected = {
        REVERSE_KL: np.log(0.0594 / 0.9801) / 9,
        JENSEN_SHANNON: np.log(3.0694 / 3.9601) / 18,
        HELLINGER: (np.sqrt(0.03) + np.sqrt(1.98) - 2 * np.sqrt(0.99)) / 9,
    }
    for d, value in expected.items():
        assert rate(teaching, d) < 0
        assert float(rate(teaching, d)) == pytest.approx(value, rel=1e-12)


def test_teaching_bandit_which_action_each_objective_raises():
    # d pi/d eta = pi (h - E h); signs of h - E h. Forward KL: u - 1 = (-, +, -): only the second rises.
    # Reverse KL, JS, Hellinger: the expert's weight on the first pulls the mean below h(.99): the wrong one rises too.
    teaching = instances.teaching_bandit()
    with ns.precision(256):
        ball = teaching.convert("ball")
        for d, wrong in ((FORWARD_KL, -1), (REVERSE_KL, 1), (JENSEN_SHANNON, 1), (HELLINGER, 1)):
            velocity = (ball.student * updates.direction(ball.mdp, ball.student, ball.expert, d))[0, 0]
            assert velocity[0] < 0
            assert velocity[1] > 0
            assert velocity[2] * wrong > 0
            assert sum(velocity).contains(0)


def test_teaching_bandit_actually_loses():
    teaching = instances.teaching_bandit().convert("float64")
    for d, sign in ((FORWARD_KL, 1), (REVERSE_KL, -1), (JENSEN_SHANNON, -1), (HELLINGER, -1)):
        step = updates.direction(teaching.mdp, teaching.student, teaching.expert, d)
        new = updates.exponential_step(teaching.mdp, teaching.student, step, 1e-3)
        assert sign * (solve.expected_return(teaching.mdp, new) - 2 / 3) > 1e-7


def test_euclidean_bandit():
    # u = (6, 1/5, 1/2), d theta = pi (u - 1) = pi* - pi = (5/8, -1/2, -1/8); r - J = (1/4, 1/4, -3/4):
    # 1/8 1/4 5/8 - 5/8 1/4 1/2 + 1/4 3/4 1/8 = 5/256 - 20/256 + 6/256
    assert rate(instances.euclidean_bandit(), FORWARD_KL, "euclidean") == q("-9/256")
    assert rate(instances.euclidean_bandit(), FORWARD_KL) == q("1/8")


def test_aliased_contexts():
    # E[r] = (1/2, 9/20), E[u] = (9/10, 11/10): Cov = 1/4 (1/20)(-1/5)
    assert rate(instances.aliased_contexts(), FORWARD_KL) == q("-1/400")


def test_two_contexts():
    # per context Cov(r, log u) = 1/4 log(u1/u2): 2/5 log(1/99) + 3/5 log 9 = log(9^3 / 99^2)/5 < 0
    value = rate(instances.two_contexts(), REVERSE_KL)
    assert value < 0
    assert float(value) == pytest.approx(np.log(9**3 / 99**2) / 20, rel=1e-12)
    assert rate(instances.two_contexts(), FORWARD_KL) == instances.two_contexts().gap


def test_risky_fork():
    # Fork: A = (1/2, 1/10) - 48/100, expected under (1/10, 9/10): 14/100 - 48/100. Risky state, visited 1/20:
    # 1 - 1/10. Sum -34/100 + 45/1000.
    fork = instances.risky_fork()
    assert rate(fork, FORWARD_KL) == q("-295/1000")
    w = objectives.occupancy_ratio(fork.mdp, fork.student, fork.expert)
    assert w[1, 1] == flint.fmpq(18)  # 9/10 over 1/20
    assert rate(fork, FORWARD_KL, weight=w) == fork.gap == q("47/100")


def success_rate(instance, h, geometry):
    """`dJ/d eta` of one row, written anew in floats: natural `Cov(r, h(u))`, Euclidean `sum pi^2 (h - E h)(r - J)`."""
    pi, star, r = (ns.convert(x, "float64")[0] for x in (instance.student, instance.expert, instance.mdp.reward))
    d = ns.convert(instance.mdp.initial, "float64")[:, None]
    pi, r, score = pi[0], (d * r).sum(0), (d * h(star / pi)).sum(0)
    weight = pi if geometry == "natural" else pi**2
    return (weight * (score - (pi * score).sum()) * (r - (pi * r).sum())).sum()


@pytest.mark.parametrize(
    ("make", "lowers"),
    [
        (instances.success_euclidean, {"reverse_kl"}),
        (instances.success_euclidean_js, {"reverse_kl", "jensen_shannon"}),
    ],
)
def test_success_conditioned_and_euclidean(make, lowers):
    bandit = make()
    pi, star, r = bandit.student[0, 0], bandit.expert[0, 0], bandit.mdp.reward[0, 0]
    assert (star * (pi * r).sum() == pi * r).all()
    h = {FORWARD_KL: lambda u: u, REVERSE_KL: np.log, JENSEN_SHANNON: lambda u: np.log1p(u) / 2, HELLINGER: np.sqrt}
    for d, score in h.items():
        value = rate(bandit, d, "euclidean")
        assert (value < 0) == (d.name in lowers)
        assert float(ns.convert([value], "float64")[0]) == pytest.approx(
            success_rate(bandit, score, "euclidean"), rel=1e-6
        )
        assert rate(bandit, d) > 0  # claim 9: the natural step of every divergence improves
    floats = bandit.convert("float64")
    for name in lowers:
        step = updates.direction(floats.mdp, floats.student, floats.expert, BY_NAME[name], "euclidean")
        new = updates.exponential_step(floats.mdp, floats.student, step, 1e-3)
        assert solve.expected_return(floats.mdp, new) < solve.expected_return(floats.mdp, floats.student)


def test_success_aliased():
    # J = (9/10 + 1/20)/2 = 19/40; pi* = (5, 4)/9 and (0, 1): J* = (41/45 + 1/10)/2 = 91/180
    hidden = instances.success_aliased()
    assert (hidden.expert == ns.convert([[["5/9", "4/9"], [0, 1]]], "rational")).all()
    assert hidden.gap == q("11/360")
    # E[r] = (1/2, 9/20), E[u] = (5/9, 13/9): Cov = 1/4 (1/20)(-8/9)
    assert rate(hidden, FORWARD_KL) == q("-1/90")
    assert success_rate(hidden, lambda u: u, "natural") == pytest.approx(-1 / 90, rel=1e-12)
    seen = Bandit(hidden.mdp.reward[0], hidden.mdp.initial)
    # in plain sight sum_s 1/2 Var(r)/V = (1/100)/(9/10)/2 + (1/400)/(1/20)/2
    sight = objectives.improvement_rate(seen, hidden.student, hidden.expert, FORWARD_KL)
    assert sight == hidden.gap == q("1/180") + q("1/40")


@pytest.mark.parametrize("make", instances.INSTANCES, ids=lambda f: f.__name__)
def test_conversion_keeps_the_instance(make):
    floats = make().convert("float64")
    for d in BY_NAME.values():
        if d.needs_expert_support and (floats.expert == 0).any():
            continue
        value = objectives.improvement_rate(floats.mdp, floats.student, floats.expert, d)
        assert np.isfinite(value)
    back = floats.convert("rational")
    np.testing.assert_allclose(ns.convert(back.student, "float64"), floats.student, rtol=0)


# --- how instances are written ----------------------------------------------------------------------------------------


def test_parameters_are_exact_numbers_in_range():
    assert rational("x", "1/3") == flint.fmpq(1, 3)
    assert rational("x", 2, 1, "5/2") == 2
    assert biased(rational("x", "1/3")) == [flint.fmpq(1, 3), flint.fmpq(2, 3)]
    for bad in (0.1, True, "a third", None, "1/0", ["1/2"]):
        with pytest.raises(ValueError, match=r"x must be an exact number such as '1/10', not"):
            rational("x", bad)
    for bad in (0, 1, "-1/2", "3/2"):
        with pytest.raises(ValueError, match="x must lie strictly between 0 and 1"):
            rational("x", bad)


def test_moves():
    p = moves(lambda h, s, a: {0: "1/4", 1: "3/4"} if h else a, 2, 2, 2)
    assert (p[0] == ns.convert([[[1, 0], [0, 1]]] * 2, "rational")).all()
    assert (p[1] == ns.convert([[["1/4", "3/4"]] * 2] * 2, "rational")).all()


def test_an_instance_is_checked():
    with pytest.raises(ValueError, match=r"expert at h=0, s=0 sums to 5/6"):
        instances.exact_instance("x", Bandit([0, 1]), [[["1/2", "1/2"]]], [[["1/2", "1/3"]]], "nothing")
