"""Paper and pens: what pictures of an episode are drawn with (Pillow, the fonts that matplotlib brings; no display).

Everything is drawn at twice the size and halved at the end, so that edges are smooth. Lengths are pixels of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

FINE = 2
PAPER, INK, GREY, WAY, FAINT, PALE = "#ffffff", "#222222", "#777777", "#bbbbbb", "#d5d5d5", "#f3f4f6"
STUDENT, EXPERT, SECRET, HERE, WATER = "#0072b2", "#e69f00", "#d55e00", "#009e73", "#cfe8f7"  # Okabe-Ito, but water

Point = tuple[float, float]


@lru_cache
def font(size: float, bold: bool = False) -> Any:
    """DejaVu Sans."""
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    return ImageFont.truetype(str(folder / f"DejaVuSans{'-Bold' * bold}.ttf"), round(size * FINE))


class Canvas:
    """A white page of `width` by `height` pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width * FINE, height * FINE), PAPER)
        self.pen = ImageDraw.Draw(self.image)

    def pixels(self) -> np.ndarray:
        """The page as `(height, width, 3)` bytes."""
        return np.array(self.image.reduce(FINE))

    def text(
        self, at: Point, text: str, size: float = 12, colour: str = INK, *, bold: bool = False, anchor: str = "ls"
    ) -> None:
        """A line of text; anchors as in Pillow: `ls` left end of the base line, `mm` the middle."""
        self.pen.text(self._fine(at), text, colour, font(size, bold), anchor)

    def wrapped(self, at: Point, text: str, width: float, size: float = 12, colour: str = INK, most: int = 3) -> float:
        """Text in lines no wider than `width`, at most that many; returns where the next line would begin."""
        x, y = at
        for line in wrap(text, width, size, most):
            self.text((x, y), line, size, colour)
            y += 1.35 * size
        return y

    def box(
        self,
        at: Point,
        size: Point,
        fill: str | None = None,
        edge: str | None = None,
        width: float = 1,
        r: float = 6,
    ) -> None:
        """A rectangle with round corners, from its top left one."""
        (x, y), (w, h) = self._fine(at), self._fine(size)
        if w >= 1 and h >= 1:
            radius = min(r * FINE, w / 2, h / 2)
            self.pen.rounded_rectangle((x, y, x + w, y + h), radius, fill, edge, round(width * FINE))

    def dot(self, at: Point, r: float, fill: str | None = None, edge: str | None = None, width: float = 1) -> None:
        """A disc."""
        x, y = self._fine(at)
        r *= FINE
        self.pen.ellipse((x - r, y - r, x + r, y + r), fill, edge, round(width * FINE))

    def line(self, points: Sequence[Point], colour: str = INK, width: float = 1) -> None:
        """Straight from point to point."""
        self.pen.line([self._fine(p) for p in points], colour, round(width * FINE), joint="curve")

    def arrow(self, start: Point, end: Point, colour: str = INK, width: float = 2, gap: float = 11) -> None:
        """From close to `start` to close to `end`."""
        (x, y), (u, v) = start, end
        length = max(np.hypot(u - x, v - y), 1e-9)
        dx, dy = (u - x) / length, (v - y) / length
        tip = u - gap * dx, v - gap * dy
        self.line([(x + gap * dx, y + gap * dy), (tip[0] - 4 * dx, tip[1] - 4 * dy)], colour, width)
        wings = [(tip[0] - 9 * dx + side * 4.5 * dy, tip[1] - 9 * dy - side * 4.5 * dx) for side in (-1, 1)]
        self.pen.polygon([self._fine(p) for p in (tip, *wings)], colour)

    def star(self, at: Point, r: float, colour: str) -> None:
        """A star of five points."""
        angles = np.arange(10) * np.pi / 5 - np.pi / 2
        radii = np.where(np.arange(10) % 2 == 0, r, 0.42 * r)
        corners = zip(at[0] + radii * np.cos(angles), at[1] + radii * np.sin(angles), strict=True)
        self.pen.polygon([self._fine(p) for p in corners], colour)

    def cross(self, at: Point, r: float, colour: str, width: float = 3) -> None:
        """A diagonal cross."""
        x, y = at
        for side in (-1, 1):
            self.line([(x - r, y - side * r), (x + r, y + side * r)], colour, width)

    @staticmethod
    def _fine(point: Point) -> Point:
        return float(point[0]) * FINE, float(point[1]) * FINE


def long(text: str, size: float, bold: bool = False) -> float:
    """Width of a line of text."""
    return float(font(size, bold).getlength(text)) / FINE


def short(text: str, width: float, size: float, bold: bool = False) -> str:
    """The text, cut off with an ellipsis where it is wider than `width`."""
    if long(text, size, bold) <= width:
        return text
    while text and long(f"{text}…", size, bold) > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


@lru_cache(maxsize=1024)
def wrap(text: str, width: float, size: float, most: int) -> tuple[str, ...]:
    """The text in lines no wider than `width`, at most `most`; the last one is cut off if need be."""
    lines: list[str] = []
    for word in text.split():
        if lines and long(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    if len(lines) > most:
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
    return tuple(short(line, width, size) for line in lines)
