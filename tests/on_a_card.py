"""What may run on a graphics card, on a pretended one: `tests/test_on_a_card.py` runs this in a process of its own."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState
from torch.utils._pytree import tree_map_only

from benchmarks import device
from benchmarks.settings import QUICK
from distil_theory import TabularMDP, divergences, experts, instances, objectives, solve
from distil_theory import number_systems as ns
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL
from distil_theory.instances.token_sum import token_sum
from distil_theory.llm import models
from experiments import llm_bridge_pieces as pieces
from experiments.llm_bridge_cases import Case
from experiments.llm_scale import cases as scale_cases
from experiments.llm_scale import judging, training
from experiments.llm_scale import plan as scale_plan
from experiments.llm_validation import plan, runs, settings
from experiments.llm_validation.master import MasterAdamW
from tests import pretend_card


@pytest.fixture
def card():
    with pretend_card.here() as where:
        yield where


def test_the_card_is_touchy(card):
    here, there = torch.arange(3.0), torch.arange(3.0).to(card)
    assert isinstance(torch.ones(2, device=card), pretend_card.CardTensor)
    for read in (np.asarray, lambda x: x.numpy()):
        with pytest.raises(TypeError, match=r"can't convert card:0 .* to numpy"):
            read(there)
    mixed = (
        lambda: here + there,
        lambda: torch.where(here > 0, there, there),
        lambda: torch.cat([there, here]),
        lambda: torch.stack([there[0], here[0]]),
        lambda: here[there.long()],
        lambda: there.gather(0, here.long()),
        lambda: there.index_put((here.long(),), here),
        lambda: torch.nn.functional.linear(there, torch.ones(2, 3)),
    )
    for wrong in mixed:
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            wrong()
    with pytest.raises(RuntimeError, match="Expected a 'card' device type for generator"):
        torch.multinomial(there, 1, generator=torch.Generator())
    assert there.tolist() == [0, 1, 2]
    assert (there[torch.tensor([2, 0])] * here[1]).cpu().tolist() == [2, 0]  # as CUDA: indices, and scalars
    torch.multinomial(there, 1, generator=torch.Generator(device=card))


def test_what_a_model_keeps_beside_its_weights_is_there(tmp_path, card):
    """The speeds at which positions turn are in no file: they are computed when a model is loaded."""
    model, _ = models.load(models.tiny(tmp_path / "model", 0, width=16, layers=1), "float64", "card")
    turns = [1, pytest.approx(0.01)]
    assert {name: x.tolist() for name, x in model.named_buffers()} == {
        "model.rotary_emb.inv_freq": turns, "model.rotary_emb.original_inv_freq": turns
    }  # fmt: skip


def assert_same(found, wanted):
    for x, y in zip(found, wanted, strict=True):
        assert isinstance(x, pretend_card.CardTensor)
        assert torch.equal(x.cpu(), y)


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("game", ["fork", "token_sum"])
def test_the_core_computes_on_the_card(card, game, batch):
    mdp = (instances.risky_fork() if game == "fork" else token_sum(2, 2)).mdp
    rng = np.random.default_rng(0)

    def policy():
        weights = np.exp(rng.normal(size=(mdp.shape[0], mdp.observations, mdp.shape[2], *batch)))
        return torch.from_numpy((weights / weights.sum(axis=2, keepdims=True))[:, np.asarray(mdp.observation)])

    arrays = [ns.convert(x, "torch") for x in (mdp.transition, mdp.reward, mdp.initial)]
    pair = policy(), policy()

    def everything(place):
        there = TabularMDP(*(x.to(place) for x in arrays), observation=mdp.observation)
        pi, star = (x.to(place) for x in pair)
        found = [*solve.values(there, pi), solve.occupancy(there, pi), *solve.optimal(there)]
        for objective in (CROSS_ENTROPY, *divergences.BY_NAME.values()):
            for part in ("local", "full"):
                found += objectives.evaluate(there, pi, star, objective, None, part)
            found.append(objectives.improvement_rate(there, pi, star, objective, "euclidean"))
        weight = objectives.occupancy_ratio(there, pi, star)
        found += [weight, objectives.loss_gradient(there, pi, star, FORWARD_KL, weight)]
        return [*found, experts.success_conditioned(there, pi)] if game == "token_sum" else found

    assert_same(everything(card), everything("cpu"))


def test_the_sweep_is_measured(card):
    rows = device.measure("card", QUICK, {6: 1})
    assert {row.contender for row in rows} == {"numpy, one core", "torch on card"}


@pytest.mark.parametrize("game", ["habit", "sum"])
def test_rung_0(card, game):
    for piece, more in ((pieces.first_steps, ()), (pieces.training, (1,)), (pieces.spread, (2,))):
        there, here = (piece(Case(game, 4, (0,), place, 3), *more) for place in ("card", "cpu"))
        for a, b in zip(*map(rows_of, (there, here)), strict=True):
            assert a == pytest.approx(b, rel=1e-9, abs=1e-12, nan_ok=True)


def rows_of(found):
    """Numbers of a piece of work."""
    rows = [row for table in found.values() for row in table] if isinstance(found, dict) else found
    return [{k: v for k, v in row.items() if isinstance(v, float)} for row in rows]


def test_an_optimiser_is_taken_up_from_a_checkpoint_in_memory(card):
    def fresh():
        weight = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16, device=card))
        return weight, MasterAdamW([weight], lr=0.1)

    def step(weight, adam):
        weight.grad = torch.ones_like(weight)
        adam.step()

    weight, adam = fresh()
    step(weight, adam)
    other, again = fresh()
    again.load_state_dict(tree_map_only(torch.Tensor, lambda x: x.cpu(), adam.state_dict()))
    for one in ((weight, adam), (other, again)):
        step(*one)
    assert weight.tolist() == other.tolist() != [1, 1, 1]


def tied(load):
    """What is moved to this card are new parameters, where CUDA moves the old ones: what was one is made one again."""

    def loaded(*args):
        model, tokenizer = load(*args)
        model.tie_weights()
        return model, tokenizer

    return loaded


CURVES = ("reward", "completions/mean_length", "entropy", "distil/entropy", "distil/kl", "loss", "grad_norm")


@pytest.mark.parametrize("algorithm", settings.LARGE.algorithms)
def test_a_run_of_the_large_grid(tmp_path_factory, monkeypatch, algorithm):
    """From the first weights to the last table, by the trainer of transformers: the numbers of the processor."""
    model = models.tiny(tmp_path_factory.getbasetemp() / "model", 0, width=16, layers=1)
    own = settings.setting("large", quick=True).but(dtype="float64")  # no kernel rounds so that another token is drawn
    run = plan.Run(algorithm, "product", 0, own)

    def performed(place):
        AcceleratorState._reset_state(reset_partial_state=True)
        assert PartialState(cpu=place == "cpu").device.type == place
        home = tmp_path_factory.mktemp(place)
        runs.perform(run, home, place, model, float("inf"))
        log = pd.read_csv(home / run.name / "steps.csv")
        return log[[c for c in CURVES if c in log]], pd.read_csv(home / run.name / "after.csv")

    with pretend_card.here():
        monkeypatch.setattr(models, "load", tied(models.load))
        there = performed("card")
    for a, b in zip(there, performed("cpu"), strict=True):
        pd.testing.assert_frame_equal(a, b, rtol=1e-6, atol=1e-9)


def test_the_larger_rung_0_trains_and_is_judged_on_the_card(card):
    own = scale_plan.QUICK._replace(steps=1, iterations=1, wide=scale_plan.QUICK.wide._replace(education=2))
    here, there = (scale_cases.Case("alike", "wide", 0, own, where) for where in ("cpu", card))
    start = scale_cases.educated(here)
    np.testing.assert_allclose(scale_cases.educated(there), start, rtol=0, atol=1e-5)
    for teacher, names, how in (
        *((t, ("forward_ce",), "exact") for t in scale_cases.TEACHERS),
        ("exact", ("full_kl", "prefix"), "exact"), ("network", ("reverse_kl",), "drawn"),
        ("none", ("policy_gradient", "grpo"), "exact"), ("none", ("grpo",), "drawn"),
    ):  # fmt: skip
        tables = [pd.DataFrame(training.training(case, start, teacher, names, 0.01, how)) for case in (here, there)]
        pd.testing.assert_frame_equal(*tables, rtol=1e-3, atol=1e-5)
    found, wanted = (judging.first_steps(case, start)["steps"] for case in (there, here))
    assert [row["predicted"] for row in found] == pytest.approx([row["predicted"] for row in wanted], rel=1e-3)
