"""The pictures of trained students: panels (a), (b), (d)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from experiments.harness import OKABE_ITO as C
from experiments.harness import Tables, title
from experiments.pass_at_n.look import LOOK, TEACHER, handles, line, powers, shown_rank

FLOOR = 0.01
MARKED = (1, 2, 4, 8, 16, 64, 256)


def curves(figure: Any, tables: Tables) -> None:
    """Panel (a)."""
    two, *random = figure.subplots(1, 3, sharey=True)
    table, ends = tables["curves"], tables["ends"]
    table, ends = (t[(t["example"] == "two") & (t["floor"] == FLOOR)] for t in (table, ends))
    for objective, teacher in (("distil", "own"), ("sdpo", "own"), ("opsd", "own"), ("rl", "none")):
        here = table[(table["objective"] == objective) & (table["teacher"] == teacher)]
        line(two, here["n"], here["pass"], objective)
        trained = ends[(ends["objective"] == objective) & (ends["teacher"] == teacher)]
        n = np.array(MARKED)
        passed = 1 - (trained["weight"].to_numpy() * (1 - trained["p"].to_numpy()) ** n[:, None]).sum(axis=1)
        two.plot(n, passed, LOOK[objective][2], color=LOOK[objective][0], ms=4, mfc="none", mew=0.9)
    two.set(title="two prompts that look alike,\n$w=3/5,\\,2/5$, own teacher", ylabel="Pass@$N$", ylim=(0.45, 1.02))
    two.text(1.2, 0.505, "13/25", fontsize=6.5, ha="left", va="center", color=LOOK["distil"][0])
    two.text(1.08, 0.88, "19/25", fontsize=6.5, ha="left", va="center", color=LOOK["distil"][0])
    two.text(40, 0.585, "collapsed: 3/5 for every $N$", fontsize=6.5, ha="center", va="top")
    rank = shown_rank(tables["random_curves"])
    means = tables["random_curves"][tables["random_curves"]["rank"] == rank]
    for axis, teacher in zip(random, ("own", "fixed"), strict=True):
        for objective in ("distil", "sdpo", "opsd", "rl"):
            kind = teacher if objective != "rl" else "none"
            here = means[(means["objective"] == objective) & (means["teacher"] == kind)]
            line(axis, here["n"], here["mean"], objective)
            axis.fill_between(here["n"], here["lower"], here["upper"], color=LOOK[objective][0], alpha=0.08, lw=0)
        axis.set(title=f"random prompts in hidden pairs,\nrank {rank}, {TEACHER[teacher]}")
    for axis in (two, *random):
        powers(axis, 1024)
        axis.set_xlabel("attempts $N$")
    entries = handles(("distil", "sdpo", "opsd", "rl"))
    entries.append(Line2D([], [], marker="o", ls="", mfc="none", color="0.3", ms=4, label="trained (left)"))
    figure.legend(handles=entries, loc="lower center", ncols=5, columnspacing=1.0, handlelength=2.4)
    title(figure, "(a) Forward CE keeps every mode: it loses at $N=1$ and wins at large $N$ (claim 12d)")
    figure.subplots_adjust(left=0.075, right=0.98, bottom=0.25, top=0.76, wspace=0.1)


def _learning(axes: Any, table: pd.DataFrame, teacher: str) -> None:
    for axis, n in zip(axes, sorted(table["n"].unique()), strict=True):
        for objective in ("distil", "sdpo", "opsd", "likelihood", "rl"):
            kind = teacher if objective in ("distil", "sdpo", "opsd") else "none"
            here = table[(table["objective"] == objective) & (table["teacher"] == kind) & (table["n"] == n)]
            wide = {"lw": 3.2, "alpha": 0.5, "ls": "-", "zorder": 1} if objective == "likelihood" else {}
            line(axis, here["step"], here["mean"], objective, **wide)
        axis.set_xscale("symlog", linthresh=1, linscale=0.3)
        axis.set_xticks([0, 1, 10, 100, 1000], ["0", "1", "10", "100", "1000"])
        axis.minorticks_off()
        axis.set(ylim=(0, 1.03), xlim=(0, table["step"].max()))
        axis.text(0.96, 0.06, f"Pass@{n}", transform=axis.transAxes, ha="right", fontsize=7.5)


def training(figure: Any, tables: Tables) -> None:
    """Panel (b)."""
    grid = figure.add_gridspec(2, 4, width_ratios=[1, 1, 1, 1.05], left=0.075, right=0.985, bottom=0.19, top=0.88,
                               wspace=0.3, hspace=0.3)  # fmt: skip
    table = tables["training"][tables["training"]["rank"] == shown_rank(tables["training"])]
    for row, teacher in enumerate(("own", "fixed")):
        axes = [figure.add_subplot(grid[row, i]) for i in range(3)]
        _learning(axes, table, teacher)
        axes[0].set_ylabel(TEACHER[teacher])
        for axis in axes[1:]:
            axis.set_yticklabels([])
        for axis in axes:
            if row:
                axis.set_xlabel("steps")
            else:
                axis.set_xticklabels([])
    upper, lower = (figure.add_subplot(grid[row, 3]) for row in range(2))
    em = tables["em"]
    for (eta, group), colour, style in zip(
        em.groupby("eta", sort=False), (C["green"], C["purple"], C["blue"]), (":", "--", "-"), strict=True
    ):
        name = "EM" if np.isinf(eta) else rf"$\eta={eta:g}$"
        upper.plot(group["step"], group["likelihood"], color=colour, ls=style, label=name)
        lower.plot(group["step"], group["pass_1_fell"], color=colour, ls=style)
    upper.set(title=r"EM: $\sum w\,\log P$ rises", xticklabels=[])
    upper.legend(loc="lower right", handlelength=2)
    lower.set(ylim=(0, None), xlabel="EM steps", title="share where Pass@1 falls")
    entries = handles(("distil", "sdpo", "opsd", "rl"))
    entries.append(Line2D([], [], color=LOOK["likelihood"][0], lw=3.2, alpha=0.5, label="likelihood RL"))
    figure.legend(handles=entries, loc="lower center", ncols=5, columnspacing=1.0, handlelength=2.4)
    rank = shown_rank(tables["training"])
    title(figure, f"(b) Learning at rank {rank}: forward CE to the own teacher is likelihood RL (claim 12b)")


def modes(figure: Any, tables: Tables) -> None:
    """Panel (d)."""
    table = tables["modes"]
    for axis, (measure, name) in zip(
        figure.subplots(1, 3),
        {
            "covered": r"prompts with $P \geq 0.1$", "kept": r"right answers with $\pi \geq 0.01$",
            "effective": "right answers in effect\n(exp entropy, of 2)",
        }.items(),
        strict=True,
    ):  # fmt: skip
        for (objective, teacher), here in table[table["measure"] == measure].groupby(["objective", "teacher"]):
            if objective == "likelihood":
                continue
            colour, _, mark = LOOK[objective]
            fixed = teacher == "fixed"
            axis.plot(here["rank"], here["mean"], mark, ls="--" if fixed else "-", color=colour, ms=4,
                      mfc="white" if fixed else colour, lw=1)  # fmt: skip
        axis.set(xlabel="rank of the logits", title=name, ylim=(0.95, 2.03) if measure == "effective" else (0, 1.03))
        ranks = sorted(table["rank"].unique())
        axis.set_xticks(ranks, ["alike" if r == 0 else str(r) for r in ranks])
    entries = [
        Line2D([], [], color=h.get_color(), ls="", marker=LOOK[o][2], ms=4, label=h.get_label())
        for o, h in zip(("distil", "sdpo", "opsd", "rl"), handles(("distil", "sdpo", "opsd", "rl")), strict=True)
    ]
    entries += [Line2D([], [], color="0.3", label="own teacher"),
                Line2D([], [], color="0.3", ls="--", label="fixed teacher")]  # fmt: skip
    figure.legend(handles=entries, loc="lower center", ncols=6, columnspacing=0.7, handlelength=1.5)
    title(figure, "(d) What survives: prompts by the objective, the other right answers by the teacher")
    figure.subplots_adjust(left=0.05, right=0.99, bottom=0.27, top=0.78, wspace=0.2)
