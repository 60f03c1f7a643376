"""The pictures of `experiments.future_credit` about single steps: signs, bounds, bias and variance."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from distil_theory.divergences import BY_NAME
from experiments import harness
from experiments.harness import LINES
from experiments.harness import OKABE_ITO as C

Tables = dict[str, pd.DataFrame]
LOOK: dict[str, tuple[str, Any, float, str, float]] = {
    "local": (C["blue"], "-", 1.8, "o", 4.5),
    "full_kl": (C["green"], "--", 1.5, "^", 4.5),
    "full_ce": (C["vermillion"], "-.", 1.3, "s", 6.5),
    "weighted": (C["purple"], (0, (1, 1.2)), 1.6, "D", 2.8),
    "full_ce_per_token": (C["orange"], (0, (4, 1, 1, 1, 1, 1)), 1.3, "v", 4),
    "weighted_unclipped": (C["sky"], (0, (5, 1.5)), 1.3, "P", 4),
}
"""Colour, line style, width, marker and its size of each objective."""
NAMES = {
    "local": "local", "full_kl": "full KL (KL-to-go)", "full_ce": "full cross-entropy", "weighted": "prefix-weighted",
    "full_ce_per_token": "cross-entropy per token", "weighted_unclipped": "weighted, no clip",
}  # fmt: skip
RAISES, LOWERS = "#cfe8df", C["vermillion"]
INSTANCES = {
    "spurious_disagreement": "10b: harmless disagreement", "chance_ahead": "18: truthful, but chance",
    "reward_before_the_end": "18: truthful, but early rewards", "entropy_ahead": "18: truthful, two right ways on",
    "rare_way": "19: truthful hint, a rare way", "aliased_fork": "10a: here it helps",
    "hidden_trace": "sums, hint: first\nwrong digit", "tested_program": "programs, hint:\nfailing test",
    "shown_program": "programs, hint:\none solution", "unfamiliar_program": "... that begins in an\nunfamiliar way",
}  # fmt: skip
SEEN = {"chance_ahead": (8e-5, -2e-6, 5e-6), "rare_way": (1.0, 0.06, 0.105)}
"""Where a picture of (c) ends: step size, lowest and highest change of return or return."""


def title(figure: Any, text: str) -> None:
    """The heading of a panel."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=8.5)


def steps(figure: Any, tables: Tables) -> None:
    """Panel (c)."""
    table = tables["steps"]
    axes = figure.subplots(2, 3)
    for axis, (name, part) in zip(axes.flat, table.groupby("instance", sort=False), strict=True):
        right, low, high = SEEN.get(str(name), (part["eta"].max(), None, None))
        first = part["return"].iloc[0]
        shift = first if name == "chance_ahead" else 0.0
        for objective, group in part.groupby("objective", sort=False):
            colour, style, width, *_ = LOOK[objective]
            shown = group[group["eta"] <= right * 1.001]
            axis.plot(shown["eta"], shown["return"] - shift, color=colour, ls=style, lw=width)
            head = shown[shown["eta"] <= right / 3]
            axis.plot(head["eta"], head["tangent"] - shift, color=colour, lw=0.5)
        axis.axhline(first - shift, color="0.6", lw=0.6, zorder=0)
        axis.set(xlim=(0, right), title=f"claim {INSTANCES[str(name)]}")
        if low is not None:
            axis.set_ylim(low, high)
        if shift:
            axis.ticklabel_format(style="sci", scilimits=(0, 0), axis="both")
            axis.set_ylabel("change of return")
        axis.locator_params(nbins=5)
    for axis in axes[:, 0]:
        axis.set_ylabel("return of the student")
    for axis in axes[1]:
        axis.set_xlabel(r"size $\eta$ of the natural step")
    handles = [Line2D([], [], color=LOOK[o][0], ls=LOOK[o][1], lw=LOOK[o][2], label=NAMES[o])
               for o in ("local", "full_kl", "full_ce", "weighted")]  # fmt: skip
    handles.append(Line2D([], [], color="0.3", lw=0.5, label="tangents (claims 1, 10)"))
    figure.legend(handles=handles, loc="lower center", ncols=5, columnspacing=1.0, handlelength=2.4)
    title(figure, "(c) Looking ahead can lower the return although the expert is better, and where it helps")
    figure.subplots_adjust(left=0.085, right=0.985, bottom=0.19, top=0.87, wspace=0.34, hspace=0.5)


def signs(figure: Any, tables: Tables) -> None:
    """Panel (d)."""
    table = tables["signs"]
    axis = figure.subplots()
    columns = ("local", "weighted", "full_kl", "full_ce")
    names = list(table["instance"].unique())
    for i, name in enumerate(names):
        group = table[table["instance"] == name].set_index("objective")
        y = len(names) - 1 - i
        claim, about, gap = group.iloc[0][["claim", "about", "gap"]]
        axis.text(-3.02, y, str(claim), fontsize=6.5, va="center", ha="center", color="0.35")
        axis.text(-2.82, y, about, fontsize=6.5, va="center")
        axis.text(-0.2, y, f"{gap:.2g}", fontsize=6.5, va="center", ha="right")
        for j, objective in enumerate(columns):
            rate, sign = group.loc[objective, ["rate", "sign"]]
            falls = sign == "-"
            axis.add_patch(Rectangle((j - 0.06, y - 0.44), 0.92, 0.88, color=LOWERS if falls else RAISES, lw=0))
            axis.text(j + 0.4, y, f"{'▼' if falls else '▲'}  {rate:+.2g}", fontsize=6.5, ha="center", va="center",
                      color="white" if falls else "black")  # fmt: skip
    top = len(names) - 0.25
    axis.text(-3.02, top, "claim", fontsize=6.5, ha="center")
    axis.text(-2.82, top, "what is special", fontsize=6.5)
    axis.text(-0.2, top, "$J^*-J$", fontsize=6.5, ha="right")
    for j, objective in enumerate(columns):
        axis.text(j + 0.4, top, NAMES[objective].split(" (")[0], fontsize=7, ha="center", color=LOOK[objective][0],
                  weight="bold")  # fmt: skip
    axis.set(xlim=(-3.15, 3.9), ylim=(-0.6, len(names) + 0.2))
    axis.set_axis_off()
    handles = [Patch(color=RAISES, label="▲ a small step raises the return"),
               Patch(color=LOWERS, label="▼ it LOWERS the return (every sign certified)")]  # fmt: skip
    figure.legend(handles=handles, loc="lower center", ncols=2)
    title(figure, "(d) Who improves what? Rates of a small natural step; the expert is better everywhere")
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.08, top=0.92)


def bound(figure: Any, tables: Tables) -> None:
    """Panel (e)."""
    table, counts = tables["bound"], tables["bound_counts"]
    names = list(table["objective"].unique())
    low, high, bottom = 1e-6, 30.0, 1e-6
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
            axis.plot(falls["bound"], np.full(len(falls), bottom * 1.8), "v", ms=4, color=LOWERS, mew=0)
        all_of = counts[counts["objective"] == name][["n", "below_bound", "below_zero"]].sum()
        axis.set(xscale="log", yscale="log", xlim=(low, high), ylim=(bottom, 1e2))
        heading = "cross-entropy" if name == "cross_entropy" else harness.label(name)
        axis.set_title(heading)
        text = f"below the line:\n{all_of['below_bound']:,} of {all_of['n']:,}"
        if all_of["below_zero"]:
            text += f"\nbelow 0: {all_of['below_zero']:,}"
        axis.text(0.04, 0.96, text, transform=axis.transAxes, fontsize=6, va="top")
        axis.set_xticks([1e-4, 1e-1])
        axis.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    figure.axes[0].set_ylabel("rate of the full objective")
    figure.supxlabel(r"$E[V_0 L]$: return times disagreement along the rollout", fontsize=8, y=0.115)
    handles = [Line2D([], [], marker=".", ls="", color=colours[h], label=f"horizon {h}") for h in horizons]
    handles.append(Line2D([], [], marker="v", ls="", color=LOWERS, ms=4, label="the step lowers the return"))
    figure.legend(handles=handles, loc="lower center", ncols=4, borderaxespad=0.1)
    title(figure, "(e) Truthful teachers, no chance, paid at the end: claim 18's bound holds, but not for cross-entropy")
    figure.subplots_adjust(left=0.085, right=0.99, bottom=0.31, top=0.82, wspace=0.1)


def leak(figure: Any, tables: Tables) -> None:
    """Panel (h)."""
    points, rates = tables["leak"], tables["leak_rates"]
    shares = sorted(points["share"].unique())
    axes = figure.subplots(1, len(shares) + 1, gridspec_kw={"width_ratios": [1] * len(shares) + [1.7]})
    colours = {"hidden state": C["vermillion"], "two parameters": C["blue"]}
    for axis, share in zip(axes, shares, strict=False):
        for kind, group in points[np.isclose(points["share"], share)].groupby("class", sort=False):
            axis.plot(group["gap"], group["rate"], ".", ms=2, color=colours[str(kind)], alpha=0.6, mew=0)
        axis.plot([-1, 1], [-1, 1], color="0.3", lw=0.8)
        axis.fill_between([0, 1], [0, 0], [-1, -1], color=LOWERS, alpha=0.12, lw=0)
        axis.set(xlim=(-1, 1), ylim=(-1, 1), title=f"out of reach: {share:.0%}", xlabel="expert better by", aspect="equal")
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
    last.set(xlabel="share of $|A|^2$ out of reach of the class", title="steps that lower the return", ylim=(-0.02, None))
    last.legend(loc="lower right", title="student", title_fontsize=7)
    title(figure, "(h) Students who cannot see, or express, the advantage: the guarantee leaks, weighted or not (claim 17)")
    figure.subplots_adjust(left=0.075, right=0.985, bottom=0.19, top=0.8, wspace=0.22)


def hints(figure: Any, tables: Tables) -> None:
    """Panel (i)."""
    table = tables["hints"]
    names = table["instance"].unique()
    for axis, name in zip(figure.subplots(1, len(names)), names, strict=True):
        part = table[table["instance"] == name]
        first = part["return"].iloc[0]
        for divergence, group in part.groupby("divergence", sort=False):
            colour, style, _ = LINES[str(divergence)]
            axis.plot(group["eta"], group["return"], color=colour, ls=style)
            promised = group["promised_rate"].iloc[0]
            if not np.isnan(promised):
                head = group[group["eta"] <= 0.7]
                axis.plot(head["eta"], first + promised * head["eta"], color=colour, lw=0.6)
        axis.axhline(first, color="0.6", lw=0.6, zorder=0)
        truthful = part["promised_rate"].notna().any()
        axis.set(title=INSTANCES[str(name)], xlabel=r"step size $\eta$", xlim=(0, 1.2), ylim=(0, 1))
        axis.text(0.97, 0.04, "excludes no\nright answer" if truthful else "excludes\nright answers", ha="right",
                  fontsize=6.5, transform=axis.transAxes, color=C["green"] if truthful else LOWERS)  # fmt: skip
    figure.axes[0].set_ylabel("return of the student")
    handles = [Line2D([], [], color=LINES[d][0], ls=LINES[d][1], label=harness.label(d))
               for d in table["divergence"].unique() if d in BY_NAME]  # fmt: skip
    handles.append(Line2D([], [], color="0.3", lw=0.6, label="least slope promised (claim 19)"))
    figure.legend(handles=handles, loc="lower center", ncols=4)
    title(figure, "(i) Hints that only the teacher reads: one local step in four token problems")
    figure.subplots_adjust(left=0.075, right=0.985, bottom=0.28, top=0.76, wspace=0.28)


FAMILIES = {"risky_fork": "risky fork (claim 8)", "horizon_chain": "horizon chain (claim 8)", "garnet": "Garnet, soft-optimal expert"}
FEATURED = {"risky_fork": "risky_fork_2", "horizon_chain": "horizon_chain_4", "garnet": "garnet_8"}
BY_HORIZON = {2: C["sky"], 4: C["blue"], 8: C["black"]}


def frontier(figure: Any, tables: Tables) -> None:
    """Panel (j)."""
    table, errors, crossings = tables["frontier"], tables["errors"], tables["crossings"]
    axes = figure.subplots(2, len(FAMILIES))
    marks = {"local": "o", "none": "v", "position": "<", "state": "^"}
    for axis, (family, heading) in zip(axes[0], FAMILIES.items(), strict=True):
        part = table[table["problem"].str.startswith(family)]
        for horizon, group in part.groupby("horizon"):
            colour = BY_HORIZON[horizon]
            path = group[group["estimator"] == "weighted"]
            axis.plot(path["bias"].abs(), path["deviation"], ".-", color=colour, lw=1, ms=4)
            axis.errorbar(
                (path["drawn_rate"] - path["gap"]).abs(), path["drawn_deviation"], xerr=2 * path["rate_error"], ls="",
                color=colour, elinewidth=0.5, marker="x", ms=2.5, mew=0.6, alpha=0.8,
            )  # fmt: skip
            one = group[group["estimator"] == "local"].iloc[0]
            axis.plot(abs(one["bias"]), one["deviation"], marks["local"], color=colour, ms=5, mfc="white", mew=1.1)
            for row in group[group["estimator"] == "full_kl"].itertuples():
                axis.plot(abs(row.bias), row.deviation, marks[row.baseline], color=colour, ms=4.5, mfc="none", mew=0.9)
        axis.set(yscale="log", title=heading, xlabel="bias $|$rate $- (J^*-J)|$", xlim=(-0.04, None))
    axes[0, 0].set_ylabel("deviation of one rollout")
    for axis, (family, name) in zip(axes[1], FEATURED.items(), strict=True):
        name = name if (errors["problem"] == name).any() else name.replace("8", "4")
        part = errors[errors["problem"] == name]
        for who in ("local", "full_kl", "weighted_unclipped", "weighted"):
            colour, style, width, *_ = LOOK[who]
            group = part[part["estimator"] == who]
            axis.plot(group["rollouts"], group["rmse"], color=colour, ls=style, lw=width)
        here = crossings[(crossings["problem"] == name) & (crossings["against"] == "local")]
        n = here["rollouts"].item()
        if n > 1:
            axis.axvline(n, color="0.5", lw=0.6, ls=(0, (1, 1)))
            axis.text(n, 0.97, f" no clip beats local\n from N = {n:,.0f}", fontsize=6, va="top",
                      ha="left" if n < 1e3 else "right", transform=axis.get_xaxis_transform())  # fmt: skip
        axis.set(xscale="log", yscale="log", xlabel="rollouts $N$", title=f"{family.replace('_', ' ')}, $H={name[-1]}$")
    axes[1, 0].set_ylabel("error of the promised rate")
    handles = [Line2D([], [], color=BY_HORIZON[h], marker=".", lw=1, label=f"weighted, clip 1 to $\\infty$, $H={h}$")
               for h in BY_HORIZON]  # fmt: skip
    handles += [Line2D([], [], color="0.3", marker="o", mfc="white", ls="", label="local")]
    handles += [Line2D([], [], color="0.3", marker=marks[b], mfc="none", ls="", label=f"full KL, baseline: {b}")
                for b in ("none", "position", "state")]  # fmt: skip
    handles += [Line2D([], [], color="0.3", marker="x", ms=3, ls="", label="drawn rollouts, 95 %")]
    lines = [Line2D([], [], color=LOOK[w][0], ls=LOOK[w][1], lw=LOOK[w][2], label=text) for w, text in (
        ("local", "local"), ("full_kl", "full KL, best baseline"), ("weighted_unclipped", "weighted, no clip"),
        ("weighted", "weighted, best clip for each $N$"))]  # fmt: skip
    figure.legend(handles=handles, loc="center", bbox_to_anchor=(0.5, 0.475), ncols=4, columnspacing=1.0)
    figure.legend(handles=lines, loc="lower center", ncols=4, columnspacing=1.0, handlelength=2.6)
    title(figure, "(j) Path weights trade bias for variance (claim 15): exact frontier, and who wins with $N$ rollouts")
    figure.subplots_adjust(left=0.08, right=0.985, bottom=0.125, top=0.9, wspace=0.25, hspace=0.85)
