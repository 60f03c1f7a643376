"""Steps: the Fisher matrix built explicitly, finite steps against rates, the proximal minimiser, symmetries."""

import flint
import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from distil_theory import number_systems as ns
from distil_theory import objectives, solve, updates
from distil_theory.divergences import BY_NAME, CATALOGUE, FORWARD_KL, TOTAL_VARIATION, FDivergence, alpha, skewed_js
from distil_theory.point import GEOMETRIES
from distil_theory.spec import Bandit, TabularMDP, stack
from distil_theory.strategies import bandits, mdps, pairs

DIVERGENCES = [*CATALOGUE, alpha(1.5), skewed_js(3)]
SMOOTH = [d for d in DIVERGENCES if d is not TOTAL_VARIATION]
small = st.integers(2, 3)
ARBITRARY = FDivergence("arbitrary", lambda u: u * 0, lambda u: u * u * u - 2 * u)
"""Rational; not even a divergence: `h` is not monotone."""


def random_pair(seed, steps=2, states=3, actions=3, observation=(0, 1, 0)):
    rng = np.random.default_rng(seed)
    mdp = TabularMDP(
        rng.dirichlet(np.ones(states), (steps, states, actions)),
        rng.random((steps, states, actions)),
        rng.dirichlet(np.ones(states)),
        None,
        observation,
    )
    pi = rng.dirichlet(2 * np.ones(actions), (steps, max(observation) + 1))[:, list(observation)]
    return mdp, pi, rng.dirichlet(2 * np.ones(actions), (steps, states))


@pytest.mark.parametrize("observation", [(0, 1, 2), (2, 0, 1), (0, 1, 0), (0, 0, 0)])
@pytest.mark.parametrize("weighted", [False, True])
def test_natural_direction_is_the_inverse_fisher_matrix_times_the_gradient(observation, weighted):
    mdp, pi, star = random_pair(3, observation=observation)
    weight = np.random.default_rng(4).random((2, 3)) if weighted else None
    d_pi = solve.occupancy(mdp, pi)
    for d in DIVERGENCES:
        gradient = objectives.loss_gradient(mdp, pi, star, d, weight)
        step = updates.direction(mdp, pi, star, d, "natural", weight)
        for h, o in np.ndindex(2, max(observation) + 1):
            fisher = np.zeros((3, 3))
            for s in np.flatnonzero(np.array(observation) == o):
                for a in range(3):
                    score = np.eye(3)[a] - pi[h, s]  # gradient of log pi(a|o) in the logits
                    fisher += d_pi[h, s] * pi[h, s, a] * np.outer(score, score)
            natural = -np.linalg.pinv(fisher) @ gradient[h, o]
            p = pi[h, list(observation).index(o)]
            np.testing.assert_allclose(step[h, o], natural - p @ natural, rtol=1e-9, atol=1e-10)
            assert p @ step[h, o] == pytest.approx(0, abs=1e-12)
        plain = updates.direction(mdp, pi, star, d, "euclidean", weight)
        np.testing.assert_allclose(plain - plain.mean(axis=2, keepdims=True), -gradient, atol=1e-13)


@pytest.mark.parametrize("observation", [(0, 1, 2), (0, 1, 0)])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_finite_steps_have_the_rate(observation, geometry):
    mdp, pi, star = random_pair(5, observation=observation)
    eta = 1e-5 if geometry == "proximal" else 1e-4
    for d in SMOOTH:
        rate = objectives.improvement_rate(mdp, pi, star, d, geometry)
        before = solve.expected_return(mdp, pi)
        if geometry == "proximal":  # eta > 0 only: Richardson
            change = [solve.expected_return(mdp, updates.proximal_step(mdp, pi, star, d, e)) for e in (eta, 2 * eta)]
            slope = 2 * (change[0] - before) / eta - (change[1] - before) / (2 * eta)
        else:
            step = updates.direction(mdp, pi, star, d, geometry)
            change = [solve.expected_return(mdp, updates.exponential_step(mdp, pi, step, e)) for e in (eta, -eta)]
            slope = (change[0] - change[1]) / (2 * eta)
            many = updates.exponential_step(mdp, pi, step, np.array([eta, -eta]))
            np.testing.assert_allclose(solve.expected_return(mdp, many), change, rtol=1e-14)
        assert slope == pytest.approx(rate, rel=1e-4, abs=1e-6)


def test_exponential_step_by_hand():
    pi = np.array([[[0.25, 0.75]]])
    bandit = Bandit([1.0, 0.0])
    new = updates.exponential_step(bandit, pi, np.array([[[np.log(9), 0]]]), 0.5)  # odds 1/3 * 9^(1/2) = 1
    np.testing.assert_allclose(new, [[[0.5, 0.5]]], rtol=1e-15)
    far = updates.exponential_step(bandit, pi, np.array([[[2000.0, 0]]]), 1.0)  # nothing overflows
    np.testing.assert_array_equal(far, [[[1.0, 0.0]]])


def test_one_student_takes_many_steps():
    mdp, pi, star = random_pair(12)
    directions = [updates.direction(mdp, pi, star, d) for d in DIVERGENCES[:3]]
    for eta in (0.7, np.array([0.7, 0.1, 2.0])):
        many = updates.exponential_step(mdp, pi, np.stack(directions, axis=-1), eta)
        for i, step in enumerate(directions):
            alone = updates.exponential_step(mdp, pi, step, np.broadcast_to(eta, 3)[i])
            np.testing.assert_allclose(many[..., i], alone, rtol=1e-14)


def test_one_student_many_directions_and_one_direction_of_many_students():
    rng = np.random.default_rng(4)
    mdp = Bandit(rng.normal(size=(3, 4)), [0.2, 0.3, 0.5])
    students = rng.dirichlet(np.ones(4), size=(1, 3, 5)).swapaxes(2, 3)
    ways = rng.normal(size=(1, 3, 4, 5))
    both = updates.first_order_change(mdp, students, ways)
    for i in range(5):
        one, way = students[..., i], ways[..., i]
        gradient = objectives.return_gradient(mdp, one)
        np.testing.assert_allclose(both[i], (gradient * way).sum())
        np.testing.assert_allclose(updates.first_order_change(mdp, one, ways)[i], (gradient * way).sum())
        np.testing.assert_allclose(updates.first_order_change(mdp, students, ways[..., 0])[i],
                                   (gradient * ways[..., 0]).sum())  # fmt: skip
    with pytest.raises(ValueError, match=r"^step_direction has batch shape \(4,\), the MDPs and policies have \(5,\)$"):
        updates.first_order_change(mdp, students, ways[..., :4])


def test_a_step_in_symbols_is_the_formula():
    p, x, y, eta = sympy.symbols("p x y eta", positive=True)
    pi, step = np.array([[[p, 1 - p]]], dtype=object), np.array([[[x, y]]], dtype=object)
    new = updates.exponential_step(Bandit([1, 0]).convert("symbolic"), pi, step, eta)[0, 0, 0]
    assert not new.has(sympy.Max)  # with which no calculus goes on
    assert sympy.simplify(new - p * sympy.exp(eta * x) / (p * sympy.exp(eta * x) + (1 - p) * sympy.exp(eta * y))) == 0


def relative_entropy(p, q):
    return (p * np.log(p / q)).sum()


@pytest.mark.parametrize("observation", [(0, 1, 2), (0, 1, 0)])
@pytest.mark.parametrize("d", DIVERGENCES, ids=lambda d: d.name)
@pytest.mark.parametrize("eta", [0.05, 1.0, 20.0])
def test_proximal_step_minimises(observation, d, eta):
    mdp, pi, star = random_pair(6, observation=observation)
    d_pi = solve.occupancy(mdp, pi)
    new = updates.proximal_step(mdp, pi, star, d, eta)
    np.testing.assert_allclose(new.sum(axis=2), 1, rtol=1e-14)
    rng = np.random.default_rng(7)
    for h, o in np.ndindex(2, max(observation) + 1):
        states = np.flatnonzero(np.array(observation) == o)
        belief = d_pi[h, states] / d_pi[h, states].sum()

        def objective(x, h=h, states=states, belief=belief):
            value = sum(b * (x * d.f(star[h, s] / x)).sum() for b, s in zip(belief, states, strict=True))
            return value + relative_entropy(pi[h, states[0]], x) / eta

        x = new[h, states[0]]
        assert (new[h, states] == x).all()
        least = objective(x)

        def softmax(z):
            w = np.exp(z - z.max())
            return w / w.sum()

        found = minimize(lambda z, goal=objective: goal(softmax(z)), np.log(x) + 0.1, method="Nelder-Mead")
        assert least <= found.fun + 1e-9
        for size in (1e-3, 1e-1, 1):
            assert all(least <= objective(softmax(np.log(x) + size * rng.normal(size=3))) for _ in range(10))


@given(pairs(mdps(states=small, actions=small, aliased=True)))
def test_proximal_forward_kl_is_the_mixture_with_the_pooled_expert(pair):
    mdp, student, expert = pair
    eta = flint.fmpq(3, 2)
    d = solve.occupancy(mdp, student)
    new = updates.proximal_step(mdp, student, expert, FORWARD_KL, eta)
    assert (new.sum(axis=2) == 1).all()
    for h, s in np.ndindex(mdp.shape[:2]):
        alike = np.flatnonzero(mdp.observation == mdp.observation[s])
        mass = d[h, alike].sum()
        belief = d[h, alike] / mass if mass != 0 else [flint.fmpq(1, len(alike))] * len(alike)
        target = sum(b * expert[h, j] for b, j in zip(belief, alike, strict=True))
        assert (new[h, s] * (1 + eta) == student[h, s] + eta * target).all()


@given(pairs(bandits(actions=small)), st.sampled_from(["1/10", "1", "5", "1000"]))
def test_claim_7a_exactly(pair, eta):
    mdp, student, expert = pair
    eta = ns.convert([eta], "rational")[0]
    before, target = solve.expected_return(mdp, student), solve.expected_return(mdp, expert)
    after = solve.expected_return(mdp, updates.proximal_step(mdp, student, expert, FORWARD_KL, eta))
    assert after == before + eta / (1 + eta) * (target - before)


def test_proximal_agrees_with_the_closed_form_and_in_batches():
    mdp, pi, star = random_pair(8)
    etas = np.array([0.1, 30.0])
    closed = updates.proximal_step(mdp, pi, star, FORWARD_KL, etas)
    np.testing.assert_allclose(updates.proximal_step(mdp, pi, star, alpha(1), etas), closed, rtol=1e-11)
    for i, eta in enumerate(etas):
        for d in (BY_NAME["reverse_kl"], BY_NAME["hellinger"]):
            batched = updates.proximal_step(mdp, pi, star, d, etas)[..., i]
            np.testing.assert_allclose(updates.proximal_step(mdp, pi, star, d, eta), batched, rtol=1e-12)
    two = stack([mdp, random_pair(9)[0]])
    pis, stars = (np.stack([x, y], -1) for x, y in zip((pi, star), random_pair(9)[1:], strict=True))
    for geometry in ("natural", "euclidean"):
        rates = objectives.improvement_rate(two, pis, stars, FORWARD_KL, geometry)
        assert rates[0] == pytest.approx(objectives.improvement_rate(mdp, pi, star, FORWARD_KL, geometry))
        assert rates[1] == pytest.approx(objectives.improvement_rate(*random_pair(9), FORWARD_KL, geometry))


@pytest.mark.parametrize("actions", [2, 3, 5])
def test_claim_7b_lower_bound(actions):
    rng = np.random.default_rng(10)
    n = 4000
    pi, star = (rng.dirichlet(np.ones(actions), n).T[None, None] for _ in range(2))
    mdp = Bandit(rng.random((actions, n)), batch_ndim=1)
    gap = solve.expected_return(mdp, star) - solve.expected_return(mdp, pi)
    u = (star / pi)[0, 0]
    span, R = np.ptp(u, axis=0), np.ptp(mdp.reward[0, 0], axis=0)
    step = updates.direction(mdp, pi, star, FORWARD_KL)
    for eta in (0.01, 0.1, 0.5, 1.0, 3.0):
        change = solve.expected_return(mdp, updates.exponential_step(mdp, pi, step, eta))
        change -= solve.expected_return(mdp, pi)
        slack = change - eta * gap + eta**2 * span**2 * R / (12 * np.sqrt(3))
        assert (slack >= -1e-12).all()


@pytest.mark.parametrize("d", SMOOTH, ids=lambda d: d.name)
def test_expert_equal_to_student_stays(d):
    mdp, pi, _ = random_pair(11, observation=(0, 1, 0))
    for geometry in ("natural", "euclidean"):
        np.testing.assert_allclose(updates.direction(mdp, pi, pi, d, geometry), 0, atol=1e-14)
    np.testing.assert_allclose(updates.proximal_step(mdp, pi, pi, d, 3.0), pi, rtol=1e-9)


@given(pairs(bandits(actions=3)), st.permutations([0, 1, 2]))
def test_symmetries_of_the_natural_rate(pair, order):
    mdp, student, expert = pair
    reward = mdp.reward[0, 0]

    def rate(reward, student, expert, geometry="natural"):
        return objectives.improvement_rate(Bandit(reward), student, expert, ARBITRARY, geometry)

    base = rate(reward, student, expert)
    for geometry in ("natural", "euclidean"):
        here = rate(reward, student, expert, geometry)
        assert rate(reward[order], student[:, :, order], expert[:, :, order], geometry) == here
        assert rate(reward + flint.fmpq(5, 3), student, expert, geometry) == here
        assert rate(reward * 2, student, expert, geometry) == 2 * here

    def split(p):  # the first action twice, at a third and two thirds of its mass: the same ratio u
        return np.concatenate([p[..., :1] / 3, 2 * p[..., :1] / 3, p[..., 1:]], axis=-1)

    assert rate(np.concatenate([reward[:1], reward]), split(student), split(expert)) == base


@given(pairs(mdps(states=2, actions=2, horizon=2)))
def test_action_permutation_in_mdps(pair):
    mdp, student, expert = pair
    other = TabularMDP(mdp.transition[:, :, ::-1], mdp.reward[:, :, ::-1], mdp.initial, None, mdp.observation)
    for geometry in ("natural", "euclidean"):
        rate = objectives.improvement_rate(mdp, student, expert, ARBITRARY, geometry)
        assert objectives.improvement_rate(other, student[:, :, ::-1], expert[:, :, ::-1], ARBITRARY, geometry) == rate
