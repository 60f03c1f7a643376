"""A chapter for each claim, made of its module: docstring, statement, what it needs, verdict, certificates, picture."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from _sphinx.prose import escaped, heading, indented, laid_out
from distil_theory.claims import CHAPTERS, CLAIMS, Claim
from distil_theory.claims.latex import broken
from distil_theory.report.contents import MEANINGS, SOURCES, certificates

CODE = ".. default-role:: plain\n"
BADGES = ("proved", "supported", "FAILED", "unverified")
PICTURE = ".. image:: /figures/{name}\n   :alt: {name}\n   :loading: lazy\n"
CHECK = "python -m distil_theory check distil_theory/certificates"
ROLES = "".join(f".. role:: {badge}\n" for badge in (*BADGES, "soft"))


def badge(verdict: str) -> str:
    """A verdict in its colour."""
    kind = next((kind for kind in BADGES if verdict.startswith(kind)), "proved")
    return f":{kind}:`{verdict}`"


def pages(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The table of all claims, and their chapters."""
    rows = {row["slug"]: row for row in found["claims"]}
    yield "claims/index.rst", table(rows, found)
    for claim, module in zip(CLAIMS, CHAPTERS, strict=True):
        yield f"claims/{claim.slug}.rst", chapter(claim, module, rows.get(claim.slug), found)


def table(rows: dict[str, Any], found: dict[str, Any]) -> str:
    """The first page of the ledger."""
    lines = [ROLES, CODE, heading("The claims", "="),
        "Every claim is a module that reads like a chapter: its docstring is the argument, its functions check the "
        f"steps. These are the verdicts of ``python -m distil_theory verify --quick --seed {found['seed']}`` when this "
        "site was built.\n",
        ".. list-table::\n   :header-rows: 1\n   :widths: 6 44 16 14 20\n",
        "   * -\n     - claim\n     - source\n     - steps\n     - verdict"]  # fmt: skip
    for claim in CLAIMS:
        row = rows.get(claim.slug)
        verdict, title = row["verdict"] if row else "unverified", claim.title.replace("`", "")
        lines.append(
            f"   * - {claim.number}\n     - :doc:`{title} <{claim.slug}>`\n     - {SOURCES[claim.source]}\n"
            f"     - {len(claim.steps)}\n     - {badge(verdict)}"
        )
    lines += [
        "",
        heading("What a verdict means", "-"),
        *(f"* **{kind}**: {meaning}." for kind, meaning in MEANINGS),
        "",
    ]
    names = "\n".join(f"   {claim.slug}" for claim in CLAIMS)
    return "\n".join([*lines, f".. toctree::\n   :hidden:\n\n{names}\n"])


def chapter(claim: Claim, module: Any, row: dict[str, Any] | None, found: dict[str, Any]) -> str:
    """One claim."""
    argument = laid_out(inspect.cleandoc(module.__doc__ or "").partition("\n\n")[2])
    parts = [ROLES, CODE, heading(escaped(f"{claim.number}. {claim.title}"), "="), _verdict(claim, row, found)]
    parts += [".. container:: statement\n\n   .. math::\n", indented(broken(claim.statement), 6), ""]
    parts += [f"**Scope.** {escaped(claim.scope)}.\n", heading("The argument", "-"), argument, ""]
    if claim.without:
        parts += [heading("What it needs, and what happens without it", "-")]
        parts += [f"* {escaped(what)}: {_instead(how)}" for what, how in claim.without.items()]
    parts += ["", heading("The steps that the computer checks", "-")]
    parts += ["In grey an error in the source that the step notices.\n"]
    parts += [f"#. {escaped(step.says.removesuffix('.'))}. :soft:`{_grey(step.breaks)}`" for step in claim.steps]
    parts += [
        "",
        heading("The picture that shows it", "-"),
        f".. image:: /figures/{claim.panel}\n   :alt: {claim.panel}\n   :loading: lazy\n",
    ]
    parts += _certificates(claim)
    parts += [heading("The module", "-"), _module(claim)]
    return "\n".join(parts) + "\n"


def _verdict(claim: Claim, row: dict[str, Any] | None, found: dict[str, Any]) -> str:
    source = f"{SOURCES[claim.source]}, ``{claim.slug}``"
    if row is None:
        return f"{badge('unverified')} in this build · {source}\n"
    exact = f", of which {row['decided_exactly']} near zero were decided exactly" if row["decided_exactly"] else ""
    return (
        f"{badge(row['verdict'])} · {source}\n\n{row['instances']:,} instances tried, worst margin "
        f"{row['worst_margin']:.1e}{exact}; seed {found['seed']}, {row['seconds']:.1f} s. "
        f"Again: ``python -m distil_theory verify {claim.slug}``\n"
    )


def _instead(how: str) -> str:
    return f"the certificate ``{how}``, below" if how.endswith(".json") else escaped(how)


def _grey(text: str) -> str:
    return text.replace("`", "").replace("\\", "\\\\")


def _certificates(claim: Claim) -> list[str]:
    named = [how for how in claim.without.values() if how.endswith(".json")]
    if not named:
        return []
    parts = [heading("Certificates", "-")]
    for one in certificates([dict.fromkeys(named, "")]):
        parts += [heading(f"``{one.name}``", "~"), escaped(one.says) + ".\n"]
        parts += [
            f".. code-block:: console\n\n   $ python -m distil_theory check distil_theory/certificates/{one.name}\n"
        ]
        parts += [f":download:`The file </distil_theory/certificates/{one.name}>`, SHA-256 ``{one.digest[:16]}``\n"]
    return parts


def _module(claim: Claim) -> str:
    return (
        ".. raw:: html\n\n   <details><summary>Read it</summary>\n\n"
        f".. literalinclude:: /distil_theory/claims/{claim.slug}.py\n   :language: python\n\n"
        ".. raw:: html\n\n   </details>\n"
    )
