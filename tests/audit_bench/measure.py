"""Faults that can be measured on a loss whose construction is known: which of them does it really have?

This is no auditor: it knows what the loss is meant to be (its label, its correct twin) and looks for each fault where
that knowledge says it must show. `measured` returns the codes found among `MEASURED`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from distil_theory.llm.losses import token_cost
from tests.audit_bench.cases import Case, exact
from tests.audit_bench.labels import core_of, exact_gradient, first
from tests.audit_bench.probes import Probe, arguments, cost, gradients, probe

INFINITE_AT_ZERO = {"reverse_kl", "neyman_chi2", "f_divergence"}


def sampled(case: Case) -> bool:
    return "labels" in arguments(case.loss)


def teacher_gradient(case: Case) -> bool:
    return not case.numpy and bool(gradients(case, probe(1))[1].abs().max() > 1e-9)


def gradient_not_of_value(case: Case) -> bool:
    """Autograd against a central difference in a random direction."""
    if case.numpy:
        return False
    at, way = probe(2), probe(3).student
    ends = [cost(case, at.with_(student=at.student + sign * 1e-5 * way)).sum() for sign in (1, -1)]
    found, wanted = (gradients(case, at)[0] * way).sum(), (ends[0] - ends[1]) / 2e-5
    return bool((found - wanted).abs() > 1e-5 * (found.abs() + wanted.abs()) + 1e-9)


def zero_loss(case: Case) -> bool:
    return all(gradients(case, probe(seed))[0].abs().max() < 1e-12 for seed in range(4))


def one_token(seeds: int, spreads: tuple[float, ...]) -> Iterator[Probe]:
    """Single tokens: independent, sharpened, almost equal, and student against teacher."""
    for spread in spreads:
        for seed in range(seeds):
            at = probe(seed, (1, 1, 7), spread, full=True)
            yield at
            yield at.with_(student=4 * at.teacher + 0.1 * at.student)
            yield at.with_(student=at.teacher / 3)


def negative(case: Case) -> bool:
    if sampled(case):
        return False
    return min(cost(case, at).sum().item() for at in one_token(5, (0.5, 1.5, 4.0))) < -1e-9


def dead_zone(case: Case) -> bool:
    """No gradient where the exact divergence, or else the twin, has one, and the distributions differ."""
    core = core_of(case, first(case.truth.divergence) or "none")
    twin = case.twin and not core and Case("", case.twin, case.truth)
    if sampled(case) or case.numpy or zero_loss(case) or "mask_shifted" in case.truth.faults or not (twin or core):
        return False
    for at in one_token(2, (1.5, 8.0, 40.0)):
        q, p = at.student.softmax(-1), at.teacher.softmax(-1)
        size = gradients(case, at)[0].norm().item()
        if (p - q).abs().sum() / 2 > 0.05 and size < 1e-6:
            wanted = gradients(twin, at)[0] if twin else exact_gradient(core, at, case.truth.temperature or 1)
            if wanted.norm().item() > 1e-3 and size < 1e-6 * wanted.norm().item():
                return True
    return False


def parameter_jump(case: Case) -> bool:
    """The gradient at an end of `[0, 1]` against that at 1e-6 from it, in units of the gradient in the middle."""
    defaults = case.loss.__defaults__ or ()
    names = case.loss.__code__.co_varnames[: case.loss.__code__.co_argcount][-len(defaults) :] if defaults else ()
    for name in {"beta", "alpha", "lmbda"} & set(names):
        at = probe(4)
        middle, *ends = (gradients(case, at, **{name: b})[0] for b in (0.5, 0.0, 1e-6, 1.0, 1 - 1e-6))
        if any((a - b).norm() > 0.1 * middle.norm() for a, b in (ends[:2], ends[2:])):
            return True
    return False


def masked_faults(case: Case) -> set[str]:
    """Ignored, shifted or leaking: which positions move the loss, and which should."""
    if "mask" not in arguments(case.loss):
        return set()
    at = probe(5, (3, 5, 7))
    at.mask[:] = torch.tensor([[0, 1, 1, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 1, 0]])
    base, moves, values = gradients(case, at)[0], probe(6, (3, 5, 7)), torch.zeros(3, 5)
    for b in range(3):
        for t in range(5):
            student, teacher = at.student.clone(), at.teacher.clone()
            student[b, t], teacher[b, t] = moves.student[b, t], moves.teacher[b, t]
            moved = at.with_(student=student, teacher=teacher)
            values[b, t] = (cost(case, moved) - cost(case, at)).abs().max() > 1e-12
    alive = base.norm(dim=-1) > 1e-12
    felt, counted = (values > 0) | alive, at.mask > 0
    if not (felt & ~counted).any() or zero_loss(case):
        return set()
    rolled = [torch.zeros_like(counted), torch.zeros_like(counted)]
    rolled[0][:, 1:], rolled[1][:, :-1] = counted[:, :-1], counted[:, 1:]
    if any(torch.equal(felt, x) for x in rolled):
        return {"mask_shifted"}
    everywhere = gradients(case, at.with_(mask=torch.ones_like(at.mask)))[0]
    c = (base * everywhere).sum() / everywhere.square().sum()
    return {"mask_ignored"} if felt.all() and (base - c * everywhere).norm() < 1e-9 * base.norm() else {"mask_leak"}


def padding_dependent(case: Case) -> bool:
    if "mask" not in arguments(case.loss):
        return False
    at, more = probe(7), probe(8)
    at.mask[:, -1] = 0
    longer = Probe(*(torch.cat([getattr(x, f) for x in (at, more)], 1) for f in ("student", "teacher")), None, None)
    longer = longer.with_(
        mask=torch.cat([at.mask, torch.zeros_like(at.mask)], 1), labels=torch.cat([at.labels, more.labels], 1)
    )
    return bool((cost(case, longer).sum() - cost(case, at).sum()).abs() > 1e-12)


def extreme() -> Iterator[Probe]:
    """Float32 logits of up to 1e4: random, equal, confident and wrong, one-sided."""
    for seed, spread in enumerate((300.0, 3000.0)):
        at = probe(seed, (1, 2, 7), spread, full=True, dtype=torch.float32)
        yield at
        yield at.with_(student=at.teacher.clone())
        yield at.with_(student=at.student / spread)
        yield at.with_(teacher=at.teacher / spread)
    for size in (200.0, 1e4):
        hot = torch.zeros(1, 2, 7)
        hot[..., 2] = size
        yield probe(9, (1, 2, 7), full=True, dtype=torch.float32).with_(student=hot, teacher=hot.flip(-1))


def overflow(case: Case) -> bool:
    return any(not finite(case, at) and moderate(case, at) for at in extreme())


def finite(case: Case, at: Probe) -> bool:
    if sampled(case):
        at = at.with_(labels=at.student.argmax(-1))
    return bool(cost(case, at).isfinite().all()) and (case.numpy or bool(gradients(case, at)[0].isfinite().all()))


def moderate(case: Case, at: Probe) -> bool:
    """Whether exact value and gradient are below 1e30, in float64 and log space; unknown divergences always are."""
    for name in (first(case.truth.divergence), first(case.truth.value)):
        if name in (None, "none", "zero", "f_divergence"):
            continue
        core, student = exact(name), (at.student.double() / (case.truth.temperature or 1)).requires_grad_()
        if name.startswith("alpha") and float(name[6:-1]) > 1:
            log_q, log_p = student.log_softmax(-1), at.teacher.double().log_softmax(-1)
            exact_cost = (1.5 * log_p - 0.5 * log_q).exp().sum(-1)
        elif name.startswith(("alpha", "generalized")):
            continue  # bounded
        else:
            exact_cost = token_cost(student, at.teacher.double() / (case.truth.temperature or 1), core)
        slope = torch.autograd.grad(exact_cost.sum(), student)[0]
        if not (exact_cost.abs().max() < 1e30 and slope.abs().max() < 1e30):
            return False
    return True


def nan_at_zero(case: Case) -> bool:
    if {first(case.truth.divergence), first(case.truth.value)} & INFINITE_AT_ZERO and case.core is None:
        return False
    if case.core is not None and first(case.truth.divergence) == "f_divergence" and case.core.needs_expert_support:
        return False
    at = probe(10, (1, 3, 7), full=True)
    at.teacher[0, 0, 2] = at.teacher[0, 1, :4] = -float("inf")
    at.labels[:] = 6
    bad = cost(case, at).isnan().any()
    return bool(bad) or (not case.numpy and bool(gradients(case, at)[0].isnan().any()))


SINGLE = (
    *(teacher_gradient, gradient_not_of_value, zero_loss, negative, dead_zone, parameter_jump, padding_dependent),
    *(overflow, nan_at_zero),
)
MEASURED = {check.__name__ for check in SINGLE} | {"mask_ignored", "mask_shifted", "mask_leak"}


def measured(case: Case) -> set[str]:
    """The faults of `MEASURED` that the loss has."""
    return {check.__name__ for check in SINGLE if check(case)} | masked_faults(case)
