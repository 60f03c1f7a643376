"""What the page sends, read into exact numbers; or everything that is wrong with it, field by field.

A request names a preset and the rows that were changed since:

    {"preset": "teaching_bandit", "parameters": {}, "rows": {"student:0,0": ["1", "1", "1"], "reward:0,0": [..]},
     "divergence": "reverse_kl", "generator": "", "geometry": "natural", "objective": "local",
     "eta": "1/2", "end": "4"}

A row of the student is of a step and an *observation*, `student:h,o`; one of the expert or of the rewards is of a step
and a state. Policies are *weights*, `["1", "66", "33"]`: a distribution is them over their sum, so no field needs
another one to be right, and thirds can be typed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import lcm
from typing import Any, NamedTuple

import numpy as np

from distil_theory import grammar, solve
from distil_theory import number_systems as ns
from distil_theory.certify import DIVERGENCES, OBJECTIVES, Case, signs
from distil_theory.divergences import BY_NAME, FDivergence
from distil_theory.explorer import presets
from distil_theory.instances import Instance
from distil_theory.number_systems import Array
from distil_theory.point import GEOMETRIES
from distil_theory.spec import TabularMDP

NUMBER = re.compile(r"-?\d{1,60}(?:\.\d{1,30})?|-?\.\d{1,30}|-?\d{1,60}\s*/\s*\d{1,60}", re.ASCII)
LARGEST_STEP = 1000
GENERATOR_FIELD = "generator"


class Faults(ValueError):  # noqa: N818  # several at once
    """What is wrong, by field of the page: `{"student:0,0:2": "..."}`; the message joins them."""

    def __init__(self, found: Mapping[str, str]) -> None:
        super().__init__("; ".join(found.values()))
        self.found = dict(found)


class Asked(NamedTuple):
    """A request, understood: the instance with its names, the step, the generator as text, where curves end, and
    whether a row was changed."""

    instance: Instance
    case: Case
    generator: str
    end: float
    edited: bool
    preset: str


def number(text: Any) -> Fraction:
    """An exact number from `2`, `0.25`, `-1/3`; `ValueError` for anything else."""
    stripped = text.strip() if isinstance(text, str) else ""
    if not NUMBER.fullmatch(stripped):
        shown = repr(text[:40]) if isinstance(text, str) and text.strip() else "nothing"
        raise ValueError(f"write a number such as 2, 0.25 or 1/3, not {shown}")
    try:
        return Fraction("".join(stripped.split()))
    except ZeroDivisionError:
        raise ValueError(f"{stripped} divides by zero") from None


def weights(row: Sequence[Any]) -> list[str]:
    """A distribution as the smallest whole numbers in its proportions."""
    q = [Fraction(str(x)) for x in row]
    scale = lcm(*(x.denominator for x in q))
    return [str(int(x * scale)) for x in q]


def read(request: Mapping[str, Any]) -> Asked:
    """The request as exact numbers.

    Raises:
        Faults: everything that is wrong with it.
    """
    faults: dict[str, str] = {}
    given = request.get("parameters", {})
    parameters = given if isinstance(given, dict) else {}
    try:
        start = presets.make(str(request.get("preset")), parameters)
    except (ValueError, TypeError) as bad:
        blamed = next((f"parameter {name}" for name in parameters if str(bad).startswith(f"{name} ")), "preset")
        raise Faults({blamed: str(bad)}) from None
    rows = request.get("rows", {})
    instance = _edited(start, rows if isinstance(rows, dict) else {}, faults)
    divergence, text = _divergence(request, faults)
    geometry = _choice(request, "geometry", GEOMETRIES, faults)
    objective = _choice(request, "objective", OBJECTIVES, faults)
    eta, end = (_size(request.get(field), field, faults) for field in ("eta", "end"))
    if faults:
        raise Faults(faults)
    step = ns.convert(str(eta), "rational")[()]
    case = Case(instance.mdp, instance.student, instance.expert, divergence, geometry, step, (), objective)
    try:
        signs(case._replace(eta=None))
    except ValueError as bad:
        raise Faults({_blamed(str(bad)): str(bad)}) from None
    return Asked(instance, case, text, float(max(eta, end)), bool(rows), str(request["preset"]))


def _size(text: Any, field: str, faults: dict[str, str]) -> Fraction:
    try:
        size = number(text)
        if not 0 < size <= LARGEST_STEP:
            raise ValueError(f"it must be positive and at most {LARGEST_STEP}")
        return size
    except ValueError as bad:
        faults[field] = f"{'step size' if field == 'eta' else 'end of the curves'}: {bad}"
        return Fraction(1)


def _choice(request: Mapping[str, Any], field: str, among: Sequence[str], faults: dict[str, str]) -> str:
    value = request.get(field)
    if value not in among:
        faults[field] = f"unknown {field} {str(value)[:40]!r}: choose from {', '.join(among)}"
    return str(value)


def _divergence(request: Mapping[str, Any], faults: dict[str, str]) -> tuple[FDivergence, str]:
    name = request.get("divergence")
    if name == "own":
        try:
            text = grammar.canonical(str(request.get(GENERATOR_FIELD, "")).strip())
            return grammar.parse(text), text
        except ValueError as bad:
            faults[GENERATOR_FIELD] = f"your f(u): {bad}"
    elif name not in BY_NAME:
        faults["divergence"] = f"unknown divergence {str(name)[:40]!r}"
    else:
        return DIVERGENCES[str(name)], grammar.TEXT[str(name)]
    return BY_NAME["forward_kl"], ""


def _blamed(why: str) -> str:
    """The field that a refusal of the library speaks of."""
    for word in ("geometry", "objective"):
        if word in why:
            return word
    return "divergence"


def _edited(start: Instance, rows: Mapping[str, Any], faults: dict[str, str]) -> Instance:
    """The instance with the rows of the request in the place of its own."""
    mdp, reward = start.mdp, np.array(start.mdp.reward, dtype=object)
    student, expert = (np.array(x, dtype=object) for x in (start.student, start.expert))
    steps, states, actions = mdp.shape
    for key, texts in rows.items():
        match = re.fullmatch(r"(student|expert|reward):(\d{1,3}),(\d{1,3})", str(key), re.ASCII)
        kind, h, s = (match[1], int(match[2]), int(match[3])) if match else ("", 0, 0)
        wide = isinstance(texts, list) and len(texts) == actions
        if not (match and wide and h < steps and s < (mdp.observations if kind == "student" else states)):
            faults["preset"] = f"the row {str(key)[:40]!r} does not fit this instance"
            continue
        found = _row(key, kind, texts, faults)
        if found is None:
            continue
        if kind == "reward":
            reward[h, s] = found
        elif kind == "expert":
            expert[h, s] = found
        else:
            student[h, mdp.behind[s]] = found
    changed = TabularMDP(mdp.transition, ns.convert(reward, "rational"), mdp.initial, None, mdp.observation)
    pi, star = solve.check_policy(changed, student, "student"), solve.check_policy(changed, expert, "expert")
    return Instance(start.name, changed, pi, star, start.exposes, start.names, start.world)


def _row(key: str, kind: str, texts: Sequence[Any], faults: dict[str, str]) -> Array | None:
    """One row as rationals: rewards as they are, weights over their sum; None, and the faults, if it makes no sense."""
    found: list[Fraction] = []
    bad = False
    for a, text in enumerate(texts):
        try:
            q = number(text)
            if kind == "student" and q <= 0:
                raise ValueError("a softmax student gives every action positive probability: write a weight above 0")
            if kind == "expert" and q < 0:
                raise ValueError("a weight cannot be negative")
            found.append(q)
        except ValueError as why:
            faults[f"{key}:{a}"], bad = f"{kind}, action {a + 1}: {why}", True
    if bad:
        return None
    if kind != "reward":
        total = sum(found)
        if not total:
            faults[f"{key}:0"] = "expert: all weights are 0, so there is no distribution"
            return None
        found = [q / total for q in found]
    return ns.convert([str(q) for q in found], "rational")
