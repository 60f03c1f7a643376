"""The auditor against the labels: what it found, case by case, and the confusion tables.

A field that is not judged is not counted; faults that may be named and need not are neither found nor false. On a loss
without fault any other fault is a false accusation; on a faulty one it is an *extra*, which is counted apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from tests.audit_bench.cases import Case, canonical, same

FIELDS = ("divergence", "value", "reduction", "temperature", "temperature_squared", "stop_gradient")
FIELDS += ("support", "top_k", "estimator", "warnings")


def judged(case: Case, report: Any) -> list[dict[str, Any]]:
    """One row per judged field and fault: case, kind, name, truth, found, verdict."""
    rows = [_field(case, name, report) for name in FIELDS if _is_judged(case, name)]
    found, wanted = set(report.faults), case.truth.faults
    stranger = "extra" if wanted else "falsely accused"
    verdicts = {code: "named" if code in found else "missed" for code in wanted}
    verdicts |= {code: stranger for code in found - wanted - case.truth.tolerated}
    rows += [{"kind": "fault", "name": code, "verdict": verdict} for code, verdict in sorted(verdicts.items())]
    return [{"case": case.name, **row} for row in rows]


def _is_judged(case: Case, name: str) -> bool:
    return name == "warnings" or getattr(case.truth, name) is not None


def _field(case: Case, name: str, report: Any) -> dict[str, Any]:
    wanted, found = getattr(case.truth, name), getattr(report, name)
    if name == "warnings":
        # Where another reduction was expected, the warning may have become a fault.
        right = wanted <= {*found, *report.faults} and not set(found) & case.truth.unwarned
        shown = {"truth": " ".join(sorted(wanted)), "found": " ".join(sorted(found))}
    elif name == "temperature":
        right = found is not None and abs(found - wanted) <= 0.02 * wanted
        shown = {"truth": f"{wanted:g}", "found": f"{found}"}
    elif isinstance(wanted, str | tuple):
        right = same(found, wanted)
        shown = {"truth": canonical(wanted if isinstance(wanted, str) else wanted[0]), "found": canonical(found)}
    else:
        right, shown = found == wanted, {"truth": str(wanted), "found": str(found)}
    return {"kind": "field", "name": name, **shown, "verdict": "right" if right else "wrong"}


def run(audit: Callable[..., Any], cases: Iterable[Case]) -> pd.DataFrame:
    """Audits every case; a loss on which the auditor fails has a row of kind `error`."""
    rows = []
    for case in cases:
        try:
            rows += judged(case, audit(case.loss, seed=0, **case.arguments))
        except Exception as error:  # the bench reports it; one failure must not hide the others
            rows.append({"case": case.name, "kind": "error", "name": type(error).__name__, "found": str(error)})
    return pd.DataFrame(rows, columns=["case", "kind", "name", "truth", "found", "verdict"])


def confusion(rows: pd.DataFrame, field: str) -> pd.DataFrame:
    """Rows: truth, columns: found; how many cases."""
    chosen = rows[(rows.kind == "field") & (rows.name == field)]
    return pd.crosstab(chosen.truth, chosen.found)


def by_fault(rows: pd.DataFrame) -> pd.DataFrame:
    """Per code: how often named, missed, falsely accused (on a loss without fault), extra (on another's)."""
    chosen = rows[rows.kind == "fault"]
    table = pd.crosstab(chosen.name, chosen.verdict)
    return table.reindex(columns=["named", "missed", "falsely accused", "extra"], fill_value=0)


def share(rows: pd.DataFrame, kind: str, verdicts: tuple[str, str], name: str | None = None) -> float:
    """Of the rows with one of two verdicts, the share of the first; an empty selection is 0, so that it fails."""
    chosen = rows[(rows.kind == kind) & rows.verdict.isin(verdicts) & ((rows.name == name) if name else True)]
    return float((chosen.verdict == verdicts[0]).mean()) if len(chosen) else 0.0


def text(rows: pd.DataFrame) -> str:
    """Everything a person wants to see: tables, shares, and each row that is not right."""
    wrong = rows[~rows.verdict.isin(["right", "named"])]
    with pd.option_context("display.width", 200, "display.max_rows", None, "display.max_columns", None):
        parts = [f"{field}\n{confusion(rows, field)}" for field in ("divergence", "reduction", "value", "support")]
        shares = {field: share(rows, "field", ("right", "wrong"), field) for field in FIELDS}
        parts += [f"faults\n{by_fault(rows)}", f"right\n{pd.Series(shares).to_string(float_format='%.3f')}"]
        parts.append(f"faults named: {share(rows, 'fault', ('named', 'missed')):.3f}")
        parts.append(f"not right\n{wrong.to_string(index=False)}" if len(wrong) else "all right")
    return "\n\n".join(parts)
