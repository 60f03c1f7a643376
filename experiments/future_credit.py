r"""When does it pay to look ahead? (THEORY claims 10, 15, 17, 18, 19)

    python -m experiments.future_credit [--quick] [--seed N] [--seeds N] [--out DIR] [--jobs N] [--fresh]

Local distillation holds the student's states fixed; the exact gradient charges an action for the disagreement after it,
as KL-to-go or as cross-entropy-to-go. Ten panels, each drawn from its own tables `future_credit_<panel>.csv`:

(a) `fork`: the aliased fork: where training ends, with and without looking ahead, beside the closed form; its return.
(b) `learning`: the return on it after each step.
(c) `steps`: where looking ahead hurts: the return along one step.
(d) `signs`: the same at a glance, with certified signs: who raises the return of which instance.
(e) `bound`, `bound_counts`: truthful feedback without chance: claim 18's bound on random problems.
(f) `trap`: cross-entropy-to-go leaves even the expert.
(g) `length`, `length_limits`: and makes answers short, if going on costs the expert's indecision at every token.
(h) `leak`, `leak_rates`: students who cannot express or see the advantage: what claim 2 loses.
(i) `hints`: truthful and narrow hints, hidden from the student.
(j) `frontier`, `errors`, `crossings`: path weights: bias against variance, and who wins with N rollouts.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.table import Table

from experiments import future_credit_frontier as frontier
from experiments import future_credit_plots, harness
from experiments import future_credit_steps as steps
from experiments import future_credit_training as training
from experiments.harness import console

TOKENS, QUICK_TOKENS = tuple(range(1, 13)), (1, 2, 4, 8, 12)
CURVES = (1, 4, 12)
STEPS = {"learning": 80, "trap": 80, "length": 1000}
BLOCK = 2000
NEAR = 1e-6
"""How near trained students must come to closed forms and minimisers."""
Tables = dict[str, pd.DataFrame]


def compute(args: argparse.Namespace) -> Tables:
    """Every table."""
    seeds = range(args.seed, args.seed + args.seeds)
    concat = training.concat
    n, drawn = (4_000, 20_000) if args.quick else (40_000, 200_000)
    pieces = steps.blocks(n, BLOCK, seeds)
    tokens = QUICK_TOKENS if args.quick else TOKENS
    out: Tables = {}

    tasks = [(k, objective) for k in tokens for objective in training.OBJECTIVES]
    out["fork"] = pd.DataFrame(harness.run_tasks(training.fork_end, tasks, args, "training on the fork"))
    tasks = [(k, objective, STEPS["learning"]) for k in CURVES for objective in training.OBJECTIVES]
    out["learning"] = concat(harness.run_tasks(training.fork_curve, tasks, args, "learning curves"))
    out["steps"] = steps.step_curves()
    out["signs"] = steps.sign_matrix()
    todo = [(horizon, *piece) for horizon in steps.HORIZONS for piece in pieces]
    blocks = harness.run_tasks(steps.bound_block, todo, args, "claim 18 on random problems")
    out["bound"], out["bound_counts"] = steps.bound_points(blocks)
    runs = [(start, o, STEPS["trap"]) for start in ("student", "expert") for o in ("local", "full_kl", "full_ce")]
    out["trap"] = concat(harness.run_tasks(training.trap_curve, runs, args, "the entropy trap"))
    runs = [(o, STEPS["length"]) for o in training.LENGTH_OBJECTIVES]
    out["length"] = concat(harness.run_tasks(training.length_curve, runs, args, "the length of answers"))
    out["length_limits"] = training.length_limits(training.WAYS)
    todo = [(kind, share, *piece) for kind in steps.CLASSES for share in steps.SHARES for piece in pieces]
    blocks = harness.run_tasks(steps.leak_block, todo, args, "claim 17 on random problems")
    out["leak"], out["leak_rates"] = steps.leak_points(blocks)
    out["hints"] = steps.hint_curves()
    problems = [name for name in frontier.PROBLEMS if not (args.quick and name == "garnet_8")]
    found = harness.run_tasks(frontier.frontier, [(x, drawn, args.seed) for x in problems], args, "bias and variance")
    out["frontier"] = concat(found)
    out["errors"], out["crossings"] = frontier.errors(out["frontier"]), frontier.crossings(out["frontier"])
    return out


def violated(t: Tables) -> list[str]:
    """Which rows contradict a claim, or leave unreached what training should reach."""
    return [*_violated_training(t), *_violated_steps(t), *_violated_frontier(t["frontier"])]


def _violated_training(t: Tables) -> list[str]:
    out = []
    for row in t["fork"].itertuples():
        where = f"claim 10a: k = {row.k}, {row.objective}"
        if not row.residual <= training.TOLERANCE:
            out.append(f"{where}: training has not ended, the gradient is {row.residual:.1e}")
        if not abs(row.p - row.p_closed_form) <= NEAR:
            out.append(f"{where}: training ended at p = {row.p}, the closed form is {row.p_closed_form}")
    earned = t["fork"].pivot(index="k", columns="objective", values="return")
    more = (earned["full_kl"] - earned["local"]).to_numpy()
    if not ((more > 0).all() and (np.diff(more) > 0).all()):
        out.append(f"claim 10a: looking ahead does not earn more, the longer the branch: {more}")
    last = t["trap"].groupby(["start", "objective"]).last()
    for (start, objective), row in last.iterrows():
        if not abs(row["long"] - row["limit"]) <= 1e-3:
            out.append(f"claim 10c: from the {start}, {objective} ends at {row['long']}, not at {row['limit']}")
        if objective == "full_kl" and start == "expert" and not abs(row["long"] - 0.6) <= NEAR:
            out.append("claim 10c: full KL leaves the expert")
    for objective, row in t["length"].groupby("objective").last().iterrows():
        if not abs(row["length"] - row["length_limit"]) <= 0.02 * row["length_limit"]:
            out.append(f"claim 10c: {objective} ends at length {row['length']}, not at {row['length_limit']}")
    return out


def _violated_steps(t: Tables) -> list[str]:
    out = []
    wrong = t["signs"][t["signs"]["sign"] != t["signs"]["expected"]]
    out += [f"{x.instance}, {x.objective}: the sign is {x.sign}, not {x.expected}" for x in wrong.itertuples()]
    counts = t["bound_counts"]
    failed = counts[(counts["objective"] != "cross_entropy") & (counts["below_bound"] > 0)]
    out += [f"claim 18: {x.below_bound} of {x.n} rates of {x.objective} below the bound" for x in failed.itertuples()]
    for x in t["leak_rates"].itertuples():
        if not x.worst_excess <= 1e-9:
            out.append(f"claim 17: the error exceeds the bound by {x.worst_excess:.1e} at share {x.share}")
        if x.share == 0 and x.value > 0:
            out.append(f"claim 17: a compatible class ({x[1]}) lowers the return")
    hints = t["hints"].groupby(["instance", "divergence"], sort=False).first().reset_index()
    for x in hints[hints["promised_rate"].notna()].itertuples():
        if not x.rate >= x.promised_rate - 1e-12:
            out.append(f"claim 19: {x.instance}, {x.divergence}: rate {x.rate}, promised {x.promised_rate}")
    return out


def _violated_frontier(table: pd.DataFrame) -> list[str]:
    out = []
    for x in table.itertuples():
        where = f"claim 15: {x.problem}, {x.estimator}, clip {x.clip}"
        if x.estimator == "weighted" and not (abs(x.bias + x.lost) <= 1e-9 and abs(x.bias) <= x.bias_bound + 1e-9):
            out.append(f"{where}: bias {x.bias}, said to be {-x.lost}, at most {x.bias_bound}")
        if x.clip == frontier.INFINITE and not abs(x.bias) <= 1e-9:
            out.append(f"{where}: bias {x.bias} without a clip")
        for what, error, unit in (
            ("rate", x.drawn_rate - x.rate, x.rate_error),
            ("variance", x.drawn_deviation**2 - x.deviation**2, x.variance_error),
        ):
            if not abs(error) <= frontier.LARGEST_Z * unit + 1e-9:
                out.append(f"{where}: the drawn {what} is off by {error}, its standard error is {unit}")
    return out


def summary(t: Tables) -> Table:
    """What was found, in words."""
    table = Table(title="Does it pay to look ahead?", show_lines=True)
    for heading in ("claim", "question", "found", "panel"):
        table.add_column(heading, no_wrap=heading in ("claim", "panel"))
    fork = t["fork"].pivot(index="k", columns="objective", values="return")
    k = fork.index.max()
    low, high = fork.loc[k, "local"], fork.loc[k, "full_kl"]
    table.add_row("10a", f"{k} tokens that the student can only guess",
                  f"[green]it pays[/]: training ends at {high:.2f} instead of {low:.2f} (expert 0.99, best blind 0.90); "
                  "weights and cross-entropy-to-go do not help", "a, b")  # fmt: skip
    signs = t["signs"].pivot(index="instance", columns="objective", values="sign")
    hurts = int(((signs["local"] == "+") & (signs["full_kl"] == "-")).sum())
    traps = int(((signs["full_kl"] == "+") & (signs["full_ce"] == "-")).sum())
    table.add_row("10b, 18, 19", "harmless disagreement, chance, early rewards",
                  f"[red]it hurts[/]: on {hurts} instances the local step raises the return and the full one lowers it; "
                  f"on {traps} only cross-entropy-to-go lowers it", "c, d")  # fmt: skip
    sums = t["bound_counts"].groupby("objective")[["n", "below_bound", "below_zero"]].sum()
    safe = sums.drop(index="cross_entropy").sum()
    table.add_row("18", "truthful feedback, no chance, paid at the end",
                  f"[green]it is safe[/] with any divergence: {safe['below_bound']} of {safe['n']:,} rates below the bound; "
                  f"with cross-entropy {sums.loc['cross_entropy', 'below_zero']:,} of "
                  f"{sums.loc['cross_entropy', 'n']:,} lower the return", "e")  # fmt: skip
    last = t["length"].groupby("objective")["length"]
    table.add_row("10c", "the expert is undecided at every token",
                  f"cross-entropy-to-go [red]shortens answers[/] from {last.first()['full_ce']:.0f} to "
                  f"{last.last()['full_ce']:.1f} tokens; KL-to-go dips to {last.min()['full_kl']:.1f} and ends at "
                  f"{last.last()['full_kl']:.1f}", "f, g")  # fmt: skip
    leak = t["leak_rates"].set_index(["class", "share"])["value"]
    table.add_row("17", "a tenth of the advantage hidden from the student",
                  f"the weighted step lowers the return of {leak['hidden state', 0.1]:.0%} of students with a better "
                  "expert; none if it can express the advantage", "h")  # fmt: skip
    table.add_row("19", "a hint that only the teacher reads",
                  "safe if it excludes no right answer, at least as fast as promised; not if one of several is shown", "i")  # fmt: skip
    cross = t["crossings"][t["crossings"]["against"] == "local"].set_index("problem")["rollouts"]
    table.add_row("15", "unclipped path weights against the local gradient",
                  "; ".join(f"{name.replace('_', ' ')}: better from {n:,.0f} rollouts on" for name, n in cross.items()),
                  "j")  # fmt: skip
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment: tables, pictures, verdicts; exit status 1 if a claim is contradicted."""
    args = harness.command_line("future_credit", (__doc__ or "").splitlines()[0], argv)
    tables = compute(args)
    saved = {name: harness.save_table(x, args.out / f"future_credit_{name}.csv") for name, x in tables.items()}
    pictures = future_credit_plots.draw(saved, args.out)
    told = {"steps": STEPS, "tolerance": training.TOLERANCE, "eta": [training.FORK_ETA, training.TRAP_ETA,
            training.LENGTH_ETA], "clips": [str(c) for c in frontier.CLIPS], "shares": steps.SHARES,
            "garnet": frontier.GARNET, "block": BLOCK}  # fmt: skip
    files = [f"future_credit_{name}.csv" for name in tables] + pictures
    harness.save_manifest(args.out / "future_credit.json", args, files, told)
    console.print(summary(saved))
    console.print(f"Tables and pictures: {args.out}/future_credit*")
    harness.finish(violated(saved))


if __name__ == "__main__":
    main()
