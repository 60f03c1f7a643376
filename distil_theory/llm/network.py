"""A causal transformer in plain torch, so small that all it can say is a table.

Pre-norm blocks of attention and a feed-forward layer (Vaswani et al. 2017; Xiong et al. 2020), learned positions, a
final norm and a head over the tokens that may be written. One or two layers of width 16 have a few thousand parameters.
There is no dropout, attention is written out (so that higher derivatives exist), and the initial weights are drawn on
the CPU in float64 and then cast: one seed gives the same network in every precision and on every device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from distil_theory import validate


class Attention(nn.Module):
    """Causal self-attention with several heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.read = nn.Linear(width, 3 * width)
        self.write = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(batch, token, width)` to the same; a token attends to itself and to what comes before it."""
        query, key, value = self.read(x).unflatten(-1, (3, self.heads, -1)).movedim((-3, -2), (0, -3))
        score = query @ key.mT / query.shape[-1] ** 0.5
        ahead = torch.ones(score.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
        found = torch.softmax(score.masked_fill(ahead, -float("inf")), dim=-1) @ value
        return self.write(found.movedim(-3, -2).flatten(-2))


class Block(nn.Module):
    """One pre-norm layer: attention, then a feed-forward network twice as wide."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attend = nn.Sequential(nn.LayerNorm(width), Attention(width, heads))
        self.think = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(batch, token, width)` to the same."""
        x = x + self.attend(x)
        return x + self.think(x)


class Network(nn.Module):
    """Token ids `(batch, token)` to logits `(batch, token, actions)` of the next token.

    Args:
        vocabulary: how many tokens there are to read.
        actions: the first so many of them may be written.
        context: the longest text.
        width, heads, layers: the size; `heads` divides `width`.
        seed: of the initial weights.
        dtype, device: where it computes.

    Raises:
        ValueError: a size that is no positive whole number or does not fit the others.
    """

    def __init__(
        self,
        vocabulary: int,
        actions: int,
        context: int,
        *,
        width: int = 16,
        heads: int = 2,
        layers: int = 1,
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
        device: Any = "cpu",
    ) -> None:
        super().__init__()
        sizes = {"vocabulary": vocabulary, "actions": actions, "context": context, "width": width, "heads": heads}
        for what, size in {**sizes, "layers": layers}.items():
            validate.whole(what, size, 1)
        if actions > vocabulary:
            raise ValueError(f"actions is {actions}: there are only {vocabulary} tokens in the vocabulary")
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")
        self.token, self.place = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)), nn.LayerNorm(width))
        self.head = nn.Linear(width, actions)
        self._draw(validate.whole("seed", seed, 0))
        self.to(dtype=dtype, device=device)

    def _draw(self, seed: int) -> None:
        """Weights of variance `1 / fan-in`, embeddings of variance 1/4, norms and biases as usual."""
        self.double()
        dice = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    module.weight.normal_(0, module.in_features**-0.5, generator=dice)
                    module.bias.zero_()
                elif isinstance(module, nn.Embedding):
                    module.weight.normal_(0, 0.5, generator=dice)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits of the next token after every prefix of every text; what follows a token does not change them."""
        if ids.ndim != 2 or ids.shape[1] > self.place.num_embeddings:
            raise ValueError(
                f"ids has shape {tuple(ids.shape)}: expected (batch, token), at most {self.place.num_embeddings} tokens"
            )
        places = torch.arange(ids.shape[1], device=ids.device)
        return self.head(self.blocks(self.token(ids) + self.place(places)))
