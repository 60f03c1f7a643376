"""Ten million bandits: how many does a small natural step harm although the expert is better?

The step of a divergence with `h` fails on a bandit iff `Cov_pi(r, h(u)) < 0`, `u = expert/student`. *Given* bandits
come as arrays; *generated* ones are drawn on the way: both distributions Dirichlet(1), rewards uniform, given that the
expert is better. Ours flips the rewards where it is not (the law is the same); numpy, as one writes it first, draws
twice as many and throws half of them away. Its time is per bandit kept.

Numpy comes in several hands: the definition *transcribed*, which is what one writes first; whole arrays with what the
divergences share computed once; the same with `einsum`; the same with the batch axis last.

Counts on given bandits must be equal, up to bandits so near the boundary that floats cannot tell; ours decides those
rigorously. Counts on generated ones come from different streams and must agree within five standard errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.settings import Settings
from benchmarks.timing import Contender, DisagreementError, Row, race
from distil_theory import prevalence
from distil_theory.divergences import BY_NAME

WORKLOADS = {"reverse_kl": ("reverse_kl",), "all divergences": tuple(BY_NAME)}
H: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "forward_kl": lambda u: u,
    "reverse_kl": np.log,
    "jensen_shannon": lambda u: np.log((1 + u) / 2) / 2,
    "hellinger": lambda u: np.sqrt(u) - 1,
    "pearson_chi2": lambda u: u**2 - 1,
    "neyman_chi2": lambda u: 2 - 2 / u,
    "total_variation": lambda u: np.sign(u - 1) / 2,
}
"""`h` up to a constant, which a covariance does not see; written again, apart from ours."""
NEAR = 1e-12
"""A covariance below this fraction of the size of its terms may have either sign in floats."""
UNIFORMS = "random numbers alone"

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Reward, student, expert."""


def transcribed(data: Arrays, names: Sequence[str]) -> np.ndarray:
    """What one writes first: the definition, line by line, one divergence after the other, actions last."""
    reward, student, expert = data

    def mean(x: np.ndarray) -> np.ndarray:
        return (student * x).sum(axis=-1, keepdims=True)

    counts = []
    for name in names:
        score = H[name](expert / student)
        rate = (student * (reward - mean(reward)) * (score - mean(score))).sum(axis=-1)
        better = (expert * reward).sum(axis=-1) > (student * reward).sum(axis=-1)
        counts.append(((rate < 0) & better).sum())
    return np.array(counts)


def _terms(data: Arrays, names: Sequence[str], axis: int) -> Iterator[np.ndarray]:
    """The terms of the covariance of each divergence, which share the ratios and the centred rewards."""
    reward, student, expert = data
    u = expert / student
    weight = student * (reward - (student * reward).sum(axis=axis, keepdims=True))
    return (weight * H[name](u) for name in names)


def whole(data: Arrays, names: Sequence[str], axis: int) -> np.ndarray:
    """Failures per divergence, by whole arrays with the actions along `axis`."""
    return np.array([(x.sum(axis=axis) < 0).sum() for x in _terms(data, names, axis)])


def whole_einsum(data: Arrays, names: Sequence[str]) -> np.ndarray:
    """The same with the actions last and `einsum` for the sums, which is faster than `sum` over so short an axis."""
    reward, student, expert = data
    u = expert / student
    weight = student * (reward - np.einsum("na,na->n", student, reward)[:, None])
    return np.array([(np.einsum("na,na->n", weight, H[name](u)) < 0).sum() for name in names])


def undecided(data: Arrays, names: Sequence[str]) -> np.ndarray:
    """How many bandits per divergence have a covariance that rounding could have given another sign."""
    terms = _terms(data, names, -1)
    return np.array([(abs(x.sum(axis=-1)) <= NEAR * abs(x).sum(axis=-1)).sum() for x in terms])


def draw(actions: int, n: int, seed: int) -> Arrays:
    """About `n / 2` bandits, actions last: those of `n` drawn in which the expert is better."""
    rng = np.random.default_rng(seed)
    student, expert = (rng.dirichlet(np.ones(actions), size=n) for _ in range(2))
    reward = rng.random((n, actions))
    better = (reward * (expert - student)).sum(axis=-1) > 0
    return reward[better], student[better], expert[better]


def given(data: Arrays, names: Sequence[str]) -> dict[str, Contender]:
    """Everyone on the same bandits, given as `(n, A)`; ours and one peer get them as `(A, n)`, made beforehand."""
    reward, student, expert = (np.ascontiguousarray(x.T) for x in data)
    last, n = (reward, student, expert), len(data[0])
    margins = [prevalence.small_step(name, "natural") for name in names]
    return {
        "distil_theory": Contender(lambda: prevalence.count_failures(margins, prevalence.pieces(*last)), n),
        "numpy, transcribed": Contender(lambda: transcribed(data, names), n),
        "numpy, batch first": Contender(lambda: whole(data, names, -1), n),
        "numpy, batch first, einsum": Contender(lambda: whole_einsum(data, names), n),
        "numpy, batch last": Contender(lambda: whole(last, names, 0), n),
    }


def generated(actions: int, n: int, names: Sequence[str], seed: int = 1) -> dict[str, Contender]:
    """Ours and numpy, each with its own generator; and, as the floor, nothing but the random numbers, never leaving the
    cache, from the fastest generator numpy has."""
    margins = [prevalence.small_step(name, "natural") for name in names]
    kept = len(draw(actions, 2 * n, seed)[0])

    def uniforms() -> None:
        rng = np.random.Generator(np.random.SFC64(seed))
        buffer = np.empty((actions, min(n, prevalence.CHUNK)))
        for _ in range(-(-n // prevalence.CHUNK)):
            for _ in ("reward", "student", "expert"):
                rng.random(out=buffer)

    return {
        "distil_theory": Contender(lambda: prevalence.count_failures(margins, prevalence.draws(actions, n, seed)), n),
        "numpy, transcribed": Contender(lambda: transcribed(draw(actions, 2 * n, seed), names), kept),
        "numpy, batch first": Contender(lambda: whole(draw(actions, 2 * n, seed), names, -1), kept),
        UNIFORMS: Contender(uniforms, n),
    }


def check_counts(everyone: dict[str, Contender], allowed: np.ndarray) -> np.ndarray:
    """How much the others' counts differ from ours, at most `allowed` per divergence.

    Raises:
        DisagreementError: some count differs by more.
    """
    counts = {name: np.asarray(contender.run()) for name, contender in everyone.items()}
    ours = next(iter(counts.values()))
    for name, theirs in counts.items():
        if (abs(theirs - ours) > allowed).any():
            raise DisagreementError(f"{name} counts {theirs} failures, distil_theory {ours}; near-ties: {allowed}")
    return max((abs(theirs - ours) for theirs in counts.values()), key=np.sum)


def check_rates(everyone: dict[str, Contender]) -> None:
    """The failure rates of two streams agree within five standard errors of their difference.

    Raises:
        DisagreementError: they do not.
    """
    (us, ours), *others = everyone.items()
    a = np.asarray(ours.run()) / ours.n
    for them, theirs in others:
        if them == UNIFORMS:
            continue
        b = np.asarray(theirs.run()) / theirs.n
        pooled = (a * ours.n + b * theirs.n) / (ours.n + theirs.n)
        error = np.sqrt(pooled * (1 - pooled) * (1 / ours.n + 1 / theirs.n))
        if (abs(a - b) > 5 * error).any():
            raise DisagreementError(f"failure rates {b} ({them}) and {a} ({us}) differ by over five standard errors")


def measure(settings: Settings, bandwidth: float) -> list[Row]:
    """Given, then generated bandits, for one divergence and for all at once."""
    rows = []
    floor = 8 * 3 * settings.actions / bandwidth  # three inputs of A numbers are read, a count is written
    data = draw(settings.actions, 2 * settings.bandits, 0)
    for workload, names in WORKLOADS.items():
        everyone = given(data, names)
        near = undecided(data, names)
        differing = check_counts(everyone, near)
        rows += race("bandits", f"given, {workload}", everyone, settings.bandit_rounds, floor)
        for metric, count in (("near_ties", near), ("counts_differing", differing)):
            row = Row("bandits", f"given, {workload}", "distil_theory", metric, float(count.sum()), "1")
            rows.append(row._replace(n=len(data[0])))
    del data, everyone
    for workload, names in WORKLOADS.items():
        everyone = generated(settings.actions, settings.bandits, names)
        check_rates(everyone)
        rounds = settings.bandit_rounds
        rows += race("bandits", f"generated, {workload}", everyone, rounds, floor=UNIFORMS)
    return rows
