"""`python -m distil_theory report --out DIR`: verify, then write the report; nothing is written half."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from datetime import UTC, datetime
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

from distil_theory import files
from distil_theory.claims import ledger
from distil_theory.claims.latex import broken
from distil_theory.parallel import console

NEEDED = {"jinja2": "jinja2", "math_core": "math-core", "ziamath": "ziamath"}
FIGURES = Path(__file__).parents[2] / "figures"
"""Of a checkout; an installed library has none."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `report`."""
    ledger.add_choice(parser)
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder for the report")
    parser.add_argument(
        "--figures", metavar="DIR", type=Path, help="folder with the pictures (default: figures/ of the checkout)"
    )


def main(args: argparse.Namespace) -> int:
    """Write the report; 0 if every claim in it stands, 1 if not, 2 for bad input."""
    began, start = datetime.now(UTC), perf_counter()
    try:
        claims = ledger.choose(args)
        _needed()
        from distil_theory.report import contents, documents, mathematics

        for claim in claims:
            mathematics.mathml(broken(claim.statement), True)
        folder = _figures(args.figures)
        _prepare(args.out)
    except ValueError as bad:
        print(bad, file=sys.stderr)
        return 2
    printable = find_spec("typst") is not None
    if not printable:
        console.print("no PDF without the package typst: pip install typst", highlight=False)
    found = ledger.examine(claims, args)
    command = shlex.join(["python", "-m", "distil_theory", *sys.argv[1:]])
    fields = contents.contents(found, folder, command, began, perf_counter() - start)
    written: dict[str, str | bytes] = {"report.html": documents.as_html(fields)}
    if printable:
        written["report.pdf"] = documents.as_pdf(fields)
    written["report.json"] = json.dumps(ledger.as_json(*found[:3], found.instances, found.seed), indent=1) + "\n"
    written |= {f"certificates/{one.name}": one.text for one in fields["certificates"] if one.text}
    written["checker.py"] = (resources.files("distil_theory") / "checker.py").read_text(encoding="utf-8")
    for name, content in written.items():
        files.write(args.out / name, content)
    console.print(ledger.table(found.claims, found.verdicts, found.checked))
    console.print(f"Report: {', '.join(str(args.out / name) for name in written if name.startswith('report'))}")
    return 0 if found.good else 1


def _needed() -> None:
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise ValueError(f"a report needs {' and '.join(missing)}: pip install 'distil-theory[report]'")


def _figures(folder: Path | None) -> Path | None:
    if folder is not None and not folder.is_dir():
        raise ValueError(f"--figures {folder}: there is no such folder")
    return folder or (FIGURES if FIGURES.is_dir() else None)


def _prepare(folder: Path) -> None:
    try:
        (folder / "certificates").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot write {folder}: {error}") from None
    ledger.writable(folder / "report.html")
