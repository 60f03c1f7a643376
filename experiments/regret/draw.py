"""All pictures of `experiments.regret`, from its tables."""

from __future__ import annotations

from pathlib import Path

from experiments import harness
from experiments.harness import Tables
from experiments.regret import plots_growth, plots_limits

HEIGHTS = {
    plots_growth.cumulative: 2.5,
    plots_growth.slopes: 2.6,
    plots_growth.chain: 2.9,
    plots_limits.drift: 3.0,
    plots_limits.horizon: 2.6,
    plots_limits.failures: 2.6,
}
"""Panels, (a) to (f), and their heights in inches."""


def draw(tables: Tables, out: Path) -> list[str]:
    """Draw every panel and the page with all of them; returns the names of the files."""
    return harness.draw_panels(harness.by_name(HEIGHTS), out, "regret", tables=tables)
