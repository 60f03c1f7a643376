"""The trainer's gradient by hand, and everything that could quietly change it."""

import json

import pytest
import torch
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

import distil_theory
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL, JENSEN_SHANNON, REVERSE_KL, alpha
from distil_theory.llm import credit, losses, sampled
from distil_theory.llm.training import DistILTrainer, generation
from tests.llm.training import small

TRLS = (
    "output_dir",
    "report_to",
    "per_device_train_batch_size",
    "num_generations",
    "max_completion_length",
    "use_cpu",
    "bf16",
)


def batch(trainer):
    """Fresh rollouts for the first prompts."""
    rows = [trainer.train_dataset[i // 4] for i in range(trainer.args.per_device_train_batch_size)]
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    return trainer._generate_and_score_completions(rows)


def padded_logits(model, prompt_ids, prompt_mask, inputs):
    """The ordinary way: padded on the left, attention mask, everything computed."""
    ids = torch.cat([prompt_ids, inputs["completion_ids"]], dim=1)
    mask = torch.cat([prompt_mask, inputs["completion_mask"]], dim=1)
    places = (mask.cumsum(dim=1) - 1).clamp(min=0)
    logits = model(input_ids=ids, attention_mask=mask, position_ids=places).logits
    return logits[:, prompt_ids.shape[1] - 1 : -1]


def by_hand(trainer, inputs, objective, to_go=None, mask=None, **options):
    mask = inputs["completion_mask"] if mask is None else mask
    student = padded_logits(trainer.model, inputs["prompt_ids"], inputs["prompt_mask"], inputs)
    with torch.no_grad():
        teacher = padded_logits(trainer._teacher, inputs["teacher_ids"], inputs["teacher_mask"], inputs)
    costs = losses.token_cost(student, teacher, objective)
    log_q, log_p = (sampled.log_prob(x, inputs["completion_ids"]) for x in (student, teacher))
    if options.pop("prefix", None):
        options["weights"] = credit.prefix_weights(log_q, log_p, mask, clip=1.5)
    groups = torch.arange(len(mask)) // 4
    if to_go is None:
        return credit.distillation_loss(costs, log_q, mask, groups=groups, **options)
    later = losses.token_cost(student, teacher, to_go)
    ahead = credit.distillation_loss(later, log_q, mask, groups=groups, **{**options, "part": "future"})
    return credit.distillation_loss(costs, log_q, mask) + ahead


def gradient(loss, trainer):
    trainer.model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in trainer.model.parameters()])


def close(found, truth, tolerance=1e-5):
    return float((found - truth).norm()) < tolerance * float(truth.norm())


CASES = {
    "local": (CROSS_ENTROPY, {}, {}),
    "reverse": (REVERSE_KL, {"objective": "reverse_kl"}, {}),
    "js, mean over tokens": (
        JENSEN_SHANNON,
        {"objective": "jensen_shannon", "reduction": "token_mean"},
        {"reduction": "token_mean"},
    ),
    "full": (CROSS_ENTROPY, {"part": "full", "baseline": "position"}, {"part": "full", "kind": "position"}),
    "future": (
        FORWARD_KL,
        {"objective": "forward_kl", "part": "future", "baseline": "group", "discount": 0.9},
        {"part": "future", "kind": "group", "discount": 0.9},
    ),
    "KL-to-go": (
        CROSS_ENTROPY,
        {"part": "full", "to_go": "forward_kl", "baseline": "group"},
        {"part": "full", "to_go": FORWARD_KL, "kind": "group"},
    ),
    "prefix weights": (CROSS_ENTROPY, {"prefix_clip": 1.5}, {"prefix": True}),
}


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_the_gradient_is_that_of_the_distillation_loss(tmp_path, case, shared):
    objective, config, options = CASES[case]
    trainer = small.trainer(tmp_path, shared_prefix=shared, **config)
    inputs = batch(trainer)
    assert inputs["completion_mask"].float().mean() < 1  # some end early
    truth = gradient(by_hand(trainer, inputs, objective, **options), trainer)
    assert close(gradient(trainer._compute_loss(trainer.model, inputs), trainer), truth)


def test_a_divergence_of_ones_own(tmp_path):
    mine = alpha(0.5)
    args, tokens = small.arguments(tmp_path), small.tokenizer()
    trainer = DistILTrainer(small.model(), small.right, args, small.sums(), processing_class=tokens, divergence=mine)
    inputs = batch(trainer)
    truth = gradient(by_hand(trainer, inputs, mine), trainer)
    assert close(gradient(trainer._compute_loss(trainer.model, inputs), trainer), truth)


@pytest.mark.parametrize("reduction", ["token_sum", "token_mean"])
def test_completions_that_were_cut_off_do_not_count(tmp_path, reduction):
    trainer = small.trainer(tmp_path, mask_truncated_completions=True, reduction=reduction)
    inputs = batch(trainer)
    whole = inputs["completion_mask"].any(dim=1)
    assert 0 < whole.sum() < len(whole)
    ended = {k: v[whole] if v.ndim and len(v) == len(whole) else v for k, v in inputs.items()}
    truth = gradient(by_hand(trainer, ended, CROSS_ENTROPY, reduction=reduction), trainer)
    assert close(gradient(trainer._compute_loss(trainer.model, inputs), trainer), truth)


def test_what_a_tool_wrote_is_read_but_does_not_count(tmp_path):
    trainer = small.trainer(tmp_path, part="full", baseline="position", max_completion_length=6)
    inputs = batch(trainer)
    inputs["tool_mask"] = torch.ones_like(inputs["completion_mask"])
    inputs["tool_mask"][:, 1] = 0
    mask = inputs["tool_mask"] * inputs["completion_mask"]
    truth = by_hand(trainer, inputs, CROSS_ENTROPY, mask=mask, part="full", kind="position")
    assert close(gradient(trainer._compute_loss(trainer.model, inputs), trainer), gradient(truth, trainer))


def test_a_batch_in_which_nothing_counts_moves_nothing(tmp_path):
    trainer = small.trainer(tmp_path, mask_truncated_completions=True, max_completion_length=1, stop=None)
    inputs = batch(trainer)
    inputs["completion_mask"] *= 0
    assert not gradient(trainer._compute_loss(trainer.model, inputs), trainer).any()


def test_micro_batches_add_up_to_the_batch(tmp_path):
    sizes = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    trainer = small.trainer(tmp_path, mask_truncated_completions=True, **sizes)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 2
    first, *_ = parts = [trainer._prepare_inputs([trainer.train_dataset[i // 4] for i in range(8)])]
    trainer._step = 1
    parts.append(trainer._prepare_inputs(None))
    assert first["completion_mask"].any(dim=1).sum() != parts[1]["completion_mask"].any(dim=1).sum()
    total = sum(trainer._compute_loss(trainer.model, part) for part in parts)
    count = sum(part["completion_mask"].any(dim=1).sum() for part in parts)
    whole = sum(
        by_hand(trainer, part, CROSS_ENTROPY) * 4 for part in parts
    )  # `token_sum` divides by the rows, of which some do not count
    assert close(gradient(total, trainer), gradient(whole / count, trainer))


@pytest.mark.parametrize("kind", ["ema", "base", "live"])
def test_who_teaches(tmp_path, kind):
    trainer = small.trainer(tmp_path, teacher_model_kind=kind, teacher_update_rate=0.25)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    path = []

    class Watch(TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **_):
            path.append([p.detach().clone() for p in model.parameters()])

    trainer.add_callback(Watch())
    trainer.train()
    if kind == "live":
        assert trainer._teacher is None
        return
    expected = before
    for now in path if kind == "ema" else []:
        expected = [0.75 * old + 0.25 * new for old, new in zip(expected, now, strict=True)]
    for found, truth in zip(trainer._teacher.parameters(), expected, strict=True):
        torch.testing.assert_close(found, truth)
    alone = small.model(seed=9)
    alone.load_state_dict(trainer._teacher.state_dict())
    ids = torch.tensor([[2, 3, 4, 5]])
    torch.testing.assert_close(trainer._teacher(input_ids=ids).logits, alone(input_ids=ids).logits)
    assert any((a != b).any() for a, b in zip(before, path[-1], strict=True))


def test_an_average_of_half_precision_keeps_small_steps(tmp_path):
    args = small.arguments(tmp_path, teacher_update_rate=0.01, learning_rate=1e-2)
    student = small.model().to(torch.bfloat16)
    trainer = DistILTrainer(student, small.right, args, small.sums(), processing_class=small.tokenizer())
    before = [p.clone() for p in trainer._teacher.parameters()]
    trainer.train()
    moved = [bool((a != b).any()) for a, b in zip(before, trainer._teacher.parameters(), strict=True)]
    assert all(moved)


def test_stop_characters_end_a_completion_for_all(tmp_path):
    trainer = small.trainer(tmp_path, stop="\n3", mask_truncated_completions=True, max_completion_length=6)
    ends = {1, *generation.tokens_with("\n3", small.tokenizer())}
    assert set(trainer.generation_config.eos_token_id) == ends  # nothing is written that would be thrown away
    inputs = batch(trainer)
    lengths = inputs["completion_mask"].sum(dim=1)
    assert (lengths > 0).any()
    assert any(int(row[n - 1]) != 1 for row, n in zip(inputs["completion_ids"], lengths, strict=True) if n)
    for row, n in zip(inputs["completion_ids"].tolist(), lengths.tolist(), strict=True):
        if n:  # ended, and did so at the first chance
            assert row[n - 1] in ends
            assert not ends & set(row[: n - 1])


def test_student_and_teacher_are_compared_at_the_temperature_of_the_samples(tmp_path):
    trainer = small.trainer(tmp_path, temperature=0.7, part="full")
    inputs = batch(trainer)
    found = gradient(trainer._compute_loss(trainer.model, inputs), trainer)
    for model in (trainer.model, trainer._teacher):
        model.lm_head.weight.data /= 0.7  # the head of the small model is not tied to its embedding
    truth = gradient(by_hand(trainer, inputs, CROSS_ENTROPY, part="full"), trainer)
    assert trainer.model.lm_head.weight is not trainer.model.model.embed_tokens.weight
    names = [name for name, p in trainer.model.named_parameters() for _ in range(p.numel())]
    other = torch.tensor([name != "lm_head.weight" for name in names])
    assert close(found[other], truth[other])
    assert close(found[~other], truth[~other] / 0.7)


def test_the_teacher_may_read_what_the_student_wrote(tmp_path):
    seen = []

    def verdict(row, completion):
        seen.append((row["answer"], completion))
        return f"{completion.strip()} = {row['prompt']}"

    trainer = small.trainer(tmp_path, teacher_prompt=verdict, part="full")
    inputs = batch(trainer)
    tokens = small.tokenizer()
    for (answer, completion), ids, mask in zip(seen, inputs["teacher_ids"], inputs["teacher_mask"], strict=True):
        assert tokens.decode(ids[mask.bool()]).startswith(f"{completion.strip()} = ")
        assert answer.isdigit()
    assert len({completion for _, completion in seen}) > 2
    truth = gradient(by_hand(trainer, inputs, CROSS_ENTROPY, part="full"), trainer)
    assert close(gradient(trainer._compute_loss(trainer.model, inputs), trainer), truth)


@pytest.mark.parametrize("shared", [True, False])
def test_grpo_is_trls(tmp_path, shared):
    options = {"num_iterations": 2, "loss_type": "grpo", "epsilon": 0.1}
    ours = small.trainer(tmp_path / "a", objective="grpo", shared_prefix=shared, **options)
    args = small.arguments(tmp_path / "b", **options)
    theirs = GRPOTrainer(
        small.model(),
        small.right,
        GRPOConfig(**options, **{name: getattr(args, name) for name in TRLS}),
        small.sums(),
        processing_class=small.tokenizer(),
    )
    inputs = batch(ours)
    inputs["advantages"] = torch.randn(8, generator=torch.Generator().manual_seed(0))
    theirs.current_gradient_accumulation_steps = 1
    found = []
    for trainer in (ours, theirs):
        with torch.no_grad():  # the student moved since it wrote
            for i, p in enumerate(trainer.model.parameters()):
                p += 0.02 * torch.randn(p.shape, generator=torch.Generator().manual_seed(i))
        found.append(gradient(trainer._compute_loss(trainer.model, dict(inputs)), trainer))
    assert close(*found)


def test_rollouts_are_written_down_for_diagnosis(tmp_path):
    log = tmp_path / "rollouts.jsonl"
    trainer = small.trainer(tmp_path, rollout_log=str(log))
    trainer.reward_funcs = [lambda completions, **_: [float(len(said)) for said in completions]]
    trainer.train()
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(rows) == 3 * 8
    assert [row["step"] for row in rows[::8]] == [0, 1, 2]
    for row in rows:
        assert len(row["student"]) == len(row["teacher"]) == len(row["tokens"]) <= 4
        assert max(row["student"] + row["teacher"]) < 0
    names = {name for entry in trainer.state.log_history for name in entry}
    read = distil_theory.diagnose(log, replicates=99)
    rates = {rate.name: rate.value[0] for rate in read.rates}
    logged = [entry["distil/local_rate"] for entry in trainer.state.log_history if "distil/local_rate" in entry]
    assert rates["local/forward_kl"] == pytest.approx(sum(logged) / 3)
    logged = [entry["distil/sequence_rate"] for entry in trainer.state.log_history if "distil/local_rate" in entry]
    assert rates["sequence/forward_kl"] == pytest.approx(sum(logged) / 3)
    assert {"distil/kl", "distil/score_sum", "distil/local_rate", "distil/effective_samples", "distil/length"} <= names


def test_with_top_tokens_the_log_tells_of_every_local_objective(tmp_path):
    log, kept = tmp_path / "rollouts.jsonl", []
    trainer = small.trainer(tmp_path, rollout_log=str(log), rollout_top_k=14, max_steps=1)
    trainer.reward_funcs = [lambda completions, **_: [float(len(said)) for said in completions]]
    observe = trainer._observe
    trainer._observe = lambda inputs, *said: (kept.append((inputs, said)), observe(inputs, *said))
    trainer.train()
    ((inputs, (student, teacher, log_q, log_p)),) = kept
    rewards, mask = inputs["rewards"].reshape(2, 4), inputs["completion_mask"]
    ahead = ((rewards - rewards.mean(dim=1, keepdim=True)) * 4 / 3).flatten()
    h = [JENSEN_SHANNON.h((p - q).exp()) for p, q in ((teacher, student), (log_p, log_q))]
    mean = torch.zeros_like(log_q).masked_scatter(mask.bool(), (student.exp() * h[0]).sum(-1))
    rate = float((ahead * ((h[1] - mean) * mask).sum(dim=1)).mean().detach())
    found = distil_theory.diagnose(log, replicates=99, divergences=[JENSEN_SHANNON]).rates
    low, high = {rate.name: rate.value for rate in found}["local/jensen_shannon"]
    assert low < rate < high < low + 0.5 * abs(rate)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "kl"}, "unknown objective 'kl'"),
        ({"to_go": "kl"}, "unknown to_go 'kl'"),
        ({"part": "all"}, "unknown part"),
        ({"baseline": "mean"}, "unknown baseline 'mean'"),
        ({"reduction": "mean"}, "unknown reduction 'mean'"),
        ({"teacher_model_kind": "old"}, "unknown teacher_model_kind 'old'"),
        ({"teacher_update_rate": 2.0}, "teacher_update_rate must lie in"),
        ({"rollout_top_k": 0}, "rollout_top_k must be at least 1"),
        ({"teacher_sync_steps": 0}, "teacher_sync_steps must be at least 1"),
        ({"discount": 2.0}, "discount must lie in"),
        ({"prefix_clip": 0.0}, "prefix_clip must be positive"),
        ({"teacher_top_k": 0}, "teacher_top_k must be at least 1"),
        ({"top_p": 0.9}, "top_p: completions must be samples of the student itself"),
        ({"beta": 0.1}, "use_vllm and beta belong to objective='grpo'"),
        ({"per_device_train_batch_size": 6, "gradient_accumulation_steps": 2}, "a multiple of num_generations = 4"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        small.arguments(tmp_path, **options)


def test_a_teacher_without_a_prompt_is_missed(tmp_path):
    trainer = small.trainer(tmp_path, dataset=small.sums().remove_columns("teacher_prompt"))
    with pytest.raises(ValueError, match="no column 'teacher_prompt'"):
        batch(trainer)


def test_prompts_may_be_messages(tmp_path):
    def messages(row):
        return {name: [{"role": "user", "content": row[name]}] for name in ("prompt", "teacher_prompt")}

    found = []
    for dataset in (small.sums(), small.sums().map(messages)):
        trainer = small.trainer(tmp_path, dataset=dataset, part="full")
        trainer.processing_class.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
        trainer.reward_funcs = [lambda completions, **_: [1.0] * len(completions)]
        torch.manual_seed(0)
        inputs = batch(trainer)
        found.append((inputs["teacher_ids"], gradient(trainer._compute_loss(trainer.model, inputs), trainer)))
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


def test_evaluation_writes_no_log_and_counts_apart(tmp_path):
    log = tmp_path / "log.jsonl"
    trainer = small.trainer(tmp_path, rollout_log=str(log))
    found = trainer.evaluate(small.sums())
    assert not log.exists()
    logged = trainer.state.log_history[-1]
    assert found["eval_loss"] > 0
    assert {"eval_distil/kl", "eval_distil/success"} <= set(logged)
    assert not any(name.startswith("distil/") for name in logged)
