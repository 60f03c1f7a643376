r"""f-divergences between expert and student, each in one definition.

With the expert first and `u = pi*(a)/pi(a)`,

    D_f(pi* || pi) = sum_a pi(a) f(u_a),    f convex,  f(1) = 0.

Its derivative in the student's probability is `d/d pi(a) [pi(a) f(pi*(a)/pi(a))] = f(u) - u f'(u) = -h_f(u)`:
everything a gradient step does to the student passes through

    h_f(u) = u f'(u) - f(u),    h_f'(u) = u f''(u) >= 0.

So a divergence is the pair `(f, h)` plus its slope at infinity, `lim f(u)/u`, the price of expert mass where
the student has none. Forward KL has `h = u`; THEORY claim 3 says that no other shape of `h` is safe.

Adding a divergence is one entry: `FDivergence("my_name", f, h, slope)`, written with `number_systems` functions so
that it runs on floats, rationals, balls, symbols and tensors. A test differentiates `f` and compares with `h`.

Sources: Csiszar (1967); Lin (1991) for Jensen-Shannon; Amari / Cressie & Read (1984) for `alpha`; DistIL (forward
cross-entropy), SDPO (reverse KL) and OPSD (Jensen-Shannon) as in arXiv 2606.05152.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import validate
from distil_theory.number_systems import Array


def check_divergence(divergence: object) -> None:
    """Raises `ValueError` unless it is an `FDivergence`."""
    if not isinstance(divergence, FDivergence):
        raise ValueError(f"divergence must be an FDivergence such as divergences.FORWARD_KL, not {divergence!r}")


@dataclass(frozen=True)
class FDivergence:
    """One divergence, expert first.

    Args:
        name: the name used in tables and on the command line.
        f: the convex generator, `f(1) = 0`, elementwise on arrays of any number system.
        h: `u f'(u) - f(u)`, elementwise.
        slope: `lim_{u -> inf} f(u)/u` as a function of the number one; `None` if infinite.
        label: how a person writes it.
        unit: `f''(1)`, by which one divides to compare sizes across divergences.
    """

    name: str
    f: Callable[[Array], Array]
    h: Callable[[Array], Array]
    slope: Callable[[Array], Array] | None = None
    label: str = ""
    unit: float = 1.0

    @property
    def needs_expert_support(self) -> bool:
        """Whether `h(0+) = -inf`: an action that the expert never takes pushes the student away infinitely hard."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return not np.asarray(ns.isfinite(ns.asarray(self.h(np.zeros(1))))).all()

    def value(self, expert: Array, student: Array, axis: int = -1) -> Array:
        """`D_f(expert || student)` along the action axis; `inf` where the mathematics says so, never NaN.

        Args:
            expert, student: distributions along `axis`, of one shape and one number system.
            axis: where the actions are.

        Raises:
            ValueError: shapes differ, or a row is no distribution.
            TypeError: rational input with an irrational or infinite value.
        """
        p, q = ns.common(ns.asarray(expert), ns.asarray(student))
        if not -p.ndim <= axis < p.ndim:
            raise ValueError(f"expert has shape {tuple(p.shape)}: there is no axis {axis} of actions")
        axes = [f"axis {i}" for i in range(p.ndim)]
        validate.shape("student", q, p.shape, axes)
        for what, rows in (("expert", p), ("student", q)):
            validate.distribution(what, rows, axes, axis % p.ndim)
        never = ns.iszero(q)
        inside = ns.where(never, q * 0, q * self.f(ns.where(never, q * 0 + 1, p / ns.where(never, q * 0 + 1, q))))
        # The perspective of f: where the student has no mass, a unit of the expert's costs `slope`.
        uncovered = never & ~ns.iszero(p)
        if not uncovered.any():
            return inside.sum(axis=axis)
        one = p * 0 + 1
        price = p * self.slope(one) if self.slope else ns.infinity(p)
        return ns.where(uncovered, price, inside).sum(axis=axis)

    def ratio_score(self, expert: Array, student: Array, axes: Sequence[str] = ("h", "s", "a")) -> Array:
        """`h(u)` at `u = expert / student`: what the gradient of the divergence sees.

        Raises:
            ValueError: the student lacks support, or the expert does where `h(0+) = -inf`.
        """
        expert, student = ns.common(ns.asarray(expert), ns.asarray(student))
        validate.positive("student", student, axes, "a softmax student gives every action positive probability")
        self.check_support(expert, axes)
        return self.h(expert / student)

    def check_support(self, expert: Array, axes: Sequence[str] = ("h", "s", "a")) -> None:
        """Raises `ValueError` if the expert has a zero and `h(0+) = -inf`."""
        if self.needs_expert_support:
            why = f"{self.name} has h(0+) = -inf, so the expert needs full support"
            validate.positive("expert", expert, axes, why)


FORWARD_KL = FDivergence("forward_kl", ns.xlogx, lambda u: u, None, "forward KL")
REVERSE_KL = FDivergence("reverse_kl", lambda u: -ns.log(u), lambda u: ns.log(u) - 1, lambda one: one * 0, "reverse KL")
JENSEN_SHANNON = FDivergence(
    "jensen_shannon",
    lambda u: (ns.xlogx(u) - (u + 1) * ns.log((u + 1) / 2)) / 2,
    lambda u: ns.log((u + 1) / 2) / 2,
    lambda one: ns.log(2 * one) / 2,
    "Jensen-Shannon",
    unit=1 / 4,
)
HELLINGER = FDivergence(
    "hellinger",
    lambda u: ns.power(ns.sqrt(u) - 1, 2),
    lambda u: ns.sqrt(u) - 1,
    lambda one: one,
    "squared Hellinger",
    unit=1 / 2,
)
"""Squared Hellinger distance without the half."""
PEARSON = FDivergence(
    "pearson_chi2", lambda u: ns.power(u - 1, 2), lambda u: u**2 - 1, None, "Pearson $\\chi^2$", unit=2
)
NEYMAN = FDivergence(
    "neyman_chi2",
    lambda u: ns.power(u, -1) + u - 2,
    lambda u: 2 - 2 * ns.power(u, -1),
    lambda one: one,
    "Neyman $\\chi^2$",
    unit=2,
)
TOTAL_VARIATION = FDivergence(
    "total_variation",
    lambda u: abs(u - 1) / 2,
    lambda u: ns.sign(u - 1) / 2,
    lambda one: one / 2,
    "total variation",
    unit=0,
)
"""Half the L1 distance. `f` has a kink at 1, where `h` is set-valued, `[-1/2, 1/2]`; we take its middle, 0."""


@dataclass(frozen=True)
class CrossEntropy(FDivergence):
    """`-sum_a pi*(a) log pi(a)`: forward KL plus the entropy of the expert, which no local gradient sees (the same
    `h`), but every future-aware one (another `value`)."""

    def value(self, expert: Array, student: Array, axis: int = -1) -> Array:
        """As `FDivergence.value`; not zero where student and expert agree."""
        return super().value(expert, student, axis) - ns.xlogx(ns.asarray(expert)).sum(axis=axis)


CROSS_ENTROPY = CrossEntropy("cross_entropy", FORWARD_KL.f, FORWARD_KL.h, None, "forward cross-entropy")
"""The objective of DistIL. Not an f-divergence, hence not in `CATALOGUE`."""


def alpha(order: float | Fraction) -> FDivergence:
    """The alpha-divergence `f = (u^a - 1 - a (u - 1)) / (a (a - 1))`, so `h = (u^a - 1)/a`: Box-Cox, `f''(1) = 1`.

    `a = 1` is forward KL, `a = 0` reverse KL, `1/2` twice squared Hellinger, `2` and `-1` half of Pearson and Neyman.

    Args:
        order: `a`, any finite real.
    """
    a = _finite("alpha order", order)
    if a in (0, 1):
        base = FORWARD_KL if a == 1 else REVERSE_KL
        return replace(base, name=f"alpha_{_text(a)}", label=f"alpha {_text(a)}")

    def f(u: Array) -> Array:
        return ns.scale(ns.power(u, a) - 1 - ns.scale(u - 1, a), 1 / (a * (a - 1)))

    slope = None if a > 1 else lambda one: ns.scale(one, 1 / (1 - a))
    return FDivergence(
        f"alpha_{_text(a)}", f, lambda u: ns.scale(ns.power(u, a) - 1, 1 / a), slope, f"alpha {_text(a)}"
    )


def skewed_js(beta: float | Fraction) -> FDivergence:
    """Skewed Jensen-Shannon, `h = (1/w) log(1 + beta u)` up to a constant with `w = beta/(1 + beta)`, so `f''(1) = 1`.

    `f` solves `u f' - f = h` (THEORY section 0). It runs from forward KL (`beta -> 0`) to reverse KL (`beta -> inf`);
    `beta = 1` is four times Jensen-Shannon. Its one safe natural step is `eta = w` (claim 7d).

    Args:
        beta: positive and finite.
    """
    b = _finite("skewed_js beta", beta)
    if b <= 0:
        raise ValueError(f"skewed_js beta must be positive, not {beta}")
    return _mixture(b / (1 + b), f"skewed_js_{_text(b)}", f"skewed JS {_text(b)}", normalised=True)


def generalized_js(beta: float | Fraction, convention: str = "special_cased") -> FDivergence:
    """`beta KL(pi*||m) + (1-beta) KL(pi||m)` with `m = beta pi* + (1-beta) pi`, `0 <= beta <= 1`, in one of two
    conventions.

    Args:
        beta: weight of the expert in the mixture.
        convention: `"special_cased"` (GKD, Agarwal et al. 2024, and TRL): the formula inside, forward KL at `beta = 0`
            and reverse KL at `beta = 1`, where the formula itself would be zero: the size jumps at the ends.
            `"continuous"`: the formula divided by `beta (1-beta)`, which tends to both KLs.

    Raises:
        ValueError: `beta` outside [0, 1], or an unknown convention.
    """
    b = _finite("generalized_js beta", beta)
    if not 0 <= b <= 1:
        raise ValueError(f"generalized_js beta must lie in [0, 1], not {beta}")
    if convention not in ("special_cased", "continuous"):
        raise ValueError(f"unknown convention {convention!r}: choose 'special_cased' or 'continuous'")
    name, label = f"generalized_js_{convention}_{_text(b)}", f"generalised JS {_text(b)}"
    if b in (0, 1):
        return replace(FORWARD_KL if b == 0 else REVERSE_KL, name=name, label=label)
    return _mixture(b, name, label, normalised=convention == "continuous")


def _mixture(w: Fraction, name: str, label: str, *, normalised: bool) -> FDivergence:
    size = 1 / (w * (1 - w)) if normalised else Fraction(1)

    def mixture(u: Array) -> Array:  # m / pi
        return ns.scale(u, w) + ns.scale(u * 0 + 1, 1 - w)

    return FDivergence(
        name,
        lambda u: ns.scale(ns.scale(ns.xlogx(u), w) - ns.xlogx(mixture(u)), size),
        lambda u: ns.scale(ns.log(mixture(u)), size * (1 - w)),
        lambda one: ns.scale(-ns.log(ns.scale(one, w)), size * w),
        label,
        unit=float(size * w * (1 - w)),
    )


def _finite(what: str, x: float | Fraction) -> Fraction:
    try:
        return Fraction(x)
    except (ValueError, OverflowError, TypeError):
        raise ValueError(f"{what} must be a finite number, not {x!r}") from None


def _text(q: Fraction) -> str:
    return f"{float(q):g}"


CATALOGUE = (FORWARD_KL, REVERSE_KL, JENSEN_SHANNON, HELLINGER, PEARSON, NEYMAN, TOTAL_VARIATION)
"""The named divergences; `alpha`, `skewed_js` and `generalized_js` are families."""
BY_NAME = {d.name: d for d in CATALOGUE}


def named(divergence: str) -> FDivergence:
    """The divergence of the catalogue with this name; `ValueError` if there is none."""
    if divergence not in BY_NAME:
        raise ValueError(f"unknown divergence {divergence!r}: choose from {', '.join(BY_NAME)}")
    return BY_NAME[divergence]
