"""The ledger: every claim a module, readable from top to bottom as a chapter; `CLAIMS` lists them in order."""

from distil_theory.claims import (
    covariance_rate,
    forward_gap,
    forward_limits,
    mixture_policy,
    natural_step,
    only_forward_kl,
    performance_difference,
    proximal_mixture,
    safe_steps,
    teaching,
    two_actions,
    worst_loss,
)
from distil_theory.claims.claim import Claim, Step, Verdict, missing_parts, verify

CHAPTERS = (
    performance_difference,
    covariance_rate,
    forward_gap,
    only_forward_kl,
    two_actions,
    teaching,
    forward_limits,
    proximal_mixture,
    natural_step,
    mixture_policy,
    safe_steps,
    worst_loss,
)
CLAIMS: tuple[Claim, ...] = tuple(chapter.CLAIM for chapter in CHAPTERS)

__all__ = ["CLAIMS", "Claim", "Step", "Verdict", "missing_parts", "verify"]
