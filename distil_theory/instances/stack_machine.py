r"""A token MDP: a short program for a stack machine, instruction by instruction.

The machine starts with the input on its stack; the output is what lies on top at the end, or at the first `HALT`. An
instruction that finds too few items *fails*, and so does the program: no output, which is no error of ours. All numbers
are whole, modulo `modulus`. A task is a function given by tests, input and output; a program is right if it passes all.
*Several* programs are right (`DUP ADD NOP`, `NOP DUP ADD`, ...), and that is what a teacher can get wrong. What a
verifier may say of a first attempt:

========== ====================================================== ======================================
feedback   words                                                  programs that agree
========== ====================================================== ======================================
`none`     (nothing)                                              all
`outcome`  `is` program, or `not` program                         the attempt, or all others
`trace`    tests up to the first that fails: `f 2 = 4 ; ...`      those that pass these tests
`answer`   `right`                                                all right ones (success-conditioning)
`solution` `is` program                                           the one that is shown
========== ====================================================== ======================================

`trace` and `answer` are truthful: no right program is excluded, and by the argument in `token_mdp` natural steps of
forward KL, reverse KL, Jensen-Shannon and Hellinger improve, also when the feedback is hidden. (What the attempt
produced on the failing test adds nothing: a program that gives the expected output does not give that one.)
`outcome` is truthful as long as the attempt was wrong; "do as you did" excludes the other right programs. `solution`
is narrow altogether: the teacher conditions on *one* right program and abandons the others. Let the student enter it
with probabilities `p_t`; the teacher is certain, so the natural step changes the return at the rate

    sum_t P_pi(first t tokens of the solution) A_t w(p_t),    w(p) = p (h(1/p) - h(0)),

`A_t` the student's advantage of the next token shown. Forward KL has `w = 1`. Jensen-Shannon has
`w = p log(1 + 1/p) / 2`, which vanishes with `p`: it follows the solution where the student already does, even if that
leads away from a better habit (`A_t < 0`), and not where the student must learn the rest. So it can lower a
return that forward KL raises (`tokens.shown_program`). And if the solution starts with a token that is rare, forward KL
fails as well (`unfamiliar_program`): claim 8's fork, in a program. The same student with truthful feedback is safe
(`tested_program`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from distil_theory import validate
from distil_theory.instances.prefixes import PrefixTree
from distil_theory.instances.token_builder import Problem, Rules, Verdict, build, check_choice, check_size
from distil_theory.instances.token_mdp import TokenMDP
from distil_theory.number_systems import Array

FEEDBACK = ("none", "outcome", "trace", "answer", "solution")
WORDS = ("is", "not", "right", "f", "=", ";")
"""What feedback is said with, besides instructions and numbers."""

INSTRUCTIONS: dict[str, tuple[int, Callable[..., tuple[int, ...]]]] = {
    "PUSH1": (0, lambda: (1,)),
    "DUP": (1, lambda a: (a, a)),
    "ADD": (2, lambda a, b: (a + b,)),
    "MUL": (2, lambda a, b: (a * b,)),
    "SUB": (2, lambda a, b: (a - b,)),
    "SWAP": (2, lambda a, b: (b, a)),
    "POP": (1, lambda a: ()),
    "NOP": (0, lambda: ()),
    "HALT": (0, lambda: ()),
}
"""How many items an instruction takes from the top of the stack, and what it puts there instead (top last)."""


class Task(NamedTuple):
    """A function given by tests `(input, output)`; `solution` is the program that feedback `"solution"` shows
    (default: the first right one in the order of the instructions)."""

    name: str
    tests: tuple[tuple[int, int], ...]
    solution: tuple[str, ...] | None = None


INCREMENT = Task("increment", ((1, 2), (3, 4)))
DOUBLE = Task("double", ((2, 4), (3, 6)))
SQUARE = Task("square", ((2, 4), (3, 9)))
TASKS = (INCREMENT, DOUBLE, SQUARE)
"""The first test of each leaves open which of two functions is meant: 2 may be 1 + 1 or twice 1, 4 twice 2 or 2^2."""


def execute(program: Sequence[str], x: int, modulus: int = 10) -> int | None:
    """Output of a program on input `x`; `None` if an instruction finds too few items, or nothing is left.

    Raises:
        ValueError: an unknown instruction.
    """
    stack = [x % modulus]
    for name in program:
        check_choice("instruction", name, tuple(INSTRUCTIONS))
        if name == "HALT":
            break
        takes, effect = INSTRUCTIONS[name]
        if len(stack) < takes:
            return None
        top = stack[len(stack) - takes :]
        stack[len(stack) - takes :] = [value % modulus for value in effect(*top)]
    return stack[-1] if stack else None


def stack_machine(
    tasks: Sequence[Task] = TASKS,
    instructions: Sequence[str] = ("PUSH1", "DUP", "ADD", "MUL", "NOP"),
    length: int = 3,
    feedback: str = "trace",
    *,
    modulus: int = 10,
    reference: Array | None = None,
    weights: Any = None,
    numbers: str = "float64",
) -> TokenMDP:
    """Programs of `length` instructions; reward 1 at the last one if the program passes all tests.

    Args:
        tasks: one problem each; the prompt is the task's name, the tests are not shown.
        instructions: the actions, out of `INSTRUCTIONS`.
        length: of a program, the horizon.
        feedback: one of `FEEDBACK`.
        modulus: of the arithmetic, at least 2.
        reference: who makes the first attempt, `(H,O,A)`, see `token_builder.build`; default: uniform.
        weights: law of the tasks; default: uniform.
        numbers: `"float64"` or `"rational"`.

    Raises:
        ValueError: an unknown instruction, a task that no program solves, a test out of range, a wrong solution, or
            more states than a dense table holds.
    """
    rules = program_rules(tasks, instructions, length, feedback, modulus=modulus)
    return build(rules, reference=reference, weights=weights, numbers=numbers)


def program_rules(
    tasks: Sequence[Task] = TASKS,
    instructions: Sequence[str] = ("PUSH1", "DUP", "ADD", "MUL", "NOP"),
    length: int = 3,
    feedback: str = "trace",
    *,
    modulus: int = 10,
) -> Rules:
    """The same game before its tables are built; arguments as `stack_machine`."""
    length, modulus = validate.whole("length", length, 1), validate.whole("modulus", modulus, 2)
    check_choice("feedback", feedback, FEEDBACK)
    names = tuple(instructions)
    for i, name in enumerate(names):
        check_choice("instruction", name, tuple(INSTRUCTIONS))
        if name in names[:i]:
            raise ValueError(f"instruction {i} is {name!r}, as is instruction {names.index(name)}")
    tree = PrefixTree(validate.whole("number of instructions", len(names), 1), length)
    check_size(tree)
    tasks = _check_tasks(tasks, modulus)
    programs = [_up_to_halt([names[a] for a in z]) for z in tree.finished()]
    # passes[p][t, z]: does program z pass tests 0..t of task p?
    passes = [
        np.logical_and.accumulate([[execute(z, x, modulus) == out for z in programs] for x, out in task.tests])
        for task in tasks
    ]
    shown = [_solution(task, names, tree, done[-1]) for task, done in zip(tasks, passes, strict=True)]

    def verdict(p: int, y: tuple[int, ...]) -> Verdict:
        place = tree.node(y) - tree.size
        if feedback == "none":
            return (), np.ones(tree.answers, dtype=bool)
        if feedback == "answer":
            return ("right",), passes[p][-1]
        if feedback == "solution":
            return ("is", *programs[shown[p]]), np.array([z == programs[shown[p]] for z in programs])
        failed = np.flatnonzero(~passes[p][:, place])
        if feedback == "outcome":
            this = np.array([z == programs[place] for z in programs])
            return ("not" if len(failed) else "is", *programs[place]), ~this if len(failed) else this
        last = failed[0] if len(failed) else len(passes[p]) - 1
        told = [(";", "f", str(x), "=", str(out)) for x, out in tasks[p].tests[: last + 1]]
        return tuple(word for test in told for word in test)[1:], passes[p][last]

    words = (*names, *(task.name for task in tasks), *WORDS, *map(str, range(modulus)))
    items = [Problem(task.name, (task.name,), done[-1]) for task, done in zip(tasks, passes, strict=True)]
    halt = names.index("HALT") if "HALT" in names else None
    return Rules(words, tree, items, verdict, halt)


def _up_to_halt(program: list[str]) -> list[str]:
    """The program with nothing but HALT after the first: what is not run makes no difference."""
    if "HALT" not in program:
        return program
    end = program.index("HALT")
    return program[:end] + ["HALT"] * (len(program) - end)


def _check_tasks(tasks: Any, modulus: int) -> list[Task]:
    """Tasks with distinct names, which are no other word either, and tests in range."""
    tasks = list(tasks)
    if not tasks:
        raise ValueError("tasks is empty: a stack machine needs at least one task")
    for task in tasks:
        if not isinstance(task, Task):
            raise ValueError(f"{task!r} is no Task")
        if not task.tests:
            raise ValueError(f"task {task.name!r} has no tests")
        if task.name in (*INSTRUCTIONS, *WORDS) or task.name.isdigit():
            raise ValueError(f"a task is named {task.name!r}, which is a word of the vocabulary already")
        if [other.name for other in tasks].count(task.name) > 1:
            raise ValueError(f"two tasks are named {task.name!r}")
        for t, test in enumerate(task.tests):
            if len(test) != 2:
                raise ValueError(f"test {t} of task {task.name!r} is {test}: expected a pair (input, output)")
            for value in test:
                if validate.whole(f"test {t} of task {task.name!r}", value, 0) >= modulus:
                    raise ValueError(
                        f"test {t} of task {task.name!r} has the number {value}: out of range 0..{modulus - 1}"
                    )
    return tasks


def _solution(task: Task, names: tuple[str, ...], tree: PrefixTree, right: np.ndarray) -> int:
    """Place among the answers of the program to show."""
    if not right.any():
        raise ValueError(f"no program of {tree.length} instructions out of {', '.join(names)} solves {task.name!r}")
    if task.solution is None:
        return int(np.argmax(right))
    if len(task.solution) != tree.length or not set(task.solution) <= set(names):
        raise ValueError(f"the solution {task.solution} of {task.name!r} has other instructions or another length")
    place = tree.node([names.index(name) for name in task.solution]) - tree.size
    if not right[place]:
        raise ValueError(f"the solution {task.solution} of {task.name!r} fails its tests")
    return place
