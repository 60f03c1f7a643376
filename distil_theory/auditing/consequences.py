"""What the ledger says of a loss: the teaching instance, and others, stepped *through* that loss.

A natural step on the loss moves the logits by minus its gradient divided by the student's probability, so the reward of
a bandit changes at the rate `dJ/d eta = -sum_a r_a (g_a - pi_a sum g)`: three numbers of gradient suffice.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from distil_theory.auditing.laws import Array
from distil_theory.auditing.match import Match
from distil_theory.auditing.meter import Meter

INSTANCES: dict[str, tuple[Array, Array, Array]] = {}
"""Certified bandits, `(reward, student, expert)`, read from the package's certificates when first needed."""
FIRST = "teaching_reverse_kl"


def instances() -> dict[str, tuple[Array, Array, Array]]:
    """The bandits of the certificates `teaching_*` and `smallest_*`, by file name."""
    if not INSTANCES:
        import json
        from importlib import resources

        folder = resources.files("distil_theory") / "certificates"
        files = sorted((f for f in folder.iterdir() if f.name.startswith(("teaching_reverse", "smallest_"))), key=str)
        for file in sorted(files, key=lambda f: not f.name.startswith("teaching")):
            INSTANCES[file.name.removesuffix(".json")] = _bandit(json.loads(file.read_text(encoding="utf-8")))
    return INSTANCES


def rate(meter: Meter, reward: Array, student: Array, expert: Array) -> float:
    """`dJ/d eta` of a natural step on the loss at one token; NaN where the loss cannot be evaluated."""
    extra = meter.loss.vocab - len(student)
    s, t = (np.concatenate([np.log(x), np.full(max(extra, 0), -40.0)]) for x in (student, expert))
    try:
        g = meter.gradients(s[None], t[None])[0, : len(student)]
    except Exception:
        return float("nan")
    return float(-(reward * (g - student * g.sum())).sum())


def claims(meter: Meter, match: Match) -> list[dict[str, object]]:
    """Sentences with numbers: which claim the loss satisfies or breaks, and on which certified instance."""
    rates = {n: 0.0 if match.name == "zero" else rate(meter, *bandit) for n, bandit in instances().items()}
    reward, student, expert = instances()[FIRST]
    gap = float((reward * (expert - student)).sum())
    first = rates[FIRST]
    sign = "rises" if first > 0 else "falls" if first < 0 else "stays"
    found: list[dict[str, object]] = [
        {
            "claim": "5",
            "instance": FIRST,
            "rate": first,
            "gap": gap,
            "holds": bool(first > 0),
            "text": f"teaching instance (the expert is better by {gap:.5f}): dJ/d eta = {first:+.5g} through it; "
            f"the reward {sign if np.isfinite(first) else 'cannot be computed'}",
        }
    ]
    if match.name == "forward_kl" and match.scale > 0 and not match.partial and match.view.form == "full":
        found += _forward(match, first, gap)
    elif match.name == "zero":
        found.append({"claim": "3", "holds": False, "text": "no gradient, no step: nothing is learned"})
    else:
        found.append(_other(rates))
    return found


def _forward(match: Match, first: float, gap: float) -> list[dict[str, object]]:
    T = match.view.temperature
    if T != 1:
        text = f"claims 2 and 3 hold for the distributions at temperature {T:g}, not for those that are sampled at 1"
        return [{"claim": "3", "holds": False, "text": text}]
    ratio = first / (match.scale * gap)
    return [
        {
            "claim": "2",
            "holds": bool(abs(ratio - 1) < 1e-2),
            "text": f"forward KL closes the gap: rate / (scale x gap) = {ratio:.4f}; claim 2 says 1 (natural step)",
        },
        {"claim": "3", "holds": True, "text": "the only divergence whose small natural step never harms (bandit)"},
    ]


def _other(rates: dict[str, float]) -> dict[str, object]:
    falls = {name: x for name, x in rates.items() if x < 0}
    text = "claim 3: only forward KL is safe for every better expert"
    if falls:
        name = FIRST if FIRST in falls else min(falls, key=lambda n: falls[n])
        text += (
            f"; certificate {name}.json: dJ/d eta = {falls[name]:+.5g} through this loss, though the expert is better"
        )
    else:
        text += "; none of the certified instances tried falls through this loss"
    return {"claim": "3", "holds": False, "falls_on": sorted(falls), "text": text}


def _bandit(certificate: dict[str, Any]) -> tuple[Array, Array, Array]:
    def numbers(rows: Any) -> Array:
        return np.array([float(Fraction(x)) for x in rows[0][0]])

    return numbers(certificate["mdp"]["reward"]), numbers(certificate["student"]), numbers(certificate["expert"])
