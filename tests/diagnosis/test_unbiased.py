"""Every possible group of rollouts of a small token MDP, with its probability: estimators have exactly the mean that
they should, by the library's own rates; and what breaks that is noticed."""

from itertools import product

import numpy as np
import pytest

from distil_theory import estimators, experts, instances, objectives, solve
from distil_theory.diagnosis import rates, tails, trust
from distil_theory.diagnosis.log import Block
from distil_theory.divergences import CATALOGUE, FORWARD_KL, HELLINGER, JENSEN_SHANNON, PEARSON, REVERSE_KL
from distil_theory.instances.stack_machine import stack_machine
from distil_theory.instances.token_sum import token_sum
from experiments.diagnosis import faults, games, logs, truth

EXACT = 1e-12


def small_sum():
    """Two contexts with feedback that the student cannot see; eight answers."""
    made = games.of_token_mdp("sum", token_sum(2, 2, [(1, 1), (3, 2)], "answer"), 5, 0.3)
    return made.trusted(0.8)


def small_fork():
    return games.of_instance(instances.risky_fork()).trusted(0.9)


def small_tree():
    """Paid at every token, a teacher that is wrong."""
    return games.random_tree("tree", 2, 2, 3, 6, 1, 1.0).trusted(0.7)


GAMES = {"sum": small_sum, "fork": small_fork, "tree": small_tree}


def every_group(game, size, top=None):
    """A block of all groups of this size, each of one context, and their probabilities."""
    every = game.every
    of = [np.flatnonzero(every.context == c) for c in range(len(every.law))]
    places = np.concatenate([np.array(list(product(rows, repeat=size))) for rows in of])
    chance = every.law[every.context[places[:, 0]]] * every.chance[places].prod(axis=1)
    assert abs(chance.sum() - 1) < EXACT
    return logs.block(every, places, top), chance


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("name", GAMES)
def test_the_mean_over_every_group_is_the_rate(name, size):
    game = GAMES[name]()
    block, chance = every_group(game, size)
    plan = rates.columns(block)
    assert {(c.level, c.divergence.name) for c in plan} >= {
        (level, d.name) for level in ("local", "sequence", "euclidean", "full") for d in CATALOGUE
    } - {("full", "reverse_kl")}
    for clip in (0.7, 1.3, 5.0):
        mean = chance @ rates.contributions(block, plan, clip)
        wanted = [truth.rate(game, c.level, c.divergence, clip) for c in plan]
        np.testing.assert_allclose(mean, wanted, atol=EXACT, rtol=1e-11)


@pytest.mark.parametrize("name", GAMES)
def test_single_rollouts_borrow_a_baseline_from_the_other_groups(name):
    """Logs of two groups of one rollout: all pairs of contexts and rollouts."""
    game = GAMES[name]()
    every = game.every
    law = every.law[every.context] * every.chance
    pairs = np.array(list(product(range(len(law)), repeat=2)))
    plan = tuple(c for c in rates.columns(logs.block(every, pairs[:, :1])) if c.centred)
    total = np.zeros(len(plan))
    for pair in pairs:
        total += law[pair].prod() * rates.contributions(logs.block(every, pair[:, None]), plan).mean(axis=0)
    wanted = [truth.rate(game, c.level, c.divergence, rates.CLIP) for c in plan]
    np.testing.assert_allclose(total, wanted, atol=EXACT, rtol=1e-11)


def test_single_rollouts_have_no_covariance_at_the_sequence_level():
    game = small_tree()
    block = logs.block(game.every, np.arange(3)[:, None])
    plan = rates.columns(block)
    found = rates.contributions(block, plan)
    for k, column in enumerate(plan):
        assert np.isnan(found[:, k]).all() == (
            column.level in ("sequence", "full") and column.name != "sequence/forward_kl"
        )


@pytest.mark.parametrize("name", GAMES)
def test_sequence_levels_are_the_gap_and_the_full_reverse_kl(name):
    """Claims 2 and 16, and the identity that `truth` proves: three routes each."""
    game = GAMES[name]()
    gap = solve.expected_return(game.mdp, game.teacher) - solve.expected_return(game.mdp, game.student)
    assert abs(truth.sequence(game, FORWARD_KL) - gap) < EXACT
    assert abs(truth.weighted(game) - gap) < EXACT
    full = truth.full(game)
    assert abs(truth.sequence(game, REVERSE_KL) - full) < EXACT
    assert abs(full - truth.local(game, REVERSE_KL)) > 1e-3 or name == "tree"
    block, chance = every_group(game, 2)
    plan = [c for c in rates.columns(block) if c.name == "sequence/reverse_kl"]
    assert abs((chance @ rates.contributions(block, plan))[0] - full) < EXACT


def test_the_full_gradient_of_another_divergence_is_not_the_sequence_level():
    game = small_fork()
    for divergence in CATALOGUE:
        full = objectives.improvement_rate(game.mdp, game.student, game.teacher, divergence, part="full")
        assert (abs(full - truth.sequence(game, divergence)) < EXACT) == (divergence == REVERSE_KL), divergence


def test_hiding_the_feedback_averages_the_rates_of_the_groups():
    """The student of `game.mdp` cannot see the feedback; told it, it has rates of its own, whose mean is the same."""
    game = games.of_token_mdp("sum", token_sum(2, 2, [(1, 1), (3, 2)], "trace"), 5, 0.3).trusted(0.8)
    assert game.mdp.aliased
    assert len(game.contexts) > 2
    law = game.mdp.initial[game.contexts]
    for divergence in CATALOGUE:
        told = [
            objectives.improvement_rate(game.alone(c), game.student, game.teacher, divergence) for c in game.contexts
        ]
        assert np.ptp(told) > 1e-3
        assert abs(law @ np.array(told) - truth.local(game, divergence)) < EXACT


def test_where_the_reward_depends_on_what_is_hidden_the_mean_is_another_number():
    """Two contexts that look alike, rewards (1, 0) and (0, 9/10): claim 6c. Groups by context say that forward KL
    raises the return, and it does if the student is told; the blind student loses."""
    case = instances.aliased_contexts().convert("float64")
    blind = objectives.improvement_rate(case.mdp, case.student, case.expert, FORWARD_KL)
    game = games.Game("hidden", *games.unfolded(case.mdp, case.student, case.expert))
    assert truth.local(game, FORWARD_KL) > 0 > blind
    assert abs(truth.local(game, FORWARD_KL) - case.gap) < EXACT


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("clip", [0.5, 1.0, 1.5, 3.0, 20.0])
def test_the_bias_of_clipped_weights_is_within_claim_15(name, clip):
    game = GAMES[name]()
    every = game.every
    gap = truth.sequence(game, FORWARD_KL)
    after = np.exp(np.cumsum(every.teacher - every.student, axis=1))
    weight = np.concatenate([np.ones((len(after), 1)), after[:, :-1]], axis=1)
    reached = (every.law[every.context] * every.chance)[:, None] * weight  # by the teacher
    advantage = solve.advantage(game.mdp, game.student)
    g = (game.teacher * advantage).sum(axis=2)
    rollouts = estimators.trajectories.enumerate_all(game.mdp)
    met = rollouts.along(g, actions=False).T
    bound = (reached * (1 - np.minimum(weight, clip) / weight) * abs(met)).sum()
    bias = truth.weighted(game, clip) - gap
    assert abs(bias) <= bound + EXACT
    if clip >= weight.max():
        assert abs(bias) < EXACT
    block, chance = every_group(game, 2)
    plan = [c for c in rates.columns(block) if c.level == "clipped"]
    assert abs((chance @ rates.contributions(block, plan, clip))[0] - gap) <= bound + EXACT


@pytest.mark.parametrize("top", [1, 2, 4])
def test_intervals_for_unlisted_tails_hold_the_rate_of_every_group(top):
    """Each group's own number with whole distributions lies between its ends, and the rate between their means; if
    all tokens are listed there is no doubt."""
    game = games.random_tree("tree", 2, 4, 2, 8, 1, 1.0).trusted(0.8)
    whole, chance = every_group(game, 2)
    listed, _ = every_group(game, 2, top)
    plan, ends = rates.columns(whole), rates.columns(listed)
    exact = dict(zip([c.name for c in plan], rates.contributions(whole, plan).T, strict=True))
    found = rates.contributions(listed, ends)
    seen = 0
    for k, column in enumerate(ends):
        if column.end == "low":
            low, high, own = found[:, k], found[:, k + 1], exact[column.name]
            assert (low <= own + EXACT).all(), column
            assert (own <= high + EXACT).all(), column
            rate = truth.local(game, column.divergence)
            assert chance @ low <= rate + EXACT, column
            assert rate <= chance @ high + EXACT, column
            if top == 4:
                np.testing.assert_allclose(high, low, atol=1e-9)
            else:
                assert (high > low + 1e-6).any()
            seen += 1
        elif not column.end:
            np.testing.assert_allclose(found[:, k], exact[column.name], atol=EXACT)
    assert seen == len(CATALOGUE) - 1


@pytest.mark.parametrize("divergence", [HELLINGER, PEARSON, JENSEN_SHANNON], ids=lambda d: d.name)
def test_ends_of_tails_are_attained_in_the_limit(divergence):
    """A tail of even ratios is at one end; one of two tokens, of which the teacher abandons the one and the student
    the other, comes as near as one likes to the other end."""
    q, p = np.array([0.3]), np.array([0.2])
    low, high = (x[0] for x in tails.bounds(divergence, q, p))
    jensen = q[0] * tails.score(divergence, np.log(p / q))[0]
    assert (abs(low - jensen) < EXACT) != (abs(high - jensen) < EXACT)
    away = []
    for e in (1e-3, 1e-6, 1e-9):
        student, teacher = np.array([q[0] - e, e]), np.array([1e-300, p[0]])
        away.append((student * tails.score(divergence, np.log(teacher / student))).sum())
        assert low - EXACT <= away[-1] <= high + EXACT
    if divergence is PEARSON:
        assert away[2] > 1e3
        assert high == np.inf
    else:
        assert min(abs(away[2] - low), abs(away[2] - high)) < 1e-4


@pytest.mark.parametrize("fault", faults.FAULTS)
def test_checks_have_mean_zero_for_an_honest_teacher(fault):
    """Exactly: `E S` and `E Lambda - 1` over all rollouts. A teacher that has read the verdict on *this* rollout, a
    student sampled at another temperature and shifted tokens have other means; a teacher that has read where this
    rollout first errs is, given the prefix, an honest one."""
    every = faults.rollouts(fault, 0.9)
    found = trust.checks(logs.block(every, np.arange(len(every.chance))[:, None]))
    cut, s, ratio = (every.law[every.context] * every.chance) @ found
    if fault in ("valid", "own trace"):
        assert abs(s) < EXACT
        assert abs(ratio) < EXACT
        assert cut <= EXACT
    else:
        assert abs(s) > {"own verdict": 0.5, "temperature": 1e-5, "shifted": 0.5}[fault]
    if fault == "own trace":
        u = np.exp(every.teacher - every.student)
        for h in range(u.shape[1]):
            places = [every.context, *every.tokens[:, : h + 1].T]
            _, same = np.unique(np.array(places), axis=1, return_inverse=True)
            assert np.bincount(same, u[:, h] ** 2) @ np.bincount(same) == pytest.approx(
                (np.bincount(same, u[:, h]) ** 2).sum()
            )  # no spread given prefix and token


def test_a_log_of_own_traces_estimates_the_teacher_of_its_mean_ratios():
    """`E[u_h | prefix, token]` times the student is a teacher, and the estimates are its rates."""
    every = faults.rollouts("own trace", 0.9)
    game = games.of_token_mdp("sums", token_sum(2, 2, faults.PROBLEMS, "none"), 5, 0.3)
    u = np.exp(every.teacher - every.student)
    teacher = np.array(game.student)
    node = every.context * ((game.mdp.shape[1] - 1) // len(faults.PROBLEMS))
    first = node.copy()
    for h in range(u.shape[1]):
        token = every.tokens[:, h]
        teacher[h, node, token] = game.student[h, node, token] * u[:, h]
        np.testing.assert_allclose(np.log(game.student[h, node, token]), every.student[:, h])
        node = first + 2 * (node - first) + 1 + token
    np.testing.assert_allclose(teacher.sum(axis=2), 1)
    assert abs(teacher - game.student).max() > 0.3
    honest = games.Game("honest", game.mdp, game.student, teacher)
    mean = (every.law[every.context] * every.chance) @ (every.reward * (u - 1).sum(axis=1))
    assert abs(mean - truth.local(honest, FORWARD_KL)) < EXACT
    mean = (every.law[every.context] * every.chance) @ (every.reward * (every.ratio - 1))
    assert abs(mean - truth.weighted(honest)) < EXACT


def test_checks_cannot_see_a_rollout_that_helps_as_often_as_it_hurts():
    """A teacher that read the one token it judges, and doubts the first two of four as much as it trusts the others:
    its ratios at written tokens are those of a teacher that read nothing, so no function of the log can tell."""
    ratio = np.array([0.4, 0.4, 1.6, 1.6])
    student = np.log(np.full(4, 0.25))
    told = Block(np.arange(5), np.arange(5), np.zeros(4), student, student + np.log(ratio))
    np.testing.assert_allclose(trust.checks(told).mean(axis=0), 0, atol=EXACT)


def test_the_kind_of_number_of_contexts_and_rollouts_is_that_of_the_game():
    game = games.of_token_mdp("tests", stack_machine(length=2, feedback="trace"), 1, 0.5)
    every = game.every
    np.testing.assert_allclose(every.mean(np.ones(len(every.chance))), 1)
    assert abs(every.law @ every.mean(every.reward) - solve.expected_return(game.mdp, game.student)) < EXACT
    drawn = every.draw((400, 50), 3, np.random.default_rng(0))
    assert (every.context[drawn] == every.context[drawn][..., :1]).all()
    seen = np.bincount(drawn.ravel(), minlength=len(every.chance)) / drawn.size
    wanted = every.law[every.context] * every.chance
    assert (abs(seen - wanted) < 6 * np.sqrt(wanted / 20000) + 1e-9).all()


def test_unfolding_changes_no_rate():
    for made in (instances.horizon_chain(4, leave="1/10", succeed="1/5"), instances.spurious_disagreement()):
        flat = made.convert("float64")
        star = experts.ema(flat.student, flat.expert, 0.7)
        game = games.of_instance(made).trusted(0.7)
        for divergence in CATALOGUE:
            for part in ("local", "full"):
                rate = objectives.improvement_rate(flat.mdp, flat.student, star, divergence, part=part)
                again = objectives.improvement_rate(game.mdp, game.student, game.teacher, divergence, part=part)
                assert abs(rate - again) < EXACT
    with pytest.raises(ValueError, match="left to chance"):
        games.unfolded(instances.chance_ahead().convert("float64").mdp)
