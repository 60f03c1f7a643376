"""Ten thousand small random MDPs: values, action values, occupancy, policy gradient and local gradient of each.

Everyone computes the same five quantities, each in the layout that suits it, prepared before the clock starts. The
libraries know only stationary policies, so the policy is the same at every step; ours and the batched numpy get it as a
full time-dependent array and take no advantage of it, the loops do.

A library solves one MDP at a time for the *best* policy. Under a given policy an MDP is a problem with one action,
whose best values are the policy's: that is what the library solves. It offers nothing for the other quantities; numpy
completes them, MDP by MDP.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from benchmarks.settings import Settings
from benchmarks.timing import Contender, Row, check_agreement, race
from distil_theory import TabularMDP, objectives
from distil_theory.divergences import BY_NAME

QUANTITIES = objectives.Evaluation._fields
DIVERGENCES = ("forward_kl", "reverse_kl")
SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"forward_kl": lambda u: u, "reverse_kl": np.log}
"""What the gradient sees of `u = expert / student`, up to a constant that it does not see; written again for the
peers, so that they share no line with what they are compared to."""

Quantities = tuple[np.ndarray, ...]
"""In the order of `QUANTITIES`."""


class Problems(NamedTuple):
    """`n` stationary MDPs with a student and an expert: transition `(n,S,A,S')`, reward and policies `(n,S,A)`, initial
    `(n,S)`."""

    transition: np.ndarray
    reward: np.ndarray
    initial: np.ndarray
    student: np.ndarray
    expert: np.ndarray


def problems(n: int, states: int, actions: int, seed: int = 0) -> Problems:
    """Everything uniform: Dirichlet(1) distributions, rewards on [0, 1]."""
    rng = np.random.default_rng(seed)
    rows, choices = np.ones(states), np.ones(actions)
    return Problems(
        rng.dirichlet(rows, size=(n, states, actions)),
        rng.random((n, states, actions)),
        rng.dirichlet(rows, size=n),
        rng.dirichlet(choices, size=(n, states)),
        rng.dirichlet(choices, size=(n, states)),
    )


def batch_last(data: Problems, horizon: int) -> tuple[np.ndarray, ...]:
    """The arrays that `TabularMDP` and `evaluate` take; policies are full `(H,S,A,n)`."""
    p, r, rho, *policies = (np.ascontiguousarray(np.moveaxis(x, 0, -1)) for x in data)
    return p, r, rho, *(np.repeat(policy[None], horizon, axis=0) for policy in policies)


def batched_numpy(data: Problems, horizon: int, score: Callable[[np.ndarray], np.ndarray]) -> Contender:
    """What one writes first: the batch axis leads, `matmul` does the sums over successors."""
    p, r, rho, *policies = data
    n, states, actions = r.shape
    student, expert = (np.repeat(policy[:, None], horizon, axis=1) for policy in policies)
    flat = p.reshape(n, states * actions, states)

    def run() -> Quantities:
        v, d = np.zeros((n, horizon + 1, states)), np.empty((n, horizon, states))
        q = np.empty((n, horizon, states, actions))
        for h in reversed(range(horizon)):
            q[:, h] = r + (flat @ v[:, h + 1, :, None]).reshape(n, states, actions)
            v[:, h] = (student[:, h] * q[:, h]).sum(axis=-1)
        d[:, 0] = rho
        for h in range(horizon - 1):
            flow = d[:, h, :, None] * student[:, h]
            d[:, h + 1] = (flow.reshape(n, 1, -1) @ flat)[:, 0]
        v = v[:, :-1]
        flow, scores = d[..., None] * student, score(expert / student)
        centred = scores - (student * scores).sum(axis=-1, keepdims=True)
        return v, q, d, flow * (q - v[..., None]), -flow * centred

    return Contender(run, n, lambda result: tuple(np.moveaxis(x, 0, -1) for x in result))


def looped(data: Problems, horizon: int, score: Callable[[np.ndarray], np.ndarray], library: str) -> Contender:
    """One MDP after the other through `library`, completed in numpy."""
    backward = {"quantecon": _quantecon, "pymdptoolbox": _pymdptoolbox}[library]()

    def run() -> list[Quantities]:
        with _quiet():
            return [_complete(*one, score, horizon, backward) for one in zip(*data, strict=True)]

    return Contender(
        run, len(data.reward), lambda result: tuple(np.stack(x, axis=-1) for x in zip(*result, strict=True))
    )


def _complete(
    p: np.ndarray, r: np.ndarray, rho: np.ndarray, student: np.ndarray, expert: np.ndarray,
    score: Callable[[np.ndarray], np.ndarray], horizon: int, backward: Callable[..., np.ndarray],
) -> Quantities:  # fmt: skip
    states, actions = r.shape
    chain = student[:, None] @ p  # (S, 1, S'): the only action follows the policy
    v = backward((student * r).sum(axis=1, keepdims=True), chain, horizon)
    q = r + (v[1:] @ p.reshape(-1, states).T).reshape(horizon, states, actions)
    d = np.empty((horizon, states))
    d[0] = rho
    for h in range(horizon - 1):
        d[h + 1] = d[h] @ chain[:, 0]
    v = v[:-1]
    flow, scores = d[:, :, None] * student, score(expert / student)
    return v, q, d, flow * (q - v[:, :, None]), -flow * (scores - (student * scores).sum(axis=1, keepdims=True))


def _quantecon() -> Callable[..., np.ndarray]:
    from quantecon.markov import DiscreteDP, backward_induction

    return lambda r, p, horizon: backward_induction(DiscreteDP(r, p, 1.0), horizon)[0]


def _pymdptoolbox() -> Callable[..., np.ndarray]:
    from mdptoolbox.mdp import FiniteHorizon

    def backward(r: np.ndarray, p: np.ndarray, horizon: int) -> np.ndarray:
        solver = FiniteHorizon(p.transpose(1, 0, 2), r, 1.0, horizon)
        solver.run()
        return solver.V.T

    return backward


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Both libraries object to discount one, once per MDP; in a finite horizon it is in order."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def contenders(settings: Settings, divergence: str, compiled: bool = False) -> dict[str, Contender]:
    """Everyone, ours first, on the same problems; `compiled` adds `torch.compile`."""
    horizon, states, actions = settings.mdp_shape
    data = problems(settings.mdps, states, actions)
    some = Problems(*(x[: settings.looped] for x in data))
    n, score = settings.mdps, SCORES[divergence]
    p, r, rho, student, expert = batch_last(data, horizon)
    mdp = TabularMDP(p, r, rho, horizon=horizon, batch_ndim=1)

    def evaluate(spec: TabularMDP) -> Any:
        return objectives.evaluate(spec, student, expert, BY_NAME[divergence])

    def build() -> TabularMDP:
        return TabularMDP(p, r, rho, horizon=horizon, batch_ndim=1)

    everyone = {
        "distil_theory": Contender(lambda: evaluate(mdp), n),
        "distil_theory, with construction": Contender(lambda: evaluate(build()), n),
        "numpy, batch first": batched_numpy(data, horizon, score),
        "quantecon, loop": looped(some, horizon, score, "quantecon"),
        "pymdptoolbox, loop": looped(some, horizon, score, "pymdptoolbox"),
    }
    if compiled:
        from benchmarks.compiled import torch_compiled

        everyone["torch.compile"] = torch_compiled((p, r, rho, student, expert), horizon, divergence)
    return everyone


def bytes_per_mdp(shape: tuple[int, int, int]) -> int:
    """Inputs read once and outputs written once, with 8 bytes a number."""
    horizon, states, actions = shape
    inputs = states * actions * states + states * actions + states + 2 * horizon * states * actions
    outputs = horizon * states * (2 + 3 * actions)
    return 8 * (inputs + outputs)


def measure(settings: Settings, bandwidth: float, compiled: bool = False) -> list[Row]:
    """Both divergences; everyone has to agree before the clock starts."""
    rows = []
    for divergence in DIVERGENCES:
        everyone = contenders(settings, divergence, compiled)
        check_agreement({name: c.read(c.run()) for name, c in everyone.items()}, QUANTITIES)
        floor = bytes_per_mdp(settings.mdp_shape) / bandwidth
        rows += race("mdps", divergence, everyone, settings.mdp_rounds, floor)
    return rows
