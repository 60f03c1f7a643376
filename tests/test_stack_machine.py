"""Programs token by token: the machine against a second one, rewards and feedback by hand."""

import itertools

import pytest

from distil_theory.instances import stack_machine as machine
from distil_theory.instances.stack_machine import DOUBLE, Task, execute, stack_machine
from tests.token_games import INSTRUCTIONS, SHOWN, as_set, run


@pytest.mark.parametrize(
    ("program", "x", "output"),
    [
        ("DUP ADD", 4, 8),
        ("DUP MUL", 4, 6),  # 16 modulo 10
        ("PUSH1 ADD NOP", 9, 0),
        ("PUSH1 SUB", 0, 9),
        ("PUSH1 SWAP SUB", 3, 8),  # 1 - 3
        ("DUP DUP ADD", 3, 6),
        ("PUSH1 POP", 3, 3),
        ("", 3, 3),
        ("ADD", 3, None),
        ("PUSH1 ADD ADD", 3, None),
        ("POP", 3, None),
        ("POP DUP", 3, None),
        ("SWAP", 3, None),
        ("POP PUSH1", 3, 1),
    ],
)
def test_known_programs(program, x, output):
    assert execute(program.split(), x) == output


def test_interpreter_against_a_second_one():
    for program in itertools.product(machine.INSTRUCTIONS, repeat=4):
        assert [execute(program, x, 7) for x in (0, 3)] == [run(program, x, 7) for x in (0, 3)]


def test_rewards_of_known_programs():
    game = stack_machine()
    names = game.vocabulary[: game.tree.tokens]

    def earned(task, program):
        z = tuple(map(names.index, program.split()))
        steps = [game.mdp.reward[h, game.state_index(task, 0, z[:h]), a] for h, a in enumerate(z)]
        assert steps[:-1] == [0, 0]
        return steps[-1]

    assert game.problems == ("increment", "double", "square")
    for task, programs in enumerate(
        [
            ["PUSH1 ADD NOP", "NOP PUSH1 ADD", "PUSH1 NOP ADD", "PUSH1 ADD DUP"],
            ["DUP ADD NOP", "NOP DUP ADD", "DUP DUP ADD"],
            ["DUP MUL NOP", "NOP DUP MUL", "DUP DUP MUL"],
        ]
    ):
        for program in programs:
            assert [earned(other, program) for other in range(3)] == [other == task for other in range(3)]
    assert [earned(other, "NOP NOP NOP") for other in range(3)] == [0, 0, 0]
    assert [earned(other, "ADD ADD ADD") for other in range(3)] == [0, 0, 0]


def test_trace_of_a_program():
    game = stack_machine(numbers="rational")
    assert game.feedback[1] == ("f 2 = 4", "f 2 = 4 ; f 3 = 6")
    both = [as_set(game, agree) for agree in game.agree[1]]
    assert both[1] < both[0]
    square = as_set(game, game.right[2])
    assert square <= both[0]  # the first test does not tell twice from squared
    assert not square & both[1]


def test_a_program_passes_all_tests_in_whatever_order():
    game = stack_machine((DOUBLE, Task("twice", ((3, 6), (2, 4)))), INSTRUCTIONS, 3, "trace")
    assert as_set(game, game.right[0]) == as_set(game, game.right[1])
    # nothing here gives 6 on 3 and fails on 2: the second test reveals nothing, and the shorter wording stays
    assert game.feedback[1] == ("f 3 = 6",)


def test_a_test_of_its_own_and_those_before():
    # 4 on input 2: twice or squared. 0 on input 0: both, and much else that the first test excludes
    game = stack_machine((Task("vague", ((2, 4), (0, 0), (3, 6))),), INSTRUCTIONS, 3, "trace")
    every = list(itertools.product(INSTRUCTIONS, repeat=3))
    first = {tuple(map(INSTRUCTIONS.index, z)) for z in every if run(z, 2, 10) == 4}
    assert [as_set(game, agree) for agree in game.agree[0]] == [first, as_set(game, game.right[0])]


def test_shown_solution_defaults_to_the_first_right_program():
    texts = stack_machine((DOUBLE, SHOWN._replace(name="twice")), INSTRUCTIONS, 3, "solution").feedback
    assert texts == (("is DUP DUP ADD",), ("is NOP DUP ADD",))


def test_default_preset_is_small():
    assert stack_machine().mdp.shape == (3, 187, 5)
