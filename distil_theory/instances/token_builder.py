"""From prompts, right answers and a verifier to a token MDP: every first attempt is enumerated and judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import validate
from distil_theory.instances.prefixes import PrefixTree
from distil_theory.instances.token_mdp import TokenMDP
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP

MOST_ANSWERS = 4096
"""Answers `A^H` that are enumerated: the feedback on every first attempt is worked out."""
MOST_ENTRIES = 2**23
"""Entries `S A S'` of a dense transition: 64 MiB of floats."""


class Problem(NamedTuple):
    """A prompt, as words; which answers are right, booleans `(answers,)`; what each token earns, `(prefixes, tokens)`
    (`None`: 1 for finishing a right answer)."""

    name: str
    prompt: tuple[str, ...]
    right: np.ndarray
    reward: Any = None


Verdict = tuple[tuple[str, ...], np.ndarray]
"""What a verifier says, as words, and the answers that agree with it, booleans `(answers,)`."""


class Said(NamedTuple):
    """One of several things that a verifier may say: words, the likelihood of hearing this for each wanted answer
    `(answers,)` (booleans, or exact numbers `>= 0` up to a factor), and the chance of its being said."""

    words: tuple[str, ...]
    likelihood: np.ndarray
    chance: Any


class Rules(NamedTuple):
    """What a game is, before anything is enumerated.

    Attributes:
        words: text of the tokens; the first `tree.tokens` are the actions.
        tree: the prefixes.
        problems: prompts, right answers and rewards.
        verdict: of a problem's index and a first attempt: what the verifier says, or a list of what it may say, with
            chances that sum to one. Of several wordings of one set (or likelihood) the shortest is kept.
        halt: token that ends an answer early; the verifier must not care for what is written after it.
    """

    words: Sequence[str]
    tree: PrefixTree
    problems: Sequence[Problem]
    verdict: Callable[[int, tuple[int, ...]], Verdict | list[Said]]
    halt: int | None = None


def build(rules: Rules, *, reference: Array | None = None, weights: Any = None, numbers: str = "float64") -> TokenMDP:
    """A token MDP from its problems and its verifier.

    Args:
        rules: the game.
        reference: who makes the first attempt: a policy `(H,O,A)` over (problem, prefix), that is, one of the same
            MDP without feedback; default: uniform tokens.
        weights: law of the problems; default: uniform.
        numbers: `"float64"` or `"rational"`.

    Raises:
        ValueError: bad sizes, reference, weights or number system; the message says what and where.
    """
    words, tree, problems, _, halt = rules
    pair = ns.convert([0, 1], _check_numbers(numbers))
    check_size(tree)
    count = len(problems)
    rho = _array("weights", [f"1/{count}"] * count if weights is None else weights, numbers)
    validate.shape("weights", rho, [count], ["problem"])
    validate.distribution("weights", rho, ["problem"], 0)
    first = _reference(reference, tree, count, numbers)
    laws = [tree.law(first, p * tree.size) for p in range(count)]
    values, heard_after = heard(rules, laws, numbers)
    table = [list(value.values()) for value in values]
    says = [np.full((len(value), tree.answers), pair[0]) for value in values]
    for matrix, heard_of in zip(says, heard_after, strict=True):
        for row, attempts in zip(matrix, heard_of.values(), strict=True):
            row[np.array(list(attempts))] = list(attempts.values())
    contexts = [(p, agree) for p, value in enumerate(table) for _, agree, _ in value]
    states, end = len(contexts) * tree.size + 1, len(contexts) * tree.size
    if states**2 * tree.tokens > MOST_ENTRIES:
        raise ValueError(
            f"{len(contexts)} values of problem and feedback with {tree.size} prefixes make {states} states and a "
            f"transition of {states**2 * tree.tokens} entries, more than {MOST_ENTRIES}: take fewer or shorter problems"
        )
    node = np.arange(end)[:, None] % tree.size
    child = tree.tokens * node + 1 + np.arange(tree.tokens)
    after = np.full((states, tree.tokens), end)
    after[:end] = np.where(child < tree.size, np.arange(end)[:, None] - node + child, end)
    nothing = pair[np.zeros((1, tree.tokens), dtype=int)]  # at the end there is nothing to earn
    rewards = [tree.at_the_end(x.right) if x.reward is None else x.reward for x in problems]
    reward = np.concatenate([*(ns.convert(rewards[p], numbers) for p, _ in contexts), nothing])
    consistent = np.concatenate([*(_judged(tree, agree, pair, numbers) for _, agree in contexts), nothing])
    initial = np.full(states, pair[0])
    initial[: end : tree.size] = [rho[p] * chance for p, value in enumerate(table) for _, _, chance in value]
    seen = np.append(np.concatenate([p * tree.size + np.arange(tree.size) for p, _ in contexts]), count * tree.size)
    ids = {word: i for i, word in enumerate(words)}
    return TokenMDP(
        mdp=TabularMDP(pair[np.eye(states, dtype=int)[after]], reward, initial, tree.length, seen),
        consistent=ns.broadcast_to(consistent[None], (tree.length, *consistent.shape)),
        tree=tree,
        vocabulary=tuple(words),
        problems=tuple(x.name for x in problems),
        prompts=tuple(tuple(ids[word] for word in x.prompt) for x in problems),
        hints=tuple(tuple(tuple(ids[word] for word in said) for said, _, _ in value) for value in table),
        law=tuple(_frozen(np.array([chance for _, _, chance in value])) for value in table),
        right=tuple(_frozen(x.right) for x in problems),
        agree=tuple(tuple(_frozen(np.asarray(agree != 0)) for _, agree, _ in value) for value in table),
        says=tuple(_frozen(matrix) for matrix in says),
        halt=halt,
    )


_Heard = dict[Any, tuple[tuple[str, ...], np.ndarray, Any]]  # one hidden value per revealed set


def heard(rules: Rules, laws: Sequence[Array], numbers: str) -> tuple[list[_Heard], list[dict[Any, dict[int, Any]]]]:
    """What the verifier says of first attempts drawn from `laws (answers,)`, per problem: each value as `{set: (words,
    set, probability)}`, and how likely it is after each attempt."""
    tree, verdict = rules.tree, rules.verdict
    zero, one = ns.convert([0, 1], numbers)
    values: list[_Heard] = [{} for _ in rules.problems]
    heard_after: list[dict[Any, dict[int, Any]]] = [{} for _ in rules.problems]
    for p, (value, law) in enumerate(zip(values, laws, strict=True)):
        for i, (y, chance) in enumerate(zip(tree.finished(), law, strict=True)):
            if chance != 0:
                told = verdict(p, y)
                for said, agree, share in [Said(*told, None)] if isinstance(told, tuple) else told:
                    key = agree.tobytes() if agree.dtype == bool else tuple(agree)
                    known = value.get(key, (said, agree, chance * 0))
                    once = one if share is None else ns.convert(share, numbers)[()]
                    value[key] = (min(said, known[0], key=len), agree, known[2] + chance * once)
                    attempts = heard_after[p].setdefault(key, {})
                    attempts[i] = attempts.get(i, zero) + once
    return values, heard_after


def _judged(tree: PrefixTree, likelihood: np.ndarray, pair: Array, numbers: str) -> Array:
    """The likelihood of each finished answer at its last token, `(size, tokens)`; `pair` are 0 and 1."""
    if likelihood.dtype == bool:
        return pair[tree.at_the_end(likelihood)]
    table = pair[np.zeros((tree.size, tree.tokens), dtype=int)]
    table[tree.start(tree.length - 1) :] = ns.convert(likelihood, numbers).reshape(-1, tree.tokens)
    return table


def check_size(tree: PrefixTree) -> None:
    """Raises `ValueError` if there are too many answers to enumerate."""
    if tree.length > np.log2(MOST_ANSWERS) or tree.answers > MOST_ANSWERS:  # the length first: powers grow long
        raise ValueError(f"{tree.tokens} tokens and {tree.length} steps: at most {MOST_ANSWERS} answers are enumerated")


def check_choice(what: str, value: Any, choices: Sequence[str]) -> None:
    """Raises `ValueError` unless `value` is one of the choices."""
    if value not in choices:
        raise ValueError(f"unknown {what} {value!r}: choose from {', '.join(choices)}")


def _check_numbers(numbers: str) -> str:
    check_choice("number system", numbers, ("float64", "rational"))
    return numbers


def _array(what: str, x: Any, numbers: str) -> Array:
    """`x` in the number system; a `ValueError` that names it if it has no exact value there."""
    try:
        return ns.convert(x, numbers)
    except (TypeError, ValueError, ZeroDivisionError) as bad:
        raise ValueError(f"{what}: {bad}") from None


def _frozen(x: np.ndarray) -> np.ndarray:
    """A view that cannot be written to."""
    view = x.view()
    view.flags.writeable = False
    return view


def _reference(reference: Any, tree: PrefixTree, problems: int, numbers: str) -> Array:
    """The reference student `(H,O,A)`, checked."""
    rows = problems * tree.size + 1
    if reference is None:
        one = ns.convert([[[f"1/{tree.tokens}"] * tree.tokens]], numbers)
        return ns.broadcast_to(one, (tree.length, rows, tree.tokens))
    reference = _array("reference", reference, numbers)
    validate.shape("reference", reference, [tree.length, rows, tree.tokens], ["h", "o", "a"])
    validate.distribution("reference", reference, ["h", "o", "a"], 2)
    return reference
