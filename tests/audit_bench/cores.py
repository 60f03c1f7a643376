"""Exact f-divergences that people use and the catalogue of the core does not name, as `(f, h)`."""

from distil_theory import number_systems as ns
from distil_theory.divergences import FDivergence

JEFFREYS = FDivergence("jeffreys", lambda u: (u - 1) * ns.log(u), lambda u: u + ns.log(u) - 1)


def skew_kl(a):
    """`KL(p || a p + (1-a) q)` of DistiLLM."""

    def m(u):
        return a * u + 1 - a

    return FDivergence("skew_kl", lambda u: u * ns.log(u / m(u)), lambda u: u * (1 - a) / m(u))


def skew_reverse_kl(a):
    """`KL(q || (1-a) p + a q)` of DistiLLM."""

    def m(u):
        return (1 - a) * u + a

    return FDivergence("skew_rkl", lambda u: -ns.log(m(u)), lambda u: ns.log(m(u)) - (1 - a) * u / m(u))


def swapped_js(b):
    """`b KL(p||m) + (1-b) KL(q||m)` with `m = b q + (1-b) p`: the mixture's weights on the wrong sides."""

    def m(u):
        return (1 - b) * u + b

    return FDivergence(
        "swapped_js",
        lambda u: b * u * ns.log(u / m(u)) - (1 - b) * ns.log(m(u)),
        lambda u: b * (u - (1 - b) * u**2 / m(u)) + (1 - b) * (ns.log(m(u)) - (1 - b) * u / m(u)),
    )
