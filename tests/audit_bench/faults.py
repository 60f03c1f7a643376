"""The faults that are put into composed losses: what each changes, and what it makes true."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

from tests.audit_bench import parts
from tests.audit_bench.cores import JEFFREYS
from tests.audit_bench.correct import js_of_logs as js

# Means over the padding and over the vocabulary are faults or warnings of their own.
ALL = ["none", "token_sum", "batch_mean", "token_mean", "sequence_mean", "fixed"]
MEANS = ["token_sum", "batch_mean", "token_mean", "fixed"]
SMOOTH = [
    *("forward_kl", "cross_entropy", "reverse_kl", "jensen_shannon"),
    *("hellinger", "pearson_chi2", "neyman_chi2", "alpha(0.3)"),
]
LOGARITHMIC = ["forward_kl", "cross_entropy", "reverse_kl", "jensen_shannon", "generalized_js(0.7)", "f_divergence"]
JS = ["jensen_shannon", "generalized_js(0.2)", "generalized_js(0.7)", "generalized_js(0.9)"]


@dataclass(frozen=True)
class Fault:
    """One change to a loss; `truth(divergence, reduction)` gives the fields of the label and of the case."""

    truth: Callable[[str, str], tuple[dict[str, Any], dict[str, Any]]]
    divergences: list[str] | None = None
    forms: tuple[str, ...] | None = None
    reductions: list[str] = field(default_factory=lambda: list(ALL))
    masked: bool = False
    temperature: bool = False
    attached: bool = False
    masked_logits: bool = False
    logits: Callable[..., Any] | None = None
    logs: Callable[..., Any] | None = None
    support: Callable[..., Any] | None = None
    cost: Callable[..., Any] | None = None
    mask: Callable[..., Any] | None = None
    parameter: Callable[[str], float] | None = None


def says(*codes: str, **fields: Any) -> Callable[[str, str], tuple[dict[str, Any], dict[str, Any]]]:
    """A label that does not depend on the rest of the loss."""
    inside = {k: fields.pop(k) for k in ("expect", "expect_reduction", "core") if k in fields}
    return lambda divergence, reduction: ({"faults": list(codes), **fields}, inside)


def expecting_other(divergence, reduction):
    other = "reverse_kl" if divergence == "forward_kl" else "forward_kl"
    return {"faults": ["not_expected"]}, {"expect": other}


def expecting_token_mean(divergence, reduction):
    return {"faults": ["not_expected"]}, {"expect_reduction": "token_mean"}


def late(mask):
    return torch.cat([torch.zeros_like(mask[:, :1]), mask[:, :-1]], dim=1)


def other_gradient(cost, log_q, log_p):
    """The value of the cost, the gradient of another divergence."""
    other = parts.COSTS["hellinger"]["roots"](log_q, log_p)
    return cost(log_q, log_p).detach() + other - other.detach()


def weights_detached(cost, log_q, log_p):
    return (log_q.exp().detach() * (log_q - log_p)).sum(-1)


def unguarded_logs(cost, log_q, log_p):
    """KL and its kin with `p log p` written as a product: `0 * -inf` at a teacher's zero."""
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def unguarded_mixture(cost, log_q, log_p):
    log_m = torch.logaddexp(log_p, log_q) - torch.tensor(2.0).log()
    return sum(F.kl_div(log_m, x, reduction="none", log_target=True).sum(-1) for x in (log_p, log_q)) / 2


def mixture_of_logs(cost, log_q, log_p):
    log_m = (log_p + log_q) / 2
    return ((log_p.exp() * (log_p - log_m)) + log_q.exp() * (log_q - log_m)).sum(-1) / 2


def special_ends(cost, log_q, log_p, beta):
    if beta in (0.0, 1.0):
        kind = ("forward_kl", "kl_div") if beta == 0 else ("reverse_kl", "log_target")
        return parts.COSTS[kind[0]][kind[1]](log_q, log_p)
    return js(beta)(log_q, log_p)


def at_beta(divergence):
    found = re.search(r"\((.*)\)", divergence)
    return float(found[1]) if found else 0.5


def top_k(how):
    return lambda log_q, log_p: parts.on_top_k(log_q, log_p, 3, how)


def only(how, *codes, tolerated=""):
    """Reverse KL is infinite at a teacher's zero; what happens outside of the top k may have no gradient."""
    tolerated += " nan_at_zero dead_zone"
    return says(*codes, divergence=None, value=None, support=how, top_k=3, tolerated=tolerated)


KL = ["forward_kl", "reverse_kl"]
PLAIN = ("kl_div", "where", "product", "log_target")
UNREAD = {"divergence": None, "value": None}
FAULTS = {
    "teacher_gradient": Fault(
        says("teacher_gradient", stop_gradient=False),
        [n for n in parts.COSTS if n != "reverse_kl"],
        attached=True,
        temperature=True,
    ),
    "mask_ignored": Fault(
        says("mask_ignored", reduction=None, tolerated="padding_dependent"),
        masked=True,
        reductions=MEANS,
        mask=torch.ones_like,
        temperature=True,
    ),
    "mask_shifted": Fault(
        says("mask_shifted", reduction=None, tolerated="mask_leak"), masked=True, reductions=MEANS, mask=late
    ),
    "mask_leak": Fault(
        # The student's logits alone are zeroed: the teacher's at masked positions still reach the value.
        says("mask_leak", reduction=None, value=None, tolerated="padding_dependent mask_ignored"),
        ["forward_kl", "reverse_kl", "jensen_shannon", "hellinger"],
        masked=True,
        reductions=["token_sum", "batch_mean"],
        masked_logits=True,
        mask=torch.ones_like,
    ),
    "padding_dependent": Fault(
        says("padding_dependent"), masked=True, reductions=["padded_mean", "element_mean"], temperature=True
    ),
    "dead_zone_cost": Fault(
        says("dead_zone", temperature=None, tolerated="nan_at_zero", **UNREAD),
        ["forward_kl", "reverse_kl", "jensen_shannon", "hellinger"],
        cost=lambda c, q, p: c(q, p).clamp(max=0.5),
    ),
    "dead_zone_logits": Fault(
        says("dead_zone", temperature=None, tolerated="nan_at_zero", **UNREAD),
        SMOOTH,
        logits=lambda s, t: (s.clamp(-6, 6), t.clamp(-6, 6)),
    ),
    "zero_loss": Fault(
        says("zero_loss", "gradient_not_of_value", divergence="zero", temperature=None, value="reverse_kl"),
        ["reverse_kl"],
        cost=weights_detached,
    ),
    "gradient_not_of_value": Fault(
        says("gradient_not_of_value", divergence="hellinger"),
        [n for n in SMOOTH if n != "hellinger"],
        cost=other_gradient,
        temperature=True,
    ),
    "overflow": Fault(says("overflow", tolerated="dead_zone"), LOGARITHMIC, logs=lambda x: x.softmax(-1).log()),
    "nan_at_zero": Fault(says("nan_at_zero"), ["forward_kl"], cost=unguarded_logs, temperature=True),
    "nan_at_zero_mixture": Fault(says("nan_at_zero"), ["jensen_shannon"], cost=unguarded_mixture),
    "negative": Fault(
        lambda divergence, reduction: (
            {"faults": ["negative", "not_expected"], **UNREAD, "temperature": None, "tolerated": "overflow"},
            {"expect": divergence},
        ),
        [n for n in SMOOTH if n != "cross_entropy"],
        cost=lambda c, q, p: -c(q, p),
    ),
    "tail_dropped": Fault(
        only("tail_dropped", "tail_dropped", tolerated="negative"), KL, PLAIN, support=top_k("tail_dropped")
    ),
    "tail_renormalised": Fault(only("renormalised", "tail_renormalised"), KL, PLAIN, support=top_k("renormalised")),
    "student_top_k": Fault(only("student_top_k", "student_top_k"), KL, PLAIN, support=top_k("student_top_k")),
    "double_softmax": Fault(
        says("double_softmax", divergence="none", value=None, temperature=None, tolerated="dead_zone nan_at_zero"),
        SMOOTH,
        logits=lambda s, t: (s.softmax(-1), t),
    ),
    "mixture_of_logs": Fault(
        says(
            *("mixture_of_logs", "not_expected"),
            divergence="f_divergence",
            value="f_divergence",
            tolerated="nan_at_zero",
            expect="jensen_shannon",
            core=JEFFREYS,
        ),
        ["jensen_shannon"],
        cost=mixture_of_logs,
    ),
    "not_expected": Fault(expecting_other, [n for n in parts.COSTS if n != "cross_entropy"], temperature=True),
    "not_expected_reduction": Fault(
        expecting_token_mean, reductions=["batch_mean", "token_sum", "sequence_mean"], masked=True
    ),
    "parameter_jump": Fault(says("parameter_jump"), JS, cost=special_ends, parameter=at_beta),
}
