r"""How much of the best direction do objectives take, and with how much noise? (THEORY claim 21)

    python -m experiments.efficiency [--quick] [--seed N] [--seeds N] [--out DIR] [--jobs N] [--fresh]

Prompts are answered by three tokens of three kinds, some answers are right, the teacher is the student conditioned on
success: claim 9's truthful self-teacher. Everything is exact, no rollout is drawn. Three panels, each from its table:

(a) `efficiency_curve.csv`: what local forward cross-entropy takes of the natural policy gradient, against the range of
    success, `m/M`, where the student's choice matters; with claim 21c's bound, and prompts that attain it.
(b) `efficiency_divergences.csv`: the same by objective, where one action decides (prompts of whole answers) and where
    three do (quantiles over the problems).
(c) `efficiency_variance.csv`: the variance of the policy gradient from one rollout: REINFORCE, with a baseline,
    distilling on successes, and the teacher weighted by `V` (claim 21b), in units of REINFORCE.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table

from distil_theory import efficiency, experts, objectives, solve
from distil_theory.algorithms import groups
from distil_theory.claims.rare_success import bound, checks, prompts
from distil_theory.divergences import BY_NAME, FORWARD_KL
from distil_theory.number_systems import Array
from distil_theory.spec import Bandit, TabularMDP
from experiments import efficiency_plots, harness
from experiments.efficiency_plots import ESTIMATORS, OBJECTIVES

PROMPTS, TOKENS, KINDS = 4, 3, 3
TRUST = 0.9
"""In the teacher, of divergences that cannot bear a zero."""
GROUP = 8
"""Rollouts of a prompt that GRPO compares."""
ROUNDING = 1e-9
AHEAD = ("jensen_shannon", "hellinger", "total_variation", "reverse_kl")


def token_problems(rng: np.random.Generator, n: int) -> tuple[TabularMDP, np.ndarray]:
    """`n` sets of prompts answered token by token, and their students.

    Of each prompt's answers between one and all but one are right, few more often than many.
    """
    width, answers = KINDS ** (TOKENS - 1), KINDS**TOKENS
    states = PROMPTS * width
    go = np.zeros((TOKENS, states, KINDS, states))
    for s, a in np.ndindex(states, KINDS):
        prompt, prefix = divmod(s, width)
        go[:, s, a, prompt * width + (prefix * KINDS + a) % width] = 1
    right = np.ceil((answers - 1) ** rng.random((PROMPTS, 1, n)))
    order = rng.random((PROMPTS, answers, n)).argsort(axis=1).argsort(axis=1)
    reward = np.zeros((TOKENS, states, KINDS, n))
    reward[-1] = (order < right).reshape(states, KINDS, n)
    start = np.zeros((states, n))
    start[::width] = 1 / PROMPTS
    student = np.moveaxis(rng.dirichlet(np.ones(KINDS), (TOKENS, states, n)), -1, 2)
    return TabularMDP(np.broadcast_to(go[..., None], (*go.shape, n)), reward, start, batch_ndim=1), student


def answer_problems(rng: np.random.Generator, n: int) -> tuple[TabularMDP, np.ndarray]:
    """`n` sets of prompts answered by single actions, of which the first is right; success from 1/1000 to nearly 1."""
    success = 10 ** rng.uniform(-3, -0.01, (PROMPTS, n))
    reward = np.stack([success * 0 + 1, success * 0], axis=1)
    start = np.full((PROMPTS, n), 1 / PROMPTS)
    return Bandit(reward, start, batch_ndim=1), np.stack([success, 1 - success], axis=1)[None]


def curve(mdp: TabularMDP, student: Array, setting: str) -> pd.DataFrame:
    """Panel (a): `e` and the bound of each problem."""
    exact, _, least = checks(mdp, student)
    ratio = (2 - least - 2 * np.sqrt(1 - least)) / least  # m/M, from 4 (m/M) / (1 + m/M)^2
    return pd.DataFrame({"setting": setting, "ratio": ratio, "efficiency": np.sqrt(exact), "bound": np.sqrt(least)})


def touching(ratios: Sequence[float]) -> pd.DataFrame:
    """Two prompts, the better one of success 1/2, that attain the bound."""
    rows = []
    for ratio in ratios:
        mdp, pi = prompts(*np.array([ratio / 2, 1 / 2]))
        found = efficiency.of_objective(mdp, pi, experts.success_conditioned(mdp, pi), FORWARD_KL).value
        rows.append(("two prompts", ratio, float(found), float(np.sqrt(bound(ratio, 1.0)))))
    return pd.DataFrame(rows, columns=["setting", "ratio", "efficiency", "bound"])


def group_normalised(mdp: TabularMDP, student: Array, group: int) -> Array:
    """The natural direction of GRPO's expectation, answers being right or wrong: a right one earns more, by prompt."""
    success = solve.values(mdp, student)[0][0, :: mdp.shape[1] // PROMPTS]
    plus, minus = groups.advantages(np.array([0.0, 1.0]), np.stack([1 - success, success]), group)
    worth = np.repeat(plus[1] - minus[0], mdp.shape[1] // PROMPTS, axis=0)
    paid = TabularMDP(mdp.transition, mdp.reward * worth[:, None], mdp.initial, batch_ndim=1)
    return efficiency.natural_policy_gradient(paid, student)


def of(name: str, mdp: TabularMDP, student: Array, star: Array) -> Array:
    """The efficiency of one of `OBJECTIVES`."""
    if name in ("value_weighted", "prefix_weighted"):
        v = solve.values(mdp, student)[0]
        weight = v if name == "value_weighted" else objectives.occupancy_ratio(mdp, student, star)
        return efficiency.of_objective(mdp, student, star, FORWARD_KL, weight=weight).value
    if name == "plain_policy_gradient":
        return efficiency.of_direction(mdp, student, objectives.return_gradient(mdp, student)).value
    if name == "grpo":
        return efficiency.of_direction(mdp, student, group_normalised(mdp, student, GROUP)).value
    divergence = BY_NAME[name]
    if divergence.needs_expert_support:
        star = TRUST * star + (1 - TRUST) * student
    return efficiency.of_objective(mdp, student, star, divergence).value


def by_objective(problems: dict[str, tuple[TabularMDP, Array]]) -> tuple[pd.DataFrame, list[str]]:
    """Panel (b): quantiles; and what contradicts claims 21, 21b or 21d, problem by problem."""
    rows, wrong = [], []
    for setting, (mdp, student) in problems.items():
        star = experts.success_conditioned(mdp, student)
        found = {name: of(name, mdp, student, star) for name in OBJECTIVES}
        for name, e in found.items():
            quantiles = np.quantile(e, (0.05, 0.25, 0.5, 0.75, 0.95))
            rows.append((setting, name, len(e), *quantiles, e.min()))
            if e.max() > 1 + ROUNDING:
                wrong.append(f"claim 21: {name} takes more than the best, {e.max()}, {setting}")
        if abs(found["value_weighted"] - 1).max() > ROUNDING:
            wrong.append(f"claim 21b: weighted by V the teacher is not the policy gradient, {setting}")
        ahead = [name for name in AHEAD if (found[name] < found["forward_kl"] - ROUNDING).any()]
        if setting == "one action" and (ahead or (found["pearson_chi2"] > found["forward_kl"] + ROUNDING).any()):
            wrong.append(f"claim 21d: behind forward KL {ahead}, or Pearson ahead")
    names = ["setting", "objective", "n", "q05", "q25", "median", "q75", "q95", "least"]
    return pd.DataFrame(rows, columns=names), wrong


def variances(mdp: TabularMDP, student: Array) -> dict[str, Array]:
    """Trace of the covariance in each step, `(H,n)`, of the estimates of claim 21b from one rollout."""
    v, q = solve.values(mdp, student)
    d, star = solve.occupancy(mdp, student), experts.success_conditioned(mdp, student)
    flow = d[:, :, None] * student
    noise = 1 - 2 * student + (student**2).sum(axis=2)[:, :, None]  # |1_a - pi|^2
    taught = ((star - student) ** 2).sum(axis=2)
    mean = d**2 * ((student * (q - v[:, :, None])) ** 2).sum(axis=2)
    v_a = v[:, :, None]
    squares = {
        "reinforce": (flow * q * noise).sum(axis=2),
        "baseline": (flow * (q * (1 - v_a) ** 2 + (1 - q) * v_a**2) * noise).sum(axis=2),
        "successes": d * v * taught,
        "value_weighted": d * v**2 * taught,
    }
    return {name: (square - mean).sum(axis=1) for name, square in squares.items()}


def variance(mdp: TabularMDP, student: Array) -> tuple[pd.DataFrame, list[str]]:
    """Panel (c): sums over the steps; and what contradicts claim 21b in a single step."""
    found, wrong = variances(mdp, student), []
    for low, high in (("value_weighted", "successes"), ("successes", "reinforce"), ("value_weighted", "baseline")):
        if (found[low] > found[high] * (1 + ROUNDING)).any():
            wrong.append(f"claim 21b: {low} is noisier than {high}")
    whole = found["reinforce"].sum(axis=0)
    table = pd.DataFrame({name: found[name].sum(axis=0) / whole for name in ESTIMATORS if name != "reinforce"})
    table.insert(0, "success", solve.expected_return(mdp, student))
    return table.melt("success", var_name="estimator", value_name="ratio"), wrong


def violated(tables: harness.Tables) -> list[str]:
    """What contradicts claim 21c, of the saved tables."""
    table = tables["curve"]
    out = harness.empty(tables)
    below = table[table["efficiency"] < table["bound"] - ROUNDING]
    out += [f"claim 21c: {row._asdict()} lies below the bound" for row in below.itertuples(index=False)]
    met = table[table["setting"] == "two prompts"]
    if (abs(met["efficiency"] - met["bound"]) > ROUNDING).any():
        out.append("claim 21c: two prompts do not attain the bound")
    return out


def summary(tables: harness.Tables) -> Table:
    """Medians by objective, and of the variances."""
    table, noise = tables["divergences"], tables["variance"].groupby("estimator", sort=False)["ratio"].median()
    out = Table(title="Share of the best direction: median (least) over the problems")
    for heading in ("objective", *table["setting"].unique()):
        out.add_column(heading)
    for name, group in table.groupby("objective", sort=False):
        out.add_row(OBJECTIVES[str(name)][0], *(f"{x.median:.2f} ({x.least:.2f})" for x in group.itertuples()))
    for name, ratio in noise.items():
        out.add_row(f"variance: {ESTIMATORS[str(name)][0]}", "", f"{ratio:.3f} of REINFORCE")
    return out


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment: tables, pictures, verdicts; exit status 1 if a claim is contradicted."""
    args = harness.command_line("efficiency", (__doc__ or "").splitlines()[0], argv)
    n, rng = (200 if args.quick else 1000) * args.seeds, np.random.default_rng([args.seed, 21])
    problems: dict[str, Any] = {"one action": answer_problems(rng, n), "three tokens": token_problems(rng, n)}
    shown, wrong = by_objective(problems)
    noise, noisier = variance(*problems["three tokens"])
    curves = [curve(mdp, student, setting) for setting, (mdp, student) in problems.items()]
    tables = {
        "curve": pd.concat([*curves, touching((0.001, 0.01, 0.1, 0.5, 1.0))], ignore_index=True),
        "divergences": shown,
        "variance": noise,
    }
    told = {"prompts": PROMPTS, "tokens": TOKENS, "kinds": KINDS, "trust": TRUST, "group": GROUP, "problems": n}

    def verdicts(saved: harness.Tables) -> list[str]:
        return [*violated(saved), *wrong, *noisier]

    harness.conclude("efficiency", args, tables, efficiency_plots.draw, told, summary, verdicts)


if __name__ == "__main__":
    main()
