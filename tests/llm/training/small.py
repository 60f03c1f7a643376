"""A language model of a few thousand weights that reads characters, sums to ask it, and trainers made of both."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
from datasets import Dataset
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from distil_theory.llm.training import DistILConfig, DistILTrainer

CHARACTERS = "0123456789+= \n"


def tokenizer():
    words = {word: i for i, word in enumerate(["<pad>", "<end>", *CHARACTERS])}
    inner = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    inner.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<end>")


def model(seed=0, attention="sdpa", **options):
    """Large weights, so that what is read matters."""
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    special = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    config = LlamaConfig(
        vocab_size=len(CHARACTERS) + 2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        initializer_range=0.4,
        attn_implementation=attention,
        **{**sizes, **special, **options},
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()


def sums(n=6):
    pairs = [(i, 7 * i % 5) for i in range(n)]
    rows = [{"prompt": f"{a}+{b}=", "teacher_prompt": f"{a + b} {a}+{b}=", "answer": str(a + b)} for a, b in pairs]
    return Dataset.from_list(rows)


def right(prompts, completions, answer, **_):
    return [
        float(bool(said.strip()) and said.strip()[0] == truth[0])
        for said, truth in zip(completions, answer, strict=True)
    ]


def arguments(folder, **options):
    usual = {"per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 4, "max_steps": 3}
    quiet = {"use_cpu": True, "report_to": "none", "disable_tqdm": True, "save_strategy": "no", "logging_steps": 1}
    rest = {"bf16": False, "learning_rate": 1e-2, "seed": 5, "lr_scheduler_type": "constant"}
    return DistILConfig(str(folder), **{**usual, **quiet, **rest, **options})


def trainer(folder, *, seed=0, dataset=None, teacher_prompt=None, attention="sdpa", **options):
    return DistILTrainer(
        model(seed, attention),
        right,
        arguments(folder, **options),
        sums() if dataset is None else dataset,
        processing_class=tokenizer(),
        teacher_prompt=teacher_prompt,
    )
