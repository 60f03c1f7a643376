"""Gymnasium views of the named instances, ids `distil_theory/<Name>-v0`.

`import envs`, then `gymnasium.make("distil_theory/<Name>-v0")`; or in one go
`gymnasium.make("envs:distil_theory/<Name>-v0")`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium

from distil_theory.instances import INSTANCES, Instance
from distil_theory.spec import TabularMDP
from envs.tabular import TabularEnv

__all__ = ["IDS", "TabularEnv", "register"]


def register(name: str, make_mdp: Callable[..., TabularMDP]) -> None:
    """Register `distil_theory/<name>-v0`; keyword arguments of `gymnasium.make` go on to `make_mdp`."""

    def entry_point(render_mode: str | None = None, **settings: Any) -> TabularEnv:
        return TabularEnv(make_mdp(**settings), render_mode=render_mode)

    entry_point.metadata = TabularEnv.metadata  # type: ignore[attr-defined]  # gymnasium.make looks up render modes
    gymnasium.register(id=f"distil_theory/{name}-v0", entry_point=entry_point)


def _view(make: Callable[[], Instance]) -> Callable[[], TabularMDP]:
    return lambda: make().convert("float64").mdp


IDS = {"".join(word.capitalize() for word in make.__name__.split("_")): make for make in INSTANCES}
"""Name in the id to instance."""
for _name, _make in IDS.items():
    register(_name, _view(_make))
