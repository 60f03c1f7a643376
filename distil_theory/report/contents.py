"""What the report says: the words and numbers that both templates are filled with."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from datetime import datetime
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import distil_theory
from distil_theory.claims.claim import Claim, Verdict
from distil_theory.claims.latex import broken
from distil_theory.claims.ledger import Checked, Ledger
from distil_theory.parallel import code_fingerprint

SOURCES = {"paper": "after the paper", "classic": "classic", "ours": "ours"}
PACKAGES = ("numpy", "scipy", "sympy", "python-flint", "hypothesis")
MEANINGS = (
    ("proved", "every step of the derivation was checked by the computer, within the scope that the claim states"),
    ("proved modulo a lemma", "the same, where one step cites a result of the literature"),
    ("supported", "no derivation, but no instance that was tried contradicts it"),
    ("FAILED", "a step does not hold, an instance contradicts it, or a certificate is missing or wrong"),
)
"""Verdicts, for whoever has never seen the ledger."""


class Certificate(NamedTuple):
    """A file that shows what goes wrong without an assumption: `reason` says why it is not verified, or nothing."""

    name: str
    says: str
    text: str
    digest: str
    reason: str


class Figure(NamedTuple):
    """A picture of `figures/`, the claim at which it stands, and how it was drawn."""

    path: Path
    number: int
    slug: str
    drawn: str

    @property
    def vector(self) -> Path:
        """The same picture for paper, if there is one."""
        pdf = self.path.with_suffix(".pdf")
        return pdf if pdf.is_file() else self.path


def certificates(checked: Sequence[Checked]) -> list[Certificate]:
    """Every certificate that a claim names, once, in their order."""
    folder = resources.files("distil_theory") / "certificates"
    reasons = {name: why for found in checked for name, why in found.items()}
    made = []
    for name, why in reasons.items():
        text = (folder / name).read_text(encoding="utf-8") if (folder / name).is_file() else ""
        made.append(Certificate(name, _says(text), text, hashlib.sha256(text.encode()).hexdigest(), why))
    return made


def _says(text: str) -> str:
    try:
        return str(json.loads(text)["statement"])
    except (ValueError, KeyError, TypeError):
        return "cannot be read"


def figures(claims: Sequence[Claim], folder: Path | None) -> dict[str, Figure]:
    """The panels of the claims that lie in `folder`, numbered in the order in which the claims name them."""
    found: dict[str, Figure] = {}
    for claim in claims:
        panel = claim.panel
        if folder is not None and panel not in found and (folder / panel).is_file():
            found[panel] = Figure(folder / panel, len(found) + 1, claim.slug, _drawn(folder, panel))
    return found


def _drawn(folder: Path, panel: str) -> str:
    """From the manifest of the experiment that lists the file."""
    for manifest in sorted(folder.glob("*.json")):
        told = json.loads(manifest.read_text(encoding="utf-8"))
        if panel in told.get("files", ()):
            quick = " --quick" if told["quick"] else ""
            return f"python -m experiments.{manifest.stem}{quick} --seed {told['seed']}"
    return ""


def machine() -> dict[str, str]:
    """What a reader needs to know to repeat it."""
    return {
        "distil_theory": f"{distil_theory.__version__}, code {code_fingerprint()}",
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
    } | {package: version(package) for package in PACKAGES}


def contents(ledger: Ledger, folder: Path | None, command: str, began: datetime, seconds: float) -> dict[str, Any]:
    """The fields of both templates.

    Args:
        ledger: what was found.
        folder: where the pictures are, if anywhere.
        command: what the user said.
        began: when.
        seconds: how long it took.
    """
    shown = figures(ledger.claims, folder)
    named = certificates(ledger.checked)
    rows = [
        _claim(claim, verdict, found, lack, shown)
        for claim, verdict, found, lack in zip(ledger[0], ledger[1], ledger[2], ledger[3], strict=True)
    ]
    kinds = [_kind(row["verdict"]) for row in rows]
    return {
        "claims": rows,
        "counts": {kind: kinds.count(kind) for kind in ("proved", "supported", "FAILED")},
        "steps": sum(len(row["steps"]) for row in rows),
        "tried": sum(row["tried"] for row in rows),
        "certificates": named,
        "verified": sum(not certificate.reason for certificate in named),
        "figures": shown,
        "good": ledger.good,
        "meanings": MEANINGS,
        "machine": machine(),
        "instances": ledger.instances,
        "seed": ledger.seed,
        "command_line": command,
        "began": began.astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "seconds": seconds,
    }


def _kind(verdict: str) -> str:
    return "proved" if verdict.startswith("proved") else verdict


def _claim(
    claim: Claim, verdict: Verdict, found: Checked, lack: Sequence[str], shown: dict[str, Figure]
) -> dict[str, Any]:
    return {
        "slug": claim.slug,
        "number": claim.number,
        "title": claim.title,
        "source": SOURCES.get(claim.source, claim.source),
        "verdict": verdict.verdict,
        "kind": _kind(verdict.verdict),
        "statement": broken(claim.statement),
        "scope": claim.scope,
        "lemma": claim.lemma,
        "needs": [(what, how, found.get(how)) for what, how in claim.without.items()],
        "steps": [
            (step.says.removesuffix("."), step.says not in verdict.failed_steps, step.breaks) for step in claim.steps
        ],
        "tried": verdict.instances,
        "margin": f"{verdict.worst_margin:.1e}",
        "decided": verdict.decided,
        "worst": "" if verdict.good else repr(verdict.worst_instance),
        "lacks": list(lack),
        "certificates": list(found),
        "figure": shown.get(claim.panel),
        "panel": claim.panel,
        "seconds": verdict.seconds,
    }
