"""Pictures of `experiments.llm_validation`: learning curves, paired differences, what was foretold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from experiments import harness
from experiments.harness import LINES, Tables, title
from experiments.harness import OKABE_ITO as C
from experiments.llm_validation.plan import LABELS, Setting

LOOK: dict[str, tuple[str, Any, str]] = {
    "local_ce": LINES["forward_kl"],
    "reverse_kl": LINES["reverse_kl"],
    "jensen_shannon": LINES["jensen_shannon"],
    "grpo": (C["black"], ":", "x"),
    "kl_to_go": (C["green"], (0, (5, 1)), "D"),
    "kl_to_go_bare": (C["green"], (0, (1, 1)), "d"),
    "ce_to_go": (C["purple"], (0, (5, 1)), "v"),
    "ce_to_go_bare": (C["purple"], (0, (1, 1)), "1"),
    "prefix": (C["sky"], "-", "P"),
}
WATCHED = {"success": "success while training", "length": "tokens per answer", "entropy": "entropy per token (nats)"}
METRICS = {
    "avg": "Avg@16",
    "likeliest": "likeliest right",
    "pass_8": "Pass@8",
    "length": "tokens",
    "entropy": "entropy (nats)",
}
SMOOTH = 9
"""Steps of the running mean in the curves."""


def curves(figure: Any, tables: Tables) -> None:
    """Panel (a): what the students wrote while they learnt; mean over seeds, running mean over steps."""
    table = tables["curves"]
    tasks = list(table["task"].unique())
    axes = figure.subplots(len(WATCHED), len(tasks), sharex=True, squeeze=False)
    for (row, (quantity, words)), (column, task) in (
        (r, c) for r in enumerate(WATCHED.items()) for c in enumerate(tasks)
    ):
        axis = axes[row, column]
        for algorithm, own in table[table["task"] == task].groupby("algorithm", sort=False):
            mean = own.pivot(index="step", columns="seed", values=quantity).mean(axis=1)
            mean = mean.rolling(SMOOTH, center=True, min_periods=1).mean()
            axis.plot(mean.index, mean, color=LOOK[algorithm][0], ls=LOOK[algorithm][1])
        axis.set(title=f"task {task}" if not row else "", ylabel=words if not column else "")
        if row == len(WATCHED) - 1:
            axis.set_xlabel("step")
    shown = [a for a in LOOK if a in set(table["algorithm"])]
    handles = [Line2D([], [], color=LOOK[a][0], ls=LOOK[a][1], label=LABELS[a]) for a in shown]
    figure.legend(handles=handles, loc="lower center", ncol=5)
    figure.subplots_adjust(left=0.09, right=0.99, top=0.9, bottom=0.17, hspace=0.15, wspace=0.16)
    seeds = table.groupby(["task", "algorithm"])["seed"].nunique()
    most = f"{seeds.min()} to {seeds.max()}" if seeds.min() < seeds.max() else str(seeds.max())
    title(figure, f"(a) While they learn: means over {most} seeds, running mean over {SMOOTH} steps")


def differences(figure: Any, tables: Tables) -> None:
    """Panel (b): every algorithm less local forward CE, by seed, by item and by both, with the detectable effect."""
    table, least = tables["paired"], tables["power"]
    least = least[least["source"] == "stated"].set_index(["task", "metric"])["detectable"]
    tasks = list(table["task"].unique())
    names = [a for a in LOOK if a in set(table["algorithm"])]
    axes = figure.subplots(len(tasks), len(METRICS), sharey=True, squeeze=False)
    for (row, task), (column, (metric, words)) in (
        (r, c) for r in enumerate(tasks) for c in enumerate(METRICS.items())
    ):
        axis = axes[row, column]
        axis.axvline(0, color="0.6", lw=0.7)
        if (task, metric) in least.index:
            axis.axvspan(-least[task, metric], least[task, metric], color="0.93", zorder=0)
        own = table[(table["task"] == task) & (table["metric"] == metric)].set_index(["algorithm", "way"])
        for place, algorithm in enumerate(names):
            for way, shift, width in (("both", 0.0, 1.6), ("item", 0.24, 0.7), ("seed", -0.24, 0.7)):
                if (algorithm, way) not in own.index:
                    continue
                x = own.loc[(algorithm, way)]
                y = len(names) - 1 - place + shift
                colour = LOOK[algorithm][0] if way == "both" else "0.45"
                if np.isfinite(x["lower"]):
                    axis.plot(
                        [x["lower"], x["upper"]], [y, y], color=colour, lw=width, ls="-" if way != "seed" else ":"
                    )
                if way == "both":
                    axis.plot(x["value"], y, LOOK[algorithm][2], color=colour, ms=4)
        axis.set_yticks(range(len(names)), [LABELS[a] for a in reversed(names)])
        axis.set(title=words if not row else "", xlabel="less local CE" if row == len(tasks) - 1 else "")
        if not column:
            axis.set_ylabel(f"task {task}")
    figure.subplots_adjust(
        left=0.24, right=0.985, top=1 - 0.62 / figure_height(figure), bottom=0.42 / figure_height(figure), wspace=0.12
    )
    title(figure, "(b) After training, held-out items: paired differences, 95 % intervals over seeds and items "
                  "(thick),\nitems only (thin), seeds only (dotted); grey: below the effect that the grid was made "
                  "to detect")  # fmt: skip


def figure_height(figure: Any) -> float:
    """In inches, of a figure or of a part of one."""
    return float(figure.bbox.height / figure.dpi)


def draw(name: str, setting: Setting) -> Callable[[Tables, Path], list[str]]:
    """The drawing of a rung."""
    heights = {curves: 5.2, differences: 1.1 + 1.75 * len(setting.tasks)}

    def drawing(tables: Tables, out: Path) -> list[str]:
        return harness.draw_panels(harness.by_name(heights), out, name, tables=tables)

    return drawing
