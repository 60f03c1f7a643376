"""What a disagreement with the teacher pushes the student to do: DistIL, SDPO, OPSD, DAgger, cloning (`signals`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from distil_theory.algorithms.rollouts import Rollouts, draw
from distil_theory.algorithms.signals import Moment, Push
from distil_theory.algorithms.tasks import Task
from distil_theory.algorithms.teachers import freeze, positive
from distil_theory.aliasing import pool, spread
from distil_theory.divergences import FORWARD_KL, CrossEntropy, FDivergence, check_divergence
from distil_theory.point import check_part

STATES = ("student", "expert", "all")
BASELINES = ("none", "position", "group", "state")


class Met(NamedTuple):
    """States met `(H,S,B)`, the same weighted and without finished ones, and what the teacher wants there, as a mass on
    actions `(H,S,A,B)`; the rollouts in which they were met, if any."""

    visits: np.ndarray
    charged: np.ndarray
    wanted: np.ndarray
    drawn: Rollouts | None


@dataclass(frozen=True)
class Disagreement:
    """Loss: the divergence between student and teacher, along rollouts.

    Attributes:
        divergence: `D_f`; `CROSS_ENTROPY` charges the teacher's entropy to what leads there, if `part` looks ahead.
        part: `"local"`, `"full"` or `"future"`.
        clip: of the prefix weights; infinity: unclipped, `None`: no weights. Only with `part="local"`.
        states: one of `STATES`; all but the student's own only with `part="local"` and without weights.
        labels: the expert is a black box that names an action at each visited state: forward cross-entropy only.
        baseline: of the future term in samples: `"none"`; `"position"` or `"group"`, the mean over the other rollouts,
            or the others of the group; `"state"`, the exact mean.

    Raises:
        ValueError: anything unknown, or settings that do not go together.
    """

    divergence: FDivergence = FORWARD_KL
    part: str = "local"
    clip: float | None = None
    states: str = "student"
    labels: bool = False
    baseline: str = "none"

    def __post_init__(self) -> None:
        check_divergence(self.divergence)
        check_part(self.part)
        for what, value, choices in (("states", self.states, STATES), ("baseline", self.baseline, BASELINES)):
            if value not in choices:
                raise ValueError(f"unknown {what} {value!r}: choose from {', '.join(choices)}")
        if self.clip is not None:
            freeze(self, clip=positive("clip", self.clip, finite=False))
        if self.part != "local" and (self.clip is not None or self.states != "student"):
            raise ValueError(f"part {self.part!r} goes with the student's states and without prefix weights")
        if self.states != "student" and self.clip is not None:
            raise ValueError(f"prefix weights correct the student's states, not states={self.states!r}")
        forward = self.divergence.h is FORWARD_KL.h
        if (self.labels or self.states == "all") and not forward:
            raise ValueError(f"labels, and data of all rounds, teach forward cross-entropy, not {self.divergence.name}")
        if self.labels and self.part != "local" and not isinstance(self.divergence, CrossEntropy):
            raise ValueError("labels give cross-entropy to go, not KL to go: use CROSS_ENTROPY, or part='local'")

    queries = True
    """Whether an expert is asked at each visited state."""

    def push(self, now: Moment) -> Push:
        """What the moment tells the student to do."""
        task, pi, star = now.task, now.pi, now.star
        assert star is not None
        self.divergence.check_support(star)
        met = self._met(now, star)
        if self.part == "future":
            local = np.zeros_like(pi)
        elif self.labels or self.states == "all":
            local = met.wanted
        else:
            h = self.divergence.h(star / pi)
            local = met.charged[:, :, None] * pi * (h - (pi * h).sum(axis=2, keepdims=True))
        pieces = [local]
        if self.part != "local":
            later = self._later(now, star, met)
            pieces = [local + later] if met.drawn is None else [local, later]
        plus = sum(pool(task.mdp, np.maximum(x, 0)) for x in pieces)
        minus = sum(pool(task.mdp, np.minimum(x, 0)) for x in pieces)
        seen = pool(task.mdp, met.visits)
        if self.part != "local":
            return Push(plus, minus, seen)

        def pull(x: np.ndarray) -> np.ndarray:
            return pool(task.mdp, met.charged[:, :, None] * self.divergence.h(star / spread(task.mdp, x)))

        return Push(plus, minus, seen, pool(task.mdp, met.wanted), pull)

    def _met(self, now: Moment, star: np.ndarray) -> Met:
        task, pi = now.task, now.pi
        who, drawn = star if self.states == "expert" else pi, None
        if now.sampling is None:
            visits = task.forward(who, task.initial)
            charged = visits if self.clip is None else np.minimum(*self._reweighted(task, star, visits))
        else:
            drawn = draw(task, who, now.sampling, now.rng, star if self.labels else None)
            path = None if self.clip is None else self._path_weights(star / pi, drawn)
            visits = drawn.count(pi.shape[1])
            charged = visits if path is None else drawn.count(pi.shape[1], path)
        living = ~task.finished[:, None]
        charged = charged * living
        if drawn is not None and drawn.labels is not None:
            wanted = drawn.count_actions(pi.shape[1:3], drawn.labels, path) * living[:, None]
        else:
            wanted = charged[:, :, None] * star
        if self.states == "all":
            visits, charged, wanted = _remember(now.memory, visits, charged, wanted)
        return Met(visits, charged, wanted, drawn)

    def _reweighted(self, task: Task, star: np.ndarray, visits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The expert's occupancy `d w`, and its limit `d clip`."""
        limit = np.asarray(self.clip, dtype=float)
        if np.isfinite(limit).any() and not task.tree:
            raise ValueError(
                "clipped prefix weights have no exact mean here, where several ways lead to one state: use clip=inf, "
                "samples, or a token MDP"
            )
        with np.errstate(invalid="ignore"):
            return task.forward(star, task.initial), np.where(visits > 0, visits * limit, 0)

    def _path_weights(self, ratio: np.ndarray, drawn: Rollouts) -> np.ndarray:
        """`min(prod_{h'<h} pi*/pi, clip)`, `(H,N,B)`."""
        met = drawn.along(ratio, drawn.actions)
        before = np.concatenate([np.ones_like(met[:1]), met[:-1].cumprod(axis=0)])
        return np.minimum(before, np.asarray(self.clip, dtype=float))

    def _later(self, now: Moment, star: np.ndarray, met: Met) -> np.ndarray:
        """The future term as a push, `(H,S,A,B)`."""
        task, pi, drawn = now.task, now.pi, met.drawn
        cost = self.divergence.value(star, pi, axis=2) * ~task.finished[:, None]
        v, q = task.backward(pi, cost[:, :, None])
        ahead = v - cost  # expected after this state, whatever the action
        if drawn is None:
            return met.visits[:, :, None] * pi * (v[:, :, None] - q)
        if drawn.labels is None:
            paid = drawn.along(cost)
        else:
            paid = -np.log(drawn.along(pi, drawn.labels)) * ~task.finished[drawn.states]
        bare = later = paid[::-1].cumsum(axis=0)[::-1] - paid
        if self.baseline == "state":
            later = later - drawn.along(ahead)
        elif self.baseline != "none":
            together = len(drawn) if self.baseline == "position" else drawn.group
            if together > 1:  # the mean over the others
                cut = later.reshape(len(later), -1, together, later.shape[-1])
                later = ((cut - cut.mean(axis=2, keepdims=True)) * together / (together - 1)).reshape(later.shape)
        later = np.where(task.finished[drawn.states], bare, later)  # where all is over a baseline would be mere noise
        return -drawn.count_actions(pi.shape[1:3], drawn.actions, later)


def _remember(memory: dict[str, np.ndarray], *now: np.ndarray) -> list[np.ndarray]:
    """Means over all rounds so far."""
    memory["rounds"] = memory.get("rounds", np.zeros(())) + 1
    for i, x in enumerate(now):
        memory[f"sum {i}"] = memory.get(f"sum {i}", np.zeros(())) + x
    return [memory[f"sum {i}"] / memory["rounds"] for i in range(len(now))]
