"""The pieces of work of `experiments.llm_bridge`: each judges one network and returns rows of tables."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import torch

from distil_theory import estimators, objectives, solve, trajectories
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL
from distil_theory.instances.token_mdp import TokenMDP
from distil_theory.llm import exact, moments, pretrain
from distil_theory.llm.steps import Here, changes
from distil_theory.point import Point
from experiments.llm_bridge_cases import (
    OBJECTIVES,
    OPTIMISERS,
    TEACHERS,
    Case,
    Objective,
    educated,
    score,
    teacher,
)

SIZES = (1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1e-1)
"""KL per episode between student and new student, to second order."""
SMALL = 1e-4
"""The size of a step in panels (c) and (d)."""
NOISE = (0.0, 0.1, 0.25, 0.5)
DAMPINGS = (1.0, 1e-1, 1e-2, 1e-3, 1e-5, 1e-7, 1e-9)
CLIPS = (1.0, 2.0, 5.0, 20.0)
ADAM = 0.003
"""Rate of the training runs."""
BATCH = 16
Rows = list[dict[str, Any]]


def first_steps(case: Case) -> dict[str, Rows]:
    """Everything about the first step of each network: panels (a) to (d)."""
    found: dict[str, Rows] = {}
    for seed, here in zip(case.seeds, educated(case), strict=True):
        told = {"game": case.game, "width": case.width, "seed": seed}
        tables = {
            "networks": [networks(here)],
            "gradients": gradients(here, case) if seed == case.seeds[0] else [],
            "steps": steps(here),
            "noise": noise(here),
            "damping": damping(here),
        }
        for name, rows in tables.items():
            found.setdefault(name, []).extend(told | row for row in rows)
    return found


def networks(here: Here) -> dict[str, Any]:
    """What the network is before any step."""
    mdp = here.player.game.mdp
    return {
        "parameters": len(here.theta),
        "free_logits": (mdp.observations - 1) * (mdp.shape[2] - 1),
        "return": here.expected_return,
        **{f"return_{name}": float(solve.expected_return(mdp, teacher(here, name))) for name in TEACHERS},
        "incompatibility": max(here.incompatibility(), 0.0),
    }


def _agreement(dtype: torch.dtype, quantity: str, route: str, found: torch.Tensor, wanted: torch.Tensor) -> Any:
    """The row of one gradient."""
    error = float((found.detach().double() - wanted).norm() / wanted.norm())
    return {"precision": str(dtype).removeprefix("torch."), "quantity": quantity, "route": route, "error": error}


def gradients(here: Here, case: Case) -> Rows:
    """Panel (a): the gradients of torch against the core's, in two precisions, by two routes."""
    game, expert = here.player.game, here.self_teacher
    every = trajectories.enumerate_all(game.mdp)
    law = trajectories.probability(game.mdp, here.student, every)
    rows: Rows = []
    for dtype in (torch.float32, torch.float64):
        shape = exact.network_for(game, width=case.width, dtype=dtype, device=case.device)
        player, theta = exact.Player(game, shape), here.theta.to(dtype)
        other = Here(player, theta)
        theta = theta.clone().requires_grad_()
        found = torch.autograd.grad(player.expected_return(theta), theta)[0]
        rows.append(_agreement(dtype, "return", "autograd", found, here.return_gradient))
        for name, o in OBJECTIVES.items():
            weight = objectives.occupancy_ratio(game.mdp, here.student, expert) if o.weighted else None
            wanted = here.gradient(here.score(expert, o.divergence, o.part, weight))
            loss = player.loss(theta, expert, o.divergence, o.part, weight)
            rows.append(_agreement(dtype, name, "autograd", torch.autograd.grad(loss, theta)[0], wanted))
            clip = float("inf") if o.weighted else None
            each = moments.estimates(other, expert, o.divergence, every, part=o.part, clip=clip)
            found = other.jacobian.T @ (torch.as_tensor(law).to(each) @ each)
            rows.append(_agreement(dtype, name, "losses on every rollout", found, wanted))
    return rows


def steps(here: Here) -> Rows:
    """Panels (a) to (c): first steps at every size, predicted and taken."""
    rows, ways = [], []
    for name, objective, optimiser in product(TEACHERS, OBJECTIVES, OPTIMISERS):
        told = {"teacher": name, "objective": objective, "optimiser": optimiser}
        kind = OPTIMISERS[optimiser]
        way = here.direction(score(here, teacher(here, name), OBJECTIVES[objective]), kind.name, kind.damping)
        ways.append(here.scaled(way, SMALL))
        rows.append(told)
    taken = here.changes(ways, [(kl / SMALL) ** 0.5 for kl in SIZES])
    return [
        told | {"kl": kl} | change._asdict() | {"clear": change.clear}
        for told, sizes in zip(rows, taken, strict=True)
        for kl, change in zip(SIZES, sizes, strict=True)
    ]


def noise(here: Here) -> Rows:
    """Panel (d): the feedback is false with a probability. Losses and gaps are linear in it."""
    mdp = here.player.game.mdp
    lied = Here(exact.Player(pretrain.misled(here.player.game), here.player.network), here.theta)
    rows, ways = [], []
    for name in TEACHERS:
        pair = teacher(here, name), teacher(lied, name)
        gaps = [float(solve.expected_return(mdp, star)) - here.expected_return for star in pair]
        for objective, o in OBJECTIVES.items():
            true, false = (score(here, star, o) for star in pair)
            for e, (optimiser, kind) in product(NOISE, OPTIMISERS.items()):
                way = here.direction((1 - e) * true + e * false, kind.name, kind.damping)
                ways.append(here.scaled(way, SMALL))
                gap = (1 - e) * gaps[0] + e * gaps[1]
                told = {"teacher": name, "objective": objective, "optimiser": optimiser, "noise": e, "gap": gap}
                rows.append(told | {"predicted": float(here.return_gradient @ ways[-1])})
    many = here.theta + torch.stack(ways)
    returns = here.player.expected_returns(torch.cat([here.theta[None], many]))
    return [row | {"actual": x} for row, x in zip(rows, (returns[1:] - returns[0]).tolist(), strict=True)]


def damping(here: Here) -> Rows:
    """Claims 2 and 17: the rate of the natural step of two objectives, as a multiple of the gap, over its damping."""
    mdp = here.player.game.mdp
    rows = []
    for name, objective in product(TEACHERS, ("prefix", "forward_ce")):
        expert, o = teacher(here, name), OBJECTIVES[objective]
        gap = float(solve.expected_return(mdp, expert)) - here.expected_return
        told = {"teacher": name, "objective": objective, "gap": gap}
        weight = objectives.occupancy_ratio(mdp, here.student, expert) if o.weighted else None
        table = float(objectives.improvement_rate(mdp, here.student, expert, o.divergence, weight=weight))
        g = score(here, expert, o)
        for size in DAMPINGS:
            rate = float(here.return_gradient @ here.direction(g, "natural", size))
            rows.append(told | {"damping": size, "rate": rate, "table_rate": table})
    return rows


def training(case: Case, length: int) -> Rows:
    """Panel (e): every network trained on every objective."""
    heres = educated(case)
    start = torch.stack([here.theta for here in heres])
    rows: Rows = []
    for objective in OBJECTIVES:
        names = {"game": case.game, "width": case.width, "objective": objective}
        for step, told in enumerate(run(heres[0].player, start, OBJECTIVES[objective], length)):
            rows += [names | {"seed": seed, "step": step} | row for seed, row in zip(case.seeds, told, strict=True)]
    return rows


def run(player: exact.Player, start: torch.Tensor, o: Objective, length: int) -> list[Rows]:
    """`torch.optim.Adam` on the exact gradient, the teacher being the network itself as it is now.

    The networks `(B, P)` learn side by side, and none feels the others; a row for each at every step.
    """
    mdp = player.game.mdp
    thetas = torch.nn.Parameter(start.clone())
    adam = torch.optim.Adam([thetas], lr=ADAM)
    steps: list[Rows] = []
    for step in range(length + 1):
        pi, star = (player.table(player.policies(thetas, feedback=f)) for f in (False, True))
        told = conduct(player.game, pi, star)
        if step < length:
            weight = objectives.occupancy_ratio(mdp, pi, star) if o.weighted else None
            thetas.grad = player.pull_back_many(
                thetas, objectives.loss_gradient(mdp, pi, star, o.divergence, weight, o.part)
            )
            slope = player.pull_back_many(thetas, objectives.return_gradient(mdp, pi))
            before = thetas.detach().clone()
            adam.step()
            taken = changes(player, before, thetas.detach() - before, slope)
            told = [row | c._asdict() | {"clear": c.clear} for row, (c,) in zip(told, taken, strict=True)]
        steps.append(told)
    return steps


def conduct(game: TokenMDP, pi: np.ndarray, star: np.ndarray) -> Rows:
    """Per student of a batch: return, teacher's return, entropy per token, and how many instructions are not NOP (nan
    in sums)."""
    there = solve.occupancy(game.mdp, pi)
    found = {
        "return": solve.expected_return(game.mdp, pi),
        "return_self": solve.expected_return(game.mdp, star),
        "entropy": (there * -(pi * np.log(pi)).sum(axis=2)).sum(axis=(0, 1)) / game.tree.length,
        "length": np.full(pi.shape[-1], np.nan),
    }
    if "NOP" in game.vocabulary[: game.tree.tokens]:
        found["length"] = (there * (1 - pi[:, :, game.vocabulary.index("NOP")])).sum(axis=(0, 1))
    return [dict(zip(found, map(float, values), strict=True)) for values in zip(*found.values(), strict=True)]


def spread(case: Case, repeats: int) -> Rows:
    """Panel (f), for every network."""
    rows: Rows = []
    for seed, here in zip(case.seeds, educated(case), strict=True):
        told = {"game": case.game, "width": case.width, "seed": seed}
        rows += [told | row for row in estimators_of(here, repeats, np.random.default_rng([seed, 6]))]
    return rows


def estimators_of(here: Here, repeats: int, rng: np.random.Generator) -> Rows:
    """Bias and variance of the estimators in parameter space, exactly and from drawn batches."""
    mdp, pi, expert = here.player.game.mdp, here.student, here.self_teacher
    every = trajectories.enumerate_all(mdp)
    p = trajectories.probability(mdp, pi, every)
    rows: Rows = []

    def row(name: str, family: str, how: str, found: moments.Moments) -> None:
        n = {"rollouts": BATCH * repeats} if how == "drawn" else {"rollouts": len(every)}
        rows.append({"estimator": name, "family": family, "how": how} | found._asdict() | n)

    def judged(name: str, family: str, objective: Any, target: np.ndarray, options: dict[str, Any]) -> None:
        found = moments.estimates(here, expert, objective, every, **options)
        row(name, family, "exact", moments.exact(here, found, p, target))

    def drawn(name: str, family: str, objective: Any, target: np.ndarray, **options: Any) -> None:
        found = moments.drawn(here, expert, objective, target, batch=BATCH, repeats=repeats, rng=rng, **options)
        row(name, family, "drawn", found)

    for family, objective in (("KL-to-go", FORWARD_KL), ("CE-to-go", CROSS_ENTROPY)):
        target = here.score(expert, objective, "full")
        state = objectives.at(mdp, pi, expert, objective, None, "full", future)
        position = (solve.occupancy(mdp, pi) * state).sum(axis=1)[:, None] + 0 * state
        for name, table in (("no baseline", "none"), ("position, exact", position), ("state, exact", state)):
            judged(name, family, objective, target, {"kind": table})
        judged("discount 0.5", family, objective, target, {"discount": 0.5})
        for name, kind in (("no baseline", "none"), ("position, others", "position"), ("group, others", "group")):
            drawn(name, family, objective, target, kind=kind)
        if objective is CROSS_ENTROPY:
            drawn("teacher's samples only", family, objective, target, kind="position", labels=True)
    local = here.score(expert, CROSS_ENTROPY)
    judged("no weights", "local", CROSS_ENTROPY, local, {"part": "local"})
    drawn("no weights", "local", CROSS_ENTROPY, local, part="local")
    drawn("teacher's samples only", "local", CROSS_ENTROPY, local, part="local", labels=True)
    weighted = here.score(expert, CROSS_ENTROPY, "local", objectives.occupancy_ratio(mdp, pi, expert))
    for clip in (*CLIPS, float("inf")):
        judged(f"clip {clip:g}", "prefix weights", CROSS_ENTROPY, weighted, {"part": "local", "clip": clip})
    drawn("clip inf", "prefix weights", CROSS_ENTROPY, weighted, part="local", clip=float("inf"))
    check = estimators.samples(mdp, pi, expert, CROSS_ENTROPY, every).sum(axis=0).reshape(-1, len(every)).T
    row("core, no baseline", "CE-to-go", "exact", moments.exact(
        here, torch.as_tensor(check).to(here.theta), p, here.score(expert, CROSS_ENTROPY, "full")))  # fmt: skip
    return rows


def future(x: Point) -> np.ndarray:
    """The disagreement that is expected after the state, `(H,S)`."""
    return np.asarray((x.pi * x.future_cost).sum(axis=2))
