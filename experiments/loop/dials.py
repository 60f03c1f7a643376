r"""One setting of an algorithm turned, all others left alone: the ablations.

Where the dial weakens or distorts the *teacher* (feedback, noise, sparsity, averaging, temperature) expectations are
exact and steps natural, of one `eta`: a step of given KL would hide that a weak teacher says little. Where it is about
*noise* (baselines, labels, rollouts) steps have one KL and few rollouts; the clip has PPO's own steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from distil_theory.algorithms import Algorithm, Sampling, Task, Update, run
from distil_theory.instances.feedback import Feedback, with_feedback
from distil_theory.instances.token_mdp import TokenMDP
from distil_theory.instances.token_sum import token_sum
from distil_theory.number_systems import Array
from experiments.loop import worlds
from experiments.loop.runs import ROUNDING, same_size

STEPS, ETA = 30, 0.3
FEW = Sampling(prompts=4, group=4)
KINDS = ("none", "outcome", "self_evaluation", "answer", "solution", "trace", "critique", "trace_critique")
WRONG = "1/5"
"""How often self-evaluation errs, either way."""
SMALL_SUM = partial(token_sum, 2, 3, ((0, 1), (7, 1)))
"""Sums of three binary digits: so few answers that every attempt can have feedback of its own."""
OTHERS = ("sum", "thinking", "garnet")
TOLD = ("small sum", "programs")
"""Worlds in which feedback may be of any kind."""


@dataclass(frozen=True)
class Dial:
    """What is turned.

    Attributes:
        title: for a picture.
        values: numbers or words.
        worlds: where.
        algorithms: names of presets.
        turn: the algorithm (by name) at a value, and how it samples (`None`: exact).
        told: what is said at a value in worlds where feedback may be of any kind; `None`: what is always said there.
        doubt: whether the value is the error rate of the success bit in the other worlds.
    """

    title: str
    values: tuple[Any, ...]
    worlds: tuple[str, ...]
    algorithms: tuple[str, ...]
    turn: Callable[[str, Any], tuple[Algorithm, Sampling | None]]
    told: Callable[[Any], Feedback] | None = None
    doubt: bool = False


def _small(name: str, **changes: Any) -> tuple[Algorithm, None]:
    return same_size(name).but(update=Update("natural", eta=ETA)).but(**changes), None


def _part(name: str, value: str) -> tuple[Algorithm, Sampling]:
    return same_size(name).but(baseline=value), FEW


def _asked(name: str, value: str) -> tuple[Algorithm, Sampling]:
    return same_size(name).but(labels=value == "sampled"), FEW


def _clipped(name: str, value: float) -> tuple[Algorithm, Sampling]:
    return same_size(name).but(update=Update("ppo", eta=1.0, clip=value)), FEW


def _rollouts(name: str, value: int) -> tuple[Algorithm, Sampling]:
    return same_size(name), Sampling(value // 4, 4)


def _kind(value: str) -> Feedback:
    wrong = {"false_positive": WRONG, "false_negative": WRONG} if value == "self_evaluation" else {}
    return Feedback(value, **wrong)


FOUR = ("DistIL", "DistIL, KL-to-go", "SDPO", "OPSD")
AHEAD = ("DistIL, CE-to-go", "DistIL, KL-to-go")
DIALS = {
    "baseline": Dial("baseline of the future term", ("none", "position", "group", "state"), OTHERS, AHEAD, _part),
    "expert": Dial("expert", ("explicit", "sampled"), OTHERS, ("DistIL", "DistIL, CE-to-go"), _asked),
    "rollouts": Dial("rollouts per step", (4, 16, 64, 256), OTHERS,
                     ("DistIL", "DistIL, KL-to-go", "DistIL, prefix-weighted", "SDPO", "GRPO"), _rollouts),
    "feedback": Dial("kind of feedback", KINDS, TOLD, FOUR, lambda name, _: _small(name), _kind),
    "noise": Dial("wrong feedback", (0.0, 0.1, 0.2, 0.3, 0.4, 0.5), ("small sum", "thinking", "garnet"), FOUR,
                  lambda name, _: _small(name), lambda value: Feedback("trace", noise=value), doubt=True),
    "fraction": Dial("share of prompts with feedback", (0.05, 0.1, 0.2, 0.5, 1.0), TOLD, FOUR,
                     lambda name, _: _small(name), lambda value: Feedback("trace", fraction=value)),
    "rate": Dial("rate of the teacher's average", (0.0, 0.03, 0.1, 0.3, 1.0), OTHERS, FOUR,
                 lambda name, value: _small(name, rate=value)),
    "clip": Dial("clip range", (0.02, 0.05, 0.1, 0.2, 0.5, float("inf")), OTHERS, ("DistIL", "SDPO", "GRPO"), _clipped),
    "temperature": Dial("temperature of the teacher", (0.5, 0.7, 1.0, 1.4, 2.0), OTHERS, FOUR,
                        lambda name, value: _small(name, temperature=value)),
}  # fmt: skip


class Turned(NamedTuple):
    """Of each student: mean score over training, the last score, share of steps that lowered the return, `(N,)`."""

    area: Array
    last: Array
    lowered: Array


@cache
def game(name: str) -> TokenMDP:
    """A token MDP whose feedback is replaced."""
    return SMALL_SUM() if name == "small sum" else worlds.game(name)


def said(world: str, value: Any) -> bool:
    """Whether this feedback is possible: programs are too many for a feedback of their own each."""
    return world != "programs" or value not in ("outcome", "self_evaluation")


def turned(dial: str, world: str, name: str, value: Any, n: int, seed: int, steps: int = STEPS) -> Turned:
    """`n` students of a world at one value of a dial."""
    setting = DIALS[dial]
    algorithm, sampling = setting.turn(name, value)
    if setting.told is None or world not in TOLD:
        here = worlds.world(world, n, seed)
        if setting.doubt:
            algorithm = algorithm.but(condition="success", noise=value)
    else:
        problems = game(world)
        task = Task.of(with_feedback(problems, setting.told(value)))
        # students belong to what is seen, which is the same for every feedback
        students = worlds.random_students(task.mdp, n, np.random.default_rng([seed, 1]))
        here = worlds.World(task, students)
    record = run(here.task, algorithm, steps, student=here.students, sampling=sampling, seed=seed)
    score = (record.returns - record.returns[0]) / (here.best - record.returns[0])
    return Turned(score[1:].mean(axis=0), score[-1], (record.change < -ROUNDING).mean(axis=0))
