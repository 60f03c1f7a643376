r"""Random MDPs with bounded ratios, and ascents that know nothing of the worst case (THEORY claims 8b, 8c and 16).

*Random pairs*: a batch of MDPs that pay in [0, 1] at the end, transitions from nearly certain to nearly uniform, and
experts that prefer actions in a random order, `u = pi*/pi = 1 + t c (v - E_pi v)` with the largest `c` for which `u`
stays in `[m, M]`.

*Ascents*: binary trees (every deterministic MDP of two actions unrolls into one) whose ratios and final rewards move
uphill, all of a batch at once, from random starts. They are told what to look for and how it changes, not that the
worst ratios are the same in every state, nor which rewards are worst. Where the expert has to be better in every state,
the rewards found are mixed with rewards for the last label, of which that is true, until it holds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from distil_theory import horizon_tree, objectives, solve
from distil_theory.claims import ascents
from distil_theory.divergences import FORWARD_KL
from distil_theory.spec import TabularMDP

GOALS = ("average", "everywhere", "above")
"""What an ascent seeks: loss, the gap counted at a price; the same with `V* >= V` everywhere; a rate above the gap."""
SHARP = 1.0
"""Price of a state in which the expert is worse than it should be."""


class Pairs(NamedTuple):
    """What a small local step of forward KL does in each MDP of a batch, arrays `(n,)`.

    `least`: the smallest `V* - V` of any state and step; `chi2`: the largest `E_pi (u-1)^2`; `low`, `high`: the ends of
    the ratios.
    """

    rate: np.ndarray
    gap: np.ndarray
    least: np.ndarray
    chi2: np.ndarray
    low: np.ndarray
    high: np.ndarray


def evaluated(mdp: TabularMDP, student: np.ndarray, expert: np.ndarray) -> Pairs:
    """All of it by the library, whose arrays end with the batch."""
    found = objectives.evaluate(mdp, student, expert, FORWARD_KL)
    better = solve.values(mdp, expert)[0] - found.v
    ratio = expert / student
    return Pairs(
        rate=(found.return_gradient * ratio).sum(axis=(0, 1, 2)),  # the natural step moves the logits by u
        gap=(mdp.initial * better[0]).sum(axis=0),
        least=better.min(axis=(0, 1)),
        chi2=(student * (ratio - 1) ** 2).sum(axis=2).max(axis=(0, 1)),
        low=ratio.min(axis=(0, 1, 2)),
        high=ratio.max(axis=(0, 1, 2)),
    )


def random_pairs(steps: int, states: int, actions: int, low: float, high: float, n: int, seed: list[int]) -> Pairs:
    """`n` random pairs; the stream depends on the arguments."""
    rng = np.random.default_rng([*seed, steps, states, actions])
    shape = (steps, states, actions)
    student, moves = (rng.exponential(size=size) for size in ((*shape, n), (*shape, states, n)))
    student /= student.sum(axis=2, keepdims=True)
    moves **= 10 ** rng.uniform(0, 1, size=n)  # the larger the power, the nearer to certain
    moves /= moves.sum(axis=3, keepdims=True)
    reward = np.zeros(student.shape)
    reward[-1] = np.clip(rng.uniform(-0.5, 1.5, size=reward[-1].shape), 0, 1)
    order = rng.normal(size=student.shape)
    order -= (student * order).sum(axis=2, keepdims=True)
    reach = np.minimum((high - 1) / order.max(axis=2, keepdims=True), (low - 1) / order.min(axis=2, keepdims=True))
    far = rng.uniform(size=n) ** 0.25
    initial = np.zeros((states, n))
    initial[0] = 1
    return evaluated(TabularMDP(moves, reward, initial, batch_ndim=1), student, student * (1 + far * reach * order))


def _value(goal: str, price: np.ndarray, rate: Any, better: Any) -> Any:
    """What climbs; complex numbers carry slopes."""
    if goal == "above":
        return rate - better[0]
    lacking = (better * (better.real < 0)).sum(axis=0) if goal == "everywhere" else 0
    return price * better[0] - rate + SHARP * lacking


def ascend(goal: str, steps: int, low: float, high: float, price: np.ndarray, rounds: int, seed: list[int]) -> Pairs:
    """One ascent for each `price (n,)`, from a random start; projected, by Adam with a step that shrinks."""
    rng = np.random.default_rng([*seed, steps, GOALS.index(goal)])
    ends = np.array(ascents.box(steps, low, high))[:, :, None]
    width = ends[:, 1] - ends[:, 0]
    x = ends[:, 0] + width * rng.random((len(ends), len(price)))
    mean, square = np.zeros(x.shape), np.zeros(x.shape)
    small = 1e-30j * np.eye(len(x))[:, :, None]
    for t in range(rounds):
        slope = width * _value(goal, price, *ascents.fold(x[:, None] + small, steps)).imag * 1e30
        mean, square = 0.9 * mean + 0.1 * slope, 0.99 * square + 0.01 * slope**2
        unbiased = mean / (1 - 0.9 ** (t + 1)) / (np.sqrt(square / (1 - 0.99 ** (t + 1))) + 1e-12)
        x = np.clip(x + 0.1 * 0.002 ** (t / rounds) * width * unbiased, ends[:, 0], ends[:, 1])
    nodes = 2**steps - 1
    if goal == "everywhere":
        x[2 * nodes :] = _repaired(x, steps)
    return evaluated(*trees(x, steps))


def _repaired(x: np.ndarray, steps: int) -> np.ndarray:
    """The leaves, mixed with rewards for the last label `M` as far as `V* >= V` everywhere wants it: values are linear.

    What the last step pays is scaled so that the student earns the same wherever it is: then the expert earns more.
    """
    nodes = 2**steps - 1
    up, down, leaves = x[:nodes], x[nodes : 2 * nodes], x[2 * nodes :]
    chance = ((1 - down) / (up - down))[nodes // 2 :]
    last = np.stack([chance.min(axis=0) / chance, 0 * chance], axis=1).reshape(leaves.shape)
    better, surely = (ascents.fold(np.concatenate([up, down, r]), steps)[1] for r in (leaves, last))
    lacking = np.maximum(1e-9 - better, 0)
    share = (lacking / (lacking + surely)).max(axis=0)
    return (1 - share) * leaves + share * last


def trees(x: np.ndarray, steps: int) -> tuple[TabularMDP, np.ndarray, np.ndarray]:
    """MDPs, students and experts of coordinates `(D, n)` as in `ascents.fold`, by the layout of `horizon_tree.tree`."""
    nodes, n = 2**steps - 1, x.shape[1]
    one = [np.full((2**h, 2), 0.5) for h in range(steps)]
    layout, half, _ = horizon_tree.tree(one, [2 * row for row in one], np.zeros(2**steps))
    student = np.repeat(half[..., None], n, axis=3)
    expert = student.copy()
    for h in range(steps):
        u = np.stack([x[start + 2**h - 1 : start + 2 ** (h + 1) - 1] for start in (0, nodes)], axis=1)
        student[h, : 2**h] = np.stack([1 - u[:, 1], u[:, 0] - 1], axis=1) / (u[:, :1] - u[:, 1:])
        expert[h, : 2**h] = student[h, : 2**h] * u
    reward = np.zeros(student.shape)
    reward[-1] = x[2 * nodes :].reshape(-1, 2, n)
    transition, initial = (np.repeat(y[..., None], n, axis=-1) for y in (layout.transition, layout.initial))
    return TabularMDP(transition, reward, initial, batch_ndim=1), student, expert
