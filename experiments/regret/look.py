"""What the pictures of `experiments.regret` share."""

from __future__ import annotations

from typing import Any

import matplotlib

from experiments.harness import OKABE_ITO as C

BOUND: dict[str, Any] = {"color": C["black"], "ls": (0, (5, 1.5)), "lw": 1.1}
"""How a proved bound is drawn."""
PROBLEMS = {
    "cell": (C["green"], "one cell, stochastic expert"),
    "garnet": (C["blue"], "Garnet, stochastic expert"),
    "deterministic": (C["vermillion"], "Garnet, deterministic expert"),
}
LEARNERS: dict[str, tuple[str, Any, str, str]] = {
    "dagger": (C["blue"], "-", "o", "DAgger: own states"),
    "clone": (C["vermillion"], "--", "s", "cloning: the expert's states"),
    "shared": (C["orange"], "-.", "^", "cloning, one table for all steps"),
}
STEPS: dict[str, tuple[str, Any, str]] = {
    "proximal": (C["blue"], "-", "proximal step (mixture)"),
    "natural": (C["green"], "--", "natural step"),
    "kt": (C["vermillion"], "-.", "counts of labels (KT)"),
}
TEACHERS = {
    "rising": ("o", "conditioned on the student's success"),
    "leading": ("P", "leads the student to the expert"),
    "fed": ("s", "new feedback every round"),
    "switching": ("^", "switches between two experts"),
    "contrary": ("v", "adversary with a budget"),
    "coin": ("D", "coin that nobody foresees"),
}


def plain(axis: Any, which: str = "y", most: int = 100) -> None:
    """A logarithmic axis with plain numbers: powers of ten, and 2 and 5 times those if the range is below `most`."""
    low, high = axis.get_ylim() if which == "y" else axis.get_xlim()
    one = axis.yaxis if which == "y" else axis.xaxis
    one.set_major_locator(matplotlib.ticker.LogLocator(subs=(1.0,) if high / low > most else (1.0, 2.0, 5.0)))
    one.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    one.set_minor_formatter(matplotlib.ticker.NullFormatter())
