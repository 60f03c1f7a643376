"""Averaged over all rollouts of a game that is known exactly, the trainer's gradient is the core's."""

import numpy as np
import pytest
import torch
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from distil_theory import trajectories
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL, HELLINGER, JENSEN_SHANNON, REVERSE_KL
from distil_theory.instances.token_sum import token_sum
from distil_theory.llm import exact, pretrain
from distil_theory.llm.training import DistILTrainer
from distil_theory.objectives import occupancy_ratio
from tests.llm.training import small


class Played(PreTrainedModel, GenerationMixin):
    """The network of the exact games as a model of `transformers`."""

    config_class = PretrainedConfig

    def __init__(self, network):
        super().__init__(PretrainedConfig(pad_token_id=0, eos_token_id=1))
        self.network = network

    def forward(self, input_ids, attention_mask=None, position_ids=None, use_cache=False, logits_to_keep=0):
        return CausalLMOutput(logits=self.network(input_ids)[:, -logits_to_keep:])


class Game:
    """Sums of two bits, a network that has learnt a little, and every rollout with its probability."""

    def __init__(self):
        self.game = token_sum(2, 1, feedback="trace")
        self.player = exact.Player(self.game, exact.network_for(self.game, width=8, seed=2))
        self.theta = pretrain.pretrained(self.player, [pretrain.reference(self.game, 1)], 60, rate=0.02)[0]
        torch.nn.utils.vector_to_parameters(self.theta, self.player.network.parameters())
        self.pi, self.star = (self.player.table(f(self.theta)) for f in (self.player.student, self.player.teacher))
        self.every = trajectories.enumerate_all(self.game.mdp)
        self.p = trajectories.probability(self.game.mdp, self.pi, self.every)

    def trainer(self, folder, **options):
        args = small.arguments(folder, shared_prefix=False, teacher_model_kind="base", **options)
        model = Played(self.player.network)
        return DistILTrainer(model, small.right, args, small.sums(), processing_class=small.tokenizer())

    def inputs(self, n):
        """A batch that is the `n`-th rollout, whatever its reward."""
        problem, feedback, _ = self.game.decode(0, int(self.every.states[0, n]))
        texts = {
            "prompt": self.game.prompt(problem),
            "teacher": self.game.prompt(problem, feedback),
            "completion": self.every.actions[:, n],
        }
        out = {f"{name}_ids": torch.tensor(np.array(ids))[None] for name, ids in texts.items()}
        out |= {f"{name}_mask": torch.ones_like(out[f"{name}_ids"]) for name in texts}
        one = torch.tensor(1)
        return out | {"group": torch.zeros(1), "rewards": torch.zeros(1), "num_sequences": one, "num_tokens": one}

    def expected(self, trainer):
        trainer.model.eval()  # one batch, no accumulation
        losses = sum(p * trainer._compute_loss(trainer.model, self.inputs(n)) for n, p in enumerate(self.p) if p > 0)
        found = torch.autograd.grad(losses, list(trainer.model.parameters()))
        return torch.cat([g.flatten() for g in found])


@pytest.fixture(scope="module")
def game():
    return Game()


def close(found, truth):
    return float((found - truth).norm()) < 1e-10 * float(truth.norm())


@pytest.mark.parametrize("part", ["local", "full", "future"])
@pytest.mark.parametrize("divergence", [CROSS_ENTROPY, FORWARD_KL, REVERSE_KL, JENSEN_SHANNON, HELLINGER])
def test_the_gradient_is_the_cores(game, tmp_path, divergence, part):
    trainer = game.trainer(tmp_path, objective=divergence.name, part=part)
    assert close(game.expected(trainer), game.player.loss_gradient(game.theta, game.star, divergence, part))


def test_looking_ahead_with_another_divergence(game, tmp_path):
    trainer = game.trainer(tmp_path, objective="reverse_kl", to_go="hellinger", part="full")
    parts = [(REVERSE_KL, "local"), (HELLINGER, "future")]
    truth = sum(game.player.loss_gradient(game.theta, game.star, *of) for of in parts)
    assert close(game.expected(trainer), truth)


def test_prefix_weights(game, tmp_path):
    trainer = game.trainer(tmp_path, prefix_clip=float("inf"))
    weight = occupancy_ratio(game.game.mdp, game.pi, game.star)
    truth = game.player.loss_gradient(game.theta, game.star, CROSS_ENTROPY, "local", weight)
    assert close(game.expected(trainer), truth)
