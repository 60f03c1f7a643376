r"""The return along a displacement of the logits, to second order and without differences.

With `theta(t) = theta + t Delta` the policy has `p' = p c` and `p'' = p (c^2 - E_p c^2)`, `c = Delta - E_p Delta`, and
backward induction can be differentiated twice, term by term:

    v = sum p q,   v' = sum p' q + p q',   v'' = sum p'' q + 2 p' q' + p q'',   q = r + P v,  q' = P v',  q'' = P v''.
"""

from __future__ import annotations

import numpy as np

from distil_theory.algorithms.tasks import Task


def expansion(task: Task, pi: np.ndarray, move: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`dJ/dt` and `(1/2) d^2J/dt^2` at `t = 0`, each `(B,)`.

    Args:
        task: the problem.
        pi: the student `(H,S,A,B)`.
        move: `Delta (H,S,A,B)`, alike where the student sees no difference.
    """
    c = move - (pi * move).sum(axis=2, keepdims=True)
    first = pi * c
    second = pi * (c**2 - (pi * c**2).sum(axis=2, keepdims=True))
    _, q = task.backward(pi, task.reward)
    # what a state adds to v' and v'' is a reward, whatever the action; so `after` is q' plus a constant per state, and
    # the sum with p' does not see that
    slope, after = task.backward(pi, (first * q).sum(axis=2, keepdims=True))
    bend, _ = task.backward(pi, (second * q + 2 * first * after).sum(axis=2, keepdims=True))
    return (task.initial * slope[0]).sum(axis=0), (task.initial * bend[0]).sum(axis=0) / 2
