"""Panel (d): what following a moving teacher costs, against how far it moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from distil_theory import experts, instances
from distil_theory.number_systems import Array
from distil_theory.online import bounds, drift, record, teachers
from distil_theory.online.teachers import Teacher
from distil_theory.spec import Bandit, TabularMDP
from experiments.harness import Tables
from experiments.regret import statistics

FLOOR = 0.02
STUDENT_FLOOR = float(bounds.mirror_floor(FLOOR))
"""Of students who take natural steps."""
ETA = {"proximal": 1.0, "natural": STUDENT_FLOOR / (1 - STUDENT_FLOOR), "kt": 1.0}
"""Step sizes: the natural one is the largest for which its bound is proved."""
KNOBS: dict[str, tuple[float, ...]] = {
    "rising": (0.01, 0.03, 0.1, 0.3, 1.0),
    "leading": (0.03, 0.1, 0.3, 1.0),
    "fed": (0.01, 0.03, 0.1, 0.3, 1.0),
    "switching": (1, 4, 16, 64),
    "contrary": (0.001, 0.003, 0.01, 0.03, 0.1),
    "coin": (4, 16, 64, 256),
}
"""Of each kind of teacher: rate of the average; share of the expert; share of feedback; number of switches; budget a
round; throws."""
DIALS = ("rising", "leading", "fed", "contrary")
"""Whose knob is no number of rounds."""
AVERAGED = 0.1
"""Rate of the average of the student which the leading teacher moves on."""
TRAINED = (("proximal", "all"), ("proximal", "student"), ("natural", "all"), ("natural", "student"), ("kt", "student"))
STATES, ACTIONS, BRANCHING, HORIZON, GARNET_SEED, TEMPERATURE = 4, 3, 2, 3, 1, 0.1
PER_DECADE = 5


def problem(kind: str) -> tuple[TabularMDP, Array]:
    """A Garnet paid at the end and its soft-optimal expert; for `coin` a bandit."""
    if kind == "coin":
        return Bandit(np.arange(ACTIONS) / 1.0), np.full((1, 1, ACTIONS), 1 / ACTIONS)
    mdp = instances.garnet(STATES, ACTIONS, BRANCHING, HORIZON, GARNET_SEED, rewards="terminal")
    return mdp, experts.soft_optimal(mdp, TEMPERATURE)


def teacher(kind: str, knob: float, rounds: int, seeds: range, base: int) -> Teacher:
    """The teacher of a kind, with its knob at `knob`."""
    mdp, star = problem(kind)
    other = np.roll(star, 1, axis=2)
    if kind == "rising":
        return teachers.rising(mdp, knob, FLOOR)
    if kind == "leading":
        return teachers.leading(star, knob, AVERAGED, FLOOR)
    if kind == "fed":
        return teachers.fed(star, knob, FLOOR, seeds, base)
    if kind == "contrary":
        return teachers.contrary(star, knob, FLOOR)
    if kind == "coin":
        return teachers.coin(ACTIONS, -(-rounds // int(knob)), FLOOR, seeds, base)
    if kind == "doubling":
        return teachers.switching(star, other, 2 ** np.arange(1, 64), FLOOR)
    gaps = np.linspace(1, rounds + 1, int(knob) + 2)[1:-1]
    return teachers.switching(star, other, gaps.round().astype(int), FLOOR)


def run(kind: str, knob: float, step: str, where: str, rounds: int, seeds: int, base: int) -> pd.DataFrame:
    """One task: costs, path and bounds of one teacher and one way to follow it, at the marks."""
    mdp, _ = problem(kind)
    teach = teacher(kind, knob, rounds, range(seeds), base)
    t = drift.follow(mdp, teach, rounds, step, ETA[step], where, seeds, base, record.marks(rounds, PER_DECADE))
    cells, first = mdp.shape[0] * mdp.shape[1], mdp.shape[0] * mdp.shape[1] * np.log(mdp.shape[2])
    path = t.path.mean(axis=1)
    bound = np.full(len(path), np.nan)
    if step == "proximal":
        bound = bounds.proximal_drift(ETA[step], ACTIONS, FLOOR, path, first)
    if step == "natural":
        bound = bounds.mirror_drift(ETA[step], ACTIONS, bounds.mirror_floor(FLOOR), path, first)
    throws = np.ceil(t.rounds / -(-rounds // int(knob))) if kind == "coin" else np.nan
    mean, lower, upper = statistics.mean_interval(t.kl)
    return pd.DataFrame({
        "teacher": kind, "knob": knob, "step": step, "where": where, "rounds": t.rounds, "n": seeds, "cells": cells,
        "path": path, "mean": mean, "lower": lower, "upper": upper, "error": statistics.standard_error(t.kl),
        "bound": bound, "unavoidable": throws * teachers.coin_loss(ACTIONS, FLOOR), "floor": t.floor.min(axis=1),
        "student_floor": t.student_floor.min(axis=1),
    })  # fmt: skip


def tasks(rounds: int, seeds: int, bases: range) -> list[tuple[Any, ...]]:
    """The arguments of `run`: teachers with every knob; and, four times as long, switches in rounds 2, 4, 8, ..."""
    knobs = [(kind, knob) for kind, some in KNOBS.items() for knob in some]
    kinds = [(kind, knob, rounds) for kind, knob in knobs if kind in DIALS or knob < rounds / 2]
    return [(kind, knob, *trained, length, seeds, base) for base in bases
            for kind, knob, length in [*kinds, ("doubling", 0.0, 4 * rounds)] for trained in TRAINED]  # fmt: skip


def pooled(found: list[pd.DataFrame]) -> Tables:
    """`drift`: the ends of all runs; `drift_time`: all marks of the teacher that switches ever more rarely.

    Runs of several bases, each with as many seeds, are averaged; their errors add in squares.
    """
    table = pd.concat(found, ignore_index=True)
    table["half"] = (table["upper"] - table["lower"]) / 2
    groups = table.groupby(["teacher", "knob", "step", "where", "rounds"], sort=False)
    bases = groups.size().iloc[0]
    one = groups.mean(numeric_only=True).reset_index()
    half = one.pop("half") / np.sqrt(bases)
    one = one.assign(n=one["n"] * bases, error=one["error"] / np.sqrt(bases), lower=one["mean"] - half,
                     upper=one["mean"] + half)  # fmt: skip
    forever = one["teacher"] == "doubling"
    ends = one[~forever & (one["rounds"] == one["rounds"][~forever].max())]
    return {"drift": ends.reset_index(drop=True), "drift_time": one[forever].reset_index(drop=True)}
