"""The oracle of the token MDPs: answers, verdicts and programs in plain Python, which shares nothing with ours."""

import itertools
import math
import random
from fractions import Fraction

from distil_theory.instances import stack_machine as machine
from distil_theory.instances import token_sum as sums
from distil_theory.instances.stack_machine import DOUBLE, SQUARE, stack_machine
from distil_theory.instances.token_sum import token_sum


def plain(q):
    return Fraction(int(q.p), int(q.q))


def right_sum(x, y, base, count):
    """School arithmetic: column by column, carry by carry."""
    out, carry = [], 0
    for i in range(count):
        column = x // base**i % base + y // base**i % base + carry
        out.append(column % base)
        carry = column // base
    return tuple(out)


def run(program, x, modulus):
    """A second interpreter, written as a chain of cases."""
    stack = [x]
    try:
        for word in program:
            if word == "HALT":
                break
            if word == "PUSH1":
                stack.append(1)
            elif word == "DUP":
                stack.append(stack[-1])
            elif word == "POP":
                stack.pop()
            elif word in ("ADD", "MUL", "SUB", "SWAP"):
                b, a = stack.pop(), stack.pop()
                stack += {"ADD": [a + b], "MUL": [a * b], "SUB": [a - b], "SWAP": [b, a]}[word]
        return stack[-1] % modulus
    except IndexError:
        return None


def says_of_sum(feedback, y, right, every):
    if feedback == "none":
        return every
    if feedback == "answer":
        return {right}
    if feedback == "outcome":
        return {y} if y == right else every - {y}
    known = next((i + 1 for i in range(len(y)) if y[i] != right[i]), len(y))
    return {z for z in every if z[:known] == right[:known]}


def says_of_program(feedback, y, tests, every, outputs, solution):
    right = {z for z in every if all(outputs[z, x] == out for x, out in tests)}
    if feedback == "none":
        return every
    if feedback == "answer":
        return right
    if feedback == "solution":
        return {solution}
    if feedback == "outcome":
        return {y} if y in right else every - {y}
    agree = every
    for x, out in tests:
        agree = {z for z in agree if outputs[z, x] == out}
        if outputs[y, x] != out:
            break
    return agree


def sum_oracle(pairs, base, digits, feedback):
    every = set(itertools.product(range(base), repeat=digits + 1))
    rights = [right_sum(x, y, base, digits + 1) for x, y in pairs]
    return [({right}, {y: says_of_sum(feedback, y, right, every) for y in every}) for right in rights]


def program_oracle(tasks, instructions, length, feedback, modulus=10):
    every = set(itertools.product(range(len(instructions)), repeat=length))
    out = []
    for task in tasks:
        outputs = {(z, x): run([instructions[a] for a in z], x, modulus) for z in every for x, _ in task.tests}
        right = {z for z in every if all(outputs[z, x] == o for x, o in task.tests)}
        solution = tuple(map(instructions.index, task.solution)) if task.solution else min(right)
        out.append((right, {y: says_of_program(feedback, y, task.tests, every, outputs, solution) for y in every}))
    return out


INSTRUCTIONS = ("DUP", "ADD", "MUL", "NOP")
PAIRS = [(1, 2), (2, 2), (0, 1)]
SHOWN = DOUBLE._replace(solution=("NOP", "DUP", "ADD"))
GAMES = {
    **{
        f"sum-{f}": (
            lambda f=f, **options: token_sum(3, 1, PAIRS, f, **options),
            lambda f=f: sum_oracle(PAIRS, 3, 1, f),
        )
        for f in sums.FEEDBACK
    },
    **{
        f"program-{f}": (
            lambda f=f, **options: stack_machine((SHOWN, SQUARE), INSTRUCTIONS, 3, f, **options),
            lambda f=f: program_oracle((SHOWN, SQUARE), INSTRUCTIONS, 3, f),
        )
        for f in machine.FEEDBACK
        if f != "outcome"
    },
    "program-outcome": (
        lambda **options: stack_machine((SHOWN,), ("DUP", "ADD", "NOP"), 3, "outcome", **options),
        lambda: program_oracle((SHOWN,), ("DUP", "ADD", "NOP"), 3, "outcome"),
    ),
}


def random_rule(seed, tokens_):
    """Rational probabilities for every (problem, prefix), drawn once; some of them tiny."""
    rows = {}
    generator = random.Random(seed)

    def rule(problem, prefix):
        if (problem, prefix) not in rows:
            weights = [generator.choice([1, 1, 2, 3, 5, 40]) for _ in range(tokens_)]
            rows[problem, prefix] = [Fraction(w, sum(weights)) for w in weights]
        return rows[problem, prefix]

    return rule


def chance(rule, problem, prefix):
    return math.prod((rule(problem, prefix[:i])[a] for i, a in enumerate(prefix)), start=Fraction(1))


def as_set(game, mask):
    return frozenset(z for z, agrees in zip(game.tree.finished(), mask, strict=True) if agrees)
