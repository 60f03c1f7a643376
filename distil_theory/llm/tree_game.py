r"""A token game without its transition: what is asked, what is said, what is worth something.

The state of a token game is (context, prefix), a context being a problem with its feedback; the student sees (view,
prefix). Problems with one prompt share a view: what tells them apart is *hidden* from the student. The rules
(`token_sum.sum_rules`, `stack_machine.program_rules`) are those of the dense `TokenMDP`, and so are the numbers; here
they are torch tensors that go to any device, and no table has more entries than contexts times answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from distil_theory.instances.prefixes import PrefixTree
from distil_theory.instances.token_builder import Rules, heard


@dataclass(frozen=True, eq=False)
class TreeGame:
    """A token game without its transition.

    Attributes:
        tree: the prefixes.
        vocabulary: text of every token id; the first `A` are the actions.
        prompts: token ids that the student reads, per view.
        hints: token ids that only the teacher reads, per context.
        view: which view a context has, `(C,)`.
        weight: the law of the contexts, `(C,)`.
        reward: of each finished answer, `(C, answers)`.
        likelihood: 1 for the answers that agree with the feedback, `(C, answers)`; if what is said may be wrong, how
            likely it is for that answer, up to a factor.
        talks: 1 at prefixes where the answer has not ended, 0 behind `halt`, `(N,)`: there nothing is charged.
    """

    tree: PrefixTree
    vocabulary: tuple[str, ...]
    prompts: tuple[tuple[int, ...], ...]
    hints: tuple[tuple[int, ...], ...]
    view: torch.Tensor
    weight: torch.Tensor
    reward: torch.Tensor
    likelihood: torch.Tensor
    talks: torch.Tensor

    @property
    def views(self) -> int:
        """How many views there are."""
        return len(self.prompts)

    @property
    def view_weight(self) -> torch.Tensor:
        """The law of the views, `(V,)`."""
        return self.pooled(self.weight[:, None])[:, 0]

    @property
    def view_reward(self) -> torch.Tensor:
        """What the student can expect of an answer, given what it sees, `(V, answers)`."""
        return self.pooled(self.weight[:, None] * self.reward) / self.view_weight[:, None]

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """Sums over the contexts of a view: `(*B, C, n)` to `(*B, V, n)`."""
        empty = x.new_zeros((*x.shape[:-2], self.views, x.shape[-1]))
        return empty.index_add(-2, self.view, x)

    def to(self, like: torch.Tensor) -> TreeGame:
        """The same in the precision and on the device of a tensor."""
        numbers = {k: getattr(self, k).to(like) for k in ("weight", "reward", "likelihood", "talks")}
        return TreeGame(
            self.tree, self.vocabulary, self.prompts, self.hints, self.view.to(device=like.device), **numbers
        )


def of_rules(rules: Rules, weights: Any = None) -> TreeGame:
    """The game that some rules describe, float64 on the CPU; first attempts are uniform.

    Args:
        rules: rewards at the end only. Problems with the same prompt look alike to the student.
        weights: law of the problems, default: uniform.

    Raises:
        ValueError: a reward before the end, or weights that do not fit.
    """
    tree, count = rules.tree, len(rules.problems)
    law = np.full(count, 1 / count) if weights is None else np.asarray(weights, dtype=float)
    if law.shape != (count,) or not (law > 0).all() or abs(law.sum() - 1) > 1e-12:
        raise ValueError(f"weights must be {count} positive numbers that sum to one, one per problem, not {weights}")
    if any(x.reward is not None for x in rules.problems):
        raise ValueError("a game on a tree pays for the finished answer only: a problem has rewards of its own")
    values, _ = heard(rules, [np.full(tree.answers, 1 / tree.answers)] * count, "float64")
    ids = {word: i for i, word in enumerate(rules.words)}
    prompts = list(dict.fromkeys(x.prompt for x in rules.problems))
    each = [(p, *told) for p, value in enumerate(values) for told in value.values()]
    ended = np.zeros(tree.size)
    if rules.halt is not None:
        ended[:] = [rules.halt in tree.prefix(i) for i in range(tree.size)]
    return TreeGame(
        tree=tree,
        vocabulary=tuple(rules.words),
        prompts=tuple(tuple(ids[word] for word in prompt) for prompt in prompts),
        hints=tuple(tuple(ids[word] for word in said) for _, said, _, _ in each),
        view=torch.tensor([prompts.index(rules.problems[p].prompt) for p, *_ in each]),
        weight=torch.tensor([float(law[p] * chance) for p, _, _, chance in each], dtype=torch.float64),
        reward=torch.tensor(np.array([rules.problems[p].right for p, *_ in each], dtype=float)),
        likelihood=torch.tensor(np.array([agree for _, _, agree, _ in each], dtype=float)),
        talks=torch.tensor(1 - ended),
    )
