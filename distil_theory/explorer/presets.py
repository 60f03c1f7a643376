"""Where the explorer starts: every named instance, and every certificate of the gallery that fits on the page."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from distil_theory import instances
from distil_theory import number_systems as ns
from distil_theory.certify import GENERATORS
from distil_theory.gallery import GALLERY
from distil_theory.instances import Instance, exact_instance
from distil_theory.spec import TabularMDP

LONGEST = 12
"""Steps, or tokens, that the page has room for."""
BY_NAME = {make.__name__: make for make in instances.INSTANCES}
NAME_OF = {text: name for name, text in GENERATORS.items() if name != "concave"}
"""Divergences of the catalogue by their generator."""


class Settings(NamedTuple):
    """One step of which objective, how: the choices beside the instance."""

    divergence: str = "forward_kl"
    geometry: str = "natural"
    objective: str = "local"
    eta: str = "1/2"


SHOWN = {
    "teaching_bandit": Settings("reverse_kl"),
    "euclidean_bandit": Settings(geometry="euclidean"),
    "two_contexts": Settings("reverse_kl"),
    "success_euclidean": Settings("reverse_kl", "euclidean"),
    "success_euclidean_js": Settings("jensen_shannon", "euclidean"),
    "spurious_disagreement": Settings(objective="full"),
    "entropy_trap": Settings(objective="full cross-entropy"),
    "lagged_teacher": Settings("reverse_kl"),
    "chance_ahead": Settings(objective="full"),
    "entropy_ahead": Settings(objective="full cross-entropy"),
    "reward_before_the_end": Settings(objective="full"),
    "doubtful_branch": Settings(objective="full"),
    "rare_way": Settings("pearson_chi2"),
    "lost_way": Settings("neyman_chi2"),
    "shown_program": Settings("reverse_kl"),
}
"""With which settings an instance shows what it exposes; for all others `Settings()`."""
SHORT = {"compounding_chain": "1/50", "lucky_way": "1/20", "horizon_chain": "1/500", "better_somewhere": "1/500"}
SHORT |= dict.fromkeys(("risky_fork", "privileged_grid", "lost_way", "shown_program", "unfamiliar_program"), "1/10")
"""Steps short enough to show it, where ratios are large."""
HINTS = ("rare_way", "lost_way", "hidden_trace", "tested_program")
"""Instances with a truthful hint and without chance: claim 19."""


def make(name: str, parameters: Mapping[str, Any] | None = None) -> Instance:
    """A fresh start.

    Args:
        name: of a function of `instances`, or `certificate:` and the name of a file of the gallery.
        parameters: of the function, as texts; missing ones have their default.

    Raises:
        ValueError: no such preset or parameter, or a parameter that the function refuses.
    """
    return _made(name, tuple(sorted((parameters or {}).items())))


@lru_cache(maxsize=256)
def _made(name: str, parameters: tuple[tuple[str, Any], ...]) -> Instance:
    if name.startswith("certificate:"):
        return _from_certificate(name.partition(":")[2])
    if name not in BY_NAME:
        raise ValueError(f"there is no preset {name!r}")
    known = {item["name"]: item["whole"] for item in adjustable(name)}
    values = {}
    for key, text in parameters:
        if key not in known:
            raise ValueError(f"{name} has no parameter {key!r}")
        values[key] = whole(key, text) if known[key] else str(text).strip()
    return BY_NAME[name](**values)


def whole(what: str, text: Any) -> int:
    """A whole number from 1 to `LONGEST`; `ValueError` otherwise."""
    if not (str(text).strip().isascii() and str(text).strip().isdecimal() and 1 <= int(str(text)[:9]) <= LONGEST):
        raise ValueError(f"{what} must be a whole number from 1 to {LONGEST}, not {str(text)[:40]!r}")
    return int(str(text))


def adjustable(name: str) -> list[dict[str, Any]]:
    """The parameters of a preset: name, default as text, whether it is a whole number."""
    if name not in BY_NAME:
        return []
    found = inspect.signature(BY_NAME[name]).parameters.values()
    return [
        {"name": p.name, "default": str(p.default), "whole": type(p.default) is int}
        for p in found
        if p.default is not None
    ]


@lru_cache(maxsize=1)
def certificates() -> dict[str, dict[str, Any]]:
    """The gallery by name, without the restricted classes and what is no divergence: the page has no place for them."""
    found = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(GALLERY.glob("*.json"))}
    return {name: c for name, c in found.items() if "features" not in c and c["divergence"] in NAME_OF}


def _from_certificate(name: str) -> Instance:
    if name not in certificates():
        raise ValueError(f"there is no certificate {name!r}")
    c = certificates()[name]
    fields = {key: ns.convert(c["mdp"][key], "rational") for key in ("transition", "reward", "initial")}
    mdp = TabularMDP(**fields, observation=c["mdp"]["observation"])
    return exact_instance(name, mdp, c["student"], c["expert"], c["statement"])


def settings(name: str) -> Settings:
    """The settings with which a preset shows what it is for."""
    if not name.startswith("certificate:"):
        chosen = SHOWN.get(name, Settings())
        return chosen._replace(eta=SHORT.get(name, chosen.eta))
    c = certificates()[name.partition(":")[2]]
    return Settings(NAME_OF[c["divergence"]], c["geometry"], c.get("objective", "local"), c["eta"] or "1/10")


def tab(case: Instance) -> str:
    """`"one"` for a bandit with three actions, a triangle; else `"many"`."""
    return "one" if case.mdp.shape == (1, 1, 3) else "many"


def catalogue() -> list[dict[str, Any]]:
    """All presets, as the page lists them."""
    names = [*BY_NAME, *(f"certificate:{name}" for name in certificates())]
    return [
        {
            "name": name,
            "label": name.rpartition(":")[2].replace("_", " "),
            "group": "certificates" if ":" in name else "named instances",
            "exposes": (case := make(name)).exposes,
            "tab": tab(case),
            "parameters": adjustable(name),
            "settings": (chosen := settings(name)._asdict()) | {"end": str(min(1000, 8 * Fraction(chosen["eta"])))},
        }
        for name in names
    ]
