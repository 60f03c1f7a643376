"""All pictures of `experiments.pass_at_n`, from its tables."""

from __future__ import annotations

from pathlib import Path

from experiments import harness
from experiments.harness import Tables
from experiments.pass_at_n import plots, plots_exact

HEIGHTS = {
    plots.curves: 2.5,
    plots.training: 3.6,
    plots_exact.crossing: 2.5,
    plots.modes: 2.4,
    plots_exact.estimators: 2.4,
}
"""Panels, (a) to (e), and their heights in inches."""


def draw(tables: Tables, out: Path) -> list[str]:
    """Draw every panel and the page with all of them; returns the names of the files."""
    return harness.draw_panels(harness.by_name(HEIGHTS), out, "pass_at_n", tables=tables)
