r"""How a loss adds up its tokens: the weight `w[b,t]` that it gives each of them, read off its gradients.

The same pair of logits stands at every position, so gradients differ by their weights only, whatever the divergence.
On batches of several shapes and masks the weights are compared with those of the known reductions; the mask may be
used as given, ignored, or shifted by one position, in the sum and in what it is divided by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from distil_theory.auditing.laws import Array, relative
from distil_theory.auditing.probe import Loss

Rule = Callable[[Array, Array], Array]
RULES: dict[str, Rule] = {
    "token_sum": lambda n, d: n,
    "batch_mean": lambda n, d: n / len(n),
    "token_mean": lambda n, d: n / d.sum(),
    "sequence_mean": lambda n, d: n / (len(n) * d.sum(axis=1, keepdims=True)),
    "padded_mean": lambda n, d: n / n.size,
}
"""Weights from what is summed `n` and what is counted `d`, both `(batch, token)`."""
RAGGED = (
    np.array([[0, 1, 1, 1, 1, 0], [0, 0, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0]], dtype=float),
    np.array([[0, 1, 1, 0, 0], [0, 1, 1, 1, 0]], dtype=float),
)
"""Prompts before, padding behind; each sequence keeps a token when its mask is shifted."""
MASKS: dict[str, Callable[[Array], Array]] = {
    "given": lambda m: m,
    "ignored": np.ones_like,
    "shifted left": lambda m: np.concatenate([m[:, 1:], np.zeros_like(m[:, :1])], axis=1),
    "shifted right": lambda m: np.concatenate([np.zeros_like(m[:, :1]), m[:, :-1]], axis=1),
    "rolled left": lambda m: np.roll(m, -1, axis=1),
    "rolled right": lambda m: np.roll(m, 1, axis=1),
}
TOLERANCE = (1e-3, 1e-3, 3e-2)
"""Of weights, relative, for losses that compute in float64, float32, half precision."""


@dataclass(frozen=True)
class Reduction:
    """Which tokens count, and for how much.

    Args:
        rule: a name of `RULES`, `none` (a number per token), or `other`.
        summed, counted: names of `MASKS`.
        over_vocab: whether it is a mean over the vocabulary as well.
        constant: the weights are those of `rule` times this (only `other`).
    """

    rule: str
    summed: str = "given"
    counted: str = "given"
    over_vocab: bool = False
    constant: float = 1.0

    def weights(self, mask: Array, vocab: int) -> Array:
        """The weight of each token, `(batch, token)`."""
        n, d = MASKS[self.summed](mask), MASKS[self.counted](mask)
        rule = RULES["token_sum" if self.rule in ("none", "other") else self.rule]
        with np.errstate(divide="ignore", invalid="ignore"):
            size = d[:, :-1].size / d.size if "shifted" in self.counted and self.rule == "padded_mean" else 1.0
            return self.constant * rule(n, d) / size / (vocab if self.over_vocab else 1)


def same_everywhere(shape: tuple[int, int], token: Array) -> Array:
    """One row of logits at every position, `(batch, token, vocab)`."""
    return np.broadcast_to(token, (*shape, len(token))).copy()


def find(loss: Loss, rng: np.random.Generator) -> Reduction:
    """The reduction of a loss; `other` if it is none of the known."""
    for attempt in range(9):  # a token may lie where the loss is dead: others are tried, near, far, sure of the same
        s, t = (1.0, 0.2, 3.0)[attempt % 3] * rng.normal(size=(2, loss.vocab))
        s, t = (x + 5.0 * (attempt > 5) * (np.arange(loss.vocab) == attempt % loss.vocab) for x in (s, t))
        if _silent(loss, s, t):
            continue
        measured = list(_measure(loss, s, t))
        found = [w for _, w in measured]
        if all(np.isfinite(w).all() for w in found) and any(np.any(w != 0) for w in found):
            break
    else:
        measured = list(_measure_values(loss, rng))
    over_vocab = _over_vocab(loss, s, t)
    for reduction in _hypotheses(loss):
        if _fits(reduction, measured, loss, counted_only=False):
            return _with(reduction, over_vocab)
    for reduction in _hypotheses(loss):
        if reduction.summed == "given" and _fits(reduction, measured, loss, counted_only=True):
            return _with(reduction, over_vocab)
    return Reduction("none" if loss.per_token else "other", over_vocab=over_vocab)


def _silent(loss: Loss, s: Array, t: Array) -> bool:
    """Whether the gradient is no more than rounding of the value."""
    answer = loss(same_everywhere((2, 4), s), same_everywhere((2, 4), t))
    return loss.rounding(abs(answer.student).max(), abs(answer.value).max())


def _with(reduction: Reduction, over_vocab: bool) -> Reduction:
    return Reduction(reduction.rule, reduction.summed, reduction.counted, over_vocab)


def _hypotheses(loss: Loss) -> Iterator[Reduction]:
    rules = ("none",) if loss.per_token else tuple(RULES)
    pairs = [("given", "given")]
    if loss.takes_mask:
        pairs += [("given", "ignored"), ("ignored", "ignored"), ("ignored", "given")]
        pairs += [(shift, counted) for shift in list(MASKS)[2:] for counted in (shift, "given")]
    else:
        pairs += [(shift, counted) for shift in ("shifted left", "shifted right") for counted in (shift, "given")]
    for summed, counted in pairs:
        for rule in rules:
            yield Reduction(rule, summed, counted)


def _measure(loss: Loss, s: Array, t: Array) -> Iterator[tuple[Array, Array]]:
    """Masks and the weights found with them, in units of one direction for all."""
    direction: Array | None = None
    for mask in _masks(loss):
        g = loss(same_everywhere(mask.shape, s), same_everywhere(mask.shape, t), mask).student
        if direction is None:
            direction = g[0, 1]
            if not np.any(direction):
                direction = g.sum(axis=(0, 1))
        size = float((direction**2).sum())
        yield mask, g @ direction / size if size > 0 else g.sum(axis=-1) * 0


def _fits(reduction: Reduction, measured: list[tuple[Array, Array]], loss: Loss, counted_only: bool) -> bool:
    model, found = [], []
    for mask, w in measured:
        keep = mask == 1 if counted_only else np.ones_like(mask, dtype=bool)
        model.append(reduction.weights(mask, loss.vocab)[keep])
        found.append(w[keep])
    a, b = np.concatenate(model), np.concatenate(found)
    if not np.isfinite(a).all() or not np.any(a) or not np.any(b):
        return False
    return relative(b, a * (a @ b) / (a @ a)) <= TOLERANCE[loss.grain]


def _over_vocab(loss: Loss, s: Array, t: Array) -> bool:
    """Four more tokens that neither student nor teacher would write change nothing but a mean over the vocabulary."""
    small, large = loss.vocab, loss.vocab + 4
    more = [np.concatenate([x, np.full(4, x.max() - 60)]) for x in (s, t)]
    shape = (2, 4)
    try:
        a = loss(same_everywhere(shape, s), same_everywhere(shape, t)).student[..., :small]
        b = loss(*(same_everywhere(shape, x) for x in more)).student[..., :small]
    except Exception:
        return False
    if not np.isfinite(a).all() or not np.isfinite(b).all() or not np.any(a):
        return False
    ratio = float((a * b).sum() / (a * a).sum())
    return abs(ratio - small / large) < 0.01


def _measure_values(loss: Loss, rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """Where no gradient is, values must do: how much does the loss change when one position gets another token?"""
    tokens = rng.normal(size=(2, 2, loss.vocab))

    def value(shape: tuple[int, int], mask: Array, at: tuple[int, ...] | None) -> float:
        s, t = (same_everywhere(shape, x) for x in tokens[0])
        if at is not None:
            s[at], t[at] = tokens[1]
        return float(loss(s, t, mask, gradient=False).value.sum())

    for mask in _masks(loss):
        base = value(mask.shape, mask, None)
        yield mask, np.array([value(mask.shape, mask, at) - base for at in np.ndindex(mask.shape)]).reshape(mask.shape)


def _masks(loss: Loss) -> list[Array]:
    return [*(np.ones(shape) for shape in ((2, 4), (2, 6), (3, 4))), *(RAGGED if loss.takes_mask else ())]
