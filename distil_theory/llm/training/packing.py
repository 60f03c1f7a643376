r"""What a language model says along given texts: a prompt that many completions share is read once.

The samples of a group are `prompt + completion_1`, `prompt + completion_2`, ... A causal model computes the same hidden
states of the prompt for each of them. *Packed*, a group is one row,

    [padding] prompt completion_1 completion_2 ... completion_G [padding],

in which a token attends to the prompt and to what comes before it in its own completion (a block mask), and counts its
position from the start of its own text. The logits and their gradients are those of the separate texts, up to rounding.
The last token of a completion is never read, as nothing follows it, and only the places that predict a token of a
completion pass through the head of the vocabulary.

Packing needs an attention that takes a mask of four axes (`sdpa` or `eager`) and looks at everything before a token.
Any other model goes the plain way: a row per sample and an ordinary mask. Both ways use explicit positions, so padding,
on whichever side, changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

Ids = Sequence[int]


class Packed(NamedTuple):
    """Rows of text for one forward pass.

    `ids`, `positions`: `(row, length)`. `attention`: booleans `(row, 1, length, length)` or `(row, length)`. `start`:
    logits are needed from this place on. `places`: where the logits of each token of each completion are, sample after
    sample, in the flattened `(row, length - start)`.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    attention: torch.Tensor
    start: int
    places: torch.Tensor


def pack(prompts: Sequence[Ids], completions: Sequence[Ids], *, shared: bool = True, pad: int = 0) -> Packed:
    """Lay out samples `prompts[i] + completions[i]`.

    Args:
        prompts: token ids of each sample's prompt, at least one.
        completions: token ids of what was written after it; may be empty.
        shared: one row for all samples with the same prompt; otherwise one for each.
        pad: the token in the empty places.

    Raises:
        ValueError: no samples, not as many prompts as completions, or an empty prompt.
    """
    if not prompts or len(prompts) != len(completions):
        raise ValueError(f"{len(prompts)} prompts and {len(completions)} completions: expected as many, at least one")
    empty = [i for i, prompt in enumerate(prompts) if not len(prompt)]
    if empty:
        raise ValueError(f"prompt {empty[0]} is empty: the first token of its completion has nothing to follow")
    groups: dict[Any, list[int]] = {}
    for i, prompt in enumerate(prompts):
        groups.setdefault(tuple(prompt) if shared else i, []).append(i)
    longest = max(map(len, prompts))
    written = [sum(max(len(completions[i]) - 1, 0) for i in members) for members in groups.values()]
    start, length = longest - 1, longest + max(written)
    ids = torch.full((len(groups), length), pad, dtype=torch.long)
    positions, block = torch.zeros_like(ids), torch.full_like(ids, -1)
    places: list[list[int]] = [[] for _ in prompts]
    for row, members in enumerate(groups.values()):
        prompt, here = prompts[members[0]], longest
        n = len(prompt)
        ids[row, here - n : here] = torch.tensor(list(prompt))
        positions[row, here - n : here] = torch.arange(n)
        block[row, here - n : here] = 0
        for k, i in enumerate(members):
            read = list(completions[i][:-1])
            to = here + len(read)
            ids[row, here:to] = torch.tensor(read, dtype=torch.long)
            positions[row, here:to] = torch.arange(n, n + len(read))
            block[row, here:to] = k + 1
            origin = row * (length - start) - start
            if len(completions[i]):
                places[i] = [origin + start, *range(origin + here, origin + to)]
            here = to
    attention = _blocks(block) if shared else block >= 0
    return Packed(
        ids, positions, attention, start, torch.tensor([p for some in places for p in some], dtype=torch.long)
    )


def _blocks(block: torch.Tensor) -> torch.Tensor:
    """The mask of rows whose tokens belong to the prompt (0), to a completion (1, 2, ...) or to nothing (-1).

    Padding attends to padding: a row of the softmax without any entry would be NaN.
    """
    asks, gives = block[:, :, None], block[:, None, :]
    before = torch.ones(block.shape[1], block.shape[1], dtype=torch.bool).tril()
    return (before & ((asks == gives) | ((gives == 0) & (asks > 0))))[:, None]


def can_share(model: Any) -> str:
    """Why the prompt of a group cannot be shared by a model of `transformers`; empty if it can."""
    config = model.config.get_text_config()
    how = getattr(config, "_attn_implementation", None)
    if how not in ("sdpa", "eager"):
        return f"its attention is {how!r}, and only 'sdpa' and 'eager' take a block mask"
    other = set(getattr(config, "layer_types", None) or ["full_attention"]) - {"full_attention"}
    return f"it has layers of {', '.join(sorted(other))}" if other else ""


def along(model: Any, packed: Packed) -> torch.Tensor:
    """Logits `(N, vocab)` of the tokens of all completions, sample after sample.

    Raises:
        ValueError: a text is longer than the model can read.
    """
    inner = getattr(model, "module", model)
    limit = getattr(inner.config.get_text_config(), "max_position_embeddings", None)
    longest = int(packed.positions.max()) + 1
    if limit is not None and longest > limit:
        raise ValueError(f"a prompt with its completion has {longest} tokens: the model reads at most {limit}")
    device, attention = next(inner.parameters()).device, packed.attention
    if attention.ndim == 4 and inner.config.get_text_config()._attn_implementation == "eager":  # which adds its mask
        attention = torch.zeros(attention.shape).masked_fill(~attention, torch.finfo(torch.float32).min)
    logits = model(
        input_ids=packed.ids.to(device),
        attention_mask=attention.to(device),
        position_ids=packed.positions.to(device),
        use_cache=False,
        logits_to_keep=packed.ids.shape[1] - packed.start,
    ).logits
    return logits.flatten(0, 1).index_select(0, packed.places.to(device))
