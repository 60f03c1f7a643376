"""The pictures of crossings and estimates: panels (c), (e)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from experiments.harness import OKABE_ITO as C
from experiments.harness import Tables, title
from experiments.pass_at_n.look import LOOK, NAMES, powers

HEAVY = ((C["sky"], "o"), (C["green"], "^"), (C["purple"], "s"), (C["black"], "D"))
METRICS = {
    "pass": ("Pass@$N$", C["blue"], "-", "o"), "best": ("Best@$N$ (grades)", C["green"], "--", "D"),
    "avg": ("Avg@$N$", C["black"], (0, (1, 1)), "x"), "maj": ("Maj@$N$, mode wrong", C["vermillion"], "-.", "s"),
    "maj_mode_right": ("Maj@$N$, mode right", C["orange"], (0, (4, 1, 1, 1)), "^"),
}  # fmt: skip


def crossing(figure: Any, tables: Tables) -> None:
    """Panel (c)."""
    exact, smooth, random = figure.subplots(1, 3)
    table = tables["crossing"]
    for (heavy, group), (colour, mark) in zip(
        table[table["family"] == "collapsed"].groupby("heavy"), HEAVY, strict=True
    ):
        exact.plot(group["prompts"], group["n"], mark, ls="-", color=colour, ms=3.5, lw=0.8, label=f"{heavy:g}")
    exact.set_xscale("log")
    exact.set(xlabel="number of prompts", ylabel="ahead from $N$ on", ylim=(0, None),
              title="mixture against collapse,\nexact, one heavy prompt")  # fmt: skip
    exact.legend(title="its weight", title_fontsize=7, loc="upper left")
    some = table[table["family"] == "smoothed"]
    for (objective, teacher), here in some.groupby(["objective", "teacher"]):
        colour, _, mark = LOOK[objective]
        face = "white" if teacher == "fixed" else colour
        smooth.plot(here["floor"], here["n"], mark, ls="-", color=colour, ms=3.5, mfc=face, lw=0.8)
        smooth.plot(here["floor"], here["again"], mark, ls=":", color=colour, ms=3.5, mfc=face, lw=0.8)
    smooth.set_xscale("log")
    smooth.set_yscale("log", base=2)
    smooth.set_yticks([1, 2, 4, 8, 16, 32, 64, 128], ["1", "2", "4", "8", "16", "32", "64", "128"])
    smooth.set(xlabel="floor $e$ of the teacher", ylim=(0.85, 230),
               title="8 prompts of weights 8 : .. : 1,\nclosed forms")  # fmt: skip
    smooth.text(9e-7, 15, "dotted: reverse KL or\nJS ahead again", fontsize=6.5, va="center")
    table = tables["crossing_random"]
    shift = {("sdpo", "own"): -0.24, ("opsd", "own"): -0.12, ("rl", "none"): 0, ("sdpo", "fixed"): 0.12,
             ("opsd", "fixed"): 0.24}  # fmt: skip
    for (objective, teacher), here in table.groupby(["objective", "teacher"]):
        colour, _, mark = LOOK[objective]
        x = np.arange(len(here)) + shift[objective, teacher]
        random.plot(x, here["median"], mark, color=colour, ms=4, mfc="white" if teacher == "fixed" else colour)
        random.vlines(x, here["lower"], here["upper"], color=colour, lw=0.9, zorder=0)
    random.set_yscale("log", base=2)
    random.set_yticks([1, 2, 4, 8, 16, 32], ["1", "2", "4", "8", "16", "32"])
    ranks = sorted(table["rank"].unique())
    random.set_xticks(range(len(ranks)), ["alike" if r == 0 else str(r) for r in ranks])
    random.set(xlabel="rank of the logits", title="random prompts in hidden pairs,\nmedian and quartiles")
    entries = [Line2D([], [], color=LOOK[o][0], marker=LOOK[o][2], ls="", ms=4, label=NAMES[o])
               for o in ("sdpo", "opsd", "rl")]  # fmt: skip
    entries += [Line2D([], [], color="0.3", marker="o", ls="", ms=4, mfc=f, label=n) for f, n in (
        ("0.3", "own teacher"), ("white", "fixed teacher"))]  # fmt: skip
    figure.legend(handles=entries, loc="lower center", ncols=5, columnspacing=1.2, handletextpad=0.3)
    title(figure, "(c) From which $N$ on forward CE is ahead (claim 12d)")
    figure.subplots_adjust(left=0.06, right=0.99, bottom=0.26, top=0.78, wspace=0.24)


def estimators(figure: Any, tables: Tables) -> None:
    """Panel (e)."""
    bias, error, votes = figure.subplots(1, 3)
    table = tables["estimators"]
    here = table[table["metric"] == "pass"]
    bias.axhline(0, color="0.6", lw=0.7)
    bias.errorbar(here["n"], here["mean"] - here["exact"], 2 * here["error_of_mean"], fmt="o", ms=3.5, lw=1,
                  color=C["blue"], label=r"$1-\binom{k-c}{N}/\binom{k}{N}$")  # fmt: skip
    bias.plot(here["n"], here["naive"] - here["exact"], "s--", ms=3.5, color=C["vermillion"], label="$1-(1-c/k)^N$")
    bias.set(ylabel="mean estimate minus truth", title=f"Pass@$N$ from $k={here['samples'].iloc[0]}$ samples",
             ylim=(1.5 * (here["naive"] - here["exact"]).min(), 0.002))  # fmt: skip
    bias.legend(loc="lower left")
    for metric in ("pass", "best", "avg", "maj"):
        _, colour, style, mark = METRICS[metric]
        rows = table[table["metric"] == metric]
        error.plot(rows["n"], rows["deviation_exact"].fillna(rows["deviation"]), color=colour, ls=style)
        error.plot(rows["n"], rows["deviation_estimated"], mark, color=colour, ms=4, mfc="none", mew=0.9)
    error.set(title="standard deviation of an estimate", ylim=(0, 0.175))
    error.text(0.97, 0.97, "lines: exact (Pass) or drawn\nmarks: as estimated ($2N\\leq k$)", transform=error.transAxes,
               ha="right", va="top", fontsize=6.5)  # fmt: skip
    for metric, (_, colour, style, _) in METRICS.items():
        votes.plot(tables["votes"]["n"], tables["votes"][metric], color=colour, ls=style)
    votes.set(title="exact: more votes can hurt", ylim=(0, 1.03))
    for axis, largest in ((bias, 64), (error, 64), (votes, 128)):
        powers(axis, largest)
        axis.set_xlabel("attempts $N$")
    entries = [Line2D([], [], color=c, ls=s, label=n) for n, c, s, _ in METRICS.values()]
    figure.legend(handles=entries, loc="lower center", ncols=5, columnspacing=1.2, handlelength=2.4)
    title(figure, "(e) Unbiased estimates and their errors; Maj@$N$ falls where the right answer is not the mode")
    figure.subplots_adjust(left=0.095, right=0.99, bottom=0.26, top=0.83, wspace=0.26)
