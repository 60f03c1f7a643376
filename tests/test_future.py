"""The exact gradient, future part included: against autograd, differences, finite steps, and other systems."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distil_theory import number_systems as ns
from distil_theory import objectives, solve, updates
from distil_theory.divergences import CATALOGUE, CROSS_ENTROPY, FORWARD_KL, REVERSE_KL, FDivergence, alpha, skewed_js
from distil_theory.number_systems import kinds
from distil_theory.spec import TabularMDP, stack
from distil_theory.strategies import mdps, pairs
from tests.problems import occupancy, policy, random_pair

OBJECTIVES = [*CATALOGUE, CROSS_ENTROPY, alpha(1.5), alpha(-0.5), skewed_js(3)]
each = pytest.mark.parametrize("d", OBJECTIVES, ids=lambda d: d.name)
CASES = pytest.mark.parametrize(
    ("steps", "aliased", "batch"), [*itertools.product((1, 2, 4), (False, True), (0,)), (3, True, 2), (3, False, 2)]
)
PROBLEMS = mdps(states=st.integers(2, 3), actions=st.integers(2, 3), horizon=st.integers(1, 3), aliased=True)


def disagreement(d, star, pi):
    """`c_h(s)`, written without `FDivergence.value`."""
    if d is CROSS_ENTROPY:
        log = torch.log if ns.is_torch(pi) else np.log
        return -(star * log(pi)).sum(2)
    return (pi * d.f(star / pi)).sum(2)


def tensor_loss(mdp, theta, star, d, weight):
    """`E_pi sum_h w c`, with the occupancy carried along by a loop of its own."""
    pi, p = policy(mdp, theta), torch.tensor(np.array(mdp.transition))
    cost = disagreement(d, torch.tensor(star), pi) * torch.tensor(weight)
    here, total = torch.tensor(np.array(mdp.initial)), 0
    for h in range(len(pi)):
        total = total + (here * cost[h]).sum()
        here = torch.einsum("s...,sa...,sat...->t...", here, pi[h], p[h])
    return total


@each
@CASES
def test_the_full_gradient_is_that_of_autograd_through_the_occupancy(d, steps, aliased, batch):
    mdp, logits, expert = random_pair(steps, aliased, batch)
    for weight in (None, np.random.default_rng(1).random((steps, 3, *mdp.batch_shape))):
        theta = torch.tensor(logits, requires_grad=True)
        size = np.ones((steps, 3, *mdp.batch_shape)) if weight is None else weight
        tensor_loss(mdp, theta, expert, d, size).backward()
        ours = objectives.loss_gradient(mdp, policy(mdp, logits), expert, d, weight, "full")
        error = np.linalg.norm(ours - theta.grad.numpy()) / np.linalg.norm(ours)
        assert error < 1e-12
        unit = np.random.default_rng(2).normal(size=logits.shape)
        ends = [tensor_loss(mdp, torch.tensor(logits + e * unit), expert, d, size) for e in (1e-5, -1e-5)]
        scale = 1 + abs(ours).max()
        assert float(ends[0] - ends[1]) / 2e-5 == pytest.approx((ours * unit).sum(), rel=1e-5, abs=1e-7 * scale)


@each
def test_local_and_future_add_up_to_full(d):
    mdp, logits, expert = random_pair(3, True, 2)
    pi = policy(mdp, logits)
    for compute in (objectives.loss_gradient, objectives.pooled_score):
        local, future, full = (compute(mdp, pi, expert, d, part=part) for part in ("local", "future", "full"))
        np.testing.assert_allclose(local + future, full, rtol=1e-12, atol=1e-14)
        assert abs(future).max() > 1e-3
        assert (future[-1] == 0).all()
    assert (objectives.loss_gradient(mdp, pi, expert, d) == local_gradient(mdp, pi, expert, d)).all()


def local_gradient(mdp, pi, expert, d):
    return objectives.evaluate(mdp, pi, expert, d).loss_gradient


@each
@pytest.mark.parametrize("geometry", ["natural", "euclidean"])
@pytest.mark.parametrize("part", ["local", "future", "full"])
def test_the_rate_is_the_slope_of_the_return_along_the_step(d, geometry, part):
    for aliased in (False, True):
        mdp, logits, expert = random_pair(3, aliased)
        pi = policy(mdp, logits)
        move = updates.direction(mdp, pi, expert, d, geometry, part=part)
        ends = [solve.expected_return(mdp, updates.exponential_step(mdp, pi, move, e)) for e in (1e-5, -1e-5)]
        rate = objectives.improvement_rate(mdp, pi, expert, d, geometry, part=part)
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(rate, rel=1e-5, abs=1e-7 * (1 + abs(move).max()))
        assert updates.first_order_change(mdp, pi, move) == pytest.approx(rate, rel=1e-10)


def test_the_natural_step_is_the_gradient_divided_by_the_fisher_matrix():
    mdp, logits, expert = random_pair(3, True)
    pi = policy(mdp, logits)
    gradient = objectives.loss_gradient(mdp, pi, expert, REVERSE_KL, part="full")
    move = updates.direction(mdp, pi, expert, REVERSE_KL, part="full")
    seen = np.stack([occupancy(mdp, pi)[:, np.array(mdp.observation) == o].sum(axis=1) for o in (0, 1)], axis=1)
    for h, o in np.ndindex(3, 2):
        p = pi[h, list(mdp.observation).index(o)]
        fisher = seen[h, o] * (np.diag(p) - np.outer(p, p))
        np.testing.assert_allclose(fisher @ move[h, o], -gradient[h, o], atol=1e-13)


def test_cross_entropy_differs_from_forward_kl_by_the_entropy_of_the_expert_and_in_the_future_only():
    mdp, logits, expert = random_pair(3, False, 2)
    pi = policy(mdp, logits)
    entropy = -(expert * np.log(expert)).sum(axis=2)
    gap = objectives.loss(mdp, pi, expert, CROSS_ENTROPY) - objectives.loss(mdp, pi, expert, FORWARD_KL)
    np.testing.assert_allclose(gap, (occupancy(mdp, pi) * entropy).sum(axis=(0, 1)), rtol=1e-12)
    cross, kl = (objectives.loss_gradient(mdp, pi, expert, d) for d in (CROSS_ENTROPY, FORWARD_KL))
    np.testing.assert_array_equal(cross, kl)
    cross, kl = (objectives.loss_gradient(mdp, pi, expert, d, part="full") for d in (CROSS_ENTROPY, FORWARD_KL))
    assert abs(cross - kl).max() > 1e-2
    certain = np.eye(3)[expert.argmax(axis=2)].transpose(0, 1, 3, 2)  # a deterministic expert has no entropy
    cross, kl = (objectives.loss_gradient(mdp, pi, certain, d, part="full") for d in (CROSS_ENTROPY, FORWARD_KL))
    np.testing.assert_allclose(cross, kl, atol=1e-13)


class Arbitrary(FDivergence):
    """A disagreement of arbitrary rationals, and an `h` of arbitrary rationals: every identity is linear in both."""

    def value(self, expert, student, axis=-1):
        return (expert**2 + student * 3 - expert * student / 7).sum(axis=axis)


LINEAR = Arbitrary("linear", lambda u: u, lambda u: u * u / 3 - u + 2)


@given(pairs(PROBLEMS, positive=True))
def test_the_rate_is_gradient_times_step_exactly_under_hidden_state(pair):
    mdp, pi, star = pair
    for part, geometry in itertools.product(("local", "future", "full"), ("natural", "euclidean")):
        rate = objectives.improvement_rate(mdp, pi, star, LINEAR, geometry, part=part)
        move = updates.direction(mdp, pi, star, LINEAR, geometry, part=part)
        assert rate == updates.first_order_change(mdp, pi, move)
        if geometry == "euclidean":
            gradient = objectives.loss_gradient(mdp, pi, star, LINEAR, part=part)
            assert rate == -(gradient * objectives.return_gradient(mdp, pi)).sum()


def test_a_future_cost_by_hand():
    # two steps, action 0 leads to state 0, action 1 to state 1; the expert agrees in state 0 and differs in state 1
    go = [[[1, 0], [0, 1]]] * 2
    mdp = TabularMDP(np.array([go, go], dtype=float), np.zeros((2, 2, 2)), np.array([1.0, 0.0]))
    pi = np.full((2, 2, 2), 0.5)
    star = pi.copy()
    star[1, 1] = [1, 0]  # cross-entropy log 2 there, as everywhere; Kullback-Leibler log 2 there, elsewhere 0
    kl = objectives.loss_gradient(mdp, pi, star, FORWARD_KL, part="future")
    np.testing.assert_allclose(kl[0, 0], [-np.log(2) / 4, np.log(2) / 4], rtol=1e-14)
    assert (kl[0, 1] == 0).all()
    assert (kl[1] == 0).all()
    cross = objectives.loss_gradient(mdp, pi, star, CROSS_ENTROPY, part="future")
    np.testing.assert_allclose(cross, 0, atol=1e-16)


@pytest.mark.parametrize("d", [FORWARD_KL, REVERSE_KL, CROSS_ENTROPY], ids=lambda d: d.name)
def test_the_other_number_systems_agree(d):
    mdp, logits, expert = random_pair(3, True)
    pi = policy(mdp, logits)
    expected = objectives.loss_gradient(mdp, pi, expert, d, part="full")
    tensor = objectives.loss_gradient(mdp.convert("torch"), torch.tensor(pi), torch.tensor(expert), d, part="full")
    np.testing.assert_allclose(tensor.numpy(), expected, rtol=1e-12)
    rational = [kinds.convert(x, "rational") for x in (mdp.transition, mdp.reward, mdp.initial, pi, expert)]
    p, rho, pi, star = (x / x.sum(axis=-1, keepdims=True) for x in (rational[0], *rational[2:]))
    exact = TabularMDP(p, rational[1], rho, None, mdp.observation).convert("ball")
    ball = objectives.loss_gradient(exact, *(ns.convert(x, "ball") for x in (pi, star)), d, part="full")
    np.testing.assert_allclose(ns.convert(ball, "float64"), expected, rtol=1e-9, atol=1e-12)


def test_a_large_batch_in_pieces_is_the_same():
    mdp, logits, expert = random_pair(3, False)
    pi = policy(mdp, logits)
    many = stack([mdp] * 3000)
    repeated = [np.repeat(x[..., None], 3000, axis=-1) for x in (pi, expert)]
    got = objectives.loss_gradient(many, *repeated, CROSS_ENTROPY, part="full")
    np.testing.assert_allclose(got[..., -1], objectives.loss_gradient(mdp, pi, expert, CROSS_ENTROPY, part="full"))


def test_an_unknown_part_is_refused():
    mdp, logits, expert = random_pair(2, False)
    with pytest.raises(ValueError, match="unknown part of the gradient 'sequence': choose from local, future, full"):
        objectives.loss_gradient(mdp, policy(mdp, logits), expert, FORWARD_KL, part="sequence")
    with pytest.raises(ValueError, match="unknown part"):
        objectives.improvement_rate(mdp, policy(mdp, logits), expert, FORWARD_KL, part="")
