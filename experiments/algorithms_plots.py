"""Pictures of `experiments.algorithms`, and how the algorithms look in all three experiments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from experiments import harness
from experiments.harness import OKABE_ITO as C
from experiments.harness import Tables, title
from experiments.loop import worlds

LOOK: dict[str, tuple[str, Any, str]] = {
    "DistIL": (C["blue"], "-", "o"),
    "DistIL, CE-to-go": (C["sky"], (0, (4, 1)), "v"),
    "DistIL, KL-to-go": (C["blue"], (0, (4, 1, 1, 1)), "^"),
    "DistIL, prefix-weighted": (C["sky"], (0, (1, 1)), "D"),
    "SDPO": (C["vermillion"], "-", "s"),
    "OPSD": (C["orange"], "--", "P"),
    "GRPO": (C["black"], "-", "*"),
    "RLVR": ("0.5", (0, (1, 1)), "x"),
    "DAgger": (C["green"], "-", "h"),
    "cloning": (C["purple"], "--", "d"),
}
"""Colour, line style and marker of each algorithm."""
TITLES = {
    "sum": "sum", "programs": "programs", "solution": "one solution shown", "thinking": "thinking",
    "garnet": "Garnets", "hidden": "Garnets, hidden state", "small sum": "small sum", "all worlds": "all worlds",
}  # fmt: skip
NARROW = TITLES | {"solution": "one solution", "hidden": "Garnets, hidden"}
"""Titles of narrow axes."""
SHORT = {
    "DistIL, CE-to-go": "  CE-to-go",
    "DistIL, KL-to-go": "  KL-to-go",
    "DistIL, prefix-weighted": "  prefix-weighted",
}
EXPERTS = "DAgger and cloning ask the best expert there is"


def handles(names: Iterable[str], *, marks: bool = False) -> list[Line2D]:
    """Entries of a legend."""
    return [
        Line2D([], [], color=LOOK[n][0], ls=LOOK[n][1], marker=LOOK[n][2] if marks else None, ms=4, label=n)
        for n in names
    ]


def curves(figure: Any, tables: Tables, *, mode: str, letter: str) -> None:
    """Panels (a) and (b)."""
    table = tables["learning"].query("mode == @mode and quantity == 'score'")
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    for axis, world in zip(axes.flat, worlds.WORLDS, strict=True):
        for name, (colour, style, _) in LOOK.items():
            x = table[(table["world"] == world) & (table["algorithm"] == name)]
            axis.fill_between(x["step"], x["lower"], x["upper"], color=colour, alpha=0.13, lw=0)
            axis.plot(x["step"], x["value"], color=colour, ls=style, lw=1.2)
        axis.axhline(0, color="0.7", lw=0.6, zorder=0)
        axis.set_title(TITLES[world])
        axis.set(ylim=(-0.12, 1.03), xlim=(0, table["step"].max()))
    for axis in axes[1]:
        axis.set_xlabel("step")
    for axis in axes[:, 0]:
        axis.set_ylabel("score")
    figure.legend(handles=handles(LOOK), loc="lower center", ncols=5, columnspacing=1.2, handlelength=2.6)
    what = "exact expectations" if mode == "exact" else "64 rollouts per step"
    title(figure, f"({letter}) Learning with {what}: all steps have one size, 0.01 nats (interquartile means, 95 %)")
    figure.subplots_adjust(left=0.085, right=0.985, bottom=0.2, top=0.87, wspace=0.1, hspace=0.28)


def rows_of(axis: Any, names: Iterable[str]) -> dict[str, int]:
    """One row for each algorithm, named on the left."""
    place = {name: i for i, name in enumerate(names)}
    axis.set_yticks(list(place.values()), [SHORT.get(n, n) for n in place])
    axis.set_ylim(len(place) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", color="0.9", lw=0.5)
    return place


MODES = (("exact", -0.17, True), ("sampled", 0.17, False))


def dots(axis: Any, table: pd.DataFrame, names: Iterable[str]) -> None:
    """Values of one world with their intervals, exact mode above sampled mode, one row per algorithm."""
    place = rows_of(axis, names)
    found = table.set_index(["mode", "algorithm"])
    for mode, shift, filled in MODES:
        for name, i in place.items():
            x, colour = found.loc[(mode, name)], LOOK[name][0]
            axis.plot([x["lower"], x["upper"]], [i + shift] * 2, color=colour, lw=1.1)
            axis.plot(x["value"], i + shift, "o", color=colour, mfc=colour if filled else "white", ms=3.5, mew=0.9)


def modes(figure: Any) -> None:
    """The legend of `dots`."""
    marks = [
        Line2D([], [], ls="", marker="o", color="0.3", mfc=face, ms=4, label=text)
        for face, text in (("0.3", "exact expectations"), ("white", "64 rollouts per step"))
    ]
    figure.legend(handles=marks, loc="lower center", ncols=2)


METRICS = {"pass@1": ("o", 0.25), "pass@8": ("s", 0.55), "pass@16": ("D", 0.8), "maj@16": ("x", 1.0)}


def answers(figure: Any, tables: Tables) -> None:
    """Panel (c)."""
    table = tables["answers"].query("mode == 'sampled'")
    half = sorted(table["step"].unique())[1]
    shown = table[table["step"] == half]
    axes = figure.subplots(1, 6, sharey=True)
    for axis, world in zip(axes, worlds.WORLDS, strict=True):
        place = rows_of(axis, LOOK)
        for name, i in place.items():
            here = shown[(shown["world"] == world) & (shown["algorithm"] == name)].set_index("metric")
            colour = LOOK[name][0]
            for metric, x in here.iterrows():
                marker, depth = METRICS[str(metric)]
                axis.plot([x["lower"], x["upper"]], [i, i], color=colour, lw=1, alpha=0.6)
                face = "none" if metric == "pass@1" else colour
                axis.plot(
                    x["value"], i, marker, color=colour, mfc=face, ms=3.6, mew=0.9, alpha=depth if depth < 1 else 1
                )
        axis.set(xlim=(-0.03, 1.05), xticks=[0, 0.5, 1], xticklabels=["0", ".5", "1"])
        axis.set_title(NARROW[world], fontsize=7)
    marks: list[Any] = [
        Line2D([], [], ls="", marker=m, color="0.3", mfc="none" if k == "pass@1" else "0.3", ms=4, label=k.capitalize())
        for k, (m, _) in METRICS.items()
    ]
    figure.legend(handles=marks, loc="lower center", ncols=4)
    title(figure, f"(c) One answer, or several: after {half} steps with 64 rollouts each (in Garnets nobody votes)")
    figure.subplots_adjust(left=0.145, right=0.99, bottom=0.18, top=0.83, wspace=0.1)


def drops(figure: Any, tables: Tables) -> None:
    """Panel (d)."""
    table = tables["drops"]
    axes = figure.subplots(1, 6, sharey=True)
    for axis, world in zip(axes, worlds.WORLDS, strict=True):
        dots(axis, table[table["world"] == world], LOOK)
        axis.axvline(0, color="0.7", lw=0.6, zorder=0)
        top = max(0.055, 1.1 * table[table["world"] == world]["upper"].max())
        axis.set_xlim(-0.04 * top, top)
        axis.xaxis.set_major_locator(harness.matplotlib.ticker.MaxNLocator(3))
        axis.xaxis.set_major_formatter(harness.matplotlib.ticker.PercentFormatter(1, decimals=0))
        axis.set_title(NARROW[world], fontsize=7)
    modes(figure)
    title(figure, "(d) Share of steps that lowered the return (scales differ; means over students, 95 %)")
    figure.subplots_adjust(left=0.145, right=0.985, bottom=0.19, top=0.83, wspace=0.14)


def paired(figure: Any, tables: Tables) -> None:
    """Panel (e)."""
    table = tables["paired"]
    shown = (*worlds.WORLDS, "all worlds")
    axes = figure.subplots(1, len(shown), sharey=True)
    names = [n for n in LOOK if n != "DistIL"]
    for axis, world in zip(axes, shown, strict=True):
        dots(axis, table[table["world"] == world], names)
        axis.axvline(0, color="0.5", lw=0.7, zorder=0)
        axis.set(xlim=(-0.66, 0.3), xticks=[-0.5, 0], xticklabels=["-.5", "0"])
        axis.set_title(NARROW[world].replace(", ", ",\n").replace("one solution", "one\nsolution"), fontsize=7)
    modes(figure)
    title(figure, "(e) Mean score over training minus that of local DistIL from the same student; to the right: better")
    figure.subplots_adjust(left=0.145, right=0.985, bottom=0.2, top=0.79, wspace=0.14)


def budget(figure: Any, tables: Tables) -> None:
    """Panel (f)."""
    left, right, bars = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1, 1, 1.05]})
    table = tables["budget"]
    for name, (colour, style, _) in LOOK.items():
        x = table[(table["algorithm"] == name) & (table["rollouts"] > 0)]
        for axis, what in ((left, "rollouts"), (right, "queries")):
            if (x[what] > 0).all():
                axis.fill_between(x[what], x["lower"], x["upper"], color=colour, alpha=0.13, lw=0)
                axis.plot(x[what], x["value"], color=colour, ls=style, lw=1.2)
    for axis, what in ((left, "rollouts"), (right, "questions to the teacher")):
        axis.set(xscale="log", xlabel=what, ylim=(0, 1.03), title="score in all worlds")
    right.text(0.03, 0.95, "GRPO and RLVR ask nobody", transform=right.transAxes, fontsize=6.5, va="top")
    left.set_ylabel("score")
    right.tick_params(labelleft=False)
    spent = tables["needed"].query("world == 'all worlds' and what == 'rollouts'")
    place = rows_of(bars, LOOK)
    for goal, marker in ((0.5, "o"), (0.9, "D")):
        for x in spent[np.isclose(spent["goal"], goal)].itertuples():
            colour = LOOK[x.algorithm][0]
            bars.plot([x.lower, x.upper], [place[x.algorithm]] * 2, color=colour, lw=1.2)
            face = colour if x.reached > 0.75 else "white"
            bars.plot(x.value, place[x.algorithm], marker, color=colour, mfc=face, ms=4, mew=0.9)
    bars.set(xlabel="to score 0.5 ●, 0.9 ◆", title="rollouts needed", xscale="log")
    bars.set_xticks([200, 500, 1000, 2000], ["200", "500", "1000", "2000"])
    bars.minorticks_off()
    figure.legend(handles=handles(LOOK), loc="lower center", ncols=5, columnspacing=1.2, handlelength=2.6)
    title(figure, "(f) What a rollout and a question buy; white: a quarter of the students or more never got there")
    figure.subplots_adjust(left=0.075, right=0.985, bottom=0.34, top=0.82, wspace=0.1)
    box = bars.get_position()
    bars.set_position((box.x0 + 0.095, box.y0, box.width - 0.095, box.height))


def habits(figure: Any, tables: Tables) -> None:
    """Panel (g)."""
    table = tables["learning"].query("mode == 'sampled'")
    shown = (("entropy", "programs"), ("entropy", "solution"), ("entropy", "thinking"), ("length", "thinking"))
    for axis, (quantity, world) in zip(figure.subplots(1, len(shown)), shown, strict=True):
        here = table[(table["quantity"] == quantity) & (table["world"] == world)]
        for name, x in here.groupby("algorithm", sort=False):
            colour, style, _ = LOOK[str(name)]
            axis.fill_between(x["step"], x["lower"], x["upper"], color=colour, alpha=0.13, lw=0)
            axis.plot(x["step"], x["value"], color=colour, ls=style, lw=1.2)
        unit = "nats per answer" if quantity == "entropy" else "tokens"
        axis.set(xlabel="step", ylabel=unit, ylim=(0, None), xlim=(0, here["step"].max()))
        axis.set_title(f"{quantity}: {TITLES[world]}", fontsize=7)
    figure.legend(handles=handles(LOOK), loc="lower center", ncols=5, columnspacing=1.2, handlelength=2.6)
    title(figure, "(g) What becomes of entropy and length: cross-entropy-to-go stops thinking (64 rollouts per step)")
    figure.subplots_adjust(left=0.075, right=0.985, bottom=0.34, top=0.82, wspace=0.38)


PANELS: dict[str, tuple[Callable[..., None], float]] = {
    "exact": (partial(curves, mode="exact", letter="a"), 3.5),
    "sampled": (partial(curves, mode="sampled", letter="b"), 3.5),
    "answers": (answers, 2.6),
    "drops": (drops, 2.6),
    "paired": (paired, 2.6),
    "budget": (budget, 2.6),
    "habits": (habits, 2.4),
}
"""Panel to drawing and height in inches."""


def draw(tables: Tables, out: Path) -> list[str]:
    """Draw every panel and the page with all of them; returns the names of the files."""
    return harness.shrink(out, harness.draw_panels(PANELS, out, "algorithms", tables=tables), "algorithms")
