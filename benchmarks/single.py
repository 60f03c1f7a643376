"""One dense MDP with a thousand states: backward induction is a stream of the transition matrix through the processor.

Each of the `H - 1` steps reads all `S A S'` probabilities and uses each once, so nobody can be faster than memory
(`read` in the floor), however it is written. Reported are the bytes that each contender must read and the bandwidth it
reaches. Two things beat that: a matrix that fits the last-level cache, and a stationary policy, under which a chain of
`S S'` numbers is enough for the values, and one matrix product over all steps for the action values: quantecon, which
knows only this case, is given it.
"""

from __future__ import annotations

import warnings

import numpy as np

from benchmarks.mdps import problems
from benchmarks.settings import Settings
from benchmarks.timing import Contender, Row, check_agreement, race
from distil_theory import TabularMDP, solve

Values = tuple[np.ndarray, np.ndarray]


def contenders(shape: tuple[int, int, int]) -> tuple[dict[str, Contender], dict[str, int]]:
    """Everyone, and the bytes each reads: `v (H,S)` and `q (H,S,A)` of one policy."""
    from quantecon.markov import DiscreteDP, backward_induction

    horizon, states, actions = shape
    p, r, rho, policy, _ = (x[0] for x in problems(1, states, actions))
    student = np.repeat(policy[None], horizon, axis=0)
    mdp = TabularMDP(p, r, rho, horizon=horizon)
    flat = p.reshape(-1, states)

    def backward(product: str) -> Values:
        v, q = np.zeros((horizon + 1, states)), np.empty((horizon, states, actions))
        for h in reversed(range(horizon)):
            v_next = v[h + 1]
            if h == horizon - 1:
                q[h] = r
            elif product == "einsum":
                q[h] = r + np.einsum("sat,t->sa", p, v_next)
            else:
                q[h] = r + (flat @ v_next).reshape(states, actions)
            v[h] = (student[h] * q[h]).sum(axis=1)
        return v[:-1], q

    def quantecon() -> Values:
        chain = policy[:, None] @ p
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of discount one, which is in order in a finite horizon
            v, _ = backward_induction(DiscreteDP((policy * r).sum(axis=1, keepdims=True), chain, 1.0), horizon)
        return v[:-1], r + (v[1:] @ flat.T).reshape(horizon, states, actions)

    steps = (horizon - 1) * p.nbytes
    # the chain is made from p and streamed H times; the product over all steps reads p once more
    fewer = 2 * p.nbytes + horizon * 8 * states**2
    everyone = {
        "distil_theory": (lambda: solve.values(mdp, student), steps),
        "numpy, einsum": (lambda: backward("einsum"), steps),
        "numpy, matmul": (lambda: backward("matmul"), steps),
        "quantecon, stationary": (quantecon, fewer),
    }
    ready = {name: Contender(run, 1, lambda result: result) for name, (run, _) in everyone.items()}
    return ready, {name: size for name, (_, size) in everyone.items()}


def measure(settings: Settings, bandwidth: float) -> list[Row]:
    """Time, bytes read and bandwidth reached."""
    everyone, sizes = contenders(settings.single_shape)
    check_agreement({name: contender.run() for name, contender in everyone.items()}, ("v", "q"))
    floor = sizes["distil_theory"] / bandwidth
    rows = race("single", "values", everyone, settings.single_rounds, floor)
    times = {row.contender: row for row in rows if row.metric == "time"}
    for name, size in sizes.items():
        time = times[name]
        rows.append(Row("single", "values", name, "bytes_read", size, "B"))
        reached = (size / time.value, "B/s", size / time.upper, size / time.lower)
        rows.append(Row("single", "values", name, "bandwidth", *reached, n=1, rounds=time.rounds))
    return rows
