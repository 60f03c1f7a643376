"""Pictures of teachers that move, of long horizons, and of what fails: panels (d), (e) and (f)."""

from __future__ import annotations

from typing import Any

from matplotlib.lines import Line2D

from experiments.harness import OKABE_ITO as C
from experiments.harness import Tables, title
from experiments.regret.look import BOUND, LEARNERS, STEPS, TEACHERS, plain


def drift(figure: Any, tables: Tables) -> None:
    """Panel (d)."""
    table, time = tables["drift"], tables["drift_time"]
    axes = figure.subplots(1, 3)
    for axis, step in zip(axes, ("proximal", "natural"), strict=False):
        colour, _, heading = STEPS[step]
        part = table[table["step"] == step]
        for kind, (marker, _) in TEACHERS.items():
            for where, fill in (("all", colour), ("student", "none")):
                x = part[(part["teacher"] == kind) & (part["where"] == where)]
                axis.plot(x["path"], x["mean"], marker, color=colour, mfc=fill, ms=3.6, mew=0.8)
        for _, x in part.groupby("cells"):
            x = x.sort_values("path")
            axis.plot(x["path"], x["bound"], **BOUND)
        coin = part[(part["teacher"] == "coin") & (part["where"] == "all")]
        axis.plot(coin["path"], coin["unavoidable"], color=C["purple"], lw=1.2, ls=(0, (1, 1)))
        axis.set(xscale="log", yscale="log", xlabel=r"path length, $\sum_{h,s}\sum_n\|\pi^*_{n+1}-\pi^*_n\|_1$",
                 title=heading)  # fmt: skip
        if step == "proximal":
            plain(axis)
        plain(axis, "x")
    axes[0].set_ylabel(r"KL, summed over rounds")
    right = axes[2]
    for step, (colour, style, _) in STEPS.items():
        x = time[(time["step"] == step) & (time["where"] == ("student" if step == "kt" else "all"))]
        right.plot(x["rounds"], x["mean"], color=colour, ls=style)
        if step == "proximal":
            right.plot(x["rounds"], x["bound"], **BOUND)
    right.set(xscale="log", yscale="log", xlabel="rounds $N$", title="switches in rounds 2, 4, 8, ...",
              xlim=(1, time["rounds"].max()))  # fmt: skip
    plain(right)
    handles = [Line2D([], [], marker=m, ls="", color="0.3", ms=3.6, label=text) for m, text in TEACHERS.values()]
    handles += [
        Line2D([], [], marker="o", ls="", color="0.3", mfc="none", ms=3.6, label="hollow: learns where it has been"),
        Line2D([], [], **BOUND, label="proved (lower line: one cell, the coin)"),
        Line2D([], [], color=C["purple"], lw=1.2, ls=(0, (1, 1)), label="the coin: no learner can do better"),
        *(Line2D([], [], color=c, ls=s, label=f"right: {text}") for c, s, text in STEPS.values()),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=3, columnspacing=1.4, handlelength=2.2)
    title(
        figure,
        "(d) A moving teacher costs at most in proportion to its path; counting labels for ever, in proportion to $N$",
    )
    figure.subplots_adjust(left=0.09, right=0.985, bottom=0.42, top=0.86, wspace=0.3)


EXACT = {
    "cloned": (C["vermillion"], "s", "cloned: fails off the path"),
    "unforgiving": (C["purple"], "D", "own states, no way back"),
    "own_states": (C["blue"], "o", "own states, a way back"),
}
CHAINS = {"recoverable": "a way back", "unforgiving": "no way back", "end": "... and paid at the end"}


def horizon(figure: Any, tables: Tables) -> None:
    """Panel (e)."""
    exact, table, grows = tables["horizon_exact"], tables["horizon"], tables["horizon_growth"]
    axes = figure.subplots(1, 4)
    for student, (colour, marker, text) in EXACT.items():
        x = exact[exact["student"] == student]
        axes[0].plot(x["horizon"], x["gap"], marker, color=colour, ms=3.2, mfc="none", mew=0.8, label=text)
        axes[0].plot(x["horizon"], x["bound"], **BOUND)
    axes[0].set(title="exact, error 1/100 a step", ylabel="$J^*-J$")
    last = table[table["rounds"] == table["rounds"].max()]
    for axis, (kind, heading) in zip(axes[1:], CHAINS.items(), strict=True):
        for learner, (colour, style, marker, _) in LEARNERS.items():
            x = last[(last["chain"] == kind) & (last["learner"] == ("exact" if learner == "clone" else learner))]
            axis.plot(x["horizon"], x["gap"], color=colour, ls=style, marker=marker, ms=3.2)
            e = grows[(grows["chain"] == kind) & (grows["learner"] == ("exact" if learner == "clone" else learner))]
            top = 0.97 - 0.09 * list(LEARNERS).index(learner)
            axis.text(0.04, top, f"$H^{{{e['exponent'].item():.2f}}}$", color=colour, fontsize=7, va="top",
                      transform=axis.transAxes)  # fmt: skip
            if learner == "dagger":
                axis.fill_between(x["horizon"], x["lower"], x["upper"], color=colour, alpha=0.2, lw=0)
        axis.set(title=heading)
    for axis in axes:
        axis.set(yscale="log", xlabel="horizon $H$")
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
        plain(axis)
    low = min(axis.get_ylim()[0] for axis in axes[1:])
    high = max(axis.get_ylim()[1] for axis in axes[1:])
    for axis in axes[1:]:
        axis.set_ylim(low, high)
    marks: Any = {"ls": "", "mfc": "none", "ms": 3.5}
    handles = [Line2D([], [], color=c, marker=m, label=text, **marks) for c, m, text in EXACT.values()]
    handles += [Line2D([], [], **BOUND, label=r"bounds $\frac{H(H+1)}{2}e$, $\mu He$")]
    handles += [Line2D([], [], color=c, ls=s, marker=m, ms=3.5, label=text) for c, s, m, text in LEARNERS.values()]
    figure.legend(handles=handles, loc="lower center", ncols=4, columnspacing=1.2, handlelength=2.4, fontsize=6.5)
    n = int(last["rounds"].iloc[0])
    title(figure, f"(e) Own states or the expert's: loss against the horizon (learners: {n:,} rounds, 32 actions)")
    figure.subplots_adjust(left=0.085, right=0.985, bottom=0.33, top=0.83, wspace=0.4)


def failures(figure: Any, tables: Tables) -> None:
    """Panel (f)."""
    chains, grid = tables["horizon"], tables["failures"]
    axes = figure.subplots(1, 3)
    longest = chains[chains["horizon"] == chains["horizon"].max()]
    for kind, width in (("recoverable", 1.4), ("unforgiving", 0.8)):
        for learner in ("dagger", "clone"):
            colour, style, marker, _ = LEARNERS[learner]
            x = longest[(longest["chain"] == kind) & (longest["learner"] == learner)]
            axes[0].plot(x["kl_expert"], x["gap"], color=colour, ls=style, lw=width, marker=marker, ms=3.2,
                         mfc=colour if kind == "recoverable" else "white")  # fmt: skip
    axes[0].set(xscale="log", yscale="log", xlabel="KL of a round on the expert's states", ylabel="$J^*-J$",
                title=f"chain, $H={int(longest['horizon'].iloc[0])}$: a small loss, where?")  # fmt: skip
    plain(axes[0])
    plain(axes[0], "x")
    for learner in ("dagger", "clone"):
        colour, style, _, _ = LEARNERS[learner]
        x = grid[grid["learner"] == learner]
        axes[1].plot(x["rounds"], x["return"], color=colour, ls=style)
        axes[1].fill_between(x["rounds"], x["lower"], x["upper"], color=colour, alpha=0.2, lw=0)
        axes[1].axhline(x["limit"].iloc[0], color=colour, lw=0.8, ls=(0, (1, 1)))
        axes[2].plot(x["rounds"], x["kl"], color=colour, ls=style)
        axes[2].plot(x["rounds"], x["kl_expert"], color=colour, ls=style, lw=0.8, marker=".", ms=3)
    last = grid["rounds"].max()
    axes[1].axhline(1, color="0.4", lw=0.8, ls=(0, (1, 1)))
    axes[1].text(last, 0.985, "the expert, and the best student", ha="right", va="top", fontsize=6.5)
    axes[1].text(1.2, 0.51, "1/2", fontsize=6.5, va="bottom", color=LEARNERS["clone"][0])
    axes[1].text(1.2, 0.385, "3/8", fontsize=6.5, va="bottom", color=LEARNERS["dagger"][0])
    axes[1].set(xscale="log", xlabel="rounds $N$", ylabel="return", ylim=(0, 1.04), xlim=(1, last),
                title="privileged grid: return")  # fmt: skip
    axes[2].set(xscale="log", xlabel="rounds $N$", ylabel="KL of a round", ylim=(0, None), xlim=(1, last),
                title="privileged grid: the loss stays")  # fmt: skip
    handles = [Line2D([], [], color=c, ls=s, marker=m, ms=3.2, label=t) for c, s, m, t in
               (LEARNERS["dagger"], LEARNERS["clone"])]  # fmt: skip
    handles += [
        Line2D([], [], color="0.3", marker="o", ms=3.2, mfc="white", lw=0.8, label="left, hollow: no way back"),
        Line2D([], [], color="0.4", lw=0.8, ls=(0, (1, 1)), label="middle: limits"),
        Line2D([], [], color="0.3", lw=0.8, marker=".", ms=3, label="right, thin: on the expert's states"),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=3, columnspacing=1.4, handlelength=2.4)
    title(
        figure,
        "(f) Without a way back own states do not help, they hurt; without sight neither learns, and DAgger ends lower",
    )
    figure.subplots_adjust(left=0.075, right=0.985, bottom=0.33, top=0.84, wspace=0.3)
