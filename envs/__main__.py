"""`python -m envs`: the environments and what each exposes; `python -m envs RiskyFork`: an episode, step by step."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence

import gymnasium
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from envs import IDS, TabularEnv

KINDS = {
    "One step": ("bandits",),
    "Chains: what adds up over the horizon": ("chains",),
    "Forks: what comes after an action": ("forks",),
    "A grid world: what the expert never needs to see": ("grid",),
    "Truthful feedback, and what spoils it": ("truthful", "doubt"),
    "Tokens: a text, and feedback on it": ("tokens",),
}
"""Headlines, and the modules of `distil_theory.instances` under each; what is in no module named here comes last."""


def overview(console: Console) -> None:
    """A table of all environments."""
    table = Table("name", "H", "S", "A", "exposes", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in table.columns[1:4]:
        column.justify = "right"
    table.columns[0].no_wrap = True
    kinds = {module: kind for kind, modules in KINDS.items() for module in modules}
    groups: dict[str, list[str]] = {kind: [] for kind in (*KINDS, "More")}
    for name, make in IDS.items():
        groups[kinds.get(make.__module__.rpartition(".")[2], "More")].append(name)
    for kind, names in groups.items():
        if names:
            table.add_section()
            table.add_row("", "", "", "", f"[bold]{kind}[/]")
        for name in names:
            case = IDS[name]()
            steps, states, actions = map(str, case.mdp.shape)
            table.add_row(name, steps, f"{states}{'*' * case.mdp.aliased}", actions, case.exposes)
    console.print("Small problems on which training a student on an expert goes wrong, or right.\n")
    console.print(table)
    console.print(
        "\nSteps H, states S (* some look alike to the student), actions A.\n"
        "Play one here:  python -m envs PrivilegedGrid --policy student --seed 0\n"
        "In Python:      gymnasium.make('envs:distil_theory/PrivilegedGrid-v0')",
        highlight=False,
        markup=False,
    )


def play(name: str, policy: str, seed: int) -> None:
    """One episode as text; `policy` is `student`, `expert` or `random`."""
    env = gymnasium.make(f"distil_theory/{name}-v0", render_mode="ansi")
    inner = env.unwrapped
    assert isinstance(inner, TabularEnv)
    assert inner.instance is not None
    steps, states, actions = inner.mdp.shape
    uniform = np.full((steps, states, actions), 1 / actions)
    table = {"student": inner.instance.student, "expert": inner.instance.expert}.get(policy, uniform)
    rng = np.random.default_rng(seed)
    _, info = env.reset(seed=seed)
    print(textwrap.fill(inner.instance.exposes, 80), f"\nThe {policy} plays.\n\n{env.render()}", sep="\n")
    terminated = False
    while not terminated:
        row = table.reshape(-1, actions)[info["state"]]
        _, _, terminated, _, info = env.step(rng.choice(actions, p=row))
        print(f"{'-' * 80}\n\n{env.render()}")


def main(arguments: Sequence[str] | None = None) -> int:
    """List the environments, or play one."""
    parser = argparse.ArgumentParser(prog="python -m envs", description=__doc__)
    parser.add_argument("name", nargs="?", help="the environment to play; without it: list all")
    parser.add_argument("--policy", choices=("student", "expert", "random"), default="student", help="who plays")
    parser.add_argument("--seed", type=int, default=0, help="of the environment and of the policy")
    options = parser.parse_args(arguments)
    if options.name is None:
        overview(Console())
        return 0
    name = {known.lower(): known for known in IDS}.get(options.name.replace("_", "").lower())
    if name is None:
        parser.error(f"no environment is called {options.name!r}; `python -m envs` lists them")
    if options.seed < 0:
        parser.error(f"--seed must not be negative, not {options.seed}")
    play(name, options.policy, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
