"""The panels of `experiments.diagnosis`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from scipy.stats import norm

from distil_theory.diagnosis import trust
from experiments.diagnosis import coverage
from experiments.harness import OKABE_ITO as C
from experiments.harness import Tables, title

LEVELS = {
    "local": ("local", C["blue"], "o"),
    "clipped": ("prefix-weighted, clipped", C["sky"], "D"),
    "sequence": ("whole sequence", C["vermillion"], "s"),
    "full": ("full gradient", C["purple"], "P"),
    "euclidean": ("plain gradient", C["green"], "^"),
}
FAULTS = {
    "valid": ("honest teacher", C["black"], "-", "o"),
    "own trace": ("saw where this answer first errs", C["green"], ":", "^"),
    "temperature": ("sampled at another temperature", C["purple"], "-.", "v"),
    "own verdict": ("saw the verdict on this answer", C["vermillion"], "--", "s"),
    "shifted": ("tokens shifted by one", C["orange"], (0, (1, 1)), "D"),
}
PLAIN = {
    "local/forward_kl": "local forward KL", "sequence/forward_kl": "prefix-weighted forward KL",
    "clipped/forward_kl": "the same, weights up to 2", "sequence/reverse_kl": "full reverse KL",
    "local/reverse_kl": "local reverse KL", "local/jensen_shannon": "local Jensen-Shannon",
    "euclidean/forward_kl": "forward KL, plain gradient",
}  # fmt: skip


def _held_out(tables: Tables) -> pd.DataFrame:
    cells = tables["cells"]
    return cells[(cells["set"] == "held-out") & (cells["form"] == "full")]


def _by_level(axis: Any, part: pd.DataFrame, x: Any, y: Any, **options: Any) -> None:
    level = part["rate"].str.partition("/")[0]
    for name, (_, colour, mark) in LEVELS.items():
        here = (level == name).to_numpy()
        axis.plot(np.asarray(x)[here], np.asarray(y)[here], mark, color=colour, ms=2.2, mew=0.4, alpha=0.6, **options)


def _legend(axis: Any, **options: Any) -> None:
    handles = [Line2D([], [], color=c, marker=m, ls="", ms=3.5, label=text) for text, c, m in LEVELS.values()]
    axis.legend(handles=handles, handletextpad=0.2, **options)


def _ticks(axis: Any, values: Any) -> None:
    """Labels of a logarithmic axis, and no others."""
    axis.set_xscale("log")
    axis.set_xticks(list(values), [f"{n:,}" for n in values])
    axis.minorticks_off()


def cells(figure: Any, tables: Tables) -> None:
    """Panel (a)."""
    figure.subplots_adjust(left=0.08, right=0.99, bottom=0.16, top=0.83, wspace=0.17)
    far, near = figure.subplots(1, 2, width_ratios=(1.15, 1))
    table = _held_out(tables)
    carrying, loud = table["carrying"].clip(lower=0.7), table["warns"].to_numpy()
    for axis in (far, near):
        axis.axhspan(coverage.LEAST, coverage.MOST, color=C["sky"], alpha=0.2, lw=0)
        axis.set_xlabel("groups that carry the variance")
    far.plot(carrying[loud], table["covered"][loud], "x", color="0.6", ms=3, mew=0.6, label="cell warns")
    _by_level(far, table[~loud], carrying[~loud], table["covered"][~loud])
    far.axvline(trust.CARRYING, color="0.4", lw=0.8, ls="--")
    far.text(trust.CARRYING * 1.1, 0.03, f"warns below {trust.CARRYING:g}", fontsize=6.5, color="0.3")
    far.set(ylim=(0, 1.02), ylabel="95 % intervals that hold the truth")
    _ticks(far, (1, 2, 5, 10, 20, 50, 100, 200))
    far.legend(loc="lower left", handletextpad=0.2)
    near.axhline(coverage.LEVEL, color="0.4", lw=0.8)
    _by_level(near, table[~loud], carrying[~loud], table["covered"][~loud])
    near.set(ylim=(0.912, 0.988))
    _ticks(near, (20, 50, 100, 200))
    near.set_title(f"the {int((~loud).sum())} cells that do not warn", fontsize=7.5)
    _legend(near, loc="lower right", fontsize=6, ncols=2, columnspacing=0.6)
    logs = int(table["logs"].max())
    title(figure, f"(a) Do 95 % intervals hold the truth? Held-out games, one mark per cell of {logs:,} logs")


def errors(figure: Any, tables: Tables) -> None:
    """Panel (b)."""
    figure.subplots_adjust(left=0.1, right=0.99, bottom=0.18, top=0.8, wspace=0.08)
    axes = figure.subplots(1, 3, sharey=True)
    table = _held_out(tables)
    shares = sorted(table["trust"].unique())
    colours = dict(zip(shares, (C["green"], C["orange"], C["vermillion"]), strict=False))
    for axis, rate in zip(axes, ("local/forward_kl", "sequence/reverse_kl", "sequence/forward_kl"), strict=True):
        for (share, _), part in table[table["rate"] == rate].groupby(["trust", "game"]):
            part = part.sort_values("rollouts")
            axis.plot(part["rollouts"], part["deviation"], color=colours[share], lw=0.6, alpha=0.6)
            for mark, warns in (("o", False), ("x", True)):
                these = part[part["warns"] == warns]
                axis.plot(these["rollouts"], these["deviation"], mark, color=colours[share], ms=2.6, mew=0.7)
        n = np.array([128, 1024])
        low = table.loc[table["rate"] == rate, "deviation"].min()
        axis.plot(n, 0.6 * low * (8 * n / 1024) ** -0.5, color="black", lw=0.8, ls=":")
        axis.set(yscale="log", xlabel="rollouts", title=PLAIN[rate])
        _ticks(axis, (128, 256, 512, 1024))
    axes[0].set_ylabel("standard deviation\nof the estimate")
    handles = [Line2D([], [], color=colours[x], marker="o", lw=0.6, ms=2.6, label=f"trusted to {x:g}") for x in shares]
    handles.append(Line2D([], [], color="0.4", marker="x", ls="", ms=3, label="cell warns"))
    handles.append(Line2D([], [], color="black", ls=":", lw=0.8, label="slope $-1/2$"))
    figure.legend(handles=handles, loc="upper right", fontsize=6, ncols=5, columnspacing=1, handlelength=1.5)
    title(figure, "(b) How the error shrinks with the log")


def needed(figure: Any, tables: Tables) -> None:
    """Panel (c)."""
    figure.subplots_adjust(left=0.08, right=0.97, bottom=0.17, top=0.87, wspace=0.62)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.05))
    table = _held_out(tables)
    quiet = table[~table["warns"] & (table["warned"] < 0.02) & (table["truth"].abs() > 1e-9)]
    effect = quiet["truth"].abs() / quiet["deviation"]
    x = np.linspace(0, 7, 200)
    z = norm.ppf(0.975)
    left.plot(x, norm.cdf(x - z) + norm.cdf(-x - z), color="black", lw=1)
    _by_level(left, quiet, effect, quiet["decided"])
    left.set(xlim=(0, 7), ylim=(0, 1.03), xlabel="rate / its standard error", ylabel="logs whose sign is certain")
    left.text(3.2, 0.6, "normal theory", fontsize=6.5)
    _legend(left, loc="lower right", fontsize=6)
    need = tables["needed"]
    need = need[need["set"] == "held-out"]
    shown = [rate for rate in PLAIN if (need["rate"] == rate).any()][::-1]
    for i, rate in enumerate(shown):
        n = np.sort(need[need["rate"] == rate]["needed"])
        _, colour, mark = LEVELS[rate.partition("/")[0]]
        right.plot(n, np.full(len(n), i) + np.linspace(-0.25, 0.25, len(n)), mark, color=colour, ms=2.4, mew=0.4)
        right.plot([np.median(n)] * 2, [i - 0.38, i + 0.38], color="black", lw=1.2)
    right.set(xlabel="rollouts until 4 of 5 logs are certain")
    most = np.log10(need.loc[need["rate"].isin(shown), "needed"].max())
    powers = range(1, int(np.ceil(most)) + 1, 2 if most > 5 else 1)
    right.set_xscale("log")
    right.set_xticks([10.0**k for k in powers], [f"$10^{k}$" for k in powers])
    right.minorticks_off()
    right.set_yticks(range(len(shown)), [PLAIN[rate] for rate in shown])
    title(
        figure, "(c) How many rollouts until the sign is certain? Right: a mark per game and teacher, bars are medians"
    )


def verdicts(figure: Any, tables: Tables) -> None:
    """Panel (d)."""
    figure.subplots_adjust(left=0.09, right=0.98, bottom=0.17, top=0.87, wspace=0.25)
    left, right = figure.subplots(1, 2)
    table = _held_out(tables)
    quiet = table[~table["warns"]]
    effect = quiet["truth"].abs() / quiet["deviation"]
    _by_level(left, quiet, effect.clip(upper=6), quiet["wrong"])
    x = np.linspace(0, 6, 200)
    left.plot(x, norm.cdf(-x - norm.ppf(0.975)), color="black", lw=1)
    left.axhline(0.025, color="0.4", lw=0.8, ls="--")
    left.set(xlabel="rate / its standard error", ylabel="verdicts with the wrong sign", ylim=(-0.001, 0.052))
    left.text(1.6, 0.0262, "2.5 %: a rate of 0, normal theory", fontsize=6.5, color="0.3")
    _legend(left, loc="upper right", fontsize=6)
    right.plot([0, 0.06], [0.05, -0.01], color="0.7", lw=0.8)
    right.text(0.0015, 0.0515, "5 % together", fontsize=6.5, color="0.4")
    _by_level(right, quiet, quiet["below"], quiet["above"])
    right.set(xlabel="truth below the interval", ylabel="truth above the interval", xlim=(0, 0.06), ylim=(0, 0.06))
    title(figure, "(d) How often is the verdict wrong, and on which side do intervals miss? Cells that do not warn")


def checks(figure: Any, tables: Tables) -> None:
    """Panel (e)."""
    figure.subplots_adjust(left=0.08, right=0.98, bottom=0.23, top=0.86, wspace=0.78)
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
    table = tables["checks"]
    for fault, (label, colour, line, mark) in FAULTS.items():
        part = table[table["fault"] == fault].sort_values("rollouts")
        look = {"color": colour, "ls": line, "marker": mark, "label": label}
        left.plot(part["rollouts"], part["noticed"], ms=3.5, mfc="none", **look)
    left.set(ylim=(-0.04, 1.06), xlabel="rollouts", ylabel="logs in which it is noticed")
    _ticks(left, sorted(table["rollouts"].unique()))
    first = table.drop_duplicates("fault").set_index("fault")
    for i, fault in enumerate(reversed(FAULTS)):
        right.barh(i, first.loc[fault, "expected_s"], color=FAULTS[fault][1], height=0.5)
    right.axvline(0, color="black", lw=0.8)
    right.set_yticks(range(len(FAULTS)), [FAULTS[fault][0] for fault in reversed(FAULTS)])
    for text, fault in zip(right.get_yticklabels(), reversed(FAULTS), strict=True):
        text.set_color(FAULTS[fault][1])
    right.set_xlabel("$\\mathrm{E}\\,\\sum_h (u_h - 1)$, exactly")
    title(
        figure,
        "(e) Is a log noticed that is not what it seems? Right: what the check looks at, 0 for an honest teacher",
    )
