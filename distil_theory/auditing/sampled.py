r"""Losses that look at one token only, the label `y` that the student wrote: which estimator is it?

With `r = log q(y) - log p(y)`: k1 is `r`, k2 `r^2/2`, k3 `e^-r - 1 + r` (Schulman 2020), nll `-log q(y)`. Each has the
gradient `a grad log q(y)` with `a = 1, r, 1 - e^-r, -1`. A policy gradient has `a = r` as well, held constant, and some
other value: `r.detach() log q(y)`, or `r` itself through a ratio that is always one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distil_theory.auditing.laws import Array, log_softmax, relative
from distil_theory.auditing.meter import Meter
from distil_theory.auditing.probe import Loss


@dataclass(frozen=True)
class Estimator:
    """`name` of the contract, and the factor of its gradient."""

    name: str
    scale: float


def looks_at_labels(loss: Loss, rng: np.random.Generator) -> bool:
    """Whether other labels give another value or gradient. Labels that only mark what counts (-100: not) are taken as
    the mask from here on."""
    if not loss.takes_labels:
        return False
    s, t = rng.normal(size=(2, 2, 4, loss.vocab))
    base = np.zeros((2, 4), dtype=np.int64)
    other = np.arange(8).reshape(2, 4) % loss.vocab
    a, b = (loss(s, t, labels=labels) for labels in (base, other))
    if not (np.array_equal(a.value, b.value, equal_nan=True) and np.array_equal(a.student, b.student, equal_nan=True)):
        return True
    if not loss.takes_mask:
        try:
            c = loss(s, t, labels=np.where(base == 0, np.array([[0, 0, 0, -100]]), 0))
        except Exception:
            return False
        if c.finite and not np.array_equal(a.student, c.student):
            loss.labels_as_mask = loss.takes_mask = True
    return False


def estimator(meter: Meter, rng: np.random.Generator) -> Estimator:
    """Which of the known estimators it is; next to agreement, if at usual ratios it is none (something is clamped)."""
    found = _at(meter, rng, 1.0)
    return found if found.name != "other" else _at(meter, rng, 0.1)


def _at(meter: Meter, rng: np.random.Generator, sigma: float) -> Estimator:
    s, t = meter.draw(rng, sigma, 6)
    tolerance = 1e-2 if meter.coarse else 2e-3
    cost, g = meter.by_label(s, t)
    lq, lp = log_softmax(s), log_softmax(t)
    r = lq - lp
    score = np.eye(s.shape[-1]) - np.exp(lq)[:, None, :]  # grad log q(y), by label
    a = (g * score).sum(axis=-1) / (score**2).sum(axis=-1)
    aligned = relative(g, a[..., None] * score) < tolerance
    gradients = {"k1": r * 0 + 1, "k2": r, "k3": -np.expm1(-r), "nll": r * 0 - 1}
    values = {"k1": r, "k2": r**2 / 2, "k3": np.expm1(-r) + r, "nll": -lq}
    if not aligned:
        return Estimator("other", float("nan"))
    for name in ("k1", "k2", "k3", "nll"):
        c, left = _factor(gradients[name], a)
        d, right = _factor(values[name], cost)
        if max(left, right) < tolerance and abs(c - d) < 1e-2 * abs(c):
            return Estimator(name, c)
    c, left = _factor(r, a)
    return Estimator("policy_gradient" if left < tolerance else "other", c)


def _factor(model: Array, found: Array) -> tuple[float, float]:
    c = float((model * found).sum() / (model * model).sum())
    return c, relative(found, c * model)
