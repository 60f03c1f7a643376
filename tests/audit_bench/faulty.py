"""Faulty losses: most are faults of public repositories in our own words, with the issue's number.

What is *not* a fault is as important: averaging log-probabilities in the JSD of TRL #2202 is, term by term,
`b^2 KL(p||q) + (1-b)^2 KL(q||p)`: a symmetric KL, which somebody else may have wanted. It can be called a mixture of
logs only if a Jensen-Shannon divergence was expected. Likewise a forward KL is a fault only where a reverse one was
announced: all such cases are audited with `expect`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.audit_bench.correct import both, js, kl_batchmean


def forward_for_reverse(student_logits, teacher_logits, mask):
    """Target and input of `kl_div` read like KL(input || target), but mean KL(target || input)."""
    kl = F.kl_div(F.log_softmax(student_logits, -1), F.softmax(teacher_logits.detach(), -1), reduction="none")
    return (kl.sum(-1) * mask).sum() / mask.sum()


def reverse_through_target(student_logits, teacher_logits):
    """The student as a target in probabilities: `xlogy(q, q)` has the slope `log q + 1`, which is infinite at 0."""
    log_p = F.log_softmax(teacher_logits.detach(), dim=-1)
    return F.kl_div(log_p, F.softmax(student_logits, dim=-1), reduction="none").sum(-1).mean()


def alpha_zero_is_forward(student_logits, teacher_logits, mask, alpha=0.0):
    log_q, log_p = both(student_logits, teacher_logits)
    if alpha == 0:
        kl = F.kl_div(log_q, log_p.exp(), reduction="none")
    elif alpha == 1:
        kl = F.kl_div(log_p, log_q, reduction="none", log_target=True)
    else:
        return (js(alpha)(student_logits, teacher_logits) * mask).sum() / mask.sum()
    return (kl.sum(-1) * mask).sum() / mask.sum()


def log_space_mixture(student_logits, teacher_logits):
    log_q, log_p = both(student_logits, teacher_logits)
    log_m = 0.5 * log_p + 0.5 * log_q
    teacher_part = F.kl_div(log_m, log_p, reduction="none", log_target=True)
    student_part = F.kl_div(log_m, log_q, reduction="none", log_target=True)
    return (0.5 * teacher_part + 0.5 * student_part).sum(-1).mean()


def logit_mixture(student_logits, teacher_logits, mask):
    log_q, log_p = both(student_logits, teacher_logits)
    log_m = F.log_softmax((student_logits + teacher_logits.detach()) / 2, dim=-1)
    per_token = F.kl_div(log_m, log_p.exp(), reduction="none").sum(-1) + (log_q.exp() * (log_q - log_m)).sum(-1)
    return (0.5 * per_token * mask).sum() / mask.sum()


def swapped_weights(student_logits, teacher_logits):
    log_q, log_p = both(student_logits, teacher_logits)
    log_m = torch.logaddexp(log_q + torch.tensor(0.3).log(), log_p + torch.tensor(0.7).log())
    teacher_part = F.kl_div(log_m, log_p.exp(), reduction="none").sum(-1)
    return (0.3 * teacher_part + 0.7 * (log_q.exp() * (log_q - log_m)).sum(-1)).mean()


def end(beta):
    def loss(student_logits, teacher_logits, mask):
        return (js(beta)(student_logits, teacher_logits) * mask).sum() / mask.sum()

    return loss


def clamped_beta(student_logits, teacher_logits):
    return end(min(max(1.0, 1e-6), 1 - 1e-6))(student_logits, teacher_logits, torch.ones(student_logits.shape[:2]))


def special_ends(student_logits, teacher_logits, mask, beta=0.5):
    return alpha_zero_is_forward(student_logits, teacher_logits, mask, beta)


def half_special(student_logits, teacher_logits, lmbda=0.5):
    """Only one end is put right: a jump to reverse KL at 1, nothing at 0."""
    log_q, log_p = both(student_logits, teacher_logits)
    if lmbda == 1.0:
        return (log_q.exp() * (log_q - log_p)).sum(-1).mean()
    return js(lmbda)(student_logits, teacher_logits).mean()


def truncated(student_logits, teacher_logits, k=3):
    log_q, log_p = both(student_logits, teacher_logits)
    ids = teacher_logits.topk(k, dim=-1).indices
    return log_q.gather(-1, ids), log_p.gather(-1, ids)


def truncated_forward(student_logits, teacher_logits, mask):
    log_q, log_p = truncated(student_logits, teacher_logits)
    return (F.kl_div(log_q, log_p.exp(), reduction="none").sum(-1) * mask).sum() / mask.sum()


def truncated_and_clamped(student_logits, teacher_logits):
    log_q, log_p = truncated(student_logits, teacher_logits)
    return F.kl_div(log_q, log_p.exp(), reduction="none").sum(-1).clamp_min(0.0).mean()


def truncated_reverse(student_logits, teacher_logits):
    log_q, log_p = truncated(student_logits, teacher_logits, 4)
    return (log_q.exp() * (log_q - log_p)).sum(-1).mean()


def renormalised(student_logits, teacher_logits, mask):
    top = teacher_logits.detach().topk(3, dim=-1)
    p, log_q = top.values.softmax(-1), student_logits.gather(-1, top.indices).log_softmax(-1)
    return (F.kl_div(log_q, p, reduction="none").sum(-1) * mask).sum() / mask.sum()


def chosen_by_student(student_logits, teacher_logits):
    log_q, log_p = both(student_logits, teacher_logits)
    ids = student_logits.topk(3, dim=-1).indices
    chosen = torch.zeros_like(log_p, dtype=torch.bool).scatter(-1, ids, True)
    tails = [x.masked_fill(chosen, -float("inf")).logsumexp(-1, keepdim=True) for x in (log_q, log_p)]
    log_q, log_p = (torch.cat([x.gather(-1, ids), tail], -1) for x, tail in zip((log_q, log_p), tails, strict=True))
    return (log_q.exp() * (log_q - log_p)).sum(-1).mean()


def chosen_by_student_truncated(student_logits, teacher_logits, mask):
    ids = student_logits.topk(3, dim=-1).indices
    log_q, log_p = (x.gather(-1, ids) for x in both(student_logits, teacher_logits))
    return ((log_q.exp() * (log_q - log_p)).sum(-1) * mask).sum() / mask.sum()


def pointwise_clip(student_logits, teacher_logits):
    kl = F.kl_div(F.log_softmax(student_logits, -1), F.softmax(teacher_logits.detach(), -1), reduction="none")
    return kl.clamp(max=0.05).sum(-1).mean()


def token_clip(student_logits, teacher_logits, mask):
    kl = F.kl_div(F.log_softmax(student_logits, -1), F.softmax(teacher_logits.detach(), -1), reduction="none").sum(-1)
    return (kl.clamp(max=0.5) * mask).sum() / mask.sum()


def logit_clamp(student_logits, teacher_logits):
    return kl_batchmean(student_logits.clamp(-8, 8), teacher_logits.clamp(-8, 8))


def ratio_clamp(student_logits, teacher_logits):
    log_q, log_p = both(student_logits, teacher_logits)
    return (log_p.exp() * (log_p - log_q).clamp(-1, 1)).sum(-1).mean()


def epsilon_in_the_log(student_logits, teacher_logits):
    q, p = student_logits.softmax(-1), teacher_logits.detach().softmax(-1)
    return (p * ((p + 1e-8).log() - (q + 1e-8).log())).sum(-1).mean()


def log_of_softmax(student_logits, teacher_logits):
    p = torch.softmax(teacher_logits.detach(), dim=-1)
    return -(p * torch.softmax(student_logits, dim=-1).log()).sum(-1).mean()


def reverse_by_quotient(student_logits, teacher_logits, mask):
    q, p = student_logits.softmax(-1), teacher_logits.detach().softmax(-1)
    return ((q * (q / p).log()).sum(-1) * mask).sum() / len(mask)


def exponential_ratio(student_logits, teacher_logits):
    log_q, log_p = both(student_logits, teacher_logits)
    u = (log_p - log_q).exp()
    return (log_q.exp() * (u.sqrt() - 1).square()).sum(-1).mean()


def plain_log_target(student_logits, teacher_logits, mask):
    log_q, log_p = both(student_logits, teacher_logits)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)[mask.bool()].mean()


def js_log_target(student_logits, teacher_logits):
    log_q, log_p = both(student_logits, teacher_logits)
    log_m = torch.logaddexp(log_p, log_q) - torch.tensor(2.0).log()
    parts = [F.kl_div(log_m, x, reduction="none", log_target=True).sum(-1) for x in (log_p, log_q)]
    return (parts[0] + parts[1]).mean() / 2
