"""The parts of which losses are composed: log-probabilities, costs per token, reductions.

All are right, and hold at logits of 1e4 and at a teacher's zero. Each has several forms which agree as functions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.audit_bench.correct import js_of_logs as js

LOGS = {
    "log_softmax": lambda x: F.log_softmax(x, dim=-1),
    "logsumexp": lambda x: x - x.logsumexp(dim=-1, keepdim=True),
    "shifted": lambda x: (x - x.amax(-1, keepdim=True)) - (x - x.amax(-1, keepdim=True)).exp().sum(-1, True).log(),
    "twice": lambda x: F.log_softmax(F.log_softmax(x, dim=-1), dim=-1),
}


def where_positive(log_q, log_p):
    p = log_p.exp()
    return torch.where(p > 0, p * (log_p - log_q), 0.0).sum(-1)


def soft_cross_entropy(log_q, log_p):
    p = log_p.exp()
    return F.cross_entropy(log_q.flatten(0, 1), p.flatten(0, 1), reduction="none").view(p.shape[:2])


def entropies(log_q, log_p):
    """`H(m) - (H(p) + H(q))/2`: Jensen-Shannon as information."""
    log_m = torch.stack([log_q, log_p]).logsumexp(0) - torch.tensor(2.0).log()
    p = log_p.exp()
    return (torch.xlogy(p, p) / 2 + log_q.exp() * log_q / 2 - log_m.exp() * log_m).sum(-1)


def chi2(log_a, log_b):
    """`sum (a - b)^2 / b`."""
    return ((log_a - log_b / 2).exp() - (log_b / 2).exp()).square().sum(-1)


def box_cox(a):
    return lambda log_q, log_p: (((a * log_p + (1 - a) * log_q).exp().sum(-1) - 1) / (a * (a - 1)),)[0]


COSTS = {
    "forward_kl": {
        "kl_div": lambda log_q, log_p: F.kl_div(log_q, log_p.exp(), reduction="none").sum(-1),
        "xlogy": lambda log_q, log_p: (torch.xlogy(log_p.exp(), log_p.exp()) - log_p.exp() * log_q).sum(-1),
        "where": where_positive,
    },
    "cross_entropy": {"product": lambda log_q, log_p: -(log_p.exp() * log_q).sum(-1), "torch": soft_cross_entropy},
    "reverse_kl": {
        "product": lambda log_q, log_p: (log_q.exp() * (log_q - log_p)).sum(-1),
        "log_target": lambda log_q, log_p: F.kl_div(log_p, log_q, reduction="none", log_target=True).sum(-1),
        "advantage": lambda log_q, log_p: (log_q.exp() * (log_q - log_p).detach()).sum(-1),
    },
    "jensen_shannon": {"mixture": js(0.5), "envelope": js(0.5, detach=True), "entropies": entropies},
    **{f"generalized_js({b:g})": {"mixture": js(b), "envelope": js(b, detach=True)} for b in (0.2, 0.7, 0.9)},
    "hellinger": {
        "roots": lambda log_q, log_p: ((log_p / 2).exp() - (log_q / 2).exp()).square().sum(-1),
        "affinity": lambda log_q, log_p: 2 - 2 * ((log_p + log_q) / 2).exp().sum(-1),
    },
    "pearson_chi2": {
        "square": lambda log_q, log_p: chi2(log_p, log_q),
        "moment": lambda log_q, log_p: (2 * log_p - log_q).exp().sum(-1) - 1,
    },
    "neyman_chi2": {
        "square": lambda log_q, log_p: chi2(log_q, log_p),
        "moment": lambda log_q, log_p: (2 * log_q - log_p).exp().sum(-1) - 1,
    },
    "total_variation": {
        "half_l1": lambda log_q, log_p: (log_q.exp() - log_p.exp()).abs().sum(-1) / 2,
        "excess": lambda log_q, log_p: (log_p.exp() - log_q.exp()).clamp_min(0).sum(-1),
    },
    "alpha(0.3)": {"box_cox": box_cox(0.3)},
    "alpha(1.5)": {"box_cox": box_cox(1.5)},
    "f_divergence": {"jeffreys": lambda log_q, log_p: ((log_q.exp() - log_p.exp()) * (log_q - log_p)).sum(-1)},
}


def counted(cost, mask, style):
    """What is left of the masked positions: nothing, in one of three ways; `select` is a list of tokens."""
    if mask is None:
        return cost
    if style == "select":
        return cost[mask.bool()]
    return cost * mask if style == "multiply" else torch.where(mask.bool(), cost, 0.0)


def reduced(cost, mask, how, style, vocab):
    """One loss from a cost per token."""
    if how == "sequence_mean":
        kept = counted(cost, mask, "where" if style == "select" else style)
        return (kept.sum(-1) / (cost.shape[1] if mask is None else mask.sum(-1).clamp(min=1))).mean()
    kept = counted(cost, mask, "where" if style == "select" and how == "none" else style)
    if how == "none":
        return kept
    sizes = {
        "token_sum": 1,
        "batch_mean": len(cost),
        "token_mean": cost.numel() if mask is None else mask.sum().clamp(min=1),
        "padded_mean": cost.numel(),
        "element_mean": cost.numel() * vocab,
        "fixed": 1000,
    }
    return kept.sum() / sizes[how]


def on_top_k(log_q, log_p, k, how):
    """Log-probabilities on `k` tokens: with a tail bucket, dropped, renormalised, or chosen by the student."""
    ids = (log_q if how == "student_top_k" else log_p).detach().topk(k, dim=-1).indices
    top = [x.gather(-1, ids) for x in (log_q, log_p)]
    if how == "tail_dropped":
        return top
    if how == "renormalised":
        return [F.log_softmax(x, dim=-1) for x in top]
    chosen = torch.zeros_like(log_p, dtype=torch.bool).scatter(-1, ids, True)
    tails = (x.masked_fill(chosen, -float("inf")).logsumexp(-1, keepdim=True) for x in (log_q, log_p))
    return [torch.cat([x, tail], dim=-1) for x, tail in zip(top, tails, strict=True)]
