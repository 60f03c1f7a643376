"""Pictures of `experiments.sequential_monotonicity`, each drawn from its saved tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from experiments import harness
from experiments import sequential_failure_plots as failure_plots
from experiments.harness import OKABE_ITO as C

Tables = dict[str, pd.DataFrame]
SHADES = [C["vermillion"], C["orange"], C["sky"], C["blue"]]
STYLES = ["-", "--", "-.", ":"]
HORIZONS = {2: (C["sky"], ":"), 4: (C["blue"], "-."), 8: (C["vermillion"], "--"), 16: (C["black"], "-"), 32: (C["purple"], "-")}
"""Colour and line style of each horizon."""


def title(figure: Any, text: str) -> None:
    """The line above a panel."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=8.5)


def horizon(figure: Any, tables: Tables) -> None:
    """Panel (a)."""
    axes = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1, 1, 1.05]})
    table, delta = tables["horizon"], 0.1
    chains = (("horizon_chain", "expert better at every state", 1), ("better_somewhere", "expert better on average", 0))
    for axis, (name, heading, free) in zip(axes[:2], chains, strict=True):
        part = table[table["instance"] == name]
        lengths = np.arange(1, part["horizon"].max() + 1)
        bound = r"$-(H-1)(1-\delta)$" if free else r"$-H(1-\delta)$"
        axis.plot(lengths, -(lengths - free) * (1 - delta), color="0.55", lw=3.5, alpha=0.5)
        axis.text(lengths[-1] * 0.86, -(lengths[-1] - free) * 0.93, "bound\n" + bound, ha="right", va="top", fontsize=7, color="0.35")
        for (rarity, group), colour, style in zip(part.groupby("rarity", sort=False), SHADES, STYLES, strict=True):
            axis.plot(group["horizon"], group["rate"], color=colour, ls=style, label=rarity)
        rarest = part[part["rarity"] == part["rarity"].iloc[0]]
        axis.plot(rarest["horizon"], rarest["weighted_rate"], color=C["green"], lw=1.8)
        axis.axhline(0, color="0.6", lw=0.6, zorder=0)
        axis.set(xlabel="horizon $H$", title=heading, ylim=(-24, 3), xlim=(1, lengths[-1]))
        axis.text(lengths[-1], 0.5, "prefix-weighted: $J^*-J$", ha="right", va="bottom", fontsize=7, color=C["green"])
    axes[0].set_ylabel("rate $dJ/d\\eta$ of a small step")
    axes[1].tick_params(labelleft=False)
    axes[0].legend(loc="lower left", title="local, student leaves\nthe safe path with", title_fontsize=7, handlelength=2.4)
    axis = axes[2]
    ends = {}
    for (length, part), group in tables["steps"].groupby(["horizon", "part"], sort=False):
        moved = group[group["eta"] > 0]
        colour, style = HORIZONS[length]
        axis.plot(moved["eta"], moved["return"], color=C["green"] if part == "weighted" else colour,
                  ls=style, lw=1.0 if part == "weighted" else 1.4)  # fmt: skip
        if part == "local":
            least = moved.loc[moved["return"].idxmin()]
            ends[length] = (least["eta"], least["return"])
    for length, where in ends.items():
        axis.annotate(f"$H={length}$", where, xytext=(0, -3), textcoords="offset points", ha="center", va="top",
                      fontsize=7, color=HORIZONS[length][0])  # fmt: skip
    axis.text(0.03, 0.05, "green: prefix-weighted", transform=axis.transAxes, fontsize=7, color=C["green"])
    axis.set(xscale="log", xlabel=r"size $\eta$ of a natural step", title="finite steps (1/100): the return", ylim=(0, 1.04))
    title(figure, "(a) The longer the horizon, the more a better expert can hurt: local forward KL, expert better by $\\delta=0.1$ or more")
    figure.subplots_adjust(left=0.075, right=0.99, bottom=0.17, top=0.82, wspace=0.2)


def curves(figure: Any, tables: Tables) -> None:
    """Panel (b)."""
    axes = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1, 1, 1.1]})
    marks = tables["curve_marks"]
    for axis, (version, heading) in zip(axes[:2], (("average", "expert better on average"), ("everywhere", "expert better at every state")), strict=True):
        for length, group in tables["curves"].query("version == @version").groupby("horizon"):
            colour, style = HORIZONS[length]
            axis.plot(group["gap"], group["loss"], color=colour, ls=style, label=f"$H={length}$")
            here = marks[(marks["version"] == version) & (marks["horizon"] == length)]
            for kind, marker, size in (("ascent", "x", 2.5), ("attained", "o", 4)):
                part = here[here["kind"] == kind]
                axis.plot(part["gap"], part["loss"], marker, color=colour, mfc="none", ms=size, mew=0.7)
        axis.axhline(0, color="0.6", lw=0.6, zorder=0)
        axis.set(xlabel="how much better, $J^*-J$", title=heading, xlim=(-0.02, 0.68), ylim=(-0.68, 0.78))
    axes[1].tick_params(labelleft=False)
    axes[0].set_ylabel("largest loss per unit step")
    handles, labels = axes[0].get_legend_handles_labels()
    for marker, text, size in (("o", "pair that attains it", 4), ("x", "ascent, knows no theorem", 3)):
        handles.append(matplotlib.lines.Line2D([], [], ls="", marker=marker, mfc="none", color="0.3", ms=size, mew=0.8))
        labels.append(text)
    axes[0].legend(handles[:3], labels[:3], loc="lower left")
    axes[1].legend(handles[3:], labels[3:], loc="lower left", handletextpad=0.2)
    axis = axes[2]
    gaps = tables["safe_gaps"]
    for (low, high), colour in zip(((0.5, 2.0), (0.8, 1.25)), (C["vermillion"], C["blue"]), strict=True):
        part = gaps[np.isclose(gaps["low"], low) & np.isclose(gaps["high"], high) & (gaps["horizon"] > 1)]
        for version, style in (("average", "-"), ("everywhere", "--")):
            line = part[part["version"] == version]
            axis.plot(line["horizon"], line["safe_gap"], color=colour, ls=style)
        line = part[part["version"] == "average"]
        axis.plot(line["horizon"], line["chi2_bound"], color=colour, ls=":")
        end = line.iloc[-1]
        axis.text(end["horizon"] * 1.05, end["safe_gap"], f"[{low:g}, {high:g}]", fontsize=7, color=colour, va="center")
    axis.set(xscale="log", yscale="log", xlabel="horizon $H$", title="safe gap for ratios in", ylim=(0.01, 1.3), xlim=(2, 70))
    axis.set_xticks([2, 4, 8, 16, 32], ["2", "4", "8", "16", "32"])
    axis.set_yticks([0.01, 0.03, 0.1, 0.3, 1], ["0.01", "0.03", "0.1", "0.3", "1"])
    axis.minorticks_off()
    for style, text in (("-", "on average"), ("--", "at every state"), (":", r"$\chi^2$ bound (claim 16)")):
        axis.plot([], [], color="0.3", ls=style, label=text)
    axis.legend(loc="lower right", handlelength=2.2)
    title(figure, "(b) How much can a local step lose? Tight curves for ratios $\\pi^*/\\pi$ in [0.5, 2]; below 0 none loses; where they cross 0: the safe gap")
    figure.subplots_adjust(left=0.08, right=0.99, bottom=0.17, top=0.82, wspace=0.24)


def band(figure: Any, tables: Tables) -> None:
    """Panel (e)."""
    axes = figure.subplots(1, 4, gridspec_kw={"width_ratios": [1, 1, 1, 1.35]})
    table = tables["band"]
    for axis, length in zip(axes, (2, 4, 8), strict=False):
        here = table[(table["horizon"] == length) & (table["high"] < 1.6)]
        exact = here["deviation"].dropna().iloc[0]
        chi2 = here.loc[here["kind"] != "random", "chi2_bound"].max()
        ends = np.array([-1, 1])
        axis.fill_between(ends, ends - chi2, ends + chi2, color=C["yellow"], alpha=0.25, lw=0)
        axis.fill_between(ends, ends - exact, ends + exact, color=C["sky"], alpha=0.35, lw=0)
        axis.plot(ends, ends, color="0.4", lw=0.7)
        for kind, marker, colour, size in (("random", ".", "0.25", 1.2), ("ascent", "x", C["blue"], 3.2),
                                           ("attained", "o", C["blue"], 4.5), ("sharp", "*", C["vermillion"], 8)):  # fmt: skip
            part = here[here["kind"] == kind]
            axis.plot(part["gap"], part["rate"], marker, color=colour, ms=size, mfc="none" if marker == "o" else colour, mew=0.7)
        axis.axhline(0, color="0.6", lw=0.6, zorder=0)
        axis.axvline(0, color="0.6", lw=0.6, zorder=0)
        axis.set(xlabel="gap $J^*-J$", title=f"$H={length}$", xlim=(-0.3, 0.45), ylim=(-0.4, 0.6))
        if length > 2:
            axis.tick_params(labelleft=False)
    axes[0].set_ylabel("rate $dJ/d\\eta$")
    handles = [
        matplotlib.patches.Patch(color=C["sky"], alpha=0.5, label="ratios in [0.7, 1.5]: exact"),
        matplotlib.patches.Patch(color=C["yellow"], alpha=0.4, label=r"$\chi^2\leq 0.15$ at every state"),
        *(matplotlib.lines.Line2D([], [], ls="", marker=marker, color=colour, mfc=face, ms=size, mew=0.8, label=text)
          for marker, colour, face, size, text in ((".", "0.25", "0.25", 3, "random pairs"), ("x", C["blue"], None, 4, "ascents"),
                                       ("o", C["blue"], "none", 4, "attained"), ("*", C["vermillion"], C["vermillion"], 7, "sharp (16b): rate 0"))),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="lower left", ncols=3, columnspacing=1.0, bbox_to_anchor=(0.05, 0.0), handletextpad=0.5)
    axis = axes[3]
    for length, group in tables["needed"].groupby("horizon"):
        colour, style = HORIZONS[length]
        axis.plot(group["chi2"], group["gap"], color=colour, ls=style, label=f"$H={length}$")
    sharp = table[(table["kind"] == "sharp") & table["horizon"].isin(HORIZONS)]
    for row in sharp.itertuples():
        axis.plot(row.chi2, row.gap, "*", color=C["vermillion"], ms=8, mec="white", mew=0.4, zorder=5)
    axis.set(xscale="log", yscale="log", xlabel=r"$\chi^2$ of the expert, per state", ylim=(1e-5, 1), xlim=(3e-6, 1),
             title="gap that makes a step safe")  # fmt: skip
    axis.minorticks_off()
    axis.legend(loc="lower right", handlelength=2.2, labelspacing=0.2)
    title(figure, "(e) Rate against gap: how far apart can they be? Above 0 the local step helps")
    figure.subplots_adjust(left=0.075, right=0.99, bottom=0.36, top=0.85, wspace=0.22)
    position = axis.get_position()
    axis.set_position((position.x0 + 0.03, 0.17, position.width - 0.03, position.height + 0.19))


PANELS: dict[str, tuple[Callable[[Any, Tables], None], float]] = {
    "horizon": (horizon, 2.6),
    "curves": (curves, 2.6),
    "failures": (failure_plots.failures, 4.6),
    "feedback": (failure_plots.feedback, 4.6),
    "band": (band, 2.7),
}
"""Panel to drawing and height in inches."""


def draw(tables: Tables, out: Path) -> list[str]:
    """Draw every panel and the page with all of them; returns the names of the files."""
    panels = {name: (partial(f, tables=tables), height) for name, (f, height) in PANELS.items()}
    return harness.draw_panels(panels, out, "sequential_monotonicity")
