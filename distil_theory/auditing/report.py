"""The report of an audit: fields for programs, a text for people, a picture of `h`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from distil_theory.auditing.laws import CATALOGUE, Array

COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
"""Okabe and Ito's, which the colour-blind can tell apart."""
MEANINGS = {
    "token_sum": "sum over counted tokens",
    "batch_mean": "sum / batch size",
    "token_mean": "sum / number of counted tokens",
    "padded_mean": "sum / (batch x token), padding or not",
    "sequence_mean": "mean over sequences of each one's token mean",
    "element_mean": "mean over batch, token and vocabulary",
    "fixed": "sum / a constant",
    "none": "a number per token",
    "other": "none of the known ones",
}
SQUARED = {True: ", times T^2", False: "", None: ", times T^2 or not: the constant divisor hides it"}


@dataclass(frozen=True)
class Audit:
    """What a loss computes; the vocabulary of the fields is explained in `docs/audit.md`.

    Args:
        loss: its name.
        divergence: what the student's gradient descends.
        value: what its value is.
        scale, value_scale: factors of both, relative to a plain token sum of the unit divergence.
        temperature, temperature_squared: `T` of `softmax(logits / T)`, and whether the loss is multiplied by `T^2`;
            `None` where a constant divisor hides that.
        reduction: how tokens are added up.
        stop_gradient: whether no gradient reaches the teacher (in numpy there is none).
        support, top_k: which tokens of the vocabulary it looks at.
        estimator: of a loss that looks at labels.
        faults, warnings: codes.
        findings: sentences.
        claims: what the ledger says, with numbers.
        seconds, calls: what the audit cost.
        points: measured `(log u, h)` for the picture.
    """

    loss: str
    divergence: str
    value: str
    scale: float
    value_scale: float
    temperature: float
    temperature_squared: bool | None
    reduction: str
    stop_gradient: bool
    support: str
    top_k: int | None
    estimator: str | None
    faults: frozenset[str]
    warnings: frozenset[str]
    findings: tuple[str, ...]
    claims: tuple[dict[str, Any], ...]
    seconds: float = 0.0
    calls: int = 0
    points: tuple[Array, Array] | None = field(default=None, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """No faults."""
        return not self.faults

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: sets as sorted lists, NaN as None."""
        found = {}
        for f in fields(self):
            x = getattr(self, f.name)
            if f.name == "points":
                continue
            found[f.name] = _plain(x)
        return found | {"ok": self.ok}

    def __str__(self) -> str:
        """For people."""
        lines = [f"{self.loss}: {self._sentence()}"]
        rows = [
            ("gradient descends", f"{self.divergence}, scale {_number(self.scale)}"),
            ("value is", f"{self.value}, scale {_number(self.value_scale)}"),
            ("temperature", f"{self.temperature:g}{SQUARED[self.temperature_squared]}"),
            ("reduction", f"{self.reduction} ({MEANINGS[self.reduction]})"),
            (
                "teacher",
                "constant" if self.stop_gradient else "receives a gradient",
            ),
            ("support", self.support + (f", k = {self.top_k}" if self.top_k else "")),
            *([("estimator", self.estimator)] if self.estimator else []),
            ("faults", ", ".join(sorted(self.faults)) or "none"),
            ("warnings", ", ".join(sorted(self.warnings)) or "none"),
        ]
        lines += [f"  {name:<18} {text}" for name, text in rows]
        lines += [f"  - {sentence}" for sentence in self.findings]
        lines += [f"  * {claim['text']}" for claim in self.claims]
        return "\n".join(lines)

    def _sentence(self) -> str:
        if self.ok:
            return "no fault found" + (", but no f-divergence either" if self.divergence == "none" else "")
        return f"{len(self.faults)} fault{'s' * (len(self.faults) > 1)}"

    def figure(self, path: str | Path) -> Path:
        """Draw the measured `h` among those of the catalogue, each with `h(1) = 0` and slope 1 there.

        Raises:
            ValueError: there is nothing to draw.
        """
        if self.points is None:
            raise ValueError(f"{self.loss} has no measured h to draw")
        import matplotlib.pyplot as plt

        log_u = np.linspace(-3, 3, 301)
        lq = np.full_like(log_u, -5.0)
        figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
        for law, colour in zip(CATALOGUE, COLOURS, strict=True):
            axes.plot(
                log_u, _unit(log_u, -law.slope(log_u + lq, lq) / np.exp(lq)), color=colour, lw=1.5, label=law.name
            )
        x, h = self.points
        keep = abs(x) <= 3
        axes.plot(x[keep], h[keep], "k.", ms=3, label=f"measured: {self.loss}", zorder=5)
        axes.set(
            xlabel="log u = log teacher - log student", ylabel="h(u), unit slope at u = 1", ylim=(-4, 6), xlim=(-3, 3)
        )
        axes.axhline(0, color="0.85", lw=0.8, zorder=0)
        axes.legend(frameon=False, fontsize=8, loc="upper left")
        path = Path(path)
        figure.savefig(path, dpi=160)
        plt.close(figure)
        return path


def _unit(log_u: Array, h: Array) -> Array:
    """Moved and scaled to `h(1) = 0` and slope 1 there (total variation: to a jump of one)."""
    i = int(abs(log_u).argmin())
    h = h - (h[i - 1] + h[i + 1]) / 2
    slope = (h[i + 1] - h[i - 1]) / (log_u[i + 1] - log_u[i - 1])
    return h / slope if abs(slope) < 10 else h / abs(h[-1] - h[0])


def _number(x: float) -> str:
    return "unknown" if math.isnan(x) else f"{x:.6g}"


def _plain(x: Any) -> Any:
    if isinstance(x, frozenset | set):
        return sorted(x)
    if isinstance(x, dict):
        return {k: _plain(v) for k, v in x.items()}
    if isinstance(x, tuple | list):
        return [_plain(v) for v in x]
    if isinstance(x, bool | np.bool_):
        return bool(x)
    if isinstance(x, float | np.floating):
        return float(x) if math.isfinite(x) else None
    return x
