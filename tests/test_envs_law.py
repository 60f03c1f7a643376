"""10^5 episodes of every environment agree with exact occupancy and return.

For each step, state and action the number of visits is binomial, with the exact probability `d_h(s) pi_h(a|s)`: its
two-sided tail probability must not be below `LEVEL` divided by the number of all such cells of all environments. The
mean return must lie within the empirical Bernstein bound (Maurer & Pontil 2009, theorem 4) around the exact return, at
the same level. Both hold at any sample size, so that all tests together fail by chance with probability `2 LEVEL`, at
most. Played is a policy that takes every action: a third each of student, expert and uniform.
"""

from bisect import bisect_right

import numpy as np
import pytest
from scipy import stats

import envs
from distil_theory import solve
from envs.tabular import TabularEnv

EPISODES, LEVEL = 100_000, 1e-6
CELLS = 4000
"""More than all cells that can be visited, of all environments."""


def policy_of(env):
    case = env.instance
    return (case.student + case.expert + 1 / env.mdp.shape[2]) / 3


def play(env, policy, episodes, seed):
    """Visits `(H,S,A)`, the return of each episode, and what is wrong with observations and ends, in words."""
    horizon, states, actions = env.mdp.shape
    draws = iter(np.random.default_rng(seed).random(episodes * horizon).tolist())
    below = [row.cumsum()[:-1].tolist() for row in policy.reshape(-1, actions)]
    below.append(below[-1])  # a broken environment may be over early
    met, chosen, seen, ends, returns = [], [], [], [], []
    env.reset(seed=seed)
    for _ in range(episodes):
        observation, info = env.reset()
        i, total = info["state"], 0.0
        for _ in range(horizon):
            a = bisect_right(below[i], next(draws))
            met.append(i)
            chosen.append(a)
            seen.append(observation)
            observation, reward, terminated, truncated, info = env.step(a)
            i = info["state"]
            total += reward
            ends.append(terminated - 2 * truncated)
        returns.append(total)
    met, seen, ends = (np.reshape(x, (episodes, horizon)) for x in (met, seen, ends))
    steps, flaws = np.arange(horizon), []
    if ((met // states) != steps).any() or (ends != (steps == horizon - 1)).any():
        flaws.append("time does not pass step by step, to the end")
    elif (seen != steps * env.mdp.observations + env.mdp.observation[met % states]).any():
        flaws.append("observations are not those of the state")
    visits = np.bincount(met.reshape(-1) * actions + chosen, minlength=horizon * states * actions)
    return visits[: horizon * states * actions].reshape(env.mdp.shape), np.array(returns), flaws


def disagreements(env, episodes=EPISODES, seed=1):
    """What in the play of an environment contradicts the library, in words."""
    mdp, policy = env.mdp, policy_of(env)
    visits, returns, out = play(env, policy, episodes, seed)
    p = np.clip(solve.occupancy(mdp, policy)[:, :, None] * policy, 0, 1)
    tail = 2 * np.minimum(stats.binom.cdf(visits, episodes, p), stats.binom.sf(visits - 1, episodes, p))
    out += [f"visits of (h, s, a) = {tuple(map(int, cell))}" for cell in np.argwhere(tail < LEVEL / CELLS)]
    width = mdp.reward.max(axis=(1, 2)).sum() - mdp.reward.min(axis=(1, 2)).sum()
    rare = np.log(4 * len(envs.IDS) / LEVEL)
    bound = np.sqrt(2 * returns.var(ddof=1) * rare / episodes) + 7 * width * rare / (3 * (episodes - 1))
    if abs(returns.mean() - solve.expected_return(mdp, policy)) > bound:
        out.append(f"return {returns.mean()}, not {solve.expected_return(mdp, policy)} up to {bound}")
    return out


@pytest.mark.parametrize("name", envs.IDS)
def test_play_agrees_with_the_theory(name):
    assert disagreements(getattr(envs, name)()) == []


def test_there_are_so_many_cells():
    possible = 0
    for make in envs.IDS.values():
        env = TabularEnv(make())
        possible += (solve.occupancy(env.mdp, policy_of(env)) > 0).sum() * env.mdp.shape[2]
    assert possible <= CELLS


# --- it would notice --------------------------------------------------------------------------------------------------


def wrong_successor(env):
    """One action of one state leads elsewhere."""
    states = env.mdp.shape[1]
    cumulative, after, reward, terminated = env._draws[0][1]
    h, s = divmod(after[0], states)
    env._draws[0][1] = cumulative, [h * states + (s + 1) % states, *after[1:]], reward, terminated


def early_reward(env):
    """Rewards of the step after."""
    states = env.mdp.shape[1]
    for i in range(env.over - states):
        for a, (cumulative, after, _, terminated) in env._draws[i].items():
            env._draws[i][a] = cumulative, after, env._draws[i + states][a][2], terminated


def reward_of_the_next_state(env):
    """What would be paid where one gets to."""
    for row in env._draws[: env.over]:
        for a, (cumulative, after, _, terminated) in row.items():
            row[a] = cumulative, after, env.P[after[0]][a][0][2], terminated


def time_stands_still(env):
    """Off by one: a step leads to a state of the same time."""
    states = env.mdp.shape[1]
    for row in env._draws[: env.over - states]:
        for a, (cumulative, after, reward, terminated) in row.items():
            row[a] = cumulative, [j - states for j in after], reward, terminated


def unfair_coin(env):
    """Chance is off by five in a hundred, at the start and everywhere else."""
    env._starts = [0.55 if x == 0.5 else x for x in env._starts[0]], env._starts[1]
    for row in env._draws:
        for a, (cumulative, *rest) in row.items():
            row[a] = ([0.55 if x == 0.5 else x for x in cumulative], *rest)


BREAKS = {
    wrong_successor: ("RiskyFork", "PrivilegedGrid", "AliasedFork", "LostWay", "HorizonChain"),
    early_reward: ("RiskyFork", "AliasedFork", "BetterSomewhere"),
    reward_of_the_next_state: ("RiskyFork", "PrivilegedGrid", "CompoundingChain", "TestedProgram"),
    time_stands_still: ("RiskyFork", "PrivilegedGrid", "HiddenTrace"),
    unfair_coin: ("PrivilegedGrid", "AliasedContexts", "ChanceAhead", "AliasedFork"),
}


@pytest.mark.parametrize("spoil", BREAKS, ids=lambda spoil: spoil.__name__)
def test_a_broken_environment_is_noticed(spoil):
    for name in BREAKS[spoil]:
        env = getattr(envs, name)()
        spoil(env)
        assert disagreements(env, 20_000), name
