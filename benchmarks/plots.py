"""The picture of the results, drawn from `results.csv`: bars of time per instance with the floor, and the growth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from benchmarks import report
from experiments.harness import OKABE_ITO as C
from experiments.harness import STYLE, save_figure

FAMILIES = {"distil_theory": C["blue"], "numpy": C["orange"], "quantecon": C["green"], "pymdptoolbox": C["purple"],
            "torch": C["vermillion"], "random": "#999999"}  # fmt: skip
LINES = {"S": (C["blue"], "o"), "A": (C["vermillion"], "s"), "H": (C["green"], "^"), "B": (C["orange"], "D")}
NAMES = {"S": "states $S$", "A": "actions $A$", "H": "horizon $H$", "B": "batch $B$"}
SHORT = {"end": "experiment's end"}
HEADINGS = {
    "mdps": "random MDPs: time per MDP",
    "bandits": "random bandits: time per bandit",
    "single": "one large MDP: time",
}


def _bars(axis: Any, rows: pd.DataFrame) -> None:
    """Groups of bars, one group per workload, the ratio to ours at their ends; a black line for the floor."""
    times, labels, ticks, at = rows[rows["metric"] == "time"], [], [], 0.0
    ratios = rows[rows["metric"] == "ratio"].set_index(["workload", "contender"])["value"]
    right = times["value"].max()
    for workload, group in times.groupby("workload", sort=False):
        bars, floor = group[group["contender"] != "floor"], group[group["contender"] == "floor"]
        heading = report.readable(str(workload))
        axis.text(0, at, heading, transform=axis.get_yaxis_transform(), fontsize=7, style="italic")
        start = at = at + 0.75
        for row in bars.itertuples():
            colour = next(c for family, c in FAMILIES.items() if row.contender.startswith(family))
            axis.barh(at, row.value, height=0.8, color=colour)
            axis.plot([row.lower, row.upper], [at, at], color="black", lw=0.8)
            ratio = ratios[workload, row.contender]
            note = report.seconds(row.value)
            note += "" if row.contender == "distil_theory" else f"   {report.number(ratio)} x"
            end = max(row.value, row.upper) * 1.06
            axis.text(end, at, note, va="center", fontsize=6, bbox={"fc": "white", "ec": "none", "pad": 0.4})
            labels.append(row.contender)
            ticks.append(at)
            at += 1
        if len(floor):
            axis.plot([floor["value"].item()] * 2, [start - 0.5, at - 0.5], color="black", lw=1.5, ls=(0, (3, 1)))
        at += 0.6
    axis.set_xscale("log")
    axis.set_xlim(times["value"].min() / 1.6, right * 12)
    axis.set_ylim(at - 0.8, -0.7)
    axis.set_yticks(ticks, labels)
    axis.tick_params(axis="y", length=0)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: report.seconds(x)))
    axis.set_title(HEADINGS[rows["benchmark"].iloc[0]], loc="left")


def _growth(axis: Any, rows: pd.DataFrame) -> None:
    """Time relative to the smallest size, against size relative to the smallest, with its exponent."""
    for name, group in rows.groupby("workload", sort=False):
        times = group[group["metric"] == "time"]
        sizes, seconds = times["contender"].astype(float).to_numpy(), times["value"].to_numpy()
        exponent = group.loc[(group["metric"] == "exponent") & (group["contender"] == "distil_theory"), "value"].item()
        colour, marker = LINES[str(name)]
        label = f"{NAMES[str(name)]}: exponent {exponent:.2f}"
        axis.loglog(sizes / sizes[0], seconds / seconds[0], marker=marker, ms=3.5, color=colour, label=label)
    x = np.array(axis.get_xlim())
    x[0] = 1
    for power in (1, 2):
        axis.plot(x, x**power, color="#bbbbbb", lw=0.8, zorder=0)
        axis.text(x[1] ** 0.62, x[1] ** (0.62 * power) * 1.15, f"$x^{power}$" if power > 1 else "$x$", color="#888888")
    axis.set(xlabel="size / smallest size", ylabel="time / time at the smallest")
    axis.legend(loc="upper left")
    axis.set_title("growth of objectives.evaluate", loc="left")


def _startup(axis: Any, rows: pd.DataFrame) -> None:
    """Imports, and the wait for the experiment's picture."""
    shown = rows[rows["workload"] != "own modules"][::-1]
    for at, row in enumerate(shown.itertuples()):
        ours = row.workload == "experiment" or row.contender.startswith(("distil", "experiments"))
        axis.barh(at, row.value, height=0.75, color=C["blue"] if ours else "#999999")
        axis.text(row.value * 1.06, at, report.seconds(row.value), va="center", fontsize=6)
    names = [SHORT.get(name, name) for name in shown["contender"]]
    axis.set_yticks(range(len(shown)), names)
    axis.set_xscale("log")
    axis.set_xlim(shown["value"].min() / 1.6, shown["value"].max() * 4)
    axis.tick_params(axis="y", length=0)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: report.seconds(x)))
    axis.set_title("startup", loc="left")


def draw(results: pd.DataFrame, path: Path) -> None:
    """Write `path`.png and `path`.pdf with a panel for each benchmark that was run."""
    parts = {str(name): rows for name, rows in results.groupby("benchmark", sort=False)}
    raced = [name for name in HEADINGS if name in parts]
    others = {name: panel for name, panel in (("scaling", _growth), ("startup", _startup)) if name in parts}
    heights = [len(parts[n].query("metric == 'time'")) + 1.5 * parts[n]["workload"].nunique() for n in raced] or [10]
    with plt.rc_context(STYLE):
        figure: Any = plt.figure(figsize=(9.2, max(0.13 * sum(heights) + 1.2, 3)), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=(1.7, 1))  # so that no column squeezes the other
        grid = left.add_gridspec(len(heights), 1, height_ratios=heights)
        for i, name in enumerate(raced):
            _bars(left.add_subplot(grid[i]), parts[name])
        for i, (name, panel) in enumerate(others.items()):
            panel(right.add_subplot(2, 1, i + 1), parts[name])
        if raced:
            dash = Line2D([], [], color="black", lw=1.5, ls=(0, (3, 1)), label="floor: compulsory memory traffic")
            left.legend(handles=[dash], loc="outside lower left")
        save_figure(figure, path)
        plt.close(figure)
