"""The pieces of work of `experiments.llm_scale` that judge first steps: gradients by two routes, predictions against
what a step does, and how much of the best possible gain a direction has. All in float64."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch

from distil_theory.llm import steps, tree, tree_steps
from distil_theory.llm.tree_network import TreePlayer
from experiments.llm_scale import cases
from experiments.llm_scale.cases import OBJECTIVES, Case
from experiments.llm_scale.training import Rows

SIZES = (1e-10, 1e-8, 1e-6, 1e-4, 1e-2)
"""KL per episode between student and new student, to second order."""
SMALL = 1e-4
DAMPING, PROBES = 0.1, 16
OPTIMISERS = ("sgd", "adam", "natural")
JUDGED = ("network", "exact")
Slopes = dict[tuple[str, str], torch.Tensor]
"""Teacher and objective to a gradient in the logits, `(B, V, N, A)`."""


def first_steps(case: Case, start: np.ndarray) -> dict[str, Rows]:
    """Of the first `setting.judged` networks of a case."""
    _, plays = cases.player(case, torch.float64)
    thetas = torch.tensor(start[: case.setting.judged], device=case.device).double()
    slope = pulled_back(plays, thetas, tree.return_gradient(plays.game, plays.students(thetas).detach()))
    damping = DAMPING * tree_steps.trace(plays, thetas, PROBES) / thetas.shape[1]
    best, left = tree_steps.natural(plays, thetas, -slope, damping, case.setting.iterations)
    ways = [("none", "policy_gradient", "natural", best)]
    asked = in_logits(plays, thetas)
    for (name, objective), g in asked.items():
        found = directions(plays, thetas, pulled_back(plays, thetas, g), damping, case.setting.iterations)
        ways += [(name, objective, optimiser, way) for optimiser, way in found.items()]
    told = {"game": case.game, "width": case.width}
    return {
        "gradients": [told | row for row in gradients(case, plays, thetas, asked)],
        "steps": [told | row for row in taken(case, plays, thetas, slope, ways)],
        "efficiency": [told | row for row in efficiency(case, plays, thetas, asked)],
        "solver": [told | {"seed": s, "residual": x} for s, x in zip(case.seeds, left.tolist(), strict=False)],
    }


def pulled_back(plays: TreePlayer, thetas: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """A gradient `(B, V, N, A)` in the logits as one in the weights, `(B, P)`."""
    thetas = thetas.detach().requires_grad_()
    return torch.autograd.grad((plays.logits(thetas) * g).sum(), thetas)[0]


def star(plays: TreePlayer, thetas: torch.Tensor, name: str, log_pi: torch.Tensor) -> torch.Tensor:
    """A teacher at the first step."""
    fixed = cases.expert(name, plays, thetas)
    return cases.following(name, plays, thetas, log_pi) if fixed is None else fixed


def in_logits(plays: TreePlayer, thetas: torch.Tensor) -> Slopes:
    """The gradient of every objective in the logits, by its formula, with both teachers."""
    log_pi = plays.students(thetas).detach()
    stars = {name: star(plays, thetas, name, log_pi) for name in JUDGED}
    return {
        (name, objective): tree.loss_gradient(plays.game, log_pi, stars[name], o.divergence, o.part, o.clip)
        for name, (objective, o) in product(JUDGED, OBJECTIVES.items())
    }


def directions(
    plays: TreePlayer, thetas: torch.Tensor, g: torch.Tensor, damping: torch.Tensor, iterations: int
) -> dict[str, torch.Tensor]:
    """Where each optimiser goes first, `(B, P)`."""
    return {
        "sgd": -g,
        "adam": -g / (g.abs() + steps.EPS),
        "natural": tree_steps.natural(plays, thetas, g, damping, iterations)[0],
    }


def gradients(case: Case, plays: TreePlayer, thetas: torch.Tensor, asked: Slopes) -> Rows:
    """Autograd through the tree against the formulas pulled back: relative errors in norm, in two precisions."""
    rows: Rows = []
    for dtype in (torch.float32, torch.float64):
        _, own = cases.player(case, dtype)
        weights = thetas.to(dtype)
        teacher = cases.expert("network", own, weights)
        for objective, o in OBJECTIVES.items():
            wanted = pulled_back(plays, thetas, asked["network", objective])
            at = weights.clone().requires_grad_()
            cost = tree.loss(own.game, own.students(at), teacher, o.divergence, o.part, o.clip)
            found = torch.autograd.grad(cost.sum(), at)[0].double()
            errors = (found - wanted).norm(dim=1) / wanted.norm(dim=1)
            precision = str(dtype).removeprefix("torch.")
            rows += [{"precision": precision, "quantity": objective, "error": e} for e in errors.tolist()]
    return rows


def taken(
    case: Case,
    plays: TreePlayer,
    thetas: torch.Tensor,
    slope: torch.Tensor,
    ways: list[tuple[str, str, str, torch.Tensor]],
) -> Rows:
    """What first steps are predicted to do, and do, at every size; `gain`: the predicted gain per root of the KL, as a
    share of that of the damped natural policy gradient."""
    product_with = tree_steps.fisher(plays, thetas)
    rows: Rows = []
    most = None
    for name, objective, optimiser, way in ways:
        size = (way * product_with(way)).sum(dim=1) / 2
        gain = (way * slope).sum(dim=1) / size.sqrt()
        most = gain if most is None else most
        step = way * (SMALL / size).sqrt()[:, None]
        found = steps.changes(plays, thetas, step, slope, [(kl / SMALL) ** 0.5 for kl in SIZES])
        for seed, sizes, share in zip(case.seeds, found, (gain / most).tolist(), strict=False):
            told = {"seed": seed, "teacher": name, "objective": objective, "optimiser": optimiser, "gain": share}
            rows += [
                told | {"kl": kl} | change._asdict() | {"clear": change.clear}
                for kl, change in zip(SIZES, sizes, strict=True)
            ]
    return rows


def efficiency(case: Case, plays: TreePlayer, thetas: torch.Tensor, asked: Slopes) -> Rows:
    """Claim 21 of each teacher and objective, for a free student."""
    log_pi = plays.students(thetas).detach()
    rows: Rows = []
    for (name, objective), g in asked.items():
        found = tree.efficiency(plays.game, log_pi, g).tolist()
        told = {"teacher": name, "objective": objective}
        rows += [{"seed": seed, **told, "efficiency": e} for seed, e in zip(case.seeds, found, strict=False)]
    return rows
