"""The tables, on the console and as `results.md`, all from the rows of `results.csv`; and `machine.json`."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import THREAD_LIMITS
from distil_theory.divergences import BY_NAME
from experiments import devices
from experiments.harness import replacing

PACKAGES = (
    "distil-theory", "numpy", "scipy", "quantecon", "numba", "pymdptoolbox", "torch", "pandas", "sympy", "python-flint",
)  # fmt: skip
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
INSTANCE = {"mdps": "MDP", "bandits": "bandit", "single": "problem"}
TITLES = {
    "floor": "Memory bandwidth on one thread",
    "mdps": "Random MDPs: v, q, occupancy, policy gradient, local gradient",
    "bandits": "Random bandits: how many does a small natural step harm?",
    "single": "One large MDP: values of one policy",
    "scaling": "Growth of objectives.evaluate: seconds per call",
    "estimators": "The gradient that looks ahead: exact, and from rollouts"
    "\nlast columns: relative variance of one rollout, explicit / black-box expert; * every rollout listed",
    "startup": "Startup, in fresh interpreters",
    "diagnosis": "A log of rollouts, in fresh interpreters",
}


def seconds(value: float) -> str:
    """Three digits and a unit: `1.23 us`."""
    size, unit = next((pair for pair in UNITS if value >= pair[0]), UNITS[-1])
    return f"{value / size:.3g} {unit}"


def readable(workload: str) -> str:
    """`given, reverse_kl` as `given, reverse KL`."""
    for name, divergence in BY_NAME.items():
        workload = workload.replace(name, divergence.label)
    return workload


def number(value: float) -> str:
    """Three digits, no exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def with_quartiles(row: Any, text: Any = number) -> str:
    """`median [lower quartile, upper quartile]`, the quartiles where there are any."""
    return text(row.value) + ("" if pd.isna(row.lower) else f" [{text(row.lower)}, {text(row.upper)}]")


def tables(results: pd.DataFrame) -> list[Table]:
    """One table per workload, in the order of the results."""
    out = []
    for name in results["benchmark"].unique():
        rows = results[results["benchmark"] == name]
        if name in INSTANCE:
            out += [_race(name, workload, group) for workload, group in rows.groupby("workload", sort=False)]
        else:
            table = {"floor": _floor, "scaling": _scaling, "estimators": _estimators, "startup": _startup,
                     "diagnosis": _diagnosis}[name]  # fmt: skip
            out.append(table(rows))
    return out


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.MARKDOWN)
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="right" if i else "left", no_wrap=True)
    return table


def _race(name: str, workload: str, rows: pd.DataFrame) -> Table:
    instance = INSTANCE[name]
    cells = rows.set_index(["contender", "metric"])
    extra = ["GB read", "GB/s"] if name == "single" else []
    floor = f"; floor {seconds(cells.loc[('floor', 'time')].value)}" if ("floor", "time") in cells.index else ""
    floor += " (the matrix is read once per step)" if name == "single" else ""
    ties = _ties(rows)
    table = _table(
        f"{TITLES[name]}\n{readable(workload)}, time per {instance}{floor}{ties}",
        "contender", "n", "rounds", "time [quartiles]", "fastest", "ratio to ours [quartiles]", "x floor", *extra,
    )  # fmt: skip
    for contender in rows.loc[rows["metric"] == "fastest", "contender"]:
        row = {metric: cells.loc[(contender, metric)] for metric in cells.loc[contender].index}
        line = [contender, f"{row['time'].n:,}", f"{row['time'].rounds}", with_quartiles(row["time"], seconds)]
        line += [seconds(row["fastest"].value), with_quartiles(row["ratio"]), number(row["above_floor"].value)]
        line += [number(row[metric].value / 1e9) for metric in ("bytes_read", "bandwidth") if extra]
        table.add_row(*line)
    return table


def _ties(rows: pd.DataFrame) -> str:
    counts = rows.set_index("metric")["value"]
    if "near_ties" not in counts:
        return ""
    differing, near = int(counts["counts_differing"]), int(counts["near_ties"])
    return f"; counts agree but for {differing} (signs that floats cannot tell: {near})"


def _floor(rows: pd.DataFrame) -> Table:
    table = _table(TITLES["floor"], "stream", "GB/s [quartiles]")
    for row in rows.itertuples():
        table.add_row(row.contender, with_quartiles(row, lambda x: number(x / 1e9)))
    return table


def _scaling(rows: pd.DataFrame) -> Table:
    table = _table(TITLES["scaling"], "axis", "size: time per call", "exponent", "expected for large sizes")
    for axis, group in rows.groupby("workload", sort=False):
        exponents = group[group["metric"] == "exponent"].set_index("contender")["value"]
        steps = [f"{row.contender}: {seconds(row.value)}" for row in group[group["metric"] == "time"].itertuples()]
        table.add_row(axis, "  ".join(steps), f"{exponents['distil_theory']:.2f}", f"{exponents['theory']:g}")
    return table


def _estimators(rows: pd.DataFrame) -> Table:
    kinds = dict.fromkeys(name.rpartition("; ")[0] for name in rows.loc[rows["metric"] == "noise", "contender"])
    drawn = rows.loc[rows["contender"] == "estimate", "n"].max()
    table = _table(TITLES["estimators"], "horizon", "exact local", "exact full", f"from {drawn:,} rollouts", *kinds)
    for horizon, group in rows.groupby("workload", sort=False):
        value = group.set_index(["metric", "contender"])["value"]
        sampled = group.set_index(["metric", "contender"])["n"]
        line = [
            f"{seconds(value['time', name])}, {number(value['memory', name] / 2**20)} MiB"
            for name in ("exact local", "exact full", "estimate")
        ]
        for kind in kinds:
            both = [("noise", f"{kind}; {who}") for who in ("explicit", "black box")]
            line.append(" / ".join(number(value[name]) + ("" if sampled[name] else "*") for name in both))
        table.add_row(str(horizon), *line)
    return table


def _startup(rows: pd.DataFrame) -> Table:
    table = _table(TITLES["startup"], "what", "of what", "rounds", "time [quartiles]")
    for row in rows.itertuples():
        table.add_row(row.workload, row.contender, f"{row.rounds}", with_quartiles(row, seconds))
    return table


def _diagnosis(rows: pd.DataFrame) -> Table:
    table = _table(TITLES["diagnosis"], "log", "contender", "file", "rounds", "time", "rollouts/s", "peak memory")
    for workload, group in rows.groupby("workload", sort=False):
        cells = group.set_index(["contender", "metric"])
        size = f"{cells.loc[('file', 'size')].value / 2**20:.0f} MiB"
        for name in group.loc[group["metric"] == "time", "contender"]:
            time, peak = cells.loc[(name, "time")], cells.loc[(name, "memory")]
            table.add_row(str(workload), name, size, f"{time.rounds}", seconds(time.value * time.n),
                          f"{1 / time.value:,.0f}", f"{peak.value / 2**20:.0f} MiB")  # fmt: skip
    return table


def save_markdown(results: pd.DataFrame, path: Path) -> None:
    """The same tables for a reader of the repository."""
    with replacing(path) as temporary, temporary.open("w") as file:
        page = Console(file=file, width=250)
        for table in tables(results):
            page.print(f"### {str(table.title).replace(chr(10), chr(10) * 2)}", markup=False, highlight=False)
            table.title = None
            page.print(table)


def machine() -> dict[str, Any]:
    """What the numbers depend on; entries that this system does not tell are left out."""
    described: dict[str, Any] = {
        "processor": devices.name(),
        "cores": os.cpu_count(),
        "caches": _caches(),
        "memory": _field(Path("/proc/meminfo"), "MemTotal"),
        "system": platform.platform(),
        "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES if _version(name)},
        "threads": {limit: os.environ.get(limit) for limit in THREAD_LIMITS},
    }
    return {key: value for key, value in described.items() if value}


def save_machine(path: Path, **run: Any) -> None:
    """`machine()` and what was run: command, settings."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(machine() | run, indent=2) + "\n")


def _field(file: Path, name: str) -> str:
    lines = file.read_text().splitlines() if file.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _caches() -> dict[str, str]:
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        found[f"L{level} {kind.lower()}"] = size
    return found


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
