"""An instance of many steps as a picture: a column per step, a node per state that somebody visits, an edge per action.

Only places are computed here, in units of columns and rows; the page draws.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from distil_theory import solve
from distil_theory.instances import Instance

MOST, FEW, RARE = 36, 20, 1 / 500
"""Nodes that a picture has room for, those of most visits; of more than `FEW` none that both visit less than `RARE`."""


def graph(instance: Instance) -> dict[str, Any]:
    """Nodes `{h, s, y, ...}` and edges; `left_out` counts states that are visited and not drawn."""
    floats = instance.convert("float64")
    mdp, pi, star = floats.mdp, floats.student, floats.expert
    where = solve.occupancy(mdp, pi), solve.occupancy(mdp, star)
    visits = np.maximum(*where)
    met = np.argwhere(visits > 0)
    often = np.argwhere(visits > RARE) if len(met) > FEW else met
    drawn = often[np.argsort(-visits[tuple(often.T)], kind="stable")[:MOST]]
    keys = sorted(map(tuple, drawn.tolist()))
    nodes: list[dict[str, Any]] = []
    places: dict[tuple[int, int], int] = {}
    for h in range(mdp.shape[0]):
        column = [s for step, s in keys if step == h]
        for rank, s in enumerate(column):
            places[h, s] = len(nodes)
            nodes.append({
                "h": h, "y": rank - (len(column) - 1) / 2, "state": instance.names.states[s],
                "hidden": len(mdp.behind[mdp.observation[s]]) > 1, "seen": instance.names.seen[mdp.observation[s]],
                "student": float(where[0][h, s]), "expert": float(where[1][h, s]),
            })  # fmt: skip
    edges: list[dict[str, Any]] = []
    for h, s in keys:
        for a in range(mdp.shape[2]):
            after = mdp.transition[h, s, a] if h + 1 < mdp.shape[0] else np.zeros(0)
            ends = [(places.get((h + 1, t)), float(p)) for t, p in enumerate(after) if p > 0] or [(None, 1.0)]
            edges += [
                {
                    "from": places[h, s], "to": to, "action": instance.names.actions[s][a], "rank": a,
                    "reward": str(instance.mdp.reward[h, s, a]), "chance": chance,
                    "student": float(pi[h, s, a]), "expert": float(star[h, s, a]),
                }
                for to, chance in ends
            ]  # fmt: skip
    return {"steps": mdp.shape[0], "nodes": nodes, "edges": edges, "left_out": len(met) - len(keys)}
