"""What else a log shows: sizes, rewards, ratios, effective sample sizes."""

from __future__ import annotations

import math

import numpy as np

from distil_theory.diagnosis.log import Block
from distil_theory.diagnosis.rates import running


class Observed:
    """Sums and extremes over a log.

    Args:
        clip: of prefix weights.

    Attributes:
        groups, rollouts, tokens: how many.
        longest: tokens of the longest rollout.
        sizes: smallest and largest group.
        reward, reward_low, reward_high: mean over groups, and extremes.
        decided: groups in which rewards differ: the others say nothing of the rates.
        token_ratio, answer_ratio: logarithms of the smallest and largest `u` and `Lambda`.
        mean_chi2: mean of `(u - 1)^2` over tokens.
        largest_chi2: largest `E_pi (u-1)^2` at a visited prefix, from whole distributions; else `None`.
    """

    def __init__(self, clip: float) -> None:
        self.clip = clip
        self.groups = self.rollouts = self.tokens = self.longest = self.decided = 0
        self.sizes = [math.inf, 0]
        self.reward_low, self.reward_high = math.inf, -math.inf
        self.token_ratio, self.answer_ratio = [math.inf, -math.inf], [math.inf, -math.inf]
        self.largest_chi2: float | None = None
        self._reward = self._squares = self._cut = 0.0
        self._log_weight = [-math.inf, -math.inf]

    def add(self, block: Block) -> None:
        """Take in a block."""
        log_u = block.teacher - block.student
        log_weight = np.add.reduceat(log_u, block.starts[:-1])
        at, n = block.groups[:-1], block.sizes
        self.groups += len(n)
        self.rollouts += len(log_weight)
        self.tokens += len(log_u)
        self.longest = max(self.longest, int(block.lengths.max()))
        self.sizes = [min(self.sizes[0], int(n.min())), max(self.sizes[1], int(n.max()))]
        self._reward += float((np.add.reduceat(block.reward, at) / n).sum())
        low, high = np.minimum.reduceat(block.reward, at), np.maximum.reduceat(block.reward, at)
        self.reward_low, self.reward_high = min(self.reward_low, low.min()), max(self.reward_high, high.max())
        self.decided += int((high > low).sum())
        for ends, x in ((self.token_ratio, log_u), (self.answer_ratio, log_weight)):
            ends[:] = min(ends[0], float(x.min())), max(ends[1], float(x.max()))
        for i in (0, 1):
            self._log_weight[i] = float(np.logaddexp(self._log_weight[i], np.logaddexp.reduce((i + 1) * log_weight)))
        before = running(log_u, block.starts)[0]
        with np.errstate(over="ignore", invalid="ignore"):
            over = np.maximum(np.exp(before) - self.clip, 0)
            beyond = np.where((over > 0) & (log_u != 0), over * abs(np.expm1(log_u)) / 2, 0)
            self._cut += float((np.add.reduceat(beyond, block.starts[block.groups[:-1]]) / n).sum())
            self._squares += float((np.expm1(log_u) ** 2).sum())
        if block.student_full is not None and block.teacher_full is not None:
            q = np.exp(block.student_full)
            with np.errstate(invalid="ignore", over="ignore"):
                gap = np.where(q > 0, q * np.expm1(block.teacher_full - block.student_full) ** 2, 0).sum(axis=1)
            self.largest_chi2 = max(self.largest_chi2 or 0.0, float(gap.max()))

    @property
    def reward(self) -> float:
        """Mean reward over groups."""
        return self._reward / self.groups

    @property
    def mean_chi2(self) -> float:
        """Mean of `(u - 1)^2` over tokens: the mean chi-squared from student to teacher."""
        return self._squares / self.tokens

    @property
    def clipped_away(self) -> float:
        """`E sum_h (Lambda_before - c)^+ |u - 1|/2`: claim 15's bound of what the clip changes, per range of rewards.

        A path of weight `w` loses `(w - c)^+ |g|`, and `|g| <= TV = E|u - 1|/2` for rewards in [0, 1].
        """
        return self._cut / self.groups

    @property
    def effective(self) -> float:
        """`(sum Lambda)^2 / sum Lambda^2`: how many rollouts the weights of whole answers leave (Kish 1965)."""
        return math.exp(2 * self._log_weight[0] - self._log_weight[1]) if self._log_weight[1] > -math.inf else 0.0
