"""Timing that survives a drifting machine: interleaved rounds, ratios within a round, medians with quartiles.

A processor changes its clock and its neighbours' traffic from second to second. So the contenders take turns, each once
per round, and two of them are compared by the *ratios of their times in the same round*, which see the same weather.
The starter rotates, so that nobody always runs in the cache that the same other one leaves behind.

Results are rows of one tidy table; times are in seconds *per instance* (an MDP, a bandit, a whole problem).
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

TOLERANCE = 1e-10
"""Largest difference between contenders, absolute, on quantities of order one."""


class Row(NamedTuple):
    """One line of `results.csv`: `value`, with its quartiles over rounds if it was measured more than once.

    `n` is how many instances one call works on; units are `s` (per instance), `B/s`, `B`, or `1` for a pure number.
    """

    benchmark: str
    workload: str
    contender: str
    metric: str
    value: float
    unit: str
    lower: float = float("nan")
    upper: float = float("nan")
    n: int = 1
    rounds: int = 1


def measured(
    benchmark: str, workload: str, contender: str, metric: str, samples: np.ndarray, unit: str = "s", n: int = 1
) -> Row:
    """The row of `(rounds,)` samples: their median and quartiles."""
    value, lower, upper = (float(x) for x in np.quantile(samples, [0.5, 0.25, 0.75]))
    return Row(benchmark, workload, contender, metric, value, unit, lower, upper, n, len(samples))


class Contender(NamedTuple):
    """`run()` does the work on `n` instances; `read` brings what it returns into the form everyone is compared in."""

    run: Callable[[], Any]
    n: int
    read: Callable[[Any], tuple[np.ndarray, ...]] = lambda result: result


class DisagreementError(RuntimeError):
    """Contenders that should compute the same do not: their times mean nothing."""


def interleave(
    runs: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, np.ndarray]:
    """Seconds of each run in each round, `(rounds,)` per name; in every round each runs once, starters rotate."""
    names = list(runs)
    seconds = {name: np.empty(rounds) for name in names}
    gc.collect()
    gc.disable()  # whose objects a collection visits, and when, is no property of the one being timed
    try:
        for k in range(rounds):
            first = k % len(names)
            for name in names[first:] + names[:first]:
                start = clock()
                runs[name]()
                seconds[name][k] = clock() - start
    finally:
        gc.enable()
    return seconds


def growth_exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Slope of the least-squares line through `log seconds` against `log size`: 1 is linear, 2 quadratic."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def check_agreement(results: Mapping[str, Sequence[np.ndarray]], quantities: Sequence[str]) -> None:
    """Everyone agrees with the first to `TOLERANCE`, on as many instances (last axis) as both have.

    Raises:
        DisagreementError: naming contender, quantity and size of the difference (or the shapes that differ).
    """
    (reference, expected), *others = results.items()
    for name, result in others:
        for quantity, mine, theirs in zip(quantities, expected, result, strict=True):
            if mine.shape[:-1] != theirs.shape[:-1]:
                raise DisagreementError(f"{quantity}: {name} has shape {theirs.shape}, {reference} {mine.shape}")
            m = min(mine.shape[-1], theirs.shape[-1])
            difference = abs(mine[..., :m] - theirs[..., :m]).max()
            if not difference <= TOLERANCE:  # also for NaN
                raise DisagreementError(f"{quantity}: {name} differs from {reference} by {difference:.2g}")


def race(
    benchmark: str,
    workload: str,
    contenders: Mapping[str, Contender],
    rounds: int,
    floor: float | str | None = None,
) -> list[Row]:
    """Time contenders that are warm and agree; ratios are to the first one.

    Args:
        benchmark, workload: how the rows are labelled.
        contenders: the first is ours.
        rounds: how often each runs.
        floor: the least time per instance in seconds, or the name of the contender that measures it.

    Returns:
        For each contender `time` and `fastest` (s per instance), `ratio` (its time / ours, per round), and
        `above_floor` (its time / the floor).
    """
    seconds = interleave({name: c.run for name, c in contenders.items()}, rounds)
    per_instance = {name: seconds[name] / contenders[name].n for name in contenders}
    ours = next(iter(per_instance.values()))
    least = per_instance[floor] if isinstance(floor, str) else floor
    rows = []
    for name, samples in per_instance.items():
        label, n = (benchmark, workload, name), contenders[name].n
        rows.append(measured(*label, "time", samples, n=n))
        rows.append(Row(*label, "fastest", samples.min(), "s", n=n, rounds=rounds))
        rows.append(measured(*label, "ratio", samples / ours, "1", n))
        if least is not None:
            rows.append(measured(*label, "above_floor", samples / least, "1", n))
    if isinstance(least, float):
        rows.append(Row(benchmark, workload, "floor", "time", least, "s"))
    return rows
