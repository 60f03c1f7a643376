"""Where rounding, range and words would go wrong in silence."""

import numpy as np
import pytest

from distil_theory.algorithms import (
    DISTIL,
    DISTIL_CE_TO_GO,
    DISTIL_WEIGHTED,
    GRPO,
    SDPO,
    Algorithm,
    Disagreement,
    Outcome,
    Sampling,
    Task,
    Teacher,
    groups,
    run,
)
from distil_theory.instances import garnet
from distil_theory.instances.feedback import Feedback, with_feedback
from distil_theory.instances.stack_machine import DOUBLE, stack_machine
from distil_theory.instances.token_sum import token_sum
from distil_theory.spec import Bandit, TabularMDP

SUM = token_sum(2, 1, [(0, 1), (1, 1)], "none", weights=["1/3", "2/3"])
HIDDEN = TabularMDP(np.full((1, 2, 2, 2), 0.5), [[[1.0, 0.0], [0.0, 1.0]]], [0.5, 0.5], observation=[0, 0])


@pytest.mark.parametrize("algorithm", [DISTIL, SDPO.but(trust=1.0)], ids=lambda a: a.name)
def test_a_trust_region_is_not_filled_with_rounding(algorithm):
    game = with_feedback(token_sum(3, 1, [(0, 1), (1, 2)], "none"), Feedback("trace", noise=1))  # says nothing
    student = np.random.default_rng(0).dirichlet(np.ones(3), (2, game.mdp.observations))[:, game.mdp.observation]
    for inner in ("natural", "euclidean"):
        record = run(game, algorithm.but(kind="kl", inner=inner), 5, student=student)
        assert abs(record.change).max() < 1e-12


def test_a_trust_region_out_of_reach_does_not_stop_the_student():
    def goes(delta):
        student = np.array([[[0.999, 0.001]]])
        return run(Bandit([1.0, 0.0]), GRPO.but(kind="kl", delta=delta), 1, student=student)

    near, far = goes(0.01), goes(0.5)  # the second could not be reached by a float that is not 0
    assert 0.999 < near.returns[1] < far.returns[1]
    assert far.returns[1] > 1 - 1e-9
    kl = 0.999 * np.log(0.999 / far.policy[0, 0, 0]) + 0.001 * np.log(0.001 / far.policy[0, 0, 1])
    assert kl < 0.5


def test_rounding_makes_no_outcomes():
    returns = np.array([[0.1 + 0.2], [0.3], [0.3]])
    assert len(np.unique(returns)) == 2
    assert (groups.of_sample(returns, 3) == 0).all()
    mixed = groups.of_sample(np.array([[0.1 + 0.2], [1.0]]), 2)
    np.testing.assert_allclose(mixed[:, 0], [-1, 1])
    values, tables = Outcome(2, reward="value").outcomes(Task(Bandit([0.1 + 0.2, 0.3, 1.0])))
    np.testing.assert_allclose(values, [0.3, 1])
    np.testing.assert_array_equal(np.stack(tables)[:, 0, 0, :, 0], [[1, 1, 0], [0, 0, 1]])


def test_in_groups_of_two_and_three_the_standard_deviation_is_a_constant():
    p = np.linspace(0, 1, 21)
    for size in (2, 3, 4, 8):
        gap = np.diff(sum(groups.advantages(np.array([0.0, 1.0]), np.stack([1 - p, p]), size)), axis=0)[0]
        if size < 4:
            np.testing.assert_allclose(gap, np.sqrt(size - 1))
        else:
            assert (np.diff(gap)[:10] < 0).all()  # rare counts for more
            np.testing.assert_allclose(gap, gap[::-1])


def test_a_baseline_says_nothing_where_the_answer_is_finished():
    task = Task.of(with_feedback(stack_machine((DOUBLE,), ("DUP", "ADD", "HALT"), 3, "none"), Feedback("trace")))
    for baseline in ("none", "position", "group", "state"):
        record = run(task, DISTIL_CE_TO_GO.but(baseline=baseline), 3, sampling=Sampling(4, 4))
        np.testing.assert_allclose(record.policy[:, task.finished], 1 / 3, atol=1e-12)
        assert abs(record.policy - 1 / 3).max() > 0.05


def test_entropy_is_that_of_answers_up_to_their_end():
    game = with_feedback(stack_machine((DOUBLE,), ("DUP", "ADD", "HALT"), 3, "none"), Feedback("trace"))
    pi = np.random.default_rng(1).dirichlet(np.ones(3), (3, game.mdp.observations))[:, game.mdp.observation]
    law = {}
    for z, q in zip(game.tree.finished(), game.tree.law(pi), strict=True):
        ended = z[: z.index(2) + 1] if 2 in z else z
        law[ended] = law.get(ended, 0) + q
    record = run(game, DISTIL, 1, student=pi)
    assert record.entropy[0] == pytest.approx(-sum(q * np.log(q) for q in law.values()))  # the chain rule


def test_own_attempts_need_a_word_on_each_attempt():
    never = np.zeros((2, SUM.mdp.observations, 2))
    never[..., 0] = 1
    game = with_feedback(SUM, Feedback("trace"), reference=never)
    with pytest.raises(ValueError, match=r"never makes .* attempt .*problem 0"):
        Task.of(game, own_attempts=True)
    with pytest.raises(ValueError, match="own attempts need a token MDP"):
        Task.of(Task.of(with_feedback(SUM, Feedback("trace"))), own_attempts=True)


def test_own_attempts_do_not_build_the_problem_anew():
    task = Task.of(with_feedback(SUM, Feedback("trace")), own_attempts=True)
    first, second = (task.attempted_by(task.start[..., None]) for _ in range(2))
    for what in ("sparse", "back", "judged"):
        assert getattr(first, what) is getattr(second, what)
    run(task, DISTIL_WEIGHTED, 2)


def test_pass_at_n_is_of_each_problem_though_they_look_alike():
    record = run(HIDDEN, GRPO, 1, student=np.array([[[0.9, 0.1], [0.9, 0.1]]]))
    assert record.success[0] == pytest.approx([0.5])  # 1 - 2^-8 is not what eight answers to one problem are worth
    assert record.pass_at(8)[0] == pytest.approx(1 - (0.1**8 + 0.9**8) / 2)
    record = run(SUM, GRPO, 1)
    np.testing.assert_allclose(record.pass_at(1), record.returns)
    for n in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="n must be a whole number >= 1"):
            record.pass_at(n)
    with pytest.raises(ValueError, match="no probabilities"):
        run(Bandit([2.0, 0.0]), GRPO.but(reward="value"), 1).pass_at(3)


def test_settings_do_not_change_after_the_fact():
    eta, rate, clip = np.array([0.1, 0.2]), np.array([0.5, 1.0]), np.array([1.0, 2.0])
    algorithm = DISTIL.but(eta=eta, rate=rate, objective=Disagreement(clip=clip))
    for array in (eta, rate, clip):
        array *= 0.1
    np.testing.assert_array_equal(algorithm.update.eta, [0.1, 0.2])
    np.testing.assert_array_equal(algorithm.teacher.rate, [0.5, 1.0])
    np.testing.assert_array_equal(algorithm.objective.clip, [1.0, 2.0])
    with pytest.raises(ValueError, match="read-only"):
        algorithm.update.eta[0] = 3
    assert DISTIL.but(eta=0.3).update.eta == 0.3


def early(first, last):
    return TabularMDP(np.ones((2, 1, 2, 1)), [[[first, 0.0]], [[last, 0.0]]], [1.0])


@pytest.mark.parametrize("mdp", [Bandit([0.0, 2.0]), Bandit([0.0, -0.1]), early(0.6, 0.5), early(-0.1, 0.5)])
def test_a_success_bit_is_a_chance_in_samples_too(mdp):
    with pytest.raises(ValueError, match=r"\[0,1\]"):
        run(mdp, GRPO, 1, sampling=Sampling(1, 2))
    run(mdp, GRPO.but(reward="value"), 1, sampling=Sampling(1, 2))


def test_a_bit_may_be_earned_early():
    record = run(early(0.5, 0.5), GRPO, 30, sampling=Sampling(8, 8))
    assert record.returns[-1] > record.returns[0] + 0.1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Algorithm("x", "feedback", Disagreement()), "teacher must be a Teacher"),
        (lambda: Algorithm("x", None, Outcome(), "natural"), "update must be an Update"),
        (lambda: run(SUM, "GRPO", 1), "algorithm must be an Algorithm"),
        (lambda: run(SUM, GRPO, 1, sampling=8), "sampling must be a Sampling"),
        (lambda: run(SUM, GRPO, 2, keep=[3]), "keep has step 3"),
        (lambda: run(SUM, GRPO, 2, keep=1), "keep must be"),
        (
            lambda: run(
                Task(garnet(2, 2, 1, 2, 0), expert=np.full((2, 2, 2, 5), 0.5)), DISTIL.but(teacher=Teacher("given")), 1
            ),
            r"expert has batch shape \(5,\)",
        ),
        (lambda: Task(garnet(2, 2, 1, 1, 0), np.ones((1, 2, 2, 5))), "likelihood has batch shape"),
        (lambda: with_feedback(SUM, "trace"), "feedback must be a Feedback"),
        (lambda: with_feedback(garnet(2, 2, 1, 1, 0), Feedback()), "needs a TokenMDP"),
    ],
)
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()
