r"""The shape `h` of a loss that is in no catalogue, fitted as a curve.

An f-divergence has the gradient `g_v = -q_v (h(u_v) - E_q h(u))`, so `-g_v/q_v` is one curve in `log u_v`, moved up or
down by a number per token. A cubic spline with an intercept per token is fitted by least squares, weighted by `q`; what
remains says whether the loss is an f-divergence at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BSpline

from distil_theory.auditing.laws import Array, Compared

KNOTS = 30


@dataclass(frozen=True)
class Curve:
    """`h` on a grid of `log u`, with `h(1) = 0`, and the relative residual of its fit; the points it went through."""

    log_u: Array
    h: Array
    residual: float
    points: tuple[Array, Array]

    @property
    def monotone(self) -> bool:
        """Whether `h` never falls by more than the fit can tell: then `f` is convex."""
        steps = np.diff(self.h)
        return bool((steps >= -1e-2 * np.ptp(self.h)).all())

    @property
    def flat(self) -> float:
        """The share of the range of `log u` on which `h` does not move."""
        slopes = abs(np.gradient(self.h, self.log_u))
        return float((slopes < 2e-3 * np.median(slopes[slopes > 0])).mean()) if np.any(slopes > 0) else 1.0


def fit(compared: Compared, gradient: Array) -> Curve | None:
    """The curve through `-g/q`; `None` if there is too little to fit."""
    log_u, q = compared.lp - compared.lq, np.exp(compared.lq)
    n, vocab = log_u.shape
    if n * vocab < 4 * (n + KNOTS) or not np.isfinite(gradient).all() or not np.any(gradient):
        return None
    x, g = log_u.ravel(), gradient.ravel()
    inner = np.unique(np.quantile(x, np.linspace(0, 1, KNOTS - 2)))
    knots = np.concatenate([[inner[0]] * 3, inner, [inner[-1]] * 3])
    basis = BSpline.design_matrix(x, knots, 3).toarray()
    # g = -q h + a_n q: one intercept a token
    who = np.repeat(np.eye(n), vocab, axis=0)
    size = np.repeat(np.linalg.norm(gradient, axis=1), vocab) + 1e-3 * np.linalg.norm(gradient) / np.sqrt(n)
    weight = q.ravel() / size
    design = np.concatenate([-basis, who], axis=1) * weight[:, None]
    solution = np.linalg.lstsq(design, g / size, rcond=1e-10)[0]
    residual = float(np.linalg.norm(design @ solution - g / size) / np.linalg.norm(g / size))
    low, high = np.quantile(x, [0.01, 0.99])
    grid = np.linspace(low, high, 101)
    h = BSpline(knots, solution[: basis.shape[1]], 3)(grid)
    zero = h[abs(grid).argmin()]
    points = solution[basis.shape[1] :][:, None] - gradient / q
    return Curve(grid, h - zero, residual, (x, points.ravel() - zero))
