"""The pieces of work of `experiments.llm_scale` that train: many networks side by side, on the exact gradient or on
drawn rollouts, with one optimiser."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from distil_theory.llm import tree, tree_rollouts
from distil_theory.llm.tree_network import TreePlayer
from experiments.llm_scale import cases
from experiments.llm_scale.cases import OBJECTIVES, Case, Setting

Rows = list[dict[str, Any]]


def training(case: Case, start: np.ndarray, teacher: str, objectives: tuple[str, ...], rate: float, how: str) -> Rows:
    """Every network of a case trained on some objectives.

    Args:
        case: the game and the networks.
        start: their weights `(B, P)`.
        teacher: one of `cases.TEACHERS`, or `"none"` for objectives that have none.
        objectives: names of `OBJECTIVES` or `OUTCOMES`.
        rate: of Adam.
        how: `"exact"` gradients, or `"drawn"` rollouts (local objectives and GRPO only).
    """
    _, plays = cases.player(case)
    thetas = torch.tensor(start, device=case.device)
    rows: Rows = []
    for objective in objectives:
        told = {"game": case.game, "width": case.width, "teacher": teacher, "objective": objective, "rate": rate}
        for step, found in run(plays, thetas, teacher, objective, rate, how, case.setting).items():
            each = zip(case.seeds, zip(*found.values(), strict=True), strict=True)
            rows += [
                told | {"gradient": how, "seed": seed, "step": step} | dict(zip(found, numbers, strict=True))
                for seed, numbers in each
            ]
    return rows


def run(
    plays: TreePlayer, start: torch.Tensor, teacher: str, objective: str, rate: float, how: str, setting: Setting
) -> dict[int, dict[str, list[float]]]:
    """`torch.optim.Adam`; step to quantity to its value for each network."""
    thetas = torch.nn.Parameter(start.clone())
    adam = torch.optim.Adam([thetas], lr=rate)
    fixed = cases.expert(teacher, plays, start) if teacher != "none" else None
    dice = torch.Generator().manual_seed(0)  # the same prompts and luck for all
    found = {}
    for step in range(setting.steps + 1):
        log_pi = plays.students(thetas)
        now = log_pi.detach()
        star = fixed
        if star is None and teacher != "none":
            star = cases.following(teacher, plays, thetas.detach(), now)
        if step % setting.every == 0 or step == setting.steps:
            found[step] = conduct(plays, now)
            if star is not None:
                there = tree.teacher_return(plays.game, star).expand(len(thetas))
                found[step]["return_teacher"] = there.tolist()
        if step == setting.steps:
            break
        if star is None:
            cost = outcome(plays, log_pi, objective, how, setting, dice)
        else:
            cost = disagreement(plays, log_pi, star, objective, how, setting, dice)
        adam.zero_grad()
        cost.sum().backward()
        adam.step()
    return found


def disagreement(
    plays: TreePlayer,
    log_pi: torch.Tensor,
    star: torch.Tensor,
    objective: str,
    how: str,
    setting: Setting,
    dice: torch.Generator,
) -> torch.Tensor:
    """The loss of an objective with a teacher, `(B,)`."""
    o = OBJECTIVES[objective]
    if how == "exact":
        return tree.loss(plays.game, log_pi, star, o.divergence, o.part, o.clip)
    drawn = tree_rollouts.draw(plays.game, log_pi.detach(), setting.prompts, setting.group, dice)
    seen = tree_rollouts.visits(plays.game, drawn)
    return (seen * tree.disagreement(plays.game, log_pi, star, o.divergence)).sum(dim=(-2, -1))


def outcome(
    plays: TreePlayer, log_pi: torch.Tensor, objective: str, how: str, setting: Setting, dice: torch.Generator
) -> torch.Tensor:
    """The loss of an objective that only sees outcomes, `(B,)`."""
    if how == "drawn":
        drawn = tree_rollouts.draw(plays.game, log_pi.detach(), setting.prompts, setting.group, dice)
        return tree_rollouts.outcome_loss(plays.game, log_pi, drawn, normalise=objective == "grpo")
    right = tree.success(plays.game, log_pi)
    if objective == "grpo":
        right = right * tree_rollouts.group_slope(chance(plays, log_pi.detach()), setting.group)
    return -(plays.game.view_weight * right).sum(dim=-1)


def chance(plays: TreePlayer, log_pi: torch.Tensor) -> torch.Tensor:
    """Probability of being right on each view, `(B, V)`, within [0, 1] despite rounding."""
    return tree.success(plays.game, log_pi).clamp(0, 1)


def conduct(plays: TreePlayer, log_pi: torch.Tensor) -> dict[str, list[float]]:
    """Of every student: return, that of its likeliest tokens, entropy of an answer, tokens until it ends."""
    game = plays.game
    there = game.view_weight[:, None] * tree.reach(game.tree, log_pi.exp()) * game.talks
    found = {
        "return": tree.expected_return(game, log_pi),
        "greedy": tree.expected_return(game, tree.greedy(log_pi)),
        "entropy": (there * -(log_pi.exp() * log_pi).sum(dim=-1)).sum(dim=(-2, -1)),
        "length": there.sum(dim=(-2, -1)),
    }
    return {name: x.tolist() for name, x in found.items()}
