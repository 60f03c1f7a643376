"""What every experiment shares: its command line, resumable parallel work, tables, figures, manifest.

Files are written to a temporary name and moved into place, so nothing is ever written half. Work that has been done
under `--out` for the same code and settings is found again (`distil_theory.parallel`); `--fresh` forgets it.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd
from PIL import Image
from rich.table import Table

import distil_theory
from distil_theory import files, parallel
from distil_theory.divergences import BY_NAME
from distil_theory.parallel import console

Tables = dict[str, pd.DataFrame]
"""Panel to table."""
ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "figures"
CACHE = ".cache"
"""Folder under `--out` for finished chunks and for files that are being written."""
UNFINISHED = "unfinished-"
MAX_JOBS = 1024
OKABE_ITO = {
    "black": "#000000", "orange": "#E69F00", "sky": "#56B4E9", "green": "#009E73",
    "yellow": "#F0E442", "blue": "#0072B2", "vermillion": "#D55E00", "purple": "#CC79A7",
}  # fmt: skip
LINES = {
    "forward_kl": (OKABE_ITO["blue"], "-", "o"),
    "reverse_kl": (OKABE_ITO["vermillion"], "--", "s"),
    "jensen_shannon": (OKABE_ITO["orange"], "-.", "^"),
    "hellinger": (OKABE_ITO["green"], ":", "D"),
    "pearson_chi2": (OKABE_ITO["purple"], (0, (4, 1, 1, 1, 1, 1)), "v"),
    "neyman_chi2": (OKABE_ITO["sky"], (0, (1, 2)), "P"),
    "total_variation": (OKABE_ITO["black"], (0, (6, 2)), "x"),
    "forward_kl_proximal": (OKABE_ITO["sky"], (0, (5, 1)), "*"),
}
"""Colour, line style and marker of each divergence, the same in every picture."""
STYLE: Any = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "legend.fontsize": 7, "legend.frameon": False,
    "xtick.labelsize": 7, "ytick.labelsize": 7, "axes.spines.top": False, "axes.spines.right": False,
    "lines.linewidth": 1.3, "figure.dpi": 150, "savefig.dpi": 200, "pdf.fonttype": 42, "mathtext.fontset": "cm",
}  # fmt: skip
logging.getLogger("fontTools").setLevel(logging.ERROR)  # it dislikes reproducible time stamps


def label(name: str) -> str:
    """How a picture calls a divergence."""
    return "forward KL, proximal" if name == "forward_kl_proximal" else BY_NAME[name].label


def plain(name: str) -> str:
    """The same for a terminal."""
    return label(name).replace("$\\chi^2$", "chi^2")


def _at_least(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {value}")
        return value

    parse.__name__ = f"whole number >= {least}"
    return parse


def command_line(
    name: str,
    description: str,
    argv: Sequence[str] | None = None,
    options: Callable[[argparse.ArgumentParser], object] | None = None,
) -> argparse.Namespace:
    """Parse the options every experiment has, and those that `options` adds to the parser; `--out` defaults to
    `figures/`, with `--quick` to `figures/quick/`."""
    parser = argparse.ArgumentParser(prog=f"python -m experiments.{name}", description=description)
    parser.add_argument("--quick", action="store_true", help="fewer samples: 10^5 draws instead of 10^6")
    parser.add_argument("--seed", type=_at_least(0), default=0, help="first seed (default 0)")
    parser.add_argument("--seeds", type=_at_least(1), default=1, help="how many seeds to pool (default 1)")
    parser.add_argument(
        "--out", type=Path, help="folder for tables and pictures (default figures/, quick: figures/quick/)"
    )
    parser.add_argument(
        "--jobs", type=int, default=-1, help="parallel processes (default: all cores); changes no number"
    )
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier run left under --out")
    if options is not None:
        options(parser)
    args = parser.parse_args(argv)
    if args.jobs == 0:
        parser.error("argument --jobs: 0 processes cannot work; -1 means all cores")
    if args.out is None:
        args.out = FIGURES / "quick" if args.quick else FIGURES
    if args.jobs > MAX_JOBS:
        parser.error(f"argument --jobs: at most {MAX_JOBS}, not {args.jobs}")
    try:
        (args.out / CACHE).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=args.out / CACHE).close()
    except OSError as error:
        parser.error(f"argument --out: {error}")
    for half_written in (args.out / CACHE).glob(f"{UNFINISHED}*"):  # a killed run's
        half_written.unlink(missing_ok=True)
    if args.fresh:
        shutil.rmtree(args.out / CACHE)
        (args.out / CACHE).mkdir()
    return args


def run_tasks(function: Callable[..., Any], tasks: Sequence[tuple], args: argparse.Namespace, label: str) -> list[Any]:
    """`function(*task)` for every task, in parallel, with progress; finished tasks are found again under `--out`."""
    return parallel.run(function, tasks, jobs=args.jobs, cache=args.out / CACHE, label=label)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path on the same disk as `path` that takes its place when the block succeeds."""
    (path.parent / CACHE).mkdir(exist_ok=True)
    with files.replacing(path, path.parent / CACHE, UNFINISHED) as temporary:
        yield temporary


def save_table(table: pd.DataFrame, path: Path, **read: Any) -> pd.DataFrame:
    """Write a tidy csv (floats as %.12g) and return what a reader of the file will see, who reads it with `read`."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.12g")
    return pd.read_csv(path, **read)


def save_figure(figure: Any, path: Path) -> None:
    """Write `path`.png and `path`.pdf, byte-identical on every run."""
    for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
        with replacing(path.with_suffix(suffix)) as temporary:
            figure.savefig(temporary, metadata=metadata)


def draw_panels(
    panels: Mapping[str, tuple[Callable[..., None], float]], out: Path, name: str, **given: Any
) -> list[str]:
    """Draw each panel as `<name>_<panel>` and all of them as the page `<name>`; returns the names of the files.

    Args:
        panels: name to a function that draws into a figure, and the height in inches; all are 6.75 wide.
        out: the folder.
        name: of the experiment.
        given: what every drawing is given, such as the tables.
    """
    heights = [height for _, height in panels.values()]
    with plt.rc_context(STYLE):
        page = plt.figure(figsize=(6.75, sum(heights)))
        parts: Any = page.subfigures(len(panels), 1, height_ratios=heights)
        figures = [(page, name)]
        for part, (panel, (drawing, height)) in zip(parts, panels.items(), strict=True):
            figures.append((plt.figure(figsize=(6.75, height)), f"{name}_{panel}"))
            for figure in (part, figures[-1][0]):
                drawing(figure, **given)
        for figure, file in figures:
            save_figure(figure, out / file)
            plt.close(figure)
    return [f"{file}{suffix}" for _, file in figures for suffix in (".png", ".pdf")]


def title(figure: Any, text: str) -> None:
    """The heading of a panel."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=8.5)


def by_name(heights: Mapping[Callable[..., None], float]) -> dict[str, tuple[Callable[..., None], float]]:
    """Panels that are called like the functions that draw them, with their heights."""
    return {drawing.__name__: (drawing, height) for drawing, height in heights.items()}


def shrink(out: Path, files: Sequence[str], page: str) -> list[str]:
    """Rewrite pictures with 256 colours, and the `page` of all panels at half the size; returns the files."""
    for file in files:
        if file.endswith(".png"):
            with replacing(out / file) as temporary, Image.open(out / file) as picture:
                plain_colours = picture.convert("RGB")
                if file == f"{page}.png":
                    plain_colours = plain_colours.resize([n // 2 for n in picture.size], Image.Resampling.LANCZOS)
                plain_colours.quantize(256, Image.Quantize.MAXCOVERAGE).save(temporary, optimize=True)
    return list(files)


def save_manifest(path: Path, args: argparse.Namespace, files: Sequence[str], settings: dict[str, Any]) -> None:
    """Write what drew the numbers: command, seeds, versions, settings, files."""
    packages = ("numpy", "scipy", "sympy", "matplotlib", "pandas", "python-flint", "joblib")
    manifest = {
        "distil_theory": distil_theory.__version__,
        "code": parallel.code_fingerprint(Path(__file__).parent),
        "quick": args.quick,
        "seed": args.seed,
        "seeds": args.seeds,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "packages": {package: version(package) for package in packages},
        "settings": settings,
        "files": sorted(files),
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(manifest, indent=2) + "\n")


def empty(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """A violation for each table without rows: there a check would find nothing wrong."""
    return [f"there is nothing in the table {name}" for name, table in tables.items() if table.empty]


def gaps(
    tables: Mapping[str, pd.DataFrame],
    may_be_empty: Mapping[str, Sequence[str]],
    may_be_infinite: Mapping[str, Sequence[str]] | None = None,
) -> list[str]:
    """A violation for each column with an empty or infinite entry, but for those where that has a meaning."""
    out = []
    for name, table in tables.items():
        for column in table.columns:
            if column not in may_be_empty.get(name, ()) and table[column].isna().any():
                out.append(f"there is a gap in column {column} of the table {name}")
            infinite = pd.to_numeric(table[column], errors="coerce").isin([float("inf"), -float("inf")]).any()
            if infinite and column not in (may_be_infinite or {}).get(name, ()):
                out.append(f"there is an infinite number in column {column} of the table {name}")
    return out


def answers(heading: str, rows: Sequence[tuple[str, ...]]) -> Table:
    """What an experiment found, in words: rows of `question, found, panel`, or with the `claim` before them."""
    table = Table(title=heading, show_lines=True)
    for column in ("claim", "question", "found", "panel")[-len(rows[0]) :]:
        table.add_column(column, no_wrap=column in ("claim", "panel"))
    for row in rows:
        table.add_row(*row)
    return table


def conclude(
    name: str,
    args: argparse.Namespace,
    tables: Tables,
    draw: Callable[[Tables, Path], list[str]],
    told: dict[str, Any],
    summary: Callable[[Tables], Any],
    violated: Callable[[Tables], list[str]],
    **read: Any,
) -> None:
    """What ends a run: tables, pictures, manifest, summary, verdicts, the last four of what a reader of the files sees.

    Args:
        name: of the experiment, with which its files begin.
        args: of the command line.
        tables: by panel.
        draw: writes the pictures and names their files.
        told: settings for the manifest.
        summary: what the console shows.
        violated: what contradicts a claim; then the exit status is 1.
        read: how the tables are to be read.
    """
    saved = {key: save_table(table, args.out / f"{name}_{key}.csv", **read) for key, table in tables.items()}
    pictures = draw(saved, args.out)
    save_manifest(args.out / f"{name}.json", args, [f"{name}_{key}.csv" for key in tables] + pictures, told)
    console.print(summary(saved))
    console.print(f"Tables and pictures: {args.out}/{name}*")
    finish(violated(saved))


def finish(violations: Sequence[str]) -> None:
    """Exit with status 1 and the reasons if any claim was violated."""
    for violation in violations:
        console.print(f"[bold red]violated:[/] {violation}")
    if violations:
        sys.exit(1)
