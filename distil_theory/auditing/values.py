"""What the value of a loss is: named like its gradient, and independently of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from distil_theory.auditing import laws
from distil_theory.auditing.laws import CATALOGUE, CROSS_ENTROPY, Array, Law, View
from distil_theory.auditing.match import Match, polish, tolerances
from distil_theory.auditing.meter import Meter


@dataclass(frozen=True)
class Value:
    """Name and scale of the value, under which view, the least and the largest value of a token that was seen, and its
    law if it has one."""

    name: str
    scale: float
    least: float
    largest: float
    view: View = field(default_factory=View)
    law: Law | None = None


def identify(meter: Meter, match: Match, rng: np.random.Generator) -> Value:
    """The value of single tokens against every law, under the view that the gradient was found to have."""
    n = 2 if meter.sampled else 5
    parts = [meter.draw(rng, sigma, n) for sigma in (0.05, 0.2, 0.5, 1.5, 3.0)]
    s, t = (np.concatenate(x) for x in zip(*parts, strict=True))
    c = meter.values(s, t)
    least, largest = _range(meter, match, rng, c)
    good = np.isfinite(c)
    if good.sum() < 4:
        return Value("none", float("nan"), least, largest)
    s, t, c = s[good], t[good], c[good]
    if not np.any(c):
        return Value("zero", 0.0, least, largest)
    twice = match.view.form.startswith("double")
    for view in () if twice else dict.fromkeys((match.view, View(match.view.temperature))):
        named = _against_laws(view, s, t, c, match, meter)
        if named is not None:
            law, scale = named
            return Value(law.name, scale, least, largest, view, law)
    if match.law is None and match.both is None:

        def left(T: float) -> float:
            return _best(View(T), s, t, c, match)[2]

        T = polish(left, np.geomspace(0.2, 12, 24))
        law, scale, residual = _best(View(T), s, t, c, match)
        if residual < tolerances(meter)[0]:
            return Value(law.name, scale, least, largest, View(round(T, 3)), law)
    agreement = abs(meter.values(s, s)).max()
    if (
        match.name == "f_divergence"
        and not meter.sampled
        and agreement < 1e-5 * abs(c).max()
        and _rises_with_gradient(meter, s, t)
    ):
        return Value("f_divergence", match.scale if match.both else 1.0, least, largest, match.view)
    return Value("none", float("nan"), least, largest)


def _factor(law: Law, view: View, s: Array, t: Array, c: Array, tight: float = 1e-5) -> tuple[float, float, float]:
    """The factor of a law, what it leaves of the values, and the share of the tokens on which one factor is exact."""
    seen = view(s, t)
    model = law.cost(seen.lp, seen.lq).sum(axis=-1)
    if not np.isfinite(model).all() or not np.any(model):
        return 0.0, 1.0, 0.0
    weight = 1 / (abs(c) + 1e-2 * abs(c).max() + 1e-300)
    a, b = model * weight, c * weight
    scale = float((a @ b) / (a @ a))
    with np.errstate(all="ignore"):
        ratio = c / model
        middle = float(np.median(ratio))
        on = abs(ratio / middle - 1) < tight
        # nearly uniform distributions have one cross-entropy: a factor says something where the model varies
        exact = float(on.mean()) if np.any(on) and np.ptp(model[on]) > 0.1 * abs(model[on]).max() else 0.0
    return scale, laws.relative(b, scale * a), exact


def _best(view: View, s: Array, t: Array, c: Array, match: Match) -> tuple[Law, float, float]:
    candidates = [*([match.law] if match.law else []), *CATALOGUE, CROSS_ENTROPY]
    found = [(law, *_factor(law, view, s, t, c)[:2]) for law in candidates]
    return min(found, key=lambda x: x[2])


def _against_laws(view: View, s: Array, t: Array, c: Array, match: Match, meter: Meter) -> tuple[Law, float] | None:
    law, scale, residual = _best(view, s, t, c, match)
    tolerance = tolerances(meter)[0]
    if residual < tolerance:
        return law, scale
    for family, grid in (
        (laws.generalized_js, np.linspace(0.05, 0.95, 19)),
        (laws.alpha, np.linspace(-1.96, 3.04, 21)),
    ):

        def left(x: float, family: Callable[[float], Law] = family) -> float:
            return _factor(family(x), view, s, t, c)[1]

        x = polish(left, grid)
        scale, residual, _ = _factor(family(x), view, s, t, c)
        if residual < tolerance / 3:
            return family(x), scale
    if match.law is not None:  # clamped elsewhere? exact on a part
        order = np.argsort(abs(s - t).max(axis=-1))
        few = order[: max(4, len(order) // 4)]
        for one in (match.law, CROSS_ENTROPY) if match.law.name == "forward_kl" else (match.law,):
            for rows in (few, order):
                scale, _, exact = _factor(one, view, s[rows], t[rows], c[rows], tolerance / 100)
                ratio = c[rows] / one.cost(*view(s[rows], t[rows])[:2]).sum(axis=-1)
                if exact > 0.24:
                    return one, float(np.median(ratio))
    return None


def _range(meter: Meter, match: Match, rng: np.random.Generator, c: Array) -> tuple[float, float]:
    """Least and largest value of a token, also where the student is surer than the teacher of what it prefers."""
    if meter.sampled:
        return float(np.nanmin(c)), float(np.nanmax(c))
    s, t = meter.draw(rng, 1.5, 8)
    far = meter.draw(rng, 4.0, 4)
    rows = [(s, t), far, (2 * t, t), (t / 2, t), (t + 0.3 * s, t), (s, 2 * s)]
    with np.errstate(all="ignore"):
        more = np.concatenate([c, *(meter.values(a, b) for a, b in rows)])
    more = more[np.isfinite(more)]
    return (float(more.min()), float(more.max())) if len(more) else (0.0, 0.0)


def _rises_with_gradient(meter: Meter, s: Array, t: Array) -> bool:
    """Whether the value changes along its own gradient as the gradient says."""
    slopes = derivative(meter, s, t, np.random.default_rng(0))
    return slopes is not None and abs(slopes[0] / slopes[1] - 1) < 0.02


def derivative(meter: Meter, s: Array, t: Array, rng: np.random.Generator) -> tuple[float, float] | None:
    """Slope of the value along a direction by central differences, and what the gradient says.

    `None` if neither is there.
    """
    loss = meter.loss
    step, rounding = (3e-3, 2e-5) if meter.coarse else (1e-6, 1e-10)
    pairs = []
    for _ in range(6):
        shape = (2, 4, s.shape[-1])
        a, b = (x[rng.integers(len(x), size=shape[:2])] for x in (s, t))
        labels = rng.integers(shape[-1], size=shape[:2])
        g = loss(a, b, labels=labels).student
        d = rng.normal(size=shape) if not np.any(g) else g / np.linalg.norm(g) + 0.05 * rng.normal(size=shape)
        up, down = (loss(a + e * step * d, b, labels=labels, gradient=False).value.sum() for e in (1, -1))
        pairs.append(((up - down) / (2 * step), float((g * d).sum())))
    pairs = [p for p in pairs if np.isfinite(p).all() and max(map(abs, p)) > rounding]
    if not pairs:
        return None
    # where a kink or a change of the top k lies between the two values they differ: the second best of six will do
    off = sorted(pairs, key=lambda p: abs(p[0] - p[1]) / max(abs(p[0]), abs(p[1])))
    return off[min(1, len(off) - 1)]
