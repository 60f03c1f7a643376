"""Pictures of `experiments.ablations`: one panel per dial, one axis per world, and how often the return fell."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import PercentFormatter

from experiments import harness
from experiments.algorithms_plots import LOOK, TITLES, handles
from experiments.harness import Tables, title
from experiments.loop.dials import DIALS

SAYS = {
    "baseline": "A baseline steadies the future term (16 rollouts per step)",
    "expert": "An expert that only shows a sampled action (16 rollouts per step)",
    "rollouts": "Rollouts per step",
    "feedback": "What the feedback says (exact; programs are too many for two kinds)",
    "noise": "Feedback that is wrong (exact; small sum: another answer was looked up; else: the success bit flips)",
    "fraction": "Share of prompts that get feedback (exact)",
    "rate": "A teacher that averages the student's past; 0: frozen (exact)",
    "clip": "Clip range of the PPO step (16 rollouts, 4 inner epochs)",
    "temperature": "Temperature at which the teacher is read (exact)",
}
WITHOUT_ORDER = ("baseline", "expert", "feedback")
"""Dials whose values no line may join."""
WORDS = {
    "self_evaluation": "self-eval.",
    "trace_critique": "both",
    "inf": "none",
    "position": "batch",
    "state": "exact",
}


def panel(figure: Any, tables: Tables, *, dial: str, letter: str) -> None:
    """One dial."""
    table = tables["values"].query("dial == @dial")
    shown = [w for w in DIALS[dial].worlds if w in set(table["world"])]
    axes = figure.subplots(1, len(shown) + 1, gridspec_kw={"width_ratios": [1.1] * len(shown) + [1]})
    settings = [str(v) for v in DIALS[dial].values if str(v) in set(table["setting"])]
    place = {v: i for i, v in enumerate(settings)}
    names = [n for n in DIALS[dial].algorithms if n in set(table["algorithm"])]
    first = axes[0]
    for axis, world in zip(axes, [*shown, None], strict=True):
        for k, name in enumerate(names):
            colour, style, marker = LOOK[name]
            if world is None:  # a share of steps, over worlds
                x = table[(table["measure"] == "lowered") & (table["algorithm"] == name)]
                x = x.groupby("setting", sort=False)["value"].mean().reset_index()
            else:
                x = table[(table["measure"] == "area") & (table["algorithm"] == name) & (table["world"] == world)]
            at = np.array([place[v] for v in x["setting"]]) + 0.09 * (k - (len(names) - 1) / 2)
            axis.plot(at, x["value"], marker, color=colour, ls="" if dial in WITHOUT_ORDER else style, lw=0.9, ms=3.2)
            if world is not None:
                axis.vlines(at, x["lower"], x["upper"], color=colour, lw=1)
        turned = len(max(settings, key=len)) > 4
        words = [WORDS.get(v, v.removesuffix(".0")) for v in settings]
        axis.set_xticks(range(len(settings)), words, rotation=35 if turned else 0, ha="right" if turned else "center",
                        fontsize=6.5)  # fmt: skip
        axis.set_xlim(-0.4, len(settings) - 0.6)
        axis.set_title("steps that lower" if world is None else TITLES[world], fontsize=7.5)
        axis.axhline(0, color="0.8", lw=0.6, zorder=0)
        if not turned and axis is axes[len(shown) // 2]:
            axis.set_xlabel(DIALS[dial].title)
        if world is not None:
            axis.sharey(first)
            axis.tick_params(labelleft=axis is first)
    first.set_ylabel("mean score over training")
    low = min(0, table[table["measure"] == "area"]["lower"].min())
    first.set_ylim(1.08 * low - 0.02, 1.1 * table[table["measure"] == "area"]["upper"].max())
    highest = max(float(np.max(line.get_ydata())) for line in axes[-1].lines)
    axes[-1].yaxis.set_major_formatter(PercentFormatter(1, decimals=0 if highest > 0.02 else 1))
    axes[-1].set_ylim(-0.05 * max(0.02, highest), 1.1 * max(0.02, highest))
    figure.legend(handles=handles(names, marks=True), loc="lower center", ncols=5, handlelength=2.6)
    title(figure, f"({letter}) {SAYS[dial]}")
    figure.subplots_adjust(left=0.07, right=0.985, bottom=0.34, top=0.81, wspace=0.2)
    box = axes[-1].get_position()
    axes[-1].set_position((box.x0 + 0.03, box.y0, box.width - 0.03, box.height))


def draw(tables: Tables, out: Path) -> list[str]:
    """Draw every panel and the page with all of them; returns the names of the files."""
    panels = {
        dial: (partial(panel, dial=dial, letter=letter), 2.35) for dial, letter in zip(DIALS, "abcdefghi", strict=True)
    }
    return harness.shrink(out, harness.draw_panels(panels, out, "ablations", tables=tables), "ablations")
