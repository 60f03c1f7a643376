"""All pictures of `experiments.future_credit`, from its tables."""

from __future__ import annotations

from pathlib import Path

from experiments import harness
from experiments.future_credit import plots_frontier, plots_random, plots_steps, plots_training
from experiments.harness import Tables

HEIGHTS = {
    plots_training.fork: 2.5,
    plots_training.learning: 2.2,
    plots_steps.steps: 3.7,
    plots_steps.signs: 3.2,
    plots_random.bound: 2.2,
    plots_training.trap: 2.2,
    plots_training.length: 2.3,
    plots_random.leak: 2.3,
    plots_steps.hints: 2.3,
    plots_frontier.frontier: 4.7,
}
"""Panels, (a) to (j), and their heights in inches."""


def draw(tables: Tables, out: Path) -> list[str]:
    """Draw every panel and the page with all of them; returns the names of the files."""
    return harness.draw_panels(harness.by_name(HEIGHTS), out, "future_credit", tables=tables)
