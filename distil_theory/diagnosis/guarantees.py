r"""What the theorems guarantee for the ratios that were observed.

*Claim 14*, a whole answer being one action: if every ratio `Lambda` of a prompt lies in `[m, M]`, a small natural step
of reverse KL, Jensen-Shannon or Hellinger cannot lower that prompt's reward once its teacher is better by the safe gap.
*Claim 8b*: the same for local forward KL in `H` steps, from the ratios of tokens. *Claim 16*: if `E_pi (u-1)^2 <= chi2`
at every prefix, it is safe for all horizons up to the safe one. Gaps are in units of the range of rewards.

The ratios of a log are a sample: `[m, M]` is what was observed, and what was not may lie outside. And a guarantee is
for each prompt by itself; the gap that a log identifies is the mean over prompts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from distil_theory.diagnosis.observed import Observed
from distil_theory.diagnosis.rates import Column
from distil_theory.diagnosis.tally import Estimates
from distil_theory.divergences import HELLINGER, JENSEN_SHANNON, REVERSE_KL, FDivergence
from distil_theory.horizon import HorizonCurve, safe_horizon
from distil_theory.worst_case import largest_gap, safe_gap

CONCAVE = (REVERSE_KL, JENSEN_SHANNON, HELLINGER)
WIDEST = 1e8
"""Ranges of ratios up to a factor of this; wider ones guarantee nothing that a float can tell from nothing."""


class Guarantees(NamedTuple):
    """In units of the reward's range: the gap `J* - J` with its interval (NaN if not identified or not to be trusted);
    safe gaps by divergence, of whole answers; that of local forward KL; `None` where there is none. `horizon`: the safe
    one."""

    gap: tuple[float, float, float]
    answers: dict[str, float | None]
    answer_ratio: tuple[float, float]
    local: float | None
    token_ratio: tuple[float, float]
    steps: int
    horizon: int | None
    chi2: float | None


def guarantees(
    plan: Sequence[Column],
    found: Estimates,
    seen: Observed,
    reward_range: tuple[float, float] | None,
    divergences: Sequence[FDivergence],
) -> Guarantees:
    """Safe gaps and the safe horizon of a log."""
    if found.trust.above or found.trust.below:  # not a log that any theorem speaks of
        nothing = math.nan, math.nan, math.nan
        ends = _range(seen.answer_ratio), _range(seen.token_ratio)
        return Guarantees(nothing, {}, ends[0], None, ends[1], seen.longest, None, None)
    low, high = reward_range or (seen.reward_low, seen.reward_high)
    gap = (math.nan, math.nan, math.nan)
    for k, column in enumerate(plan):
        trusted = np.isfinite(found.rates.value[k]) and not found.trust.heavy[k]
        if column.name == "sequence/forward_kl" and high > low and trusted:
            value, least, most = (
                float(x[k]) / (high - low) for x in (found.rates.value, found.rates.low, found.rates.high)
            )
            gap = value, least, most
    answers = {d.name: _safe(d, seen.answer_ratio) for d in CONCAVE if d in divergences}
    horizon = None
    if seen.largest_chi2 and gap[1] > 0:
        horizon = safe_horizon(gap[1], seen.largest_chi2)
    m, M = _range(seen.token_ratio)
    local = None
    if _usable(m, M):
        curve = HorizonCurve(seen.longest, m, M)
        local = _useful(float(curve.safe_gap()), float(curve.most))
    return Guarantees(gap, answers, _range(seen.answer_ratio), local, (m, M), seen.longest, horizon, seen.largest_chi2)


def _range(log_ends: Sequence[float]) -> tuple[float, float]:
    low, high = (math.exp(max(min(x, 700.0), -700.0)) for x in log_ends)
    return low, high


def _usable(m: float, M: float) -> bool:
    return m < 1 < M and M <= WIDEST * max(m, 1e-300)


def _safe(d: FDivergence, log_ends: Sequence[float]) -> float | None:
    """The safe gap, or `None` where only the largest possible gap would be one."""
    m, M = _range(log_ends)
    if not _usable(m, M):
        return None
    return _useful(safe_gap(d, m, M), largest_gap(m, M))


def _useful(gap: float, most: float) -> float | None:
    return gap if gap < most * (1 - 1e-6) else None
