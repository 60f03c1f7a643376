"""What the pictures of `experiments.future_credit` share: one colour, line and mark for each objective."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from matplotlib.lines import Line2D

from experiments.harness import OKABE_ITO as C

LOOK: dict[str, tuple[str, Any, float, str, float]] = {
    "local": (C["blue"], "-", 1.8, "o", 4.5),
    "full_kl": (C["green"], "--", 1.5, "^", 4.5),
    "full_ce": (C["vermillion"], "-.", 1.3, "s", 6.5),
    "weighted": (C["purple"], (0, (1, 1.2)), 1.6, "D", 2.8),
    "full_ce_per_token": (C["orange"], (0, (4, 1, 1, 1, 1, 1)), 1.3, "v", 4),
    "weighted_unclipped": (C["sky"], (0, (5, 1.5)), 1.3, "P", 4),
}
"""Colour, line style, width, marker and its size of each objective."""
NAMES = {
    "local": "local", "full_kl": "full KL (KL-to-go)", "full_ce": "full cross-entropy", "weighted": "prefix-weighted",
    "full_ce_per_token": "cross-entropy per token", "weighted_unclipped": "weighted, no clip",
}  # fmt: skip
RAISES, LOWERS = "#cfe8df", C["vermillion"]


def legend(figure: Any, mark: Line2D) -> None:
    """The four objectives and one mark, below a panel."""
    entries = [*handles(("local", "full_kl", "full_ce", "weighted")), mark]
    figure.legend(handles=entries, loc="lower center", ncols=5, columnspacing=1.0, handlelength=2.4)


def handles(objectives: Iterable[str]) -> list[Line2D]:
    """Entries of a legend."""
    return [Line2D([], [], color=LOOK[o][0], ls=LOOK[o][1], lw=LOOK[o][2], label=NAMES[o]) for o in objectives]
