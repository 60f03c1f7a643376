"""Feedback as a channel: laws, likelihoods and the teacher's posterior, written once more, in fractions."""

from collections import defaultdict
from fractions import Fraction

import numpy as np
import pytest

from distil_theory import solve
from distil_theory.instances.feedback import KINDS, Feedback, with_feedback
from distil_theory.instances.stack_machine import DOUBLE, stack_machine
from distil_theory.instances.token_sum import token_sum
from tests.token_games import chance, plain, random_rule

SUM = token_sum(2, 1, [(0, 1), (1, 1)], "none", weights=["1/3", "2/3"], numbers="rational")
PROGRAM = stack_machine((DOUBLE,), ("DUP", "ADD", "NOP"), 3, "none", numbers="rational")


def message(kind, y, z):
    """What would be said of `y` if `z` were wanted."""
    if kind == "none":
        return "nothing"
    if kind in ("outcome", "self_evaluation"):
        return "right" if y == z else "wrong"
    if kind in ("answer", "solution"):
        return z
    if y == z:
        return "right"
    i = next(i for i in range(len(y)) if y[i] != z[i])
    return {"trace": (i,), "critique": (z[i],), "trace_critique": (i, z[i])}[kind]


def channel(feedback, y, wanted, every):
    """`P(F | y, wanted)` as a dictionary."""
    kind, out = feedback.kind, defaultdict(Fraction)
    out["silence"] += 1 - feedback.fraction
    rest = feedback.fraction
    if kind == "self_evaluation":
        wrong = feedback.false_negative if y == wanted else feedback.false_positive
        out[message(kind, y, wanted)] += rest * (1 - wrong)
        out["wrong" if y == wanted else "right"] += rest * wrong
        return out
    out[message(kind, y, wanted)] += rest * (1 - feedback.noise)
    for z in every:
        out[message(kind, y, z)] += rest * feedback.noise / len(every)
    return out


CASES = [
    *(Feedback(kind) for kind in KINDS),
    *(Feedback(kind, noise="1/5") for kind in ("answer", "solution", "trace", "critique", "trace_critique")),
    Feedback("self_evaluation", false_positive="1/10", false_negative="1/4", fraction="2/3"),
    Feedback("self_evaluation", false_positive="1/2", false_negative="1/2"),
    Feedback("critique", noise="1/3", fraction=0.5),
    Feedback("trace", noise=1),
    Feedback("trace", fraction=0),
]


@pytest.mark.parametrize("feedback", CASES, ids=str)
def test_with_one_right_answer_the_teacher_is_bayes_rule(feedback):
    """The law of (first attempt, feedback) as a law of posteriors, by listing; and that of the game."""
    attempts, student = random_rule(1, 2), random_rule(2, 2)
    game = with_feedback(SUM, feedback, reference=SUM.policy(attempts)[:, np.unique(SUM.mdp.observation)])
    pi = game.policy(student)
    star = game.teacher(pi)
    every = SUM.tree.finished()
    for p in range(2):
        (wanted,) = (z for z, right in zip(every, SUM.right[p], strict=True) if right)
        prior = {z: chance(student, p, z) for z in every}
        law = defaultdict(Fraction)
        for y in every:
            heard = {z: channel(feedback, y, z, every) for z in every}
            for said, q in channel(feedback, y, wanted, every).items():
                if q:
                    weights = [prior[z] * heard[z][said] for z in every]
                    law[tuple(w / sum(weights) for w in weights)] += q * chance(attempts, p, y)
        found = defaultdict(Fraction)
        for f in range(len(game.hints[p])):
            root = game.state_index(p, f, ())
            found[tuple(plain(q) for q in game.tree.law(star, root))] += plain(game.law[p][f])
        assert found == law
        assert plain(sum(game.mdp.initial[game.state_index(p, f, ())] for f in range(len(game.hints[p])))) == (
            1 + p
        ) * (Fraction(1, 3))


@pytest.mark.parametrize("feedback", [Feedback("none"), *CASES[-2:], CASES[-4]], ids=str)
def test_feedback_that_says_nothing_changes_nothing(feedback):
    game = with_feedback(SUM, feedback)
    pi = game.policy(random_rule(3, 2))
    star = game.teacher(pi)
    for p, f in [(k, f) for k in range(2) for f in range(len(game.hints[k]))]:
        for z in ((), (0,), (1,)):
            place = len(z), game.state_index(p, f, z)
            assert (star[place] == pi[place]).all()


def test_where_and_what_together_are_the_trace_of_the_sums():
    pairs, pi = [(1, 2), (2, 2)], random_rule(4, 3)
    old = token_sum(3, 1, pairs, "trace", numbers="rational")
    new = with_feedback(old, Feedback("trace_critique"))
    for game_law in zip(*(sorted(laws_of_answers(game, game.policy(pi))) for game in (old, new)), strict=True):
        assert game_law[0] == game_law[1]


def laws_of_answers(game, pi):
    star = game.teacher(pi)
    for p, hints in enumerate(game.hints):
        for f in range(len(hints)):
            answers = tuple(map(plain, game.tree.law(star, game.state_index(p, f, ()))))
            yield p, answers, plain(game.law[p][f])


def test_several_right_answers():
    right = [z for z, good in zip(PROGRAM.tree.finished(), PROGRAM.right[0], strict=True) if good]
    assert len(right) > 1
    answer, solution = (with_feedback(PROGRAM, Feedback(kind)) for kind in ("answer", "solution"))
    assert (answer.agree[0][0] == PROGRAM.right[0]).all()
    assert [z for z, ok in zip(PROGRAM.tree.finished(), solution.agree[0][0], strict=True) if ok] == right[:1]
    # where: no right answer goes on like this; what: the token of a right answer that gets that far
    for kind in ("trace", "trace_critique", "critique"):
        said = {}
        game = with_feedback(PROGRAM, Feedback(kind))
        for words, agree in zip(game.feedback[0], game.agree[0], strict=True):
            said[words] = {z for z, ok in zip(PROGRAM.tree.finished(), agree, strict=True) if ok}
        names = PROGRAM.vocabulary[:3]
        for words, agree in said.items():
            tried, verdict = words.removeprefix("tried ").split(" : ")
            y = tuple(names.index(w) for w in tried.split())
            far = [max(i for i in range(4) if y[:i] == z[:i]) for z in right]
            nearest = right[far.index(max(far))]
            want = message(kind, y, nearest)
            assert agree == {z for z in PROGRAM.tree.finished() if message(kind, y, z) == want}
            if want == "right":
                assert verdict == "right"
            elif kind != "critique":
                assert verdict.startswith(f"wrong at {want[0] + 1}")


def test_rewards_prompts_and_students_are_those_of_the_game():
    game = with_feedback(SUM, Feedback("critique", noise="1/7"))
    pi = random_rule(5, 2)
    before, after = (solve.expected_return(g.mdp, g.policy(pi)) for g in (SUM, game))
    assert before == after
    assert game.prompts[1] == SUM.prompts[1]
    assert game.text(game.prompt(0, 0)).startswith("tried")
    again = with_feedback(game, Feedback("none"))
    assert again.mdp.shape == SUM.mdp.shape
    assert (again.mdp.initial == SUM.mdp.initial).all()
    floats = with_feedback(token_sum(2, 1, [(0, 1)], "none"), Feedback("trace", noise=0.1))
    assert floats.mdp.initial.dtype == np.float64


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Feedback("praise"), "unknown feedback 'praise'"),
        (lambda: Feedback(noise=1.2), "noise must be a number between 0 and 1"),
        (lambda: Feedback(fraction="most"), "fraction must be a number"),
        (lambda: Feedback(fraction=True), "fraction must be a number"),
        (lambda: Feedback("outcome", noise=0.1), "'outcome' looks up none"),
        (lambda: Feedback("trace", false_positive=0.1), "those of 'self_evaluation', not of 'trace'"),
    ],
)
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()
