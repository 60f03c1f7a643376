r"""Rollouts of the student: all of them, with their exact probabilities, or as many as one cares to draw.

A rollout is `s_0, a_0, s_1, ..., s_{H-1}, a_{H-1}`, of probability

    p(tau) = rho(s_0) prod_h pi_h(a_h|s_h) prod_h P_h(s_{h+1}|s_h, a_h).

`enumerate_all` lists every rollout that the MDP allows, `sample` draws them. Both return the same `Trajectories`, so an
estimator is written once and then either judged exactly, `sum_tau p(tau) g(tau)`, or run as it would be in practice.
Rollouts may carry `labels`: an action that a black-box expert drew at each visited state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import solve, validate
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP

MOST = 4_000_000
"""Rollouts times steps that `enumerate_all` and `with_labels` agree to list."""


@dataclass(frozen=True)
class Trajectories:
    """`N` rollouts: whole numbers `states`, `actions` and, if there is an expert to ask, `labels`, each `(H, N)`."""

    states: np.ndarray
    actions: np.ndarray
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return int(self.states.shape[1])

    def along(self, table: Array, *, actions: bool) -> Array:
        """Entries of a table `(H,S,A,*B)` (or `(H,S,*B)`, without `actions`) met on the way, shape `(H,N,*B)`."""
        steps = np.arange(len(self.states))[:, None]
        return table[steps, self.states, self.actions] if actions else table[steps, self.states]

    def labelled(self, table: Array) -> Array:
        """Entries of a table `(H,S,A,*B)` at the expert's actions, shape `(H,N,*B)`; `ValueError` without labels."""
        if self.labels is None:
            raise ValueError("these rollouts carry no labels of an expert: sample or enumerate them with one")
        return table[np.arange(len(self.states))[:, None], self.states, self.labels]


def enumerate_all(mdp: TabularMDP) -> Trajectories:
    """Every rollout of a single MDP, those with an impossible start or transition left out.

    Raises:
        ValueError: a batch of MDPs, or more than `MOST` entries.
    """
    _single(mdp)
    steps, _, actions = mdp.shape
    possible = ~validate.as_mask(ns.iszero(mdp.transition))
    states = np.flatnonzero(~np.asarray(ns.iszero(mdp.initial)).astype(bool))[None]
    chosen = np.empty((0, states.shape[1]), dtype=int)
    for h in range(steps):
        here = states.shape[1]
        _room(here * actions * steps)
        states = np.repeat(states, actions, axis=1)
        chosen = np.vstack([np.repeat(chosen, actions, axis=1), np.tile(np.arange(actions), here)])
        if h < steps - 1:
            rollout, successor = np.nonzero(possible[h, states[-1], chosen[-1]])
            _room(len(rollout) * steps)
            states, chosen = np.vstack([states[:, rollout], successor]), chosen[:, rollout]
    return Trajectories(states, chosen)


def with_labels(mdp: TabularMDP, every: Trajectories) -> Trajectories:
    """Each rollout once for every sequence of actions that an expert could draw on it: `A^H` times as many."""
    steps, _, actions = mdp.shape
    words = actions**steps
    _room(len(every) * words * steps)
    labels = np.stack(np.unravel_index(np.arange(words), (actions,) * steps))
    states, chosen = (np.repeat(x, words, axis=1) for x in (every.states, every.actions))
    return Trajectories(states, chosen, np.tile(labels, len(every)))


def probability(mdp: TabularMDP, policy: Array, rollouts: Trajectories, expert: Array | None = None) -> Array:
    """`p(tau)` of each rollout, shape `(N,*B)`; with labels, times the probability that `expert` draws them.

    Raises:
        ValueError: a batch of MDPs, a policy that does not fit, labels without an expert or the other way round.
    """
    _single(mdp)
    if (rollouts.labels is None) != (expert is None):
        raise ValueError("labels and an expert who drew them belong together: give both or neither")
    pi, p, _, rho = solve.problem(mdp, solve.check_policy(mdp, policy))
    p, rho = solve.align(p, pi.ndim - 3, 4), solve.align(rho, pi.ndim - 3, 1)
    likely = rho[rollouts.states[0]]
    for h, factor in enumerate(rollouts.along(pi, actions=True)):
        likely = likely * factor
        if h < len(p) - 1:
            likely = likely * p[h, rollouts.states[h], rollouts.actions[h], rollouts.states[h + 1]]
    if expert is not None:
        star = ns.common(solve.check_policy(mdp, expert, "expert"), pi)[0]
        for factor in rollouts.labelled(solve.align(star, pi.ndim - 3, 3)):
            likely = likely * factor
    return likely


def returns(mdp: TabularMDP, rollouts: Trajectories) -> Array:
    """Total reward of each rollout, shape `(N,)`."""
    _single(mdp)
    return rollouts.along(mdp.reward, actions=True).sum(axis=0)


def sample(
    mdp: TabularMDP, policy: Array, n: int, rng: np.random.Generator, expert: Array | None = None
) -> Trajectories:
    """`n` rollouts of a policy in a single float64 MDP, all drawn side by side; with an expert, its labels too.

    Raises:
        ValueError: a batch, another number system, a policy that does not fit, `n` that is no positive number.
    """
    _single(mdp)
    n = validate.whole("n", n, 1)
    pi = solve.check_policy(mdp, policy)
    star = None if expert is None else solve.check_policy(mdp, expert, "expert")
    if ns.name(pi) != "float64" or pi.ndim > 3 or (star is not None and star.ndim > 3):
        raise ValueError("sample takes one float64 MDP and one policy: convert to 'float64' first")
    p, rho = mdp.transition, mdp.initial
    states = [pick(np.broadcast_to(rho[:, None], (len(rho), n)), rng)]
    chosen, labels = [], []
    for h in range(len(pi)):
        chosen.append(pick(pi[h, states[h]].T, rng))
        if star is not None:
            labels.append(pick(star[h, states[h]].T, rng))
        if h < len(pi) - 1:
            states.append(pick(p[h, states[h], chosen[h]].T, rng))
    return replace(Trajectories(np.stack(states), np.stack(chosen)), labels=np.stack(labels) if labels else None)


def pick(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One draw from each column of `(K, ...)`; columns need not sum to one."""
    return invert(rows, rng.random(rows.shape[1:]))


def invert(rows: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Where `u (...)` in [0, 1) falls among the pieces `(K, ...)` of each column, scaled to end at one."""
    edges = rows.cumsum(axis=0)
    return (u * edges[-1] >= edges[:-1]).sum(axis=0)


def _single(mdp: TabularMDP) -> None:
    if mdp.batch_shape:
        raise ValueError(f"rollouts are of one MDP, this is a batch of shape {mdp.batch_shape}")


def _room(entries: int) -> None:
    if entries > MOST:
        raise ValueError(f"{entries} entries of rollouts to list, at most {MOST}: sample them instead")
