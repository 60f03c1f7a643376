"""The two documents: HTML by Jinja, PDF by Jinja and Typst."""

from __future__ import annotations

import base64
import shutil
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from distil_theory.report import fonts, mathematics


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _environment(**filters: Any) -> Environment:
    loader = PackageLoader("distil_theory.report")
    made = Environment(loader=loader, undefined=StrictUndefined, autoescape=lambda name: ".html." in str(name))
    made.filters |= filters
    return made


def as_html(fields: dict[str, Any]) -> str:
    """The report as a page that needs no other file; `fields` are those of `contents`."""
    filters = {
        "prose": lambda text: Markup(mathematics.prose_html(text)),
        "display": lambda latex: Markup(mathematics.mathml(latex, True)),
        "picture": lambda path: _data("image/png", path.read_bytes()),
        "data": lambda text: _data("application/json", text.encode()),
    }
    style = (resources.files("distil_theory.report") / "templates" / "report.css").read_text(encoding="utf-8")
    page = _environment(**filters).get_template("report.html.j2").render(fields, style=style) + "\n"
    font = _data("font/woff", fonts.math_font(fonts.characters(page)))
    return page.replace("data:,math-font", font, 1)


def as_typst(fields: dict[str, Any]) -> str:
    """The report in Typst; its pictures are named as if they lay beside it."""
    filters = {
        "prose": mathematics.prose_typst,
        "display": mathematics.display,
        "text": mathematics.string,
        "quoted": mathematics.quoted,
    }
    return _environment(**filters).get_template("report.typ.j2").render(fields)


def as_pdf(fields: dict[str, Any]) -> bytes:
    """The report on paper.

    Raises:
        ImportError: there is no `typst`.
    """
    import typst

    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "report.typ"
        source.write_text(as_typst(fields), encoding="utf-8")
        for figure in fields["figures"].values():
            shutil.copy(figure.vector, name)
        return bytes(typst.compile(str(source), root=name, format="pdf"))
