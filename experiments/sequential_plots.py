"""Pictures of `experiments.sequential_monotonicity`, each drawn from its saved tables."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from distil_theory.horizon import deviation_bound, safe_horizon
from experiments import harness
from experiments import sequential_failure_plots as failure_plots
from experiments.harness import OKABE_ITO as C
from experiments.harness import Tables, title
from experiments.sequential_curves import BAND, BAND_SHAPES, DELTA, EXAMPLE, RANGE, RANGES

SHADES = [C["vermillion"], C["orange"], C["sky"], C["blue"]]
STYLES = ["-", "--", "-.", ":"]
HORIZONS = {
    2: (C["sky"], ":"),
    4: (C["blue"], "-."),
    8: (C["vermillion"], "--"),
    16: (C["black"], "-"),
    32: (C["purple"], "-"),
}
"""Colour and line style of each horizon."""
KINDS = {
    "random": (".", "0.25", "0.25", 1.2, "random pairs"),
    "ascent": ("x", C["blue"], C["blue"], 3.2, "ascents"),
    "attained": ("o", C["blue"], "none", 4.5, "attained"),
    "sharp": ("*", C["vermillion"], C["vermillion"], 8, "sharp (16b): rate 0"),
}
"""Pairs of panel (e): marker, colour, face, size, what they are."""


def horizon(figure: Any, tables: Tables) -> None:
    """Panel (a)."""
    axes = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1, 1, 1.05]})
    table, delta = tables["horizon"], float(Fraction(DELTA))
    chains = (("horizon_chain", "expert better at every state", 1), ("better_somewhere", "expert better on average", 0))
    for axis, (name, heading, free) in zip(axes[:2], chains, strict=True):
        part = table[table["instance"] == name]
        lengths = np.arange(1, part["horizon"].max() + 1)
        bound = r"bound $-(H-1)(1-\delta)$" if free else r"bound $-H(1-\delta)$"
        axis.plot(lengths, -(lengths - free) * (1 - delta), color="0.55", lw=3.5, alpha=0.5, label=bound)
        for (rarity, group), colour, style in zip(part.groupby("rarity", sort=False), SHADES, STYLES, strict=True):
            axis.plot(group["horizon"], group["rate"], color=colour, ls=style, label=f"student leaves: {rarity}")
        rarest = part[part["rarity"] == part["rarity"].iloc[0]]
        axis.plot(rarest["horizon"], rarest["weighted_rate"], color=C["green"], lw=1.8)
        axis.axhline(0, color="0.6", lw=0.6, zorder=0)
        axis.set(xlabel="horizon $H$", title=heading, ylim=(-26, 4), xlim=(1, lengths[-1]))
        axis.text(lengths[-1], 1.4, "prefix-weighted: $J^*-J$", ha="right", va="bottom", fontsize=7, color=C["green"])
    axes[0].set_ylabel("rate $dJ/d\\eta$ of a small step")
    axes[1].tick_params(labelleft=False)
    for axis in axes[:2]:
        axis.legend(loc="lower left", handlelength=2.2, fontsize=6.5, labelspacing=0.25, borderaxespad=0.2)
    axis = axes[2]
    for (length, part), group in tables["steps"].groupby(["horizon", "part"], sort=False):
        moved = group[group["eta"] > 0]
        colour, style = HORIZONS[length]
        colour = C["green"] if part == "weighted" else colour
        axis.plot(
            moved["eta"], moved["return"], color=colour, ls=style, label=f"$H={length}$" if part == "local" else None
        )
    axis.plot([], [], color=C["green"], label="prefix-weighted")
    axis.legend(loc="lower left", handlelength=2.4, borderaxespad=0.2)
    axis.set(
        xscale="log",
        xlabel=r"size $\eta$ of a natural step",
        title="after a finite step (leaves: 1/100)",
        ylabel="return $J$",
        ylim=(0, 1.04),
    )
    text = "(a) The longer the horizon, the more a better expert can hurt: forward KL, expert better by"
    title(figure, text + f" $\\delta={delta:g}$ or more")
    figure.subplots_adjust(left=0.075, right=0.99, bottom=0.17, top=0.82, wspace=0.24)


def curves(figure: Any, tables: Tables) -> None:
    """Panel (b)."""
    axes = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1, 1, 1.1]})
    marks = tables["curve_marks"]
    for axis, (version, heading) in zip(
        axes[:2], (("average", "expert better on average"), ("everywhere", "expert better at every state")), strict=True
    ):
        for length, group in tables["curves"].query("version == @version").groupby("horizon"):
            colour, style = HORIZONS[length]
            axis.plot(group["gap"], group["loss"], color=colour, ls=style, label=f"$H={length}$")
            here = marks[(marks["version"] == version) & (marks["horizon"] == length)]
            for kind, marker, size in (("ascent", "x", 2.5), ("attained", "o", 4)):
                part = here[here["kind"] == kind]
                axis.plot(part["gap"], part["loss"], marker, color=colour, mfc="none", ms=size, mew=0.7)
        axis.axhline(0, color="0.6", lw=0.6, zorder=0)
        axis.set(xlabel="how much better, $J^*-J$", title=heading, xlim=(-0.02, 0.68), ylim=(-0.85, 0.8))
        axis.set_yticks([-0.8, -0.4, 0, 0.4, 0.8])
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
    for (low, high), colour in zip(RANGES, (C["vermillion"], C["blue"]), strict=True):
        part = gaps[np.isclose(gaps["low"], low) & np.isclose(gaps["high"], high) & (gaps["horizon"] > 1)]
        for version, style in (("average", "-"), ("everywhere", "--")):
            line = part[part["version"] == version]
            axis.plot(line["horizon"], line["safe_gap"], color=colour, ls=style)
        line = part[part["version"] == "average"]
        axis.plot(line["horizon"], line["chi2_bound"], color=colour, ls=":")
        end = line.iloc[-1]
        axis.text(end["horizon"] * 1.05, end["safe_gap"], f"[{low:g}, {high:g}]", fontsize=7, color=colour, va="center")
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="horizon $H$",
        title="safe gap for ratios in",
        ylim=(0.01, 1.3),
        xlim=(2, 130),
    )
    axis.set_xticks([2, 4, 8, 16, 32], ["2", "4", "8", "16", "32"])
    axis.set_yticks([0.01, 0.03, 0.1, 0.3, 1], ["0.01", "0.03", "0.1", "0.3", "1"])
    axis.minorticks_off()
    for style, text in (("-", "on average"), ("--", "at every state"), (":", r"$\chi^2$ bound (claim 16)")):
        axis.plot([], [], color="0.3", ls=style, label=text)
    axis.legend(loc="lower right", handlelength=2.2)
    text = "(b) How much can a local step lose? Tight curves for ratios $\\pi^*/\\pi$ in"
    title(figure, f"{text} [{RANGE[0]:g}, {RANGE[1]:g}]; where they cross 0: the safe gap")
    figure.subplots_adjust(left=0.08, right=0.99, bottom=0.17, top=0.82, wspace=0.24)


def band(figure: Any, tables: Tables) -> None:
    """Panel (e)."""
    axes = figure.subplots(1, 4, gridspec_kw={"width_ratios": [1, 1, 1, 1.35]})
    table, chi2 = tables["band"], (1 - BAND[0]) * (BAND[1] - 1)
    for axis, length in zip(axes, BAND_SHAPES, strict=False):
        here = table[(table["horizon"] == length) & ((table["kind"] != "sharp") | np.isclose(table["chi2"], chi2))]
        ends = np.array([-1, 1])
        for colour, depth, reach in (
            (C["yellow"], 0.25, deviation_bound(length, chi2)),
            (C["sky"], 0.35, here["deviation"].max()),
        ):
            axis.fill_between(ends, ends - reach, ends + reach, color=colour, alpha=depth, lw=0)
        axis.plot(ends, ends, color="0.4", lw=0.7)
        for kind, (marker, colour, face, size, _) in KINDS.items():
            part = here[here["kind"] == kind]
            axis.plot(part["gap"], part["rate"], marker, color=colour, mfc=face, ms=size, mew=0.7)
        axis.axhline(0, color="0.6", lw=0.6, zorder=0)
        axis.axvline(0, color="0.6", lw=0.6, zorder=0)
        axis.set(xlabel="gap $J^*-J$", title=f"$H={length}$", xlim=(-0.3, 0.45), ylim=(-0.4, 0.6))
        if length > 2:
            axis.tick_params(labelleft=False)
    axes[0].set_ylabel("rate $dJ/d\\eta$")
    handles: list[Any] = [
        matplotlib.patches.Patch(color=C["sky"], alpha=0.5, label=f"ratios in [{BAND[0]:g}, {BAND[1]:g}]: exact"),
        matplotlib.patches.Patch(color=C["yellow"], alpha=0.4, label=rf"$\chi^2\leq {chi2:g}$ at every state"),
    ]
    for marker, colour, face, size, text in KINDS.values():
        look: Any = {"marker": marker, "color": colour, "mfc": face, "ms": max(size, 3), "mew": 0.8}
        handles.append(matplotlib.lines.Line2D([], [], ls="", label=text, **look))
    figure.legend(
        handles=handles, loc="lower left", ncols=3, columnspacing=1.0, bbox_to_anchor=(0.05, 0.0), handletextpad=0.5
    )
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
    chi2, gap = EXAMPLE
    axis.plot([chi2], [gap], "D", color="black", ms=3.5, zorder=6)
    text = f"$\\chi^2={chi2:g}$, gap {gap:g}:\nsafe for $H\\leq{safe_horizon(gap, chi2)}$"
    axis.annotate(text, (chi2, gap), xytext=(0.04, 0.97), textcoords="axes fraction", va="top", fontsize=7,
                  arrowprops={"arrowstyle": "-", "lw": 0.5, "relpos": (1, 0.5)})  # fmt: skip
    title(figure, "(e) Rate against gap: how far apart can they be? Above 0 the local step helps")
    figure.subplots_adjust(left=0.075, right=0.98, bottom=0.36, top=0.85, wspace=0.22)
    position = axis.get_position()
    axis.set_position((position.x0 + 0.03, 0.17, position.width - 0.03, position.height + 0.19))


PANELS: dict[str, tuple[Callable[..., None], float]] = {
    "horizon": (horizon, 2.6),
    "curves": (curves, 2.6),
    "failures": (failure_plots.failures, 4.6),
    "feedback": (failure_plots.feedback, 4.6),
    "band": (band, 2.7),
}
"""Panel to drawing and height in inches."""


def draw(tables: Tables, out: Path) -> list[str]:
    """Draw every panel and the page with all of them; returns the names of the files."""
    return harness.draw_panels(PANELS, out, "sequential_monotonicity", tables=tables)
