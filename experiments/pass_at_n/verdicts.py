"""Which rows contradict claim 12, and what the tables say in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
from rich.table import Table

from experiments import harness
from experiments.harness import Tables
from experiments.pass_at_n import exact, students

NEAR = 1e-3
"""How near trained students must come to closed forms (plain RL, which never arrives: 1e-2)."""
LARGEST_Z = 5
MAY_BE_EMPTY = {  # columns with a meaning for "there is none"
    "crossing": ("n", "again", "heavy", "prompts", "objective", "teacher", "floor", "pass_1", "pass_1_distil"),
    "same": ("direction_difference", "end_difference"),
    "em": ("least_increase", "pass_1_fell"),
    "estimators": ("naive", "deviation_exact", "deviation_estimated", "variance_gap", "covered"),
}
MAY_BE_INFINITE = {"crossing_random": ("median", "lower", "upper"), "em": ("eta",)}


def violated(t: Tables) -> list[str]:
    """What contradicts a theorem, an empty table, a number that is none."""
    bad = harness.empty(t) + harness.gaps(t, MAY_BE_EMPTY, MAY_BE_INFINITE)
    return bad or _missing(t) or [*_ends(t["ends"]), *_curves(t["curves"]), *_training(t), *_crossing(t["crossing"]),
                                  *_sampled(t["estimators"]), *_told(t)]  # fmt: skip


def _missing(t: Tables) -> list[str]:
    """Rows that a check below is about and that are not there: it would find nothing wrong."""
    runs, crossing, estimators = set(students.RUNS), t["crossing"], t["estimators"]
    passes = estimators[estimators["metric"] == "pass"]
    needed = {
        "ends of every run": all(runs <= set(zip(x["objective"], x["teacher"], strict=True))
                                 for example in exact.EXAMPLES for x in [t["ends"][t["ends"]["example"] == example]]),
        "EM steps": (t["em"]["step"] > 0).any(),
        "directions of equal students": t["same"]["at"].str.startswith("logits").any(),
        "collapsed students": (crossing["family"] == "collapsed").any(),
        "fixed floors at which the sharper student is ahead again": (
            crossing[crossing["teacher"] == "fixed"]["again"].notna().any()
        ),
        "self-taught students": {"sdpo", "opsd"} <= set(crossing[crossing["teacher"] == "own"]["objective"]),
        "variances of Pass@N": (2 * passes["n"] <= passes["samples"]).any(),
        "estimates of every metric": {"pass", "best", "maj", "avg"} <= set(estimators["metric"]),
    }  # fmt: skip
    return [f"the tables lack {what}" for what, there in needed.items() if not there]


def _ends(table: pd.DataFrame) -> list[str]:
    out = []
    for x in table.itertuples():
        if not abs(x.p - x.closed_form) <= (10 if x.objective == "rl" else 1) * NEAR:
            out.append(f"claim 12d: {x.objective}, {x.teacher} teacher, floor {x.floor} ends at {x.p}, not at "
                       f"{x.closed_form} ({x.example}, prompt {x.prompt})")  # fmt: skip
    return out


def _curves(table: pd.DataFrame) -> list[str]:
    out = []
    two = table[(table["example"] == "two") & (table["floor"] == 0.01)]
    two = two.set_index(["objective", "teacher", "n"])["pass"].sort_index()
    for n, value in ((1, 13 / 25), (2, 19 / 25)):
        if not abs(two["likelihood", "none", n] - value) <= 1e-9:
            out.append(f"claim 12d: the mixture (3/5, 2/5) has Pass@{n} {two['likelihood', 'none', n]}, not {value}")
    if not (abs(two["rl", "none"] - 3 / 5) <= 1e-9).all():
        out.append("claim 12d: the collapsed student does not have Pass@N 3/5 at every N")
    for key, group in table.groupby(["example", "objective", "teacher", "floor"]):
        if not (np.diff(group["pass"]) >= -1e-12).all():
            out.append(f"claim 12d: Pass@N falls with N: {key}")
    return out


def _training(t: Tables) -> list[str]:
    out = []
    for x in t["em"][t["em"]["step"] > 0].itertuples():
        if not x.least_increase >= -1e-12:
            out.append(f"claim 12b: EM step {x.step}, eta {x.eta}, lowers the likelihood by {-x.least_increase:.1e}")
    for x in t["same"][t["same"]["at"].str.startswith("logits")].itertuples():
        if not x.direction_difference <= 1e-12:
            out.append(f"claim 12b: forward cross-entropy to the own teacher and likelihood RL go different ways, by "
                       f"{x.direction_difference:.1e} ({x.at})")  # fmt: skip
    return out


def _crossing(table: pd.DataFrame) -> list[str]:
    out = []
    for x in table[table["family"] == "collapsed"].itertuples():
        if not (x.n >= 2 and (x.prompts > 2 or x.n == 2)):
            out.append(
                f"claim 12d: {x.prompts:.0f} prompts, the heaviest {x.heavy}: the mixture is ahead from N = {x.n}"
            )
    for x in table[(table["family"] == "smoothed") & (table["teacher"] == "own")].itertuples():
        where = f"claim 12d: {x.objective}, own teacher, floor {x.floor:.1e}"
        if not (x.pass_1 >= x.pass_1_distil - 1e-12 and x.n >= 2):
            out.append(f"{where}: the sharper student is behind at N = 1")
        if not np.isnan(x.again):
            out.append(f"{where}: it is ahead again from N = {x.again:.0f}")
    return out


def _sampled(table: pd.DataFrame) -> list[str]:
    out = []
    for x in table.itertuples():
        if not abs(x.mean - x.exact) <= LARGEST_Z * x.error_of_mean + 1e-12:
            out.append(f"{x.metric}@{x.n}: estimates have the mean {x.mean}, the truth is {x.exact}")
        if x.metric == "pass" and 2 * x.n <= x.samples and not x.variance_gap <= 1e-9:
            out.append(
                f"pass@{x.n}: the mean of the estimated variances is off by {x.variance_gap:.1e} of the variance"
            )
    return out


def _told(t: Tables) -> list[str]:
    """What `summary` says in words and no theorem promises."""
    out = []
    end = t["random_curves"].set_index(["rank", "objective", "teacher", "n"])["mean"]
    rank = t["random_curves"]["rank"].max()
    for rival in (("sdpo", "own"), ("opsd", "own"), ("rl", "none")):
        for n, sign, word in ((1, -1, "lose"), (64, 1, "win")):
            ours, theirs = end[rank, "distil", "own", n], end[(rank, *rival, n)]
            if not sign * (ours - theirs) > 0:
                out.append(f"forward cross-entropy does not {word} against {rival[0]} at N = {n}: {ours}, {theirs}")
    votes = t["votes"].sort_values("n")
    if not votes["maj"].iloc[-1] < votes["maj"].iloc[0] or not votes["maj_mode_right"].is_monotonic_increasing:
        out.append("Maj@N does not fall where the mode is wrong, and rise where it is right")
    return out


def summary(t: Tables) -> Table:
    """What was found, in words."""
    two = t["curves"][(t["curves"]["example"] == "two") & (t["curves"]["floor"] == 0.01)]
    passed = two.set_index(["objective", "teacher", "n"])["pass"]
    end = t["random_curves"].set_index(["rank", "objective", "teacher", "n"])["mean"]
    rank = t["random_curves"]["rank"].max()
    own = {o: [end[rank, o, "own", n] for n in (1, 64)] for o in ("distil", "sdpo", "opsd")}
    rl = [end[rank, "rl", "none", n] for n in (1, 64)]
    mode = t["modes"].set_index(["rank", "objective", "teacher", "measure"])["mean"]
    fell = t["em"]["pass_1_fell"].max()
    estimates = t["estimators"].set_index(["metric", "n"])
    again = t["crossing"]["again"].notna().sum()
    rows = (
        ("12d", "two prompts that look alike, 3/5 and 2/5",
         f"Pass@1 {passed['likelihood', 'none', 1]:.2f} of the mixture against {passed['rl', 'none', 1]:.2f} of the "
         f"collapsed student, Pass@2 {passed['likelihood', 'none', 2]:.2f} against {passed['rl', 'none', 2]:.2f}", "a"),
        ("12d", f"hidden contexts, rank {rank}, own teacher: Pass@1, Pass@64",
         "; ".join(f"{name} {a:.2f}, {b:.2f}" for name, (a, b) in [*own.items(), ("rl", rl)])
         + ": [red]forward cross-entropy loses at N = 1[/], [green]wins at large N[/]", "a, b"),
        ("12d", "what survives there (prompts covered)",
         ", ".join(f"{o} {mode[rank, o, 'own', 'covered']:.0%}" for o in own)
         + f", rl {mode[rank, 'rl', 'none', 'covered']:.0%}", "d"),
        ("12d", "a fixed teacher, smoothed a lot: reverse KL is broad, too",
         f"{again} floors at which reverse KL or Jensen-Shannon is ahead again at large N", "c"),
        ("12b", "EM, hidden prompts", "the likelihood of success [green]never falls[/]; Pass@1 falls in up to "
         f"{fell:.0%} of the instances in a step", "b"),
        ("12", f"estimates from {estimates['samples'].iloc[0]} samples",
         f"unbiased; the plug-in estimate of Pass@32 is {estimates.loc[('pass', 32), 'naive']:.4f}, the truth "
         f"{estimates.loc[('pass', 32), 'exact']:.4f}; Maj@N falls where the mode is wrong", "e"),
    )  # fmt: skip
    return harness.answers("Who wins if one may try N times?", rows)
