r"""Costs of one token: what can be known when only the log-probabilities of a single token are at hand.

`y ~ q` is the student's own token, `u = p(y)/q(y)` and `r = -log u` its log ratio; `y* ~ p` is a token of the teacher.
Each form is a number to be averaged (its *value*) and something to be differentiated (its *gradient*); either may be
unbiased for the exact local cost of `losses`, or not:

=================== ============= =========================== ====================================================
form                token         value                       gradient
=================== ============= =========================== ====================================================
`k1`   `r`          student's     unbiased for reverse KL     **mean zero**: `E_q grad log q = 0`, nothing is learned
`k2`   `r^2/2`      student's     biased                      unbiased for **reverse KL**: `E_q r grad log q`
`k3`   `u - 1 + r`  student's     unbiased for reverse KL     unbiased for **forward KL**: `E_q (1 - u) grad log q`
`divergence`        student's     unbiased for `D_f`          unbiased for `D_f`
`cross_entropy`     teacher's     unbiased for cross-entropy  unbiased for cross-entropy, so also for forward KL
=================== ============= =========================== ====================================================

(k1, k2, k3: Schulman 2020.) `divergence` is the general form: its value is `f(u)`, its gradient `-(h(u) - h(1)) grad
log q(y)`, since `grad sum q f(p/q) = -E_q h(u) grad log q`; any constant may be taken off `h`, and with `h(1)` nothing
moves where the two agree. For reverse KL this is k2's gradient with k1's value, for forward KL it is k3's gradient.
All of this takes the token as given. That the student chose it, and every later one, is the business of `credit`.
"""

from __future__ import annotations

import torch

from distil_theory.divergences import FDivergence, check_divergence
from distil_theory.llm import checks
from distil_theory.llm.losses import log_softmax

ESTIMATORS = ("k1", "k2", "k3")


def log_prob(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """`log pi` of given tokens, `(batch, token)`, from logits `(batch, token, vocab)`.

    Raises:
        ValueError: bad logits, or tokens that do not fit them.
    """
    logits = checks.student_logits(logits)
    tokens = checks.tokens("tokens", tokens, logits)
    return log_softmax(logits).gather(-1, tokens[..., None])[..., 0]


def cross_entropy(student: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """`-log q(y*)` at a token that the teacher drew, `(batch, token)`: all that a black-box teacher can give.

    Args:
        student: logits `(batch, token, vocab)`.
        labels: the teacher's tokens `(batch, token)`.

    Raises:
        ValueError: bad logits, or labels that do not fit them.
    """
    return -log_prob(student, labels)


def reverse_kl(student: torch.Tensor, teacher: torch.Tensor, estimator: str = "k2") -> torch.Tensor:
    """k1, k2 or k3 at the student's own token, `(batch, token)`; the table says what each is good for.

    Args:
        student, teacher: log-probabilities of that token, `(batch, token)`; the teacher's are constants.
        estimator: one of `ESTIMATORS`.

    Raises:
        ValueError: bad shapes or numbers, or an unknown estimator.
    """
    checks.choice("estimator", estimator, ESTIMATORS)
    ratio = _log_ratio(student, teacher)
    if estimator == "k1":
        return ratio
    return ratio.square() / 2 if estimator == "k2" else torch.expm1(-ratio) + ratio


def divergence(student: torch.Tensor, teacher: torch.Tensor, objective: FDivergence) -> torch.Tensor:
    """Any `D_f` at the student's own token, `(batch, token)`: unbiased in value and in gradient.

    Args:
        student, teacher: log-probabilities of that token, `(batch, token)`; the teacher's are constants.
        objective: a divergence of the core. (`CROSS_ENTROPY` has its gradient, but the value of forward KL: the entropy
            of the teacher cannot be read off the student's token.)

    Raises:
        ValueError: bad shapes or numbers.
    """
    check_divergence(objective)
    ratio = _log_ratio(student, teacher)
    u = (-ratio).detach().exp()
    slope = objective.h(u) - objective.h(torch.ones_like(u))
    return objective.f(u) - slope * (ratio - ratio.detach())


def _log_ratio(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """`log q - log p`, checked."""
    student = checks.tensor("student log-probabilities", student, checks.AXES[:2])
    teacher = checks.tensor("teacher log-probabilities", teacher, checks.AXES[:2], student)
    for what, x in (("student", student), ("teacher", teacher)):
        checks.finite(f"{what} log-probability", x, checks.AXES[:2])
    return student - teacher.detach()
