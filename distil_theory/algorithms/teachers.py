r"""Who is imitated: a model, what it has read, and how it is read.

    model       an exponential moving average of the student: (1 - rate) model + rate student, per state and step;
                rate 1 is the student itself, 0 the student of the first day, frozen;
    condition   the model given what it has read: `feedback` (the hidden feedback of a task, exact conditioning),
                `success` (that it will succeed, a bit that is wrong with probability `noise`);
                or another expert altogether: `optimal`, or `given` with the task;
    reading     p^(1/temperature) / Z, then trusted to a share: trust p + (1 - trust) model.

Conditioning is exact, by backward induction: `pi*(a|prefix, F) = pi(a|prefix) E_pi[l_F | prefix, a] / E_pi[l_F |
prefix]`, where `l_F` is the likelihood of the feedback `F` for finished answers (`instances.feedback`); where the
feedback is impossible the teacher is the model. Reverse KL needs a trust below 1 if the feedback rules anything out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from distil_theory import experts
from distil_theory.algorithms.tasks import Task

CONDITIONS = ("feedback", "success", "optimal", "given")


def share(what: str, x: Any) -> np.ndarray:
    """A number in [0,1], or an array of them over the batch.

    Raises:
        ValueError: anything else.
    """
    try:
        value = np.asarray(x, dtype=float)
    except (TypeError, ValueError):
        value = np.array([np.nan])
    if isinstance(x, bool | None) or value.ndim > 1 or not ((value >= 0) & (value <= 1)).all():
        raise ValueError(f"{what} must be a number between 0 and 1 (or one for each of the batch), not {x!r}")
    return value


def positive(what: str, x: Any, *, finite: bool = True) -> np.ndarray:
    """A positive number, or an array of them over the batch; `ValueError` otherwise."""
    try:
        value = np.asarray(x, dtype=float)
    except (TypeError, ValueError):
        value = np.array([np.nan])
    if isinstance(x, bool | None) or value.ndim > 1 or not (value > 0).all() or (finite and np.isinf(value).any()):
        raise ValueError(f"{what} must be a positive number (or one for each of the batch), not {x!r}")
    return value


def freeze(settings: Any, **values: np.ndarray) -> None:
    """Replaces arrays among the settings of a frozen dataclass by copies that nobody can change; numbers stay."""
    for what, value in values.items():
        if value.ndim:
            value = value.copy()
            value.flags.writeable = False
            object.__setattr__(settings, what, value)


@dataclass(frozen=True)
class Teacher:
    """A teacher as settings; numbers may be arrays over the batch.

    Attributes:
        condition: one of `CONDITIONS`.
        rate: of the moving average, in [0,1].
        temperature: positive; below 1 the teacher is surer than the model is.
        trust: share of the conditioned model, in [0,1].
        noise: how often the success bit is wrong, in [0,1].
        privileged: whether `success` is judged from the state; otherwise from what the student sees.

    Raises:
        ValueError: an unknown condition, a number out of range, noise without a success bit.
    """

    condition: str = "feedback"
    rate: Any = 1.0
    temperature: Any = 1.0
    trust: Any = 1.0
    noise: Any = 0.0
    privileged: bool = True

    def __post_init__(self) -> None:
        if self.condition not in CONDITIONS:
            raise ValueError(f"unknown condition {self.condition!r}: choose from {', '.join(CONDITIONS)}")
        freeze(self, **{what: share(what, getattr(self, what)) for what in ("rate", "trust", "noise")})
        freeze(self, temperature=positive("temperature", self.temperature))
        if np.any(self.noise) and self.condition != "success":
            raise ValueError(f"noise belongs to the success bit; the condition is {self.condition!r}")

    def check(self, task: Task, batch: int = 1) -> None:
        """Raises `ValueError` if the task has not got what this teacher reads, or has it for another batch."""
        if self.condition == "feedback" and task.likelihood is None:
            raise ValueError("the teacher reads feedback, but the task has none: Task(mdp, likelihood=...)")
        if self.condition == "given" and task.expert is None:
            raise ValueError("the teacher is given, but the task has no expert: Task(mdp, expert=...)")
        if self.condition == "given" and task.expert.shape[3:] not in ((), (1,), (batch,)):
            raise ValueError(f"the expert has batch shape {task.expert.shape[3:]}, the batch of students is ({batch},)")

    def policy(self, task: Task, model: np.ndarray) -> np.ndarray:
        """`pi*`, shape `(H,S,A,B)`, for the model `(H,S,A,B)`."""
        star = self._conditioned(task, model)
        if np.any(np.asarray(self.temperature) != 1):
            # the largest is 1: nothing overflows
            weights = (star / star.max(axis=2, keepdims=True)) ** (1 / np.asarray(self.temperature, dtype=float))
            star = weights / weights.sum(axis=2, keepdims=True)
        trust = np.asarray(self.trust, dtype=float)
        return star if (trust == 1).all() else trust * star + (1 - trust) * model

    def follow(self, model: np.ndarray, student: np.ndarray) -> np.ndarray:
        """The model after the student has moved on."""
        rate = np.asarray(self.rate, dtype=float)
        return student if (rate == 1).all() else (1 - rate) * model + rate * student

    def _conditioned(self, task: Task, model: np.ndarray) -> np.ndarray:
        if self.condition == "given":
            return np.broadcast_to(task.expert if task.expert.ndim == 4 else task.expert[..., None], model.shape)
        if self.condition == "optimal":
            best = np.asarray(task.optimal)
            return np.broadcast_to(best if best.ndim == 4 else best[..., None], model.shape)
        if self.condition == "feedback":
            assert task.judged is not None
            return experts.success_conditioned(task.judged, model)
        if np.any(np.asarray(self.noise)):
            noise = np.broadcast_to(np.asarray(self.noise, dtype=float), model.shape[3:])
            return experts.noisy(task.mdp, model, noise, privileged=self.privileged)
        return experts.success_conditioned(task.mdp, model, privileged=self.privileged)
