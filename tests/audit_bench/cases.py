"""What a case of the bench is: a loss, and the fields of its report that its construction decides.

A field that is `None` is not judged. A field may hold several names, where the contract of the auditor admits each:

* *top-k losses*: the divergence "on the full-vocabulary distributions" is none, the useful answer is that on the
  buckets. `support`, `top_k` and the faults are judged instead.
* *a sum times a constant*: `token_sum` with a scale and `fixed` are the same function unless the scale is natural.
* *a mask that is ignored*: `token_mean` over all tokens and `padded_mean` are the same function.
* *gradient not of value* is what a policy-gradient surrogate is meant to be: it may be named there, and need not.
* *zero loss* for sampled forms whose gradient vanishes in expectation only (k1, nll on the student's own tokens): may
  be named, as `divergence == "zero"` says it already.
* *numpy losses* have no gradient to stop: `stop_gradient` is not judged, `teacher_gradient` would be an accusation.
* *T^2 under a constant divisor*: any constant may contain it; `temperature_squared` is not judged, a warning would be
  an accusation.
* *a clamp on a region*: strictly it is no divergence of the catalogue; the law that holds elsewhere, with `dead_zone`,
  is as good a name.
* *half precision*: never judged, unless the loss upcasts first, which leaves nothing to warn of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from distil_theory import divergences
from distil_theory.divergences import FDivergence

Names = str | tuple[str, ...] | None
JUDGED_WARNINGS = frozenset({"element_mean", "temperature_unscaled"})
"""Warnings that are accusations where they are not the truth; any other may appear unasked."""


@dataclass(frozen=True)
class Truth:
    """The report's fields as far as the construction decides them; `None` is "not judged".

    `tolerated` are faults which may be named and need not; `unwarned` are warnings which must not appear.
    """

    divergence: Names = None
    value: Names = None
    reduction: Names = None
    temperature: float | None = 1.0
    temperature_squared: bool | None = None
    stop_gradient: bool | None = True
    support: Names = "full"
    top_k: int | None = None
    estimator: Names = None
    faults: frozenset[str] = frozenset()
    tolerated: frozenset[str] = frozenset()
    warnings: frozenset[str] = frozenset()
    unwarned: frozenset[str] = JUDGED_WARNINGS


@dataclass(frozen=True)
class Case:
    """A loss of the bench.

    Args:
        name: unique.
        loss: `loss(student_logits, teacher_logits[, mask][, labels])`.
        truth: what the report must say.
        expect, expect_reduction, parameters: passed to `audit`.
        source: the public issue of the same kind.
        core: the exact divergence that the gradient descends, where no name of the catalogue says it.
        shift: `value == scale * divergence + shift` per token, e.g. 1 for `sum p^2/q`.
        twin: a correct loss from which a faulty one differs as its faults say.
        slack: how far, relatively, it is from what it is named after (an epsilon in a logarithm).
        numpy: takes and returns arrays.
    """

    name: str
    loss: Callable[..., Any]
    truth: Truth
    expect: str | None = None
    expect_reduction: str | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    core: FDivergence | None = None
    shift: float = 0.0
    twin: Callable[..., Any] | None = None
    slack: float = 0.0
    numpy: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of `audit` beside the loss."""
        given = {"expect": self.expect, "expect_reduction": self.expect_reduction, "parameters": dict(self.parameters)}
        return {name: value for name, value in given.items() if value}


def truth(divergence: Names = None, reduction: Names = None, *faults: str, **fields: Any) -> Truth:
    """A `Truth` in which the value is that of the divergence unless said otherwise, and sets may be given as words."""
    for name in ("tolerated", "warnings"):
        fields[name] = frozenset(str(fields.get(name, "")).split())
    fields["unwarned"] = (JUDGED_WARNINGS | set(str(fields.get("unwarned", "")).split())) - fields["warnings"]
    fields.setdefault("value", divergence)
    return Truth(divergence, reduction=reduction, faults=frozenset(faults), **fields)


def exact(name: str) -> FDivergence:
    """The core's divergence of this name of a report, `generalized_js(0.3)` and `alpha(1.5)` included."""
    family = re.fullmatch(r"(generalized_js|alpha)\((-?[\d.]+)\)", name)
    if family:
        return getattr(divergences, family[1])(Fraction(family[2]))
    return divergences.CROSS_ENTROPY if name == "cross_entropy" else divergences.named(name)


ALIASES = {
    "generalized_js(0.5)": "jensen_shannon",
    "generalized_js(0)": "forward_kl",
    "generalized_js(1)": "reverse_kl",
    "alpha(1)": "forward_kl",
    "alpha(0)": "reverse_kl",
    "alpha(0.5)": "hellinger",
    "alpha(2)": "pearson_chi2",
    "alpha(-1)": "neyman_chi2",
}
"""Members of the families that have a name of their own."""


def same(found: str | None, wanted: Names) -> bool:
    """Whether a reported name is one of those wanted: the parameter of a family to two digits, aliases allowed."""
    names = (wanted,) if isinstance(wanted, str) else wanted or ()
    return canonical(found) in {canonical(name) for name in names}


def canonical(name: str | None) -> str:
    family = re.fullmatch(r"(\w+)\((-?[\d.]+(?:e-?\d+)?)\)", name or "")
    if not family:
        return name or ""
    rounded = f"{family[1]}({round(float(family[2]), 2) + 0.0:g})"
    return ALIASES.get(rounded, rounded)
