"""The command: pieces in the order of value, tables, pictures, verdicts."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import pandas as pd
import torch
from rich.table import Table

from distil_theory.parallel import console
from experiments import devices, harness, llm_scale
from experiments.harness import Tables
from experiments.llm_scale import cases, judging, plan, plots, tables, training

TOLERANCE = {"float32": 1e-3, "float64": 1e-9}
AGREEMENT = 0.99
MINUTE = 60.0


def options(parser: argparse.ArgumentParser) -> None:
    """What this experiment has beyond the others."""
    devices.option(parser)
    parser.add_argument("--large", action="store_true", help="the size of a graphics card")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long; call again")


class Work:
    """Pieces of work, in the order of value, until time is over: then `None` stands for what a piece would return."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.left = args, 0
        self.until = time.monotonic() + args.minutes * MINUTE

    @property
    def limited(self) -> bool:
        """Whether time can be over."""
        return self.until < float("inf")

    def __call__(self, function: Callable[..., Any], tasks: Sequence[tuple], label: str) -> list[Any]:
        """What each task returns; all of them side by side if there is time enough, else one after the other."""
        if not self.limited:
            return harness.run_tasks(function, tasks, self.args, label)
        found: list[Any] = []
        for task in tasks:
            if time.monotonic() > self.until:
                break
            found += harness.run_tasks(function, [task], self.args, label)
        missing = len(tasks) - len(found)
        self.left += missing
        return found + [None] * missing


def collected(work: Work, own: cases.Setting) -> Tables:
    """Everything that is computed, as tables."""
    args = work.args
    firsts = range(args.seed, args.seed + own.seeds * args.seeds, own.seeds)
    known = [case for seed in firsts for case in plan.cases(own, seed, args.device)]
    weights: dict[cases.Case, Any] = {}
    trained: list[Any] = []
    judged: list[Any] = []

    def train(todo: list[plan.Piece]) -> None:
        ready = [p for p in todo if weights[p.case] is not None]
        work.left += len(todo) - len(ready)
        tasks = [(p.case, weights[p.case], p.teacher, p.objectives, p.rate, p.how) for p in ready]
        trained.extend(work(training.training, tasks, "training"))

    for width in ("wide", "narrow"):
        own_width = [case for case in known if case.width == width]
        for stage in [[case] for case in own_width] if work.limited else [own_width]:  # a whole game before the next
            weights |= dict(zip(stage, work(cases.educated, [(c,) for c in stage], "lessons"), strict=True))
            train(plan.basic(stage))
        if width == "wide":
            first = [c for c in own_width if c.first_seed == args.seed and weights[c] is not None]
            judged = work(judging.first_steps, [(case, weights[case]) for case in first], "first steps")
    train(plan.further(known))
    rows = pd.DataFrame(list(chain.from_iterable(x for x in trained if x is not None)))
    if rows.empty or "forward_ce" not in set(rows["objective"]):
        return {}
    rows = tables.with_outcomes(rows)
    runs = tables.ends(rows)
    sizes = {case.width: weights[case].shape[1] for case in known if weights[case] is not None}
    found = {
        "networks": tables.networks(rows, sizes),
        "curves": tables.curves(rows),
        "paired": tables.paired(runs),
        "predictions": tables.foretold(runs),
    }
    done = [x for x in judged if x is not None]
    if done:
        raw = {name: pd.DataFrame([row for x in done for row in x[name]]) for name in done[0]}
        found |= {
            "gradients": raw["gradients"].groupby(["game", "width", "precision", "quantity"], sort=False)["error"]
            .agg(["count", "median", "max"]).reset_index(),
            "signs": tables.signs(raw["steps"]),
            "efficiency": tables.shares(raw["steps"], raw["efficiency"]),
        }  # fmt: skip
    return found


def summary(saved: Tables) -> Table:
    """What the console shows."""
    told = Table("prediction", "about", "game", "expected", "difference", "95 % interval", "verdict")
    for x in saved["predictions"].itertuples():
        told.add_row(x.prediction, x.about, x.game, x.expected, f"{x.metric} {x.value:+.3f}",
                     f"{x.lower:+.3f} .. {x.upper:+.3f}", x.verdict)  # fmt: skip
    return told


def violated(saved: Tables) -> list[str]:
    """What must not be: empty tables, wrong gradients or signs, a teacher that is no better, unlike beginnings."""
    bad = harness.empty({name: table for name, table in saved.items() if name != "predictions"})
    if bad:
        return bad
    if "gradients" in saved:  # time may have been over before
        for precision, limit in TOLERANCE.items():
            worst = saved["gradients"].query("precision == @precision")["max"].max()
            if not worst <= limit:
                bad.append(f"a gradient is off by {worst:.1e} of its norm in {precision}, at most {limit:g} allowed")
        clear, agree = saved["signs"][["clear", "clear_agree"]].sum()
        if agree < AGREEMENT * clear or not clear:
            bad.append(f"{clear - agree} of {clear} clear predictions have the wrong sign")
    told = saved["networks"]
    if "return_exact" in told and (told["return_exact"] <= told["return"]).any():
        bad.append("an exactly conditioned teacher is no better than its student")
    first = saved["curves"].query("step == 0").groupby(["game", "width"])["return"]
    if (first.max() - first.min() > 1e-5).any():
        bad.append("objectives of one game did not start from the same students")
    return bad


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment; exit status 1 if something is wrong with the tables."""
    args = harness.command_line("llm_scale", (llm_scale.__doc__ or "").splitlines()[0], argv, options)
    devices.check(args.device)
    if args.device != "cpu":
        args.jobs = 1  # one process for one card
    own = plan.setting(args.quick, args.large)
    name = f"llm_scale{'_large' if args.large else ''}"
    began, work = time.monotonic(), Work(args)
    found = collected(work, own)
    if not found:
        return console.print(f"{work.left} pieces are left, nothing can be compared yet: the same command goes on.")
    processor = devices.name(args.device) + ", one thread" * (not args.device.startswith("cuda"))
    told: dict[str, Any] = {
        "device": args.device, "processor": processor, "torch": torch.__version__,
        "setting": own._asdict(), "judged": {"sizes": judging.SIZES, "damping": judging.DAMPING},
        "unfinished": work.left, "seconds": round(time.monotonic() - began),
    }  # fmt: skip
    if work.left:
        console.print(f"{work.left} pieces are left: the same command goes on.")
    harness.conclude(name, args, found, plots.draw(name), told, summary, violated)
    return None


if __name__ == "__main__":
    main()
