"""What the tables say in words, and which of their rows contradict claim 11.

A bound on an expectation is contradicted by a mean above it by more than `statistics.LARGEST_Z` standard errors; a
bound that holds for every sequence of labels by a single seed; one that holds with probability `1 - 2 eps` by a share
of seeds whose Wilson interval lies above `2 eps`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product

import numpy as np
import pandas as pd
from rich.table import Table

from experiments import harness
from experiments.harness import Tables
from experiments.regret import cumulative, drifting, problems, slopes
from experiments.regret.statistics import LARGEST_Z

MAY_BE_EMPTY = {  # columns with a meaning for "there is none"
    "chain": ("ratio",),
    "cumulative": ("exact",),
    "drift": ("bound", "unavoidable"),
    "drift_time": ("bound", "unavoidable"),
    "horizon": ("kl", "kl_expert", "log_loss_bound"),
}
LEARNERS = ("dagger", "clone", "exact", "shared")
OF = ("slope", "average_slope", "per_log")
ROWS: dict[tuple[str, ...], list[tuple[str, ...]]] = {  # combinations that every run makes
    ("slopes_mean", "kind", "quantity", "of"): [
        *product(("stochastic",), slopes.QUANTITIES, OF),
        *product(("deterministic",), (x for x in slopes.QUANTITIES if x != "spread"), OF),
    ],
    ("drift", "teacher", "step", "where"): [(x, *how) for x in drifting.KNOBS for how in drifting.TRAINED],
    ("drift_time", "teacher", "step", "where"): [("doubling", *how) for how in drifting.TRAINED],
    ("horizon_growth", "chain", "learner"): list(product(problems.CHAINS, LEARNERS)),
}
ROUNDING = 1e-9
LONG = 1000
"""Rounds from which on growth must look like its limit."""


def violated(t: Tables) -> list[str]:
    """Which rows contradict a bound, or do not show what the theory says."""
    checks = (_cumulative, _slopes, _chain, _confidence, _drift, _horizon, _failures)
    gaps = harness.gaps(t, MAY_BE_EMPTY)
    return harness.empty(t) or _missing(t) or [*gaps, *(said for check in checks for said in check(t))]


def _missing(t: Tables) -> list[str]:
    """What a check below is about and a table lacks: it would find nothing wrong."""
    needed = {
        ("cumulative", "problem"): problems.CASES,
        ("chain", "problem"): problems.CASES,
        ("confidence", "problem"): problems.CASES,
        ("confidence", "quantity"): ("hellinger", "regret"),
        ("slopes_curves", "kind"): slopes.KINDS,
        ("horizon_exact", "student"): ("cloned", "own_states", "unforgiving"),
        ("horizon", "learner"): LEARNERS,
    }
    lacks = [(name, column, value) for (name, column), values in needed.items()
             for value in values if value not in set(t[name][column])]  # fmt: skip
    for (name, *columns), values in ROWS.items():
        there = set(t[name][columns].itertuples(index=False, name=None))
        lacks += [(name, " ".join(columns), " ".join(value)) for value in values if value not in there]
    return [f"the table {name} lacks the {column} {value}" for name, column, value in lacks]


def _cumulative(t: Tables) -> Iterator[str]:
    for x in t["cumulative"].itertuples():
        where = f"claim 11: {x.problem}, N = {x.rounds}"
        for bound in ("bound", "shared_bound"):
            if not x.mean <= getattr(x, bound) + LARGEST_Z * x.error + ROUNDING:
                yield f"{where}: the mean KL {x.mean} is above the {bound} {getattr(x, bound)}"
        if not x.label_ratio_max <= 1 + ROUNDING:
            yield f"{where}: the label regret of a seed is {x.label_ratio_max} of its bound"
        if x.problem == "cell" and not abs(x.mean - x.exact) <= LARGEST_Z * x.error + ROUNDING:
            yield f"{where}: the mean KL {x.mean} is not the exact {x.exact}"


def _slopes(t: Tables) -> Iterator[str]:
    table = t["slopes_mean"].set_index(["kind", "quantity", "of"])
    long = t["slopes_curves"]["rounds"].max() >= LONG
    for kind in slopes.KINDS:
        for quantity in ("kl", "regret"):
            if not table.loc[(kind, quantity, "slope"), "upper"] < 0.5:
                yield f"claim 11: {quantity}, {kind} expert: grows as fast as sqrt(N)"
        if not table.loc[(kind, "bound", "slope"), "lower"] > table.loc[(kind, "regret", "slope"), "upper"]:
            yield f"claim 11: {kind} expert: the regret grows as fast as its bound"
    one, law = table.loc[("stochastic", "spread", "slope")], table.loc[("stochastic", "kl", "per_log")]
    if not one["lower"] > 0.4 or (long and not one["upper"] < 0.6):
        yield f"claim 11: single runs wander like N^{one['mean']}, not like sqrt(N)"
    if long and not abs(law["mean"] - 1) < 0.1:
        yield f"claim 11: KL grows by {law['mean']} of H S (A-1)/2 per factor e, not by all of it"
    for x in t["slopes_curves"][t["slopes_curves"]["regret"] > t["slopes_curves"]["bound"]].itertuples():
        yield f"claim 11: MDP {x.mdp}, {x.kind}: regret {x.regret} above its bound {x.bound}"
    if t["slopes_curves"][["regret", "bound", "kl"]].isna().any(axis=None):
        yield "claim 11: a curve has no value"


def _chain(t: Tables) -> Iterator[str]:
    errors = t["chain"]["error"]
    for (problem, rounds), x in t["chain"].assign(slack=LARGEST_Z * errors).groupby(["problem", "rounds"], sort=False):
        x = x.set_index("link")
        orders = [list(cumulative.LINKS)]
        if "kl" in x.index:
            orders.append(["recoverability", *cumulative.SHORT])
        for order in orders:
            for small, large in pairwise(order):
                # the mean of the regret is that of another estimate, the last links speak of expectations
                loose = x.loc[small, "slack"] if small in ("regret", "jensen", "kl") else 0.0
                low, high = x.loc[small, "mean"], x.loc[large, "mean"]
                if not low <= high + loose + ROUNDING * (1 + abs(high)):
                    yield f"claim 11: {problem}, N = {rounds}: {small} {low} is above {large} {high}"


def _confidence(t: Tables) -> Iterator[str]:
    for x in t["confidence"].itertuples():
        if not x.lower <= x.allowed:
            yield f"claim 11: {x.problem}, N = {x.rounds}: {x.above:.1%} of the seeds above the bound on {x.quantity}"


def _drift(t: Tables) -> Iterator[str]:
    for name in ("drift", "drift_time"):
        for x in t[name].itertuples():
            where = f"claim 11: {name}, {x.teacher} ({x.knob:g}), {x.step} step at {x.where}, N = {x.rounds}"
            if x.step != "kt" and not x.mean <= x.bound + LARGEST_Z * x.error + ROUNDING:
                yield f"{where}: cost {x.mean} above the bound {x.bound}"
            if x.teacher == "coin" and not x.mean >= x.unavoidable - LARGEST_Z * x.error - ROUNDING:
                yield f"{where}: cost {x.mean} below what nobody can avoid, {x.unavoidable}"
            least = {"proximal": drifting.FLOOR, "natural": drifting.STUDENT_FLOOR, "kt": 0.0}[x.step]
            if not (x.floor >= drifting.FLOOR - ROUNDING and x.student_floor >= least - ROUNDING):
                yield f"{where}: a probability of {min(x.floor, x.student_floor)} is below the floor"
    rates = drift_growth(t["drift_time"])
    if t["drift_time"]["rounds"].max() >= LONG and not rates["kt"] > 0.8 > 0.5 > rates["proximal"]:
        yield f"claim 11: exponents of N under the ever rarer switches: {rates}"


def drift_growth(table: pd.DataFrame) -> dict[str, float]:
    """The exponent of the cost in `N` over the last factor of eight, for each step at the student's states (the
    proximal and natural ones at all states)."""
    out = {}
    for step, where in (("proximal", "all"), ("natural", "all"), ("kt", "student")):
        x = table[(table["step"] == step) & (table["where"] == where)].sort_values("rounds")
        last = x["rounds"].max()
        then = np.interp(np.log(last / 8), np.log(x["rounds"]), np.log(x["mean"]))
        out[step] = float((np.log(x["mean"].iloc[-1]) - then) / np.log(8))
    return out


def _horizon(t: Tables) -> Iterator[str]:
    for x in t["horizon_exact"].itertuples():
        if not x.gap <= x.bound + ROUNDING:
            yield f"claim 11: {x.student}, H = {x.horizon}: the loss {x.gap} is above the bound {x.bound}"
    table = t["horizon"]
    keys = ["chain", "horizon", "rounds"]
    wide = table.pivot(index=keys, columns="learner", values="gap")
    for place, x in wide[~((wide["clone"] - wide["exact"]).abs() <= ROUNDING)].iterrows():
        yield f"claim 11: {place}: the simulated clone loses {x['clone']}, the exact one {x['exact']}"
    exact = table[table["learner"].isin(["exact", "shared"])]
    for x in exact[~(exact["gap"] <= exact["log_loss_bound"] + ROUNDING)].itertuples():
        yield f"claim 11: {x.chain}, H = {x.horizon}: the clone loses {x.gap}, more than {x.log_loss_bound}"
    last = wide.xs((table["horizon"].max(), table["rounds"].max()), level=("horizon", "rounds"))
    if not last.loc["recoverable", "clone"] > 3 * last.loc["recoverable", "dagger"]:
        yield "claim 11: cloning does not lose more than DAgger where mistakes can be made good"
    for kind in ("unforgiving", "end"):
        if not last.loc[kind, "clone"] <= last.loc[kind, "dagger"]:
            yield f"claim 11: {kind}: cloning loses more than DAgger though nothing can be made good"
    if table["rounds"].max() >= LONG:
        grows = t["horizon_growth"].set_index(["chain", "learner"])["exponent"]
        for (kind, learner), (low, high) in EXPONENTS.items():
            if not low < grows[kind, learner] < high:
                yield f"claim 11: {kind}, {learner}: the loss grows like H^{grows[kind, learner]:.2f}"


EXPONENTS = {
    ("recoverable", "dagger"): (0.8, 1.3),
    ("recoverable", "exact"): (1.5, 2.0),
    ("unforgiving", "exact"): (1.6, 2.0),
    ("end", "exact"): (0.6, 1.0),
    ("end", "shared"): (-0.1, 0.2),
}
"""Between which the exponent of `H` must lie: 2 or 1 to first order in the error, a bit less since errors saturate."""


def _failures(t: Tables) -> Iterator[str]:
    table = t["failures"]
    last = table[table["rounds"] == table["rounds"].max()].set_index("learner")
    for learner, end in (("dagger", 3 / 8), ("clone", 1 / 2)):
        x = last.loc[learner]
        if not abs(x["limit"] - end) <= ROUNDING:
            yield f"claim 11: the privileged grid: {learner} should end at {end}, the fixed point is {x['limit']}"
        if not abs(x["return"] - end) <= 0.05:
            yield f"claim 11: the privileged grid: {learner} earns {x['return']} after {x['rounds']} rounds, not {end}"
    if not last.loc["dagger", "kl"] > 1 or not last.loc["clone", "kl_expert"] < last.loc["clone", "kl"]:
        yield "claim 11: a student who cannot see pays nothing for it"


# --- in words ---------------------------------------------------------------------------------------------------------


def summary(t: Tables) -> Table:
    """What was found, in words."""
    ends = t["cumulative"][t["cumulative"]["rounds"] == t["cumulative"]["rounds"].max()].set_index("problem")
    rounds, n = int(ends["rounds"].iloc[0]), int(ends["n"].iloc[0])
    grown = t["slopes_mean"].set_index(["kind", "quantity", "of"])
    links = t["chain"][t["chain"]["rounds"] == rounds].set_index(["problem", "link"])
    above = t["confidence"]["above"].max()
    drift = t["drift"][t["drift"]["step"] != "kt"]
    tight = (drift["mean"] / drift["bound"]).groupby(drift["step"]).max()
    rates = drift_growth(t["drift_time"])
    grows = t["horizon_growth"].set_index(["chain", "learner"])["exponent"]
    last = t["failures"].groupby("learner").last()

    short = links.loc[("deterministic", "short_bound"), "mean"] / links.loc[("deterministic", "regret"), "mean"]

    def slope(kind: str, quantity: str, of: str = "slope") -> str:
        x = grown.loc[(kind, quantity, of)]
        return f"{x['mean']:.3f} [{x['lower']:.3f}, {x['upper']:.3f}]"

    def loose(problem: str) -> str:
        return " x ".join(f"{links.loc[(problem, link), 'ratio']:.2f}" for link in list(cumulative.LINKS)[1:])

    rows = (
        ("KL summed over rounds, against B",
         f"mean at {', '.join(f'{x.mean / x.bound:.0%}' for x in ends.itertuples())} of B ({', '.join(ends.index)}), "
         f"N = {rounds:,}; label regret at most {t['cumulative']['label_ratio_max'].max():.3f} of its bound, any seed "
         f"of {n:,}; single seeds above B: {', '.join(f'{x.above:.1%}' for x in ends.itertuples())}", "a"),
        ("exponents of N, last decade, with 95 % intervals over random MDPs",
         f"KL {slope('stochastic', 'kl')}, deterministic expert {slope('deterministic', 'kl')}; regret, mean "
         f"{slope('stochastic', 'regret')}, deterministic {slope('deterministic', 'regret')}; one run "
         f"{slope('stochastic', 'spread')}; bound {grown.loc[('stochastic', 'bound', 'slope'), 'mean']:.3f}. KL grows "
         f"by {slope('stochastic', 'kl', 'per_log')} of H S (A-1)/2 per factor e", "b"),
        ("from the regret to its bound: what each step gives away",
         f"Garnet: {loose('garnet')}; deterministic expert: {loose('deterministic')}, and mu B is {short:.1f} times "
         f"the regret. Seeds above a bound of high probability: {above:.1%}", "c"),
        ("moving teachers",
         f"cost at most {tight['proximal']:.0%} of the bound (proximal), {tight['natural']:.1%} (natural). Switches "
         f"ever rarer: cost like N^{rates['proximal']:.2f} (proximal), N^{rates['kt']:.2f} (counts)", "d"),
        ("exponents of the horizon",
         f"mistakes can be made good: DAgger {grows['recoverable', 'dagger']:.2f}, cloning "
         f"{grows['recoverable', 'exact']:.2f}; not: {grows['unforgiving', 'dagger']:.2f}, "
         f"{grows['unforgiving', 'exact']:.2f}; paid at the end: cloning {grows['end', 'exact']:.2f}, with one table "
         f"for all steps {grows['end', 'shared']:.2f}", "e"),
        ("a student who does not see what the expert sees",
         f"DAgger earns {last.loc['dagger', 'return']:.3f} (limit 3/8), cloning {last.loc['clone', 'return']:.3f} "
         f"(1/2), the expert and the best student 1; KL per round stays at {last.loc['dagger', 'kl']:.2f}", "f"),
    )  # fmt: skip
    return harness.answers("What distributional DAgger costs while it learns (claim 11)", rows)
