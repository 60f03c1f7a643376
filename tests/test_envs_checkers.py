"""Both checkers of the trade accept every environment, and say nothing against it."""

import warnings

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import envs


@pytest.mark.parametrize("name", envs.IDS)
def test_checkers_accept_it_without_a_warning(name):
    env = gymnasium.make(f"distil_theory/{name}-v0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)  # renders in every mode
        check_env_sb3(env.unwrapped, warn=True)


def test_checkers_would_complain():
    class Off(envs.TabularEnv):
        def step(self, action):
            observation, *rest = super().step(action)
            return observation + self.observation_space.n, *rest

    env = Off(envs.IDS["RiskyFork"]())
    with pytest.raises(AssertionError):
        check_env_sb3(env)
