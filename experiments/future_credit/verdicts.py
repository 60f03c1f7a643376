"""What the tables say in words, and which of their rows contradict a claim."""

from __future__ import annotations

import numpy as np
import pandas as pd
from rich.table import Table

from experiments import harness
from experiments.future_credit import frontier, steps, training
from experiments.harness import Tables

NEAR = 1e-6
"""How near trained students must come to closed forms and minimisers."""


def violated(t: Tables) -> list[str]:
    """Which rows contradict a claim, or leave unreached what training should reach."""
    return harness.empty(t) or [*_violated_training(t), *_violated_steps(t), *_violated_frontier(t["frontier"])]


def _violated_training(t: Tables) -> list[str]:
    out = []
    for row in t["fork"].itertuples():
        where = f"claim 10a: k = {row.k}, {row.objective}"
        if not row.residual <= training.TOLERANCE:
            out.append(f"{where}: training has not ended, the gradient is {row.residual:.1e}")
        if not abs(row.p - row.p_closed_form) <= NEAR:
            out.append(f"{where}: training ended at p = {row.p}, the closed form is {row.p_closed_form}")
    earned = t["fork"].pivot(index="k", columns="objective", values="return")
    more = (earned["full_kl"] - earned["local"]).to_numpy()
    if not ((more > 0).all() and (np.diff(more) > 0).all()):
        out.append(f"claim 10a: looking ahead does not earn more, the longer the branch: {more}")
    last = t["trap"].groupby(["start", "objective"]).last()
    for (start, objective), row in last.iterrows():
        if not abs(row["long"] - row["limit"]) <= 1e-3:
            out.append(f"claim 10c: from the {start}, {objective} ends at {row['long']}, not at {row['limit']}")
        if objective == "full_kl" and start == "expert" and not abs(row["long"] - 0.6) <= NEAR:
            out.append("claim 10c: full KL leaves the expert")
    for objective, row in t["length"].groupby("objective").last().iterrows():
        if not abs(row["length"] - row["length_limit"]) <= 0.02 * row["length_limit"]:
            out.append(f"claim 10c: {objective} ends at length {row['length']}, not at {row['length_limit']}")
    return out


def _violated_steps(t: Tables) -> list[str]:
    out = []
    wrong = t["signs"][t["signs"]["sign"] != t["signs"]["expected"]]
    out += [f"{x.instance}, {x.objective}: the sign is {x.sign}, not {x.expected}" for x in wrong.itertuples()]
    counts = t["bound_counts"]
    failed = counts[(counts["objective"] != "cross_entropy") & (counts["below_bound"] != 0)]
    out += [f"claim 18: {x.below_bound} of {x.n} rates of {x.objective} below the bound" for x in failed.itertuples()]
    for x in t["leak_rates"].itertuples():
        if not x.worst_excess <= 1e-9:
            out.append(f"claim 17: the error exceeds the bound by {x.worst_excess:.1e} at share {x.share}")
        if x.share == 0 and x.value != 0:
            out.append(f"claim 17: a compatible class ({x[1]}) lowers the return")
    hints = t["hints"].drop_duplicates(["instance", "divergence"])
    for x in hints[hints["instance"].map(steps.HINTS)].itertuples():
        if not x.rate >= x.promised_rate - 1e-12:
            out.append(f"claim 19: {x.instance}, {x.divergence}: rate {x.rate}, promised {x.promised_rate}")
    return out


def _violated_frontier(table: pd.DataFrame) -> list[str]:
    out = []
    for x in table.itertuples():
        where = f"claim 15: {x.problem}, {x.estimator}, clip {x.clip}"
        if x.estimator == "weighted" and not (abs(x.bias + x.lost) <= 1e-9 and abs(x.bias) <= x.bias_bound + 1e-9):
            out.append(f"{where}: bias {x.bias}, said to be {-x.lost}, at most {x.bias_bound}")
        if x.clip == frontier.INFINITE and not abs(x.bias) <= 1e-9:
            out.append(f"{where}: bias {x.bias} without a clip")
        for what, error, unit in (
            ("rate", x.drawn_rate - x.rate, x.rate_error),
            ("variance", x.drawn_deviation**2 - x.deviation**2, x.variance_error),
        ):
            if not abs(error) <= frontier.LARGEST_Z * unit + 1e-9:
                out.append(f"{where}: the drawn {what} is off by {error}, its standard error is {unit}")
    return out


def summary(t: Tables) -> Table:
    """What was found, in words."""
    fork = t["fork"].pivot(index="k", columns="objective", values="return")
    k = fork.index.max()
    signs = t["signs"].pivot(index="instance", columns="objective", values="sign")
    hurts = int(((signs["local"] == "+") & (signs["full_kl"] == "-")).sum())
    traps = int(((signs["local"] == "+") & (signs["full_kl"] == "+") & (signs["full_ce"] == "-")).sum())
    sums = t["bound_counts"].groupby("objective")[["n", "below_bound", "below_zero"]].sum()
    safe, cross = sums.drop(index="cross_entropy").sum(), sums.loc["cross_entropy"]
    words = t["length"].groupby("objective")["length"].agg(["first", "min", "last"])
    harmed = t["leak_rates"].set_index(["class", "share"])["value"]["hidden state", 0.1]
    against = t["crossings"][t["crossings"]["against"] == "local"]
    rollouts = (f"{x.problem.replace('_', ' ')}: {x.rollouts:,.0f}" for x in against.itertuples())
    rows = (
        ("10a", f"{k} tokens that the student can only guess",
         f"[green]it pays[/]: training ends at {fork.loc[k, 'full_kl']:.2f} instead of {fork.loc[k, 'local']:.2f} "
         "(expert 0.99, best blind 0.90); weights and cross-entropy-to-go do not help", "a, b"),
        ("10b, 18, 19", "harmless disagreement, chance, early rewards",
         f"[red]it hurts[/]: on {hurts} instances the local step raises the return and the full one lowers it; on "
         f"{traps} only cross-entropy-to-go lowers it", "c, d"),
        ("18", "truthful feedback, no chance, paid at the end",
         f"[green]it is safe[/] with any divergence: {safe['below_bound']} of {safe['n']:,} rates below the bound; "
         f"with cross-entropy {cross['below_zero']:,} of {cross['n']:,} lower the return", "e"),
        ("10c", "the expert is undecided at every token",
         f"cross-entropy-to-go [red]shortens answers[/] from {words.loc['full_ce', 'first']:.0f} to "
         f"{words.loc['full_ce', 'last']:.1f} tokens; KL-to-go dips to {words.loc['full_kl', 'min']:.1f} and ends at "
         f"{words.loc['full_kl', 'last']:.1f}", "f, g"),
        ("17", "a tenth of the advantage hidden from the student",
         f"the weighted step lowers the return of {harmed:.0%} of the students whose expert is better; of none that "
         "can express the advantage", "h"),
        ("19", "a hint that only the teacher reads",
         "safe if it excludes no right answer, at least as fast as promised; not if one of several is shown", "i"),
        ("15", "unclipped path weights against the local gradient: better from how many rollouts on?",
         "\n".join(rollouts), "j"),
    )  # fmt: skip
    return harness.answers("Does it pay to look ahead?", rows)
