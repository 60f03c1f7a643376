"""The command: runs in the order of value, tables, pictures."""

from __future__ import annotations

import argparse
import gc
import os
import time
import warnings
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
from transformers.utils import logging as transformers_logging

from distil_theory.llm import models
from distil_theory.parallel import console
from experiments import harness, llm_validation
from experiments.harness import Tables
from experiments.llm_bridge import check_device
from experiments.llm_validation import plots, power, predictions, runs, settings, tables
from experiments.llm_validation.plan import Run, Setting, ordered

MINUTE = 60.0


def options(parser: argparse.ArgumentParser) -> None:
    """What this experiment has beyond the others."""
    parser.add_argument("--rung", type=int, choices=(1, 2), default=1, help="1: from scratch, 2: SmolLM2 (default 1)")
    parser.add_argument("--device", default="cpu", help="where torch computes: cpu or cuda (default cpu)")
    more = parser.add_mutually_exclusive_group()
    more.add_argument("--large", action="store_true", help="rung 2 on a graphics card: more tasks and steps")
    more.add_argument("--again", action="store_true", help="rung 2, its longer task with new seeds")
    parser.add_argument("--model", type=Path, help="rung 2: checkpoint folder (default: SmolLM2-135M-Instruct)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="save and stop after so long; call again")
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


def work(todo: Sequence[Run], home: Path, args: argparse.Namespace, until: float) -> bool:
    """Do the runs that are not finished; whether all of them are now."""
    for place, run in enumerate(todo):
        if (home / run.name / "run.json").exists():
            continue
        if runs.over(until):
            return False
        began = time.monotonic()
        try:
            runs.perform(run, home, args.device, args.model, until)
        except runs.OutOfTimeError:
            return False
        gc.collect()  # trainers and their models hold on to each other
        if PartialState().is_main_process:
            console.print(f"{time.strftime('%H:%M:%S')} {place + 1}/{len(todo)} {run.name}: "
                          f"{time.monotonic() - began:.0f} s")  # fmt: skip
    return True


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
    transformers_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch|transformers|trl")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    check_device(args.device)
    PartialState(cpu=args.device == "cpu")  # one for all: processes of `accelerate launch` or `torchrun`
    if (args.large or args.again) and args.rung != 2:
        raise SystemExit(f"argument --{'large' if args.large else 'again'}: it belongs to --rung 2")
    which = "large" if args.large else f"rung{args.rung}" + "_again" * args.again
    own = changed(settings.setting(which, args.quick), args.set)
    name = f"llm_validation_{which}"
    home = args.out / harness.CACHE / name
    if args.quick and args.rung == 2 and args.model is None:
        args.model = models.tiny(home / "tiny", 0, width=16, layers=1)
    first = args.seed + settings.FIRST_SEED.get(which, 0)
    grid = ordered(own, range(first, first + own.seeds * args.seeds))
    trial = power.pilot(own, 2 if args.quick else settings.PILOT_SEEDS[args.rung])
    least = args.out / f"{name}_power.csv"
    if not least.exists():
        train = settings.TRAINED_PILOT[args.rung]
        if train and not work(trial, home, args, until):
            return unfinished(trial, home)
        if not train and PartialState().is_main_process:
            for run in trial:
                runs.begun(run, home, args.device, args.model)
        if PartialState().is_main_process:
            harness.save_table(power.table(home, own, trial, train), least)
    if args.pilot:
        return None
    mine = [run for run in grid if not args.only or run.algorithm in args.only.split(",")]
    complete = work(mine, home, args, until)
    if PartialState().is_main_process:
        conclude(which, args, own, grid, home, pd.read_csv(least))
    return None if complete else unfinished(grid, home)


def unfinished(todo: Sequence[Run], home: Path) -> None:
    """Say what is left."""
    left = [run.name for run in todo if not (home / run.name / "run.json").exists()]
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
        "unfinished": [run.name for run in grid if not (home / run.name / "run.json").exists()],
        "hours": round(found["runs"]["seconds"].sum() / 3600, 3),
        "predictions": {p.name: p.why for p in predictions.of(which)},
    }  # fmt: skip
    name = f"llm_validation_{which}"
    harness.conclude(name, args, found, plots.draw(name, own), told, summary, violated)


if __name__ == "__main__":
    main()
