"""Experts that know something: the problem, or when the student succeeds."""

from __future__ import annotations

from typing import Any

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import solve, validate
from distil_theory.aliasing import belief, pool, spread
from distil_theory.experts.checks import dial, number, one_batch
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP


def optimal(mdp: TabularMDP) -> Array:
    """The best policy of an expert that sees the state, `(H,S,A,*B)`, one-hot; `solve.optimal` has its values too.

    Raises:
        ValueError: balls that overlap, or symbols without a known order, leave the best action undecided.
    """
    return solve.optimal(mdp).policy


def soft_optimal(mdp: TabularMDP, temperature: Any = 1) -> Array:
    """The best policy if the entropy of actions is worth `temperature` per nat, `(H,S,A,*B)`.

    Args:
        mdp: one MDP or a batch; rationals have no exponential: convert to `"ball"` first.
        temperature: positive; a number, or an array over the batch. Towards 0 the expert becomes optimal (uniform over
            ties), towards infinity uniform.

    Raises:
        ValueError: a temperature that is not positive, or does not fit the batch.
        TypeError: rational numbers.

    Source: Ziebart (2010), the soft Bellman equation.
    """
    tau, r = number("temperature", temperature, mdp.batch_shape, mdp.reward)
    validate.positive("temperature", tau, ["batch"] * tau.ndim, "the limit 0 is `optimal`")
    p, r = ns.common(mdp.transition, r)
    n = max(len(mdp.batch_shape), tau.ndim)
    r = solve.align(r, n, 3)
    p = p if not mdp.batch_shape and n <= 1 else solve.align(p, n, 4)
    policy: list[Array] = []
    v = None
    for h in reversed(range(mdp.shape[0])):
        q = r[h] + (tau * 0 if v is None else ns.contract(p[h], v))
        # the largest exponent is 0: nothing overflows, however cold it is
        best = q[:, 0] * 0 if ns.name(q) == "symbolic" else ns.amax(q, 1)
        weights = ns.exp((q - best[:, None]) / tau)
        total = weights.sum(axis=1)
        v = best + tau * ns.log(total)
        policy.insert(0, weights / total[:, None])
    return ns.stack(policy)


def success_conditioned(mdp: TabularMDP, student: Array, *, privileged: bool = True) -> Array:
    """`pi Q^pi / V^pi`, the student conditioned on success; `pi` itself where `V = 0`. Shape `(H,S,A,*B)`.

    Args:
        mdp: one MDP or a batch, with rewards that make every `Q >= 0`.
        student: `(H,S,A,*B)`.
        privileged: whether the expert sees the state; otherwise it sees the observation, like the student.

    Raises:
        ValueError: a negative `Q`, a policy that does not fit, balls that leave open whether `V = 0`.
    """
    pi, q = _successes(mdp, student)
    return _bayes(mdp, pi, pi * q, privileged)


def noisy(mdp: TabularMDP, student: Array, error: Any, *, privileged: bool = True) -> Array:
    """The student conditioned on a success bit that is wrong with probability `error`. Shape `(H,S,A,*B)`.

    `pi* ∝ pi [(1-e) Q + e (1-Q)]`: 0 is `success_conditioned`, 1/2 the student, 1 the student conditioned on failure.
    The student, too, where that evidence is impossible.

    Args:
        mdp: one MDP or a batch, with rewards that make every `Q` a probability of success.
        student: `(H,S,A,*B)`.
        error: between 0 and 1; a number, or an array over the batch.
        privileged: as in `success_conditioned`.

    Raises:
        ValueError: a `Q` or an error outside [0,1], or as `success_conditioned`.
    """
    pi, q = _successes(mdp, student, at_most_one=True)
    e, q = dial("error", error, q)
    pi = solve.align(ns.common(pi, q)[0], e.ndim, 3)
    return _bayes(mdp, pi, pi * ((1 - e) * q + e * (1 - q)), privileged)


def observed(mdp: TabularMDP, expert: Array, student: Array) -> Array:
    """The expert without its privilege: `E[pi*|o]` over the states behind `o` under `d^pi`, shape `(H,S,A,*B)`.

    Of all policies that see only the observation it minimises the local forward cross-entropy to the expert. Where the
    student never sees `o` the states count equally. Unaliased, it is the expert.

    Raises:
        ValueError: a policy that does not fit the MDP.
    """
    star, pi = ns.common(solve.check_policy(mdp, expert, "expert"), solve.check_policy(mdp, student, "student"))
    one_batch(MDPs=mdp.batch_shape, expert=tuple(star.shape[3:]), student=tuple(pi.shape[3:]))
    share = belief(mdp, solve.occupancy(mdp, pi))
    n = max(share.ndim - 2, star.ndim - 3)
    share, star = solve.align(share, n, 2), solve.align(star, n, 3)
    return spread(mdp, pool(mdp, share[:, :, None] * star))


def _successes(mdp: TabularMDP, student: Array, *, at_most_one: bool = False) -> tuple[Array, Array]:
    """Student and its `Q`, checked to be a probability of success, or at least not negative; batch axes aligned."""
    pi = solve.check_policy(mdp, student, "student")
    q = solve.values(mdp, pi)[1]
    # a sum of float probabilities may miss 0 and 1 by a rounding
    slack = validate.TOLERANCE if ns.name(q) in ("float64", "torch") else 0
    for what, wrong in (("negative", q + slack), ("above 1", 1 - q + slack))[: 2 if at_most_one else 1]:
        marked = np.argwhere(validate.as_mask(ns.isnegative(wrong)))
        if len(marked):
            h, s, a, *batch = index = tuple(map(int, marked[0]))
            place = f"h={h}, s={s}, a={a}" + "".join(f", batch={b}" for b in batch)
            raise ValueError(f"the student's Q at {place} is {what}: {q[index]} is no probability of success")
    return solve.align(ns.common(pi, q)[0], q.ndim - 3, 3), q


def _bayes(mdp: TabularMDP, pi: Array, joint: Array, privileged: bool) -> Array:
    """The joint probability `(H,S,A,*B)` of action and evidence as that of the action given the evidence; `pi` where
    the evidence is impossible."""
    joint = ns.where(ns.isnegative(joint), joint * 0, joint)  # what rounding left below zero
    pi = pi + joint * 0
    if not privileged and mdp.aliased:
        share = belief(mdp, solve.occupancy(mdp, pi))[:, :, None]
        pi, joint = (spread(mdp, pool(mdp, share * x)) for x in (pi, joint))
    total = joint.sum(axis=2)
    never = ns.iszero(total)
    if ns.name(total) == "ball":
        ns.greater(ns.where(never, total + 1, total), total * 0, "whether the student ever succeeds")
    given = joint / ns.where(never, total * 0 + 1, total)[:, :, None]
    return ns.where(never[:, :, None], pi, given)
