"""A class of environments for each named instance: its docstring and its settings are those of the instance."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from distil_theory.instances import Instance
from distil_theory.spec import TabularMDP
from envs.tabular import TabularEnv

PLAYED = """

Played one step at a time, as `{id}`: observations are `h * O + o`, `info["state"]` is `h * S + s`; `instance` has the
tables of student and expert, `names` words for states and actions (see `envs.TabularEnv`)."""


def view(name: str, make: Callable[..., TabularMDP | Instance]) -> type[TabularEnv]:
    """A class whose arguments are a render mode and those of `make`.

    Args:
        name: of the class, and of the id `distil_theory/<name>-v0`.
        make: makes the problem; its docstring becomes that of the class.
    """
    signature = inspect.signature(make)
    settings = list(signature.parameters)

    class View(TabularEnv):
        def __init__(self, render_mode: str | None = None, **given: Any) -> None:
            unknown = [key for key in given if key not in settings]
            if unknown:
                offer = f"choose from {', '.join(settings)}" if settings else "it has none"
                raise ValueError(f"{name} has no setting {unknown[0]!r}: {offer}")
            super().__init__(make(**given), render_mode)

    mode = inspect.Parameter("render_mode", inspect.Parameter.KEYWORD_ONLY, default=None)
    keywords = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in signature.parameters.values()]
    View.__name__ = View.__qualname__ = name
    View.__module__ = "envs"
    View.__doc__ = (inspect.getdoc(make) or name) + PLAYED.format(id=f"distil_theory/{name}-v0")
    shown = signature.replace(parameters=[mode, *keywords], return_annotation=inspect.Signature.empty)
    View.__signature__ = shown  # type: ignore[attr-defined]  # what `help` prints
    return View
