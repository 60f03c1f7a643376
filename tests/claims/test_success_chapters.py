"""The chapters of claim 12 against cases solved by hand, and their batches against one instance at a time."""

import numpy as np
import pytest

from distil_theory import instances, solve, updates
from distil_theory import number_systems as ns
from distil_theory.claims import agreement, em_step, pass_crossing, pass_series, success_bound
from distil_theory.claims.enclosures import not_negative
from distil_theory.divergences import FORWARD_KL
from distil_theory.success import crossing, pass_of_prompts, self_taught, smoothed_mixture, truthful_teacher

COIN = np.array([[0.5], [0.5]])


def q(*texts):
    return ns.convert(list(texts), "rational")


def test_agreement_by_hand():
    # teacher (3/4, 1/4), student (1/2, 1/2): both sides are log 1/2
    teacher, student = np.array([[0.75], [0.25]]), np.array([[0.9], [0.1]])
    assert agreement.margin(COIN, COIN, teacher)[0] == pytest.approx(0, abs=1e-15)
    wanted = np.log(0.7) - 0.75 * np.log(0.9) - 0.25 * np.log(0.1)
    assert agreement.margin(COIN, student, teacher)[0] == pytest.approx(wanted)
    assert agreement.holds_exactly(q("0", "1"), q("1/2", "1/2"), q("3/4", "1/4"))
    assert agreement.holds_exactly(q("0", "1"), q("9/10", "1/10"), q("3/4", "1/4"))


def test_agreement_rises_while_success_falls_along_a_real_step():
    _, mdp, student, teacher, _ = instances.aliased_contexts().convert("float64")
    new = updates.proximal_step(mdp, student, teacher, FORWARD_KL, 0.5)
    agree = [(mdp.initial[:, None] * teacher[0] * pi[0]).sum() for pi in (student, new)]
    assert agree[1] > agree[0]
    assert solve.expected_return(mdp, new) < solve.expected_return(mdp, student)
    assert solve.expected_return(mdp, teacher) > solve.expected_return(mdp, student)


def test_the_bound_by_hand():
    # answers 0 and 1 are right, P = 3/4; q = (1/3, 2/3) against pi(.|right) = (2/3, 1/3)
    reward, student = np.array([[1.0], [1], [0]]), np.array([[0.5], [0.25], [0.25]])
    teacher = np.array([[0.2], [0.4], [0.4]])
    kl = np.log(0.5) / 3 + 2 * np.log(2) / 3
    assert success_bound.margin(reward, student, teacher)[0] == pytest.approx(kl)
    same = np.array([[0.4], [0.2], [0.4]])
    assert success_bound.margin(reward, student, same)[0] == pytest.approx(0, abs=1e-15)
    assert success_bound.holds_exactly(*(ns.convert(x[:, 0], "rational") for x in (reward, student, teacher)))
    assert success_bound.holds_exactly(q("1", "1", "0"), q("1/2", "1/4", "1/4"), q("2/5", "1/5", "2/5"))
    # one right answer: P(success) = pi of it, whoever teaches
    assert success_bound.margin(np.array([[0.0], [1.0], [0]]), student, teacher)[0] == pytest.approx(0, abs=1e-15)
    # where none is right all count as right
    assert success_bound.margin(0 * reward, student, student)[0] == pytest.approx(0, abs=1e-15)


def test_a_teacher_who_gives_wrong_answers_has_no_bound():
    student, q_law = np.array([0.2, 0.8]), np.array([0.1, 0.9])
    right = np.array([1.0, 0])
    with np.errstate(divide="ignore"):
        assert success_bound.bound(right, student, q_law) == -np.inf
    # without the term of the rewards: the bound is of log 1, and above log P
    loose = (q_law * np.log(student)).sum() - (q_law * np.log(q_law)).sum()
    assert np.log(0.2) < loose < 0


def test_em_by_hand():
    """Two prompts of weight 3/5 and 2/5, one right answer each, a uniform student: one step to the weights."""
    p, rho = np.ones((1, 3, 3, 3)) / 3, np.array([0.6, 0.4, 0.0])
    reward, student = np.eye(3)[None], np.full((1, 3, 3), 1 / 3)
    gain = [0.6 * np.log(0.6 * 3) + 0.4 * np.log(0.4 * 3)]
    for eta in em_step.SIZES:
        new = (1 / 3 + eta * np.array([0.6, 0.4])) / (1 + eta)
        gain.append((rho[:2] * np.log(3 * new)).sum())
    parts = (p, reward, rho, student)
    found = em_step.margin(*(x[..., None] for x in parts))
    assert found[0] == pytest.approx(min(gain))
    at_rest = np.broadcast_to([0.6, 0.4, 0.0], (1, 3, 3))
    assert em_step.margin(*(x[..., None] for x in (p, reward, rho, at_rest)))[0] == pytest.approx(0, abs=1e-15)
    for pi in (student, at_rest):
        assert em_step.holds_exactly(*(ns.convert(x, "rational") for x in (p, reward, rho, pi)))


def test_batches_of_em_are_many_single_problems():
    found = em_step.attack(em_step.margin, 300, 3)
    assert found.margin > -1e-13
    for margin, parts in zip(found.margins[-5:], found.instances[-5:], strict=True):
        assert em_step.margin(*(x[..., None] for x in parts))[0] == pytest.approx(margin, rel=1e-9, abs=1e-15)


def test_the_series_by_hand():
    p = np.array([0.5, 1.0])
    upper, lower = pass_series.slack(p, 2)
    rest = np.log(2) - 0.5 - 0.125
    np.testing.assert_allclose(upper, [0.125 / 3 / 0.5 - rest, 0], atol=1e-15)
    np.testing.assert_allclose(lower, [rest - 0.125 / 3, 0], atol=1e-15)
    assert pass_series.holds_exactly(q("1/2")[0])
    assert pass_series.holds_exactly(q("1")[0])
    assert pass_series.holds_exactly(q("1/100000000000000000000")[0])


def test_increments_by_hand():
    """Two prompts `w = (2/5, 3/5)`, collapsed `p = (0, 1)`: `c = 2/5`, `F_1 = -2/25`."""
    w, p = np.array([[0.4], [0.6]]), np.array([[0.0], [1.0]])
    terms = [np.array([0.4 * 0.4, -0.6 * 0.4]), np.array([0.4 * 0.64, -0.6 * 0.16]) / (2 * 0.6)]
    first, step = terms[0].sum(), (terms[1].sum() - terms[0].sum()) / sum(abs(t).sum() for t in terms)
    assert first == pytest.approx(-0.08)
    found = pass_crossing.increments(w, p)[0]
    assert found <= min(-first / abs(terms[0]).sum(), step) + 1e-12
    assert found > 0
    # a flatter student is not sharper, and crosses the other way
    assert pass_crossing.increments(w, np.array([[0.5], [0.5]]))[0] < -0.1


def test_students_who_tell_the_prompts_apart_may_cross():
    w, sharp, broad = q("3/5", "2/5"), q("1", "0"), q("1/2", "1/2")
    assert [pass_of_prompts(w, sharp, n) for n in (1, 2)] == list(q("3/5", "3/5"))
    assert [pass_of_prompts(w, broad, n) for n in (1, 2)] == list(q("1/2", "3/4"))


def test_a_fixed_teacher_may_keep_an_answer_that_is_always_right_from_winning():
    teachers = truthful_teacher([[1, 1, 0], [1, 0, 1]], ns.convert("0", "rational"))
    assert smoothed_mixture(teachers, q("3/5", "2/5")).tolist() == list(q("1/2", "3/10", "1/5"))


def test_a_broader_student_than_the_sharp_one_need_not_stay_ahead():
    """Mass moves from the heaviest prompt to the lighter ones, but `broad` is not the mixture."""
    w, sharp, broad = q("2/5", "3/10", "3/10"), q("49/50", "1/100", "1/100"), q("0", "1/2", "1/2")
    lead = [pass_of_prompts(w, broad, n) - pass_of_prompts(w, sharp, n) for n in (1, 2, 200)]
    assert crossing(w, sharp, broad) == 2
    assert lead[0] < 0 < lead[1]
    assert lead[2] < 0


def test_nearly_equal_weights_are_no_counterexample():
    """All differences are roundings there, and say nothing."""
    rng = np.random.default_rng(0)
    for prompts in (1, 2, 6, 7):
        w = 1 + (rng.random((prompts, 2000)) < 0.5) * 10 ** rng.uniform(-16, -3, 2000)
        assert (pass_crossing.margin(w / w.sum(axis=0), 10 ** rng.uniform(-3, 6, 2000)) >= 0).all()


def test_one_crossing_of_random_students():
    rng = np.random.default_rng(0)
    for _ in range(20):
        w = rng.dirichlet(np.ones(4))
        sharp = self_taught(w, 10.0 ** rng.uniform(-1, 3))
        n = crossing(w, sharp, w)
        attempts = np.arange(1, 200)[:, None]
        lead = (pass_of_prompts(w[:, None], w[:, None], attempts[:, 0])
                - pass_of_prompts(w[:, None], sharp[:, None], attempts[:, 0]))  # fmt: skip
        assert (lead[: n - 1] <= 1e-12).all()
        assert (lead[n - 1 :] > -1e-12).all()
        assert n >= 2


def test_signs_that_no_precision_decides_are_not_decided():
    assert not_negative(lambda: ns.convert("1/3", "ball")[()] * 3 - ns.convert("1", "ball")[()] + 1)
    assert not not_negative(lambda: ns.convert("1/3", "ball")[()] * 3 - ns.convert("1", "ball")[()])
    assert not not_negative(lambda: -ns.convert("1", "ball")[()])
