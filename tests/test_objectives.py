"""Local gradients against autograd and differences; claims 1, 2 and 4 exactly, in balls and symbolically."""

import itertools

import flint
import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distil_theory import aliasing, objectives, solve, updates
from distil_theory import number_systems as ns
from distil_theory.divergences import CATALOGUE, FDivergence, alpha, generalized_js, skewed_js
from distil_theory.spec import TabularMDP
from distil_theory.strategies import mdps, pairs
from tests.problems import occupancy, policy, random_pair

DIVERGENCES = [*CATALOGUE, alpha(1.5), alpha(-0.5), skewed_js(3), generalized_js(0.25)]
each = pytest.mark.parametrize("d", DIVERGENCES, ids=lambda d: d.name)
small = st.integers(2, 3)
ALIASED = mdps(states=small, actions=small, aliased=True)
UNALIASED = mdps(states=small, actions=small)


def exact(x):
    return ns.convert(x, "rational")


CASES = pytest.mark.parametrize(
    ("steps", "aliased", "batch"), [*itertools.product((1, 2, 3), (False, True), (0,)), (2, True, 2), (2, False, 2)]
)


@each
@CASES
def test_local_gradient_is_that_of_autograd(d, steps, aliased, batch):
    mdp, logits, expert = random_pair(steps, aliased, batch)
    weight = np.random.default_rng(1).random((steps, 3, *mdp.batch_shape))
    fixed = occupancy(mdp, policy(mdp, logits))

    def loss(theta, weight):
        pi = policy(mdp, theta)
        star = torch.tensor(expert) if ns.is_torch(pi) else expert
        states = torch.tensor(fixed * weight) if ns.is_torch(pi) else fixed * weight
        return (states[:, :, None] * pi * d.f(star / pi)).sum()

    for w in (None, weight):
        theta = torch.tensor(logits, requires_grad=True)
        size = np.ones_like(fixed) if w is None else w
        loss(theta, size).backward()
        ours = objectives.loss_gradient(mdp, policy(mdp, logits), expert, d, w)
        assert ours.shape == logits.shape
        scale = 1 + abs(ours).max()
        np.testing.assert_allclose(ours, theta.grad.numpy(), rtol=1e-12, atol=1e-12 * scale)
        unit = np.random.default_rng(2).normal(size=logits.shape)
        difference = (loss(logits + 1e-5 * unit, size) - loss(logits - 1e-5 * unit, size)) / 2e-5
        assert difference == pytest.approx((ours * unit).sum(), rel=1e-5, abs=1e-7 * scale)
    by_hand = (fixed * (policy(mdp, logits) * d.f(expert / policy(mdp, logits))).sum(2)).sum(axis=(0, 1))
    np.testing.assert_allclose(objectives.loss(mdp, policy(mdp, logits), expert, d), by_hand, rtol=1e-12)


@CASES
def test_return_gradient_is_that_of_autograd_through_the_solver(steps, aliased, batch):
    mdp, logits, _ = random_pair(steps, aliased, batch)
    theta = torch.tensor(logits, requires_grad=True)
    solve.expected_return(mdp.convert("torch"), policy(mdp, theta)).sum().backward()
    ours = objectives.return_gradient(mdp, policy(mdp, logits))
    np.testing.assert_allclose(ours, theta.grad.numpy(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(ours.sum(axis=2), 0, atol=1e-14)


@pytest.mark.parametrize("aliased", [False, True])
def test_one_student_meets_many_experts_and_weights_and_the_other_way_round(aliased):
    mdp, logits, _ = random_pair(2, aliased)
    rng = np.random.default_rng(3)
    pis = [policy(mdp, scale * logits) for scale in (-1, 0.5)]
    stars = [rng.dirichlet(np.ones(3), (2, 3)) for _ in range(2)]
    weights = [rng.random((2, 3)) for _ in range(2)]
    both = {"student": np.stack(pis, -1), "expert": np.stack(stars, -1), "weight": np.stack(weights, -1)}
    for many in (["student"], ["expert"], ["weight", "expert"], ["weight", "student", "expert"]):
        first = {"student": pis[0], "expert": stars[0], "weight": weights[0]}
        together = objectives.evaluate(mdp, divergence=CATALOGUE[1], **(first | {who: both[who] for who in many}))
        for i in range(2):
            alone = objectives.evaluate(
                mdp, divergence=CATALOGUE[1], **(first | {who: both[who][..., i] for who in many})
            )
            for x, y in zip(together, alone, strict=True):
                assert x.shape == (*y.shape, 2)
                np.testing.assert_allclose(x[..., i], y, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("aliased", [False, True])
def test_torch_agrees_with_numpy(aliased):
    mdp, logits, expert = random_pair(2, aliased)
    pi = policy(mdp, logits)
    for d in CATALOGUE:
        for geometry in ("natural", "euclidean"):
            expected = objectives.improvement_rate(mdp, pi, expert, d, geometry)
            got = objectives.improvement_rate(mdp.convert("torch"), torch.tensor(pi), torch.tensor(expert), d, geometry)
            assert float(got) == pytest.approx(expected, rel=1e-11)


def arbitrary(table):
    """A divergence whose `h` is any table: everything is linear in it."""
    return FDivergence("arbitrary", lambda u: u * 0, lambda u: table if np.shape(u) == table.shape else u)


def table(draw, shape):
    size = int(np.prod(shape))
    numbers = draw(st.lists(st.integers(-9, 9), min_size=size, max_size=size))
    return np.array([flint.fmpq(n, 7) for n in numbers], dtype=object).reshape(shape)


@pytest.mark.parametrize("problems", [UNALIASED, ALIASED], ids=["unaliased", "aliased"])
def test_claim_1_exactly(problems):
    @given(pairs(problems), st.data())
    def check(pair, data):
        mdp, student, expert = pair
        d = arbitrary(table(data.draw, mdp.shape))
        weight = data.draw(st.sampled_from([None, table(data.draw, mdp.shape[:2])]))
        for geometry in ("natural", "euclidean"):
            step = updates.direction(mdp, student, expert, d, geometry, weight)
            rate = objectives.improvement_rate(mdp, student, expert, d, geometry, weight)
            assert updates.first_order_change(mdp, student, step) == rate
            centre = (aliasing.visible(mdp, student) * step).sum(axis=2)
            assert (centre == 0).all()
        assert (
            rate
            == -(
                objectives.return_gradient(mdp, student) * objectives.loss_gradient(mdp, student, expert, d, weight)
            ).sum()
        )
        assert objectives.improvement_rate(mdp, student, expert, d, "proximal", weight) == objectives.improvement_rate(
            mdp, student, expert, d, "natural", weight
        )

    check()


@pytest.mark.parametrize("problems", [UNALIASED, ALIASED], ids=["unaliased", "aliased"])
def test_claim_1_in_balls_with_true_logs(problems):
    @settings(max_examples=8)
    @given(pairs(problems, positive=True))
    def check(pair):
        with ns.precision(256):
            mdp = pair.mdp.convert("ball")
            pi, star = (ns.convert(p, "ball") for p in (pair.student, pair.expert))
            for d, geometry in itertools.product(DIVERGENCES, ("natural", "euclidean")):
                if d.name == "total_variation" and (pair.student == pair.expert).any():
                    continue  # its h is undecided where a ball around 1 has a radius
                step = updates.direction(mdp, pi, star, d, geometry)
                difference = updates.first_order_change(mdp, pi, step)
                difference -= objectives.improvement_rate(mdp, pi, star, d, geometry)
                assert difference.contains(0)
                assert difference.rad() < 1e-30

    check()


@pytest.mark.parametrize("aliased", [False, True])
def test_claim_1_symbolically(aliased):
    # a generic MDP, H = S = A = 2: every probability, reward and entry of h is a symbol (aliased: fixed transitions)
    def rows(name, *lead):
        p = np.empty((*lead, 2), dtype=object)
        for index in np.ndindex(*lead):
            p[index] = [x := sympy.Symbol(f"{name}{''.join(map(str, index))}", positive=True), 1 - x]
        return p

    def symbols(name, *shape):
        return np.array(sympy.symbols(f"{name}:{int(np.prod(shape))}"), dtype=object).reshape(shape)

    observation = [0, 0] if aliased else None
    transition = ns.convert([[[["1/3", "2/3"], ["1/2", "1/2"]], [[0, 1], ["3/4", "1/4"]]]] * 2, "symbolic")
    if not aliased:
        transition = rows("p", 2, 2, 2)
    mdp = TabularMDP(transition, symbols("r", 2, 2, 2), rows("d"), None, observation)
    pi = rows("x", 2, 1)[:, [0, 0]] if aliased else rows("x", 2, 2)
    star = rows("y", 2, 2)
    d = arbitrary(symbols("h", 2, 2, 2))
    for geometry in ("natural", "euclidean"):
        change = updates.first_order_change(mdp, pi, updates.direction(mdp, pi, star, d, geometry))
        rate = objectives.improvement_rate(mdp, pi, star, d, geometry)
        assert rate != 0
        assert sympy.cancel(sympy.together(change - rate)) == 0 if aliased else sympy.expand(change - rate) == 0
