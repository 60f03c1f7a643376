"""The pictures of random problems: panels (e) and (h)."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.lines import Line2D

from experiments import harness
from experiments.future_credit.look import LOWERS
from experiments.harness import OKABE_ITO as C
from experiments.harness import Tables, title


def bound(figure: Any, tables: Tables) -> None:
    """Panel (e)."""
    table, counts = tables["bound"], tables["bound_counts"]
    names = list(table["objective"].unique())
    low, high, bottom = 1e-5, 30.0, 1e-5
    horizons = sorted(table["horizon"].unique())
    colours = dict(zip(horizons, (C["sky"], C["blue"], C["black"]), strict=True))
    for axis, name in zip(figure.subplots(1, len(names), sharey=True, sharex=True), names, strict=True):
        part = table[table["objective"] == name]
        axis.fill_between([low, high], [low, high], [bottom, bottom], color=LOWERS, alpha=0.12, lw=0)
        axis.plot([low, high], [low, high], color="0.3", lw=0.8)
        for horizon, group in part.groupby("horizon"):
            fine = group[group["rate"] > 0]
            axis.plot(fine["bound"], fine["rate"], ".", ms=2, color=colours[horizon], alpha=0.6, mew=0)
            falls = group[group["rate"] <= 0]
            axis.plot(falls["bound"], np.full(len(falls), bottom * 1.8), "v", ms=3.5, color=LOWERS, mew=0, alpha=0.2)
        all_of = counts[counts["objective"] == name][["n", "below_bound", "below_zero"]].sum()
        axis.set(xscale="log", yscale="log", xlim=(low, high), ylim=(bottom, 1e2))
        heading = "cross-entropy" if name == "cross_entropy" else harness.label(name)
        axis.set_title(heading)
        text = f"below the line:\n{all_of['below_bound']:,} of {all_of['n']:,}"
        if all_of["below_zero"]:
            text += f"\nbelow 0: {all_of['below_zero']:,}"
        axis.text(0.04, 0.96, text, transform=axis.transAxes, fontsize=6, va="top")
        axis.set_xticks([1e-4, 1e-2, 1])
        axis.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    figure.axes[0].set_ylabel("rate of the full objective")
    figure.supxlabel(r"$E[V_0 L]$: return times disagreement along the rollout", fontsize=8, y=0.115)
    entries = [Line2D([], [], marker=".", ls="", color=colours[h], label=f"horizon {h}") for h in horizons]
    entries.append(Line2D([], [], marker="v", ls="", color=LOWERS, ms=4, label="the step lowers the return"))
    figure.legend(handles=entries, loc="lower center", ncols=4, borderaxespad=0.1)
    title(
        figure, "(e) Truthful teachers, no chance, paid at the end: claim 18's bound holds, but not for cross-entropy"
    )
    figure.subplots_adjust(left=0.085, right=0.99, bottom=0.31, top=0.82, wspace=0.1)


def leak(figure: Any, tables: Tables) -> None:
    """Panel (h)."""
    points, rates = tables["leak"], tables["leak_rates"]
    shares = sorted(points["share"].unique())
    axes = figure.subplots(1, len(shares) + 1, gridspec_kw={"width_ratios": [1] * len(shares) + [1.6]})
    colours = {"hidden state": C["vermillion"], "two parameters": C["blue"]}
    for axis, share in zip(axes, shares, strict=False):
        for kind, group in points[np.isclose(points["share"], share)].groupby("class", sort=False):
            axis.plot(group["gap"], group["rate"], ".", ms=2, color=colours[str(kind)], alpha=0.6, mew=0)
        axis.plot([-1, 1], [-1, 1], color="0.3", lw=0.8)
        axis.fill_between([0, 1], [0, 0], [-1, -1], color=LOWERS, alpha=0.12, lw=0)
        axis.set(
            xlim=(-1, 1), ylim=(-1, 1), title=f"out of reach: {share:.0%}", xlabel="expert better by", aspect="equal"
        )
        axis.set_xticks([-1, 0, 1])
        axis.set_yticks([-1, 0, 1], ["-1", "0", "1"] if axis is axes[0] else [""] * 3)
    axes[0].set_ylabel("rate of the weighted step", labelpad=0)
    axes[0].text(0.95, -0.95, "expert better,\nstudent falls", fontsize=6, ha="right", va="bottom", color=LOWERS)
    last = axes[-1]
    for (kind, group), marker in zip(rates.groupby("class", sort=False), "os", strict=True):
        last.plot(group["share"], group["value"], marker + "-", color=colours[str(kind)], ms=3, label=kind)
        last.fill_between(group["share"], group["lower"], group["upper"], color=colours[str(kind)], alpha=0.2, lw=0)
    last.axhline(0, color="0.6", lw=0.6, zorder=0)
    last.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, symbol=" %", decimals=0))
    last.xaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, symbol=" %", decimals=0))
    last.set(xlabel="share of $|A|^2$ out of reach", title="steps that lower the return", ylim=(-0.02, None))
    last.legend(loc="lower right", title="student", title_fontsize=7)
    title(figure, "(h) Students who cannot see, or express, the advantage: the weighted step may fall (claim 17)")
    figure.subplots_adjust(left=0.075, right=0.985, bottom=0.19, top=0.8, wspace=0.34)
