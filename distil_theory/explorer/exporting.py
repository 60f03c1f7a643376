"""What one found, to take away: a certificate that `check` accepts, and a Hypothesis `@example`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from distil_theory import checker
from distil_theory.certify import certificate, text
from distil_theory.divergences import FORWARD_KL
from distil_theory.explorer.looking import signs_of
from distil_theory.explorer.reading import Asked, read
from distil_theory.explorer.rulings import ruling

SAID = {"+": "raises", "-": "lowers", "0": "leaves"}


def export(request: Mapping[str, Any]) -> dict[str, str]:
    """`name`, `certificate`, `verdict` of the checker, and `example`.

    Raises:
        Faults: as `reading.read`.
    """
    asked = read(request)
    found = {name: sign for name, sign in signs_of(asked.case).items() if sign in SAID}
    contents = text(_contents(asked, found))
    try:
        verdict = f"verified: {checker.check(contents.encode())}"
    except checker.Refused as why:
        verdict = f"refused: {why}"
    return {"name": f"my_{asked.instance.name}", "certificate": contents, "verdict": verdict,
            "example": example(asked, found)}  # fmt: skip


def _contents(asked: Asked, found: Mapping[str, str]) -> dict[str, Any]:
    case = asked.case
    closed = case.geometry != "proximal" or case.divergence.h is FORWARD_KL.h
    eta = case.eta if "change" in found and closed else None
    asserts = {name: sign for name, sign in found.items() if name != "change" or eta is not None}
    better = {"+": "better", "-": "worse", "0": "as good"}[found["gap"]]
    says = f"{asked.instance.name} in the explorer: the expert is {better}, a small {case.geometry} step of "
    says += f"{case.objective} {asked.generator} {SAID.get(found.get('rate', ''), 'may change')} the return"
    if eta is not None:
        says += f", one of size {eta} {SAID[found['change']]} it"
    slug = ruling(asked, found["gap"]).slug
    return certificate(*case[:3], asked.generator, case.geometry, eta, asserts, slug, says, None, case.objective)


TEMPLATE = '''"""{what}

Run it with pytest. The property is false{where}: without `.xfail` Hypothesis reports this example.
"""

from hypothesis import Phase, example, given, settings

from distil_theory import TabularMDP, certify
from distil_theory import number_systems as ns
from distil_theory.grammar import parse
from distil_theory.strategies import Pair, pairs

CASE = Pair(
    TabularMDP(
        {transition},
        {reward},
        {initial},
        observation={observation},
    ).convert("rational"),
    ns.convert({student}, "rational"),
    ns.convert({expert}, "rational"),
)


@settings(phases=[Phase.explicit], deadline=None)  # delete `phases` to let Hypothesis look for more
@given(pair=pairs(positive=True))
@example(pair=CASE){xfail}
def test_{name}(pair):
    step = certify.Case(*pair, parse({generator!r}), {geometry!r}, objective={objective!r})
    found = certify.signs(step)
    assert not (found["gap"] == "+" and found["rate"] == "-"), "the expert is better, a small step lowers the return"
'''


def example(asked: Asked, found: Mapping[str, str]) -> str:
    """A test file whose `@example` is the instance on the page."""
    case, mdp = asked.case, asked.case.mdp
    harms = found["gap"] == "+" and found.get("rate") == "-"
    name = re.sub(r"\W", "_", asked.instance.name)
    arrays = {"transition": mdp.transition, "reward": mdp.reward, "initial": mdp.initial,
              "student": case.student, "expert": case.expert}  # fmt: skip
    return TEMPLATE.format(
        what=f"{asked.instance.name}: {asked.instance.exposes}.",
        where=" here" if harms else " for some instances, not here",
        xfail='.xfail(raises=AssertionError, reason="found in the explorer")' if harms else "",
        observation=mdp.observation.tolist(),
        name=name, generator=asked.generator, geometry=case.geometry, objective=case.objective,
        **{key: json.dumps(_texts(x)) for key, x in arrays.items()},
    )  # fmt: skip


def _texts(x: Any) -> Any:
    return [_texts(y) for y in x] if getattr(x, "ndim", 0) else str(x)
