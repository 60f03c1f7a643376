"""The pictures in which a student is trained: panels (a), (b), (f) and (g)."""

from __future__ import annotations

from typing import Any

from matplotlib.lines import Line2D

from experiments.future_credit.look import LOOK, handles, legend
from experiments.harness import OKABE_ITO as C
from experiments.harness import Tables, title


def fork(figure: Any, tables: Tables) -> None:
    """Panel (a)."""
    table = tables["fork"]
    left, right = figure.subplots(1, 2)
    for objective, group in table.groupby("objective", sort=False):
        colour, style, width, marker, size = LOOK[objective]
        for axis, y in ((left, "p"), (right, "return")):
            axis.plot(group["k"], group[f"{y}_closed_form"], color=colour, ls=style, lw=width)
            axis.plot(group["k"], group[y], marker, color=colour, ms=size, mfc="none", mew=0.9)
    left.text(12.2, 0.97, "local, weighted, cross-entropy: the expert's own $q=0.9$", ha="right", fontsize=6.5)
    left.text(12.2, 0.82, "(cross-entropy charges as much after the other action,\nwhere the expert is undecided, too)",
              ha="right", va="top", fontsize=6, color=LOOK["full_ce"][0])  # fmt: skip
    left.text(5.2, 0.33, "full KL: root of\n" r"$-\frac{q}{p}+\frac{1-q}{1-p}+k\log 2=0$", fontsize=7,
              color=LOOK["full_kl"][0])  # fmt: skip
    left.set(ylabel="probability $p$ of the branch", ylim=(0, 1.08), title="where training ends")
    for y, text in (
        ("return_expert", "expert (sees the bits)"),
        ("return_blind", "best that sees no bit: never branch"),
    ):
        value = table[y].iloc[0]
        right.axhline(value, color="0.4", lw=0.8, ls=(0, (1, 1)))
        right.text(12.2, value + (0.015 if y == "return_expert" else 0.012), text, fontsize=6.5, ha="right")
    ends = table[table["k"] == table["k"].max()].set_index("objective")["return"]
    k = table["k"].max()
    right.annotate("", (k, ends["full_kl"]), (k, ends["local"]), arrowprops={"arrowstyle": "<->", "lw": 0.7})
    right.text(k - 0.2, (ends["full_kl"] + ends["local"]) / 2, f"{ends['full_kl'] - ends['local']:+.2f}", ha="right",
               va="center", fontsize=7)  # fmt: skip
    right.set(ylabel="return of that student", ylim=(0, 1.08), title="what it earns")
    for axis in (left, right):
        axis.set(xlabel="tokens $k$ after the branch", xticks=sorted(table["k"].unique()))
    legend(figure, Line2D([], [], marker="o", ls="", mfc="none", color="0.3", ms=4, label="marks: trained to the end"))
    title(
        figure, "(a) Looking ahead pays where the student can only guess what follows, the more the longer (claim 10a)"
    )
    figure.subplots_adjust(left=0.075, right=0.99, bottom=0.27, top=0.81, wspace=0.2)


def learning(figure: Any, tables: Tables) -> None:
    """Panel (b)."""
    table = tables["learning"]
    tokens = table["k"].unique()
    for axis, k in zip(figure.subplots(1, len(tokens), sharey=True), tokens, strict=True):
        here = table[table["k"] == k]
        for objective, group in here.groupby("objective", sort=False):
            colour, style, width, *_ = LOOK[objective]
            axis.plot(group["step"], group["return"], color=colour, ls=style, lw=width)
            axis.plot(here["step"].max() * 1.03, group["limit"].iloc[0], "<", color=colour, ms=3.5, clip_on=False)
        axis.axhline(0.9, color="0.4", lw=0.8, ls=(0, (1, 1)))
        axis.set(xlabel="natural steps", title=f"$k={k}$ token{'s' if k > 1 else ''}", ylim=(0, 1),
                 xlim=(0, here["step"].max()))  # fmt: skip
    figure.axes[0].set_ylabel("return of the student")
    figure.axes[0].text(2, 0.92, "best that sees no bit", fontsize=6.5)
    legend(figure, Line2D([], [], marker="<", ls="", color="0.3", ms=4, label="closed form of the end"))
    title(
        figure, "(b) The same while it learns: weights and cross-entropy-to-go follow the expert into the branch, too"
    )
    figure.subplots_adjust(left=0.075, right=0.985, bottom=0.28, top=0.8, wspace=0.1)


def trap(figure: Any, tables: Tables) -> None:
    """Panel (f)."""
    table = tables["trap"]
    curve, bars = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.5, 1]})
    for (start, objective), group in table.groupby(["start", "objective"], sort=False):
        colour, style, width, *_ = LOOK[objective]
        curve.plot(group["step"], group["long"], color=colour, ls=style, lw=width)
        curve.plot(0, group["long"].iloc[0], "o" if start == "student" else "*", color="black", clip_on=False, zorder=5,
                   ms=4 if start == "student" else 8, mfc="black" if start == "student" else C["yellow"])  # fmt: skip
    limit = table.loc[table["objective"] == "full_ce", "limit"].iloc[0]
    last = table["step"].max()
    curve.axhline(limit, color="0.4", lw=0.8, ls=(0, (1, 1)))
    curve.text(last, limit - 0.004, f"minimum of cross-entropy-to-go: {limit:.3f}", ha="right", va="top", fontsize=6.5)
    curve.text(last, 0.605, "the expert: minimum of KL-to-go, and where local training ends", ha="right", fontsize=6.5)
    curve.set(xlabel="natural steps", ylabel="long answers (= return)", ylim=(0.42, 0.625), xlim=(-1, last))
    charged = table[(table["start"] == "expert") & (table["step"] == 0)].set_index("objective")
    for i, objective in enumerate(("full_kl", "full_ce")):
        for j, answer in enumerate(("long", "short")):
            value = charged.loc[objective, f"charged_{answer}"]
            bars.bar(i + 0.38 * j - 0.19, value, 0.34, color=C["orange"] if answer == "long" else C["sky"],
                     label=f"after {answer}" if i == 0 else None)  # fmt: skip
            bars.text(i + 0.38 * j - 0.19, value + 0.01, f"{value:.2f}" if value else "0", ha="center", fontsize=6.5)
    bars.set(ylim=(0, 1.1), ylabel="charged to the expert", xticks=(0, 1),
             xticklabels=("KL-to-go", "cross-entropy-to-go"))  # fmt: skip
    bars.legend(loc="upper left", ncols=2, columnspacing=0.8, handlelength=1.2)
    entries = handles(("local", "full_kl", "full_ce"))
    star: Any = {"mfc": C["yellow"], "color": "black", "ms": 8}
    entries.append(Line2D([], [], marker="o", ls="", color="black", ms=4, label="from the student"))
    entries.append(Line2D([], [], marker="*", ls="", label="from the expert", **star))
    figure.legend(handles=entries, loc="lower center", ncols=5, columnspacing=1.0, handlelength=2.4)
    title(
        figure,
        "(f) The entropy trap: cross-entropy-to-go charges an action for the expert's own indecision (claim 10c)",
    )
    figure.subplots_adjust(left=0.085, right=0.99, bottom=0.29, top=0.88, wspace=0.22)


def length(figure: Any, tables: Tables) -> None:
    """Panel (g)."""
    table, limits = tables["length"], tables["length_limits"]
    words, earned, ways = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1.3, 1.3, 1]})
    for objective, group in table.groupby("objective", sort=False):
        colour, style, width, *_ = LOOK[objective]
        for axis, y in ((words, "length"), (earned, "return")):
            axis.plot(group["step"], group[y], color=colour, ls=style, lw=width)
            axis.plot(group["step"].max() * 1.15, group[f"{y}_limit"].iloc[0], "<", color=colour, ms=3.5, clip_on=False)
    for axis in (words, earned):
        axis.set_xscale("symlog", linthresh=1, linscale=0.4)
        axis.set_xticks([0, 1, 10, 100], ["0", "1", "10", "100"])
        axis.set(xlabel="natural steps", xlim=(0, table["step"].max()))
    words.set(ylim=(0, 14.9), ylabel="tokens per answer", title="length")
    earned.set(ylim=(0, 0.67), title="return: 8 tokens are needed")
    full = table[table["objective"] == "full_kl"]
    low = full.loc[full["length"].idxmin()]
    words.text(low["step"] * 1.1, low["length"] - 0.3, "dips while habits\ndiffer, recovers", fontsize=6.5, ha="center",
               va="top", color=LOOK["full_kl"][0])  # fmt: skip
    cross = table[(table["objective"] == "full_ce") & (table["step"] == table["step"].max())]["length"].item()
    words.text(1.2, cross - 0.9, f"collapses to {cross:.1f}", fontsize=6.5, color=LOOK["full_ce"][0])
    ways.plot(limits["ways"], limits["length"], "o-", color=LOOK["full_ce"][0], ms=3.5)
    ways.axhline(limits["length_expert"].iloc[0], color="0.4", lw=0.8, ls=(0, (1, 1)))
    ways.text(64, limits["length_expert"].iloc[0] + 0.3, "the expert", fontsize=6.5, ha="right")
    ways.set_xscale("log", base=2)
    ways.set_xticks(limits["ways"], limits["ways"].astype(str))
    ways.minorticks_off()
    ways.set(ylim=(0, 14.9), xlabel="harmless ways to go on", title="end of cross-entropy-to-go")
    figure.legend(handles=handles(table["objective"].unique()), loc="lower center", ncols=4, columnspacing=1.2)
    title(figure, "(g) ... and shortens answers: the expert is undecided at every token, but no likelier to stop")
    figure.subplots_adjust(left=0.075, right=0.985, bottom=0.28, top=0.81, wspace=0.22)
