"""An episode as text, at most 80 columns: for terminals, logs and the classroom."""

from __future__ import annotations

import textwrap

from distil_theory.instances import Grid
from distil_theory.instances.token_mdp import TokenMDP
from envs.moment import Moment, moment
from envs.tabular import TabularEnv

WIDTH = 80
BAR = 20
LABEL = 18


def page(env: TabularEnv) -> str:
    """The present moment of an environment, a page of text."""
    now = moment(env)
    world = None if env.instance is None else env.instance.world
    if isinstance(world, TokenMDP):
        told = _tokens(now, world)
    else:
        told = _grid(now, world) if isinstance(world, Grid) else _plain(now)
    step = f"step {now.h + 1} of {now.horizon}" if now.s is not None else f"over after {now.h} of {now.horizon} steps"
    lines = [f"{now.title:<{WIDTH - len(step)}}{step}", *told]
    if now.s is not None:
        lines += ["", *_bars(now)]
    lines += ["", *_earned(now)]
    return "\n".join(line[:WIDTH].rstrip() for line in lines) + "\n"


def _entry(label: str, text: str) -> list[str]:
    """A labelled text, wrapped."""
    return textwrap.wrap(text or "-", WIDTH, initial_indent=f"{label:<{LABEL}}", subsequent_indent=" " * LABEL)


def _plain(now: Moment) -> list[str]:
    if now.s is None:
        return []
    hidden = _entry("only the expert", now.hidden) if now.hidden else []
    return [*_entry("state", now.name), *_entry("the student sees", now.seen), *hidden]


def _tokens(now: Moment, game: TokenMDP) -> list[str]:
    place = game.decode(0, now.start)
    prefix = [a for _, a in now.path]
    text = " ".join([*(game.vocabulary[a] for a in prefix), *["_"] * (now.horizon - len(prefix))])
    return [
        *_entry("prompt", game.text(game.prompts[place.problem])),
        *_entry("text so far", text),
        *_entry("only the expert", f"feedback: {game.feedback[place.problem][place.feedback] or 'none'}"),
    ]


def _grid(now: Moment, grid: Grid) -> list[str]:
    s = now.at
    maps = [_map(grid, s, known) for known in (grid.told[s], True)]
    rows = [f"{'':<4}{mine:<20}{truth}" for mine, truth in zip(*maps, strict=True)]
    words = ["", *_plain(now)] if now.s is not None else []
    return ["", f"{'':<4}{'the student sees':<20}the expert sees", *rows, *words]


def _map(grid: Grid, s: int, known: bool) -> list[str]:
    """The map, `@` is where we are; of a bridge one sees that it holds `=`, that it does not `x`, or neither `?`."""

    def cell(i: int, j: int, letter: str) -> str:
        if (i, j) == grid.places[s]:
            return "@"
        if letter != "=":
            return " " if letter == "#" else letter
        return "?" if not known or grid.holds[s] is None else "=" if grid.holds[s] == j else "x"

    return [" ".join(cell(i, j, letter) for j, letter in enumerate(row)) for i, row in enumerate(grid.rows)]


def _bars(now: Moment) -> list[str]:
    """A line per action: what student and expert would do."""
    if now.student is None or now.expert is None:
        return _entry("actions", ", ".join(now.actions))
    head = [f"{'':<{LABEL}}{'student':<{BAR + 8}}expert"]
    rows = zip(now.actions, now.student, now.expert, strict=True)
    return head + [f"{name[: LABEL - 1]:<{LABEL}}{_bar(p):<{BAR + 8}}{_bar(q)}" for name, p, q in rows]


def _bar(p: float) -> str:
    """`0.25 #####`, in eighths of a cell; what is rare is still written as more than nothing."""
    eighths = round(8 * BAR * float(p))
    full, part = divmod(eighths, 8)
    return f"{probability(p)} {'█' * full}{' ▏▎▍▌▋▊▉'[part] if part else ''}"


def probability(p: float) -> str:
    """Four characters and never "0.00" for what may happen, nor "1.00" for what need not."""
    if 0 < p < 0.005:
        return "<.01"
    if 0.995 <= p < 1:
        return ">.99"
    return f"{p:.2f}"


def _earned(now: Moment) -> list[str]:
    last = "nothing yet" if now.last is None else f"{now.last[0]}, reward {now.last[1]:g}"
    return [*_entry("last action", last), *_entry("return so far", f"{now.total:g}")]
