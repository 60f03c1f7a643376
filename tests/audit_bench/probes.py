"""Held-out logits, and how a loss answers them: its costs and its gradients, in expectation where tokens are drawn."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace

import numpy as np
import torch


@dataclass(frozen=True)
class Probe:
    """Logits `(batch, token, vocab)`, a mask and tokens of the student `(batch, token)`."""

    student: torch.Tensor
    teacher: torch.Tensor
    mask: torch.Tensor
    labels: torch.Tensor

    def with_(self, **fields) -> Probe:
        return replace(self, **fields)


def probe(seed: int = 0, shape=(2, 4, 7), spread: float = 1.5, *, full: bool = False, dtype=torch.float64) -> Probe:
    """Random logits; the mask has zeros unless `full`, never at two neighbours alike in every row."""
    rng = np.random.default_rng([seed, 7])
    student, teacher = (torch.tensor(rng.normal(size=shape) * spread, dtype=dtype) for _ in range(2))
    mask = torch.ones(shape[:2], dtype=dtype)
    if not full:
        for row in mask:
            row[torch.tensor(rng.permutation(shape[1])[: int(rng.integers(1, shape[1]))])] = 0
    gumbel = torch.tensor(rng.gumbel(size=shape))
    return Probe(student, teacher, mask, (student.double() + gumbel).argmax(-1))


def arguments(loss) -> list[str]:
    """Which fields of a probe the loss takes, in its order."""
    names = {"student_logits": "student", "teacher_logits": "teacher"}
    required = [p for p in inspect.signature(loss).parameters.values() if p.default is p.empty]
    return [names.get(p.name, p.name) for p in required]


def cost(case, at: Probe, **parameters):
    """What the loss returns, as a tensor."""
    given = [getattr(at, name) for name in arguments(case.loss)]
    if not case.numpy:
        return case.loss(*given, **parameters)
    with np.errstate(all="ignore"):
        return torch.as_tensor(np.asarray(case.loss(*(x.detach().numpy() for x in given), **parameters)))


def gradients(case, at: Probe, **parameters):
    """Gradients in student and teacher of the sum of what the loss returns; of arrays by central differences."""
    if case.numpy:
        return differences(case, at), torch.zeros_like(at.teacher)
    student, teacher = (x.clone().requires_grad_() for x in (at.student, at.teacher))
    total = cost(case, at.with_(student=student, teacher=teacher), **parameters).sum()
    if not total.requires_grad:
        return torch.zeros_like(student), torch.zeros_like(teacher)
    found = torch.autograd.grad(total, (student, teacher), allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, (student, teacher), strict=True)]


def differences(case, at: Probe, step: float = 1e-5):
    found = torch.zeros_like(at.student)
    for place in np.ndindex(*at.student.shape):
        move = torch.zeros_like(at.student)
        move[place] = step
        up, down = (cost(case, at.with_(student=at.student + sign * move)).sum() for sign in (1, -1))
        found[place] = (up - down) / (2 * step)
    return found


def expected_gradient(case, at: Probe):
    """The student's gradient; with tokens, `sum_v q_v` of that with every token `v` (positions do not interact)."""
    if "labels" not in arguments(case.loss):
        return gradients(case, at)[0]
    q = at.student.softmax(-1)
    every = [gradients(case, at.with_(labels=torch.full_like(at.labels, v)))[0] for v in range(q.shape[-1])]
    return sum(q[..., v, None] * every[v] for v in range(q.shape[-1]))


def expected_cost(case, at: Probe):
    """The value; with tokens its expectation, of a single token."""
    if "labels" not in arguments(case.loss):
        return cost(case, at)
    assert at.labels.numel() == 1
    q = at.student.softmax(-1)[0, 0]
    return sum(q[v] * cost(case, at.with_(labels=torch.full_like(at.labels, v))) for v in range(len(q)))
