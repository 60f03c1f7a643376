r"""Rung 0: do the statements of the tables survive on a network? A small transformer, everything known exactly.

    python -m experiments.llm_bridge [--quick] [--device cpu|cuda] [--seed N] [--seeds N] [--out DIR] [--jobs N]

Networks of two widths, one too narrow to move every prefix freely (claim 17), play five token games; the teacher is
the network itself with feedback in its context, or the exactly conditioned student. Six panels, each from its table:

(a) `llm_bridge_gradients.csv`: torch gradients against the core's; `llm_bridge_order.csv`: the error of the predicted
    change of return, which shrinks like the square of the step.
(b) `llm_bridge_signs.csv`: predicted against actual change for every objective and optimiser; `llm_bridge_steps.csv`:
    the steps of the first two seeds; `llm_bridge_exceptions.csv`: every clear prediction with the wrong sign.
(c) `llm_bridge_lowered.csv`: how often a small first step lowers the return although the teacher is better.
(d) `llm_bridge_noise.csv`: the same when the feedback is false with a probability.
(e) `llm_bridge_training.csv`: return, entropy and length in training.
(f) `llm_bridge_estimators.csv`: bias and variance of the rollout estimators in parameter space.

`llm_bridge_networks.csv` says what the networks are, `llm_bridge_damping.csv` what damping makes of claims 2 and 17.
Work is done in pieces of a minute or so, which are found again under `--out`, on whatever `--device` they were begun.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import chain, product
from typing import Any

import pandas as pd
import torch
from rich.table import Table

from experiments import devices, harness, llm_bridge_plots
from experiments import llm_bridge_pieces as pieces
from experiments.harness import console
from experiments.llm_bridge_cases import EDUCATION, GAMES, OBJECTIVES, OPTIMISERS, RATE, WIDTHS, Case
from experiments.llm_bridge_tables import CELL, better, curves, damped, lowered, order, shares, signs

SEEDS, CHUNK, DRAWN_SEEDS = 16, 8, 2
TRAINED, TRAINED_SEEDS, JUDGED_SEEDS = ("sum", "habit"), 8, 2
LENGTH = 30
"""Steps of a training run."""
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
AGREEMENT = 0.99
COMPATIBLE = 1e-8
"""Largest `incompatibility` of a network that counts as free to move every prefix."""
SAFE_WHEN_TRUTHFUL = ("forward_ce", "reverse_kl", "jensen_shannon", "hellinger")
"""Claim 19: with truthful hints, hidden or not."""


def chunks(seeds: Sequence[int], size: int) -> list[tuple[int, ...]]:
    """Seeds in groups of a piece of work."""
    return [tuple(seeds[i : i + size]) for i in range(0, len(seeds), size)]


def collected(args: argparse.Namespace) -> dict[str, pd.DataFrame]:
    """Everything that is computed, as long tables."""
    quick = args.quick
    education = 40 if quick else EDUCATION
    first = range(args.seed, args.seed + (2 if quick else SEEDS) * args.seeds)
    games, widths = (("tests", "habit"), WIDTHS) if quick else (tuple(GAMES), WIDTHS)

    def cases(names: Sequence[str], sizes: Sequence[int], seeds: Sequence[int], size: int) -> list[Case]:
        return [Case(g, w, s, args.device, education) for g, w, s in product(names, sizes, chunks(seeds, size))]

    found = harness.run_tasks(pieces.first_steps, [(c,) for c in cases(games, widths, first, CHUNK)], args, "steps")
    out = {name: pd.DataFrame([row for piece in found for row in piece[name]]) for name in found[0]}
    trained = cases(("habit",) if quick else TRAINED, widths[1:], first[: 2 if quick else TRAINED_SEEDS], CHUNK)
    runs = [(case, 3 if quick else LENGTH) for case in trained]
    out["training"] = pd.DataFrame(
        list(chain.from_iterable(harness.run_tasks(pieces.training, runs, args, "training")))
    )
    judged = cases(("habit",) if quick else TRAINED, widths[1:], first[: 1 if quick else JUDGED_SEEDS], 1)
    tasks = [(case, 10 if quick else 100) for case in judged]
    out["estimators"] = pd.DataFrame(
        list(chain.from_iterable(harness.run_tasks(pieces.spread, tasks, args, "estimators")))
    )
    for table in out.values():
        table.insert(1, "truthful", table["game"].map({name: game.truthful for name, game in GAMES.items()}))
    return out


def violated(raw: dict[str, pd.DataFrame], saved: dict[str, pd.DataFrame]) -> list[str]:
    """Which rows contradict what must hold."""
    checked = raw | {name: saved[name] for name in ("llm_bridge_signs", "llm_bridge_order")}
    if out := harness.empty(checked):
        return out
    for precision, limit in TOLERANCE.items():
        worst = raw["gradients"].query("precision == @precision")["error"].max()
        if not worst <= limit:
            out.append(f"a torch gradient is off by {worst:.1e} of its norm in {precision}, at most {limit:g} allowed")
    clear, agree = saved["llm_bridge_signs"][["clear", "clear_agree"]].sum()
    if agree < AGREEMENT * clear:
        out.append(f"{clear - agree} of {clear} clear predictions have the wrong sign")
    small = saved["llm_bridge_order"].query("1e-11 < kl < 1e-9")["exponent"]
    if small.empty or not ((small - 2).abs() < 0.1).all():
        out.append(f"the error of the prediction shrinks with the exponents {small.tolist()}, not 2")
    free = raw["networks"].query("incompatibility < @COMPATIBLE")[["game", "width", "seed"]]
    told = better(raw, raw["damping"]).merge(free)
    told = told[(told["objective"] == "prefix") & (told["damping"] == OPTIMISERS["undamped"].damping)]
    off = (told["rate"] / told["gap"] - 1).abs()
    if not (off <= 0.01).all():
        out.append(f"claims 2 and 17: a compatible network misses its gap by {off.max():.1e} of it")
    steps = raw["steps"].merge(free).query("truthful and teacher == 'exact' and optimiser == 'undamped' and kl < 1e-7")
    wrong = steps[steps["objective"].isin(SAFE_WHEN_TRUTHFUL) & ~(steps["predicted"] >= 0)]
    out += [f"claim 19: a truthful hint harms a compatible network: {row._asdict()}" for row in wrong.itertuples()]
    return out


def summary(found: pd.DataFrame) -> Table:
    """Panel (c) in words: the wide network, its own teacher."""
    table = Table(
        title="First steps (KL 1e-4) that lower the return though the teacher is better",
        caption="networks of width 16, their own teachers; intervals are in llm_bridge_lowered.csv",
    )
    table.add_column("feedback")
    table.add_column("objective")
    for heading in OPTIMISERS:
        table.add_column(heading, justify="right")
    here = found[found["game"].isna() & (found["width"] == WIDTHS[-1]) & (found["teacher"] == "self")]
    here = here.set_index(["truthful", "objective", "optimiser"])
    for truthful, objective in product((True, False), OBJECTIVES):
        cells = [here.loc[(truthful, objective, o)] for o in OPTIMISERS]
        said = (f"{x['share']:.0%}" for x in cells)
        table.add_row("truthful" if truthful else "one of several", OBJECTIVES[objective].label.split(" (")[0], *said)
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment: tables, pictures, verdicts; exit status 1 if a check fails."""
    args = harness.command_line("llm_bridge", (__doc__ or "").splitlines()[0], argv, devices.option)
    devices.check(args.device)
    raw = collected(args)
    by_size, exceptions = signs(raw["steps"], raw["training"])
    small = better(raw, raw["steps"][raw["steps"]["kl"] == pieces.SMALL])
    noisy = better(raw, raw["noise"]).sort_values("noise", kind="stable")
    panels: dict[str, Any] = {
        "networks": raw["networks"],
        "gradients": raw["gradients"].groupby(["width", "precision", "route", "quantity"], sort=False)["error"]
        .agg(["count", "median", "max"]).reset_index(),
        "order": order(raw["steps"]),
        "signs": by_size,
        "steps": raw["steps"][raw["steps"]["seed"] < args.seed + DRAWN_SEEDS],
        "exceptions": exceptions,
        "lowered": lowered(small),
        "noise": shares(noisy, [*CELL, "noise"]),
        "damping": damped(raw),
        "training": curves(raw["training"]),
        "estimators": raw["estimators"],
    }  # fmt: skip
    saved = {f"llm_bridge_{k}": harness.save_table(t, args.out / f"llm_bridge_{k}.csv") for k, t in panels.items()}
    pictures = llm_bridge_plots.draw(saved, args.out)
    told = {"device": args.device, "torch": torch.__version__, "education": EDUCATION, "rate": RATE,
            "widths": WIDTHS, "training": LENGTH, "adam": pieces.ADAM, "sizes": pieces.SIZES,
            "small": pieces.SMALL}  # fmt: skip
    harness.save_manifest(args.out / "llm_bridge.json", args, [f"{name}.csv" for name in saved] + pictures, told)
    console.print(summary(saved["llm_bridge_lowered"]))
    clear, agree = by_size[["clear", "clear_agree"]].sum()
    console.print(f"Clear predictions with the right sign: {agree} of {clear}; exceptions are listed.")
    console.print(f"Tables and pictures: {args.out}/llm_bridge*")
    harness.finish(violated(raw, saved))


if __name__ == "__main__":
    main()
