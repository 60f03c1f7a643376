r"""Which distillation objective can lower the reward although the expert is better?

    python -m experiments.monotonicity [--quick] [--seed N] [--seeds N] [--out DIR] [--jobs N] [--fresh]

Five panels, each drawn from its own table:

(a) `monotonicity_simplex.csv`: every expert on a lattice of the simplex, for the uniform student and reward (1, 1,
0): is the expert
    better, and does a small natural step of each objective raise or lower the reward? Signs near zero are decided in
    ball arithmetic. The teaching instance of claim 5 and the direction of every update are marked.
(b) `monotonicity_returns.csv`: the exact return against the step size on the instances of claims 5 and 6 (a: plain
    gradient, b: one free logit, c: hidden state), with the tangent of claim 1 and, where it applies, the lower bound
    and the safe step of claim 7b.
(c) `monotonicity.csv`: how often a small step fails on random bandits, by number of actions and geometry (claims 2, 4
    and 5).
(d) `monotonicity_steps.csv`: how often a natural step fails, by step size; each objective of the skewed Jensen-Shannon
    family has exactly one safe step (claim 7d): forward KL 0, reverse KL 1, Jensen-Shannon 2; the others have none.
(e) `monotonicity_worst_case.csv`: the largest loss of a small natural step against the gap `J* - J` (claim 14), and the
    loss of the bandit that attains it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.table import Table

from distil_theory import Bandit, instances, objectives, prevalence, solve, updates, worst_case
from distil_theory import number_systems as ns
from distil_theory.divergences import BY_NAME, CATALOGUE
from distil_theory.instances import Instance
from distil_theory.point import GEOMETRIES
from experiments import harness, monotonicity_plots
from experiments.harness import console

ACTIONS = (2, 3, 4, 8, 16)
BLOCK = 100_000
STEP_ACTIONS = 4
STEP_DIVERGENCES = ("forward_kl", "reverse_kl", "jensen_shannon", "hellinger", "pearson_chi2")
SAFE_STEPS = {"forward_kl": 0.0, "reverse_kl": 1.0, "jensen_shannon": 2.0}
RANGE = (0.1, 4.0)
"""Panel (e): ratios expert/student."""
ONE_LOGIT = np.array([[[1.0, 0.0, 0.0]]])
"""Claim 6b: a student whose only parameter is the logit of the first action."""
ETAS = tuple(np.linspace(0, 3, 31).round(3))
DRAWN = ("forward_kl", "reverse_kl", "jensen_shannon", "hellinger", "pearson_chi2")
FAMILY = [
    (name, geometry) for geometry in ("natural", "euclidean") for name in BY_NAME
]  # the proximal step has the first-order change of the natural one


def count_small(family: list, actions: int, n: int, seed: int, block: int) -> list[int]:
    """Failures of a small step of every (divergence, geometry) of the family among `n` random bandits."""
    steps = [prevalence.small_step(name, geometry) for name, geometry in family]
    return prevalence.count_failures(steps, prevalence.draws(actions, n, seed, block)).tolist()


def count_steps(steps: list, actions: int, n: int, seed: int, block: int) -> list[int]:
    """Failures of a natural step of every (divergence, eta) among `n` random bandits; `eta = 0` is the small step."""
    sized = [
        prevalence.natural_step(name, eta) if eta else prevalence.small_step(name, "natural") for name, eta in steps
    ]
    return prevalence.count_failures(sized, prevalence.draws(actions, n, seed, block)).tolist()


def simplex(lattice: int) -> pd.DataFrame:
    """Panel (a): signs of the gap and of every objective's rate at the interior points `(i, j, k)/lattice`."""
    i, j = (x.ravel() for x in np.meshgrid(range(1, lattice), range(1, lattice), indexing="ij"))
    inside = i + j < lattice
    points = np.stack([i[inside], j[inside], lattice - i[inside] - j[inside]])
    student = np.full(points.shape, 1 / 3)
    reward = np.array([[1.0], [1.0], [0.0]]) + 0 * student
    floats = prevalence.Bandits(reward, student, points / lattice)
    exact = prevalence.Bandits(reward, np.ones(points.shape), points)
    better = np.sign(lattice - 3 * points[2])  # J* - J = (1 - k/n) - 2/3, in whole numbers
    table = {f"expert_{a + 1}": points[a] / lattice for a in range(3)} | {"gap_sign": better}
    for name in DRAWN:
        table[name] = prevalence.signs(prevalence.small_step(name, "natural"), floats, exact)
    return pd.DataFrame(table)


def return_curves(
    instance: Instance, geometry: str, claim: str, etas: np.ndarray, features: Sequence[np.ndarray] = ()
) -> pd.DataFrame:
    """Panel (b): return and tangent of every drawn objective at every step size; claim 7b's bound where it holds."""
    mdp, student, expert = (x for x in instance.convert("float64")[1:4])
    j = float(solve.expected_return(mdp, student))
    rows = []
    for name in DRAWN:
        velocity = updates.direction(mdp, student, expert, BY_NAME[name], geometry)
        if features:
            velocity = updates.project(mdp, student, velocity, features)
        rate = float(updates.first_order_change(mdp, student, velocity))
        returns = solve.expected_return(mdp, updates.exponential_step(mdp, student, velocity, etas))
        rows.append(pd.DataFrame({"divergence": name, "eta": etas, "return": returns, "tangent": j + etas * rate}))
    if not features:  # the mixture of student and expert lies outside a restricted class
        mixture = updates.proximal_step(mdp, student, expert, BY_NAME["forward_kl"], etas[1:])
        mixed = {"eta": etas, "return": np.append(j, solve.expected_return(mdp, mixture)), "tangent": np.nan}
        rows.append(pd.DataFrame({"divergence": "forward_kl_proximal"} | mixed))
    table = pd.concat(rows, ignore_index=True)
    table.insert(0, "instance", instance.name)
    table.insert(1, "claim", claim)
    table.insert(2, "geometry", geometry + ("_restricted" if features else ""))
    table["bound"] = np.nan
    if geometry == "natural" and not mdp.aliased and not features:
        curvature, gap = curvature_7b(instance), float(instance.convert("float64").gap)
        forward = table["divergence"] == "forward_kl"
        table.loc[forward, "bound"] = j + etas * gap - etas**2 * curvature
    return table


def curvature_7b(instance: Instance) -> float:
    """`U^2 R / (12 sqrt 3)` of claim 7b; `J(pi_eta) >= J` is certain up to `eta = gap / curvature`."""
    _, mdp, student, expert, _ = instance.convert("float64")
    u, r = (expert / student)[0, 0], mdp.reward[0, 0]
    return float(np.ptp(u) ** 2 * np.ptp(r) / (12 * np.sqrt(3)))


def safe_step(instance: Instance) -> float:
    """The largest step size that claim 7b certifies for forward KL."""
    return float(instance.convert("float64").gap) / curvature_7b(instance)


def worst_cases() -> pd.DataFrame:
    """Panel (e): claim 14's curve, normalised to `f''(1) = 1`, and the rate of the bandit that should attain it."""
    gaps = np.linspace(0, worst_case.largest_gap(*RANGE), 42)[1:]
    rows = []
    for name in DRAWN:
        divergence = BY_NAME[name]
        curve = worst_case.Curve(divergence, *RANGE)
        for gap, loss in zip(gaps, curve.loss(gaps), strict=True):
            worst = curve.worst(gap)
            pi, star = worst.student[None, None], worst.expert[None, None]
            rate = objectives.improvement_rate(Bandit(worst.reward), pi, star, divergence)
            rows.append([name, *RANGE, gap, loss / divergence.unit, -float(rate) / divergence.unit])
    return pd.DataFrame(rows, columns=["divergence", "low", "high", "gap", "worst_loss", "attained"])


def failure_rates(args: argparse.Namespace, n: int) -> pd.DataFrame:
    """Panel (c), with Wilson intervals."""
    tasks = [(FAMILY, a, *task) for a in ACTIONS for task in _blocks(args, n)]
    counts = harness.run_tasks(count_small, tasks, args, "small steps on random bandits")
    totals = {a: np.zeros(len(FAMILY), dtype=int) for a in ACTIONS}
    for (_, actions, *_), count in zip(tasks, counts, strict=True):
        totals[actions] += count
    rows = []
    for actions in ACTIONS:
        found = dict(zip(FAMILY, totals[actions], strict=True))
        for geometry in GEOMETRIES:
            for name in BY_NAME:
                count = int(found[name, "natural" if geometry == "proximal" else geometry])
                rows.append(["failure_rate", actions, geometry, name, *_proportion(count, n * args.seeds)])
    columns = ["quantity", "actions", "geometry", "divergence", "value", "lower", "upper", "n"]
    return pd.DataFrame(rows, columns=columns)


def step_failure_rates(args: argparse.Namespace, n: int) -> pd.DataFrame:
    """Panel (d), with Wilson intervals."""
    keys = [(name, float(eta)) for name in STEP_DIVERGENCES for eta in ETAS]
    tasks = [(keys, STEP_ACTIONS, *task) for task in _blocks(args, n)]
    counts = np.sum(harness.run_tasks(count_steps, tasks, args, "natural steps of every size"), axis=0)
    rows = [
        ["step_failure_rate", STEP_ACTIONS, name, eta, *_proportion(int(k), n * args.seeds)]
        for (name, eta), k in zip(keys, counts, strict=True)
    ]
    return pd.DataFrame(rows, columns=["quantity", "actions", "divergence", "eta", "value", "lower", "upper", "n"])


def _blocks(args: argparse.Namespace, n: int) -> list[tuple[int, int, int]]:
    return [(BLOCK, seed, b) for seed in range(args.seed, args.seed + args.seeds) for b in range(n // BLOCK)]


def _proportion(count: int, n: int) -> tuple[float, float, float, int]:
    return count / n, *prevalence.wilson(count, n), n


def verdicts() -> tuple[Table, list[str]]:
    """The teaching instance in words, every sign rigorous: balls of 256 bits, also where logarithms appear."""
    exact = instances.teaching_bandit()
    table = Table(title="Answers 1, 2 right, 3 wrong; student 1/3 each, expert (1, 66, 33)/100")
    table.caption = (
        f"The expert is better: J* - J = {exact.gap}. Small natural steps, signs certified.\n"
        "Where dpi(3) > 0 the objective raises the probability of the worse action."
    )
    table.add_column("objective")
    for heading in ("dJ/deta", "dpi(1)", "dpi(2)", "dpi(3)"):
        table.add_column(heading, justify="right")
    table.add_column("the reward")
    violations = []
    with ns.precision(prevalence.BITS):
        mdp, student, expert = exact.convert("ball")[1:4]
        for divergence in CATALOGUE:
            rate = objectives.improvement_rate(mdp, student, expert, divergence)
            motion = (student * updates.direction(mdp, student, expert, divergence))[0, 0]
            raises = bool(rate > 0)
            if not raises and not rate < 0:
                violations.append(f"the sign of dJ/deta of {divergence.name} is not certified: {rate}")
            verdict = "[green]raises it[/]" if raises else "[red]LOWERS it[/]"
            numbers = [f"{float(x):+.4f}" for x in (rate, *motion)]
            if motion[2] > 0:
                numbers[-1] = f"[red]{numbers[-1]}[/]"  # the worse action gains
            table.add_row(harness.plain(divergence.name), *numbers, verdict)
            if divergence.name == "forward_kl" and not raises:
                violations.append("claim 2: forward KL lowers the reward of the teaching instance")
            if divergence.name in ("reverse_kl", "jensen_shannon", "hellinger") and raises:
                violations.append(f"claim 5: {divergence.name} does not lower the reward of the teaching instance")
    return table, violations


def violated(rates: pd.DataFrame, steps: pd.DataFrame) -> list[str]:
    """Which rows contradict a theorem."""
    out = []
    failing = rates[rates["value"] > 0]
    for row in failing.itertuples():
        if row.divergence == "forward_kl" and row.geometry != "euclidean":
            out.append(f"claim 2: a small {row.geometry} step of forward KL failed ({row.actions} actions)")
        if row.actions == 2:
            out.append(f"claim 4: {row.divergence}, {row.geometry}, failed with two actions")
    for name, eta in SAFE_STEPS.items():
        row = steps[(steps["divergence"] == name) & (steps["eta"] == eta)]
        if len(row) != 1 or row["value"].item() > 0:
            out.append(f"claim 7d: {name} fails at its safe step {eta}")
    return out


PROOF = r"""[bold]Why[/] (claim 1). A small natural step moves pi(a) at the rate
pi(a) (h(u_a) - E h(u)), u = expert/student: the reward changes at the rate
Cov_pi(r, h(u)). Forward KL has h(u) = u, and Cov_pi(r, u) = J* - J > 0, always
(claim 2). Any other shape bends the ratios: reverse KL has h(u) = log u, and
log(3/100) = -3.5 of the abandoned right answer outweighs the +0.7 of the other
one, so the wrong answer gains. That takes three actions; two are always safe
(claims 3 and 4).
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment: tables, pictures, verdicts; exit status 1 if a theorem is contradicted."""
    args = harness.command_line("monotonicity", (__doc__ or "").splitlines()[0], argv)
    n = 100_000 if args.quick else 1_000_000
    table, violations = verdicts()
    console.print(table)
    console.print(PROOF, highlight=False)
    curves = [
        return_curves(
            instances.teaching_bandit(),
            "natural",
            "claim 5",
            np.unique(np.append(np.linspace(0, 2.5, 126), safe_step(instances.teaching_bandit()))),
        ),
        return_curves(instances.euclidean_bandit(), "euclidean", "claim 6a", np.linspace(0, 10, 126)),
        return_curves(instances.teaching_bandit(), "natural", "claim 6b", np.linspace(0, 2.5, 126), [ONE_LOGIT]),
        return_curves(instances.aliased_contexts(), "natural", "claim 6c", np.linspace(0, 2.5, 126)),
    ]
    panels = {
        "monotonicity_simplex": simplex(60 if args.quick else 150),
        "monotonicity_returns": pd.concat(curves, ignore_index=True),
        "monotonicity_worst_case": worst_cases(),
        "monotonicity": failure_rates(args, n),
        "monotonicity_steps": step_failure_rates(args, n),
    }
    saved = {name: harness.save_table(panel, args.out / f"{name}.csv") for name, panel in panels.items()}
    pictures = monotonicity_plots.draw(saved, args.out)
    settings = {"draws": n, "block": BLOCK, "chunk": prevalence.CHUNK, "actions": ACTIONS, "step_actions": STEP_ACTIONS}
    files = [f"{name}.csv" for name in panels] + pictures
    harness.save_manifest(args.out / "monotonicity.json", args, files, settings)
    console.print(_prevalence_table(saved["monotonicity"]))
    console.print(f"Tables and pictures: {args.out}/monotonicity*")
    harness.finish(violations + violated(saved["monotonicity"], saved["monotonicity_steps"]))


def _prevalence_table(rates: pd.DataFrame) -> Table:
    table = Table(title="How often a small step lowers the reward although the expert is better (random bandits)")
    for heading in ("objective", "geometry", *(f"A={a}" for a in ACTIONS)):
        table.add_column(heading, justify="left" if heading in ("objective", "geometry") else "right")
    drawn = rates[rates["divergence"].isin(DRAWN) & (rates["geometry"] != "proximal")]
    for (name, geometry), group in drawn.groupby(["divergence", "geometry"], sort=False):
        cells = [f"{value:.2%}" if value else "never" for value in group.sort_values("actions")["value"]]
        table.add_row(harness.plain(name), geometry, *cells)
    return table


if __name__ == "__main__":
    main()
