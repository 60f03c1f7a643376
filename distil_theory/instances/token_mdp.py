r"""Token MDPs: the states are prefixes, the actions are tokens, and feedback is something that only the teacher reads.

A language model that answers a prompt in `H` tokens *is* a finite-horizon MDP: the state is the prompt and the prefix
written so far, an action appends a token, and the reward judges the finished answer. Here prompts, tokens and answers
are so few that every prefix is a row of a table. `token_sum` and `stack_machine` each build one.

*Rich feedback.* Before the episode a reference student makes a first attempt `y`, and a verifier says something about
it: "wrong", "the second digit should be 2", "on input 3 the output should be 6". What it says is a function of `y`, it
is fixed when the episode starts, and the student never sees it: it is *hidden state*. All that it reveals about the
answer is a set `C` of answers that agree with it, so attempts that reveal the same set share one hidden value, and
`initial` is (law of the problems) x (exact law of that value): the attempts are enumerated.

*The feedback-conditioned self-teacher* is the student that has read the feedback: its answers conditioned on `C`,

    pi*(a|prefix) = pi(a|prefix) Q^C / V^C,   Q^C, V^C: probability that the finished answer lies in C,

and `pi* = pi` where `V^C = 0`. Along a whole answer `z` its ratios multiply to `Lambda(z) = 1[z in C] / P_pi(C)`.

*Truthful feedback is harmless, narrow feedback is not.* Let rewards be non-negative. If `C` holds every answer that
earns something (call it truthful), then `Lambda >= 1` wherever the reward is positive, and the natural step on the
local loss of forward KL, reverse KL, Jensen-Shannon and Hellinger improves at a rate of at least

    h'(1) sum over problems and feedback of (their probability) x J(problem) log( 1 / P_pi(C) ) >= 0,

hidden or not: along rollouts the rate is `E_pi[ R sum_t (h(u_t) - E_pi h(u_t)) ]` (given the prefix, feedback is
independent of what the student does, so hiding it averages over it and no more), `E_pi h(u) <= h(1)` with equality for
forward KL, `h(u) - h(1) >= h'(1) log u` for these `h`, and the logs add up to `log Lambda`. (Where claim 9 fails with
hidden state, that state decides which answers are right; here the student sees the problem.) So nothing can go wrong
until a teacher abandons answers that are right: shown *one* right program, it takes all others for wrong. (A teacher
that trusts its feedback to a share `t` only, `t pi* + (1 - t) pi`, keeps the bound times `t`; reverse KL needs `t < 1`,
for `pi*` has zeros.)

*Shape.* States are (context, prefix) for prefixes of all lengths, a context being a problem with one value of its
feedback, and one last state `end`. Prefixes of all lengths are `A/(A-1)` times as many as the longest alone, but the
transition then does not depend on the step: `S^2 A` entries with `(A/(A-1))^2` in place of a factor `H`, a state means
one thing at every step, and no row is padding. Policies are still `(H,S,A)`; at `(h, s)` only prefixes of length `h`
are ever met.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from distil_theory import experts, solve, validate
from distil_theory import number_systems as ns
from distil_theory.instances.names import Names
from distil_theory.instances.prefixes import PrefixTree
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP


class Place(NamedTuple):
    """What a state stands for: indices of problem and feedback, and the tokens written so far."""

    problem: int
    feedback: int
    prefix: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class TokenMDP:
    """A token MDP with its encodings.

    Attributes:
        mdp: the problem `(H, S, A)`; the student observes (problem, prefix), not the feedback.
        consistent: reward `(H,S,A)`: 1 for finishing an answer that agrees with the feedback; if what is said may be
            wrong, its likelihood for that answer, up to a factor (`feedback`).
        tree: the prefixes.
        vocabulary: text of every token id; the first `A` are the actions, the others occur in prompts and feedback.
        problems: a name each.
        prompts: token ids that the student reads, per problem.
        hints: token ids that only the teacher reads, per problem and feedback.
        law: probability of each feedback given the problem, an array per problem.
        right: answers that are right, booleans `(answers,)` per problem.
        agree: answers that agree (that the feedback does not rule out), booleans `(answers,)` per problem and feedback.
        says: probability of each feedback for each first attempt, `(values, answers)` per problem; an attempt that the
            reference never makes has zeros.
        halt: token that ends an answer early, if there is one; what is written after it does not count.
    """

    mdp: TabularMDP
    consistent: Array
    tree: PrefixTree
    vocabulary: tuple[str, ...]
    problems: tuple[str, ...]
    prompts: tuple[tuple[int, ...], ...]
    hints: tuple[tuple[tuple[int, ...], ...], ...]
    law: tuple[Array, ...]
    right: tuple[np.ndarray, ...]
    agree: tuple[tuple[np.ndarray, ...], ...]
    says: tuple[Array, ...] = ()
    halt: int | None = None

    @property
    def feedback(self) -> tuple[tuple[str, ...], ...]:
        """Text of the feedback, per problem."""
        return tuple(tuple(self.text(hint) for hint in hints) for hints in self.hints)

    def text(self, ids: Sequence[int]) -> str:
        """Token ids as words with spaces."""
        return " ".join(self.vocabulary[i] for i in ids)

    def prompt(self, problem: int, feedback: int | None = None, prefix: Sequence[int] = ()) -> tuple[int, ...]:
        """Token ids of a model's input: feedback if given (the teacher's view), prompt, prefix.

        Raises:
            ValueError: no such problem, feedback or prefix.
        """
        self.state_index(problem, feedback or 0, prefix)
        return (*(() if feedback is None else self.hints[problem][feedback]), *self.prompts[problem], *prefix)

    def state_index(self, problem: int, feedback: int, prefix: Sequence[int]) -> int:
        """The state `s` of a problem, a feedback value and an unfinished prefix of tokens.

        Raises:
            ValueError: no such problem, feedback or prefix; the message says which.
        """
        context = self._first_context(problem) + _index("feedback", feedback, len(self.hints[problem]))
        if len(prefix) >= self.tree.length:
            raise ValueError(
                f"prefix {tuple(prefix)} is a finished answer: states are prefixes below {self.tree.length}"
            )
        for i, token in enumerate(prefix):
            _index(f"token {i} of the prefix", token, self.tree.tokens)
        return context * self.tree.size + self.tree.node(prefix)

    def decode(self, h: int, s: int) -> Place:
        """What state `s` stands for at step `h`; the inverse of `state_index`.

        Raises:
            ValueError: no such step or state, or one that is never met at step `h`.
        """
        h, s = _index("step", h, self.tree.length), _index("state", s, self.mdp.shape[1])
        context, node = divmod(s, self.tree.size)
        for p, hints in enumerate(self.hints):
            if context < len(hints) and len(prefix := self.tree.prefix(node)) == h:
                return Place(p, context, prefix)
            context -= len(hints)
        raise ValueError(f"state {s} is never met at step {h}: it is the end, or a prefix of another length")

    def policy(self, rule: Callable[[int, tuple[int, ...]], Sequence[Any]] | None = None) -> Array:
        """A student `(H,S,A)` in the number system of the MDP.

        Args:
            rule: of problem and prefix (both as indices): the probabilities of the `A` tokens, exact numbers as
                strings or rationals if the MDP is exact. `None`: uniform.

        Raises:
            ValueError: a row is no distribution.
        """
        steps, states, tokens = self.mdp.shape
        uniform = [f"1/{tokens}"] * tokens
        prefixes = [self.tree.prefix(i) for i in range(self.tree.size)]
        places = [(p, x) for p in range(len(self.problems)) for x in prefixes]
        rows = [list(rule(p, x)) if rule else uniform for p, x in places]
        for place, row in zip(places, rows, strict=True):
            if len(row) != tokens:
                raise ValueError(
                    f"the rule gives {len(row)} probabilities at (problem, prefix) = {place}, not {tokens}"
                )
        # the end has a row too
        table = ns.convert([*rows, uniform], ns.name(self.mdp.initial))[self.mdp.observation]
        return solve.check_policy(self.mdp, ns.broadcast_to(table[None], (steps, states, tokens)), "student")

    def teacher(self, student: Array) -> Array:
        """The student that has read the feedback, `pi Q^C / V^C`, shape `(H,S,A,*B)`; `pi` where nothing it could
        still write agrees.

        Raises:
            ValueError: the student does not fit the MDP.
        """
        return experts.success_conditioned(self.judged, student)

    @property
    def names(self) -> Names:
        """Words for states (prompt and text so far), actions (tokens) and what only the teacher reads (feedback)."""
        places = [(p, f) for p, hints in enumerate(self.hints) for f in range(len(hints))]
        prefixes = [self.text(self.tree.prefix(i)) for i in range(self.tree.size)]
        views = [f"{self.text(self.prompts[p])} > {prefix}".rstrip() for p, _ in places for prefix in prefixes]
        feedback = [self.feedback[p][f] for p, f in places for _ in prefixes]
        states = (*views, "finished")
        seen = dict(zip(self.mdp.observation.tolist(), states, strict=True))
        actions = self.vocabulary[: self.tree.tokens]
        return Names(states, (actions,) * len(states), tuple(seen[o] for o in sorted(seen)), (*feedback, ""))

    @property
    def halted(self) -> np.ndarray:
        """Whether the answer has ended before its last token, booleans `(S,)`; `end` has."""
        prefixes = [self.tree.prefix(i) for i in range(self.tree.size)]
        ended = [self.halt in prefix for prefix in prefixes] if self.halt is not None else [False] * len(prefixes)
        return np.append(np.tile(ended, self.mdp.shape[1] // self.tree.size), True)

    @cached_property
    def judged(self) -> TabularMDP:
        """The same MDP with the reward `consistent`."""
        return replace(
            self.mdp, transition=self.mdp.transition[0], reward=self.consistent[0], horizon=self.mdp.shape[0]
        )

    def _first_context(self, problem: int) -> int:
        return sum(len(hints) for hints in self.hints[: _index("problem", problem, len(self.problems))])


def _index(what: str, i: Any, length: int) -> int:
    """`i` as an index below `length`."""
    i = validate.whole(what, i, 0)
    if i >= length:
        raise ValueError(f"{what} is {i}: out of range 0..{length - 1}")
    return i
