"""The picture of a diagnosis: rates with intervals, and what carries the first of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from distil_theory.diagnosis.report import LOWERS, RAISES, UNDECIDED, Diagnosis, Rate

COLOURS = {RAISES: "#0072B2", LOWERS: "#D55E00", UNDECIDED: "#666666"}
GREY = "#BBBBBB"
PAIR = ("#0072B2", "#D55E00")
MOST_TOKENS = 12
WIDE = 10.0
"""So many times the median: beyond it the axis becomes logarithmic."""


def draw(d: Diagnosis, path: Path) -> Path:
    """Panels: rates divided by `f''(1)`; by position; by token, or nothing where no token stands out."""
    import matplotlib.pyplot as plt

    rates = [r for r in d.rates if not r.unidentified and np.isfinite([*r.value, r.low, r.high]).all()]
    first = next((r for r in rates if r.name == "local/forward_kl"), None)
    other = next((r for r in rates if r.verdict == LOWERS and r.positions), None)
    other = other or next((r for r in rates if r.divergence == "reverse_kl" and r.positions), None)
    pair = [r for r in (first, other) if r is not None]
    with plt.rc_context({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 9}):
        tokens = [r for r in pair if r.tokens]
        figure, axes = plt.subplots(
            1, 3 if tokens else 2, figsize=(10.5 if tokens else 8, 0.6 + 0.24 * max(len(rates), 9)),
            layout="constrained", width_ratios=[1.25, 1, 1] if tokens else [1.25, 1],
        )  # fmt: skip
        _forest(axes[0], rates, d)
        _positions(axes[1], pair)
        if tokens:
            _tokens(axes[2], tokens)
        figure.suptitle(
            f"{d.source + ': ' if d.source else ''}{d.seen.rollouts:,} rollouts, {d.seen.groups:,} groups", fontsize=9
        )
        figure.savefig(path, dpi=160)
        plt.close(figure)
    return path


def _forest(axes: Any, rates: list[Rate], d: Diagnosis) -> None:
    y = np.arange(len(rates))[::-1]
    size = [1 / (r.unit or 1.0) for r in rates]
    reliable = [x * s for r, s in zip(rates, size, strict=True) if not r.heavy for x in (r.low, r.high)]
    ends = [0.0, *(x for x in reliable)]
    margin = 0.08 * ((max(ends) - min(ends)) or 1.0)
    for r, at, s in zip(rates, y, size, strict=True):
        colour = COLOURS.get(r.verdict, GREY)
        axes.plot([r.low * s, r.high * s], [at, at], color=colour, lw=1.5, solid_capstyle="butt", clip_on=True)
        low, high = r.value
        if low == high:
            axes.plot(low * s, at, "o", color=colour, ms=4)
        else:
            axes.plot([low * s, high * s], [at, at], color=colour, lw=5, solid_capstyle="butt")
    axes.axvline(0, color="0.6", lw=0.8, zorder=0)
    typical = float(np.median(np.abs(reliable))) if reliable else 0.0
    if 0 < WIDE * typical < np.abs(ends).max():  # one rate would press all others onto the line at zero
        axes.set_xscale("symlog", linthresh=typical, linscale=2)
        axes.set_xlim(*(np.array([min(ends), max(ends)]) * 1.3))
    else:
        axes.set_xlim(min(ends) - margin, max(ends) + margin)
    axes.set_yticks(y, [r.title.split(", =")[0] for r in rates])
    for tick, r in zip(axes.get_yticklabels(), rates, strict=True):
        tick.set_color(COLOURS.get(r.verdict, "#999999"))
    axes.set_xlabel("change of the mean reward per unit step, divided by f''(1)")
    axes.set_title(f"what a small step does, {100 * d.level:g} % intervals", loc="left")
    words = [*COLOURS.items(), ("not to be trusted", GREY)]
    for (word, colour), x in zip(words, (0, 0.18, 0.38, 0.66), strict=True):
        where = {"xy": (x, 0), "xycoords": "axes fraction", "xytext": (0, -36), "textcoords": "offset points"}
        axes.annotate(word, **where, color=colour, fontsize=7)


def _positions(axes: Any, pair: list[Rate]) -> None:
    for r, colour, shift in zip(pair, PAIR, (-0.12, 0.12), strict=False):
        x = np.arange(len(r.positions)) + shift
        value, error = (np.array([getattr(p, name) for p in r.positions]) for name in ("value", "standard_error"))
        s = 1 / (r.unit or 1.0)
        axes.errorbar(x, value * s, 1.96 * error * s, fmt="o", ms=3, lw=1, color=colour, label=r.title.split(", =")[0])
        names = [p.name for p in r.positions]
        step = max(1, len(names) // 10)
        axes.set_xticks(np.arange(0, len(names), step), names[::step], rotation=45 if len(names) > 12 else 0)
    axes.axhline(0, color="0.6", lw=0.8, zorder=0)
    axes.set_xlabel("position of the token")
    axes.set_title("which positions carry it", loc="left")
    axes.margins(y=0.45)  # room for the names
    axes.legend(frameon=False, fontsize=7, loc="upper right")


def _tokens(axes: Any, pair: list[Rate]) -> None:
    names = list(dict.fromkeys(p.name for r in pair for p in r.tokens[: MOST_TOKENS // len(pair)]))[::-1]
    for r, colour, shift in zip(pair, PAIR, (0.12, -0.12), strict=False):
        s = 1 / (r.unit or 1.0)
        for p in r.tokens:
            if p.name in names:
                y = names.index(p.name) + shift
                axes.errorbar(p.value * s, y, xerr=1.96 * p.standard_error * s, fmt="o", ms=3, lw=1, color=colour)
    axes.axvline(0, color="0.6", lw=0.8, zorder=0)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_title("which tokens carry it", loc="left")
