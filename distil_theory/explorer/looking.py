"""What there is to see of one instance and one step: the answer to a request, as plain numbers for the page.

Signs come from `certify.signs`, in rationals or balls; sizes, curves and the shading of the triangle are floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import objectives, solve, updates
from distil_theory.certify import OBJECTIVES, Case, signs
from distil_theory.divergences import CATALOGUE, FORWARD_KL
from distil_theory.explorer.graph import graph
from distil_theory.explorer.nearest import nearest
from distil_theory.explorer.presets import tab
from distil_theory.explorer.reading import Asked, Faults, read, weights
from distil_theory.explorer.rulings import ruling, step_ruling
from distil_theory.number_systems import Array

POINTS = 81
"""Of a curve."""
FINE = 56
"""The triangle is shaded in `FINE**2` small ones."""
LONGEST_TEXT = 15
"""Characters of a rational that is shown."""
NOTHING = 1e-12
"""Rates this near to zero are not shaded as losses."""


def look(request: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the page shows.

    Raises:
        Faults: the request makes no sense (`reading.read`).
    """
    asked = read(request)
    floats = in_floats(asked.case)
    found = signs_of(asked.case)
    curves = compared(asked)
    etas = np.linspace(0, asked.end, POINTS)
    for curve in curves:
        step = curve.pop("case")
        curve["values"] = None if step is None else _numbers(returns_along(step, etas))
    out = {
        "tab": tab(asked.instance),
        "label": asked.instance.name.replace("_", " "),
        "exposes": asked.instance.exposes,
        "rows": rows(asked, floats),
        "returns": {who: both(*pair) for who, pair in _returns(asked.case, floats).items()},
        "signs": found,
        "eta": str(request["eta"]),
        "rate": both(_exactly(asked.case), floats.rate()),
        "change": float(returns_along(floats, np.array([float(floats.eta)]))[0])
        - float(solve.expected_return(floats.mdp, floats.student)),
        "etas": etas.tolist(),
        "curves": curves,
        "ruling": ruling(asked, found["gap"])._asdict(),
        "step_ruling": step_ruling(asked, found["gap"])._asdict(),
        "nearest": nearest(asked),
    }
    if out["tab"] == "one":
        out["triangle"] = triangle(asked, floats, etas, str(request.get("shade", "small")))
    else:
        out["graph"] = graph(asked.instance)
    return out


def in_floats(case: Case) -> Case:
    """The same step in float64."""
    pi, star = (ns.convert(x, "float64") for x in (case.student, case.expert))
    eta = ns.convert(case.eta, "float64")[()]
    return case._replace(mdp=case.mdp.convert("float64"), student=pi, expert=star, eta=eta)


def signs_of(case: Case) -> dict[str, str]:
    """`certify.signs`; `change` is `"~"`, numerical, where the step has no closed form."""
    if case.geometry == "proximal" and case.divergence.h is not FORWARD_KL.h:
        return signs(case._replace(eta=None)) | {"change": "~"}
    return signs(case)


def both(exact: Any, value: Any) -> dict[str, Any]:
    """A number for the page: a short exact text, or `""`, and its float."""
    text = "" if exact is None else str(exact)
    return {"exact": text if len(text) <= LONGEST_TEXT else "", "value": float(value)}


def _exactly(case: Case) -> Any:
    """The rate, where it is rational."""
    try:
        return case.rate()
    except TypeError:
        return None


def _returns(case: Case, floats: Case) -> dict[str, tuple[Any, Any]]:
    pairs = {}
    for who in ("student", "expert"):
        pairs[who] = tuple(solve.expected_return(x.mdp, getattr(x, who)) for x in (case, floats))
    return pairs | {"gap": (case.gap(), floats.gap())}


def _numbers(x: Array) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in x]


def moved(case: Case, etas: np.ndarray) -> Array:
    """The student after steps of these sizes, `(H,S,A,n)`; `etas` are floats, the first may be 0."""
    if case.geometry != "proximal":
        return updates.exponential_step(case.mdp, case.student, case.direction(), etas)
    positive = np.where(etas > 0, etas, 1e-9)
    new = updates.proximal_step(case.mdp, case.student, case.expert, case.divergence, positive)
    return np.where(etas > 0, new, case.student[..., None])


def returns_along(case: Case, etas: np.ndarray) -> Array:
    """The return after steps of these sizes, `(n,)`."""
    return solve.expected_return(case.mdp, moved(case, etas))


def compared(asked: Asked) -> list[dict[str, Any]]:
    """The curves of one picture: on the triangle every divergence, else every objective that the step admits; each with
    its rate, or with the reason why it has none."""
    case = asked.case
    if tab(asked.instance) == "one":
        others = [(d.name, d.label.replace("$\\chi^2$", "χ²"), case._replace(divergence=d)) for d in CATALOGUE]
        if all(case.divergence is not d for d in CATALOGUE):
            others.append(("own", "your own", case))
        chosen = next(name for name, _, other in others if other.divergence is case.divergence)
    else:
        named = {"local": "local", "weighted": "prefix-weighted", "full": "full, looks ahead"}
        named["full cross-entropy"] = "full, cross-entropy"
        others = [(name, named[name], case._replace(objective=name)) for name in OBJECTIVES]
        chosen = case.objective
    out = []
    for name, label, other in others:
        entry: dict[str, Any] = {"name": name, "label": label, "chosen": name == chosen}
        try:
            found = signs(other._replace(eta=None))
            floats = in_floats(other)
            out.append(entry | {"sign": found["rate"], "rate": float(floats.rate()), "case": floats})
        except ValueError as refused:
            if name == chosen:
                raise Faults({"divergence": str(refused)}) from None
            out.append(entry | {"sign": "", "error": str(refused), "case": None})
    return out


def rows(asked: Asked, floats: Case) -> list[dict[str, Any]]:
    """A row of the table for each step and state where somebody goes: what is chosen there, and what it is worth."""
    instance, mdp = asked.instance, floats.mdp
    where = {who: solve.occupancy(mdp, getattr(floats, who)) for who in ("student", "expert")}
    advantage, q = solve.advantage(mdp, floats.student), solve.values(mdp, floats.student)[1]
    move = floats.direction()
    share = (objectives.return_gradient(mdp, floats.student) * move).sum(axis=2)  # (H,O), adds up to the rate
    with np.errstate(divide="ignore"):
        h_of_u = floats.divergence.h(floats.expert / floats.student)
    out = []
    for h, s in np.argwhere((where["student"] > 0) | (where["expert"] > 0)).tolist():
        o = int(mdp.observation[s])
        out.append({
            "h": h, "s": s, "o": o,
            "state": instance.names.states[s], "seen": instance.names.seen[o], "hidden": len(mdp.behind[o]) > 1,
            "actions": list(instance.names.actions[s]),
            "reward": [str(x) for x in instance.mdp.reward[h, s]],
            "student": weights(instance.student[h, s]), "expert": weights(instance.expert[h, s]),
            "p": floats.student[h, s].tolist(), "p_star": floats.expert[h, s].tolist(),
            "ratio": (floats.expert / floats.student)[h, s].tolist(), "score": _numbers(h_of_u[h, s]),
            "direction": move[h, o].tolist(), "q": q[h, s].tolist(), "advantage": advantage[h, s].tolist(),
            "visits": float(where["student"][h, s]), "visits_expert": float(where["expert"][h, s]),
            "share": float(share[h, o]), "first": s == next(x for x in mdp.behind[o].tolist() if _met(where, h, x)),
        })  # fmt: skip
    return out


def _met(where: Mapping[str, Array], h: int, s: int) -> bool:
    return bool(where["student"][h, s] > 0 or where["expert"][h, s] > 0)


def triangle(asked: Asked, floats: Case, etas: np.ndarray, shade: str) -> dict[str, Any]:
    """The simplex: where the step goes, the directions of all objectives, and for which experts a step would harm."""
    pi = floats.student[0, 0]
    velocity = {}
    for divergence in (*CATALOGUE, floats.divergence):
        try:
            move = floats._replace(divergence=divergence).direction()[0, 0]
        except ValueError:
            continue
        velocity["own" if divergence not in CATALOGUE else divergence.name] = (pi * (move - pi @ move)).tolist()
    reward = floats.mdp.reward[0, 0]
    return {
        "path": moved(floats, etas)[0, 0].T.tolist(),
        "now": moved(floats, np.array([float(floats.eta)]))[0, 0, :, 0].tolist(),
        "velocity": velocity,
        "uphill": (pi * (reward - pi @ reward)).tolist(),
        "fine": FINE,
        "zones": zones(floats, shade),
    }


def cells() -> np.ndarray:
    """Centres of the small triangles, `(3, FINE**2)`: row by row from the base, pointing up and down in turns."""
    centres = []
    for i in range(FINE):
        for j in range(2 * (FINE - i) - 1):
            up = j % 2 == 0
            b, top = (j // 2 + (1 / 3 if up else 2 / 3)), i + (1 / 3 if up else 2 / 3)
            centres.append([FINE - b - top, b, top])
    return np.array(centres).T / FINE


def zones(floats: Case, shade: str) -> str:
    """For the expert in each cell: `n` it is no better than the student, `r` the step raises the return or leaves it,
    `l` the step lowers it. `shade`: `"small"` for the first order, `"step"` for a step of this size."""
    experts = cells()[None, None]
    gap = solve.expected_return(floats.mdp, experts) - solve.expected_return(floats.mdp, floats.student)
    at = floats._replace(expert=experts)
    if shade != "step":
        found = at.rate()
    elif floats.geometry == "proximal":
        new = updates.proximal_step(floats.mdp, floats.student, experts, floats.divergence, float(floats.eta))
        found = solve.expected_return(floats.mdp, new) - solve.expected_return(floats.mdp, floats.student)
    else:
        found = at.change()
    letters = np.where(gap <= 0, "n", np.where(found < -NOTHING, "l", "r"))
    return "".join(letters.tolist())
