r"""A bandit that refutes a divergence, built from three ratios off a chord, and its judge.

`build` is the construction of `three_points` on rationals; ratios on a falling line refute, too. `certified` knows
nothing of it: it takes the bandit as it is, reads the generator again, and decides exactly that the expert is better
and in balls that the step harms.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import flint
import numpy as np
import sympy

from distil_theory import calculus, grammar, prevalence
from distil_theory import number_systems as ns
from distil_theory.number_systems import Array
from distil_theory.three_points import misleading_reward, off_chord, three_actions


class Counterexample(NamedTuple):
    """A bandit in exact rationals `(A,)`: the expert is better, the step (`eta = None`: a small one) harms.

    `text` is the generator, `None` if only its score was given.
    """

    text: str | None
    eta: flint.fmpq | None
    reward: np.ndarray
    student: np.ndarray
    expert: np.ndarray


def build(text: str | None, eta: flint.fmpq | None, ratio: Array, g: Array) -> Counterexample:
    """The construction at three rational ratios, whose scores are the balls `g`; a claim until `certified`.

    Where they may lie on a line only the tilt is left, the reward of the last action: a falling line is refuted by it.
    """
    x, y, z = ratio
    delta = off_chord(ns.convert(ratio, "ball"), g)
    side = 1 if delta > 0 else -1 if delta < 0 else 0
    student = np.asarray(three_actions(x, y, z), dtype=object)
    pull = g[2] - (ns.convert(student, "ball") * g).sum()
    q = misleading_reward(x, z, student, 1, flint.fmpq(0))
    # half of the largest tilt that keeps the rate negative, rounded down to a power of two: simple rewards
    loss, tilt = abs(delta) * student[0] * student[1] * (z - x), max(q)
    while not 2 * tilt * pull < loss and tilt > max(q) / 2**2000:
        tilt = tilt / 2
    reward = np.asarray(misleading_reward(x, z, student, side, tilt), dtype=object)
    reward = (reward - reward.min()) / (reward.max() - reward.min())
    return Counterexample(text, eta, reward, student, student * ratio)


def certified(example: Counterexample, h: Callable[[Array], Array] | None = None) -> bool:
    """Whether the expert is better, exactly, and the step harms, in ball arithmetic, at ratios without a kink.

    Args:
        example: with its text, or with `h`.
        h: the score of a bare callable.
    """
    score = h if example.text is None else grammar.parse(example.text).h
    if score is None:
        raise ValueError("a counterexample without a text needs its score h")
    _, eta, reward, student, expert = example
    if not ((student > 0).all() and (expert > 0).all() and student.sum() == 1 == expert.sum()):
        return False
    step = prevalence.Step(motion(score, eta))
    with ns.precision(prevalence.BITS):
        try:
            harms = prevalence.exact_sign(step, reward, student, expert) < 0
        except ArithmeticError:  # more bits might decide it
            return False
        return harms and bool(smooth(example.text, ns.convert(expert / student, "ball")).all())


def motion(h: Callable[[Array], Array], eta: flint.fmpq | None) -> Callable[[Array], Array]:
    """`h` for a small step, `exp(eta h)` for one of size `eta`."""
    if eta is None:
        return h
    size = Fraction(int(eta.numerator), int(eta.denominator))
    return lambda u: ns.exp(ns.scale(h(u), size))


def scores(text: str) -> tuple[sympy.Expr, sympy.Expr]:
    """`h` and `f` as expressions."""
    f = grammar.to_sympy(text)
    return calculus.score(f), f


def kinks(text: str) -> list[sympy.Expr]:
    """Expressions at whose zeros `f` may have a kink."""
    return [part.args[0] for e in scores(text) for part in e.atoms(sympy.Abs, sympy.sign)]


def smooth(text: str | None, ratios: Array) -> np.ndarray:
    """Mask of the ratios (balls) that are certainly no kink; of a bare score we only suspect the ratio 1."""
    if text is None:
        return np.array([x > 1 or x < 1 for x in ratios], dtype=bool)
    sure = np.ones(len(ratios), dtype=bool)
    for a in kinks(text):
        levels = calculus.function(a)(ratios)
        sure &= [x > 0 or x < 0 or _flat(a, ratios[[i]]) for i, x in enumerate(levels)]
    return sure


def _flat(a: sympy.Expr, ratio: Array) -> bool:
    """Whether `a` is zero on both sides, too, as `|u - 1| + u - 1` below 1: there `|a|` has no kink."""
    near = _near(a, ratio)
    return near is not None and calculus.vanishes(near)


def _near(e: sympy.Expr, ratio: Array) -> sympy.Expr | None:
    """`e` near a ratio, without absolute values and signs; `None` where that may be a kink of one of them."""
    parts: list[Any] = [_near(part, ratio) for part in e.args]
    if any(part is None for part in parts):
        return None
    if not isinstance(e, sympy.Abs | sympy.sign):
        return e.func(*parts) if parts else e
    (a,) = parts
    (at,) = calculus.function(a)(ratio)
    if at > 0 or at < 0:
        side = 1 if at > 0 else -1
        return sympy.Integer(side) if isinstance(e, sympy.sign) else side * a
    return sympy.Integer(0) if calculus.vanishes(a) else None
