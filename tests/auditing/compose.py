"""Random losses with what they are: divergence x temperature x support x reduction x mask x fault, in torch.

Every piece is written here in its plainest stable form, independently of `distil_theory.llm` and of the auditor's laws.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # its usual name


def kl(lp, lq):
    return F.kl_div(lq, lp, reduction="none", log_target=True)


def gjs(b):
    def form(lp, lq):
        lm = torch.logaddexp(lp + np.log(b), lq + np.log1p(-b))
        return b * kl(lp, lm) + (1 - b) * kl(lq, lm)

    return form


DIVERGENCES = {
    "forward_kl": kl,
    "cross_entropy": lambda lp, lq: -lp.exp() * lq,
    "reverse_kl": lambda lp, lq: kl(lq, lp),
    "jensen_shannon": gjs(0.5),
    "generalized_js(0.1)": gjs(0.1),
    "generalized_js(0.8)": gjs(0.8),
    "hellinger": lambda lp, lq: ((lp / 2).exp() - (lq / 2).exp()) ** 2,
    "pearson_chi2": lambda lp, lq: ((lp - lq / 2).exp() - (lq / 2).exp()) ** 2,
    "neyman_chi2": lambda lp, lq: ((lq - lp / 2).exp() - (lp / 2).exp()) ** 2,
    "total_variation": lambda lp, lq: (lp.exp() - lq.exp()).abs() / 2,
}
FINITE_AT_ZERO = {"cross_entropy", "hellinger", "pearson_chi2", "total_variation"}
"""Those of the forms above that survive a teacher probability of zero."""


def reduce(how, c, m):
    return {
        "none": lambda: c * m,
        "token_sum": lambda: (c * m).sum(),
        "batch_mean": lambda: (c * m).sum() / len(c),
        "token_mean": lambda: (c * m).sum() / m.sum(),
        "padded_mean": lambda: (c * m).mean(),
        "sequence_mean": lambda: ((c * m).sum(1) / m.sum(1)).mean(),
        "fixed": lambda: (c * m).sum() / 128,
    }[how]()


REDUCTIONS = ("none", "token_sum", "batch_mean", "token_mean", "padded_mean", "sequence_mean", "fixed")
FAULTS = (
    *("teacher_gradient", "gradient_not_of_value", "zero_loss", "dead_zone", "negative", "mixture_of_logs"),
    *("mask_ignored", "mask_leak", "mask_shifted", "tail_dropped", "tail_renormalised", "student_top_k", "overflow"),
    *("double_softmax", "element_mean", "temperature_unscaled", "parameter_jump", "nan_at_zero"),
)


@dataclass
class Composed:
    """A loss and what it is."""

    loss: Any
    divergence: str
    value: str
    reduction: str
    temperature: float
    support: str
    faults: set[str] = field(default_factory=set)
    text: str = ""


def compose(seed: int) -> Composed:
    rng = np.random.default_rng(seed)
    name = str(rng.choice(list(DIVERGENCES)))
    how = str(rng.choice(REDUCTIONS))
    T = float(rng.choice([1, 1, 1, 2, 0.5]))
    squared = T != 1 and rng.random() < 0.5
    scale = float(rng.choice([1, 1, 0.5, 2]))
    wants_mask = bool(rng.random() < 0.7)
    flag = bool(rng.random() < 0.7)
    planned = set()
    if rng.random() < 0.7:
        planned = {str(x) for x in rng.choice(FAULTS, size=rng.choice([1, 1, 2]), replace=False)}
    if planned & {"mixture_of_logs", "double_softmax"}:
        planned -= {"tail_dropped", "tail_renormalised", "student_top_k", "dead_zone", "overflow"}
        planned -= {"nan_at_zero", "gradient_not_of_value"}
        T, squared = 1.0, False
    if {"mixture_of_logs", "double_softmax"} <= planned:
        planned -= {"double_softmax"}
    if "student_top_k" in planned or planned & {"tail_dropped", "tail_renormalised"}:
        planned -= {"dead_zone", "overflow", "nan_at_zero"}
    if "zero_loss" in planned:
        planned = {"zero_loss"} | (planned & {"teacher_gradient", "overflow"} - {"teacher_gradient"})
    if "parameter_jump" in planned:
        planned -= {"mixture_of_logs", "negative", "dead_zone", "overflow", "zero_loss"}
        name = "generalized_js(0.3)"
    if "gradient_not_of_value" in planned and not flag:
        planned -= {"tail_dropped", "tail_renormalised", "student_top_k", "nan_at_zero"}
        planned -= {"teacher_gradient", "element_mean", "overflow"}
    if "dead_zone" in planned:
        planned -= {"overflow", "gradient_not_of_value"}
    if {"tail_dropped", "tail_renormalised"} <= planned:
        planned -= {"tail_renormalised"}
    if planned & {"mask_ignored", "mask_leak", "mask_shifted"}:
        wants_mask = True
        keep = sorted(planned & {"mask_ignored", "mask_leak", "mask_shifted"})[0]
        planned -= {"mask_ignored", "mask_leak", "mask_shifted"} - {keep}
    if "mask_leak" in planned and how == "none":
        how = "token_sum"
    if "temperature_unscaled" in planned:
        T, squared = (2.0, False) if T == 1 else (T, False)
        if planned & {"double_softmax", "mixture_of_logs"}:
            planned -= {"double_softmax", "mixture_of_logs"}
    k, form = 0, "full"
    if planned & {"tail_dropped", "tail_renormalised", "student_top_k"} or (not planned and rng.random() < 0.2):
        k = int(rng.choice([2, 3, 5]))
        form = "tail_bucket"
        form = "tail_dropped" if "tail_dropped" in planned else form
        form = "renormalised" if "tail_renormalised" in planned else form
    if "parameter_jump" in planned and form == "tail_dropped":
        form = "tail_bucket"
        planned -= {"tail_dropped"}
    if k:
        planned -= {"element_mean"}
    if form == "tail_dropped" and name not in ("forward_kl", "reverse_kl"):
        name = "forward_kl"
    if "overflow" in planned and name not in ("forward_kl", "reverse_kl", "cross_entropy"):
        name = "forward_kl"
    if "nan_at_zero" in planned:
        name = "forward_kl" if name in ("neyman_chi2", "reverse_kl") or name in FINITE_AT_ZERO else name
    clamp = str(rng.choice(["ratio", "logits", "token", "margin"])) if "dead_zone" in planned else ""
    if clamp == "token" and name not in ("forward_kl", "reverse_kl", "cross_entropy"):
        clamp = "ratio"
    clamp_at = float(rng.choice([0.5, 2.0, 5.0]))
    by = "student" if "student_top_k" in planned else "teacher"
    divergence = DIVERGENCES.get(name, gjs(0.3))
    b_log = float(rng.choice([0.5, 0.3, 0.7]))
    normalised = bool(rng.random() < 0.5)

    def cost(s, t, beta=0.3):
        if "teacher_gradient" not in planned:
            t = t.detach()
        s, t = s / T, t / T
        if clamp == "logits":
            s, t = s.clamp(-clamp_at - 1, clamp_at + 1), t.clamp(-clamp_at - 1, clamp_at + 1)
        if "double_softmax" in planned:
            s, t = s.softmax(-1), t.softmax(-1)
        if "overflow" in planned:
            lq, lp = s.softmax(-1).log(), t.softmax(-1).log()
        else:
            lq, lp = s.log_softmax(-1), t.log_softmax(-1)
        if k:
            ids = (s if by == "student" else t).topk(k, -1).indices
            kp, kq = lp.gather(-1, ids), lq.gather(-1, ids)
            if form == "renormalised":
                kp, kq = kp.log_softmax(-1), kq.log_softmax(-1)
            elif form == "tail_bucket":
                hidden = torch.ones_like(lp, dtype=torch.bool).scatter(-1, ids, False)
                kp, kq = (
                    torch.cat([a, x.masked_fill(~hidden, -torch.inf).logsumexp(-1, keepdim=True)], -1)
                    for a, x in ((kp, lp), (kq, lq))
                )
            lp, lq = kp, kq
        if "mixture_of_logs" in planned:
            lm = b_log * lp + (1 - b_log) * lq
            lm = lm.log_softmax(-1) if normalised else lm
            c = b_log * kl(lp, lm) + (1 - b_log) * kl(lq, lm)
        elif "parameter_jump" in planned:
            c = kl(lp, lq) if beta == 0 else kl(lq, lp) if beta == 1 else gjs(beta)(lp, lq)
        elif clamp == "ratio":
            r = (lq - lp).clamp(-clamp_at, clamp_at)
            c = -lp.exp() * r if name in ("forward_kl", "cross_entropy") else lq.exp() * r
        else:
            c = divergence(lp, lq)
        if "nan_at_zero" in planned:
            c = c + 0 * lp.exp() * lp
        c = c.mean(-1) if "element_mean" in planned else c.sum(-1)
        if clamp == "token":
            c = c.clamp(max=clamp_at / 2)
        if clamp == "margin":
            c = F.relu(c - 0.05 * clamp_at)
        if "gradient_not_of_value" in planned:
            c = 3 * c - 2 * c.detach() if flag else (lq.exp() * (lq - lp.detach()).detach() ** 2).sum(-1)
        if "negative" in planned:
            c = -c
        if "zero_loss" in planned:
            c = c.detach() if flag else 0 * c
        c = c * scale
        return c * T**2 if squared else c

    def finish(c, m, s):
        if "mask_ignored" in planned:
            m = torch.ones_like(m)
        if "mask_leak" in planned:
            leak = (0.1 * c if flag else 0.01 * s.square().mean(-1)) * (1 - m)
            leak = leak.sum()
            return reduce(how, c, m) + leak
        if "mask_shifted" in planned:
            c, m = (c[:, :-1], m[:, 1:]) if flag and how != "none" else (c, m.roll(1, 1))
        return reduce(how, c, m)

    if "parameter_jump" in planned and wants_mask:

        def loss(student_logits, teacher_logits, mask, beta=0.3):
            return finish(cost(student_logits, teacher_logits, beta), mask, student_logits)

    elif "parameter_jump" in planned:

        def loss(student, teacher, beta=0.3):
            return finish(cost(student, teacher, beta), torch.ones_like(student[..., 0]), student)

    elif wants_mask:

        def loss(student_logits, teacher_logits, mask):
            return finish(cost(student_logits, teacher_logits), mask, student_logits)

    else:

        def loss(student, teacher):
            return finish(cost(student, teacher), torch.ones_like(student[..., 0]), student)

    gradient_finite = name not in ("reverse_kl", "neyman_chi2") and not planned & {"zero_loss", "mixture_of_logs"}
    if how == "padded_mean" and wants_mask and "mask_ignored" not in planned:
        planned.add("padding_dependent")
    if "zero_loss" in planned and not flag:  # nothing at all is left of it
        planned -= {"padding_dependent"}
    spoiled = clamp in ("ratio", "logits") or ("gradient_not_of_value" in planned and not flag)
    if spoiled:
        gradient_finite = False
        planned -= {"nan_at_zero"}
    if "zero_loss" in planned and flag:
        planned.add("gradient_not_of_value")
    if not k and gradient_finite and name not in FINITE_AT_ZERO and "double_softmax" not in planned:
        planned.add("nan_at_zero")
    if T != 1 and not squared:
        planned.add("temperature_unscaled")
    gradient = "forward_kl" if name == "cross_entropy" else name
    value = name
    if clamp == "ratio":
        gradient = value = "forward_kl" if name in ("forward_kl", "cross_entropy") else "reverse_kl"
    if "mixture_of_logs" in planned:
        gradient = value = "none" if normalised else "f_divergence"
        if not normalised:  # a sum of both KLs, and an error only where Jensen-Shannon is expected
            planned = planned - {"mixture_of_logs"}
    if clamp == "margin":
        value = "none"
    if "double_softmax" in planned:
        gradient = value = "none"
    if "gradient_not_of_value" in planned and not flag:
        gradient, value = "f_divergence", "none"
    if "zero_loss" in planned:
        gradient = "zero"
    shown = "student_top_k" if by == "student" else form
    label = how
    if not wants_mask and label in ("padded_mean", "sequence_mean"):
        label = "token_mean"
    if "mask_ignored" in planned and label in ("padded_mean", "sequence_mean"):
        label = "token_mean"
    if "element_mean" in planned and label in ("padded_mean", "token_mean"):
        label = "element_mean"
    text = (
        f"{name} T={T} {squared} scale={scale} {how} mask={wants_mask} k={k} {form} clamp={clamp}{clamp_at} flag={flag}"
    )
    return Composed(loss, gradient, value, label, T, shown, planned, f"{text} b={b_log} {normalised} {sorted(planned)}")
