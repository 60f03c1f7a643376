"""Losses that are faulty in masks, reductions, gradients, temperatures or in what they take for logits."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.audit_bench.correct import both, kl_batchmean, kl_masked_mean


def per_token(student_logits, teacher_logits):
    return F.kl_div(F.log_softmax(student_logits, -1), F.softmax(teacher_logits.detach(), -1), reduction="none").sum(-1)


def mask_forgotten(student_logits, teacher_logits, mask):
    return per_token(student_logits, teacher_logits).mean()


def mask_in_the_denominator_only(student_logits, teacher_logits, mask):
    return per_token(student_logits, teacher_logits).sum() / mask.sum()


def mask_rolled(student_logits, teacher_logits, mask):
    late = torch.cat([torch.zeros_like(mask[:, :1]), mask[:, :-1]], dim=1)
    return (per_token(student_logits, teacher_logits) * late).sum() / late.sum().clamp(min=1)


def mask_sliced(student_logits, teacher_logits, mask):
    return (per_token(student_logits, teacher_logits)[:, :-1] * mask[:, 1:]).sum() / mask[:, 1:].sum().clamp(min=1)


def padded_mean(student_logits, teacher_logits, mask):
    return (per_token(student_logits, teacher_logits) * mask).mean()


def student_masked_only(student_logits, teacher_logits, mask):
    return per_token(student_logits * mask[..., None], teacher_logits).sum() / mask.sum()


def regularised_everywhere(student_logits, teacher_logits, mask):
    drift = student_logits.logsumexp(-1).square().mean()
    return (per_token(student_logits, teacher_logits) * mask).sum() / mask.sum() + 1e-2 * drift


def kl_mean(student_logits, teacher_logits):
    """Over batch, tokens and vocabulary: torch warns, people go on."""
    return F.kl_div(F.log_softmax(student_logits, -1), F.softmax(teacher_logits.detach(), -1), reduction="mean")


def teacher_attached(student_logits, teacher_logits, mask):
    kl = F.kl_div(F.log_softmax(student_logits, -1), F.softmax(teacher_logits, -1), reduction="none").sum(-1)
    return (kl * mask).sum() / mask.sum()


def reverse_teacher_attached(student_logits, teacher_logits):
    log_q, log_p = F.log_softmax(student_logits, -1), F.log_softmax(teacher_logits, -1)
    return (log_q.exp() * (log_q - log_p)).sum(-1).mean()


def weights_detached(student_logits, teacher_logits):
    """`sum q (log q - log p)` with `q` a constant: the gradient is `E_q grad log q`, which is zero."""
    log_q, log_p = both(student_logits, teacher_logits)
    return (log_q.exp().detach() * (log_q - log_p)).sum(-1).mean()


def own_anchor(student_logits, teacher_logits, mask):
    """Distils the student against its own detached copy: the wrong variable, and a loss of zero."""
    log_q, log_p = both(student_logits, student_logits)
    return ((log_q.exp() * (log_q - log_p)).sum(-1) * mask).sum() / mask.sum()


def divided_twice(student_logits, teacher_logits, mask):
    kl = per_token(student_logits, teacher_logits) * mask / mask.sum()
    return kl.sum() / mask.sum()


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx, student, teacher):
        log_q, log_p = both(student, teacher)
        ctx.save_for_backward(log_q, log_p)
        return (log_q.exp() * (log_q - log_p)).sum(-1).mean()

    @staticmethod
    def backward(ctx, up):
        log_q, log_p = ctx.saved_tensors
        return up * (log_q.exp() - log_p.exp()) / log_q[..., 0].numel(), None


def fused_backward_of_the_other(student_logits, teacher_logits):
    return _Fused.apply(student_logits, teacher_logits.detach())


def confidence_weighted(student_logits, teacher_logits):
    sure = student_logits.softmax(-1).amax(-1).detach()
    return (sure * per_token(student_logits, teacher_logits)).mean()


def one_sided_temperature(student_logits, teacher_logits):
    return kl_batchmean(student_logits, teacher_logits / 2.0)


def temperature_without_square(student_logits, teacher_logits):
    return per_token(student_logits / 4.0, teacher_logits / 4.0).mean()


def softmax_into_cross_entropy(student_logits, teacher_logits):
    p = teacher_logits.detach().softmax(-1).flatten(0, 1)
    return F.cross_entropy(student_logits.softmax(-1).flatten(0, 1), p)


def softmax_twice_on_both(student_logits, teacher_logits, mask):
    return kl_masked_mean(student_logits.softmax(-1), teacher_logits.softmax(-1), mask)


def probabilities_into_kl_div(student_logits, teacher_logits):
    return F.kl_div(student_logits.softmax(-1), teacher_logits.detach().softmax(-1), reduction="batchmean")


def sign_flipped(student_logits, teacher_logits):
    return -per_token(student_logits, teacher_logits).mean()


def hard_labels(student_logits, teacher_logits):
    return F.cross_entropy(student_logits.flatten(0, 1), teacher_logits.argmax(-1).flatten())
