r"""The likelihood of success, `L(pi) = sum_x rho(x) log P_x(success)`, and what raises it.

Prompts are the start states `x`, and the reward is paid at the end only, `R >= 0`: a success bit, or any reward in its
place. `P_x = V_0(x)`. With `Q, V` of the student, success conditioned on the prompt visits `(h, s, a)` with the mass

    n_h(s, a) = e_h(s) pi(a|s) Q_h(s, a),    e_0 = rho / V_0,  e_{h+1} = e_h pi P    (an occupancy, since all is linear)

and `grad L = sum_h sum_s sum_a n_h(s, a) grad log pi(a|s)`: the gradient of a forward cross-entropy towards the
success-conditioned teacher `pi Q / V`, with state `s` weighted by `e_h V_h / d_h`. Other weights give other objectives:
`V_h(s)` gives plain policy gradient, i.e. Pass@1, and `1` the local loss of DistIL.

*EM* (Dayan & Hinton 1997; Peters & Schaal 2007). Given the visits, `sum n log pi` is largest at `pi(a|o) ∝ sum of n
over the states that look like o`. That step never lowers `L`, whatever the student cannot see, nor does any mixture of
it with the student: claim 12b.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import solve, validate
from distil_theory.aliasing import pool, spread, visible
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP


def _reachable(mdp: TabularMDP) -> list[np.ndarray]:
    """Where one may come at each step, marks `(S,*B)`: token MDPs pay by the state, whatever the step."""
    here: Any = ~np.asarray(ns.iszero(mdp.initial), dtype=bool)
    marks = [here]
    for p in mdp.transition[: mdp.shape[0] - 1]:
        leads = (~np.asarray(ns.iszero(p), dtype=bool)).any(axis=1)
        here = (here[:, None] & leads).any(axis=0)
        marks.append(here)
    return marks


def _values(mdp: TabularMDP, policy: Array) -> tuple[Array, Array]:
    """`solve.values`, if the reward is not negative and paid at the end."""
    reachable = _reachable(mdp)
    for h, here in enumerate(reachable):
        paid = ~np.asarray(ns.iszero(mdp.reward[h]), dtype=bool) & here[:, None]
        negative = np.asarray(ns.isnegative(mdp.reward[h]), dtype=bool) & here[:, None]
        last = h == len(reachable) - 1
        if (negative if last else paid).any():
            s, a = map(int, np.argwhere(negative if last else paid)[0][:2])
            what = "is negative: that is no success" if last else "is paid before the end, where success is judged"
            raise ValueError(f"the reward at h={h}, s={s}, a={a} {what}")
    return solve.values(mdp, policy)


def success(mdp: TabularMDP, policy: Array) -> Array:
    """`P_x = V_0(x)` for every start state, shape `(S,*B)`.

    Raises:
        ValueError: a reward before the end or a negative one, a policy that does not fit.
    """
    return _values(mdp, policy)[0][0]


def _share(mdp: TabularMDP, p: Array) -> Array:
    """`rho(x) / P_x`, and 0 for what is no prompt; `(S,*B)`."""
    p, rho = ns.common(p, mdp.initial)
    rho = solve.align(rho, p.ndim - 1, 1) + p * 0
    absent, never = ns.iszero(rho), ns.iszero(p)
    hopeless = np.asarray(never & ~absent, dtype=bool)
    if hopeless.any():
        s = int(np.argwhere(hopeless)[0][0])
        raise ValueError(f"the student never succeeds from s={s}: the likelihood of success is 0")
    return ns.where(absent, rho * 0, rho / ns.where(never, p * 0 + 1, p))


def log_likelihood(mdp: TabularMDP, policy: Array) -> Array:
    """`L(pi) = sum_x rho(x) log P_x`, shape `B`; needs logarithms: floats, balls or symbols.

    Raises:
        ValueError: as `success`, or a prompt that the student never succeeds on.
    """
    p = success(mdp, policy)
    share = _share(mdp, p)
    return (share * p * ns.log(ns.where(ns.iszero(share), p * 0 + 1, p))).sum(axis=0)


def _visits(mdp: TabularMDP, student: Array) -> tuple[Array, Array, Array, Array]:
    """`e_h(s)`, the student, its `V` and `Q`, batch axes aligned."""
    v, q = _values(mdp, student)
    share = _share(mdp, v[0])
    pi, p, _, _ = solve.problem(mdp, solve.check_policy(mdp, student, "student"))
    n = v.ndim - 2
    return solve.forward(solve.align(pi, n, 3), p, share), solve.align(pi, n, 3), v, q


def likelihood_weight(mdp: TabularMDP, student: Array) -> Array:
    """State weights `e_h V_h / d_h`, shape `(H,S,*B)`, 0 where the student never goes: with them the loss gradient of
    forward cross-entropy towards `experts.success_conditioned` is minus the gradient of `log_likelihood`.

    Raises:
        ValueError: as `log_likelihood`.
    """
    e, _, v, _ = _visits(mdp, student)
    d = solve.occupancy(mdp, student) + e * 0
    never = ns.iszero(d)
    return ns.where(never, d * 0, e * v / ns.where(never, d * 0 + 1, d))


def em_step(mdp: TabularMDP, student: Array, eta: Any = None) -> Array:
    """The student after one exact EM step on the likelihood of success, shape `(H,S,A,*B)`.

    Args:
        mdp: one MDP or a batch; the reward, not negative, is paid at the end.
        student: `(H,S,A,*B)`; the same where states look alike.
        eta: the step is the mixture `(pi + eta pi_EM)/(1 + eta)`; default: all of it. An observation that success never
            visits keeps its policy.

    Raises:
        ValueError: as `log_likelihood`, a student that differs in states that look alike, `eta` that is not positive.
    """
    e, pi, _, q = _visits(mdp, student)
    difference = pi - spread(mdp, visible(mdp, pi))
    differs = np.asarray(ns.isnegative(difference) | ns.isnegative(-difference), dtype=bool)
    if differs.any():
        h, s = map(int, np.argwhere(differs)[0][:2])
        raise ValueError(f"student at h={h}, s={s} differs from another state with observation {mdp.observation[s]}")
    seen = pool(mdp, e[:, :, None] * pi * q)
    total = seen.sum(axis=2)
    never = ns.iszero(total)
    goal = seen / ns.where(never, total * 0 + 1, total)[:, :, None]
    goal = ns.where(spread(mdp, never)[:, :, None], pi, spread(mdp, goal))
    if eta is None:
        return goal
    eta = ns.common(ns.asarray(eta), goal)[0]
    validate.finite("eta", eta, ["batch"] * eta.ndim)
    if not np.all(np.asarray(eta > 0)):
        raise ValueError(f"eta must be positive, not {eta}")
    batch = max(goal.ndim - 3, eta.ndim)
    return (solve.align(pi, batch, 3) + eta * solve.align(goal, batch, 3)) / (1 + eta)
