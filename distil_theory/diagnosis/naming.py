"""How a report calls rates, and why a log does not identify the others."""

from __future__ import annotations

from collections.abc import Sequence

from distil_theory.diagnosis.log import Block
from distil_theory.diagnosis.rates import CLIP, Column
from distil_theory.divergences import FDivergence

PAPERS = {"forward_kl": " (DistIL)", "reverse_kl": " (SDPO)", "jensen_shannon": " (OPSD)"}
NEEDS_CENTRE = (
    "its score needs E_pi h(u) at every prefix, of which a written token says nothing: "
    "log whole distributions (student_full, teacher_full) or the k likeliest tokens (top, student_top, teacher_top)"
)
NEEDS_WHOLE = "plain gradients weigh every token by its own probability: log whole distributions"
NEEDS_TAIL = "a token of the unlisted tail can hurt without limit: bound the tail's ratios (--tail-ratios), or log it"
NEEDS_TWO = "a covariance within a prompt takes two rollouts of each, and every group here is one"
NEEDS_AHEAD = (
    "looking ahead takes the divergence at every prefix, of which one written token does not tell enough: "
    "log whole distributions"
)
ABANDONED = "the teacher gives probability 0 to what the student may write, where h is infinite"
BEYOND = "a ratio of teacher and student is beyond every float"
UNCOVERED = "at a prefix that was visited the divergence is infinite, and its gradient looks ahead to that"


def label(d: FDivergence) -> str:
    """A divergence for a terminal."""
    return (d.label or d.name).replace("$\\chi^2$", "chi^2")


def title(level: str, d: FDivergence, clip: float = CLIP) -> str:
    """A rate for a terminal."""
    if level == "local":
        return f"local {label(d)}{PAPERS.get(d.name, '')}"
    if level == "clipped":
        return f"prefix-weighted {label(d)}, clipped at {clip:g}"
    if level == "euclidean":
        return f"plain gradient, local {label(d)}"
    if level == "full":
        return f"full {label(d)}"
    if d.name == "forward_kl":
        return "prefix-weighted forward KL, = J* - J"
    return "full reverse KL, = on whole answers" if d.name == "reverse_kl" else f"{label(d)} on whole answers"


def unidentified(
    block: Block, plan: Sequence[Column], divergences: Sequence[FDivergence]
) -> list[tuple[str, FDivergence, str]]:
    """Level, divergence and reason of what a log of this form does not tell."""
    known = {column.name for column in plan}
    found = []
    ahead = NEEDS_TWO if block.form == "full" else NEEDS_AHEAD
    reasons = (("local", NEEDS_CENTRE), ("sequence", NEEDS_TWO), ("full", ahead), ("euclidean", NEEDS_WHOLE))
    for level, why in reasons:
        found += [(level, d, why) for d in divergences if f"{level}/{d.name}" not in {*known, "full/reverse_kl"}]
    return found


def unbounded(column: Column) -> str:
    """Why a rate turns out to have no number."""
    if column.end:
        return NEEDS_TAIL
    if column.level == "full":
        return UNCOVERED
    return ABANDONED if column.divergence.needs_expert_support else BEYOND
