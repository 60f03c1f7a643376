"""Text and pictures show where we are, who sees what, and what was earned."""

import gymnasium
import numpy as np
import pytest

import envs
from distil_theory import instances
from distil_theory.spec import TabularMDP
from envs import canvas
from envs.__main__ import main
from envs.tabular import TabularEnv
from envs.text import WIDTH, probability


def played(name, actions, seed=0, mode="ansi"):
    env = gymnasium.make(f"distil_theory/{name}-v0", render_mode=mode).unwrapped
    env.reset(seed=seed)
    for a in actions:
        env.step(a)
    return env


def colours(picture, colour):
    """Pixels of exactly this colour."""
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return (picture == rgb).all(axis=2).sum()


def test_a_page_by_hand():
    assert played("RiskyFork", [1]).render() == "\n".join(
        [
            "RiskyFork" + " " * 60 + "step 2 of 2",
            "state             risky way",
            "the student sees  risky way",
            "",
            "                  student                     expert",
            "good              0.10 ██                     1.00 ████████████████████",
            "bad               0.90 ██████████████████     0.00",
            "",
            "last action       risky, reward 0",
            "return so far     0",
            "",
        ]
    )


def test_aliasing_is_visible():
    pages = {played("AliasedContexts", [], seed).render() for seed in range(20)}
    assert len(pages) == 2
    for page in pages:
        assert "the student sees  context A or context B" in page
        assert ("only the expert   context A" in page) != ("only the expert   context B" in page)
    assert "only the expert" not in played("TwoContexts", []).render()


def test_the_return_and_the_end():
    page = played("CompoundingChain", [0, 1, 1, 0]).render()
    assert "step 5 of 10" in page
    assert "last action       stay, reward 1\nreturn so far     3\n" in page
    page = played("AliasedFork", [1, 0, 0, 0]).render()
    assert "over after 4 of 4 steps" in page
    assert "return so far     0.9" in page


def test_a_text_being_written():
    env = played("ShownProgram", [3, 1])
    page = env.render()
    assert "prompt            double" in page
    assert "text so far       NOP ADD _" in page
    assert "only the expert   feedback: is NOP DUP ADD" in page
    env.step(0)
    assert "text so far       NOP ADD DUP" in env.render()


def test_the_map_shows_a_rotten_bridge_to_those_who_know():
    for seed in range(8):
        env = played("PrivilegedGrid", [1], seed)
        east = env.state % env.mdp.shape[1] == env.names.states.index("sign, the sign said east")
        truth = "x ~ =" if east else "= ~ x"
        assert f"{truth:<20}{truth}" in env.render()  # the sign was read
        env.reset(seed=seed)
        page = env.render()
        assert f"{'? ~ ?':<20}{truth}" in page
        assert ". @ ." in page


@pytest.mark.parametrize("name", envs.IDS)
def test_every_page_and_picture(name):
    text, picture = (gymnasium.make(f"distil_theory/{name}-v0", render_mode=m).unwrapped for m in ("ansi", "rgb_array"))
    rng = np.random.default_rng(0)
    before = None
    for seed in range(2):
        text.reset(seed=seed)
        picture.reset(seed=seed)
        over = False
        while not over:
            page, pixels = text.render(), picture.render()
            assert max(map(len, page.splitlines())) <= WIDTH
            assert "action 0" not in page  # every action has a name
            assert (pixels.shape, pixels.dtype) == ((450, 800, 3), np.uint8)
            assert before is None or (pixels != before).any()
            before = pixels
            action = int(rng.integers(text.action_space.n))
            _, _, over, _, _ = text.step(action)
            picture.step(action)
        assert "over after" in text.render()
        assert (picture.render() != before).any()
        before = None


def test_a_picture_draws_probabilities():
    env = TabularEnv(instances.risky_fork(), "rgb_array")
    env.reset(seed=0)
    # bars of the student at the fork: 0.95 and 0.05 of full length; the colour is also that of a few words
    env.instance.student[0, 0] = [0.0, 0.0]
    without = colours(env.render(), canvas.STUDENT)
    env.instance.student[0, 0] = [0.5, 0.0]
    half = colours(env.render(), canvas.STUDENT) - without
    env.instance.student[0, 0] = [1.0, 0.0]
    assert colours(env.render(), canvas.STUDENT) - without == pytest.approx(2 * half, rel=0.1)
    assert half > 500


def test_a_problem_without_names_and_one_of_many_states():
    rng = np.random.default_rng(0)
    for states in (3, 40):
        mdp = TabularMDP(
            rng.dirichlet(np.ones(states), (2, states, 9)), rng.normal(size=(2, states, 9)), [1] + [0] * (states - 1)
        )
        env = TabularEnv(mdp, "ansi")
        env.reset(seed=0)
        assert "state             state 0" in env.render()
        assert "actions           action 0, action 1" in env.render()
        env = TabularEnv(mdp, "rgb_array")
        env.reset(seed=0)
        assert env.render().shape == (450, 800, 3)
    with pytest.raises(ValueError, match="call reset"):
        TabularEnv(mdp, "ansi").render()
    silent = TabularEnv(mdp)
    silent.reset(seed=0)
    assert silent.render() is None


def test_probabilities_are_never_rounded_to_certainty():
    assert [probability(p) for p in (0, 1e-9, 0.004, 0.005, 0.25, 0.994, 0.9999, 1)] == (
        ["0.00", "<.01", "<.01", "0.01", "0.25", "0.99", ">.99", "1.00"]
    )


def test_text_fits():
    assert canvas.short("abc", 1000, 12) == "abc"
    cut = canvas.short("a long text that does not fit", 80, 12)
    assert cut.endswith("…")
    assert canvas.long(cut, 12) <= 80
    lines = canvas.wrap("one two three four five six seven", 80, 12, 2)
    assert len(lines) == 2
    assert all(canvas.long(line, 12) <= 80 for line in lines)


# --- the command ------------------------------------------------------------------------------------------------------


def test_overview_fits_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    for name in envs.IDS:
        assert f"\n{name} " in out


def test_an_episode_on_the_terminal(capsys):
    assert main(["PrivilegedGrid", "--policy", "expert", "--seed", "1"]) == 0
    out = capsys.readouterr().out
    assert "The expert plays." in out
    assert out.rstrip().endswith("return so far     1")  # the expert always crosses
    assert max(map(len, out.splitlines())) <= 80
    assert main(["privileged_grid", "--policy", "expert", "--seed", "1"]) == 0
    assert capsys.readouterr().out == out
    for policy in ("student", "random"):
        assert main(["RiskyFork", "--policy", policy]) == 0
    for bad in (["Nothing"], ["RiskyFork", "--seed", "-1"]):
        with pytest.raises(SystemExit):
            main(bad)
    assert "no environment is called 'Nothing'" in capsys.readouterr().err
