"""What happened in a run: a table of exact numbers, by step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distil_theory import validate
from distil_theory.number_systems import Array


@dataclass(frozen=True)
class Run:
    """What happened in `T` steps; a single problem with a single student has no batch axis `*B`.

    Attributes:
        policy: the last student `(H,S,A,*B)`.
        snapshots: students by step, those asked for.
        returns: `J` before each step and at the end, `(T+1,*B)`.
        success: the return of each prompt, `(T+1,P,*B)`: its probability of success if rewards are bits.
        prompt_law: `(P,*B)`.
        entropy: of the student's actions along a rollout, summed, in nats, `(T+1,*B)`.
        first_values, first_law: the return from each first state, and its probability, `(T+1,S,*B)`.
        length: expected steps before the episode is finished, `(T+1,*B)`.
        teacher_return: `J` of the teacher, `(T,*B)`; NaN without one. So are the next.
        disagreement: `sum_h E_d KL(pi*||pi)` along the student's rollouts, `(T,*B)`.
        predicted, second, change: of `J` in each step, `(T,*B)`.
        rollouts, queries: used before each step and at the end, per student, `(T+1,)`: rollouts drawn, and states at
            which an expert was asked (all `H` of a rollout, finished ones as well). Zero in exact mode.
    """

    policy: Array
    snapshots: dict[int, Array]
    returns: Array
    success: Array
    prompt_law: Array
    entropy: Array
    first_values: Array
    first_law: Array
    length: Array
    teacher_return: Array
    disagreement: Array
    predicted: Array
    second: Array
    rollouts: Array
    queries: Array

    @property
    def change(self) -> Array:
        """`J` after a step minus before."""
        return np.diff(self.returns, axis=0)

    def pass_at(self, n: int) -> Array:
        """Probability that one of `n` answers to the same problem is right, `(T+1,*B)`.

        A problem is a first state: of those that look alike each has a probability of success of its own (claim 12d).

        Raises:
            ValueError: no positive whole number, or success that is no probability.
        """
        n = validate.whole("n", n, 1)
        if (self.first_values < -1e-9).any() or (self.first_values > 1 + 1e-9).any():
            raise ValueError("success has values outside of [0,1]: these returns are no probabilities")
        return (self.first_law * (1 - (1 - np.clip(self.first_values, 0, 1)) ** n)).sum(axis=1)

    def drops(self, tolerance: float = 1e-12) -> Array:
        """Whether a step lowered the return, by more than rounding: `(T,*B)`."""
        return self.change < -tolerance
