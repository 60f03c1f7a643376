"""Experts against hand-solved cases, brute-force Bayes over rollouts, other solvers, and the ends of their dials."""

import itertools

import flint
import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

from distil_theory import experts, instances, objectives, solve
from distil_theory import number_systems as ns
from distil_theory.aliasing import pool
from distil_theory.divergences import FORWARD_KL
from distil_theory.spec import Bandit, TabularMDP
from distil_theory.strategies import mdps, policies


def q(x):
    return ns.convert(x, "rational")


@st.composite
def successes(draw, aliased=False):
    """An MDP whose only reward is a probability of success at the last step, and a student."""
    mdp = draw(mdps(aliased=aliased, states=st.integers(2, 3), actions=st.integers(1, 2)))
    p, r = mdp.transition, mdp.reward * 0
    r[-1] = abs(mdp.reward[-1])
    mdp = TabularMDP(p, r, mdp.initial, observation=mdp.observation)
    return mdp, draw(policies(mdp, observable=True))


def rollouts(mdp, pi, h, s):
    """Every continuation `((s, a), ...)` from `s` at step `h`, with its probability, success not yet counted."""
    steps, states, actions = mdp.shape
    for path in itertools.product(*[range(states)] * (steps - 1 - h)):
        path = (s, *path)
        for taken in itertools.product(range(actions), repeat=steps - h):
            chance = flint.fmpq(1)
            for i, (here, a) in enumerate(zip(path, taken, strict=True)):
                chance *= pi[h + i, here, a]
                if i + 1 < len(path):
                    chance *= mdp.transition[h + i, here, a, path[i + 1]]
            if chance:
                yield list(zip(path, taken, strict=True)), chance


def bayes(mdp, pi, error):
    """`P(a | h, s, evidence)` from the rollouts alone; the student where the evidence is impossible."""
    steps, states, actions = mdp.shape
    out = pi.copy()
    for h, s in np.ndindex(steps, states):
        joint = np.array([flint.fmpq(0)] * actions)
        for path, chance in rollouts(mdp, pi, h, s):
            wins = mdp.reward[-1][path[-1]]
            joint[path[0][1]] += chance * (wins * (1 - error) + (1 - wins) * error)
        if joint.sum():
            out[h, s] = joint / joint.sum()
    return out


# --- from the problem -------------------------------------------------------------------------------------------------


def test_optimal_by_hand():
    fork = instances.risky_fork()
    # risky, then good; elsewhere nothing matters and the first action is taken
    assert (experts.optimal(fork.mdp) == q([[[0, 1], [1, 0], [1, 0]], [[1, 0]] * 3])).all()


def test_soft_optimal_is_the_tilted_distribution_over_action_sequences():
    # deterministic: the soft-optimal policy draws whole sequences in proportion to exp(return / tau)
    rng = np.random.default_rng(0)
    steps, states, actions, tau = 4, 3, 2, 0.3
    to = rng.integers(0, states, (steps, states, actions))
    r = rng.normal(size=to.shape)
    pi = experts.soft_optimal(TabularMDP(np.eye(states)[to], r, [1.0, 0, 0]), tau)
    weights = np.zeros((steps, states, actions))
    for h, s in np.ndindex(steps, states):
        for sequence in itertools.product(range(actions), repeat=steps - h):
            here, total = s, 0.0
            for i, a in enumerate(sequence):
                total, here = total + r[h + i, here, a], to[h + i, here, a]
            weights[h, s, sequence[0]] += np.exp(total / tau)
    np.testing.assert_allclose(pi, weights / weights.sum(-1, keepdims=True), rtol=1e-12)


@pytest.fixture(scope="module")
def random_mdp():
    return instances.garnet(5, 3, 3, 4, seed=1, rewards="normal")


def test_soft_optimal_against_scipy_and_the_ends_of_its_temperature(random_mdp):
    for tau in (0.1, 1.0, 7.0):
        v = np.zeros(5)
        for h in reversed(range(4)):
            action_values = random_mdp.reward[h] + np.einsum("ijk,k->ij", random_mdp.transition[h], v)
            v = tau * logsumexp(action_values / tau, axis=1)
            expected = np.exp((action_values - v[:, None]) / tau)
            np.testing.assert_allclose(experts.soft_optimal(random_mdp, tau)[h], expected, rtol=1e-12)
    np.testing.assert_allclose(experts.soft_optimal(random_mdp, 1e-6), experts.optimal(random_mdp), rtol=0, atol=1e-12)
    np.testing.assert_allclose(experts.soft_optimal(random_mdp, 1e9), 1 / 3, rtol=1e-6)
    assert np.isfinite(experts.soft_optimal(random_mdp.convert("float64"), 1e-200)).all()


def test_soft_optimal_beats_other_policies_in_return_plus_entropy(random_mdp):
    rng, tau = np.random.default_rng(2), 0.5

    def worth(pi):
        d, reward = solve.occupancy(random_mdp, pi), solve.expected_return(random_mdp, pi)
        return reward - tau * (d * (pi * np.log(pi)).sum(axis=2)).sum(axis=(0, 1))

    best = experts.soft_optimal(random_mdp, tau)
    near = best * np.exp(0.01 * rng.normal(size=(*best.shape, 500)).T).T.mean(axis=-1)
    others = rng.dirichlet(np.ones(3), (500, 4, 5))
    assert all(worth(best) > worth(x) for x in (*others, near / near.sum(-1, keepdims=True)))


def test_soft_optimal_in_symbols_and_balls():
    x, y = sympy.symbols("x y")
    pi = experts.soft_optimal(Bandit([x, y]), 2)[0, 0]
    assert sympy.simplify(pi[0] - 1 / (1 + sympy.exp((y - x) / 2))) == 0
    with ns.precision(200):
        ball = experts.soft_optimal(Bandit(["0", "1"]).convert("ball"), "1/2")[0, 0, 0]
        assert ball.rad() < 1e-50
        assert (ball - 1 / (1 + flint.arb(2).exp())).contains(0)
    with pytest.raises(TypeError, match="ball"):
        experts.soft_optimal(Bandit(["0", "1"]))


# --- from the student's successes -------------------------------------------------------------------------------------


def test_success_conditioned_by_hand():
    teaching = instances.teaching_bandit()
    assert (experts.success_conditioned(teaching.mdp, teaching.student) == q([[["1/2", "1/2", 0]]])).all()
    # e = 1/10: weights (9, 9, 1)
    assert (experts.noisy(teaching.mdp, teaching.student, "1/10") == q([[["9/19", "9/19", "1/19"]]])).all()
    # the fork: at (0,0) Q = (1/2, 1/10), pi = (19, 1)/20: weights 95 and 1
    fork = instances.risky_fork()
    found = experts.success_conditioned(fork.mdp, fork.student)
    assert (found[0, 0] == q(["95/96", "1/96"])).all()
    assert (found[1, 1] == q([1, 0])).all()
    assert (found[1, [0, 2]] == fork.student[1, [0, 2]]).all()  # V = 0: nothing to learn


@given(successes(), st.sampled_from(["0", "1/7", "1"]))
def test_conditioning_is_bayes_rule_on_rollouts(case, error):
    mdp, pi = case
    assert (experts.noisy(mdp, pi, error) == bayes(mdp, pi, q(error)[()])).all()
    if error == "0":
        assert (experts.success_conditioned(mdp, pi) == bayes(mdp, pi, 0)).all()


@given(successes(aliased=True))
def test_an_unprivileged_teacher_is_bayes_rule_given_the_observation(case):
    mdp, pi = case
    found = experts.success_conditioned(mdp, pi, privileged=False)
    seen, joint = mdp.observation, np.full((mdp.shape[0], mdp.observations, mdp.shape[2]), flint.fmpq(0))
    for start in np.flatnonzero(mdp.initial != 0):
        for path, chance in rollouts(mdp, pi, 0, start):
            for h, (s, a) in enumerate(path):
                joint[h, seen[s], a] += mdp.initial[start] * chance * mdp.reward[-1][path[-1]]
    visited = pool(mdp, solve.occupancy(mdp, pi))
    for h, s in np.ndindex(mdp.shape[:2]):
        row = joint[h, seen[s]]
        if row.sum():
            assert (found[h, s] == row / row.sum()).all()
        elif visited[h, seen[s]]:
            assert (found[h, s] == pi[h, s]).all()


def test_two_ways_to_take_the_privilege_away():
    _, mdp, pi, star, _ = instances.success_aliased()
    # E[pi*|o] = ((5/9 + 0)/2, (4/9 + 1)/2); E[Q|o] = (1/2, 9/20)
    assert (experts.observed(mdp, star, pi) == q([[["5/18", "13/18"]] * 2])).all()
    assert (experts.success_conditioned(mdp, pi, privileged=False) == q([[["10/19", "9/19"]] * 2])).all()
    # e = 1/10: weights 9/10 1/2 + 1/10 1/2 and 9/10 9/20 + 1/10 11/20
    assert (experts.noisy(mdp, pi, "1/10", privileged=False) == q([[["25/48", "23/48"]] * 2])).all()


@given(successes())
def test_success_conditioning_raises_the_value_at_every_state(case):
    mdp, pi = case
    star = experts.success_conditioned(mdp, pi)
    assert (solve.values(mdp, star)[0] >= solve.values(mdp, pi)[0]).all()
    worse = experts.noisy(mdp, pi, 1)
    assert (solve.values(mdp, worse)[0] <= solve.values(mdp, pi)[0]).all()
    assert (experts.noisy(mdp, pi, "1/2") == pi).all()


@given(st.booleans(), st.data())
def test_claim_9_survives_aliasing_without_privilege(aliased, data):
    mdp, pi = data.draw(successes(aliased=aliased))
    star = experts.success_conditioned(mdp, pi, privileged=not aliased)
    rate = objectives.improvement_rate(mdp, pi, star, FORWARD_KL)
    v, action_values = solve.values(mdp, pi)
    d, expected = solve.occupancy(mdp, pi), flint.fmpq(0)
    for h, o in np.ndindex(mdp.shape[0], mdp.observations):
        behind = np.flatnonzero(mdp.observation == o)
        mass = d[h, behind].sum()
        if mass and (d[h, behind] * v[h, behind]).sum():
            mean = (d[h, behind, None] * action_values[h, behind]).sum(axis=0) / mass
            row = pi[h, behind[0]]
            expected += mass * ((row * mean**2).sum() / (row * mean).sum() - (row * mean).sum())
    assert rate == expected
    assert rate >= 0


@given(successes(aliased=True), st.data())
def test_observed_minimises_the_local_cross_entropy(case, data):
    mdp, pi = case
    star = data.draw(policies(mdp))
    best = experts.observed(mdp, star, pi)
    d = solve.occupancy(mdp, pi)
    # gradient of sum_s d(s) CE(pi*_s, x_o) in the logits of x_o: sum_s d(s) (x_o - pi*_s)
    assert (pool(mdp, d[:, :, None] * (best - star)) == 0).all()
    assert all((best[:, s] == best[:, list(mdp.observation).index(mdp.observation[s])]).all() for s in range(len(d[0])))
    plain = TabularMDP(mdp.transition, mdp.reward, mdp.initial)
    assert (experts.observed(plain, star, pi) == star).all()
