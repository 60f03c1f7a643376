r"""What a simulation writes down: exact expectations of each round, summed over rounds, one column per seed.

Round `n` plays `pi_n`. Given `pi_n`, everything of its rollout that the theory speaks of is an expectation under the
occupancy `d^{pi_n}`, and is computed, not sampled:

    cost of pi_n = sum_h sum_s d_h^{pi_n}(s) c_h(s),    c_h(s) a function of the rows pi*(.|s) and pi_n(.|s).

Only the labels, and so the next student, are left to chance.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from distil_theory import validate

COSTS = ("kl", "tv", "hellinger", "pinsker", "shortfall", "earns", "chance")
"""The costs of a row, in the order of `row_costs`."""


class Record(NamedTuple):
    """Sums over the rounds `1..rounds[m]`, each `(M, n)` unless said: one row per mark, one column per seed.

    Attributes:
        rounds: the marks, `(M,)`.
        gap: `J* - J` of the student whom that many rounds have made, exact; no sum.
        regret: `sum (J* - J(pi_n))`.
        kl, tv, hellinger: `sum_n sum_h E_{d^{pi_n}}` of `KL(pi*||pi_n)`, of the total variation, and of
            `sum_a (sqrt pi* - sqrt pi_n)^2`.
        pinsker: the same of `sqrt(KL/2)`, which Pinsker puts above the total variation.
        shortfall: the same of `|sum_a (pi* - pi_n) Q^{pi*}|`, what performance difference puts above the regret.
        kl_expert: `sum_n sum_h E_{d^{pi*}} KL`: on the expert's states.
        chance: the part of `-regret` that is linear in the luck of the labels; its mean is zero (`online.dagger`).
        log_loss: of the labels, `sum -log pi_n(label)`: this one is what happened, and no expectation.
        hindsight: of the best fixed distribution per cell.
        label_bound: what `log_loss - hindsight` may be at most (claim 11).
        counts: labels of each cell after the last mark, `(H,O,A,n)`.
    """

    rounds: np.ndarray
    gap: np.ndarray
    regret: np.ndarray
    kl: np.ndarray
    tv: np.ndarray
    hellinger: np.ndarray
    pinsker: np.ndarray
    shortfall: np.ndarray
    kl_expert: np.ndarray
    chance: np.ndarray
    log_loss: np.ndarray
    hindsight: np.ndarray
    label_bound: np.ndarray
    counts: np.ndarray


def marks(rounds: int, per_decade: int = 10) -> np.ndarray:
    """Whole numbers from 1 to `rounds`, about `per_decade` to a factor of ten."""
    rounds = validate.whole("rounds", rounds, 1)
    several = round(np.log10(rounds) * validate.whole("per_decade", per_decade, 1)) + 1
    return np.unique(np.geomspace(1, rounds, several).round().astype(int))


def check_marks(rounds: int, at: Any) -> np.ndarray:
    """The rounds to write down, all of them by default.

    Raises:
        ValueError: not whole, not growing, or not within `1..rounds`.
    """
    every = np.arange(1, validate.whole("rounds", rounds, 1) + 1) if at is None else np.asarray(at)
    if every.ndim != 1 or not every.size or every.dtype.kind not in "iu" or np.any(np.diff(every) <= 0):
        raise ValueError(f"marks must be growing whole numbers, not {at!r}")
    if every[0] < 1 or every[-1] > rounds:
        raise ValueError(f"marks run from {every[0]} to {every[-1]}: there are rounds 1 to {rounds}")
    return every


def row_costs(
    star: np.ndarray, pi: np.ndarray, q: np.ndarray, reward: np.ndarray, labels: np.ndarray | None = None
) -> np.ndarray:
    """The costs of rows, actions on the *first* axis of every argument; shape `(7, ...)`, in the order of `COSTS`.

    Args:
        star, pi: rows of expert and student, `(A, ...)`; the student positive where the expert is.
        q: the expert's action values `Q^{pi*}`.
        reward: of each action.
        labels: how many labels made the row of the student, for `chance`; without them it is 0.
    """
    out = np.empty((len(COSTS), *np.broadcast_shapes(star.shape, pi.shape)[1:]))
    behind = pi - star
    out[0] = (star * np.log(np.where(star > 0, star, pi) / pi)).sum(axis=0)
    out[1] = abs(behind).sum(axis=0) / 2
    out[2] = ((np.sqrt(star) - np.sqrt(pi)) ** 2).sum(axis=0)
    out[3] = np.sqrt(np.maximum(out[0], 0) / 2)
    out[4] = abs((behind * q).sum(axis=0))
    out[5] = (pi * reward).sum(axis=0)
    actions = len(pi)
    out[6] = 0 if labels is None else ((behind - (1 - actions * star) / (2 * labels + actions)) * q).sum(axis=0)
    return out


def join(parts: list[Any]) -> Any:
    """Records of different seeds as one."""
    first = parts[0]
    return type(first)(first.rounds, *(np.concatenate(x, axis=-1) for x in list(zip(*parts, strict=True))[1:]))
