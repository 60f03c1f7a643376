"""The trainer: TRL's `GRPOTrainer`, whose rollouts are judged by a teacher and whose loss is `objective.Objective`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from trl import GRPOTrainer
from trl.models import unwrap_model_for_generation
from trl.trainer.utils import split_tensor_dict

from distil_theory.divergences import FDivergence
from distil_theory.llm.training import checkpoints, diagnosis, generation, packing, teacher
from distil_theory.llm.training.batch import Batch, counted, cut, log_probs, of_tokens, padded, spread
from distil_theory.llm.training.config import GRPO, DistILConfig
from distil_theory.llm.training.objective import Objective, Signal

SIGNAL = ("disadvantages", "prefix_weights", "written_log_probs")


class DistILTrainer(GRPOTrainer):
    """Distillation from a teacher that reads feedback, on completions of the student.

    Args:
        model: a causal language model, or the path of one.
        reward_funcs: as in `GRPOTrainer`; distillation only logs the reward.
        args: `DistILConfig`.
        train_dataset: with a column `prompt` (text or messages), and what rewards and teacher prompts need.
        teacher_prompt: `(row, completion) -> prompt` of the teacher; `None`: the column `teacher_prompt`.
        divergence: one of your own, in the place of `args.objective`.
        options: of `GRPOTrainer`: `processing_class`, `callbacks`, `eval_dataset`, `optimizers`, `peft_config`, ...

    Raises:
        ValueError: arguments that contradict each other, or a model that cannot do what they ask for.
    """

    _tag_names = ["trl", "distil"]  # noqa: RUF012  # as TRL declares it
    _name = "DistIL"
    _paper = {"title": "Reinforcement Learning from Rich Feedback with Distributional DAgger", "id": "2606.05152"}  # noqa: RUF012  # likewise
    objective: Objective | None
    eos_token_ids: list[int]
    _step: int
    _buffered_inputs: Any

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: DistILConfig | None = None,
        train_dataset: Any = None,
        *,
        teacher_prompt: teacher.TeacherPrompt | None = None,
        divergence: FDivergence | None = None,
        **options: Any,
    ) -> None:
        args = DistILConfig("distil") if args is None else args
        self.objective = None if args.objective == GRPO else args.build(divergence)
        self.teacher_prompt = teacher_prompt or teacher.from_column
        super().__init__(model, reward_funcs, args, train_dataset, **options)
        student = self._bare(self.model)
        reason = packing.can_share(student)
        if args.shared_prefix and reason:
            raise ValueError(f"shared_prefix=True does not go with this model: {reason}; use shared_prefix=False")
        if args.stop:
            self.eos_token_ids = [*self.eos_token_ids, *generation.tokens_with(args.stop, self._tokenizer)]
            self.generation_kwargs["eos_token_id"] = self.generation_config.eos_token_id = self.eos_token_ids
        rounds = args.bf16 and student.dtype == torch.float32
        self._actor = teacher.frozen_copy(student).to(torch.bfloat16) if rounds else None
        self._teacher = None if self.objective is None else teacher.made(args.teacher_model_kind, student)
        if self.objective is None:
            return
        if self.is_deepspeed_enabled or self.is_fsdp_enabled:
            raise ValueError("the teacher is a whole copy of the model: DeepSpeed and FSDP are not supported")
        if args.teacher_model_kind == "ema":
            rate, every = args.teacher_update_rate, args.teacher_sync_steps
            self.add_callback(teacher.AverageCallback(self._teacher, self._bare, rate, every))
        self.add_callback(diagnosis.DiagnosisCallback())
        if args.rollout_log is not None:
            process = self.accelerator.process_index
            self.add_callback(diagnosis.RolloutLog(f"{args.rollout_log}.{process}" if process else args.rollout_log))

    def _bare(self, model: Any) -> Any:
        return self.accelerator.unwrap_model(model, keep_fp32_wrapper=False) if hasattr(model, "module") else model

    # --- completions, and what the teacher reads
    # ---------------------------------------------------------------------------------------------------------

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        return checkpoints.by_epoch(super()._get_train_sampler(dataset))

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, multimodal_fields: Any, num_generations: int, has_tool_images: bool = False
    ) -> Any:
        if images or multimodal_fields or self.use_vllm or self.use_transformers_continuous_batching:
            return super()._generate_single_turn(
                *(prompt_ids, images, multimodal_fields, num_generations, has_tool_images)
            )
        wrapped, kwargs = self.model_wrapped, self.generation_kwargs
        with (
            unwrap_model_for_generation(wrapped, self.accelerator, generation_kwargs=kwargs) as model,
            torch.no_grad(),
        ):
            if self._actor is not None:
                model = generation.refreshed(self._actor, model)
            written = generation.sample(
                *(model, prompt_ids, self.generation_config),
                ends=self.eos_token_ids,
                pad=self._tokenizer.pad_token_id,
                shared=self.args.shared_prefix,
            )
        return written, None

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> torch.Tensor:
        found = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        mine = self.accelerator.process_index * len(prompts)
        rewards = (found * self.reward_weights.to(found)).nansum(dim=1)[mine : mine + len(prompts)]
        self._just_written = inputs, [teacher.written_text(c) for c in completions], rewards
        return found

    def _generate_and_score_completions(self, inputs: Any) -> Batch:
        out: Batch = super()._generate_and_score_completions(inputs)
        if self.objective is None:
            return out
        rows, texts, rewards = self._just_written
        prompts = [self.teacher_prompt(row, text) for row, text in zip(rows, texts, strict=True)]
        ids, mask = padded(self._tokenize_prompts(prompts)[0], self._tokenizer.pad_token_id)
        device = self.accelerator.device
        group = self.num_generations if self.model.training else self.num_generations_eval
        out |= {"teacher_ids": ids.to(device), "teacher_mask": mask.to(device), "rewards": rewards.to(device)}
        out["group"] = torch.arange(len(rows), device=device) // group
        counts = torch.stack([counted(out).any(dim=1).sum(), counted(out).sum()])
        out["num_sequences"], out["num_tokens"] = self.accelerator.reduce(counts, reduction="sum").unbind()
        if self.model.training and self._reused():
            with torch.no_grad():
                parts = split_tensor_dict(out, len(rows) // self.args.per_device_train_batch_size)
                signals = [self._judged(self.model, part)[1] for part in parts]
            out |= {name: torch.cat(x) for name, x in zip(SIGNAL, zip(*signals, strict=True), strict=True)}
        return out

    def _reused(self) -> bool:
        """Whether some update finds completions that an earlier student wrote."""
        return bool(self.args.gradient_accumulation_steps % (self.args.steps_per_generation * self.num_iterations))

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """As TRL, but groups stay together: they are not shuffled before they are split."""
        if self.objective is None or not self.model.training:
            return super()._prepare_inputs(generation_batch)
        parts = self.args.steps_per_generation
        if self._step % (parts * self.num_iterations) == 0 or self._buffered_inputs is None:
            self._buffered_inputs = split_tensor_dict(self._generate_and_score_completions(generation_batch), parts)
        return self._buffered_inputs[self._step % parts]

    # --- the loss
    # ---------------------------------------------------------------------------------------------------------

    def _read(self, model: Any, inputs: Batch, reader: str) -> torch.Tensor:
        with self.accelerator.autocast():
            return log_probs(model, inputs, reader, shared=self.args.shared_prefix, temperature=self.temperature)

    def _judged(self, model: Any, inputs: Batch) -> tuple[torch.Tensor, Signal, tuple[torch.Tensor, ...]]:
        """Local costs `(batch, token)`, what belongs to the student that wrote, and what student and teacher said."""
        assert self.objective is not None
        student = self._read(model, inputs, "prompt")
        with torch.no_grad():
            reader = self._bare(self.model) if self._teacher is None else self._teacher
            teacher_says = self._read(reader, inputs, "teacher")
        mask = counted(inputs)
        log_q, log_p = of_tokens(inputs, student, teacher_says)
        if not mask.any():
            nothing = torch.zeros_like(log_q)
            return nothing + student.sum(), Signal(nothing, nothing, nothing), (student, teacher_says, log_q, log_p)
        local, later = spread(inputs, *self.objective.costs(student, teacher_says))
        if SIGNAL[0] in inputs:
            signal = Signal(*(inputs[name] for name in SIGNAL))
        else:
            signal = self.objective.signal(later, log_q, log_p, mask, inputs["group"])
        return local, signal, (student, teacher_says, log_q, log_p)

    def _compute_loss(self, model: Any, inputs: Batch) -> torch.Tensor:
        if self.objective is None:
            return super()._compute_loss(model, inputs)
        costs, signal, said = self._judged(model, inputs)
        self._observe(inputs, *said)
        total = self.objective.token_loss(costs, said[2], signal)
        return (total * counted(inputs)).sum() / self._size(inputs)

    def _size(self, inputs: Batch) -> torch.Tensor:
        """What the sum of this process and micro-batch is divided by, so that after averaging over processes and adding
        over micro-batches every completion (or token) of the generation batch that counts has the same weight."""
        count = inputs["num_sequences" if self.args.reduction == "token_sum" else "num_tokens"]
        size = count.clamp(min=1) / self.accelerator.num_processes
        if self.model.training:
            size = size * self.current_gradient_accumulation_steps / self.args.steps_per_generation
        return size

    @torch.no_grad()
    def _observe(self, inputs: Batch, *said: torch.Tensor) -> None:
        """Hand fresh rollouts to the callbacks that want them, and log what they say."""
        student, teacher_says, log_q, log_p = (x.detach() for x in said)
        parts, training = self.args.steps_per_generation, self.model.training
        if training and self._step % (parts * self.num_iterations) >= parts:
            return
        top = diagnosis.likeliest(student, teacher_says, self.args.rollout_top_k or 0)
        whole = spread(inputs, *diagnosis.distances(student, teacher_says), *top)
        kept = (inputs["group"], inputs["rewards"], inputs["completion_ids"], counted(inputs), log_q, log_p, *whole)
        rollouts = diagnosis.Rollouts(self.state.global_step, self._step % parts, *(x.cpu() for x in kept))
        found: dict[str, float] = {}
        if training:
            for callback in self.callback_handler.callbacks:
                found |= getattr(callback, "on_rollouts", lambda _: {})(rollouts)
        else:
            found = diagnosis.quantities(rollouts)
        for one in gather_object([found]):
            for name, x in one.items():
                self._metrics["train" if training else "eval"][name].append(x)

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **more: Any,
    ) -> Any:
        """TRL's numbers for GRPO, by a forward pass that reads shared prompts once."""
        if not self.args.shared_prefix or compute_aux_loss or any(x is not None for x in more.values()):
            texts = (input_ids, attention_mask, logits_to_keep)
            return super()._get_per_token_logps_and_entropies(
                *(model, *texts, batch_size, compute_entropy, compute_aux_loss), **more
            )
        found, size = [], batch_size or len(input_ids)
        for ids, mask in zip(input_ids.split(size), attention_mask.split(size), strict=True):
            inputs = cut(ids, mask, logits_to_keep)
            said = self._read(model, inputs, "prompt")
            entropy = -(said.exp() * said).sum(dim=-1) if compute_entropy else said[..., 0].detach()
            found.append((*of_tokens(inputs, said), *spread(inputs, entropy)))
        log_q, entropies = (torch.cat(x) for x in zip(*found, strict=True))
        return log_q, entropies if compute_entropy else None, None

    # --- checkpoints
    # ---------------------------------------------------------------------------------------------------------

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        in_use = self._step % (self.args.steps_per_generation * self.num_iterations)
        buffered = self._buffered_inputs if in_use else None
        average = self._teacher if self.args.should_save else None
        checkpoints.save(folder, self.accelerator.process_index, self._step, buffered, average)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            process = self.accelerator.process_index
            self._step, self._buffered_inputs = checkpoints.load(Path(checkpoint), process, self._teacher)
