"""Small programs and what they do: the trace is the execution.

`stack_machine` is the machine of `distil_theory.instances.stack_machine`, instruction for instruction: the prompt shows
input and program, the answer is what lies on top at the end, or `error` if there is nothing, or an
instruction finds too few items. In
`stack_trace` the student writes the stack after every instruction itself. `expression` evaluates by rules of
precedence, `count_bits`, `sort_digits` and `copy_digits` read a text and write about it.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from distil_theory.instances.stack_machine import INSTRUCTIONS, execute
from distil_theory.llm.tasks.base import Problem, Task, nearby
from distil_theory.llm.tasks.mathematics import numbers

MODULUS = 100
PROGRAM = ("PUSH1", "DUP", "ADD", "MUL", "SUB", "SWAP", "POP")
"""Instructions that a drawn program is made of."""
FAILED = "error"


def stacks(x: int, program: tuple[str, ...]) -> list[list[int] | None]:
    """The stack after each instruction, input first; `None` after one that found too few items, and no further."""
    stack, seen = [x % MODULUS], list[list[int] | None]([[x % MODULUS]])
    for name in program:
        takes, effect = INSTRUCTIONS[name]
        if len(stack) < takes:
            return [*seen, None]
        top = stack[len(stack) - takes :]
        stack = stack[: len(stack) - takes] + [value % MODULUS for value in effect(*top)]
        seen.append(stack)
    return seen


def machine_problem(rng: np.random.Generator) -> Problem:
    """Input 1 to 9 and two to four instructions; one program in eight has no output."""
    fails = bool(rng.random() < 1 / 8)
    while True:
        x, length = int(rng.integers(1, 10)), int(rng.integers(2, 5))
        program = tuple(str(name) for name in rng.choice(PROGRAM, length))
        if (execute(program, x, MODULUS) is None) == fails:
            return (x, *program)


def machine_output(problem: Problem) -> str:
    """What lies on top at the end, or `error`."""
    out = execute(problem[1:], problem[0], MODULUS)
    return FAILED if out is None else str(out)


def machine_trace(problem: Problem) -> str:
    """`ADD 3 1 -> 4`-like: each instruction with the stack after it, then the output."""
    after = stacks(problem[0], problem[1:])[1:]
    steps = [
        f"{name} {FAILED if stack is None else ' '.join(map(str, stack)) or 'empty'}"
        for name, stack in zip(problem[1:], after, strict=False)
    ]
    return f"{', '.join(steps)} = {machine_output(problem)}"


def machine_miss(problem: Problem, rng: np.random.Generator) -> str:
    """Another number near the output (near the input, if there is none)."""
    out = execute(problem[1:], problem[0], MODULUS)
    return nearby(lambda _: problem[0] if out is None else out)(problem, rng)


STACK_MACHINE = Task(
    name="stack_machine",
    field="code",
    max_tokens=6,
    draw=machine_problem,
    ask=lambda p: f"stack {p[0]}: {' '.join(p[1:])} =",
    solve=machine_output,
    work=machine_trace,
    chained=True,
    miss=machine_miss,
)
STACK_TRACE = STACK_MACHINE.but(name="stack_trace", max_tokens=52, write=machine_trace)


def expression_problem(rng: np.random.Generator) -> Problem:
    """Three small numbers, two of them multiplied: `2 + 3 * 4` or `2 * 3 + 4`."""
    a, b, c = rng.integers(1, 10, 3).tolist()
    return (a, "*", b, "+", c) if rng.random() < 0.5 else (a, "+", b, "*", c)


def expression_steps(problem: Problem) -> str:
    """The product first, then the sum: `2 + 12 = 14`."""
    a, first, b, _, c = problem
    left = f"{a * b} + {c}" if first == "*" else f"{a} + {b * c}"
    return f"{left} = {expression_value(problem)}"


def expression_value(problem: Problem) -> int:
    """The product before the sum."""
    a, first, b, _, c = problem
    return int(a * b + c if first == "*" else a + b * c)


EXPRESSION = Task(
    name="expression",
    field="code",
    max_tokens=6,
    draw=expression_problem,
    ask=lambda p: " ".join(map(str, p)) + " =",
    solve=lambda p: str(expression_value(p)),
    work=expression_steps,
    chained=True,
    miss=nearby(expression_value),
)
EXPRESSION_STEPS = EXPRESSION.but(name="expression_steps", max_tokens=16, write=expression_steps)


def text(problem: Problem) -> str:
    """Digits side by side."""
    return "".join(map(str, problem))


def swapped(digits: str, rng: np.random.Generator) -> str:
    """The text with one digit replaced by another."""
    i = int(rng.integers(len(digits)))
    new = rng.choice([d for d in "0123456789" if d != digits[i]])
    return f"{digits[:i]}{new}{digits[i + 1 :]}"


def selection(problem: Problem) -> str:
    """Selection sort: the smallest of what is left, again and again."""
    left, steps = list(problem), []
    while left:
        steps.append(f"min of {text(tuple(left))} is {min(left)}")
        left.remove(min(left))
    return ", ".join(steps)


def in_order(problem: Problem) -> str:
    """The digits in ascending order."""
    return "".join(str(d) * n for d, n in sorted(Counter(problem).items()))


COUNT_BITS = Task(
    name="count_bits",
    field="code",
    max_tokens=4,
    draw=numbers(0, 1, 4, 9),
    ask=lambda p: f"ones in {text(p)} =",
    solve=lambda p: str(sum(p)),
    work=lambda p: "count " + " ".join(str(n) for n in np.cumsum(p)),
    miss=nearby(sum, 3),
)
SORT_DIGITS = Task(
    name="sort_digits",
    field="code",
    max_tokens=8,
    draw=numbers(0, 9, 3, 5),
    ask=lambda p: f"sorted {text(p)} =",
    solve=in_order,
    work=selection,
    miss=lambda p, rng: swapped(in_order(p), rng),
    same=lambda p: tuple(sorted(p)),
)
COPY_DIGITS = Task(
    name="copy_digits",
    field="code",
    max_tokens=16,
    draw=numbers(0, 9, 6, 12),
    ask=lambda p: f"copy {text(p)} =",
    solve=text,
    work=lambda p: "then ".join(f"{d} " for d in p).strip(),
    miss=lambda p, rng: swapped(text(p), rng),
)
