r"""Formulas for paper and screen: LaTeX to MathML, and MathML to Typst, so that both show the same.

`math-core` reads LaTeX and writes MathML Core, which browsers draw themselves. It writes few kinds of elements; `typst`
turns each of them into a call of Typst's mathematics and refuses one that it does not know, rather than lose a sign.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from functools import cache
from xml.etree import ElementTree

from math_core import LatexError, LatexToMathML

from distil_theory.claims.latex import formula

CONVERTER = LatexToMathML(macros={"allowbreak": ""}, fancy_error=False)
ENTITY = re.compile(r"&(?!amp;|lt;|gt;|quot;)\w+;")
CODE = re.compile(r"[A-Za-z]{4,}_[A-Za-z]{2,}|[A-Za-z_]\.[A-Za-z]|\(\)")
"""What stands between backticks and is a name of the program, not a formula: snake_case, `module.name`, `f()`."""
APPLY, PRIMES = "\u2061", "\u2032\u2033\u2034"
ACCENTS = {"\u02c6": "hat", "\u02c7": "caron"}
OPERATORS, LIMITS = ("exp", "log"), ("inf", "lim", "max", "min", "sup")


@cache
def mathml(latex: str, display: bool = False) -> str:
    """MathML Core of a formula.

    Raises:
        ValueError: it is not LaTeX that we can read.
    """
    several = display and r"\\ " in latex and r"\begin" not in latex
    latex = rf"\begin{{gather*}}{latex}\end{{gather*}}" if several else latex
    try:
        return CONVERTER.convert_with_local_state(latex, displaystyle=display)
    except LatexError as error:
        raise ValueError(f"{latex}: {error}") from None


def spans(text: str) -> list[tuple[str, str]]:
    """Prose in pieces: `("text", words)`, `("code", name)`, `("formula", LaTeX)`; see `claims.latex`."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:  # a backtick that is left over says nothing
        pieces[-2:] = ["".join(pieces[-2:])]
    return [_between(piece) if i % 2 else ("text", piece) for i, piece in enumerate(pieces)]


def _between(piece: str) -> tuple[str, str]:
    if CODE.search(piece):
        return "code", piece
    try:
        mathml(latex := formula(piece))
    except ValueError:  # a user's own: it stands as it was written
        return "code", piece
    return "formula", latex


def prose_html(text: str) -> str:
    """Prose with formulas between backticks, as HTML."""
    write: dict[str, Callable[[str], str]]
    write = {"text": html.escape, "code": lambda name: f"<code>{html.escape(name)}</code>", "formula": mathml}
    return "".join(write[kind](piece) for kind, piece in spans(text))


def prose_typst(text: str) -> str:
    """The same in Typst."""
    write: dict[str, Callable[[str], str]]
    write = {"text": string, "code": lambda name: f"#raw({quoted(name)});", "formula": inline}
    return "".join(write[kind](piece) for kind, piece in spans(text))


def quoted(text: str) -> str:
    """A string literal of Typst."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def string(text: str) -> str:
    """Any text in Typst, of which no sign is markup."""
    return f"#{quoted(text)};" if text else ""


def inline(latex: str) -> str:
    """A formula in a line of Typst."""
    return f"${typst(mathml(latex))}$" if latex else ""


def display(latex: str) -> str:
    """A formula on lines of its own in Typst."""
    return f"$ {typst(mathml(latex, True))} $"


def typst(markup: str) -> str:
    """MathML in Typst's mathematics.

    Raises:
        ValueError: an element of which we know no counterpart.
    """
    root = ElementTree.fromstring(ENTITY.sub(lambda found: html.unescape(found[0]), markup))
    return _row(root)


def _row(element: ElementTree.Element) -> str:
    """Side by side; a space, which Typst would show beside text, only where two names would become one."""
    out = ""
    for word in map(_one, element):
        out += " " * (out[-1:].isalnum() and word[:1].isalnum()) + word
    return out


def _one(element: ElementTree.Element) -> str:
    tag, text, parts = element.tag, element.text or "", [_one(child) for child in element]
    match tag:
        case "mi" if len(text) > 1 or element.get("mathvariant") == "normal":
            return _operator(text) if text in OPERATORS + LIMITS else f"upright({quoted(text)})"
        case "mi" | "mn" | "mo":
            return _sign(element, text)
        case "mtext":
            return quoted(text.replace("\u00a0", " "))
        case "mspace":
            return f"#h({element.get('width', '0em')});" if element.get("width") else ""
        case "mrow" | "math" | "mtd" | "mtr":
            return _row(element)
        case "mfrac":
            made = f"frac({parts[0]}, {parts[1]})"
            return made if element.get("displaystyle") != "false" else f"inline({made})"
        case "msqrt":
            return f"sqrt({_row(element)})"
        case "mover" if parts[1] in ACCENTS.values():
            return f"{parts[1]}({parts[0]})"
        case "msub" | "munder":
            return f"attach({parts[0]}, b: {parts[1]})"
        case "msup" if text_of(element[1]) in tuple(PRIMES):
            return f"attach({parts[0]}, tr: #math.primes({PRIMES.index(text_of(element[1])) + 1}))"
        case "msup":
            return f"attach({parts[0]}, t: {parts[1]})"
        case "msubsup" if text_of(element[2]) in tuple(PRIMES):
            return f"attach({parts[0]}, b: {parts[1]}, tr: #math.primes({PRIMES.index(text_of(element[2])) + 1}))"
        case "msubsup":
            return f"attach({parts[0]}, b: {parts[1]}, t: {parts[2]})"
        case "mtable":
            return " \\ ".join(parts)
    raise ValueError(f"no Typst for <{tag}> with {text!r}")


def text_of(element: ElementTree.Element) -> str:
    """All its text."""
    return "".join(element.itertext())


def _operator(name: str) -> str:
    return f"op({quoted(name)}, limits: #{str(name in LIMITS).lower()})"


def _sign(element: ElementTree.Element, text: str) -> str:
    if text == APPLY or not text.strip():
        return ""
    if text in ACCENTS:
        return ACCENTS[text]
    if text[0].isalpha() and len(text) > 1:
        return _operator(text)
    plain = "".join(c if c.isalnum() else f"\\{c}" for c in text)
    size = element.get("minsize")
    if size:
        return f"lr(size: #{size}, {plain})"
    return f'class("normal", {plain})' if element.get("lspace") == element.get("rspace") == "0" else plain
