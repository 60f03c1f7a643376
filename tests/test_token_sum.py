"""Sums token by token: carries, encodings and feedback, by hand and by school arithmetic."""

import itertools
from fractions import Fraction

import flint
import numpy as np
import pytest

from distil_theory import number_systems as ns
from distil_theory import solve
from distil_theory.instances.token_sum import digits_of, token_sum
from tests.token_games import as_set, chance, plain, random_rule, right_sum


@pytest.mark.parametrize(("base", "digits"), [(2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (5, 1), (7, 1)])
def test_every_sum_carries_right(base, digits):
    pairs = list(itertools.product(range(base**digits), repeat=2))
    for part in (
        itertools.batched(pairs, 40)
        if hasattr(itertools, "batched")
        else [pairs[i : i + 40] for i in range(0, len(pairs), 40)]
    ):
        game = token_sum(base, digits, part, "none")
        for p, (x, y) in enumerate(part):
            (answer,) = as_set(game, game.right[p])
            assert answer == right_sum(x, y, base, digits + 1)
            assert sum(digit * base**i for i, digit in enumerate(answer)) == x + y
            prompt = game.text(game.prompts[p]).split()
            assert prompt[digits] == "+"
            assert prompt[-1] == "="
            read = [
                sum(int(t) * base**i for i, t in enumerate(part)) for part in (prompt[:digits], prompt[digits + 1 : -1])
            ]
            assert read == [x, y]
            # writing the answer earns one, at the last token only
            earned = [game.mdp.reward[h, game.state_index(p, 0, answer[:h]), a] for h, a in enumerate(answer)]
            assert earned == [0] * digits + [1]


def test_sum_by_hand():
    # 5 + 7 = 12 in base 3, least significant first: 21 + 12 -> 5 = (2, 1), 7 = (1, 2), 12 = (0, 1, 1)
    game = token_sum(3, 2, [(5, 7)], "trace", numbers="rational")
    assert digits_of(12, 3, 3) == (0, 1, 1)
    assert game.text(game.prompts[0]) == "2 1 + 1 2 ="
    # the first digit is wrong in 18 of 27 attempts, then the second in 6, then 2 wrong and 1 right reveal the same
    assert dict(zip(game.feedback[0], map(plain, game.law[0]), strict=True)) == {
        "starts 0": Fraction(2, 3),
        "starts 0 1": Fraction(2, 9),
        "starts 0 1 1": Fraction(1, 9),
    }
    k = game.feedback[0].index("starts 0 1")
    assert game.text(game.prompt(0, k, (0,))) == "starts 0 1 2 1 + 1 2 = 0"
    assert game.text(game.prompt(0, prefix=(0,))) == "2 1 + 1 2 = 0"
    assert game.vocabulary[: game.tree.tokens] == ("0", "1", "2")
    teacher = game.teacher(game.policy())
    assert teacher[1, game.state_index(0, k, (0,))].tolist() == [0, 1, 0]
    assert teacher[1, game.state_index(0, k, (1,))].tolist() == [flint.fmpq(1, 3)] * 3  # nothing agrees now


def test_outcome_of_a_sum():
    game = token_sum(2, 1, [(1, 1)], "outcome", numbers="rational")
    assert set(game.feedback[0]) == {"is 0 1", "not 0 0", "not 1 0", "not 1 1"}
    assert [agree.sum() for agree in game.agree[0]] == [3 if "not" in text else 1 for text in game.feedback[0]]
    answer = token_sum(2, 1, [(1, 1)], "answer", numbers="rational")
    assert answer.feedback == (("is 0 1",),)


def test_a_reference_that_is_always_right_leaves_one_value():
    blind = token_sum(2, 1, [(1, 1), (0, 1)], "none")
    answers = {0: (0, 1), 1: (1, 0)}
    perfect = blind.policy(lambda p, x: np.eye(2)[answers[p][len(x)]])
    game = token_sum(2, 1, [(1, 1), (0, 1)], "outcome", reference=perfect)
    assert game.feedback == (("is 0 1",), ("is 1 0",))
    assert not game.mdp.aliased


def test_a_reference_may_depend_on_the_step():
    blind = token_sum(2, 1, [(1, 1)], "none", numbers="rational")
    steady = blind.policy(lambda p, x: ["1/3", "2/3"] if x else ["1/4", "3/4"])
    moody = steady.copy()
    moody[[1, 0, 0], [0, 1, 2]] = ns.convert(
        ["1/5", "4/5"], "rational"
    )  # rows that are never met: prefixes of another length
    games = [token_sum(2, 1, [(1, 1)], "outcome", reference=x, numbers="rational") for x in (steady, moody)]
    assert games[0].law[0].tolist() == games[1].law[0].tolist()
    assert set(map(plain, games[0].law[0])) == {Fraction(1, 12), Fraction(2, 12), Fraction(3, 12), Fraction(6, 12)}


def test_weights_are_the_law_of_the_problems():
    game = token_sum(2, 1, [(1, 1), (0, 1)], "trace", weights=["1/4", "3/4"], numbers="rational")
    at = [sum(game.mdp.initial[game.state_index(p, k, ())] for k in range(2)) for p in range(2)]
    assert list(map(plain, at)) == [Fraction(1, 4), Fraction(3, 4)]


def test_per_token_reward_counts_right_digits():
    game = token_sum(3, 1, [(1, 2), (2, 2)], "trace", reward="per_token", numbers="rational")
    rule = random_rule(5, 3)
    expected = Fraction(0)
    for p, right in enumerate([(0, 1), (1, 1)]):
        for z in itertools.product(range(3), repeat=2):
            expected += chance(rule, p, z) * sum(a == b for a, b in zip(z, right, strict=True)) / 4
    assert plain(solve.expected_return(game.mdp, game.policy(rule))) == expected


def test_default_presets_are_small():
    assert token_sum().mdp.shape == (3, 235, 3)
    assert len(token_sum(feedback="answer").problems) == 6
    assert token_sum(2, 1, feedback="outcome").mdp.shape == (2, 37, 2)
