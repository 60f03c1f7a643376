r"""What a token is to blame for: the disagreement after it, and how likely the teacher was to come here at all.

On rollouts of the student the loss is `L = E_pi sum_h c_h` and its gradient (THEORY claim 10)

    grad L = E sum_h grad c_h  +  E sum_h grad log pi(a_h) ( C_h - b_h ),    C_h = sum_{h'>h} c_{h'}.

The first, *local* part is what most codes compute. The second, *future* part moves the student towards tokens after
which there is less to disagree about; `C_h` is a number to the score function, so it is detached here. Whether looking
ahead helps depends on `c`: with truthful feedback KL-to-go is safe in a token MDP, cross-entropy-to-go is not, for it
charges a token with the teacher's own entropy later on (claim 18).

*Baselines* keep the mean if `b_h` does not depend on `a_h` and what comes after it. `"position"` is the mean of `C_h`
over the *other* sequences of the batch that are still being written at `h`; `"group"` the same within a group, such as
the samples of one prompt. Leaving out one's own sequence is what keeps it unbiased; with `n` sequences, the mean over
all would shrink the gradient by `1 - 1/n`. A given tensor is a fitted value function.

*Discount.* `C_h = sum_{h'>h} gamma^(h'-h) c_{h'}`: 1 is the exact gradient, 0 the local one; between them bias is
traded for variance.

*Prefix weights* (claims 2 and 15) multiply the local cost of token `h` by `prod_{h'<h} p/q`, the likelihood ratio of
the prefix; they are constants. Clipping bounds the variance and costs a bias that claim 15 counts.
"""

from __future__ import annotations

import torch

from distil_theory.llm import checks
from distil_theory.llm.reductions import reduce
from distil_theory.point import check_part

BASELINES = ("none", "position", "group")


def to_go(costs: torch.Tensor, mask: torch.Tensor | None = None, discount: float = 1.0) -> torch.Tensor:
    """`C_h`, the cost of later tokens, `(batch, token)`: detached, 0 at the last one.

    Args:
        costs: `(batch, token)`.
        mask: 1 where a token counts; `None`: all count.
        discount: `gamma` in [0, 1].

    Raises:
        ValueError: bad shapes, NaN where a token counts, a mask that is all zero, a discount outside [0, 1].
    """
    costs = checks.tensor("cost", costs, checks.AXES[:2]).detach()
    if not 0 <= discount <= 1:
        raise ValueError(f"discount must lie in [0, 1], not {discount!r}")
    costs = torch.where(checks.mask_like(mask, costs) == 1, costs, torch.zeros_like(costs))
    checks.finite("cost", costs, checks.AXES[:2])
    if discount == 1:
        return costs.flip(1).cumsum(1).flip(1) - costs
    later, out = torch.zeros_like(costs[:, 0]), []
    for now in reversed(costs.unbind(1)):
        out.append(later)
        later = discount * (later + now)
    return torch.stack(out[::-1], dim=1)


def baseline(
    later: torch.Tensor,
    kind: str | torch.Tensor = "position",
    mask: torch.Tensor | None = None,
    groups: torch.Tensor | None = None,
) -> torch.Tensor:
    """`b_h`, `(batch, token)`; 0 for a sequence that has nobody to be compared with.

    Args:
        later: `C_h`, from `to_go`.
        kind: one of `BASELINES`, or a tensor `(batch, token)` of values.
        mask: 1 where a token counts; `None`: all count.
        groups: whole numbers `(batch,)`, for `"group"`.

    Raises:
        ValueError: bad shapes or numbers, an unknown kind, groups that lack or do not fit.
    """
    mask = checks.mask_like(mask, later)
    if isinstance(kind, torch.Tensor):
        kind = checks.tensor("baseline", kind, checks.AXES[:2], later).detach()
        checks.finite("baseline", kind, checks.AXES[:2])
        return kind
    checks.choice("baseline", kind, BASELINES)
    if kind == "none":
        return torch.zeros_like(later)
    n = len(later)
    if kind == "position":
        together = torch.ones(n, n, dtype=later.dtype, device=later.device)
    else:
        if groups is None or tuple(groups.shape) != (n,):
            got = "none" if groups is None else tuple(groups.shape)
            raise ValueError(f"baseline 'group' needs groups of shape ({n},), not {got}")
        together = (groups[:, None] == groups[None]).to(later)
    others = together - torch.eye(n, dtype=later.dtype, device=later.device)
    count = others @ mask
    return (others @ (mask * later)) / count.clamp(min=1)


def prefix_weights(
    student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor | None = None, clip: float = float("inf")
) -> torch.Tensor:
    """`min(prod_{h'<h} p/q, clip)` of the tokens written so far, `(batch, token)`: detached, 1 at the first token.

    Args:
        student, teacher: log-probabilities of the student's tokens, `(batch, token)`; the teacher's may be `-inf`.
        mask: tokens that do not count (prompt, padding) multiply by one.
        clip: positive, or infinity.

    Raises:
        ValueError: bad shapes, NaN where a token counts, a clip that is not positive.
    """
    student = checks.tensor("student log-probabilities", student, checks.AXES[:2])
    teacher = checks.tensor("teacher log-probabilities", teacher, checks.AXES[:2], student)
    if not clip > 0:
        raise ValueError(f"clip must be positive, not {clip!r}")
    counted = checks.mask_like(mask, student) == 1
    ratio = torch.where(counted, (teacher - student).detach(), torch.zeros_like(student))
    bad = torch.isnan(ratio) | (ratio == float("inf"))
    if bad.any():
        raise ValueError(f"the log ratio teacher/student at {checks.first(bad)} is {ratio[bad][0].item()}")
    before = torch.cat([torch.zeros_like(ratio[:, :1]), ratio[:, :-1].cumsum(1)], dim=1)
    return before.exp().clamp(max=clip)


def future_term(log_probs: torch.Tensor, later: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """`log pi(a_h) (C_h - b_h)`, `(batch, token)`: something to differentiate; its value means nothing.

    Raises:
        ValueError: shapes that differ.
    """
    log_probs = checks.tensor("log-probabilities", log_probs, checks.AXES[:2])
    for what, x in (("cost-to-go", later), ("baseline", values)):
        checks.tensor(what, x, checks.AXES[:2], log_probs)
    return log_probs * (later - values).detach()


def distillation_loss(
    costs: torch.Tensor,
    log_probs: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
    *,
    part: str = "local",
    weights: torch.Tensor | None = None,
    kind: str | torch.Tensor = "none",
    groups: torch.Tensor | None = None,
    discount: float = 1.0,
    reduction: str = "token_sum",
) -> torch.Tensor:
    """The loss whose gradient is the rollout estimator of the core, `estimators.samples`, averaged over the batch.

    Args:
        costs: what each token pays, `(batch, token)`, from `losses.token_cost` or `sampled`.
        log_probs: of the tokens that the student wrote, `(batch, token)`; needed to look ahead.
        mask: 1 where a token counts; `None`: all count.
        part: `"local"`, `"future"` or `"full"`.
        weights: of the local part, from `prefix_weights`; constants.
        kind, groups: of the baseline.
        discount: of the costs to go.
        reduction: one of `reductions.REDUCTIONS`.

    Raises:
        ValueError: as the functions it is made of, or looking ahead without `log_probs`.
    """
    check_part(part)
    costs = checks.tensor("cost", costs, checks.AXES[:2])
    total = torch.zeros_like(costs)
    if part != "future":
        if weights is not None:
            checks.tensor("weights", weights, checks.AXES[:2], costs)
        total = total + (costs if weights is None else weights.detach() * costs)
    if part != "local":
        if log_probs is None:
            raise ValueError(f"part {part!r} looks ahead: it needs log_probs of the tokens that the student wrote")
        later = to_go(costs, mask, discount)
        total = total + future_term(log_probs, later, baseline(later, kind, mask, groups))
    return reduce(total, mask, reduction)
