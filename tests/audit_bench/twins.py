"""Labels of faults that no divergence measures: they compare with another loss, or with what was expected."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy import special

from tests.audit_bench.cases import Case, exact, same
from tests.audit_bench.labels import SHAPES, exact_gradient, first, scale_and_error, weights
from tests.audit_bench.measure import extreme, sampled
from tests.audit_bench.probes import Probe, cost, expected_gradient, gradients, probe


def on_support(at: Probe, k: int, support: str) -> list[float]:
    """Forward and reverse KL on a top-k support, of one token, in numpy."""
    log_q, log_p = (special.log_softmax(x[0, 0].numpy()) for x in (at.student, at.teacher))
    if support == "renormalised":
        top = np.argsort(-log_p)[:k]
        log_q, log_p = (special.log_softmax(x[top]) for x in (log_q, log_p))
    elif support != "full":
        order = np.argsort(-(log_q if support == "student_top_k" else log_p))
        tails = [special.logsumexp(x[order[k:]]) for x in (log_q, log_p)]
        keep = [] if support == "tail_dropped" else [[tail] for tail in tails]
        log_q, log_p = (np.concatenate([x[order[:k]], *keep[i : i + 1]]) for i, x in enumerate((log_q, log_p)))
    gap = log_p - log_q
    return [float((np.exp(log_p) * gap).sum()), float(-(np.exp(log_q) * gap).sum())]


def wrong_support(case: Case) -> str:
    """What is wrong with the labels `support` and `top_k`, for forward and reverse KL; nothing if they are right."""
    k, support = case.truth.top_k, first(case.truth.support)
    if k is None:
        return ""
    right = []
    for kind in (0, 1):
        for name in ("tail_bucket", "tail_dropped", "renormalised", "student_top_k", "student_dropped", "full"):
            for size in (k - 1, k, k + 1):
                if all(close(case, at, at_kind(at, size, name)[kind]) for at in tokens()):
                    right.append((name.replace("student_dropped", "student_top_k"), size))
    return "" if right == [(support, k)] else f"support is {right}, not {support} of {k}"


def at_kind(at: Probe, k: int, name: str) -> list[float]:
    if name != "student_dropped":
        return on_support(at, k, name)
    turned = on_support(at.with_(student=at.teacher, teacher=at.student), k, "tail_dropped")
    return turned[::-1]


def tokens() -> Iterator[Probe]:
    return (probe(seed, (1, 1, 7), full=True) for seed in range(20, 26))


def close(case: Case, at: Probe, wanted: float) -> bool:
    found = cost(case, at).sum().item() * (1000 if case.truth.reduction == "fixed" else 1)
    # Some repositories clamp what has become negative.
    return abs(found - wanted) < 1e-9 or ("dead_zone" in case.truth.faults and abs(found - max(wanted, 0)) < 1e-9)


def meets_expectation(case: Case) -> bool:
    """Whether the gradient is that of what was expected, under the reduction expected."""
    name, warm = case.expect or first(case.truth.divergence), case.truth.temperature or 1.0
    scales = []
    for seed, shape in enumerate(SHAPES):
        at = probe(seed, shape)
        how = case.expect_reduction or first(case.truth.reduction) or "token_sum"
        counts = "mask" in case.loss.__code__.co_varnames[: case.loss.__code__.co_argcount]
        mask = at.mask if counts else torch.ones_like(at.mask)
        wanted = exact_gradient(exact(name), at, warm) * weights(how, mask, shape[-1])[..., None]
        c, error = scale_and_error(expected_gradient(case, at), wanted)
        scales.append(c)
        if not (error < 1e-6 and c > 0):
            return False
    return max(scales) - min(scales) < 1e-6 * scales[0]


def differs_from_twin(case: Case) -> bool:
    """In value or gradient somewhere, or in the teacher's gradient, or in what is finite."""
    twin = Case("twin", case.twin, case.truth, numpy=case.numpy)
    ends = {"beta", "alpha", "lmbda"} & set(case.loss.__code__.co_varnames)
    ordinary = [probe(30), probe(31), *(probe(s, spread=spread, full=True) for s, spread in ((32, 8.0), (33, 40.0)))]
    zero = probe(34)
    zero.teacher[..., 0, 2] = -float("inf")
    for at in (*ordinary, zero, *extreme()):
        for parameters in [{}] + [{name: end} for name in ends for end in (0.0, 1.0)]:
            one = [cost(case, at, **parameters).sum(), *(() if case.numpy else gradients(case, at, **parameters))]
            two = [cost(twin, at).sum(), *(() if case.numpy else gradients(twin, at))]
            if any(not torch.allclose(x, y, rtol=1e-6, atol=1e-9) for x, y in zip(one, two, strict=True)):
                return True
    return False


def wrong_fault(case: Case) -> str:
    """What is wrong with a faulty case: it must differ from its twin, and `not_expected` must be neither more nor less
    than what it says."""
    expected = case.expect or case.expect_reduction
    if expected and meets_expectation(case) == ("not_expected" in case.truth.faults):
        return f"expectation {expected} against {case.truth.divergence} under {case.truth.reduction}"
    if (
        expected
        and case.expect
        and case.truth.divergence
        and same(case.truth.divergence, case.expect)
        and ("not_expected" in case.truth.faults and not case.expect_reduction)
    ):
        return f"{case.expect} is what it is"
    if not case.truth.faults:
        return ""
    if case.twin is None:
        return "a faulty loss needs a correct twin"
    return "" if case.truth.faults == {"not_expected"} or sampled(case) or differs_from_twin(case) else "no difference"
