"""What the chapters of single claims compute beside their steps."""

import numpy as np
import sympy

from distil_theory import TabularMDP, solve
from distil_theory.claims import covariance_rate, mixture_policy, natural_step, safe_steps, symbols, worst_loss
from distil_theory.divergences import REVERSE_KL
from distil_theory.three_points import A, B, positive


def test_an_expert_like_the_student_is_no_failure_of_the_batch():
    reward, student = np.array([[1.0, 1.0], [0.0, 0.0]]), np.full((2, 2), 0.5)
    expert = np.array([[0.5, 0.75], [0.5, 0.25]])
    found = natural_step.margin(reward, student, expert)
    assert found[0] == np.inf
    assert found[1] == natural_step.margin(reward[:, 1:], student[:, 1:], expert[:, 1:])[0]


def test_states_that_nobody_enters_count_for_nothing():
    """Step 1 leads to the first state only; in the second one the expert would gain 50, and the span be large."""
    transition = np.zeros((2, 2, 2, 2))
    transition[..., 0] = 1
    reward = np.array([[[0.0, 1], [0, 1]], [[0, 1], [0, 100]]])
    mdp, student = TabularMDP(transition, reward, np.array([1.0, 0])), np.full((2, 2, 2), 0.5)
    expert = np.broadcast_to([0.0, 1], (2, 2, 2))
    alpha = 0.5
    gain = solve.expected_return(mdp, expert) - solve.expected_return(mdp, student)
    assert gain == 1
    # one state per step: every span is 0, and the bound alpha G is attained
    assert mixture_policy.slack(mdp, student, expert, alpha) == 0
    entered = TabularMDP(np.full((2, 2, 2, 2), 0.5), reward, np.array([1.0, 0]))
    assert mixture_policy.slack(entered, student, expert, alpha) > 10


def test_the_formula_of_claim_1_by_hand():
    """Two contexts of probability 1/4 and 3/4 that look alike; student 1/2, so a covariance is a quarter of a product
    of differences: `1/4 * E[Q1 - Q2] * E[h1 - h2]`."""
    spec = TabularMDP(
        np.full((1, 2, 2, 2), 0.5), np.array([[[1.0, 0], [0, 2]]]), np.array([0.25, 0.75]), observation=[0, 0]
    )
    student, expert = np.full((1, 2, 2), 0.5), np.array([[[0.75, 0.25], [0.2, 0.8]]])
    apart = 0.25 * np.log(3) + 0.75 * np.log(0.25)
    natural = 0.25 * (0.25 * 1 - 0.75 * 2) * apart
    for geometry, factor in (("natural", 1), ("euclidean", 0.5)):
        found = covariance_rate.formula(spec, student, expert, geometry, REVERSE_KL)
        np.testing.assert_allclose(found, natural * factor, rtol=1e-14)


def test_alike_states_get_the_policy_of_the_first():
    mdp, student, _ = symbols.alike(*symbols.mdp(1, 3), (0, 1, 1))
    assert mdp.observations == 2
    assert (student[0, 1] == student[0, 2]).all()
    assert (student[0, 0] != student[0, 1]).all()


def test_signs_of_polynomials():
    assert positive(A + 2 * B, A / (1 + B), 3)
    assert not positive(A - B)
    assert not positive(0)
    assert not positive(A, -B)
    assert not positive(A * sympy.Symbol("x"))  # of unknown sign


def test_the_safe_pairs_are_exact():
    assert [str(step.eta) for step in safe_steps.SAFE] == ["1.0", "2.0", "1/3", "4/5"]


def test_a_lower_curve_refutes_the_price():
    found = 0.3
    exact = float(worst_loss.Curve(REVERSE_KL, 0.1, 4.0).loss(found))
    assert worst_loss.excess(REVERSE_KL, 0.1, 4.0, found, exact) > 0
    assert worst_loss.excess(REVERSE_KL, 0.1, 4.0, found, exact * 1.001) < 0
