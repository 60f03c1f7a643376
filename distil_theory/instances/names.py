"""What states and actions are called, and who sees what: the words in which pictures and environments speak.

An instance is arrays; a reader wants names. `named` makes them from one line per state, `"fork: safe, risky"`: the name
of the state and of its actions. What the student sees follows from the observation map: the names of all states that
look alike, unless a line says what they look like, `"bit 0 | branch: 0, 1"`. What only the teacher sees is the name of
the state, where the student cannot tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from distil_theory.spec import TabularMDP


class Names(NamedTuple):
    """Words for a problem.

    Attributes:
        states: a name per state, `S`.
        actions: a name per state and action, `S x A`.
        seen: what the student sees, per observation, `O`.
        hidden: what only the teacher sees, per state, `S`; `""` where the student sees all.
    """

    states: tuple[str, ...]
    actions: tuple[tuple[str, ...], ...]
    seen: tuple[str, ...]
    hidden: tuple[str, ...]


def named(mdp: TabularMDP, lines: Sequence[str] | None = None) -> Names:
    """Names from one line per state, `"state: action, action"` or `"state | what it looks like: action, action"`.

    Args:
        mdp: the problem; a batch shares its names.
        lines: `S` of them; default: `state 0: action 0, action 1`, and so on.

    Raises:
        ValueError: too few or too many lines or actions; the message says of what.
    """
    _, states, actions = mdp.shape
    default = ", ".join(f"action {a}" for a in range(actions))
    lines = [f"state {s}: {default}" for s in range(states)] if lines is None else lines
    _count("lines", lines, states)
    heads, tails = zip(*(line.partition(":")[::2] for line in lines), strict=True)
    state_names, looks = zip(*([part.strip() for part in head.partition("|")[::2]] for head in heads), strict=True)
    words = tuple(tuple(word.strip() for word in tail.split(",")) for tail in tails)
    for name, row in zip(state_names, words, strict=True):
        _count(f"actions of {name!r}", row, actions)
    alike = [np.flatnonzero(mdp.observation == o) for o in range(mdp.observations)]
    seen = tuple(" or ".join(dict.fromkeys(looks[s] or state_names[s] for s in group)) for group in alike)
    hidden = tuple(state_names[s] if len(alike[mdp.observation[s]]) > 1 else "" for s in range(states))
    return Names(state_names, words, seen, hidden)


def _count(what: str, texts: Sequence[str], wanted: int) -> None:
    if len(texts) != wanted:
        raise ValueError(f"{what}: {len(texts)} given, {wanted} needed")
