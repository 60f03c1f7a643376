"""Samples of the student: a prompt that a group shares is read once, and the first end ends a completion.

In half precision they are drawn from a copy in half precision (the *actor*), which needs no conversion at every token;
like every separate engine for sampling it is the student up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from transformers import DynamicCache

from distil_theory.llm import models
from distil_theory.llm.training.batch import padded
from distil_theory.llm.training.packing import Ids


def tokens_with(characters: str, tokenizer: Any) -> list[int]:
    """The tokens whose text contains one of the characters: any of them ends a completion.

    A single character cannot be spread over tokens, so nothing is missed. (In a vocabulary of bytes this holds for
    ASCII only.)

    Raises:
        ValueError: a character that is not ASCII, or that no token contains.
    """
    if not characters.isascii():
        raise ValueError(f"stop is {characters!r}: expected ASCII characters, others may be spread over tokens")
    texts = models.token_texts(tokenizer)
    for character in characters:
        if not any(character in text for text in texts):
            raise ValueError(f"stop has {character!r}: no token of the vocabulary contains it")
    return [i for i, text in enumerate(texts) if any(character in text for character in characters)]


def until_end(written: torch.Tensor, ends: Iterable[int]) -> list[list[int]]:
    """Each row `(batch, token)` up to and including its first end, wherever a model went on from there."""
    over = torch.isin(written, torch.tensor(list(ends), device=written.device)).cpu()
    lengths = torch.where(over.any(dim=1), over.int().argmax(dim=1) + 1, over.shape[1])
    return [row[:n] for row, n in zip(written.tolist(), lengths.tolist(), strict=True)]


def refreshed(actor: nn.Module, student: nn.Module) -> nn.Module:
    """The actor with the weights of the student as they are now, in its own precision."""
    with torch.no_grad():
        torch._foreach_copy_(list(actor.parameters()), list(student.parameters()))
    return actor


def sample(
    model: Any, prompts: Sequence[Ids], config: Any, *, ends: Iterable[int], pad: int, shared: bool = True
) -> list[list[int]]:
    """One completion per prompt, by `model.generate`.

    Args:
        model: of `transformers`, without wrappers.
        prompts: token ids, repeated as often as there shall be completions.
        config: a `GenerationConfig`; `ends` shall be its `eos_token_id`.
        ends: tokens that end a completion.
        pad: the token in the empty places.
        shared: read equal prompts once, and copy what the cache holds of them.
    """
    device = next(model.parameters()).device
    ids, mask = (x.to(device) for x in padded(prompts, pad))
    longest = ids.shape[1]
    options: dict[str, Any] = {}
    if shared and longest > 1:
        rows: dict[tuple[int, ...], int] = {}
        which = [rows.setdefault(tuple(prompt), len(rows)) for prompt in prompts]
        one = torch.tensor([which.index(row) for row in range(len(rows))], device=device)
        options["cache"] = DynamicCache(config=model.config)
        model(
            input_ids=ids[one, :-1],
            attention_mask=mask[one, :-1],
            position_ids=(mask[one, :-1].cumsum(dim=1) - 1).clamp(min=0),
            cache=options["cache"],
            use_cache=True,
            logits_to_keep=1,
        )
        options["cache"].batch_select_indices(torch.tensor(which, device=device))
    out = model.generate(input_ids=ids, attention_mask=mask, generation_config=config, **options)
    return until_end(out[:, longest:], ends)
