"""What an update minimises: PPO's clip, what stays while completions are used, and numbers of the rollouts."""

import math

import pytest
import torch

from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL, REVERSE_KL
from distil_theory.llm import credit, losses
from distil_theory.llm.training.diagnosis import Rollouts, distances, quantities, rows
from distil_theory.llm.training.objective import Objective, Signal, named
from tests.llm.training import small
from tests.llm.training.test_trainer import batch, by_hand, close, gradient


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("ratio", "ahead", "value", "slope"),
    [
        (1.0, 2.0, 2.0, 2.0),  # nothing is clipped where the student is the one that wrote
        (1.0, -2.0, -2.0, -2.0),
        (1.5, -2.0, -1.2 * 2.0, 0.0),  # already made likelier, as it should: no further
        (0.5, 2.0, 0.9 * 2.0, 0.0),  # already made less likely
        (1.5, 2.0, 3.0, 3.0),  # moved the wrong way: full strength
        (0.5, -2.0, -1.0, -1.0),
    ],
)
def test_the_clip(ratio, ahead, value, slope):
    log_q = torch.tensor([[math.log(ratio)]], dtype=torch.float64, requires_grad=True)
    one = torch.ones(1, 1, dtype=torch.float64)
    objective = Objective(part="future", clip=(0.1, 0.2))
    loss = objective.token_loss(one, log_q, Signal(ahead * one, one, 0 * one))
    assert loss.item() == pytest.approx(value)
    assert torch.autograd.grad(loss.sum(), log_q)[0].item() == pytest.approx(slope)


def test_costs_on_buckets_of_the_teachers_top_tokens():
    student, teacher = numbers(2, 3, 9), numbers(2, 3, 9, seed=1)
    local, later = Objective(top_k=4, to_go=REVERSE_KL, part="full").costs(student, teacher)
    buckets = losses.top_k(student, teacher, 4)
    torch.testing.assert_close(local, losses.token_cost(*buckets, CROSS_ENTROPY))
    torch.testing.assert_close(later, losses.token_cost(*buckets, REVERSE_KL))


def test_the_signal_is_made_of_credit():
    later, log_q, log_p = numbers(4, 3).abs(), numbers(4, 3, seed=1), numbers(4, 3, seed=2)
    mask, groups = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]]), torch.tensor([0, 0, 1, 1])
    objective = Objective(part="full", discount=0.5, baseline="group", prefix_clip=1.3)
    signal = objective.signal(later, log_q, log_p, mask, groups)
    ahead = credit.to_go(later, mask, 0.5)
    torch.testing.assert_close(signal.disadvantages, ahead - credit.baseline(ahead, "group", mask, groups))
    torch.testing.assert_close(signal.weights, credit.prefix_weights(log_q, log_p, mask, 1.3))
    torch.testing.assert_close(signal.log_probs, log_q)


def test_names():
    assert named("objective", "cross_entropy") is CROSS_ENTROPY
    assert named("objective", FORWARD_KL) is FORWARD_KL
    with pytest.raises(ValueError, match="epsilon must lie in"):
        Objective(clip=(2.0, 0.1))


def test_a_later_update_from_the_same_completions(tmp_path):
    """Signals are those of the student that wrote; the ratio is clipped; local costs are of the student as it is."""
    options = {"num_iterations": 2, "part": "full", "baseline": "group", "epsilon": 0.05, "prefix_clip": 1.5}
    trainer = small.trainer(tmp_path, **options)
    inputs = batch(trainer)
    mask, groups = inputs["completion_mask"], torch.arange(8) // 4
    first = gradient(trainer._compute_loss(trainer.model, inputs), trainer)
    truth = gradient(by_hand(trainer, inputs, CROSS_ENTROPY, part="full", kind="group", prefix=True), trainer)
    assert close(first, truth)
    signal = Signal(inputs["disadvantages"], inputs["prefix_weights"], inputs["written_log_probs"])
    with torch.no_grad():
        for i, p in enumerate(trainer.model.parameters()):
            p += 0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(i))
        for p in trainer._teacher.parameters():
            p *= 1.1
    found = gradient(trainer._compute_loss(trainer.model, inputs), trainer)
    costs, now, (_, _, log_q, _) = trainer._judged(trainer.model, inputs)
    assert all(torch.equal(a, b) for a, b in zip(signal, now, strict=True))
    ratio = (log_q - signal.log_probs).exp()
    ahead = signal.disadvantages
    clipped = torch.where(ahead > 0, ratio.clamp(min=0.95), ratio.clamp(max=1.05))
    assert ((ratio != clipped) & (mask == 1)).any()
    by_formula = ((signal.weights * costs + clipped * ahead) * mask).sum() / 8
    assert close(found, gradient(by_formula, trainer))
    assert len(groups) == 8


def rollouts():
    groups, rewards = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 0, 0], [1, 0, 0], [1, 1, 1]])
    tokens = torch.arange(15).reshape(5, 3)
    return Rollouts(
        *(7, 0, groups, rewards, tokens, mask),
        *(-numbers(5, 3).abs(), -numbers(5, 3, seed=1).abs(), *(numbers(5, 3, seed=i).abs() for i in (2, 3, 4))),
        *[torch.zeros(5, 3, 0)] * 3,
    )


def test_numbers_of_the_rollouts():
    x = rollouts()
    found = quantities(x)
    kept = [[t for t in range(3) if x.mask[i, t]] for i in range(5)]
    u = [[math.exp(x.teacher[i, t] - x.student[i, t]) for t in kept[i]] for i in range(5)]
    s = [sum(v - 1 for v in row) for row in u]
    weight = [math.prod(row) for row in u]
    some = [0, 1, 3, 4]  # the third was cut off
    ahead = {0: 1.0, 1: -1.0, 3: 0.0, 4: 0.0}
    assert found["distil/local_rate"] == pytest.approx(sum(ahead[i] * s[i] for i in some) / 4)
    assert found["distil/sequence_rate"] == pytest.approx(sum(ahead[i] * weight[i] for i in some) / 4)
    assert found["distil/score_sum"] == pytest.approx(sum(s[i] for i in some) / 4)
    assert found["distil/ratio_minus_one"] == pytest.approx(sum(s[i] for i in some) / 9)
    size = sum(weight[i] for i in some) ** 2 / sum(weight[i] ** 2 for i in some) / 4
    assert found["distil/effective_samples"] == pytest.approx(size)
    assert found["distil/kl"] == pytest.approx(sum(float(x.forward_kl[i, t]) for i in some for t in kept[i]) / 9)
    assert (found["distil/length"], found["distil/success"]) == (pytest.approx(9 / 4), pytest.approx(3 / 4))
    assert quantities(x._replace(mask=0 * x.mask)) == {}


def test_one_row_per_rollout_that_counts():
    x = rollouts()
    written = list(rows(x))
    assert [row["group"] for row in written] == ["7.0.0", "7.0.0", "7.0.1", "7.0.1"]
    assert written[1]["tokens"] == [3, 4]
    assert written[1]["student"] == x.student[1, :2].tolist()
    assert "top" not in written[1]


def test_distances_are_those_of_the_losses():
    log_q, log_p = (numbers(2, 3, 5, seed=i).log_softmax(-1) for i in (0, 1))
    found = distances(log_q, log_p)
    truth = [losses.token_cost(log_q, log_p, d) for d in (FORWARD_KL, REVERSE_KL)]
    for a, b in zip(found, [*truth, -(log_q.exp() * log_q).sum(-1)], strict=True):
        torch.testing.assert_close(a, b)
