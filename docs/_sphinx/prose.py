"""Texts of this project as reStructuredText."""

from __future__ import annotations

import re

QUOTED = re.compile(r"(``.*?``|`.*?`)", re.DOTALL)


def heading(text: str, line: str) -> str:
    """A title of reStructuredText."""
    return f"{text}\n{line * max(len(text), 3)}\n"


def indented(text: str, by: int = 3) -> str:
    """Every line moved to the right."""
    return "\n".join(" " * by + line if line else line for line in text.splitlines())


def escaped(text: str) -> str:
    """Prose of the ledger: outside its backticks no sign is markup."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        parts[-2:] = ["".join(parts[-2:])]
    return "".join(re.sub(r"([\\*_|])", r"\\\1", p) if i % 2 == 0 else rf"\ `{p}`\ " for i, p in enumerate(parts))


def laid_out(text: str) -> str:
    """A docstring of this project: what is indented after an empty line is shown as it stands."""
    out: list[str] = []
    for block in re.split(r"\n{2,}", text.strip("\n")):
        if block.startswith("    ") and not (out and out[-1].startswith(("..", "::", "    "))):
            out.append("::")
        out.append(block if block.startswith(("    ", "..", "===")) else unmarked(block))
    return "\n\n".join(out) + "\n"


def unmarked(text: str) -> str:
    """Outside backticks a `|` is no markup."""
    parts = QUOTED.split(text)
    return "".join(part if i % 2 else re.sub(r"(?<!\\)\|", r"\\|", part) for i, part in enumerate(parts))
