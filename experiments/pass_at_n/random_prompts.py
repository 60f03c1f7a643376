"""Random prompts: trained students, what they keep, and from which N on forward cross-entropy is ahead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from distil_theory import success
from distil_theory.spec import Bandit
from experiments.pass_at_n import students
from experiments.pass_at_n.exact import ATTEMPTS
from experiments.pass_at_n.students import WATCHED

PROMPTS, ANSWERS, RIGHTS, CONTEXTS = 12, 16, 2, 2
"""12 prompts, of which two each look alike, 16 answers, two right ones per prompt."""
COVERED, KEPT = 0.1, 0.01
"""A prompt counts as covered, a right answer as kept, from this probability on."""
EM_SIZES = (0.1, 1.0, np.inf)
EM_STEPS = 40
TIE = 1e-9
SCALES = (0.1, 1.0, 10.0, 100.0)


class Outcome(NamedTuple):
    """One batch of trained students."""

    rank: int
    objective: str
    teacher: str
    weights: np.ndarray
    p: np.ndarray
    kept: np.ndarray
    effective: np.ndarray
    steps: np.ndarray
    passes: np.ndarray


def problems(seed: int, size: int) -> students.Prompts:
    """The batch of a seed, the same for every class and objective."""
    return students.random_prompts(np.random.default_rng([seed, 0]), PROMPTS, ANSWERS, RIGHTS, size, CONTEXTS)


def looks(steps: int) -> list[int]:
    """After which steps to look."""
    return sorted({0, steps, *(round(steps ** (i / 30)) for i in range(31))})


def trained(rank: int, objective: str, teacher: str, steps: int, size: int, seed: int) -> Outcome:
    """Train a batch of one class with one objective."""
    problem = problems(seed, size)
    rng = np.random.default_rng([seed, 1, rank])
    found = students.train(problem, rank, objective, teacher, steps, rng, watch=looks(steps))
    right = found.pi * problem.right
    p = right.sum(axis=1)
    q = np.where(right > 0, right, 1) / np.maximum(p, 1e-300)[:, None]
    entropy = -np.where(right > 0, q * np.log(q), 0).sum(axis=1)
    return Outcome(rank, objective, teacher, problem.weights, p, (right >= KEPT).sum(axis=1) / RIGHTS,
                   np.exp(entropy), found.steps, found.passes)  # fmt: skip


def _head(x: Outcome) -> dict[str, Any]:
    return {"rank": x.rank, "objective": x.objective, "teacher": x.teacher}


def _quartiles(values: np.ndarray) -> dict[str, Any]:
    """Mean and quartiles over instances, the last axis."""
    low, high = np.quantile(values, (0.25, 0.75), axis=-1)
    return {"mean": values.mean(axis=-1), "lower": low, "upper": high}


def pooled(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The seeds of a setting as one batch."""
    groups: dict[tuple, list[Outcome]] = {}
    for x in outcomes:
        groups.setdefault(x[:3], []).append(x)
    several = ("weights", "p", "kept", "effective", "passes")

    def joined(group: list[Outcome]) -> dict[str, Any]:
        return {f: np.concatenate([getattr(x, f) for x in group], axis=-1) for f in several}

    return [group[0]._replace(**joined(group)) for group in groups.values()]


def curves(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Pass@N at the end, over instances."""
    rows = []
    for x in outcomes:
        passed = success.pass_of_prompts(x.weights[:, None], x.p[:, None], np.array(ATTEMPTS)[:, None])
        rows.append(pd.DataFrame({**_head(x), "n": ATTEMPTS, **_quartiles(passed), "instances": passed.shape[1]}))
    return pd.concat(rows, ignore_index=True)


def learning(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Pass@1, 8, 64 while the students learn."""
    rows = [
        pd.DataFrame({**_head(x), "n": n, "step": x.steps, "mean": x.passes[:, i].mean(axis=-1)})
        for x in outcomes
        for i, n in enumerate(WATCHED)
    ]
    return pd.concat(rows, ignore_index=True)


def modes(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """What is left: prompts covered, right answers kept, how many of them in effect (`exp` entropy)."""
    rows = []
    for x in outcomes:
        measures = {"covered": (x.p >= COVERED).mean(axis=0), "kept": x.kept.mean(axis=0),
                    "effective": (x.weights * x.effective).sum(axis=0)}  # fmt: skip
        rows += [{**_head(x), "measure": name, **_quartiles(values)} for name, values in measures.items()]
    return pd.DataFrame(rows)


def crossings(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """From which N on forward cross-entropy with the same teacher (against plain RL: its own) is ahead."""
    by_key = {x[:3]: x for x in outcomes}
    n, rows = np.arange(1, 513), []
    for x in outcomes:
        if x.objective in ("distil", "likelihood"):
            continue
        rival = by_key[x.rank, "distil", x.teacher if x.teacher != "none" else "own"]
        ours, theirs = (success.pass_of_prompts(y.weights[:, None], y.p[:, None], n[:, None]) for y in (rival, x))
        ahead = ours > theirs + TIE
        first = np.where(ahead.any(axis=0), ahead.argmax(axis=0) + 1.0, np.inf)
        rows.append({**_head(x), "median": np.median(first), "lower": np.quantile(first, 0.25, method="lower"),
                     "upper": np.quantile(first, 0.75, method="higher"), "ahead_at_1": ahead[0].mean(),
                     "never": np.isinf(first).mean(), "ahead_at_512": ahead[-1].mean(),
                     "behind_at_512": (theirs > ours + TIE)[-1].mean(), "instances": len(first)})  # fmt: skip
    return pd.DataFrame(rows)


def same_student(outcomes: Sequence[Outcome], seed: int) -> pd.DataFrame:
    """Forward cross-entropy to the own teacher is likelihood RL: `direction_difference` of the two directions, after
    the factor `1 - floor`, relative to the largest entry, at random logits of several sizes; and how far apart (`p`)
    training ends, where roundings have been amplified."""
    problem, by_key = problems(seed, 16), {x[:3]: x for x in outcomes}
    rows = []
    for i, scale in enumerate(SCALES):
        logits = scale * np.random.default_rng([seed, 4, i]).normal(size=problem.right.shape)
        wanted = (1 - students.FLOOR) * students.ascent(problem, logits, "likelihood", "none")
        found = students.ascent(problem, logits, "distil", "own")
        rows.append({"at": f"logits of size {scale:g}", "direction_difference": abs(found - wanted).max()
                     / abs(wanted).max(), "end_difference": np.nan})  # fmt: skip
    for rank in sorted({x.rank for x in outcomes}):
        one, other = by_key[rank, "distil", "own"], by_key[rank, "likelihood", "none"]
        rows.append(
            {"at": f"rank {rank}", "direction_difference": np.nan, "end_difference": abs(one.p - other.p).max()}
        )
    return pd.DataFrame(rows)


def em(eta: float, size: int, seed: int) -> pd.DataFrame:
    """EM steps of a random student who sees all prompts alike: the likelihood, and Pass@1 which may fall."""
    problem, rng = problems(seed, size), np.random.default_rng([seed, 2])
    mdp = Bandit(problem.right, problem.weights, [0] * PROMPTS, batch_ndim=1)
    law = rng.dirichlet(np.full(ANSWERS, 0.3), size).T + 1e-9
    student = np.broadcast_to(law / law.sum(axis=0), (1, *problem.right.shape)).copy()
    rows, before = [], None
    for step in range(EM_STEPS + 1):
        p, value = success.success(mdp, student), success.log_likelihood(mdp, student)
        passed = [success.pass_of_prompts(problem.weights, p, n) for n in WATCHED]
        row = {"eta": eta, "step": step, "likelihood": value.mean(), **{f"pass_{n}": x.mean() for n, x in zip(
            WATCHED, passed, strict=True)}}  # fmt: skip
        if before is not None:
            row |= {"least_increase": (value - before[0]).min(), "pass_1_fell": (passed[0] < before[1] - TIE).mean()}
        rows.append(row)
        before = value, passed[0]
        student = success.em_step(mdp, student, None if np.isinf(eta) else eta)
    return pd.DataFrame(rows)
