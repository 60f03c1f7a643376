"""Answers of unequal length, every pair of them: rates are those of the definition."""

import numpy as np

from distil_theory.diagnosis import rates
from distil_theory.diagnosis.log import Block
from distil_theory.divergences import CATALOGUE

ANSWERS = ((0,), (1, 0), (1, 1))
STUDENT, TEACHER = ((0.5, 0.5), (0.4, 0.6)), ((0.7, 0.3), (0.9, 0.1))
REWARD = np.array([1.0, 0.2, 0.6])


def along(policy, answer):
    return np.array([policy[h][a] for h, a in enumerate(answer)])


def test_rates_of_answers_that_end_early():
    q, p = (np.array([along(policy, answer).prod() for answer in ANSWERS]) for policy in (STUDENT, TEACHER))
    pairs = [(i, j) for i in range(3) for j in range(3)]
    drawn = [ANSWERS[i] for pair in pairs for i in pair]
    block = Block(
        groups=np.arange(0, 19, 2),
        starts=np.cumsum([0, *(len(answer) for answer in drawn)]),
        reward=np.array([REWARD[i] for pair in pairs for i in pair]),
        student=np.log(np.concatenate([along(STUDENT, answer) for answer in drawn])),
        teacher=np.log(np.concatenate([along(TEACHER, answer) for answer in drawn])),
    )
    plan = rates.columns(block, CATALOGUE)
    mean = np.array([q[i] * q[j] for i, j in pairs]) @ rates.contributions(block, plan, clip=0.5)
    found = {column.name: x for column, x in zip(plan, mean, strict=True)}
    ratios = [along(TEACHER, answer) / along(STUDENT, answer) for answer in ANSWERS]
    local = [(u - 1).sum() for u in ratios]
    clipped = [u[0] * 0.5 - 0.5 + (min(u[0], 0.5) * (u[1] - 1) if len(u) > 1 else 0) for u in ratios]
    np.testing.assert_allclose(found["local/forward_kl"], q @ (REWARD * local))
    np.testing.assert_allclose(found["clipped/forward_kl"], q @ (REWARD * clipped))
    np.testing.assert_allclose(found["sequence/forward_kl"], (p - q) @ REWARD)
    for d in CATALOGUE:
        score = d.h(p / q)
        np.testing.assert_allclose(found[f"sequence/{d.name}"], q @ (REWARD * score) - (q @ REWARD) * (q @ score))
