"""Token MDPs against plain Python: every answer is enumerated, in fractions."""

import itertools
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from distil_theory import number_systems as ns
from distil_theory import solve
from distil_theory.instances.prefixes import PrefixTree
from distil_theory.instances.stack_machine import stack_machine
from distil_theory.instances.token_sum import token_sum
from tests.token_games import GAMES, INSTRUCTIONS, PAIRS, SHOWN, SQUARE, as_set, chance, plain, random_rule


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("own", [False, True], ids=["uniform attempt", "own attempt"])
def test_everything_against_enumeration(name, own):
    make, oracle = GAMES[name]
    blind = make(numbers="rational")
    width = blind.tree.tokens
    attempt = random_rule(7, width)
    if own:  # reference policies live on (problem, prefix)
        none = {"sum": token_sum, "program": stack_machine}[name.split("-")[0]]
        args = {"sum": (3, 1, PAIRS), "program": ((SHOWN, SQUARE), INSTRUCTIONS, 3)}[name.split("-")[0]]
        if name == "program-outcome":
            args = ((SHOWN,), ("DUP", "ADD", "NOP"), 3)
        reference = none(*args, "none", numbers="rational").policy(attempt)
        game = make(numbers="rational", reference=reference)
    else:
        attempt, game = (lambda problem, prefix: [Fraction(1, width)] * width), blind
    rule = random_rule(1, width)
    student = game.policy(rule)
    teacher = game.teacher(student)
    d, v = solve.occupancy(game.mdp, student), solve.values(game.mdp, student)[0]
    expert_v = solve.values(game.mdp, teacher)[0]
    contexts = total = teacher_total = 0
    for p, (right, says) in enumerate(oracle()):
        assert as_set(game, game.right[p]) == right
        law = Counter()
        for y, agree in says.items():
            law[frozenset(agree)] += chance(attempt, p, y)
        found = {as_set(game, mask): plain(q) for mask, q in zip(game.agree[p], game.law[p], strict=True)}
        assert found == law
        assert sum(found.values()) == 1
        for k, mask in enumerate(game.agree[p]):
            contexts += 1
            agree = as_set(game, mask)
            rho = Fraction(1, len(game.problems)) * law[agree]
            for h in range(game.tree.length):
                for prefix in itertools.product(range(width), repeat=h):
                    s = game.state_index(p, k, prefix)
                    assert game.decode(h, s) == (p, k, prefix)
                    assert plain(d[h, s]) == rho * chance(rule, p, prefix)
                    through = {z: chance(rule, p, z) for z in says if z[:h] == prefix}
                    mass = sum(through.values())
                    assert plain(v[h, s]) == sum(q for z, q in through.items() if z in right) / mass
                    good = sum(q for z, q in through.items() if z in agree)
                    for a in range(width):  # Bayes over whole answers
                        onward = sum(q for z, q in through.items() if z in agree and z[h] == a)
                        expected = onward / good if good else rule(p, prefix)[a]
                        assert plain(teacher[h, s, a]) == expected
            s = game.state_index(p, k, ())
            success = sum(chance(rule, p, z) for z in right)
            both = sum(chance(rule, p, z) for z in right & agree)
            assert plain(expert_v[0, s]) == both / sum(chance(rule, p, z) for z in agree)
            total += rho * success
            teacher_total += rho * plain(expert_v[0, s])
    assert plain(solve.expected_return(game.mdp, student)) == total
    assert plain(solve.expected_return(game.mdp, teacher)) == teacher_total
    assert game.mdp.shape[1] == contexts * game.tree.size + 1
    assert game.mdp.aliased == (contexts > len(game.problems))


@pytest.mark.parametrize("name", GAMES)
def test_floats_agree_with_rationals(name):
    exact, floats = GAMES[name][0](numbers="rational"), GAMES[name][0]()
    assert exact.hints == floats.hints
    assert exact.prompts == floats.prompts
    assert ns.name(exact.mdp.transition) == ns.name(exact.mdp.initial) == ns.name(exact.consistent) == "rational"
    assert ns.name(floats.mdp.initial) == "float64"
    for field in ("transition", "reward", "initial"):
        there = ns.convert(getattr(exact.mdp, field), "float64")
        np.testing.assert_allclose(getattr(floats.mdp, field), there, rtol=0, atol=1e-15)
    rule = random_rule(3, exact.tree.tokens)
    pairs = [g.teacher(g.policy(rule)) for g in (exact, floats)]
    np.testing.assert_allclose(pairs[1], ns.convert(pairs[0], "float64"), rtol=1e-12)


def test_building_twice_gives_the_same_and_nothing_can_be_written():
    for make, _ in GAMES.values():
        one, two = make(), make()
        assert (one.vocabulary, one.prompts, one.hints) == (two.vocabulary, two.prompts, two.hints)
        for field in ("transition", "reward", "initial", "observation"):
            np.testing.assert_array_equal(getattr(one.mdp, field), getattr(two.mdp, field))
        for array in (one.consistent, one.law[0], one.right[0], one.agree[0][0]):
            assert not array.flags.writeable


def test_tree_numbers_prefixes_by_length_then_in_order():
    for width, length in ((1, 3), (2, 3), (3, 2)):
        tree = PrefixTree(width, length)
        prefixes = [x for h in range(length + 1) for x in itertools.product(range(width), repeat=h)]
        assert [tree.prefix(i) for i in range(len(prefixes))] == prefixes
        assert [tree.node(x) for x in prefixes] == list(range(len(prefixes)))
        assert tree.finished() == prefixes[tree.size :]
        assert len(tree.finished()) == tree.answers


def test_the_last_state_is_the_end():
    game = token_sum(2, 1, [(1, 1)], "trace")
    end = game.mdp.shape[1] - 1
    assert (game.mdp.transition[:, end, :, end] == 1).all()
    assert (game.mdp.transition[:, [game.state_index(0, 1, (0,))], :, end] == 1).all()
    assert (game.mdp.reward[:, end] == 0).all()
    assert game.mdp.initial[end] == 0
    for h, s in ((0, end), (0, 1), (1, 0)):
        with pytest.raises(ValueError, match=f"state {s} is never met at step {h}"):
            game.decode(h, s)
