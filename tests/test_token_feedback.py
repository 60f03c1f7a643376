"""What feedback does: truthful feedback is safe, one of several right answers is not; the named instances."""

from fractions import Fraction

import numpy as np
import pytest

from distil_theory import number_systems as ns
from distil_theory import objectives, solve
from distil_theory.divergences import FORWARD_KL, HELLINGER, JENSEN_SHANNON, REVERSE_KL
from distil_theory.instances import tokens
from distil_theory.instances.token_sum import token_sum
from tests.token_games import GAMES, plain, random_rule

SLOPES = {FORWARD_KL: 1, JENSEN_SHANNON: 1 / 4, HELLINGER: 1 / 2, REVERSE_KL: 1}
"""`h'(1)`."""


def teaching_bound(game, student):
    """`sum rho J log 1/P(C)`, the bound of `token_mdp` without its slope."""
    out = 0.0
    for p, agrees in enumerate(game.agree):
        for k, agree in enumerate(agrees):
            s = game.state_index(p, k, ())
            law = game.tree.law(student, s)
            out -= game.mdp.initial[s] * law[game.right[p]].sum() * np.log(law[agree].sum())
    return out


@pytest.mark.parametrize("name", ["sum-outcome", "sum-answer", "sum-trace", "program-answer", "program-trace"])
def test_truthful_feedback_is_harmless_even_hidden(name):
    game = GAMES[name][0]()
    trust = 0.99
    for seed in range(20):
        student = game.policy(random_rule(seed, game.tree.tokens))
        expert = trust * game.teacher(student) + (1 - trust) * student
        bound = teaching_bound(game, student)
        assert bound >= 0
        for d, slope in SLOPES.items():
            rate = objectives.improvement_rate(game.mdp, student, expert, d)
            assert rate >= trust * slope * bound - 1e-12


def test_with_one_right_answer_a_better_teacher_is_enough():
    # whatever it thinks of wrong answers, step by step: only its odds on the right one count
    game = token_sum(3, 1, [(2, 2)], "none")
    right = game.right[0]
    seen = 0
    for seed in range(200):
        student, expert = (game.policy(random_rule(2 * seed + i, 3)) for i in range(2))
        if game.tree.law(expert)[right] >= game.tree.law(student)[right]:
            seen += 1
            for d in SLOPES:
                assert objectives.improvement_rate(game.mdp, student, expert, d) >= -1e-12
    assert seen > 50


def test_with_several_right_answers_it_is_not():
    found = set()
    game = GAMES["program-solution"][0]()
    for seed in range(40):
        student = game.policy(random_rule(seed, 4))
        expert = 0.99 * game.teacher(student) + 0.01 * student
        found |= {d.name for d in SLOPES if objectives.improvement_rate(game.mdp, student, expert, d) < -1e-9}
    assert found == {d.name for d in SLOPES}


INSTANCES = (tokens.hidden_trace, tokens.shown_program, tokens.unfamiliar_program, tokens.tested_program)


def rates(instance):
    """Forward KL exactly, the others as balls."""
    with ns.precision(256):
        ball = instance.convert("ball")
        out = {
            d: objectives.improvement_rate(ball.mdp, ball.student, ball.expert, d)
            for d in (REVERSE_KL, JENSEN_SHANNON, HELLINGER)
        }
        assert all(x.rad() < 1e-30 for x in out.values())
    return objectives.improvement_rate(instance.mdp, instance.student, instance.expert, FORWARD_KL), out


@pytest.mark.parametrize("make", INSTANCES, ids=lambda f: f.__name__)
def test_teachers_are_better_at_every_prompt(make):
    instance = make()
    assert instance.name == make.__name__
    assert instance.exposes
    better = solve.values(instance.mdp, instance.expert)[0][0] - solve.values(instance.mdp, instance.student)[0][0]
    assert (better[np.asarray(instance.mdp.initial) > 0] > 0).all()
    assert ns.name(instance.gap) == "rational"


def test_hidden_trace():
    # Per problem the first digit is right with 3/4, then the second with p = 3/4 (no carry) or 1/4 (1 + 1). Half of the
    # attempts reveal the first digit only: rate (1 - 3/4) p; half reveal both: that plus 3/4 (1 - p). So
    # p/4 + 3/8 (1 - p) = 9/32 three times and 11/32 once: mean 38/128.
    instance = tokens.hidden_trace()
    assert instance.mdp.aliased
    forward, others = rates(instance)
    assert plain(forward) == Fraction(99, 100) * Fraction(38, 128)
    assert all(rate > 0 for rate in others.values())
    assert plain(solve.expected_return(instance.mdp, instance.student)) == (3 * Fraction(9, 16) + Fraction(3, 16)) / 4


def test_shown_program():
    # After DUP the student succeeds with 4/5 9/10 + (1/20 + 1/20)/4 = 149/200, after NOP with 1/20 4/5 = 1/25, so
    # V = 2/5 149/200 + 1/2 1/25 = 159/500. Along NOP DUP ADD, entered with 1/2, 1/20, 4/5:
    # A = 1/25 - V, 4/5 - 1/25, 1 - 4/5, visited with 1, 1/2, 1/40.
    instance = tokens.shown_program()
    advantages = Fraction(1, 25) - Fraction(159, 500), Fraction(4, 5) - Fraction(1, 25), Fraction(1, 5)
    visited, entered = (1, Fraction(1, 2), Fraction(1, 40)), (Fraction(1, 2), Fraction(1, 20), Fraction(4, 5))
    forward, others = rates(instance)
    terms = [d * a for d, a in zip(visited, advantages, strict=True)]
    assert sum(terms) == Fraction(107, 1000)
    assert plain(forward) == Fraction(99, 100) * sum(terms)
    scores = {REVERSE_KL: np.log, JENSEN_SHANNON: lambda u: np.log(1 + u) / 2, HELLINGER: np.sqrt}
    for d, rate in others.items():
        h = scores[d]
        weights = [float(p) * (h(0.99 / float(p) + 0.01) - h(0.01)) for p in entered]
        assert rate < 0
        assert float(rate) == pytest.approx(np.dot(weights, np.array(terms, dtype=float)), rel=1e-12)


def test_unfamiliar_program():
    # as above with NOP 1/20 and DUP 17/20: V = 17/20 149/200 + 1/20 1/25 = 2541/4000
    forward, others = rates(tokens.unfamiliar_program())
    terms = Fraction(1, 25) - Fraction(2541, 4000) + Fraction(1, 20) * Fraction(19, 25) + Fraction(1, 400) / 5
    assert plain(forward) == Fraction(99, 100) * terms < 0
    assert all(rate < 0 for rate in others.values())


def test_tested_program():
    instance = tokens.tested_program()
    assert instance.mdp.aliased
    forward, others = rates(instance)
    assert forward > 0
    assert all(rate > 0 for rate in others.values())
    shown = tokens.shown_program()
    assert solve.expected_return(instance.mdp, instance.student) == solve.expected_return(shown.mdp, shown.student)
