r"""The plurality of N answers, by generating functions.

Let answer `i` come with the weight `w_i(j)` if it occurs `j` times: `q_i^j / j!` for `N` independent answers of law
`q` (times `N!`), `C(c_i, j)` for `N` of `k` answers drawn without replacement, of which `c_i` are `i` (over `C(k, N)`).
The expected reward of the plurality, ties shared evenly, is

    sum over (j_1, .., j_A) with sum N of  prod_i w_i(j_i) * mean of r over the answers with the largest j_i.

For each largest count `m` one pass over the answers adds up these products by (answers counted so far, answers tied at
`m`), once plainly and once times the reward of the tied: `O(A N^2 log N)` additions of rows, on floats, rationals or
symbols, and on a batch.
"""

from __future__ import annotations

from math import comb, factorial

import numpy as np

from distil_theory import number_systems as ns
from distil_theory.number_systems import Array


def plurality(weights: Array, rewards: Array) -> Array:
    """The sum above, not normalised, shape `B`.

    Args:
        weights: `w_i(j)`, shape `(A, N+1, *B)`.
        rewards: `(A, *B)`, or trailing axes of length one.
    """
    answers, places, *batch = weights.shape
    n = places - 1
    zero = np.asarray(weights[0, 0] * 0)
    result = zero
    for top in range(-(-n // answers), n + 1):
        most = min(n // top, answers)
        # [plain or paid, answers tied at `top`, answers counted so far]
        sums = np.zeros((2, most + 1, places, *batch), dtype=zero.dtype) + zero
        sums[0, 0, 0] = zero + 1
        for w, r in zip(weights, rewards, strict=True):
            new = sums * w[0]
            for j in range(1, top):
                new[:, :, j:] += sums[:, :, : places - j] * w[j]
            tied = sums[:, :-1, : places - top] * w[top]
            new[:, 1:, top:] += tied
            new[1, 1:, top:] += tied[0] * r
            sums = new
        for t in range(1, most + 1):
            result = result + sums[1, t, n] / t
    return result


def independent(law: Array, n: int) -> tuple[Array, Array]:
    """Weights `(A, N+1, *B)` of `n` independent answers of law `(A, *B)`, and what to divide the sum by."""
    if ns.name(law) == "float64":  # times exp(-N) N^N: Poisson probabilities, which neither overflow nor vanish
        from scipy.stats import poisson  # here, for it takes as long to import as all else

        count = np.arange(n + 1).reshape(1, -1, *[1] * (law.ndim - 1))
        return poisson.pmf(count, n * law[:, None]), poisson.pmf(n, n)
    one = law * 0 + 1
    powers = [one]
    for j in range(1, n + 1):
        powers.append(powers[-1] * law / j)
    return ns.stack(powers, axis=1), np.asarray(one.flat[0] / factorial(n))[()]


def without_replacement(counts: np.ndarray, k: int, n: int, numbers: str) -> tuple[Array, Array]:
    """Weights of `n` out of `k` answers of which `counts (A, *B)` are equal, and what to divide the sum by."""
    if numbers == "float64":  # times theta^N (1-theta)^(k-N): binomial probabilities
        from scipy.stats import binom

        drawn = np.arange(n + 1).reshape(1, -1, *[1] * (counts.ndim - 1))
        return binom.pmf(drawn, counts[:, None], n / k), binom.pmf(n, k, n / k)
    ways = np.stack([np.frompyfunc(lambda c, j=j: comb(int(c), j), 1, 1)(counts) for j in range(n + 1)], axis=1)
    return ns.convert(ways, numbers), ns.convert(comb(k, n), numbers)[()]
