r"""Does the theory explain what the loop does? Agreement per step, the size of the first-order error, samples against
expectations."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from distil_theory import validate
from distil_theory.algorithms.disagreement import Disagreement
from distil_theory.algorithms.loop import Algorithm, run, start
from distil_theory.algorithms.record import Run
from distil_theory.algorithms.rollouts import Sampling
from distil_theory.algorithms.signals import Moment
from distil_theory.algorithms.tasks import Task
from distil_theory.algorithms.teachers import positive
from distil_theory.algorithms.updating import direction
from distil_theory.aliasing import spread
from distil_theory.number_systems import Array


class Agreement(NamedTuple):
    """Steps of a run, summed over the batch. *Clear*: the prediction is larger than `factor` times the second-order
    term, and larger than rounding. *Foretold*: a drop with a negative prediction."""

    steps: int
    clear: int
    agree: int
    drops: int
    foretold: int

    @property
    def share(self) -> float:
        """Of the clear steps, those whose change has the predicted sign; NaN if none is clear."""
        return self.agree / self.clear if self.clear else float("nan")


def agreement(record: Run, factor: float = 2.0, tolerance: float = 1e-10) -> Agreement:
    """Counts the steps that went as claim 1 predicted.

    Args:
        record: of a run.
        factor: how much larger than the second-order term a clear prediction is.
        tolerance: below this a change is rounding.

    Raises:
        ValueError: a factor or tolerance that is not positive.
    """
    positive("factor", factor)
    positive("tolerance", tolerance)
    change, predicted = record.change, record.predicted
    clear = np.abs(predicted) > np.maximum(factor * np.abs(record.second), tolerance)
    drops = record.drops(tolerance)
    return Agreement(
        int(change.size),
        int(clear.sum()),
        int((clear & (np.sign(change) == np.sign(predicted))).sum()),
        int(drops.sum()),
        int((drops & (predicted < 0)).sum()),
    )


def first_order_error(
    problem: Any, algorithm: Algorithm, etas: Any, *, student: Array | None = None
) -> tuple[Array, float]:
    """`|change - predicted|` of one exact step of each size, and the exponent with which it grows.

    Args:
        problem: single.
        algorithm: an update with a step size.
        etas: step sizes `(E,)`, at least two different ones.
        student: `(H,S,A)`; default: the task's own.

    Returns:
        Errors `(E,)`, and the slope of their logarithm in the logarithm of `eta`: 2, or 3 where the second-order term
        vanishes; NaN if an error is 0.
    """
    etas = positive("etas", etas)
    if etas.ndim != 1 or len(np.unique(etas)) < 2:
        raise ValueError(f"an exponent needs at least two different step sizes, not {etas}")
    record = run(problem, algorithm.but(eta=etas), 1, student=student, seeds=len(etas))
    error = np.abs(record.change - record.predicted)[0]
    if not (error > 0).all():
        return error, float("nan")
    return error, float(np.polyfit(np.log(etas), np.log(error), 1)[0])


class Cosines(NamedTuple):
    """For each batch size the mean over repeats of the cosine between sampled and exact direction, its standard
    deviation, and the cosine of the *mean* sampled direction, `(N,)` each."""

    rollouts: Array
    mean: Array
    deviation: Array
    of_mean: Array


def cosines(
    problem: Any,
    algorithm: Algorithm,
    prompts: Any,
    *,
    group: int = 8,
    repeats: int = 50,
    student: Array | None = None,
    geometry: str = "euclidean",
    seed: int = 0,
) -> Cosines:
    """How well one sampled step points where the exact one does, by number of prompts.

    Args:
        problem: single.
        algorithm: its objective and teacher count, its update does not.
        prompts: numbers of prompts per step, `(N,)`.
        group: rollouts per prompt; of an `Outcome`, its own group in exact mode, too.
        repeats: independent draws.
        student: `(H,S,A)`; default: the task's own.
        geometry: of the direction, `"euclidean"` (the gradient) or `"natural"`; the inner product is that of the exact
            Fisher matrix for the natural one.
        seed: of the randomness.
    """
    sizes = [validate.whole("prompts", n, 1) for n in prompts]
    if not sizes:
        raise ValueError("prompts is empty: give at least one number")
    task = Task.of(problem)
    if not isinstance(algorithm.objective, Disagreement):
        algorithm = algorithm.but(group=group)
    theta, single = start(task, student, validate.whole("repeats", repeats, 2))
    assert not single
    pi = spread(task.mdp, np.exp(theta))
    star = None if algorithm.teacher is None else algorithm.teacher.policy(task, pi)
    rng = np.random.default_rng(seed)

    def look(sampling: Sampling | None) -> tuple[Array, Array]:
        push = algorithm.objective.push(Moment(task, pi, star, sampling, rng, {}))
        return direction(np.exp(theta), push.plus + push.minus, push.seen, geometry), push.seen

    exact, seen = look(None)
    metric = np.ones_like(exact) if geometry == "euclidean" else seen[:, :, None] * np.exp(theta)

    def cosine(x: Array, y: Array, m: Array) -> Array:
        xy, xx, yy = ((m * a * b).sum(axis=(0, 1, 2)) for a, b in ((x, y), (x, x), (y, y)))
        return xy / np.sqrt(np.where(xx * yy > 0, xx * yy, np.inf))

    rows = []
    for n in sizes:
        drawn, _ = look(Sampling(n, group))
        each = cosine(drawn, exact, metric)
        mean = cosine(drawn.mean(axis=3), exact[..., 0], metric[..., 0])
        rows.append((n * group, each.mean(), each.std(), mean))
    return Cosines(*(np.array(column) for column in zip(*rows, strict=True)))
