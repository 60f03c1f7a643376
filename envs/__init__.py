"""Gymnasium views of the named instances, ids `distil_theory/<Name>-v0`.

`import envs`, then `gymnasium.make("distil_theory/<Name>-v0")`; or in one go
`gymnasium.make("envs:distil_theory/<Name>-v0")`. What an instance can be told, so can its environment:
`gymnasium.make("distil_theory/HorizonChain-v0", horizon=8, delta="1/5")`. Each has a class of its own, whose docstring
says what it exposes: `help(envs.HorizonChain)`. Wrappers that hand over what only the teacher knows: `envs.wrappers`.
`python -m envs` lists all, `python -m envs RiskyFork` plays an episode.
"""

from __future__ import annotations

from collections.abc import Callable

import gymnasium

from distil_theory.instances import INSTANCES, Instance
from distil_theory.spec import TabularMDP
from envs.tabular import TabularEnv
from envs.views import view

__all__ = ["IDS", "TabularEnv", "register"]


def register(name: str, make: Callable[..., TabularMDP | Instance]) -> type[TabularEnv]:
    """Register `distil_theory/<name>-v0`, return its class; keyword arguments of `gymnasium.make` go on to `make`."""
    made = view(name, make)
    gymnasium.register(id=f"distil_theory/{name}-v0", entry_point=made)  # type: ignore[arg-type]
    return made


IDS = {"".join(word.capitalize() for word in make.__name__.split("_")): make for make in INSTANCES}
"""Name in the id to instance."""
for _name, _make in IDS.items():
    # an attribute of this module: so instances pickle, and their specs are plain text
    globals()[_name] = view(_name, _make)
    gymnasium.register(id=f"distil_theory/{_name}-v0", entry_point=f"envs:{_name}")
