r"""A privileged grid world: two bridges, one of them rotten, and a sign that says which. The *imitation gap*, exactly.

    north bank   . * .      the treasure: reaching the bank earns 1
    river        = ~ =      two bridges; a fair coin decides which one holds, the other one drops you into the river
    south bank   w s e      west foot, start, east foot
    sign           !        one step south of the start: who has been there knows which bridge holds, and remembers

The expert sees which bridge holds, walks there and crosses: it earns 1, and it has no use for the sign. The student
sees where it is and, once it has read the sign, what it said. It could earn just as much: south, north, to the right
foot, north, four steps in all. But on the way to the sign there is no expert to copy. With four steps and the default
student, who reads the sign about half of the time and earns `J = 0.698`:

========================================== ============== =========================================================
training                                   first step     ends with
========================================== ============== =========================================================
local forward KL                           -0.223         3/8: at a foot "north" and "back" with even odds
the same, weighted by prefixes (claim 2)   1/2 - J        1/2: that is behaviour cloning, never seen a wrong foot
full forward KL (looking ahead)            +0.019         0.526: reads the sign with probability 0.155
forward KL, teacher without its privilege  +0.110         1 (`success_conditioned(..., privileged=False)`, repeated)
========================================== ============== =========================================================

*Local training forgets how to look.* To those who do not know the bridge the expert goes west half of the time and
east half of the time, never south. Local training ends at the projection of the expert on what the student sees,
`experts.observed`. Weights move the states at which the student is taught to those of the expert, who stands at right
feet only. That changes the projection, but no weight makes the expert look (claim 17: the advantage is not seen).

*Full training looks a little.* The full objective charges an action for the disagreement after it: nothing after
"south", for who has read the sign can follow the expert, and `L` at a foot. With `p` the probability of looking,

    -log((1 - p)/2) + (1 - p) L    is least at    p = 1 - 1/L  if L > 1, else at p = 0.

A single blind choice costs `log 2 < 1`, which is not worth a look. Here a foot may be the first of three of them. Who
turns back there pays `m = 2 log 2` more, so "north" gets `1/(2 l)` and "back" `1/(2 l + 2 m)`, where `l` makes these
sum to one: `2 l^2 + (2 m - 2) l = m`, and

    L = (log 2l + log(2l + 2m))/2 + m/(2l + 2m) = 1.183.

Few look, for "south" now is a disagreement with the expert. A teacher without its privilege looks as often as it pays.

Source of the gap: Weihs et al. (2021), Bridging the imitation gap by adaptive insubordination; Warrington et al.
(2021), Robust asymmetric learning in POMDPs. The world and its numbers are ours.
"""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import validate
from distil_theory.instances.base import Instance, exact_instance, moves, rational
from distil_theory.instances.names import Names
from distil_theory.spec import TabularMDP

NORTH, SOUTH, WEST, EAST = range(4)
ACTIONS = ("north", "south", "west", "east")
START, WEST_FOOT, EAST_FOOT, SIGN = range(4)
CELLS = ("start", "west foot", "east foot", "sign")
WALKS = {
    **{(START, WEST): WEST_FOOT, (START, EAST): EAST_FOOT, (START, SOUTH): SIGN},
    **{(WEST_FOOT, EAST): START, (EAST_FOOT, WEST): START, (SIGN, NORTH): START},
}
"""Cell and action to the next cell; other moves run into a wall, and the north of a foot is its bridge."""
BRIDGES = ("west", "east")


class Grid(NamedTuple):
    """The map of a grid world.

    Attributes:
        rows: a letter per cell, from the north: `*` goal, `=` bridge, `~` water, `!` sign, `#` wall, `.` floor.
        places: row and column of each state.
        holds: column of the bridge that holds, per state; `None` once it does not matter any more.
        told: whether the student knows that, per state.
    """

    rows: tuple[str, ...]
    places: tuple[tuple[int, int], ...]
    holds: tuple[int | None, ...]
    told: tuple[bool, ...]


def privileged_grid(horizon: int = 4, look: Any = "1/2", slip: Any = "1/25") -> Instance:
    """Claims 6c and 10: the expert never needs the sign, so a student who copies it never learns to read it.

    Two bridges, one rotten; the expert sees which, the student could read it from a sign by a detour. The expert and
    the best student earn 1. Local forward KL, on the student's states, ends at 3/8 (four steps), behaviour cloning at
    1/2, looking ahead at 0.53; the local step lowers the return, prefix weights or not.

    Args:
        horizon: `H`, at least 4: enough to read the sign and cross.
        look: probability that the student means to read the sign at the start; otherwise it tries a bridge.
        slip: probability that it does something at random instead of what it means to, at every step.

    Source: Weihs et al. (2021); Warrington et al. (2021).
    """
    steps = validate.whole("horizon", horizon, 4)
    look, slip = rational("look", look), rational("slip", slip)
    # (cell, bridge that holds, whether the sign was read); at the sign it always was
    places = [(c, b, read) for b, read, c in product((0, 1), (False, True), range(3))] + [
        (SIGN, b, True) for b in (0, 1)
    ]
    index = {place: s for s, place in enumerate(places)}
    bank, river = len(places), len(places) + 1

    def leads_to(h: int, s: int, a: int) -> int:
        if s >= bank:
            return s
        cell, holds, read = places[s]
        if cell in (WEST_FOOT, EAST_FOOT) and a == NORTH:
            return bank if cell == WEST_FOOT + holds else river
        after = WALKS.get((cell, a), cell)
        return index[after, holds, read or after == SIGN]

    def crosses(cell: int, holds: int | None) -> Any:
        """Towards the bridge that holds; `None`: tries a bridge."""
        if cell == SIGN or holds is None:
            return {START: {WEST: "1/2", EAST: "1/2"}}.get(cell, {NORTH: 1})
        return {NORTH: 1} if cell == WEST_FOOT + holds else {EAST if holds else WEST: 1}

    def row(chances: Any) -> Any:
        return ns.convert([chances.get(a, 0) for a in range(4)], "rational")

    uniform = row(dict.fromkeys(range(4), "1/4"))
    meant = [crosses(c, b if read else None) for c, b, read in places]
    for b in (0, 1):
        meant[index[START, b, False]] = {SOUTH: look, WEST: (1 - look) / 2, EAST: (1 - look) / 2}
    student = [(1 - slip) * row(x) + slip * uniform for x in meant] + [uniform] * 2
    expert = [row(crosses(c, b)) for c, b, _ in places] + [uniform] * 2
    # the student sees the bridge only if it has read
    views = [(c, b if read else None) for c, b, read in places] + ["bank", "river"]
    seen = [list(dict.fromkeys(views)).index(view) for view in views]
    p = moves(leads_to, steps, bank + 2, 4)
    reward = (p[..., bank] == 1).astype(int)
    reward[:, bank] = 0
    initial = np.zeros(bank + 2, dtype=object)
    initial[[index[START, b, False] for b in (0, 1)]] = "1/2"
    mdp = TabularMDP(p, reward, initial, observation=seen)
    return exact_instance(
        "privileged_grid",
        mdp,
        np.array([student] * steps),
        np.array([expert] * steps),
        "the expert never needs the sign: copying it, the student forgets to look; looking ahead helps a little",
        _names(mdp, places),
        _map(places),
    )


def _names(mdp: TabularMDP, places: list[tuple[int, int, bool]]) -> Names:
    views = [CELLS[c] + f", the sign said {BRIDGES[b]}" * read for c, b, read in places] + ["north bank", "river"]
    hidden = [f"the {BRIDGES[b]} bridge holds" * (not read) for _, b, read in places] + ["", ""]
    states = [f"{view}, {secret}".removesuffix(", ") for view, secret in zip(views, hidden, strict=True)]
    seen = dict(zip(mdp.observation.tolist(), views, strict=True))
    return Names(tuple(states), (ACTIONS,) * len(states), tuple(seen[o] for o in sorted(seen)), tuple(hidden))


def _map(places: list[tuple[int, int, bool]]) -> Grid:
    spots = {START: (2, 1), WEST_FOOT: (2, 0), EAST_FOOT: (2, 2), SIGN: (3, 1)}
    return Grid(
        (".*.", "=~=", "...", "#!#"),
        (*(spots[c] for c, _, _ in places), (0, 1), (1, 1)),
        (*(2 * b for _, b, _ in places), None, None),
        (*(read for _, _, read in places), False, False),
    )
