"""The report of a diagnosis: fields for programs, a page for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from distil_theory.diagnosis import trust
from distil_theory.diagnosis.bootstrap import Intervals
from distil_theory.diagnosis.carriers import Part
from distil_theory.diagnosis.guarantees import Guarantees
from distil_theory.diagnosis.observed import Observed

RAISES, LOWERS, UNDECIDED = "raises", "lowers", "undecided"
NOT_IDENTIFIED, NOT_TRUSTED, VOID = "not identified", "not to be trusted", "void"
WIDTH = 112


@dataclass(frozen=True)
class Rate:
    """How fast a small step of one objective changes the reward, per unit of step size.

    Args:
        level, divergence, title: which objective.
        unit: `f''(1)`; rates divided by it compare across divergences.
        value: the estimate twice, or the two ends where only an interval is identified.
        low, high: ends of the confidence interval.
        carrying: effective groups behind its variance.
        expected: effective rollouts that the moments of tokens let expect.
        heavy: whether the weights are too heavy for the interval.
        invalid: whether the log is not what the theory speaks of.
        unidentified: why not, if so.
        positions, tokens: what carries it.
    """

    level: str
    divergence: str
    title: str
    unit: float
    value: tuple[float, float]
    low: float
    high: float
    carrying: float
    expected: float
    heavy: bool
    invalid: bool
    unidentified: str
    positions: tuple[Part, ...] = ()
    tokens: tuple[Part, ...] = ()

    @property
    def name(self) -> str:
        """`level/divergence`."""
        return f"{self.level}/{self.divergence}"

    @property
    def verdict(self) -> str:
        """One of the six words above."""
        if self.unidentified:
            return NOT_IDENTIFIED
        if self.invalid:
            return VOID
        if self.heavy:
            return NOT_TRUSTED
        return RAISES if self.low > 0 else LOWERS if self.high < 0 else UNDECIDED


@dataclass(frozen=True)
class Diagnosis:
    """What a log says; see `docs/diagnose.md`.

    Args:
        source, form: the log, and whether it has sampled tokens only, listed ones, or whole distributions.
        level, clip: as asked for.
        seen: sizes, rewards, ratios.
        dropped: groups left out.
        rates: those that the log identifies, and some that turned out not to be.
        unidentified: `(level, divergence, title, why)` of those that such a log cannot tell.
        above, below: whether `E[u - 1] = 0` fails, and to which side.
        checks: intervals of `trust.CHECKS`.
        guarantees: safe gaps and horizon.
    """

    source: str
    form: str
    level: float
    clip: float
    seen: Observed
    dropped: int
    rates: tuple[Rate, ...]
    unidentified: tuple[tuple[str, str, str, str], ...]
    above: bool
    below: bool
    checks: Intervals
    guarantees: Guarantees

    def __getitem__(self, name: str) -> Rate:
        """The rate of this name, such as `"local/forward_kl"`.

        Raises:
            KeyError: the log does not identify it; the message says why.
        """
        for rate in self.rates:
            if rate.name == name:
                return rate
        for level, divergence, _, why in self.unidentified:
            if f"{level}/{divergence}" == name:
                raise KeyError(f"{name} is not identified: {why}")
        raise KeyError(f"no rate is called {name!r}: choose from {', '.join(r.name for r in self.rates)}")

    def verdict(self, name: str) -> str:
        """Of this objective: raises, lowers, undecided, not to be trusted, void or not identified.

        Raises:
            ValueError: there is no such objective.
        """
        known = {r.name: r.verdict for r in self.rates}
        known |= {f"{level}/{d}": NOT_IDENTIFIED for level, d, _, _ in self.unidentified}
        if name not in known:
            raise ValueError(f"there is no objective {name!r}: choose from {', '.join(known)}")
        return known[name]

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the log, in sentences."""
        from distil_theory.diagnosis.words import warnings

        return warnings(self)

    def __str__(self) -> str:
        """For people."""
        from distil_theory.diagnosis.words import page

        return page(self)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; NaN and infinities as None."""
        from distil_theory.diagnosis.words import reason, summary

        s, g = self.seen, self.guarantees
        found = {
            "source": self.source,
            "form": self.form,
            "level": self.level,
            "clip": self.clip,
            "groups": s.groups,
            "rollouts": s.rollouts,
            "tokens": s.tokens,
            "dropped_groups": self.dropped,
            "groups_that_differ": s.decided,
            "reward": {"mean": s.reward, "low": s.reward_low, "high": s.reward_high},
            "effective_rollouts": s.effective,
            "mean_chi2": s.mean_chi2,
            "clip_bias_bound": s.clipped_away,
            "rates": [
                {
                    "name": r.name, "title": r.title, "verdict": r.verdict, "value": r.value, "low": r.low,
                    "high": r.high, "unit": r.unit, "carrying_groups": r.carrying, "expected_rollouts": r.expected,
                    "doubt": reason(r, self) if r.verdict == NOT_TRUSTED else None,
                    "positions": [p._asdict() for p in r.positions], "tokens": [p._asdict() for p in r.tokens],
                }
                if not r.unidentified
                else {"name": r.name, "title": r.title, "verdict": r.verdict, "why": r.unidentified}
                for r in self.rates
            ]
            + [
                {"name": f"{level}/{d}", "title": title, "verdict": NOT_IDENTIFIED, "why": why}
                for level, d, title, why in self.unidentified
            ],
            "checks": {
                name: {"mean": float(self.checks.value[i]), "standard_error": float(self.checks.standard_error[i])}
                for i, name in enumerate(trust.CHECKS)
            },
            "void": self.above or self.below,
            "guarantees": g._asdict(),
            "warnings": list(self.warnings),
            "summary": summary(self),
        }  # fmt: skip
        return {name: plain(x) for name, x in found.items()}

    def figure(self, path: str | Path) -> Path:
        """Draw rates, and the positions and tokens that carry them."""
        from distil_theory.diagnosis.figure import draw

        return draw(self, Path(path))


def plain(x: Any) -> Any:
    """JSON-ready."""
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, tuple | list):
        return [plain(v) for v in x]
    if isinstance(x, float):
        return x if math.isfinite(x) else None
    return x


def listed(names: Iterable[str]) -> str:
    """`a, b and c`."""
    every = list(names)
    return every[0] if len(every) == 1 else f"{', '.join(every[:-1])} and {every[-1]}" if every else ""


def wrapped(text: str, indent: str = "", first: str | None = None) -> list[str]:
    """Lines of bounded width."""
    import textwrap

    return textwrap.wrap(text, WIDTH, initial_indent=indent if first is None else first, subsequent_indent=indent)


def with_verdict(rates: Sequence[Rate], verdict: str) -> list[Rate]:
    """Those with this verdict."""
    return [rate for rate in rates if rate.verdict == verdict]
