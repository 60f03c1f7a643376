"""The two pictures of failure rates of `experiments.sequential_monotonicity`."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from experiments.harness import LINES, Tables, label
from experiments.harness import OKABE_ITO as C

DRAWN = ("forward_kl", "reverse_kl", "jensen_shannon", "hellinger", "pearson_chi2")
COLUMNS = [
    ("random", 0.0, "random"),
    ("soft_optimal", 0.3, "soft-optimal\n$\\tau=0.3$"),
    ("soft_optimal", 0.1, "\n$\\tau=0.1$"),
    ("soft_optimal", 0.03, "\n$\\tau=0.03$"),
    ("noisy", 0.0, "told of\nsuccess"),
    ("noisy", 0.25, "1 bit in 4\nwrong"),
]
"""Teachers of panel (c): kind, dial, heading."""
BLOCKS = [
    ("local", "natural", "local", DRAWN),
    ("weighted", "natural", "prefix-weighted", DRAWN),
    ("full", "natural", "full", (*DRAWN, "cross_entropy")),
    ("local", "euclidean", "local,\nplain gradient", DRAWN),
]
"""Rows of panel (c): part, geometry, heading, divergences."""
FED = {
    ("forward_kl", "local"): (*LINES["forward_kl"][:2], "forward KL"),
    ("reverse_kl", "local"): (*LINES["reverse_kl"][:2], "reverse KL"),
    ("jensen_shannon", "local"): (*LINES["jensen_shannon"][:2], "Jensen-Shannon"),
    ("hellinger", "local"): (*LINES["hellinger"][:2], "squared Hellinger"),
    ("pearson_chi2", "local"): (*LINES["pearson_chi2"][:2], "Pearson $\\chi^2$"),
    ("forward_kl", "full"): (C["sky"], "-", "full forward KL"),
    ("cross_entropy", "full"): (C["black"], "-", "full cross-entropy"),
}
"""Lines of panel (d)."""


def name_of(divergence: str) -> str:
    """How the table calls a divergence."""
    return "cross-entropy" if divergence == "cross_entropy" else label(divergence)


def _cell(share: float, n: int) -> str:
    if share == 0:
        return "0"
    percent = 100 * share
    return f"{percent:.0f}" if percent >= 9.95 else f"{percent:.1f}" if percent >= 0.05 else "<0.1"


def failures(figure: Any, tables: Tables) -> None:
    """Panel (c)."""
    grid = figure.add_gridspec(3, 2, width_ratios=[1.75, 1], left=0.215, right=0.985, bottom=0.23, top=0.885,
                               wspace=0.24, hspace=0.8)  # fmt: skip
    axis = figure.add_axes((0.215, 0.085, 0.45, 0.765))
    table = tables["failures"]
    base = table[(table["horizon"] == 4) & (table["states"] == 5) & (table["actions"] == 3)]
    colours = matplotlib.colors.LinearSegmentedColormap.from_list("red", ["white", C["vermillion"]])
    y = 0.0
    for part, geometry, heading, divergences in BLOCKS:
        for divergence in divergences:
            rows = base[(base["part"] == part) & (base["geometry"] == geometry) & (base["divergence"] == divergence)]
            for x, (kind, dial, _) in enumerate(COLUMNS):
                row = rows[(rows["teacher"] == kind) & np.isclose(rows["dial"], dial)].iloc[0]
                proved = str(row["promise"]).endswith("never")
                face = "#CDE9DF" if proved else colours(min(row["value"] / 0.3, 1) * 0.9)
                axis.add_patch(matplotlib.patches.Rectangle((x, y), 0.96, 0.94, fc=face, ec="none"))
                axis.text(x + 0.48, y + 0.49, _cell(row["value"], row["n"]), ha="center", va="center", fontsize=7,
                          weight="bold" if proved else "normal")  # fmt: skip
            axis.text(-0.1, y + 0.49, name_of(divergence), ha="right", va="center", fontsize=7)
            y += 1
        axis.text(-2.35, y - len(divergences) / 2, heading, ha="center", va="center", fontsize=7, rotation=90)
        y += 0.35
    for x, (_, _, heading) in enumerate(COLUMNS):
        axis.text(x + 0.48, -0.25, heading, ha="center", va="bottom", fontsize=7)
    axis.set(xlim=(0, len(COLUMNS)), ylim=(y, 0))
    axis.axis("off")
    axis.text(
        0,
        y + 0.15,
        "% of the MDPs in which the teacher is better.\nGreen: a theorem says never. 0: none found.",
        fontsize=7,
        va="top",
    )
    random = table[(table["teacher"] == "random") & (table["geometry"] == "natural")]
    places = (("horizon", "horizon $H$"), ("states", "states"), ("actions", "actions"))
    for k, (size, text) in enumerate(places):
        axis = figure.add_subplot(grid[k, 1])
        others = {key: value for key, value in (("horizon", 4), ("states", 5), ("actions", 3)) if key != size}
        here = random[np.all([random[key] == value for key, value in others.items()], axis=0)]
        for divergence in DRAWN:
            colour, style, marker = LINES[divergence]
            line = here[(here["divergence"] == divergence) & (here["part"] == "local")].sort_values(size)
            ends = [line["value"] - line["lower"], line["upper"] - line["value"]]
            look = {"color": colour, "ls": style, "marker": marker, "ms": 2.5, "elinewidth": 0.7}
            axis.errorbar(line[size], line["value"], ends, label=label(divergence), **look)
        line = here[(here["divergence"] == "forward_kl") & (here["part"] == "weighted")].sort_values(size)
        axis.plot(
            line[size], line["value"], color=C["green"], marker="o", ms=2.5, clip_on=False, label="weighted forward KL"
        )
        axis.set(xlabel=text, ylim=(0, 0.36), yticks=[0, 0.1, 0.2, 0.3])
        axis.set_xscale("log", base=2)
        axis.set_xticks(line[size], [str(x) for x in line[size]])
        axis.minorticks_off()
        axis.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=0, symbol=" %"))
        if k == 0:
            axis.set_title("random teacher, local steps", fontsize=7.5)
            narrow = {"columnspacing": 0.8, "handlelength": 2.2, "labelspacing": 0.3, "handletextpad": 0.4}
            where = {"loc": "lower right", "bbox_to_anchor": (1.0, 0.01), "ncols": 2, "fontsize": 6.5}
            figure.legend(*axis.get_legend_handles_labels(), **where, **narrow)
    n = int(base["n"].iloc[0])
    figure.suptitle("(c) Random MDPs: how often does a small step lower the reward although the teacher is better?",
                    x=0.01, ha="left", fontsize=8.5)  # fmt: skip
    figure.text(0.03, 0.915, f"$H=4$, 5 states, 3 actions,\n{n:,} MDPs each", fontsize=7, va="top")


VIEWS = [
    ("the student sees the state", 5, True),
    ("states look alike to the student, the teacher tells them apart", 1, True),
    ("states look alike to the student and to the teacher", 1, False),
]
"""Rows of panel (d): heading, observations, privileged."""


def feedback(figure: Any, tables: Tables) -> None:
    """Panel (d)."""
    table = tables["feedback"]
    states = int(table["states"].iloc[0])
    axes = figure.subplots(3, 3)
    for i, (heading, observations, privileged) in enumerate(VIEWS):
        here = table[(table["observations"] == observations) & (table["privileged"] == privileged)]
        _dial(axes[i, 0], here[(here["teacher"] == "noisy") & (here["dial"] < 0.5)], "dial", 0)
        _dial(axes[i, 1], here[here["teacher"] == "overconfident"], "dial", 1)
        if i == 0:
            _dial(axes[i, 2], here[here["teacher"] == "lagging"], "dial", 0)
        else:
            clean = table[(table["teacher"] == "noisy") & (table["dial"] == 0)]
            clean = clean[(clean["privileged"] == privileged) | (clean["observations"] == states)]
            share = (states - clean["observations"]) / (states - 1)
            _dial(axes[i, 2], clean.assign(share=share), "share", 0)
        axes[i, 0].set_ylabel("steps that lower $J$", fontsize=7.5)
        axes[i, 0].set_title(heading, loc="left", x=-0.22, fontsize=8, weight="bold")
    for column, (text, ends) in enumerate(
        (("error rate of the success bit", (0, 0.5)), ("times the bit is counted", (0.5, 5)))
    ):
        axes[2, column].set_xlabel(text)
        for i in range(3):
            axes[i, column].set_xlim(*ends)
            if column == 0:
                axes[i, 0].set_xscale("function", functions=(np.sqrt, np.square))
                axes[i, 0].set_xticks([0, 0.02, 0.1, 0.2, 0.3, 0.5])
    axes[0, 2].set(xlabel="how far the teacher lags behind", xlim=(0, 1))
    axes[2, 2].set_xlabel("share of states that look alike")
    axes[1, 2].set_xlim(0, 1)
    axes[2, 2].set_xlim(0, 1)
    text = "beyond 1/2 the teacher is worse:\nevery local step lowers $J$"
    axes[0, 0].text(0.03, 0.5, text, transform=axes[0, 0].transAxes, fontsize=6.5, va="top", color="0.35")
    handles = [
        matplotlib.lines.Line2D([], [], color=colour, ls=style, label=text) for colour, style, text in FED.values()
    ]
    figure.legend(handles=handles, loc="lower center", ncols=4, columnspacing=1.2, handlelength=2.6)
    text = (
        "(d) Teachers told of success: wrong bits, over-confidence, lag, hidden state (local steps, unless called full)"
    )
    figure.suptitle(text, x=0.01, ha="left", fontsize=8.5)
    figure.subplots_adjust(left=0.085, right=0.985, bottom=0.185, top=0.895, wspace=0.25, hspace=0.62)


def _dial(axis: Any, table: pd.DataFrame, x: str, shift: float) -> None:
    """Failure rates of every objective against a dial; says so if all local ones are zero because they must be."""
    for (divergence, part), (colour, style, _) in FED.items():
        line = table[(table["divergence"] == divergence) & (table["part"] == part)].sort_values(x)
        axis.plot(line[x] + shift, line["value"], color=colour, ls=style, clip_on=False)
        axis.fill_between(line[x] + shift, line["lower"], line["upper"], color=colour, alpha=0.2, lw=0)
    local = table[table["part"] == "local"]
    if (local["promise"] == "9: never").all():
        text = f"local: {int(local['lowered'].sum())} failures in {int(local['n'].sum()):,}\n(claim 9: never)"
        axis.text(0.03, 0.9, text, transform=axis.transAxes, fontsize=6.5, va="top", color=C["green"])
    axis.set_ylim(0, max(0.1, 1.08 * table["upper"].max()))
    axis.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4, steps=[1, 2, 5, 10]))
    axis.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=0, symbol=" %"))
