r"""Values, occupancies and returns of finite-horizon MDPs: pure functions of a spec and a policy.

For a policy `pi[h,s,a]` (a plain array) backward induction gives

    Q_h(s,a) = r_h(s,a) + sum_{s'} P_h(s'|s,a) V_{h+1}(s'),    V_h(s) = sum_a pi_h(a|s) Q_h(s,a),    V_H = 0,

forward induction the occupancy

    d_0 = rho,    d_{h+1}(s') = sum_{s,a} d_h(s) pi_h(a|s) P_h(s'|s,a),

and the return is `J(pi) = sum_s rho(s) V_0(s)`. Their tie is the *performance-difference lemma* (Kakade & Langford
2002): `J(pi') - J(pi) = sum_h E_{s ~ d_h^{pi'}} E_{a ~ pi'} A_h^pi(s,a)` with the advantage `A = Q - V`.

The code runs unchanged in all five number systems; a single MDP may meet a batch of policies and the other way round.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from distil_theory import number_systems as ns
from distil_theory import validate
from distil_theory.batching import in_pieces
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP


class Optimal(NamedTuple):
    """A greedy policy `(H,S,A,*B)` (ties: the first action) with its values `v (H,S,*B)` and `q (H,S,A,*B)`."""

    policy: Array
    v: Array
    q: Array


def check_policy(mdp: TabularMDP, policy: Any, what: str = "policy") -> Array:
    """`policy` as a valid `(H,S,A,*B)` array in the number system of `mdp`.

    Raises:
        ValueError: wrong shape, or a row that is no distribution.
    """
    p = ns.asarray(policy)
    batch = tuple(p.shape[3:])
    if mdp.batch_shape and batch and batch != mdp.batch_shape:
        raise ValueError(f"{what} has batch shape {batch}, the MDPs have {mdp.batch_shape}")
    validate.batched(what, p, mdp.shape, ["h", "s", "a"])
    p = _one_system(mdp, p)[0]
    validate.distribution(what, p, ["h", "s", "a"], 2)
    return p


def align(x: Array, batch_ndim: int, core_ndim: int) -> Array:
    """`x` with `core_ndim` leading axes, given trailing axes of length one until it has `batch_ndim` batch axes."""
    missing = core_ndim + batch_ndim - x.ndim
    return x[(..., *[None] * missing)] if missing > 0 else x


def _one_system(mdp: TabularMDP, policy: Array) -> list[Array]:
    """Policy, transition, reward, initial in one number system: whole numbers follow whatever the others are."""
    return ns.common(policy, mdp.transition, mdp.reward, mdp.initial)


def problem(mdp: TabularMDP, policy: Array) -> list[Array]:
    """Policy, transition (BLAS-ready if unbatched), reward and initial with equally many batch axes."""
    pi, p, r, rho = _one_system(mdp, policy)
    n = max(pi.ndim - 3, len(mdp.batch_shape))
    p = p if not mdp.batch_shape and n <= 1 else align(p, n, 4)
    return [align(pi, n, 3), p, align(r, n, 3), align(rho, n, 1)]


def backward(pi: Array, p: Array, r: Array) -> tuple[Array, Array]:
    """The kernel of `values`: arrays whose batch axes are aligned, already checked."""
    steps = r.shape[0]
    v, q = [None] * steps, [None] * steps
    for h in reversed(range(steps)):
        q[h] = r[h] + (pi[h] * 0 if h == steps - 1 else ns.contract(p[h], v[h + 1]))
        v[h] = (pi[h] * q[h]).sum(axis=1)
    return ns.stack(v), ns.stack(q)


def forward(pi: Array, p: Array, rho: Array) -> Array:
    """The kernel of `occupancy`: arrays whose batch axes are aligned, already checked."""
    d = [rho + pi[0, :, 0] * 0]
    for h in range(pi.shape[0] - 1):
        flow = d[h][:, None] * pi[h]
        d.append(ns.einsum("ij...,ijk...->k...", flow, align(p[h], flow.ndim - 2, 3)))
    return ns.stack(d)


def values(mdp: TabularMDP, policy: Array) -> tuple[Array, Array]:
    """State values `v (H,S,*B)` and action values `q (H,S,A,*B)` of a policy, by backward induction.

    Raises:
        ValueError: the policy does not fit the MDP.
    """
    pi, p, r, _ = problem(mdp, check_policy(mdp, policy))
    return in_pieces(backward, (pi, 3), (p, 4), (r, 3))


def advantage(mdp: TabularMDP, policy: Array) -> Array:
    """`A_h(s,a) = Q_h(s,a) - V_h(s)`, shape `(H,S,A,*B)`."""
    v, q = values(mdp, policy)
    return q - v[:, :, None]


def occupancy(mdp: TabularMDP, policy: Array) -> Array:
    """State distribution `d_h(s)` at each step, shape `(H,S,*B)`; every step sums to one."""
    pi, p, _, rho = problem(mdp, check_policy(mdp, policy))
    return in_pieces(forward, (pi, 3), (p, 4), (rho, 1))


def expected_return(mdp: TabularMDP, policy: Array) -> Array:
    """`J(pi) = E_{s ~ rho} V_0(s)`, shape `B` (a scalar for a single MDP)."""
    v, _ = values(mdp, policy)
    _, rho = ns.common(v, mdp.initial)
    return (align(rho, v.ndim - 2, 1) * v[0]).sum(axis=0)


def optimal(mdp: TabularMDP) -> Optimal:
    """The best policy of an agent that sees the state, by Bellman's backward induction.

    Raises:
        ValueError: balls that overlap, or symbols without a known order, leave the best action undecided.
    """
    p, r = mdp.transition, mdp.reward
    policy: list[Array] = []
    v, q = [None] * mdp.shape[0], [None] * mdp.shape[0]
    for h in reversed(range(mdp.shape[0])):
        q[h] = r[h] + (r[h] * 0 if h == mdp.shape[0] - 1 else ns.contract(p[h], v[h + 1]))
        greedy = _greedy(q[h], h)
        policy.insert(0, greedy)
        v[h] = (greedy * q[h]).sum(axis=1)
    return Optimal(ns.stack(policy), ns.stack(v), ns.stack(q))


def _greedy(q: Array, h: int) -> Array:
    """One-hot choice of the first maximiser along axis 1 of `q (S,A,*B)`."""
    best, chosen = q[:, 0], [q[:, 0] * 0 + 1]
    for a in range(1, q.shape[1]):
        better = ns.greater(q[:, a], best, f"the best action at h={h}")
        best = ns.where(better, q[:, a], best)
        chosen = [ns.where(better, c * 0, c) for c in chosen]
        chosen.append(ns.where(better, best * 0 + 1, best * 0))
    return ns.stack(chosen, axis=1)
