"""A loss against a law: measured gradients, least-squares factors, and what they leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize_scalar

from distil_theory.auditing.curve import Curve
from distil_theory.auditing.laws import CATALOGUE, Array, Law, View, generalized_js, relative
from distil_theory.auditing.meter import Meter


@dataclass(frozen=True)
class Match:
    """What was found: `name` in the vocabulary of the report, and what it rests on.

    Args:
        name: of the divergence.
        view: what is compared.
        scale: the factor, per token.
        residual: relative, of the fit.
        law: the law, if one of the catalogue or of a family.
        partial: whether the law holds on a part of the tokens only.
        share: how large a part, among those of the size at which it is largest.
        curve: the fitted `h`, if no law.
        both: the factors of forward and reverse KL, if a sum of the two.
        normaliser: `w`, if `log sum p^w q^(1-w)` is a part of it.
        mixed: whether there are KLs beside it: a normalised mixture of logarithms.
    """

    name: str
    view: View = field(default_factory=View)
    scale: float = 1.0
    residual: float = 1.0
    law: Law | None = None
    partial: bool = False
    share: float = 1.0
    curve: Curve | None = None
    both: tuple[float, float] | None = None
    normaliser: float | None = None
    mixed: bool = False

    @property
    def ascends(self) -> bool:
        """Whether a step against the gradient increases the divergence."""
        if self.law is not None or self.both is not None:
            return self.scale < 0
        return self.name == "f_divergence" and self.curve is not None and bool(self.curve.h[-1] < self.curve.h[0])


@dataclass(frozen=True)
class Data:
    """Random tokens and their gradients."""

    s: Array
    t: Array
    g: Array

    def join(self, other: Data) -> Data:
        """Both."""
        return Data(*(np.concatenate(x) for x in ((self.s, other.s), (self.t, other.t), (self.g, other.g))))


def tolerances(meter: Meter) -> tuple[float, float]:
    """Largest relative residual of a named law, and of a law with a fitted parameter."""
    return ((1e-3, 1e-4), (3e-3, 2e-3), (5e-2, 1e-2))[meter.grain]


def measure(meter: Meter, rng: np.random.Generator, sigma: float, tokens: int | None = None) -> Data:
    """A batch of random tokens; those with gradients that are not numbers are left out."""
    s, t = meter.draw(rng, sigma, tokens)
    g = meter.gradients(s, t)
    good = np.isfinite(g).all(axis=-1)
    return Data(s[good], t[good], g[good])


def linear(models: Array, g: Array) -> tuple[Array, float]:
    """Factors of `models (m, tokens, vocab)` that add up to `g`, each token counted alike, and what remains."""
    norms = np.linalg.norm(g, axis=-1)
    norms = np.maximum(norms, 1e-3 * np.median(norms) + 1e-300)
    a = (models / norms[:, None]).reshape(len(models), -1).T
    b = (g / norms[:, None]).ravel()
    if not np.isfinite(a).all():
        return np.zeros(len(models)), 1.0
    c = np.linalg.lstsq(a, b, rcond=None)[0]
    return c, relative(b, a @ c)


def try_law(law: Law, view: View, data: Data) -> Match:
    """One law under one view."""
    seen = view(data.s, data.t)
    c, residual = linear(seen.back(law.slope(seen.lp, seen.lq))[None], data.g)
    return Match(law.name, view, float(c[0]), residual, law)


def best(view: View, data: Data) -> Match:
    """The law of the catalogue that fits best."""
    return min((try_law(law, view, data) for law in CATALOGUE), key=lambda m: m.residual)


def polish(error: Callable[[float], float], grid: Array) -> float:
    """The least point of a function of one variable: a grid, then Brent between the neighbours of its best."""
    errors = [error(x) for x in grid]
    i = int(np.argmin(errors))
    low, high = grid[max(i - 1, 0)], grid[min(i + 1, len(grid) - 1)]
    found = minimize_scalar(error, bounds=(low, high), method="bounded", options={"xatol": 1e-9 * abs(high) + 1e-12})
    return float(found.x if found.fun < errors[i] else grid[i])


def search(at: Callable[[float], Match], grid: Array) -> Match:
    """The parameter that fits best, or a round number next to it if that is as good."""
    x = polish(lambda x: at(x).residual, grid)
    exact, near = at(x), at(round(x, 3))
    return near if near.residual < 1.1 * exact.residual + 1e-7 else exact


def law_or_js(meter: Meter, view: View, data: Data) -> Match:
    """The catalogue, and generalised Jensen-Shannon in its parameter."""
    match = best(view, data)
    if match.residual < tolerances(meter)[0]:
        return match

    def at(b: float) -> Match:
        return try_law(generalized_js(b), view, data)

    return min(match, search(at, np.linspace(0.05, 0.95, 19)), key=lambda m: m.residual)
