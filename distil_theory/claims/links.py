"""What claims 11b to 11e and 15 are made of: gaps, total variation and KL on either's states, spans of `Q`."""

from __future__ import annotations

from typing import NamedTuple

from distil_theory import number_systems as ns
from distil_theory import solve
from distil_theory.divergences import FORWARD_KL
from distil_theory.number_systems import Array
from distil_theory.online import bounds
from distil_theory.spec import TabularMDP


def gap(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """`J* - J`."""
    return solve.expected_return(mdp, expert) - solve.expected_return(mdp, student)


def visited(mdp: TabularMDP, student: Array, x: Array) -> Array:
    """`sum_h E_{s ~ d_h} x_h(s)` of `x (H,S,*B)`, shape `B`."""
    return (solve.occupancy(mdp, student) * x).sum(axis=1).sum(axis=0)


def visited_kl(mdp: TabularMDP, expert: Array, student: Array) -> Array:
    """`sum_h E_{d_h^pi} KL(pi*||pi)`."""
    return visited(mdp, student, FORWARD_KL.value(expert, student, axis=2))


def sure(expert: Array) -> Array:
    """The deterministic expert of the likeliest action; the first of those."""
    chosen, taken = [], expert[:, :, 0] * 0
    for a in range(expert.shape[2]):
        first = ns.where((expert[:, :, a] == ns.amax(expert, 2)) & (taken == 0), taken * 0 + 1, taken * 0)
        chosen.append(first)
        taken = taken + first
    return ns.stack(chosen, axis=2)


def parts(mdp: TabularMDP, student: Array, expert: Array) -> tuple[Array, ...]:
    """What an instance is made of."""
    return mdp.transition, mdp.reward, mdp.initial, student, expert


class Links(NamedTuple):
    """`J* - J`, sums over the student's states of total variation and KL, and `mu` over the states it may be in."""

    gap: Array
    variation: Array
    kl: Array
    mu: Array


def links(mdp: TabularMDP, student: Array, expert: Array) -> Links:
    """The links of one problem or a batch; the KL of rationals in balls."""
    variation = visited(mdp, student, abs(expert - student).sum(axis=2) / 2)
    if ns.name(student) == "rational":
        kl = visited_kl(mdp.convert("ball"), *(ns.convert(policy, "ball") for policy in (expert, student)))
    else:
        kl = visited_kl(mdp, expert, student)
    return Links(gap(mdp, student, expert), variation, kl, bounds.recoverability(mdp, expert, student))


class Sizes(NamedTuple):
    """What the bounds are made of, of one problem or a batch.

    `weighted` is `sum_h span(Q_h^pi)` times the error on the expert's states; `theirs` and `own` are the largest errors
    on the expert's states and on the student's; `most` and `whole` the ranges of a reward and of the return.
    """

    lost: Array
    weighted: Array
    theirs: Array
    own: Array
    mu: Array
    most: Array
    whole: Array
    kl: Array


def sizes(mdp: TabularMDP, student: Array, expert: Array) -> Sizes:
    """The KL of rationals in balls."""
    steps, states, actions = mdp.shape
    reward = mdp.reward.reshape(steps, states * actions, *mdp.batch_shape)
    each = ns.amax(reward, 1) + ns.amax(-reward, 1)
    variation = abs(expert - student).sum(axis=2) / 2
    theirs, own = ((solve.occupancy(mdp, policy) * variation).sum(axis=1) for policy in (expert, student))
    _, q = solve.values(mdp, student)
    spans = ns.amax(ns.amax(q, 2), 1) + ns.amax(ns.amax(-q, 2), 1)
    to = "ball" if ns.name(student) == "rational" else "float64"
    star, pi = (ns.convert(policy, to) for policy in (expert, student))
    kl = (ns.convert(solve.occupancy(mdp, expert), to) * FORWARD_KL.value(star, pi, axis=2)).sum(axis=1).sum(axis=0)
    return Sizes(
        gap(mdp, student, expert),
        (spans * theirs).sum(axis=0),
        ns.amax(theirs, 0),
        ns.amax(own, 0),
        bounds.recoverability(mdp, expert),
        ns.amax(each, 0),
        each.sum(axis=0),
        kl,
    )
