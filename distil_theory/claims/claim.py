r"""What a claim is, and what one may say of it.

A claim is a small object: its statement and assumptions; a derivation whose every numbered step the computer checks
*with the code that runs* (solver, objectives and updates on symbols); a `margin` that is negative where the claim is
false, tried on instances meant to break it; and certificates of what goes wrong without each assumption.

The verdict is computed, never typed in:

======================= ==============================================================================================
`proved`                every step of the derivation holds, within the stated `scope`
`proved modulo <lemma>` the same, where one step cites a lemma of the literature, stressed numerically
`supported`             no derivation, but no instance was found with a negative margin. A sampled worst case is a lower
                        bound: never "verified"
`FAILED`                a step does not hold, a margin is negative, or a certificate is missing
======================= ==============================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from distil_theory import falsify
from distil_theory import number_systems as ns
from distil_theory.number_systems import Array
from distil_theory.parallel import console

SOURCES = ("paper", "classic", "ours")
NEAR, ROUNDING = 1e-9, 1e-6
"""Margins below `NEAR`, of rewards of order one, are decided in exact arithmetic. One below `-ROUNDING`, infinite or
NaN no rounding explains: then the code is wrong on batches, whatever it says of a single instance."""


class Step(NamedTuple):
    """One step of a derivation: what it says, a function that checks it, and a change of the source that breaks it."""

    says: str
    holds: Callable[[], bool]
    breaks: str


@dataclass(frozen=True)
class Claim:
    """A theorem and everything that belongs to it.

    `margin` works on a batch of floats. Of the smallest margins those near zero and below, which rounding may have
    signed, are decided by `holds_exactly`: it gets the same arrays as rationals (rows sum to one up to rounding:
    normalise them first). One that does not hold refutes the claim, and so does a margin that no rounding explains.

    Args:
        slug: name of its module and on the command line.
        number: of THEORY.md.
        title: a few words.
        statement: LaTeX.
        assumptions: what it needs; each one has a certificate in `without`, or a reason there why none is due.
        source: `"paper"`, `"classic"` or `"ours"`.
        scope: what the derivation really covers.
        steps: the derivation.
        margin: a batch of instances to `(n,)`: negative where the claim is false.
        holds_exactly: decides one instance in exact or ball arithmetic; asked where the margin is near zero or below.
        attack: looks for the smallest margin: `(margin, n, seed)` to a `falsify.Found`; `falsify.bandits`, `.mdps`.
        without: assumption to the name of a certificate, or to a sentence.
        panel: the picture that shows it, a file of `figures/`.
        lemma: a cited result that a step rests on.
        near: margins below it are decided exactly; 0 where the margin has its own allowance for rounding.
    """

    slug: str
    number: str
    title: str
    statement: str
    assumptions: tuple[str, ...]
    source: str
    scope: str
    steps: tuple[Step, ...]
    margin: Callable[..., Array]
    holds_exactly: Callable[..., bool]
    without: dict[str, str]
    panel: str
    lemma: str = ""
    near: float = NEAR
    attack: Callable[[Callable[..., Array], int, int], falsify.Found] = falsify.bandits


class Verdict(NamedTuple):
    """What `verify` found: `worst_margin` is over all instances that were tried; `decided` counts those whose margin is
    near zero or below and which exact arithmetic was asked about; `worst_instance` is the first that it refutes, or
    else the one of the worst margin."""

    slug: str
    verdict: str
    failed_steps: tuple[str, ...]
    instances: int
    worst_margin: float
    decided: int
    worst_instance: Any
    seconds: float

    @property
    def good(self) -> bool:
        """Whether the claim stands."""
        return self.verdict != "FAILED"


def verify(claim: Claim, instances: int = 20_000, seed: int = 0) -> Verdict:
    """Check every step of the derivation and try to break the claim on `instances` instances and more."""
    start = perf_counter()
    failed = tuple(step.says for step in claim.steps if not _holds(step))
    try:
        found = claim.attack(claim.margin, instances, seed)
    except Exception as error:
        console.print(f"{claim.slug}: {type(error).__name__}: {error}", highlight=False, markup=False, style="red")
        found = falsify.Found(0, (), ())
    close = [instance for m, instance in zip(found.margins, found.instances, strict=True) if m < claim.near]
    refuting = next((instance for instance in close if not _decided(claim, instance)), None)
    impossible = not found.instances or not np.isfinite(found.margin) or found.margin < -ROUNDING
    if failed or refuting is not None or impossible:
        verdict = "FAILED"
    elif claim.steps:
        verdict = f"proved modulo {claim.lemma}" if claim.lemma else "proved"
    else:
        verdict = "supported"
    worst = found.instance if refuting is None else refuting
    seconds = perf_counter() - start
    return Verdict(claim.slug, verdict, failed, found.tried, found.margin, len(close), worst, seconds)


def _decided(claim: Claim, instance: Sequence[Array]) -> bool:
    return bool(claim.holds_exactly(*(ns.convert(x, "rational") for x in instance)))


def _holds(step: Step) -> bool:
    try:
        return step.holds() is True
    except Exception as error:  # a wrong formula may also end in a wrong shape: that is a step that does not hold
        console.print(f"{step.says}: {type(error).__name__}: {error}", highlight=False, markup=False, style="red")
        return False


def missing_parts(claim: Claim, certificates: Sequence[str], figures: Sequence[str]) -> list[str]:
    """What the claim lacks of its parts; empty for a complete one.

    Args:
        claim: the claim.
        certificates: names of the shipped certificates.
        figures: names of the files in `figures/`.
    """
    texts: dict[str, Any] = {name: getattr(claim, name) for name in ("slug", "number", "title", "statement", "scope")}
    lacks = [name for name, text in texts.items() if not text.strip()]
    lacks += [f"source {claim.source!r}"] if claim.source not in SOURCES else []
    lacks += [] if claim.steps else ["steps"]
    lacks += [f"what breaks step {step.says!r}" for step in claim.steps if not step.breaks.strip()]
    lacks += [f"what happens without {a!r}" for a in claim.assumptions if not claim.without.get(a, "").strip()]
    named = [name for name in claim.without.values() if name.endswith(".json")]
    lacks += [f"certificate {name}" for name in named if name not in certificates]
    return lacks + ([] if claim.panel in figures else [f"panel {claim.panel!r}"])
