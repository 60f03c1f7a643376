"""Logs with known truth: each token has one of two ratios, reward depends on how many were of the larger one."""

import numpy as np
from scipy.stats import binom

from distil_theory.diagnosis import tails
from distil_theory.diagnosis.log import BY_TOKEN, Block

LOW, HIGH = 0.5, 2.0


def success(k, horizon, slope=1.0):
    """Probability of the reward 1 with `k` tokens of ratio `HIGH`."""
    return 1 / (1 + np.exp(-slope * (k - horizon / 3)))


def coins(groups, size, horizon, seed=0, low=LOW, high=HIGH, slope=1.0, form="sampled"):
    """A block of `groups` groups of `size` rollouts of `horizon` tokens each, two tokens in the vocabulary."""
    rng = np.random.default_rng(seed)
    theta = (1 - low) / (high - low)
    large = rng.random((groups * size, horizon)) < theta
    student = np.log(np.array([1 - theta, theta]))
    teacher = student + np.log(np.array([low, high]))
    token = large.ravel().astype(int)
    whole = {name: np.tile(x, (token.size, 1)) for name, x in (("student", student), ("teacher", teacher))}
    extra = {}
    if form == "full":
        extra = {f"{name}_full": x for name, x in whole.items()}
    if form == "top":
        extra = {f"{name}_top": x[:, :1] for name, x in whole.items()} | {"top": np.zeros((token.size, 1), dtype=int)}
    return Block(
        groups=np.arange(0, groups * size + 1, size),
        starts=np.arange(0, token.size + 1, horizon),
        reward=(rng.random(groups * size) < success(large.sum(axis=1), horizon, slope)).astype(float),
        student=student[token],
        teacher=teacher[token],
        tokens=token,
        **extra,
    )


def truth(column, horizon, low=LOW, high=HIGH, slope=1.0):
    """The rate of a local forward KL, local f or sequence column."""
    theta = (1 - low) / (high - low)
    k = np.arange(horizon + 1)
    mass, reward = binom.pmf(k, horizon, theta), success(k, horizon, slope)

    def score(log_u):
        return tails.score(column.divergence, np.asarray(log_u))

    if column.level == "local":
        x = k * score(np.log(high)) + (horizon - k) * score(np.log(low))
    else:
        x = score(k * np.log(high) + (horizon - k) * np.log(low))
    return (mass * reward * x).sum() - (mass * reward).sum() * (mass * x).sum()


def rows(block):
    """The same as dictionaries, a rollout in each."""
    names = [n for n in BY_TOKEN if getattr(block, n) is not None]
    groups = np.repeat(np.arange(len(block.sizes)), block.sizes)
    return [
        {"group": f"g{groups[i]}", "reward": float(block.reward[i])}
        | {n: getattr(block, n)[block.starts[i] : block.starts[i + 1]].tolist() for n in names}
        for i in range(len(block.reward))
    ]
