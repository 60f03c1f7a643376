"""The solver against code that is not ours: quantecon, pymdptoolbox, gymnasium rollouts, torch autograd."""

import functools
import warnings

import gymnasium
import mdptoolbox.mdp
import numpy as np
import pytest
import torch
from quantecon.markov import DiscreteDP, backward_induction

from distil_theory import solve
from distil_theory.spec import TabularMDP

TOYS = {"FrozenLake-v1": 12, "CliffWalking-v1": 20, "Taxi-v4": 15}
CLOSE = {"rtol": 0, "atol": 1e-10}


def random_mdp(seed, steps=4, states=5, actions=3):
    """Time-dependent, sparse enough to have unreachable states, signed rewards; and a random policy."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(states, 0.3), size=(steps, states, actions))
    mdp = TabularMDP(p, rng.normal(size=(steps, states, actions)), rng.dirichlet(np.ones(states)))
    return mdp, rng.dirichlet(np.ones(actions), size=(steps, states))


@functools.cache
def toy(env_id):
    mdp = TabularMDP.from_gymnasium(env_id, TOYS[env_id])
    return mdp, np.random.default_rng(1).dirichlet(np.ones(mdp.shape[2]), size=mdp.shape[:2])


def quantecon(r, p, steps):
    """Values `(steps+1, N)` of the best policy; r `(N,A)`, p `(N,A,N)`; written for discount one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return backward_induction(DiscreteDP(r, p, 1.0), steps)[0]


def expanded(r, p):
    """One stationary chain over `(h, s)` and a final absorbing state: r `(N,A)`, p `(N,A,N)`, `N = HS + 1`."""
    steps, states, actions = r.shape
    big_p, big_r = np.zeros((steps * states + 1, actions, steps * states + 1)), np.zeros((steps * states + 1, actions))
    big_p[-1, :, -1] = 1
    for h in range(steps):
        rows = slice(h * states, (h + 1) * states)
        big_r[rows] = r[h]
        if h < steps - 1:
            big_p[rows, :, (h + 1) * states : (h + 2) * states] = p[h]
        else:
            big_p[rows, :, -1] = 1
    return big_r, big_p


def under(mdp, pi):
    """The one-action problem that remains when `pi` decides."""
    r = (mdp.reward * pi).sum(-1, keepdims=True)
    return r, (mdp.transition * pi[..., None]).sum(2)[:, :, None]


@pytest.mark.parametrize("seed", range(5))
def test_random_mdps_against_quantecon(seed):
    mdp, pi = random_mdp(seed)
    steps, states, _ = mdp.shape
    for r, p, v in [
        (*under(mdp, pi), solve.values(mdp, pi)[0]),
        (mdp.reward, mdp.transition, solve.optimal(mdp).v),
    ]:
        theirs = quantecon(*expanded(r, p), steps)[0][:-1].reshape(steps, states)
        np.testing.assert_allclose(v, theirs, **CLOSE)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("discount", [0.5, 0.9])
def test_random_mdps_against_policy_iteration(seed, discount):
    # the discounted value of (h, s) in the expanded, absorbing chain, times discount^h, is the undiscounted value
    # of the finite-horizon MDP whose step-h reward carries discount^h
    mdp, pi = random_mdp(seed)
    steps, states, _ = mdp.shape
    gamma = discount ** np.arange(steps)
    ours = TabularMDP(mdp.transition, mdp.reward * gamma[:, None, None], mdp.initial)
    for r, p, v in [
        (*under(mdp, pi), solve.values(ours, pi)[0]),
        (mdp.reward, mdp.transition, solve.optimal(ours).v),
    ]:
        big_r, big_p = expanded(r, p)
        solver = mdptoolbox.mdp.PolicyIteration(big_p.transpose(1, 0, 2), big_r, discount, eval_type=0)
        solver.run()
        theirs = np.array(solver.V)[:-1].reshape(steps, states) * gamma[:, None]
        np.testing.assert_allclose(v, theirs, **CLOSE)


@pytest.mark.parametrize("env_id", TOYS)
def test_toy_text_against_quantecon(env_id):
    mdp, pi = toy(env_id)
    r, p = mdp.reward[0], mdp.transition[0]
    np.testing.assert_allclose(solve.optimal(mdp).v, quantecon(r, p, mdp.horizon)[:-1], **CLOSE)
    still = np.broadcast_to(pi[:1], pi.shape)  # a stationary policy leaves a stationary chain
    chain = (r * pi[0]).sum(-1, keepdims=True), np.einsum("sa,sat->st", pi[0], p)[:, None]
    np.testing.assert_allclose(solve.values(mdp, still)[0], quantecon(*chain, mdp.horizon)[:-1], **CLOSE)


@pytest.mark.parametrize("env_id", TOYS)
def test_toy_text_against_pymdptoolbox(env_id):
    mdp, pi = toy(env_id)
    solver = mdptoolbox.mdp.FiniteHorizon(mdp.transition[0].transpose(1, 0, 2), mdp.reward[0], 1.0, mdp.horizon)
    solver.run()
    best = solve.optimal(mdp)
    np.testing.assert_allclose(best.v, solver.V[:, :-1].T, **CLOSE)
    np.testing.assert_allclose(solve.values(mdp, best.policy)[0], best.v, **CLOSE)
    assert np.abs(best.v).max() > 0.1
    # a fixed, time-dependent policy, step by step as one-action problems of horizon one
    v = np.zeros(mdp.shape[1])
    r, p = under(mdp, pi) if mdp.shape[1] < 100 else (None, None)
    for h in reversed(range(mdp.horizon if r is not None else 0)):
        one = mdptoolbox.mdp.FiniteHorizon(p[h].transpose(1, 0, 2), r[h], 1.0, 1, v)
        one.run()
        v = one.V[:, 0]
    if r is not None:
        np.testing.assert_allclose(solve.values(mdp, pi)[0][0], v, **CLOSE)


def assert_frequencies(counts, n, d):
    """Every frequency within five standard deviations of its probability."""
    assert (counts[d == 0] == 0).all()
    np.testing.assert_array_less(np.abs(counts / n - d), 5 * np.sqrt(d * (1 - d) / n) + 3 / n)


def choose(rng, rows):
    """One sample from each row."""
    return np.minimum((rng.random((len(rows), 1)) > rows.cumsum(-1)).sum(-1), rows.shape[-1] - 1)


@pytest.mark.parametrize("seed", [0, 1])
def test_occupancy_and_return_against_sampled_rollouts(seed):
    n = 100_000
    mdp, pi = random_mdp(seed)
    rng = np.random.default_rng(seed + 100)
    s = choose(rng, np.tile(mdp.initial, (n, 1)))
    total, counts = np.zeros(n), []
    for h in range(mdp.horizon):
        counts.append(np.bincount(s, minlength=mdp.shape[1]))
        a = choose(rng, pi[h, s])
        total += mdp.reward[h, s, a]
        s = choose(rng, mdp.transition[h, s, a])
    d = solve.occupancy(mdp, pi)
    np.testing.assert_allclose(d.sum(axis=1), 1, **CLOSE)
    assert_frequencies(np.array(counts), n, d)
    assert solve.expected_return(mdp, pi) == pytest.approx(total.mean(), abs=5 * total.std() / n**0.5)


def test_occupancy_and_return_against_gymnasium_rollouts():
    n, steps = 3000, TOYS["FrozenLake-v1"]
    mdp, pi = toy("FrozenLake-v1")
    pi = 0.5 * pi + 0.5 * np.eye(4)[2]  # to the right: some episodes reach the goal
    env = gymnasium.make("FrozenLake-v1").unwrapped
    rng = np.random.default_rng(3)
    counts, total = np.zeros((steps, 17)), np.zeros(n)
    env.reset(seed=3)
    for i in range(n):
        s, over = env.reset()[0], False
        for h in range(steps):
            counts[h, s] += 1
            if not over:
                s, r, over, *_ = env.step(int(choose(rng, pi[h, s][None])[0]))
                total[i] += r
                s = 16 if over else s
    assert_frequencies(counts, n, solve.occupancy(mdp, pi))
    assert total.mean() > 0.005
    assert solve.expected_return(mdp, pi) == pytest.approx(total.mean(), abs=5 * total.std() / n**0.5)


@pytest.mark.parametrize("seed", range(3))
def test_torch_is_numpy_and_autograd_is_central_differences(seed):
    mdp, pi = random_mdp(seed)
    tensors = mdp.convert("torch")
    logits = torch.log(torch.as_tensor(pi)).requires_grad_()
    for ours, theirs in [
        (solve.values(tensors, torch.as_tensor(pi)), solve.values(mdp, pi)),
        ((solve.occupancy(tensors, torch.as_tensor(pi)),), (solve.occupancy(mdp, pi),)),
        (solve.optimal(tensors), solve.optimal(mdp)),
    ]:
        for x, y in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(x.numpy(), y, rtol=1e-12, atol=1e-14)

    solve.expected_return(tensors, torch.softmax(logits, dim=2)).backward()
    theta = logits.detach().numpy()
    e = 1e-5 * np.eye(theta.size).reshape(*theta.shape, theta.size)
    both = np.concatenate([theta[..., None] + e, theta[..., None] - e], axis=-1)  # all perturbations, as one batch
    soft = np.exp(both) / np.exp(both).sum(axis=2, keepdims=True)
    up, down = np.split(solve.expected_return(mdp, soft), 2)
    assert logits.grad.abs().max() > 1e-2
    np.testing.assert_allclose(logits.grad.numpy().ravel(), (up - down) / 2e-5, rtol=0, atol=1e-9)


def test_autograd_reaches_transition_reward_and_initial():
    mdp, pi = random_mdp(0)
    p, r, rho = (torch.tensor(x).requires_grad_() for x in (mdp.transition, mdp.reward, mdp.initial))
    solve.expected_return(TabularMDP(p, r, rho), torch.as_tensor(pi)).backward()
    d, (v, _) = solve.occupancy(mdp, pi), solve.values(mdp, pi)
    joint = d[:, :, None] * pi
    np.testing.assert_allclose(r.grad.numpy(), joint, **CLOSE)  # dJ/dr = the occupancy of (s, a)
    np.testing.assert_allclose(rho.grad.numpy(), v[0], **CLOSE)
    np.testing.assert_allclose(p.grad[:-1].numpy(), joint[:-1, :, :, None] * v[1:, None, None], **CLOSE)
