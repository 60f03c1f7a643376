"""The ledger: every claim a module, readable from top to bottom as a chapter; `CLAIMS` lists them in order."""

from distil_theory.claims import (
    compatible_class,
    covariance_rate,
    every_state,
    forward_gap,
    forward_limits,
    future_aware,
    horizon_curve,
    importance_ratio,
    local_improver,
    mixture_policy,
    named_instances,
    natural_step,
    only_forward_kl,
    performance_difference,
    prefix_weights,
    proximal_mixture,
    safe_horizon,
    safe_steps,
    success_conditioned,
    teaching,
    truthful_lookahead,
    truthful_sets,
    two_actions,
    worst_loss,
)
from distil_theory.claims.claim import Claim, Step, Verdict, missing_parts, verify

CHAPTERS = (
    performance_difference,
    named_instances,
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
    local_improver,
    horizon_curve,
    every_state,
    success_conditioned,
    future_aware,
    worst_loss,
    prefix_weights,
    importance_ratio,
    safe_horizon,
    compatible_class,
    truthful_lookahead,
    truthful_sets,
)
CLAIMS: tuple[Claim, ...] = tuple(chapter.CLAIM for chapter in CHAPTERS)

__all__ = ["CLAIMS", "Claim", "Step", "Verdict", "missing_parts", "verify"]
