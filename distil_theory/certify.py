r"""Certificates: exact instances that say, in a small file which anybody can check, what happens and what goes wrong.

`certificate` turns rational objects of the library into the format that `checker` reads, `text` writes it. The signs it
asserts come from the library's own solver, `signs`: rationals where that is possible, balls otherwise. So each file of
the `gallery` is verified twice, by two programs that share no code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from distil_theory import efficiency, objectives, solve, updates
from distil_theory import number_systems as ns
from distil_theory.divergences import BY_NAME, CROSS_ENTROPY, FORWARD_KL, FDivergence
from distil_theory.grammar import TEXT
from distil_theory.number_systems import Array
from distil_theory.point import check_geometry
from distil_theory.spec import TabularMDP

GENERATORS = TEXT | {"concave": "-(u * log(u))"}
"""The catalogue in the grammar of certificates, and what is no divergence: forward KL upside down."""
DIVERGENCES = BY_NAME | {"concave": FDivergence("concave", lambda u: -FORWARD_KL.f(u), lambda u: -u)}
BITS = (64, 256, 1024, 4096)
OBJECTIVES = ("local", "weighted", "full", "full cross-entropy")
Instance = tuple[TabularMDP, Array, Array]


class Case(NamedTuple):
    """One step of one student in one problem, in one number system: what a certificate speaks about."""

    mdp: TabularMDP
    student: Array
    expert: Array
    divergence: FDivergence
    geometry: str = "natural"
    eta: Any = None
    features: Sequence[Array] = ()
    objective: str = "local"
    level: Any = None

    @property
    def step(self) -> tuple[Any, ...]:
        """The arguments of `objectives.improvement_rate` and `updates.direction`."""
        divergence = CROSS_ENTROPY if self.objective == "full cross-entropy" else self.divergence
        weight = objectives.occupancy_ratio(*self[:3]) if self.objective == "weighted" else None
        return *self[:3], divergence, self.geometry, weight, "full" if self.objective.startswith("full") else "local"

    def in_balls(self) -> Case:
        """The same in ball arithmetic; features that add nothing to those before them, which balls cannot tell, go."""
        kept: list[Array] = []
        for feature in self.features:
            rest = feature - updates.project(self.mdp, self.student, feature, kept) if kept else feature
            if np.any(updates.project(self.mdp, self.student, rest, [rest])):  # more than zero where somebody goes
                kept.append(feature)
        kept = kept or [feature * 0 for feature in self.features[:1]]  # a class that cannot move at all
        pi, star, *features = (ns.convert(x, "ball") for x in (self.student, self.expert, *kept))
        eta = None if self.eta is None else ns.convert(self.eta, "ball")[()]
        level = None if self.level is None else ns.convert(self.level, "ball")[()]
        mdp = self.mdp.convert("ball")
        return Case(mdp, pi, star, self.divergence, self.geometry, eta, features, self.objective, level)

    def direction(self) -> Array:
        """Of the logits, in the class that the features span if there are any."""
        move = updates.direction(*self.step)
        return updates.project(self.mdp, self.student, move, self.features) if len(self.features) else move

    def gap(self) -> Any:
        """`J(pi*) - J(pi)`."""
        return solve.expected_return(self.mdp, self.expert) - solve.expected_return(self.mdp, self.student)

    def rate(self) -> Any:
        """`dJ/d eta` at `eta = 0`: claim 1's covariance, or along the direction that a class admits."""
        if len(self.features):
            return updates.first_order_change(self.mdp, self.student, self.direction())
        return objectives.improvement_rate(*self.step)

    def efficiency(self) -> Any:
        """`e |e|` of claim 21, minus `level`."""
        move = updates.direction(*self.step)
        return efficiency.of_direction(self.mdp, self.student, move, self.features).squared - self.level

    def change(self, move: Array | None = None) -> Any:
        """`J(pi_eta) - J(pi)`, along `move` if that is known already."""
        if self.geometry == "proximal":
            new = updates.proximal_step(*self[:4], self.eta)
        else:
            move = self.direction() if move is None else move
            new = updates.exponential_step(self.mdp, self.student, move, self.eta)
        return solve.expected_return(self.mdp, new) - solve.expected_return(self.mdp, self.student)


def signs(case: Case) -> dict[str, str]:
    """The signs `"+"`, `"-"`, `"0"` of `gap`, `rate`, with a step size `change`, with a level `efficiency`, by the
    library's solver.

    `"0"` is a rational zero; `"?"` says that 4096 bits decide no sign.

    Raises:
        ValueError: what the library refuses, and features of another than the natural geometry.
    """
    check_geometry(case.geometry)
    objectives.check_pair(*case[:4])
    if len(case.features) and case.geometry != "natural":
        raise ValueError(f"a restricted class takes natural steps, not {case.geometry}")
    if case.objective not in OBJECTIVES:
        raise ValueError(f"unknown objective {case.objective!r}: choose from {', '.join(OBJECTIVES)}")
    if case.objective != "local" and case.geometry == "proximal":
        raise ValueError(f"the {case.objective} objective takes natural or Euclidean steps, not proximal ones")
    if case.objective == "full cross-entropy" and case.divergence.h is not FORWARD_KL.h:
        raise ValueError(f"cross-entropy goes with forward_kl, not {case.divergence.name}")
    out = {}
    for name in ("gap", "rate", *["change"] * (case.eta is not None), *["efficiency"] * (case.level is not None)):
        try:
            out[name] = _sign(getattr(case, name)())
        except TypeError:  # not rational
            out[name] = next((sign for bits in BITS if (sign := _in_balls(case, name, bits)) != "?"), "?")
    return out


def _sign(x: Any) -> str:
    return "+" if x > 0 else "-" if x < 0 else "0" if x == 0 else "?"


def _in_balls(case: Case, name: str, bits: int) -> str:
    with ns.precision(bits):
        balls = case.in_balls()
        if name != "change" or case.geometry == "proximal":
            return _sign(getattr(balls, name)())
        try:  # a score with a jump, such as that of total variation, has no sign in a ball around the jump
            move = ns.convert(case.direction(), "ball")
        except TypeError:  # not rational
            move = None
        return _sign(balls.change(move))


def certificate(
    mdp: TabularMDP,
    student: Array,
    expert: Array,
    f: str,
    geometry: str,
    eta: Any,
    asserts: Mapping[str, str],
    claim: str,
    statement: str,
    features: Sequence[Array] | None = None,
    objective: str = "local",
    level: Any = None,
) -> dict[str, Any]:
    """A certificate as a dictionary, ready for `text`; `checker` judges whether it is true.

    Args:
        mdp, student, expert: rational, not a batch.
        f: the divergence in the grammar of the checker, such as `GENERATORS["reverse_kl"]`.
        geometry, eta: the step; `eta` is `None` unless `asserts` has a `change`.
        asserts: the sign of `gap`, `rate`, `change`, `efficiency`: one to four of them, from `signs`.
        claim, statement: a slug, and one line for a reader.
        features: `(H,O,A)` each, of a restricted class (`updates.project`).
        objective: one of `OBJECTIVES`.
        level: what the signed square of the efficiency is compared with, if `asserts` has it.
    """
    out = {
        "format": "distil_theory certificate",
        "version": 1,
        "claim": claim,
        "statement": statement,
        "divergence": f,
        "geometry": geometry,
        "eta": None if eta is None else _texts(eta),
        "mdp": {
            "horizon": mdp.shape[0],
            "observation": mdp.observation.tolist(),
            **{name: _texts(getattr(mdp, name)) for name in ("initial", "transition", "reward")},
        },
        "student": _texts(student),
        "expert": _texts(expert),
        "asserts": [{"quantity": name, "sign": sign} for name, sign in asserts.items()],
    }
    out |= {} if features is None else {"features": [_texts(x) for x in features]}
    out |= {} if objective == "local" else {"objective": objective}
    return out | ({} if level is None else {"efficiency": _texts(level)})


def _texts(x: Any) -> Any:
    """Canonical rationals, in nested lists for an array."""
    return np.asarray(np.frompyfunc(str, 1, 1)(ns.convert(x, "rational")), dtype=object).tolist()


def text(contents: Mapping[str, Any], indent: str = "\n  ") -> str:
    """A certificate as JSON: one line per entry, one more per entry of `mdp`."""
    lines = []
    for key, value in contents.items():
        inner = text(value, indent + "  ").rstrip() if isinstance(value, Mapping) else json.dumps(value)
        lines.append(f"{indent}{json.dumps(key)}: {inner}")
    return f"{{{','.join(lines)}{indent[:-2]}}}\n"
