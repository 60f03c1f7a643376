"""The pictures of `experiments.llm_scale`, drawn from its saved tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from experiments import harness, llm_bridge_plots
from experiments.harness import OKABE_ITO as C
from experiments.harness import Tables, title
from experiments.llm_scale.cases import GAMES, LABELS, OBJECTIVES, TEACHERS
from experiments.llm_scale.predictions import CONTRADICTED, HELD, UNDECIDED
from experiments.llm_scale.tables import first_rate

STYLES = {name: llm_bridge_plots.STYLES[name] for name in OBJECTIVES} | {
    "policy_gradient": (C["green"], (0, (3, 1)), "D"),
    "grpo": (C["green"], "-", "D"),
}
DRAWN = ("network", "exact")
VERDICTS = {HELD: C["blue"], CONTRADICTED: C["vermillion"], UNDECIDED: "0.55"}
SHORT = {"sum": "sums", "alike": "sums, look alike", "programs": "programs, tests", "digits": "sums, digits",
         "shown": "one program told"}  # fmt: skip


def _main(table: pd.DataFrame) -> pd.DataFrame:
    """The wide networks, exact gradients, the first rate."""
    return table[(table["width"] == "wide") & (table["gradient"] == "exact") & first_rate(table)]


def curves(figure: Any, tables: Tables) -> None:
    """Return against steps."""
    table = _main(tables["curves"])
    games = [g for g in GAMES if g in set(table["game"])]
    axes = figure.subplots(2, len(games), sharex=True, squeeze=False)
    for line, teacher in zip(axes, DRAWN, strict=True):
        for axis, game in zip(line, games, strict=True):
            part = table[(table["game"] == game) & (table["teacher"] == teacher)]
            for name, group in part.groupby("objective", sort=False):
                colour, style, _ = STYLES[name]
                axis.plot(group["step"], group["return"], color=colour, ls=style, label=LABELS[name], lw=1.1)
            told = part[part["objective"] == "forward_ce"]
            axis.plot(told["step"], told["return_teacher"], color="0.6", lw=0.8, ls=":", label="the teacher")
            axis.set_ylim(bottom=0)
            if teacher == DRAWN[0]:
                axis.set_title(SHORT[game], fontsize=7.5)
            else:
                axis.set_xlabel("step of Adam")
        line[0].set_ylabel(f"return; teacher:\n{TEACHERS[teacher]}", fontsize=7)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=5, columnspacing=1.0, fontsize=6.5)
    title(figure, "(a) Training of wide networks: means over seeds; the policy gradient and GRPO have no teacher")
    figure.subplots_adjust(left=0.1, right=0.98, bottom=0.2, top=0.88, wspace=0.38, hspace=0.1)


def dials(figure: Any, tables: Tables) -> None:
    """Reverse KL and GRPO less local forward CE, for every teacher, game and width."""
    table = tables["paired"]
    table = table[(table["metric"] == "mean_return") & (table["gradient"] == "exact")]
    table = table[first_rate(table)]
    games = [g for g in GAMES if g in set(table["game"])]
    known = set(zip(table["teacher"], table["width"], strict=True))
    rows = [(t, w) for t in TEACHERS for w in ("wide", "narrow") if (t, w) in known]
    axes = figure.subplots(1, len(games), sharey=True, squeeze=False)[0]
    for axis, game in zip(axes, games, strict=True):
        for shift, objective in ((-0.2, "reverse_kl"), (0.0, "jensen_shannon"), (0.2, "grpo")):
            colour, _, marker = STYLES[objective]
            for y, (teacher, width) in enumerate(rows):
                here = table[(table["game"] == game) & (table["teacher"] == teacher) & (table["width"] == width)]
                for x in here[here["objective"] == objective].itertuples():
                    axis.plot([x.lower, x.upper], [y + shift] * 2, color=colour, lw=1)
                    filled = colour if width == "wide" else "white"
                    text = LABELS[objective] if y == 0 else None
                    axis.plot(x.value, y + shift, marker, color=colour, ms=3, mfc=filled, label=text)
        axis.axvline(0, color="0.6", lw=0.7)
        axis.set_title(SHORT[game], fontsize=7.5)
        for y in np.arange(len(rows) - 1) + 0.5:
            axis.axhline(y, color="0.92", lw=0.5, zorder=0)
    axes[0].set_yticks(range(len(rows)), [f"{TEACHERS[t]}\n{w}" for t, w in rows], fontsize=6.5)
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncols=3)
    title(figure, "(b) Return, averaged over the training, less that of local forward CE (95 %, paired by seed)")
    figure.subplots_adjust(left=0.215, right=0.985, bottom=0.14, top=0.87, wspace=0.12)


def foretold(figure: Any, tables: Tables) -> None:
    """Every prediction with its difference and verdict."""
    table = tables["predictions"]
    parts = [part for _, part in table.groupby(table["metric"].isin(["length", "entropy"]))]
    axes = figure.subplots(len(parts), 1, squeeze=False, gridspec_kw={"height_ratios": [len(p) for p in parts]})[:, 0]
    for axis, part in zip(axes, parts, strict=True):
        for y, x in enumerate(part.itertuples()):
            axis.plot([x.lower, x.upper], [y, y], color=VERDICTS[x.verdict], lw=1.2)
            axis.plot(x.value, y, "o", color=VERDICTS[x.verdict], ms=3)
        names = [f"{x.prediction} ({x.about}; {x.game}): {x.expected}" for x in part.itertuples()]
        axis.set_yticks(range(len(part)), names, fontsize=6)
        axis.set_ylim(len(part) - 0.4, -0.6)
        axis.axvline(0, color="0.6", lw=0.7)
        lengths = part["metric"].isin(["length", "entropy"]).any()
        axis.set_xlabel("tokens, or nats of entropy" if lengths else "return (mean over the training, or greedy)")
    for name, colour in VERDICTS.items():
        axes[0].plot([], [], "o", color=colour, ms=3, label=name)
    axes[0].legend(loc="lower right", fontsize=6.5)
    title(figure, "(c) What was foretold, and the paired difference that was found (95 %)")
    figure.subplots_adjust(left=0.46, right=0.985, bottom=0.06, top=0.94, hspace=0.25)


def efficiency(figure: Any, tables: Tables) -> None:
    """The first step's gain for what it moves, as a share of the policy gradient's."""
    table = tables["efficiency"]
    table = table[table["width"] == "wide"]
    games = [g for g in GAMES if g in set(table["game"])]
    names = list(dict.fromkeys(table["objective"]))
    axes = figure.subplots(1, len(games), sharey=True, sharex=True, squeeze=False)[0]
    marks = (("efficiency", "o", "a free student, natural"), ("gain_natural", "s", "network, natural (damped)"),
             ("gain_adam", "D", "network, Adam"))  # fmt: skip
    for axis, game in zip(axes, games, strict=True):
        for shift, teacher, colour in ((-0.15, "network", C["vermillion"]), (0.15, "exact", C["blue"])):
            here = table[(table["game"] == game) & (table["teacher"] == teacher)].set_index("objective").reindex(names)
            for column, marker, text in marks:
                axis.plot(here[column], np.arange(len(names)) + shift, marker, color=colour, ms=3.2,
                          mfc=colour if column == "efficiency" else "white", ls="",
                          label=f"{text}; {TEACHERS[teacher].partition(',')[0]}")  # fmt: skip
        axis.axvline(0, color="0.6", lw=0.7)
        axis.axvline(1, color="0.8", lw=0.7, ls=":")
        axis.set_title(SHORT[game], fontsize=7.5)
    axes[0].set_yticks(range(len(names)), [LABELS[name] for name in names], fontsize=6.5)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncols=2, fontsize=6.5)
    title(figure, "(d) First-order gain of the first step for what it moves; the policy gradient's is 1")
    figure.subplots_adjust(left=0.215, right=0.985, bottom=0.3, top=0.85, wspace=0.12)


HEIGHTS = {curves: 3.6, dials: 4.2, foretold: 6.2, efficiency: 3.0}


def draw(name: str) -> Callable[[Tables, Path], list[str]]:
    """A function that draws every panel that has something to show, and the page with all of them."""

    def drawn(tables: Tables, out: Path) -> list[str]:
        absent = {foretold: tables["predictions"].empty, efficiency: "efficiency" not in tables}
        shown = {panel: height for panel, height in HEIGHTS.items() if not absent.get(panel)}
        with plt.rc_context({"figure.max_open_warning": 0}):
            files = harness.draw_panels(harness.by_name(shown), out, name, tables=tables)
        return harness.shrink(out, files, name)

    return drawn
