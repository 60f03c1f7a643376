r"""Sums of both KLs, and mixtures that average logarithms instead of probabilities.

With `log m = w log p + (1-w) log q` the "Jensen-Shannon" `b KL(p||m) + (1-b) KL(q||m)` is
`b (1-w) KL(p||q) + (1-b) w KL(q||p)`: a weighted sum of both KLs, which is a divergence of its own right (Jeffreys'
where `w = b`) and an error only where Jensen-Shannon was meant. Normalised, `m` is a distribution, and
`log sum p^w q^(1-w)` is added: no f-divergence. That logarithm alone, negated, is Bhattacharyya's distance (`w = 1/2`)
or Chernoff's: nothing is mixed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from distil_theory.auditing import laws
from distil_theory.auditing.laws import Array, View
from distil_theory.auditing.match import Data, Match, linear, polish, tolerances
from distil_theory.auditing.meter import Meter


def both_kls(meter: Meter, data: Data, T: float) -> Match | None:
    """A sum of both KLs, and what is left of a normalised mixture of logarithms."""
    tolerance = tolerances(meter)[0]
    for view in {View(), View(T), View(round(T, 2))}:
        seen = view(data.s, data.t)
        pair = [seen.back(law.slope(seen.lp, seen.lq)) for law in (laws.FORWARD_KL, laws.REVERSE_KL)]
        c, residual = linear(np.array(pair), data.g)
        if residual < tolerance:
            return Match("f_divergence", view, float(c.sum()), residual, both=(float(c[0]), float(c[1])))

        def at(share: float, seen: laws.Compared = seen, pair: list[Array] = pair) -> tuple[Array, float]:
            extra = seen.back(laws.geometric(share)(seen.lp, seen.lq))
            return linear(np.array([*pair, extra]), data.g)

        def left(share: float, at: Callable[[float], tuple[Array, float]] = at) -> float:
            return at(share)[1]

        share = polish(left, np.linspace(0.05, 0.95, 19))
        c, residual = at(share)
        if residual < tolerance:
            mixed = abs(c[:2]).max() > 1e-2 * abs(c[2])
            return Match("none", view, float(c[2]), residual, normaliser=round(share, 3), mixed=bool(mixed))
    return None
