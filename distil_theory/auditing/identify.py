r"""Which divergence a gradient descends.

The gradient of one token's cost is compared with that of every law of the catalogue under every view; the least-squares
factor is the scale, and what remains decides. Temperature is read off first, without knowing the law: next to agreement
any smooth divergence has the Hessian `c (diag q - q q^T)`, so moving one student logit moves the gradient at the others
in proportion to their `q`. The order of search: as it stands; a temperature; the families in their parameter; a
top-k form; a softmax too many; a mixture of logarithms; a law that holds on a part of the tokens only; a curve; nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import minimize_scalar

from distil_theory.auditing import laws
from distil_theory.auditing.curve import Curve
from distil_theory.auditing.curve import fit as fit_curve
from distil_theory.auditing.laws import CATALOGUE, Array, Law, View, log_softmax
from distil_theory.auditing.meter import Meter

JEFFREYS = "Jeffreys: a sum of both KLs"


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
        mixture: the share of the teacher in a mixture of logarithms, if it is one.
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
    mixture: float | None = None


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
    return c, float(np.linalg.norm(b - a @ c) / max(np.linalg.norm(b), 1e-300))


def try_law(law: Law, view: View, data: Data) -> Match:
    """One law under one view."""
    seen = view(data.s, data.t)
    c, residual = linear(seen.back(law.slope(seen.lp, seen.lq))[None], data.g)
    return Match(law.name, view, float(c[0]), residual, law)


def best(view: View, data: Data) -> Match:
    """The law of the catalogue that fits best."""
    return min((try_law(law, view, data) for law in CATALOGUE), key=lambda m: m.residual)


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
    for search in (_at_temperature, _families, _top_k, _twice, _mixture_of_logs):
        match = search(meter, data, T)
        if match is not None and match.residual < (tight if search is _families else tolerance):
            return match
        found += [match] if match is not None else []
    part = _on_a_part(meter, rng, T)
    if part is not None:
        return part
    return _curve(meter, rng, data, T)


def silent(meter: Meter, data: Data) -> bool:
    """No gradient, up to rounding of the value."""
    if not np.any(data.g):
        return True
    value = abs(meter.values(data.s[:3], data.t[:3])).max()
    return bool(abs(data.g).max() <= (1e-6 if meter.coarse else 1e-11) * value)


def temperature(meter: Meter, rng: np.random.Generator) -> float:
    """`T` of `softmax(logits / T)`, from the response next to agreement; 1 if none can be read off."""
    n = meter.tokens
    t = 1.5 * rng.normal(size=(n, meter.loss.vocab))
    step = 0.05 if meter.coarse else 1e-3
    moved = rng.integers(meter.loss.vocab, size=n)
    s = t + step * np.eye(meter.loss.vocab)[moved]
    g = meter.gradients(s, t)
    slopes = []
    for i in range(n):
        rest = [v for v in range(meter.loss.vocab) if v != moved[i]]
        for sign in (-1, 1):
            one = [v for v in rest if sign * g[i, v] > 0]
            if len(one) > 2:
                x, y = s[i, one], np.log(abs(g[i, one]))
                far = abs(x[:, None] - x) > 0.5
                slopes += list(((y[:, None] - y) / np.where(far, x[:, None] - x, 1))[far])
    T = 1 / float(np.median(slopes)) if len(slopes) > 20 and np.median(slopes) > 0.02 else 1.0
    return T if np.isfinite(T) and abs(T - 1) > 0.02 else 1.0


def polish(error: Callable[[float], float], grid: Array) -> float:
    """The least point of a function of one variable: a grid, then Brent between the neighbours of its best."""
    errors = [error(x) for x in grid]
    i = int(np.argmin(errors))
    low, high = grid[max(i - 1, 0)], grid[min(i + 1, len(grid) - 1)]
    found = minimize_scalar(error, bounds=(low, high), method="bounded", options={"xatol": 1e-9 * abs(high) + 1e-12})
    return float(found.x if found.fun < errors[i] else grid[i])


def _nice(x: float, view: Callable[[float], Match]) -> Match:
    """The match at `x`, or at a round number next to it if that is as good."""
    exact, round_ = view(x), view(round(x, 3))
    return round_ if round_.residual < 1.1 * exact.residual + 1e-7 else exact


def _at_temperature(meter: Meter, data: Data, T: float) -> Match | None:
    """With the temperature that was read off, or any other on a grid."""

    def at(x: float) -> Match:
        return best(View(x), data)

    if T != 1:
        match = _nice(polish(lambda x: at(x).residual, T * np.linspace(0.9, 1.1, 5)), at)
        if match.residual < tolerances(meter)[0]:
            return match
    return _nice(polish(lambda x: at(x).residual, np.geomspace(0.2, 12, 24)), at)


def _families(meter: Meter, data: Data, T: float) -> Match | None:
    """Generalised Jensen-Shannon and alpha in their parameters."""
    found = []
    for view in {View(), View(T), View(round(T, 2))}:
        grids = (
            (laws.generalized_js, np.array([1e-3, 0.01, *np.linspace(0.05, 0.95, 19), 0.99, 0.999])),
            (laws.alpha, np.linspace(-2.96, 4.04, 29)),
        )
        for family, grid in grids:

            def at(x: float, family: Callable[[float], Law] = family, view: View = view) -> Match:
                return try_law(family(x), view, data)

            found.append(_nice(polish(lambda x, at=at: at(x).residual, grid), at))
    return min(found, key=lambda m: m.residual)


def shown(meter: Meter, s: Array, t: Array, T: float = 1.0) -> list[tuple[int, str]]:
    """Candidates `(k, chooser)`: the largest set of tokens on which `g/q` is constant is what a top-k loss hides."""
    g, q = meter.gradients(s, t), np.exp(log_softmax(s / T))
    found = []
    for i in range(len(s)):
        rho = g[i] / q[i]
        close = abs(rho[:, None] - rho) <= (1e-3 if meter.coarse else 1e-7) * np.ptp(rho)
        hidden = close[close.sum(axis=1).argmax()]
        k = int((~hidden).sum())
        if np.isfinite(rho).all() and 1 <= k < len(q[i]) - 1:
            by = "teacher" if t[i][~hidden].min() >= t[i][hidden].max() else "student"
            if by == "teacher" or s[i][~hidden].min() >= s[i][hidden].max():
                found.append((k, by))
    return sorted(set(found), key=found.count, reverse=True)


def at_large(meter: Meter, match: Match, rng: np.random.Generator) -> Match:
    """A `min(k, vocab)` looks like the full vocabulary until that is large: look again with 100 and 1100 tokens, and
    leave the larger vocabulary with the loss if so."""
    small = meter.loss.vocab
    if match.law is None or match.view.form != "full" or match.partial:
        return match
    for vocab in (100, 1100) if meter.loss.framework == "torch" else (40,):
        meter.loss.vocab = vocab
        try:
            data = measure(meter, rng, 1.0, 4)
        except Exception:  # it has a vocabulary of its own
            break
        found = try_law(match.law, match.view, data)
        if len(data.g) and found.residual > 0.05:
            again = _top_k(meter, data, match.view.temperature)
            if again is not None and again.residual < tolerances(meter)[0]:
                return again
    meter.loss.vocab = small
    return match


def _top_k(meter: Meter, data: Data, T: float) -> Match | None:
    found = []
    for U in {1.0, T}:
        candidates = shown(meter, data.s[:8], data.t[:8], U)[:3]
        candidates += [(meter.loss.vocab - 1, by) for by in ("teacher", "student")] if U == 1 else []
        for k, by in candidates:
            for form in ("tail_bucket", "tail_dropped", "renormalised"):
                if form != "tail_bucket" or k < meter.loss.vocab - 1:
                    found.append(_law_or_js(meter, View(U, form, k, by), data))
    return min(found, key=lambda m: m.residual, default=None)


def _law_or_js(meter: Meter, view: View, data: Data) -> Match:
    """The catalogue, and generalised Jensen-Shannon in its parameter."""
    match = best(view, data)
    if match.residual < tolerances(meter)[0]:
        return match

    def at(b: float) -> Match:
        return try_law(laws.generalized_js(b), view, data)

    return min(
        match, _nice(polish(lambda b: at(b).residual, np.linspace(0.05, 0.95, 19)), at), key=lambda m: m.residual
    )


def _twice(meter: Meter, data: Data, T: float) -> Match | None:
    """A softmax of probabilities, on either side or on both."""
    views = [View(1.0, form) for form in ("double", "double_student", "double_teacher")]
    match = min((_law_or_js(meter, view, data) for view in views), key=lambda m: m.residual)
    return replace(match, name="none")


def _mixture_of_logs(meter: Meter, data: Data, T: float) -> Match | None:
    """`b KL(p||m) + c KL(q||m)` where `log m` is a mean of logarithms, normalised or not."""
    tolerance = tolerances(meter)[0]
    for view in {View(), View(T), View(round(T, 2))}:
        seen = view(data.s, data.t)
        pair = [seen.back(law.slope(seen.lp, seen.lq)) for law in (laws.FORWARD_KL, laws.REVERSE_KL)]
        c, residual = linear(np.array(pair), data.g)
        if residual < tolerance:
            a, b = float(c[0]), float(c[1])
            return Match("f_divergence", view, a + b, residual, None, both=(a, b), mixture=_share(a, b))

        def at(share: float, seen: laws.Compared = seen, pair: list[Array] = pair) -> tuple[Array, float]:
            extra = seen.back(laws.geometric(share)(seen.lp, seen.lq))
            return linear(np.array([*pair, extra]), data.g)

        share = polish(lambda b, at=at: at(b)[1], np.linspace(0.05, 0.95, 19))
        c, residual = at(share)
        if residual < tolerance:
            return Match("none", view, float(c[2]), residual, None, mixture=round(share, 3))
    return None


def _share(a: float, b: float) -> float | None:
    """The teacher's share in an unnormalised mixture of logarithms, from the factors of both KLs; `None` if it is an
    honest sum."""
    if a <= 0 or b <= 0:
        return None
    if any(abs(a + b - total) < 2e-3 for total in (1, 2, 4)):
        return None
    if abs(a + b - 0.5) < 2e-3:  # halves of two KLs to one mean of logarithms
        return b / (a + b)
    if abs(np.sqrt(a) + np.sqrt(b) - 1) < 2e-3:
        return float(np.sqrt(a))
    constants = (8, 16, 32, 64, 100, 128, 256, 512, 1000, 1024, 2048, 4096)
    for size in (1, 2, 0.5, *(1 / c for c in constants)):
        share = (1 - np.sqrt(max(1 - 4 * a / size, 0))) / 2
        nice = abs(share * 20 - round(share * 20)) < 0.02 and share > 0.04
        if abs(a - b) < 2e-3 * a and a <= 0.2501 * size and nice and (size >= 0.5 or share < 0.49):
            return float(share)
    return None


def _on_a_part(meter: Meter, rng: np.random.Generator, T: float) -> Match | None:
    """A law that holds exactly on at least a quarter of the tokens of some size."""
    best_match: Match | None = None
    tolerance = 2e-3 if meter.coarse else 1e-5
    batches = [measure(meter, rng, sigma) for sigma in (0.1, 0.3, 1.0, 2.0, 4.0)]
    for temperatures in ({1.0, round(T, 3)}, (0.5, 0.7, 0.8, 0.9, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 8.0, 10.0)):
        for data in batches:
            for match in _partial(data, temperatures, tolerance) if len(data.g) > 3 else ():
                if best_match is None or match.share > best_match.share:
                    best_match = match
        if best_match is not None:
            break
    return best_match


def _partial(data: Data, temperatures: Iterable[float], tolerance: float) -> Iterator[Match]:
    for view in map(View, temperatures):
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
