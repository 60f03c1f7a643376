"""The solver by hand, by identities that hold exactly, and by its own symmetries."""

import itertools
from fractions import Fraction

import flint
import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from distil_theory import number_systems as ns
from distil_theory import solve
from distil_theory.spec import Bandit, TabularMDP, stack
from distil_theory.strategies import bandits, mdps, pairs

# Two steps, two states, two actions. In state 0, action 1 moves to state 1 with probability 1/2; all else stays.
# Rewards only in state 1: 1 for action 0, 1/2 for action 1.
HAND = TabularMDP([[[1, 0], ["1/2", "1/2"]], [[0, 1], [0, 1]]], [[0, 0], [1, "1/2"]], initial=[1, 0], horizon=2)
HALF = np.full((2, 2, 2), Fraction(1, 2))


def exact(x):
    """Nested lists of numbers as an object array of rationals."""
    return ns.convert(x, "rational")


def equal(a, b):
    assert a.shape == b.shape
    assert np.asarray(a == b).all()


@pytest.mark.parametrize("kind", ns.NAMES)
def test_by_hand(kind):
    # V_1 = (0, (1 + 1/2)/2 = 3/4). Q_0(0,0) = V_1(0) = 0; Q_0(0,1) = (0 + 3/4)/2 = 3/8, so V_0(0) = 3/16;
    # Q_0(1,0) = 1 + 3/4 = 7/4; Q_0(1,1) = 1/2 + 3/4 = 5/4, so V_0(1) = 3/2. J = V_0(0) = 3/16.
    # From state 0 the student moves with probability 1/2 * 1/2: d_1 = (3/4, 1/4).
    mdp, pi = HAND.convert(kind), ns.convert(HALF, kind)
    v, q = solve.values(mdp, pi)
    d = solve.occupancy(mdp, pi)
    as_floats = [ns.convert(x, "float64").tolist() for x in (v, q, d)]
    assert as_floats[0] == [[3 / 16, 3 / 2], [0, 3 / 4]]
    assert as_floats[1] == [[[0, 3 / 8], [7 / 4, 5 / 4]], [[0, 0], [1, 1 / 2]]]
    assert as_floats[2] == [[1, 0], [3 / 4, 1 / 4]]
    assert float(ns.convert(solve.expected_return(mdp, pi), "float64")) == 3 / 16
    assert ns.convert(solve.advantage(mdp, pi), "float64")[0].tolist() == [[-3 / 16, 3 / 16], [1 / 4, -1 / 4]]
    # The best: V_1 = (0, 1), Q_0(0,.) = (0, 1/2), Q_0(1,.) = (2, 3/2). In state 0 the last step is a tie: action 0.
    best = solve.optimal(mdp)
    assert ns.convert(best.policy, "float64").tolist() == [[[0, 1], [1, 0]], [[1, 0], [1, 0]]]
    assert ns.convert(best.v, "float64").tolist() == [[1 / 2, 2], [0, 1]]
    assert ns.convert(best.q, "float64").tolist() == [[[0, 1 / 2], [2, 3 / 2]], [[0, 0], [1, 1 / 2]]]


def test_one_step_one_action_deterministic_rows():
    bandit = Bandit([[1, 0], [0, "1/3"]], ["1/4", "3/4"])
    # J = 1/4 * 1/5 + 3/4 * 1/2 * 1/3 = 1/20 + 1/8 = 7/40
    pi = exact([[["1/5", "4/5"], ["1/2", "1/2"]]])
    assert solve.expected_return(bandit, pi) == flint.fmpq(7, 40)
    equal(solve.occupancy(bandit, pi), exact([["1/4", "3/4"]]))
    # one action, a deterministic cycle 0 -> 1 -> 2 -> 0 with rewards 1, 10, 100
    cycle = TabularMDP(np.eye(3)[[1, 2, 0]][:, None], [[1], [10], [100]], [0, 1, 0], horizon=5)
    only = np.ones((5, 3, 1))
    assert solve.expected_return(cycle, only) == 10 + 100 + 1 + 10 + 100
    assert solve.occupancy(cycle, only).argmax(axis=1).tolist() == [1, 2, 0, 1, 2]
    assert (solve.advantage(cycle, only) == 0).all()
    assert (solve.optimal(cycle).v == solve.values(cycle, only)[0]).all()


# --- exact identities ---


def gap_by_advantages(mdp, new, old):
    """The right-hand side of the performance-difference lemma."""
    return (solve.occupancy(mdp, new)[:, :, None] * new * solve.advantage(mdp, old)).sum()


@given(pairs())
def test_performance_difference_lemma_is_exact(pair):
    gap = solve.expected_return(pair.mdp, pair.expert) - solve.expected_return(pair.mdp, pair.student)
    assert gap == gap_by_advantages(pair.mdp, pair.expert, pair.student)
    with ns.precision(160):  # and balls enclose it
        mdp, new, old = pair.mdp.convert("ball"), *(ns.convert(x, "ball") for x in (pair.expert, pair.student))
        zero = solve.expected_return(mdp, new) - solve.expected_return(mdp, old) - gap_by_advantages(mdp, new, old)
        assert zero.contains(0)
        assert zero.rad() < flint.arb("1e-30")


def test_performance_difference_lemma_is_an_identity():
    symbols = iter(sympy.symbols("x:24"))

    def rows(*shape):
        x = np.array([next(symbols) for _ in range(int(np.prod(shape)))], dtype=object).reshape(shape)
        return np.stack([x, 1 - x], axis=-1)

    reward = np.array(sympy.symbols("r:8"), dtype=object).reshape(2, 2, 2)
    mdp = TabularMDP(rows(2, 2, 2), reward, rows())
    new, old = rows(2, 2), rows(2, 2)
    gap = solve.expected_return(mdp, new) - solve.expected_return(mdp, old)
    assert sympy.expand(gap) != 0
    assert sympy.expand(gap - gap_by_advantages(mdp, new, old)) == 0
    assert sympy.expand(gap - gap_by_advantages(mdp, old, new)) != 0


@given(pairs())
def test_occupancy_is_a_distribution_and_weighs_rewards(pair):
    mdp, pi, _ = pair
    d = solve.occupancy(mdp, pi)
    assert (d.sum(axis=1) == 1).all()
    assert (d >= 0).all()
    assert (d[:, :, None] * pi * mdp.reward).sum() == solve.expected_return(mdp, pi)


# --- metamorphic ---


@given(pairs(), st.randoms(use_true_random=False))
def test_names_of_states_and_actions_do_not_matter(pair, random):
    mdp, pi, _ = pair
    _, states, actions = mdp.shape
    s, a = random.sample(range(states), states), random.sample(range(actions), actions)
    other = TabularMDP(mdp.transition[:, s][:, :, a][..., s], mdp.reward[:, s][:, :, a], mdp.initial[s])
    for x, y in zip(solve.values(mdp, pi), solve.values(other, pi[:, s][:, :, a]), strict=True):
        x = x[:, s]
        equal(x[:, :, a] if x.ndim == 3 else x, y)
    equal(solve.occupancy(mdp, pi)[:, s], solve.occupancy(other, pi[:, s][:, :, a]))
    equal(solve.optimal(mdp).v[:, s], solve.optimal(other).v)


@given(pairs(), st.integers(-3, 3))
def test_a_shifted_reward_shifts_the_return_by_its_horizon(pair, c):
    mdp, pi, _ = pair
    shifted = TabularMDP(mdp.transition, mdp.reward + c, mdp.initial)
    assert solve.expected_return(shifted, pi) == solve.expected_return(mdp, pi) + mdp.horizon * c
    equal(solve.advantage(shifted, pi), solve.advantage(mdp, pi))


@given(pairs())
def test_a_state_split_in_two_changes_nothing(pair):
    mdp, pi, _ = pair
    third = flint.fmpq(1, 3)

    def split(p):  # of the mass on state 0, two thirds go to its copy, the last state
        return np.concatenate([p[..., :1] * third, p[..., 1:], p[..., :1] * (2 * third)], axis=-1)

    copy = [*range(mdp.shape[1]), 0]
    double = TabularMDP(split(mdp.transition[:, copy]), mdp.reward[:, copy], split(mdp.initial))
    equal(solve.values(double, pi[:, copy])[0], solve.values(mdp, pi)[0][:, copy])
    equal(solve.occupancy(double, pi[:, copy]), split(solve.occupancy(mdp, pi)))


@given(pairs())
def test_stationary_is_tiled(pair):
    mdp, pi, expert = pair
    steps = mdp.shape[0]
    one = TabularMDP(mdp.transition[0], mdp.reward[0], mdp.initial, steps)
    tiled = TabularMDP(np.stack([mdp.transition[0]] * steps), np.stack([mdp.reward[0]] * steps), mdp.initial)
    for f in (lambda m: solve.values(m, pi)[1], lambda m: solve.occupancy(m, expert), lambda m: solve.optimal(m).q):
        equal(f(one), f(tiled))


@given(st.data())
def test_a_batch_is_one_by_one(data):
    shapes = mdps(*(data.draw(st.integers(1, 3)) for _ in range(3)))
    group = [data.draw(pairs(shapes)) for _ in range(3)]
    batch, pi = stack([p.mdp for p in group]), ns.stack([p.expert for p in group], axis=-1)
    assert batch.batch_shape == (3,)
    for f in (
        lambda m, p: solve.values(m, p)[0],
        lambda m, p: solve.values(m, p)[1],
        solve.occupancy,
        solve.expected_return,
    ):
        for i, (mdp, _, expert) in enumerate(group):
            assert np.all(f(batch, pi)[..., i] == f(mdp, expert))  # many MDPs, many policies
            assert np.all(f(group[0].mdp, pi)[..., i] == f(group[0].mdp, expert))  # one MDP, many policies
            assert np.all(f(batch, group[0].expert)[..., i] == f(mdp, group[0].expert))  # many MDPs, one policy
    for i, (mdp, _, _) in enumerate(group):
        for together, alone in zip(solve.optimal(batch), solve.optimal(mdp), strict=True):
            assert np.all(together[..., i] == alone)


def test_a_batch_in_other_systems_and_two_batch_axes():
    rng = np.random.default_rng(0)
    pi = rng.dirichlet(np.ones(2), size=(2, 2, 3, 4)).transpose(0, 1, 4, 2, 3)  # (H, S, A, 3, 4)
    mdp = HAND.convert("float64")
    want = np.array([[solve.expected_return(mdp, pi[..., i, j]) for j in range(4)] for i in range(3)])
    np.testing.assert_allclose(solve.expected_return(mdp, pi), want, rtol=1e-14)
    twice = stack([stack([mdp] * 3)] * 4)
    assert twice.batch_shape == (3, 4)
    np.testing.assert_allclose(solve.expected_return(twice, pi), want, rtol=1e-14)
    for kind in ("torch", "ball", "symbolic"):
        batch = stack([HAND.convert(kind)] * 3)
        got = solve.expected_return(batch, ns.stack([ns.convert(HALF, kind)] * 3, axis=-1))
        assert ns.convert(got, "float64").tolist() == [3 / 16] * 3


# --- the optimum ---


@given(mdps(states=st.integers(1, 2), actions=st.integers(1, 2), horizon=st.integers(1, 2)) | bandits(contexts=2))
def test_optimal_is_the_best_deterministic_policy(mdp):
    best = solve.optimal(mdp)
    steps, states, actions = mdp.shape
    everything = itertools.product(np.eye(actions), repeat=steps * states)
    v = np.array([solve.values(mdp, np.reshape(choice, mdp.shape))[0] for choice in everything])
    equal(v.max(axis=0), best.v)
    equal(solve.values(mdp, best.policy)[0], best.v)
    equal(solve.values(mdp, best.policy)[1], best.q)
    first = np.argmax(np.asarray(best.q == best.v[:, :, None]), axis=2)  # ties: the first action
    assert (np.asarray(best.policy == 1).argmax(axis=2) == first).all()
    assert (best.policy.sum(axis=2) == 1).all()


def test_an_undecided_optimum_raises():
    third = ns.convert(["1/3"], "ball")[0]
    with pytest.raises(ValueError, match="the best action at h=0 is undecided: the balls"):
        solve.optimal(Bandit([third, third * 3 / 3]))
    with pytest.raises(ValueError, match="the best action at h=0 is undecided: the sign"):
        solve.optimal(Bandit(list(sympy.symbols("a b"))))
    p = sympy.Symbol("p", positive=True)
    assert solve.optimal(Bandit([0, p])).policy.ravel().tolist() == [0, 1]


@pytest.mark.parametrize("third", [Fraction(1, 3), "1/3", sympy.Rational(1, 3), flint.arb(1) / 3])
def test_whole_numbers_follow_the_policy_into_its_number_system(third):
    bandit = Bandit([1, 1, 0])
    policy = [[[third] * 3]]
    j = solve.expected_return(bandit, policy)
    assert ns.name(j) == ns.name(ns.asarray(policy))
    assert abs(float(j) - 2 / 3) < 1e-15
    assert solve.occupancy(bandit, policy).shape == (1, 1)
