"""The pictures of `experiments.worst_case`, drawn from its saved tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from distil_theory.divergences import BY_NAME
from experiments import harness
from experiments.harness import LINES, label
from experiments.harness import OKABE_ITO as C

RANGE, GAP = (0.1, 4.0), 0.05
"""Ratios expert/student and `J* - J` of the panels."""
SIZES = {3: "^", 4: "s", 6: "o"}
"""Number of actions of the searched bandits to a marker."""


def _in_panel(found: pd.DataFrame) -> pd.DataFrame:
    return found[np.isclose(found["low"], RANGE[0]) & np.isclose(found["high"], RANGE[1])]


def _marks(axis: Any, name: str, x: str, found: pd.DataFrame, unit: float = 1.0) -> None:
    for actions, marker in SIZES.items():
        here = found[found["actions"] == actions]
        axis.plot(here[x], here["found"] / unit, marker, ms=3.2, mfc="none", mew=0.7, color=LINES[name][0])


def curves(figure: Any, tables: dict[str, pd.DataFrame]) -> None:
    """Panel (a)."""
    axes = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.25, 1]})
    found = _in_panel(tables["worst_case"])
    found = found[found["eta"].isna()]
    for axis in axes:
        for name, group in tables["worst_case_curves"].groupby("divergence", sort=False):
            colour, style, _ = LINES[name]
            note = " (not normalised)" if name == "total_variation" else ""
            axis.plot(group["gap"], group["loss"], color=colour, ls=style, label=label(name) + note)
            points = found[found["divergence"] == name]
            _marks(axis, name, "gap", points, BY_NAME[name].unit or 1.0)
        axis.axhline(0, color="0.6", lw=0.6, zorder=0)
        axis.set(xlabel=r"how much better the expert is, $J^*-J$")
    axes[0].set(ylabel="largest loss per unit step", ylim=(-0.75, 0.68), title="worst bandit for each gap")
    axes[1].set(xlim=(0, 0.42), ylim=(-0.02, 0.3), title="enlarged")
    handles, labels = axes[0].get_legend_handles_labels()
    for actions, marker in SIZES.items():
        if (found["actions"] == actions).any():
            handles.append(plt.Line2D([], [], ls="", marker=marker, mfc="none", color="0.3", ms=4))
            labels.append(f"search, {actions} actions")
    figure.legend(handles, labels, loc="lower center", ncols=4, columnspacing=1.2, handlelength=2.6)
    title = (
        f"(a) The price of a small step: ratios in [{RANGE[0]:g}, {RANGE[1]:g}], $f''(1)=1$; below 0 no bandit loses"
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=8.5)
    figure.subplots_adjust(left=0.085, right=0.99, bottom=0.37, top=0.83, wspace=0.16)


def steps(figure: Any, tables: dict[str, pd.DataFrame]) -> None:
    """Panel (b)."""
    axis = figure.subplots()
    found = _in_panel(tables["worst_case"])
    found = found[found["eta"].notna() & np.isclose(found["gap"], GAP)]
    for name, group in tables["worst_case_steps"].groupby("divergence", sort=False):
        colour, style, _ = LINES[name]
        axis.plot(group["eta"], group["loss"], color=colour, ls=style, label=label(name))
        points = found[found["divergence"] == name]
        _marks(axis, name, "eta", points)
    axis.axhline(0, color="0.6", lw=0.6, zorder=0)
    for name, eta in (("reverse_kl", 1.0), ("jensen_shannon", 2.0)):
        group = tables["worst_case_steps"].query("divergence == @name and abs(eta - @eta) < 1e-9")
        if len(group):
            where = (eta, group["loss"].item())
            axis.annotate(f"safe: {label(name)}", where, xytext=(0, -16), textcoords="offset points", ha="center",
                          fontsize=6.5, color=LINES[name][0], arrowprops={"arrowstyle": "-", "lw": 0.5})  # fmt: skip
    axis.set(xlabel=r"size $\eta$ of the natural step", ylabel="largest loss of return", ylim=(-0.14, 0.3))
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    marks = "; marks: the search" if len(found) else ""
    title = f"(b) Finite steps, expert better by {GAP:g}; safe: below 0 for every gap{marks}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=8.5)
    figure.subplots_adjust(left=0.1, right=0.775, bottom=0.18, top=0.86)


def safe_gaps(figure: Any, tables: dict[str, pd.DataFrame]) -> None:
    """Panel (c)."""
    table = tables["worst_case_safe_gap"]
    names = table["divergence"].unique()
    levels = np.linspace(0, 0.7, 15)
    axes = figure.subplots(1, len(names), sharey=True)
    for axis, name in zip(axes, names, strict=True):
        grid = table[table["divergence"] == name].pivot(index="high", columns="low", values="safe_gap")
        filled = axis.contourf(grid.columns, grid.index, grid, levels=levels, cmap="cividis_r", extend="max")
        drawn = [0.05, 0.1, 0.2, 0.3, 0.5]
        lines = axis.contour(grid.columns, grid.index, grid, levels=drawn, colors="black", linewidths=0.5)
        middle = grid.columns[abs(grid.columns - 0.35).argmin()]
        spots = [(middle, np.interp(x, grid[middle], grid.index)) for x in drawn if x < grid[middle].max()]
        axis.clabel(lines, fmt="%g", fontsize=5.5, manual=spots)
        axis.set(yscale="log", xlabel="smallest ratio $m$", title=label(name))
    axes[0].set_ylabel("largest ratio $M$")
    ticks = [1.1, 1.5, 2, 3, 5, 10, 20]
    axes[0].set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes[0].yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    bar = figure.colorbar(filled, cax=figure.add_axes((0.925, 0.2, 0.015, 0.58)))
    bar.ax.set_title(r"$\delta^*$", fontsize=8)
    title = r"(c) The safe gap $\delta^*(m,M)$: if the expert is better by more, no small step can hurt"
    figure.suptitle(title, x=0.01, ha="left", fontsize=8.5)
    figure.subplots_adjust(left=0.075, right=0.905, bottom=0.2, top=0.78, wspace=0.1)


def instances(figure: Any, tables: dict[str, pd.DataFrame]) -> None:
    """Panel (d)."""
    table = tables["worst_case_instances"]
    names = table["divergence"].unique()
    axes = figure.subplots(1, len(names), sharey=True)
    for axis, name in zip(axes, names, strict=True):
        part = table[table["divergence"] == name]
        x = np.arange(len(part))
        axis.bar(x - 0.2, part["student"], 0.38, color=C["sky"], label="student")
        axis.bar(x + 0.2, part["expert"], 0.38, color=C["orange"], label="expert")
        for i, row in zip(x, part.itertuples(), strict=True):
            up = row.motion > 0
            arrow = {"arrowstyle": "-|>", "lw": 1.4, "color": C["green"] if up == bool(row.reward) else C["vermillion"]}
            axis.annotate("", (i, -0.17 if up else -0.3), (i, -0.3 if up else -0.17), arrowprops=arrow)
            axis.text(i + 0.17, -0.235, f"{row.motion:+.2f}", fontsize=5.5, va="center")
            axis.text(i, -0.09, f"u = {row.ratio:.2g}", fontsize=5.5, ha="center", va="center")
        axis.set_xticks(x, ["right" if r else "wrong" for r in part["reward"]])
        axis.axhline(0, color="black", lw=0.6)
        axis.set(ylim=(-0.34, 1.02), xlim=(-0.6, len(x) - 0.35), title=label(name))
        axis.tick_params(axis="x", length=0)
        axis.spines["bottom"].set_visible(False)
    axes[0].set_ylabel("probability")
    axes[0].set_yticks([0, 0.5, 1])
    handles, labels = axes[0].get_legend_handles_labels()
    for colour, text in (
        (C["green"], "moves the right way"),
        (C["vermillion"], "moves the wrong way (rate, $f''(1)=1$)"),
    ):
        handles.append(plt.Line2D([], [], marker="$\\uparrow$", ls="", color=colour, ms=6))
        labels.append(text)
    figure.legend(handles, labels, loc="lower center", ncols=4)
    title = f"(d) The worst bandits at $J^*-J={GAP:g}$, ratios $u$ in [{RANGE[0]:g}, {RANGE[1]:g}]: three actions each"
    figure.suptitle(title, x=0.01, ha="left", fontsize=8.5)
    figure.subplots_adjust(left=0.075, right=0.99, bottom=0.22, top=0.8, wspace=0.08)


def boundary(figure: Any, tables: dict[str, pd.DataFrame]) -> None:
    """Panel (e)."""
    axes = figure.subplots(1, 2)
    for name, group in tables["worst_case_boundary"].groupby("divergence", sort=False):
        colour, style, _ = LINES[name]
        for axis, end in zip(axes, ("low", "high"), strict=True):
            part = group[group["end"] == end]
            axis.plot(part["value"], part["loss"], color=colour, ls=style, label=label(name))
    axes[0].set(xlabel=f"smallest ratio $m$ (largest {RANGE[1]:g})", ylabel="largest loss per unit step")
    axes[1].set(xlabel=f"largest ratio $M$ (smallest {RANGE[0]:g})")
    for axis in axes:
        axis.set_xscale("log")
        axis.set_yscale("symlog", linthresh=0.1, linscale=0.6)
        axis.set_ylim(bottom=-0.1)
        axis.axhline(0, color="0.6", lw=0.6, zorder=0)
    axes[0].text(1.5e-4, 1.2e4, "like $1/m$", fontsize=6.5, color=LINES["neyman_chi2"][0])
    axes[0].text(1.5e-4, 3.5, r"like $\log(1/m)$", fontsize=6.5, color=LINES["reverse_kl"][0])
    axes[1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    title = f"(e) Towards the ends, at $J^*-J={GAP:g}$: what is bounded as $m\\to 0$, and as $M\\to\\infty$"
    figure.suptitle(title, x=0.01, ha="left", fontsize=8.5)
    figure.subplots_adjust(left=0.1, right=0.785, bottom=0.18, top=0.86, wspace=0.22)


def draw(tables: dict[str, pd.DataFrame], out: Path) -> list[str]:
    """Draw every panel and the page with all of them; returns the names of the files."""
    heights = {curves: 2.9, steps: 2.4, safe_gaps: 2.1, instances: 2.3, boundary: 2.4}
    return harness.draw_panels(harness.by_name(heights), out, "worst_case", tables=tables)
