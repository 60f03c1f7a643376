"""The sampler: against gymnasium, and what groups and batches share."""

import numpy as np

from distil_theory import solve
from distil_theory.algorithms import Sampling, Task
from distil_theory.algorithms.rollouts import draw
from distil_theory.instances import garnet
from distil_theory.instances.feedback import Feedback, with_feedback
from distil_theory.instances.token_sum import token_sum
from envs.tabular import TabularEnv
from tests.problems import policy, random_pair


def test_the_sampler_against_gymnasium():
    mdp, theta, _ = random_pair(3, False)
    pi, n = policy(mdp, theta), 3000
    env, rng = TabularEnv(mdp), np.random.default_rng(0)
    counts, returns = np.zeros((3, 3, 3)), np.zeros(n)
    for i in range(n):
        env.reset(seed=i)
        over, h = False, 0
        while not over:
            s = env.state % 3
            a = int(rng.choice(3, p=pi[h, s]))
            counts[h, s, a] += 1 / n
            _, reward, over, _, _ = env.step(a)
            returns[i] += reward
            h += 1
    drawn = draw(Task(mdp), pi[..., None], Sampling(n, 1), rng)
    ours = drawn.count_actions((3, 3), drawn.actions)[..., 0]
    sigma = np.sqrt(counts * (1 - counts) * 2 / n) + 1e-3
    assert (abs(ours - counts) < 4.5 * sigma).all()
    exact = solve.occupancy(mdp, pi)[:, :, None] * pi
    assert (abs(ours - exact) < 4.5 * sigma).all()
    error = np.hypot(returns.std(), drawn.returns.std()) / np.sqrt(n)
    assert abs(returns.mean() - drawn.returns.mean()) < 4.5 * error


def test_groups_share_their_prompt_and_batches_their_problem():
    game = with_feedback(token_sum(2, 2, [(1, 2), (3, 3)], "none"), Feedback("trace"))
    pi = np.full((*game.mdp.shape, 4), 0.5)
    drawn = draw(Task.of(game), pi, Sampling(5, 3), np.random.default_rng(0))
    prompts = game.mdp.observation[drawn.states[0]].reshape(5, 3, 4)
    assert (prompts == prompts[:, :1]).all()
    assert len(np.unique(prompts)) == 2
    many = draw(Task.of(game), pi, Sampling(2000, 2), np.random.default_rng(1)).count(game.mdp.shape[1])[0]
    assert abs(many - game.mdp.initial[:, None]).max() < 0.04  # prompts, and what only the teacher reads
    assert len(np.unique(drawn.states[0].reshape(5, 3, 4), axis=1)) == 5
    batch = garnet(4, 3, 3, 3, 0, batch=60, rewards="terminal")
    start = policy(batch, np.random.default_rng(0).normal(size=(3, 4, 3, 60)))
    seen = draw(Task(batch), start, Sampling(400, 1), np.random.default_rng(0))
    d = solve.occupancy(batch, start)
    assert abs(seen.count(4) - d).max() < 0.15
    assert abs(seen.count(4) - d).mean() < 0.02


def test_a_bit_is_drawn_with_the_return_as_its_chance():
    mdp = garnet(2, 2, 2, 1, 0, rewards="terminal")
    pi = np.full((1, 2, 2, 1), 0.5)
    rng = np.random.default_rng(0)
    bits, returns = (draw(Task(mdp), pi, Sampling(4000, 1), rng, bit=bit).returns for bit in (True, False))
    assert set(np.unique(bits)) == {0, 1}
    assert abs(bits.mean() - mdp.reward.mean()) < 0.04
    assert set(np.unique(returns)) == set(mdp.reward.ravel())
