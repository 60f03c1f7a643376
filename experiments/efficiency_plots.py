"""The pictures of `experiments.efficiency`, drawn from its saved tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from experiments import harness
from experiments.harness import LINES, Tables
from experiments.harness import OKABE_ITO as C

OBJECTIVES = {
    "value_weighted": ("forward CE, weighted by $V$", C["black"]),
    "grpo": ("GRPO, groups of eight", "0.3"),
    "prefix_weighted": ("forward CE, prefix weights", C["sky"]),
    "reverse_kl": ("reverse KL, trust 0.9", LINES["reverse_kl"][0]),
    "total_variation": ("total variation", "0.45"),
    "hellinger": ("Hellinger", LINES["hellinger"][0]),
    "jensen_shannon": ("Jensen-Shannon", LINES["jensen_shannon"][0]),
    "forward_kl": ("forward CE, local", LINES["forward_kl"][0]),
    "pearson_chi2": ("Pearson", LINES["pearson_chi2"][0]),
    "plain_policy_gradient": ("plain policy gradient", "0.65"),
}
"""From top to bottom, with the colour of each."""
ESTIMATORS = {
    "reinforce": ("REINFORCE", C["black"]),
    "baseline": ("REINFORCE, baseline $V$", C["orange"]),
    "successes": ("distil on successes", C["blue"]),
    "value_weighted": ("teacher weighted by $V$", C["green"]),
}
SETTINGS = {
    "one action": ("a prompt is answered by one action", C["orange"], "^"),
    "three tokens": ("a prompt is answered by three tokens", C["blue"], "o"),
}


def curve(figure: Any, tables: Tables) -> None:
    """Panel (a)."""
    axis, table = figure.subplots(), tables["curve"]
    for setting, (words, colour, marker) in SETTINGS.items():
        here = table[table["setting"] == setting]
        axis.plot(here["ratio"], here["efficiency"], marker, ms=2, mew=0, alpha=0.35, color=colour, label=words)
    x = np.geomspace(min(table["ratio"].min(), 1e-3), 1, 200)
    axis.plot(x, 2 * np.sqrt(x) / (1 + x), color=C["vermillion"], label=r"bound $2\sqrt{mM}/(m+M)$")
    met = table[table["setting"] == "two prompts"]
    axis.plot(met["ratio"], met["efficiency"], "s", ms=5, mfc="none", color=C["black"], label="two prompts attain it")
    axis.set(xscale="log", ylim=(0, 1.03), xlabel="least over largest success where the choice matters, $m/M$",
             ylabel="share of the best direction")  # fmt: skip
    for handle in axis.legend(loc="upper left").legend_handles:
        handle.set(alpha=1, markersize=4)
    harness.title(figure, "(a) Local forward cross-entropy, truthful teacher: 1 is the natural policy gradient")
    figure.subplots_adjust(left=0.08, right=0.985, bottom=0.17, top=0.9)


def divergences(figure: Any, tables: Tables) -> None:
    """Panel (b)."""
    axes, table = figure.subplots(1, 2, sharey=True), tables["divergences"]
    y = np.arange(len(OBJECTIVES))[::-1]
    colours = [colour for _, colour in OBJECTIVES.values()]
    for axis, setting in zip(axes, SETTINGS, strict=True):
        here = table[table["setting"] == setting].set_index("objective").loc[list(OBJECTIVES)]
        axis.hlines(y, here["q05"], here["q95"], color=colours, lw=1)
        axis.hlines(y, here["q25"], here["q75"], color=colours, lw=4, alpha=0.6)
        axis.scatter(here["median"], y, s=22, color=colours, zorder=3, edgecolors="white", linewidths=0.6)
        axis.axvline(1, color="0.6", lw=0.6, zorder=0)
        axis.set(xlim=(0, 1.03), xlabel="share of the best direction", title=SETTINGS[setting][0])
    axes[0].set_yticks(y, [words for words, _ in OBJECTIVES.values()])
    harness.title(figure, "(b) By objective: median, half and nine tenths of the problems, of four prompts each")
    figure.subplots_adjust(left=0.235, right=0.985, bottom=0.16, top=0.83, wspace=0.08)


def variance(figure: Any, tables: Tables) -> None:
    """Panel (c)."""
    axis, table = figure.subplots(), tables["variance"]
    axis.axhline(1, color=C["black"], lw=1, label="REINFORCE")
    for name, (words, colour) in ESTIMATORS.items():
        here = table[table["estimator"] == name]
        if len(here):
            axis.plot(here["success"], here["ratio"], ".", ms=2.5, mew=0, alpha=0.5, color=colour, label=words)
    axis.set(yscale="log", xlabel="success of the student, $J$", ylabel="variance over that of REINFORCE")
    for handle in axis.legend(loc="lower left", ncols=2).legend_handles:
        handle.set(alpha=1, markersize=7)
    harness.title(figure, "(c) Variance of the policy gradient from one rollout of three tokens, steps added")
    figure.subplots_adjust(left=0.09, right=0.985, bottom=0.17, top=0.9)


PANELS = harness.by_name({curve: 2.9, divergences: 2.9, variance: 2.7})


def draw(tables: Tables, out: Path) -> list[str]:
    """All panels, and the page of them."""
    return harness.shrink(out, harness.draw_panels(PANELS, out, "efficiency", tables=tables), "efficiency")
