"""What contradicts the promises of `distil_theory.diagnose`, and what the tables say in words."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich.table import Table

from distil_theory.diagnosis import trust
from experiments import harness
from experiments.diagnosis import coverage, faults
from experiments.harness import Tables

LARGEST_Z = 6.0
"""Standard errors by which the mean of unbiased estimates may miss the truth."""
WRONG = 0.05
"""Share of logs whose verdict may have the wrong sign: one side of an interval that may miss with both."""
FALSE_ALARMS = 0.01
MAY_BE_EMPTY = {"counts": ("least_of_warned", "least", "median", "most"), "thresholds": ("least", "most")}


def violated(t: Tables) -> list[str]:
    """Cells without a warning that cover too little or too much; estimates that are biased; checks that fail."""
    bad = harness.empty(t) + harness.gaps(t, MAY_BE_EMPTY, {"cells": ("expected", "width")})
    return bad or _missing(t) or [*_cells(t["cells"]), *_checks(t["checks"])]


def _missing(t: Tables) -> list[str]:
    """Rows that a check below is about and that are not there: it would find nothing wrong."""
    cells = t["cells"]
    held_out = cells[cells["set"] == "held-out"]
    needed = {
        "cells that do not warn": (~held_out["warns"]).any(),
        "cells that warn": held_out["warns"].any(),
        "rates of every level": {"local", "clipped", "sequence", "full", "euclidean"}
        <= set(held_out["rate"].str.partition("/")[0]),
        "logs with unlisted tails": (held_out["form"] == "top").any(),
        "every fault": set(faults.FAULTS) <= set(t["checks"]["fault"]),
    }
    return [f"the tables lack {what}" for what, there in needed.items() if not there]


def _cells(table: pd.DataFrame) -> list[str]:
    out = []
    for x in table[(table["set"] == "held-out") & ~table["warns"]].itertuples():
        where = f"{x.game}, teacher trusted to {x.trust:g}, {x.groups} groups of {x.size}, {x.rate} ({x.form})"
        reach = max(coverage.LEVEL - coverage.LEAST, 4 * (coverage.LEVEL * (1 - coverage.LEVEL) / x.logs) ** 0.5)
        too_much = x.form == "full" and not x.covered <= coverage.LEVEL + reach
        if not x.covered >= coverage.LEVEL - reach or too_much:
            out.append(f"95 % intervals hold the truth in {x.covered:.1%} of {x.logs} logs, without a warning: {where}")
        if not x.wrong <= WRONG:
            out.append(f"the verdict has the wrong sign in {x.wrong:.1%} of the logs, without a warning: {where}")
    full = table[(table["form"] == "full") & ~table["warns"]]
    for x in full[~(full["bias"].abs() <= LARGEST_Z * full["bias_error"] + 1e-12)].itertuples():
        out.append(
            f"estimates of {x.rate} are off by {x.bias:.2g}, {x.bias / x.bias_error:.1f} standard errors: {x.game}"
        )
    return out


def _checks(table: pd.DataFrame) -> list[str]:
    out = []
    for x in table.itertuples():
        honest = x.fault in ("valid", "own trace")
        if honest and not x.noticed <= FALSE_ALARMS:
            out.append(f"the weights of an honest teacher ({x.fault}) are doubted in {x.noticed:.1%} of the logs")
        if honest and not max(abs(x.expected_s), abs(x.expected_lambda)) <= 1e-12:
            out.append(f"the weights of an honest teacher ({x.fault}) do not have mean one")
        if x.fault in ("own verdict", "shifted") and x.rollouts >= 1000 and not x.noticed >= 0.99:
            out.append(f"{x.fault} is noticed in {x.noticed:.1%} of the logs of {x.rollouts} rollouts only")
    return out


def _range(part: pd.DataFrame, column: str) -> str:
    return f"{part[column].min():.1%} to {part[column].max():.1%}"


def summary(t: Tables) -> Table:
    """What was found, in words."""
    cells = t["cells"]
    held_out = cells[(cells["set"] == "held-out") & (cells["form"] == "full")]
    quiet, loud = held_out[~held_out["warns"]], held_out[held_out["warns"]]
    count = t["counts"].set_index(["set", "form", "share"]).loc[("held-out", "full", coverage.SHARES[-1])]
    tails = cells[(cells["set"] == "held-out") & (cells["form"] == "top") & ~cells["warns"]]
    needed = t["needed"][(t["needed"]["set"] == "held-out")]
    local = needed[needed["rate"] == "local/forward_kl"]["needed"]
    notice = t["checks"].set_index(["fault", "rollouts"])["noticed"]
    rollouts = sorted({n for _, n in notice.index})
    rows: Sequence[tuple[str, str, str]] = (
        ("Do 95 % intervals hold the truth?",
         f"in {_range(quiet, 'covered')} of {int(quiet['logs'].max())} logs, in {len(quiet)} cells of held-out games "
         f"that do not warn; {int(count['outside'])} outside [93 %, 97 %], {count['expected_by_chance']:.2g} expected "
         "by chance", "a"),
        ("Which cells warn?", f"{len(loud)} of {len(held_out)}: fewer than {trust.CARRYING:g} groups carry the "
         f"variance, or rare weights are to be feared; there intervals hold the truth in {_range(loud, 'covered')}",
         "a"),
        ("Logs without a warning in cells that warn", f"{int(count['silent_in_warned'])}, of which "
         f"{count['silent_in_warned_covered']:.1%} hold the truth", "a"),
        ("Unlisted tails (top-k)?", f"intervals for the interval hold the truth in {_range(tails, 'covered')}", "a"),
        ("Is the verdict in words wrong?", f"in at most {quiet['wrong'].max():.1%} of the logs, on average "
         f"{quiet['wrong'].mean():.2%}", "d"),
        ("How many rollouts until the sign is certain?", f"local forward KL: {local.min():.0f} to {local.max():.0f}, "
         f"half of the cells by {local.median():.0f}", "c"),
        ("Is a teacher noticed that read the verdict on this very answer?", ", ".join(
            f"{notice['own verdict', n]:.0%} of the logs of {n}" for n in rollouts), "e"),
    )  # fmt: skip
    return harness.answers("Can one trust a diagnosis?", rows)
