"""For each code a loss that has it, and a near miss that must not be accused: `CASES[code] = (guilty, innocent)`."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # its usual name


def logs(student, teacher):
    return teacher.detach().log_softmax(-1), student.log_softmax(-1)


def kl(log_p, log_q):
    """Survives `log_p = -inf`."""
    return F.kl_div(log_q, log_p.exp(), reduction="none").sum(-1)


def forward(student, teacher):
    return kl(*logs(student, teacher))


def reverse(student, teacher):
    log_p, log_q = logs(student, teacher)
    return (log_q.exp() * (log_q - log_p)).sum(-1)


def js(log_p, log_q, beta):
    log_m = torch.logaddexp(log_p + np.log(beta), log_q + np.log1p(-beta))
    return beta * kl(log_p, log_m) + (1 - beta) * kl(log_q, log_m)


def teacher_attached(student, teacher):
    return kl(teacher.log_softmax(-1), student.log_softmax(-1))


def teacher_without_grad(student, teacher):
    with torch.no_grad():
        log_p = teacher.log_softmax(-1)
    return kl(log_p, student.log_softmax(-1))


def weight_detached(student, teacher):
    log_p, log_q = logs(student, teacher)
    return (log_q.exp().detach() * (log_q - log_p) ** 2).sum(-1)


def advantage_detached(student, teacher):
    """Allowed: `sum q grad log q = 0`."""
    log_p, log_q = logs(student, teacher)
    return (log_q.exp() * (log_q - log_p).detach()).sum(-1)


def nothing(student, teacher):
    return 0 * forward(student, teacher)


def little(student, teacher):
    return 1e-6 * forward(student, teacher)


def clamped_ratio(student, teacher):
    log_p, log_q = logs(student, teacher)
    return (log_q.exp() * (log_q - log_p).clamp(-3, 3)).sum(-1)


def bounded(student, teacher):
    """Jensen-Shannon saturates, and its gradient with it; that is no clamp."""
    return js(*logs(student, teacher), 0.5)


def with_margin(student, teacher):
    return F.relu(forward(student, teacher) - 0.1)


def without_margin(student, teacher):
    return F.relu(forward(student, teacher) + 1e-3)


def special_ends(student, teacher, beta=0.5):
    log_p, log_q = logs(student, teacher)
    if beta in (0, 1):
        return kl(log_p, log_q) if beta == 0 else reverse(student, teacher)
    return js(log_p, log_q, beta)


def weighted_sum(student, teacher, beta=0.5):
    return (1 - beta) * forward(student, teacher) + beta * reverse(student, teacher)


def upside_down(student, teacher):
    return -forward(student, teacher)


def cross_entropy(student, teacher):
    log_p, log_q = logs(student, teacher)
    return -(log_p.exp() * log_q).sum(-1)


def mean_of_logs(student, teacher):
    log_p, log_q = logs(student, teacher)
    log_m = 0.3 * log_p + 0.7 * log_q
    return (log_p.exp() * (log_p - log_m)).sum(-1) * 0.3 + (log_q.exp() * (log_q - log_m)).sum(-1) * 0.7


def mean_of_logits(student, teacher):
    log_p, log_q = logs(student, teacher)
    log_m = ((student + teacher.detach()) / 2).log_softmax(-1)
    return (kl(log_p, log_m) + kl(log_q, log_m)) / 2


def ignores_mask(student, teacher, mask):
    return forward(student, teacher).sum() / mask.sum()


def token_mean(student, teacher, mask):
    return (forward(student, teacher) * mask).sum() / mask.sum()


def selects(student, teacher, mask):
    return forward(student, teacher)[mask.bool()].mean()


def leaks(student, teacher, mask):
    c = forward(student, teacher)
    return (c * (mask + 0.1 * (1 - mask))).sum() / mask.sum()


def baseline_leaks(student, teacher, mask):
    c = forward(student, teacher)
    return ((c - c.mean().detach()) * mask).sum() / mask.sum()


def zeroed_logits(student, teacher, mask):
    """Allowed: masked positions become two equal uniform distributions."""
    return forward(student * mask[..., None], teacher * mask[..., None]).sum() / mask.sum()


def shifted(student, teacher, mask):
    return (forward(student, teacher)[:, :-1] * mask[:, 1:]).sum() / mask[:, 1:].sum()


def per_padded_token(student, teacher, mask):
    return (forward(student, teacher) * mask).mean()


def per_sequence(student, teacher, mask):
    return ((forward(student, teacher) * mask).sum(1) / mask.sum(1)).mean()


def top(student, teacher, k, form, by="teacher"):
    log_p, log_q = logs(student, teacher)
    ids = (teacher if by == "teacher" else student).topk(k, -1).indices
    hidden = torch.ones_like(log_p, dtype=torch.bool).scatter(-1, ids, False)
    p, q = (x.gather(-1, ids) for x in (log_p, log_q))
    if form == "renormalised":
        p, q = p.log_softmax(-1), q.log_softmax(-1)
    if form == "bucket":
        tails = (x.masked_fill(~hidden, -torch.inf).logsumexp(-1, keepdim=True) for x in (log_p, log_q))
        p, q = (torch.cat([x, tail], -1) for x, tail in zip((p, q), tails, strict=True))
    return kl(p, q)


def tail_dropped(student, teacher):
    return top(student, teacher, 3, "dropped")


def tail_renormalised(student, teacher):
    return top(student, teacher, 20, "renormalised")


def tail_bucket(student, teacher):
    return top(student, teacher, 3, "bucket")


def students_choice(student, teacher):
    return top(student, teacher, 3, "bucket", "student")


def log_of_softmax(student, teacher):
    p, q = teacher.detach().softmax(-1), student.softmax(-1)
    return (p * (p.log() - q.log())).sum(-1)


def steep(student, teacher):
    """Pearson: beyond 1e30 it may overflow."""
    log_p, log_q = logs(student, teacher)
    return ((log_p - log_q / 2).exp() - (log_q / 2).exp()).square().sum(-1)


def log_target(student, teacher):
    log_p, log_q = logs(student, teacher)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)


def twice(student, teacher):
    return forward(student.softmax(-1), teacher.softmax(-1))


def twice_log(student, teacher):
    """Allowed: a log-softmax of log-probabilities changes nothing."""
    return forward(student.log_softmax(-1), teacher.log_softmax(-1))


def element_mean(student, teacher):
    return F.kl_div(*reversed([x.exp() if i == 0 else x for i, x in enumerate(logs(student, teacher))]))


def warm(student, teacher):
    return forward(student / 2, teacher / 2).mean()


def warm_scaled(student, teacher):
    return 4 * forward(student / 2, teacher / 2).mean()


def in_half(student, teacher):
    """Squares of 3000 are beyond float16."""
    log_p, log_q = logs(student, teacher)
    return ((3000 * log_p.exp()) ** 2).sum(-1) * 0 + kl(log_p, log_q)


CASES = {
    "teacher_gradient": (teacher_attached, teacher_without_grad),
    "gradient_not_of_value": (weight_detached, advantage_detached),
    "zero_loss": (nothing, little),
    "dead_zone": (clamped_ratio, bounded),
    "dead_zone (margin)": (with_margin, without_margin),
    "parameter_jump": (special_ends, weighted_sum),
    "negative": (upside_down, cross_entropy),
    "mixture_of_logs": (mean_of_logs, bounded),
    "mixture_of_logs (normalised)": (mean_of_logits, bounded),
    "mask_ignored": (ignores_mask, token_mean),
    "mask_leak": (leaks, zeroed_logits),
    "mask_leak (value)": (baseline_leaks, selects),
    "mask_shifted": (shifted, token_mean),
    "padding_dependent": (per_padded_token, per_sequence),
    "tail_dropped": (tail_dropped, tail_bucket),
    "tail_renormalised": (tail_renormalised, tail_bucket),
    "student_top_k": (students_choice, tail_bucket),
    "overflow": (log_of_softmax, steep),
    "nan_at_zero": (log_target, forward),
    "double_softmax": (twice, twice_log),
    "element_mean": (element_mean, warm_scaled),
    "temperature_unscaled": (warm, warm_scaled),
    "half_precision": (in_half, forward),
    "mask_nan": (token_mean, selects),
}
