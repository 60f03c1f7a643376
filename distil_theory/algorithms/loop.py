r"""The loop: teacher, push, step, and what came of it.

Everything recorded is exact, also in sampled mode, where only the step is drawn. Of each step the *prediction*

    <dJ/d theta, Delta theta>,     Delta theta: the displacement that the logits really make,

is claim 1 (for a natural or Euclidean step of size `eta` it is `eta` times its covariance), `second` the second-order
term along the same displacement, and `change` what happened.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from distil_theory import solve, validate
from distil_theory.algorithms.disagreement import Disagreement
from distil_theory.algorithms.expansion import expansion
from distil_theory.algorithms.outcome import Outcome
from distil_theory.algorithms.record import Run
from distil_theory.algorithms.rollouts import Sampling
from distil_theory.algorithms.signals import Moment
from distil_theory.algorithms.tasks import Task
from distil_theory.algorithms.teachers import Teacher
from distil_theory.algorithms.updating import Update, normalised
from distil_theory.aliasing import spread, visible
from distil_theory.divergences import FORWARD_KL
from distil_theory.number_systems import Array


@dataclass(frozen=True)
class Algorithm:
    """A name and three choices; an `Outcome` needs no teacher.

    Raises:
        ValueError: choices that do not go together.
    """

    name: str
    teacher: Teacher | None
    objective: Disagreement | Outcome
    update: Update = field(default_factory=Update)

    def __post_init__(self) -> None:
        if not isinstance(self.objective, Disagreement | Outcome):
            raise ValueError(f"objective must be a Disagreement or an Outcome, not {self.objective!r}")
        if not isinstance(self.teacher, Teacher | None):
            raise ValueError(f"teacher must be a Teacher or None, not {self.teacher!r}")
        if not isinstance(self.update, Update):
            raise ValueError(f"update must be an Update, not {self.update!r}")
        if self.objective.queries and self.teacher is None:
            raise ValueError(f"{self.name} distils, but from nobody: it needs a Teacher")
        local = isinstance(self.objective, Disagreement) and self.objective.part == "local"
        if self.update.kind == "proximal" and not local:
            raise ValueError(f"{self.name}: the proximal step needs a local disagreement")

    def but(self, **changes: Any) -> Algorithm:
        """The same with other settings, wherever they belong: `DISTIL.but(eta=0.5, rate=0.1, name="slow")`.

        A name that several parts have (`clip`, of ratios and of prefix weights) must be set on the part itself.

        Raises:
            ValueError: a setting that no part has, or several have.
        """
        parts: dict[str, dict[str, Any]] = {"teacher": {}, "objective": {}, "update": {}}
        own = {what: changes.pop(what) for what in ("name", *parts) if what in changes}
        made = replace(self, **own) if own else self
        for key, value in changes.items():
            owners = [part for part in parts if key in made.settings(part)]
            if len(owners) != 1:
                raise ValueError(f"{len(owners)} parts of {self.name} have a setting {key!r}")
            parts[owners[0]][key] = value
        return replace(made, **{part: replace(getattr(made, part), **new) for part, new in parts.items() if new})

    def check_batch(self, batch: int) -> None:
        """Raises `ValueError` if a setting is an array of another length than the batch."""
        for part in ("teacher", "objective", "update"):
            for key, value in self.settings(part).items():
                if isinstance(value, np.ndarray | list | tuple) and np.shape(value) != (batch,):
                    raise ValueError(f"{key} of the {part} has shape {np.shape(value)}, the batch is ({batch},)")

    def settings(self, part: str) -> dict[str, Any]:
        """The settings of `"teacher"`, `"objective"` or `"update"`, by name; a teacher that is not there has none."""
        choice = getattr(self, part)
        return {} if choice is None else {f.name: getattr(choice, f.name) for f in fields(choice)}


def run(
    problem: Any,
    algorithm: Algorithm,
    steps: int = 100,
    *,
    student: Array | None = None,
    sampling: Sampling | None = None,
    seeds: int | None = None,
    seed: int = 0,
    keep: Any = (),
) -> Run:
    """Trains students side by side. Numbers among the settings may be arrays, one for each student of the batch.

    Args:
        problem: a `Task`, or what `Task.of` takes; single or with one batch axis.
        algorithm: what to do.
        steps: how often, at least 1.
        student: where to start, `(H,S,A,*B)`, full support, alike where the student sees no difference; default: the
            task's own.
        sampling: rollouts per step; `None`: exact expectations.
        seeds: give a batch axis of so many equal students (of a single problem), which then see different rollouts.
        seed: of the randomness.
        keep: steps before which to keep a copy of the student.

    Raises:
        ValueError: anything that does not fit, before the first step.
    """
    task = Task.of(problem)
    steps = validate.whole("steps", steps, 1)
    keep = _steps_to_keep(keep, steps)
    for what, value, kind in (("algorithm", algorithm, Algorithm), ("sampling", sampling, Sampling | None)):
        if not isinstance(value, kind):
            raise ValueError(f"{what} must be {'an' if what[0] == 'a' else 'a'} {what.title()}, not {value!r}")
    theta, single = start(task, student, seeds)
    if isinstance(algorithm.objective, Outcome):
        algorithm.objective.check(task, sampling)
    if algorithm.teacher is not None:
        algorithm.teacher.check(task, theta.shape[3])
    algorithm.check_batch(theta.shape[3])
    rng = np.random.default_rng(validate.whole("seed", seed, 0))
    memory: dict[str, Array] = {}
    model = pi = spread(task.mdp, np.exp(theta))
    snapshots, rows = {}, []
    for t in range(steps):
        if t in keep:
            snapshots[t] = pi[..., 0] if single else pi
        here = task.attempted_by(pi)
        star = None if algorithm.teacher is None else algorithm.teacher.policy(here, model)
        new = advance(algorithm, theta, Moment(here, pi, star, sampling, rng, memory))
        rows.append(_look(here, pi, theta, star, new))
        theta, pi = new, spread(task.mdp, np.exp(new))
        if algorithm.teacher is not None:
            model = algorithm.teacher.follow(model, pi)
    rows.append(_look(task.attempted_by(pi), pi, theta, None, None))
    if steps in keep:
        snapshots[steps] = pi[..., 0] if single else pi
    table = {key: np.stack([row[key] for row in rows if key in row]) for key in rows[0]}
    law = np.broadcast_to(task.prompt_law, (len(task.prompts), theta.shape[3]))
    if single:
        table, law, pi = {key: x[..., 0] for key, x in table.items()}, law[..., 0], pi[..., 0]
    drawn = 0 if sampling is None else sampling.prompts * sampling.group
    used = np.arange(steps + 1) * drawn
    asked = used * task.mdp.shape[0] if algorithm.objective.queries else used * 0
    return Run(policy=pi, snapshots=snapshots, prompt_law=law, rollouts=used, queries=asked, **table)


def _steps_to_keep(keep: Any, steps: int) -> set[int]:
    try:
        kept = {validate.whole("a step to keep", t, 0) for t in keep}
    except TypeError:
        raise ValueError(f"keep must be a collection of steps, not {keep!r}") from None
    if kept and max(kept) > steps:
        raise ValueError(f"keep has step {max(kept)}, the run has {steps}")
    return kept


def start(task: Task, student: Array | None, seeds: int | None) -> tuple[Array, bool]:
    """Log-probabilities `(H,O,A,B)` of the first student, and whether the batch axis is only ours.

    Raises:
        ValueError: a student that does not fit, or seeds for what is a batch already.
    """
    pi = solve.check_policy(task.mdp, task.start if student is None else student, "student")
    validate.positive("student", pi, ["h", "s", "a"], "a softmax student gives every action positive probability")
    if pi.ndim > 4:
        raise ValueError(f"student has batch shape {pi.shape[3:]}: one batch axis at most")
    if not np.allclose(pi, spread(task.mdp, visible(task.mdp, pi)), rtol=1e-12, atol=0):
        raise ValueError("student acts differently in states that look alike to it")
    batch = pi.shape[3:] or task.mdp.batch_shape
    if seeds is not None:
        if batch:
            raise ValueError(f"seeds={seeds} repeats one student, but there is a batch of shape {tuple(batch)} already")
        batch = (validate.whole("seeds", seeds, 1),)
    pi = solve.align(pi, 1, 3)
    own = pi.shape[:3] + (tuple(batch) or (1,))
    return normalised(np.log(visible(task.mdp, np.broadcast_to(pi, own)))), not batch


def advance(algorithm: Algorithm, theta: Array, now: Moment) -> Array:
    """One step: the new log-probabilities `(H,O,A,B)`."""
    objective = algorithm.objective
    divergence = None
    if isinstance(objective, Disagreement):
        # data of many rounds, and labels, are those of forward cross-entropy
        divergence = FORWARD_KL if objective.labels or objective.states == "all" else objective.divergence
    return algorithm.update.step(theta, objective.push(now), divergence)


def _look(task: Task, pi: Array, theta: Array, star: Array | None, new: Array | None) -> dict[str, Array]:
    """One row of the record; without `new` what is known of a student that makes no step."""
    d = task.forward(pi, task.initial)
    v, _ = task.backward(pi, task.reward)
    share = np.where(task.prompt_law > 0, task.prompt_law, 1)
    living = d * ~task.finished[:, None]
    row = {
        "returns": (task.initial * v[0]).sum(axis=0),
        "success": (task.initial_of * v[0]).sum(axis=1) / share,
        "first_values": np.where(task.initial > 0, v[0], 0),
        "first_law": np.broadcast_to(task.initial, v[0].shape),
        "entropy": -(living * (pi * np.log(pi)).sum(axis=2)).sum(axis=(0, 1)),
        "length": living.sum(axis=(0, 1)),
    }
    if new is None:
        return row
    row["predicted"], row["second"] = expansion(task, pi, spread(task.mdp, new - theta))
    nothing = np.full_like(row["returns"], np.nan)
    row["teacher_return"] = nothing if star is None else (task.initial * task.backward(star, task.reward)[0][0]).sum(0)
    if star is None:
        row["disagreement"] = nothing
    else:
        cost = np.where(star > 0, star * np.log(np.where(star > 0, star, 1) / pi), 0).sum(axis=2)
        row["disagreement"] = (living * cost).sum(axis=(0, 1))
    return row
