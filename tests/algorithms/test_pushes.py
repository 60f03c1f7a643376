"""What a step is told to do: against the gradients of the core, its estimators, and enumerated groups."""

import itertools

import numpy as np
import pytest

from distil_theory import estimators, objectives, solve, trajectories
from distil_theory.algorithms import Disagreement, Outcome, Sampling, Task
from distil_theory.algorithms import disagreement as module
from distil_theory.algorithms.rollouts import draw
from distil_theory.algorithms.signals import Moment
from distil_theory.algorithms.updating import direction, gradient
from distil_theory.aliasing import pool, visible
from distil_theory.divergences import BY_NAME, CROSS_ENTROPY, FORWARD_KL, HELLINGER, JENSEN_SHANNON, REVERSE_KL
from distil_theory.instances import garnet
from distil_theory.spec import Bandit, TabularMDP
from distil_theory.trajectories import Trajectories
from tests.algorithms.test_groups import worth
from tests.problems import policy, random_pair

RNG = np.random.default_rng(0)


def moment(mdp, pi, star, sampling=None, rng=RNG, memory=None, finished=None):
    pi, star = (None if x is None else solve.align(np.asarray(x), 1, 3) for x in (pi, star))
    return Moment(Task(mdp, finished=finished), pi, star, sampling, rng, {} if memory is None else memory)


def loss_gradient(objective, now):
    push = objective.push(now)
    return -gradient(visible(now.task.mdp, now.pi), push.plus + push.minus)


@pytest.mark.parametrize("aliased", [False, True])
@pytest.mark.parametrize("batch", [0, 4])
@pytest.mark.parametrize("part", ["local", "full", "future"])
@pytest.mark.parametrize("divergence", [*BY_NAME.values(), CROSS_ENTROPY], ids=lambda d: d.name)
def test_exact_gradients_are_those_of_the_core(divergence, part, batch, aliased):
    mdp, theta, star = random_pair(3, aliased, batch)
    pi = policy(mdp, theta)
    want = objectives.loss_gradient(mdp, pi, star, divergence, part=part)
    got = loss_gradient(Disagreement(divergence, part), moment(mdp, pi, star))
    np.testing.assert_allclose(got if batch else got[..., 0], want, atol=1e-12)


@pytest.mark.parametrize("part", ["local", "future", "full"])
def test_pushes_are_advantages_up_and_down(part):
    """What PPO clips: centred, and the sign is that of a state's action before states that look alike are summed."""
    mdp, theta, star = random_pair(3, True, seed=1)
    pi = policy(mdp, theta)
    cost = JENSEN_SHANNON.value(star, pi, axis=2)
    charging = TabularMDP(mdp.transition, cost[:, :, None].repeat(3, axis=2), mdp.initial, None, mdp.observation)
    a = np.zeros((3, 3, 3))
    if part != "future":
        h = JENSEN_SHANNON.h(star / pi)
        a += h - (pi * h).sum(axis=2)[:, :, None]
    if part != "local":
        a -= solve.advantage(charging, pi)
    flow = solve.occupancy(mdp, pi)[:, :, None] * pi
    push = Disagreement(JENSEN_SHANNON, part).push(moment(mdp, pi, star))
    for got, want in ((push.plus, np.maximum(a, 0)), (push.minus, np.minimum(a, 0))):
        np.testing.assert_allclose(got[..., 0], pool(mdp, flow * want), atol=1e-12)
    assert ((push.plus > 0) & (push.minus < 0)).any()  # both, behind one observation


def test_weights_labels_and_whose_states():
    mdp, theta, star = random_pair(3, True)
    pi = policy(mdp, theta)
    w = objectives.occupancy_ratio(mdp, pi, star)
    want = objectives.loss_gradient(mdp, pi, star, JENSEN_SHANNON, weight=w)
    got = loss_gradient(Disagreement(JENSEN_SHANNON, clip=float("inf")), moment(mdp, pi, star))
    np.testing.assert_allclose(got[..., 0], want, atol=1e-12)
    # cloning is the local objective whose states are weighted to be the expert's
    got = loss_gradient(Disagreement(JENSEN_SHANNON, states="expert"), moment(mdp, pi, star))
    np.testing.assert_allclose(got[..., 0], want, atol=1e-12)
    want = objectives.loss_gradient(mdp, pi, star, FORWARD_KL)
    np.testing.assert_allclose(
        loss_gradient(Disagreement(labels=True), moment(mdp, pi, star))[..., 0], want, atol=1e-12
    )


def binary_tree():
    """Three steps; a state remembers all actions."""
    p = np.zeros((3, 7, 2, 7))
    for s, a in np.ndindex(7, 2):
        p[:, s, a, 2 * s + 1 + a if s < 3 else 0] = 1
    reward = np.zeros((3, 7, 2))
    reward[2] = RNG.random((7, 2))
    return TabularMDP(p, reward, np.eye(7)[0])


def test_clipped_weights_on_a_tree():
    mdp = binary_tree()
    pi, star = (RNG.dirichlet([1, 1], (3, 7)) for _ in range(2))
    want = objectives.loss_gradient(mdp, pi, star, FORWARD_KL, estimators.mean_weight(mdp, pi, star, 1.1))
    now = moment(mdp, pi, star)
    assert now.task.tree
    np.testing.assert_allclose(loss_gradient(Disagreement(clip=1.1), now)[..., 0], want, atol=1e-12)
    unclipped = loss_gradient(Disagreement(clip=float("inf")), now)[..., 0]
    assert abs(unclipped - want).max() > 1e-3
    mdp, theta, star = random_pair(3, False)
    with pytest.raises(ValueError, match="several ways lead to one state"):
        Disagreement(clip=2.0).push(moment(mdp, policy(mdp, theta), star))


CASES = [
    (Disagreement(HELLINGER), {"part": "local"}),
    (Disagreement(JENSEN_SHANNON, clip=1.5), {"part": "local", "clip": 1.5}),
    (Disagreement(labels=True), {"part": "local"}),
    (Disagreement(labels=True, clip=1.5), {"part": "local", "clip": 1.5}),
    (Disagreement(REVERSE_KL, "full"), {}),
    (Disagreement(FORWARD_KL, "full", baseline="state"), {"baseline": "state"}),
    (Disagreement(CROSS_ENTROPY, "future", labels=True), {"part": "future"}),
    (Disagreement(CROSS_ENTROPY, "full", labels=True, baseline="state"), {"baseline": "state"}),
]


@pytest.mark.parametrize("aliased", [False, True])
@pytest.mark.parametrize(("objective", "options"), CASES, ids=lambda x: str(x)[:60])
def test_sampled_gradients_are_the_mean_of_the_estimators_of_the_core(objective, options, aliased, monkeypatch):
    mdp, theta, star = random_pair(3, aliased)
    pi = policy(mdp, theta)
    kept = []

    def remembering(*args, **more):
        kept.append(draw(*args, **more))
        return kept[-1]

    monkeypatch.setattr(module, "draw", remembering)
    got = loss_gradient(objective, moment(mdp, pi, star, Sampling(6, 3)))[..., 0]
    (seen,) = kept
    labels = None if seen.labels is None else seen.labels[..., 0]
    rollouts = Trajectories(seen.states[..., 0], seen.actions[..., 0], labels)
    divergence = CROSS_ENTROPY if objective.labels else objective.divergence
    want = estimators.samples(mdp, pi, star, divergence, rollouts, **options).mean(axis=-1)
    np.testing.assert_allclose(got, want, atol=1e-12)


@pytest.mark.parametrize("baseline", ["position", "group"])
def test_baselines_leave_out_the_rollout_itself(baseline, monkeypatch):
    mdp, theta, star = random_pair(3, False)
    pi = policy(mdp, theta)
    cost = FORWARD_KL.value(star, pi, axis=2)
    kept = []
    monkeypatch.setattr(module, "draw", lambda *a, **k: kept.append(draw(*a, **k)) or kept[-1])
    objective = Disagreement(FORWARD_KL, "future", baseline=baseline)
    got = loss_gradient(objective, moment(mdp, pi, star, Sampling(3, 4)))[..., 0]
    states, actions = kept[0].states[..., 0], kept[0].actions[..., 0]
    paid = cost[np.arange(3)[:, None], states]
    want = np.zeros((3, 3, 3))
    for n, h in np.ndindex(12, 3):
        others = [m for m in range(12) if m != n and (baseline == "position" or m // 4 == n // 4)]
        later = paid[h + 1 :, n].sum() - np.mean([paid[h + 1 :, m].sum() for m in others])
        o = mdp.observation[states[h, n]]
        want[h, o] += (np.eye(3)[actions[h, n]] - pi[h, states[h, n]]) * later / 12
    np.testing.assert_allclose(got, want, atol=1e-12)


def test_the_data_of_all_rounds_are_kept():
    mdp, _, star = random_pair(2, False)
    objective, memory, data = Disagreement(states="all"), {}, []
    for seed in range(3):
        pi = policy(mdp, np.random.default_rng(seed).normal(size=(2, 3, 3)))
        got = loss_gradient(objective, moment(mdp, pi, star, memory=memory))[..., 0]
        data.append(solve.occupancy(mdp, pi))
        d = np.mean(data, axis=0)[:, :, None]
        np.testing.assert_allclose(got, visible(mdp, d * (pi - star)), atol=1e-12)


@pytest.mark.parametrize("normalise", [True, False])
def test_expected_group_advantages_against_every_group_of_rollouts(normalise):
    # two prompts of different difficulty, two steps, rewards that are chances; groups of three, all of them
    reward = np.zeros((2, 4, 2))
    reward[1] = [[0.2, 1.0], [0.0, 0.6], [0.5, 0.1], [0.9, 0.3]]
    p = np.zeros((2, 4, 2, 4))
    p[..., 2], p[..., 3] = 0.7, 0.3
    p[:, :, 1] = [[0, 0, 0.1, 0.9]]
    mdp = TabularMDP(p, reward, [0.4, 0.6, 0, 0], observation=[0, 1, 2, 2])
    pi = RNG.dirichlet([1, 1], (2, 3))[:, [0, 1, 2, 2]]
    every = trajectories.enumerate_all(mdp)
    law, paid = trajectories.probability(mdp, pi, every), trajectories.returns(mdp, every)
    plus, minus = np.zeros((2, 4, 2)), np.zeros((2, 4, 2))
    for prompt, rho in ((0, 0.4), (1, 0.6)):
        chance = {}  # of a rollout with a success bit
        for n in np.flatnonzero(every.states[0] == prompt):
            for bit in (0, 1):
                chance[n, bit] = law[n] / rho * (paid[n] if bit else 1 - paid[n])
        bits = {bit: sum(q for (_, b), q in chance.items() if b == bit) for bit in (0, 1)}
        for (n, bit), q in chance.items():
            for others in itertools.product((0, 1), repeat=2):
                a = worth([bit, *others], 0, normalise)
                mass = rho * q * bits[others[0]] * bits[others[1]] * a
                for h in range(2):
                    (plus if a > 0 else minus)[h, every.states[h, n], every.actions[h, n]] += mass
    push = Outcome(3, normalise).push(moment(mdp, pi, None))
    for got, want in ((push.plus, plus), (push.minus, minus)):
        pooled = np.stack([want[:, 0], want[:, 1], want[:, 2] + want[:, 3]], axis=1)
        np.testing.assert_allclose(got[..., 0], pooled, atol=1e-12)
    # unbiased: many groups at once come close, from samples of the same size
    drawn = Outcome(3, normalise).push(moment(mdp, pi, None, Sampling(200_000, 3)))
    np.testing.assert_allclose(drawn.plus, push.plus, atol=5e-3)
    np.testing.assert_allclose(drawn.minus, push.minus, atol=5e-3)


def test_outcomes_of_several_values():
    mdp, pi = Bandit([0.0, 0.5, 1.0, 0.5]), RNG.dirichlet(np.ones(4))
    push = Outcome(3, reward="value").push(moment(mdp, pi[None, None], None))
    want = np.zeros(4)
    for group in itertools.product(range(4), repeat=3):
        want[group[0]] += np.prod(pi[list(group)]) * worth([mdp.reward[0, 0, a] for a in group], 0, True)
    np.testing.assert_allclose((push.plus + push.minus)[0, 0, :, 0], want, atol=1e-12)


def test_finished_states_say_nothing():
    mdp, theta, star = random_pair(3, False)
    pi, over = policy(mdp, theta), np.array([False, True, False])
    want = objectives.loss_gradient(mdp, pi, star, CROSS_ENTROPY, 1.0 * ~over[None].repeat(3, 0), "full")
    now = moment(mdp, pi, star, finished=over)
    np.testing.assert_allclose(loss_gradient(Disagreement(CROSS_ENTROPY, "full"), now)[..., 0], want, atol=1e-12)
    drawn = Disagreement(CROSS_ENTROPY, "full", labels=True).push(now._replace(sampling=Sampling(9, 2)))
    assert (drawn.plus[:, mdp.observation[1]] == 0).all()
    last = Disagreement(CROSS_ENTROPY, "future").push(now._replace(sampling=Sampling(9, 2)))
    assert (last.plus[2] == 0).all()


def test_nobody_goes_nowhere():
    g = np.zeros((1, 2, 2, 1))
    assert (direction(np.full((1, 2, 2, 1), 0.5), g + 1, np.array([[[0.0], [1.0]]]), "natural") == 0).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Disagreement("forward_kl"), "must be an FDivergence"),
        (lambda: Disagreement(part="past"), "unknown part"),
        (lambda: Disagreement(states="nobody"), "unknown states 'nobody'"),
        (lambda: Disagreement(baseline="mean"), "unknown baseline 'mean'"),
        (lambda: Disagreement(clip=0), "clip must be a positive number"),
        (lambda: Disagreement(part="full", clip=2.0), "without prefix weights"),
        (lambda: Disagreement(part="full", states="expert"), "goes with the student's states"),
        (lambda: Disagreement(states="all", clip=2.0), "prefix weights correct the student's states"),
        (lambda: Disagreement(REVERSE_KL, labels=True), "teach forward cross-entropy, not reverse_kl"),
        (lambda: Disagreement(REVERSE_KL, states="all"), "teach forward cross-entropy"),
        (lambda: Disagreement(FORWARD_KL, part="full", labels=True), "not KL to go"),
        (lambda: Outcome(1), "group must be a whole number >= 2"),
        (lambda: Outcome(4, reward="sum"), "unknown reward 'sum'"),
        (lambda: Outcome(4).outcomes(Task(garnet(3, 2, 2, 2, 0))), "last step only"),
        (lambda: Outcome(4).outcomes(Task(Bandit([0.0, 2.0]))), r"in \[0,1\]"),
        (lambda: Outcome(4, reward="value").outcomes(Task(Bandit(np.arange(7.0)))), "7 different rewards"),
    ],
)
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()
