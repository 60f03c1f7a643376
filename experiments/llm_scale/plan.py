"""Which pieces of work there are, in the order of value, and the settings: a core's, a card's, and quick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from experiments.llm_scale.cases import LOCAL, OBJECTIVES, OUTCOMES, Case, Setting, Size

CPU = Setting()
LARGE = Setting(
    base=4, length=6, wide=Size(128, 2, 60, 0.003, 0.0001),
    narrow=Size(8, 1, 200, 0.02, 0.003), games=("alike", "sum", "programs", "shown"), seeds=16, iterations=15,
)  # fmt: skip
"""Of a graphics card: 1365 prefixes per prompt, 270 000 parameters, 16 networks side by side."""
QUICK = Setting(
    base=3, digits=2, length=3,
    wide=Size(8, 2, 20, 0.03, 0.003), narrow=Size(4, 1, 20, 0.03, 0.003), seeds=3, steps=2,
    games=("sum", "alike", "programs"), iterations=3, every=1, prompts=4, judged=1,
)  # fmt: skip
EXTRA = ("sum", "alike", "programs")
"""Games in which further teachers, the other rate and drawn rollouts are tried."""


class Piece(NamedTuple):
    """Arguments of `training.training` but for the weights."""

    case: Case
    teacher: str
    objectives: tuple[str, ...]
    rate: float
    how: str = "exact"


def setting(quick: bool, large: bool) -> Setting:
    """What the command line asks for; both: the branches of a card, small."""
    return QUICK._replace(games=LARGE.games) if quick and large else QUICK if quick else LARGE if large else CPU


def cases(own: Setting, first_seed: int, device: str) -> list[Case]:
    """Networks that are educated, wide ones first."""
    return [Case(game, width, first_seed, own, device) for width in ("wide", "narrow") for game in own.games]


def basic(found: Sequence[Case]) -> list[Piece]:
    """What every explanation needs."""
    told = (("network", tuple(OBJECTIVES)), ("exact", tuple(OBJECTIVES)), ("none", tuple(OUTCOMES)))
    return [Piece(case, teacher, names, case.size.rate) for case in found for teacher, names in told]


def further(found: Sequence[Case]) -> list[Piece]:
    """Drawn rollouts, another rate, and further teachers, in some games."""
    both = ("forward_ce", "reverse_kl")
    pairs = (("network", both), ("exact", both), ("none", ("grpo",)))
    more = ("exact_frozen", "network_live", "stranger")
    out = []
    for case in found:
        if case.width == "wide" and case.game in EXTRA:
            rate = case.size.rate
            out += [Piece(case, teacher, names, rate, "drawn") for teacher, names in pairs]
            out += [Piece(case, teacher, names, rate * case.setting.faster) for teacher, names in pairs]
            out += [Piece(case, teacher, LOCAL, rate) for teacher in more]
    return out
