"""The pages of the interface: one per module, from its docstrings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from _sphinx.prose import escaped, heading, laid_out, unmarked

ROOT = Path(__file__).parents[2]
LEFT_OUT = ("distil_theory.claims.", "distil_theory.__main__")
"""Chapters have pages of their own."""
KEPT = ("distil_theory.claims.claim", "distil_theory.claims.ledger", "distil_theory.claims.latex")


def process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Lay out what autodoc has read."""
    text = "\n".join(lines)
    lines[:] = (laid_out(text) if what == "module" else unmarked(text)).splitlines()


def setup(app: Sphinx) -> dict[str, bool]:
    """Register it, before napoleon."""
    app.connect("autodoc-process-docstring", process, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def modules() -> Iterator[tuple[str, str]]:
    """Dotted name and first line of every public module of the library, and of the environments."""
    for top in ("distil_theory", "envs"):
        for path in sorted((ROOT / top).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if "._" in name or (name.startswith(LEFT_OUT) and name not in KEPT):
                continue
            said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            yield name, " ".join(said.partition("\n\n")[0].split())


def pages() -> Iterator[tuple[str, str]]:
    """One page per module or package, and one that lists them."""
    packages: dict[str, list[tuple[str, str]]] = {}
    for name, said in modules():
        packages.setdefault(".".join(name.split(".")[:2]) if "." in name else name, []).append((name, said))
    packages["envs"] = [one for name in list(packages) if name.startswith("envs") for one in packages.pop(name)]
    parts = [heading("The interface", "="), "Every module, in one line; :doc:`/ARCHITECTURE` says how they fit.\n"]
    for page, found in packages.items():
        parts += [f":doc:`{page}`\n   {found[0][1]}\n"]
        yield f"api/{page}.rst", "\n".join(_page(page, found))
    parts += [".. toctree::\n   :hidden:\n", *(f"   {page}" for page in packages), ""]
    yield "api/index.rst", "\n".join(parts)


def _page(page: str, found: list[tuple[str, str]]) -> Iterator[str]:
    yield heading(escaped(page), "=")
    for name, _ in found:
        yield (heading(escaped(name), "-") if name != page else "") + f"\n.. automodule:: {name}\n"
