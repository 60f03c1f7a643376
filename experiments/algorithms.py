r"""The complete algorithm beside its rivals (THEORY section 13; claims 9, 18, 19)

    python -m experiments.algorithms [--quick] [--seed N] [--seeds N] [--out DIR] [--jobs N] [--fresh]

Ten algorithms, six worlds (`experiments.loop.worlds`), 50 random students in each per seed; all natural steps of one
KL, so that directions are compared and not step sizes. DAgger and cloning ask the best expert there is, the others
nobody (GRPO, RLVR) or the student that has read its feedback. Panels, each drawn from tables `algorithms_<name>.csv`:

(a) `learning`: score (0: the first student, 1: the best that sees the state) by step, exact expectations.
(b) the same with 64 rollouts per step.
(c) `answers`: Pass@1, 8, 16 and Maj@16 halfway and at the end.
(d) `drops`: share of steps that lowered the return.
(e) `paired`: mean score over training minus that of local DistIL, student by student.
(f) `budget`, `needed`: score per rollout and per question to an expert.
(g) entropy and length during training, from `learning`.

`runs` holds every student's numbers.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from rich.table import Table

from experiments import algorithms_plots, harness
from experiments.harness import Tables
from experiments.interquartile import interval
from experiments.loop import runs, worlds
from experiments.loop.runs import Curves

STUDENTS, QUICK_STUDENTS, QUICK_STEPS = 50, 4, 12
DISTIL = "DistIL"
ALL = "all worlds"
GOALS = (0.5, 0.9)
"""Scores that have to be reached."""
SAFE = ("garnet", "thinking")
"""Worlds in which claim 9 speaks."""
LOCAL = (DISTIL, "SDPO", "OPSD")
"""Local objectives of an f-divergence with a truthful teacher: in exact mode they never lower the return there."""
QUANTITIES = ("score", "entropy", "length")
COUNTS = ("rollouts", "queries")
Key = tuple[str, str, str]
Found = dict[Key, Curves]


def train(args: argparse.Namespace, students: int, steps: int) -> Found:
    """All runs; the students of several seeds side by side."""
    keys: list[Key] = list(product(worlds.WORLDS, runs.MODES, runs.NAMES))
    seeds = range(args.seed, args.seed + args.seeds)
    todo = [(*key, students, seed, steps) for key, seed in product(keys, seeds)]
    done = iter(harness.run_tasks(runs.train, todo, args, "training"))
    return {key: joined([next(done) for _ in seeds]) for key in keys}


def joined(parts: Sequence[Curves]) -> Curves:
    """Runs of several seeds as one."""
    first = parts[0]
    both = {
        f: np.concatenate([getattr(x, f) for x in parts], axis=-1)
        for f in first._fields
        if f not in (*COUNTS, "checks")
    }
    return first._replace(**both)


def strata(found: Found, mode: str, name: str) -> dict[str, list[Curves]]:
    """Every world on its own, and all of them."""
    each = {w: [found[w, mode, name]] for w in worlds.WORLDS}
    return each | {ALL: [x for [x] in each.values()]}


def learning(found: Found) -> pd.DataFrame:
    """Interquartile means of score, entropy and length after every fourth step."""
    out = []
    for (world, mode, name), x in found.items():
        steps = np.arange(0, len(x.returns), 4)
        every = interval([np.stack([getattr(x, quantity)[steps] for quantity in QUANTITIES])])
        for quantity, value, lower, upper in zip(QUANTITIES, *every, strict=True):
            out.append(pd.DataFrame({"world": world, "mode": mode, "algorithm": name, "quantity": quantity,
                                     "step": steps, "value": value, "lower": lower, "upper": upper}))  # fmt: skip
    return pd.concat(out, ignore_index=True).round(4)


def answers(found: Found) -> pd.DataFrame:
    """Pass@N and Maj@16 at the checks."""
    rows = []
    for (world, mode, name), x in found.items():
        metrics = [f"pass@{k}" for k in runs.ATTEMPTS]
        counted = x.passed
        if world in worlds.GAMES:
            metrics, counted = [*metrics, f"maj@{runs.VOTES}"], np.concatenate([counted, x.voted[:, None]], axis=1)
        found_here = interval([counted])
        for (c, step), (m, metric) in product(enumerate(x.checks), enumerate(metrics)):
            rows.append((world, mode, name, step, metric, *(y[c, m] for y in found_here)))
    return pd.DataFrame(
        rows, columns=["world", "mode", "algorithm", "step", "metric", "value", "lower", "upper"]
    ).round(5)


def drops(found: Found) -> pd.DataFrame:
    """Share of steps that lowered the return: means, with intervals over students."""
    rows = []
    for mode, name in product(runs.MODES, runs.NAMES):
        for world, parts in strata(found, mode, name).items():
            fell = [(x.change < -runs.ROUNDING) for x in parts]
            share = interval([y.mean(axis=0) for y in fell], np.mean)
            largest = max(float(np.maximum(-x.change, 0).max()) for x in parts)
            steps = sum(y.size for y in fell)
            rows.append((world, mode, name, steps, sum(int(y.sum()) for y in fell), largest, *share))
    names = ["world", "mode", "algorithm", "steps", "lowered", "largest", "value", "lower", "upper"]
    return pd.DataFrame(rows, columns=names)


def paired(found: Found) -> pd.DataFrame:
    """Mean score over training minus that of local DistIL, and the share of students that it serves better."""
    rows = []
    for mode, name in product(runs.MODES, runs.NAMES):
        base = strata(found, mode, DISTIL)
        for world, parts in strata(found, mode, name).items():
            area = interval([x.area for x in parts])
            more = [x.area - y.area for x, y in zip(parts, base[world], strict=True)]
            better = float(np.mean(np.concatenate(more) > 0))
            rows.append((world, mode, name, *area, *interval(more), better))
    names = ["world", "mode", "algorithm", "area", "area_lower", "area_upper", "value", "lower", "upper", "better"]
    return pd.DataFrame(rows, columns=names)


def budget(found: Found) -> pd.DataFrame:
    """Score in all worlds together by rollouts and by questions per student (`queries`: a mean over worlds)."""
    out = []
    for name in runs.NAMES:
        parts = strata(found, "sampled", name)[ALL]
        value, lower, upper = interval([x.score for x in parts])
        asked = np.mean([x.queries for x in parts], axis=0)
        out.append(pd.DataFrame({"algorithm": name, "rollouts": parts[0].rollouts, "queries": asked, "value": value,
                                 "lower": lower, "upper": upper}))  # fmt: skip
    return pd.concat(out, ignore_index=True)


def first(score: np.ndarray, spent: np.ndarray, goal: float) -> np.ndarray:
    """What was spent when a goal was first reached, `(N,)`; all of it where it was not."""
    there = score >= goal
    return np.where(there.any(axis=0), spent[there.argmax(axis=0)], spent[-1])


def needed(found: Found) -> pd.DataFrame:
    """Rollouts and questions until a score is first reached; who did not reach it spent everything, at least."""
    rows = []
    for name, goal in product(runs.NAMES, GOALS):
        for world, parts in strata(found, "sampled", name).items():
            reached = float(np.mean([(x.score >= goal).any(axis=0).mean() for x in parts]))
            for what in COUNTS:
                spent = [first(x.score, getattr(x, what), goal) for x in parts]
                rows.append((world, name, goal, what, *interval(spent), reached))
    return pd.DataFrame(rows, columns=["world", "algorithm", "goal", "what", "value", "lower", "upper", "reached"])


def every_run(found: Found) -> pd.DataFrame:
    """One row per student."""
    out = []
    for (world, mode, name), x in found.items():
        fell = (x.change < -runs.ROUNDING).sum(axis=0)
        out.append(pd.DataFrame({"world": world, "mode": mode, "algorithm": name, "student": np.arange(len(fell)),
                                 "first": x.returns[0], "best": x.best, "return": x.returns[-1], "area": x.area,
                                 "lowered": fell}).round(4))  # fmt: skip
    return pd.concat(out, ignore_index=True)


def violated(t: Tables) -> list[str]:
    """What contradicts a theorem."""
    if empty := harness.empty(t):
        return empty
    table = t["drops"]
    out = []
    for world, name in product(SAFE, LOCAL):
        rows = table.query("world == @world and algorithm == @name and mode == 'exact'")
        if rows.empty or not ((rows["lowered"] == 0) & (rows["steps"] > 0) & (rows["largest"] <= runs.ROUNDING)).all():
            out.append(f"claim 9: {name} lowers the return in {world}: {rows.to_dict('records')}")
    for name, values in t.items():
        unknown = values[["value", "lower", "upper"]].isna().any(axis=1) if "value" in values else []
        if np.any(unknown):
            out.append(f"{name} has {np.sum(unknown)} rows that are NaN")
        elif "value" in values and not (values["lower"] <= values["upper"]).all():
            out.append(f"{name} has intervals that end before they start")
    return out


def summary(t: Tables) -> Table:
    """Who learns how fast, in all worlds together."""
    table = Table(title="One step size, ten directions: mean score over training, all worlds")
    for heading in ("algorithm", "exact", "64 rollouts", "minus DistIL (paired)", "steps that lower", "worst world"):
        table.add_column(heading)
    for name in runs.NAMES:
        mine = t["paired"][(t["paired"]["algorithm"] == name) & (t["paired"]["world"] == ALL)].set_index("mode")
        fell = t["drops"].query("algorithm == @name and mode == 'sampled'").set_index("world")["value"]
        cells = [
            f"{x.area:.3f} [{x.area_lower:.3f}, {x.area_upper:.3f}]" for x in mine.loc[list(runs.MODES)].itertuples()
        ]
        s = mine.loc["sampled"]
        worst = fell.drop(ALL)
        table.add_row(name, *cells, f"{s['value']:+.3f} [{s['lower']:+.3f}, {s['upper']:+.3f}]", f"{fell[ALL]:.1%}",
                      f"{worst.idxmax()} {worst.max():.0%}")  # fmt: skip
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment: tables, pictures, verdicts; exit status 1 if a claim is contradicted."""
    args = harness.command_line("algorithms", (__doc__ or "").splitlines()[0], argv)
    students, steps = (QUICK_STUDENTS, QUICK_STEPS) if args.quick else (STUDENTS, runs.STEPS)
    found = train(args, students, steps)
    makers = {"learning": learning, "answers": answers, "drops": drops, "paired": paired, "budget": budget,
              "needed": needed, "runs": every_run}  # fmt: skip
    tables = {name: make(found) for name, make in makers.items()}
    told = {"students": students, "steps": steps, "delta": runs.DELTA, "prompts": runs.SAMPLING.prompts,
            "group": runs.SAMPLING.group}  # fmt: skip
    harness.conclude("algorithms", args, tables, algorithms_plots.draw, told, summary, violated)


if __name__ == "__main__":
    main()
