r"""What the unlisted tail of a distribution can add to `E_pi h(u)`.

Of the tail only the masses `t_q` (student) and `t_p` (teacher) are known. With `s = h - h(1)` and all ratios of the
tail in `[m, M]`, its part `sum_tail q s(u)` is `t_q` times a mean of `s` at points with mean `t_p/t_q`, hence

    t_q scheck(t_p/t_q)  <=  sum_tail q s(u)  <=  t_q shat(t_p/t_q),

`scheck` and `shat` the convex and the concave envelope on `[m, M]`; both are attained (claim 14). If nothing is known
of the ratios, `m = 0` and `M = inf`. For concave `s` (reverse KL, Jensen-Shannon, Hellinger) the upper end is then
Jensen's, `t_q s(t_p/t_q)`, and the lower one the chord `t_q s(0) + t_p s'(inf)`: minus infinity for reverse KL, which
one token that the teacher abandons can hurt without limit. For convex `s` (Pearson) it is the other way round. For
forward KL `s` is a line, and both are `t_p - t_q`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from distil_theory.diagnosis.log import Array
from distil_theory.divergences import FDivergence
from distil_theory.envelope import Envelope

ROUNDING = 1e-6
"""Tails in which neither model has more mass than this are empty: sums in single precision miss 1 by as much."""
SLACK = 1e-5
"""Masses contradict bounds of their ratio only by more than this: a mass near 0 is the difference of larger ones."""
SINGLE = 1e-6
"""Log ratios of equal probabilities that were written in single precision differ by this much."""


def score(divergence: FDivergence, log_u: Array) -> Array:
    """`h_f(u) - h_f(1)` from `log u`.

    Reverse KL needs no `u`, which may be below every float; total variation jumps at 1, where sums of logarithms that
    are equal but for rounding count as equal.
    """
    if divergence.name == "reverse_kl":
        return log_u
    if divergence.name == "total_variation":
        log_u = np.where(abs(log_u) < SINGLE, 0, log_u)
    with np.errstate(over="ignore", divide="ignore", under="ignore"):
        return np.asarray(divergence.h(np.exp(log_u)) - divergence.h(np.ones(1)))


def bounds(
    divergence: FDivergence,
    student: Array,
    teacher: Array,
    ratios: tuple[float, float] | None = None,
    place: Callable[[int], str] = "tail {}".format,
) -> tuple[Array, Array]:
    """Least and greatest `sum_tail q s(u)`, shape of the masses; infinite where the log sets no limit.

    Args:
        divergence: gives `s`.
        student, teacher: masses of the tail.
        ratios: smallest and largest ratio that the tail can have, if the caller knows.
        place: how an error calls the tail of an index.

    Raises:
        ValueError: the mean ratio of a tail lies outside `ratios`.
    """
    q, p = np.maximum(student, 0), np.maximum(teacher, 0)
    empty = (q <= ROUNDING) & (p <= ROUNDING)
    mean = np.where(empty | (q == 0), 1.0, p / np.where(q > 0, q, 1.0))
    low, high = ratios or (0.0, np.inf)
    if ratios:
        outside = (p < low * q - SLACK) | (p > high * q + SLACK)
        if outside.any():
            t = int(np.argmax(outside))
            odd = f"{p[t] / q[t]:.6g}" if q[t] > 0 else "infinity"
            raise ValueError(f"{place(t)} has the mean ratio {odd}, outside the given bounds [{low:g}, {high:g}]")
        mean = np.clip(mean, low, high)

    def s(u: Array) -> Array:
        with np.errstate(divide="ignore"):
            return score(divergence, np.log(u))

    bend = curvature(s)
    with np.errstate(invalid="ignore"):
        curve = q * s(mean)
    if bend == 0 and ratios:
        below, above = Envelope(s, low, high), Envelope(lambda u: -s(u), low, high)
        least, most = q * below(mean), -q * above(mean)
    else:
        chord = _chord(s, q, p, mean, low, high)
        least, most = (curve, chord) if bend > 0 else (chord, curve)
        if bend == 0:  # bends both ways and nothing is known of the ratios: only a bounded s has limits
            least, most = q * _end(s, 0.0), q * _end(s, np.inf)
    least, most = (np.where(empty | np.isnan(x), 0.0, x) for x in (least, most))
    return least, most


def _chord(s: Callable[[Array], Array], q: Array, p: Array, mean: Array, low: float, high: float) -> Array:
    bottom = _end(s, low)
    with np.errstate(invalid="ignore"):
        if np.isinf(high):
            far = float(s(np.array([1e150]))[0]) / 1e150  # the slope at infinity: 0, that of a line, or infinite
            slope = 0.0 if far < 1e-10 else far if far < 1e10 else np.inf
            return q * bottom + np.where(p > 0, p * slope, 0)
        share = (np.clip(mean, low, high) - low) / (high - low)
        return q * (bottom * (1 - share) + _end(s, high) * share)


def _end(s: Callable[[Array], Array], u: float) -> float:
    """`s` at an end; infinite if it still grows at the largest floats."""
    if np.isinf(u):
        near, far = s(np.array([1e100, 1e300]))
        return float(far) if abs(far - near) <= 1e-6 * max(abs(far), 1.0) else np.inf
    return float(s(np.array([u]))[0])


def curvature(s: Callable[[Array], Array]) -> int:
    """-1 for a concave, 1 for a convex function, 0 for one that bends both ways; a line counts as concave."""
    u = np.geomspace(1e-6, 1e6, 401)
    slope = np.diff(s(u)) / np.diff(u)
    bend, noise = np.diff(slope), 1e-9 * (abs(slope[1:]) + abs(slope[:-1]))
    return -1 if (bend <= noise).all() else 1 if (bend >= -noise).all() else 0
