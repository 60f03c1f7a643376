"""The whole ledger at once: verify, table, JSON, LaTeX; `python -m distil_theory verify` is this module."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.table import Table

from distil_theory import checker
from distil_theory.claims import CLAIMS
from distil_theory.claims.claim import Claim, Verdict, missing_parts, verify
from distil_theory.claims.latex import document
from distil_theory.parallel import console, run

QUICK, FULL = 20_000, 2_000_000
"""Instances drawn per claim."""
LONG = ("truthful_sets", "covariance_rate", "prefix_weights", "compatible_class", "chance_lookahead", "future_aware")
"""Chapters that take longest: they start first, so that no process waits for the other at the end."""
Checked = dict[str, str]
"""Each certificate that a claim names, and why it is not verified (empty if it is)."""


def certificates(claim: Claim) -> Checked:
    """Run the checker on each shipped certificate that the claim names."""
    found: Checked = {}
    for name in claim.without.values():
        if name.endswith(".json"):
            file = resources.files("distil_theory") / "certificates" / name
            try:
                checker.check(file.read_bytes())
                found[name] = ""
            except (checker.Refused, OSError) as reason:
                found[name] = str(reason) or type(reason).__name__
    return found


def load(path: str) -> Claim:
    """The `CLAIM` of a user's own module.

    Raises:
        ValueError: no such file, a module that fails, or no `CLAIM` in it.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: there is no such file")
    spec = importlib.util.spec_from_file_location("own_claim", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path}: not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for the names in their annotations
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from error
    if not isinstance(getattr(module, "CLAIM", None), Claim):
        raise ValueError(f"{path}: defines no CLAIM of type distil_theory.claims.Claim")
    return module.CLAIM


def lacks(claim: Claim) -> list[str]:
    """What the claim lacks, figures aside, of which an installed library has none; without steps it is `supported`."""
    shipped = [file.name for file in (resources.files("distil_theory") / "certificates").iterdir()]
    return [part for part in missing_parts(claim, shipped, [claim.panel]) if part != "steps"]


def writable(path: Path) -> None:
    """Raises `ValueError` where no file could be written."""
    try:
        if path.is_dir():
            raise IsADirectoryError(f"[Errno 21] Is a directory: '{path}'")
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error}") from None


def verify_slug(slug: str, instances: int, seed: int) -> Verdict:
    """`verify` of a claim of the ledger, by name: what a worker process is sent."""
    return verify(next(claim for claim in CLAIMS if claim.slug == slug), instances, seed)


def verify_all(slugs: Sequence[str], instances: int, seed: int, jobs: int) -> list[Verdict]:
    """`verify_slug` of each, in their order; the longest start first."""
    order = sorted(dict.fromkeys(slugs), key=lambda slug: LONG.index(slug) if slug in LONG else len(LONG))
    found = run(verify_slug, [(slug, instances, seed) for slug in order], jobs=jobs, label="verifying")
    verdicts = dict(zip(order, found, strict=True))
    return [verdicts[slug] for slug in slugs]


def as_json(
    claims: Sequence[Claim], verdicts: Sequence[Verdict], checked: Sequence[Checked], instances: int, seed: int
) -> dict[str, Any]:
    """What `--json` writes."""
    rows = []
    for claim, verdict, found in zip(claims, verdicts, checked, strict=True):
        rows.append({
            "slug": claim.slug, "number": claim.number, "title": claim.title, "source": claim.source,
            "statement": claim.statement, "verdict": verdict.verdict, "scope": claim.scope,
            "steps": len(claim.steps), "failed_steps": list(verdict.failed_steps),
            "instances": verdict.instances, "worst_margin": verdict.worst_margin, "decided_exactly": verdict.decided,
            "certificates": [{"name": name, "verified": not why, "reason": why} for name, why in found.items()],
            "seconds": round(verdict.seconds, 3),
        })  # fmt: skip
    return {"claims": rows, "instances_drawn": instances, "seed": seed}


def _short(n: int) -> str:
    return f"{n / 1e6:.1f}M" if n >= 1e6 else f"{n / 1e3:.0f}k" if n >= 1e4 else str(n)


def table(claims: Sequence[Claim], verdicts: Sequence[Verdict], checked: Sequence[Checked]) -> Table:
    """What a person reads."""
    caption = "* near zero: decided in exact arithmetic" if any(v.decided and v.good for v in verdicts) else None
    out = Table(title="The claims ledger", caption=caption, box=box.SIMPLE, padding=0, pad_edge=False)
    for heading in ("", "claim", "source", "steps", "tried", "margin", "cert.", "verdict", "s"):
        left = heading in ("", "claim", "source", "verdict")
        out.add_column(heading, justify="left" if left else "right", no_wrap=heading != "verdict")
    for claim, verdict, found in zip(claims, verdicts, checked, strict=True):
        margin = f"{verdict.worst_margin:.0e}" + ("*" if verdict.decided and verdict.good else "")
        colour = "green" if verdict.good and not any(found.values()) else "red"
        steps = f"{len(claim.steps) - len(verdict.failed_steps)}/{len(claim.steps)}"
        shown = f"{sum(not why for why in found.values())}/{len(found)}" if found else "-"
        said = f"[{colour}]{verdict.verdict}[/]"
        row = (
            claim.slug,
            claim.source,
            steps,
            _short(verdict.instances),
            margin,
            shown,
            said,
            f"{verdict.seconds:.1f}",
        )
        out.add_row(claim.number, *row)
    return out


def add_choice(parser: argparse.ArgumentParser) -> None:
    """The options that say which claims are verified, and how hard they are attacked."""
    parser.add_argument("slug", nargs="*", help=f"claims (default: all): {', '.join(c.slug for c in CLAIMS)}")
    parser.add_argument("--claim", metavar="FILE", help="verify the CLAIM of your own module instead")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} instances per claim instead of {FULL:,}")
    parser.add_argument("--seed", type=int, default=0, help="of the instances (default 0)")
    parser.add_argument(
        "--jobs", type=int, default=-1, help="parallel processes (default: all cores); changes no number"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `verify`."""
    add_choice(parser)
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the verdicts there")
    parser.add_argument(
        "--latex", metavar="FILE", type=Path, help="also write the ledger there, as a document for pdflatex"
    )


def choose(args: argparse.Namespace) -> list[Claim]:
    """The claims that a command line asks for.

    Raises:
        ValueError: they cannot be had, or not verified so.
    """
    known = {claim.slug: claim for claim in CLAIMS}
    unknown = [slug for slug in args.slug if slug not in known]
    if unknown:
        raise ValueError(f"unknown claim {unknown[0]!r}: choose from {', '.join(known)}")
    if args.seed < 0 or args.jobs == 0:
        raise ValueError("--seed must not be negative and --jobs not zero")
    if args.claim and args.slug:
        raise ValueError(f"either --claim {args.claim} or {args.slug[0]}, not both")
    return [load(args.claim)] if args.claim else [known[slug] for slug in args.slug] or list(CLAIMS)


class Ledger(NamedTuple):
    """Claims, what was found of each, its certificates, and the parts that it lacks."""

    claims: list[Claim]
    verdicts: list[Verdict]
    checked: list[Checked]
    missing: list[list[str]]
    instances: int
    seed: int

    @property
    def good(self) -> bool:
        """Whether every claim stands and every certificate that it names is verified."""
        return all(verdict.good for verdict in self.verdicts)


def examine(claims: list[Claim], args: argparse.Namespace) -> Ledger:
    """Verify the claims of `choose`."""
    instances = QUICK if args.quick else FULL
    if args.claim:
        verdicts = [verify(claims[0], instances, args.seed)]
    else:
        verdicts = verify_all([claim.slug for claim in claims], instances, args.seed, args.jobs)
    checked = [certificates(claim) for claim in claims]
    missing = [lacks(claim) for claim in claims]
    verdicts = [
        verdict._replace(verdict="FAILED") if any(found.values()) or lack else verdict
        for verdict, found, lack in zip(verdicts, checked, missing, strict=True)
    ]
    return Ledger(claims, verdicts, checked, missing, instances, args.seed)


def main(args: argparse.Namespace) -> int:
    """Verify; 0 if every claim stands and every certificate that it names is verified, 1 if not, 2 for bad input."""
    try:
        for path in filter(None, (args.json, args.latex)):
            writable(path)
        claims = choose(args)
    except ValueError as bad:
        print(bad, file=sys.stderr)
        return 2
    ledger = examine(claims, args)
    _, verdicts, checked, missing, instances, seed = ledger
    console.print(table(claims, verdicts, checked))
    for claim in claims:
        console.print(f"{claim.number} {claim.title}: {claim.scope}".replace("`", ""), highlight=False, markup=False)
    for claim, verdict in zip(claims, verdicts, strict=True):
        for step in verdict.failed_steps:
            console.print(f"{claim.slug}: this step does not hold: {step}", highlight=False, markup=False, style="red")
    for claim, found, lack in zip(claims, checked, missing, strict=True):
        for reason in [f"{name}: {why}" for name, why in found.items() if why] + [f"lacks {part}" for part in lack]:
            console.print(f"{claim.slug}: {reason}", highlight=False, markup=False, style="red")
    if args.json:
        args.json.write_text(json.dumps(as_json(claims, verdicts, checked, instances, seed), indent=1) + "\n")
    if args.latex:
        args.latex.write_text(document(claims, verdicts, checked), encoding="utf-8")
    return 0 if ledger.good else 1
