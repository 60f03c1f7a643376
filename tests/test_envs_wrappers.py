"""What only a teacher knows arrives in `info`, through whatever wrappers, and in vector environments."""

import gymnasium
import numpy as np
import pytest

from distil_theory import instances
from envs.tabular import TabularEnv
from envs.wrappers import ExpertInfo, FeedbackInfo

GRID = "envs:distil_theory/PrivilegedGrid-v0"


def infos(env, actions, seed=0):
    yield env.reset(seed=seed)[1]
    for a in actions:
        yield env.step(a)[-1]


@pytest.mark.parametrize("name", ["PrivilegedGrid", "TestedProgram", "RiskyFork", "AliasedContexts"])
def test_the_expert_at_the_true_state(name):
    env = ExpertInfo(gymnasium.make(f"envs:distil_theory/{name}-v0"))
    table, names = env.unwrapped.instance.expert, set()
    steps, states, actions = table.shape
    for seed in range(10):
        *met, last = infos(env, [seed % actions] * steps, seed)
        for h, info in enumerate(met):
            assert divmod(info["state"], states)[0] == h
            np.testing.assert_array_equal(info["expert"], table[divmod(info["state"], states)])
            names.add(info["state"])
        assert (last["expert"].shape, last["expert"].dtype) == ((actions,), np.float64)
        assert not last["expert"].any()  # at the end cross-entropy to it counts nothing
    assert name == "RiskyFork" or len(names) > steps


def test_what_is_told_is_a_copy():
    env = ExpertInfo(gymnasium.make(GRID))
    env.reset(seed=0)[1]["expert"][:] = 7
    assert env.reset(seed=0)[1]["expert"].sum() == 1


def test_a_table_of_ones_own():
    student = instances.privileged_grid().student  # exact rationals are welcome
    env = ExpertInfo(gymnasium.make(GRID), student)
    np.testing.assert_allclose(env.reset(seed=0)[1]["expert"], [0.01, 0.49, 0.25, 0.25], rtol=0, atol=1e-15)
    bare = TabularEnv(instances.risky_fork().convert("float64").mdp)
    assert ExpertInfo(bare, np.full((2, 3, 2), 0.5)).reset()[1]["expert"].tolist() == [0.5, 0.5]
    for table, message in (
        (None, "has no expert of its own"),
        (np.full((2, 3, 3), 1 / 3), "axis a should have length 2"),
        (np.full((2, 3, 2), 0.6), "expert at h=0, s=0 sums to"),
        (np.full((2, 3, 2), np.nan), "expert is nan at h=0"),
        (np.full((2, 3, 2, 4), 0.5), "no batch"),
    ):
        with pytest.raises(ValueError, match=message):
            ExpertInfo(bare, table)
    for wrapper in (ExpertInfo, FeedbackInfo):
        with pytest.raises(ValueError, match="wraps environments of this project"):
            wrapper(gymnasium.make("CartPole-v1"))


def test_the_black_box_draws_from_the_expert():
    env = ExpertInfo(gymnasium.make(GRID), instances.privileged_grid().student, black_box=True)
    counts = np.zeros(4)
    for seed in range(4000):
        info = env.reset(seed=seed)[1]
        assert "expert" not in info
        counts[info["expert_action"]] += 1
        if seed < 20:  # seeded
            assert env.reset(seed=seed)[1] == info
    expected = 4000 * np.array([0.01, 0.49, 0.25, 0.25])
    assert ((counts - expected) ** 2 / expected).sum() < 30  # chi-square, 3 degrees of freedom: one in a million
    assert [x["expert_action"] for x in infos(env, [0] * 4)][-1] == -1


def test_the_black_box_leaves_the_environment_alone():
    plain = gymnasium.make("envs:distil_theory/AliasedFork-v0")  # chance at every step of its branch
    env = ExpertInfo(gymnasium.make("envs:distil_theory/AliasedFork-v0"), black_box=True)
    for seed in range(20):
        met = [[info["state"] for info in infos(x, [0, 0, 1, 0], seed)] for x in (plain, env)]
        assert met[0] == met[1]


def test_feedback():
    texts = [x["feedback"] for x in infos(FeedbackInfo(gymnasium.make(GRID)), [1, 0, 0, 0])]
    assert texts[0] in ("the west bridge holds", "the east bridge holds")
    assert texts[1:] == ["", "", "", ""]  # the sign was read
    game = FeedbackInfo(gymnasium.make("envs:distil_theory/TestedProgram-v0"))
    said = {text for seed in range(40) for text in [x["feedback"] for x in infos(game, [0, 0, 0], seed)][:3]}
    assert said == {"f 2 = 4", "f 2 = 4 ; f 3 = 6"}
    assert list(infos(game, [0, 0, 0]))[-1]["feedback"] == ""
    assert FeedbackInfo(gymnasium.make("envs:distil_theory/RiskyFork-v0")).reset()[1]["feedback"] == ""
    hidden = FeedbackInfo(TabularEnv(instances.aliased_contexts().convert("float64").mdp))
    assert {hidden.reset(seed=seed)[1]["feedback"] for seed in range(20)} == {"state 0", "state 1"}


def test_other_wrappers_do_no_harm():
    wrapped = gymnasium.make(GRID, max_episode_steps=2)
    wrapped = FeedbackInfo(ExpertInfo(gymnasium.wrappers.RecordEpisodeStatistics(wrapped)))
    info = wrapped.reset(seed=0)[1]
    assert {"state", "expert", "feedback"} <= info.keys()
    wrapped.step(2)
    _, _, terminated, truncated, info = wrapped.step(2)
    assert (terminated, truncated) == (False, True)
    assert info["expert"].sum() == 1  # cut off by a clock, not over: the expert would know what to do
    again = gymnasium.make(wrapped.spec)  # wrappers are recorded, table and all
    np.testing.assert_array_equal(again.reset(seed=0)[1]["expert"], wrapped.reset(seed=0)[1]["expert"])


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_vector_environments(mode):
    env = gymnasium.make_vec(GRID, 3, vectorization_mode=mode, wrappers=(ExpertInfo, FeedbackInfo))
    try:
        table = instances.privileged_grid().convert("float64").expert.reshape(-1, 4)
        observations, info = env.reset(seed=[0, 1, 2])
        assert observations.shape == (3,)
        for _ in range(9):  # over the end and into the next episode
            over = info["state"] == len(table)
            expected = np.where(over[:, None], 0, table[np.minimum(info["state"], len(table) - 1)])
            np.testing.assert_array_equal(info["expert"], expected)
            assert all(isinstance(text, str) for text in info["feedback"])
            _, _, _, _, info = env.step(np.array([1, 2, 3]))
    finally:
        env.close()
