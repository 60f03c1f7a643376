r"""From a number per token to one loss; the choice changes the objective.

* `"token_sum"`: summed over the tokens of a sequence, averaged over sequences. On rollouts of the student this
  estimates `L = E_pi sum_h c_h`, the objective of the core.
* `"token_mean"`: summed over all tokens of the batch, divided by their number. If all sequences have `H` tokens it is
  `L/H`: the same direction. If not, it estimates `E[sum_h c_h] / E[length]`, in which every *token* counts alike, so a
  long sequence counts more; and since the number of tokens is not differentiated, its gradient is not that of this
  ratio: to what looking ahead charges a token it adds no credit for being long.

The mask says which tokens count: 1 for what the student wrote, up to and including its end; 0 for prompt and padding.
"""

from __future__ import annotations

import torch

from distil_theory.llm import checks

REDUCTIONS = ("token_sum", "token_mean")


def reduce(x: torch.Tensor, mask: torch.Tensor | None = None, how: str = "token_sum") -> torch.Tensor:
    """One loss from `(batch, token)`.

    Args:
        x: a number per token.
        mask: `(batch, token)`, 1 where a token counts; `None`: all count.
        how: one of `REDUCTIONS`.

    Raises:
        ValueError: bad shapes, NaN where a token counts, a mask that is all zero, an unknown reduction.
    """
    checks.choice("reduction", how, REDUCTIONS)
    x = checks.tensor("cost", x, checks.AXES[:2])
    mask = checks.mask_like(mask, x)
    counted = torch.where(mask == 1, x, torch.zeros_like(x))
    checks.finite("cost", counted, checks.AXES[:2])
    return counted.sum() / (len(x) if how == "token_sum" else mask.sum())
