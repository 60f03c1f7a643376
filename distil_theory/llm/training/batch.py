"""A batch as TRL hands it over: a dictionary of tensors, and what can be read off it.

`prompt_ids`, `prompt_mask` (and `teacher_...`): `(batch, longest)`, padded on the left. `completion_ids`,
`completion_mask`: `(batch, token)`, padded on the right. A language model is asked at the `N` tokens that were written;
`spread` puts `(1, N)` numbers back in their places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from distil_theory.llm.losses import log_softmax
from distil_theory.llm.training import packing

Batch = dict[str, Any]


def padded(prompts: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, padded on the left."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[pad] * (longest - len(p)) + list(p) for p in prompts])
    return ids, torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])


def cut(ids: torch.Tensor, mask: torch.Tensor, keep: int) -> Batch:
    """Whole texts `(batch, length)`, the last `keep` tokens of which are completions, as a batch."""
    prompt = {"prompt_ids": ids[:, :-keep], "prompt_mask": mask[:, :-keep]}
    return prompt | {"completion_ids": ids[:, -keep:], "completion_mask": mask[:, -keep:]}


def counted(inputs: Batch) -> torch.Tensor:
    """1 where a token is the student's own and counts, `(batch, token)`."""
    mask: torch.Tensor = inputs["completion_mask"]
    return mask * inputs["tool_mask"] if "tool_mask" in inputs else mask


def log_probs(model: Any, inputs: Batch, reader: str, *, shared: bool, temperature: float = 1.0) -> torch.Tensor:
    """Log-probabilities `(1, N, vocab)` of a model that reads `{reader}_ids` and then the completions."""
    pairs = zip(inputs[f"{reader}_ids"], inputs[f"{reader}_mask"].bool(), strict=True)
    prompts = [row[kept].tolist() for row, kept in pairs]
    written = zip(inputs["completion_ids"], inputs["completion_mask"].bool(), strict=True)
    logits = packing.along(model, packing.pack(prompts, [row[kept].tolist() for row, kept in written], shared=shared))
    return log_softmax(logits if temperature == 1 else logits.float() / temperature)[None]


def spread(inputs: Batch, *flat: torch.Tensor) -> list[torch.Tensor]:
    """Numbers `(1, N, ...)` as `(batch, token, ...)`, zero elsewhere."""
    place = inputs["completion_mask"].bool()
    return [x.new_zeros((*place.shape, *x.shape[2:])).index_put((place,), x[0]) for x in flat]


def of_tokens(inputs: Batch, *said: torch.Tensor) -> list[torch.Tensor]:
    """Of log-probabilities `(1, N, vocab)`, those of the tokens written, `(batch, token)`."""
    tokens = inputs["completion_ids"][inputs["completion_mask"].bool()][None, :, None]
    return spread(inputs, *(x.gather(-1, tokens)[..., 0] for x in said))
