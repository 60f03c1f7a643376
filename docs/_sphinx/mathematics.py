"""Formulas as MathML, with a font for them, and a role for the plain spelling of formulas in chapters of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from distil_theory.report.fonts import characters, math_font
from distil_theory.report.mathematics import mathml, spans

THEORY = "THEORY"
"""The page whose code spans are formulas, too."""


def inline(self: Any, node: nodes.math) -> None:
    """A formula in a line."""
    self.body.append(mathml(node.get("latex") or node.astext()))
    raise nodes.SkipNode


def block(self: Any, node: nodes.math_block) -> None:
    """A formula on lines of its own; `aligned` if it says so itself."""
    self.body.append(f'<div class="formula">{mathml(node.astext().strip(), True)}</div>')
    raise nodes.SkipNode


def plain(name: str, raw: str, text: str, *_: Any, **__: Any) -> tuple[Sequence[nodes.Node], Sequence[Any]]:
    """What stands between backticks in a chapter: a formula or a name of the program."""
    return [_node(text.replace("\0", "\\"))], []


def _node(text: str) -> nodes.Node:
    kind, found = spans(f"`{text}`")[1]
    return nodes.math(text, text, latex=found) if kind == "formula" else nodes.literal(text, text)


def theory(app: Sphinx, tree: nodes.document) -> None:
    """Let the formulas of THEORY.md, which are code in a checkout, be formulas on the site."""
    if app.env.docname == THEORY:
        for literal in list(tree.findall(nodes.literal)):
            literal.replace_self(_node(literal.astext()))


def font(app: Sphinx, error: Exception | None) -> None:
    """One font with the characters of every formula of the site."""
    if error is None:
        used = {c for page in Path(app.outdir).rglob("*.html") for c in characters(page.read_text(encoding="utf-8"))}
        (Path(app.outdir) / "_static" / "math.woff").write_bytes(math_font("".join(sorted(used))))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register it all."""
    app.add_html_math_renderer("mathml", inline_renderers=(inline, None), block_renderers=(block, None))
    app.add_role("plain", plain)
    app.connect("doctree-read", theory)
    app.connect("build-finished", font)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
