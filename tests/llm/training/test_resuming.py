"""A run that is taken up again goes on as if it had never stopped."""

import json

import pytest
import torch

from distil_theory.llm.training import checkpoints
from tests.llm.training import small

CASES = {
    "one update, second epoch": {"max_steps": 8},
    "in the middle of three updates": {"num_iterations": 3, "part": "full", "baseline": "group"},
    "in the middle of a batch of rollouts": {"steps_per_generation": 4, "num_iterations": 2, "part": "full"},
    "micro-batches": {"gradient_accumulation_steps": 2, "num_iterations": 2},
    "half precision": {"bf16": True},
    "grpo": {"objective": "grpo", "num_iterations": 2},
}
STOP = 4


@pytest.mark.parametrize("case", CASES)
def test_it_ends_bit_for_bit_where_an_uninterrupted_run_ends(tmp_path, case):
    options = {"max_steps": 7, "save_strategy": "steps", "save_steps": STOP, "teacher_update_rate": 0.3} | CASES[case]
    log = str(tmp_path / "log.jsonl")
    whole = small.trainer(tmp_path / "whole", rollout_log=log, dataset=small.sums(8), **options)
    whole.train()
    rest = small.trainer(tmp_path / "whole", seed=1, rollout_log=log + "2", dataset=small.sums(8), **options)
    if case != "grpo":
        lines = (tmp_path / "log.jsonl").read_text().splitlines()
        (tmp_path / "log.jsonl2").write_text("".join(f"{line}\n" for line in lines))
    rest.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{STOP}"))
    assert rest.state.global_step == whole.state.global_step > STOP
    for model in ("model", "_teacher"):
        if getattr(whole, model) is not None:
            pairs = zip(getattr(whole, model).parameters(), getattr(rest, model).parameters(), strict=True)
            assert all(torch.equal(a, b) for a, b in pairs)
    if case != "grpo":
        assert (tmp_path / "log.jsonl").read_text() == (tmp_path / "log.jsonl2").read_text()
        assert {json.loads(line)["step"] for line in lines} > {0}


def test_a_checkpoint_of_another_trainer_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has no distil_state_0\.pt"):
        checkpoints.load(tmp_path, 0, None)
    checkpoints.save(tmp_path, 0, 3, None, None)
    assert checkpoints.load(tmp_path, 0, None) == (3, None)
    with pytest.raises(ValueError, match=r"has no distil_teacher\.pt"):
        checkpoints.load(tmp_path, 0, torch.nn.Linear(1, 1))
