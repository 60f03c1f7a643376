"""What is wrong with a loss, apart from masks, zones and numbers: its gradient, its support; and notes on it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from distil_theory.auditing import values
from distil_theory.auditing.masks import Fault
from distil_theory.auditing.match import Match
from distil_theory.auditing.meter import Meter
from distil_theory.auditing.probe import Loss
from distil_theory.auditing.reduce import Reduction


def of_gradient(meter: Meter, match: Match, value: values.Value, rng: np.random.Generator) -> Iterator[Fault]:
    """Codes of the gradient and of the value's sign: `zero_loss`, `teacher_gradient`, `gradient_not_of_value`,
    `negative`, `mixture_of_logs`, `double_softmax`."""
    loss = meter.loss
    if match.name == "zero":
        what = "mean over labels of the gradient" if meter.sampled else "gradient"
        yield "zero_loss", f"the {what} is zero everywhere: nothing is learned"
    if loss.framework == "torch":
        if not stops(loss, rng):
            yield "teacher_gradient", "a gradient reaches the teacher's logits: detach them (harmless under no_grad)"
        slopes = values.derivative(meter, *meter.draw(rng, 1.0, 48), rng) if meter.grain < 2 else None
        if slopes is not None:
            off = abs(slopes[0] - slopes[1]) / max(abs(slopes[0]), abs(slopes[1]))
            if off > 0.02:
                yield (
                    "gradient_not_of_value",
                    f"along a direction the value changes at {slopes[0]:.4g}, the gradient says {slopes[1]:.4g}",
                )
    # below what rounding can do: of the largest value, and of the numbers of size one of which it is a sum
    size = max(abs(value.largest), abs(value.least))
    low = -max((1e-4 if meter.coarse else 1e-9) * size, 1e-6 if meter.coarse else 1e-12)
    if (value.least < low and not meter.sampled) or match.ascends:
        yield (
            "negative",
            f"the value of a token goes down to {value.least:.4g}, and its gradient has scale {match.scale:.4g}",
        )
    if match.mixed:
        yield (
            "mixture_of_logs",
            f"the mixture is a normalised mean of logarithms, the teacher's share {match.normaliser:.3g}, not of "
            "probabilities",
        )
    if match.view.form.startswith("double"):
        who = {"double": "student and teacher", "double_student": "the student", "double_teacher": "the teacher"}
        yield "double_softmax", f"probabilities go through a softmax again ({who[match.view.form]})"


def of_expectation(match: Match, value: values.Value, expect: str | None) -> Iterator[Fault]:
    """`not_expected`: another divergence, or its ascent; `mixture_of_logs` where both KLs stand for Jensen-Shannon."""
    if expect is None:
        return
    name, named = ("forward_kl", "cross_entropy") if expect == "cross_entropy" else (expect, value.name)
    if match.name != name or value.name != named:
        yield "not_expected", f"{expect} was expected, found {match.name} (value: {value.name})"
    elif match.ascends:
        yield "not_expected", f"{expect} was expected, found its negative: a step against the gradient increases it"
    if match.both and min(match.both) > 0 and expect.startswith(("jensen_shannon", "generalized_js(")):
        a, b = match.both
        yield (
            "mixture_of_logs",
            f"{a:.4g} KL(teacher||student) + {b:.4g} KL(student||teacher) instead of {expect}: so it comes out if the "
            "mixture averages log-probabilities, not probabilities",
        )


def of_support(match: Match) -> Iterator[Fault]:
    """Codes of what is left out: `student_top_k`, `tail_dropped`, `tail_renormalised`."""
    view = match.view
    if not view.k:
        return
    if view.by == "student":
        yield "student_top_k", f"the top {view.k} tokens are the student's: what only the teacher likes is not seen"
    if view.form == "tail_dropped":
        yield (
            "tail_dropped",
            f"the top {view.k} tokens keep their probabilities, the rest is left out: no distributions",
        )
    if view.form == "renormalised":
        yield (
            "tail_renormalised",
            f"the top {view.k} tokens are normalised among themselves: nothing pulls the rest down",
        )


def stops(loss: Loss, rng: np.random.Generator) -> bool:
    """Whether no gradient reaches the teacher."""
    s, t = rng.normal(size=(2, 2, 4, loss.vocab))
    return not np.any(loss(s, t, labels=rng.integers(loss.vocab, size=(2, 4))).teacher)


def _independent(loss: Loss) -> bool:
    """Whether another token elsewhere leaves the gradients of the others alone."""
    s, t, d = np.random.default_rng(2).normal(size=(3, 2, 4, loss.vocab))
    other = np.zeros_like(d)
    other[1, 2] = d[1, 2]
    a, b = (loss(x, t).student[0, 1] for x in (s, s + other))
    c, e = (loss(x, t).student[1, 1] for x in (s, s + other))
    return bool(np.allclose(a, b, rtol=1e-3, atol=1e-9) and np.allclose(c, e, rtol=1e-3, atol=1e-9))


def notes(match: Match, reduction: Reduction, loss: Loss, grain: int) -> Iterator[str]:
    """Sentences about what has no code."""
    if match.view.form.startswith("double") and match.law is not None:
        yield f"it is {match.law.name} of distributions that went through a second softmax"
    if match.view.by == "union":
        yield f"it looks at the top {match.view.k} tokens of the teacher and the top {match.view.k} of the student"
    if match.both is not None:
        yield f"its gradient is {match.both[0]:.4g} KL(teacher||student) + {match.both[1]:.4g} KL(student||teacher)"
        if min(match.both) > 0:
            yield "this is also what a Jensen-Shannon gives whose mixture averages log-probabilities"
    if match.normaliser is not None and not match.mixed:
        yield (
            f"it is Chernoff's distance -log sum p^w q^(1-w), w = {match.normaliser:.3g} (1/2: Bhattacharyya's): a "
            "function of an f-divergence, token by token, and none itself"
        )
    if match.partial:
        yield f"it is {match.name} on a part of the logits, where nothing is clamped, and something else on the rest"
    if match.curve is not None:
        kind = "rises everywhere" if match.curve.monotone else "does not rise everywhere: f is not convex"
        yield f"the best curve h leaves {match.curve.residual:.2g} of the gradient unexplained; it {kind}"
    if not loss.takes_mask and reduction.summed != "given":
        yield "one end of each sequence does not count"
    if grain == 2:
        yield "it computes in half precision, whatever it is given: laws are told apart only roughly"
    if match.name == "none" and match.law is None and match.normaliser is None and not _independent(loss):
        yield "the gradient of a token depends on other tokens: a softmax or a norm over the wrong axis?"
    if loss.labels_as_mask:
        yield "labels are used as a mask only (-100: does not count)"
