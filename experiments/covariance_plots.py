"""Pictures of `experiments.covariance`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from experiments import harness
from experiments.algorithms_plots import LOOK, NARROW, TITLES, handles
from experiments.harness import OKABE_ITO as C
from experiments.harness import Tables, title
from experiments.loop import worlds

LINTHRESH = 1e-5
GEOMETRY = {"natural": (C["blue"], "-", "o"), "euclidean": (C["vermillion"], "--", "s")}
CALLED = {"natural": "natural", "euclidean": "Euclidean"}
WORLD = dict(
    zip(worlds.WORLDS, (C["blue"], C["sky"], C["vermillion"], C["green"], C["orange"], C["purple"]), strict=True)
)


def points(figure: Any, tables: Tables) -> None:
    """Panel (a)."""
    table = tables["points"]
    sizes = sorted(table["eta"].unique())
    axes = figure.subplots(1, len(sizes), sharex=True, sharey=True)
    for axis, eta in zip(axes, sizes, strict=True):
        here = table[np.isclose(table["eta"], eta)]
        line = np.array([-3, 3])
        axis.plot(line, line, color="0.5", lw=0.7, zorder=0)
        for geometry, (colour, _, marker) in GEOMETRY.items():
            x = here[here["geometry"] == geometry]
            axis.plot(x["predicted"], x["actual"], marker, color=colour, ms=1.8, mew=0, alpha=0.5)
        for line_of in (axis.axhline, axis.axvline):
            line_of(0, color="0.75", lw=0.6, zorder=0)
        ticks = [-1e-1, -1e-3, 0, 1e-3, 1e-1]
        labels = ["$-10^{-1}$", "$-10^{-3}$", "0", "$10^{-3}$", "$10^{-1}$"]
        for which in ("x", "y"):
            getattr(axis, f"set_{which}scale")("symlog", linthresh=LINTHRESH, linscale=0.6)
            getattr(axis, f"set_{which}ticks")(ticks, labels)
        axis.minorticks_off()
        axis.set(title=rf"$\eta={eta:g}$", xlabel="predicted change", xlim=(-1, 4), ylim=(-1, 1.5))
    axes[0].set_ylabel("actual change of the return")
    marks = [
        Line2D([], [], ls="", marker=m, color=c, ms=4, label=f"{CALLED[g]} step") for g, (c, _, m) in GEOMETRY.items()
    ]
    figure.legend(handles=marks, loc="lower center", ncols=2)
    title(figure, "(a) What claim 1 predicted and what happened: ten algorithms, six worlds, exact expectations")
    figure.subplots_adjust(left=0.09, right=0.985, bottom=0.25, top=0.83, wspace=0.08)


def signs(figure: Any, tables: Tables) -> None:
    """Panel (b)."""
    table = tables["agreement"]
    left, *rest = figure.subplots(1, 3)
    for geometry, (colour, style, marker) in GEOMETRY.items():
        x = table[table["geometry"] == geometry]
        for what, face in (("share", "white"), ("clear_share", colour)):
            left.fill_between(x["eta"], x[f"{what}_lower"], x[f"{what}_upper"], color=colour, alpha=0.15, lw=0)
            left.plot(x["eta"], x[what], marker, color=colour, ls=style, mfc=face, ms=3.5, lw=1, mew=0.9)
    left.set(xscale="log", xlabel=r"step size $\eta$", title="signs that agree", ylim=(None, 1.004))
    left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    kinds = (("first_order", C["blue"], "the first order"), ("second_order", C["sky"], "the second order"),
             ("neither", "0.75", "neither"))  # fmt: skip
    for axis, geometry in zip(rest, GEOMETRY, strict=True):
        x = table[table["geometry"] == geometry].reset_index(drop=True)
        whole = x["drops"].where(x["drops"] > 0, np.nan)
        parts = {"first_order": x["first_order"], "second_order": x["second_order"],
                 "neither": x["drops"] - x["first_order"] - x["second_order"]}  # fmt: skip
        below = np.zeros(len(x))
        for kind, colour, _ in kinds:
            height = (parts[kind] / whole).fillna(0)
            axis.bar(range(len(x)), height, bottom=below, color=colour, width=0.75)
            below += height
        for i, n in enumerate(x["drops"]):
            axis.text(i, 1.02, f"{n / 1000:.1f}k" if n >= 1000 else n, ha="center", fontsize=5.5)
        axis.set_xticks(range(len(x)), [f"{e:g}" for e in x["eta"]], fontsize=5.5, rotation=45)
        axis.set(xlabel=r"step size $\eta$", ylim=(0, 1.1))
        axis.set_title(f"who foretold the drops, {CALLED[geometry]}", pad=7)
        axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    entries: list[Any] = [
        Line2D([], [], color=c, ls=s, marker=m, ms=4, label=f"{CALLED[g]}, clear predictions")
        for g, (c, s, m) in GEOMETRY.items()
    ]
    entries += [
        Line2D([], [], color=c, ls=s, marker=m, ms=4, mfc="white", label=f"{CALLED[g]}, all")
        for g, (c, s, m) in GEOMETRY.items()
    ]
    entries += [harness.matplotlib.patches.Patch(color=c, label=text) for _, c, text in kinds]
    figure.legend(handles=entries, loc="lower center", ncols=4, columnspacing=1.2, handlelength=2.4)
    title(figure, "(b) Small steps go as claim 1 says; larger drops need the second order (numbers: drops in all)")
    figure.subplots_adjust(left=0.065, right=0.985, bottom=0.33, top=0.8, wspace=0.24)


def errors(figure: Any, tables: Tables) -> None:
    """Panel (c)."""
    *left, right = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1, 1, 0.9]})
    table, slopes = tables["errors"], tables["exponents"]
    for axis, geometry in zip(left, GEOMETRY, strict=True):
        for world, colour in WORLD.items():
            x = table[(table["world"] == world) & (table["geometry"] == geometry)]
            axis.fill_between(x["eta"], x["error_25"], x["error_75"], color=colour, alpha=0.13, lw=0)
            axis.plot(x["eta"], x["error"], color=colour, lw=1.2, label=TITLES[world])
        eta = np.array([1e-3, 3e-2])
        axis.plot(eta, 3 * eta**2, color="black", lw=0.8, ls=":")
        axis.text(6e-3, 6e-4, r"$\propto\eta^2$", fontsize=7, ha="right")
        axis.set(xscale="log", yscale="log", xlabel=r"step size $\eta$", title=CALLED[geometry], ylim=(1e-11, 2))
    left[0].set_ylabel("|actual - predicted|")
    left[1].tick_params(labelleft=False)
    names = list(WORLD)
    for geometry, shift in (("natural", -0.15), ("euclidean", 0.15)):
        colour, _, marker = GEOMETRY[geometry]
        for x in slopes[slopes["geometry"] == geometry].itertuples():
            i = names.index(x.world) + shift
            right.plot([x.exponent_5, x.exponent_95], [i, i], color=colour, lw=1.2)
            right.plot(x.exponent, i, marker, color=colour, ms=4)
    right.axvline(2, color="0.7", lw=0.6, zorder=0)
    right.set_yticks(range(len(names)), [TITLES[n].replace(", ", ",\n") for n in names])
    right.set(ylim=(len(names) - 0.5, -0.5), xlabel="exponent", title="median, 5 and 95 %")
    lines, texts = left[0].get_legend_handles_labels()
    lines += [Line2D([], [], ls="", marker=m, color=c, ms=4) for c, _, m in GEOMETRY.values()]
    figure.legend(
        lines,
        [*texts, *CALLED.values()],
        loc="lower center",
        ncols=8,
        columnspacing=1.0,
        handlelength=1.4,
        fontsize=6.5,
    )
    title(figure, r"(c) The error of the first-order prediction shrinks as $\eta^2$ (medians and quartiles)")
    figure.subplots_adjust(left=0.09, right=0.985, bottom=0.27, top=0.81, wspace=0.1)
    box = right.get_position()
    right.set_position((box.x0 + 0.12, box.y0, box.width - 0.12, box.height))


def cosines(figure: Any, tables: Tables) -> None:
    """Panel (d)."""
    table = tables["cosines"]
    shown = list(table["world"].unique())
    axes = figure.subplots(1, len(shown), sharex=True, sharey=True)
    for axis, world in zip(axes, shown, strict=True):
        for name, (colour, style, _) in LOOK.items():
            x = table[(table["world"] == world) & (table["algorithm"] == name)]
            axis.plot(x["rollouts"], 1 - x["cosine"], color=colour, ls=style, lw=1.1)
            axis.plot(x["rollouts"], 1 - x["of_mean"], ".", color=colour, ms=2.6)
        axis.set(xscale="log", yscale="log")
        axis.set_title(NARROW[world], fontsize=7)
        axis.set_xlabel("rollouts")
        axis.set_xticks([10, 1000])
        axis.minorticks_off()
    axes[0].set_ylabel("1 - cosine")
    marks = [*handles(LOOK), Line2D([], [], ls="", marker=".", color="0.3", label="mean of 50 gradients")]
    figure.legend(handles=marks, loc="lower center", ncols=6, columnspacing=1.0, handlelength=2.2, fontsize=6.5)
    title(
        figure, "(d) Sampled gradients turn towards the exact one; their means are where independent errors leave them"
    )
    figure.subplots_adjust(left=0.09, right=0.985, bottom=0.31, top=0.82, wspace=0.1)


PANELS: dict[str, tuple[Callable[..., None], float]] = {
    "points": (points, 2.5),
    "signs": (signs, 2.6),
    "errors": (errors, 2.5),
    "cosines": (cosines, 2.5),
}
"""Panel to drawing and height in inches."""


def draw(tables: Tables, out: Path) -> list[str]:
    """Draw every panel and the page with all of them; returns the names of the files."""
    return harness.shrink(out, harness.draw_panels(PANELS, out, "covariance", tables=tables), "covariance")
