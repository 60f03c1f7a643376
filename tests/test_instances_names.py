"""Words for states and actions."""

import pickle

import numpy as np
import pytest

from distil_theory import instances
from distil_theory.instances import named
from distil_theory.spec import Bandit


def test_names_from_lines():
    mdp = Bandit([[1, 0], [0, 1], [0, 0]], [1, 0, 0], [0, 1, 1])
    names = named(mdp, ["a fork: left, right", "hot: on, off", "cold: on, off"])
    assert names.states == ("a fork", "hot", "cold")
    assert names.actions == (("left", "right"), ("on", "off"), ("on", "off"))
    assert names.seen == ("a fork", "hot or cold")
    assert names.hidden == ("", "hot", "cold")
    assert named(mdp, ["a: x, y", "hot | fog: x, y", "cold | fog: x, y"]).seen == ("a", "fog")
    assert named(mdp).states == ("state 0", "state 1", "state 2")
    assert named(mdp).actions[0] == ("action 0", "action 1")
    for lines, message in (
        (["a: x, y"], "lines: 1 given, 3 needed"),
        (["a: x, y", "b: x", "c: x, y"], "actions of 'b': 1 given, 2 needed"),
    ):
        with pytest.raises(ValueError, match=message):
            named(mdp, lines)


@pytest.mark.parametrize("make", instances.INSTANCES, ids=lambda f: f.__name__)
def test_names_tell_states_and_actions_apart(make):
    case = make()
    names, mdp = case.names, case.mdp
    assert (len(names.states), len(names.seen), len(names.hidden)) == (mdp.shape[1], mdp.observations, mdp.shape[1])
    assert all(len(set(row)) == mdp.shape[2] for row in names.actions)
    assert all([*names.states, *names.seen, *sum(names.actions, ())])
    assert len(set(names.seen)) == mdp.observations
    if case.world is None:
        assert not any(name.startswith("state ") for name in names.states)  # somebody thought of them
    # together, what both see tells the states apart
    both = [(mdp.observation[s], names.hidden[s]) for s in range(mdp.shape[1])]
    assert len(set(both)) == len(both)
    for o in range(mdp.observations):
        group = np.flatnonzero(mdp.observation == o)
        assert all(bool(names.hidden[s]) == (len(group) > 1) for s in group) or case.world is not None


def test_names_survive_conversion_and_copies():
    case = instances.hidden_trace()
    for other in (case.convert("float64"), pickle.loads(pickle.dumps(instances.risky_fork().convert("float64")))):
        original = case if other.name == case.name else instances.risky_fork()
        assert other.names == original.names
        assert (other.world is None) == (original.world is None)
    name, mdp, student, expert, exposes = case  # what it unpacks to
    assert (name, exposes) == (case.name, case.exposes)
    assert case.world.mdp is mdp or case.world.mdp.shape == mdp.shape
    assert student.shape == expert.shape


def test_names_of_token_mdps():
    case = instances.tested_program()
    game, names = case.world, case.names
    for h, s in ((0, 0), (1, 3), (2, 8)):
        place = game.decode(h, s)
        assert names.states[s] == f"double > {game.text(place.prefix)}".rstrip()
        assert names.hidden[s] == game.feedback[place.problem][place.feedback]
        assert names.seen[case.mdp.observation[s]] == names.states[s]
    assert names.states[-1] == "finished"
    assert names.actions[0] == ("DUP", "ADD", "MUL", "NOP")
