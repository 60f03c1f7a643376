"""Teachers against conditioning by hand: answers are listed, weighed, and summed."""

import numpy as np
import pytest

from distil_theory import experts
from distil_theory.algorithms import Task, Teacher
from distil_theory.instances import garnet
from distil_theory.instances.feedback import Feedback, with_feedback
from distil_theory.instances.token_sum import token_sum
from tests.problems import policy

RNG = np.random.default_rng(2)
GAME = with_feedback(token_sum(2, 1, [(0, 1), (1, 1)], "none"), Feedback("trace_critique", noise="1/4"))


def student(game=GAME, batch=3):
    rows = RNG.dirichlet(np.ones(game.tree.tokens), (game.mdp.shape[0], game.mdp.observations, batch))
    return np.moveaxis(rows, -1, 2)[:, game.mdp.observation]


def conditioned(game, pi):
    """`pi(a|prefix) E[l|prefix, a] / E[l|prefix]`, every answer enumerated."""
    out = pi.copy()
    likelihood = np.asarray(game.consistent)
    for p, hints in enumerate(game.hints):
        for f in range(len(hints)):
            total = {}
            for z in game.tree.finished():
                places = [game.state_index(p, f, z[:h]) for h in range(len(z))]
                weight = likelihood[-1, places[-1], z[-1]]
                for h in reversed(range(len(z))):
                    weight = weight * pi[h, places[h], z[h]]
                    total[places[h], h, z[h]] = total.get((places[h], h, z[h]), 0) + weight
            for s, h in {key[:2] for key in total}:
                row = np.stack([total[s, h, a] for a in range(game.tree.tokens)])
                out[h, s] = np.where(
                    row.sum(axis=0) > 0, row / np.where(row.sum(axis=0) > 0, row.sum(axis=0), 1), pi[h, s]
                )
    return out


@pytest.mark.parametrize("kind", ["outcome", "trace", "answer", "critique", "self_evaluation"])
def test_the_teacher_is_the_student_conditioned_on_all_it_has_read(kind):
    dials = {"false_positive": "1/10", "false_negative": "1/5"} if kind == "self_evaluation" else {}
    game = with_feedback(GAME, Feedback(kind, fraction="2/3", **dials))
    pi = student(game)
    star = Teacher().policy(Task.of(game), pi)
    met = [(h, s) for h in range(2) for s in range(game.mdp.shape[1]) if s % game.tree.size in ((0,), (1, 2))[h]]
    for h, s in met[:-1]:
        np.testing.assert_allclose(star[h, s], conditioned(game, pi)[h, s], atol=1e-12)


def test_success_and_its_noise():
    mdp = garnet(3, 3, 2, 2, 0, rewards="terminal")
    pi = policy(mdp, RNG.normal(size=(2, 3, 3, 4)))
    task = Task(mdp)
    np.testing.assert_allclose(Teacher("success").policy(task, pi), experts.success_conditioned(mdp, pi))
    noise = np.array([0, 0.1, 0.5, 1])
    got = Teacher("success", noise=noise).policy(task, pi)
    np.testing.assert_allclose(got, experts.noisy(mdp, pi, noise))
    np.testing.assert_allclose(got[..., 2], pi[..., 2])


def test_given_and_optimal():
    mdp = garnet(3, 3, 2, 2, 0)
    pi = policy(mdp, RNG.normal(size=(2, 3, 3, 4)))
    star = RNG.dirichlet(np.ones(3), (2, 3))
    task = Task(mdp, expert=star)
    np.testing.assert_array_equal(Teacher("given").policy(task, pi)[..., 2], star)
    np.testing.assert_array_equal(Teacher("optimal").policy(task, pi)[..., 1], experts.optimal(mdp))


def test_temperature_and_trust():
    mdp, star = garnet(3, 3, 2, 2, 0), np.array([0.5, 0.3, 0.2]) + np.zeros((2, 3, 3))
    task, pi = Task(mdp, expert=star), np.full((2, 3, 3, 2), 1 / 3)
    got = Teacher("given", temperature=np.array([0.5, 1e9]), trust=np.array([0.9, 1.0])).policy(task, pi)
    np.testing.assert_allclose(got[0, 0, :, 0], 0.9 * np.array([25, 9, 4]) / 38 + 0.1 / 3)
    np.testing.assert_allclose(got[0, 0, :, 1], 1 / 3)
    cold = Teacher("given", temperature=1e-6).policy(task, pi)
    np.testing.assert_allclose(cold[0, 0, :, 0], [1, 0, 0])


def test_the_model_follows_at_its_rate():
    model, pi = np.full((1, 1, 2, 3), 0.5), np.array([0.9, 0.1])[:, None] + np.zeros((1, 1, 2, 3))
    got = Teacher(rate=np.array([0.0, 0.25, 1.0])).follow(model, pi)
    np.testing.assert_allclose(got[0, 0, 0], [0.5, 0.6, 0.9])
    assert Teacher().follow(model, pi) is pi


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Teacher("oracle"), "unknown condition 'oracle'"),
        (lambda: Teacher(rate=1.5), "rate must be a number between 0 and 1"),
        (lambda: Teacher(rate=None), "rate must be"),
        (lambda: Teacher(trust=[0.5, -0.1]), "trust must be"),
        (lambda: Teacher(temperature=0), "temperature must be a positive number"),
        (lambda: Teacher("success", noise="much"), "noise must be"),
        (lambda: Teacher("feedback", noise=0.1), "noise belongs to the success bit"),
        (lambda: Teacher().check(Task(garnet(2, 2, 1, 1, 0))), "the task has none"),
        (lambda: Teacher("given").check(Task(garnet(2, 2, 1, 1, 0))), "has no expert"),
    ],
)
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()
