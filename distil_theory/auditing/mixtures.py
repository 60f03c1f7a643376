"""Sums of both KLs, and mixtures that average logarithms instead of probabilities.

With `log m = b log p + (1-b) log q` the "Jensen-Shannon" of `m` is `b (1-b) (KL(p||q) + KL(q||p))`, Jeffreys'
divergence; normalised, the logarithm of `sum p^b q^(1-b)` is added to it, and the result is no f-divergence.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from distil_theory.auditing import laws
from distil_theory.auditing.laws import Array, View
from distil_theory.auditing.match import Data, Match, linear, polish, tolerances
from distil_theory.auditing.meter import Meter


def mixture_of_logs(meter: Meter, data: Data, T: float) -> Match | None:
    """`b KL(p||m) + c KL(q||m)` where `log m` is a mean of logarithms, normalised or not."""
    tolerance = tolerances(meter)[0]
    for view in {View(), View(T), View(round(T, 2))}:
        seen = view(data.s, data.t)
        pair = [seen.back(law.slope(seen.lp, seen.lq)) for law in (laws.FORWARD_KL, laws.REVERSE_KL)]
        c, residual = linear(np.array(pair), data.g)
        if residual < tolerance:
            a, b = float(c[0]), float(c[1])
            share = _share(abs(a), abs(b)) if a * b > 0 else None
            return Match("f_divergence", view, a + b, residual, None, both=(a, b), mixture=share)

        def at(share: float, seen: laws.Compared = seen, pair: list[Array] = pair) -> tuple[Array, float]:
            extra = seen.back(laws.geometric(share)(seen.lp, seen.lq))
            return linear(np.array([*pair, extra]), data.g)

        def left(share: float, at: Callable[[float], tuple[Array, float]] = at) -> float:
            return at(share)[1]

        share = polish(left, np.linspace(0.05, 0.95, 19))
        c, residual = at(share)
        if residual < tolerance:
            return Match("none", view, float(c[2]), residual, None, mixture=round(share, 3))
    return None


def _share(a: float, b: float) -> float | None:
    """The teacher's share in an unnormalised mixture of logarithms, from the factors of both KLs; `None` if it is an
    honest sum."""
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
