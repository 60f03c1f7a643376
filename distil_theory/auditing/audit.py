"""`audit`: find out what a loss computes by calling it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from distil_theory.auditing import consequences, faults, masks, numerics, reduce, sampled, values, zones
from distil_theory.auditing.curve import fit as fit_curve
from distil_theory.auditing.identify import identify
from distil_theory.auditing.laws import Array, Law, View
from distil_theory.auditing.masks import Fault
from distil_theory.auditing.match import Match, measure
from distil_theory.auditing.meter import Meter
from distil_theory.auditing.probe import Loss, quiet
from distil_theory.auditing.reduce import Reduction
from distil_theory.auditing.report import MEANINGS, Audit
from distil_theory.auditing.support import at_large

WARNINGS = {"element_mean", "temperature_unscaled", "half_precision", "mask_nan"}
"""Codes of what may be meant."""
NAMES = (
    *("forward_kl", "reverse_kl", "jensen_shannon", "hellinger", "pearson_chi2", "neyman_chi2", "total_variation"),
    *("cross_entropy", "f_divergence", "none", "zero"),
)
SAME = {
    **{"generalized_js(0)": "forward_kl", "generalized_js(0.5)": "jensen_shannon", "generalized_js(1)": "reverse_kl"},
    **{"alpha(0)": "reverse_kl", "alpha(0.5)": "hellinger", "alpha(1)": "forward_kl", "alpha(2)": "pearson_chi2"},
    "alpha(-1)": "neyman_chi2",
}
"""Members of families by their own names, the limits at the ends included."""
SEEN = {
    "mixture_of_logs": "TRL #2202",
    "parameter_jump": "TRL #3043, #6780; ms-swift #10078",
    "negative": "verl #7856, OPSD #24",
    "tail_dropped": "verl #7856",
    "tail_renormalised": "verl #6676",
    "student_top_k": "verl #6676",
    "dead_zone": "OPSD #24",
    "zero_loss": "verl-recipe #151, miles #2362",
    "mask_ignored": "Liger-Kernel #974",
    "not_expected": "ASFT #3, Self-Distillation #5",
}
"""Public threads about the same."""


def audit(
    loss: Callable[..., Any],
    *,
    expect: str | None = None,
    expect_reduction: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Audit:
    """What a distillation loss really computes: divergence, direction, scale, reduction, faults.

    Args:
        loss: `loss(student_logits, teacher_logits[, mask][, labels])`, logits `(batch, token, vocab)`, mask and labels
            `(batch, token)`; returns a scalar or a number per token. Torch (autograd) or numpy (differences).
        expect: the divergence that it should descend, e.g. `"reverse_kl"`, `"generalized_js(0.1)"`.
        expect_reduction: the reduction that it should have.
        parameters: values of its other parameters.
        seed: of the random logits.

    Raises:
        ValueError: the loss cannot be called so, or an expectation is no known name.
    """
    expect = _known(expect, expect_reduction)
    start = time.perf_counter()
    with quiet():
        probed = Loss(loss, parameters)
        report = _examine(probed, np.random.default_rng(seed), expect)
    report = _compare(report, expect_reduction)
    return replace(report, seconds=time.perf_counter() - start, calls=probed.calls)


def _examine(loss: Loss, rng: np.random.Generator, expect: str | None) -> Audit:
    looks_at_labels = sampled.looks_at_labels(loss, rng)
    reduction = reduce.find(loss, rng)
    meter = Meter(loss, reduction, looks_at_labels)
    match = identify(meter, rng)
    if not looks_at_labels:
        match = at_large(meter, match, rng)
    value = values.identify(meter, match, rng)
    estimator = sampled.estimator(meter, rng) if looks_at_labels else None
    found: list[Fault] = []
    found += faults.of_gradient(meter, match, value, rng)
    found += faults.of_expectation(match, value, expect)
    found += faults.of_support(match)
    found += masks.faults(loss, reduction, rng)
    found += zones.dead_zone(meter, match, rng)
    found += zones.jumps(loss, rng)
    found += numerics.overflow(meter, match, value, rng)
    found += numerics.nan_at_zero(meter, match, value, rng)
    found += numerics.half_precision(meter, rng)
    scale, value_scale = match.scale, value.scale
    if match.name in ("none", "zero") or (match.name == "f_divergence" and match.both is None):
        scale = float("nan")
    known = match.law is not None or match.both is not None or match.name == "f_divergence"
    T = round((match.view if known else value.view).temperature, 4)
    size = match.scale if match.law is not None or match.both or match.normaliser else value_scale
    if estimator is not None and match.name == "zero":
        size = estimator.scale
    if match.both and abs(match.both[0] / match.both[1] - 1) < 1e-2:  # c (KL + KL) is c Jeffreys
        size = match.both[0]
    squared = _times_t_squared(size, T)
    over_shown = match.view.k > 0 and _over_shown(match, size / T**2 if squared else size)
    over_vocab = reduction.over_vocab or over_shown
    if over_vocab and match.view.form.startswith("double") and _strange(size) > _strange(size / loss.vocab):
        # the second softmax counts all tokens, those without probability too, and divides by their number
        over_vocab, size, scale, value_scale = False, *(x / loss.vocab for x in (size, scale, value_scale))
    name = reduction.rule if over_shown else _name(reduction, T, squared, size, value_scale)
    hidden = name == "fixed" and T != 1  # any constant may contain T^2
    if over_vocab and name in ("token_mean", "padded_mean"):
        name = "element_mean"
    if T != 1 and not squared and not hidden:
        found.append(("temperature_unscaled", f"temperature {T:g} and no factor T^2: gradients shrink as 1/T^2"))
    if over_vocab:
        found.append(("element_mean", "a mean over the vocabulary as well: the loss depends on its size"))
    support = "sampled" if looks_at_labels else match.view.form if not match.view.form.startswith("double") else "full"
    if match.view.by == "student" and match.view.k:
        support = "student_top_k"
    wrong = {code for code, _ in found} - WARNINGS
    warnings = {code for code, _ in found} & WARNINGS
    if estimator is not None and estimator.name == "nll" and "zero_loss" in wrong:
        wrong, warnings = wrong - {"zero_loss"}, warnings | {"zero_loss"}  # right for labels of the teacher
    return Audit(
        loss=loss.name,
        divergence=match.name,
        value=value.name,
        scale=scale,
        value_scale=value_scale,
        temperature=T,
        temperature_squared=None if hidden else squared,
        reduction=name,
        stop_gradient=faults.stops(loss, rng),
        support=support,
        top_k=match.view.k or None,
        estimator=estimator.name if estimator else None,
        faults=frozenset(wrong),
        warnings=frozenset(warnings),
        findings=(*faults.notes(match, reduction, loss, meter.grain), *(_sentence(code, text) for code, text in found)),
        claims=tuple(consequences.claims(meter, match)),
        points=_points(meter, match, rng),
    )


def _sentence(code: str, text: str) -> str:
    return f"{code}: {text}" + (f" (seen in public: {SEEN[code]})" if code in SEEN else "")


def _name(reduction: Reduction, T: float, squared: bool, *scales: float) -> str:
    """Of the reduction; a sum divided by a whole number of 5 or more, perhaps beside `T^2`, is `fixed`."""
    plain = () if squared else scales
    without = (x / T**2 for x in scales if squared or _strange(x) > 2)
    inverses = [1 / abs(x) for x in (*plain, *without) if x and np.isfinite(x)]
    whole = any(x > 4.5 and abs(x - round(x)) < 1e-2 for x in inverses)
    return "fixed" if reduction.rule == "token_sum" and whole else reduction.rule


def _strange(x: float) -> int:
    """How unusual a factor is: 1, then 2 and 1/2, then 4 and 1/4, then all others."""
    usual = ((1,), (0.5, 2), (0.25, 4))
    return next((i for i, c in enumerate(usual) if any(abs(abs(x) / y - 1) < 1e-2 for y in c)), len(usual))


def _over_shown(match: Match, scale: float) -> bool:
    """Whether it is a mean over the tokens that a top-k form shows: does their number make the factor a usual one?"""
    shown = match.view.k + (match.view.form == "tail_bucket")
    return _strange(scale) > 2 and _strange(scale * shown) < 2


def _times_t_squared(scale: float, T: float) -> bool:
    """Whether `scale` is more likely some usual factor times `T^2` than a usual factor."""

    with_, without = _strange(scale / T**2), _strange(scale)
    half = with_ == without < 3 and abs(scale) < T**2  # "half of T^2" is a usual factor, "twice" is not
    return T != 1 and (with_ < without or half)


def _points(meter: Meter, match: Match, rng: np.random.Generator) -> tuple[Array, Array] | None:
    """Measured `(log u, h)` with `h(1) = 0` and unit slope there; intercepts are those of the law, else of a curve."""
    if match.name == "zero" or meter.loss.vocab > 100:
        return None
    view = View(match.view.temperature)
    data = measure(meter, rng, 1.0, 64 if meter.loss.framework == "torch" else 32)
    seen = view(data.s, data.t)
    unit = match.scale * _slope(match.law) if match.law is not None and match.view.form == "full" else None
    if unit is None or match.partial or match.law is None:
        curve = fit_curve(seen, data.g * view.temperature)
        if curve is None:
            return None
        x, h = curve.points
        unit = unit or float(np.gradient(curve.h, curve.log_u)[abs(curve.log_u).argmin()])
        return (x, h / unit) if unit else None
    y = match.law.slope(seen.lp, seen.lq)
    one = -match.law.slope(np.zeros(1), np.zeros(1))[0]
    # the gradient leaves a constant per token open: the law's own
    h = -data.g * view.temperature / np.exp(seen.lq) - match.scale * (y.sum(axis=-1, keepdims=True) + one)
    return (seen.lp - seen.lq).ravel(), (h / unit).ravel()


def _slope(law: Law) -> float:
    """`dh / d log u` at `u = 1`; 1 where `h` jumps."""
    below, above = -law.slope(np.array([-1e-3, 1e-3]) - 5, np.zeros(2) - 5) * np.exp(5)
    slope = float(above - below) / 2e-3
    return slope if abs(slope) < 10 else 1.0


def _known(expect: str | None, expect_reduction: str | None) -> str | None:
    """The expected divergence by the name that a report would give it.

    Raises:
        ValueError: no such divergence or reduction.
    """
    family = re.fullmatch(r"(generalized_js|alpha)\((-?\d*\.?\d+)\)", expect or "")
    if expect is not None and expect not in NAMES and not family:
        raise ValueError(f"unknown divergence {expect!r}: choose from {', '.join(NAMES)}, generalized_js(b), alpha(a)")
    if family:
        expect = f"{family[1]}({round(float(family[2]), 3) + 0.0:g})"
        expect = SAME.get(expect, expect)
    if expect_reduction is not None and expect_reduction not in MEANINGS:
        raise ValueError(f"unknown reduction {expect_reduction!r}: choose from {', '.join(MEANINGS)}")
    return expect


def _compare(report: Audit, expect_reduction: str | None) -> Audit:
    """Add `not_expected` for the reduction, and make faults of warnings that it rules out."""
    codes, findings, warnings = set(report.faults), list(report.findings), set(report.warnings)
    if expect_reduction is not None and report.reduction != expect_reduction:
        codes.add("not_expected")
        findings.append(f"not_expected: reduction {expect_reduction} was expected, found {report.reduction}")
        if report.reduction == "element_mean":
            warnings.discard("element_mean")
            codes.add("element_mean")
    return replace(report, faults=frozenset(codes), warnings=frozenset(warnings), findings=tuple(findings))
