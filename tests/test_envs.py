"""The played environment and the computed theory agree."""

from __future__ import annotations

import pickle
import pydoc

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs
from distil_theory import instances, solve
from distil_theory.spec import Bandit, TabularMDP, stack
from envs.tabular import TabularEnv


def random_mdp(rng, horizon=3, states=4, actions=2, observation=None):
    p = rng.dirichlet(np.ones(states), (horizon, states, actions))
    p[0, 0, 0] = np.eye(states)[1]  # a deterministic row, so that some outcomes have probability zero
    return TabularMDP(p, rng.normal(size=p.shape[:3]), rng.dirichlet(np.ones(states)), observation=observation)


def random_policy(rng, mdp):
    return rng.dirichlet(np.ones(mdp.shape[2]), mdp.shape[:2])


@pytest.fixture(autouse=True)
def _registry_restored():
    before = dict(gymnasium.registry)
    yield
    gymnasium.registry.clear()
    gymnasium.registry.update(before)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(params=["unaliased", "aliased", "bandit"])
def mdp(request, rng):
    if request.param == "bandit":
        return Bandit([0.0, 1.0, -2.0])
    return random_mdp(rng, observation=[0, 1, 0, 1] if request.param == "aliased" else None)


@pytest.mark.parametrize("render_mode", [None, "ansi", "rgb_array"])
def test_gymnasium_accepts_it(mdp, render_mode):
    envs.register("Checked", lambda: mdp)
    env = gymnasium.make("distil_theory/Checked-v0", render_mode=render_mode)
    check_env(env.unwrapped)


def test_table_gives_the_mdp_back(mdp, rng):
    horizon, states, actions = mdp.shape
    again = TabularMDP.from_gymnasium(TabularEnv(mdp), horizon=horizon)
    flat = horizon * states
    assert again.shape == (horizon, flat + 2, actions)  # "over", and the absorbing state of the importer
    for _ in range(10):
        policy = random_policy(rng, mdp)
        padded = np.full(again.shape, 1 / actions)
        padded[:, :flat] = policy.reshape(flat, actions)
        np.testing.assert_allclose(
            solve.expected_return(again, padded), solve.expected_return(mdp, policy), rtol=0, atol=1e-12
        )


def test_rollouts_have_the_computed_mean(mdp, rng):
    policy, env, returns = random_policy(rng, mdp), TabularEnv(mdp), []
    horizon, states, actions = mdp.shape
    env.reset(seed=1)
    for _ in range(2000):
        total, terminated, steps, (_, info) = 0.0, False, 0, env.reset()
        while not terminated:
            h, s = divmod(info["state"], states)
            assert h == steps
            _, reward, terminated, truncated, info = env.step(rng.choice(actions, p=policy[h, s]))
            total, steps = total + reward, steps + 1
            assert not truncated
        assert steps == horizon
        returns.append(total)
    error = np.std(returns) / np.sqrt(len(returns))
    assert abs(np.mean(returns) - solve.expected_return(mdp, policy)) < 4 * error


def test_seed_fixes_the_episode(mdp):
    def episode():
        env = TabularEnv(mdp)
        return [env.reset(seed=7), *(env.step(0) for _ in range(mdp.shape[0]))]

    assert episode() == episode()


def test_student_sees_the_observation_and_info_the_state(mdp):
    env = TabularEnv(mdp)
    horizon, states, _ = mdp.shape
    assert env.observation_space == gymnasium.spaces.Discrete(horizon * mdp.observations + 1)
    seen = {}
    for seed in range(50):
        observation, info = env.reset(seed=seed)
        for h in range(horizon):
            step, s = divmod(info["state"], states)
            assert (step, observation) == (h, h * mdp.observations + mdp.observation[s])
            seen.setdefault(observation, set()).add(info["state"])
            observation, _, terminated, _, info = env.step(0)
        assert terminated
        assert (observation, info["state"]) == (horizon * mdp.observations, horizon * states)
    # existence: aliasing does occur when there is any, and only then
    assert any(len(hidden) > 1 for hidden in seen.values()) == mdp.aliased


def test_settings_reach_the_instance(rng):
    envs.register("Sized", lambda horizon=1: random_mdp(rng, horizon))
    env = gymnasium.make("envs:distil_theory/Sized-v0", horizon=5)
    assert env.unwrapped.mdp.shape == (5, 4, 2)


def test_every_instance_has_an_environment():
    for name, make in envs.IDS.items():
        env = gymnasium.make(f"distil_theory/{name}-v0").unwrapped
        assert type(env) is getattr(envs, name)
        exact = make()
        assert env.instance.name == make.__name__
        floats = exact.convert("float64")
        for field in ("transition", "reward", "initial", "observation"):
            np.testing.assert_array_equal(getattr(env.mdp, field), getattr(floats.mdp, field))
        for table in ("student", "expert"):
            np.testing.assert_array_equal(getattr(env.instance, table), getattr(floats, table))
        assert env.names == exact.names


def test_docstring_says_what_is_exposed():
    env = gymnasium.make("envs:distil_theory/RiskyFork-v0").unwrapped
    assert env.__doc__.startswith("Claim 8: the expert is better at every state, yet")
    text = pydoc.render_doc(env, renderer=pydoc.plaintext)
    assert "yet the local forward-KL step lowers the return" in text
    assert "distil_theory/RiskyFork-v0" in text
    assert "horizon: 'int' = 4, delta" in pydoc.render_doc(envs.HorizonChain, renderer=pydoc.plaintext)


def test_settings_of_an_instance():
    env = gymnasium.make("distil_theory/HorizonChain-v0", horizon=8, delta="1/5")
    assert env.unwrapped.mdp.shape == (8, 2, 2)
    assert env.unwrapped.mdp.reward[-1, 0, 0] == 0.8
    assert gymnasium.make(env.spec).unwrapped.mdp.shape == (8, 2, 2)
    assert type(env.spec).from_json(env.spec.to_json()) == env.spec
    assert gymnasium.make("distil_theory/AliasedFork-v0", k=5).unwrapped.mdp.shape == (6, 6, 2)
    for name, settings, message in (
        ("HorizonChain", {"k": 3}, "HorizonChain has no setting 'k': choose from horizon, delta, leave, succeed"),
        ("TeachingBandit", {"horizon": 3}, "TeachingBandit has no setting 'horizon': it has none"),
        ("HorizonChain", {"horizon": 1}, "horizon must be a whole number >= 2"),
        ("HorizonChain", {"delta": 0.1}, "delta must be an exact number such as '1/10', not 0.1"),
    ):
        with pytest.raises(ValueError, match=message):
            gymnasium.make(f"distil_theory/{name}-v0", **settings)


def test_a_copy_plays_on():
    env = gymnasium.make("distil_theory/PrivilegedGrid-v0", render_mode="ansi").unwrapped
    env.reset(seed=3)
    env.step(1)
    again = pickle.loads(pickle.dumps(env))
    assert again.render() == env.render()
    assert [again.step(0), again.step(2)] == [env.step(0), env.step(2)]


def test_actions_come_in_any_whole_number():
    env = TabularEnv(instances.risky_fork())
    outcomes = []
    for action in (1, np.int64(1), np.array(1), np.int32(1)):
        env.reset(seed=0)
        outcomes.append(env.step(action))
    assert all(x == outcomes[0] for x in outcomes)
    for bad in (2, -1, 0.5, None, "1", np.array([1]), [1]):
        env.reset(seed=0)
        with pytest.raises(ValueError, match="is not in Discrete"):
            env.step(bad)


def test_after_the_end_nothing_happens():
    env = TabularEnv(instances.teaching_bandit())
    env.reset(seed=0)
    env.step(0)
    played = list(env.played)
    assert env.step(1) == (1, 0.0, True, False, {"state": env.over})
    assert env.played == played


def test_bad_input_is_named(rng):
    mdp = random_mdp(rng)
    with pytest.raises(ValueError, match=r"batch of shape \(2,\)"):
        TabularEnv(stack([mdp, mdp]))
    with pytest.raises(ValueError, match="rational"):
        TabularEnv(Bandit([0.0, 1.0]).convert("rational"))
    with pytest.raises(ValueError, match="human"):
        TabularEnv(mdp, "human")
    env = TabularEnv(mdp)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="action 2"):
        env.step(2)
