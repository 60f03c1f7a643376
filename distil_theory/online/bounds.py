r"""What the regret of distributional DAgger is at most (claim 11): each link of the chain is a function.

    label regret in one cell      per_cell            (A-1)/2 log n + log A
    in all cells                  total, budget       B = H S [(A-1)/2 log N + log A]
    return regret, in the mean    return_regret       mu sqrt(N H B / 2)
      of a deterministic expert   deterministic       mu B
    with probability 1 - 2 eps    hellinger           (2e/(e-1)) [B/2 + (1+H) log(1/eps)]
    a teacher that drifts         proximal_drift, mirror_drift
    without student's states      cloning             H (H+1)/2 e

`N` rounds of one rollout each, `mu` the recoverability: how much one action can cost the expert. Floats; every argument
may be an array. The proofs are the chapters `kt_predictor`, `return_regret`, `hellinger_regret`, `drifting_teacher` and
`compounding_errors` of the ledger.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import solve
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP

# --- the labels ---


def per_cell(n: Array, actions: int) -> Array:
    """`(A-1)/2 log n + log A`, what `n` labels in one cell cost more than in hindsight; 0 without labels."""
    n = _labels(n)
    if not np.all(np.asarray(actions) >= 1):
        raise ValueError(f"actions must be at least 1, not {actions}")
    return np.where(n > 0, (actions - 1) / 2 * np.log(np.maximum(n, 1)) + np.log(actions), 0.0)


def total(counts: Array) -> Array:
    """The sum of `per_cell` over the cells of `counts (H,S,A,*B)`, shape `B`."""
    counts = _labels(ns.convert(counts, "float64"))
    if counts.ndim < 3:
        raise ValueError(f"counts of shape {counts.shape} must have axes (H, S, A) and any of a batch")
    return per_cell(counts.sum(axis=2), counts.shape[2]).sum(axis=1).sum(axis=0)


def budget(horizon: int, states: int, actions: int, rounds: Array) -> Array:
    """`B = H S [(A-1)/2 log N + log A]`: no cell has more than `N` labels."""
    return horizon * states * per_cell(rounds, actions)


def shared_budget(horizon: int, states: int, actions: int, rounds: Array) -> Array:
    """The sharper `H k [(A-1)/2 log(N/k) + log A]`, `k = min(S, N)`: the cells of one step share its `N` labels."""
    rounds = _labels(rounds)
    some = np.maximum(rounds, 1)
    cells = np.minimum(states, some)
    return np.where(rounds > 0, horizon * cells * per_cell(some / cells, actions), 0.0)


# --- the return ---


def recoverability(mdp: TabularMDP, expert: Array, student: Array | None = None) -> Array:
    """`mu = max_{h,s} ( max_a Q_h^{pi*} - min_a Q_h^{pi*} )`, shape `B`; in any number system.

    Args:
        mdp: the problem, or a batch.
        expert: `(H,S,A,*B)`.
        student: if given, `(H,S,A,*B)`: only states that it can reach count.
    """
    _, q = solve.values(mdp, expert)
    span = ns.amax(q, 2) + ns.amax(-q, 2)
    if student is not None:
        d = solve.occupancy(mdp, student)
        span, d = (solve.align(x, max(span.ndim, d.ndim) - 2, 2) for x in (span, d))
        span = ns.where(ns.iszero(d), span * 0, span)
    return ns.amax(ns.amax(span, 1), 0)


def return_regret(mu: Array, rounds: Array, horizon: int, label_regret: Array) -> Array:
    """`mu sqrt(N H B / 2)`: bounds `E sum_n (J* - J(pi_n))`, where the label regret is at most `B` in the mean."""
    return np.asarray(mu) * np.sqrt(np.asarray(rounds) * horizon * np.asarray(label_regret) / 2)


def deterministic(mu: Array, label_regret: Array) -> Array:
    """`mu B`: the same for a deterministic expert, whose total variation is at most its KL."""
    return np.asarray(mu) * np.asarray(label_regret)


def hellinger(label_regret: Array, horizon: int, eps: Array) -> Array:
    """`(2e/(e-1)) [B/2 + (1+H) log(1/eps)]`: with probability `1 - 2 eps` bounds `sum_n sum_h E_{d^{pi_n}} D_H^2`."""
    return 2 * np.e / (np.e - 1) * (np.asarray(label_regret) / 2 + (1 + horizon) * np.log(1 / _share("eps", eps)))


def return_regret_high_probability(mu: Array, rounds: Array, horizon: int, label_regret: Array, eps: Array) -> Array:
    """`mu sqrt(N H hellinger)`: bounds `sum_n (J* - J(pi_n))` with probability `1 - 2 eps`."""
    return np.asarray(mu) * np.sqrt(np.asarray(rounds) * horizon * hellinger(label_regret, horizon, eps))


# --- a teacher that drifts: sums of KL(pi*_n || pi_n) in one cell, from a uniform first student ---


def proximal_drift(eta: Array, actions: int, floor: Array, path: Array, first: Array | None = None) -> Array:
    """`((1+eta)/eta) [ C + (1/2) log(1/floor) P ]` for the step `pi <- (pi + eta pi*) / (1 + eta)`.

    Args:
        eta: size of the step, positive.
        actions: `A`.
        floor: the least probability of any teacher and of the first student; in `(0, 1/A]`.
        path: `P`, the sum of `||pi*_{n+1} - pi*_n||_1`.
        first: `C`, what first teacher and first student cost together: `KL(pi*_1||pi_1) + Entropy(pi*_1)`, minus the
            last teacher's entropy if one likes; default `log A`, of a uniform first student.
    """
    return (1 + 1 / _positive("eta", eta)) * _drift(actions, floor, path, first)


def mirror_drift(eta: Array, actions: int, floor: Array, path: Array, first: Array | None = None) -> Array:
    """`[ C + (1/2) log(1/floor) P ] / (eta (1 - (e-2) eta))` for the natural step `pi <- pi exp(eta pi*/pi) / Z`.

    Args:
        eta: size of the step, at most `floor / (1 - floor)`.
        actions, path, first: as for `proximal_drift`.
        floor: the least probability of any *student*; `mirror_floor` of the least one of teachers and first student.

    Raises:
        ValueError: a larger step, for which the bound is not proved.
    """
    eta, least = _positive("eta", eta), np.asarray(floor, dtype=float)
    if np.any(eta * (1 - least) > least * (1 + 1e-12)):
        raise ValueError(f"eta = {eta} is larger than floor / (1 - floor), with floor = {floor}")
    return _drift(actions, floor, path, first) / (eta * (1 - (np.e - 2) * eta))


def mirror_floor(floor: Array) -> Array:
    """`floor / (e-1)`: where natural steps of `eta <= mirror_floor / (1 - mirror_floor)` keep every student above."""
    return np.asarray(floor) / (np.e - 1)


def smoothing(actions: int, floor: Array, rounds: Array) -> Array:
    """`N log(1 / (1 - A f))`: what proximal steps towards `(1 - A f) pi* + f` cost more, for teachers with zeros.

    To be added to `proximal_drift` with `f` for its floor. It is at most 1 for `f = 1 / ((N+1) A)`.
    """
    return np.asarray(rounds) * -np.log1p(-_share("A f", actions * np.asarray(floor, dtype=float)))


def _drift(actions: int, floor: Array, path: Array, first: Array | None) -> Array:
    least = _share("A floor", actions * np.asarray(floor, dtype=float), 1 + 1e-12) / actions
    return (np.log(actions) if first is None else np.asarray(first)) + np.log(1 / least) / 2 * np.asarray(path)


# --- without the student's own states (cloning), and with them (DAgger) ---


def cloning(horizon: Array, error: Array) -> Array:
    """`H (H+1)/2 e`: bounds `J* - J` if the total variation is at most `e` per step on the *expert's* states.

    Rewards in [0, 1].
    """
    horizon = np.asarray(horizon)
    return horizon * (horizon + 1) / 2 * np.asarray(error)


def dagger(mu: Array, horizon: Array, error: Array) -> Array:
    """`mu H e`: bounds `J* - J` if the total variation is at most `e` per step on the *student's* states."""
    return np.asarray(mu) * np.asarray(horizon) * np.asarray(error)


def cloning_log_loss(most: Array, divergence: Array, deterministic: bool = False) -> Array:
    """`R sqrt(K/2)`, or `R K` for a deterministic expert: bounds `J* - J` by the return's range, not by the horizon.

    Args:
        most: `R`, where the return of every rollout lies in `[0, R]`.
        divergence: `K = sum_h E_{d_h^{pi*}} KL(pi*||pi)`, the excess log-loss of cloning.
        deterministic: whether the expert is.
    """
    k = np.asarray(divergence)
    return np.asarray(most) * (k if deterministic else np.sqrt(k / 2))


def _labels(n: Any) -> np.ndarray:
    n = np.asarray(n, dtype=float)
    if not np.all((n == 0) | (n >= 1)):
        raise ValueError(f"numbers of labels must be 0 or at least 1, not {n}")
    return n


def _positive(what: str, x: Any) -> np.ndarray:
    x = np.asarray(x, dtype=float)
    if not np.all(x > 0):
        raise ValueError(f"{what} must be positive, not {x}")
    return x


def _share(what: str, x: Any, most: float = 1.0) -> np.ndarray:
    x = np.asarray(x, dtype=float)
    if not np.all((x > 0) & (x <= most)):
        raise ValueError(f"{what} must lie in (0, 1], not {x}")
    return x
