"""Sampling with a cache against the network asked anew, and what is made of the samples."""

import numpy as np
import pandas as pd
import pytest
import torch

from distil_theory.llm import evaluate, models, tasks

PROMPTS = ["12 * 3 =", "1", "12 * 3 = 36\n7 * 8 =", "12 * 3 ="]


@pytest.fixture(scope="module")
def player(tmp_path_factory):
    """A tiny model of float64 whose laws are far from uniform."""
    model, tokenizer = models.load(models.tiny(tmp_path_factory.mktemp("llm") / "tiny", width=16), "float64")
    with torch.no_grad():
        for weight in model.parameters():
            weight *= 6
    return model, tokenizer


@pytest.mark.parametrize("prompts", [PROMPTS, PROMPTS[:1], [PROMPTS[0], PROMPTS[3]]], ids=["ragged", "one", "equal"])
@pytest.mark.parametrize("batch", [256, 6])
def test_log_probability_and_entropy_are_those_of_the_network_asked_anew(player, prompts, batch):
    """No cache, no padding, no batch."""
    model, tokenizer = player
    table = evaluate.sample(model, tokenizer, prompts, 6, max_tokens=9, seed=1, batch=batch)
    assert table["prompt"].tolist() == np.repeat(range(len(prompts)), 6).tolist()
    assert table["sample"].tolist() == list(range(6)) * len(prompts)
    assert table["length"].nunique() > 1 or len(prompts) < 4
    for line in table.itertuples():
        before = tokenizer(prompts[line.prompt])["input_ids"]
        after = tokenizer(line.completion)["input_ids"]
        with torch.no_grad():
            law = model(torch.tensor([before + after])).logits[0, len(before) - 1 : -1].log_softmax(-1)
        assert len(after) == line.length
        assert line.log_prob == pytest.approx(law[range(len(after)), after].sum().item(), abs=1e-4)
        assert line.entropy == pytest.approx(-(law.exp() * law).sum().item(), abs=1e-4)
        assert line.ended == line.completion.endswith("\n")
        assert "\n" not in line.completion[:-1]
        assert line.ended or line.length == 9


def test_tokens_come_with_their_probabilities(player):
    """20000 first tokens of the longer prompt of two: total variation within three times its expected value."""
    model, tokenizer = player
    n = 20000
    table = evaluate.sample(model, tokenizer, PROMPTS[1:3], n, max_tokens=1, batch=2 * n)
    seen = table["completion"][table["prompt"] == 1].value_counts(normalize=True)
    with torch.no_grad():
        law = model(**tokenizer(PROMPTS[2], return_tensors="pt")).logits[0, -1].softmax(-1).numpy()
    distance = sum(abs(seen.get(tokenizer.decode([i]), 0) - p) for i, p in enumerate(law)) / 2
    expected = np.sqrt(law * (1 - law) / n * 2 / np.pi).sum() / 2
    assert 0 < distance < 3 * expected


def test_sampling_leaves_no_trace(player):
    model, tokenizer = player
    model.train()
    state = torch.get_rng_state()
    first, again, other = (evaluate.sample(model, tokenizer, PROMPTS, 4, max_tokens=5, seed=s) for s in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    model.eval()
    evaluate.sample(model, tokenizer, PROMPTS, 1, max_tokens=1)
    assert not model.training
    pd.testing.assert_frame_equal(first, again)
    assert first["completion"].tolist() != other["completion"].tolist()


def test_every_token_with_a_newline_in_it_ends_a_completion():
    class Words:
        vocabulary = ("a", "\n", "\n\n", ".\n", " ")

        def __len__(self):
            return len(self.vocabulary)

        def batch_decode(self, rows):
            return [self.vocabulary[i] for (i,) in rows]

    assert evaluate.stop_tokens(Words(), "\n", 7).tolist() == [False, True, True, True, False, False, False]


def test_a_task_is_played(player):
    task = tasks.get("product")
    rows = task.rows("held_out", 3)
    table = evaluate.evaluate(*player, task, rows, 4)
    columns = ["item", "sample", "completion", "vote", "right", "length", "ended", "log_prob", "entropy"]
    assert table.columns.tolist() == columns
    assert table["item"].tolist() == [row["item"] for row in rows for _ in range(4)]
    assert table["length"].max() <= task.max_tokens
    answers = [row["answer"] for row in rows for _ in range(4)]
    assert table["vote"].tolist() == [task.vote(text) for text in table["completion"]]
    assert table["right"].tolist() == (table["vote"] == answers).astype(float).tolist()
    told = [task.teacher_prompt(row, " 7\n", "answer") for row in rows]
    other = evaluate.evaluate(*player, task, rows, 4, prompts=told)
    assert other["log_prob"].tolist() != table["log_prob"].tolist()


def played(votes, right):
    """A table of one item per row of votes."""
    lines = [
        {"item": i, "sample": j, "vote": v, "right": float(v == right), "length": j, "entropy": i, "ended": True}
        for i, row in enumerate(votes)
        for j, v in enumerate(row)
    ]
    return pd.DataFrame(lines)


def test_a_summary_by_hand():
    """Right answers: 2 of 4, 1 of 4, 0 of 4; majorities: a tie of two, lost, lost."""
    found = evaluate.summary(played(["aabb", "abbc", "bbbb"], "a"), (1, 2, 4, 8)).set_index(["metric", "n"])
    assert found.index.tolist() == [
        *(("avg", 4), ("best", 4), ("maj", 4), ("pass", 1), ("pass", 2), ("pass", 4)),
        *(("length", 1), ("entropy", 1), ("ended", 1)),
    ]
    assert found["value"].tolist() == pytest.approx([1 / 4, 2 / 3, 1 / 6, 1 / 4, 4 / 9, 2 / 3, 1.5, 1, 1])
    spread = np.std([1 / 2, 1 / 4, 0], ddof=1) / np.sqrt(3)
    assert found["standard_error"]["avg", 4] == pytest.approx(spread)
    assert found["standard_error"]["pass", 2] == pytest.approx(np.std([5 / 6, 1 / 2, 0], ddof=1) / np.sqrt(3))


def test_errors_say_what_is_wrong(player):
    model, tokenizer = player
    task = tasks.get("product")
    with pytest.raises(ValueError, match="there are 1 prompts for 2 rows"):
        evaluate.evaluate(model, tokenizer, task, task.rows("train", 2), prompts=["3"])
    with pytest.raises(ValueError, match="there are no prompts"):
        evaluate.sample(model, tokenizer, [], max_tokens=3)
    with pytest.raises(ValueError, match="an empty one"):
        evaluate.sample(model, tokenizer, ["3", ""], max_tokens=3)
    with pytest.raises(ValueError, match="samples must be a whole number >= 1, not 0"):
        evaluate.sample(model, tokenizer, ["3"], 0, max_tokens=3)
    with pytest.raises(ValueError, match=r"every item must have as many samples: \[2, 3\]"):
        evaluate.summary(played(["aa", "aaa"], "a"))
