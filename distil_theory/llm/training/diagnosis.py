r"""What the rollouts of an update say about the teacher, and a log of them.

With `u_h = p/q` at the token written, `Lambda = prod_h u_h` and `S = sum_h (u_h - 1)`, over completions that count:

* `distil/kl`, `distil/reverse_kl`: divergence from the teacher, `distil/entropy`: of the student; of whole
  distributions, a mean over tokens.
* `distil/ratio_minus_one`: mean of `u_h - 1` over tokens; `distil/score_sum`: mean of `S`. The latter is zero in
  expectation, if the teacher's prompt does not depend on the completion: it is a check.
* `distil/effective_samples`: `(sum Lambda)^2 / (n sum Lambda^2)`, the share of completions that weights leave.
* `distil/local_rate`: mean of `(R - R_others) S`, an unbiased estimate of how fast small natural steps of local forward
  KL raise the reward (claim 16); `R_others` is the mean reward of the other completions of the group.
* `distil/sequence_rate`: covariance of `R` and `Lambda` within groups: the same for forward KL of whole completions.
* `distil/length`: tokens up to the end; `distil/success`: mean reward.

Groups in which one completion counts say nothing about rates. The rates assume a teacher that judges every completion
of a group from one context, and samples at the temperature at which both are compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import TrainerCallback

from distil_theory.llm import losses

TOP = ("top", "student_top", "teacher_top")


class Rollouts(NamedTuple):
    """Completions that the student wrote after `step` updates, the `part`-th micro-batch of them: `(batch, token)`, but
    for `groups` and `rewards` `(batch,)`; numbers without gradients.

    `student` and `teacher` are log-probabilities of the tokens written; `forward_kl`, `reverse_kl` and `entropy` belong
    to the whole distributions. `top`, `student_top`, `teacher_top`: `(batch, token, k)`, the teacher's likeliest tokens
    and log-probabilities of both; `k` is 0 if they are not asked for.
    """

    step: int
    part: int
    groups: torch.Tensor
    rewards: torch.Tensor
    tokens: torch.Tensor
    mask: torch.Tensor
    student: torch.Tensor
    teacher: torch.Tensor
    forward_kl: torch.Tensor
    reverse_kl: torch.Tensor
    entropy: torch.Tensor
    top: torch.Tensor
    student_top: torch.Tensor
    teacher_top: torch.Tensor


@torch.no_grad()
def distances(log_q: torch.Tensor, log_p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Forward KL, reverse KL and the student's entropy, `(batch, token)`, from log-probabilities."""
    forward, reverse = (losses.FORMS[name](log_p, log_q) for name in ("forward_kl", "reverse_kl"))
    return forward, reverse, losses.FORMS["cross_entropy"](log_q, log_q)


@torch.no_grad()
def likeliest(log_q: torch.Tensor, log_p: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The teacher's `k` likeliest tokens (all, if they are fewer), `(batch, token, k)`, and what both say of them."""
    says, ids = log_p.topk(min(k, log_p.shape[-1]), dim=-1)
    return ids, log_q.gather(-1, ids), says


def quantities(rollouts: Rollouts) -> dict[str, float]:
    """The numbers above; NaN where no completion says anything."""
    counts = rollouts.mask.any(dim=1)
    mask = rollouts.mask[counts].double()
    if not len(mask):
        return {}
    rewards, groups = rollouts.rewards[counts].double(), rollouts.groups[counts]
    log_u = ((rollouts.teacher - rollouts.student)[counts].double()) * mask
    surprise = torch.expm1(log_u)
    s, weight = surprise.sum(dim=1), log_u.sum(dim=1).exp()
    others = (groups[:, None] == groups[None]).double() - torch.eye(len(groups), dtype=torch.double)
    size = others.sum(dim=1)
    compared = size > 0
    ahead = rewards - (others @ rewards) / size.clamp(min=1)
    rates = {"local_rate": ahead * s, "sequence_rate": ahead * weight}
    tokens = mask.sum()
    means = {name: getattr(rollouts, name)[counts].double() for name in ("forward_kl", "reverse_kl", "entropy")}
    found = {name.replace("forward_", ""): (x * mask).sum() / tokens for name, x in means.items()}
    found |= {name: x[compared].mean() for name, x in rates.items()}
    found |= {"ratio_minus_one": surprise.sum() / tokens, "score_sum": s.mean()}
    found |= {"effective_samples": weight.sum() ** 2 / (len(weight) * weight.square().sum())}
    found |= {"length": tokens / len(mask), "success": rewards.mean()}
    return {f"distil/{name}": float(x) for name, x in found.items()}


class DiagnosisCallback(TrainerCallback):
    """Tells the trainer what to log of each batch of rollouts. A callback of your own may have `on_rollouts`, too."""

    def on_rollouts(self, rollouts: Rollouts) -> dict[str, float]:
        """What is logged, by name."""
        return quantities(rollouts)


class RolloutLog(TrainerCallback):
    """Appends each rollout to a file of JSON lines, as `distil_theory.diagnose` reads it.

    Columns: `group`, `reward`, `student`, `teacher`, `tokens`, if asked for `top`, `student_top`, `teacher_top`, and
    `step`, the number of updates of the student that wrote it.
    A run that is taken up again first takes off what a later step had written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called by the trainer."""
        kept = []
        if self.path.exists() and state.global_step:
            lines = self.path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if json.loads(line)["step"] < state.global_step]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def on_rollouts(self, rollouts: Rollouts) -> dict[str, float]:
        """Writes; logs nothing."""
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows(rollouts))
        return {}


def rows(rollouts: Rollouts) -> Iterator[dict[str, Any]]:
    """One dictionary per completion that counts."""
    for i in rollouts.mask.any(dim=1).nonzero()[:, 0].tolist():
        kept = rollouts.mask[i] == 1
        lists = ["student", "teacher", "tokens", *(TOP if rollouts.top.shape[-1] else ())]
        yield {
            "step": rollouts.step,
            "group": f"{rollouts.step}.{rollouts.part}.{int(rollouts.groups[i])}",
            "reward": float(rollouts.rewards[i]),
            **{name: getattr(rollouts, name)[i][kept].tolist() for name in lists},
        }
