"""Before Sphinx reads: write a chapter for each claim, the gallery of pictures and the pages of the interface."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from _sphinx import gallery, interface, ledger

ROOT = Path(__file__).parents[2]
VERDICTS = ROOT / "build" / "ledger.json"


def verdicts(given: str) -> dict[str, Any]:
    """What `verify --quick` says: in the file that is given, or today."""
    path = Path(given) if given else VERDICTS
    newest = max(file.stat().st_mtime for file in (ROOT / "distil_theory").rglob("*.*"))
    if not given and not (path.is_file() and path.stat().st_mtime > newest):
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "distil_theory", "verify", "--quick", "--json", str(path)]
        subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL)  # a claim that fails is a page that says so
    return json.loads(path.read_text(encoding="utf-8"))


def pages(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and contents of all generated pages."""
    yield from ledger.pages(found)
    yield from gallery.pages()
    yield from interface.pages()


def generate(app: Sphinx) -> None:
    """Write what changed, remove what is no longer written."""
    folder = Path(app.srcdir) / "docs" / "generated"
    written = set()
    for name, text in pages(verdicts(app.config.ledger_json)):
        path = folder / name
        written.add(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in set(folder.rglob("*.rst")) - written:
        path.unlink()


def untitled(app: Sphinx, name: str, source: list[str]) -> None:
    """The tables of the benchmarks have no title of their own."""
    if name.startswith("benchmarks/results/"):
        title = ": ".join(["The latest numbers", *name.split("/")[2:-1]])
        source[0] = f"# {title}\n\n{source[0]}"


def front_door(app: Sphinx, error: Exception | None) -> None:
    """`index.html` of the folder that is built leads to the first page."""
    if error is None:
        door = '<!doctype html><meta charset="utf-8"><title>distil_theory</title>'
        door += (
            '<meta http-equiv="refresh" content="0; url=docs/index.html"><a href="docs/index.html">distil_theory</a>\n'
        )
        (Path(app.outdir) / "index.html").write_text(door, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register it."""
    app.add_config_value("ledger_json", "", "env")
    app.connect("builder-inited", generate)
    app.connect("source-read", untitled)
    app.connect("build-finished", front_door)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
