"""One token at a time: cost and gradient per token, from losses of any reduction.

Gradients come in batches: each position of one call is a token, and its gradient divided by its weight is that of its
own cost. Values of a scalar loss come one call a token, which then stands at every position. A loss that looks at
labels is averaged exactly over the labels that the student would draw: every token of the vocabulary, with its
probability.
"""

from __future__ import annotations

import numpy as np

from distil_theory.auditing.laws import Array, log_softmax
from distil_theory.auditing.probe import Loss
from distil_theory.auditing.reduce import Reduction, same_everywhere


class Meter:
    """Per-token measurements of a loss whose reduction is known."""

    def __init__(self, loss: Loss, reduction: Reduction, sampled: bool):
        self.loss, self.reduction, self.sampled = loss, reduction, sampled
        self.grain = loss.grain
        self.coarse = self.grain > 0
        self.rows = 4 if loss.framework == "torch" else 2
        self.columns = 8 if loss.framework == "torch" else 4

    @property
    def tokens(self) -> int:
        """How many tokens a batch of random logits has."""
        return self.rows * self.columns

    def draw(self, rng: np.random.Generator, sigma: float, tokens: int | None = None) -> tuple[Array, Array]:
        """Student and teacher logits `(tokens, vocab)`, normal with this standard deviation."""
        s, t = sigma * rng.normal(size=(2, tokens or self.tokens, self.loss.vocab))
        return s, t

    def gradients(self, s: Array, t: Array, precision: str | None = None) -> Array:
        """Gradient of the cost of each token in its student logits, `(tokens, vocab)`; NaN where it has no weight."""
        if self.sampled:
            g = self.by_label(s, t)[1]
            return (np.exp(log_softmax(s))[..., None] * g).sum(axis=1)
        n, vocab = s.shape
        columns = next(c for c in (self.columns, 4, 3, 2, 1) if n % c == 0)
        shape = (n // columns, columns)
        # the ends of a sequence may be lost to a shift: fill them
        ends = [np.zeros((shape[0], 1, vocab)) for _ in range(2)]
        batch = [np.concatenate([ends[0], x.reshape(*shape, vocab), ends[1]], axis=1) for x in (s, t)]
        g = self.loss(batch[0], batch[1], precision=precision).student[:, 1:-1]
        w = self.reduction.weights(np.ones(batch[0].shape[:2]), vocab)[:, 1:-1]
        return (g / w[..., None]).reshape(n, vocab)

    def by_label(self, s: Array, t: Array) -> tuple[Array, Array]:
        """Cost `(tokens, vocab)` and gradient `(tokens, vocab, vocab)` for each label (second axis)."""
        n, vocab = s.shape
        labels = np.broadcast_to(np.arange(vocab), (n, vocab))
        pad = np.pad(labels, ((0, 0), (1, 1)))
        a, b = (np.repeat(x[:, None], vocab + 2, axis=1) for x in (s, t))
        answer = self.loss(a, b, labels=pad)
        w = self.reduction.weights(np.ones((n, vocab + 2)), vocab)
        g = (answer.student / w[..., None])[:, 1:-1]
        if self.loss.per_token:
            return (answer.value / w)[:, 1:-1], g
        values = [[self._scalar(s[i], t[i], y) for y in range(vocab)] for i in range(n)]
        return np.array(values), g

    def values(self, s: Array, t: Array) -> Array:
        """The cost of each token, `(tokens,)`."""
        if self.sampled:
            return (np.exp(log_softmax(s)) * self.by_label(s, t)[0]).sum(axis=-1)
        if self.loss.per_token:
            a, b = (np.repeat(x[:, None], 3, axis=1) for x in (s, t))
            w = self.reduction.weights(np.ones((len(s), 3)), s.shape[-1])
            return (self.loss(a, b, gradient=False).value / w)[:, 1]
        return np.array([self._scalar(a, b, 0) for a, b in zip(s, t, strict=True)])

    def _scalar(self, s: Array, t: Array, label: int) -> float:
        shape = (2, 3)
        labels = np.full(shape, label)
        value = self.loss(same_everywhere(shape, s), same_everywhere(shape, t), labels=labels, gradient=False).value
        return float(value / self.reduction.weights(np.ones(shape), len(s)).sum())
