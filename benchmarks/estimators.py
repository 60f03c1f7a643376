"""What looking ahead costs as the horizon grows: time, memory, and variance of the rollout estimator.

A random MDP (a Garnet; 5 states, 3 actions), a random student, a random expert, cross-entropy. The exact full gradient
needs one more backward induction than the local one. The rollout estimator's price is variance: `noise` is the trace of
its covariance, for one rollout, over the squared norm of its mean; so with `n` rollouts the relative error is about
`sqrt(noise / n)`. Where every rollout can be listed the noise is exact ("listed"), else it is that of a sample.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.settings import Settings
from benchmarks.timing import Row, interleave, measured
from distil_theory import TabularMDP, estimators, objectives, trajectories
from distil_theory.divergences import CROSS_ENTROPY
from distil_theory.instances import garnet

STATES, ACTIONS, BRANCHING = 5, 3, 2
KINDS: dict[str, dict[str, Any]] = {
    "local": {"part": "local"},
    "full": {"baseline": "none"},
    "full, position": {"baseline": "position"},
    "full, state": {"baseline": "state"},
}
"""What is estimated, and with which baseline."""


def problem(horizon: int) -> tuple[TabularMDP, np.ndarray, np.ndarray]:
    """The MDP with a student and an expert `(H,S,A)`."""
    rng = np.random.default_rng(horizon)
    student, expert = rng.dirichlet(np.ones(ACTIONS), (2, horizon, STATES))
    return garnet(STATES, ACTIONS, BRANCHING, horizon, seed=0), student, expert


def noise(horizon: int, rollouts: int, black_box: bool, options: Any) -> tuple[float, bool]:
    """The relative variance of one rollout's estimate, and whether it is exact."""
    mdp, student, expert = problem(horizon)
    listed = STATES * (ACTIONS * BRANCHING) ** horizon * (ACTIONS**horizon if black_box else 1) <= 20_000
    if listed:
        drawn = trajectories.enumerate_all(mdp)
        drawn = trajectories.with_labels(mdp, drawn) if black_box else drawn
        p = trajectories.probability(mdp, student, drawn, expert if black_box else None)
    else:
        rng = np.random.default_rng(1)
        drawn, p = trajectories.sample(mdp, student, rollouts, rng, expert if black_box else None), None
    g = estimators.samples(mdp, student, expert, CROSS_ENTROPY, drawn, **options)
    mean = objectives.loss_gradient(mdp, student, expert, CROSS_ENTROPY, part=options.get("part", "full"))
    squares = ((g - mean[..., None]) ** 2).sum(axis=(0, 1, 2))
    return float((squares.mean() if p is None else squares @ p) / (mean**2).sum()), listed


def _estimate(mdp: TabularMDP, student: np.ndarray, expert: np.ndarray, drawn: trajectories.Trajectories) -> np.ndarray:
    return estimators.samples(mdp, student, expert, CROSS_ENTROPY, drawn, baseline="state").mean(axis=-1)


def measure(settings: Settings) -> list[Row]:
    """Seconds per call and peak bytes of the gradients, and the noise of the estimators, at each horizon."""
    rows = []
    for horizon in settings.estimator_horizons:
        mdp, student, expert = problem(horizon)
        drawn = trajectories.sample(mdp, student, settings.rollouts, np.random.default_rng(1), expert)
        pair = (mdp, student, expert, CROSS_ENTROPY)
        runs: dict[str, Callable[[], object]] = {
            "exact local": partial(objectives.loss_gradient, *pair),
            "exact full": partial(objectives.loss_gradient, *pair, part="full"),
            "estimate": partial(_estimate, mdp, student, expert, drawn),
        }
        interleave(runs, 1)  # warm
        for name, seconds in interleave(runs, settings.estimator_rounds).items():
            n = settings.rollouts if name == "estimate" else 1  # time is that of all of them together
            rows.append(measured("estimators", f"H = {horizon}", name, "time", seconds, n=n))
            tracemalloc.start()
            runs[name]()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            rows.append(Row("estimators", f"H = {horizon}", name, "memory", peak, "B"))
        for name, options in KINDS.items():
            for black_box in (False, True):
                size, listed = noise(horizon, settings.rollouts, black_box, options)
                who = f"{name}; {'black box' if black_box else 'explicit'}"
                n = 0 if listed else settings.rollouts
                rows.append(Row("estimators", f"H = {horizon}", who, "noise", size, "1", n=n))
    return rows
