"""Losses composed at random: divergence x form x reduction x mask x temperature x fault; about half have no fault.

Left out, since their truth is ambiguous or one part hides the other:

* `padded_mean` or `sequence_mean` without a mask are `token_mean`;
* mask faults without a mask; their reduction is not judged (of which mask would it be the mean?);
* a teacher that is not detached in the advantage form of reverse KL, where nothing could reach it;
* `nan_at_zero` where the divergence itself is infinite at a teacher's zero (reverse KL, Neyman, Jeffreys), or where
  the form never takes a logarithm of the teacher;
* `overflow` by `log(softmax)` for costs that are functions of probabilities only (total variation);
* temperatures with top-k, a double softmax, dead zones or mixtures of logs: no temperature can be read off those;
* `fixed` and `token_sum` at a scale that is not one (both are accepted);
* a dead zone or a wrong sign together with anything that is judged by the gradient: their divergence is not judged;
* a sign change without `expect`: nothing says that it should be a divergence.
"""

from __future__ import annotations

import numpy as np
import torch

from tests.audit_bench import parts
from tests.audit_bench.cases import Case, truth
from tests.audit_bench.cores import JEFFREYS
from tests.audit_bench.faults import FAULTS

NAMES = tuple(parts.COSTS)
REDUCTIONS = ("none", "token_sum", "batch_mean", "token_mean", "sequence_mean", "fixed")
UNMASKED = ("none", "token_sum", "batch_mean", "token_mean", "element_mean", "fixed")
"""Without a mask `sequence_mean` is `token_mean`; with one `element_mean` depends on the padding, which is a fault."""
STYLES = ("multiply", "select", "where")


def compose(number: int, seed: int = 20) -> Case:
    """The loss with this number; another seed composes other losses."""
    rng = np.random.default_rng([number, seed])
    name = sorted(FAULTS)[number // 2 % len(FAULTS)] if number % 2 else None
    fault = FAULTS[name] if name else None
    divergence = str(rng.choice(fault.divergences if fault and fault.divergences else NAMES))
    forms = sorted(parts.COSTS[divergence])
    form = str(rng.choice([f for f in forms if not fault or fault.forms is None or f in fault.forms]))
    masked = bool(rng.random() < 0.65) or bool(fault and fault.masked)
    style = str(rng.choice(STYLES))
    admitted = fault.reductions if fault else REDUCTIONS if masked else UNMASKED
    how = str(rng.choice([how for how in admitted if masked or how in UNMASKED]))
    warm = float(rng.choice([1.0, 1.0, 2.0, 4.0, 0.5])) if not fault or fault.temperature else 1.0
    squared = warm != 1 and bool(rng.random() < 0.6)
    logs = str(rng.choice(sorted(parts.LOGS)))
    loss = assemble(divergence, form, how, style if masked else None, warm, squared, logs, fault)
    label = "+".join([divergence, form, how, style if masked else "unmasked", f"T{warm:g}", name or "right"])
    told = warm != 1 and how != "fixed"  # any constant may contain T^2
    fields = {
        "value": divergence,
        "temperature": warm,
        "temperature_squared": squared if told else None,
        "warnings": ("element_mean " if how == "element_mean" else "")
        + ("temperature_unscaled " if told and not squared else ""),
    }
    reduction: object = how
    if how in ("fixed", "token_sum") and squared:
        reduction = ("fixed", "token_sum")
    given = {"core": JEFFREYS} if divergence == "f_divergence" else {}
    descends = "forward_kl" if divergence == "cross_entropy" else divergence
    if fault:
        more, case_fields = fault.truth(descends, how)
        fields |= {k: v for k, v in more.items() if k not in ("divergence", "reduction", "faults")}
        fields["faults"] = more["faults"]
        descends, reduction = more.get("divergence", descends), more.get("reduction", reduction)
        given = ({} if descends != "f_divergence" else given) | case_fields
        usual = "token_mean" if name == "padding_dependent" else how
        given["twin"] = assemble(divergence, form, usual, style if masked else None, warm, squared, logs, None)
    faults = fields.pop("faults", [])
    return Case(f"{number:03d}:{label}", loss, truth(descends, reduction, *faults, **fields), **given)


def assemble(divergence, form, how, style, warm, squared, logs, fault):
    """The loss as a function of student and teacher, and of a mask if there is a style of masking."""

    def log_probs(student, teacher, warm):
        teacher = teacher if fault and fault.attached else teacher.detach()
        student, teacher = student / warm, teacher / warm
        if fault and fault.logits:
            student, teacher = fault.logits(student, teacher)
        q_log = fault.logs if fault and fault.logs else parts.LOGS[logs]
        return q_log(student), parts.LOGS[logs](teacher)

    def loss(student, teacher, mask, warm=warm, **options):
        if fault and fault.masked_logits:
            student = student * mask[..., None]
        log_q, log_p = log_probs(student, teacher, warm)
        if fault and fault.support:
            log_q, log_p = fault.support(log_q, log_p)
        cost = (fault.cost if fault and fault.cost else lambda c, q, p, **_: c(q, p))(
            parts.COSTS[divergence][form], log_q, log_p, **options
        )
        cost = cost * warm**2 if squared else cost
        mask = fault.mask(mask) if fault and fault.mask else mask
        return parts.reduced(cost, mask, how, style, student.shape[-1])

    beta = fault.parameter(divergence) if fault and fault.parameter else None
    if beta is not None and style:
        return lambda student_logits, teacher_logits, mask, beta=beta: loss(
            student_logits, teacher_logits, mask, beta=beta
        )
    if beta is not None:
        return lambda student_logits, teacher_logits, beta=beta: loss(student_logits, teacher_logits, None, beta=beta)
    if style:
        return lambda student_logits, teacher_logits, mask: loss(student_logits, teacher_logits, mask)
    if warm != 1:
        # A temperature that may be scanned: no end of its range is a jump.
        return lambda student_logits, teacher_logits, temperature=warm: loss(
            student_logits, teacher_logits, None, temperature
        )
    return lambda student_logits, teacher_logits: loss(student_logits, teacher_logits, None)


def in_numpy(case: Case) -> Case:
    """The same loss on arrays: no gradients, so none can be stopped."""

    def loss(*arrays):
        with torch.no_grad():
            return torch_loss(*(torch.as_tensor(np.asarray(x)) for x in arrays)).numpy()

    torch_loss = case.loss
    plain = {2: lambda student_logits, teacher_logits: loss(student_logits, teacher_logits)}
    plain[3] = lambda student_logits, teacher_logits, mask: loss(student_logits, teacher_logits, mask)
    count = len(torch_loss.__code__.co_varnames[: torch_loss.__code__.co_argcount]) - len(torch_loss.__defaults__ or ())
    fields = vars(case) | {"loss": plain[count], "name": f"{case.name}+numpy", "numpy": True, "twin": None}
    return Case(**fields | {"truth": type(case.truth)(**vars(case.truth) | {"stop_gradient": None})})


COMPOSED = tuple(compose(number) for number in range(200))
COMPOSED = tuple(in_numpy(case) if not case.truth.faults and i % 12 == 0 else case for i, case in enumerate(COMPOSED))
