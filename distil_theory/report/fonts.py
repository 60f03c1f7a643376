"""A font for the mathematics of a page: browsers set formulas well only with one that was made for them.

STIX Two Math (SIL Open Font License) comes with the package `ziamath`; what a page does not use is left out.
"""

from __future__ import annotations

import html
import logging
import re
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

from fontTools import subset

ITALICS = "".join(map(chr, [0x210E, *range(0x1D434, 0x1D468), *range(0x1D6E2, 0x1D71C)]))
"""In which browsers show single letters."""
ROOT = "\u221a"
"""No text of a formula, but drawn."""
logging.getLogger("fontTools").setLevel(logging.ERROR)


def characters(page: str) -> str:
    """What the formulas of an HTML page consist of."""
    formulas = re.findall(r"<math.*?</math>", page, flags=re.DOTALL)
    return "".join(sorted(set(html.unescape(re.sub(r"<[^>]*>", "", "".join(formulas))))))


def _package(name: str) -> Path:
    """Where it lies; it need not be imported."""
    found = find_spec(name)
    assert found is not None, f"pip install {name}"
    assert found.origin is not None
    return Path(found.origin).parent


def math_font(text: str) -> bytes:
    """A WOFF font with these characters, their larger variants, and italics."""
    options = subset.Options(flavor="woff", layout_features=["*"], notdef_outline=True, with_zopfli=False)
    font = subset.load_font(str(_package("ziamath") / "fonts" / "STIXTwoMath-Regular.ttf"), options)
    work = subset.Subsetter(options)
    work.populate(text=text + ITALICS + ROOT)
    work.subset(font)
    written = BytesIO()
    subset.save_font(font, written, options)
    return written.getvalue()
