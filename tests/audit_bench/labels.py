r"""Are the labels true? Each is compared with the exact divergences of the core, without the auditor.

For a divergence `D_f` the gradient of the sum of costs in the student's logits is, token by token,

    g = -(c/T) w q (h(u) - E_q h(u)),    u = p/q,

with `p`, `q` at temperature `T`, one constant `c` and the weight `w` of the token under the claimed reduction. `c` must
be the same for batches of different sizes, lengths, vocabularies and masks: that verifies divergence and reduction at
once. The value must be `w D_f`, up to one constant. That a gradient is of *no* divergence is seen where tokens share
their ratios: `g/q` would be a function of `u` alone, up to a constant of the token.
"""

from __future__ import annotations

import numpy as np
import torch

from tests.audit_bench.cases import Case, exact
from tests.audit_bench.probes import Probe, expected_cost, expected_gradient, probe

TOLERANCE = 1e-8
BY_DIFFERENCES = 1e-4
SHAPES = ((2, 4, 7), (3, 3, 5), (4, 6, 9))


def weights(reduction: str, mask: torch.Tensor, vocab: int) -> torch.Tensor:
    """How much each token counts, `(batch, token)`."""
    batch, tokens = mask.shape
    size = {
        "none": 1.0,
        "token_sum": 1.0,
        "fixed": 1.0,
        "batch_mean": batch,
        "token_mean": mask.sum(),
        "padded_mean": batch * tokens,
        "element_mean": batch * tokens * vocab,
        "sequence_mean": batch * mask.sum(-1, keepdim=True),
    }[reduction]
    return mask / size


def first(names):
    return names if isinstance(names, str) or names is None else names[0]


def exact_gradient(core, at: Probe, warm: float) -> torch.Tensor:
    """`-q (h - E_q h) / T`, not yet weighted."""
    log_q, log_p = (at.student / warm).log_softmax(-1), (at.teacher / warm).log_softmax(-1)
    q, h = log_q.exp(), core.h((log_p - log_q).exp())
    return -q * (h - (q * h).sum(-1, keepdim=True)) / warm


def exact_value(core, at: Probe, warm: float) -> torch.Tensor:
    return core.value((at.teacher / warm).softmax(-1), (at.student / warm).softmax(-1))


def seen_mask(case: Case, at: Probe) -> torch.Tensor:
    takes = "mask" in case.loss.__code__.co_varnames[: case.loss.__code__.co_argcount]
    return at.mask if takes else torch.ones_like(at.mask)


def unread(case: Case) -> bool:
    """Whether the reduction is none that has weights."""
    return case.truth.reduction in (None, "other")


def all_counted(case: Case) -> bool:
    """Whether the mask must be all ones, as what the loss does with it is a fault of its own."""
    return unread(case) or "mask_ignored" in case.truth.faults


def scale_and_error(found: torch.Tensor, wanted: torch.Tensor) -> tuple[float, float]:
    """The `c` of `found = c * wanted`, and what is left over, relatively."""
    c = (found * wanted).sum() / wanted.square().sum()
    return c.item(), ((found - c * wanted).norm() / found.norm().clamp(min=1e-300)).item()


def core_of(case: Case, name: str):
    """The exact divergence of a name; `f_divergence` is what the case says, or unknown."""
    return case.core if name == "f_divergence" else None if name in ("none", "zero") else exact(name)


def wrong_gradient(case: Case) -> str:
    """What is wrong with the labels `divergence`, `reduction` and `temperature`; nothing if they are right."""
    name = first(case.truth.divergence)
    if name is None:
        return ""
    if name == "zero":
        size = max(expected_gradient(case, probe(seed)).abs().max().item() for seed in range(3))
        return "" if size < 1e-12 else f"gradient {size} is not zero"
    is_form = spread_of_levels(case) < 1e-6
    if is_form != (name != "none"):
        return f"{name}, but the gradient has {'the' if is_form else 'not the'} form of a divergence"
    core = core_of(case, name)
    if core is None:
        return ""
    warm, scales = case.truth.temperature or 1.0, []
    for seed, shape in enumerate(SHAPES[:1] if case.numpy else SHAPES):
        at = probe(seed, shape, full=all_counted(case))
        how = "token_sum" if unread(case) else first(case.truth.reduction)
        wanted = exact_gradient(core, at, warm) * weights(how, seen_mask(case, at), shape[-1])[..., None]
        found = expected_gradient(case, at)
        if unread(case):  # its own weights: only the direction of each token
            found, wanted = (x / x.norm(dim=-1, keepdim=True).clamp(min=1e-300) for x in (found, wanted))
            wanted = torch.where(found.norm(dim=-1, keepdim=True) > 0, wanted, 0.0)
        c, error = scale_and_error(found, wanted)
        if error > max(case.slack, BY_DIFFERENCES if case.numpy else TOLERANCE) * 30 or c <= 0:
            return f"gradient is not that of {name} under {how}: scale {c:.6g}, left over {error:.2g}"
        scales.append(c)
    if max(scales) - min(scales) > max(case.slack, 1e-6) * max(scales):
        return f"reduction is not {case.truth.reduction}: scales {scales}"
    squared = case.truth.temperature_squared
    # One, or the constant by which the composed `fixed` divides.
    if (
        squared is not None
        and case.truth.reduction
        and round(scales[0] / (warm**2 if squared else 1), 6) not in (1, 1e-3)
    ):
        return f"scale {scales[0]} at T={warm} is not that of temperature_squared={squared}"
    return ""


def spread_of_levels(case: Case, tokens: int = 6) -> float:
    """How far `g/q` is from a function of `u` alone, and `g` from a sum of zero, on tokens that share four ratios."""
    rng = np.random.default_rng(0)
    levels = np.array([0.3, 0.7, 1.6, 3.0])
    q = np.zeros((tokens, 4, 2))
    for low, high in ((0, 2), (0, 3), (1, 2), (1, 3)):
        share = (levels[high] - 1) / (levels[high] - levels[low])
        size, split = rng.gamma(0.7, size=(tokens, 1)), rng.uniform(0.05, 0.95, (tokens, 2))
        q[:, low] += size * share * np.stack([split[:, 0], 1 - split[:, 0]], -1)
        q[:, high] += size * (1 - share) * np.stack([split[:, 1], 1 - split[:, 1]], -1)
    q = torch.tensor(q / q.sum((1, 2), keepdims=True)).reshape(1, tokens, 8)
    p, warm = q * torch.tensor(levels).repeat_interleave(2), case.truth.temperature or 1.0
    at = Probe(q.log() * warm + 2, p.log() * warm - 1, torch.ones(1, tokens).double(), torch.zeros(1, tokens).long())
    gradient = expected_gradient(case, at)[0]
    gradient = gradient[gradient.abs().amax(-1) > 0]
    # Each token up to a constant; all together, since the constant in front is one for the whole loss.
    slope = gradient / q[0, -len(gradient) :] if len(gradient) else gradient
    if len(gradient) < tokens:  # a shifted mask leaves out the first or the last token
        kept = [q[0, i : i + len(gradient)] for i in range(tokens - len(gradient) + 1)]
        slope = min((gradient / x for x in kept), key=lambda x: level_error(x))
    drift = gradient.sum(-1).abs().max() / gradient.abs().max()
    spread = max(level_error(slope), drift.item())
    return 0.0 if spread < (BY_DIFFERENCES if case.numpy else case.slack) else spread


def level_error(slope: torch.Tensor) -> float:
    """How much `slope` varies within the levels, tokens taken up to a constant each, relatively."""
    slope = (slope - slope[..., :1]).view(-1, 4, 2)
    return ((slope - slope.mean(dim=(0, 2), keepdim=True)).abs().max() / slope.abs().max().clamp(min=1e-300)).item()


def wrong_value(case: Case) -> str:
    """What is wrong with the label `value`; nothing if it is right."""
    name = first(case.truth.value)
    core = name and core_of(case, name)
    if not core or unread(case):
        return ""
    sampled = "labels" in case.loss.__code__.co_varnames[: case.loss.__code__.co_argcount]
    warm, scales = case.truth.temperature or 1.0, []
    for seed, shape in enumerate([(1, 1, 7)] * 3 if sampled else SHAPES):
        at = probe(seed, shape, full=sampled or all_counted(case))
        wanted = exact_value(core, at, warm) * weights(first(case.truth.reduction), seen_mask(case, at), shape[-1])
        found = expected_cost(case, at).detach()
        wanted = wanted if found.shape == at.mask.shape else wanted.sum()
        scales.append((found.sum() / wanted.sum()).item())
        if (found - scales[-1] * wanted).abs().max() > max(case.slack, 1e-7) * found.abs().max():
            return f"costs per token are not {name}"
    if max(scales) - min(scales) > max(case.slack, 1e-7) * abs(scales[0]):
        return f"value is not {name} under {case.truth.reduction}: scales {scales}"
    return ""
