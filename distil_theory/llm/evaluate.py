r"""How good is it, if it may try several times: completions sampled at temperature 1, and what they are worth.

Evaluation is dominated by reading, not by writing: 16 completions of 4 tokens after a prompt of 60. So each prompt is
read *once*. What all prompts of a batch share (the examples of a few-shot prompt) is read once for all; then each
prompt's rest, padded on the left; then the keys and values are expanded over the samples, and all completions are
written together, those that have ended leaving the batch.

Tokens are drawn from the softmax of the last logits in float32, whatever the precision of the model, by a generator of
our own: the same seed and batch give the same completions, and training goes on as if nothing had been drawn. Per
completion:

* `length`: tokens, the end of line included;
* `log_prob`: of the completion under the model, the sum over its tokens;
* `entropy`: `sum_t H(pi(.|prefix_t))` in nats; its mean over samples estimates the entropy of the law of completions
  (chain rule), with less variance than `-log_prob` has.

A completion without its end after `max_tokens` is cut off there, counts as it stands, and is marked: `ended` is False.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from distil_theory import success, validate
from distil_theory.llm import models
from distil_theory.llm.tasks import Task
from distil_theory.llm.tasks.base import Row


def evaluate(
    model: Any,
    tokenizer: Any,
    task: Task,
    rows: Sequence[Row],
    samples: int = 16,
    *,
    seed: int = 0,
    prompts: Sequence[str] | None = None,
    batch: int = 256,
) -> pd.DataFrame:
    """One line per completion: `item, sample, completion, vote, right, length, ended, log_prob, entropy`.

    Args:
        model, tokenizer: from `models.load`.
        task: reads the final answer and rewards it.
        rows: from `task.rows`.
        samples: completions per prompt.
        seed: of the draws.
        prompts: one for each row, such as the teacher's; default: the row's own.
        batch: completions that are written at the same time.

    Raises:
        ValueError: no rows, prompts that do not fit, numbers that are not whole.
    """
    prompts = [row["prompt"] for row in rows] if prompts is None else list(prompts)
    if len(prompts) != len(rows):
        raise ValueError(f"there are {len(prompts)} prompts for {len(rows)} rows")
    table = sample(
        model, tokenizer, prompts, samples, max_tokens=task.max_tokens, seed=seed, batch=batch, stop=task.stop
    )
    table.insert(0, "item", [rows[i]["item"] for i in table["prompt"]])
    table.insert(3, "completion", table.pop("completion"))
    table.insert(4, "vote", [task.vote(text) for text in table["completion"]])
    rights = [task.reward(rows[i], text) for i, text in zip(table["prompt"], table["completion"], strict=True)]
    table.insert(5, "right", rights)
    return table.drop(columns="prompt")


def sample(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    samples: int = 16,
    *,
    max_tokens: int,
    seed: int = 0,
    batch: int = 256,
    stop: str = "\n",
) -> pd.DataFrame:
    """One line per completion: `prompt` (its place), `sample, completion, length, ended, log_prob, entropy`.

    Raises:
        ValueError: no prompts, an empty one, or numbers that are not whole.
    """
    samples, max_tokens = validate.whole("samples", samples, 1), validate.whole("max_tokens", max_tokens, 1)
    together = max(validate.whole("batch", batch, 1) // samples, 1)
    read = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in prompts]
    if not read or not all(read):
        raise ValueError("there are no prompts, or an empty one: nothing to continue")
    rng = torch.Generator(device=model.device).manual_seed(seed)
    ends = stop_tokens(tokenizer, stop, model.config.vocab_size).to(model.device)
    parts = []
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for first in range(0, len(read), together):
            ids, ended, log_probs, entropy = _write(
                model, read[first : first + together], samples, max_tokens, rng, ends
            )
            length = (ids >= 0).sum(dim=1)
            written = [row[row >= 0] for row in ids]
            place = np.arange(len(written))
            parts.append(
                pd.DataFrame(
                    {
                        "prompt": first + place // samples,
                        "sample": place % samples,
                        "length": length.cpu(),
                        "ended": ended.cpu(),
                        "log_prob": log_probs.cpu(),
                        "entropy": entropy.cpu(),
                        "completion": tokenizer.batch_decode(written),
                    }
                )
            )
    model.train(was_training)
    return pd.concat(parts, ignore_index=True)


def stop_tokens(tokenizer: Any, stop: str, vocabulary: int) -> torch.Tensor:
    """Which tokens end a completion, `(vocab,)` booleans: all whose text contains `stop`, also two newlines in one."""
    found = torch.tensor([stop in word for word in models.token_texts(tokenizer)[:vocabulary]])
    return torch.nn.functional.pad(found, (0, vocabulary - len(found)))


def _read(model: Any, prompts: list[list[int]]) -> tuple[torch.Tensor, Any, torch.Tensor]:
    """Logits after each prompt `(prompts, vocab)`, the keys and values, and which of their places count."""
    from transformers import DynamicCache

    device = model.device
    shared = 0
    while shared < min(map(len, prompts)) - 1 and len({p[shared] for p in prompts}) == 1:
        shared += 1
    cache = DynamicCache(config=model.config)
    if shared:
        model(torch.tensor([prompts[0][:shared]], device=device), cache=cache, logits_to_keep=1)
        cache.batch_repeat_interleave(len(prompts))
    longest = max(map(len, prompts)) - shared
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    seen = torch.ones(len(prompts), shared + longest, dtype=torch.long)
    for i, prompt in enumerate(prompts):
        gap = longest - (len(prompt) - shared)
        ids[i, gap:] = torch.tensor(prompt[shared:])
        seen[i, shared : shared + gap] = 0
    ids, seen = ids.to(device), seen.to(device)
    places = (seen.cumsum(dim=1) - 1).clamp(min=0)[:, shared:]
    said = model(ids, attention_mask=seen, position_ids=places, cache=cache, logits_to_keep=1)
    return said.logits[:, -1], cache, seen


def _write(
    model: Any, prompts: list[list[int]], samples: int, max_tokens: int, rng: torch.Generator, ends: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids `(completions, max_tokens)`, -1 behind the end; ended, log-probability and entropy of each."""
    logits, cache, seen = _read(model, prompts)
    cache.batch_repeat_interleave(samples)
    logits, seen = logits.repeat_interleave(samples, dim=0), seen.repeat_interleave(samples, dim=0)
    n = len(logits)
    ids = torch.full((n, max_tokens), -1, device=logits.device)
    ended = torch.zeros(n, dtype=torch.bool, device=logits.device)
    log_prob, entropy = logits.new_zeros(2, n, dtype=torch.float64)
    writing = torch.arange(n, device=logits.device)  # the completions that have not ended
    for t in range(max_tokens):
        log_law = logits.float().log_softmax(dim=-1)
        law = log_law.exp()
        token = torch.multinomial(law, 1, generator=rng)
        ids[writing, t] = token[:, 0]
        log_prob[writing] += log_law.gather(1, token)[:, 0]
        entropy[writing] -= (law * log_law).sum(dim=-1)
        end = ends[token[:, 0]]
        ended[writing] = end
        going = (~end).nonzero()[:, 0]
        if not len(going) or t + 1 == max_tokens:
            break
        if len(going) < len(writing):
            cache.batch_select_indices(going)
            writing, token, seen = writing[going], token[going], seen[going]
        places = seen.sum(dim=1, keepdim=True)
        seen = torch.cat([seen, seen.new_ones(len(seen), 1)], dim=1)
        logits = model(token, attention_mask=seen, position_ids=places, cache=cache).logits[:, -1]
    return ids, ended, log_prob, entropy


def summary(table: pd.DataFrame, attempts: Sequence[int] = (1, 2, 4, 8, 16)) -> pd.DataFrame:
    """One line per `metric, n` with `value` and `standard_error`: over items, which are themselves a sample.

    Avg@k, Best@k and Maj@k with `k` the samples of an item; Pass@N for `attempts` up to `k`; length, entropy and the
    share that ended with `n = 1`. With rewards 0 and 1, Best@N is Pass@N. A standard error needs two items.

    Raises:
        ValueError: items with different numbers of samples.
    """
    groups = [group for _, group in table.groupby("item", sort=False)]
    sizes = {len(group) for group in groups}
    if len(sizes) != 1:
        raise ValueError(f"every item must have as many samples: {sorted(sizes)}")
    (k,) = sizes
    right = np.stack([group["right"].to_numpy(dtype=float) for group in groups], axis=1)  # (k, items)
    correct = right.sum(axis=0).astype(int)
    found: list[tuple[str, int, Any]] = [
        ("avg", k, success.estimate_avg_at_n(right, k).value),
        ("best", k, success.estimate_best_at_n(right, k).value),
        ("maj", k, np.array([majority(group, k) for group in groups])),
        *(("pass", n, success.estimate_pass_at_n(correct, k, n).value) for n in attempts if n <= k),
        *((name, 1, np.array([g[name].mean() for g in groups])) for name in ("length", "entropy", "ended")),
    ]
    lines = []
    for metric, n, values in found:
        mean = success.mean_over_prompts(values)
        lines.append((metric, n, float(mean.value), float(mean.standard_error)))
    return pd.DataFrame(lines, columns=["metric", "n", "value", "standard_error"])


def majority(group: pd.DataFrame, k: int) -> float:
    """Maj@k of one item: its most frequent final answer, ties broken at random."""
    votes = group.groupby("vote", sort=False)["right"].agg(["size", "first"])
    return float(success.estimate_maj_at_n(votes["size"].to_numpy(), votes["first"].to_numpy(float), k).value)
