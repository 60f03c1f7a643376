"""Losses that see one token only, and losses in numpy: without fault, unless a fault is named.

Tokens are the student's own (`labels ~ student`). What such a form estimates (`value`) and what its expected gradient
descends (`divergence`) are two things: the table is in `distil_theory.llm.sampled`.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import special

from tests.audit_bench.cases import Case, truth
from tests.audit_bench.correct import bucketed
from tests.audit_bench.named_correct import NAN


def of_labels(logits, labels):
    return F.log_softmax(logits, dim=-1).gather(-1, labels[..., None])[..., 0]


def ratio(student_logits, teacher_logits, labels):
    return of_labels(student_logits, labels) - of_labels(teacher_logits.detach(), labels)


def k1(student_logits, teacher_logits, labels):
    return ratio(student_logits, teacher_logits, labels).mean()


def k2(student_logits, teacher_logits, mask, labels):
    r = ratio(student_logits, teacher_logits, labels)
    return (0.5 * r.square() * mask).sum() / mask.sum()


def k3(student_logits, teacher_logits, mask, labels):
    r = ratio(student_logits, teacher_logits, labels)
    return ((torch.expm1(-r) + r) * mask).sum(-1).mean()


def nll(student_logits, teacher_logits, mask, labels):
    loss = F.cross_entropy(student_logits.transpose(1, 2), labels, reduction="none")
    return (loss * mask).sum() / mask.sum()


def policy_gradient(student_logits, teacher_logits, mask, labels):
    log_q = of_labels(student_logits, labels)
    advantage = (of_labels(teacher_logits, labels) - log_q).detach()
    return -(advantage * log_q * mask).sum() / mask.sum()


def importance_ratio(student_logits, teacher_logits, labels):
    log_q = of_labels(student_logits, labels)
    advantage = (of_labels(teacher_logits, labels) - log_q).detach()
    return -((log_q - log_q.detach()).exp() * advantage)


def clipped_advantage(student_logits, teacher_logits, mask, labels):
    log_q = of_labels(student_logits, labels)
    advantage = (of_labels(teacher_logits, labels) - log_q).detach().clamp(-1, 1)
    return -(advantage * log_q * mask).sum() / len(mask)


def forward_by_student_tokens(student_logits, teacher_logits, labels):
    """Value `u log u` and gradient `-(u - 1) grad log q`: both unbiased for forward KL."""
    r = ratio(student_logits, teacher_logits, labels)
    u = (-r).detach().exp()
    return (-u * r.detach() - (u - 1) * (r - r.detach())).mean()


def wrong_sign(student_logits, teacher_logits, mask, labels):
    log_q = of_labels(student_logits, labels)
    advantage = (of_labels(teacher_logits, labels) - log_q).detach()
    return (advantage * log_q * mask).sum() / mask.sum()


def advantage_not_detached(student_logits, teacher_logits, mask, labels):
    log_q = of_labels(student_logits, labels)
    advantage = of_labels(teacher_logits, labels).detach() - log_q
    return -(advantage * log_q * mask).sum() / mask.sum()


def action_independent_penalty(student_logits, teacher_logits, labels):
    """A KL of the whole position as everybody's advantage: `E_q grad log q = 0`, so nothing is learned."""
    log_q, log_p = bucketed(student_logits, teacher_logits, 3)
    penalty = (log_q.exp() * (log_q - log_p)).sum(-1).detach()
    return (penalty * of_labels(student_logits, labels)).mean()


def log_softmax(x):
    x = np.asarray(x)
    return x - special.logsumexp(x, axis=-1, keepdims=True)


def np_forward(student_logits, teacher_logits):
    log_q, p = log_softmax(student_logits), special.softmax(teacher_logits, axis=-1)
    return (special.xlogy(p, p) - p * log_q).sum(axis=-1).mean()


def np_reverse(student_logits, teacher_logits, mask):
    log_q, log_p = log_softmax(student_logits), log_softmax(teacher_logits)
    return ((np.exp(log_q) * (log_q - log_p)).sum(axis=-1) * mask).sum() / mask.sum()


def np_js(student_logits, teacher_logits, mask):
    q, p = special.softmax(student_logits, axis=-1), special.softmax(teacher_logits, axis=-1)
    m = (p + q) / 2
    return ((special.rel_entr(p, m) + special.rel_entr(q, m)).sum(axis=-1) * mask).sum(axis=-1).mean() / 2


def np_hellinger(student_logits, teacher_logits):
    root_q, root_p = (np.sqrt(special.softmax(x, axis=-1)) for x in (student_logits, teacher_logits))
    return ((root_p - root_q) ** 2).sum(axis=-1)


def np_total_variation_padded(student_logits, teacher_logits, mask):
    gap = np.abs(special.softmax(student_logits, axis=-1) - special.softmax(teacher_logits, axis=-1)).sum(axis=-1) / 2
    return np.mean(gap * mask)


# At the student's token a teacher's zero makes reverse KL infinite: whatever happens there is not judged.
SAMPLED = {"support": "sampled", "tolerated": "zero_loss nan_at_zero"}
SURROGATE = {"support": "sampled", "estimator": "policy_gradient", "tolerated": "gradient_not_of_value nan_at_zero"}
NUMPY = {"stop_gradient": None}
CASES = (
    Case("k1", k1, truth("zero", "token_mean", value="reverse_kl", estimator="k1", **SAMPLED)),
    Case("k2", k2, truth("reverse_kl", "token_mean", value=None, estimator="k2", **SAMPLED, warnings=NAN)),
    Case("k3", k3, truth("forward_kl", "batch_mean", value="reverse_kl", estimator="k3", **SAMPLED, warnings=NAN)),
    Case(
        "k1_for_reverse",
        k1,
        truth("zero", "token_mean", "not_expected", value="reverse_kl", estimator="k1", **SAMPLED),
        expect="reverse_kl",
        source="NVIDIA-NeMo/RL#2506, OpenRLHF/OpenRLHF#1309, huggingface/trl#2277",
        twin=k2,
    ),
    Case(
        "k3_for_reverse",
        k3,
        truth("forward_kl", "batch_mean", "not_expected", value="reverse_kl", estimator="k3", **SAMPLED),
        expect="reverse_kl",
        source="verl-project/verl#2953, OpenRLHF/OpenRLHF#1309",
        twin=k2,
    ),
    Case("nll", nll, truth("zero", "token_mean", value=None, stop_gradient=None, estimator="nll", **SAMPLED)),
    Case("policy_gradient", policy_gradient, truth("reverse_kl", "token_mean", value=None, **SURROGATE)),
    Case("importance_ratio", importance_ratio, truth("reverse_kl", "none", **SURROGATE)),
    Case("clipped_advantage", clipped_advantage, truth("f_divergence", "batch_mean", value=None, **SURROGATE)),
    Case(
        "forward_by_student_tokens",
        forward_by_student_tokens,
        truth(
            "forward_kl",
            "token_mean",
            estimator="other",
            support="sampled",
            tolerated="gradient_not_of_value nan_at_zero",
        ),
    ),
    Case(
        "wrong_sign",
        wrong_sign,
        truth(None, "token_mean", "not_expected", value=None, **SURROGATE),
        expect="reverse_kl",
        twin=policy_gradient,
    ),
    Case(
        "advantage_not_detached",
        advantage_not_detached,
        truth("none", "token_mean", "not_expected", value=None, support="sampled", tolerated="nan_at_zero negative"),
        expect="reverse_kl",
        source="THUDM/slime#1449",
        twin=policy_gradient,
    ),
    Case(
        "action_independent_penalty",
        action_independent_penalty,
        truth(
            "zero",
            "token_mean",
            "not_expected",
            value=None,
            # Not judged: it is a policy-gradient form, of top-k material.
            support=None,
            tolerated="zero_loss gradient_not_of_value nan_at_zero negative",
        ),
        expect="reverse_kl",
        source="radixark/miles#2362",
        twin=policy_gradient,
    ),
    Case("np_forward", np_forward, truth("forward_kl", "token_mean", **NUMPY), numpy=True),
    Case("np_reverse", np_reverse, truth("reverse_kl", "token_mean", **NUMPY), numpy=True),
    Case("np_js", np_js, truth("jensen_shannon", "batch_mean", **NUMPY), numpy=True),
    Case("np_hellinger", np_hellinger, truth("hellinger", "none", **NUMPY), numpy=True),
    Case(
        "np_total_variation_padded",
        np_total_variation_padded,
        truth("total_variation", "padded_mean", "padding_dependent", **NUMPY),
        numpy=True,
        twin=np_hellinger,
    ),
)
