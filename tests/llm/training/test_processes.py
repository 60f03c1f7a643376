"""Two processes, launched by `accelerate`, make the step that one process makes from all their completions."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.llm.training import small

ROOT = Path(__file__).resolve().parents[3]
OPTIONS = {"max_steps": 1, "optim": "sgd", "learning_rate": 0.5, "max_grad_norm": 0.0, "shuffle_dataset": False}
CHOICES = {"part": "full", "baseline": "group", "mask_truncated_completions": True}


def run(folder: Path) -> None:
    """What each process does."""
    log = str(folder / "log.jsonl")
    trainer = small.trainer(folder, per_device_train_batch_size=4, rollout_log=log, **OPTIONS, **CHOICES)
    generate, process = trainer._generate_and_score_completions, trainer.accelerator.process_index

    def kept(rows):
        out = generate(rows)
        torch.save(out, folder / f"batch{process}.pt")
        return out

    trainer._generate_and_score_completions = kept
    trainer.train()
    weights = [p.detach() for p in trainer.model.parameters()]
    torch.save({"weights": weights, "history": trainer.state.log_history}, folder / f"after{process}.pt")


def together(parts):
    """The batches of two processes as one."""

    def widened(x, longest, left):
        rest = x.new_zeros(len(x), longest - x.shape[1])
        return torch.cat([rest, x] if left else [x, rest], dim=1)

    one = {"num_sequences": parts[0]["num_sequences"], "group": torch.arange(8) // 4}
    for name in ("prompt_ids", "prompt_mask", "teacher_ids", "teacher_mask", "completion_ids", "completion_mask"):
        longest = max(part[name].shape[1] for part in parts)
        one[name] = torch.cat([widened(part[name], longest, not name.startswith("completion")) for part in parts])
    one["rewards"] = torch.cat([part["rewards"] for part in parts])
    return one


@pytest.mark.timeout(200)
def test_they_make_the_step_of_one(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
    ]
    port = str(20000 + os.getpid() % 20000)
    options = ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", port]
    done = subprocess.run(
        [*command, *options, __file__, str(tmp_path)],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    parts = [torch.load(tmp_path / f"batch{i}.pt", weights_only=True) for i in range(2)]
    after = [torch.load(tmp_path / f"after{i}.pt", weights_only=True) for i in range(2)]
    counts = [int(part["completion_mask"].any(dim=1).sum()) for part in parts]
    assert counts[0] != counts[1]  # so that a mean of two means would be wrong
    assert not torch.equal(parts[0]["prompt_ids"], parts[1]["prompt_ids"])
    assert [int(part["num_sequences"]) for part in parts] == [sum(counts)] * 2
    trainer = small.trainer(tmp_path, **OPTIONS, **CHOICES)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    trainer._compute_loss(trainer.model, together(parts)).backward()
    for p, *both in zip(trainer.model.parameters(), *(x["weights"] for x in after), strict=True):
        assert torch.equal(*both)
        torch.testing.assert_close(both[0], (p - 0.5 * p.grad).detach(), atol=1e-6, rtol=1e-5)
    assert after[0]["history"][0]["distil/length"] > 0
    logs = [(tmp_path / name).read_text().splitlines() for name in ("log.jsonl", "log.jsonl.1")]
    assert [len(lines) for lines in logs] == counts
    assert {len(json.loads(line)["tokens"]) for lines in logs for line in lines} <= {1, 2, 3, 4}


if __name__ == "__main__":
    run(Path(sys.argv[1]))
