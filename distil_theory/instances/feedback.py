r"""Rich feedback as a channel: what a verifier says of a first attempt, how often it errs, what a reader makes of it.

A first attempt `y` is judged. If `z` were the answer that is wanted, a faithful verifier would say `m(y, z)`:

=================== ======================================================================== =======================
kind                `m(y, z)`                                                                with several right ones
=================== ======================================================================== =======================
`none`              nothing
`outcome`           whether `y = z`                                                          whether `y` is right
`self_evaluation`   the same; "right" of a wrong attempt with probability `false_positive`,  the same
                    "wrong" of a right one with probability `false_negative`
`answer`            `z`                                                                      all right answers
`solution`          `z`                                                                      the first of them
`trace`             *where* `y` first goes wrong                                             where none goes on
`critique`          *what* should stand there                                                the same
`trace_critique`    where, and what                                                          the same
=================== ======================================================================== =======================

With probability `noise` the verifier has looked up the wrong answer, a random one, and judges by that. With probability
`1 - fraction` it says nothing, each time anew. The teacher knows all this, so what it hears, `F`, has a *likelihood*

    l_F(z) = P(F | attempt y, z is wanted) = (1 - noise) 1[m(y,z) = F] + noise (share of answers z' with m(y,z') = F),

and it takes its own law of answers for the prior of what is wanted: `pi*(z | F) ∝ pi(z) l_F(z)`, exactly, token by
token (`token_mdp`, `consistent`). Without noise `l_F` is the indicator of a set, `noise = 1` or `fraction = 0` makes
the teacher the student. With *one* right answer this is Bayes' rule; with several a teacher that takes one for all
("the attempt is right, so nothing else is") can be misled: claim 19 holds if `l_F` is largest on all right answers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from distil_theory import number_systems as ns
from distil_theory.instances.prefixes import PrefixTree
from distil_theory.instances.token_builder import Problem, Rules, Said, build, check_choice
from distil_theory.instances.token_mdp import TokenMDP
from distil_theory.number_systems import Array

KINDS = ("none", "outcome", "self_evaluation", "answer", "solution", "trace", "critique", "trace_critique")
QUIET = ("none", "outcome", "self_evaluation")
"""Kinds that look up no answer, so `noise` has nothing to spoil."""
WORDS = ("tried", ":", "right", "wrong", "is", "at", "should", "be")


@dataclass(frozen=True)
class Feedback:
    """A kind of feedback with its dials; each a number in [0,1], exact if given as a string or fraction (`"1/10"`).

    Raises:
        ValueError: an unknown kind, a dial out of range, or one that the kind has not got.
    """

    kind: str = "trace"
    noise: Any = 0
    false_positive: Any = 0
    false_negative: Any = 0
    fraction: Any = 1

    def __post_init__(self) -> None:
        check_choice("feedback", self.kind, KINDS)
        for what in ("noise", "false_positive", "false_negative", "fraction"):
            object.__setattr__(self, what, _dial(what, getattr(self, what)))
        if self.noise and self.kind in QUIET:
            raise ValueError(f"noise is a wrong answer looked up; {self.kind!r} looks up none")
        if (self.false_positive or self.false_negative) and self.kind != "self_evaluation":
            raise ValueError(f"false positives and negatives are those of 'self_evaluation', not of {self.kind!r}")

    def verdict(
        self, tree: PrefixTree, right: np.ndarray, names: tuple[str, ...], halt: int | None = None
    ) -> Callable[..., list[Said]]:
        """What is said of a first attempt `y`: a function for `token_builder.build`, of one problem.

        Args:
            tree: the answers.
            right: booleans `(answers,)`.
            names: words of the tokens.
            halt: token that ends an answer; what follows does not count.
        """
        every = np.array(tree.finished())
        if halt is not None:
            every = np.where(np.logical_or.accumulate(every == halt, axis=1), halt, every)

        def says(y: tuple[int, ...]) -> list[Said]:
            said: list[Said] = []
            if self.kind != "none" and self.fraction:
                truth, heard, words = _messages(self.kind, every, right, every[tree.node(y) - tree.size], names)
                said = self._channel(truth, heard, words)
            silence = 1 - self.fraction * bool(said)
            said = [x._replace(chance=x.chance * self.fraction) for x in said]
            return [*said, Said((), np.ones(len(every), dtype=bool), silence)] if silence else said

        return says

    def _channel(self, truth: Hashable, heard: list[Hashable], words: Callable[[Any], tuple[str, ...]]) -> list[Said]:
        """The messages that may arrive, where `truth` is meant and each answer would call for `heard[z]`."""
        number = {m: n for n, m in enumerate(dict.fromkeys([truth, *heard]))}
        place = np.array([number[m] for m in heard])
        wrong: dict[Any, Fraction] = {True: self.false_negative, False: self.false_positive}  # of a right attempt, ...
        out = []
        for message, n in number.items():
            called_for = place == n
            # chance of hearing it where it is called for, and where it is not
            if self.kind == "self_evaluation":
                hit, miss = 1 - wrong[message], wrong[not message]
            else:
                miss = self.noise * Fraction(int(called_for.sum()), len(place))
                hit = 1 - self.noise + miss
            chance = hit if message == truth else miss
            if chance:
                likely = np.array([miss, hit]) / max(hit, miss)
                if set(likely) <= {0, 1}:
                    likely = likely.astype(bool)  # a set of answers
                out.append(Said(words(message), likely[called_for.astype(int)], chance))
        return out


def with_feedback(game: TokenMDP, feedback: Feedback, *, reference: Array | None = None) -> TokenMDP:
    """The same problems, prompts and rewards with another feedback; in the number system of the game.

    Args:
        game: a token MDP, whatever its feedback.
        feedback: what the verifier says.
        reference: who makes the first attempt, `(H,O,A)` over (problem, prefix); default: uniform.

    Raises:
        ValueError: as `token_builder.build`.
    """
    if not isinstance(game, TokenMDP):
        raise ValueError(f"feedback needs a TokenMDP, not {type(game).__name__}")
    if not isinstance(feedback, Feedback):
        raise ValueError(f"feedback must be a Feedback, not {feedback!r}")
    tree, numbers = game.tree, ns.name(game.mdp.initial)
    names = game.vocabulary[: tree.tokens]
    positions = tuple(str(i + 1) for i in range(tree.length))
    words = tuple(dict.fromkeys((*game.vocabulary, *WORDS, *positions)))
    rules = [feedback.verdict(tree, right, names, game.halt) for right in game.right]
    problems, weights = [], []
    for p, name in enumerate(game.problems):
        first = game.state_index(p, 0, ())
        roots = [game.state_index(p, f, ()) for f in range(len(game.hints[p]))]
        prompt = tuple(game.vocabulary[i] for i in game.prompts[p])
        problems.append(Problem(name, prompt, game.right[p], game.mdp.reward[0, first : first + tree.size]))
        weights.append(sum(game.mdp.initial[s] for s in roots[1:]) + game.mdp.initial[roots[0]])
    law = np.array(weights)

    def says(p: int, y: tuple[int, ...]) -> list[Said]:
        return rules[p](y)

    return build(Rules(words, tree, problems, says, game.halt), reference=reference, weights=law, numbers=numbers)


def _messages(
    kind: str, every: np.ndarray, right: np.ndarray, y: np.ndarray, names: tuple[str, ...]
) -> tuple[Hashable, list[Hashable], Callable[[Any], tuple[str, ...]]]:
    """The message that is true of `y`, the one that each answer would call for, and their words."""
    if not right.any():
        raise ValueError("a problem has no right answer: nothing true can be said of an attempt")
    same, tried = every == y, ("tried", *(names[a] for a in y), ":")
    if kind in ("outcome", "self_evaluation"):
        return (
            bool(right[same.all(axis=1)][0]),
            same.all(axis=1).tolist(),
            lambda m: (*tried, "right" if m else "wrong"),
        )
    if kind in ("answer", "solution"):
        shown = int(np.argmax(right))
        group = right if kind == "answer" else (every == every[shown]).all(axis=1)
        heard: list[Hashable] = [tuple(every[shown if group[z] else z]) for z in range(len(every))]
        return tuple(every[shown]), heard, lambda m: ("is", *(names[a] for a in m))
    where = np.where(same.all(axis=1), every.shape[1], same.argmin(axis=1))
    nearest = int(np.flatnonzero(right & (where == where[right].max()))[0])

    def message(z: int) -> Hashable:
        i = int(where[z])
        if i == every.shape[1]:
            return None
        return {"trace": (i, None), "critique": (None, int(every[z, i])), "trace_critique": (i, int(every[z, i]))}[kind]

    def words(m: Any) -> tuple[str, ...]:
        if m is None:
            return (*tried, "right")
        i, a = m
        place = ("wrong", "at", str(i + 1)) if i is not None else ()
        return (*tried, *place, *(("should", "be", names[a]) if a is not None else ()))

    return message(nearest), [message(z) for z in range(len(every))], words


def _dial(what: str, x: Any) -> Fraction:
    """A number in [0,1] as a fraction; a float is read as it is written."""
    try:
        if isinstance(x, bool | None):
            raise TypeError
        value = Fraction(str(x))
    except (TypeError, ValueError, ZeroDivisionError):
        raise ValueError(f"{what} must be a number between 0 and 1, not {x!r}") from None
    if not 0 <= value <= 1:
        raise ValueError(f"{what} must be a number between 0 and 1, not {x!r}")
    return value
