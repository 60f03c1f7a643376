r"""How much can one step of the wrong divergence cost, and how good must an expert be to exclude it? (THEORY claim 14)

    python -m experiments.worst_case [--quick] [--seed N] [--seeds N] [--out DIR] [--jobs N] [--fresh]

Five panels, each drawn from its own table:

(a) `worst_case_curves.csv`: the largest loss of a small natural step against the gap `J* - J`, for every divergence of
    the catalogue, divided by `f''(1)`; with the worst bandits that a search found which knows nothing of the proof.
(b) `worst_case_steps.csv`: the same against the size of the step, at one gap; below zero no bandit loses.
(c) `worst_case_safe_gap.csv`: the safe gap over the range `[m, M]` of the ratios expert/student: if the expert is
    better by more, no small step can hurt.
(d) `worst_case_instances.csv`: the bandits that attain the curve: student, expert, ratios, motion.
(e) `worst_case_boundary.csv`: towards the ends: `m -> 0`, where some losses are unbounded, and `M -> inf`.

`worst_case.csv` has every setting of the search with the curve beside it, `worst_case_counterexamples.csv` the bandits
of smallest denominator on which a step harms (none found means: there is none up to that denominator).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import pandas as pd
from rich.table import Table

from distil_theory import search
from distil_theory.counterexamples import smallest_counterexample
from distil_theory.divergences import BY_NAME
from distil_theory.search import Setting
from distil_theory.worst_case import Curve, largest_gap
from experiments import harness, worst_case_plots
from experiments.harness import console
from experiments.worst_case_plots import GAP, RANGE

RANGES = ((0.5, 1.4), (0.2, 2.5), (0.1, 4.0), (0.02, 10.0), (0.0, 4.0))
SHARES = (0.01, 0.2, 0.6, 1.0)
"""Gaps of the search, as shares of the largest one: with `RANGES`, 20 settings."""
NEARLY_ABANDONED = 1e-3
"""Stands for `m = 0` where the loss is infinite there."""
ETA = 0.7
"""The finite step of the 20 settings."""
MORE_SHARES, MORE_ETAS = (0.05, 0.1, 0.3, 0.4, 0.5, 0.7, 0.85), (0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""Searched in addition, for panels (a) and (b)."""
SIZED = ("forward_kl", "reverse_kl", "jensen_shannon", "hellinger", "pearson_chi2")
MAPPED = ("reverse_kl", "jensen_shannon", "hellinger", "pearson_chi2")
REACHED, ROUNDING, SLACK = 1e-4, 1e-9, 1e-12
"""Relative: how near the search must come to the curve, how far rounding may carry it beyond, rounding of the gap."""


def settings(seeds: Sequence[int], actions: Sequence[int], etas: Sequence[float | None]) -> Iterator[Setting]:
    """Every divergence at the 20 settings."""
    for name, divergence in BY_NAME.items():
        for low, high in RANGES:
            m = NEARLY_ABANDONED if low == 0 and divergence.needs_expert_support else low
            for share in SHARES:
                for eta in etas:
                    for a in actions:
                        yield from (Setting(name, share * largest_gap(m, high), m, high, eta, a, s) for s in seeds)


def more_settings(seeds: Sequence[int], actions: Sequence[int]) -> Iterator[Setting]:
    """The points of panels (a) and (b)."""
    for name, a, s in product(BY_NAME, actions, seeds):
        yield from (Setting(name, x * largest_gap(*RANGE), *RANGE, None, a, s) for x in MORE_SHARES)
        yield from (Setting(name, GAP, *RANGE, eta, a, s) for eta in MORE_ETAS if name in SIZED)


def searched(todo: Sequence[Setting], args: argparse.Namespace) -> pd.DataFrame:
    """What the search found at each setting beside the curve; `excess` is relative, positive beyond the curve."""
    found = search.worst_bandits(todo, jobs=args.jobs, cache=args.out / harness.CACHE)
    table = pd.DataFrame(todo)
    table["found"] = [worst.loss for worst in found]
    curves = {key: Curve(BY_NAME[key[0]], *key[1:]) for key in {(s.divergence, s.low, s.high, s.eta) for s in todo}}
    # a bandit meets its gap to rounding, which a steep curve magnifies: it may not pass the curve a little to the left
    for column, slack in (("curve", 0.0), ("allowed", SLACK)):
        table[column] = [float(curves[s.divergence, s.low, s.high, s.eta].loss(s.gap * (1 - slack))) for s in todo]
    table["excess"] = (table["found"] - table["curve"]) / table["curve"].abs()
    return table


def curves(points: int) -> pd.DataFrame:
    """Panel (a): loss per unit step, divided by `f''(1)` where there is one."""
    gaps = np.linspace(0, largest_gap(*RANGE), points + 1)[1:]
    rows = [pd.DataFrame({"divergence": name, "gap": gaps, "loss": Curve(d, *RANGE).loss(gaps) / (d.unit or 1)})
            for name, d in BY_NAME.items()]  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def steps(points: int) -> pd.DataFrame:
    """Panel (b): the largest loss of a step of size `eta` at one gap."""
    rows = [(name, eta, float(Curve(BY_NAME[name], *RANGE, eta).loss(GAP)))
            for name in SIZED for eta in np.linspace(0, 3, points + 1)[1:].round(6)]  # fmt: skip
    return pd.DataFrame(rows, columns=["divergence", "eta", "loss"])


def safe_row(name: str, low: float, highs: list[float]) -> list[float]:
    """Safe gaps of one divergence along one row of the map."""
    return [Curve(BY_NAME[name], low, high).safe_gap() for high in highs]


def safe_gaps(points: int, args: argparse.Namespace) -> pd.DataFrame:
    """Panel (c)."""
    lows = (np.linspace(0, 0.98**0.5, points) ** 2).round(6).tolist()  # closer near 0
    highs = np.geomspace(1.02, 20, points).round(6).tolist()
    tasks = [(name, low, highs) for name in MAPPED for low in lows]
    done = harness.run_tasks(safe_row, tasks, args, "safe gaps")
    rows = [
        (name, low, high, gap, largest_gap(low, high))
        for (name, low, _), gaps in zip(tasks, done, strict=True)
        for high, gap in zip(highs, gaps, strict=True)
    ]
    return pd.DataFrame(rows, columns=["divergence", "low", "high", "safe_gap", "largest_gap"])


def worst_instances() -> pd.DataFrame:
    """Panel (d): the bandits that attain the curve, and how fast each action's probability moves."""
    rows = []
    for name in SIZED[1:]:
        worst = Curve(BY_NAME[name], *RANGE).worst(GAP)
        ratio = worst.expert / worst.student
        score = BY_NAME[name].h(ratio)
        motion = worst.student * (score - worst.student @ score) / BY_NAME[name].unit
        order = np.lexsort((ratio, -worst.reward))
        columns = (worst.reward, worst.student, worst.expert, ratio, motion)
        rows += [(name, i, *(column[a] for column in columns)) for i, a in enumerate(order)]
    return pd.DataFrame(rows, columns=["divergence", "action", "reward", "student", "expert", "ratio", "motion"])


def boundary(points: int) -> pd.DataFrame:
    """Panel (e): the loss at one gap when one end of the range moves to its limit."""
    rows = []
    for name, d in BY_NAME.items():
        for low in np.geomspace(1e-6, 0.5, points):
            rows.append((name, "low", low, float(Curve(d, low, RANGE[1]).loss(GAP)) / (d.unit or 1)))
        for high in np.geomspace(1.5, 1e4, points):
            rows.append((name, "high", high, float(Curve(d, RANGE[0], high).loss(GAP)) / (d.unit or 1)))
    return pd.DataFrame(rows, columns=["divergence", "end", "value", "loss"])


def counterexamples(largest: int) -> pd.DataFrame:
    """The smallest bandits that fail, by divergence, number of actions and kind of step; `n` is empty if none."""
    rows = []
    for name in BY_NAME:
        for actions, levels in ((2, 1), (3, 1), (3, 2), (4, 1)):
            for geometry, eta in (("natural", None), ("euclidean", None), ("natural", 1.0)):
                last = min(largest, 12 if actions == 4 else largest)
                found = smallest_counterexample(name, actions, geometry, eta, last, levels)
                numbers = [" ".join(map(str, x)) for x in found[2:]] if found else [""] * 3
                rows.append((name, actions, levels, geometry, eta, last, found and found.denominator, *numbers))
    names = ["divergence", "actions", "levels", "geometry", "eta", "searched_to", "n", "reward", "student", "expert"]
    return pd.DataFrame(rows, columns=names).astype({"n": "Int64"})


def violated(found: pd.DataFrame, smallest: pd.DataFrame) -> list[str]:
    """Which rows contradict a theorem, or leave the curve unattained."""
    keys = ["divergence", "gap", "low", "high", "eta"]
    beyond = found[found["found"] > found["allowed"] + ROUNDING * found["curve"].abs()]
    out = [f"claim 14: a bandit loses more than the curve allows: {row._asdict()}" for row in beyond.itertuples()]
    best = found.groupby(keys, dropna=False)["excess"].max()
    out += [f"the search stayed below the curve by {-x:.1e} at {key}" for key, x in best[best < -REACHED].items()]
    proved = smallest[smallest["n"].notna()]
    for row in proved[(proved["actions"] == 2)].itertuples():
        out.append(f"claim 4: {row.divergence}, {row.geometry}, eta {row.eta}, fails with two actions")
    for name, eta in (("forward_kl", None), ("reverse_kl", 1.0)):
        same = proved["eta"].isna() if eta is None else proved["eta"] == eta
        if ((proved["divergence"] == name) & (proved["geometry"] == "natural") & same).any():
            out.append(f"claims 2 and 7d: {name} fails at its safe step")
    return out


def summary(found: pd.DataFrame) -> Table:
    """How near the search came, by divergence."""
    table = Table(title="The search against the curve of claim 14 (relative; never above 0 but for rounding)")
    for heading in ("divergence", "settings", "worst best-of-sizes", "nearest", "farthest beyond"):
        table.add_column(heading, justify="left" if heading == "divergence" else "right")
    for name, group in found.groupby("divergence", sort=False):
        best = group.groupby(["gap", "low", "high", "eta"], dropna=False)["excess"].max()
        cells = (f"{min(best.min(), 0):.1e}", f"{best.abs().min():.0e}", f"{max(best.max(), 0):.0e}")
        table.add_row(harness.plain(name), str(len(best)), *cells)
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment: tables, pictures, verdicts; exit status 1 if the theorem is contradicted or not reached."""
    args = harness.command_line("worst_case", (__doc__ or "").splitlines()[0], argv)
    seeds = range(args.seed, args.seed + args.seeds)
    sizes, etas = ((4,), (None,)) if args.quick else ((3, 4, 6), (None, ETA))
    todo = [*settings(seeds, sizes, etas), *(() if args.quick else more_settings(seeds, sizes))]
    panels = {
        "worst_case": searched(todo, args),
        "worst_case_curves": curves(60 if args.quick else 200),
        "worst_case_steps": steps(30 if args.quick else 120),
        "worst_case_safe_gap": safe_gaps(9 if args.quick else 41, args),
        "worst_case_instances": worst_instances(),
        "worst_case_boundary": boundary(12 if args.quick else 40),
        "worst_case_counterexamples": counterexamples(12 if args.quick else 24),
    }
    saved = {name: harness.save_table(panel, args.out / f"{name}.csv") for name, panel in panels.items()}
    pictures = worst_case_plots.draw(saved, args.out)
    told = {"ranges": RANGES, "shares": SHARES, "actions": sizes, "etas": etas, "panel_range": RANGE, "panel_gap": GAP}
    harness.save_manifest(args.out / "worst_case.json", args, [f"{name}.csv" for name in panels] + pictures, told)
    console.print(summary(saved["worst_case"]))
    console.print(f"Tables and pictures: {args.out}/worst_case*")
    harness.finish(violated(saved["worst_case"], saved["worst_case_counterexamples"]))


if __name__ == "__main__":
    main()
