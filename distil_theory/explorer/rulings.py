"""Which claim of the ledger speaks about this step? It promises that the return does not fall, or it promises nothing.

The cases are those of THEORY section 20, read from the top: the first that fits is the strongest. A ruling never
replaces the sign, which is computed; where a claim promises, the two must agree, and a test holds them to it on every
instance, divergence, geometry and objective. Claims 3 and 7d are asked as programs (`characterise`), so that a
generator of one's own is treated like those of the catalogue.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import sympy

from distil_theory import number_systems as ns
from distil_theory import solve
from distil_theory.certify import Case
from distil_theory.characterise import Affine, characterise, safe_step, safe_steps
from distil_theory.claims import CLAIMS
from distil_theory.explorer.presets import HINTS
from distil_theory.explorer.reading import Asked

TITLES = {claim.slug: (claim.number, claim.title) for claim in CLAIMS}
SET_SAFE = ("forward_kl", "reverse_kl", "jensen_shannon", "hellinger")
"""Divergences of the catalogue with `h` concave and `h(e^x)` convex: claim 19."""


class Ruling(NamedTuple):
    """`promise` is `"gap"`: the sign is that of `J* - J`; `"+"`: not negative; `""`: none. `slug` names the
    claim, `""` if there is none."""

    promise: str
    slug: str
    number: str
    title: str
    because: str


def _ruled(promise: str, slug: str, because: str) -> Ruling:
    return Ruling(promise, slug, *TITLES[slug], because)


@lru_cache(maxsize=256)
def slope(generator: str) -> float | None:
    """Of the score, if claim 3's program finds that it is a line: forward KL's is 1."""
    found = characterise(generator)
    return float(found.slope) if isinstance(found, Affine) else None


@lru_cache(maxsize=256)
def _safe_sizes(generator: str) -> sympy.Set:
    try:
        return safe_steps(generator)
    except ArithmeticError:  # undecided: nothing is promised
        return sympy.EmptySet


@lru_cache(maxsize=1024)
def share_of_expert(generator: str, eta: str) -> float:
    """Claim 7d: if a natural step of this size mixes student and expert, the share of the expert, else 0."""
    if sympy.Rational(eta) not in _safe_sizes(generator):
        return 0.0
    found = safe_step(generator, eta)
    return float(found.slope) if isinstance(found, Affine) else 0.0


class Facts:
    """What the claims ask of an instance, decided in rationals."""

    def __init__(self, case: Case) -> None:
        mdp, pi, star = case.mdp, case.student, case.expert
        steps, states, actions = mdp.shape
        visited = solve.occupancy(mdp, pi) > 0
        v, q = solve.values(mdp, pi)
        u = star / pi
        self.sees, self.one_step, self.one_state = not mdp.aliased, steps == 1, steps * states == 1
        self.two_actions = self.one_state and actions == 2
        drift = (star * solve.advantage(mdp, pi)).sum(axis=2)
        self.improver = bool(np.all((drift >= 0) | ~visited))
        agree = (q[:, :, :, None] - q[:, :, None]) * (u[:, :, :, None] - u[:, :, None])
        self.ordered = bool(np.all((agree >= 0) | ~visited[:, :, None, None]))
        own = np.all((u * v[:, :, None] == q) | (v[:, :, None] == 0) & (u == 1), axis=2)
        self.truthful = bool(np.all((own & np.all(q >= 0, axis=2)) | ~visited))
        certain = np.all((mdp.transition == 0) | (mdp.transition == 1), axis=3)
        self.no_chance = steps == 1 or bool(np.all(certain[:-1] | ~visited[:-1, :, None]))
        self.paid_at_end = bool(np.all(mdp.reward[:-1] == 0) and np.all(mdp.reward[-1] >= 0))


def ruling(asked: Asked, gap: str) -> Ruling:
    """What the ledger says of a small step.

    Args:
        asked: the request.
        gap: the sign of `J* - J`.
    """
    case, x, line = asked.case, Facts(asked.case), slope(asked.generator)
    forward = line is not None and line > 0
    if np.all(case.student == case.expert) and case.objective != "full cross-entropy":
        return _ruled("gap", "covariance_rate", "student and expert are the same: nothing moves")
    if line == 0:
        return _ruled("+", "covariance_rate", "h is constant: nothing moves")
    if not x.sees:
        return _hidden(asked)
    if x.two_actions and gap == "+":
        return _ruled("+", "two_actions", "one state, two actions, a better expert: every divergence is safe")
    if case.geometry == "euclidean":
        if x.truthful and forward and case.objective in ("local", "weighted"):
            return _ruled("+", "success_conditioned", "the teacher is the student conditioned on success")
        return _ruled("", "forward_limits", "a plain gradient: no divergence is safe, not even forward KL")
    if forward and (x.one_step or case.objective == "weighted"):
        exactly = "dJ/dη is exactly J* - J" if line == 1 else f"h is a line: dJ/dη is J* - J times its slope, {line:g}"
        return _ruled("gap", "forward_gap" if x.one_step else "prefix_weights", exactly)
    if case.objective == "local" and x.ordered:
        return _ruled("+", "success_conditioned", "the expert prefers what is better: its ratios are in the order of Q")
    if case.objective == "local" and forward:
        if x.improver:
            return _ruled("+", "local_improver", "the expert is a local improver wherever the student goes")
        return _ruled("", "local_improver", "many steps, states not weighted: a better expert is not enough")
    if case.objective.startswith("full") and not x.one_step:
        return _ahead(case, x)
    return _ruled("", "only_forward_kl", "h is not affine: some better experts mislead the step")


def _hidden(asked: Asked) -> Ruling:
    case, hinted = asked.case, asked.preset in HINTS and not asked.edited
    if hinted and case.geometry != "euclidean" and case.objective == "local" and case.divergence.name in SET_SAFE:
        return _ruled("+", "truthful_sets", "the teacher has read a truthful hint, and nature tosses no coin")
    return _ruled("", "forward_limits", "hidden state: the expert sees what the student cannot")


def _ahead(case: Case, x: Facts) -> Ruling:
    safe = x.truthful and x.no_chance and x.paid_at_end
    if safe and case.objective == "full":
        return _ruled("+", "truthful_lookahead", "truthful teacher, no chance, paid at the end")
    if x.truthful and not x.no_chance and case.objective == "full":
        return _ruled("", "chance_lookahead", "with chance no divergence is safe to look ahead with")
    return _ruled("", "future_aware", "looking ahead also avoids disagreement that does no harm")


def step_ruling(asked: Asked, gap: str) -> Ruling:
    """What the ledger says of a step of this size."""
    case, x, line = asked.case, Facts(asked.case), slope(asked.generator)
    forward = line is not None and line > 0
    if line == 0:
        return _ruled("+", "covariance_rate", "h is constant: nothing moves")
    if x.sees and case.geometry == "proximal" and forward and x.one_step:
        return _ruled("gap", "proximal_mixture", "a mixture of student and expert: the return changes in proportion")
    if x.sees and case.geometry == "natural" and case.objective == "local":
        share = share_of_expert(asked.generator, str(case.eta))
        if share == 1:
            return _ruled("gap", "safe_steps", "the step is the expert itself")
        if share and x.one_step:
            return _ruled(
                "gap", "safe_steps", f"the step is a mixture of student and expert, {share:g} of it the expert"
            )
        if x.ordered:
            return _ruled("+", "success_conditioned", "ratios in the order of Q: safe at any step size")
        if forward and x.one_state and gap == "+":
            return _within(case, line or 0)
        if x.one_step:
            return _ruled("", "safe_steps", "no step of this size is safe for every better expert")
    return Ruling("", "", "", "", "No claim speaks of a step of this size: the sign is computed")


def _within(case: Case, line: float) -> Ruling:
    """Claim 7b: is the step short enough for its bound?"""
    u, r = (case.expert / case.student)[0, 0], case.mdp.reward[0, 0]
    spread, rewards = ((max(z) - min(z)) for z in (u, r))
    bound = 12 * 3**0.5 * float(ns.convert(case.gap() / (spread**2 * rewards), "float64")[()]) / line
    if float(ns.convert(case.eta, "float64")[()]) <= bound * (1 - 1e-12):
        return _ruled("+", "natural_step", f"short enough: safe up to η = {bound:.4g}")
    return _ruled("", "natural_step", f"the bound promises safety up to η = {bound:.4g} only")
