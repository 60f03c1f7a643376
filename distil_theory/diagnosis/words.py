"""A diagnosis in words."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from distil_theory.diagnosis import trust
from distil_theory.diagnosis.carriers import Part
from distil_theory.diagnosis.naming import PAPERS
from distil_theory.diagnosis.report import (
    LOWERS,
    NOT_TRUSTED,
    RAISES,
    UNDECIDED,
    Diagnosis,
    Rate,
    listed,
    with_verdict,
    wrapped,
)

FORMS = {
    "sampled": "log-probabilities of the written tokens",
    "top": "written tokens and the likeliest ones, with the mass of the tail",
    "full": "whole distributions",
}
FEW = 20
"""Fewer groups than this are few for any interval."""


def number(x: float) -> str:
    """Three digits with a sign."""
    return f"{x:+#.3g}" if math.isfinite(x) else "-inf" if x < 0 else "inf"


def interval(rate: Rate) -> str:
    """The confidence interval."""
    return f"{number(rate.low)} .. {number(rate.high)}"


def estimate(rate: Rate) -> str:
    """The value, or what is known of it."""
    low, high = rate.value
    return number(low) if low == high else f"[{number(low)}, {number(high)}]"


def deviations(x: float, error: float) -> str:
    """How far from 0."""
    return f"{abs(x) / error:.0f} standard errors" if error > 0 else "in every group"


def warnings(d: Diagnosis) -> tuple[str, ...]:
    """What is wrong with the log, in sentences."""
    found = []
    check, error = d.checks.value, d.checks.standard_error
    if d.above:
        found.append(
            f"VOID: the teacher likes what was written more than any teacher can who had not read it: the mean of "
            f"{trust.CHECKS[0]} is {check[0]:+.3g}, {deviations(check[0], error[0])} above 0, and it is at "
            "most 0 for rollouts of the student as it is. Was the teacher's context made from the same rollout? Were "
            "rollouts drawn at another temperature, with top-p, or by an older student? Are tokens shifted?"
        )
    if d.below:
        found.append(
            f"VOID: the mean of {trust.CHECKS[1]} is {check[1]:+.3g}, {deviations(check[1], error[1])} below "
            "0, and it is 0 for rollouts of the student as it is. Either tokens that the teacher wants are never "
            "drawn (top-p, top-k, another temperature, an older student, shifted tokens), or ratios are so heavy that "
            "this log has missed those that make up the mean."
        )
    if d.seen.groups < FEW:
        found.append(f"only {d.seen.groups} groups: intervals need about {FEW} at least")
    if not d.seen.decided:
        found.append("in no group do rewards differ: nothing is known of any direction")
    return tuple(found)


def reason(rate: Rate, d: Diagnosis) -> str:
    """Why a rate is not to be trusted."""
    if rate.carrying < trust.CARRYING:
        few = f"{rate.carrying:.0f} of {d.seen.groups} groups carry the variance"
        return few if rate.carrying >= 0.5 else "no group has rewards and ratios that differ"
    if rate.expected < trust.EXPECTED:
        return f"weights so heavy that of {d.seen.rollouts:,} rollouts {rate.expected:.2g} would count"
    return "E[Lambda] = 1 fails: the log misses what carries it"


def table(d: Diagnosis) -> list[str]:
    """A line for each rate that has a number."""
    doubts: list[str] = []
    lines = [f"  {'objective':<44} {'dJ/d eta':<22} {f'{100 * d.level:g} % interval':<24} the reward"]
    for r in d.rates:
        if r.unidentified:
            continue
        verdict = {RAISES: "rises", LOWERS: "FALLS"}.get(r.verdict, "undecided")
        if r.verdict == NOT_TRUSTED:
            doubts.append(f"{short(r)}: {reason(r, d)}")
            verdict = f"not to be trusted ({len(doubts)})"
        elif r.verdict == UNDECIDED:
            verdict = undecided(r, d)
        lines.append(f"  {r.title:<44} {estimate(r):<22} {interval(r):<24} {verdict}")
    return lines + [line for i, x in enumerate(doubts, 1) for line in wrapped(x, "      ", f"  ({i}) ")]


def undecided(rate: Rate, d: Diagnosis) -> str:
    """How many groups might tell."""
    low, high = rate.value
    reach = max(rate.high - high, low - rate.low)
    nearest = max(low, -high, 0.0) or (abs(low) if low == high else 0.0)
    if nearest <= 0 or not math.isfinite(reach):
        return "undecided" if low == high else "undecided: log more of the distributions"
    more = d.seen.groups * (reach / nearest) ** 2
    return f"undecided; about {_round(more)} groups might tell" if more < 100 * d.seen.groups else "undecided"


def _round(x: float) -> str:
    digits = 10 ** max(int(math.log10(x)) - 1, 0)
    return f"{math.ceil(x / digits) * digits:,}"


def not_identified(d: Diagnosis) -> list[str]:
    """One entry for each reason."""
    why = defaultdict(list)
    for r in d.rates:
        if r.unidentified:
            why[r.unidentified].append(r.title)
    for _, _, title, words in d.unidentified:
        why[words].append(title)
    lines = []
    for words, titles in why.items():
        lines += wrapped(
            f"{listed(_shortened(titles))}: not identified. {words[0].upper()}{words[1:]}.", "    ", "  - "
        )
    return lines


def _shortened(titles: Sequence[str]) -> list[str]:
    """`full forward KL, full Pearson` as `full forward KL, Pearson`: the first words are said once."""
    out = list(titles[:1])
    for title in titles[1:]:
        for start in ("plain gradient, local ", "local ", "full "):
            if title.startswith(start) and titles[0].startswith(start):
                title = title.removeprefix(start)
                break
        out.append(title)
    end = " on whole answers"
    return [t.removesuffix(end) if u.endswith(end) else t for t, u in zip(out, [*out[1:], ""], strict=False)]


def weights(d: Diagnosis) -> list[str]:
    """Effective sample sizes, ratios, and what the theorems guarantee."""
    s, g = d.seen, d.guarantees
    unit = "of the reward's range"
    lines = [
        f"ratios teacher/student: tokens {g.token_ratio[0]:.3g} .. {g.token_ratio[1]:.3g} (mean chi^2 "
        f"{s.mean_chi2:.3g}), whole answers {g.answer_ratio[0]:.3g} .. {g.answer_ratio[1]:.3g}; weighted by the latter "
        f"{s.rollouts:,} rollouts count like {s.effective:,.0f}"
    ]
    if d.above or d.below:
        return wrapped(f"{lines[0]}; no theorem speaks of such a log", "    ", "  - ")
    lines.append(
        f"clipping prefix weights at {d.clip:g} changes their rate by at most {s.clipped_away:.2g} {unit}, as far as "
        "this log has seen the weights (claim 15)"
    )
    known = [(name, gap) for name, gap in g.answers.items() if gap is not None]
    if g.answers:
        safe = (
            ", ".join(f"{name} {gap:.3g}" for name, gap in known) + f" {unit} (claim 14)"
            if known
            else "none at so wide a range (claim 14)"
        )
        lines.append(f"safe gap for whole answers, per prompt, if no ratio leaves what was observed: {safe}")
    near = "none" if g.local is None else f"{g.local:.3g} {unit}"
    lines.append(f"safe gap for local forward KL in {g.steps} steps, on the same condition: {near} (claim 8b)")
    if g.horizon is not None:
        lines.append(
            f"safe horizon of local forward KL at chi^2 <= {g.chi2:.3g} and this gap's lower end: {g.horizon} "
            f"step{'s' * (g.horizon > 1)}; the longest rollout has {g.steps} (claim 16)"
        )
    elif g.chi2 is None:
        lines.append("safe horizon (claim 16): not identified: it needs chi^2 at every prefix, so whole distributions")
    else:
        unsure = (
            "the gap is not known, or not to be trusted"
            if math.isnan(g.gap[1])
            else "the teacher is not certainly better"
        )
        lines.append(f"safe horizon (claim 16): none, for {unsure}")
    return [line for text in lines for line in wrapped(text, "    ", "  - ")]


def carried(rate: Rate) -> str:
    """Which positions and tokens carry a rate."""
    said = []
    total = sum(p.value for p in rate.positions)
    strong = sorted((p for p in rate.positions if abs(p.z) > 3), key=lambda p: -abs(p.value))[:4]
    if len(rate.positions) > 1 and strong and total:
        strong.sort(key=rate.positions.index)
        said.append(parts("position", strong))
    if rate.tokens:
        said.append(parts("token", rate.tokens[:5]))
    return " and ".join(said)


def short(rate: Rate) -> str:
    """The title without what it is equal to."""
    return rate.title.split(", =")[0]


def parts(what: str, found: Sequence[Part]) -> str:
    """Positions or tokens with what they add."""
    names = ", ".join(f"{p.name.removeprefix('token ')} ({number(p.value)})" for p in found)
    return f"{what}{'s' * (len(found) > 1)} {names}"


def summary(d: Diagnosis) -> str:
    """One paragraph: who raises, who lowers, what carries it, what is open."""
    if d.above or d.below:
        return (
            "Nothing can be said of any objective: the log is not one of rollouts of this student with a teacher that "
            "had not read them, or its ratios are too heavy to tell."
        )
    natural = [r for r in d.rates if r.level != "euclidean"]
    said = [
        f"A small natural step {verb} the reward with {named(found)}."
        for verdict, verb in ((RAISES, "raises"), (LOWERS, "LOWERS"))
        if (found := with_verdict(natural, verdict))
    ]
    if not with_verdict(d.rates, LOWERS) and said:
        said.append("Of none that this log identifies is it certain that it lowers the reward.")
    plain = [r for r in d.rates if r.level == "euclidean"]
    said += [
        f"Plain gradients {verb} it with {listed(bare(r) for r in found)}."
        for verdict, verb in ((RAISES, "raise"), (LOWERS, "LOWER"))
        if (found := with_verdict(plain, verdict))
    ]
    first = [r for r in natural if r.name == "local/forward_kl" and r.verdict in (RAISES, LOWERS)]
    for r in {r.name: r for r in [*first, *with_verdict(natural, LOWERS)[:1]]}.values():
        if words := carried(r):
            said.append(f"{short(r)[0].upper()}{short(r)[1:]} acts through {words}.")
    for verdict, words in ((UNDECIDED, "Undecided"), (NOT_TRUSTED, "Not to be trusted, for reasons given below")):
        if found := with_verdict(d.rates, verdict):
            said.append(f"{words}: {listed(_shortened([short(r) for r in found]))}.")
    return " ".join(said)


def named(rates: Sequence[Rate]) -> str:
    """Those that papers use with their intervals, then the others."""
    ours = [r for r in rates if r.divergence in PAPERS]
    rest = listed(_shortened([short(r) for r in rates if r not in ours]))
    first = listed(f"{short(r)} ({estimate(r)}, between {number(r.low)} and {number(r.high)})" for r in ours)
    return f"{first}; also with {rest}" if first and rest else first or rest


def bare(rate: Rate) -> str:
    """The divergence alone."""
    return rate.title.removeprefix("plain gradient, local ")


def page(d: Diagnosis) -> str:
    """The whole report."""
    s = d.seen
    size = f"{s.sizes[0]:,}" if s.sizes[0] == s.sizes[1] else f"{s.sizes[0]:,} to {s.sizes[1]:,}"
    lines = [
        f"{d.source + ': ' if d.source else ''}{s.rollouts:,} rollouts in {s.groups:,} groups of {size}, "
        f"{s.tokens / s.rollouts:.3g} tokens each (at most {s.longest:,})",
        f"  reward {s.reward:.3g} ({s.reward_low:g} .. {s.reward_high:g}); it differs within {s.decided:,} groups, "
        f"the others say nothing" + (f"; {d.dropped:,} groups of one left out" if d.dropped else ""),
        f"  the log has {FORMS[d.form]}",
    ]
    for words in d.warnings:
        lines += ["", *wrapped(words, "  ", "! ")]
    if not (d.above or d.below):
        mean, error = d.checks.value[1], d.checks.standard_error[1]
        lines.append(f"  E[sum of u - 1] = {mean:+.2g} +- {error:.2g}, should be 0: as it must be, as far as one sees")
    lines += ["", *wrapped(summary(d), "  ")]
    if not (d.above or d.below):  # numbers that mean nothing are not shown
        what = "What a small step does to the mean reward, per unit of step size (natural steps, if not said otherwise)"
        lines += ["", what, "", *table(d)]
    if unknown := not_identified(d):
        lines += ["", "Not identified", *unknown]
    lines += ["", "Weights and guarantees", *weights(d)]
    return "\n".join(lines)
