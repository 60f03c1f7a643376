"""The smallest counterexamples: right by hand, smallest by brute force in plain Python."""

from fractions import Fraction
from itertools import product
from math import log

import numpy as np
import pytest

from distil_theory import number_systems as ns
from distil_theory import objectives
from distil_theory.counterexamples import _lattice, smallest_counterexample
from distil_theory.divergences import BY_NAME, CATALOGUE, TOTAL_VARIATION
from distil_theory.spec import Bandit


def test_reverse_kl_by_hand():
    found = smallest_counterexample("reverse_kl")
    assert found.denominator == 7
    assert [x.tolist() for x in found[2:]] == [[1, 0, 1], [4, 2, 1], [1, 1, 5]]
    # J* = 6/7 > J = 5/7, and the rate 2/49 [4 log(1/4) + log 5 - 5 log(1/2)] = 2/49 log(5/8) is negative
    student, expert = ([[ns.convert(x, "float64") / 7]] for x in found[3:])
    rate = objectives.improvement_rate(Bandit(found.reward.astype(float)), student, expert, BY_NAME["reverse_kl"])
    assert rate == pytest.approx(2 / 49 * log(5 / 8))


def plain(h, n, actions):
    """Whether any bandit of denominator `n` fails, in plain Python, all orders of actions, no symmetry used."""
    points = [p for p in product(range(1, n), repeat=actions) if sum(p) == n]
    for reward, student, expert in product(product((0, 1), repeat=actions), points, points):
        if sum(r * (e - s) for r, s, e in zip(reward, student, expert, strict=True)) <= 0:
            continue
        score = [h(Fraction(e, s)) for s, e in zip(student, expert, strict=True)]
        mean = sum(Fraction(s * r, n) for s, r in zip(student, reward, strict=True))
        if sum(float(Fraction(s, n) * (r - mean)) * x for s, r, x in zip(student, reward, score, strict=True)) < -1e-12:
            return True
    return False


@pytest.mark.parametrize(
    ("name", "h", "smallest"),
    [
        ("reverse_kl", lambda u: log(u), 7),
        ("pearson_chi2", lambda u: float(u * u), 8),
        ("neyman_chi2", lambda u: -2 / float(u), 6),
        ("jensen_shannon", lambda u: log(1 + u), 9),
    ],
)
def test_nothing_smaller_fails(name, h, smallest):
    assert smallest_counterexample(name, 3).denominator == smallest
    assert plain(h, smallest, 3)
    assert not any(plain(h, n, 3) for n in range(3, smallest))


@pytest.mark.parametrize("divergence", CATALOGUE, ids=lambda d: d.name)
@pytest.mark.parametrize(("actions", "levels", "largest"), [(2, 3, 14), (3, 2, 9), (4, 1, 9)])
def test_what_is_found_fails_and_what_cannot_fail_is_not_found(divergence, actions, levels, largest):
    for geometry in ("natural", "euclidean"):
        found = smallest_counterexample(divergence.name, actions, geometry, largest=largest, levels=levels)
        if actions == 2 or (divergence.name, geometry) == ("forward_kl", "natural"):
            assert found is None  # claims 4 and 2
        elif found:
            assert found.student.sum() == found.expert.sum() == found.denominator <= largest
            exact = [ns.convert(x.astype(int), "rational") for x in found[2:]]
            reward, student, expert = (x / n for x, n in zip(exact, (levels, *[found.denominator] * 2), strict=True))
            assert (reward * (expert - student)).sum() > 0
            system = "rational" if "chi2" in divergence.name or divergence is TOTAL_VARIATION else "ball"
            with ns.precision(256):
                mdp = Bandit(reward).convert(system)
                pair = [ns.convert(x, system)[None, None] for x in (student, expert)]
                assert objectives.improvement_rate(mdp, *pair, divergence, geometry) < 0


def test_finite_steps_and_reward_levels():
    assert smallest_counterexample("reverse_kl", 3, eta=1.0, largest=9) is None  # the step is the expert
    assert smallest_counterexample("forward_kl", 3, eta=1.0).denominator == 7
    assert smallest_counterexample("total_variation", 3, largest=14) is None  # rewards 0 and 1: not with three actions
    assert smallest_counterexample("total_variation", 3, levels=2).denominator == 7
    assert smallest_counterexample("total_variation", 4).denominator == 8


def test_ties_are_no_counterexamples():
    # at n = 6 the rate of (3,2,1) against (2,2,2), rewards (2,0,3)/3, is exactly zero; as floats it is negative
    for divergence, geometry in (("total_variation", "natural"), ("forward_kl", "euclidean")):
        assert smallest_counterexample(divergence, 3, geometry, levels=3).denominator == 7


def test_the_lattice_is_complete_up_to_the_order_of_actions():
    seen = set()
    for reward, student, expert in _lattice(3, 6, 1):
        assert (student.sum(axis=0) == 6).all()
        assert (reward * (expert - student)).sum(axis=0).min() > 0
        seen |= {
            tuple(sorted(zip(*columns, strict=True))) for columns in zip(student.T, expert.T, reward.T, strict=True)
        }
    points = [p for p in product(range(1, 6), repeat=3) if sum(p) == 6]
    every = {
        tuple(sorted(zip(s, e, r, strict=True)))
        for s, e, r in product(points, points, product((0, 1), repeat=3))
        if sum(x * (b - a) for x, a, b in zip(r, s, e, strict=True)) > 0
    }
    assert {tuple(tuple(map(int, action)) for action in bandit) for bandit in seen} == every


def test_bad_input():
    for arguments in (("kl",), ("reverse_kl", 1), ("reverse_kl", 3, "riemann"), ("reverse_kl", 3, "natural", -1.0)):
        with pytest.raises(ValueError, match=r"unknown divergence|actions|geometry|eta"):
            smallest_counterexample(*arguments)
    with pytest.raises(ValueError, match="levels must be"):
        smallest_counterexample("reverse_kl", levels=0)
    assert np.array_equal(smallest_counterexample("reverse_kl", largest=6), None)
