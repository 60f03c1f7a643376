"""The pictures of single steps on named instances: panels (c), (d) and (i)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from distil_theory.divergences import BY_NAME
from experiments import harness
from experiments.future_credit.look import LOOK, LOWERS, NAMES, RAISES, legend
from experiments.harness import LINES, Tables, title
from experiments.harness import OKABE_ITO as C

INSTANCES = {
    "spurious_disagreement": "10b: harmless disagreement", "doubtful_branch": "18b: truthful, but chance",
    "reward_before_the_end": "18: but early rewards", "entropy_ahead": "18: two right ways on",
    "rare_way": "19: a rare way is right", "aliased_fork": "10a: here it helps",
    "hidden_trace": "sums, hint: first\nwrong digit", "tested_program": "programs, hint:\nfailing test",
    "shown_program": "programs, hint:\none solution", "unfamiliar_program": "... that begins in an\nunfamiliar way",
}  # fmt: skip


def steps(figure: Any, tables: Tables) -> None:
    """Panel (c)."""
    table = tables["steps"]
    axes = figure.subplots(2, 3)
    for axis, (name, part) in zip(axes.flat, table.groupby("instance", sort=False), strict=True):
        for objective, group in part.groupby("objective", sort=False):
            colour, style, width, *_ = LOOK[objective]
            axis.plot(group["eta"], group["return"], color=colour, ls=style, lw=width)
            head = group[group["eta"] <= group["eta"].max() / 3]
            axis.plot(head["eta"], head["tangent"], color=colour, lw=0.5)
        axis.axhline(part["return"].iloc[0], color="0.6", lw=0.6, zorder=0)
        axis.set(xlim=(0, part["eta"].max()), title=f"claim {INSTANCES[str(name)]}")
        axis.locator_params(nbins=5)
    for axis in axes[:, 0]:
        axis.set_ylabel("return of the student")
    for axis in axes[1]:
        axis.set_xlabel(r"size $\eta$ of the natural step")
    legend(figure, Line2D([], [], color="0.3", lw=0.5, label="tangents (claims 1, 10)"))
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
    entries = [Patch(color=RAISES, label="▲ a small step raises the return"),
               Patch(color=LOWERS, label="▼ it LOWERS the return (every sign certified)")]  # fmt: skip
    figure.legend(handles=entries, loc="lower center", ncols=2)
    title(figure, "(d) Who improves what? Rates of a small natural step; the expert is better in every row")
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.08, top=0.92)


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
    entries = [Line2D([], [], color=LINES[d][0], ls=LINES[d][1], label=harness.label(d))
               for d in table["divergence"].unique() if d in BY_NAME]  # fmt: skip
    entries.append(Line2D([], [], color="0.3", lw=0.6, label="least slope promised (claim 19)"))
    figure.legend(handles=entries, loc="lower center", ncols=4)
    title(figure, "(i) Hints that only the teacher reads: one local step in four token problems")
    figure.subplots_adjust(left=0.075, right=0.985, bottom=0.28, top=0.76, wspace=0.28)
