r"""Restricted students over several prompts, trained with exact expectations; batch axis last.

Prompts `x` of weight `w_x`, answers `a`, right ones marked. Every objective moves the logits `z[x,a]` along

    w_x pi(a|x) ( g(x,a) - E_pi g ),    g = u, log u, log(1 + u)/... of u = teacher/pi, or right/P_x, or right,

for forward CE, reverse KL, Jensen-Shannon, likelihood RL, plain RL: the local gradient of claim 1, the teacher held
fixed during a step. The class turns it into a gradient of its parameters: one row of logits for all prompts, or `z = U
V^T` of rank k, with a row of `U` for every prompt that the student can tell from the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from distil_theory.success import pass_of_prompts, truthful_teacher

OBJECTIVES = ("distil", "sdpo", "opsd", "likelihood", "rl")
TEACHERS = ("fixed", "own")
RUNS = (*((o, t) for t in TEACHERS for o in OBJECTIVES[:3]), ("likelihood", "none"), ("rl", "none"))
"""Objectives with their teachers; the last two need none."""
FLOOR = 0.01
"""The share of a teacher that is anything at all (fixed) or the student (own)."""
WATCHED = (1, 8, 64)
RATE, BETAS = 0.05, (0.9, 0.99)
"""Of Adam (Kingma & Ba 2015); the rate falls to zero along a cosine."""


class Prompts(NamedTuple):
    """A batch of problems: `weights (X,B)`, which answers are right, 0 or 1, `right (X,A,B)`, and how many prompts in a
    row look alike even to a student of full rank."""

    weights: np.ndarray
    right: np.ndarray
    contexts: int = 1


def random_prompts(
    rng: np.random.Generator, prompts: int, answers: int, rights: int, size: int, contexts: int = 1
) -> Prompts:
    """Weights from Dirichlet(1); `rights` right answers per prompt, drawn without replacement."""
    order = rng.random((prompts, answers, size)).argsort(axis=1).argsort(axis=1)
    return Prompts(rng.dirichlet(np.ones(prompts), size).T, (order < rights) * 1.0, contexts)


def log_policy(logits: np.ndarray) -> np.ndarray:
    """`log pi (X,A,B)`."""
    top = logits - logits.max(axis=1, keepdims=True)
    return top - np.log(np.exp(top).sum(axis=1, keepdims=True))


def ascent(problem: Prompts, logits: np.ndarray, objective: str, teacher: str, floor: float = FLOOR) -> np.ndarray:
    """Direction of the logits, `(X,A,B)`."""
    log_pi, right = log_policy(logits), problem.right > 0
    pi, log_joint = np.exp(log_pi), np.where(right, log_pi, -np.inf)
    top = log_joint.max(axis=1, keepdims=True)  # in logs: success may be rarer than floats can say
    log_success = top + np.log(np.exp(log_joint - top).sum(axis=1, keepdims=True))
    given = np.exp(log_joint - log_success)
    if objective == "likelihood":
        return problem.weights[:, None] * (given - pi)
    if objective == "rl":
        return problem.weights[:, None] * np.exp(log_success) * (given - pi)
    if teacher == "own":
        log_u = np.where(right, np.logaddexp(np.log1p(-floor) - log_success, np.log(floor)), np.log(floor))
    else:
        log_u = np.log(truthful_teacher(problem.right, floor)) - log_pi
    if objective == "distil":
        return problem.weights[:, None] * (np.exp(log_pi + log_u) - pi)
    score = log_u if objective == "sdpo" else np.logaddexp(0, log_u)
    return problem.weights[:, None] * pi * (score - (pi * score).sum(axis=1, keepdims=True))


def alike(
    problem: Prompts, rng: np.random.Generator
) -> tuple[list[np.ndarray], Callable[..., Any], Callable[..., Any]]:
    """The aliased class: first parameters, parameters to logits, direction of logits to direction of parameters."""
    _, answers, size = problem.right.shape
    first = [0.1 * rng.normal(size=(1, answers, size))]
    return (
        first,
        lambda theta: np.broadcast_to(theta[0], problem.right.shape),
        lambda _, g: [g.sum(axis=0, keepdims=True)],
    )


def of_rank(k: int) -> Callable[..., Any]:
    """The class of rank-k logits, in the same form; it starts near the uniform policy."""

    def make(problem: Prompts, rng: np.random.Generator) -> tuple[list[np.ndarray], Any, Any]:
        prompts, answers, size = problem.right.shape
        seen = prompts // problem.contexts
        first = [rng.normal(size=(n, k, size)) * 0.3 / np.sqrt(k) for n in (seen, answers)]

        def pull(theta: list[np.ndarray], g: np.ndarray) -> list[np.ndarray]:
            g = g.reshape(seen, -1, answers, size).sum(axis=1)
            return [np.einsum("oab,akb->okb", g, theta[1]), np.einsum("oab,okb->akb", g, theta[0])]

        return first, lambda theta: np.einsum("okb,akb->oab", *theta).repeat(problem.contexts, axis=0), pull

    return make


def student_class(rank: int) -> Callable[..., Any]:
    """Rank 0 is the aliased class."""
    return of_rank(rank) if rank else alike


class Trained(NamedTuple):
    """What training found: `pi (X,A,B)` at the end, Pass@N `(times, WATCHED, B)` at `steps (times,)`."""

    pi: np.ndarray
    steps: np.ndarray
    passes: np.ndarray


def train(
    problem: Prompts,
    rank: int,
    objective: str,
    teacher: str,
    steps: int,
    rng: np.random.Generator,
    floor: float = FLOOR,
    watch: Sequence[int] = (),
) -> Trained:
    """Adam for `steps` steps; `watch` says after which of them to look."""
    theta, logits_of, pull = student_class(rank)(problem, rng)
    moments = [[np.zeros_like(x), np.zeros_like(x)] for x in theta]
    seen: list[np.ndarray] = []
    wanted = set(watch)
    for step in range(steps + 1):
        logits = logits_of(theta)
        if step in wanted:
            success = (np.exp(log_policy(logits)) * problem.right).sum(axis=1)
            seen.append(np.stack([pass_of_prompts(problem.weights, success, n) for n in WATCHED]))
        if step == steps:
            break
        rate = RATE * (1 + np.cos(np.pi * step / steps)) / 2
        for x, g, m in zip(
            theta, pull(theta, ascent(problem, logits, objective, teacher, floor)), moments, strict=True
        ):
            m[0] += (1 - BETAS[0]) * (g - m[0])
            m[1] += (1 - BETAS[1]) * (g * g - m[1])
            first, second = m[0] / (1 - BETAS[0] ** (step + 1)), m[1] / (1 - BETAS[1] ** (step + 1))
            x += rate * first / (np.sqrt(second) + 1e-12)
    return Trained(np.exp(log_policy(logits)), np.array(sorted(wanted)), np.array(seen))
