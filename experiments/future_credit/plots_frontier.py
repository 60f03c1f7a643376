"""The picture of bias and variance: panel (j)."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from experiments.future_credit.look import LOOK
from experiments.harness import OKABE_ITO as C
from experiments.harness import Tables, title

FAMILIES = {"risky_fork": "risky fork (claim 8)", "horizon_chain": "horizon chain (claim 8)",
            "garnet": "Garnet, soft-optimal expert"}  # fmt: skip
FEATURED = {"risky_fork": 2, "horizon_chain": 4, "garnet": 8}
"""Horizons of the lower row."""
BY_HORIZON = {2: C["sky"], 4: C["blue"], 8: C["black"]}
BASELINES = {"none": "v", "position": "<", "state": "^"}
FLOOR = 0.03
"""Deviations below are not drawn."""


def _plain_log(axis: Any) -> None:
    """Powers of ten, and 2, 3, 5 times those if there are few."""
    low, high = axis.get_ylim()
    axis.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1.0,) if high / low > 60 else (1.0, 2.0, 3.0, 5.0)))
    axis.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axis.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())


def frontier(figure: Any, tables: Tables) -> None:
    """Panel (j)."""
    axes = figure.subplots(2, len(FAMILIES))
    for axis, (family, heading) in zip(axes[0], FAMILIES.items(), strict=True):
        part = tables["frontier"][tables["frontier"]["problem"].str.startswith(family)]
        for horizon, group in part.groupby("horizon"):
            _traded(axis, group, BY_HORIZON[horizon])
        low = max(part["deviation"].min() * 0.7, FLOOR)
        axis.set(yscale="log", title=heading, xlabel=r"bias, $|\mathrm{rate} - (J^*-J)|$", ylim=(low, None),
                 xlim=(-0.04 * part["bias"].abs().max(), 1.1 * part["bias"].abs().max()))  # fmt: skip
        _plain_log(axis)
    axes[0, 0].set_ylabel("deviation of one rollout")
    fork = tables["frontier"].query("problem == 'risky_fork_2' and estimator == 'weighted'")
    for row in fork[fork["clip"].isin([2, 4, 6, 10, np.inf])].itertuples():
        text = r"$c=\infty$" if np.isinf(row.clip) else f"$c={row.clip:g}$"
        axes[0, 0].annotate(text, (-row.bias, row.deviation), xytext=(4, 1), textcoords="offset points", fontsize=6)
    for axis, (family, horizon) in zip(axes[1], FEATURED.items(), strict=True):
        name = f"{family}_{horizon}"
        if not (tables["errors"]["problem"] == name).any():  # a quick run leaves out the largest
            name = f"{family}_4"
        _compared(axis, name, tables)
        axis.set_title(f"{FAMILIES[family].split(' (')[0].split(',')[0]}, $H={name[-1]}$")
    axes[1, 0].set_ylabel("error of the promised rate")
    points = [Line2D([], [], color=BY_HORIZON[h], marker=".", lw=1, label=f"weighted, clips 1 to $\\infty$, $H={h}$")
              for h in BY_HORIZON]  # fmt: skip
    points += [Line2D([], [], color="0.3", marker="o", mfc="white", ls="", label="local")]
    points += [Line2D([], [], color="0.3", marker=m, mfc="none", ls="", label=f"full KL, baseline: {b}")
               for b, m in BASELINES.items()]  # fmt: skip
    points += [Line2D([], [], color="0.3", marker="x", ms=3, lw=0.5, label="from drawn rollouts, 95 %")]
    lines = [Line2D([], [], color=LOOK[w][0], ls=LOOK[w][1], lw=LOOK[w][2], label=text) for w, text in (
        ("local", "local"), ("full_kl", "full KL, best baseline"), ("weighted_unclipped", "weighted, no clip"),
        ("weighted", "weighted, best clip for each $N$"))]  # fmt: skip
    figure.legend(handles=points, loc="center", bbox_to_anchor=(0.5, 0.49), ncols=4, columnspacing=1.0)
    figure.legend(handles=lines, loc="lower center", ncols=4, columnspacing=1.0, handlelength=2.6)
    title(figure, "(j) Path weights trade bias for variance (claim 15): exact frontier, and who wins with $N$ rollouts")
    figure.subplots_adjust(left=0.08, right=0.985, bottom=0.135, top=0.9, wspace=0.25, hspace=0.85)


def _traded(axis: Any, group: pd.DataFrame, colour: str) -> None:
    """Bias against deviation of every estimator of one problem."""
    path = group[group["estimator"] == "weighted"]
    axis.plot(path["bias"].abs(), path["deviation"], ".-", color=colour, lw=1, ms=4)
    met = path[path["drawn_deviation"] > 0]
    axis.errorbar((met["drawn_rate"] - met["gap"]).abs(), met["drawn_deviation"], xerr=2 * met["rate_error"], ls="",
                  color=colour, elinewidth=0.5, marker="x", ms=3, mew=0.6, alpha=0.8)  # fmt: skip
    one = group[group["estimator"] == "local"].iloc[0]
    axis.plot(abs(one["bias"]), one["deviation"], "o", color=colour, ms=5, mfc="white", mew=1.1)
    for row in group[group["estimator"] == "full_kl"].itertuples():
        axis.plot(abs(row.bias), row.deviation, BASELINES[row.baseline], color=colour, ms=4.5, mfc="none", mew=0.9)


def _compared(axis: Any, name: str, tables: Tables) -> None:
    """Errors of one problem by the number of rollouts."""
    part = tables["errors"][tables["errors"]["problem"] == name]
    for who in ("local", "full_kl", "weighted_unclipped", "weighted"):
        colour, style, width, *_ = LOOK[who]
        group = part[part["estimator"] == who]
        axis.plot(group["rollouts"], group["rmse"], color=colour, ls=style, lw=width)
    n = tables["crossings"].query("problem == @name and against == 'local'")["rollouts"].item()
    if n > 1:
        axis.axvline(n, color="0.5", lw=0.6, ls=(0, (1, 1)))
        axis.text(n * 1.2, 0.97, f"unclipped beats local\nfrom $N={n:,.0f}$ on", fontsize=6, va="top",
                  transform=axis.get_xaxis_transform())  # fmt: skip
    axis.set(xscale="log", yscale="log", xlabel="rollouts $N$")
    _plain_log(axis)
