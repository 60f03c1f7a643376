"""Regions in which a loss does not do what it does elsewhere: clamps, margins, jumps in a parameter."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from distil_theory.auditing import laws
from distil_theory.auditing.laws import Array
from distil_theory.auditing.masks import Fault
from distil_theory.auditing.match import Match, measure
from distil_theory.auditing.meter import Meter
from distil_theory.auditing.probe import Loss

NEVER_AN_END = ("temp", "tau", "eps", "clip", "clamp", "margin", "scale", "threshold", "lr", "smooth")
"""Parts of names of parameters whose range does not end at 0 and 1, or which have no limit there."""


def dead_zone(meter: Meter, match: Match, rng: np.random.Generator) -> Iterator[Fault]:
    """Tokens whose gradient vanishes, or flattens, though student and teacher differ and the law says otherwise."""
    if meter.sampled:
        yield from _silent_labels(meter, rng)
        return
    if match.name == "zero" or meter.grain == 2:
        return
    if match.law is None and match.both is None:
        yield from _silent_tokens(meter, match, rng)
        return
    for what, s, t in _regions(meter, rng):
        try:
            g = meter.gradients(s, t)
        except Exception:
            continue
        exact, reliable = _expected(meter, match, s, t)
        with np.errstate(all="ignore"):
            off = np.linalg.norm(g - exact, axis=-1) / np.linalg.norm(exact, axis=-1)
            share = np.linalg.norm(g, axis=-1) / np.linalg.norm(exact, axis=-1)
        bad = reliable & np.isfinite(g).all(axis=-1) & (off > 0.05)
        if bad.sum() >= 2:
            worst = int(np.argmin(np.where(bad, share, np.inf)))
            gap = (s - t)[worst]
            yield (
                "dead_zone",
                f"{what}: the gradient of {bad.mean():.0%} of the tokens is off that of {match.name} by more than 5%, "
                f"by up to {off[bad].max():.0%}; at worst it has {share[worst]:.2g} of its length (where the logits of "
                f"student and teacher are apart by {np.ptp(gap):.3g}): something is clamped",
            )
            return


def _regions(meter: Meter, rng: np.random.Generator) -> Iterator[tuple[str, Array, Array]]:
    n = meter.tokens
    for sigma, what in ((0.03, "next to agreement"), (0.3, "near agreement"), (1.5, "at usual ratios")):
        yield what, *meter.draw(rng, sigma, n)
    yield "at large ratios", *meter.draw(rng, 4.0, n)
    yield "at very large ratios", *meter.draw(rng, 9.0, n)
    vocab = meter.loss.vocab
    for size in (6.0, 12.0, 18.0, 30.0, *(() if meter.coarse else (60.0, 120.0))):
        s, t = rng.normal(size=(2, n, vocab))
        where = rng.integers(vocab, size=(2, n))
        s[np.arange(n), where[0]] += size
        t[np.arange(n), where[1]] += size * rng.choice([1, 0, -1], size=n)
        yield f"with logits of {size:g}", s, t


def _expected(meter: Meter, match: Match, s: Array, t: Array) -> tuple[Array, Array]:
    """The gradient of the law, and where it can be told from rounding."""
    with np.errstate(all="ignore"):
        seen = match.view(s, t)
        if match.law is not None:
            y = match.scale * match.law.slope(seen.lp, seen.lq)
        else:
            a, b = match.both or (0.0, 0.0)
            y = a * laws.FORWARD_KL.slope(seen.lp, seen.lq) + b * laws.REVERSE_KL.slope(seen.lp, seen.lq)
        exact = seen.back(y)
        size = np.linalg.norm(exact, axis=-1)
        # h is known to a rounding of one, so q h is known to a rounding of q, and these add up to one
        rounding = abs(match.scale) + abs(y).sum(axis=-1)
        if meter.loss.framework == "numpy":  # differences of a sum over all tokens drown in the largest
            rounding = rounding + 0.1 * np.nansum(abs(y))
        return exact, (size > (3e-3 if meter.coarse else 1e-7) * rounding) & np.isfinite(size)


def _silent_tokens(meter: Meter, match: Match, rng: np.random.Generator) -> Iterator[Fault]:
    """For a loss without a law: tokens with no gradient at all, or a curve that is flat on a part of its range."""
    sizes = {sigma: np.linalg.norm(measure(meter, rng, sigma).g, axis=-1) for sigma in (0.1, 1.0, 4.0)}
    everything = np.concatenate(list(sizes.values()))
    for sigma, size in sizes.items():
        if len(size) and (size <= 1e-9 * np.median(everything)).mean() > 0.1:
            yield "dead_zone", f"no gradient for {np.mean(size == 0):.0%} of the tokens with logits of size {sigma:g}"
            return
    if match.name == "f_divergence" and match.curve is not None and match.curve.flat > 0.2:
        yield "dead_zone", f"h does not move on {match.curve.flat:.0%} of the range of log ratios"


def _silent_labels(meter: Meter, rng: np.random.Generator) -> Iterator[Fault]:
    """For a loss that looks at labels: labels without any gradient."""
    sizes = np.linalg.norm(meter.by_label(*meter.draw(rng, 2.0, 12))[1], axis=-1)
    if np.any(sizes) and (sizes == 0).mean() > 0.02:
        yield "dead_zone", f"no gradient for {(sizes == 0).mean():.0%} of the labels with logits of size 2"


def jumps(loss: Loss, rng: np.random.Generator) -> Iterator[Fault]:
    """Float parameters in [0, 1]: is the loss at 0 and at 1 the limit of its neighbours, size included?"""
    s, t = rng.normal(size=(2, 2, 4, loss.vocab))
    labels = rng.integers(loss.vocab, size=(2, 4))

    def at(name: str, x: float) -> Array | None:
        try:
            answer = loss(s, t, labels=labels, parameters={name: x})
        except Exception:
            return None
        return np.concatenate([answer.student.ravel(), np.ravel(answer.value)])

    for name, default in loss.floats.items():
        if not 0 <= default <= 1 or name.lower() == "t" or any(part in name.lower() for part in NEVER_AN_END):
            continue
        for end, inward in ((0.0, 1.0), (1.0, -1.0)):
            here = at(name, end)
            near = [at(name, end + inward * e) for e in (1e-2, 1e-3, 1e-4)]
            middle = at(name, 0.5)
            if here is None or middle is None or any(x is None or not np.isfinite(x).all() for x in near):
                continue
            sizes = [float(np.linalg.norm(x)) for x in near if x is not None]
            if sizes[-1] > 5 * sizes[0]:  # it grows without limit: no end of a range, but a divisor
                continue
            if not np.isfinite(here).all():
                yield "parameter_jump", f"{name} = {end:g} gives NaN or infinity, its neighbours do not"
                continue
            size = max(float(np.linalg.norm(here)), float(np.linalg.norm(middle)), 1e-300)
            gaps = [float(np.linalg.norm(here - x)) / size for x in near if x is not None]
            if gaps[-1] > 0.05 and gaps[-1] > 0.5 * gaps[0]:
                yield (
                    "parameter_jump",
                    f"{name} = {end:g} is not the limit of its neighbours: 1e-4 away the loss still differs "
                    f"by {gaps[-1]:.0%}",
                )
