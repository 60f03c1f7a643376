"""Which tokens of the vocabulary a loss looks at: top-k forms, found without knowing the law."""

from __future__ import annotations

import numpy as np

from distil_theory.auditing.laws import Array, View, log_softmax
from distil_theory.auditing.match import Data, Match, best, law_or_js, measure, search, tolerances, try_law
from distil_theory.auditing.meter import Meter

FORMS, CHOOSERS = ("tail_bucket", "tail_dropped", "renormalised"), ("teacher", "student")


def shown(meter: Meter, s: Array, t: Array, T: float = 1.0) -> list[tuple[int, str]]:
    """Candidates `(k, chooser)`: the largest set of tokens on which `g/q` is constant is what a top-k loss hides."""
    g, q = meter.gradients(s, t), np.exp(log_softmax(s / T))
    found = []
    for i in range(len(s)):
        rho = g[i] / q[i]
        close = abs(rho[:, None] - rho) <= (1e-3 if meter.coarse else 1e-7) * np.ptp(rho)
        hidden = close[close.sum(axis=1).argmax()]
        if np.isfinite(rho).all() and 1 <= (~hidden).sum() < len(q[i]) - 1:
            ranks = {"teacher": _rank(t[i]), "student": _rank(s[i])}
            ranks["union"] = np.minimum(*ranks.values())
            for by, rank in ranks.items():
                if rank[~hidden].max() < rank[hidden].min():
                    found.append((int(rank[~hidden].max()) + 1, by))
                    break
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
            again = top_k(meter, data, match.view.temperature)
            if again is not None and again.residual < tolerances(meter)[0]:
                return again
    meter.loss.vocab = small
    return match


def forms(k: int, by: str, T: float = 1.0) -> list[View]:
    """The three things that can be done with the rest."""
    return [View(T, form, k, by) for form in FORMS]


def _rank(x: Array) -> Array:
    return np.argsort(np.argsort(-x))


def top_k(meter: Meter, data: Data, T: float) -> Match | None:
    """The top-k form that fits best; `None` if nothing seems hidden."""
    found = []
    for U in {1.0, T, round(T, 1)}:
        candidates = shown(meter, data.s[:8], data.t[:8], U)[:3]
        candidates += [(meter.loss.vocab - 1, by) for by in CHOOSERS] if U == 1 else []
        for k, by in candidates:
            found += [
                law_or_js(meter, view, data)
                for view in forms(k, by, U)
                if k < meter.loss.vocab - 1 or view.form != FORMS[0]
            ]
    if all(match.residual > tolerances(meter)[0] for match in found):
        # too few shown tokens to read a temperature off: what is hidden by normalising is hidden at any
        for k, by in shown(meter, data.s[:8], data.t[:8])[:1]:

            def at(x: float, k: int = k, by: str = by) -> Match:
                return best(View(x, "renormalised", k, by), data)

            found.append(search(at, np.geomspace(0.25, 8, 16)))
    if meter.loss.vocab <= 8 and all(match.residual > tolerances(meter)[0] for match in found):
        # a curve with flat pieces hides its k: try them all
        views = [View(T, form, k, by) for form in FORMS for k in range(1, meter.loss.vocab) for by in CHOOSERS]
        found += [best(view, data) for view in views]
    return min(found, key=lambda m: m.residual, default=None)
