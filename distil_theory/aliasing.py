"""What the student sees: between states `(H,S,...)` and observations `(H,O,...)`.

A student's action probabilities depend on the state only through its observation, so its logits, and every gradient,
carry an axis of observations. Summing over the states behind an observation is `pool`; the share of each of them under
an occupancy is `belief`. For an unaliased student all of this is the identity, up to the numbering.
"""

from __future__ import annotations

import numpy as np

from distil_theory import number_systems as ns
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP


def visible(mdp: TabularMDP, x: Array) -> Array:
    """`(H,S,...)` that depends on the state only through the observation, as `(H,O,...)`."""
    if not mdp.aliased and np.array_equal(mdp.observation, range(mdp.shape[1])):
        return x
    return x[:, np.unique(np.asarray(mdp.observation), return_index=True)[1]]


def spread(mdp: TabularMDP, y: Array) -> Array:
    """`(H,O,...)` as `(H,S,...)`: every state gets the entry of its observation."""
    return y[:, mdp.observation.tolist()]


def pool(mdp: TabularMDP, x: Array) -> Array:
    """Sum of `(H,S,...)` over the states behind each observation: `(H,O,...)`."""
    if not mdp.aliased:
        return visible(mdp, x)
    return ns.stack([x[:, states].sum(axis=1) for states in mdp.behind], axis=1)


def belief(mdp: TabularMDP, occupancy: Array) -> Array:
    """`d_h(s|o)`, shape `(H,S,*B)`: which state it is, given what the student sees; uniform where `o` is never seen."""
    if not mdp.aliased:
        return occupancy * 0 + 1
    seen, size = spread(mdp, pool(mdp, occupancy)), spread(mdp, pool(mdp, occupancy * 0 + 1))
    never = ns.iszero(seen)
    return ns.where(never, 1 / size, occupancy / ns.where(never, seen * 0 + 1, seen))
