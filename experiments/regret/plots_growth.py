"""Pictures of how costs grow with the rounds: panels (a), (b) and (c)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from experiments.harness import OKABE_ITO as C
from experiments.harness import Tables, title
from experiments.regret import cumulative as numbers
from experiments.regret.look import BOUND, PROBLEMS, plain

LINKS: dict[str, tuple[str, Any, str]] = {
    "regret": (C["green"], "-", "regret"),
    "shortfall": (C["blue"], "-", r"$\sum E_d\,|\langle\pi^*\!-\pi,Q^*\rangle|$"),
    "recoverability": (C["sky"], "-", r"$\mu\sum E_d\,\mathrm{TV}$"),
    "pinsker": (C["orange"], "--", r"$\mu\sum E_d\sqrt{\mathrm{KL}/2}$  (Pinsker)"),
    "cauchy": (C["vermillion"], "-.", r"$\mu\,E\sqrt{NH\sum\mathrm{KL}/2}$  (Cauchy-Schwarz, Jensen)"),
    "bound": (C["black"], (0, (5, 1.5)), r"$\mu\sqrt{NHB/2}$  (label regret)"),
    "kl": (C["purple"], (0, (1, 1.2)), r"$\mu\sum E_d\,\mathrm{KL}$"),
    "short_bound": (C["black"], (0, (1, 1)), r"$\mu B$"),
}
"""Jensen is left out: it cannot be told from Cauchy-Schwarz."""


def cumulative(figure: Any, tables: Tables) -> None:
    """Panel (a)."""
    table = tables["cumulative"]
    axes = figure.subplots(1, 4, gridspec_kw={"width_ratios": [1, 1, 1, 0.95]})
    for axis, (problem, (colour, heading)) in zip(axes, PROBLEMS.items(), strict=False):
        x = table[table["problem"] == problem]
        axis.fill_between(x["rounds"], x["q05"], x["q95"], color=colour, alpha=0.2, lw=0)
        axis.plot(x["rounds"], x["mean"], color=colour)
        axis.plot(x["rounds"], x["bound"], **BOUND)
        if problem != "cell":
            axis.plot(x["rounds"], x["shared_bound"], color="0.4", lw=1, ls=(0, (1, 1)))
        else:
            axis.plot(x["rounds"][::3], x["exact"][::3], "o", color=colour, ms=3, mfc="white", mew=0.8)
        last = x.iloc[-1]
        axis.text(0.04, 0.97, f"{last['above']:.1%} of {last['n']:,} seeds\nend above $B$", transform=axis.transAxes,
                  va="top", fontsize=6.5)  # fmt: skip
        axis.set(xscale="log", xlabel="rounds $N$", title=heading, xlim=(1, x["rounds"].max()),
                 ylim=(0, 1.28 * x[["q95", "bound"]].max(axis=None)))  # fmt: skip
    axes[0].set_ylabel(r"$\sum_n\sum_h E_{d}\,\mathrm{KL}(\pi^*\|\pi_n)$")
    for problem, (colour, _) in PROBLEMS.items():
        x = table[table["problem"] == problem]
        axes[3].plot(x["rounds"], x["label_ratio_max"], color=colour)
    axes[3].axhline(1, **BOUND)
    axes[3].set(xscale="log", xlabel="rounds $N$", title="label regret / its bound", ylim=(0.5, 1.08),
                xlim=(1, table["rounds"].max()))  # fmt: skip
    n = int(table["n"].iloc[0])
    axes[3].text(0.5, 0.08, f"largest of all {n:,} seeds", transform=axes[3].transAxes, ha="center", fontsize=6.5)
    handles = [
        Line2D([], [], color="0.3", label="mean"),
        Patch(color="0.3", alpha=0.25, lw=0, label="5 to 95 % of the seeds"),
        Line2D([], [], color="0.3", marker="o", ms=3, ls="", mfc="white", label="exact sum over binomials"),
        Line2D([], [], **BOUND, label="proved: $B=HS\\,[\\frac{A-1}{2}\\log N+\\log A]$"),
        Line2D([], [], color="0.4", lw=1, ls=(0, (1, 1)), label="proved, sharper: cells share $N$ labels"),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=3, columnspacing=1.4, handlelength=2.2)
    title(figure, "(a) Summed over rounds, KL stays below $B$ in the mean, not in every run; label regret in every run")
    figure.subplots_adjust(left=0.085, right=0.985, bottom=0.33, top=0.82, wspace=0.3)


def slopes(figure: Any, tables: Tables) -> None:
    """Panel (b)."""
    curves, each, means = tables["slopes_curves"], tables["slopes"], tables["slopes_mean"]
    look = {
        "bound": (C["black"], r"bound $\mu\sqrt{NHB/2}$"),
        "kl": (C["blue"], "KL, mean"),
        "regret": (C["green"], "regret, mean"),
        "spread": (C["orange"], "regret of one run: deviation"),
    }
    axes = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1, 1, 1.15]})
    for axis, kind in zip(axes, ("stochastic", "deterministic"), strict=False):
        for what, (colour, _) in look.items():
            if kind == "deterministic" and what == "spread":
                continue
            for _, x in list(curves[curves["kind"] == kind].groupby("mdp"))[::2]:
                axis.plot(x["rounds"], x[what], color=colour, lw=0.5, alpha=0.55)
        axis.set(xscale="log", yscale="log", xlabel="rounds $N$", title=f"{kind} expert", ylim=(0.1, 2000),
                 xlim=(1, curves["rounds"].max()))  # fmt: skip
        plain(axis)
    axes[0].set_ylabel("summed over rounds")
    axes[0].text(0.04, 0.97, "every other MDP", transform=axes[0].transAxes, va="top", fontsize=6.5)
    rows = [("bound", "stochastic"), ("spread", "stochastic"), ("regret", "stochastic"), ("regret", "deterministic"),
            ("kl", "stochastic"), ("kl", "deterministic")]  # fmt: skip
    strip = axes[2]
    for y, (what, kind) in enumerate(rows[::-1]):
        colour = look[what][0]
        x = each[(each["quantity"] == what) & (each["kind"] == kind)]["slope"]
        strip.plot(x, y + np.linspace(-0.22, 0.22, len(x)), ".", color=colour, ms=2.5, alpha=0.6)
        m = means[(means["quantity"] == what) & (means["kind"] == kind) & (means["of"] == "slope")].iloc[0]
        half = m["upper"] - m["mean"]
        strip.errorbar(m["mean"], y, xerr=half, color="black", marker="|", ms=9, capsize=2, lw=1, mew=1.2)
        strip.text(1.01, y, f"{m['mean']:.2f}", transform=strip.get_yaxis_transform(), fontsize=6.5, va="center")
    strip.axvline(0.5, color="0.4", lw=0.8, ls=(0, (1, 1)))
    names = {"bound": "bound", "spread": "one run", "regret": "regret", "kl": "KL"}
    strip.set_yticks(range(len(rows)), [names[w] + (", det." if k == "deterministic" else "") for w, k in rows[::-1]])
    strip.set(xlim=(0, None), ylim=(-0.6, len(rows) - 0.4), xlabel=r"exponent of $N$, last decade ($\sqrt{N}$: 0.5)",
              title=f"slopes of {each['mdp'].nunique()} random MDPs")  # fmt: skip
    handles = [Line2D([], [], color=colour, label=text) for colour, text in look.values()]
    handles.append(Line2D([], [], color="black", marker="|", ms=8, lw=1, label="mean over MDPs, 95 %"))
    figure.legend(handles=handles, loc="lower center", ncols=5, columnspacing=1.2, handlelength=1.8)
    title(
        figure,
        r"(b) What $\sqrt{N\log N}$ leaves: one run wanders like $\sqrt{N}$, the mean grows like $\log N$, as does KL",
    )
    figure.subplots_adjust(left=0.085, right=0.955, bottom=0.27, top=0.83, wspace=0.38)


def chain(figure: Any, tables: Tables) -> None:
    """Panel (c)."""
    table, sure = tables["chain"], tables["confidence"]
    axes = figure.subplots(1, 3)
    last = table["rounds"].max()
    for axis, problem in zip(axes, ("garnet", "deterministic"), strict=False):
        part = table[table["problem"] == problem]
        for link, (colour, style, _) in LINKS.items():
            x = part[part["link"] == link]
            axis.plot(x["rounds"], x["mean"], color=colour, ls=style, lw=1.2)
        axis.set(xscale="log", yscale="log", xlabel="rounds $N$", title=PROBLEMS[problem][1], xlim=(1, last))
        plain(axis)
        ends = part[part["rounds"] == last].set_index("link")["mean"]
        axis.annotate("", (last * 1.12, ends["bound"]), (last * 1.12, ends["regret"]), annotation_clip=False,
                      arrowprops={"arrowstyle": "<->", "lw": 0.7})  # fmt: skip
        middle, ratio = np.sqrt(ends["bound"] * ends["regret"]), ends["bound"] / ends["regret"]
        axis.text(last * 1.35, middle, f"{ratio:.0f}x", va="center", fontsize=6.5)
    axes[0].set_ylabel("summed over rounds")
    right = axes[2]
    for problem in ("garnet", "deterministic"):
        colour = PROBLEMS[problem][0]
        x = sure[(sure["problem"] == problem) & (sure["quantity"] == "hellinger") & (sure["eps"] == numbers.EPS[1])]
        right.plot(x["rounds"], x["largest"], color=colour)
        right.plot(x["rounds"], x["quantile"], color=colour, ls=":")
    garnet = sure[(sure["problem"] == "garnet") & (sure["quantity"] == "hellinger")]
    for eps, y in garnet.groupby("eps"):
        right.plot(y["rounds"], y["bound"], **BOUND)
        end = y.iloc[-1]
        right.text(last * 1.1, end["bound"], f"{eps:g}", fontsize=6, va="center")
    right.text(last * 1.1, garnet["bound"].max() * 1.05, r"$\epsilon$", fontsize=7, va="bottom")
    right.set(xscale="log", xlabel="rounds $N$", xlim=(1, last), ylim=(0, None), title="squared Hellinger")
    seeds = f"seeds above: {sure['above'].max():.0%} of {int(sure['n'].iloc[0]):,}"
    proved = "proved with\nprobability $1-2\\epsilon$"
    right.text(0.99, 0.58, proved, transform=right.transAxes, ha="right", va="top", fontsize=6.5)
    right.text(0.04, 0.97, seeds, transform=right.transAxes, va="top", fontsize=6.5)
    handles = [Line2D([], [], color=c, ls=s, lw=1.2, label=text) for c, s, text in LINKS.values()]
    likely = f"right: quantile $1-2\\epsilon$, $\\epsilon={numbers.EPS[1]:g}$"
    handles += [
        Line2D([], [], color="0.3", label="right: largest of all seeds"),
        Line2D([], [], color="0.3", ls=":", label=likely),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=4, columnspacing=1.2, handlelength=2.2, fontsize=6.5)
    title(figure, "(c) Each link of the chain from the regret to its bound, and what it gives away")
    figure.subplots_adjust(left=0.075, right=0.955, bottom=0.38, top=0.85, wspace=0.45)
