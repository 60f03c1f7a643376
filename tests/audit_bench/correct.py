"""Losses without fault, in the ways people write them. Each differs from the others in something that a careless
auditor could take for a fault: an idempotent second `log_softmax`, a mixture that may be detached (the envelope
theorem), an advantage in full-vocabulary form, logits zeroed where the mask is zero, a constant that is not a jump.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def both(student, teacher):
    return F.log_softmax(student, dim=-1), F.log_softmax(teacher.detach(), dim=-1)


def kl_batchmean(student_logits, teacher_logits):
    return F.kl_div(
        F.log_softmax(student_logits, dim=-1), F.softmax(teacher_logits.detach(), dim=-1), reduction="batchmean"
    )


def kl_masked_mean(student_logits, teacher_logits, mask):
    kl = F.kl_div(
        F.log_softmax(student_logits, dim=-1), F.softmax(teacher_logits.detach(), dim=-1), reduction="none"
    ).sum(-1)
    return (kl * mask).sum() / mask.sum().clamp(min=1)


def kl_by_logsumexp(student_logits, teacher_logits, mask):
    log_q = student_logits - student_logits.logsumexp(dim=-1, keepdim=True)
    p = teacher_logits.detach().softmax(dim=-1)
    per_token = torch.xlogy(p, p).sum(-1) - (p * log_q).sum(-1)
    return per_token[mask.bool()].sum() / len(student_logits)


def kl_twice_normalised(student_logits, teacher_logits):
    log_q = F.log_softmax(F.log_softmax(student_logits, dim=-1), dim=-1)
    return F.kl_div(log_q, F.softmax(teacher_logits.detach(), dim=-1), reduction="none").sum(-1).mean()


def kl_zeroed_logits(student_logits, teacher_logits, mask):
    s, t = (x.masked_fill(mask[..., None] == 0, 0.0) for x in (student_logits, teacher_logits.detach()))
    return F.kl_div(F.log_softmax(s, -1), F.softmax(t, -1), reduction="sum")


def kl_upcast_fixed(student_logits, teacher_logits, mask):
    log_q = F.log_softmax(student_logits.float() if student_logits.dtype.itemsize < 4 else student_logits, dim=-1)
    t = teacher_logits.detach().to(log_q.dtype)
    kl = F.kl_div(log_q, F.softmax(t, dim=-1), reduction="none").sum(-1)
    return torch.where(mask.bool(), kl, 0.0).sum() / 1024


def kl_items_in_batch(student_logits, teacher_logits, mask, num_items_in_batch=64):
    """Divided by the tokens of all micro-batches together, so that accumulation is exact."""
    kl = F.kl_div(F.log_softmax(student_logits, -1), F.softmax(teacher_logits.detach(), -1), reduction="none")
    return (kl.sum(-1) * mask).sum() / num_items_in_batch


def kl_temperature(student_logits, teacher_logits, mask, T=2.0):
    kl = F.kl_div(
        F.log_softmax(student_logits / T, dim=-1), F.softmax(teacher_logits.detach() / T, dim=-1), reduction="none"
    )
    return T**2 * (kl.sum(-1) * mask).sum() / mask.sum()


def soft_cross_entropy(student_logits, teacher_logits):
    return F.cross_entropy(student_logits.flatten(0, 1), teacher_logits.detach().softmax(-1).flatten(0, 1))


def soft_labels_by_sequence(student, teacher, mask):
    per_token = -(F.softmax(teacher.detach(), dim=-1) * F.log_softmax(student, dim=-1)).sum(-1)
    return ((per_token * mask).sum(-1) / mask.sum(-1).clamp(min=1)).mean()


def reverse_log_target(student_logits, teacher_logits, mask):
    log_q, log_p = both(student_logits, teacher_logits)
    return (F.kl_div(log_p, log_q, reduction="none", log_target=True).sum(-1) * mask).sum()


def reverse_advantage_form(student_logits, teacher_logits):
    """All actions at once: `E_q grad log q = 0`, so the detached log ratio gives the whole gradient."""
    log_q, log_p = both(student_logits, teacher_logits)
    return (log_q.exp() * (log_q - log_p).detach()).sum(-1)


def reverse_per_token(student_logits, teacher_logits, mask):
    log_q = student_logits - torch.logsumexp(student_logits, -1, keepdim=True)
    log_p = teacher_logits.detach() - torch.logsumexp(teacher_logits.detach(), -1, keepdim=True)
    return (log_q.exp() * (log_q - log_p)).sum(-1) * mask


def reverse_warm(student_logits, teacher_logits, temperature: float = 0.5):
    log_q, log_p = both(student_logits / temperature, teacher_logits / temperature)
    return (log_q.exp() * (log_q - log_p)).sum(-1).mean() * temperature**2


def js(beta, **options):
    def cost(student_logits, teacher_logits):
        return js_of_logs(beta, **options)(*both(student_logits, teacher_logits))

    return cost


def js_of_logs(beta, *, detach=False, size=1.0):
    """The teacher is as it is given: attached, if it is."""

    def cost(log_q, log_p):
        b = torch.tensor(beta, dtype=log_q.dtype)
        log_m = torch.logaddexp(log_p + b.log(), log_q + (1 - b).log())
        log_m = log_m.detach() if detach else log_m
        to_teacher = F.kl_div(log_m, log_p.exp(), reduction="none").sum(-1)
        to_student = (log_q.exp() * (log_q - log_m)).sum(-1)
        return size * (b * to_teacher + (1 - b) * to_student)

    return cost


def js_selected(student_logits, teacher_logits, mask):
    return js(0.5)(student_logits, teacher_logits)[mask.bool()].mean()


def js_envelope(student_logits, teacher_logits, mask):
    return (js(0.5, detach=True)(student_logits, teacher_logits) * mask).sum(-1).mean()


def gjs_teacher_side(student_logits, teacher_logits, mask):
    return (js(0.9)(student_logits, teacher_logits) * mask).sum()


def gjs_student_side(student_logits, teacher_logits):
    return js(0.1)(student_logits, teacher_logits).mean()


def gjs_continuous(student_logits, teacher_logits, beta: float = 0.3):
    """Divided by `beta (1-beta)`: the two KLs at the ends are its limits, so that there is no jump."""
    log_q, log_p = both(student_logits, teacher_logits)
    if beta in (0.0, 1.0):
        first, second = (log_p, log_q) if beta == 0 else (log_q, log_p)
        return F.kl_div(second, first.exp() if beta == 0 else first, reduction="none", log_target=beta == 1).sum()
    return js(beta, size=1 / (beta * (1 - beta)))(student_logits, teacher_logits).sum()


def skewed(student_logits, teacher_logits, mask):
    log_q, log_p = both(student_logits, teacher_logits)
    log_m = torch.logaddexp(log_p + torch.tensor(0.1).log(), log_q + torch.tensor(0.9).log())
    per_token = F.kl_div(log_m, log_p.exp(), reduction="none").sum(-1)
    return (per_token * mask).sum() / mask.sum()


def skewed_reverse(student_logits, teacher_logits, mask):
    log_q, log_p = both(student_logits, teacher_logits)
    log_m = torch.logaddexp(log_p + torch.tensor(0.9).log(), log_q + torch.tensor(0.1).log())
    return ((log_q.exp() * (log_q - log_m)).sum(-1) * mask).sum() / len(mask)


def symmetric(student_logits, teacher_logits):
    log_q, log_p = both(student_logits, teacher_logits)
    return ((log_q.exp() - log_p.exp()) * (log_q - log_p)).sum(-1).mean()


def alpha(a):
    def loss(student_logits, teacher_logits):
        log_q, log_p = both(student_logits, teacher_logits)
        return (((a * log_p + (1 - a) * log_q).exp().sum(-1) - 1) / (a * (a - 1))).mean()

    return loss


def hellinger(student_logits, teacher_logits, mask):
    log_q, log_p = both(student_logits, teacher_logits)
    return (((log_p / 2).exp() - (log_q / 2).exp()).square().sum(-1) * mask).sum() / mask.sum()


def hellinger_affinity(student_logits, teacher_logits):
    log_q, log_p = both(student_logits, teacher_logits)
    return (1 - ((log_p + log_q) / 2).exp().sum(-1)).sum()


def pearson(student_logits, teacher_logits):
    log_q, log_p = both(student_logits, teacher_logits)
    return ((log_p - log_q / 2).exp() - (log_q / 2).exp()).square().sum(-1).mean()


def pearson_second_moment(student_logits, teacher_logits):
    log_q, log_p = both(student_logits, teacher_logits)
    return (2 * log_p - log_q).exp().sum(-1).mean()


def neyman(student_logits, teacher_logits, mask):
    log_q, log_p = both(student_logits, teacher_logits)
    return (((log_q - log_p / 2).exp() - (log_p / 2).exp()).square().sum(-1) * mask).sum()


def total_variation(student_logits, teacher_logits, mask):
    gap = (student_logits.softmax(-1) - teacher_logits.detach().softmax(-1)).abs().sum(-1) / 2
    return (gap * mask).sum() / mask.sum()


def logit_distance(student_logits, teacher_logits):
    return (student_logits - teacher_logits.detach()).square().sum(-1).mean()


def bhattacharyya(student_logits, teacher_logits):
    log_q, log_p = both(student_logits, teacher_logits)
    return -((log_p + log_q) / 2).logsumexp(-1).mean()


def bucketed(student_logits, teacher_logits, k):
    log_q, log_p = both(student_logits, teacher_logits)
    ids = teacher_logits.topk(k, dim=-1).indices
    chosen = torch.zeros_like(log_p, dtype=torch.bool).scatter(-1, ids, True)
    tails = [x.masked_fill(chosen, -float("inf")).logsumexp(-1, keepdim=True) for x in (log_q, log_p)]
    return [torch.cat([x.gather(-1, ids), tail], -1) for x, tail in zip((log_q, log_p), tails, strict=True)]


def tail_bucket_forward(student_logits, teacher_logits, mask):
    log_q, log_p = bucketed(student_logits, teacher_logits, 3)
    return (F.kl_div(log_q, log_p.exp(), reduction="none").sum(-1) * mask).sum() / mask.sum()


def tail_bucket_reverse(student_logits, teacher_logits):
    log_q, log_p = bucketed(student_logits, teacher_logits, 4)
    return (log_q.exp() * (log_q - log_p)).sum()
