r"""Where training on the exact objective ends: its minimiser, by backward recursion (THEORY claim 10).

The loss to go of an unaliased student in state `s` is `c_h(s) + E_pi Q^c_h(s, .)`, where `Q^c`, the disagreement after
an action, depends on later steps only. So each state can be solved for itself, from the last step on: with `c = -sum_a
pi*_a log pi_a` (forward KL differs by a constant of the state) the minimum under `sum_a pi_a = 1` is

    pi_h(a|s) = pi*_h(a|s) / (lambda_s + Q^c_h(s, a)),

with the one `lambda_s` that makes it a distribution. Of forward KL that is the expert itself, for nothing has to be
paid later; of cross-entropy it shuns actions after which the expert is undecided.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import solve, validate
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL, CrossEntropy, FDivergence
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP
from distil_theory.updates import bisect


def minimiser(mdp: TabularMDP, expert: Array, divergence: FDivergence = CROSS_ENTROPY) -> Array:
    """The policy of least full loss, shape `(H,S,A,*B)`.

    Args:
        mdp: one float64 MDP or a batch, unaliased.
        expert: `(H,S,A,*B)`, full support.
        divergence: `CROSS_ENTROPY` or `FORWARD_KL`.

    Raises:
        ValueError: an aliased student, an expert with zeros (the minimum need not be inside the simplex), another
            divergence, or policies that do not fit.
        TypeError: another number system than float64.
    """
    if divergence.h is not FORWARD_KL.h:
        raise ValueError(f"the recursion is that of cross-entropy and forward KL, not of {divergence.name}")
    if mdp.aliased:
        raise ValueError("the student is aliased: its states cannot be solved one by one")
    star = solve.check_policy(mdp, expert, "expert")
    validate.positive("expert", star, ["h", "s", "a"], "the minimum must lie inside the simplex")
    if ns.name(star) != "float64":
        raise TypeError("the minimiser is found numerically: convert to 'float64' first")
    star, p, _, _ = solve.problem(mdp, star)
    after, policy = star[0, :, 0] * 0, list[np.ndarray]()
    for h in reversed(range(len(star))):
        later = ns.contract(p[h], after) + 0 * star[h]
        # no action may have more than all the probability, and none has so little that all together have less
        low, high = (star[h] - later).max(axis=1), 1 - later.min(axis=1)
        multiplier = bisect(partial(_excess, star[h], later), low, high)
        pi = star[h] / (multiplier[:, None] + later)
        policy.insert(0, pi / pi.sum(axis=1, keepdims=True))
        cost = -star[h] * np.log(policy[0] if isinstance(divergence, CrossEntropy) else policy[0] / star[h])
        after = (cost + policy[0] * later).sum(axis=1)
    return np.stack(policy)


def _excess(star: np.ndarray, later: np.ndarray, multiplier: np.ndarray) -> np.ndarray:
    """By how much the probabilities of each state exceed one."""
    return (star / (multiplier[:, None] + later)).sum(axis=1) - 1
