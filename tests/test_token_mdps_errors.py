"""Bad input to the token MDPs: one error that says what and where."""

import numpy as np
import pytest

from distil_theory.instances.stack_machine import DOUBLE, Task, execute, stack_machine
from distil_theory.instances.token_sum import token_sum


def bad_rows(**change):
    rows = np.full((2, 4, 2), 0.5)
    rows[change["at"]] = change["row"]
    return rows


ONE = [(1, 1)]
ERRORS = [
    (lambda: token_sum(1), "base must be a whole number >= 2"),
    (lambda: token_sum(2.0), "base must be a whole number"),
    (lambda: token_sum(3, 0), "digits must be a whole number >= 1"),
    (lambda: token_sum(3, 10**9), "at most 4096 answers"),
    (lambda: token_sum(10, 4), "10 tokens and 5 steps"),
    (lambda: token_sum(feedback="hint"), "unknown feedback 'hint': choose from none, outcome, answer, trace"),
    (lambda: token_sum(reward="some"), "unknown reward 'some'"),
    (lambda: token_sum(numbers="ball"), "unknown number system 'ball'"),
    (lambda: token_sum(2, 1, []), "problems is empty"),
    (lambda: token_sum(2, 1, [(0, 1), (1,)]), r"problem 1 is \(1,\): expected a pair"),
    (lambda: token_sum(2, 1, [(0, 2)]), r"problem 0 is 0 \+ 2: the summands have too few digits"),
    (lambda: token_sum(2, 1, [(0, -1)]), "y of problem 0 must be a whole number >= 0"),
    (lambda: token_sum(2, 1, [(0, 1), (0, 1)]), r"problem 1 is 0 \+ 1, as is problem 0"),
    (lambda: token_sum(3, 2, feedback="outcome", problems=[(i, j) for i in range(9) for j in range(9)]), "states"),
    (lambda: token_sum(2, 1, ONE, weights=[0.5, 0.5]), "weights has shape"),
    (lambda: token_sum(2, 1, ONE, weights=["one"]), "weights: "),
    (lambda: token_sum(2, 1, [(0, 1), (1, 1)], weights=[0.5, 0.6]), "weights sums to 1.1 over problem"),
    (lambda: token_sum(2, 1, ONE, reference=np.ones((2, 3, 2)) / 2), "reference has shape"),
    (lambda: token_sum(2, 1, ONE, reference=bad_rows(at=(1, 2), row=0.6)), "reference at h=1, o=2 sums to 1.2"),
    (lambda: token_sum(2, 1, ONE, reference=bad_rows(at=(0, 0, 1), row=np.nan)), "h=0, o=0, a=1"),
    (lambda: execute(["JUMP"], 1), "unknown instruction 'JUMP'"),
    (lambda: stack_machine(instructions=("DUP", "JUMP")), "unknown instruction 'JUMP'"),
    (lambda: stack_machine(instructions=("DUP", "ADD", "DUP")), "instruction 2 is 'DUP', as is instruction 0"),
    (lambda: stack_machine(instructions=()), "number of instructions must be a whole number >= 1"),
    (lambda: stack_machine(length=0), "length must be a whole number >= 1"),
    (lambda: stack_machine(length=7), "5 tokens and 7 steps"),
    (lambda: stack_machine(length=5), "states"),
    (lambda: stack_machine(modulus=1), "modulus must be a whole number >= 2"),
    (lambda: stack_machine(feedback="tests"), "unknown feedback 'tests'"),
    (lambda: stack_machine(()), "tasks is empty"),
    (lambda: stack_machine(("double",)), "'double' is no Task"),
    (lambda: stack_machine((Task("void", ()),)), "task 'void' has no tests"),
    (lambda: stack_machine((DOUBLE, DOUBLE)), "two tasks are named 'double'"),
    (lambda: stack_machine((Task("DUP", ((2, 4),)),)), "a task is named 'DUP'"),
    (lambda: stack_machine((Task("7", ((2, 4),)),)), "a task is named '7'"),
    (lambda: stack_machine((Task("far", ((2, 10),)),)), "test 0 of task 'far' has the number 10: out of range 0..9"),
    (lambda: stack_machine((Task("odd", ((2, 4, 6),)),)), "expected a pair"),
    (lambda: stack_machine((Task("hard", ((2, 9), (3, 7))),)), "no program of 3 instructions .* solves 'hard'"),
    (lambda: stack_machine((DOUBLE._replace(solution=("DUP", "ADD")),)), "another length"),
    (lambda: stack_machine((DOUBLE._replace(solution=("DUP", "ADD", "ADD")),)), "fails its tests"),
]


@pytest.mark.parametrize(("call", "message"), ERRORS)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_bad_places_and_policies_are_named():
    game = token_sum(2, 1, ONE, "trace")
    for call, message in (
        (lambda: game.state_index(1, 0, ()), "problem is 1: out of range 0..0"),
        (lambda: game.state_index(0, 2, ()), "feedback is 2: out of range 0..1"),
        (lambda: game.state_index(0, 0, (2,)), "token 0 of the prefix is 2: out of range 0..1"),
        (lambda: game.state_index(0, 0, (0, 1)), "finished answer"),
        (lambda: game.prompt(0, 5), "feedback is 5"),
        (lambda: game.decode(2, 0), "step is 2: out of range 0..1"),
        (lambda: game.decode(0, 99), "state is 99"),
        (lambda: game.policy(lambda p, x: [1]), "the rule gives 1 probabilities"),
        (lambda: game.policy(lambda p, x: [0.5, 0.6]), "student at h=0, s=0 sums to 1.1"),
        (lambda: game.teacher(np.ones((1, 2, 2))), "policy|student"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
