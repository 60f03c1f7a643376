"""Tasks: answers by other means, rewards, splits, feedback and its noise."""

import json
from math import sqrt

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy.physics import units

from distil_theory.llm import tasks
from distil_theory.llm.tasks.base import hashed

each = pytest.mark.parametrize("task", tasks.ALL, ids=tasks.NAMES)
seeds = st.integers(0, 2**32 - 1)
QUANTITIES = {
    "km": units.km, "m": units.m, "cm": units.cm, "mm": units.mm, "kg": units.kg, "g": units.gram,
    "mg": units.milligram, "l": units.liter, "ml": units.milliliter, "h": units.hour, "min": units.minute,
    "s": units.second, "m/s": units.m / units.s, "N": units.newton, "m/s^2": units.m / units.s**2, "J": units.joule,
    "W": units.watt, "V": units.volt, "A": units.ampere, "ohm": units.ohm, "C": units.coulomb,
    "kg/l": units.kg / units.liter,
}  # fmt: skip


def run(x, program):
    """The stack machine once more: other code, one instruction after the other."""
    stack = [x]
    for name in program:
        try:
            if name == "PUSH1":
                stack.append(1)
            elif name == "DUP":
                stack.append(stack[-1])
            elif name == "POP":
                stack.pop()
            else:
                b, a = stack.pop(), stack.pop()
                stack += {"ADD": [a + b], "MUL": [a * b], "SUB": [a - b], "SWAP": [b, a]}[name]
        except IndexError:
            return "error"
    return str(stack[-1] % 100) if stack else "error"


def measured(number, unit):
    return units.convert_to(int(number) * QUANTITIES[unit], [units.m, units.kg, units.s, units.ampere])


def right(name, item, answer):
    """Is this the answer to this question? From the text alone."""
    question = item.removesuffix(" =")
    family = name.partition("_")[0]
    if family in ("product", "sum", "expression"):
        return answer == str(eval(question))
    if family in ("gcd", "lcm"):
        a, b = eval(question[3:])
        if family == "gcd":
            return int(answer) == max(d for d in range(1, a + 1) if a % d == b % d == 0)
        return int(answer) == min(n for n in range(1, a * b + 1) if n % a == n % b == 0)
    if family == "stack":
        x, program = question.removeprefix("stack ").split(": ")
        return answer == run(int(x), program.split())
    digits = question.rpartition(" ")[2]
    if family in ("count", "sort", "copy"):
        return answer == {"count": str(digits.count("1")), "sort": "".join(sorted(digits)), "copy": digits}[family]
    if family == "units":
        number, big, _, small = question.split()
        return measured(number, big) == measured(answer, small)
    first, second, _ = question.split(", ")
    return measured(*first.split()[1:]) * measured(*second.split()[1:]) == measured(*answer.split())


@each
@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_answers_are_right_and_rewarded_and_others_are_not(task, seed):
    rng = np.random.default_rng(seed)
    problem = task.draw(rng)
    row = {"answer": task.solve(problem)}
    answer, miss = row["answer"], task.miss(problem, rng)
    assert right(task.name, task.ask(problem), answer)
    assert task.reward(row, f" {task.completion(problem)}\nand more = 0") == 1
    assert task.reward(row, f" 1 = {answer}") == 1
    for wrong in (miss, f"{answer}0", f"{answer} {answer}", f"-{answer}", f"{answer} = {miss}", "", "\n" + answer):
        assert task.reward(row, f" {wrong}\n") == 0
    assert task.rewards(["", ""], [f" {answer}\n", f" {miss}\n"], answer=[answer, answer]) == [1, 0]


@pytest.mark.parametrize("name", ["sum_steps", "expression_steps", "sum_choice"])
@given(seed=seeds)
def test_written_steps_have_the_same_value(name, seed):
    task = tasks.get(name)
    problem = task.draw(np.random.default_rng(seed))
    values = {eval(part) for part in f"{task.ask(problem)} {task.completion(problem)}".split(" = ")}
    assert values == {int(task.solve(problem))}


@given(seed=seeds)
def test_the_trace_of_the_machine_is_what_happens(seed):
    task = tasks.get("stack_trace")
    x, *program = task.draw(np.random.default_rng(seed))
    steps, _, out = task.completion((x, *program)).rpartition(" = ")
    states = [run(x, program[: k + 1]) for k in range(len(program))]
    told = [step.split() for step in steps.split(", ")]
    assert [name for name, *_ in told] == program[: len(told)]
    for (_, *stack), top in zip(told, states, strict=False):
        assert ("error" if stack == ["empty"] else stack[-1]) == top
    assert len(told) == len(program) or told[-1][1:] == ["error"]
    assert out == states[-1]


def test_one_program_in_eight_has_no_output():
    """400 programs, five standard deviations; numbers are modulo 100."""
    task, rng = tasks.get("stack_machine"), np.random.default_rng(0)
    failed = sum(task.solve(task.draw(rng)) == "error" for _ in range(400))
    assert abs(failed - 50) <= 5 * sqrt(400 / 8 * 7 / 8)
    assert task.solve((9, "DUP", "MUL", "DUP", "ADD")) == "62"


def test_traces_by_hand():
    said = {name: lambda p, name=name: tasks.get(name).work(p) for name in tasks.NAMES}
    assert said["product"]((3, 4)) == "1 * 4 = 4, 2 * 4 = 8, 3 * 4 = 12"
    assert said["gcd"]((18, 48)) == "48 = 2 * 18 + 12, 18 = 1 * 12 + 6, 12 = 2 * 6 + 0"
    assert said["lcm"]((6, 4)) == "1 * 6 = 6, 2 * 6 = 12"
    assert said["sum"]((2, 7, 5)) == "9 + 5 = 14"
    assert said["stack_machine"]((3, "DUP", "POP", "POP")) == "DUP 3 3, POP 3, POP empty = error"
    assert said["expression"]((2, "+", 3, "*", 4)) == "2 + 12 = 14"
    assert said["count_bits"]((1, 0, 1)) == "count 1 1 2"
    assert said["sort_digits"]((2, 0, 2)) == "min of 202 is 0, min of 22 is 2, min of 2 is 2"
    assert said["copy_digits"]((4, 0)) == "4 then 0"
    assert said["units"]((3, "m", "cm")) == "1 m is 100 cm, 3 * 100 is 300"
    assert said["dimensions"]((0, 3, 4)) == "3 m/s * 4 s = 12 m"


@each
def test_splits_never_overlap(task):
    """Thirty-two held-out items are there; no problem, in whatever order of its parts, is on both sides."""
    sides = {
        split: [task.same(tuple(json.loads(row["problem"]))) for seed in (0, 1) for row in task.rows(split, 32, seed)]
        for split in tasks.SPLITS
    }
    sides["examples"] = [task.same(problem) for problem in task.examples]
    assert len(set(sides["examples"])) == 4
    every = [same for side in sides.values() for same in set(side)]
    assert len(every) == len(set(every))


@each
def test_rows_are_plain_data_and_the_same_for_the_same_seed(task):
    rows = task.rows("train", 12, seed=3)
    assert rows == list(Dataset.from_list(tasks.get(task.name).rows("train", 12, seed=3)))
    assert rows != task.rows("train", 12, seed=4)
    assert len({row["item"] for row in rows}) == 12
    for row in rows:
        assert row["prompt"].endswith("\n" + row["item"])
        assert row["prompt"].count("\n") == 4
        assert row["prompt"] == task.teacher_prompt(row, " 3\n", "none")
        for kind in tasks.KINDS[1:]:
            *examples, asked = task.teacher_prompt(row, " 3\n", kind).split("\n")
            for line in (*examples, asked):
                assert line.startswith("We know that ")
            assert [line.partition(". So ")[2] for line in examples] == row["prompt"].split("\n")[:-1]
            assert asked.endswith(f". So {row['item']}")


@pytest.mark.parametrize("shots", [0, 1, 3])
def test_fewer_examples_are_the_first_of_four(shots):
    full, few = (tasks.get("product", **changes) for changes in ({}, {"shots": shots}))
    rows = few.rows("train", 5)
    for row, whole in zip(rows, full.rows("train", 5), strict=True):
        lines = whole["prompt"].split("\n")
        assert row["prompt"] == "\n".join([*lines[:shots], lines[-1]])
        assert row["answer"] == whole["answer"]
        lines = full.teacher_prompt(whole, " 3\n", "critique").split("\n")
        assert few.teacher_prompt(row, " 3\n", "critique") == "\n".join([*lines[:shots], lines[-1]])


def test_a_swapped_product_stays_on_its_side():
    product = tasks.get("product")
    assert all(product.split_of((a, b)) == product.split_of((b, a)) for a in range(2, 13) for b in range(2, 13))


def test_hashes_are_the_same_everywhere():
    """The splits of a published table are those of tomorrow."""
    assert hashed("product", (3, 7)) == 2500424014267701438


def test_feedback_by_hand():
    exact = tasks.get("product", noise=0)
    sentences = {
        ("11", "none"): "",
        ("11", "outcome"): "We know that 11 is wrong. So ",
        ("12", "outcome"): "We know that 12 is right. So ",
        ("", "outcome"): "We know that no answer is wrong. So ",
        ("11", "answer"): "We know that 3 * 4 = 12. So ",
        ("11", "trace"): "We know that 1 * 4 = 4, 2 * 4 = 8, 3 * 4 = 12, 3 * 4 = 12. So ",
        ("11", "critique"): "We know that 11 is wrong, 3 * 4 = 12. So ",
        ("12", "critique"): "We know that 12 is right, 3 * 4 = 12. So ",
    }
    assert {key: exact.feedback((3, 4), *key) for key in sentences} == sentences
    chained = {
        ("sum", (2, 7, 5)): "2 + 7 + 5 = 9 + 5 = 14",
        ("sum_choice", (2, 7, 6)): "2 + 7 + 6 = 9 + 6 = 15",
        ("stack_machine", (3, "DUP", "ADD")): "stack 3: DUP ADD = DUP 3 3, ADD 6 = 6",
        ("expression_steps", (2, "*", 3, "+", 4)): "2 * 3 + 4 = 6 + 4 = 10",
        ("dimensions", (0, 3, 4)): "speed 3 m/s, time 4 s, distance = 3 m/s * 4 s = 12 m",
    }
    for (name, problem), steps in chained.items():
        assert tasks.get(name).feedback(problem, "", "trace") == f"We know that {steps}. So "
    assert [tasks.get("sum_choice").completion((2, 7, last)) for last in (5, 6)] == ["9 + 5 = 14", "15"]


def test_only_the_final_answer_of_the_attempt_is_judged():
    task = tasks.get("product", noise=0)
    prompt = task.teacher_prompt(task.rows("train", 1)[0], " 7 = 11\nand so on", "critique")
    assert "\nWe know that 11 is wrong, " in prompt
    assert "and so on" not in prompt


@pytest.mark.parametrize("noise", [0, 0.3, 1])
@each
def test_the_critic_errs_as_often_as_it_says(task, noise):
    """500 attempts; the share of wrong answers named is binomial: five standard deviations."""
    task, n = task.but(noise=noise), 500
    rng = np.random.default_rng(0)
    erred = 0
    for i in range(n):
        problem = task.draw(rng)
        attempt = task.solve(problem) if i % 2 else str(i)
        line = task.feedback(problem, attempt, "critique")
        named = line.rpartition("= ")[2].removesuffix(". So ")
        erred += named != task.solve(problem)
        assert line.startswith(f"We know that {attempt} is {'right' if named == attempt else 'wrong'}, ")
        assert line == task.feedback(problem, attempt, "critique")
    assert abs(erred - n * noise) <= 5 * sqrt(n * noise * (1 - noise))


def test_only_the_critic_errs():
    noisy, exact = (tasks.get("gcd", noise=noise) for noise in (1, 0))
    for kind in tasks.KINDS:
        pair = [task.feedback((18, 48), "6", kind) for task in (noisy, exact)]
        assert (pair[0] == pair[1]) == (kind != "critique")


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="unknown task 'products': choose from product, gcd"):
        tasks.get("products")
    with pytest.raises(ValueError, match=r"noise must lie in \[0, 1\], not 1.5"):
        tasks.get("product", noise=1.5)
    with pytest.raises(ValueError, match="shots must be at most 4, not 5"):
        tasks.get("product", shots=5)
    with pytest.raises(ValueError, match="unknown split 'test': choose from train, held_out"):
        tasks.get("product").rows("test", 3)
    with pytest.raises(ValueError, match="n must be a whole number >= 1, not 0"):
        tasks.get("product").rows("train", 0)
    with pytest.raises(ValueError, match="'product' has no 100 different problems in 'held_out': 35 were found"):
        tasks.get("product").rows("held_out", 100)
    with pytest.raises(ValueError, match="unknown kind of feedback 'hint': choose from none, outcome"):
        tasks.get("product").feedback((3, 4), "12", "hint")
