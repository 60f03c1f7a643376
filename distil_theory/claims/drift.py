"""Teachers that drift, and two students that follow them: what claim 11d compares with its bounds.

Distributions are `(A,*B)`, sequences of teachers `(N,A,*B)`, in floats or balls.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from distil_theory import number_systems as ns
from distil_theory.number_systems import Array

ROUNDS, ETAS = 24, (Fraction(1, 20), Fraction(1), Fraction(20))
"""Teachers in a sequence, and sizes of the proximal steps that follow them."""
Follow = Callable[[Array, Array, Any], Array]


def proximal(student: Array, teacher: Array, eta: Any) -> Array:
    """`(pi + eta pi*) / (1 + eta)`."""
    return (student + eta * teacher) / (1 + eta)


def natural(student: Array, teacher: Array, eta: Any) -> Array:
    """`pi exp(eta (pi*/pi - 1)) / Z`, actions first."""
    new = student * ns.exp(eta * (teacher / student - 1))
    return new / new.sum(axis=0)


class Run(NamedTuple):
    """What a student of teachers `(N,A,*B)` paid, `sum_n KL(pi*_n||pi_n)`, and its least probability."""

    paid: Array
    least: Array


def run(teachers: Array, targets: Array, step: Follow, eta: Any) -> Run:
    """From a uniform student, with steps towards the `targets`, usually the teachers themselves."""
    student = teachers[0] * 0 + 1
    student = student / student.sum(axis=0)
    paid, least = student[0] * 0, student[0]
    for teacher, target in zip(teachers, targets, strict=True):
        paid = paid + (ns.xlogx(teacher) - teacher * ns.log(student)).sum(axis=0)
        student = step(student, target, eta)
        least = -ns.amax(-ns.stack([least, *student]), 0)
    return Run(paid, least)


def flips(pair: Array, rounds: int, step: Follow, eta: Any) -> tuple[Any, Any]:
    """Mean over all tosses of what the student pays, and of the path; the teacher is one of `pair (2,A)` each round."""
    tosses = [np.stack([pair[c] for c in coins]) for coins in product((0, 1), repeat=rounds)]
    paid = sum(run(t, t, step, eta).paid for t in tosses) / len(tosses)
    return paid, sum(path(t) for t in tosses) / len(tosses)


def path(teachers: Array) -> Array:
    """`sum_n ||pi*_{n+1} - pi*_n||_1`."""
    return abs(teachers[1:] - teachers[:-1]).sum(axis=1).sum(axis=0)


def sparse(teachers: Array) -> Array:
    """The same teachers with zeros: actions less than half as likely as the likeliest are never taken."""
    kept = ns.where(2 * teachers < ns.amax(teachers, 1)[:, None], teachers * 0, teachers)
    return kept / kept.sum(axis=1)[:, None]


def one_step(teachers: Array, floor: Any, phi: Any, eta: Any, rate: Any) -> tuple[Array, Array]:
    """The least of `KL(p||x) - rate chi2 - KL(p||x')` and of `x' - phi` over natural steps from students near `phi`.

    Of each round the student is the teacher with its last action brought down to `phi`, and the next teacher shows the
    way. Then both have all but one action at their floors: there, with a third action, neither bound has much to spare.
    """
    actions, ones = teachers.shape[1], (1,) * (teachers.ndim - 2)
    low = np.moveaxis(teachers, 1, 0).copy()
    low[0], low[-1] = low[0] + low[-1] - phi, phi
    each = np.eye(actions, dtype=int).reshape(actions, actions, *ones)
    theirs, own = (least + (1 - actions * least) * each for least in (floor, phi))
    p = np.concatenate([np.roll(np.moveaxis(teachers, 1, 0), -1, axis=1), np.repeat(theirs, actions, axis=1)], axis=1)
    x = np.concatenate([low, np.tile(own, (1, actions, *ones))], axis=1)
    new, chi2 = natural(x, p, eta), (ns.power(p - x, 2) / x).sum(axis=0)
    nearer = (p * ns.log(new / x)).sum(axis=0) - rate * chi2
    return -ns.amax(-nearer, 0), -ns.amax(ns.amax(phi - new, 0), 0)


def slacks(teachers: Array) -> list[Array]:
    """Bound minus what was paid of each student, and least probability minus its floor."""
    rounds, actions = teachers.shape[:2]
    floor, out = -ns.amax(ns.amax(-teachers, 1), 0), []
    one = floor * 0 + 1
    log_actions = ns.log(one * actions)

    def bound(given: Array, least: Array, rate: Any) -> Array:
        last = -ns.xlogx(given[-1]).sum(axis=0)
        return (log_actions - last + ns.log(1 / least) / 2 * path(given)) / rate

    for eta in ETAS:
        size = one * eta.numerator / eta.denominator
        found = run(teachers, teachers, proximal, size)
        out += [bound(teachers, floor, size / (1 + size)) - found.paid, found.least - floor]
    phi = floor / (ns.exp(one) - 1)
    eta = phi / (1 - phi)
    rate = eta * (1 - (ns.exp(one) - 2) * eta)
    found = run(teachers, teachers, natural, eta)
    out += [bound(teachers, phi, rate) - found.paid, found.least - phi, *one_step(teachers, floor, phi, eta, rate)]
    zero, small = sparse(teachers), one / ((rounds + 1) * actions)
    found = run(zero, (1 - actions * small) * zero + small, proximal, one)
    cost = rounds * ns.log(1 / (1 - actions * small))
    return [*out, bound(zero, small, one / 2) + cost - found.paid]


def draw(rng: np.random.Generator, actions: int, n: int) -> np.ndarray:
    """Teachers `(N,A,n)`: they walk, jump, flip between two, or hardly move; some nearly abandon an action."""
    kind, sharp = rng.integers(0, 4, n), 10 ** rng.uniform(-1, 1, n)
    powers = rng.standard_gamma(np.broadcast_to(sharp, (ROUNDS, actions, n))) + 10 ** rng.uniform(-6, -1, n)
    jumps = powers / powers.sum(axis=1, keepdims=True)
    stay = (rng.random((ROUNDS, n)) < 0.5)[:, None]
    two = np.where(stay, jumps[0], jumps[0, ::-1])
    pace = 10 ** rng.uniform(-6, 0, n)
    walk, still = [jumps[0]], 1 / actions + pace * (jumps - 1 / actions)
    for target in jumps[1:]:
        walk.append((1 - pace) * walk[-1] + pace * target)
    return np.select([kind == 0, kind == 1, kind == 2], [np.stack(walk), jumps, two], still)
