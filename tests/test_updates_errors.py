"""Bad input to objectives and updates: one clear `ValueError`, naming the place."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import sympy
from flint import arb

from distil_theory import instances, objectives, updates
from distil_theory import number_systems as ns
from distil_theory.divergences import FORWARD_KL, NEYMAN, PEARSON, REVERSE_KL, FDivergence, alpha
from distil_theory.spec import Bandit

MDP = Bandit([[1.0, 0.0], [0.0, 1.0]], [0.5, 0.5])
ALIASED = Bandit([[1.0, 0.0], [0.0, 1.0]], [0.5, 0.5], [0, 0])
HALF = np.full((1, 2, 2), 0.5)
SURE = np.array([[[0.5, 0.5], [1.0, 0.0]]])
MIXED = np.array([[[0.5, 0.5], [0.25, 0.75]]])


@pytest.mark.parametrize(
    "call",
    [
        objectives.improvement_rate,
        objectives.loss_gradient,
        objectives.pooled_score,
        updates.direction,
        lambda *args: updates.proximal_step(*args, 1.0),
    ],
)
def test_missing_support_and_wrong_shapes(call):
    for d in (REVERSE_KL, NEYMAN):
        with pytest.raises(ValueError, match=rf"expert is 0 at h=0, s=1, a=1: {d.name} has"):
            call(MDP, HALF, SURE, d)
    with pytest.raises(ValueError, match="student is 0 at h=0, s=1, a=1: a softmax student"):
        call(MDP, SURE, HALF, FORWARD_KL)
    with pytest.raises(ValueError, match="student at h=0, s=1 differs from another state with observation 0"):
        call(ALIASED, MIXED, HALF, FORWARD_KL)
    with pytest.raises(ValueError, match="student has shape"):
        call(MDP, HALF[:, :1], HALF, FORWARD_KL)
    with pytest.raises(ValueError, match="expert has shape"):
        call(MDP, HALF, HALF[:, :, :1], FORWARD_KL)
    with pytest.raises(ValueError, match=r"expert at h=0, s=0 sums to 0\.9"):
        call(MDP, HALF, HALF - [0.1, 0.0], FORWARD_KL)
    assert np.isfinite(call(ALIASED, HALF, MIXED, REVERSE_KL)).all()  # the expert sees the state


def test_the_first_place_is_named_where_a_student_acts_differently_in_states_that_look_alike():
    one, other = [0.5, 0.5], [0.25, 0.75]
    bandit = Bandit(np.zeros((4, 2)), np.full(4, 0.25), [0, 0, 0, 0])
    student, expert = np.array([[one, one, other, [0.1, 0.9]]]), np.full((1, 4, 2), 0.5)
    with pytest.raises(ValueError, match="student at h=0, s=2 differs"):
        objectives.loss_gradient(bandit, student, expert, FORWARD_KL)


@pytest.mark.parametrize("kind", ["rational", "ball", "symbolic"])
def test_a_student_that_acts_differently_is_refused_in_every_number_system(kind):
    rows = [["1/4", "3/8", "3/8"], ["1/2", "1/4", "1/4"]]
    if kind == "ball":  # only one entry of the second state is certainly another, and it is larger
        rows = [["1/4", *[arb(3 / 8, 1 / 8)] * 2], ["1/2", *[arb(1 / 4, 1 / 8)] * 2]]
    if kind == "symbolic":  # a difference of which nobody knows the sign
        x, y = sympy.symbols("x y", positive=True)
        rows = [[p / 2, (1 - p) / 2, sympy.Rational(1, 2)] for p in (x, y)]
    mdp = Bandit([[1, 0, 0], [0, 1, 0]], ["1/2", "1/2"], [0, 0]).convert(kind)
    student = ns.convert(np.array([rows], dtype=object), kind)
    expert = ns.convert(np.array([[["1/3"] * 3] * 2], dtype=object), kind)
    with pytest.raises(ValueError, match="student at h=0, s=1 differs from another state with observation 0"):
        objectives.loss_gradient(mdp, student, expert, PEARSON)


def test_unknown_geometry():
    for call in (objectives.improvement_rate, updates.direction):
        with pytest.raises(ValueError, match="unknown geometry 'riemann': choose from natural, euclidean, proximal"):
            call(MDP, HALF, HALF, FORWARD_KL, "riemann")


@pytest.mark.parametrize("eta", [0, 0.0, -1.0, np.array([1.0, 0.0]), np.nan])
def test_eta_must_be_positive(eta):
    for d in (FORWARD_KL, REVERSE_KL):
        with pytest.raises(ValueError, match=r"eta (must be positive|is nan)"):
            updates.proximal_step(MDP, HALF, HALF, d, eta)


def test_numerical_proximal_step_refuses_other_numbers():
    pi = ns.convert(HALF, "rational")
    with pytest.raises(TypeError, match="proximal step of neyman_chi2 is solved numerically"):
        updates.proximal_step(MDP.convert("rational"), pi, pi, NEYMAN, 1)


def test_a_proximal_step_that_did_not_converge_is_refused_with_the_worst_sum():
    # h must not decrease: else the roots are not unique, and no multiplier gives probabilities
    falling, waves = (FDivergence("wrong", lambda u: u - 1, h) for h in (lambda u: -u, lambda u: np.sin(30 * u)))
    pi, star, bandit = np.array([[[0.2, 0.3, 0.5]]]), np.array([[[0.5, 0.3, 0.2]]]), Bandit([1.0, 0.0, 0.5])
    for d, eta, worst in (
        (falling, 20.0, r"2\.0"),
        (falling, np.array([0.1, 20, 0.1]), r"2\.0"),
        (waves, 0.1, r"1\.05"),
    ):
        with pytest.raises(ValueError, match=rf"the proximal dual did not converge: probabilities sum to {worst}"):
            updates.proximal_step(bandit, pi, star, d, eta)


def test_weight_of_an_unreachable_state_is_zero():
    mdp = Bandit([[1.0, 0.0], [0.0, 1.0]], [1.0, 0.0])
    np.testing.assert_array_equal(objectives.occupancy_ratio(mdp, HALF, MIXED), [[1.0, 0.0]])


@pytest.mark.parametrize("eta", [None, True, "x", [0.1, np.nan], np.inf])
def test_a_step_size_is_a_finite_number(eta):
    _, mdp, pi, star, _ = instances.teaching_bandit().convert("float64")
    step = updates.direction(mdp, pi, star, FORWARD_KL)
    for call in (
        lambda: updates.exponential_step(mdp, pi, step, eta),
        lambda: updates.proximal_step(mdp, pi, star, REVERSE_KL, eta),
    ):
        with pytest.raises(ValueError, match=r"eta|not an array of numbers"):
            call()


def test_a_bad_step_size_and_a_bad_student_are_named():
    _, mdp, pi, star, _ = instances.teaching_bandit().convert("float64")
    step = updates.direction(mdp, pi, star, FORWARD_KL)
    with pytest.raises(ValueError, match="eta is nan at batch=1: expected"):
        updates.exponential_step(mdp, pi, step, [0.1, np.nan])
    with pytest.raises(ValueError, match="student at h=0, s=0 sums to"):
        updates.exponential_step(mdp, 2 * pi, step, 1.0)


def test_directions_and_weights_are_checked():
    _, mdp, pi, star, _ = instances.teaching_bandit().convert("float64")
    step = updates.direction(mdp, pi, star, FORWARD_KL)
    with pytest.raises(ValueError, match=r"step_direction is nan at h=0, o=0, a=0"):
        updates.exponential_step(mdp, pi, step * np.nan, 1.0)
    with pytest.raises(ValueError, match=r"step_direction has shape \(1, 1\)"):
        updates.first_order_change(mdp, pi, [[1.0]])
    with pytest.raises(ValueError, match=r"weight is nan at h=0, s=0"):
        updates.direction(mdp, pi, star, FORWARD_KL, weight=[[np.nan]])
    with pytest.raises(ValueError, match=r"weight has shape \(2, 2\)"):
        updates.direction(mdp, pi, star, FORWARD_KL, weight=np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"feature 0 is nan"):
        updates.project(mdp, pi, step, [step * np.nan])
    for bad in ("reverse_kl", None):
        with pytest.raises(ValueError, match=r"divergence must be an FDivergence"):
            updates.direction(mdp, pi, star, bad)
    with pytest.raises(ValueError, match=r"divergence must be an FDivergence"):
        updates.proximal_step(mdp, pi, star, "reverse_kl", 1.0)


def test_weights_name_their_axes_and_their_batch():
    _, mdp, pi, star, _ = instances.risky_fork().convert("float64")
    steps, states, _ = mdp.shape
    for shape, axis in (((steps + 1, states), "h"), ((steps, states + 1), "s")):
        with pytest.raises(ValueError, match=rf"weight has shape .*axis {axis} should have length .* in \(h, s\)"):
            objectives.loss_gradient(mdp, pi, star, FORWARD_KL, np.ones(shape))
    with pytest.raises(ValueError, match=r"weight has batch shape \(2,\), the MDPs and policies have \(\)"):
        objectives.loss_gradient(mdp, pi, star, FORWARD_KL, np.ones((steps, states, 2)))
    many = np.repeat(star[..., None], 3, axis=3)
    with pytest.raises(ValueError, match=r"weight has batch shape \(1,\), the MDPs and policies have \(3,\)"):
        objectives.loss_gradient(mdp, pi, many, FORWARD_KL, np.ones((steps, states, 1)))


def test_the_policy_gradient_speaks_of_the_student():
    with pytest.raises(ValueError, match=r"student at h=0, s=0 sums to 2\.0"):
        objectives.return_gradient(MDP, 2 * HALF)


def test_batches_that_differ_are_named():
    _, mdp, pi, star, _ = instances.teaching_bandit().convert("float64")
    many = np.repeat(pi[..., None], 2, axis=3), np.repeat(star[..., None], 3, axis=3)
    with pytest.raises(ValueError, match=r"batch shapes differ: MDPs \(\), student \(2,\), expert \(3,\)"):
        updates.direction(mdp, *many, FORWARD_KL)


def test_an_exact_step_size_stays_exact():
    _, mdp, pi, star, _ = instances.teaching_bandit()
    new = updates.proximal_step(mdp, pi, star, FORWARD_KL, Fraction(1, 2))
    assert (new == (2 * pi + star) / 3).all()
    assert (updates.proximal_step(mdp, pi, star, alpha(1), "1/2") == new).all()  # the same divergence by another name
    with pytest.raises(ValueError, match="mixed"):
        updates.proximal_step(mdp, pi, star, FORWARD_KL, 0.5)


def test_another_divergence_of_the_same_name_is_another_divergence():
    _, mdp, pi, star, _ = instances.teaching_bandit().convert("float64")
    alias = replace(PEARSON, name="forward_kl")
    np.testing.assert_array_equal(
        updates.proximal_step(mdp, pi, star, alias, 1.0), updates.proximal_step(mdp, pi, star, PEARSON, 1.0)
    )


@pytest.mark.parametrize(("p", "eta"), [(1e-6, 1.0), (2e-9, 1e-3), (1e-6, 1e6)])
def test_the_proximal_dual_survives_enormous_ratios(p, eta):
    bandit, pi, star = Bandit([1.0, 0.0]), np.array([[[p, 1 - p]]]), np.array([[[0.5, 0.5]]])
    for d in (PEARSON, REVERSE_KL, NEYMAN):
        x = updates.proximal_step(bandit, pi, star, d, eta)
        assert x.sum() == pytest.approx(1, abs=1e-12)
        multiplier = d.h(star / x) + pi / (eta * x)
        assert multiplier[0, 0, 0] == pytest.approx(multiplier[0, 0, 1], rel=1e-6)


@pytest.mark.parametrize(("d", "p", "q"), [(PEARSON, 1e-13, 0.5), (NEYMAN, 0.4, 1e-26)], ids=lambda x: str(x)[:8])
def test_a_state_of_enormous_ratios_takes_no_accuracy_from_another(d, p, q):
    row, other, even = [p, 1 - p], [q, 1 - q], [0.3, 0.7]
    both = updates.proximal_step(MDP, np.array([[row, even]]), np.array([[other, [0.6, 0.4]]]), d, 1.5)
    alone = updates.proximal_step(Bandit([1.0, 0.0]), np.array([[even]]), np.array([[[0.6, 0.4]]]), d, 1.5)
    np.testing.assert_allclose(both[0, 1], alone[0, 0], rtol=1e-15)
    np.testing.assert_allclose(both.sum(axis=2), 1, rtol=1e-15)


@pytest.mark.parametrize(("p", "eta"), [(5e-16, 1.0), (2e-15, 3.0)])
def test_a_proximal_step_that_doubles_cannot_resolve_is_refused(p, eta):
    with pytest.raises(ValueError, match=r"did not converge: probabilities sum to (1\.0000000|0\.9999999)"):
        updates.proximal_step(Bandit([1.0, 0.0]), np.array([[[p, 1 - p]]]), np.array([[[0.5, 0.5]]]), PEARSON, eta)


def test_an_action_that_is_rare_becomes_rarer_by_the_right_factor():
    p, q, eta = 1e-9, 1e-18, 1e6
    pi, star = np.array([[[p, 1 - p]]]), np.array([[[q, 1 - q]]])
    x = updates.proximal_step(Bandit([1.0, 0.0]), pi, star, REVERSE_KL, eta)
    multiplier = (REVERSE_KL.h(star / x) + pi / (eta * x))[0, 0]
    assert multiplier[0] == pytest.approx(multiplier[1], rel=1e-5)
