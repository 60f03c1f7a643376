r"""What one update minimises, exactly: the objective of `credit` with PPO's clip on the part that is a score function.

A batch of completions was written by the student `pi_old`. With the student `pi` as it is now, the teacher `p`, the
local cost `c_h = D_f(p(.|s_h) || pi(.|s_h))` and the ratio `r_h = pi(a_h|s_h) / pi_old(a_h|s_h)` an update minimises

    E_old sum_h [ w_h c_h  +  max( r_h A_h, clip(r_h, 1 - eps_low, 1 + eps_high) A_h ) ].

* `c_h` is differentiated through the whole distribution of the student at the prefixes that `pi_old` wrote;
  `part="future"` drops it.
* `A_h = C_h - b_h` is the *disadvantage* of a token: the cost-to-go `C_h = sum_{h'>h} gamma^(h'-h) c'_{h'}` less a
  baseline. `c'` may be another divergence than `c`: KL-to-go and cross-entropy-to-go have the same local gradient and
  different futures. `part="local"` drops it. It is high where the teacher will disagree, so it is minimised, and the
  clip takes the larger of two terms where PPO, which maximises advantages, takes the smaller.
* `w_h` are prefix weights, or one.
* `A_h` and `w_h` belong to `pi_old`: they are computed once, before the first update from these completions, and stay.

Before the first update `pi = pi_old`: every `r_h` is 1, nothing is clipped and the gradient is exactly the one of
`credit.distillation_loss`, an unbiased estimate of `grad E_pi sum_h c_h` for `part="full"`, `c' = c` and `gamma = 1`.
Further updates from the same completions take `c_h` at prefixes of `pi_old`, as DAgger does with its old data; only the
score function is corrected for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from distil_theory import divergences
from distil_theory.divergences import CROSS_ENTROPY, FDivergence, check_divergence
from distil_theory.llm import checks, credit, losses
from distil_theory.point import check_part

NAMES = (CROSS_ENTROPY.name, *divergences.BY_NAME)
"""Divergences that go by a name."""


def named(what: str, divergence: str | FDivergence) -> FDivergence:
    """A divergence of the core by its name; one's own `FDivergence` is returned as it is.

    Raises:
        ValueError: an unknown name.
    """
    if not isinstance(divergence, str):
        check_divergence(divergence)
        return divergence
    checks.choice(what, divergence, NAMES)
    return CROSS_ENTROPY if divergence == CROSS_ENTROPY.name else divergences.BY_NAME[divergence]


class Signal(NamedTuple):
    """What the student that wrote the completions fixes, `(batch, token)` each: `A_h`, `w_h` and `log pi_old`."""

    disadvantages: torch.Tensor
    weights: torch.Tensor
    log_probs: torch.Tensor


@dataclass(frozen=True)
class Objective:
    """The objective above.

    Args:
        divergence: of the local cost.
        to_go: of the cost-to-go; `None`: the same.
        part: `"local"`, `"future"` or `"full"`.
        discount: of the costs to go, in [0, 1].
        baseline: one of `credit.BASELINES`.
        prefix_clip: of the prefix weights, infinity for none; `None`: no weights.
        clip: `(eps_low, eps_high)`.
        top_k: compare on the teacher's likeliest `k` tokens and the rest in one bucket; `None`: on all.

    Raises:
        ValueError: an unknown name, or a number out of range.
    """

    divergence: FDivergence = CROSS_ENTROPY
    to_go: FDivergence | None = None
    part: str = "local"
    discount: float = 1.0
    baseline: str = "none"
    prefix_clip: float | None = None
    clip: tuple[float, float] = (0.2, 0.2)
    top_k: int | None = None

    def __post_init__(self) -> None:
        check_divergence(self.divergence)
        if self.to_go is not None:
            check_divergence(self.to_go)
        check_part(self.part)
        checks.choice("baseline", self.baseline, credit.BASELINES)
        if not 0 <= self.discount <= 1:
            raise ValueError(f"discount must lie in [0, 1], not {self.discount!r}")
        if self.prefix_clip is not None and not self.prefix_clip > 0:
            raise ValueError(f"prefix_clip must be positive, not {self.prefix_clip!r}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"teacher_top_k must be at least 1, not {self.top_k!r}")
        if not (0 <= self.clip[0] <= 1 and self.clip[1] >= 0):
            raise ValueError(f"epsilon must lie in [0, 1] and epsilon_high must not be negative, not {self.clip!r}")

    def costs(self, student: torch.Tensor, teacher: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`c_h`, and `c'_h` without its gradient, `(batch, token)`, from logits `(batch, token, vocab)`."""
        if self.top_k is not None:
            student, teacher = losses.top_k(student, teacher, self.top_k)
        local = losses.token_cost(student, teacher, self.divergence)
        if self.part == "local" or self.to_go is None or self.to_go is self.divergence:
            return local, local.detach()
        with torch.no_grad():
            return local, losses.token_cost(student, teacher, self.to_go)

    def signal(
        self,
        later: torch.Tensor,
        log_q: torch.Tensor,
        log_p: torch.Tensor,
        mask: torch.Tensor,
        groups: torch.Tensor | None = None,
    ) -> Signal:
        """What stays while the completions are used.

        Args:
            later: `c'_h`, `(batch, token)`.
            log_q, log_p: of the tokens written, student's and teacher's.
            mask: 1 where a token counts.
            groups: whole numbers `(batch,)`, for the baseline of groups.
        """
        log_q = log_q.detach()
        nothing = torch.zeros_like(later)
        weights = nothing + 1
        if self.prefix_clip is not None:
            weights = credit.prefix_weights(log_q, log_p.detach(), mask, self.prefix_clip)
        if self.part == "local":
            return Signal(nothing, weights, log_q)
        to_go = credit.to_go(later, mask, self.discount)
        return Signal(to_go - credit.baseline(to_go, self.baseline, mask, groups), weights, log_q)

    def token_loss(self, costs: torch.Tensor, log_q: torch.Tensor, signal: Signal) -> torch.Tensor:
        """The summand above, `(batch, token)`."""
        local = signal.weights * costs
        if self.part == "local":
            return local
        ratio = (log_q - signal.log_probs).exp()
        clipped = ratio.clamp(1 - self.clip[0], 1 + self.clip[1])
        score = torch.maximum(ratio * signal.disadvantages, clipped * signal.disadvantages)
        return score if self.part == "future" else local + score
