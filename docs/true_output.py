"""Pages that show what a program says: its text stands between two marks, and a script puts it there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path


def put(page: Path, text: str, parts: Mapping[str, str]) -> str:
    """The text of a page with each part between `<!-- NAME -->` and the next `<!-- end -->`.

    Raises:
        ValueError: the page has no place for a part, or several.
    """
    for name, part in parts.items():
        places = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        text, times = re.subn(places, lambda m, part=part: f"{m[1]}{part}\n{m[2]}", text, flags=re.DOTALL)
        if times != 1:
            raise ValueError(f"{page.name} has {times} places for {name}")
    return text


def write(page: Path, parts: Mapping[str, str]) -> None:
    """The same in the file."""
    page.write_text(put(page, page.read_text(encoding="utf-8"), parts), encoding="utf-8")
