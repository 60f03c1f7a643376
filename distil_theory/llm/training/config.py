"""The arguments of a run: those of TRL's `GRPOConfig`, and what distillation adds to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trl import GRPOConfig

from distil_theory.divergences import CROSS_ENTROPY, FDivergence
from distil_theory.llm import checks
from distil_theory.llm.reductions import REDUCTIONS
from distil_theory.llm.training.objective import Objective, named

GRPO = "grpo"
TEACHERS = ("ema", "base", "live")


def _say(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass
class DistILConfig(GRPOConfig):
    """Arguments of `DistILTrainer`.

    Every argument of `trl.GRPOConfig` keeps its meaning: `num_generations` samples per prompt,
    `per_device_train_batch_size` completions per process and update, `num_iterations` updates from the same
    completions, `epsilon` of the clip, `mask_truncated_completions`, and all of `transformers.TrainingArguments`.
    Names of the teacher are those of TRL's `SDPOConfig`.

    Args:
        objective: divergence of the local cost: `"cross_entropy"` (DistIL), `"reverse_kl"` (SDPO), `"jensen_shannon"`
            (OPSD), ...; or `"grpo"`: no teacher, TRL's own loss on the reward, as `loss_type` says.
        part: `"local"`; `"full"`, which also looks ahead; or `"future"`, which only does.
        to_go: divergence of the cost-to-go; `None`: the one of `objective`.
        discount: of the cost-to-go, in [0, 1].
        baseline: `"none"`, `"position"` or `"group"`, of the cost-to-go; the last two leave one's own sequence out.
        prefix_clip: weights of prefixes up to this number on the local cost; infinity for unclipped ones; `None`: no
            weights.
        reduction: `"token_sum"`: summed over a completion, averaged over completions that count; `"token_mean"`:
            averaged over tokens that count.
        teacher_top_k: compare on the teacher's likeliest tokens and the rest in one bucket; `None`: on the vocabulary.
        teacher_model_kind: `"ema"`: an average of the student's weights; `"base"`: the student as it was; `"live"`: as
            it is.
        teacher_update_rate: how far the average goes towards the student.
        teacher_sync_steps: number of updates of the student between two of the average.
        stop: characters that end a completion, as the end token does.
        shared_prefix: read a prompt once for all its completions: the same numbers for less work.
        rollout_log: file (JSON lines) to which each rollout is written, for `distil_theory.diagnose`; process `n > 0`
            writes to `FILE.n`.
        rollout_top_k: with it, the log also has so many of the teacher's likeliest tokens at each place, and what both
            say of them: then `diagnose` knows of local objectives other than forward KL, too.
    """

    objective: str = _say(CROSS_ENTROPY.name, "Divergence of the local cost, or 'grpo' for TRL's loss on the reward.")
    part: str = _say("local", "'local', 'full' (also looks ahead) or 'future' (only looks ahead).")
    to_go: str | None = _say(None, "Divergence of the cost-to-go; default: the one of the objective.")
    discount: float = _say(1.0, "Of the cost-to-go, in [0, 1].")
    baseline: str = _say("none", "Of the cost-to-go: 'none', 'position' or 'group'.")
    prefix_clip: float | None = _say(None, "Bound on the prefix weights of the local cost; default: no weights.")
    reduction: str = _say("token_sum", "'token_sum' (mean over completions) or 'token_mean' (mean over tokens).")
    teacher_top_k: int | None = _say(None, "Compare on the teacher's likeliest tokens and the rest in one bucket.")
    teacher_model_kind: str = _say("ema", "'ema', 'base' (the student as it was) or 'live' (as it is).")
    teacher_update_rate: float = _say(0.05, "How far the EMA teacher goes towards the student.")
    teacher_sync_steps: int = _say(1, "Updates of the student between two of the EMA teacher.")
    stop: str | None = _say(None, "Characters that end a completion, as the end token does.")
    shared_prefix: bool = _say(True, "Read a prompt once for all its completions.")
    rollout_log: str | None = _say(None, "File (JSON lines) to which each rollout is written.")
    rollout_top_k: int | None = _say(None, "How many of the teacher's likeliest tokens the log has at each place.")

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.choice("teacher_model_kind", self.teacher_model_kind, TEACHERS)
        checks.choice("reduction", self.reduction, REDUCTIONS)
        if not 0 <= self.teacher_update_rate <= 1:
            raise ValueError(f"teacher_update_rate must lie in [0, 1], not {self.teacher_update_rate!r}")
        if self.rollout_top_k is not None and self.rollout_top_k < 1:
            raise ValueError(f"rollout_top_k must be at least 1, not {self.rollout_top_k!r}")
        if self.teacher_sync_steps < 1:
            raise ValueError(f"teacher_sync_steps must be at least 1, not {self.teacher_sync_steps!r}")
        if self.objective == GRPO:
            return
        self.build()
        if self.per_device_train_batch_size % self.num_generations:
            raise ValueError(
                f"per_device_train_batch_size is {self.per_device_train_batch_size}: expected a multiple of "
                f"num_generations = {self.num_generations}, so that a group is never split"
            )
        if self.use_vllm or self.beta:
            raise ValueError("use_vllm and beta belong to objective='grpo': distillation uses neither")
        cut = {"top_p": self.top_p != 1, "top_k": self.top_k not in (0, None), "min_p": bool(self.min_p)}
        cut["repetition_penalty"] = self.repetition_penalty != 1
        if any(cut.values()):
            names = ", ".join(name for name, on in cut.items() if on)
            raise ValueError(f"{names}: completions must be samples of the student itself (temperature may be chosen)")

    def build(self, divergence: FDivergence | None = None) -> Objective:
        """The objective that these arguments name.

        Args:
            divergence: one of your own, in the place of `objective`.

        Raises:
            ValueError: an unknown name, or a number out of range.
        """
        return Objective(
            divergence=divergence or named("objective", self.objective),
            to_go=None if self.to_go is None else named("to_go", self.to_go),
            part=self.part,
            discount=self.discount,
            baseline=self.baseline,
            prefix_clip=self.prefix_clip,
            clip=(self.epsilon, self.epsilon if self.epsilon_high is None else self.epsilon_high),
            top_k=self.teacher_top_k,
        )
