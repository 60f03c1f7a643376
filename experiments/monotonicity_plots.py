"""The pictures of `experiments.monotonicity`, drawn from its saved tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Polygon
from matplotlib.tri import Triangulation

from distil_theory import instances, updates
from distil_theory.divergences import BY_NAME
from experiments import harness
from experiments.harness import LINES, label
from experiments.harness import OKABE_ITO as C

WORSE, RAISES, LOWERS = "#e6e6e6", "#cfe8df", C["vermillion"]
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])


def simplex(figure: Any, table: pd.DataFrame) -> None:
    """Panel (a)."""
    names = [c for c in table.columns if c in BY_NAME]
    xy = table[["expert_1", "expert_2", "expert_3"]].to_numpy() @ CORNERS
    mesh = Triangulation(xy[:, 0], xy[:, 1])
    colours = matplotlib.colors.ListedColormap([WORSE, RAISES, LOWERS])
    teaching = instances.teaching_bandit().convert("float64")
    _, mdp, student, expert, _ = teaching
    for axis, name in zip(figure.subplots(1, len(names)), names, strict=True):
        kind = np.where(table["gap_sign"] <= 0, 0, np.where(table[name] < 0, 2, 1))
        majority = np.median(kind[mesh.triangles], axis=1)
        axis.tripcolor(mesh, facecolors=majority, cmap=colours, vmin=0, vmax=2, rasterized=True)
        axis.add_patch(Polygon(CORNERS, closed=True, fill=False, lw=0.8))
        start, target = student[0, 0] @ CORNERS, expert[0, 0] @ CORNERS
        velocity = (student * updates.direction(mdp, student, expert, BY_NAME[name]))[0, 0] @ CORNERS
        axis.annotate(
            "", start + 0.3 * velocity / np.linalg.norm(velocity), start,
            arrowprops={"arrowstyle": "-|>", "lw": 1.3, "color": "black", "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
        axis.plot(*start, "o", ms=3.5, color="black")
        axis.plot(*target, "*", ms=8, color=C["yellow"], mec="black", mew=0.6)
        for corner, text, ha, va in zip(
            CORNERS, ("$a_1$", "$a_2$", "$a_3$ (wrong)"), ("center",) * 3, ("top", "top", "bottom"), strict=True
        ):
            axis.annotate(
                text, corner, xytext=(0, -2 if va == "top" else 2), textcoords="offset points", ha=ha, va=va, fontsize=6
            )
        axis.set_title(label(name), pad=4)
        axis.set_aspect("equal")
        axis.set_axis_off()
        axis.set(xlim=(-0.06, 1.06), ylim=(-0.12, 0.98))
    handles = [
        Patch(color=WORSE, label="expert not better"),
        Patch(color=RAISES, label="expert better, small step raises the reward"),
        Patch(color=LOWERS, label="expert better, small step LOWERS it"),
        Line2D([], [], marker="o", ls="", color="black", ms=3.5, label="student and its update"),
        Line2D([], [], marker="*", ls="", color=C["yellow"], mec="black", ms=8, label="teaching expert"),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=3, columnspacing=1.2, handletextpad=0.5)
    figure.suptitle(
        "(a) Which experts mislead? Every expert, uniform student, reward (1, 1, 0)", x=0.01, ha="left", fontsize=8.5
    )
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.2, top=0.8, wspace=0.05)


def returns(figure: Any, table: pd.DataFrame) -> None:
    """Panel (b)."""
    titles = {
        "claim 5": "claim 5: teaching\ninstance, natural step",
        "claim 6a": "claim 6a:\nEuclidean step",
        "claim 6b": "claim 6b: as claim 5,\nonly one free logit",
        "claim 6c": "claim 6c: two hidden\ncontexts, natural step",
    }
    window = {"claim 5": (0, 2.2, 0.605, 0.735), "claim 6a": (0, 9, 0.62, 0.92)}
    axes = figure.subplots(1, len(titles))
    for axis, (claim, title) in zip(axes, titles.items(), strict=True):
        part = table[table["claim"] == claim]
        start = part["return"].iloc[0]
        left, right, low, high = window.get(
            claim, (0, part["eta"].max(), part["return"].min() - 4e-4, part["return"].max() + 4e-4)
        )
        for name, group in part.groupby("divergence", sort=False):
            colour, style, _ = LINES[name]
            axis.plot(group["eta"], group["return"], color=colour, ls=style, label=label(name))
            if group["tangent"].notna().any():
                head = group[group["eta"] <= right / 4]
                axis.plot(head["eta"], head["tangent"], color=colour, lw=0.6, alpha=0.9)
            if group["bound"].notna().any():
                axis.plot(group["eta"], group["bound"], color=C["blue"], lw=0.6, ls=(0, (1, 1)))
                edge = group.loc[(group["bound"] >= start) & (group["eta"] > 0), "eta"].max()
                axis.plot(edge, start, "|", color=C["blue"], ms=9, mew=1.5)
                note = f"tick: forward KL\nsafe to $\\eta={edge:.3f}$ (7b)"
                axis.text(0.98, 0.04, note, transform=axis.transAxes, ha="right", fontsize=5.5, color=C["blue"])
        axis.axhline(start, color="0.6", lw=0.6)
        axis.set(xlim=(left, right), ylim=(low, high), xlabel=r"step size $\eta$", title=title)
    axes[0].set_ylabel("return of the student")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=6, columnspacing=0.9, handlelength=2.4, handletextpad=0.4)
    figure.suptitle("(b) Exact return along one step; thin lines: tangents of claim 1", x=0.01, ha="left", fontsize=8.5)
    figure.subplots_adjust(left=0.075, right=0.99, bottom=0.3, top=0.75, wspace=0.36)


def failure_rates(figure: Any, table: pd.DataFrame) -> None:
    """Panel (c)."""
    axes = figure.subplots(1, 2, sharey=True)
    for axis, geometry in zip(axes, ("natural", "euclidean"), strict=True):
        for name in BY_NAME:
            colour, style, marker = LINES[name]
            group = table[(table["geometry"] == geometry) & (table["divergence"] == name)].sort_values("actions")
            axis.plot(
                group["actions"], group["value"], color=colour, ls=style, marker=marker, ms=3.5, label=label(name)
            )
            axis.fill_between(group["actions"], group["lower"], group["upper"], color=colour, alpha=0.2, lw=0)
        axis.set_xscale("log", base=2)
        axis.set_xticks(sorted(table["actions"].unique()), [str(a) for a in sorted(table["actions"].unique())])
        axis.set(xlabel="number of actions", title=f"{geometry.capitalize()} step")
        axis.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, symbol=" %"))
    axes[0].set_ylabel("steps that lower the reward")
    axes[1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.suptitle(
        "(c) Random bandits with a better expert: how often does a small step hurt?", x=0.01, ha="left", fontsize=8.5
    )
    figure.subplots_adjust(left=0.1, right=0.775, bottom=0.19, top=0.82, wspace=0.08)


def step_sizes(figure: Any, table: pd.DataFrame) -> None:
    """Panel (d)."""
    axis = figure.subplots()
    for name, group in table.groupby("divergence", sort=False):
        colour, style, _ = LINES[name]
        axis.plot(group["eta"], group["value"], color=colour, ls=style, label=label(name))
        axis.fill_between(group["eta"], group["lower"], group["upper"], color=colour, alpha=0.2, lw=0)
    for eta, name in ((0, "forward_kl"), (1, "reverse_kl"), (2, "jensen_shannon")):
        colour, _, marker = LINES[name]
        text = f"safe: {label(name)}"
        axis.plot([eta], [0], marker, color=colour, ms=6, clip_on=False, zorder=5, label=text)
    axis.set(xlabel=r"size $\eta$ of the natural step", ylabel="steps that lower the reward", ylim=(0, None))
    axis.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, symbol=" %"))
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    actions = int(table["actions"].iloc[0])
    title = f"(d) {actions} actions: forward KL, reverse KL and JS have one safe step each, the others none (claim 7d)"
    figure.suptitle(title, x=0.01, ha="left", fontsize=8.5)
    figure.subplots_adjust(left=0.1, right=0.775, bottom=0.18, top=0.86)


def worst_cases(figure: Any, table: pd.DataFrame) -> None:
    """Panel (e)."""
    axis = figure.subplots()
    for name, group in table.groupby("divergence", sort=False):
        colour, style, marker = LINES[name]
        axis.plot(group["gap"], group["worst_loss"], color=colour, ls=style, label=label(name))
        axis.plot(group["gap"][::5], group["attained"][::5], marker, color=colour, ms=3.5)
    axis.axhline(0, color="0.6", lw=0.6)
    axis.text(
        0.99, 0.95, "marks: loss of the bandit that attains it", transform=axis.transAxes, ha="right", fontsize=6.5
    )
    low, high = table[["low", "high"]].iloc[0]
    axis.set(xlabel=r"how much better the expert is, $J^*-J$", ylabel="largest loss per unit step", ylim=(-0.75, None))
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    title = f"(e) Worst bandit, ratios in [{low:g}, {high:g}], $f''(1)=1$: below 0 no small step hurts (claim 14)"
    figure.suptitle(title, x=0.01, ha="left", fontsize=8.5)
    figure.subplots_adjust(left=0.1, right=0.775, bottom=0.18, top=0.86)


PANELS: dict[str, tuple[Callable[[Any, pd.DataFrame], None], str, float]] = {
    "simplex": (simplex, "monotonicity_simplex", 1.9),
    "returns": (returns, "monotonicity_returns", 2.5),
    "failure_rates": (failure_rates, "monotonicity", 2.3),
    "steps": (step_sizes, "monotonicity_steps", 2.4),
    "worst_case": (worst_cases, "monotonicity_worst_case", 2.4),
}
"""Panel to (drawing, table, height in inches)."""


def draw(tables: dict[str, pd.DataFrame], out: Path) -> list[str]:
    """Draw every panel and the page with all of them; returns the names of the files."""
    panels = {
        name: (lambda figure, f=f, t=table: f(figure, tables[t]), height) for name, (f, table, height) in PANELS.items()
    }
    return harness.draw_panels(panels, out, "monotonicity")
