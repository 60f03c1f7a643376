"""The bridge: a network's gradients by two routes, its steps predicted and taken, its estimators, all exactly."""

import numpy as np
import pytest
import torch

from distil_theory import estimators, objectives, solve, trajectories, updates
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL, HELLINGER, JENSEN_SHANNON, REVERSE_KL
from distil_theory.instances.stack_machine import DOUBLE, SQUARE, stack_machine
from distil_theory.instances.token_sum import token_sum
from distil_theory.llm import exact, layout, losses, moments, pretrain
from distil_theory.llm.network import Network
from distil_theory.llm.steps import OPTIMISERS, Here

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
GAMES = {
    "sum": lambda: token_sum(2, 1, feedback="trace"),
    "stack": lambda: stack_machine((DOUBLE, SQUARE), ("DUP", "ADD", "MUL", "NOP"), 3, "trace"),
    "long": lambda: stack_machine(feedback="solution"),
}
SHORT = ("sum", "stack")
LOSSES = [
    (CROSS_ENTROPY, "local"),
    (REVERSE_KL, "local"),
    (JENSEN_SHANNON, "local"),
    (HELLINGER, "local"),
    (FORWARD_KL, "full"),
    (CROSS_ENTROPY, "full"),
    (REVERSE_KL, "future"),
]


def educated(name, dtype=torch.float64, width=12, steps=60):
    """A game and a network that was taught in float32's numbers, so that both precisions have the same weights."""
    game = GAMES[name]()
    player = exact.Player(game, exact.network_for(game, width=width, heads=1 if width % 2 else 2, seed=2))
    theta = pretrain.pretrained(player, [pretrain.reference(game, 1)], steps, rate=0.02)[0].float()
    return exact.Player(game, exact.network_for(game, width=width, heads=1 if width % 2 else 2, dtype=dtype)), theta.to(
        dtype
    )


@pytest.fixture(scope="module", params=SHORT)
def here(request):
    return Here(*educated(request.param))


def error(found, wanted):
    found, wanted = found.detach().double(), wanted.detach().double()
    return float((found - wanted).norm() / wanted.norm())


# --- the network
# -------------------------------------------------------------------------------------------------------------------


def test_the_network_looks_back_only_and_is_one_function_in_every_precision():
    ids = torch.tensor([[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]])
    made = {dtype: Network(7, 3, 6, layers=2, seed=4, dtype=dtype) for dtype in TOLERANCE}
    said = made[torch.float64](ids)
    assert said.shape == (2, 5, 3)
    other = ids.clone()
    other[:, 3:] = 0
    torch.testing.assert_close(made[torch.float64](other)[:, :3], said[:, :3])
    assert not torch.allclose(made[torch.float64](other)[:, 3:], said[:, 3:])
    assert error(made[torch.float32](ids), said) < 1e-5
    assert not torch.allclose(Network(7, 3, 6, layers=2, seed=5)(ids), said)
    assert 2000 < sum(p.numel() for p in made[torch.float32].parameters()) < 6000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width must be a whole number >= 1"),
        ({"heads": 3}, "width 16 is not a multiple of heads 3"),
        ({"actions": 8}, "only 7 tokens"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_impossible_networks(options, message):
    with pytest.raises(ValueError, match=message):
        Network(**({"vocabulary": 7, "actions": 3, "context": 6} | options))


def test_texts_that_are_too_long():
    with pytest.raises(ValueError, match="at most 6 tokens"):
        Network(7, 3, 6)(torch.zeros(1, 7, dtype=torch.long))


def test_the_table_is_what_the_network_says_along_whole_texts(here):
    """Prefix by prefix with padding, against one pass over prompt and answer as a language model is trained."""
    player, game = here.player, here.player.game
    every = trajectories.enumerate_all(game.mdp)
    places = [game.decode(0, int(s)) for s in every.states[0]]
    answers = layout.written(every).tolist()
    for policy, feedback in ((here.student, False), (here.self_teacher, True)):
        for n in range(0, len(places), 17):
            start = game.prompt(places[n].problem, places[n].feedback if feedback else None)
            ids = torch.tensor([[*start, *answers[n][:-1]]])
            read = exact.Texts(ids, torch.tensor([ids.shape[1] - 1]))
            whole = [
                player.answers(here.theta, exact.Texts(ids[:, : len(start) + h], torch.tensor([len(start) + h - 1])))[0]
                for h in range(game.tree.length)
            ]
            torch.testing.assert_close(whole[-1], player.answers(here.theta, read)[0])
            found = layout.along(
                torch.as_tensor(policy), trajectories.Trajectories(*(x[:, [n]] for x in (every.states, every.actions)))
            )
            torch.testing.assert_close(torch.stack(whole).softmax(-1), found[0])


# --- gradients by two routes
# -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE, ids=["float32", "float64"])
@pytest.mark.parametrize("name", SHORT)
def test_autograd_and_the_chain_rule_agree(name, dtype):
    player, theta = educated(name, dtype)
    precise, same = educated(name)
    assert torch.equal(theta.double(), same)
    expert = precise.table(precise.teacher(same))
    theta.requires_grad_()
    found = torch.autograd.grad(player.expected_return(theta), theta)[0]
    assert error(found, precise.return_gradient(same)) < TOLERANCE[dtype]
    weight = objectives.occupancy_ratio(precise.game.mdp, precise.table(precise.student(same)), expert)
    for objective, part in LOSSES:
        for w in (None, weight):
            found = torch.autograd.grad(player.loss(theta, expert, objective, part, w), theta)[0]
            wanted = precise.loss_gradient(same, expert, objective, part, w)
            assert error(found, wanted) < TOLERANCE[dtype], (objective.name, part)


def test_the_losses_on_every_rollout_are_a_third_route(here):
    game = here.player.game
    every = trajectories.enumerate_all(game.mdp)
    p = trajectories.probability(game.mdp, here.student, every)
    for objective, part in LOSSES:
        score = here.score(here.self_teacher, objective, part)
        found = moments.estimates(here, here.self_teacher, objective, every, part=part)
        core = estimators.samples(game.mdp, here.student, here.self_teacher, objective, every, part).sum(axis=0)
        assert error(found.T, torch.as_tensor(core).flatten(0, 1)) < 1e-10
        result = moments.exact(here, found, p, score)
        assert result.bias < 1e-10 * result.size
        full = here.jacobian.T @ (torch.as_tensor(p) @ found)
        assert error(full, here.player.loss_gradient(here.theta, here.self_teacher, objective, part)) < 1e-10


def test_the_jacobian_is_that_of_the_logits(here):
    v = torch.randn(here.theta.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    move = here.player.logits(here.theta + 1e-5 * v) - here.player.logits(here.theta - 1e-5 * v)
    assert error(here.jacobian @ v, move.flatten() / 2e-5) < 1e-6
    torch.testing.assert_close(here.gradient(here.score(here.self_teacher, REVERSE_KL)),
                               here.player.loss_gradient(here.theta, here.self_teacher, REVERSE_KL))  # fmt: skip


# --- teachers
# -------------------------------------------------------------------------------------------------------------------


def test_reading_feedback_makes_the_network_better(here):
    game = here.player.game
    for teacher in (here.self_teacher, here.player.conditioned(here.student)):
        assert solve.expected_return(game.mdp, teacher) > here.expected_return + 0.05


def test_before_its_education_it_is_not():
    game = GAMES["stack"]()
    player = exact.Player(game, exact.network_for(game, width=12, seed=2))
    untaught = Here(player, player.theta)
    gap = float(solve.expected_return(game.mdp, untaught.self_teacher)) - untaught.expected_return
    assert gap < 0.01


def test_false_feedback_changes_the_teacher_and_nothing_else(here):
    game, false = here.player.game, pretrain.misled(here.player.game)
    assert false.mdp is game.mdp
    assert false.hints[0][0] == game.hints[1][0]
    assert false.agree[-1][0].tolist() == game.agree[0][0].tolist()
    other = Here(exact.Player(false, here.player.network), here.theta)
    np.testing.assert_array_equal(other.student, here.student)
    for truth, lie in (
        (here.self_teacher, other.self_teacher),
        (here.player.conditioned(here.student), other.player.conditioned(here.student)),
    ):
        assert solve.expected_return(game.mdp, truth) > solve.expected_return(game.mdp, lie)
    again = game
    for _ in game.problems:
        again = pretrain.misled(again)
    if len({len(hints) for hints in game.hints}) == 1:
        assert again.hints == game.hints
        np.testing.assert_array_equal(again.consistent, game.consistent)


def test_one_problem_cannot_be_misled():
    with pytest.raises(ValueError, match="one problem only"):
        pretrain.misled(token_sum(2, 1, [(0, 1)]))
    with pytest.raises(ValueError, match="skill must lie"):
        pretrain.reference(GAMES["sum"](), 0, skill=2)


# --- steps
# -------------------------------------------------------------------------------------------------------------------


def test_a_network_that_can_move_every_prefix_takes_the_steps_of_the_table(here):
    """Almost no damping: claim 1's rate, and the gap itself with the weights of claim 2 (claim 17)."""
    game, expert = here.player.game, here.self_teacher
    assert here.incompatibility() < 1e-8
    for objective, part in LOSSES:
        delta = here.direction(here.score(expert, objective, part), "natural", damping=1e-9)
        rate = objectives.improvement_rate(game.mdp, here.student, expert, objective, part=part)
        assert float(here.return_gradient @ delta) == pytest.approx(float(rate), rel=1e-5)
    weight = objectives.occupancy_ratio(game.mdp, here.student, expert)
    delta = here.direction(here.score(expert, CROSS_ENTROPY, "local", weight), "natural", damping=1e-9)
    gap = float(solve.expected_return(game.mdp, expert)) - here.expected_return
    assert float(here.return_gradient @ delta) == pytest.approx(gap, rel=1e-5)


def test_a_network_of_which_the_head_alone_moves_takes_the_projected_step():
    """Claim 17: logits linear in few parameters. The rate is that of the table's step in the core's projection."""
    here = Here(*educated("long", width=4))
    game, expert = here.player.game, here.player.conditioned(here.student)
    steps, _, tokens = game.mdp.shape
    head = slice(-tokens * 5, None)  # weights of width 4, and biases: the last parameters
    here.__dict__["jacobian"] = here.jacobian[:, head]
    assert 0.3 < here.incompatibility() < 0.99
    features = [x.reshape(1, -1, tokens).expand(steps, -1, -1).numpy() for x in here.jacobian.T]
    for objective in (FORWARD_KL, REVERSE_KL):
        free = updates.direction(game.mdp, here.student, expert, objective)
        within = updates.project(game.mdp, here.student, free, features)
        rate = updates.first_order_change(game.mdp, here.student, within)
        delta = here.direction(here.score(expert, objective), "natural", damping=1e-9)
        assert float(here.return_gradient[head] @ delta) == pytest.approx(float(rate), rel=1e-4)
        whole = objectives.improvement_rate(game.mdp, here.student, expert, objective)
        assert float(rate) < 0.7 * float(whole)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_the_error_of_the_prediction_shrinks_like_the_square(here, optimiser):
    for objective, part in LOSSES[:3]:
        way = here.direction(here.score(here.self_teacher, objective, part), optimiser)
        changes = [here.change(here.scaled(way, kl)) for kl in (1e-8, 1e-6, 1e-4)]
        errors = [c.actual - c.predicted for c in changes]
        for kl, e, c in zip((1e-8, 1e-6), errors, changes, strict=False):
            assert e == pytest.approx(c.second_order, rel=30 * kl**0.5, abs=1e-14)
        assert errors[1] / errors[0] == pytest.approx(100, rel=0.2)  # KL is the square of the step
        assert changes[0].clear
        assert np.sign(changes[0].actual) == np.sign(changes[0].predicted)


def test_many_networks_at_once(here):
    """Policies, gradients and changes of a batch of parameter vectors against one at a time."""
    player, mdp = here.player, here.player.game.mdp
    others = [here.theta, here.theta + 0.1, 0.5 * here.theta]
    thetas = torch.stack(others)
    pi, star = (player.table(player.policies(thetas, feedback=f)) for f in (False, True))
    g = objectives.loss_gradient(mdp, pi, star, REVERSE_KL, part="full")
    together = player.pull_back_many(thetas, g)
    returns = player.expected_returns(thetas)
    for i, theta in enumerate(others):
        one = Here(player, theta)
        np.testing.assert_allclose(pi[..., i], one.student, rtol=1e-10)
        np.testing.assert_allclose(star[..., i], one.self_teacher, rtol=1e-10)
        assert float(returns[i]) == pytest.approx(one.expected_return, rel=1e-10)
        assert error(together[i], player.loss_gradient(theta, one.self_teacher, REVERSE_KL, "full")) < 1e-10


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_the_second_order_estimate_is_the_exact_one(here, optimiser):
    way = here.direction(here.score(here.self_teacher, CROSS_ENTROPY), optimiser)
    delta = here.scaled(way, 1e-4)
    assert 2 * here.change(delta).second_order == pytest.approx(here.curvature(delta), rel=1e-3)
    thrice = here.changes([delta, -delta], [1, 3])
    assert thrice[0][1].predicted == pytest.approx(3 * thrice[0][0].predicted)
    assert thrice[0][1].second_order == pytest.approx(9 * thrice[0][0].second_order)
    assert thrice[1][0].predicted == -thrice[0][0].predicted
    assert thrice[0][1].actual == pytest.approx(here.change(3 * delta).actual, rel=1e-9)


def test_directions(here):
    score = here.score(here.self_teacher, CROSS_ENTROPY)
    g = here.gradient(score)
    torch.testing.assert_close(here.direction(score, "sgd"), -g)
    theta = torch.nn.Parameter(here.theta.clone())
    adam = torch.optim.Adam([theta], lr=0.5)
    theta.grad = g
    adam.step()
    torch.testing.assert_close(here.direction(score, "adam") * 0.5, theta.detach() - here.theta)
    fisher = here.jacobian.T @ here.weights @ here.jacobian
    damped = fisher + 0.3 * fisher.trace() / len(g) * torch.eye(len(g), dtype=g.dtype)
    torch.testing.assert_close(here.direction(score, "natural", 0.3), -torch.linalg.solve(damped, g))
    for optimiser in OPTIMISERS:  # every one of them goes downhill
        assert float(here.direction(score, optimiser) @ g) < 0
    with pytest.raises(ValueError, match="unknown optimiser"):
        here.direction(score, "lion")
    with pytest.raises(ValueError, match="damping must be positive"):
        here.direction(score, "natural", 0)
    with pytest.raises(ValueError, match="moves no probability"):
        here.scaled(0 * g, 1e-4)


def test_the_size_of_a_step_is_a_kl(here):
    delta = here.scaled(here.direction(here.score(here.self_teacher, CROSS_ENTROPY), "sgd"), 1e-6)
    old, new = here.student, here.player.table(here.player.student(here.theta + delta))
    d = solve.occupancy(here.player.game.mdp, old)
    assert (d * FORWARD_KL.value(old, new, axis=2)).sum() == pytest.approx(1e-6, rel=0.02)


def test_where_teacher_and_student_agree_nothing_happens(here):
    """The limit `expert = student`: no gradient, for any divergence, but for cross-entropy that looks ahead."""
    for objective, part in LOSSES:
        g = here.gradient(here.score(here.student, objective, part))
        if (objective, part) == (CROSS_ENTROPY, "full"):
            assert g.norm() > 1e-3
        else:
            assert g.norm() < 1e-12


# --- estimators in parameter space
# -------------------------------------------------------------------------------------------------------------------


def test_moments_in_parameter_space_are_those_of_the_full_vectors(here):
    game, expert = here.player.game, here.self_teacher
    every = trajectories.enumerate_all(game.mdp)
    p = trajectories.probability(game.mdp, here.student, every)
    score = here.score(expert, CROSS_ENTROPY, "full")
    for options in ({}, {"part": "local", "clip": 1.1}, {"discount": 0.5}):
        found = moments.estimates(here, expert, CROSS_ENTROPY, every, **options)
        result = moments.exact(here, found, p, score)
        full = here.jacobian.T @ found.T
        mean = full @ torch.as_tensor(p)
        variance = (torch.as_tensor(p) * (full - mean[:, None]).square().sum(dim=0)).sum()
        assert result.bias == pytest.approx(float((mean - here.gradient(score)).norm()), rel=1e-8, abs=1e-10)
        assert result.spread == pytest.approx(float(variance.sqrt()), rel=1e-8)
        assert result.size == pytest.approx(float(here.gradient(score).norm()), rel=1e-8)
    assert result.bias > 1e-3 * result.size  # discounted


def test_labels_of_a_black_box_teacher_are_unbiased(here):
    game, expert = here.player.game, here.self_teacher
    if here.student.shape[0] > 2:
        pytest.skip("too many labelled rollouts to list")
    every = trajectories.with_labels(game.mdp, trajectories.enumerate_all(game.mdp))
    p = trajectories.probability(game.mdp, here.student, every, expert)
    found = moments.estimates(here, expert, CROSS_ENTROPY, every)
    result = moments.exact(here, found, p, here.score(expert, CROSS_ENTROPY, "full"))
    assert result.bias < 1e-10 * result.size


@pytest.mark.parametrize("kind", ["none", "position", "group"])
def test_drawn_batches_agree_with_the_exact_moments(here, kind):
    game, expert = here.player.game, here.self_teacher
    every = trajectories.enumerate_all(game.mdp)
    p = trajectories.probability(game.mdp, here.student, every)
    score = here.score(expert, FORWARD_KL, "full")
    known = moments.exact(here, moments.estimates(here, expert, FORWARD_KL, every), p, score)
    rng = np.random.default_rng(5)
    seen = moments.drawn(here, expert, FORWARD_KL, score, batch=8, repeats=200, rng=rng, kind=kind)
    assert seen.bias < 4 * known.spread / (8 * 200) ** 0.5  # the mean's own error is one of these
    if kind == "none":
        assert seen.spread == pytest.approx(known.spread, rel=0.15)


def test_losses_of_a_network_that_plays_are_those_of_its_table(here):
    """`token_cost` on whole rows against the core's value, where a language model would use it."""
    player = here.player
    pi = player.logits(here.theta)[:-1][:, None]
    star = torch.as_tensor(here.self_teacher[0])[:-1].log()[:, None]
    seen = torch.tensor(np.array(player.game.mdp.observation)[:-1])
    cost = losses.token_cost(pi[seen], star, JENSEN_SHANNON)[:, 0]
    core = JENSEN_SHANNON.value(here.self_teacher, here.student, axis=2)[0, :-1]
    torch.testing.assert_close(cost, torch.as_tensor(core))
