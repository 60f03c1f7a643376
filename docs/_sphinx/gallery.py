"""The gallery: every picture of every experiment, with the command that drew it."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

from _sphinx.prose import heading

ROOT = Path(__file__).parents[2]


def pages() -> Iterator[tuple[str, str]]:
    """One page per experiment, and one that leads to them."""
    names = sorted(path.stem for path in (ROOT / "figures").glob("*.json"))
    for name in names:
        yield f"gallery/{name}.rst", page(name)
    first = [heading("Gallery", "="), "Every picture, with the command that drew it; "
             ":doc:`/figures/README` explains the tables behind them.\n"]  # fmt: skip
    for name in names:
        panel = pictures(name)[0]
        first += [f".. image:: /figures/{panel}\n   :alt: {panel}\n   :loading: lazy\n   :target: {name}.html\n"]
        first += [f":doc:`{name}`: {title(name)}\n"]
    first += [".. toctree::\n   :hidden:\n", *(f"   {name}" for name in names), ""]
    yield "gallery/index.rst", "\n".join(first)


def pictures(name: str) -> list[str]:
    """The panels of an experiment; the page of all of them only where there are none."""
    files = json.loads((ROOT / "figures" / f"{name}.json").read_text(encoding="utf-8"))["files"]
    found = [file for file in files if file.endswith(".png")]
    return [file for file in found if file != f"{name}.png"] or found


def title(name: str) -> str:
    """The first sentence of the experiment's docstring."""
    folder = ROOT / "experiments"
    path = folder / f"{name}.py" if (folder / f"{name}.py").is_file() else folder / name / "__init__.py"
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) if path.is_file() else None
    return " ".join((said or name).partition("\n\n")[0].split())


def page(name: str) -> str:
    """The pictures of one experiment."""
    told = json.loads((ROOT / "figures" / f"{name}.json").read_text(encoding="utf-8"))
    quick = " --quick" if told["quick"] else ""
    parts = [heading(name, "="), title(name) + "\n"]
    parts += [f".. code-block:: console\n\n   $ python -m experiments.{name}{quick} --seed {told['seed']}\n"]
    parts += [f"Drawn with distil_theory {told['distil_theory']} and numpy {told['packages']['numpy']}.\n"]
    for file in pictures(name):
        paper = file.replace(".png", ".pdf")
        parts += [f".. figure:: /figures/{file}\n   :alt: {file}\n   :loading: lazy\n"]
        parts += [f"   ``{file}``; for paper: :download:`{paper} </figures/{paper}>`\n"]
    return "\n".join(parts)
