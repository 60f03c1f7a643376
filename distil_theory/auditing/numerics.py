"""Where a loss leaves the numbers: overflow, a teacher probability of zero, half precision."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from distil_theory.auditing import laws
from distil_theory.auditing.laws import Array
from distil_theory.auditing.masks import Fault
from distil_theory.auditing.match import Match
from distil_theory.auditing.meter import Meter
from distil_theory.auditing.probe import Answer
from distil_theory.auditing.reduce import same_everywhere
from distil_theory.auditing.values import Value

LARGE = 1e30


def extremes(vocab: int, rng: np.random.Generator) -> Iterator[tuple[str, Array, Array]]:
    """Named pairs of logits, finite in float32, up to 1e4."""
    for size in (20.0, 100.0, 1e3, 1e4):
        one, two = np.zeros(vocab), np.zeros(vocab)
        one[0] = two[1] = size
        random = np.clip(size / 3 * rng.normal(size=(2, vocab)), -size, size)
        yield f"both sure of the same token, logits {size:g}", one, one
        yield f"sure of different tokens, logits {size:g}", one, two
        yield f"sure student, logits {size:g}", one, np.zeros(vocab)
        yield f"sure teacher, logits {size:g}", np.zeros(vocab), one
        yield f"student excludes a token, logits {-size:g}", -one, np.zeros(vocab)
        yield f"teacher excludes a token, logits {-size:g}", np.zeros(vocab), -one
        yield f"all logits shifted by {size:g}", np.linspace(-1, 1, vocab) + size, np.linspace(1, -1, vocab) + size
        yield f"random logits up to {size:g}", *random
    yield "student equal to teacher", np.linspace(-1, 1, vocab), np.linspace(-1, 1, vocab)


def overflow(meter: Meter, match: Match, value: Value, rng: np.random.Generator) -> Iterator[Fault]:
    """NaN or infinity in float32 where the exact value and gradient are moderate numbers."""
    s, t = meter.draw(rng, 1.0, 2)
    if not np.isfinite(meter.values(s, t)).all() or not np.isfinite(meter.gradients(s, t)).all():
        yield "overflow", "NaN or infinity at ordinary logits, of size 1"
        return
    for what, s, t in extremes(meter.loss.vocab, rng):
        if not _moderate(meter, match, value, s, t):
            continue
        try:
            answers = [_call(meter, s, t, label) for label in ((0, 1, 2) if meter.sampled else (0,))]
        except Exception:  # a refusal is no wrong number
            continue
        for answer in answers:
            if not answer.finite:
                part = "value" if not np.isfinite(answer.value).all() else "gradient"
                yield "overflow", f"the {part} is not finite in float32: {what}"
                return


def _call(meter: Meter, s: Array, t: Array, label: int = 0, precision: str = "float32") -> Answer:
    shape = (1, 3)
    labels = np.full(shape, label)
    return meter.loss(same_everywhere(shape, s), same_everywhere(shape, t), labels=labels, precision=precision)


def _moderate(meter: Meter, match: Match, value: Value, s: Array, t: Array) -> bool:
    """Whether the exact value and gradient are below 1e30."""
    if meter.sampled:
        # k3 and its like know an exponential of the log ratio
        ratio = abs(laws.log_softmax(s) - laws.log_softmax(t)).max()
        return bool(ratio < 60)
    with np.errstate(all="ignore"):
        seen, parts = match.view(s, t), []
        if match.law is not None:
            parts += [match.law.cost(seen.lp, seen.lq), match.law.slope(seen.lp, seen.lq)]
        if value.law is not None:  # the value may be of another divergence than the gradient
            parts.append(value.law.cost(*value.view(s, t)[:2]))
        if not all(np.isfinite(x).all() and abs(x).max() < LARGE for x in parts):
            return False
        if match.law is not None or match.both is not None or match.normaliser is not None:
            return True
        if match.name == "zero":
            return value.law is not None
    if max(np.ptp(s), np.ptp(t)) > 100 or meter.loss.precision != "float64":
        return False
    exact = _call(meter, s, t, precision="float64")
    return exact.finite and abs(exact.value).max() < LARGE and abs(exact.student).max() < LARGE


def nan_at_zero(meter: Meter, match: Match, value: Value, rng: np.random.Generator) -> Iterator[Fault]:
    """A teacher that excludes a token, logit -inf, where the divergence, of gradient and of value, is finite."""
    if match.law is None or not match.law.finite_at_zero or meter.sampled:
        return
    s, t = rng.normal(size=(2, meter.loss.vocab))
    t[int(np.argmin(t))] = -np.inf
    try:
        answer = _call(meter, s, t, precision=meter.loss.precision)
    except Exception:
        return
    value_right = np.isfinite(answer.value).all() or (value.law is not None and not value.law.finite_at_zero)
    if not value_right or not np.isfinite(answer.student).all():
        part = "gradient" if value_right else "value"
        yield "nan_at_zero", f"a teacher probability of exactly zero makes the {part} NaN (0 times minus infinity)"


def half_precision(meter: Meter, rng: np.random.Generator) -> Iterator[Fault]:
    """float16 and bfloat16 against the same logits in full precision."""
    if meter.loss.framework != "torch":
        return
    import torch

    vocab = max(64, meter.loss.vocab)
    draws = [(3 * rng.normal(size=(2, 2, 6, vocab)), rng.integers(vocab, size=(2, 6))) for _ in range(3)]
    for name in ("float16", "bfloat16"):
        kind = getattr(torch, name)
        off = []
        for (s, t), labels in draws:
            a, b = (torch.tensor(x).to(kind).double().numpy() for x in (s, t))
            try:
                low = meter.loss(a, b, labels=labels, precision=name)
                high = meter.loss(a, b, labels=labels)
            except Exception:  # refused, or unknown to this device
                break
            if not high.finite:
                return
            if not low.finite:
                yield "half_precision", f"{name} logits make it NaN or infinite"
                return
            off.append(max(laws.relative(high.value, low.value), laws.relative(high.student, low.student)))
        if off and float(np.median(off)) > 0.05:
            yield "half_precision", f"{name} logits put it off by {np.median(off):.0%}"
            return
