r"""What a loss may be: divergences in log space, with the slope that a gradient step sees, and what they are fed.

A *law* is one divergence, elementwise over tokens of the vocabulary: its `cost`, `q f(u)`, and its `slope`, the
derivative of the cost in `log q`, which is `-q h_f(u)` (`distil_theory.divergences`), with `u = p/q`, `p` the teacher's
and `q` the student's probability. Everything is in log space, in float64, so that logits of 1e4 do no harm.

A *view* is how a loss turns logits into the `log p`, `log q` that it compares: a softmax at a temperature, the top k
tokens in one of three forms, a softmax applied twice; with its pull-back, from slopes in `log q` to a gradient in the
student's logits. A loss is found out by comparing its gradient with `view.back(law.slope(view))` for all of them.

Nothing here is used by the losses of `distil_theory.llm` or by the core: the auditor must not share their errors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

Array = np.ndarray
HIDDEN = -1e5
"""The logarithm of no probability at all, but a number."""
Term = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Law:
    """One divergence: `cost` and `slope`, elementwise in `log p`, `log q`."""

    name: str
    cost: Term = field(compare=False)
    slope: Term = field(compare=False)
    finite_at_zero: bool = True
    """Whether a teacher probability of zero leaves it finite."""


def _times_difference(weight: Array, a: Array, b: Array) -> Array:
    """`weight (a - b)` with `0 (-inf) = 0`."""
    with np.errstate(invalid="ignore"):
        return np.where(weight == 0, 0.0, weight * (a - b))


def _mixture(b: float, lp: Array, lq: Array) -> Array:
    return np.logaddexp(np.log(b) + lp, np.log1p(-b) + lq)


def generalized_js(b: float) -> Law:
    """`b KL(p||m) + (1-b) KL(q||m)`, `m = b p + (1-b) q`, `0 < b < 1`."""

    def cost(lp: Array, lq: Array) -> Array:
        lm = _mixture(b, lp, lq)
        return b * _times_difference(np.exp(lp), lp, lm) + (1 - b) * _times_difference(np.exp(lq), lq, lm)

    def slope(lp: Array, lq: Array) -> Array:
        return (1 - b) * _times_difference(np.exp(lq), lq, _mixture(b, lp, lq))

    return Law(f"generalized_js({round(b, 3):g})", cost, slope)


def alpha(a: float) -> Law:
    """The alpha-divergence with `f''(1) = 1`, `a` neither 0 nor 1."""

    def power(lp: Array, lq: Array) -> Array:
        return np.exp(a * lp + (1 - a) * lq)

    def cost(lp: Array, lq: Array) -> Array:
        p, q = np.exp(lp), np.exp(lq)
        return (power(lp, lq) - q - a * (p - q)) / (a * (a - 1))

    return Law(f"alpha({round(a, 3):g})", cost, lambda lp, lq: (np.exp(lq) - power(lp, lq)) / a, a > 0)


FORWARD_KL = Law("forward_kl", lambda lp, lq: _times_difference(np.exp(lp), lp, lq), lambda lp, lq: -np.exp(lp))
CROSS_ENTROPY = Law("cross_entropy", lambda lp, lq: -np.exp(lp) * lq, FORWARD_KL.slope)
REVERSE_KL = Law(
    "reverse_kl",
    lambda lp, lq: _times_difference(np.exp(lq), lq, lp),
    lambda lp, lq: _times_difference(np.exp(lq), lq + 1, lp),
    finite_at_zero=False,
)
_JS = generalized_js(0.5)
CATALOGUE = (
    FORWARD_KL,
    REVERSE_KL,
    Law("jensen_shannon", _JS.cost, _JS.slope),
    Law(
        "hellinger",
        lambda lp, lq: (np.exp(lp / 2) - np.exp(lq / 2)) ** 2,
        lambda lp, lq: np.exp(lq) - np.exp((lp + lq) / 2),
    ),
    Law(
        "pearson_chi2",
        lambda lp, lq: (np.exp(lp - lq / 2) - np.exp(lq / 2)) ** 2,
        lambda lp, lq: np.exp(lq) - np.exp(2 * lp - lq),
    ),
    Law(
        "neyman_chi2",
        lambda lp, lq: (np.exp(lq - lp / 2) - np.exp(lp / 2)) ** 2,
        lambda lp, lq: 2 * (np.exp(2 * lq - lp) - np.exp(lq)),
        finite_at_zero=False,
    ),
    Law(
        "total_variation",
        lambda lp, lq: abs(np.exp(lp) - np.exp(lq)) / 2,
        lambda lp, lq: -np.exp(lq) * np.sign(np.exp(lp) - np.exp(lq)) / 2,
    ),
)
"""The named divergences of the core, each written a second time."""


def geometric(b: float) -> Term:
    """Slope of `log sum p^b q^(1-b)`, the normaliser of a mixture of logarithms."""

    def slope(lp: Array, lq: Array) -> Array:
        return (1 - b) * np.exp(log_softmax(b * lp + (1 - b) * lq))

    return slope


def relative(a: Array, b: Array) -> float:
    """`|a - b| / |a|`, in the Euclidean norm."""
    return float(np.linalg.norm(a - b)) / max(float(np.linalg.norm(a)), 1e-300)


def log_softmax(x: Array) -> Array:
    """Along the last axis, stably."""
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


class Compared(NamedTuple):
    """What a loss compares: `log p`, `log q`, and the pull-back of slopes in `log q` to the student's logits."""

    lp: Array
    lq: Array
    back: Callable[[Array], Array]


@dataclass(frozen=True)
class View:
    """How logits become the distributions that are compared.

    Args:
        temperature: `T` of `softmax(logits / T)`, applied first.
        form: `full`, `tail_bucket`, `tail_dropped`, `renormalised`, or `double_student`, `double_teacher`, `double`.
        k: how many tokens a top-k form shows.
        by: who chooses them: `teacher`, `student`, or `union`.
    """

    temperature: float = 1.0
    form: str = "full"
    k: int = 0
    by: str = "teacher"

    def __call__(self, student: Array, teacher: Array) -> Compared:
        """`log p`, `log q` and the pull-back, from logits `(..., vocab)`."""
        T = self.temperature
        s, t = student / T, teacher / T
        if self.form.startswith("double"):
            return self._double(s, t)
        lq, lp = log_softmax(s), log_softmax(t)

        def back(y: Array) -> Array:
            return (y - np.exp(lq) * y.sum(axis=-1, keepdims=True)) / T

        if self.form == "full":
            return Compared(lp, lq, back)
        seen = self.shown(s, t)
        if self.form == "renormalised":
            s, t = np.where(seen, s, HIDDEN), np.where(seen, t, HIDDEN)
            lq, lp = log_softmax(s), log_softmax(t)
            return Compared(lp, lq, lambda y: np.where(seen, y - np.exp(lq) * y.sum(axis=-1, keepdims=True), 0) / T)
        kp, kq = np.where(seen, lp, HIDDEN), np.where(seen, lq, HIDDEN)
        if self.form == "tail_dropped":
            return Compared(kp, kq, back)
        tail_p, tail_q = (np.logaddexp.reduce(np.where(seen, HIDDEN, x), axis=-1, keepdims=True) for x in (lp, lq))
        # the slope at the bucket is shared by its tokens in proportion to their probability
        share = np.where(seen, 0, np.exp(lq - tail_q))
        kp, kq = (np.concatenate([x, tail], axis=-1) for x, tail in ((kp, tail_p), (kq, tail_q)))
        return Compared(kp, kq, lambda y: back(y[..., :-1] + y[..., -1:] * share))

    def shown(self, s: Array, t: Array) -> Array:
        """Which tokens a top-k form shows."""

        def rank(x: Array) -> Array:
            return np.argsort(np.argsort(-x, axis=-1, kind="stable"), axis=-1)

        chosen = {"teacher": rank(t) < self.k, "student": rank(s) < self.k}
        return chosen["teacher"] | chosen["student"] if self.by == "union" else chosen[self.by]

    def _double(self, s: Array, t: Array) -> Compared:
        """A softmax of probabilities."""
        once = np.exp(log_softmax(s))
        twice_student = self.form in ("double", "double_student")
        lq = log_softmax(once if twice_student else s)
        lp = log_softmax(np.exp(log_softmax(t)) if self.form in ("double", "double_teacher") else t)

        def back(y: Array) -> Array:
            y = y - np.exp(lq) * y.sum(axis=-1, keepdims=True)
            return (once * (y - (once * y).sum(axis=-1, keepdims=True)) if twice_student else y) / self.temperature

        return Compared(lp, lq, back)
