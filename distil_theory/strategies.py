"""Hypothesis strategies for small exact problems: simplexes, policies, bandits, MDPs, student-expert pairs.

Everything is rational (`flint.fmpq`) with small denominators, so that a shrunk counterexample can be checked by hand.
Ordinary rows shrink towards the uniform one, rewards towards zero, MDPs towards stationary ones. Near-degenerate rows,
with entries like 1/1000, are drawn on purpose: that is where probability ratios explode and theorems break.

Sizes (`actions`, `states`, `horizon`) are numbers, or strategies that draw numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flint
import numpy as np
from hypothesis import strategies as st

from distil_theory.number_systems import Array
from distil_theory.spec import Bandit, TabularMDP

Size = int | st.SearchStrategy[int]
SMALL = st.integers(1, 3)
"""Default size: one to three states, actions or steps."""


class Pair(NamedTuple):
    """A problem with a full-support student, which sees `mdp.observation`, and an expert, which sees the state."""

    mdp: TabularMDP
    student: Array
    expert: Array


def _drawn(draw: st.DrawFn, size: Size) -> int:
    return size if isinstance(size, int) else draw(size)


def _table(draw: st.DrawFn, rows: st.SearchStrategy[Any], *lead: int) -> Array:
    """An object array `(*lead, *row)` with independently drawn rows."""
    drawn = [draw(rows) for _ in range(int(np.prod(lead)))]
    return np.array(drawn, dtype=object).reshape(*lead, *np.shape(drawn[0]))


@st.composite
def simplex(draw: st.DrawFn, size: int, denominator: int | None = None, positive: bool = True) -> Array:
    """A rational probability vector: an object array of `size` entries `fmpq` that sum to exactly one.

    Args:
        draw: supplied by Hypothesis.
        size: number of entries.
        denominator: ordinary draws have a common denominator of at most this; default `max(12, 2 size)`. One draw in
            a few is near-degenerate instead: one large entry, the others `1/1000` or `1/100` (less when `size > 10`).
        positive: whether every entry must be positive; otherwise zeros and one-hot vectors occur too.
    """
    denominator = max(12, 2 * size) if denominator is None else denominator
    if size < 1 or denominator < size:
        raise ValueError(f"simplex needs 1 <= size <= denominator, not size={size}, denominator={denominator}")
    if size == 1:
        return np.array([flint.fmpq(1)], dtype=object)
    if draw(st.integers(0, 4)) == 4:
        total = max(1000, 100 * size)
        small = st.sampled_from([1, total // 100] + ([] if positive else [0]))
        weights = [draw(small) for _ in range(size)]  # as many choices as below, so that shrinking prefers those
        weights[-1] = total - sum(weights[:-1])
    else:
        least, left = (1, denominator - size) if positive else (0, denominator)
        weights = []
        for _ in range(size):
            extra = draw(st.integers(0, left))
            left -= extra
            weights.append(least + extra)
        if not sum(weights):
            weights = [1] * size
    first = draw(st.integers(0, size - 1))
    whole = sum(weights)
    return np.array([flint.fmpq(w, whole) for w in weights[first:] + weights[:first]], dtype=object)


@st.composite
def rewards(draw: st.DrawFn, *shape: int) -> Array:
    """Rational rewards: tenths between -1 and 1, in an object array of the given shape."""
    tenths = draw(st.lists(st.integers(-10, 10), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    return np.array([flint.fmpq(n, 10) for n in tenths], dtype=object).reshape(shape)


@st.composite
def policies(draw: st.DrawFn, mdp: TabularMDP, positive: bool = True, observable: bool = False) -> Array:
    """A rational policy `(H,S,A)` of a single MDP.

    Args:
        draw: supplied by Hypothesis.
        mdp: the problem; only its shape and observation map are used.
        positive: whether every action must have positive probability.
        observable: whether states with equal observation must get equal action probabilities.
    """
    steps, states, actions = mdp.shape
    seen = mdp.observation if observable else np.arange(states)
    return _table(draw, simplex(actions, positive=positive), steps, int(np.max(seen)) + 1)[:, seen]


@st.composite
def bandits(draw: st.DrawFn, actions: Size = SMALL, contexts: Size = 1) -> Bandit:
    """A rational bandit; with more than one context a contextual bandit whose contexts may be improbable."""
    actions, contexts = _drawn(draw, actions), _drawn(draw, contexts)
    if contexts == 1:
        return Bandit(draw(rewards(actions)))
    return Bandit(draw(rewards(contexts, actions)), draw(simplex(contexts, positive=False)))


@st.composite
def mdps(
    draw: st.DrawFn, states: Size = SMALL, actions: Size = SMALL, horizon: Size = SMALL, aliased: bool = False
) -> TabularMDP:
    """A rational MDP, stationary or not; rows may be deterministic and states unreachable.

    Args:
        draw: supplied by Hypothesis.
        states: number of states `S`.
        actions: number of actions `A`.
        horizon: number of steps `H`.
        aliased: whether at least two states share an observation; needs `S >= 2`.
    """
    states, actions, horizon = (_drawn(draw, size) for size in (states, actions, horizon))
    observation = None
    if aliased:
        if states < 2:
            raise ValueError(f"aliasing needs two states at least, not {states}")
        labels = [draw(st.integers(0, states - 2)) for _ in range(states)]  # fewer labels than states
        observation = np.unique(labels, return_inverse=True)[1]
    stationary = draw(st.sampled_from([True, False]))
    lead = () if stationary else (horizon,)
    transition = _table(draw, simplex(states, positive=False), *lead, states, actions)
    reward = draw(rewards(*lead, states, actions))
    initial = draw(simplex(states, positive=False))
    return TabularMDP(transition, reward, initial, horizon if stationary else None, observation)


@st.composite
def pairs(draw: st.DrawFn, problems: st.SearchStrategy[TabularMDP] | None = None, positive: bool = False) -> Pair:
    """A problem (default `mdps()`), a full-support student and an expert, which has full support if `positive`."""
    mdp = draw(mdps() if problems is None else problems)
    return Pair(mdp, draw(policies(mdp, observable=True)), draw(policies(mdp, positive=positive)))
