"""An episode as a picture: left where we are, right who sees what and what student and expert would do."""

from __future__ import annotations

from typing import Any

import numpy as np

from distil_theory.instances import Grid
from distil_theory.instances.token_mdp import TokenMDP
from envs import scenes
from envs.canvas import EXPERT, FAINT, GREY, INK, PALE, SECRET, STUDENT, Canvas, short, wrap
from envs.moment import Moment, moment
from envs.tabular import TabularEnv
from envs.text import probability

WIDTH, HEIGHT = 800, 450
LEFT, RIGHT, TOP, COLUMN = 24.0, 776.0, 100.0, 448.0
"""Margins, where the two halves begin, and where the right one does."""
MOST_ACTIONS = 6


def frame(env: TabularEnv) -> np.ndarray:
    """The present moment of an environment, `(450, 800, 3)` bytes."""
    now = moment(env)
    canvas = Canvas(WIDTH, HEIGHT)
    _head(canvas, now)
    world = None if env.instance is None else env.instance.world
    area = (LEFT, TOP, COLUMN - 40 - LEFT, HEIGHT - 46 - TOP)
    if isinstance(world, TokenMDP):
        scenes.tokens(canvas, area, now, world)
    elif isinstance(world, Grid):
        scenes.grid(canvas, area, now, world)
    else:
        scenes.lattice(canvas, area, now, env)
    _bars(canvas, now, TOP if isinstance(world, TokenMDP) else _who_sees_what(canvas, now))
    _foot(canvas, now)
    return canvas.pixels()


def _head(canvas: Canvas, now: Moment) -> None:
    canvas.text((LEFT, 38), now.title, 19, bold=True)
    step = f"step {now.h + 1} of {now.horizon}" if now.s is not None else "over"
    canvas.text((RIGHT, 38), step, 14, GREY, anchor="rs")
    canvas.wrapped((LEFT, 60), now.exposes, RIGHT - LEFT, 12, GREY, most=2)
    canvas.line([(LEFT, 86), (RIGHT, 86)], FAINT)


def _foot(canvas: Canvas, now: Moment) -> None:
    y = HEIGHT - 17
    canvas.line([(LEFT, HEIGHT - 38), (RIGHT, HEIGHT - 38)], FAINT)
    last = "no action yet" if now.last is None else f"last action: {now.last[0]}, reward {now.last[1]:g}"
    canvas.text((LEFT, y), short(last, 420, 13), 13, GREY if now.last is None else INK)
    canvas.text((RIGHT, y), f"return so far {now.total:g}", 13, bold=True, anchor="rs")


def card(canvas: Canvas, at: tuple[float, float], width: float, label: str, text: str, colour: str) -> float:
    """A labelled text with a coloured edge; returns where the next card may begin."""
    x, y = at
    canvas.box((x, y), (width, 44), PALE, r=4)
    canvas.box((x, y), (4, 44), colour, r=0)
    canvas.text((x + 14, y + 16), label, 10.5, colour, bold=True)
    canvas.text((x + 14, y + 34), short(text, width - 24, 13), 13)
    return y + 52


def _who_sees_what(canvas: Canvas, now: Moment) -> float:
    sees = "sees" if now.s is not None else "saw"
    y = card(canvas, (COLUMN, TOP), RIGHT - COLUMN, f"the student {sees}", now.seen, STUDENT)
    secret = now.hidden or "the same: nothing is hidden here"
    return card(canvas, (COLUMN, y), RIGHT - COLUMN, f"the expert {sees}", secret, SECRET if now.hidden else GREY)


def _bars(canvas: Canvas, now: Moment, y: float) -> None:
    """Two bars per action."""
    y += 16
    title = "what they would do" if now.s is not None else "the last decision"
    canvas.text((COLUMN, y), title, 12, bold=True)
    x = RIGHT
    for who, colour in (("expert", EXPERT), ("student", STUDENT)):
        x -= 66
        canvas.box((x, y - 9), (10, 10), colour, r=2)
        canvas.text((x + 15, y), who, 11, INK)
    rows = list(zip(now.actions, *_both(now), strict=True))
    pitch = min((HEIGHT - 52 - y) / max(len(rows[:MOST_ACTIONS]), 1), 48)
    names, bars = 104.0, RIGHT - COLUMN - 104 - 44
    chosen = now.path[-1][1] if now.s is None and now.path else None
    for a, (name, p, q) in enumerate(rows[:MOST_ACTIONS]):
        thick = min(pitch * 0.34, 13)
        middle = y + 8 + pitch / 2
        lines = wrap(name, names - (16 if a == chosen else 8), 11.5, 2)
        for k, line in enumerate(lines):
            shift = (k - (len(lines) - 1) / 2) * 14
            canvas.text((COLUMN, middle + shift), line, 11.5, bold=a == chosen, anchor="lm")
        for side, value, colour in ((-1, p, STUDENT), (1, q, EXPERT)):
            top = middle + (side - 1) * thick / 2 + side * 1.0
            canvas.box((COLUMN + names, top), (bars, thick), PALE, r=3)
            canvas.box((COLUMN + names, top), (bars * value, thick), colour, r=3)
            canvas.text((RIGHT, top + thick / 2), probability(value), 10.5, INK, anchor="rm")
        y += pitch
    if len(rows) > MOST_ACTIONS:
        canvas.text((COLUMN, y + 12), f"and {len(rows) - MOST_ACTIONS} more", 11, GREY)


def _both(now: Moment) -> tuple[Any, Any]:
    """Both tables' rows; nobody's preference where there are no tables."""
    none = np.zeros(len(now.actions))
    return none if now.student is None else now.student, none if now.expert is None else now.expert
