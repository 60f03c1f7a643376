"""Losses audited in `docs/audit.md`; `python docs/audit_examples.py` writes what was found into that page.

Every example is a loss in the auditor's own convention. Those of other signatures are wrapped in a few lines, which is
all an adapter is. The functions of TRL are imported when they are called, so that this file needs torch only.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # its usual name
import true_output
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from distil_theory.auditing import Audit, audit  # noqa: E402

PAGE = ROOT / "docs" / "audit.md"
PICTURE = ROOT / "docs" / "audit_clamped_ratio.png"
Loss = Callable[..., Tensor]


# torch.nn.functional.kl_div takes log-probabilities, then probabilities, the target second


def kl_div_batchmean(student: Tensor, teacher: Tensor) -> Tensor:
    """`F.kl_div(log q, p, reduction="batchmean")`: the batch is the first axis only."""
    return F.kl_div(student.log_softmax(-1), teacher.detach().softmax(-1), reduction="batchmean")


def kl_div_mean(student: Tensor, teacher: Tensor) -> Tensor:
    """`F.kl_div(log q, p)`, the default reduction: a mean over the vocabulary, too."""
    return F.kl_div(student.log_softmax(-1), teacher.detach().softmax(-1))


def kl_div_swapped(student: Tensor, teacher: Tensor) -> Tensor:
    """`F.kl_div(log p, q)`: the arguments the other way round."""
    return F.kl_div(teacher.detach().log_softmax(-1), student.softmax(-1), reduction="batchmean")


def kl_div_log_target(student: Tensor, teacher: Tensor) -> Tensor:
    """`F.kl_div(log q, log p, log_target=True)`."""
    return F.kl_div(student.log_softmax(-1), teacher.detach().log_softmax(-1), reduction="batchmean", log_target=True)


def kl_div_log_target_forgotten(student: Tensor, teacher: Tensor) -> Tensor:
    """`F.kl_div(log q, log p)` without `log_target=True`."""
    return F.kl_div(student.log_softmax(-1), teacher.detach().log_softmax(-1), reduction="batchmean")


def kl_div_of_probabilities(student: Tensor, teacher: Tensor) -> Tensor:
    """`F.kl_div(q, p)`: probabilities where logarithms belong."""
    return F.kl_div(student.softmax(-1), teacher.detach().softmax(-1), reduction="batchmean")


# Hand-made: each of them has been met in public code


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def _logs(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    return teacher.detach().log_softmax(-1), student.log_softmax(-1)


def detached_weight(student: Tensor, teacher: Tensor) -> Tensor:
    """Reverse KL with `q` held constant: `sum q.detach() (log q - log p)`."""
    log_p, log_q = _logs(student, teacher)
    return (log_q.exp().detach() * (log_q - log_p)).sum(-1).mean()


def js_without_ends(student: Tensor, teacher: Tensor, beta: float = 0.0) -> Tensor:
    """Generalised JS by its formula, at `beta = 0`."""
    p, q = (x.exp() for x in _logs(student, teacher))
    log_m = (beta * p + (1 - beta) * q).log()
    return (beta * _kl(p.log(), log_m) + (1 - beta) * _kl(q.log(), log_m)).mean()


def js_of_logits(student: Tensor, teacher: Tensor) -> Tensor:
    """Jensen-Shannon whose mixture averages logits."""
    log_p, log_q = _logs(student, teacher)
    log_m = ((student + teacher.detach()) / 2).log_softmax(-1)
    return (_kl(log_p, log_m) + _kl(log_q, log_m)).mean() / 2


def top_5_tail_dropped(student: Tensor, teacher: Tensor) -> Tensor:
    """Forward KL on the teacher's five likeliest tokens, the rest left out."""
    ids = teacher.topk(5, -1).indices
    log_p, log_q = (x.gather(-1, ids) for x in _logs(student, teacher))
    return _kl(log_p, log_q).mean()


def padded_mean(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """`(kl * mask).mean()`."""
    return (_kl(*_logs(student, teacher)) * mask).mean()


def clamped_ratio(student: Tensor, teacher: Tensor) -> Tensor:
    """Reverse KL with the log ratio clamped to [-2, 2]."""
    log_p, log_q = _logs(student, teacher)
    return (log_q.exp() * (log_q - log_p).clamp(-2, 2)).sum(-1).mean()


def two_softmaxes(student: Tensor, teacher: Tensor) -> Tensor:
    """`F.cross_entropy` of probabilities, which it takes for logits."""
    return F.cross_entropy(student.softmax(-1).flatten(0, 1), teacher.detach().softmax(-1).flatten(0, 1))


def k1_as_a_loss(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """`log q(y) - log p(y)` at the student's token, differentiated."""
    log_p, log_q = (x.gather(-1, labels[..., None])[..., 0] for x in _logs(student, teacher))
    return (log_q - log_p).mean()


# TRL 1.16.0


def gkd(
    student: Tensor, teacher: Tensor, mask: Tensor, beta: float = 0.5, temperature: float = 1.0, **more: Any
) -> Tensor:
    """`GKDTrainer.generalized_jsd_loss`; labels of -100 are its mask."""
    from trl.experimental.gkd.gkd_trainer import GKDTrainer

    labels = torch.where(mask == 1, 0, -100)
    return GKDTrainer.generalized_jsd_loss(student, teacher, labels, beta, temperature, **more)


def iw_opd(student: Tensor, teacher: Tensor, mask: Tensor, beta: float = 0.5, **more: Any) -> Tensor:
    """`IWOPDTrainer.generalized_jsd_loss`: GKD's with a top-k support."""
    from trl.experimental.iw_opd.iw_opd_trainer import IWOPDTrainer

    return IWOPDTrainer.generalized_jsd_loss(student, teacher, torch.where(mask == 1, 0, -100), beta, **more)


def iw_opd_sampled(student: Tensor, teacher: Tensor, mask: Tensor, labels: Tensor, gamma: float = 0.0) -> Tensor:
    """IW-OPD at the student's token; `gamma` weights early tokens more. A namespace stands for the trainer."""
    from trl.experimental.iw_opd.iw_opd_trainer import IWOPDTrainer

    state = {"temperature": 1.0, "iw_opd_epsilon": 1e-8, "iw_opd_gamma": gamma, "model": SimpleNamespace(training=True)}
    trainer = SimpleNamespace(**state, _metrics={"train": defaultdict(list)})
    log_p = teacher.detach().log_softmax(-1).gather(-1, labels[..., None])[..., 0]
    counted = torch.where(mask == 1, labels, -100)
    return IWOPDTrainer._compute_iw_opd_loss(trainer, student, labels, counted, log_p)


def gold(student: Tensor, teacher: Tensor, beta: float = 0.5) -> Tensor:
    """`GOLDTrainer.generalized_jsd_loss` as its matched tokens call it: on probabilities, flattened."""
    from trl.experimental.gold.gold_trainer import GOLDTrainer

    q, p = (x.softmax(-1).flatten(0, 1) for x in (student, teacher.detach()))
    return GOLDTrainer.generalized_jsd_loss(q, p, beta=beta, logits_are_probs=True)


def distillation(student: Tensor, teacher: Tensor, mask: Tensor, beta: float = 0.5, temperature: float = 1.0) -> Tensor:
    """`DistillationTrainer`'s chunked divergence; an identity as language-model head makes hidden states logits.

    A head cannot give minus infinity, and 0 times infinity would be the adapter's NaN: a large number stands for it.
    """
    from trl.trainer.distillation_trainer import _chunked_divergence_loss

    head = torch.eye(student.shape[-1], dtype=student.dtype)
    teacher = teacher.clamp(min=-1e9)
    return _chunked_divergence_loss(student, teacher, head, head, mask, beta, temperature=temperature)[0]


def sdpo_full(student: Tensor, teacher: Tensor, alpha: float = 0.5) -> Tensor:
    """SDPO on the full vocabulary, per token."""
    from trl.experimental.sdpo.loss_utils import compute_full_logit_self_distillation_loss as loss

    return loss(student, teacher.detach(), distillation_alpha=alpha)


def sdpo_top_k(student: Tensor, teacher: Tensor, alpha: float = 0.5, tail: bool = True, k: int = 5) -> Tensor:
    """SDPO on the student's top k, per token."""
    from trl.experimental.sdpo.loss_utils import compute_topk_self_distillation_loss as loss

    teacher = teacher.detach()
    return loss(student, teacher, distillation_topk=k, distillation_alpha=alpha, distillation_add_tail=tail)


def sdpo_sampled(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """SDPO at the student's token, per token."""
    from trl.experimental.sdpo.loss_utils import compute_sampled_token_self_distillation_loss as loss

    return loss(student, teacher.detach(), labels, distillation_alpha=1.0)


def sdft_full(student: Tensor, teacher: Tensor, alpha: float = 0.5) -> Tensor:
    """SDFT on the full vocabulary, per token."""
    from trl.experimental.sdft.loss_utils import compute_full_logit_self_distillation_loss as loss

    return loss(student, teacher.detach(), distillation_alpha=alpha)


def named(name: str, loss: Loss, /, **parameters: Any) -> tuple[str, Loss]:
    """A row of a table."""
    return name, partial(loss, **parameters) if parameters else loss


KL_DIV = [
    named('`kl_div(log q, p, "batchmean")`', kl_div_batchmean),
    named("`kl_div(log q, p)`", kl_div_mean),
    named("`kl_div(log p, q)`", kl_div_swapped),
    named("`kl_div(log q, log p, log_target=True)`", kl_div_log_target),
    named("`kl_div(log q, log p)`", kl_div_log_target_forgotten),
    named("`kl_div(q, p)`", kl_div_of_probabilities),
]
HAND_MADE = [
    named(f"`{f.__name__}`", f)
    for f in (
        *(detached_weight, js_without_ends, js_of_logits, top_5_tail_dropped, padded_mean, clamped_ratio),
        *(two_softmaxes, k1_as_a_loss),
    )
]
TRL = [
    *(named(f"GKD, beta {b:g}", gkd, beta=float(b)) for b in (0, 0.1, 0.5, 0.9, 1)),
    named("GKD, beta 0.5, T 2", gkd, temperature=2.0),
    named('GKD, beta 0, "mean"', gkd, beta=0.0, reduction="mean"),
    named("GKD, beta 0, 100 items in batch", gkd, beta=0.0, num_items_in_batch=100),
    named("GOLD, beta 0.5, probabilities", gold),
    *(named(f"distillation, beta {b:g}", distillation, beta=float(b)) for b in (0, 0.5, 1)),
    named("distillation, beta 1, T 2", distillation, beta=1.0, temperature=2.0),
    *(named(f"SDPO full, alpha {a:g}", sdpo_full, alpha=float(a)) for a in (0, 0.5, 1)),
    *(named(f"SDPO top 5 and tail, alpha {a:g}", sdpo_top_k, alpha=float(a)) for a in (0, 0.5, 1)),
    named("SDPO top 5 renormalised, alpha 1", sdpo_top_k, alpha=1.0, tail=False),
    named("SDPO sampled token", sdpo_sampled),
    named("SDFT full, alpha 0.5", sdft_full),
    named("IW-OPD, beta 0, top 5 and tail", iw_opd, beta=0.0, top_k=5),
    named("IW-OPD, beta 0.5, top 3 and tail", iw_opd, beta=0.5, top_k=3),
    *(named(f"IW-OPD sampled token, gamma {g:g}", iw_opd_sampled, gamma=g) for g in (0.0, 0.5)),
    named("IW-OPD, beta 1, top 5 renormalised", iw_opd, beta=1.0, top_k=5, add_tail=False),
]
TABLES = {"kl_div": KL_DIV, "hand-made": HAND_MADE, "trl": TRL}
TEXTS = {"report": kl_div_swapped}
COLUMNS = ("loss", "gradient descends", "value", "reduction", "support", "faults", "warnings", "dJ/d eta")


def row(name: str, found: Audit) -> str:
    """One line of a table."""

    def times(scale: float, what: str) -> str:
        return what if scale != scale or abs(scale - 1) < 5e-4 else f"{scale:.3g} {what}"

    support = (found.estimator or found.support) + (f" {found.top_k}" if found.top_k else "")
    T = "" if found.temperature == 1 else f", T = {found.temperature:g}"
    cells = [
        *(name, times(found.scale, found.divergence) + T, times(found.value_scale, found.value)),
        *(found.reduction, support, ", ".join(sorted(found.faults)), ", ".join(sorted(found.warnings))),
        f"{found.claims[0]['rate']:+.3g}",
    ]
    return f"| {' | '.join(cells)} |"


def table(rows: list[tuple[str, Loss]]) -> str:
    """A table of audits."""
    head = [f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    return "\n".join([*head, *(row(name, audit(loss)) for name, loss in rows)])


def parts(with_trl: bool = True) -> dict[str, str]:
    """What belongs between the marks of the page."""
    found = {name: table(rows) for name, rows in TABLES.items() if with_trl or name != "trl"}
    return found | {name: f"```text\n{audit(loss)}\n```" for name, loss in TEXTS.items()}


def main() -> None:
    """Write the page, and the picture in it."""
    torch.set_num_threads(1)
    true_output.write(PAGE, parts())
    audit(clamped_ratio).figure(PICTURE)


if __name__ == "__main__":
    main()
