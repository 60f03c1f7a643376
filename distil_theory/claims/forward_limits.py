r"""Claim 6: forward cross-entropy can lower the reward, too: geometry, class and what the student sees matter.

A better expert, a small step of forward KL, and the reward falls (a) with a plain gradient on the logits: `pi = (1/8,
5/8, 1/4)`, `pi* = (3/4, 1/8, 1/8)`, `r = (1, 1, 0)`; (b) with the natural gradient of a restricted class: the teaching
bandit, one free logit; (c) with hidden state: two contexts that look alike. All three rates are rational: the proof is
arithmetic. So "forward cross-entropy admits monotonic improvement" is a statement about natural or proximal steps of an
unrestricted student that sees the state.
"""

from __future__ import annotations

import numpy as np

from distil_theory import instances, updates
from distil_theory import number_systems as ns
from distil_theory.claims.claim import Claim, Step
from distil_theory.divergences import FORWARD_KL
from distil_theory.falsify import one_instance
from distil_theory.instances import Instance
from distil_theory.number_systems import Array

ONE_LOGIT = ns.convert([[[1, 0, 0]]], "rational")


def rate(instance: Instance, geometry: str = "natural", features: Array | None = None) -> Array:
    """`dJ/d eta` of forward KL, exact."""
    _, mdp, student, expert, _ = instance
    step = updates.direction(mdp, student, expert, FORWARD_KL, geometry)
    if features is not None:
        step = updates.project(mdp, student, step, [features])
    return updates.first_order_change(mdp, student, step)


def better() -> bool:
    """All three experts are better."""
    made = (instances.euclidean_bandit(), instances.teaching_bandit(), instances.aliased_contexts())
    return all(bool(instance.gap > 0) for instance in made)


def rates() -> list[Array]:
    """The three rates, exact."""
    return [
        rate(instances.euclidean_bandit(), "euclidean"),
        rate(instances.teaching_bandit(), features=ONE_LOGIT),
        rate(instances.aliased_contexts()),
    ]


CLAIM = Claim(
    slug="forward_limits",
    number="6",
    title="geometry, class and observation matter: forward KL breaks, too",
    statement=r"J^* > J \text{ and } dJ/d\eta < 0 \text{ for forward KL: (a) Euclidean, (b) restricted, (c) aliased}",
    assumptions=(),
    source="ours",
    scope="three instances, in rationals",
    steps=(
        Step("the three experts are better", better, "swap student and expert"),
        Step("(a) the Euclidean step loses", lambda: bool(rates()[0] < 0), "natural for Euclidean"),
        Step("(b) one free logit: `-97/600`", lambda: bool(rates()[1] * 600 == -97), "no projection"),
        Step("(c) hidden contexts", lambda: bool(rates()[2] < 0), "the student sees the state"),
    ),
    margin=lambda *_: np.array([min(-float(ns.convert(x, "float64")) for x in rates())]),
    holds_exactly=lambda *_: False,
    without={},
    panel="monotonicity_returns.png",
    attack=one_instance(lambda: (ONE_LOGIT,)),
)
