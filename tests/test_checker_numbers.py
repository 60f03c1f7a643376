"""The numbers behind the signs: what the checker computes is what the library computes, exactly or in tight balls."""

from fractions import Fraction

import numpy as np
import pytest
from flint import arb, ctx, fmpq

from distil_theory import certify, checker, efficiency, instances, updates
from distil_theory import number_systems as ns
from distil_theory.certify import DIVERGENCES, GENERATORS, Case
from distil_theory.spec import TabularMDP


def drawn(seed, divergence, geometry, eta=None, features=0):
    """Three steps, four states, three of which look alike, two actions; the last feature depends on the others."""
    rng = np.random.default_rng(seed)
    shape, seen = (3, 4, 2), [0, 1, 0, 0]

    def rational(x):
        return ns.convert(np.array([Fraction(int(n)) for n in x.flat], dtype=object).reshape(x.shape), "rational")

    def simplex(*shape):
        weights = rng.integers(1, 9, shape)
        return rational(weights) / rational(weights.sum(axis=-1, keepdims=True))

    mdp = TabularMDP(simplex(*shape, 4), rational(rng.integers(-3, 4, shape)), simplex(4), observation=seen)
    phi = [rational(rng.integers(-2, 3, (3, 2, 2))) for _ in range(features)]
    if features > 1:
        phi.append(phi[0] * 2 - phi[1] + 1)
    step = None if eta is None else fmpq(eta)
    return Case(mdp, simplex(3, 2, 2)[:, seen], simplex(*shape), DIVERGENCES[divergence], geometry, step, phi)


def numbers(case, divergence, expected=("gap", "rate", "change")):
    """What the checker computes for the certificate of a case."""
    signs = {name: "+" for name in expected[: 2 if case.eta is None else 3]}
    mdp, pi, star, _, geometry, eta, features, objective, level = case
    signs |= {} if level is None else {"efficiency": "+"}
    f, some = GENERATORS[divergence], features or None
    c = certify.certificate(mdp, pi, star, f, geometry, eta, signs, "drawn", "drawn", some, objective, level)
    return checker.quantities(checker.read(certify.text(c).encode()))


@pytest.mark.parametrize("features", [0, 1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_rates_are_those_of_the_library_exactly(seed, features):
    for divergence in ("forward_kl", "pearson_chi2", "neyman_chi2"):
        for geometry in ["natural", *(["euclidean"] if not features else [])]:
            case = drawn(seed, divergence, geometry, features=features)
            assert numbers(case, divergence) == {"gap": case.gap(), "rate": case.rate()}


@pytest.mark.parametrize("objective", ["weighted", "full"])
@pytest.mark.parametrize("seed", range(2))
def test_rates_of_other_objectives_are_those_of_the_library_exactly(seed, objective):
    for divergence in ("pearson_chi2", "neyman_chi2"):
        for geometry, features in (("natural", 0), ("natural", 2), ("euclidean", 0)):
            case = drawn(seed, divergence, geometry, features=features)._replace(objective=objective)
            assert numbers(case, divergence) == {"gap": case.gap(), "rate": case.rate()}


@pytest.mark.parametrize(("divergence", "objective"), [("forward_kl", "full cross-entropy"), ("reverse_kl", "full")])
def test_rates_of_other_objectives_with_logarithms(divergence, objective):
    for geometry in ("natural", "euclidean"):
        case = drawn(1, divergence, geometry)._replace(objective=objective)
        with ctx.workprec(200):
            difference = arb(numbers(case, divergence)["rate"]) - case.in_balls().rate()
            assert difference.contains(0)
            assert difference.rad() < 1e-30


@pytest.mark.parametrize("seed", range(4))
def test_proximal_changes_are_those_of_the_library_exactly(seed):
    case = drawn(seed, "forward_kl", "proximal", 3)
    assert numbers(case, "forward_kl") == {"gap": case.gap(), "rate": case.rate(), "change": case.change()}


@pytest.mark.parametrize(("geometry", "features"), [("natural", 0), ("natural", 2), ("euclidean", 0)])
def test_finite_changes_are_those_of_the_library_in_tight_balls(geometry, features):
    for divergence, eta in (("forward_kl", 2), ("reverse_kl", 1), ("pearson_chi2", 400)):
        case = drawn(5, divergence, geometry, eta, features)
        with ctx.workprec(200):
            balls = case.in_balls()
            found = numbers(case, divergence)
            for name in ("rate", "change"):
                difference = arb(found[name]) - getattr(balls, name)()
                assert difference.contains(0)
                assert difference.rad() < 1e-30
            assert arb(found["change"]).rad() < 1e-30


def test_a_state_of_no_expectation_counts_for_nothing():
    fork = instances.risky_fork()
    case = Case(fork.mdp, fork.student, fork.expert, DIVERGENCES["pearson_chi2"])
    assert numbers(case, "pearson_chi2") == {"gap": case.gap(), "rate": case.rate()}


@pytest.mark.parametrize(("geometry", "features"), [("natural", 0), ("natural", 2), ("euclidean", 0)])
@pytest.mark.parametrize("objective", ["local", "weighted", "full"])
def test_efficiencies_are_those_of_the_library_exactly(objective, geometry, features):
    for seed, level in ((1, "0"), (2, "1/7"), (3, "-1/7")):
        case = drawn(seed, "pearson_chi2", geometry, features=features)._replace(objective=objective, level=fmpq(0))
        found = efficiency.of_direction(case.mdp, case.student, updates.direction(*case.step), case.features)
        case = case._replace(level=ns.convert(level, "rational")[()])
        size = found.moved * found.best
        assert numbers(case, "pearson_chi2")["efficiency"] == size * case.efficiency()
        assert case.efficiency() == found.squared - case.level
