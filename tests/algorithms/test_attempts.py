"""Feedback on one's own first attempts, and answers that end early."""

import numpy as np
import pytest

from distil_theory import solve
from distil_theory.algorithms import DISTIL, DISTIL_CE_TO_GO, DISTIL_KL_TO_GO, GRPO, Sampling, Task, answer_law, run
from distil_theory.instances import garnet
from distil_theory.instances.feedback import KINDS, Feedback, with_feedback
from distil_theory.instances.stack_machine import DOUBLE, execute, stack_machine
from distil_theory.instances.token_sum import token_sum

SUM = token_sum(2, 1, [(0, 1), (1, 1)], "none", weights=["1/3", "2/3"])
HALTING = stack_machine((DOUBLE,), ("DUP", "ADD", "NOP", "HALT"), 3, "none")


def student(game, batch, seed=0):
    size = game.tree.length, game.mdp.observations, batch
    rows = np.random.default_rng(seed).dirichlet(np.ones(game.tree.tokens), size)
    return np.moveaxis(rows, -1, 2)[:, game.mdp.observation]


@pytest.mark.parametrize("feedback", [Feedback("trace"), Feedback("critique", noise="1/4", fraction="1/2")], ids=str)
def test_the_law_of_feedback_is_that_of_a_game_whose_reference_is_the_student(feedback):
    game = with_feedback(SUM, feedback)
    task, pi = Task.of(game, own_attempts=True), student(game, 2)
    assert task.initial_of.shape[0] == 2  # the law of before is known, and must not stay
    here = task.attempted_by(pi)
    got = here.initial
    np.testing.assert_array_equal(here.initial_of.sum(axis=0), got)
    np.testing.assert_allclose(here.prompt_law, task.prompt_law + np.zeros(2))
    base = np.unique(SUM.mdp.observation, return_index=True)[1]
    own = student(SUM, 2)
    own[:, base] = pi[:, np.unique(game.mdp.observation, return_index=True)[1]]
    for b in range(2):
        want = with_feedback(SUM, feedback, reference=own[:, base][..., b])
        for p in range(2):
            known = dict(zip(want.feedback[p], want.law[p], strict=True))
            for f, words in enumerate(game.feedback[p]):
                place = game.state_index(p, f, ())
                assert got[place, b] == pytest.approx((1 + p) / 3 * known[words])
    fixed = Task.of(game)
    assert fixed.attempted_by(pi) is fixed


def test_the_law_of_answers_is_that_of_each_student():
    game = with_feedback(SUM, Feedback("trace"))
    pi = student(game, 3)
    law = answer_law(game, pi)
    assert law.shape == (2, 4, 3)
    for p, b in np.ndindex(2, 3):
        np.testing.assert_allclose(law[p, :, b], game.tree.law(pi[..., b], game.state_index(p, 0, ())))
    np.testing.assert_allclose(answer_law(game, pi[..., 1]), law[..., 1])


def test_says_sums_to_one_over_what_may_be_said():
    for kind in KINDS:
        game = with_feedback(SUM, Feedback(kind, fraction="1/2"))
        for p, (says, law) in enumerate(zip(game.says, game.law, strict=True)):
            np.testing.assert_allclose(says.sum(axis=0), 1)
            np.testing.assert_allclose(says.mean(axis=1), law)  # a uniform reference
            assert says.shape == (len(game.hints[p]), 4)


def test_the_return_does_not_depend_on_the_feedback_but_what_is_taught_does():
    game = with_feedback(SUM, Feedback("trace"))
    fixed, own = (run(Task.of(game, own_attempts=own), DISTIL, 20) for own in (False, True))
    assert own.returns[0] == fixed.returns[0]
    assert own.change[0] == pytest.approx(fixed.change[0])  # both start uniform
    assert abs(own.change[5] - fixed.change[5]) > 1e-6
    for record in (fixed, own):
        np.testing.assert_allclose(record.returns[-1], solve.expected_return(game.mdp, record.policy))
        np.testing.assert_allclose((record.success * record.prompt_law).sum(axis=1), record.returns)
    drawn = run(Task.of(game, own_attempts=True), DISTIL, 20, sampling=Sampling(8, 2), seeds=5)
    assert drawn.returns[-1].mean() > drawn.returns[0].mean()
    blind = [run(Task.of(game, own_attempts=own), GRPO, 5).returns for own in (False, True)]
    np.testing.assert_allclose(*blind)


def test_programs_end_at_halt():
    assert execute(("DUP", "ADD", "HALT"), 3) == 6
    assert execute(("HALT", "ADD", "ADD"), 3) == 3
    halt, small = 2, stack_machine((DOUBLE,), ("DUP", "ADD", "HALT"), 3, "none")
    for kind in KINDS:
        game = with_feedback(small, Feedback(kind))
        canonical = [tuple(a if halt not in z[:i] else halt for i, a in enumerate(z)) for z in game.tree.finished()]
        for agree in (*game.agree[0], game.right[0]):  # what stands after it makes no difference
            assert len({(z, bool(ok)) for z, ok in zip(canonical, agree, strict=True)}) == len(set(canonical))
    for kind in ("outcome", "trace", "answer", "solution"):
        game = stack_machine((DOUBLE,), ("DUP", "ADD", "HALT"), 3, kind)
        for agree in game.agree[0]:
            assert len({(z, bool(ok)) for z, ok in zip(canonical, agree, strict=True)}) == len(set(canonical))


def test_finished_answers_have_a_length_and_are_charged_for_nothing():
    game = with_feedback(HALTING, Feedback("answer"))
    task, pi = Task.of(game), student(game, 1)[..., 0]
    record = run(task, DISTIL, 1, student=pi)
    want = 0
    for z, q in zip(game.tree.finished(), game.tree.law(pi, 0), strict=True):
        want += q * (z.index(3) + 1 if 3 in z else 3)
    assert record.length[0] == pytest.approx(want)
    assert not Task.of(SUM).finished[:-1].any()


def test_cross_entropy_to_go_makes_answers_short_and_kl_to_go_does_not():
    task = Task.of(with_feedback(HALTING, Feedback("trace_critique")))
    local, ce, kl = (run(task, x, 25) for x in (DISTIL, DISTIL_CE_TO_GO, DISTIL_KL_TO_GO))
    assert ce.length[-1] < ce.length[0] - 0.2
    assert min(local.length[-1] - local.length[0], kl.length[-1] - kl.length[0]) > 0.2
    assert not local.drops().any()
    assert not kl.drops().any()
    assert ce.drops().any()  # claim 18


def test_how_often_narrow_feedback_lowers_the_return_and_how_long_programs_become():
    """The counts of THEORY 13."""
    programs = stack_machine((DOUBLE,), ("DUP", "ADD", "HALT"), 3, "none")
    narrow, truthful = (Task.of(with_feedback(programs, Feedback(kind))) for kind in ("outcome", "answer"))
    for concentration, want in ((1.0, [124, 1, 1]), (0.3, [70, 41, 27])):
        rows = np.random.default_rng(0).dirichlet([concentration] * 3, (3, narrow.mdp.observations, 20))
        rows = np.moveaxis(rows, -1, 2) + 1e-6
        rows /= rows.sum(axis=2, keepdims=True)
        for task in (narrow, truthful):
            start = rows[:, task.mdp.observation]
            runs = [run(task, x, 10, student=start) for x in (DISTIL_CE_TO_GO, DISTIL_KL_TO_GO, DISTIL)]
            ce, kl, local = (x.length[-1] for x in runs)
            assert min((ce < kl).mean(), (ce < local).mean()) >= 0.95
            drops = [int(x.drops(1e-10).sum()) for x in runs]
            assert drops == (want if task is narrow else [0, 0, 0])
        assert ce.mean() > runs[0].length[0].mean() + 0.2  # nothing but long programs is right


def test_errors():
    with pytest.raises(ValueError, match="own attempts need a token MDP"):
        Task.of(garnet(2, 2, 1, 2, 0), own_attempts=True)
