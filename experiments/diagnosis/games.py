r"""Token games with a student and a teacher, of which every rollout and every rate is known exactly.

A *context* is what a group of rollouts shares: a prompt, with one value of the feedback that only the teacher reads.
The states of context `c` are the prefixes of its tree, `c * size + node`, then one last state `end`, as in
`instances.token_mdp`; so a rollout's tokens say where it has been, which is all that a log has. `unfolded` brings
forks and chains, in which paths meet again, into this form.

The teacher is trusted to a share, `trust teacher + (1 - trust) student`: the dial from mild to heavy weights. Instances
that chose the thresholds of the warnings (`TUNED`) and those that judge them (`HELD_OUT`) are different ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from distil_theory import experts, instances, trajectories
from distil_theory.instances.base import Instance
from distil_theory.instances.prefixes import PrefixTree
from distil_theory.instances.stack_machine import DOUBLE, SQUARE, stack_machine
from distil_theory.instances.token_mdp import TokenMDP
from distil_theory.instances.token_sum import token_sum
from distil_theory.spec import TabularMDP

MOST_STATES = 1500


@dataclass(frozen=True, eq=False)
class Game:
    """A token game: `mdp (H,S,A)` in float64 whose states are contexts times prefixes, `student` and `teacher`
    `(H,S,A)`."""

    name: str
    mdp: TabularMDP
    student: np.ndarray
    teacher: np.ndarray

    @property
    def contexts(self) -> np.ndarray:
        """The first state of each context that may be drawn, `(C,)`."""
        return np.flatnonzero(self.mdp.initial)

    def trusted(self, share: float) -> Game:
        """The same game, its teacher trusted to a share; exactly the student where it is so up to rounding."""
        teacher = experts.ema(self.student, self.teacher, share)
        same = abs(teacher - self.student) <= 1e-12 * self.student  # total variation has a kink there
        return Game(self.name, self.mdp, self.student, np.where(same, self.student, teacher))

    def alone(self, context: int) -> TabularMDP:
        """The problem of one context, without the others; the student is told which."""
        start = np.eye(self.mdp.shape[1])[context]
        return TabularMDP(self.mdp.transition[0], self.mdp.reward[0], start, self.mdp.shape[0])

    @cached_property
    def every(self) -> Every:
        """All rollouts."""
        return Every.of(self)


@dataclass(frozen=True, eq=False)
class Every:
    """All `N` rollouts of a game, context after context.

    Attributes:
        context: which of the contexts, `(N,)`; `law`: probability of each context, `(C,)`.
        chance: of the rollout given its context, `(N,)`; `reward`: `(N,)`.
        tokens, student, teacher: the tokens, and their log-probabilities, `(N,H)`.
        student_full, teacher_full: log-probabilities of all tokens on the way, `(N,H,A)`.
    """

    context: np.ndarray
    law: np.ndarray
    chance: np.ndarray
    reward: np.ndarray
    tokens: np.ndarray
    student: np.ndarray
    teacher: np.ndarray
    student_full: np.ndarray
    teacher_full: np.ndarray

    @classmethod
    def of(cls, game: Game) -> Every:
        """Enumerated by `trajectories`."""
        every = trajectories.enumerate_all(game.mdp)
        place = np.searchsorted(game.contexts, every.states[0])
        law = game.mdp.initial[game.contexts]
        with np.errstate(divide="ignore"):
            full = [np.log(np.moveaxis(every.along(p, actions=False), 0, 1)) for p in (game.student, game.teacher)]
        tokens = every.actions.T
        taken = [np.take_along_axis(x, tokens[..., None], axis=2)[..., 0] for x in full]
        chance = trajectories.probability(game.mdp, game.student, every) / law[place]
        return cls(place, law, chance, trajectories.returns(game.mdp, every), tokens, *taken, *full)

    @cached_property
    def ratio(self) -> np.ndarray:
        """`Lambda`, teacher over student of the whole rollout, `(N,)`."""
        return np.exp((self.teacher - self.student).sum(axis=1))

    def mean(self, x: np.ndarray) -> np.ndarray:
        """`E[x | context]`, `(C,)`, of `x (N,)`."""
        return np.bincount(self.context, self.chance * x, len(self.law))

    def draw(self, groups: int | tuple[int, ...], size: int, rng: np.random.Generator) -> np.ndarray:
        """Places `(*groups, size)` of rollouts, those of a group from one context."""
        edges = np.append(0.0, self.chance.cumsum())
        first = np.searchsorted(self.context, np.arange(len(self.law) + 1))
        start, end = edges[first[:-1]], edges[first[1:]]
        context = rng.choice(len(self.law), size=groups, p=self.law)[..., None]
        u = rng.random((*np.atleast_1d(groups), size))
        found = np.searchsorted(edges, start[context] + u * (end - start)[context], side="right") - 1
        return np.clip(found, first[context], first[context + 1] - 1)  # rounding at the edges


def unfolded(mdp: TabularMDP, *policies: np.ndarray) -> tuple[Any, ...]:
    """A problem without chance, and policies `(H,S,A)` in it, on the tree of its tokens; float64.

    Raises:
        ValueError: a transition left to chance.
    """
    steps, _, tokens = mdp.shape
    tree, starts = PrefixTree(tokens, steps), np.flatnonzero(mdp.initial)
    if not np.isin(mdp.transition, (0, 1)).all():
        raise ValueError("the tree of the tokens says where one is only if nothing is left to chance")
    after = mdp.transition.argmax(axis=3)
    end = len(starts) * tree.size
    where = np.zeros((len(starts), tree.size), dtype=int)
    depth = np.zeros(tree.size, dtype=int)
    where[:, 0] = starts
    for node in range(1, tree.size):
        parent, token = divmod(node - 1, tokens)
        depth[node] = depth[parent] + 1
        where[:, node] = after[depth[parent], where[:, parent], token]
    child = tokens * np.arange(tree.size)[:, None] + 1 + np.arange(tokens)
    successor = np.full((end + 1, tokens), end)
    for c in range(len(starts)):
        successor[c * tree.size :][: tree.size] = np.where(child < tree.size, c * tree.size + child, end)
    reward = np.zeros((end + 1, tokens))
    reward[:end] = mdp.reward[depth, where].reshape(end, tokens)
    initial = np.zeros(end + 1)
    initial[: end : tree.size] = mdp.initial[starts]
    tables = []
    for policy in policies:
        table = np.full((end + 1, tokens), 1 / tokens)
        table[:end] = policy[depth, where].reshape(end, tokens)
        tables.append(np.broadcast_to(table, (steps, *table.shape)))
    return TabularMDP(np.eye(end + 1)[successor], reward, initial, steps), *tables


def of_instance(instance: Instance) -> Game:
    """A named instance without chance."""
    floats = instance.convert("float64")
    return Game(instance.name, *unfolded(floats.mdp, floats.student, floats.expert))


def of_token_mdp(name: str, game: TokenMDP, seed: int, skill: float, spread: float = 1.0) -> Game:
    """A token MDP with a random student, to a share of `skill` conditioned on success, and its own teacher."""
    rng = np.random.default_rng(seed)
    weights = np.exp(spread * rng.normal(size=(game.mdp.observations, game.mdp.shape[2])))
    rows = (weights / weights.sum(axis=1, keepdims=True))[game.mdp.observation]
    habits = np.broadcast_to(rows, game.mdp.shape)
    student = experts.ema(habits, experts.success_conditioned(game.mdp, habits, privileged=False), skill)
    return Game(name, game.mdp, student, game.teacher(student))


def random_tree(name: str, contexts: int, tokens: int, steps: int, seed: int, rare: float, spread: float) -> Game:
    """Random prompts: every answer earns a random sum of its tokens' rewards; random student and teacher.

    Args:
        name: of the game.
        contexts, tokens, steps: `C`, `A`, `H`.
        seed: of everything.
        rare: rewards are this power of uniform numbers.
        spread: parameter of the Dirichlet laws of both policies: small ones make rare tokens.
    """
    rng = np.random.default_rng(seed)
    tree = PrefixTree(tokens, steps)
    states = contexts * tree.size + 1
    child = tokens * np.arange(tree.size)[:, None] + 1 + np.arange(tokens)
    offset = np.arange(contexts)[:, None, None] * tree.size
    successor = np.full((states, tokens), states - 1)
    successor[:-1] = np.where(child < tree.size, offset + child, states - 1).reshape(-1, tokens)
    reward = np.zeros((states, tokens))
    reward[:-1] = rng.random((states - 1, tokens)) ** rare / steps
    initial = np.zeros(states)
    initial[: -1 : tree.size] = rng.dirichlet(np.full(contexts, 5.0))
    student, teacher = (rng.dirichlet(np.full(tokens, spread), states) * 0.97 + 0.03 / tokens for _ in range(2))
    mdp = TabularMDP(np.eye(states)[successor], reward, initial, steps)
    return Game(name, mdp, *(np.broadcast_to(x, mdp.shape) for x in (student, teacher)))


def one_way() -> TokenMDP:
    """Double and square; the teacher is shown the solution that begins with NOP."""
    tasks = (DOUBLE._replace(solution=("NOP", "DUP", "ADD")), SQUARE._replace(solution=("NOP", "DUP", "MUL")))
    return stack_machine(tasks, ("DUP", "ADD", "MUL", "NOP"), 3, "solution")


TUNED: dict[str, Callable[[], Game]] = {
    "sums": lambda: of_token_mdp("sums", token_sum(3, 2, feedback="trace"), 1, 0.5),
    "one program": lambda: of_token_mdp("one program", one_way(), 2, 0.4),
    "risky fork": lambda: of_instance(instances.risky_fork()),
    "chain": lambda: of_instance(instances.horizon_chain(5, leave="1/10", succeed="1/5")),
    "graded": lambda: random_tree("graded", 12, 4, 3, 3, 1, 1.0),
    "rare reward": lambda: random_tree("rare reward", 12, 3, 4, 4, 8, 0.7),
}
HELD_OUT: dict[str, Callable[[], Game]] = {
    "binary sums": lambda: of_token_mdp("binary sums", token_sum(2, 3, feedback="answer"), 11, 0.4),
    "tests": lambda: of_token_mdp("tests", stack_machine(feedback="trace"), 12, 0.4),
    "spurious": lambda: of_instance(instances.spurious_disagreement()),
    "long chain": lambda: of_instance(instances.better_somewhere(7, leave="1/8", succeed="1/3")),
    "graded, long": lambda: random_tree("graded, long", 8, 2, 7, 13, 1, 1.5),
    "many tokens": lambda: random_tree("many tokens", 10, 8, 2, 14, 2, 1.0),
    "rare tokens": lambda: random_tree("rare tokens", 10, 4, 3, 15, 4, 0.4),
}


def named(names: Sequence[str]) -> list[Game]:
    """Games by name, of either set."""
    both = TUNED | HELD_OUT
    return [both[name]() for name in names]
