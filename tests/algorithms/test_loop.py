"""The loop: what must never fall does not, what falls was foretold, samples tend to expectations, and the record."""

import numpy as np
import pytest

from distil_theory import objectives, solve, updates
from distil_theory.algorithms import (
    ALGORITHMS,
    CLONING,
    DAGGER,
    DISTIL,
    GRPO,
    OPSD,
    SDPO,
    Algorithm,
    Disagreement,
    Outcome,
    Run,
    Sampling,
    Task,
    Teacher,
    Update,
    agreement,
    cosines,
    first_order_error,
    groups,
    named,
    run,
)
from distil_theory.divergences import CATALOGUE, FORWARD_KL, JENSEN_SHANNON, REVERSE_KL
from distil_theory.instances import compounding_chain, garnet, lagged_teacher, shown_program, teaching_bandit
from distil_theory.instances.feedback import Feedback, with_feedback
from distil_theory.instances.token_sum import token_sum
from distil_theory.spec import Bandit, TabularMDP
from tests.problems import policy, random_pair

BATCH = garnet(4, 3, 3, 3, 0, batch=60, rewards="terminal")
START = policy(BATCH, np.random.default_rng(0).normal(scale=1.5, size=(3, 4, 3, 60)))
GAME = with_feedback(token_sum(2, 2, [(1, 2), (3, 3)], "none"), Feedback("trace"))
SEVERAL = shown_program()


def believed(algorithm):
    """With full support, which reverse KL needs."""
    feedback = algorithm.teacher is not None and algorithm.teacher.condition == "feedback"
    return algorithm.but(trust=0.99) if feedback else algorithm


@pytest.mark.parametrize("eta", [0.05, 1.0])
@pytest.mark.parametrize("divergence", CATALOGUE, ids=lambda d: d.name)
def test_truthful_teacher_natural_step_unaliased_nothing_ever_falls(divergence, eta):
    algorithm = Algorithm("self-taught", Teacher("success"), Disagreement(divergence), Update("natural", eta))
    record = run(BATCH, algorithm, 40, student=START)
    assert not record.drops(1e-12).any()
    assert (record.returns[-1] > record.returns[0] + 1e-3).all()
    assert (record.predicted > -1e-15).all()


def test_without_one_of_the_conditions_some_fall():
    def falls(problem, algorithm, **options):
        return run(problem, algorithm, 40, **options).drops(1e-9).any()

    base = Algorithm("self-taught", Teacher("success"), Disagreement(JENSEN_SHANNON), Update("natural", 0.05))
    assert falls(lagged_teacher(), base.but(teacher=Teacher("given"), divergence=REVERSE_KL))  # behind the student
    assert falls(teaching_bandit(), base.but(teacher=Teacher("given")))  # a teacher that is better, but not truthful
    assert falls(SEVERAL, believed(OPSD))  # feedback that rules out right answers
    rare = np.array([949, 50, 1]) / 1000  # THEORY 9
    assert falls(Bandit([0.003, 1e-6, 1]), base.but(kind="euclidean", eta=0.01), student=rare[None, None])


def test_every_drop_of_a_small_step_was_foretold():
    drops, rng = 0, np.random.default_rng(4)
    students = rng.dirichlet(np.ones(4), (3, SEVERAL.mdp.observations, 8)).swapaxes(2, 3)[:, SEVERAL.mdp.observation]
    for algorithm in ALGORITHMS:
        for kind in ("natural", "euclidean", "ppo"):
            record = run(SEVERAL, believed(algorithm).but(kind=kind, eta=0.02), 10, student=students)
            counted = agreement(record)
            assert counted.steps == 80
            assert counted.agree == counted.clear > 40, (algorithm.name, kind)
            assert counted.foretold >= 0.98 * counted.drops, (algorithm.name, kind)
            drops += counted.drops
    assert drops > 200


@pytest.mark.parametrize("algorithm", [DISTIL, SDPO, OPSD, GRPO, CLONING], ids=lambda a: a.name)
@pytest.mark.parametrize("kind", ["natural", "euclidean", "ppo"])
def test_the_first_order_error_shrinks_like_eta_squared(algorithm, kind):
    etas = np.geomspace(1e-3, 1e-2, 5)
    error, exponent = first_order_error(GAME, believed(algorithm).but(kind=kind), etas, student=other_student(0))
    assert exponent == pytest.approx(2, abs=0.1)
    assert (np.diff(error) > 0).all()


def test_predictions_are_claim_one():
    for aliased in (False, True):
        mdp, theta, star = random_pair(2, aliased, 3)
        pi = policy(mdp, theta)
        for kind in ("natural", "euclidean"):
            algorithm = Algorithm("given", Teacher("given"), Disagreement(JENSEN_SHANNON), Update(kind, 0.1))
            record = run(Task(mdp, expert=star), algorithm, 1, student=pi)
            rate = objectives.improvement_rate(mdp, pi, star, JENSEN_SHANNON, kind)
            np.testing.assert_allclose(record.predicted[0], 0.1 * rate, rtol=1e-8)
            new = updates.exponential_step(mdp, pi, updates.direction(mdp, pi, star, JENSEN_SHANNON, kind), 0.1)
            np.testing.assert_allclose(record.policy, new, atol=1e-12)
            change = solve.expected_return(mdp, new) - solve.expected_return(mdp, pi)
            np.testing.assert_allclose(record.change[0], change, atol=1e-12)
            # the second-order term: what is left after the prediction, to third order
            small = run(Task(mdp, expert=star), algorithm.but(eta=1e-3), 1, student=pi)
            left = small.change - small.predicted
            np.testing.assert_allclose(small.second, left, atol=1e-3 * abs(left).max())


def other_student(seed):
    rows = np.random.default_rng(seed).dirichlet(np.ones(2), (3, GAME.mdp.observations))
    return rows[:, GAME.mdp.observation]


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: a.name)
def test_samples_point_where_expectations_do_as_the_batch_grows(algorithm):
    for geometry in ("euclidean", "natural"):
        found = cosines(
            GAME, believed(algorithm), (1, 8, 64), student=other_student(1), repeats=30, geometry=geometry, seed=1
        )
        assert (np.diff(found.mean) > 0).all()
        assert found.mean[-1] > 0.95
        assert found.of_mean[-1] > 0.995
        assert found.rollouts.tolist() == [8, 64, 512]


def test_exact_groups_are_as_large_as_the_sampled_ones(monkeypatch):
    sizes, real = [], groups.advantages
    monkeypatch.setattr(groups, "advantages", lambda v, p, size, *more: sizes.append(size) or real(v, p, size, *more))
    cosines(GAME, GRPO, (2,), group=3, repeats=2)
    assert set(sizes) == {3}


def test_sampled_runs_learn_and_repeat():
    record = run(GAME, believed(DISTIL), 40, sampling=Sampling(4, 2), seeds=10, seed=3)
    assert record.returns.shape == (41, 10)
    assert len(np.unique(record.returns[-1].round(12))) > 5  # every seed has its own rollouts
    assert record.returns[-1].mean() > 2 * record.returns[0].mean()
    again = run(GAME, believed(DISTIL), 40, sampling=Sampling(4, 2), seeds=10, seed=3)
    np.testing.assert_array_equal(again.policy, record.policy)
    assert record.rollouts.tolist() == [8 * t for t in range(41)]
    assert record.queries.tolist() == [24 * t for t in range(41)]
    assert run(GAME, GRPO, 2, sampling=Sampling(2, 4)).queries.tolist() == [0, 0, 0]
    assert run(GAME, DISTIL, 2).rollouts.tolist() == [0, 0, 0]


def test_a_batch_is_its_instances():
    for algorithm in (GRPO, Algorithm("self", Teacher("success", rate=0.3), Disagreement(), Update("kl"))):
        both = run(BATCH, algorithm, 3, student=START)
        one = TabularMDP(BATCH.transition[..., 7], BATCH.reward[..., 7], BATCH.initial[..., 7])
        alone = run(one, algorithm, 3, student=START[..., 7])
        np.testing.assert_allclose(both.policy[..., 7], alone.policy, atol=1e-10)
        for name in ("returns", "success", "predicted", "second", "entropy", "length"):
            np.testing.assert_allclose(getattr(both, name)[..., 7], getattr(alone, name), atol=1e-6, err_msg=name)


def test_the_record():
    record = run(GAME, believed(OPSD), 3, student=other_student(2), keep=(0, 3))
    pi, star = other_student(2), believed(OPSD).teacher.policy(Task.of(GAME), other_student(2)[..., None])[..., 0]
    mdp = GAME.mdp
    np.testing.assert_allclose(record.returns[0], solve.expected_return(mdp, pi))
    np.testing.assert_allclose(record.teacher_return[0], solve.expected_return(mdp, star))
    np.testing.assert_allclose(record.disagreement[0], objectives.loss(mdp, pi, star, FORWARD_KL))
    d = solve.occupancy(mdp, pi)
    np.testing.assert_allclose(record.entropy[0], -(d[:, :, None] * pi * np.log(pi)).sum())
    np.testing.assert_allclose(record.length, 3)
    laws = [GAME.tree.law(pi, GAME.state_index(p, 0, ())) for p in range(2)]
    p = [law[right].sum() for law, right in zip(laws, GAME.right, strict=True)]
    np.testing.assert_allclose(record.success[0], p)
    np.testing.assert_allclose(record.prompt_law, [0.5, 0.5])
    np.testing.assert_allclose(record.pass_at(8)[0], np.mean([1 - (1 - x) ** 8 for x in p]))
    np.testing.assert_allclose(record.snapshots[0], pi)
    np.testing.assert_array_equal(record.snapshots[3], record.policy)
    bare = run(GAME, GRPO, 1)
    assert np.isnan(bare.teacher_return).all()
    assert isinstance(bare, Run)


def test_a_slow_teacher_lags_and_a_frozen_one_stays():
    slow = run(GAME, believed(DISTIL).but(rate=np.array([0.0, 0.3, 1.0])), 20, seeds=3)
    now = slow.teacher_return
    assert (np.ptp(now, axis=0)[0], now[0, 0]) == (0, now[0, 2])  # who it imitates never changes
    assert now[-1, 0] < now[-1, 1] < now[-1, 2]


def test_dagger_outlives_cloning_on_the_chain_that_punishes_cloning():
    chain = compounding_chain()
    teach = [x.but(teacher=Teacher("given"), kind="natural", eta=0.2) for x in (DAGGER, CLONING)]
    ours, theirs = (run(chain, x, 30).returns[-1] for x in teach)
    assert ours >= theirs


def test_length_counts_what_comes_before_the_end():
    # stop at once with 1/4, at the second of three steps with the same; then over
    p = np.zeros((3, 2, 2, 2))
    p[:, 0, 0, 1] = p[:, 0, 1, 0] = p[:, 1, :, 1] = 1
    task = Task(TabularMDP(p, np.zeros((3, 2, 2)), [1, 0]), finished=np.array([False, True]))
    pi = np.array([[0.25, 0.75], [0.5, 0.5]]) + np.zeros((3, 2, 2))
    record = run(task, Algorithm("outcome", None, Outcome(2)), 1, student=pi)
    np.testing.assert_allclose(record.length[0], 1 + 0.75 + 0.75**2)
    assert record.change[0] == 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: named("PPO"), "unknown algorithm 'PPO'"),
        (lambda: Algorithm("x", None, Disagreement()), "distils, but from nobody"),
        (lambda: Algorithm("x", None, "loss"), "objective must be"),
        (lambda: DISTIL.but(speed=3), "0 parts of DistIL have a setting 'speed'"),
        (lambda: DISTIL.but(clip=3), "2 parts of DistIL have a setting 'clip'"),
        (lambda: Sampling(0, 4), "prompts must be a whole number >= 1"),
        (lambda: Sampling(1, 0), "group must be a whole number >= 1"),
        (lambda: run(GAME, DISTIL.but(rate=[0.1, 0.2]), 1, seeds=3), r"rate of the teacher has shape \(2,\)"),
        (lambda: run(GAME, DISTIL, 0), "steps must be a whole number >= 1"),
        (lambda: run(GAME, GRPO, sampling=Sampling(8, 1)), "group of group-normalised advantages"),
        (lambda: run(BATCH, DISTIL, 1), "the task has none"),
        (lambda: run(BATCH, GRPO, 1, seeds=3), "there is a batch of shape"),
        (lambda: run(GAME, GRPO, 1, student=np.ones((3, 2, 2))), "student"),
        (lambda: run(GAME, SDPO.but(trust=1.0), 1), "expert needs full support"),
        (lambda: run("sum", GRPO, 1), "no task can be made of str"),
        (lambda: Task(SEVERAL.mdp), "convert"),
        (lambda: Task(garnet(2, 2, 1, 1, 0, batch=(2, 3))), "at most one batch axis"),
        (lambda: Task(garnet(2, 2, 1, 1, 0), finished=[0, 1]), "finished must be 2 booleans"),
        (lambda: Task(garnet(2, 2, 1, 2, 0), np.ones((2, 2, 2))), "0 before the last step"),
        (lambda: cosines(GAME, GRPO, ()), "prompts is empty"),
        (lambda: first_order_error(GAME, GRPO, [0.1]), "at least two different step sizes"),
    ],
)
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_students_that_see_what_is_hidden_are_refused():
    pi = other_student(0)[:, :].copy()
    pi[0, GAME.state_index(0, 1, ())] = [0.9, 0.1]
    with pytest.raises(ValueError, match="look alike"):
        run(GAME, GRPO, 1, student=pi)
