"""Synthetic logs: many at once, as one block of groups, from the rollouts of a game that is known exactly."""

from __future__ import annotations

import numpy as np

from distil_theory.diagnosis.log import Block
from experiments.diagnosis.games import Every


def block(every: Every, places: np.ndarray, top: int | None = None) -> Block:
    """The log of some rollouts, group after group.

    Args:
        every: all rollouts of the game.
        places: of the rollouts in it, `(..., size)`: the last axis is a group.
        top: list only so many of the student's likeliest tokens, with the rest as a tail; default: whole distributions.
    """
    size, chosen = places.shape[-1], places.reshape(-1)
    steps = every.tokens.shape[1]
    full = [x[chosen].reshape(-1, x.shape[-1]) for x in (every.student_full, every.teacher_full)]
    head = {
        "groups": np.arange(0, len(chosen) + 1, size),
        "starts": np.arange(0, len(chosen) * steps + 1, steps),
        "reward": every.reward[chosen],
        "student": every.student[chosen].reshape(-1),
        "teacher": every.teacher[chosen].reshape(-1),
        "tokens": every.tokens[chosen].reshape(-1),
    }
    if top is None:
        return Block(**head, student_full=full[0], teacher_full=full[1])
    listed = np.argsort(-full[0], axis=1, kind="stable")[:, :top]
    first, second = (np.take_along_axis(x, listed, axis=1) for x in full)
    return Block(**head, top=listed, student_top=first, teacher_top=second)


def bare(every: Every, places: np.ndarray) -> Block:
    """The same, but only what `Tally.take` reads: groups, starts and reward."""
    size, chosen = places.shape[-1], places.reshape(-1)
    steps, nothing = every.tokens.shape[1], np.empty(0)
    groups, starts = np.arange(0, len(chosen) + 1, size), np.arange(0, len(chosen) * steps + 1, steps)
    return Block(groups, starts, every.reward[chosen], nothing, nothing)
