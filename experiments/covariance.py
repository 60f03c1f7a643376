r"""Does claim 1 explain every drop? (THEORY claims 1, 9)

    python -m experiments.covariance [--quick] [--seed N] [--seeds N] [--out DIR] [--jobs N] [--fresh]

Every algorithm in every world of `experiments.algorithms`, natural and Euclidean steps of eight sizes. To first order a
step changes the return by `eta sum_h E_d Cov_pi(Q, .)`; what really happened is compared, step by step. Panels, from
tables `covariance_<name>.csv`:

(a) `points`: predicted against actual change, at three step sizes.
(b) `signs`, `drops`: how often the signs agree, by step size; and who foretold the drops: the first order, the second
    order, or neither.
(c) `errors`, `exponents`: the error of the prediction shrinks as `eta^2`.
(d) `cosines`: one sampled gradient against the exact one, and the mean of many, by number of rollouts.

`family`: claim 9's promise for every f-divergence and steps of any size.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from rich.table import Table

from distil_theory import prevalence
from distil_theory.divergences import BY_NAME
from experiments import covariance_plots, harness
from experiments.harness import Tables
from experiments.loop import runs, steps, worlds
from experiments.loop.steps import ETAS, Steps

STUDENTS, QUICK_STUDENTS = 50, 4
SHOWN, PICTURED = 3, (0.01, 0.3, 3.0)
"""Students per world, algorithm and geometry in the picture, and step sizes."""
FACTOR, TOLERANCE = 2.0, 1e-10
"""A prediction is clear if it is larger than `FACTOR` times the second-order term, and than rounding."""
SMALLEST = min(ETAS)
NEAR_TWO = (1.9, 2.1)
"""Where the median exponent of every world and geometry must lie."""
SLACK = 20.0
"""How often the square of its expected error the mean of many gradients may be off: errors along one direction, as of
the share of one prompt among all, are so large with probability 8e-6 (chi2 with one degree of freedom)."""
ROUNDING = 1e-9
"""Cosines this near 1 are 1: the states of an expert that leaves nothing to chance are always the same."""
ENOUGH = 0.9
"""Share of the smallest steps whose prediction must be clear: otherwise nothing has been asked."""
LAST = 0.99
"""The least cosine of the mean of many gradients, each of the most rollouts."""
Key = tuple[str, str, str]


def walked(args: argparse.Namespace, students: int) -> dict[Key, Steps]:
    """All steps; the students of several seeds side by side."""
    keys: list[Key] = list(product(worlds.WORLDS, runs.NAMES, steps.GEOMETRIES))
    seeds = range(args.seed, args.seed + args.seeds)
    done = iter(harness.run_tasks(steps.walk, [(*k, students, s) for k, s in product(keys, seeds)], args, "steps"))
    parts = {key: [next(done) for _ in seeds] for key in keys}
    return {key: Steps(*(np.concatenate(x, axis=2) for x in zip(*p, strict=True))) for key, p in parts.items()}


def points(found: dict[Key, Steps]) -> pd.DataFrame:
    """Some of the steps of the first students: every fourth, at three sizes, to five digits."""
    out = []
    for (world, name, geometry), x in found.items():
        for eta in PICTURED:
            e = ETAS.index(eta)
            some = x.predicted[::4, e, :SHOWN].ravel(), x.change[::4, e, :SHOWN].ravel()
            out.append(pd.DataFrame({"world": world, "algorithm": name, "geometry": geometry, "eta": eta,
                                     "predicted": [float(f"{y:.5g}") for y in some[0]],
                                     "actual": [float(f"{y:.5g}") for y in some[1]]}))  # fmt: skip
    return pd.concat(out, ignore_index=True)


def signs(found: dict[Key, Steps]) -> pd.DataFrame:
    """Per world, algorithm, geometry and step size: steps that went as claim 1 predicted, and drops by who foretold
    them."""
    rows = []
    for (world, name, geometry), x in found.items():
        clear = np.abs(x.predicted) > np.maximum(FACTOR * np.abs(x.second), TOLERANCE)
        agree = np.sign(x.change) == np.sign(x.predicted)
        moved = np.maximum(np.abs(x.change), np.abs(x.predicted)) > TOLERANCE
        fell = x.change < -TOLERANCE
        first, second = fell & (x.predicted < 0), fell & (x.predicted >= 0) & (x.predicted + x.second < 0)
        for e, eta in enumerate(ETAS):
            counts = (y[:, e].sum() for y in (moved, moved & agree, clear, clear & agree, fell, first, second))
            rows.append((world, name, geometry, eta, x.change[:, e].size, *map(int, counts)))
    names = ["world", "algorithm", "geometry", "eta", "steps", "moved", "agree", "clear", "clear_agree", "drops",
             "first_order", "second_order"]  # fmt: skip
    return pd.DataFrame(rows, columns=names)


def pooled(table: pd.DataFrame) -> pd.DataFrame:
    """Shares over worlds and algorithms, by geometry and step size, with Wilson intervals."""
    counts = ["moved", "agree", "clear", "clear_agree", "drops", "first_order", "second_order"]
    sums = table.groupby(["geometry", "eta"], sort=False)[counts].sum().reset_index()
    for what, part, whole in (("share", "agree", "moved"), ("clear_share", "clear_agree", "clear")):
        ends = [prevalence.wilson(int(k), int(n)) for k, n in zip(sums[part], sums[whole], strict=True)]
        sums[what] = sums[part] / sums[whole]
        sums[f"{what}_lower"], sums[f"{what}_upper"] = ([end[i] for end in ends] for i in (0, 1))
    return sums


def errors(found: dict[Key, Steps]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Median error of the first step by step size; and quartiles of the fitted exponents."""
    rows, slopes = [], []
    for world, geometry in product(worlds.WORLDS, steps.GEOMETRIES):
        fits = [steps.exponent(found[world, name, geometry]) for name in runs.NAMES]
        error = np.concatenate([e for e, _ in fits], axis=1)
        exponent = np.concatenate([k for _, k in fits])
        quartiles = np.quantile(error, (0.25, 0.5, 0.75), axis=1)
        rows += [(world, geometry, eta, *quartiles[:, e]) for e, eta in enumerate(ETAS)]
        slopes.append((world, geometry, len(exponent), *np.quantile(exponent, (0.05, 0.5, 0.95))))
    return (
        pd.DataFrame(rows, columns=["world", "geometry", "eta", "error_25", "error", "error_75"]),
        pd.DataFrame(slopes, columns=["world", "geometry", "n", "exponent_5", "exponent", "exponent_95"]),
    )


def pointing(args: argparse.Namespace) -> pd.DataFrame:
    """Cosines, by world, algorithm and number of rollouts."""
    todo = list(product(worlds.WORLDS[2:5] if args.quick else worlds.WORLDS, runs.NAMES, [args.seed]))
    rows = []
    for (world, name, _), x in zip(todo, harness.run_tasks(steps.pointing, todo, args, "directions"), strict=True):
        for drawn, mean, deviation, together in zip(*x, strict=True):
            rows.append((world, name, int(drawn), mean, deviation, together, expected(mean)))
    return pd.DataFrame(
        rows, columns=["world", "algorithm", "rollouts", "cosine", "deviation", "of_mean", "expected_of_mean"]
    )


def expected(mean: float) -> float:
    """The cosine of the mean of `REPEATS` directions whose errors are independent: `1/cos^2 - 1` is divided by it."""
    return float(1 / np.sqrt(1 + (1 / mean**2 - 1) / steps.REPEATS))


def family(args: argparse.Namespace, students: int) -> pd.DataFrame:
    """Claim 9 with every f-divergence."""
    seeds = range(args.seed, args.seed + args.seeds)
    todo = [(*key, students, s) for *key, s in product(steps.FAMILY_WORLDS, BY_NAME, steps.FAMILY_ETAS, seeds)]
    done = harness.run_tasks(steps.family, todo, args, "every f-divergence")
    rows = [(*task[:3], *x) for task, x in zip(todo, done, strict=True)]
    table = pd.DataFrame(rows, columns=["world", "divergence", "eta", "steps", "lowered", "lowest"])
    return table.groupby(["world", "divergence", "eta"], sort=False, as_index=False).agg(
        {"steps": "sum", "lowered": "sum", "lowest": "min"}
    )


def violated(t: Tables) -> list[str]:
    """What contradicts a theorem."""
    return harness.empty(t) or [
        *_violated_claim_9(t["family"]),
        *_violated_claim_1(t),
        *_violated_directions(t["cosines"]),
    ]


def _violated_claim_9(table: pd.DataFrame) -> list[str]:
    fell = table[~((table["lowered"] == 0) & (table["lowest"] >= -runs.ROUNDING) & (table["steps"] > 0))]
    return [f"claim 9: {x.divergence} lowers the return in {x.world}, eta = {x.eta}" for x in fell.itertuples()]


def _violated_claim_1(t: Tables) -> list[str]:
    small = t["signs"][np.isclose(t["signs"]["eta"], SMALLEST)]
    out = []
    for x in small[~(small["clear_agree"] == small["clear"])].itertuples():
        where = f"claim 1: {x.algorithm} in {x.world}, {x.geometry}"
        out.append(f"{where}: {x.clear_agree} of {x.clear} clear signs agree")
    clear = small["clear"].sum() / max(small["moved"].sum(), 1)
    if not clear >= ENOUGH:
        out.append(f"claim 1: only {clear:.0%} of the smallest steps are clear")
    wrong = t["exponents"][~t["exponents"]["exponent"].between(*NEAR_TWO)]
    out += [f"claim 1: in {x.world}, {x.geometry}, the error grows as eta^{x.exponent:.2f}" for x in wrong.itertuples()]
    return out


def _violated_directions(table: pd.DataFrame) -> list[str]:
    off, allowed = (1 / table[what] ** 2 - 1 for what in ("of_mean", "expected_of_mean"))
    wrong = table[~((table["of_mean"] > 0) & (off <= SLACK * allowed + ROUNDING))]
    out = []
    for x in wrong.itertuples():
        where = f"{x.algorithm} in {x.world}: {x.rollouts} rollouts"
        out.append(f"{where} point elsewhere: cosine {x.of_mean}, not {x.expected_of_mean}")
    last = table[table["rollouts"] == table["rollouts"].max()]
    last = last[~(last["of_mean"] > LAST)]
    return out + [f"{x.algorithm} in {x.world}: the cosine ends at {x.of_mean}" for x in last.itertuples()]


def summary(t: Tables) -> Table:
    """The answers in words."""
    table = Table(title="Does claim 1 explain every drop?", show_lines=True)
    for heading in ("question", "found", "panel"):
        table.add_column(heading)
    share = t["agreement"].set_index(["geometry", "eta"])
    for geometry in steps.GEOMETRIES:
        x, y = share.loc[(geometry, SMALLEST)], share.loc[(geometry, max(ETAS))]
        small = f"{x['share']:.2%} at eta {SMALLEST:g} (clear ones {x['clear_share']:.2%})"
        table.add_row(f"signs agree, {geometry}", f"{small}, {y['share']:.1%} at {max(ETAS):g}", "b")
    s = t["agreement"][["drops", "first_order", "second_order"]].sum()
    tiny = t["agreement"][t["agreement"]["eta"] <= steps.SMALL][["drops", "first_order"]].sum()
    both = (s["first_order"] + s["second_order"]) / s["drops"]
    every = f"{s['first_order'] / s['drops']:.1%} of {s['drops']:,} at all sizes, with the second order {both:.1%}"
    small = f"{tiny['first_order']:,} of {tiny['drops']:,} up to eta {steps.SMALL:g}"
    table.add_row("drops that it foretold", f"{every}; {small}", "b")
    k = t["exponents"]["exponent"]
    table.add_row("exponent of the error", f"medians {k.min():.3f} to {k.max():.3f}", "c")
    last = t["cosines"][t["cosines"]["rollouts"] == t["cosines"]["rollouts"].max()]
    single, mean = last["cosine"].min(), last["of_mean"].min()
    many = f"single {single:.3f} or more, mean of {steps.REPEATS} {mean:.4f} or more"
    table.add_row(f"cosine with {last['rollouts'].max():,} rollouts", many, "d")
    f = t["family"]
    fell = f"{f['lowered'].sum()} of {f['steps'].sum():,} steps lower the return"
    table.add_row("claim 9, every f-divergence", fell, "")
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment: tables, pictures, verdicts; exit status 1 if a claim is contradicted."""
    args = harness.command_line("covariance", (__doc__ or "").splitlines()[0], argv)
    students = QUICK_STUDENTS if args.quick else STUDENTS
    found = walked(args, students)
    each = signs(found)
    medians, exponents = errors(found)
    tables = {"points": points(found), "signs": each, "agreement": pooled(each), "errors": medians,
              "exponents": exponents, "cosines": pointing(args), "family": family(args, students)}  # fmt: skip
    told = {"students": students, "steps": steps.STEPS, "etas": ETAS, "fitted_to": steps.SMALL, "factor": FACTOR,
            "repeats": steps.REPEATS}  # fmt: skip
    harness.conclude("covariance", args, tables, covariance_plots.draw, told, summary, violated)


if __name__ == "__main__":
    main()
