"""What masked positions and padding do to a loss, beyond the weights of `reduce`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from distil_theory.auditing.laws import Array, relative
from distil_theory.auditing.probe import Loss
from distil_theory.auditing.reduce import RAGGED, Reduction

Fault = tuple[str, str]
"""A code and a sentence."""


def faults(loss: Loss, reduction: Reduction, rng: np.random.Generator) -> Iterator[Fault]:
    """Codes `mask_ignored`, `mask_shifted`, `mask_leak`, `padding_dependent`, and the warning `mask_nan`."""
    if not loss.takes_mask:
        return
    mask, noise = RAGGED[0], (1e-5, 1e-4, 5e-2)[loss.grain]
    shape = (*mask.shape, loss.vocab)
    s, t, more_s, more_t = rng.normal(size=(4, *shape))
    labels = rng.integers(loss.vocab, size=mask.shape)
    here = loss(s, t, mask, labels)
    if reduction.summed == "ignored":
        yield "mask_ignored", "masked positions count like others (their gradients have the weight of counted tokens)"
    elif reduction.summed != "given":
        yield "mask_shifted", f"the mask is {reduction.summed} by one position: the wrong tokens count"
    else:
        off = (mask == 0)[..., None]
        there = loss(np.where(off, more_s, s), np.where(off, more_t, t), mask, labels)
        moved = _change(here.value, there.value, loss.per_token, mask)
        moved = max(moved, _difference(here.student[mask == 1], there.student[mask == 1]))
        inside = abs(here.student[mask == 0]).max() / max(abs(here.student).max(), 1e-300)
        if moved > noise or inside > 1e-8:
            yield (
                "mask_leak",
                f"logits at masked positions matter: other ones change value or gradient by {max(moved, inside):.2g} "
                "(relative)",
            )
    if reduction.summed != "ignored":
        long_s, long_t = (np.concatenate([x, y[:, :3]], axis=1) for x, y in ((s, more_s), (t, more_t)))
        wide = np.concatenate([mask, np.zeros((len(mask), 3))], axis=1)
        there = loss(long_s, long_t, wide, np.pad(labels, ((0, 0), (0, 3))))
        value = there.value[:, : mask.shape[1]] if loss.per_token else there.value
        moved = _change(here.value, value, loss.per_token, mask)
        moved = max(moved, _difference(here.student, there.student[:, : mask.shape[1]]))
        if moved > noise:
            yield "padding_dependent", f"three more padding tokens change the loss by {moved:.2g} (relative)"
    bad_s, bad_t = (np.where((mask == 0)[..., None], np.nan, x) for x in (s, t))
    try:
        there = loss(bad_s, bad_t, mask, labels)
    except Exception:
        return
    applied = not loss.per_token or not np.any(here.value[mask == 0])  # else the caller is left to leave them out
    value = there.value if applied else there.value[mask == 1]
    if here.finite and not (np.isfinite(value).all() and np.isfinite(there.student[mask == 1]).all()):
        yield "mask_nan", "NaN logits at masked positions make the loss or its gradient NaN: a product with 0 keeps NaN"


def _difference(a: Array, b: Array) -> float:
    if np.array_equal(a, b, equal_nan=True):
        return 0.0
    return float(np.nan_to_num(relative(a, b), nan=1.0))


def _change(a: Array, b: Array, per_token: bool, mask: Array) -> float:
    return _difference(a[mask == 1], b[mask == 1]) if per_token else _difference(a, b)
