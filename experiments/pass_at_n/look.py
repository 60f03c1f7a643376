"""What the pictures of `experiments.pass_at_n` share: one colour, line and mark for each objective."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.lines import Line2D

from experiments.harness import LINES
from experiments.harness import OKABE_ITO as C

LOOK: dict[str, tuple[str, Any, str]] = {
    "distil": LINES["forward_kl"],
    "sdpo": LINES["reverse_kl"],
    "opsd": LINES["jensen_shannon"],
    "likelihood": (C["sky"], (0, (1, 1)), "P"),
    "rl": (C["black"], ":", "x"),
}
NAMES = {
    "distil": "forward CE (DistIL)", "sdpo": "reverse KL (SDPO)", "opsd": "Jensen-Shannon (OPSD)",
    "likelihood": "likelihood RL", "rl": "plain RL",
}  # fmt: skip
TEACHER = {"own": "own teacher", "fixed": "fixed teacher"}
SHOWN = 3
"""The rank in the pictures of random prompts, or the largest below it."""


def handles(objectives: Iterable[str], marks: bool = False) -> list[Line2D]:
    """Entries of a legend."""
    return [
        Line2D([], [], color=LOOK[o][0], ls=LOOK[o][1], marker=LOOK[o][2] if marks else None, ms=4, label=NAMES[o])
        for o in objectives
    ]


def line(axis: Any, x: Any, y: Any, objective: str, **options: Any) -> None:
    """One curve of an objective."""
    axis.plot(x, y, **({"color": LOOK[objective][0], "ls": LOOK[objective][1]} | options))


def shown_rank(table: pd.DataFrame) -> int:
    """The rank that pictures show."""
    return int(table.loc[table["rank"] <= SHOWN, "rank"].max())


def powers(axis: Any, largest: int) -> None:
    """A logarithmic axis of N."""
    axis.set_xscale("log", base=2)
    ticks = [n for n in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) if n <= largest][:: 2 if largest > 64 else 1]
    axis.set_xticks(ticks, [str(n) for n in ticks])
    axis.minorticks_off()
    axis.set_xlim(0.93, largest * 1.07)
