"""One problem whose feedback is a set of answers: written token by token, taught by whoever knows the set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from distil_theory import experts, objectives, solve
from distil_theory import number_systems as ns
from distil_theory.claims import symbols
from distil_theory.divergences import FDivergence
from distil_theory.falsify import Found, merge, smallest
from distil_theory.instances.prefixes import PrefixTree
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP

SHAPES = ((1, 3), (2, 2), (2, 3), (3, 2))
"""Length of answers and number of tokens that are tried, with two values of the feedback."""
SEVERAL, ROUNDS = 5000, 6
"""Instances drawn at a time, and how often the best of them are improved on."""
RARE = [["1/10", "9/10"], ["4/5", "1/5"], ["1/2", "1/2"]], [1, 0, 0, 0], [[1, 0, 1, 1]]
"""A rare way, right in 4 of 5 cases; the usual one earns nothing and agrees. Student per prefix, `R`, `C`."""
LOST = [["1/10", "9/10"], ["1/10", "9/10"], *[["1/2", "1/2"]] * 2, ["1/10", "9/10"], *[["1/2", "1/2"]] * 2], [
    *[1, 1, 0, 0], *[0] * 4], [[1, 1, 1, 0, 1, 1, 1, 1]]  # fmt: skip
"""The same with three tokens: the rare way is always right if the second token is, else it mostly leaves `C`."""


def written(student: Array, paid: Array, agree: Array, law: Array) -> tuple[TabularMDP, TabularMDP, Array]:
    """One problem, the same with `C` as its reward, and the student `(H,S,A,*B)`.

    Args:
        student: `(prefixes, tokens, *B)`, in the order of `PrefixTree`.
        paid: `R (answers, *B)`.
        agree: `C (values of the feedback, answers, *B)`, 0 or 1.
        law: probability of each value of the feedback, `(values, *B)`.
    """
    (nodes, tokens, *batch), values = student.shape, len(law)
    tree = PrefixTree(tokens, next(n for n in range(1, nodes + 1) if PrefixTree(tokens, n).size == nodes))
    end, one = values * nodes, student.reshape(-1)[0] * 0 + 1
    at, child = np.arange(end) % nodes, tokens * (np.arange(end)[:, None] % nodes) + 1 + np.arange(tokens)
    after = np.append(np.where(child < nodes, np.arange(end)[:, None] - at[:, None] + child, end), [[end] * tokens], 0)
    transition = (np.eye(end + 1, dtype=int)[after] * one).reshape(end + 1, tokens, end + 1, *[1] * len(batch))

    def ends(marks: Array) -> Array:
        table = np.zeros((end + 1, tokens, *batch), dtype=int) + 0 * one
        for k, row in enumerate(marks):
            table[k * nodes + tree.start(tree.length - 1) : (k + 1) * nodes] = row.reshape(-1, tokens, *batch)
        return table

    initial = np.zeros((end + 1, *batch), dtype=int) + 0 * one
    initial[:end:nodes] = law
    seen, shape = np.append(at, nodes), (tree.length, end + 1, tokens, *batch)
    transition = np.broadcast_to(transition, (*transition.shape[:3], *batch))
    mdp, judged = (
        TabularMDP(transition, ends(x), initial, tree.length, seen, len(batch))
        for x in (np.stack([paid] * values), agree)
    )
    idle = np.broadcast_to(one / tokens, (1, tokens, *batch))
    return mdp, judged, np.broadcast_to(np.concatenate([*[student] * values, idle]), shape)


def taught(judged: TabularMDP, student: Array, trust: Array) -> Array:
    """The teacher, trusted to a share."""
    return trust * experts.success_conditioned(judged, student) + (1 - trust) * student


def slack(mdp: TabularMDP, judged: TabularMDP, student: Array, trust: Array, divergence: FDivergence) -> Array:
    """Rate minus bound."""
    rate = objectives.improvement_rate(mdp, student, taught(judged, student, trust), divergence)
    earns, agrees = (solve.values(x, student)[0][0] for x in (mdp, judged))
    never = ns.iszero(agrees)
    surprise = -ns.log(ns.where(never, agrees * 0 + 1, agrees))
    return rate - trust * ns.scale((ns.common(mdp.initial, earns)[0] * earns * surprise).sum(axis=0), divergence.unit)


def exactly(student: Any, paid: Any, agree: Any, trust: str) -> tuple[TabularMDP, Array, Array]:
    """An instance with one value of the feedback, in rationals."""
    mdp, judged, pi = written(*(ns.convert(x, "rational") for x in (student, paid, agree, [1])))
    return mdp, pi, taught(judged, pi, symbols.rational(trust))


def draw(rng: np.random.Generator, tree: PrefixTree, n: int) -> tuple[np.ndarray, ...]:
    """Students of any sharpness, one or many right answers, sets from the smallest to the largest, any trust."""
    rows = rng.standard_exponential((tree.size, tree.tokens, n)) ** rng.choice([0.3, 1, 5], n) + 1e-9
    right = rng.random((tree.answers, n)) < rng.choice([0, 0, 1], n) * rng.random(n)
    right[rng.integers(0, tree.answers, n), np.arange(n)] = True
    paid = right * np.where(rng.random(n) < 0.5, 1, rng.random((tree.answers, n)))
    agree = right | (rng.random((2, tree.answers, n)) < rng.random((2, 1, n)))
    first = rng.random(n) ** rng.choice([0.01, 1], n)
    trust = 1 - 10 ** rng.uniform(-5, -0.01, n)
    return rows / rows.sum(axis=1, keepdims=True), paid, agree * 1.0, np.stack([first, 1 - first]), trust


def attack(margin: Callable[..., Array], n: int, seed: int) -> Found:
    """Random instances, and downhill from the smallest margins: students whose odds are changed at random."""
    found: list[Found] = []
    for length, tokens in SHAPES:
        rng, tree, left = np.random.default_rng([seed, length, tokens]), PrefixTree(tokens, length), -(-n // 40)
        while left > 0:
            parts = draw(rng, tree, min(SEVERAL, left))
            best = smallest(margin(*parts), len(parts[-1]), *parts)
            for _ in range(ROUNDS):
                rows, *rest = (np.repeat(np.stack(x, axis=-1), 4, axis=-1) for x in zip(*best.instances, strict=True))
                rows = rows * np.exp(rng.normal(size=rows.shape) * rng.choice([0.1, 1, 4], rows.shape[-1])) + 1e-12
                parts = rows / rows.sum(axis=1, keepdims=True), *rest
                best = merge([best, smallest(margin(*parts), rows.shape[-1], *parts)])
            found, left = [merge([*found, best])], left - SEVERAL
    return found[0]
