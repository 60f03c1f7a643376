"""A prompt that is read once: the same logits and gradients as separate texts, padded or not."""

import pytest
import torch

from distil_theory.llm.training import generation, packing
from tests.llm.training import small

PROMPTS = [[2, 3, 4], [5, 6, 7, 8, 9], [2, 3, 4], [2, 3, 4], [5, 6, 7, 8, 9]]
WRITTEN = [[3, 9, 9, 1], [4], [10, 2], [], [4, 3, 1]]


def one_by_one(model):
    """Each text alone, unpadded, the ordinary way."""
    out = []
    for prompt, written in zip(PROMPTS, WRITTEN, strict=True):
        said = model(input_ids=torch.tensor([prompt + written])).logits[0]
        out.append(said[len(prompt) - 1 : len(prompt) - 1 + len(written)])
    return torch.cat(out)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("shared", [True, False])
def test_logits_and_gradients_are_those_of_the_separate_texts(shared, attention):
    model = small.model(attention=attention)
    weight = torch.randn(10, len(small.CHARACTERS) + 2, generator=torch.Generator().manual_seed(1))
    found = []
    for logits in (one_by_one(model), packing.along(model, packing.pack(PROMPTS, WRITTEN, shared=shared))):
        gradients = torch.autograd.grad((logits.log_softmax(-1) * weight).sum(), list(model.parameters()))
        found.append((logits, torch.cat([g.flatten() for g in gradients])))
    for truth, ours in zip(*found, strict=True):
        assert (truth - ours).abs().max() < 1e-5 * truth.abs().max()


def test_a_shared_prompt_takes_one_row():
    assert packing.pack(PROMPTS, WRITTEN).ids.shape == (2, 5 + 4)
    assert packing.pack(PROMPTS, WRITTEN, shared=False).ids.shape == (5, 5 + 3)


def test_what_nobody_wrote_gets_no_logits():
    model = small.model()
    assert packing.along(model, packing.pack([[2, 3]], [[]])).shape == (0, len(small.CHARACTERS) + 2)


def test_texts_that_cannot_be_laid_out_are_refused():
    with pytest.raises(ValueError, match="prompt 1 is empty"):
        packing.pack([[1], []], [[1], [1]])
    with pytest.raises(ValueError, match="2 prompts and 1 completions"):
        packing.pack([[1], [1]], [[1]])
    with pytest.raises(ValueError, match="has 65 tokens: the model reads at most 64"):
        packing.along(small.model(), packing.pack([[2] * 64], [[2, 2]]))


def test_models_that_cannot_share_say_why():
    model = small.model()
    assert packing.can_share(model) == ""
    model.config._attn_implementation = "flash_attention_2"
    assert "flash_attention_2" in packing.can_share(model)
    model.config._attn_implementation, model.config.layer_types = "sdpa", ["full_attention", "sliding_attention"]
    assert "sliding_attention" in packing.can_share(model)


def config(**options):
    from transformers import GenerationConfig

    ends = {"max_new_tokens": 6, "eos_token_id": [1], "pad_token_id": 0, "disable_compile": True}
    return GenerationConfig(**{**ends, **options})


def test_reading_a_prompt_once_writes_the_same():
    model, prompts = small.model(2), [[2, 3, 4], [5, 6, 7, 8, 9], [2, 3, 4], [7]]
    written = [
        generation.sample(model, some, config(do_sample=False), ends=[1], pad=0, shared=shared)
        for some, shared in ((prompts, True), (prompts, False))
    ]
    alone = [generation.sample(model, [p], config(do_sample=False), ends=[1], pad=0)[0] for p in prompts]
    assert written[0] == written[1] == alone
    assert len({tuple(w) for w in alone}) > 1


def test_samples_have_the_frequencies_of_the_student():
    model, prompt = small.model(3), [2, 3, 4]
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        drawn = generation.sample(
            model, [prompt] * 4000, config(do_sample=True, top_k=0, max_new_tokens=2), ends=[1], pad=0
        )
        first = model(input_ids=torch.tensor([prompt])).logits[0, -1].softmax(-1)
        top = int(first.argmax())
        second = model(input_ids=torch.tensor([[*prompt, top]])).logits[0, -1].softmax(-1)
    counts = torch.bincount(torch.tensor([w[0] for w in drawn]), minlength=len(first)) / len(drawn)
    assert (counts - first).abs().max() < 0.03
    after = [w[1] for w in drawn if w[0] == top and len(w) > 1]
    assert (torch.bincount(torch.tensor(after), minlength=len(first)) / len(after) - second).abs().max() < 0.05


def test_only_the_first_end_ends():
    assert generation.until_end(torch.tensor([[5, 1, 7, 1], [5, 6, 7, 8], [9, 2, 2, 1]]), [1, 9]) == [
        [5, 1],
        [5, 6, 7, 8],
        [9],
    ]


def test_every_token_with_a_stop_character_ends():
    tokens = small.tokenizer()
    assert generation.tokens_with("\n", tokens) == [len(small.CHARACTERS) + 1]
    with pytest.raises(ValueError, match="no token of the vocabulary contains"):
        generation.tokens_with("?", tokens)
    with pytest.raises(ValueError, match="expected ASCII"):
        generation.tokens_with("é", tokens)
