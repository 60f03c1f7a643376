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
from typing import NamedTuple

import numpy as np

from distil_theory.algorithms.rollouts import Sampling
from distil_theory.algorithms.tasks import Task


class Push(NamedTuple):
    """`plus >= 0 >= minus` `(H,O,A,B)`, `seen (H,O,B)`; and for a local disagreement, `proximal`: of a policy
    `x (H,O,A,B)`, the mass `(H,O,A,B)` with which the loss pulls at it, `w h_f(pi*/x)`; `target`, the same mass for
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
