r"""Likelihood of success and Pass@N (THEORY claim 12): what a policy is worth if it may answer several times.

A prompt is answered `N` times, independently. With `p` the probability of a right answer,

    Pass@N = 1 - (1-p)^N     (at least one is right),     Avg@N = p,
    Best@N = E max of N rewards,     Maj@N = E reward of the most frequent answer, ties broken at random.

For one prompt Pass@N grows with `p` whatever `N`, so no two students change places; for several prompts, or hidden
contexts, they can. `log p = -sum_{N >= 1} (1-p)^N / N` ties the *likelihood* of success to all `N` at once.

`metrics` computes these from the law of the answers, exactly in every number system; `votes` does the plurality, with
one recursion for independent answers and for answers drawn without replacement; `estimators` are the unbiased
estimates from `k >= N` samples. `likelihood` is `sum_x rho(x) log P_x(success)`, its gradient as a forward
cross-entropy, and its EM step. `alike` says where each objective ends if the prompts look alike, and from which `N` on
one student passes another.
"""

from distil_theory.success.alike import (
    crossing,
    geometric_mean,
    pass_of_prompts,
    self_taught,
    self_taught_odds,
    smoothed_mixture,
    truthful_teacher,
)
from distil_theory.success.estimators import (
    Estimate,
    estimate_avg_at_n,
    estimate_best_at_n,
    estimate_maj_at_n,
    estimate_pass_at_n,
    mean_over_prompts,
)
from distil_theory.success.likelihood import em_step, likelihood_weight, log_likelihood, success
from distil_theory.success.metrics import (
    AnswerLaw,
    answer_law,
    avg_at_n,
    best_at_n,
    maj_at_n,
    pass_at_n,
    truncated_log,
)

__all__ = [
    "AnswerLaw",
    "Estimate",
    "answer_law",
    "avg_at_n",
    "best_at_n",
    "crossing",
    "em_step",
    "estimate_avg_at_n",
    "estimate_best_at_n",
    "estimate_maj_at_n",
    "estimate_pass_at_n",
    "geometric_mean",
    "likelihood_weight",
    "log_likelihood",
    "maj_at_n",
    "mean_over_prompts",
    "pass_at_n",
    "pass_of_prompts",
    "self_taught",
    "self_taught_odds",
    "smoothed_mixture",
    "success",
    "truncated_log",
    "truthful_teacher",
]
