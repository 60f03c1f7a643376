"""Dials of the experts, black-box samples, batches, number systems and bad input."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given

from distil_theory import experts, instances
from distil_theory import number_systems as ns
from distil_theory.spec import Bandit, TabularMDP, stack
from distil_theory.strategies import pairs

HALF, ROW = [[["1/2", "1/2"]]], [[["1/5", "1/2", "3/10"]]]


def q(x):
    return ns.convert(x, "rational")


@given(pairs())
def test_ends_of_the_dials(pair):
    _, pi, star = pair
    assert (experts.overconfident(star, pi, 0) == star).all()
    assert (experts.overconfident(star, pi, -1) == pi).all()
    assert (experts.collapsed(star, 0) == star).all()
    favourite = experts.collapsed(star, 1)
    assert (favourite == np.eye(star.shape[2], dtype=int)[star.argmax(axis=2)]).all()  # of equal ones the first, too
    assert (experts.ema(star, pi, 0) == star).all()
    assert (experts.ema(star, pi, 1) == pi).all()


def test_dials_by_hand():
    # pi = 1/3, pi* = (1, 66, 33)/100: squares 1, 4356, 1089
    _, _, pi, star, _ = instances.teaching_bandit()
    assert (experts.overconfident(star, pi, 1) == q([[["1/5446", "4356/5446", "1089/5446"]]])).all()
    # pi Q^2 of the student conditioned on success: (1/2 (1/4)^2, 1/2 (3/4)^2) = (1, 9)/10
    clean = experts.success_conditioned(Bandit(["1/4", "3/4"]), q(HALF))
    assert (experts.overconfident(clean, q(HALF), 1) == q([[["1/10", "9/10"]]])).all()
    # square roots of u = 8/5 and 2/5 are irrational together, of 2/5 : 8/5 = 1 : 4 they are not
    assert (experts.overconfident(q([[["1/5", "4/5"]]]), q(HALF), "-1/2") == q([[["1/3", "2/3"]]])).all()
    assert (experts.collapsed(star, "1/2") == q([[["1/200", "166/200", "33/200"]]])).all()
    assert (experts.ema(pi, star, "1/4") == q([[["101/400", "166/400", "133/400"]]])).all()


def test_overconfidence_does_not_overflow():
    star, pi = np.array([[[0.9, 0.1 - 1e-9, 1e-9]]]), np.array([[[1e-9, 0.1, 0.9 - 1e-9]]])
    np.testing.assert_allclose(experts.overconfident(star, pi, 1e5), [[[1, 0, 0]]], rtol=0, atol=1e-12)
    with pytest.raises(TypeError, match="not rational"):
        experts.overconfident(q([[["1/3", "2/3"]]]), q(HALF), Fraction(1, 3))


def samples(n=20000):
    rng = np.random.default_rng(3)
    star = rng.dirichlet(np.ones(4), (3, 2))
    star[1, 0] = [0, 0.25, 0, 0.75]
    h, s = rng.integers(0, 3, n), rng.integers(0, 2, n)
    return star, h, s, experts.sample(star, h, s, np.random.default_rng(4))


def test_samples_have_the_expert_s_frequencies():
    star, h, s, actions = samples()
    for i, j in np.ndindex(3, 2):
        drawn = actions[(h == i) & (s == j)]
        counts = np.bincount(drawn, minlength=4)
        error = np.sqrt(star[i, j] * (1 - star[i, j]) / len(drawn))
        assert (abs(counts / len(drawn) - star[i, j]) <= 5 * error).all()  # impossible actions: never
    assert (actions == samples()[-1]).all()
    assert (actions != experts.sample(star, h, s, np.random.default_rng(5))).any()


class Fixed:
    """A source of randomness that always says the same."""

    def __init__(self, u):
        self.u = u

    def random(self, shape):
        return np.full(shape, self.u)


@pytest.mark.parametrize(("u", "action"), [(0.0, 1), (np.nextafter(1, 0), 3), (0.0999, 1), (0.1001, 2)])
def test_the_ends_of_the_unit_interval(u, action):
    row = [0, 0.1, 0.2, 0.7 - 1e-10, 0]  # sums to a little less than one
    assert experts.sample(np.array([[row]]), 0, [0, 0], Fixed(u)).tolist() == [action] * 2


def test_samples_of_a_batch():
    rng = np.random.default_rng(6)
    star = np.moveaxis(np.eye(5)[rng.integers(0, 5, (2, 3, 4, 7))], -1, 2)  # deterministic experts (2,3,5,4,7)
    states = rng.integers(0, 3, (10, 4, 7))
    actions = experts.sample(star, 1, states, rng)
    assert actions.shape == states.shape
    for n, i, j in np.ndindex(states.shape):
        assert star[1, states[n, i, j], actions[n, i, j], i, j] == 1
    assert experts.sample(star[..., 0, 0], 0, 2, rng).shape == ()


# --- batches and number systems ---------------------------------------------------------------------------------------

MAKERS = {
    "soft_optimal": lambda mdp, pi, star: experts.soft_optimal(mdp, 2),
    "optimal": lambda mdp, pi, star: experts.optimal(mdp) + pi * 0,
    "success_conditioned": lambda mdp, pi, star: experts.success_conditioned(mdp, pi),
    "unprivileged": lambda mdp, pi, star: experts.success_conditioned(mdp, pi, privileged=False),
    "noisy": lambda mdp, pi, star: experts.noisy(mdp, pi, pi.reshape(-1)[0]),
    "overconfident": lambda mdp, pi, star: experts.overconfident(star, pi, 1),
    "collapsed": lambda mdp, pi, star: experts.collapsed(star, pi.reshape(-1)[0]),
    "ema": lambda mdp, pi, star: experts.ema(pi, star, pi.reshape(-1)[0]),
    "observed": lambda mdp, pi, star: experts.observed(mdp, star, pi),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("to", ns.NAMES)
def test_every_number_system_agrees(name, to):
    if name == "soft_optimal" and to == "rational":
        pytest.skip("no rational exponential")
    for make in (instances.risky_fork, instances.aliased_fork):
        expected = MAKERS[name](*make().convert("float64")[1:4])
        found = MAKERS[name](*make().convert(to)[1:4])
        assert ns.name(found) == to
        np.testing.assert_allclose(ns.convert(found, "float64"), expected, rtol=0, atol=1e-12)


def batch():
    rng = np.random.default_rng(7)
    one = [instances.garnet(4, 3, 2, 3, seed=s, rewards="terminal") for s in range(6)]
    seen = [0, 1, 1, 0]
    one = [TabularMDP(m.transition, m.reward, m.initial, observation=seen) for m in one]
    return one, rng.dirichlet(np.ones(3), (6, 3, 2))[:, :, seen], rng.dirichlet(np.ones(3), (6, 3, 4))


@pytest.mark.parametrize("name", MAKERS)
def test_a_batch_is_its_members(name):
    one, pi, star = batch()
    if name in ("noisy", "collapsed", "ema"):  # here the dial goes along the batch
        together = {
            "noisy": lambda mdp, pi, star: experts.noisy(mdp, pi, pi[0, 0, 0]),
            "collapsed": lambda mdp, pi, star: experts.collapsed(star, pi[0, 0, 0]),
            "ema": lambda mdp, pi, star: experts.ema(pi, star, pi[0, 0, 0]),
        }[name](stack(one), *(np.moveaxis(x, 0, -1) for x in (pi, star)))
    else:
        together = MAKERS[name](stack(one), *(np.moveaxis(x, 0, -1) for x in (pi, star)))
    for i, mdp in enumerate(one):
        np.testing.assert_allclose(together[..., i], MAKERS[name](mdp, pi[i], star[i]), rtol=1e-12)


def test_one_problem_meets_many_dials():
    (mdp, *_), (pi, *_), (star, *_) = batch()
    values = np.linspace(0.1, 1, 5)
    for found, each in (
        (experts.soft_optimal(mdp, values), lambda x: experts.soft_optimal(mdp, x)),
        (experts.noisy(mdp, pi, values), lambda x: experts.noisy(mdp, pi, x)),
        (experts.collapsed(star, values), lambda x: experts.collapsed(star, x)),
        (experts.ema(pi, star, values), lambda x: experts.ema(pi, star, x)),
    ):
        assert found.shape == (3, 4, 3, 5)
        for i, x in enumerate(values):
            np.testing.assert_allclose(found[..., i], each(x), rtol=1e-12)
    many = np.stack([pi, star], axis=-1)
    np.testing.assert_allclose(experts.ema(star, many, 0.25)[..., 0], experts.ema(star, pi, 0.25), rtol=1e-12)
    np.testing.assert_allclose(experts.observed(mdp, many, pi)[..., 1], experts.observed(mdp, star, pi), rtol=1e-12)


# --- bad input --------------------------------------------------------------------------------------------------------

COIN = Bandit(["0", "1"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: experts.success_conditioned(Bandit(["1", "-1/2"]), q(HALF)), r"h=0, s=0, a=1 is negative: -1/2"),
        (lambda: experts.noisy(Bandit(["1", "3/2"]), q(HALF), 0), r"h=0, s=0, a=1 is above 1: 3/2"),
        (lambda: experts.noisy(COIN, q(HALF), "3/2"), r"error is 3/2: it must not exceed 1"),
        (lambda: experts.noisy(COIN, q(HALF), [0, "-1/2"]), r"error is -1/2 at batch=1: it must not be negative"),
        (lambda: experts.noisy(COIN, q(HALF), 0.1), r"error: number systems"),
        (lambda: experts.noisy(COIN, q(HALF), None), r"error must be a number"),
        (lambda: experts.noisy(COIN, q([[[1]]]), 0), r"student has shape"),
        (lambda: experts.success_conditioned(COIN, q([[["1/2", "1/3"]]])), r"student at h=0, s=0 sums to 5/6"),
        (lambda: experts.soft_optimal(Bandit([0.0, 1.0]), 0), r"temperature is 0"),
        (lambda: experts.soft_optimal(Bandit([0.0, 1.0]), -1), r"temperature is -1.0: it must not be negative"),
        (lambda: experts.soft_optimal(Bandit([0.0, 1.0]), float("nan")), r"temperature is nan"),
        (lambda: experts.soft_optimal(stack([Bandit([0.0, 1.0])] * 2), [1.0] * 3), r"temperature has shape \(3,\)"),
        (lambda: experts.overconfident(q(ROW), q(HALF), 0), r"student has shape"),
        (lambda: experts.overconfident(q(HALF), q([[[0, 1]]]), 0), r"student is 0 at h=0, s=0, a=0"),
        (lambda: experts.overconfident(q(HALF), q(HALF), "-2"), r"excess is -2"),
        (lambda: experts.overconfident(q(HALF), q(HALF), float("inf")), r"excess must be one finite number"),
        (lambda: experts.overconfident(q(HALF), q(HALF), [1, 2]), r"excess must be one finite number"),
        (lambda: experts.collapsed(q([["1"]]), 0), r"expert has shape \(1, 1\)"),
        (lambda: experts.collapsed(q(HALF), 2), r"amount is 2"),
        (lambda: experts.collapsed(ns.convert([[["1/3", "1/3", "1/3"]]], "ball"), 1), r"undecided"),
        (lambda: experts.ema(q(HALF), q([[["1/2", "1/3"]]]), 0), r"new at h=0, s=0 sums to 5/6"),
        (lambda: experts.ema(q(HALF), q(HALF), True), r"rate must be a number"),
        (lambda: experts.observed(COIN, q(ROW), q(HALF)), r"expert has shape"),
        (lambda: experts.ema(np.full((1, 1, 2, 3), 0.5), np.full((1, 1, 2, 4), 0.5), 0), r"batch shapes differ: old"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_balls_that_leave_success_open_are_refused():
    zero = ns.convert([["1/3"]], "ball")
    mdp = Bandit((zero - zero)[0])
    with pytest.raises(ValueError, match="whether the student ever succeeds is undecided"):
        experts.success_conditioned(mdp, ns.convert([[["1"]]], "ball"))


ONE = np.ones((1, 1, 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((q([[["1"]]]), 0, 0), "rational"),
        ((ONE * 0.5, 0, 0), r"sums to 0.5"),
        ((ONE, 0, 1), r"states has the entry 1: out of range 0..0"),
        ((ONE, -1, 0), r"h has the entry -1"),
        ((ONE, 0, 0.0), r"states must be whole numbers"),
        ((ONE, [0, 0], [0, 0, 0]), r"do not broadcast"),
        ((np.ones((1, 1, 1, 2)), 0, [0, 0, 0]), r"shape \(3,\): it must end with the batch shape \(2,\)"),
    ],
)
def test_bad_questions_to_a_black_box(arguments, message):
    with pytest.raises(ValueError, match=message):
        experts.sample(*arguments, np.random.default_rng(0))
