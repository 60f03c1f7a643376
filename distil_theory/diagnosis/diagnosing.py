"""`diagnose`: read a log once, and say what a small step of each objective would do to its reward."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distil_theory import validate
from distil_theory.diagnosis import naming, rates
from distil_theory.diagnosis.bootstrap import REPLICATES
from distil_theory.diagnosis.carriers import Carriers
from distil_theory.diagnosis.guarantees import guarantees
from distil_theory.diagnosis.observed import Observed
from distil_theory.diagnosis.rates import CLIP, Column
from distil_theory.diagnosis.reading import Log
from distil_theory.diagnosis.report import Diagnosis, Rate
from distil_theory.diagnosis.tally import Estimates, Tally
from distil_theory.divergences import CATALOGUE, FDivergence, check_divergence


def diagnose(
    rollouts: Any,
    *,
    columns: Mapping[str, str] | None = None,
    divergences: Sequence[FDivergence] = CATALOGUE,
    clip: float = CLIP,
    level: float = 0.95,
    reward_range: tuple[float, float] | None = None,
    tail_ratios: tuple[float, float] | None = None,
    drop_single: bool = False,
    words: Sequence[str] | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Diagnosis:
    """How fast a small step of each objective changes the reward, as far as logged rollouts tell.

    Args:
        rollouts: a file (.parquet, .csv, .jsonl), a data frame or dictionaries, a rollout in each row, groups together.
            Columns: `group` (one prompt with one teacher context), `reward`, `student` and `teacher` (natural
            log-probability of each written token); also `tokens` (numbers or texts), with `student_full` and
            `teacher_full` (of all tokens, `(token, V)`) or `top`, `student_top`, `teacher_top` (`(token, k)`).
        columns: what the log calls a column, e.g. `{"student": "logprobs", "teacher": "ref_logprobs"}`.
        divergences: of which objectives.
        clip: of the clipped prefix weights.
        level: of the intervals.
        reward_range: smallest and largest possible reward; the observed ones if not given.
        tail_ratios: bounds of teacher/student among unlisted tokens, if you know any.
        drop_single: leave out groups of one rollout where others have more.
        words: texts of the tokens by number.
        replicates, seed: of the bootstrap.

    Raises:
        ValueError: an option is wrong, or the log: the message names the row.
    """
    for d in divergences:
        check_divergence(d)
    check_options(clip, level, reward_range, tail_ratios, replicates)
    log, seen = Log(rollouts, columns, drop_single), Observed(clip)
    tally: Tally | None = None
    for block in log:
        if tally is None:
            plan = [c for c in rates.columns(block, divergences) if block.sizes[0] > 1 or c.centred]
            missing = naming.unidentified(block, plan, divergences)
            form, tally, carriers = block.form, Tally(plan, clip, tail_ratios, replicates, seed), Carriers(plan)
        carriers.add(block, tally.add(block))
        seen.add(block)
    assert tally is not None
    texts = list(words or log.reader.words)
    found = tally.estimates(level)
    if reward_range is not None and not reward_range[0] <= seen.reward_low <= seen.reward_high <= reward_range[1]:
        raise ValueError(f"rewards lie in [{seen.reward_low:g}, {seen.reward_high:g}], outside reward_range")
    return Diagnosis(
        source=Path(rollouts).name if isinstance(rollouts, str | Path) else "",
        form=form,
        level=level,
        clip=clip,
        seen=seen,
        dropped=log.dropped,
        rates=tuple(_rates(plan, found, tally, carriers, texts, clip)),
        unidentified=tuple((level, d.name, naming.title(level, d, clip), why) for level, d, why in missing),
        above=bool(found.trust.above),
        below=bool(found.trust.below),
        checks=found.checks,
        guarantees=guarantees(plan, found, seen, reward_range, divergences),
    )


def check_options(
    clip: float,
    level: float,
    reward_range: tuple[float, float] | None,
    tail_ratios: tuple[float, float] | None,
    replicates: int,
) -> None:
    """Raises `ValueError` for an option that makes no sense."""
    if not (math.isfinite(clip) and clip > 0):
        raise ValueError(f"clip must be positive and finite, not {clip}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    if reward_range is not None and not (np.isfinite(reward_range).all() and reward_range[0] < reward_range[1]):
        raise ValueError(f"reward_range must be two increasing numbers, not {reward_range}")
    if tail_ratios is not None and not 0 <= tail_ratios[0] < 1 < tail_ratios[1] < math.inf:
        raise ValueError(f"tail_ratios must have 0 <= m < 1 < M < inf, not {tail_ratios}")
    if validate.whole("replicates", replicates, 1) < 1 / (1 - level) - 1:
        raise ValueError(f"intervals of level {level} need more than {replicates} replicates")


def _rates(
    plan: Sequence[Column], found: Estimates, tally: Tally, carriers: Carriers, words: Sequence[str], clip: float
) -> list[Rate]:
    own, out = found.rates, []
    invalid = bool(found.trust.above or found.trust.below)
    for k, column in enumerate(plan):
        if column.end == "high":
            continue
        ends = [k, k + 1] if column.end else [k, k]
        value = own.value[ends]
        why = ""
        if tally.infinite[ends].any():
            why = naming.unbounded(column)
        out.append(
            Rate(
                level=column.level,
                divergence=column.divergence.name,
                title=naming.title(column.level, column.divergence, clip),
                unit=column.divergence.unit,
                value=(float(value[0]), float(value[1])),
                low=float(own.low[ends[0]]),
                high=float(own.high[ends[1]]),
                carrying=float(own.carrying[ends].min()),
                expected=float(found.trust.expected[k]),
                heavy=bool(found.trust.heavy[ends].any()),
                invalid=invalid,
                unidentified=why,
                positions=() if column.end or why else tuple(carriers.positions(k)),
                tokens=() if column.end or why else tuple(carriers.tokens(k, words)),
            )
        )
    return out
