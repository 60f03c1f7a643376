r"""What a log identifies, and the estimators: a number per group, unbiased for that group's rate.

A *group* is one prompt with one teacher context; its rollouts `1..n` are drawn independently from the student `pi`.
Along a rollout `u_h = pi*/pi` is the ratio at the token that was written, `Lambda_h = u_1 .. u_h`, `R` the reward. A
token MDP is a tree: prefixes are states. THEORY claim 1 says that a natural step has, per group, the rate

    sum_h E_{s ~ d_h} Cov_{a ~ pi}( Q_h(s,a), x_h(s,a) )  =  E_pi[ R sum_h (x_h - E_pi[x_h | s_h]) ],

since `E[R | s_h, a_h]` is `Q_h` plus what has been paid before, which a score of mean zero given `s_h` does not see.
So every rate is `E[(R - b) X]`, `X = sum_h x_h` a sum over the tokens of one rollout, with

| name | x_h | |
| --- | --- | --- |
| `local/forward_kl` | `u_h - 1` | claim 16 |
| `clipped/forward_kl` | `min(Lambda_{h-1}, c) (u_h - 1)` | claim 15 |
| `sequence/f` | `h_f(Lambda_h) - h_f(Lambda_{h-1})`, which add up to `h_f(Lambda) - h_f(1)` | a bandit |

*The within-group covariance.* `1/(n-1) sum_i (R_i - mean R) X_i` is the unbiased U-statistic of `Cov(R, X)`, so it is
unbiased for `sequence/f`; and for the others, as there `E X = 0`. It is also the mean over `i` of `(R_i - mean of the
others) X_i`, a leave-one-out baseline. Where a group is one rollout, `Cov` within it is not identified; scores of mean
zero take the rewards of the *other groups* for a baseline, which is unbiased, too.

`sequence/forward_kl` telescopes to `sum_h Lambda_{h-1} (u_h - 1)`: prefix-weighted forward KL, the gap `J* - J`
(claim 2). `sequence/reverse_kl` is the *full* gradient of reverse KL (`E_pi sum_h KL(pi||pi*)` is the KL of the
sequences, and a natural step does not depend on how they are parametrised).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distil_theory.diagnosis.log import Array, Block
from distil_theory.divergences import CATALOGUE, FORWARD_KL, FDivergence

CLIP = 2.0
"""Prefix weights of `clipped/forward_kl` are clipped here."""


@dataclass(frozen=True)
class Column:
    """One rate that a log identifies: `level` is local, clipped, sequence or euclidean."""

    level: str
    divergence: FDivergence

    @property
    def name(self) -> str:
        """`level/divergence`."""
        return f"{self.level}/{self.divergence.name}"

    @property
    def centred(self) -> bool:
        """Whether the score has mean zero whatever the teacher: then a group of one rollout is enough."""
        return self.level != "sequence" or self.divergence.name == "forward_kl"


def columns(block: Block, divergences: Sequence[FDivergence] = CATALOGUE) -> tuple[Column, ...]:
    """The rates that a log of this form identifies."""
    return (
        Column("local", FORWARD_KL),
        Column("clipped", FORWARD_KL),
        *(Column("sequence", d) for d in divergences),
    )


def score(divergence: FDivergence, log_u: Array) -> Array:
    """`h_f(u) - h_f(1)` from `log u`: reverse KL needs no `u`, which may be below every float."""
    if divergence.name == "reverse_kl":
        return log_u
    with np.errstate(over="ignore", divide="ignore", under="ignore"):
        return np.asarray(divergence.h(np.exp(log_u)) - divergence.h(np.ones(1)))


def _running(x: Array, starts: Array) -> Array:
    """Sums of `x` along each rollout, the token itself included, `(T,)`."""
    total = np.cumsum(x)
    before = np.concatenate([[0.0], total])[starts[:-1]]
    return total - np.repeat(before, np.diff(starts))


def token_terms(block: Block, plan: Sequence[Column], clip: float = CLIP) -> Array:
    """`x_h` of every token, `(T, K)`."""
    log_u = block.teacher - block.student
    after = _running(log_u, block.starts)
    before = np.concatenate([[0.0], after[:-1]])
    before[block.starts[:-1]] = 0
    u = np.exp(log_u)
    terms = np.empty((len(log_u), len(plan)))
    for k, column in enumerate(plan):
        if column.level == "local":
            terms[:, k] = u - 1
        elif column.level == "clipped":
            terms[:, k] = np.minimum(np.exp(np.minimum(before, np.log(clip))), clip) * (u - 1)
        else:
            terms[:, k] = score(column.divergence, after) - score(column.divergence, before)
    return terms


def covariance(block: Block, scores: Array, plan: Sequence[Column]) -> Array:
    """Within-group covariance of reward and score, `(G, K)`, from scores of rollouts `(N, K)`; NaN for a group of
    one, unless the score is centred: then the baseline is that of the other groups."""
    n = block.sizes
    mean = np.add.reduceat(block.reward, block.groups[:-1]) / n
    apart = block.reward - np.repeat(mean, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.add.reduceat(apart[:, None] * scores, block.groups[:-1], axis=0) / (n - 1)[:, None]
    alone = n == 1
    if alone.any():
        total, count = block.reward.sum(), len(block.reward)
        first = block.groups[:-1][alone]
        b = (total - block.reward[first]) / (count - 1) if count > 1 else np.zeros(1)
        found[alone] = (block.reward[first] - b)[:, None] * scores[first]
        found[np.ix_(alone, [not column.centred for column in plan])] = np.nan
    return found


def contributions(block: Block, plan: Sequence[Column], clip: float = CLIP) -> Array:
    """A number per group and rate, `(G, K)`; its mean over groups estimates the rate without bias.

    Args:
        block: whole groups; several logs may lie behind one another.
        plan: which rates, from `columns`.
        clip: of `clipped/forward_kl`.
    """
    scores = np.add.reduceat(token_terms(block, plan, clip), block.starts[:-1], axis=0)
    return covariance(block, scores, plan)
