"""All pictures of `experiments.diagnosis`, from its tables."""

from __future__ import annotations

from pathlib import Path

from experiments import harness
from experiments.diagnosis import plots
from experiments.harness import Tables

HEIGHTS = {plots.cells: 2.7, plots.errors: 2.5, plots.needed: 2.6, plots.verdicts: 2.5, plots.checks: 2.4}
"""Panels, (a) to (e), and their heights in inches."""


def draw(tables: Tables, out: Path) -> list[str]:
    """Draw every panel and the page with all of them; returns the names of the files."""
    files = harness.draw_panels(harness.by_name(HEIGHTS), out, "diagnosis", tables=tables)
    return harness.shrink(out, files, "diagnosis")
