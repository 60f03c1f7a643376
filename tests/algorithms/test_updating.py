"""How a step follows a push: each geometry against the core, torch, scipy."""

import numpy as np
import pytest
import scipy.stats
import torch

from distil_theory import solve, updates
from distil_theory.algorithms import DISTIL, Disagreement, Outcome, Sampling, Task, Update
from distil_theory.algorithms.rollouts import draw
from distil_theory.algorithms.signals import Moment, Push
from distil_theory.algorithms.updating import FLOOR, clipped_gradient, clipped_objective, gradient, normalised
from distil_theory.aliasing import belief, pool, spread, visible
from distil_theory.divergences import FORWARD_KL, JENSEN_SHANNON, PEARSON, REVERSE_KL
from distil_theory.instances import garnet
from tests.problems import policy, random_pair

RNG = np.random.default_rng(1)


def step(update, mdp, theta, star, objective, sampling=None):
    """The new policy `(H,S,A,*B)`."""
    pi, star = (solve.align(x, 1, 3) for x in (policy(mdp, theta), star))
    push = objective.push(Moment(Task(mdp), pi, star, sampling, np.random.default_rng(0), {}))
    new = update.step(normalised(solve.align(theta, 1, 3)), push, objective.divergence)
    return spread(mdp, np.exp(new))


@pytest.mark.parametrize("aliased", [False, True])
@pytest.mark.parametrize("batch", [0, 3])
@pytest.mark.parametrize(
    ("kind", "divergence"),
    [("natural", JENSEN_SHANNON), ("euclidean", REVERSE_KL), ("proximal", FORWARD_KL)],
    ids=lambda x: getattr(x, "name", x),
)
def test_the_three_geometries_are_those_of_the_core(divergence, kind, batch, aliased):
    mdp, theta, star = random_pair(2, aliased, batch)
    pi = policy(mdp, theta)
    if kind == "proximal":
        want = updates.proximal_step(mdp, pi, star, divergence, 0.3)
    else:
        want = updates.exponential_step(mdp, pi, updates.direction(mdp, pi, star, divergence, kind), 0.3)
    got = step(Update(kind, 0.3), mdp, theta, star, Disagreement(divergence))
    np.testing.assert_allclose(got if batch else got[..., 0], want, atol=1e-9)


@pytest.mark.parametrize("divergence", [FORWARD_KL, PEARSON], ids=lambda d: d.name)
def test_a_proximal_step_from_samples_is_that_of_the_counted_states(divergence):
    mdp, theta, star = random_pair(2, True)
    pi, eta, sampling = policy(mdp, theta), 0.7, Sampling(5, 2)
    drawn = draw(Task(mdp), pi[..., None], sampling, np.random.default_rng(0))
    d = drawn.count(3)[..., 0]
    got = step(Update("proximal", eta), mdp, theta, star, Disagreement(divergence), sampling)[..., 0]
    # first-order conditions where anything was seen, no move elsewhere
    seen, given = pool(mdp, d) > 0, belief(mdp, d)[:, :, None]
    pull = pool(mdp, given * divergence.h(star / got)) + visible(mdp, pi / got) / eta
    np.testing.assert_allclose(np.ptp(pull, axis=2)[seen], 0, atol=1e-7)
    assert 0 < (~seen).sum() < seen.size
    np.testing.assert_allclose(visible(mdp, got)[~seen], visible(mdp, pi)[~seen], atol=1e-12)
    if divergence is FORWARD_KL:
        mixed = (visible(mdp, pi) + eta * pool(mdp, given * star)) / (1 + eta)
        np.testing.assert_allclose(visible(mdp, got)[seen], mixed[seen])


@pytest.mark.parametrize("inner", ["natural", "euclidean"])
def test_the_trust_region_is_reached_and_not_passed(inner):
    mdp, theta, star = random_pair(3, True, 4)
    pi = policy(mdp, theta)
    delta = np.array([1e-4, 1e-2, 0.1, 1.0])
    new = step(Update("kl", delta=delta, inner=inner), mdp, theta, star, Disagreement(JENSEN_SHANNON))
    kl = (solve.occupancy(mdp, pi) * scipy.stats.entropy(pi, new, axis=2)).sum(axis=(0, 1))
    np.testing.assert_allclose(kl, delta, rtol=1e-9)
    direction = updates.direction(mdp, pi, star, JENSEN_SHANNON, inner)
    moved = visible(mdp, np.log(new / pi))  # the step is along the direction, up to a constant per observation
    moved, direction = (x - x.mean(axis=2, keepdims=True) for x in (moved, direction))
    size = (moved * direction).sum(axis=(0, 1, 2)) / (direction**2).sum(axis=(0, 1, 2))
    assert (size > 0).all()
    np.testing.assert_allclose(moved, size * direction, atol=1e-9)


def test_where_nothing_is_to_be_learned_nothing_moves():
    mdp, theta, _ = random_pair(2, False)
    pi = policy(mdp, theta)
    for kind in ("natural", "euclidean", "proximal", "kl", "ppo"):
        new = step(Update(kind), mdp, theta, pi, Disagreement(FORWARD_KL))[..., 0]
        np.testing.assert_allclose(new, pi, atol=1e-12, err_msg=kind)


def ppo_in_torch(theta, old, push, clip):
    """PPO as in Schulman et al. 2017, per token: `min(rho A, clip(rho) A)`, weighted by the old flow."""
    total = 0
    ratio = torch.softmax(theta, 2) / old
    for mass in (push.plus, push.minus):
        advantage = torch.tensor(mass) / old
        surrogate = torch.minimum(ratio * advantage, torch.clamp(ratio, 1 - clip, 1 + clip) * advantage)
        total = total + (old * surrogate).sum()
    return total / len(theta)


@pytest.mark.parametrize("clip", [0.05, 0.2, float("inf")])
def test_the_clipped_objective_and_its_gradient_against_autograd(clip):
    old = RNG.dirichlet(np.ones(3), (2, 4)).swapaxes(1, 1)
    signed = RNG.normal(size=(2, 2, 4, 3))
    push = Push(np.maximum(signed[0], 0), np.minimum(signed[1], 0), np.ones((2, 4)))
    theta = torch.tensor(np.log(old) + RNG.normal(scale=0.2, size=old.shape), requires_grad=True)
    value = ppo_in_torch(theta, torch.tensor(old), push, clip)
    value.backward()
    p = torch.softmax(theta, 2).detach().numpy()
    ours = Push(*(x[..., None] for x in push[:3]))
    assert clipped_objective((p / old)[..., None], ours, clip)[0] == pytest.approx(value.item(), abs=1e-12)
    got = clipped_gradient(p[..., None], (p / old)[..., None], ours, clip)[..., 0]
    np.testing.assert_allclose(got, theta.grad.numpy(), atol=1e-12)
    assert (clip == float("inf")) == np.allclose(
        got, clipped_gradient(p[..., None], (p / old)[..., None], ours, np.inf)[..., 0]
    )


@pytest.mark.parametrize("objective", [Disagreement(JENSEN_SHANNON), Disagreement(labels=True), Outcome(4)])
@pytest.mark.parametrize("sampling", [None, Sampling(4, 4)])
def test_the_first_inner_gradient_is_the_unclipped_one(objective, sampling):
    mdp = garnet(4, 3, 2, 2, 0, rewards="terminal")
    pi = policy(mdp, RNG.normal(size=(2, 4, 3)))[..., None]
    star = RNG.dirichlet(np.ones(3), (2, 4))[..., None]
    push = objective.push(Moment(Task(mdp), pi, star, sampling, np.random.default_rng(0), {}))
    old = visible(mdp, pi)
    first = clipped_gradient(old, np.ones_like(old), push, 0.2)
    assert abs(first).max() > 1e-3
    np.testing.assert_allclose(first, gradient(old, push.plus + push.minus) / 2, atol=1e-15)
    # one inner epoch is one step of size eta / H, and a clip that never binds gives plain epochs
    one = Update("ppo", 0.3, epochs=1, inner="euclidean").step(np.log(old), push)
    np.testing.assert_allclose(one, Update("euclidean", 0.15).step(np.log(old), push), atol=1e-12)
    free, tight = (Update("ppo", 0.5, clip=c, epochs=8).step(np.log(old), push) for c in (np.inf, 1e-3))
    assert abs(np.exp(free) / old - 1).max() > 2 * abs(np.exp(tight) / old - 1).max()


def test_inner_epochs_climb_the_objective_and_stop_at_the_clip():
    mdp, theta, star = random_pair(2, False)
    old = visible(mdp, policy(mdp, theta))[..., None]
    push = Disagreement().push(Moment(Task(mdp), old[:, mdp.observation], star[..., None], None, RNG, {}))
    values, new = [], None
    for epochs in (1, 2, 4, 8, 16, 400):
        new = np.exp(Update("ppo", 0.2, clip=0.2, epochs=epochs, inner="euclidean").step(np.log(old), push))
        values.append(clipped_objective(new / old, push, 0.2)[0])
    assert (np.diff([clipped_objective(np.ones_like(old), push, 0.2)[0], *values]) > -1e-12).all()
    start, end = (clipped_gradient(x, x / old, push, 0.2) for x in (old, new))
    assert abs(end).max() < 0.05 * abs(start).max()  # all that is pushed has gone past its clip
    assert (new / old)[push.plus > 0].max() > 1.2
    assert (new / old)[push.minus < 0].min() > 0.5


def test_probabilities_do_not_vanish():
    theta = normalised(np.array([[[[0.0], [-1e6], [-50.0]]]]))
    assert np.exp(theta).min() == pytest.approx(FLOOR)
    assert np.exp(theta).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Update("newton"), "unknown update 'newton'"),
        (lambda: Update("ppo", inner="proximal"), "unknown inner geometry"),
        (lambda: Update(eta=0), "eta must be a positive number"),
        (lambda: Update(eta="large"), "eta must be a positive number"),
        (lambda: Update(eta=float("inf")), "eta must be a positive number"),
        (lambda: Update(delta=[-1.0]), "delta must be a positive number"),
        (lambda: Update(clip=True), "clip must be a positive number"),
        (lambda: Update(epochs=0), "epochs must be a whole number >= 1"),
        (lambda: DISTIL.but(kind="proximal", part="full"), "needs a local disagreement"),
    ],
)
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()
