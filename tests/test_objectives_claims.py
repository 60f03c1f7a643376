"""Claims 2 and 4 exactly, in balls and symbolically; pooling over hidden states by hand."""

import flint
import numpy as np
import pytest
import sympy
from hypothesis import assume, given
from hypothesis import strategies as st

from distil_theory import aliasing, objectives, solve, updates
from distil_theory import number_systems as ns
from distil_theory.divergences import CATALOGUE, FORWARD_KL, alpha, generalized_js, skewed_js
from distil_theory.spec import TabularMDP
from distil_theory.strategies import bandits, mdps, pairs

DIVERGENCES = [*CATALOGUE, alpha(1.5), alpha(-0.5), skewed_js(3), generalized_js(0.25)]
small = st.integers(2, 3)
ALIASED = mdps(states=small, actions=small, aliased=True)
UNALIASED = mdps(states=small, actions=small)


def exact(x):
    return ns.convert(x, "rational")


@given(pairs(bandits(actions=small)))
def test_claim_2_in_bandits(pair):
    gap = solve.expected_return(pair.mdp, pair.expert) - solve.expected_return(pair.mdp, pair.student)
    assert objectives.improvement_rate(*pair, FORWARD_KL) == gap


@given(pairs(UNALIASED))
def test_claim_2_in_mdps(pair):
    mdp, student, expert = pair
    w = objectives.occupancy_ratio(*pair)
    ours, theirs = solve.occupancy(mdp, student), solve.occupancy(mdp, expert)
    assert (w * ours == theirs)[ours != 0].all()
    assert (w[ours == 0] == 0).all()
    gap = solve.expected_return(mdp, expert) - solve.expected_return(mdp, student)
    assert (theirs[ours == 0] == 0).all()  # a full-support student goes wherever the expert goes
    assert objectives.improvement_rate(*pair, FORWARD_KL, "natural", w) == gap


def test_claim_2_symbolically():
    x, y, q0, q1, z0, z1 = sympy.symbols("x y q0 q1 z0 z1", positive=True)
    r = np.array(sympy.symbols("r:8"), dtype=object).reshape(2, 2, 2)
    stay = [[1, 0], [0, 1]]  # action 0 leads to state 0, action 1 to state 1
    mdp = TabularMDP(ns.convert([[stay, stay]] * 2, "symbolic"), r, ns.convert([1, 0], "symbolic"))
    half = sympy.Rational(1, 2)
    pi = np.array([[[x, 1 - x], [half, half]], [[q0, 1 - q0], [q1, 1 - q1]]], dtype=object)
    star = np.array([[[y, 1 - y], [half, half]], [[z0, 1 - z0], [z1, 1 - z1]]], dtype=object)
    w = objectives.occupancy_ratio(mdp, pi, star)
    gap = solve.expected_return(mdp, star) - solve.expected_return(mdp, pi)
    rate = objectives.improvement_rate(mdp, pi, star, FORWARD_KL, "natural", w)
    assert sympy.simplify(rate - gap) == 0
    assert sympy.simplify(objectives.improvement_rate(mdp, pi, star, FORWARD_KL) - gap) != 0


@given(pairs(bandits(actions=2), positive=True))
def test_claim_4_two_actions(pair):
    gap = solve.expected_return(pair.mdp, pair.expert) - solve.expected_return(pair.mdp, pair.student)
    assume(gap > 0)
    mdp = pair.mdp.convert("ball")
    pi, star = (ns.convert(p, "ball") for p in (pair.student, pair.expert))
    for d in DIVERGENCES:
        for geometry in ("natural", "euclidean"):
            assert objectives.improvement_rate(mdp, pi, star, d, geometry) > 0


@given(pairs(st.one_of(UNALIASED, ALIASED)))
def test_expert_equal_to_student_moves_nothing(pair):
    mdp, student, _ = pair
    for d in CATALOGUE:
        try:
            step = updates.direction(mdp, student, student, d)
        except TypeError:
            pytest.fail(f"{d.name} is rational at u = 1")
        assert (step == 0).all()
        assert (objectives.loss_gradient(mdp, student, student, d) == 0).all()
        assert objectives.improvement_rate(mdp, student, student, d) == 0


def test_pooling_by_hand():
    # rho = (1/2, 1/4, 1/4), states 0 and 2 look alike: given that, it is state 0 with probability 2/3.
    mdp = TabularMDP(
        [[[0, 0, 1], [0, 0, 1]]] * 3, [[3, 0], [0, 5], [0, 9]], ["1/2", "1/4", "1/4"], horizon=1, observation=[0, 1, 0]
    )
    pi = exact([[["1/3", "2/3"], ["1/2", "1/2"], ["1/3", "2/3"]]])
    star = exact([[["2/3", "1/3"], ["1/2", "1/2"], ["1/3", "2/3"]]])
    given_o = aliasing.belief(mdp, solve.occupancy(mdp, pi))
    assert (given_o == exact([["2/3", 1, "1/3"]])).all()
    # u in state 0 is (2, 1/2), in state 2 it is (1, 1): E[u|o] = (5/3, 2/3); centred under (1/3, 2/3), mean 1
    step = updates.direction(mdp, pi, star, FORWARD_KL)
    assert (step == exact([[["2/3", "-1/3"], [0, 0]]])).all()
    # E[Q|o] = (2, 3), Cov = 1/3 * 2/3 * (2 - 3) * (5/3 - 2/3) = -2/9, times d(o) = 3/4
    assert objectives.improvement_rate(mdp, pi, star, FORWARD_KL) == flint.fmpq(-1, 6)
    # Euclidean: 3/4 * 3/4 * sum_a p_a (q_a - Eq) p_a g_a, q - Eq = (-2/3, 1/3), g = (2/3, -1/3)
    expected = flint.fmpq(9, 16) * (flint.fmpq(-4, 81) + flint.fmpq(-4, 81))
    assert objectives.improvement_rate(mdp, pi, star, FORWARD_KL, "euclidean") == expected
    # a never visited observation: uniform belief
    never = TabularMDP(mdp.transition, mdp.reward, [0, 1, 0], None, [0, 1, 0])
    assert (aliasing.belief(never, solve.occupancy(never, pi)) == exact([["1/2", 1, "1/2"]])).all()
    assert objectives.improvement_rate(never, pi, star, FORWARD_KL) == 0
