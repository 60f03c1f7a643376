r"""The longer the horizon, the more a better expert can hurt: local distillation in MDPs (THEORY claims 8, 9, 15, 16)

    python -m experiments.sequential_monotonicity [--quick] [--seed N] [--seeds N] [--out DIR] [--jobs N] [--fresh]

Five panels, each drawn from its own tables `sequential_monotonicity_*.csv`:

(a) `horizon`, `steps`: the rate of one small local step of forward KL on the chains of claim 8, in rationals, beside
    the bounds `-(H-1)(1-delta)` and `-H(1-delta)`; the prefix-weighted rate, which is `J* - J` (claims 2, 15); and what
    a step of finite size really does to the return.
(b) `curves`, `curve_marks`, `safe_gaps`: the largest loss at each gap, for ratios in a range (claims 8b and 8c), with
    pairs that attain it and the worst that ascents find which know nothing of it; the safe gap against the horizon.
(c) `failures`: how often a small step of each objective, local, weighted and full, lowers the reward of random MDPs
    although the teacher is better, for several teachers and sizes. What a theorem excludes is marked, and checked.
(d) `feedback`: the same against the error rate of the success bit, over-confidence, a teacher that lags behind, and
    the share of states that look alike, with a teacher that sees the state and one that sees what the student sees
    (claim 9).
(e) `band`, `needed`: rate against gap of random pairs, within claim 16's exact band and its chi2 bound, and the pairs
    that attain them (16b); how much better an expert must be, given its chi2 from the student and the horizon.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich.table import Table

from distil_theory import horizon
from experiments import harness, sequential_curves, sequential_plots, sequential_sweeps

EXACT, PROGRAMME = 1e-9, 1e-6
"""How far rounding may carry a pair beyond a curve: a closed form, a linear programme."""
ENOUGH = 1000
"""MDPs from which on a cell must show what claim 9 says goes wrong."""


def violated(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Which rows contradict a theorem, or do not show what it says."""
    if empty := harness.empty(tables):
        return empty
    out = []
    for row in tables["horizon"].query("not holds").itertuples():
        case = f"{row.instance}, H = {row.horizon}, leaves: {row.rarity}"
        out.append(f"claims 2 and 8: {case}: the rate is beyond the bound, or the weighted one is not the gap")
    steps = tables["steps"]
    before = steps[steps["eta"] == 0].set_index(["horizon", "part"])["return"]
    least = steps.groupby(["horizon", "part"])["return"].min()
    for length in steps["horizon"].unique():
        if not least[length, "local"] < before[length, "local"]:
            out.append(f"claim 8: no local step lowers the return of the chain with H = {length}")
    marks = tables["curve_marks"]
    slack = marks["version"].map({"average": EXACT, "everywhere": PROGRAMME})
    for row in marks[~(marks["loss"] <= marks["curve"] + slack)].itertuples():
        out.append(f"claims 8b, 8c: a pair loses more than the curve allows: {row._asdict()}")
    for row in marks[(marks["kind"] == "attained") & ~(marks["loss"] >= marks["curve"] - slack)].itertuples():
        out.append(f"claims 8b, 8c: the curve is not attained: {row._asdict()}")
    gaps = tables["safe_gaps"]
    wide = ~(gaps["safe_gap"] <= gaps["deviation"].clip(upper=gaps["chi2_bound"]) + PROGRAMME)
    out += [f"claim 16: a safe gap above the bound: {row._asdict()}" for row in gaps[wide].itertuples()]
    return (
        out
        + violated_failures(tables["failures"], "failures")
        + violated_failures(tables["feedback"], "feedback")
        + violated_band(tables["band"])
    )


def violated_failures(table: pd.DataFrame, name: str) -> list[str]:
    """Failures that a theorem excludes; and hidden state that does no harm where it should."""
    out = []
    claim, _, word = (table["promise"].fillna("").str.partition(": ")[i] for i in range(3))
    if not (claim != "").any():
        out.append(f"no cell of {name} has a promise to check")
    wrong = (claim == "2") & (table["failed"] != 0)
    wrong |= (claim == "9") & (word == "never") & (table["lowered"] != 0)
    wrong |= (claim == "9") & (word == "always") & ~(table["lowered"] >= table["n"] - table["undecided"])
    for row in table[wrong].itertuples():
        cell = ", ".join(f"{key} {getattr(row, key)}" for key in sequential_sweeps.KEYS)
        counts = f"{row.failed} failed, {row.lowered} lowered of {row.n}"
        out.append(f"claim {row.promise} lowers the return ({name}): {counts}: {cell}")
    hidden = table[(table["observations"] == 1) & (table["states"] > 1) & table["privileged"] & (table["n"] >= ENOUGH)]
    hidden = hidden[(hidden["teacher"] == "noisy") & (hidden["dial"] == 0) & (hidden["part"] == "local")]
    for row in hidden[~(hidden["failed"] > 0)].itertuples():
        out.append(f"claim 9: hidden state with a privileged teacher harms no MDP of {row.n}: {row.divergence}")
    return out


def violated_band(band: pd.DataFrame) -> list[str]:
    """Pairs beyond claim 16's bounds, and sharp ones that do not attain them."""
    off = (band["rate"] - band["gap"]).abs()
    sharp = band["kind"] == "sharp"  # their ratios have no range, so no exact deviation either
    beyond = ~(off <= band["deviation"] + EXACT) & ~sharp
    beyond |= ~(off <= band["chi2_bound"] + EXACT)
    out = [f"claim 16: a pair beyond the band: {row._asdict()}" for row in band[beyond].itertuples()]
    attains = (band["rate"].abs() <= EXACT) & ((band["gap"] / band["chi2_bound"] - 1).abs() <= 1e-6)
    wrong = sharp & ~attains
    wrong |= (band["kind"] == "attained") & ~((off - band["deviation"]).abs() <= EXACT)
    return out + [f"claims 16, 16b: the bound is not attained: {row._asdict()}" for row in band[wrong].itertuples()]


def sentence() -> str:
    """What claim 16 tells a practitioner."""
    chi2, gap = sequential_curves.EXAMPLE
    steps = horizon.safe_horizon(gap, chi2)
    expert = f"An expert with chi2 = {chi2:g} from the student in every state, better by {gap:g}"
    return (
        f"{expert} (total reward in [0, 1]): a small local step of forward KL cannot hurt at a horizon up to {steps}."
    )


def summary(tables: dict[str, pd.DataFrame]) -> Table:
    """The verdict in words, one line per claim."""
    table = Table(title="The longer the horizon, the more a better expert can hurt", show_lines=True)
    for heading in ("claim", "what the numbers say"):
        table.add_column(heading)
    chains, rates, fed = tables["horizon"], tables["failures"], tables["feedback"]
    worst = chains.loc[chains["rate"].where(chains["instance"] == "horizon_chain").idxmin()]
    chain = (
        f"Expert better at every state, by {worst.gap:.2f} in all, H = {worst.horizon}: a local step changes the return"
    )
    table.add_row("8", f"{chain} at the rate {worst.rate:.1f}. No chain passes the bound (decided in rationals).")
    table.add_row("2, 15", f"With prefix weights the rate is J* - J, exactly, on all {len(chains)} chains.")
    marks = tables["curve_marks"]
    excess = (marks["loss"] - marks["curve"])[marks["kind"] == "ascent"]
    ends = f"{len(excess)} ascents, which know no theorem: {(excess > -1e-3).sum()} end within 0.001 of the tight curve"
    beyond = (excess > PROGRAMME).sum() or "none"
    table.add_row("8b, 8c", f"{ends}, {beyond} beyond it.")
    forward = rates.query("teacher == 'random' and geometry == 'natural' and divergence == 'forward_kl'")
    sums = forward.groupby("part")[["failed", "better"]].sum()
    share = (sums["failed"] / sums["better"]).map("{:.1%}".format)
    words = f"local steps fail in {share['local']}, full ones in {share['full']}, weighted ones in {share['weighted']}"
    table.add_row("2, 8", f"Random teachers, forward KL: {words} of the MDPs in which the teacher is better.")
    promised = pd.concat([rates, fed])
    promised = promised[promised["promise"].fillna("").str.startswith("9: never")]
    truthful = f"Truthful teachers: {promised['lowered'].sum()} failures in {promised['n'].sum():,} steps of this claim"
    hidden = fed.query("observations == 1 and privileged and teacher == 'noisy' and dial == 0 and part == 'local'")
    hidden = hidden["value"]
    span = f"{hidden.min():.1%} to {hidden.max():.1%}, by divergence"
    table.add_row("9", f"{truthful}. If only the teacher sees the state, local steps fail in {span}.")
    table.add_row("16", sentence())
    open_signs = int(rates["undecided"].sum() + fed["undecided"].sum())
    table.caption = f"Signs that stayed undecided: {open_signs}"
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment: tables, pictures, verdicts; exit status 1 if a theorem is contradicted."""
    args = harness.command_line("sequential_monotonicity", (__doc__ or "").splitlines()[0], argv)
    quick = args.quick
    sizes = {  # draws per cell: each sweep draws 10^5 in all if quick, else 10^6
        "failures": 2_000 if quick else 20_000,
        "feedback": 1_500 if quick else 16_000,
        "band": 30_000 if quick else 330_000,
        "starts": 48 if quick else 160,
        "rounds": 300 if quick else 600,
    }
    panels = {
        "horizon": sequential_curves.chains(args),
        "steps": sequential_curves.steps(60 if quick else 200),
        "curves": sequential_curves.curves(25 if quick else 100),
        "curve_marks": sequential_curves.marks(sizes["starts"], sizes["rounds"], args),
        "safe_gaps": sequential_curves.safe_gaps(sequential_curves.LONG),
        "failures": sequential_sweeps.failure_rates(sizes["failures"], args),
        "feedback": sequential_sweeps.feedback(sizes["feedback"], args),
        "band": sequential_curves.band(sizes["band"], sizes["starts"] // 4, sizes["rounds"], args),
        "needed": sequential_curves.needed(60 if quick else 120),
    }
    told = sizes | {
        "curve_range": sequential_curves.RANGE,
        "band_range": sequential_curves.BAND,
        "block": sequential_sweeps.BLOCK,
    }
    harness.conclude("sequential_monotonicity", args, panels, sequential_plots.draw, told, summary, violated)


if __name__ == "__main__":
    main()
