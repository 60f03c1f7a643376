"""Random problems, and policies and occupancies written once more, for tests that compare with the library."""

import numpy as np
import torch

from distil_theory import number_systems as ns
from distil_theory.spec import TabularMDP, stack


def random_pair(steps, aliased, batch=0, seed=0, states=3, actions=3):
    """A float MDP (or a stack of `batch`), a student given by logits `(H,O,A,*B)`, and an expert."""
    rng = np.random.default_rng([seed, steps, aliased, batch])
    observation = [0, 1, 0] if aliased else [2, 0, 1]  # unaliased: a permutation, not the identity
    specs, theta, expert = [], [], []
    for _ in range(batch or 1):
        transition = rng.dirichlet(np.ones(states), (steps, states, actions))
        reward = rng.normal(size=(steps, states, actions))
        specs.append(TabularMDP(transition, reward, rng.dirichlet(np.ones(states)), None, observation))
        theta.append(rng.normal(size=(steps, max(observation) + 1, actions)))
        expert.append(rng.dirichlet(np.ones(actions), (steps, states)))
    if not batch:
        return specs[0], theta[0], expert[0]
    return stack(specs), np.stack(theta, -1), np.stack(expert, -1)


def policy(mdp, theta):
    """Softmax over the actions, spread over the states: in numpy or torch."""
    module = torch if ns.is_torch(theta) else np
    weights = module.exp(theta)
    return (weights / weights.sum(2)[:, :, None])[:, np.array(mdp.observation)]


def occupancy(mdp, pi):
    d = [np.asarray(mdp.initial)]
    for h in range(len(pi) - 1):
        d.append(np.einsum("s...,sa...,sat...->t...", d[-1], pi[h], np.asarray(mdp.transition)[h]))
    return np.stack(d)
