"""`python -m benchmarks`: measure, print the tables, write `results.csv`, `.md`, `.png`, `.pdf` and `machine.json`."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from benchmarks import compiled, report
from benchmarks.settings import QUICK, Settings
from benchmarks.timing import Row
from experiments.harness import console, save_table

BENCHMARKS = ("mdps", "bandits", "single", "scaling", "estimators", "startup", "diagnosis")
RESULTS = Path(__file__).parent / "results"
PEERS = {"quantecon": "quantecon", "mdptoolbox": "pymdptoolbox"}
"""Module and the name under which it is installed."""


def command_line(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the options; exit status 2 and one line if a library is missing or the folder cannot be written."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    parser.add_argument(
        "--out", type=Path, help="folder for the results (default benchmarks/results, quick: benchmarks/results/quick)"
    )
    parser.add_argument("--compile", action="store_true", help="also time torch.compile")
    parser.add_argument(
        "--only", nargs="+", choices=BENCHMARKS, default=BENCHMARKS, help="measure, and write, these (default: all)"
    )
    args = parser.parse_args(argv)
    missing = [package for module, package in PEERS.items() if importlib.util.find_spec(module) is None]
    if missing:
        parser.exit(2, f"benchmarks compares with {' and '.join(missing)}: pip install {' '.join(missing)}\n")
    if args.out is None:
        args.out = RESULTS / "quick" if args.quick else RESULTS
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=args.out).close()
    except OSError as error:
        parser.error(f"argument --out: {error}")
    return args


def measure(settings: Settings, only: Sequence[str] = BENCHMARKS, compile_too: bool = False) -> pd.DataFrame:
    """All rows. The floor comes first: everything else is divided by it."""
    # here, not above: the libraries that they import may be missing
    from benchmarks import bandits, diagnosis, estimators, floor, mdps, scaling, single, startup

    console.print("measuring memory bandwidth", style="dim")
    rows = floor.measure(settings)
    bandwidth = floor.bandwidth(rows)
    work: dict[str, Callable[[], list[Row]]] = {
        "mdps": lambda: mdps.measure(settings, bandwidth, compile_too),
        "bandits": lambda: bandits.measure(settings, bandwidth),
        "single": lambda: single.measure(settings, bandwidth),
        "scaling": lambda: scaling.measure(settings),
        "estimators": lambda: estimators.measure(settings),
        "startup": lambda: startup.measure(settings),
        "diagnosis": lambda: diagnosis.measure(settings),
    }
    for name in only:
        console.print(f"measuring {name}", style="dim")
        rows += work[name]()
    return pd.DataFrame(rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Run; exit status 1 if contenders disagree or the experiment fails."""
    args = command_line(argv)
    settings = QUICK if args.quick else Settings()
    if args.compile and (lack := compiled.missing()):
        console.print(f"torch.compile is left out: {lack}")
        args.compile = False
    try:
        rows = measure(settings, args.only, args.compile)
    except RuntimeError as error:  # contenders disagree, or the experiment fails
        sys.exit(f"nothing is reported: {error}")
    results = save_table(rows, args.out / "results.csv")
    command = ["python", "-m", "benchmarks", *(sys.argv[1:] if argv is None else argv)]
    report.save_machine(args.out / "machine.json", command=" ".join(command), settings=asdict(settings))
    report.save_markdown(results, args.out / "results.md")
    from benchmarks import plots

    plots.draw(results, args.out / "results")
    wide = console if console.is_terminal else type(console)(width=200)
    for table in report.tables(results):
        wide.print(table)
    wide.print(f"Results: {args.out}/results.* and machine.json")


if __name__ == "__main__":
    main()
