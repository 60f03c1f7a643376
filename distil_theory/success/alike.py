r"""Prompts that look alike: where each objective ends, and from which N on one student passes another.

Prompts `x` of weight `w_x` look alike to the student, so it has one law of answers for all of them; prompt `x` has an
answer of its own that is right, of probability `p_x` under that law. Then Pass@N `= 1 - sum_x w_x (1-p_x)^N`.

*A fixed truthful teacher* says the right answer with probability `1 - e` and else anything, so `t_x = (1-e) 1_x + e/A`.
Forward CE ends at the mean of the teachers, `w_x` for `e -> 0`. Reverse KL ends at their normalised *geometric* mean,

    p_a ∝ prod_x t_x(a)^{w_x} ∝ R^{w_a},    R = 1 + (1-e) A/e:

a softmax of the weights. It collapses to the heaviest prompt as `e -> 0` if that is unique; equal weights stay equal.

*The student's own teacher*, conditioned on success and trusted to `1 - e`, is `t_x = (1-e) 1_x + e pi`. Skewed
Jensen-Shannon, `h = log(1 + beta u)`, rests where `E[h|a]` is the same for every answer: with some `lambda > 0`

    p_a = R / (exp(lambda / w_a) - 1),    sum_a p_a = 1,    R = beta (1-e) / (1 + beta e):

a Bose-Einstein law. `beta -> 0` is forward CE and gives `p = w`; `beta = 1` is Jensen-Shannon, also for the fixed
teacher with `e = 0`; `beta -> inf` is reverse KL, `R = (1-e)/e`. Plain RL ends at the heaviest prompt.

There `p_a / w_a` grows with `w_a`, and *one* crossing follows (claim 12d): at N = 1 the sharper student is at least as
good, from some N on the mixture `w` is better. The geometric mean is sharper for small `e` only: the lightest prompts
get more than their weight.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import solve, validate
from distil_theory.number_systems import Array
from distil_theory.success.metrics import attempts, pass_at_n, probability
from distil_theory.updates import bisect


def _weights(weights: Any) -> Array:
    w = ns.asarray(weights)
    validate.batched("weights", w, w.shape[:1] or (1,), ["prompt"])
    validate.distribution("weights", w, ["prompt"], 0)
    validate.positive("weights", w, ["prompt"], "a prompt that never comes is none")
    return w


def _teachers(teachers: Any, weights: Any) -> tuple[Array, Array]:
    """Teachers `(X, A, *B)` and weights `(X, 1, *B)`, with equally many axes."""
    t, w = ns.common(ns.asarray(teachers), _weights(weights))
    validate.batched("teachers", t, (len(w), *t.shape[1:2]), ["prompt", "answer"])
    validate.distribution("teachers", t, ["prompt", "answer"], 1)
    batch = max(t.ndim - 2, w.ndim - 1)
    return solve.align(t, batch, 2), solve.align(w, batch, 1)[:, None]


def _floor(floor: Any, like: Array, *, open_end: bool = False) -> Array:
    e = ns.common(ns.asarray(floor), like)[0]
    validate.finite("floor", e, ["batch"] * e.ndim)
    if ns.name(e) != "symbolic" and not np.all(np.asarray((e > 0 if open_end else e >= 0) & (e < 1))):
        raise ValueError(f"floor must be {'positive' if open_end else 'at least 0'} and below 1, not {floor}")
    return e


def truthful_teacher(right: Any, floor: Any) -> Array:
    """`(1-e)` shared evenly among the right answers plus `e` among all, `(X, A, *B)` from marks `right (X, A, *B)` and
    a floor that is a number or an array over `B`.

    Raises:
        ValueError: marks that are not 0 or 1, a prompt without a right answer, a floor outside [0, 1).
    """
    marks = ns.asarray(np.asarray(right) * 1)
    validate.batched("right", marks, marks.shape[:2] or (1, 1), ["prompt", "answer"])
    if not np.all(np.asarray(ns.iszero(marks * (1 - marks)))):
        raise ValueError("right must mark answers with 0 or 1")
    e = ns.asarray(floor)
    marks = solve.align(marks, e.ndim, 2)
    total = marks.sum(axis=1)
    validate.positive("the number of right answers", total, ["prompt"], "nothing truthful could be said")
    marks, total, e = ns.common(marks, total, e)
    e = _floor(e, marks)
    return (1 - e) * (marks / total[:, None]) + e / marks.shape[1]


def smoothed_mixture(teachers: Any, weights: Any) -> Array:
    """`sum_x w_x t_x`, where forward CE ends: `(A, *B)` from teachers `(X, A, *B)` and weights `(X, *B)`.

    Raises:
        ValueError: another number of teachers than weights, a row that is no distribution.
    """
    t, w = _teachers(teachers, weights)
    return (w * t).sum(axis=0)


def geometric_mean(teachers: Any, weights: Any) -> Array:
    """`prod_x t_x^{w_x}`, normalised, where reverse KL ends, `(A, *B)`; floats, balls or symbols.

    Raises:
        ValueError: as `smoothed_mixture`, or a teacher that excludes an answer: reverse KL would be infinite.
    """
    t, w = _teachers(teachers, weights)
    validate.positive("teachers", t, ["prompt", "answer"], "reverse KL would be infinite")
    power = ns.exp((w * ns.log(t)).sum(axis=0))
    return power / power.sum(axis=0)


def self_taught_odds(beta: float, floor: float) -> float:
    """`R = beta (1-e) / (1 + beta e)`; `beta = inf` is reverse KL, which needs `e > 0`."""
    e = float(_floor(floor, np.ones(()), open_end=np.isinf(beta)))
    if not beta > 0:
        raise ValueError(f"beta must be positive, not {beta}: its limit 0 is the mixture")
    return (1 - e) / e if np.isinf(beta) else beta * (1 - e) / (1 + beta * e)


def self_taught(weights: Any, odds: Any) -> np.ndarray:
    """`p_a = R / (exp(lambda / w_a) - 1)` with `sum p = 1`, `(X, *B)`, in floats, up to `lambda / w_a` roundings.

    Args:
        weights: of the prompts, `(X, *B)`.
        odds: `R > 0`, a number or an array over `B`.

    Raises:
        ValueError: weights that are no distribution or have a zero, odds that are not positive.
    """
    w, r = ns.convert(_weights(weights), "float64"), np.asarray(odds, dtype=float)
    if not np.all((r > 0) & np.isfinite(r)):
        raise ValueError(f"odds must be positive and finite, not {odds}")
    w = solve.align(w, r.ndim, 1)
    top = w.max(axis=0)
    # one answer alone takes everything at lambda = w log(1 + R): the sum is above 1 there, and below at X times R
    several = np.where(r < 1, np.log1p(len(w) * np.minimum(r, 1)), np.log1p(r) + np.log(len(w)))
    low, high = top * np.log1p(r), top * several

    def law(multiplier: np.ndarray) -> np.ndarray:
        y = multiplier / w
        half = np.exp(-y / 2)  # twice: where `e^y` overflows `R e^-y` need not vanish
        return r * half * half / -np.expm1(-y)

    p = law(bisect(lambda m: law(m).sum(axis=0) - 1, low * (1 - 1e-12), high * (1 + 1e-12)))
    return p / p.sum(axis=0)


def pass_of_prompts(weights: Any, p: Any, n: Any) -> Array:
    """`sum_x w_x Pass@N(p_x)`, shape `B`, for `p (X, *B)`; `n` a number, or an array that broadcasts with `B`.

    Raises:
        ValueError: as `pass_at_n`, weights that are no distribution or have a zero, another number of `p` than weights.
    """
    w, p = ns.common(_weights(weights), ns.asarray(p))
    validate.batched("p", p, w.shape[:1], ["prompt"])
    batch = max(w.ndim, p.ndim) - 1
    w, p = (solve.align(x, batch, 1) for x in (w, p))
    more = max(np.ndim(n) - batch, 0)  # axes of `n` alone come before those of the batch
    w, p = (x.reshape(len(x), *[1] * more, *x.shape[1:]) for x in (w, p))
    return (w * pass_at_n(p, n)).sum(axis=0)


def crossing(weights: Any, sharp: Any, broad: Any, most: int = 10_000) -> int | None:
    """The first `N <= most` at which `broad (X,)` has the larger Pass@N; exact on rationals, `None` if there is none.

    If `broad` is the mixture, `weights`, and `sharp` is sharper, it stays ahead from there on (claim 12d).

    Raises:
        ValueError: weights that are no distribution or have a zero, `sharp` or `broad` that are no probabilities, one
            for each prompt; `most < 1`.
    """
    w, one, other = ns.common(_weights(weights), probability("sharp", sharp), probability("broad", broad))
    for what, x in (("weights", w), ("sharp", one), ("broad", other)):
        validate.shape(what, x, (len(w),), ["prompt"])
    miss, misses = [1 - x for x in (one, other)], [w, w]
    for n in range(1, attempts("most", most) + 1):
        misses = [a * b for a, b in zip(misses, miss, strict=True)]
        if misses[1].sum() < misses[0].sum():
            return n
    return None
