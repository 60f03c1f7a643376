"""The pictures of `experiments.llm_bridge`, drawn from its saved tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import NullFormatter

from experiments import harness
from experiments.harness import OKABE_ITO as C
from experiments.harness import Tables, title
from experiments.llm_bridge_cases import GAMES, OBJECTIVES, OPTIMISERS, TEACHERS, WIDTHS

STYLES = {
    "forward_ce": (C["blue"], "-", "o"),
    "reverse_kl": (C["vermillion"], "--", "s"),
    "jensen_shannon": (C["orange"], "-.", "^"),
    "hellinger": (C["green"], ":", "D"),
    "full_kl": (C["purple"], (0, (5, 1)), "v"),
    "full_ce": (C["black"], (0, (1, 1)), "x"),
    "prefix": (C["sky"], (0, (4, 1, 1, 1)), "P"),
}
MARKS = {"sgd": (C["black"], "s"), "adam": (C["orange"], "D"), "natural": (C["sky"], "o"), "undamped": (C["blue"], "^")}
FEEDBACK = {True: "truthful feedback", False: "one of several answers shown"}


def _label(optimiser: str) -> str:
    return OPTIMISERS[optimiser].label


def agreement(figure: Any, tables: Tables) -> None:
    """Panel (a)."""
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.15, 1]})
    table = tables["llm_bridge_gradients"]
    rows = [(p, r) for p in ("float32", "float64") for r in ("autograd", "losses on every rollout")]
    for y, (precision, route) in enumerate(rows):
        part = table[(table["precision"] == precision) & (table["route"] == route)]
        for (width, marker), shift in zip(zip(WIDTHS, "ox", strict=True), (-0.15, 0.15), strict=True):
            here = part[part["width"] == width]
            left.plot(here["max"], np.full(len(here), y + shift), marker, ms=3.5, mfc="none", color=C["blue"],
                      label=f"width {width}" if y == 0 else None)  # fmt: skip
    for limit, low in ((1e-5, -0.5), (1e-10, 1.5)):
        left.plot([limit] * 2, [low, low + 2], color=C["vermillion"], ls="--")
        left.text(limit * 0.5, low + 1, "allowed", color=C["vermillion"], fontsize=6.5, ha="right", va="center")
    left.set_yticks(range(len(rows)), [f"{p}\n{'autograd' if r == 'autograd' else 'all rollouts'}" for p, r in rows])
    left.set(xscale="log", ylim=(3.6, -0.6), xlim=(1e-16, 1e-4), title="torch against the core: each mark one gradient")
    left.set_xlabel("largest relative error over networks")
    left.legend(loc="lower right")
    data = tables["llm_bridge_order"]
    for optimiser, group in data.groupby("optimiser", sort=False):
        colour, marker = MARKS[optimiser]
        right.plot(group["eta"], group["error"], color=colour, marker=marker, ms=3.5, label=_label(optimiser))
    eta = np.array([1e-6, 1e-2])
    low = data.loc[data["eta"] == data["eta"].min(), "error"].min() / 30
    right.plot(eta, low * (eta / eta[0]) ** 2, color="0.6", lw=0.8, ls="--")
    right.text(2e-4, low * 4e4 / 30, "slope 2", fontsize=6.5, color="0.4")
    right.set(xscale="log", yscale="log", ylim=(None, 1e4), title="median |actual - predicted| change of return")
    right.set_xlabel(r"size of the step, $\sqrt{\mathrm{KL}}$")
    right.legend(loc="upper left")
    title(figure, "(a) Gradients agree, and the error of the predicted change shrinks with the square of the step")
    figure.subplots_adjust(left=0.12, right=0.985, bottom=0.17, top=0.83, wspace=0.25)


def predictions(figure: Any, tables: Tables) -> None:
    """Panel (b)."""
    axes = figure.subplots(1, len(OPTIMISERS), sharey=True)
    steps, signs = tables["llm_bridge_steps"], tables["llm_bridge_signs"]
    steps = steps[steps["kl"] > 1e-5]
    for axis, optimiser in zip(axes, OPTIMISERS, strict=True):
        part = steps[steps["optimiser"] == optimiser]
        for clear, colour, name in ((False, C["orange"], "not clear"), (True, C["blue"], "clear")):
            here = part[part["clear"] == clear]
            axis.plot(
                here["predicted"], here["actual"], ".", ms=2, color=colour, alpha=0.5, label=name, rasterized=True
            )
        ends = np.array([-1.0, 1.0])
        axis.plot(ends, ends, color="0.5", lw=0.6, zorder=0)
        total = signs[signs["optimiser"] == optimiser]
        note = f"clear: {total['clear_agree'].sum()} of {total['clear'].sum()}\nhave the right sign"
        axis.text(0.04, 0.97, note, transform=axis.transAxes, fontsize=6.5, va="top")
        axis.set(xscale="symlog", yscale="symlog", title=_label(optimiser), xlabel="predicted")
        for scale in (axis.set_xscale, axis.set_yscale):
            scale("symlog", linthresh=1e-4, linscale=0.5)
        axis.set(xlim=(-1, 1), ylim=(-1, 1))
        axis.set_xticks([-1e-1, -1e-3, 0, 1e-3, 1e-1], ["-0.1", "", "0", "", "0.1"])
        axis.axhline(0, color="0.8", lw=0.5, zorder=0)
        axis.axvline(0, color="0.8", lw=0.5, zorder=0)
    axes[0].set_yticks([-1e-1, -1e-3, 0, 1e-3, 1e-1], ["-0.1", "-0.001", "0", "0.001", "0.1"])
    axes[0].set_ylabel("actual change of return")
    axes[0].legend(loc="lower right", markerscale=4, handletextpad=0.2)
    title(
        figure,
        "(b) What a first step is predicted to do, and does: KL $10^{-4}$ to $10^{-1}$ (counts: all sizes)",
    )
    figure.subplots_adjust(left=0.095, right=0.985, bottom=0.19, top=0.8, wspace=0.1)


def lowered(figure: Any, tables: Tables) -> None:
    """Panel (c)."""
    table = tables["llm_bridge_lowered"]
    table = table[table["game"].isna()]
    cells = [(truthful, width) for truthful in (True, False) for width in WIDTHS]
    axes = figure.subplots(len(TEACHERS), len(cells), sharex=True, sharey=True)
    names = list(OBJECTIVES)
    for line, teacher in zip(axes, TEACHERS, strict=True):
        for axis, (truthful, width) in zip(line, cells, strict=True):
            part = table[(table["teacher"] == teacher) & (table["truthful"] == truthful) & (table["width"] == width)]
            for shift, (optimiser, (colour, marker)) in zip((-0.27, -0.09, 0.09, 0.27), MARKS.items(), strict=True):
                here = part[part["optimiser"] == optimiser].set_index("objective").reindex(names)
                y = np.arange(len(names)) + shift
                axis.hlines(y, here["lower"], here["upper"], color=colour, lw=1)
                small = here["predicted_lower"] / here["n"]
                axis.plot(small, y, marker, ms=3.2, mfc="white", mec=colour, mew=0.7, zorder=3)
                axis.plot(here["share"], y, marker, ms=2.8, color=colour, label=_label(optimiser), zorder=4)
            for y in np.arange(len(names) - 1) + 0.5:
                axis.axhline(y, color="0.9", lw=0.5, zorder=0)
            axis.set(xlim=(-0.03, 1.03), ylim=(len(names) - 0.5, -0.5))
            axis.set_xticks([0, 0.5, 1], ["0", "1/2", "1"])
            if teacher == "self":
                short = "truthful" if truthful else "one of several shown"
                axis.set_title(f"{short},\nwidth {width}, n = {part['n'].max()}", fontsize=7.5)
        line[0].set_yticks(range(len(names)), [OBJECTIVES[name].label for name in names], fontsize=6.5)
        line[-1].yaxis.set_label_position("right")
        line[-1].set_ylabel(f"teacher: {TEACHERS[teacher]}", fontsize=7)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    handles.append(plt.Line2D([], [], ls="", marker="o", mfc="white", mec="0.3", ms=4))
    figure.legend(handles, [*labels, "infinitely small step"], loc="lower center", ncols=5, columnspacing=1.2)
    title(
        figure, "(c) How often a first step of KL $10^{-4}$ lowers the return, given that the teacher is better (95 %)"
    )
    figure.subplots_adjust(left=0.2, right=0.955, bottom=0.115, top=0.87, wspace=0.08, hspace=0.07)


def noise(figure: Any, tables: Tables) -> None:
    """Panel (d)."""
    table = tables["llm_bridge_noise"]
    table = table[(table["width"] == WIDTHS[-1]) & (table["teacher"] == "self")]
    axes = figure.subplots(2, len(OPTIMISERS), sharex=True, sharey=True)
    for line, truthful in zip(axes, (True, False), strict=True):
        for axis, optimiser in zip(line, OPTIMISERS, strict=True):
            part = table[(table["truthful"] == truthful) & (table["optimiser"] == optimiser)]
            for shift, objective in enumerate(OBJECTIVES):
                here = part[part["objective"] == objective]
                colour, style, marker = STYLES[objective]
                axis.plot(here["noise"] + 0.004 * (shift - 3), here["share"], color=colour, ls=style, marker=marker,
                          ms=2.8, lw=1, label=OBJECTIVES[objective].label)  # fmt: skip
            axis.set(ylim=(-0.04, 1.04))
            if truthful:
                axis.set_title(_label(optimiser))
            else:
                axis.set_xlabel("share of false feedback")
        line[0].set_ylabel(f"{FEEDBACK[truthful].replace(' answers', '')}\nshare that lowers", fontsize=7)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=4, columnspacing=1.2)
    title(figure, f"(d) The same when feedback is false at times (width {WIDTHS[-1]}, its own teacher, still better)")
    figure.subplots_adjust(left=0.1, right=0.985, bottom=0.25, top=0.85, wspace=0.08, hspace=0.12)


def training(figure: Any, tables: Tables) -> None:
    """Panel (e)."""
    table = tables["llm_bridge_training"]
    table = table[table["minus"].isna()]
    games = list(table["game"].unique())
    quantities = {"return": "return", "entropy": "entropy per token", "length": "length\n(not NOP)"}
    axes = figure.subplots(len(quantities), len(games), sharex=True, squeeze=False)
    for column, game in enumerate(games):
        for axis, (quantity, text) in zip(axes[:, column], quantities.items(), strict=True):
            part = table[(table["game"] == game) & (table["quantity"] == quantity)]
            if part.empty:
                axis.set_axis_off()
                axis.text(
                    0.5, 0.2, "every answer has\nthe same length", ha="center", transform=axis.transAxes, fontsize=7
                )
                continue
            for objective in OBJECTIVES:
                here = part[part["objective"] == objective]
                colour, style, _ = STYLES[objective]
                axis.plot(here["step"], here["mean"], color=colour, ls=style, label=OBJECTIVES[objective].label)
                axis.fill_between(here["step"], here["lower"], here["upper"], color=colour, alpha=0.1, lw=0)
            axis.set_ylabel(text)
        axes[0, column].set_title(GAMES[game].label + f" ({table[table['game'] == game]['seeds'].max()} seeds)")
        shown = [axis for axis in axes[:, column] if axis.axison]
        shown[-1].set_xlabel("step of Adam")
        shown[-1].tick_params(labelbottom=True)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=4, columnspacing=1.2)
    title(figure, "(e) Training on its own feedback: means and 95 % bootstrap intervals over seeds")
    figure.subplots_adjust(left=0.09, right=0.985, bottom=0.19, top=0.9, wspace=0.22, hspace=0.12)


def estimators(figure: Any, tables: Tables) -> None:
    """Panel (f)."""
    table = tables["llm_bridge_estimators"].copy()
    table = table[~table["estimator"].str.startswith("core")]
    for column in ("bias", "spread"):
        table[column] /= table["size"]
    games = list(table["game"].unique())
    mean = table.groupby(["game", "family", "estimator", "how"], sort=False)[["bias", "spread"]].mean().reset_index()
    rows = list(mean[["family", "estimator"]].drop_duplicates().itertuples(index=False, name=None))
    rows.sort(key=lambda row: list(dict.fromkeys(mean["family"])).index(row[0]))
    axes = figure.subplots(1, len(games), sharey=True, squeeze=False)[0]
    for axis, game in zip(axes, games, strict=True):
        part = mean[mean["game"] == game].set_index(["family", "estimator", "how"])[["bias", "spread"]]
        for y, row in enumerate(rows):
            for how, colour, marker in (("exact", C["blue"], "o"), ("drawn", C["orange"], "x")):
                if (*row, how) not in part.index:
                    continue
                bias, spread = part.loc[[(*row, how)]].iloc[0]
                axis.plot(spread, y, marker, color=colour, ms=4, label=how if y == 0 else None)
                if how == "exact" and bias > 1e-9:
                    axis.annotate(
                        f"bias {bias:.2f}", (spread, y), (5, -2), textcoords="offset points", fontsize=6, color=colour
                    )
        axis.set(xscale="log", title=GAMES[game].label, xlabel="standard deviation / norm of the gradient")
        ticks = [t for t in (0.5, 1, 2, 3, 4, 6, 8) if axis.get_xlim()[0] < t < axis.get_xlim()[1]]
        axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axis.xaxis.set_minor_formatter(NullFormatter())
        for y in range(len(rows)):
            axis.axhline(y, color="0.93", lw=0.5, zorder=0)
    axes[0].set_yticks(range(len(rows)), [f"{family}: {estimator}" for family, estimator in rows], fontsize=6.5)
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="upper right", ncols=2)
    title(figure, "(f) Estimators in parameter space, per rollout; no bias but where it is written")
    figure.subplots_adjust(left=0.25, right=0.985, bottom=0.12, top=0.88, wspace=0.07)


def draw(tables: Tables, out: Path) -> list[str]:
    """Draw every panel and the page with all of them; returns the names of the files."""
    heights = {agreement: 2.5, predictions: 2.2, lowered: 4.6, noise: 3.3, training: 4.0, estimators: 3.2}
    with plt.rc_context({"figure.max_open_warning": 0}):
        return harness.draw_panels(harness.by_name(heights), out, "llm_bridge", tables=tables)
