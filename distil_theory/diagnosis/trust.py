r"""When an interval is not to be trusted, from three looks at the weights. The limits were chosen on some games and are
judged on others (`experiments.diagnosis`).

1. *Too few groups carry the variance* (`bootstrap`): fewer than `CARRYING`.
2. *What the log has not seen.* A mean of `Lambda^a` may live on rollouts so rare that none was drawn; then the log
   looks tame, and its interval is narrow and wrong. Tokens are many more than rollouts, and tell: if ratios along a
   rollout were independent, `E Lambda^s = prod_h E u_h^s`, means over the tokens of a position. A score that grows like
   `Lambda^a` has about `N (E Lambda^2a)^2 / E Lambda^4a` effective rollouts (`N` over the kurtosis). Fewer than
   `EXPECTED`: a warning. For forward KL `a = 1`, Hellinger 1/2, Pearson 2, Neyman -1 (heavy where `Lambda` is small);
   logarithms and bounded scores need no such look.
   And where the mean of `Lambda`, which is 1, comes out far below 1, the log *has* missed what carries `Lambda^a`.
3. *Is it what the theory speaks of?* (`checks`) If the log is of the student as it is, and the teacher had not read
   this rollout, then `E[u_h | s_h] = 1`, so `S = sum_h (u_h - 1)` has mean 0 and `Lambda` mean 1, whatever student and
   teacher are. Above: a teacher whose context was made from *this* rollout (`u > 1` on what it has just read), a
   temperature or top-p that the log-probabilities do not know, shifted tokens, a stale student; the look is at
   `min(u, LARGE)`, whose mean is at most 1, so that no rare weight can explain it. Below: the same, or weights so heavy
   that the log has missed those that make up the mean. What it cannot see: changes that leave the means at 1, among
   them every one under which teacher and student stay alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from distil_theory.diagnosis import positions
from distil_theory.diagnosis.bootstrap import Intervals
from distil_theory.diagnosis.log import Array, Block
from distil_theory.diagnosis.rates import Column
from distil_theory.diagnosis.tails import score
from distil_theory.divergences import FDivergence

CARRYING = 20.0
EXPECTED = 20.0
LARGE = 3.0
ROUNDING = 1e-6
DEVIATIONS = 4.0
"""Standard errors from its mean at which a check fails: by chance one log in 15,000, of many groups."""
CHECKS = ("sum of min(u, 3) - 1", "sum of u - 1", "Lambda - 1")


class Trust(NamedTuple):
    """`expected`: effective rollouts by token moments, `(..., K)`; `heavy`: looks 1 and 2, `(..., K)`; `above`,
    `below`: look 3, `(...)`."""

    expected: Array
    heavy: Array
    above: Array
    below: Array

    @property
    def warned(self) -> Array:
        """Whether a rate of a log is warned of, `(..., K)`."""
        return self.heavy | (self.above | self.below)[..., None]


@cache
def exponents(divergence: FDivergence) -> tuple[float, ...]:
    """The powers of `Lambda` by which `h_f` grows, at infinity and at 0; those of logarithms count as none."""
    found = []
    for sign in (1, -1):
        near, far = (abs(float(score(divergence, np.array([sign * x]))[0])) for x in (20.0, 40.0))
        power = sign * round(float(np.log(far / near)) / 20, 3)
        if abs(power) > 0.05:
            found.append(power)
    return tuple(found)


def powers(plan: Sequence[Column]) -> tuple[float, ...]:
    """All powers of `u` whose means `expected` needs."""
    return tuple(
        sorted({k * a for c in plan if c.level == "sequence" for a in exponents(c.divergence) for k in (2, 4)})
    )


def token_moments(block: Block, plan: Sequence[Column]) -> Array:
    """`u^s` summed over the tokens of each rollout in each bin of positions, `(N, B, P+1)`, for the `powers` of a plan;
    the last is the number of tokens. `B`: as many bins as the longest rollout has."""
    log_u, bin_of, n = block.teacher - block.student, positions.bins(block), len(block.reward)
    count = int(bin_of.max()) + 1
    at = np.repeat(np.arange(n), block.lengths) * count + bin_of
    with np.errstate(over="ignore"):
        every = [np.bincount(at, np.exp(s * log_u), n * count) for s in powers(plan)]
    return np.stack([*every, np.bincount(at, minlength=n * count)], axis=1).reshape(n, count, -1)


def expected(moments: Array, rollouts: Array, plan: Sequence[Column]) -> Array:
    """Effective rollouts of each rate if ratios were independent along a rollout, `(..., K)`.

    Args:
        moments: of all rollouts together, `(..., B, P+1)`.
        rollouts: how many, `(...)`.
        plan: the rates.
    """
    which = {s: i for i, s in enumerate(powers(plan))}
    width = positions.widths(moments.shape[-2])[:, None]
    found = np.full((*np.shape(rollouts), len(plan)), np.inf)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # E u^s at a position, u being 1 where a rollout has ended; log E Lambda^s is the sum of the logarithms
        excess = (moments[..., :-1] - moments[..., -1:]) / (np.asarray(rollouts)[..., None, None] * width)
        log_mean = (width * np.log1p(excess)).sum(axis=-2)
        for k, column in enumerate(plan):
            if column.level == "sequence":
                for a in exponents(column.divergence):
                    kurtosis = log_mean[..., which[4 * a]] - 2 * log_mean[..., which[2 * a]]
                    kurtosis = np.where(np.isnan(kurtosis), np.inf, kurtosis)  # beyond every float
                    found[..., k] = np.fmin(found[..., k], rollouts * np.exp(-kurtosis))
    return found


def checks(block: Block) -> Array:
    """The `CHECKS` of each rollout, `(N, 3)`."""
    log_u = block.teacher - block.student
    with np.errstate(over="ignore"):
        u = np.exp(log_u)
        tokens = np.stack([np.minimum(u, LARGE) - 1, u - 1, log_u], axis=1)
        rollouts = np.add.reduceat(tokens, block.starts[:-1], axis=0)
        rollouts[:, 2] = np.expm1(rollouts[:, 2])
    return rollouts


def judge(own: Intervals, checks: Intervals, expected: Array, plan: Sequence[Column], groups: int) -> Trust:
    """What to think of the rates, from their intervals `(..., K)` and those of the `CHECKS` `(..., 3)`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z = checks.value / checks.standard_error  # infinite where all groups are off by the same
    z = np.where((abs(checks.value) > ROUNDING) & (groups > 1), z, 0)
    grows = np.array([c.level == "sequence" and max((0.0, *exponents(c.divergence))) > 0 for c in plan])
    missed = (z[..., 2] < -DEVIATIONS)[..., None] & grows
    heavy = (own.carrying < CARRYING) | (expected < EXPECTED) | missed
    return Trust(expected, heavy, z[..., 0] > DEVIATIONS, z[..., 1] < -DEVIATIONS)
