"""Where we are: states against steps, a text being written, or a map."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from distil_theory.instances import Grid
from distil_theory.instances.token_mdp import TokenMDP
from envs.canvas import GREY, HERE, INK, PALE, PAPER, SECRET, STUDENT, WATER, WAY, Canvas, Point, long, short
from envs.moment import Moment
from envs.tabular import TabularEnv

Area = tuple[float, float, float, float]
"""Left, top, width, height."""
MOST_STATES = 14


def lattice(canvas: Canvas, area: Area, now: Moment, env: TabularEnv) -> None:
    """States (rows) against steps (columns): where one can go, where we went, and which states look alike."""
    x, y, width, height = area
    horizon, states, _ = env.mdp.shape
    if states > MOST_STATES:
        canvas.text((x, y + 14), f"{states} states over {horizon} steps; now:", 12, GREY)
        canvas.wrapped((x, y + 40), now.name, width, 14, most=4)
        return
    order = np.argsort(env.mdp.observation, kind="stable").tolist()  # those that look alike side by side
    row = {s: i for i, s in enumerate(order)}
    labels = min(max(long(name, 11) for name in env.names.states), 150)
    pitch = min((height - 40) / states, 84)
    top = y + 32
    columns = np.linspace(x + labels + 40, x + width - 26, horizon + 1)

    def spot(h: int, s: int) -> Point:
        return float(columns[h]), top + (row[s] + 0.5) * pitch

    end = float(columns[-1]), top + states * pitch / 2
    for o in range(env.mdp.observations):
        alike = [s for s in order if env.mdp.observation[s] == o]
        if len(alike) > 1:
            first = top + row[alike[0]] * pitch
            canvas.box((x - 8, first + 2), (columns[-1] - x - 14, len(alike) * pitch - 4), PALE, STUDENT, 1.2, 8)
            bottom = first + len(alike) * pitch - 2
            canvas.box((x + 6, bottom - 8), (long("look alike", 10) + 12, 16), PAPER, STUDENT, 1.2, 8)
            canvas.text((x + 12, bottom), "look alike", 10, STUDENT, anchor="lm")
    many = horizon > 6
    for h in range(horizon):
        if not many or h % 2 == 0:
            canvas.text((columns[h], y + 16), f"step {h + 1}" if not many else f"{h + 1}", 11, GREY, anchor="ms")
    canvas.text((columns[-1], y + 16), "end", 11, GREY, anchor="ms")
    for s in range(states):
        canvas.text((x, spot(0, s)[1]), short(env.names.states[s], labels, 11), 11, INK, anchor="lm")
    possible = env.mdp.transition.max(axis=2) > 0
    met = _reachable(env, possible)
    for h, s in zip(*np.nonzero(met), strict=True):
        after = [spot(h + 1, t) for t in np.flatnonzero(possible[h, s]).tolist()] if h < horizon - 1 else [end]
        for t in after:
            canvas.line([spot(h, s), t], WAY, 1.2)
    trail = [spot(h, s) for h, (s, _) in enumerate(now.path)] + [end if now.s is None else spot(now.h, now.s)]
    for h, s in zip(*np.nonzero(met), strict=True):
        canvas.dot(spot(h, s), 6, PAPER, GREY, 1.4)
    canvas.dot(end, 6, PAPER, GREY, 1.4)
    for a, b in pairwise(trail):
        if many:
            canvas.line([a, b], INK, 2.2)
        else:
            canvas.arrow(a, b, INK, 2.2, 8)
    if not many:
        for h, (a, b) in enumerate(pairwise(trail)):
            s, action = now.path[h]
            _label(canvas, a, b, env.names.actions[s][action])
    for p in trail[:-1]:
        canvas.dot(p, 6, INK)
    canvas.dot(trail[-1], 9, HERE, PAPER, 2)


def _label(canvas: Canvas, a: Point, b: Point, name: str) -> None:
    """The name of an action on the way from `a` to `b`: above a level way, on paper in the middle of a steep one."""
    name = short(name, b[0] - a[0] - 22, 10.5)
    x, y = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
    if abs(b[1] - a[1]) < 6:
        canvas.text((x, y - 7), name, 10.5, anchor="ms")
    else:
        half = long(name, 10.5) / 2 + 3
        canvas.box((x - half, y - 8), (2 * half, 15), PAPER, r=4)
        canvas.text((x, y), name, 10.5, anchor="mm")


def _reachable(env: TabularEnv, possible: np.ndarray) -> np.ndarray:
    """Whether some policy gets to a state at a step, `(H,S)`."""
    met = np.zeros(env.mdp.shape[:2], dtype=bool)
    met[0] = env.mdp.initial > 0
    for h in range(len(met) - 1):
        met[h + 1] = (met[h][:, None] & possible[h]).any(axis=0)
    return met


def tokens(canvas: Canvas, area: Area, now: Moment, game: TokenMDP) -> None:
    """The prompt, the text so far, and the feedback that only the teacher reads."""
    x, y, width, _ = area
    place = game.decode(0, now.start)
    canvas.text((x, y + 14), "prompt", 11, STUDENT, bold=True)
    canvas.box((x, y + 22), (width, 40), PALE, r=6)
    canvas.text((x + 14, y + 47), short(game.text(game.prompts[place.problem]), width - 28, 15), 15)

    y += 92
    canvas.text((x, y), "text so far", 11, STUDENT, bold=True)
    slot = min((width - 8 * (now.horizon - 1)) / now.horizon, 96)
    for h in range(now.horizon):
        corner = x + h * (slot + 8), y + 8
        middle = corner[0] + slot / 2, y + 8 + 22
        if h < now.h:
            canvas.box(corner, (slot, 44), STUDENT, r=6)
            word = short(game.vocabulary[now.path[h][1]], slot - 10, 14, True)
            canvas.text(middle, word, 14, PAPER, bold=True, anchor="mm")
        elif h == now.h and now.s is not None:
            canvas.box(corner, (slot, 44), PAPER, HERE, 2.5, 6)
            canvas.text(middle, "?", 16, HERE, bold=True, anchor="mm")
        else:
            canvas.box(corner, (slot, 44), PALE, r=6)

    y += 88
    canvas.text((x, y), "feedback: only the teacher reads it", 11, SECRET, bold=True)
    canvas.box((x, y + 8), (width, 40), PAPER, SECRET, 1.6, 6)
    said = game.feedback[place.problem][place.feedback] or "(nothing)"
    canvas.text((x + 14, y + 33), short(said, width - 28, 15), 15)
    if now.s is None:
        right = now.total > 0
        canvas.text((x, y + 84), "right" if right else "wrong", 17, HERE if right else SECRET, bold=True)


def grid(canvas: Canvas, area: Area, now: Moment, world: Grid) -> None:
    """Two maps: what the student sees, and what is."""
    x, y, width, height = area
    s = now.at
    columns, rows = len(world.rows[0]), len(world.rows)
    cell = min((width - 28) / 2 / columns, (height - 30) / rows)
    views = (("what the student sees", STUDENT, world.told[s]), ("what the expert sees", SECRET, True))
    for k, (title, colour, known) in enumerate(views):
        left = x + k * (columns * cell + 28)
        canvas.text((left, y + 14), title, 11.5, colour, bold=True)
        _map(canvas, (left, y + 26), cell, now, world, s, known)


def _map(canvas: Canvas, corner: Point, cell: float, now: Moment, world: Grid, s: int, known: bool) -> None:
    def centre(i: int, j: int) -> Point:
        return corner[0] + (j + 0.5) * cell, corner[1] + (i + 0.5) * cell

    for i, row in enumerate(world.rows):
        for j, letter in enumerate(row):
            a, b = centre(i, j)
            if letter != "#":
                fill = WATER if letter in "~=" else PALE
                canvas.box((a - cell / 2 + 1, b - cell / 2 + 1), (cell - 2, cell - 2), fill, r=4)
    stops = [world.places[t] for t, _ in now.path] + ([world.places[s]] if now.s is not None else [])
    if len(stops) > 1:
        canvas.line([centre(*p) for p in stops], HERE, 3)
    for i, row in enumerate(world.rows):
        for j, letter in enumerate(row):
            a, b = centre(i, j)
            if letter == "=":
                _bridge(canvas, (a, b), cell, None if not known else world.holds[s], j)
            elif letter == "*":
                canvas.star((a, b), cell * 0.26, "#e69f00")
            elif letter == "!":
                canvas.box((a - 2, b - 2), (4, cell * 0.3), "#8c6d46", r=1)
                canvas.box((a - cell * 0.26, b - cell * 0.28), (cell * 0.52, cell * 0.3), "#c9a66b", r=3)
                canvas.text((a, b - cell * 0.13), "sign", cell * 0.17, INK, anchor="mm")
    at = centre(*world.places[s])
    canvas.dot(at, cell * 0.2, HERE, PAPER, 2)


def _bridge(canvas: Canvas, at: Point, cell: float, holds: int | None, column: int) -> None:
    """Planks; a cross over the rotten one, a question mark on both if it is not known which."""
    x, y = at
    for k in range(5):
        canvas.box((x - cell * 0.24, y - cell * 0.46 + k * cell * 0.19), (cell * 0.48, cell * 0.14), "#b08d57", r=2)
    if holds is None:
        canvas.dot(at, cell * 0.17, PAPER)
        canvas.text(at, "?", cell * 0.26, GREY, bold=True, anchor="mm")
    elif holds != column:
        canvas.cross(at, cell * 0.24, SECRET, 4)
