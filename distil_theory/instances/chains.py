"""A path of many steps that one action leaves: where errors, and wrong advice, add up over the horizon."""

from __future__ import annotations

from typing import Any

from distil_theory import number_systems as ns
from distil_theory import validate
from distil_theory.instances.base import Instance, biased, exact_instance, moves, rational
from distil_theory.spec import TabularMDP


def horizon_chain(horizon: int = 4, delta: Any = "1/10", leave: Any = "1/1000", succeed: Any = "1/1000") -> Instance:
    """Claim 8: the worst that a local forward-KL step can do if the expert is better at every state.

    State 0 is the safe path (actions: stay, leave), which pays `1 - delta` at the end. State 1 is off the path; at the
    last step its action 1 pays 1, action 0 nothing. The expert leaves at every step and then succeeds. The student
    leaves with probability `leave` per step and then succeeds with probability `succeed`. So at each of `H - 1` steps
    the local step pushes the student off a path worth `1 - delta` into a state where it fails. With
    `x = (1 - leave)^(H-1)`, the probability of never leaving,

        gap  = delta + (1 - x)(1 - delta - succeed),
        rate = -(H-1) x (1 - delta - succeed) + (1 - x)(1 - succeed),

    which tend to `delta` and `-(H-1)(1 - delta)` as `leave` and `succeed` tend to 0.

    Args:
        horizon: `H`, at least 2: leaving at the last step would come too late.
        delta: what the expert earns more than the safe path pays.
        leave: the student's probability of leaving, per step.
        succeed: its probability of success once it has left; less than `1 - delta`.
    """
    return _leaving("horizon_chain", horizon, delta, leave, succeed, too_late=False)


def better_somewhere(horizon: int = 4, delta: Any = "1/10", leave: Any = "1/1000", succeed: Any = "1/1000") -> Instance:
    """Claim 8: the worst that a local forward-KL step can do if the expert is better, but not at every state.

    `horizon_chain`, except that the expert also leaves at the last step, where that earns nothing: it never gets there,
    but the student does. With `x` as there and `c = (1 - leave)(1 - delta)`, what the safe path is worth at its end,

        gap  = 1 - x c - (1 - x) succeed,
        rate = -(H-1) x (c - succeed) - x c + (1 - x)(1 - succeed),

    which tend to `delta` and to `-H (1 - delta)`, that is to `-H J(pi)`.

    Args:
        horizon, delta, leave, succeed: as `horizon_chain`.
    """
    return _leaving("better_somewhere", horizon, delta, leave, succeed, too_late=True)


def _leaving(name: str, horizon: int, delta: Any, leave: Any, succeed: Any, *, too_late: bool) -> Instance:
    steps = validate.whole("horizon", horizon, 2)
    delta, leave = rational("delta", delta), rational("leave", leave)
    succeed = rational("succeed", succeed, 0, 1 - delta)
    reward = [[[0, 0], [0, 0]]] * (steps - 1) + [[[1 - delta, 0 if too_late else 1 - delta], [0, 1]]]
    where, times = ("somewhere", "H") if too_late else ("at every state", "H - 1")
    return exact_instance(
        name,
        TabularMDP(moves(lambda h, s, a: s or a, steps, 2, 2), ns.convert(reward, "rational"), [1, 0]),
        [[biased(1 - leave), biased(1 - succeed)]] * steps,
        [[[0, 1], [0, 1]]] * steps,
        f"the expert is better {where}; the local step of forward KL loses up to {times} times the student's return",
        ["on the safe path: stay, leave", "off the path: fail, succeed"],
    )


def compounding_chain(horizon: int = 10, error: Any = "1/100", off_path: Any = None) -> Instance:
    """Claim 11: cloning pays for its errors with the square of the horizon, DAgger with the horizon (Ross & Bagnell).

    State 0 is the path: action 0 stays on it and earns 1, action 1 leaves it. State 1 is off the path: action 1 returns
    and earns 1, action 0 earns nothing and stays off. So each step pays 1 for the expert's action and nothing for the
    other, and the expert, who is always right, earns `H`. The student is wrong with probability `error` on the path.
    A cloned student has never seen the other state and does there what it always does: action 0, so it is wrong with
    probability `1 - error` and keeps failing. It loses

        gap = sum_{h=1}^{H} (1 - (1 - 2 error)^h) / 2  =  error H(H+1)/2 + O(error^2).

    A student trained on its own states, `off_path=error`, is wrong as rarely there and loses `error H`.

    Args:
        horizon: `H`.
        error: probability of the wrong action on the path.
        off_path: probability of the wrong action off the path; default `1 - error`, the cloned student.

    Source: Ross & Bagnell (2010), Ross, Gordon & Bagnell (2011); classic.
    """
    steps = validate.whole("horizon", horizon, 1)
    error = rational("error", error, 0, "1/2")
    off = 1 - error if off_path is None else rational("off_path", off_path)
    return exact_instance(
        "compounding_chain",
        TabularMDP(moves(lambda h, s, a: int(a != s), steps, 2, 2), [[[1, 0], [0, 1]]] * steps, [1, 0]),
        [[biased(1 - error), biased(off)]] * steps,
        [[[1, 0], [0, 1]]] * steps,
        "a cloned student loses error H^2 / 2; one as good on the states it visits itself loses error H",
        ["on the path: stay, leave", "off the path: stay off, return"],
    )


def unforgiving_chain(horizon: int = 10, error: Any = "1/100") -> Instance:
    """Claim 11: where a slip cannot be made good, the student's own states do not help.

    State 0 is the path: action 0 stays on it and earns 1, action 1 leaves it for ever. State 1 is off the path and
    earns nothing, whatever one does. The expert earns `H`; one mistake costs all that is left, so the recoverability is
    `mu = H`. A student that is wrong with probability `error` everywhere loses

        gap = sum_{h=1}^{H} (1 - (1 - error)^h)  =  error H(H+1)/2 + O(error^2),

    as much as the cloned student of `compounding_chain`, although it errs as rarely on its own states.

    Args:
        horizon: `H`.
        error: probability of the wrong action.
    """
    steps = validate.whole("horizon", horizon, 1)
    error = rational("error", error)
    return exact_instance(
        "unforgiving_chain",
        TabularMDP(moves(lambda h, s, a: s or a, steps, 2, 2), [[[1, 0], [0, 0]]] * steps, [1, 0]),
        [[biased(1 - error), biased(1 - error)]] * steps,
        [[[1, 0], [1, 0]]] * steps,
        "a slip costs all that is left: errors error on its own states lose error H^2 / 2, too",
        ["on the path: stay, leave", "off the path: wait, look"],
    )
