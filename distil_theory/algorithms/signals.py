r"""What a step is told to do: a push on every action, from expectations or from rollouts, in one form.

Every objective here, distilled or rewarded, moves the student's logits by the gradient of

    sum_h sum_o sum_a  W_h(o,a) log pi_h(a|o),     so that   -dL/d theta[h,o,a] = W_a - pi_a sum_b W_b,

with *pushes* `W = W+ + W-`, constants of the moment: how much of the student's own probability flow `d_h pi_h` meets an
action that deserves more, and less. `seen = d_h(o)` is the flow itself. The natural direction is the gradient over
`seen pi`; a clipped ratio needs to know `W+` from `W-`; nothing else is passed on. With samples `d` becomes a
frequency, and the rest of the code cannot tell.

*Disagreement* (DistIL, SDPO, OPSD, DAgger, cloning), `L = E sum_h w D_f(pi*||pi)`, and along it (THEORY 10, 15):

    local        d w pi (h_f(u) - E_pi h_f(u)),  u = pi*/pi       exact, and with samples: d is counted
    labels       the expert only names an action b: W counts the labels, the gradient of -w log pi(b)
    future       d pi (V^c - Q^c), the disagreement after the action; with samples: -(C_h - b_h) of the rollout
    weights      w = min(prod_{h'<h} pi*/pi, clip) along the rollout
    states       whose: the student's, the expert's (cloning), or all rounds' so far (DAgger's data set)

*Outcome* (GRPO, RLVR): the group-normalised advantage of a rollout at each of its tokens; exact: `groups`.

With looking ahead, exact mode clips what an exact critic says of an action, samples clip each rollout's word for it:
the same gradient where nothing is clipped, and two honest readings of PPO where something is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from distil_theory import validate
from distil_theory.algorithms import groups
from distil_theory.algorithms.rollouts import Rollouts, Sampling, draw
from distil_theory.algorithms.tasks import Task
from distil_theory.algorithms.teachers import positive
from distil_theory.aliasing import pool
from distil_theory.divergences import FORWARD_KL, CrossEntropy, FDivergence, check_divergence
from distil_theory.point import check_part

STATES = ("student", "expert", "all")
BASELINES = ("none", "position", "group", "state")
REWARDS = ("bit", "value")
MOST_VALUES = 6
"""Different rewards that exact mode tells apart."""


class Push(NamedTuple):
    """`plus >= 0 >= minus` `(H,O,A,B)`, `seen (H,O,B)`; and for a local disagreement, `proximal`: of a policy
    `x (H,S,A,B)`, the mass `(H,O,A,B)` with which the loss pulls at it, `w h_f(pi*/x)`; `target`, the same mass for
    forward cross-entropy, `w pi*`."""

    plus: np.ndarray
    minus: np.ndarray
    seen: np.ndarray
    target: np.ndarray | None = None
    proximal: Callable[[np.ndarray], np.ndarray] | None = None


class Moment(NamedTuple):
    """The student (and its teacher) at one step, and how it is looked at; `memory` lasts for one run."""

    task: Task
    pi: np.ndarray
    star: np.ndarray | None
    sampling: Sampling | None
    rng: np.random.Generator
    memory: dict[str, np.ndarray]


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
            positive("clip", self.clip, finite=False)
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
        where = star if self.states == "expert" else pi
        drawn = None
        if now.sampling is not None:
            drawn = draw(task, where, now.sampling, now.rng, star if self.labels else None)
            visits = drawn.count(pi.shape[1])
        else:
            visits = task.forward(where, task.initial)
        charged = visits * ~task.finished[:, None]
        if self.clip is not None:
            charged = charged * self._weights(task, pi, star, visits, drawn)
        mass = charged[:, :, None] * star
        if drawn is not None and drawn.labels is not None:
            weights = self._path_weights(pi, star, drawn) if self.clip is not None else np.ones(drawn.states.shape)
            weights = weights * ~task.finished[drawn.states]
            mass = drawn.count_actions(pi.shape[1:3], drawn.labels, weights)
        if self.states == "all":
            visits, charged, mass = self._remember(now.memory, visits, charged, mass)
        score = np.zeros_like(pi)
        if self.part != "future" and not (self.labels or self.states == "all"):
            h = self.divergence.h(star / pi)
            score = charged[:, :, None] * pi * (h - (pi * h).sum(axis=2, keepdims=True))
        elif self.part != "future":
            score = mass
        pieces = [score]
        if self.part != "local":
            later = self._later(task, pi, star, visits, drawn)
            pieces = [score + later] if drawn is None else [score, later]
        plus = sum(pool(task.mdp, np.maximum(x, 0)) for x in pieces)
        minus = sum(pool(task.mdp, np.minimum(x, 0)) for x in pieces)
        seen = pool(task.mdp, visits)
        if self.part != "local":
            return Push(plus, minus, seen)

        def pull(x: np.ndarray) -> np.ndarray:
            return pool(task.mdp, charged[:, :, None] * self.divergence.h(star / x))

        return Push(plus, minus, seen, pool(task.mdp, mass), pull)

    def _weights(
        self, task: Task, pi: np.ndarray, star: np.ndarray, visits: np.ndarray, drawn: Rollouts | None
    ) -> np.ndarray:
        """`E[min(w, clip) | s_h = s]`, under the counts in samples."""
        if drawn is None:
            limit = np.asarray(self.clip, dtype=float)
            if np.isfinite(limit).any() and not task.tree:
                raise ValueError(
                    "clipped prefix weights have no exact mean here, where several ways lead to one state: "
                    "use clip=inf, samples, or a token MDP"
                )
            theirs = task.forward(star, task.initial)
            return np.minimum(np.divide(theirs, visits, out=np.zeros_like(visits), where=visits > 0), limit)
        total = drawn.count(pi.shape[1], self._path_weights(pi, star, drawn))
        return np.divide(total, visits, out=np.zeros_like(visits), where=visits > 0)

    def _path_weights(self, pi: np.ndarray, star: np.ndarray, drawn: Rollouts) -> np.ndarray:
        """`min(prod_{h'<h} pi*/pi, clip)`, `(H,N,B)`."""
        ratio = drawn.along(star / pi, drawn.actions)
        before = np.concatenate([np.ones_like(ratio[:1]), ratio[:-1].cumprod(axis=0)])
        return np.minimum(before, np.asarray(self.clip, dtype=float))

    def _later(
        self, task: Task, pi: np.ndarray, star: np.ndarray, visits: np.ndarray, drawn: Rollouts | None
    ) -> np.ndarray:
        """The future term as a push, `(H,S,A,B)`."""
        cost = self.divergence.value(star, pi, axis=2) * ~task.finished[:, None]
        v, q = task.backward(pi, cost[:, :, None])
        ahead = v - cost  # expected after this state, whatever the action
        if drawn is None:
            return visits[:, :, None] * pi * (ahead[:, :, None] - (q - cost[:, :, None]))
        paid = drawn.along(cost)
        if drawn.labels is not None:
            paid = -np.log(drawn.along(pi, drawn.labels)) * ~task.finished[drawn.states]
        later = paid[::-1].cumsum(axis=0)[::-1] - paid
        if self.baseline == "state":
            later = later - drawn.along(ahead)
        elif self.baseline != "none":
            together = len(drawn) if self.baseline == "position" else drawn.group
            if together > 1:
                cut = later.reshape(len(later), -1, together, later.shape[-1])
                later = ((cut - cut.mean(axis=2, keepdims=True)) * together / (together - 1)).reshape(later.shape)
        return -drawn.count_actions(pi.shape[1:3], drawn.actions, later)

    @staticmethod
    def _remember(memory: dict[str, np.ndarray], *now: np.ndarray) -> list[np.ndarray]:
        """Means over all rounds so far of visits, charged visits and mass."""
        rounds = memory.get("rounds", np.zeros(())) + 1
        memory["rounds"] = rounds
        for i, x in enumerate(now):
            memory[f"sum {i}"] = memory.get(f"sum {i}", np.zeros(())) + x
        return [memory[f"sum {i}"] / rounds for i in range(len(now))]


@dataclass(frozen=True)
class Outcome:
    """Loss: minus the group-normalised outcome of a rollout, at each of its tokens (GRPO, RLVR).

    Attributes:
        group: rollouts per prompt in exact mode; with samples, `Sampling.group`.
        normalise: divide by the standard deviation of the group.
        reward: `"bit"`: the return is the probability of a success bit; `"value"`: the return itself.

    Raises:
        ValueError: a group below 2, an unknown reward.
    """

    group: int = 8
    normalise: bool = True
    reward: str = "bit"

    queries = False

    def __post_init__(self) -> None:
        validate.whole("group", self.group, 2)
        if self.reward not in REWARDS:
            raise ValueError(f"unknown reward {self.reward!r}: choose from {', '.join(REWARDS)}")

    def push(self, now: Moment) -> Push:
        """What the moment tells the student to do."""
        task, pi = now.task, now.pi
        if now.sampling is not None:
            drawn = draw(task, pi, now.sampling, now.rng, bit=self.reward == "bit")
            worth = groups.of_sample(drawn.returns, drawn.group, self.normalise)
            talking = ~task.finished[drawn.states]
            parts = [
                drawn.count_actions(pi.shape[1:3], drawn.actions, np.broadcast_to(x, talking.shape) * talking)
                for x in (np.maximum(worth, 0), np.minimum(worth, 0))
            ]
            seen = drawn.count(pi.shape[1])
        else:
            *parts, seen = self._expected(task, pi)
        plus, minus = (pool(task.mdp, x) for x in parts)
        return Push(plus, minus, pool(task.mdp, seen))

    def _expected(self, task: Task, pi: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`d pi E[max(A, 0)|s,a]`, the same with `min`, and `d`: sums over prompts and outcomes."""
        values, tables = self.outcomes(task)
        plus, minus, seen = np.zeros_like(pi), np.zeros_like(pi), np.zeros_like(pi[:, :, 0])
        chances = [task.backward(pi, table) for table in tables]
        for initial, share in zip(task.initial_of, task.prompt_law, strict=True):
            law = np.stack([(initial * v[0]).sum(axis=0) for v, _ in chances])  # (V, B), together the share
            law = np.where(share > 0, law, 1 / len(values)) / np.where(share > 0, share, 1)
            up, down = groups.advantages(values, law / law.sum(axis=0), self.group, self.normalise)
            here = task.forward(pi, initial)
            seen += here
            flow = here[:, :, None] * pi * ~task.finished[:, None, None]
            plus += flow * sum(a * q for a, (_, q) in zip(up, chances, strict=True))
            minus += flow * sum(a * q for a, (_, q) in zip(down, chances, strict=True))
        return plus, minus, seen

    def outcomes(self, task: Task) -> tuple[np.ndarray, list[np.ndarray]]:
        """Different outcomes `(V,)`, and for each the reward `(H,S,A,B)` whose return is its probability.

        Raises:
            ValueError: rewards before the last step, or that are no probabilities, or too many different ones.
        """
        last = task.reward[-1]
        if task.paid_early(task.reward):
            raise ValueError("exact group advantages need rewards at the last step only: use samples")
        if self.reward == "bit":
            if (last < 0).any() or (last > 1).any():
                raise ValueError("a success bit needs rewards in [0,1] at the last step: take reward='value'")
            tables = [1 - last, last]
            values = np.array([0.0, 1.0])
        else:
            values = np.unique(last)
            if len(values) > MOST_VALUES:
                raise ValueError(f"{len(values)} different rewards, more than {MOST_VALUES}: take reward='bit'")
            tables = [(last == value) * 1.0 for value in values]
        before = np.zeros_like(task.reward[:-1])
        return values, [np.concatenate([before, table[None]]) for table in tables]


Objective = Disagreement | Outcome
