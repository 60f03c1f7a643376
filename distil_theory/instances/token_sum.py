r"""A token MDP: the sum of two numbers, digit by digit, with carries.

The prompt shows `x + y =`, both with `n` digits in base `b`; the answer has `n + 1` digits and is written *least
significant digit first*, so that each digit depends on what was read and on a carry from the digits before. Exactly
one answer is right. What a verifier may say of a first attempt:

========= ================================================= ================================ =================
feedback  words                                             answers that agree               values per problem
========= ================================================= ================================ =================
`none`    (nothing)                                         all                              1
`outcome` `is` digits, or `not` digits                      the attempt, or all others       `b^(n+1)`
`answer`  `is` digits                                       the right one                    1
`trace`   `starts` right digits up to the first wrong one   those that start like that       at most `n + 1`
========= ================================================= ================================ =================

All of it is truthful, so by the argument in `token_mdp` small natural steps improve (with reward `all_right`). With
*one* right answer more is true: only the ratios along that answer count, so whatever the teacher thinks of wrong
answers, if it gives the right one at least the student's probability, natural steps of forward KL, reverse KL,
Jensen-Shannon and Hellinger all improve or stay. Arithmetic cannot tell them apart; to see them differ, a task needs
several right answers (`stack_machine`).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from distil_theory import validate
from distil_theory.instances.prefixes import PrefixTree
from distil_theory.instances.token_builder import Problem, Rules, Verdict, build, check_choice, check_size
from distil_theory.instances.token_mdp import TokenMDP
from distil_theory.number_systems import Array

FEEDBACK = ("none", "outcome", "answer", "trace")
REWARDS = ("all_right", "per_token")


def digits_of(value: int, base: int, count: int) -> tuple[int, ...]:
    """`count` digits of a number, least significant first."""
    return tuple(value // base**i % base for i in range(count))


def a_handful(base: int, digits: int) -> tuple[tuple[int, int], ...]:
    """Up to six problems: no carry, one carry, a carry that runs through, carries everywhere, and two more."""
    top = base**digits - 1
    pairs = [(0, 1), (base - 1, 1), (top, 1), (top, top), (top // 2, top // 3), (top // 3, 2 * top // 3)]
    return tuple(dict.fromkeys(pairs))


def token_sum(
    base: int = 3,
    digits: int = 2,
    problems: Sequence[tuple[int, int]] | None = None,
    feedback: str = "trace",
    *,
    reward: str = "all_right",
    reference: Array | None = None,
    weights: Any = None,
    numbers: str = "float64",
) -> TokenMDP:
    """Sums of two numbers of `digits` digits; horizon `digits + 1`, actions are the digits `0..base-1`.

    Args:
        base: of the digits, at least 2.
        digits: of each summand.
        problems: pairs `(x, y)`; default: `a_handful`. All pairs: `itertools.product(range(base**digits), repeat=2)`.
        feedback: one of `FEEDBACK`.
        reward: `"all_right"`: 1 at the last token if all are right; `"per_token"`: `1/H` for each right digit.
        reference: who makes the first attempt, `(H,O,A)`, see `token_builder.build`; default: uniform.
        weights: law of the problems; default: uniform.
        numbers: `"float64"` or `"rational"`.

    Raises:
        ValueError: anything out of range, or more states than a dense table holds.
    """
    rules = sum_rules(base, digits, problems, feedback, reward=reward)
    return build(rules, reference=reference, weights=weights, numbers=numbers)


def sum_rules(
    base: int = 3,
    digits: int = 2,
    problems: Sequence[tuple[int, int]] | None = None,
    feedback: str = "trace",
    *,
    reward: str = "all_right",
) -> Rules:
    """The same game before its tables are built; arguments as `token_sum`."""
    base, digits = validate.whole("base", base, 2), validate.whole("digits", digits, 1)
    check_choice("feedback", feedback, FEEDBACK)
    check_choice("reward", reward, REWARDS)
    tree = PrefixTree(base, digits + 1)
    check_size(tree)
    pairs = _check_pairs(a_handful(base, digits) if problems is None else problems, base**digits)
    answers = [digits_of(x + y, base, digits + 1) for x, y in pairs]
    every = np.array(tree.finished())

    def verdict(p: int, y: tuple[int, ...]) -> Verdict:
        right = answers[p]
        if feedback == "none":
            return (), np.ones(tree.answers, dtype=bool)
        known = right if feedback == "answer" else y
        if feedback == "trace":
            wrong = [i for i, (a, b) in enumerate(zip(y, right, strict=True)) if a != b]
            known = right[: wrong[0] + 1] if wrong else right
        agree = (every[:, : len(known)] == known).all(axis=1)
        said = tuple(map(str, known))
        if feedback == "outcome" and y != right:
            return ("not", *said), ~agree
        return ("starts" if feedback == "trace" else "is", *said), agree

    def problem(pair: tuple[int, int], right: tuple[int, ...]) -> Problem:
        left, second = (tuple(map(str, digits_of(value, base, digits))) for value in pair)
        per_token = None
        if reward == "per_token":
            per_token = np.full((tree.size, base), Fraction(0))
            for h, digit in enumerate(right):
                per_token[tree.start(h) : tree.start(h + 1), digit] = Fraction(1, digits + 1)
        return Problem(f"{pair[0]}+{pair[1]}", (*left, "+", *second, "="), (every == right).all(axis=1), per_token)

    words = (*map(str, range(base)), "+", "=", "is", "not", "starts")
    items = [problem(pair, right) for pair, right in zip(pairs, answers, strict=True)]
    return Rules(words, tree, items, verdict)


def _check_pairs(problems: Any, below: int) -> list[tuple[int, int]]:
    """Pairs of whole numbers in range, each once."""
    pairs: list[tuple[int, int]] = []
    for i, pair in enumerate(problems):
        if not isinstance(pair, Sequence) or len(pair) != 2:
            raise ValueError(f"problem {i} is {pair!r}: expected a pair (x, y)")
        x, y = (validate.whole(f"{name} of problem {i}", value, 0) for name, value in zip("xy", pair, strict=True))
        if max(x, y) >= below:
            raise ValueError(f"problem {i} is {x} + {y}: the summands have too few digits, they end at {below - 1}")
        if (x, y) in pairs:
            raise ValueError(f"problem {i} is {x} + {y}, as is problem {pairs.index((x, y))}")
        pairs.append((x, y))
    if not pairs:
        raise ValueError("problems is empty: a sum needs at least one pair (x, y)")
    return pairs
