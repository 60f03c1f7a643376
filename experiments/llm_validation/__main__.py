"""The command: runs in the order of value, tables, pictures."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import pandas as pd
import torch
from accelerate import PartialState
from rich.table import Table

from distil_theory.llm import models
from distil_theory.parallel import console
from experiments import devices, harness, llm_validation
from experiments.harness import Tables
from experiments.llm_validation import plots, power, predictions, settings, tables, work
from experiments.llm_validation.plan import Run, Setting, ordered
from experiments.llm_validation.work import Work

MINUTE = 60.0


def options(parser: argparse.ArgumentParser) -> None:
    """What this experiment has beyond the others."""
    parser.add_argument("--rung", type=int, choices=(1, 2), default=1, help="1: from scratch, 2: SmolLM2 (default 1)")
    devices.option(parser)
    more = parser.add_mutually_exclusive_group()
    more.add_argument("--large", action="store_true", help="rung 2 on a graphics card: more tasks and steps")
    more.add_argument("--again", action="store_true", help="rung 2, its longer task with new seeds")
    parser.add_argument(
        "--model", type=Path, help="rung 2: checkpoint folder, or GGUF file (default: SmolLM2-135M-Instruct)"
    )
    parser.add_argument("--minutes", type=float, default=float("inf"), help="save and stop after so long; call again")
    parser.add_argument("--workers", type=int, default=1, help="runs side by side, on one device (default 1)")
    parser.add_argument("--only", help="comma-separated algorithms: leave the others to another process")
    parser.add_argument("--pilot", action="store_true", help="only the pilot and the table of detectable effects")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another value of a setting")


def changed(setting: Setting, changes: Sequence[str]) -> Setting:
    """The setting with what `--set` says.

    Raises:
        SystemExit: no such setting, or a value that is none.
    """
    for change in changes:
        name, _, text = change.partition("=")
        old = getattr(setting, name, None)
        if not isinstance(old, (int, float, str, tuple)) or not text:
            raise SystemExit(f"argument --set: {change!r} is no NAME=VALUE of a setting")
        try:
            value = tuple(text.split(",")) if isinstance(old, tuple) else type(old)(text)
        except ValueError:
            raise SystemExit(f"argument --set: {text!r} is no value of {name}") from None
        setting = setting.but(**{name: value})
    return setting


def summary(saved: Tables) -> Table:
    """What the console shows."""
    told = Table("prediction", "task", "difference", "95 % interval", "detectable", "verdict")
    for x in saved["predictions"].itertuples():
        told.add_row(x.prediction, x.task, f"{x.metric} {x.value:+.3f}", f"{x.lower:+.3f} .. {x.upper:+.3f}",
                     f"{x.detectable:.3f}", x.verdict)  # fmt: skip
    return told


def violated(saved: Tables) -> list[str]:
    """What must not be: empty tables, gaps, algorithms that did not start from the same student."""
    bad = harness.empty({name: table for name, table in saved.items() if name != "predictions"})
    if bad:
        return bad
    before = saved["items"][saved["items"]["phase"] == "before"]
    unlike = before.groupby(["task", "seed", "item"])["right"].nunique().gt(1)
    if unlike.any():
        bad.append(f"algorithms of {unlike.idxmax()} did not start from one student")
    intervals = saved["paired"].dropna(subset=["lower"])
    if not ((intervals["lower"] <= intervals["value"]) & (intervals["value"] <= intervals["upper"])).all():
        bad.append("a difference lies outside its interval")
    return bad


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment; exit status 1 if something is wrong with the tables."""
    args = harness.command_line("llm_validation", (llm_validation.__doc__ or "").splitlines()[0], argv, options)
    until = time.monotonic() + args.minutes * MINUTE
    devices.check(args.device)
    work.settle(args.device)
    if (args.large or args.again) and args.rung != 2:
        raise SystemExit(f"argument --{'large' if args.large else 'again'}: it belongs to --rung 2")
    if args.model is not None and not args.model.exists():
        raise SystemExit(f"argument --model: {args.model} does not exist")
    if args.workers > 1 and PartialState().num_processes > 1:
        raise SystemExit("argument --workers: processes that share each step cannot also share the runs")
    which = "large" if args.large else f"rung{args.rung}" + "_again" * args.again
    own = changed(settings.setting(which, args.quick), args.set)
    home = args.out / harness.CACHE / f"llm_validation_{which}"
    if args.quick and args.rung == 2 and args.model is None:
        args.model = models.tiny(home / "tiny", 0, width=16, layers=1)
    if args.model is not None and args.model.suffix == ".gguf":
        args.model = models.unpacked(args.model, home / "model")
    first = args.seed + settings.FIRST_SEED.get(which, 0)
    grid = ordered(own, range(first, first + own.seeds * args.seeds))
    trial = power.pilot(own, 2 if args.quick else settings.PILOT_SEEDS[args.rung])
    mine = [run for run in grid if not args.only or run.algorithm in args.only.split(",")]
    least = args.out / f"llm_validation_{which}_power.csv"
    todo = Work(own, home, args.device, args.model, until, trial, settings.TRAINED_PILOT[args.rung],
                [] if args.pilot else mine, least)  # fmt: skip
    died = work.side_by_side(todo, args.workers) if args.workers > 1 else work.labour(todo)
    for said in died:
        console.print(f"[bold red]failed:[/] {said}")
    if not work.stated(todo):
        unfinished(trial, home)
    elif not args.pilot:
        if PartialState().is_main_process:
            conclude(which, args, own, grid, home, pd.read_csv(least))
        if work.left(grid, home):
            unfinished(grid, home)
    if died:
        raise SystemExit(1)


def unfinished(todo: Sequence[Run], home: Path) -> None:
    """Say what is left."""
    left = [run.name for run in work.left(todo, home)] or ["the pilot"]
    if PartialState().is_main_process:
        console.print(f"{len(left)} of {len(todo)} runs are left, next {left[0]}: the same command goes on.")


def conclude(
    which: str, args: argparse.Namespace, own: Setting, grid: Sequence[Run], home: Path, least: pd.DataFrame
) -> None:
    """Tables, pictures and manifest of what is finished."""
    found = tables.collected(home, grid)
    pairs = pd.DataFrame() if found["items"].empty else tables.paired(found["items"])
    if pairs.empty:
        return  # there is nothing to compare yet
    found |= {
        "metrics": tables.metrics(found["items"]),
        "paired": pairs,
        "predictions": tables.foretold(found["items"], least, own, predictions.of(which)),
        "power": least,
    }
    told: dict[str, Any] = {
        "rung": args.rung, "device": args.device, "settings": asdict(own), "threads": torch.get_num_threads(),
        "unfinished": [run.name for run in work.left(grid, home)],
        "hours": round(found["runs"]["seconds"].sum() / 3600, 3),
        "predictions": {p.name: p.why for p in predictions.of(which)},
    }  # fmt: skip
    name = f"llm_validation_{which}"
    harness.conclude(name, args, found, plots.draw(name, own), told, summary, violated)


if __name__ == "__main__":
    main()
