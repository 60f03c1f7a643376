"""How the time of `objectives.evaluate` grows with each axis, the others held fixed.

The work is `H S A S'` multiplications per MDP in each direction, so for large sizes the exponent is 2 in `S` and 1 in
`A`, `H` and the batch `B`. A smaller one means that overhead, or work on smaller arrays, still shows; a larger one that
something falls out of the cache.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.mdps import batch_last, problems
from benchmarks.settings import Settings
from benchmarks.timing import Row, growth_exponent, interleave, measured
from distil_theory import TabularMDP, objectives
from distil_theory.divergences import FORWARD_KL

EXPECTED = {"S": 2, "A": 1, "H": 1, "B": 1}


def _evaluation(sizes: dict[str, int]) -> Callable[[], objectives.Evaluation]:
    p, r, rho, student, expert = batch_last(problems(sizes["B"], sizes["S"], sizes["A"]), sizes["H"])
    mdp = TabularMDP(p, r, rho, horizon=sizes["H"], batch_ndim=1)
    return lambda: objectives.evaluate(mdp, student, expert, FORWARD_KL)


def measure(settings: Settings) -> list[Row]:
    """Seconds per call at each size (`contender` is the size), and the exponent of each axis."""
    rows = []
    for axis, sizes in settings.scaling_sizes.items():
        base = settings.scaling_base | ({} if axis == "B" else {"B": settings.scaling_batch})
        runs = {str(size): _evaluation(base | {axis: size}) for size in sizes}
        interleave(runs, 1)  # warm
        seconds = interleave(runs, settings.scaling_rounds)
        medians = []
        for size in sizes:
            n = (base | {axis: size})["B"]
            rows.append(measured("scaling", axis, str(size), "time", seconds[str(size)], n=n))
            medians.append(rows[-1].value)
        rows.append(Row("scaling", axis, "distil_theory", "exponent", growth_exponent(sizes, medians), "1"))
        rows.append(Row("scaling", axis, "theory", "exponent", EXPECTED[axis], "1"))
    return rows
