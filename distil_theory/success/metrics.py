"""Pass@N, Best@N, Maj@N and Avg@N as exact functions of a policy: of the law of its answers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import trajectories, validate
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP
from distil_theory.success.votes import independent, plurality


def attempts(what: str, n: Any) -> Any:
    """A whole number of attempts >= 1, or an array of them."""
    if not isinstance(n, np.ndarray | list | tuple):
        return validate.whole(what, n, 1)
    n = np.asarray(n)
    if n.dtype.kind not in "iu" or not n.size or n.min() < 1:
        raise ValueError(f"{what} must be whole numbers >= 1, not {n!r}")
    return n


def probability(what: str, p: Any) -> Array:
    """Probabilities as an array of their number system; what floats missed 0 and 1 by is rounded away."""
    p = ns.asarray(p)
    if not np.size(p):
        raise ValueError(f"{what} is empty")
    axes = ["batch"] * p.ndim
    validate.finite(what, p, axes)
    slack = validate.TOLERANCE if ns.name(p) == "float64" else 0
    for bad in (ns.isnegative(p + slack), ns.isnegative(1 - p + slack)):
        if np.any(bad):
            raise ValueError(f"{what} is {p[bad].flat[0] if p.ndim else p}: expected a probability")
    return np.clip(p, 0, 1) if ns.name(p) == "float64" else p


def law_and_rewards(probabilities: Any, rewards: Any) -> tuple[Array, Array]:
    """A law `(A,*B)` and rewards `(A,*B)` in one number system, with equally many axes; checked."""
    law, paid = ns.common(ns.asarray(probabilities), ns.asarray(rewards))
    if not law.ndim:
        raise ValueError(f"probabilities is {law}: expected an array (answers, ...)")
    validate.batched("probabilities", law, law.shape[:1], ["answer"])
    validate.batched("rewards", paid, law.shape[:1], ["answer"])
    validate.distribution("probabilities", law, ["answer"], 0)
    validate.finite("rewards", paid, ["answer"])
    axes = max(law.ndim, paid.ndim)
    law, paid = (x.reshape(*x.shape, *[1] * (axes - x.ndim)) for x in (law, paid))
    return law, paid


def pass_at_n(p: Any, n: Any) -> Array:
    """Pass@N `= 1 - (1-p)^N`, the chance that one of `n` independent answers is right.

    Args:
        p: probability of a right answer; any shape and number system. Floats keep their relative precision however
            small `p` is.
        n: a whole number >= 1, or an array of them that broadcasts with `p`.

    Raises:
        ValueError: `p` is NaN, empty or no probability; `n` is no whole number >= 1.
    """
    p, n = probability("p", p), attempts("n", n)
    if ns.name(p) == "float64":
        with np.errstate(divide="ignore"):  # log 0 at p = 1
            return -np.expm1(n * np.log1p(-p))
    return 1 - np.frompyfunc(lambda b, m: ns.power(b, int(m)), 2, 1)(1 - p, n)


def truncated_log(p: Any, terms: int) -> Array:
    """`-sum_{N <= terms} (1-p)^N / N`, which tends to `log p` for `0 < p <= 1` (claim 12c); its derivative is
    `pass_at_n(p, terms) / p`."""
    miss = 1 - probability("p", p)
    total = miss * 0
    for n in range(validate.whole("terms", terms, 1), 0, -1):  # Horner
        total = miss * (total - (miss * 0 + 1) / n)
    return total


def avg_at_n(probabilities: Any, rewards: Any, n: Any = 1) -> Array:
    """Avg@N, the expected mean reward of `n` answers: `sum_a p_a r_a` whatever `n`. Arguments as `best_at_n`."""
    law, paid = law_and_rewards(probabilities, rewards)
    attempts("n", n)
    return (law * paid).sum(axis=0)


def best_at_n(probabilities: Any, rewards: Any, n: Any) -> Array:
    """Best@N, the expected largest reward among `n` independent answers, shape `B`.

    `r_1 + sum_j (r_{j+1} - r_j) Pass@N(P(r > r_j))` over the rewards in ascending order: for 0/1 rewards it is Pass@N.

    Args:
        probabilities: law of the answers, `(A, *B)`.
        rewards: `(A,)` or `(A, *B)`; any finite numbers.
        n: a whole number >= 1, or an array of them that broadcasts with `B`.

    Raises:
        ValueError: shapes that do not fit, an empty or NaN array, a law that does not sum to one, `n < 1`.
    """
    law, paid = law_and_rewards(probabilities, rewards)
    law, paid = (np.broadcast_to(x, np.broadcast_shapes(law.shape, paid.shape)) for x in (law, paid))
    order = np.argsort(paid, axis=0, kind="stable")
    law, paid = (np.take_along_axis(x, order, axis=0) for x in (law, paid))
    above = law[::-1].cumsum(axis=0)[::-1]  # the probability of this reward or a larger one
    best = paid[0]
    for j in range(1, len(law)):
        best = best + (paid[j] - paid[j - 1]) * pass_at_n(above[j], n)
    return best


def maj_at_n(probabilities: Any, rewards: Any, n: int) -> Array:
    """Maj@N, the expected reward of the most frequent of `n` independent answers, ties broken at random; shape `B`.

    Args:
        probabilities: law of the answers, `(A, *B)`; equal answers must be one entry.
        rewards: of each answer, `(A,)` or `(A, *B)`; 1 for right and 0 for wrong.
        n: a whole number >= 1.

    Raises:
        ValueError: as `best_at_n`.
    """
    law, paid = law_and_rewards(probabilities, rewards)
    law = np.broadcast_to(law, np.broadcast_shapes(law.shape, paid.shape))
    weights, whole = independent(law, validate.whole("n", n, 1))
    return plurality(weights, paid) / whole


class AnswerLaw(NamedTuple):
    """What a policy answers to each prompt.

    Attributes:
        prompts: the start states, `X`.
        weight: their probabilities `rho`, `(X,)`.
        answers: the action sequences, `(H, A^H)`.
        law: probability of each answer to each prompt, `(A^H, X, *B)`.
        rewards: `(A^H, X)`; with trailing axes of length one for a batch of policies.
    """

    prompts: np.ndarray
    weight: Array
    answers: np.ndarray
    law: Array
    rewards: Array


def answer_law(mdp: TabularMDP, policy: Array) -> AnswerLaw:
    """The law of whole answers of a policy in a single token MDP: prompts are start states, answers action sequences.

    Raises:
        ValueError: a batch of MDPs, a policy that does not fit, transitions that are left to chance, too many answers.
    """
    every = trajectories.enumerate_all(mdp)
    prompts = np.flatnonzero(~np.asarray(ns.iszero(mdp.initial), dtype=bool))
    steps, _, actions = mdp.shape
    if len(every) != len(prompts) * actions**steps:
        raise ValueError("transitions are left to chance: an answer is not its tokens alone")
    chance = trajectories.probability(mdp, policy, every)
    # rollouts come prompt by prompt, each with the answers in the same order
    batch, weight = chance.shape[1:], mdp.initial[prompts]
    table = chance.reshape(len(prompts), -1, *batch).swapaxes(0, 1)
    law = table / weight.reshape(-1, *[1] * len(batch))
    paid = trajectories.returns(mdp, every).reshape(len(prompts), -1).T
    return AnswerLaw(
        prompts, weight, every.actions[:, : law.shape[0]], law, paid.reshape(*paid.shape, *[1] * len(batch))
    )
