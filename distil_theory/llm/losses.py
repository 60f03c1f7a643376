r"""What a student pays at each token for disagreeing with its teacher: from logits, stably, in log space.

With `p` the teacher's and `q` the student's distribution over the vocabulary and `u = p/q`, every cost is
`D_f(p||q) = sum_v q_v f(u_v)` of `distil_theory.divergences`, expert first, or the cross-entropy `-sum_v p_v log q_v`.
Its gradient in the student's logits is `-q (h_f(u) - E_q h_f(u))`; nothing flows into the teacher unless asked for.

The same objects name an objective in the core and here, so that `token_cost(student, teacher, REVERSE_KL)` can be
checked against `objectives.loss_gradient(..., REVERSE_KL)`. Where a formula in log space is known it is used: no ratio
is formed, nothing overflows before the result does.

* forward KL `sum p (log p - log q)`, reverse KL `sum q (log q - log p)`, cross-entropy `-sum p log q`;
* Jensen-Shannon and its families with `log m = logaddexp(log w + log p, log(1-w) + log q)`;
* squared Hellinger (no half) `sum (sqrt p - sqrt q)^2`; Pearson `sum (p/sqrt q - sqrt q)^2`; Neyman the mirror image.

Any other `FDivergence` is evaluated as `q f(exp(log p - log q))`, which is right as long as the ratio can be
represented (log ratios below 88 in float32).

*Generalised Jensen-Shannon, two conventions.* `beta KL(p||m) + (1-beta) KL(q||m)`, `m = beta p + (1-beta) q`, vanishes
at both ends. `"special_cased"` (GKD, Agarwal et al. 2024; TRL) puts forward KL at `beta = 0` and reverse KL at `beta =
1`: the loss jumps from almost nothing to a KL. `"continuous"` divides by `beta (1-beta)` and tends to both.

*Top-k teachers.* A teacher that shows only its `k` likeliest tokens is compared on `k + 1` buckets, the last one being
"any other token" (the *tail bucket*). By the data-processing inequality this is at most the full divergence, it grows
with `k`, and is the full one for `k = vocab`. Without the tail bucket the rows would be no distributions.

All functions take `(batch, token, vocab)` and return `(batch, token)`. Half precision is computed in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from fractions import Fraction

import torch

from distil_theory import divergences
from distil_theory.divergences import CROSS_ENTROPY, FDivergence, check_divergence
from distil_theory.llm import checks

Form = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""A cost `(batch, token)` of `log p` and `log q`, the teacher first."""


@dataclass(frozen=True)
class LogSpace(FDivergence):
    """A divergence of the core that brings its formula in log space."""

    form: Form | None = None


def _difference(weight: torch.Tensor, log_a: torch.Tensor, log_b: torch.Tensor) -> torch.Tensor:
    """`sum weight (log a - log b)` where the weight is `exp(log a)`, with `0 log 0 = 0`, gradients included."""
    never = log_a == -float("inf")
    return (weight * (log_a.masked_fill(never, 0) - log_b.masked_fill(never, 0))).sum(dim=-1)


def _kl(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """`sum p (log p - log q)`."""
    return _difference(log_p.exp(), log_p, log_q)


def _chi2(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """`sum (p - q)^2 / q`."""
    return ((log_p - log_q / 2).exp() - (log_q / 2).exp()).square().sum(dim=-1)


def _jensen_shannon(weight: Fraction, size: Fraction) -> Form:
    def form(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
        w = torch.tensor(float(weight), dtype=log_q.dtype, device=log_q.device)
        log_m = torch.logaddexp(log_p + w.log(), log_q + (1 - w).log())
        both = w * _difference(log_p.exp(), log_p, log_m) + (1 - w) * _difference(log_q.exp(), log_q, log_m)
        return both * float(size)

    return form


FORMS: dict[str, Form] = {
    "forward_kl": _kl,
    "cross_entropy": lambda log_p, log_q: -(log_p.exp() * log_q).sum(dim=-1),
    "reverse_kl": lambda log_p, log_q: _kl(log_q, log_p),
    "jensen_shannon": _jensen_shannon(Fraction(1, 2), Fraction(1)),
    "hellinger": lambda log_p, log_q: ((log_p / 2).exp() - (log_q / 2).exp()).square().sum(dim=-1),
    "pearson_chi2": _chi2,
    "neyman_chi2": lambda log_p, log_q: _chi2(log_q, log_p),
    "total_variation": lambda log_p, log_q: (log_p.exp() - log_q.exp()).abs().sum(dim=-1) / 2,
}
"""The formula in log space of each named divergence of the core, and of its cross-entropy."""


def generalized_js(beta: float | Fraction, convention: str = "special_cased") -> LogSpace:
    """`divergences.generalized_js` with its formula in log space; arguments and errors are the same."""
    core = divergences.generalized_js(beta, convention)
    w = Fraction(beta)
    if w in (0, 1):
        form = FORMS["forward_kl" if w == 0 else "reverse_kl"]
    else:
        form = _jensen_shannon(w, 1 / (w * (1 - w)) if convention == "continuous" else Fraction(1))
    return LogSpace(**{field.name: getattr(core, field.name) for field in fields(core)}, form=form)


def skewed_js(beta: float | Fraction) -> LogSpace:
    """`divergences.skewed_js` with its formula in log space: the continuous convention at `beta/(1+beta)`."""
    core = divergences.skewed_js(beta)
    w = Fraction(beta) / (1 + Fraction(beta))
    form = _jensen_shannon(w, 1 / (w * (1 - w)))
    return LogSpace(**{field.name: getattr(core, field.name) for field in fields(core)}, form=form)


def token_cost(
    student: torch.Tensor,
    teacher: torch.Tensor,
    objective: FDivergence = CROSS_ENTROPY,
    *,
    teacher_gradient: bool = False,
) -> torch.Tensor:
    """The cost of each token, `(batch, token)`, in nats.

    Args:
        student, teacher: logits (or log-probabilities) `(batch, token, vocab)`; the teacher's may be `-inf`, which is
            probability zero, unless `h(0+) = -inf` (reverse KL, Neyman).
        objective: a divergence of the core, `CROSS_ENTROPY`, or one of the families of this module.
        teacher_gradient: let gradients flow into the teacher (default: its logits are constants).

    Raises:
        ValueError: shapes, precisions or devices that differ, NaN, missing support; the message says what and where.
    """
    check_divergence(objective)
    student = checks.student_logits(student)
    teacher = checks.teacher_logits(teacher, student)
    if objective.needs_expert_support:
        zero = teacher == -float("inf")
        if zero.any():
            raise ValueError(
                f"teacher logits at {checks.first(zero)} are -inf: {objective.name} has h(0+) = -inf, so the teacher "
                f"needs full support"
            )
    log_q, log_p = log_softmax(student), log_softmax(teacher if teacher_gradient else teacher.detach())
    form = getattr(objective, "form", None) or (FORMS.get(objective.name) if _is_named(objective) else None)
    if form is not None:
        return form(log_p, log_q)
    return (log_q.exp() * objective.f((log_p - log_q).exp())).sum(dim=-1)


def _is_named(objective: FDivergence) -> bool:
    """Whether this is the core's own object: a name alone could be anybody's."""
    return objective is CROSS_ENTROPY or divergences.BY_NAME.get(objective.name) is objective


def log_softmax(logits: torch.Tensor) -> torch.Tensor:
    """Log-probabilities along the last axis, in float32 at least."""
    return torch.log_softmax(logits if logits.dtype == torch.float64 else logits.float(), dim=-1)


def top_k(student: torch.Tensor, teacher: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities `(batch, token, k + 1)` of student and teacher on the teacher's `k` likeliest tokens and the
    tail bucket (without it if `k` is the vocabulary): logits for `token_cost`.

    Raises:
        ValueError: bad logits, or a `k` outside `1..vocab`.
    """
    student = checks.student_logits(student)
    teacher = checks.teacher_logits(teacher, student)
    vocab = student.shape[-1]
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= vocab:
        raise ValueError(f"k must be a whole number in 1..{vocab}, not {k!r}")
    ids = teacher.detach().topk(k, dim=-1).indices
    return _bucketed(log_softmax(student), ids), _bucketed(log_softmax(teacher), ids)


def shown(student: torch.Tensor, ids: torch.Tensor, log_probs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same for a teacher behind an interface that returns `k` tokens and their log-probabilities only.

    The tail gets what is missing to one, but at least the rounding of that sum.

    Args:
        student: logits `(batch, token, vocab)`.
        ids: distinct tokens `(batch, token, k)`, whole numbers.
        log_probs: their log-probabilities under the teacher, `(batch, token, k)`.

    Raises:
        ValueError: shapes that differ, ids out of range or repeated, probabilities above one.
    """
    student = checks.student_logits(student)
    log_probs = checks.tensor("teacher log-probabilities", log_probs, ("batch", "token", "k"))
    k, vocab = log_probs.shape[-1], student.shape[-1]
    if ids.shape != log_probs.shape or log_probs.shape[:2] != student.shape[:2]:
        raise ValueError(
            f"ids {tuple(ids.shape)}, their log-probabilities {tuple(log_probs.shape)} and student logits "
            f"{tuple(student.shape)} do not fit"
        )
    if ids.min() < 0 or ids.max() >= vocab:
        raise ValueError(f"ids reach from {ids.min().item()} to {ids.max().item()}: out of range 0..{vocab - 1}")
    ordered = ids.sort(dim=-1).values
    twice = (ordered[..., 1:] == ordered[..., :-1]).any(dim=-1)
    if twice.any():
        raise ValueError(f"ids at {checks.first(twice)} name a token twice")
    seen = log_probs.exp().sum(dim=-1)
    # a sum of k rounded numbers; NaN is not below it
    over = ~(seen <= 1 + 8 * k * torch.finfo(log_probs.dtype).eps)
    if over.any():
        raise ValueError(
            f"teacher probabilities at {checks.first(over)} sum to {seen[over][0].item()}: expected at most one"
        )
    log_q = _bucketed(log_softmax(student), ids)
    if k == vocab:
        return log_q, log_probs.to(log_q)
    tail = (1 - seen).clamp(min=torch.finfo(log_probs.dtype).eps).log()
    return log_q, torch.cat([log_probs, tail[..., None]], dim=-1).to(log_q)


def _bucketed(log_p: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of the tokens `ids`, and of all others together."""
    top = log_p.gather(-1, ids)
    if ids.shape[-1] == log_p.shape[-1]:
        return top
    chosen = torch.zeros_like(log_p, dtype=torch.bool).scatter(-1, ids, True)
    return torch.cat([top, log_p.masked_fill(chosen, -float("inf")).logsumexp(dim=-1, keepdim=True)], dim=-1)
