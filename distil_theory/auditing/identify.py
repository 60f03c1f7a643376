r"""Which divergence a gradient descends.

The gradient of one token's cost is compared with that of every law of the catalogue under every view; the least-squares
factor is the scale, and what remains decides. Temperature is read off first, without knowing the law: next to agreement
any smooth divergence has the Hessian `c (diag q - q q^T)`, so moving one student logit moves the gradient at the others
in proportion to their `q`. The order of search: as it stands; a temperature; the families in their parameter; a top-k
form; a softmax too many; both KLs, or a mixture of logarithms; a law that holds on a part of the tokens only; a curve;
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from distil_theory.auditing import laws
from distil_theory.auditing.curve import fit as fit_curve
from distil_theory.auditing.laws import CATALOGUE, Law, View
from distil_theory.auditing.match import Data, Match, best, measure, search, tolerances, try_law
from distil_theory.auditing.meter import Meter
from distil_theory.auditing.mixtures import both_kls
from distil_theory.auditing.support import forms, shown, top_k


def identify(meter: Meter, rng: np.random.Generator) -> Match:
    """The divergence that the gradient descends."""
    narrow, core = measure(meter, rng, 0.5), measure(meter, rng, 1.5)
    data = narrow.join(core)
    if len(data.g) < 4:
        return Match("none")
    if silent(meter, data):
        wide = measure(meter, rng, 6.0)
        if len(wide.g) < 4 or silent(meter, wide):
            return Match("zero")
        data = wide
    tolerance, tight = tolerances(meter)
    T = temperature(meter, rng)
    found = [best(View(), data)]
    if found[0].residual < tolerance:
        return found[0]
    for step in (_at_temperature, _families, top_k, _twice, both_kls):
        match = step(meter, data, T)
        if match is not None and match.residual < (tight if step is _families else tolerance):
            return match
        found += [match] if match is not None else []
    if meter.sampled:  # each label keeps a gradient where its factor is clamped: a divergence of another h
        curve = _curve(meter, rng, data, T)
        if curve.name == "f_divergence":
            return curve
    return _on_a_part(meter, rng, T) or _curve(meter, rng, data, T)


def silent(meter: Meter, data: Data) -> bool:
    """No gradient, up to rounding of the value."""
    if not np.any(data.g):
        return True
    value = abs(meter.values(data.s[:3], data.t[:3])).max()
    return meter.loss.rounding(abs(data.g).max(), value)


def temperature(meter: Meter, rng: np.random.Generator) -> float:
    """`T` of `softmax(logits / T)`, from the response next to agreement; 1 if none can be read off."""
    n = meter.tokens
    t = 1.5 * rng.normal(size=(n, meter.loss.vocab))
    step = 0.05 if meter.coarse else 1e-3
    moved = rng.integers(meter.loss.vocab, size=n)
    s = t + step * np.eye(meter.loss.vocab)[moved]
    g = meter.gradients(s, t)
    slopes, rounding = [], (1e-6, 1e-4, 1e-2)[meter.grain] * np.nanmax(abs(g))
    for i in range(n):
        rest = [v for v in range(meter.loss.vocab) if v != moved[i]]
        for sign in (-1, 1):
            one = [v for v in rest if sign * g[i, v] > rounding]
            if len(one) > 2:
                x, y = s[i, one], np.log(abs(g[i, one]))
                far = abs(x[:, None] - x) > 0.5
                slopes += list(((y[:, None] - y) / np.where(far, x[:, None] - x, 1))[far])
    T = 1 / float(np.median(slopes)) if len(slopes) > 20 and np.median(slopes) > 0.02 else 1.0
    return T if np.isfinite(T) and abs(T - 1) > 0.02 else 1.0


def _at_temperature(meter: Meter, data: Data, T: float) -> Match | None:
    """With the temperature that was read off, or any other on a grid."""

    def at(x: float) -> Match:
        return best(View(x), data)

    if T != 1:
        match = search(at, T * np.linspace(0.9, 1.1, 5))
        if match.residual < tolerances(meter)[0]:
            return match
    return search(at, np.geomspace(0.2, 12, 24))


def _families(meter: Meter, data: Data, T: float) -> Match | None:
    """Generalised Jensen-Shannon and alpha in their parameters."""
    return _any_family({View(), View(T), View(round(T, 2))}, data)


def _any_family(views: Iterable[View], data: Data) -> Match:
    found = []
    for view in views:
        grids = (
            (laws.generalized_js, np.array([1e-3, 0.01, *np.linspace(0.05, 0.95, 19), 0.99, 0.999])),
            (laws.alpha, np.linspace(-2.96, 4.04, 29)),
        )
        for family, grid in grids:

            def at(x: float, family: Callable[[float], Law] = family, view: View = view) -> Match:
                return try_law(family(x), view, data)

            found.append(search(at, grid))
    return min(found, key=lambda m: m.residual)


def _twice(meter: Meter, data: Data, T: float) -> Match | None:
    """A softmax of probabilities, on either side or on both."""
    views = [View(1.0, form) for form in ("double", "double_student", "double_teacher")]
    match = min((best(view, data) for view in views), key=lambda m: m.residual)
    if match.residual > tolerances(meter)[0]:
        match = min(match, _any_family(views, data), key=lambda m: m.residual)
    warm = [best(View(x, "double"), data) for x in (0.5, 0.7, 1.5, 2.0, 3.0, 4.0, 5.0)]
    match = min(match, *warm, key=lambda m: m.residual)
    return replace(match, name="none")


def _on_a_part(meter: Meter, rng: np.random.Generator, T: float) -> Match | None:
    """A law that holds exactly on at least a quarter of the tokens of some size."""
    # close to agreement divergences of one curvature are told apart by exact gradients only
    exact = not meter.coarse and meter.loss.framework == "torch"
    batches = [measure(meter, rng, sigma) for sigma in (1.0, 0.3, 2.0, 4.0, *((0.03, 0.1) if exact else ()))]
    base, (s, t) = 4 * rng.normal(size=(meter.tokens, meter.loss.vocab)), meter.draw(rng, 0.3)
    batches.append(Data(s + base, t + base, meter.gradients(s + base, t + base)))  # sure of the same tokens
    usual = (0.5, 0.7, 0.8, 0.9, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 8.0, 10.0)
    live = batches[0]
    hidden = [v for k, by in shown(meter, live.s[:8], live.t[:8])[:2] for v in forms(k, by)]
    for views in (list(map(View, {1.0, round(T, 3)})), hidden, list(map(View, usual))):
        found = [m for data in batches if len(data.g) > 3 for m in _partial(meter, data, views)]
        if found:
            return max(found, key=lambda m: m.share)
    return None


def _partial(meter: Meter, data: Data, views: Iterable[View]) -> Iterator[Match]:
    tolerance = 1e-4 if meter.coarse else 1e-8 if meter.loss.framework == "torch" else 1e-6
    for view in views:
        seen = view(data.s, data.t)
        family = [laws.generalized_js(b) for b in (0.1, 0.2, 0.25, 0.3, 0.4, 0.6, 0.7, 0.75, 0.8, 0.9)]
        for law in (*CATALOGUE, *family):
            model = seen.back(law.slope(seen.lp, seen.lq))
            size = (model**2).sum(axis=-1)
            with np.errstate(divide="ignore", invalid="ignore"):
                c = (model * data.g).sum(axis=-1) / size
                ray = np.linalg.norm(data.g - c[:, None] * model, axis=-1) / np.linalg.norm(data.g, axis=-1)
            on = ray < tolerance
            if on.sum() < max(4, len(c) // 4):
                continue
            scale = float(np.median(c[on]))
            on &= abs(c - scale) < 10 * tolerance * abs(scale)
            if on.sum() >= max(4, len(c) // 4):
                yield Match(law.name, view, scale, float(np.median(ray[on])), law, True, float(on.mean()))


def _curve(meter: Meter, rng: np.random.Generator, data: Data, T: float) -> Match:
    """An f-divergence of another shape, or none."""
    rows = measure(meter, rng, 1.0, 64 if meter.loss.framework == "torch" else 32).join(data)
    found: Match | None = None
    for view in {View(), View(round(T, 3))}:
        curve = fit_curve(view(rows.s, rows.t), rows.g)
        if curve is not None and (found is None or curve.residual < found.residual):
            name = "f_divergence" if curve.residual < 1e-2 else "none"
            found = Match(name, view, 1.0, curve.residual, None, curve=curve)
    return found or Match("none")
