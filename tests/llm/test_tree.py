"""Token games on the prefix tree: the same numbers as the dense core and the network that reads text by text."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from distil_theory import efficiency, objectives, solve
from distil_theory.algorithms import groups
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL, HELLINGER, JENSEN_SHANNON, REVERSE_KL
from distil_theory.instances.stack_machine import DOUBLE, SQUARE, program_rules, stack_machine
from distil_theory.instances.token_builder import Problem, Rules
from distil_theory.instances.token_sum import sum_rules, token_sum
from distil_theory.llm import exact, steps, tree, tree_game, tree_network, tree_rollouts, tree_steps
from distil_theory.spec import TabularMDP

INSTRUCTIONS = ("DUP", "ADD", "MUL", "NOP")
GAMES = {
    "sum": (lambda: sum_rules(2, 2, feedback="trace"), lambda: token_sum(2, 2, feedback="trace")),
    "stack": (
        lambda: program_rules((DOUBLE, SQUARE), INSTRUCTIONS, 3, "trace"),
        lambda: stack_machine((DOUBLE, SQUARE), INSTRUCTIONS, 3, "trace"),
    ),
}
PARTS = [(CROSS_ENTROPY, "local"), (REVERSE_KL, "local"), (HELLINGER, "local"), (FORWARD_KL, "full"),
         (CROSS_ENTROPY, "full"), (JENSEN_SHANNON, "future")]  # fmt: skip


def pair(name, width=8, layers=2):
    """A game as a tree and as a table, and one network on both, with two sets of weights."""
    rules, dense = (make() for make in GAMES[name])
    game = tree_game.of_rules(rules)
    shape = tree_network.network_for(game, width=width, layers=layers)
    plays, reads = tree_network.TreePlayer(game, shape), exact.Player(dense, shape)
    dice = torch.Generator().manual_seed(3)
    noise = torch.randn(2, len(reads.theta), generator=dice, dtype=torch.float64)
    return plays, reads, reads.theta + 0.3 * noise


def close(found, wanted, limit=1e-12):
    np.testing.assert_allclose(np.asarray(found.detach()), np.asarray(wanted), rtol=0, atol=limit)


@pytest.mark.parametrize("name", GAMES)
def test_a_network_on_the_tree_says_what_it_says_text_by_text(name):
    plays, reads, thetas = pair(name)
    assert len(set(map(len, plays.game.hints))) > 1  # prompts of different lengths
    for theta, asked, told in zip(thetas, plays.students(thetas), plays.teachers(thetas), strict=True):
        close(asked.flatten(0, 1), reads.logits(theta)[:-1].log_softmax(dim=-1).detach())
        close(told.flatten(0, 1), reads.answers(theta, reads.told).log_softmax(dim=-1).detach())
    close(plays.expected_returns(thetas), reads.expected_returns(thetas))


@pytest.mark.parametrize("name", GAMES)
def test_returns_teachers_and_gradients_are_the_dense_cores(name):
    plays, reads, thetas = pair(name)
    game, mdp, log_pi = plays.game, reads.game.mdp, plays.students(thetas).detach()
    star = tree.teacher(game, log_pi)
    for i, theta in enumerate(thetas):
        pi = reads.table(reads.student(theta))
        expert = reads.conditioned(pi)
        close(star[i].exp().flatten(0, 1), expert[0, :-1])
        assert float(tree.teacher_return(game, star)[i]) == pytest.approx(float(solve.expected_return(mdp, expert)))
        there = solve.occupancy(mdp, pi).sum(axis=0)[:-1]
        close((game.weight[:, None] * tree.reach(game.tree, log_pi[i].exp())[game.view]).flatten(), there)
        close(tree.return_gradient(game, log_pi)[i].flatten(0, 1), objectives.return_gradient(mdp, pi).sum(axis=0)[:-1])
        weight = objectives.occupancy_ratio(mdp, pi, expert)
        for clip, w in ((None, None), (float("inf"), weight), (1.5, np.minimum(weight, 1.5))):
            for objective, part in PARTS if clip is None else PARTS[:2]:
                wanted = objectives.loss_gradient(mdp, pi, expert, objective, w, part).sum(axis=0)[:-1]
                found = tree.loss_gradient(game, log_pi, star, objective, part, clip)[i].flatten(0, 1)
                close(found, wanted)


def test_efficiency_is_claim_21():
    plays, reads, thetas = pair("stack")
    log_pi = plays.students(thetas).detach()
    star = tree.teacher(plays.game, log_pi)
    pi = reads.table(reads.student(thetas[0]))
    for objective, part in PARTS:
        g = tree.loss_gradient(plays.game, log_pi, star, objective, part)
        wanted = efficiency.of_objective(reads.game.mdp, pi, reads.conditioned(pi), objective, part=part).value
        assert float(tree.efficiency(plays.game, log_pi, g)[0]) == pytest.approx(float(wanted), abs=1e-10)
    best = tree.efficiency(plays.game, log_pi, -tree.return_gradient(plays.game, log_pi))
    assert best.tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize(("objective", "part"), PARTS)
def test_autograd_through_the_tree_is_the_formula(objective, part):
    plays, _, thetas = pair("stack")
    logits = plays.logits(thetas).detach().requires_grad_()
    log_pi = logits.log_softmax(dim=-1)
    star = tree.teacher(plays.game, plays.students(thetas[[1, 0]])).detach()
    for clip in (None, 2.0) if part == "local" else (None,):
        cost = tree.loss(plays.game, log_pi, star, objective, part, clip)
        assert cost.shape == (2,)
        found = torch.autograd.grad(cost.sum(), logits, retain_graph=True)[0]
        close(found, tree.loss_gradient(plays.game, log_pi.detach(), star, objective, part, clip))
    slope = torch.autograd.grad(tree.expected_return(plays.game, log_pi).sum(), logits)[0]
    close(slope, tree.return_gradient(plays.game, log_pi.detach()))


def test_problems_with_one_prompt_look_alike():
    rules = sum_rules(2, 2, [(1, 0), (1, 3), (2, 1)], "answer")
    rules = rules._replace(problems=[x._replace(prompt=x.prompt[:2]) for x in rules.problems])
    law = [0.5, 0.2, 0.3]
    game, dense = tree_game.of_rules(rules, law), token_sum(2, 2, [(1, 0), (1, 3), (2, 1)], "answer", weights=law)
    assert (game.views, game.view.tolist()) == (2, [0, 0, 1])
    log_pi = torch.randn(2, 7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).log_softmax(dim=-1)
    mdp, states = dense.mdp, 3 * 7
    seen = np.append((np.arange(states) // 7 == 2) * 7 + np.arange(states) % 7, 14)  # the first two problems are one
    mdp = TabularMDP(mdp.transition[0], mdp.reward[0], mdp.initial, mdp.shape[0], seen)
    rows = np.concatenate([log_pi.exp()[game.view].reshape(states, 2).numpy(), [[0.5, 0.5]]])
    pi = np.broadcast_to(rows[None], mdp.shape)
    star = tree.teacher(game, log_pi)
    expert = np.broadcast_to(np.concatenate([star.exp().reshape(states, 2).numpy(), [[0.5, 0.5]]])[None], mdp.shape)
    assert float(tree.expected_return(game, log_pi)) == pytest.approx(float(solve.expected_return(mdp, pi)))
    wanted = objectives.loss_gradient(mdp, pi, expert, FORWARD_KL, None, "full").sum(axis=0)[:-1]
    close(tree.loss_gradient(game, log_pi, star, FORWARD_KL, "full").flatten(0, 1), wanted)


def test_nothing_is_charged_behind_halt():
    game = tree_game.of_rules(program_rules((DOUBLE,), ("DUP", "ADD", "HALT"), 3, "trace"))
    log_pi = torch.randn(1, 13, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).log_softmax(dim=-1)
    star = tree.teacher(game, log_pi)
    ended = [i for i in range(13) if 2 in game.tree.prefix(i)]
    assert len(ended) == 1 + 2 + 3
    cost = tree.disagreement(game, log_pi, star, CROSS_ENTROPY)
    assert (cost[:, ended] == 0).all()
    assert (cost[:, [i for i in range(13) if i not in ended]] > 0).all()
    for part in ("local", "full"):
        assert (tree.loss_gradient(game, log_pi, star, CROSS_ENTROPY, part)[:, ended] == 0).all()


def test_what_is_written_behind_halt_reinforces_nothing():
    game = tree_game.of_rules(program_rules((DOUBLE,), ("DUP", "ADD", "HALT"), 3, "trace"))
    logits = torch.randn(1, 1, 13, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    log_pi = logits.log_softmax(dim=-1)
    drawn = tree_rollouts.draw(game, log_pi, 50, 4, torch.Generator().manual_seed(0))
    cost = tree_rollouts.outcome_loss(game, log_pi, drawn, normalise=True)
    (found,) = torch.autograd.grad(cost.sum(), logits)
    assert (found[0, 0][game.talks == 0] == 0).all()
    assert (found[0, 0][game.talks == 1] != 0).all()


def test_prefix_weights_of_what_is_too_rare_for_a_float_are_numbers():
    game = tree_game.of_rules(sum_rules(2, 4, [(1, 0)], "answer")).to(torch.zeros(1))
    logits = torch.zeros(1, game.tree.size, 2)
    logits[..., 0] = 40
    log_pi = logits.log_softmax(dim=-1)
    assert tree.reach(game.tree, log_pi.exp()).min() == 0  # exp(-160)
    star = tree.teacher(game, log_pi)
    weight = tree.prefix_weight(game, log_pi, star, 5.0)
    assert ((weight > 0) & (weight <= 5)).all()
    assert tree.loss(game, log_pi, star, CROSS_ENTROPY, "local", 5.0).isfinite()


def test_rollouts_are_drawn_from_the_student_and_reinforce_like_grpo():
    plays, _, thetas = pair("stack")
    game, log_pi = plays.game, plays.students(thetas).detach()
    law = tree.log_law(game.tree, log_pi).exp()
    close(law.sum(dim=-1), np.ones((2, 2)))
    drawn = tree_rollouts.draw(game, log_pi, 20_000, 3, torch.Generator().manual_seed(0))
    seen = tree_rollouts.visits(game, drawn)
    there = game.weight[:, None] * tree.reach(game.tree, log_pi.exp())[:, game.view]
    close(seen, there, 0.02)
    assert (seen - there).abs().max() > 1e-6  # they are counts
    logits = plays.logits(thetas).detach().requires_grad_()
    for normalise in (True, False):
        now = logits.log_softmax(dim=-1)
        cost = tree_rollouts.outcome_loss(game, now, drawn, normalise=normalise)
        found = torch.autograd.grad(cost.sum(), logits)[0]
        right = tree.success(game, log_pi)
        slope = tree_rollouts.group_slope(right, 3) if normalise else torch.full_like(right, 2 / 3)
        wanted = -tree.return_gradient(game, log_pi) * slope[..., None, None]
        assert float((found - wanted).norm() / wanted.norm()) < 0.2


def test_the_slope_of_a_group_is_that_of_its_expected_advantages():
    p = np.linspace(0, 1, 11)
    for group in (2, 4, 7):
        plus, minus = groups.advantages(np.array([0.0, 1.0]), np.stack([1 - p, p]), group)
        close(
            tree_rollouts.group_slope(torch.tensor(p), group)[1:-1], (plus + minus)[1, 1:-1] - (plus + minus)[0, 1:-1]
        )


def test_natural_steps_without_a_matrix_are_those_with_one():
    plays, reads, thetas = pair("stack", width=6, layers=1)
    here = steps.Here(reads, thetas[0])
    fisher = here.jacobian.T @ here.weights @ here.jacobian
    x = torch.randn(thetas.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    close(tree_steps.fisher(plays, thetas)(x)[0], fisher @ x[0], 1e-10)
    assert float(tree_steps.trace(plays, thetas, 300)[0]) == pytest.approx(float(fisher.trace()), rel=0.05)
    damping = 0.1 * fisher.trace() / len(fisher)
    g = here.score(here.self_teacher, REVERSE_KL)
    wanted = here.direction(g, "natural", 0.1)
    found, left = tree_steps.natural(plays, thetas, here.gradient(g).expand(2, -1), damping.expand(2), 100)
    assert float(left[0]) < 1e-6
    assert float((found[0] - wanted).norm() / wanted.norm()) < 1e-5
    assert float(tree_steps.divergence(plays, thetas, found)[0]) == pytest.approx(float(here.divergence(wanted)))
    with pytest.raises(ValueError, match=r"damping must be positive, not \[0.0, 1.0\]"):
        tree_steps.natural(plays, thetas, x, torch.tensor([0.0, 1.0]))


def test_lessons_teach_the_student_and_its_teacher():
    plays, _, thetas = pair("sum", width=12, layers=1)
    game = plays.game
    asked = torch.stack([tree_network.reference(game, seed, (0.4, 0.8)) for seed in range(2)])
    close(asked.sum(dim=-1), np.ones(asked.shape[:-1]))
    assert (asked > 0).all()
    skilled = tree_network.reference(game, 0, (1.0, 1.0))
    assert float(tree.expected_return(game, skilled.log())) == pytest.approx(1)
    told = tree.teacher(game, asked.log(), 1.0).exp()
    learnt = tree_network.educated(plays, thetas, asked, told, 60, 0.02)
    for rows, before, after in (
        (asked, plays.students(thetas), plays.students(learnt)),
        (told, plays.teachers(thetas), plays.teachers(learnt)),
    ):
        cost = [float((rows[:, :, 0] * -x[:, :, 0]).sum(dim=-1).mean()) for x in (before, after)]
        assert cost[1] < cost[0] - 0.05
    assert (tree.teacher_return(game, plays.teachers(learnt)) > plays.expected_returns(learnt)).all()


def test_what_no_tree_can_hold_is_refused():
    rules = sum_rules(2, 1, [(0, 1), (1, 1)])
    for weights in ([0.5, 0.6], [1.0], [1.5, -0.5]):
        with pytest.raises(ValueError, match="weights must be 2 positive numbers that sum to one"):
            tree_game.of_rules(rules, weights)
    with pytest.raises(ValueError, match="a problem has rewards of its own"):
        tree_game.of_rules(sum_rules(2, 1, reward="per_token"))
    plays, _, thetas = pair("sum")
    log_pi = plays.students(thetas)
    with pytest.raises(ValueError, match="part"):
        tree.loss(plays.game, log_pi, tree.teacher(plays.game, log_pi), FORWARD_KL, "future-aware")


def test_likelihoods_and_rewards_follow_the_rules():
    """A verifier that says the first token only, written by hand."""
    game = tree_game.of_rules(sum_rules(2, 1, [(0, 1)], "trace"))
    told = {game.vocabulary[i] for hint in game.hints for i in hint}
    assert told == {"starts", "0", "1"}
    assert game.weight.sum() == 1
    own = Rules(("a", "b", "?"), game.tree, [Problem("p", ("?",), np.array([True, False, False, False]))],
                lambda p, y: (("?",), np.array([True, True, False, False])))  # fmt: skip
    made = tree_game.of_rules(own)
    close(made.likelihood, [[1, 1, 0, 0]])
    close(made.reward, [[1, 0, 0, 0]])
    flat = torch.full((1, 3, 2), 0.5, dtype=torch.float64).log()
    close(tree.teacher(made, flat, 1.0)[0, :2].exp(), [[1, 0], [0.5, 0.5]])
    assert float(tree.expected_return(replace(made, reward=made.likelihood), flat)) == 0.5


def test_the_greedy_student_writes_its_likeliest_tokens():
    game = tree_game.of_rules(sum_rules(2, 1, [(0, 1), (1, 1)], "answer"))
    pi = torch.tensor([[0.4, 0.6], [0.5, 0.5], [0.7, 0.3]], dtype=torch.float64)
    best = tree.greedy(torch.stack([pi, pi]).log())
    close(best.exp(), [[[0, 1], [1, 0], [1, 0]]] * 2)
    assert float(tree.expected_return(game, best)) == 0.5  # "1 0" is 0 + 1, and not 1 + 1
