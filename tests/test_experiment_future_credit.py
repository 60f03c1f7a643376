"""`python -m experiments.future_credit` as a user runs it: tables against values found another way, verdicts."""

import argparse
import json
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

from distil_theory import instances, solve, trajectories, updates
from distil_theory.claims.named_instances import VALUES
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL
from distil_theory.instances.token_sum import token_sum
from distil_theory.spec import TabularMDP
from experiments import harness
from experiments.future_credit import __main__ as command
from experiments.future_credit import answers, frontier, random_problems, steps, training, verdicts
from tests.quick import quick_run

TABLES = ("fork", "learning", "steps", "signs", "bound", "bound_counts", "trap", "length", "length_limits", "leak",
          "leak_rates", "hints", "frontier", "errors", "crossings")  # fmt: skip
LOG2 = np.log(2)
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # the quick run may share its processor


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("future_credit")
    return (
        out,
        quick_run("future_credit", out),
        {name: pd.read_csv(out / f"future_credit_{name}.csv") for name in TABLES},
    )


def test_every_file_of_the_manifest_is_there_and_the_verdicts_are_told(finished):
    out, printed, tables = finished
    manifest = json.loads((out / "future_credit.json").read_text())
    assert {f"future_credit_{name}.csv" for name in TABLES} <= set(manifest["files"])
    assert len([name for name in manifest["files"] if name.endswith(".png")]) == 11
    for name in manifest["files"]:
        assert (out / name).stat().st_size > 100, name
    assert not list((out / harness.CACHE).glob(f"{harness.UNFINISHED}*"))
    for words in ("it pays", "it hurts", "it is safe", "shortens answers", "0.80 instead", "0 of 48,000"):
        assert words in printed
    assert "violated" not in printed
    assert verdicts.violated(tables) == []


def test_the_fork_ends_where_a_quadratic_says(finished):
    table = finished[2]["fork"]
    assert set(table["k"]) == set(command.QUICK_TOKENS)
    for row in table.itertuples():
        c, q = row.k * LOG2, 0.9
        root = ((1 + c) - np.sqrt((1 + c) ** 2 - 4 * c * q)) / (2 * c) if row.objective == "full_kl" else q
        assert row.p == pytest.approx(root, abs=1e-8)
        assert row.p_closed_form == pytest.approx(root, abs=1e-11)
        assert row._5 == pytest.approx(root / 2**row.k + (1 - root) * 0.9, abs=1e-8)  # the column `return`
        assert row.guess == pytest.approx(0.5, abs=1e-6)  # it started at 0.7
        assert 0 < row.residual < 1e-10
        assert (row.return_expert, row.return_blind) == pytest.approx((0.99, 0.9))
    ends = table.pivot(index="k", columns="objective", values="return")
    assert ends.loc[12, "full_kl"] > 0.8 > 0.1 > ends.loc[12, "local"]


def test_learning_curves_start_alike_and_end_at_the_closed_form(finished):
    table = finished[2]["learning"]
    for (k, objective), group in table.groupby(["k", "objective"]):
        assert group["step"].tolist() == list(range(command.STEPS["learning"] + 1))
        p, earned = group[["p", "return"]].to_numpy().T
        assert p[0] == 0.5
        np.testing.assert_allclose(earned, p / 2**k + (1 - p) * 0.9, rtol=1e-10)
        assert earned[-1] == pytest.approx(group["limit"].iloc[0], abs=5e-3)
        if objective in ("local", "weighted"):  # the odds of L grow by exp(eta (q/p - (1-q)/(1-p)))
            odds = p / (1 - p)
            step = np.exp(training.FORK_ETA * (0.9 / p - 0.1 / (1 - p)))
            np.testing.assert_allclose(odds[1:], (odds * step)[:-1], rtol=1e-8)


def test_steps_by_hand_and_their_tangents(finished):
    table = finished[2]["steps"]
    rate = table.groupby(["instance", "objective"])["rate"].first()
    behind = {"full_kl": 0.8 * np.log(9), "full_ce": -0.9 * np.log(0.1) - 0.1 * np.log(0.9) - LOG2}
    for objective, charge in behind.items():
        assert rate["spurious_disagreement", objective] == pytest.approx(0.1 - charge / 4)
    assert rate["spurious_disagreement", "local"] == pytest.approx(0.1)
    short = -0.99 * np.log(0.99) - 0.01 * np.log(0.01)
    # Q is 1 after `left` and 9/10 after `right`, the teacher (10, 9)/19: Cov(Q, u - Q^c)
    assert rate["entropy_ahead", "full_ce"] == pytest.approx(0.1 * 0.25 * (2 / 19 - (LOG2 - short)))
    for (instance, objective), group in table.groupby(["instance", "objective"]):
        eta, curve, tangent = group[["eta", "return", "tangent"]].to_numpy().T
        assert tangent[0] == curve[0], instance
        slope = (-3 * curve[0] + 4 * curve[1] - curve[2]) / (2 * eta[1])
        assert slope == pytest.approx(group["rate"].iloc[0], rel=0.02, abs=2e-4), (instance, objective)


def test_the_matrix_agrees_with_the_values_in_lowest_terms(finished):
    table = finished[2]["signs"]
    assert len(table) == 4 * len(steps.MATRIX)
    assert set(table["sign"]) == {"+", "-"}
    assert (np.sign(table["rate"]) == table["sign"].map({"+": 1, "-": -1})).all()
    for row in table[table["objective"] == "local"].itertuples():
        own, better, rate = map(Fraction, VALUES[row.instance].split())
        assert row.rate == pytest.approx(float(rate), rel=1e-9)
        assert row.gap == pytest.approx(float(better - own), rel=1e-9)
    unaliased = ["risky_fork", "horizon_chain", "spurious_disagreement", "chance_ahead", "lucky_way", "doubtful_branch"]
    weighted = table[(table["objective"] == "weighted") & table["instance"].isin(unaliased)]
    np.testing.assert_allclose(weighted["rate"], weighted["gap"], rtol=1e-9)  # claim 2


def test_the_bound_of_claim_18_by_rollouts(finished):
    table, counts = finished[2]["bound"], finished[2]["bound_counts"]
    for horizon in (2, 3):
        mdp, student, expert = random_problems.truthful(horizon, command.BLOCK, 0, 0)
        one = TabularMDP(mdp.transition[..., 0], mdp.reward[..., 0], mdp.initial[..., 0])
        pi, star = student[..., 0], expert[..., 0]
        every = trajectories.enumerate_all(one)
        p = trajectories.probability(one, pi, every)
        paid = trajectories.returns(one, every)
        for divergence in (FORWARD_KL, CROSS_ENTROPY):
            cost = every.along(divergence.value(star, pi, axis=2), actions=False).sum(axis=0)
            bound = 0.0
            for s in range(one.shape[1]):
                here = every.states[0] == s
                mass = p[here].sum()
                bound += (p * paid)[here].sum() * (p * cost)[here].sum() / mass
            row = table[(table["horizon"] == horizon) & (table["objective"] == divergence.name)].iloc[0]
            assert row["bound"] == pytest.approx(bound, rel=1e-10)
            move = updates.direction(one, pi, star, divergence, part="full")
            ends = [solve.expected_return(one, updates.exponential_step(one, pi, move, e)) for e in (1e-5, -1e-5)]
            assert row["rate"] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-9)
    assert (counts["n"] == 4000).all()
    failed = counts.groupby("objective")["below_bound"].sum()
    assert failed["cross_entropy"] > 0
    assert (failed.drop("cross_entropy") == 0).all()
    assert counts.groupby("objective")["below_zero"].sum()["cross_entropy"] > 0


def test_the_entropy_trap(finished):
    table = finished[2]["trap"]
    short = -0.99 * np.log(0.99) - 0.01 * np.log(0.01)
    limit = table.loc[table["objective"] == "full_ce", "limit"].iloc[0]
    assert 0.6 / limit - LOG2 == pytest.approx(0.4 / (1 - limit) - short, rel=1e-9)
    np.testing.assert_allclose(table["long"], table["return"], rtol=1e-12)
    last = table.groupby(["start", "objective"])["long"].last()
    assert last["expert", "full_ce"] == pytest.approx(limit, abs=1e-3)
    assert last["expert", "full_kl"] == pytest.approx(0.6, abs=1e-12)
    first = table[(table["start"] == "expert") & (table["objective"] == "full_ce")].iloc[0]
    assert first[["charged_long", "charged_short"]].tolist() == pytest.approx([LOG2, short])
    kl = table[(table["start"] == "expert") & (table["objective"] == "full_kl")]
    assert (kl[["charged_long", "charged_short"]] == 0).all(axis=None)


def shortest(ways):
    """Expected length of the answers of least cross-entropy, by a search in each step: only the stop can be chosen."""
    stop, later, chosen = 1 / 14, 0.0, []
    for h in reversed(range(answers.HORIZON)):

        def cost(x, later=later):
            return -stop * np.log(x) - (1 - stop) * np.log((1 - x) / ways) + (1 - x) * later

        best = minimize_scalar(cost, bounds=(1e-9, 1 - 1e-9), method="bounded", options={"xatol": 1e-12})
        chosen.insert(0, best.x)
        later = best.fun
        assert h or best.fun > 0
    return 1 + np.cumprod(1 - np.array(chosen[:-1])).sum()


def test_the_length_of_answers(finished):
    table, limits = finished[2]["length"], finished[2]["length_limits"]
    expert = 14 * (1 - (13 / 14) ** answers.HORIZON)
    curves = table.pivot(index="step", columns="objective", values="length")
    np.testing.assert_allclose(curves.loc[0], expert, rtol=1e-10)
    assert curves["full_ce"].iloc[-1] == pytest.approx(shortest(answers.TOKENS), rel=1e-3)
    assert curves["full_kl"].min() < 6
    assert curves["full_kl"].iloc[-1] == pytest.approx(expert, rel=1e-3)
    assert abs(curves["local"] - expert).max() < 0.1
    for row in limits.itertuples():
        assert row.length == pytest.approx(shortest(row.ways), rel=1e-4)
    assert (np.diff(limits["length"]) < 0).all()


def test_cross_entropy_per_token_goes_downhill():
    mdp, student, expert = answers.long_answer(5, 3, 2).convert("float64")[1:4]

    def loss(pi):
        every = trajectories.enumerate_all(mdp)
        p = trajectories.probability(mdp, pi, every)
        written = every.states == 0
        cost = every.along(CROSS_ENTROPY.value(expert, pi, axis=2), actions=False)
        return (p * (written * cost).sum(axis=0) / written.sum(axis=0)).sum()

    move = answers.per_token(mdp, student, expert)
    occupancy = solve.occupancy(mdp, student)[:, :, None]
    rng = np.random.default_rng(0)
    for _ in range(3):
        x = rng.normal(size=student.shape) * [[[1], [0]]]
        ends = [loss(updates.exponential_step(mdp, student, x, e)) for e in (1e-5, -1e-5)]
        slope = -(occupancy * student * move * (x - (student * x).sum(axis=2)[:, :, None])).sum()
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(slope / answers.length(mdp, expert)[0], rel=1e-6)
    assert abs(answers.per_token(mdp, expert, expert)[:, 0]).max() < 1e-12  # the expert is at rest


def test_what_a_class_cannot_reach_leaks(finished):
    points, rates = finished[2]["leak"], finished[2]["leak_rates"]
    whole = points[points["share"] == 0]
    np.testing.assert_allclose(whole["rate"], whole["gap"], atol=1e-9)
    assert ((points["gap"] - points["rate"]).abs() <= points["bound"] + 1e-9).all()
    assert abs(points.loc[points["share"] == 0.5, "gap"] - points.loc[points["share"] == 0.5, "rate"]).max() > 0.3
    harmed = rates.pivot(index="share", columns="class", values="value")
    assert (harmed.loc[0] == 0).all()
    assert (harmed.loc[0.1] > 0.05).all()
    assert (harmed.loc[0.98] > 0.35).all()


def test_the_share_out_of_reach_is_the_one_asked_for():
    rng = np.random.default_rng(0)
    p, rho = rng.dirichlet(np.ones(3), size=(2, 3, 2)), np.array([0.2, 0.3, 0.5])
    mdp = TabularMDP(p, np.zeros((2, 3, 2)), rho, observation=[0, 1, 1])
    pi = rng.dirichlet(np.ones(2), size=(2, 2))[:, [0, 1, 1]]
    free = list(np.eye(8).reshape(8, 2, 2, 2))  # every logit of every observation
    a = random_problems.advantage(mdp, pi, free, rng.normal(size=(2, 3, 2)), 0.3)
    np.testing.assert_allclose((pi * a).sum(axis=2), 0, atol=1e-14)
    d, lost, whole = rho, 0.0, 0.0
    for h in range(2):
        for b in range(2):
            mean = (d[1:] * a[h, 1:, b]).sum() / d[1:].sum()
            lost += sum(d[s] * pi[h, s, b] * (a[h, s, b] - mean) ** 2 for s in (1, 2))
            whole += sum(d[s] * pi[h, s, b] * a[h, s, b] ** 2 for s in range(3))
        d = np.einsum("s,sa,sat->t", d, pi[h], p[h])
    assert (lost, whole) == pytest.approx((0.3, 1.0))


def test_hints_are_worth_what_the_verifier_says(finished):
    table = finished[2]["hints"]
    case = instances.hidden_trace()
    game = token_sum(2, 1, [(0, 0), (0, 1), (1, 0), (1, 1)], "trace")
    student = case.convert("float64").student
    promised, context = 0.0, 0
    for problem, values in enumerate(game.agree):
        for value, agree in enumerate(values):
            law = game.tree.law(student, context * game.tree.size)
            weight = 0.25 * float(game.law[problem][value])
            promised += weight * law[game.right[problem]].sum() * np.log(1 / law[agree].sum())
            context += 1
    rows = table[table["instance"] == "hidden_trace"].groupby("divergence")[["rate", "promised_rate"]].first()
    for name, unit in (("forward_kl", 1), ("reverse_kl", 1), ("jensen_shannon", 1 / 4)):
        assert rows.loc[name, "promised_rate"] == pytest.approx(0.99 * unit * promised, rel=1e-9)
        assert rows.loc[name, "rate"] > rows.loc[name, "promised_rate"] > 0
    narrow = table[table["instance"] == "shown_program"].groupby("divergence")["rate"].first()
    assert narrow["forward_kl"] > 0 > max(narrow["reverse_kl"], narrow["jensen_shannon"])
    assert table[table["instance"] == "shown_program"]["promised_rate"].isna().all()


def test_the_frontier_of_the_risky_fork_by_hand(finished):
    table = finished[2]["frontier"]
    fork = table[table["problem"] == "risky_fork_2"]
    assert fork["gap"].iloc[0] == pytest.approx(0.47)
    for row in fork[fork["estimator"] == "weighted"].itertuples():
        kept = min(18, row.clip)  # (9/10) / (1/20), on the risky way, which the student takes once in 20
        assert row.rate == pytest.approx(-0.34 + 0.9 * kept / 20)
        assert row.deviation == pytest.approx(0.9 * kept * np.sqrt(0.05 * 0.95))
        assert row.bias == pytest.approx(-row.lost)
    crossing = finished[2]["crossings"].query("problem == 'risky_fork_2' and against == 'local'")["rollouts"].item()
    assert crossing == pytest.approx((16.2**2 - 0.9**2) * 0.05 * 0.95 / 0.765**2)
    errors = finished[2]["errors"].query("problem == 'risky_fork_2' and rollouts == 100")
    rmse = errors.set_index("estimator")["rmse"]
    assert rmse["weighted_unclipped"] == pytest.approx(16.2 * np.sqrt(0.05 * 0.95) / 10)
    assert rmse["weighted"] <= min(rmse["weighted_unclipped"], np.hypot(0.765, 0.9 * np.sqrt(0.05 * 0.95) / 10))
    baselines = table[(table["problem"] == "garnet_4") & (table["estimator"] == "full_kl")].set_index("baseline")
    assert np.ptp(baselines["rate"]) < 1e-12
    assert baselines.loc["none", "deviation"] > baselines.loc["state", "deviation"]


def planted(tables, name, column, value, row=0, **changes):
    """The tables with one entry changed."""
    table = tables[name].copy()
    table[column] = table[column].astype(object)
    table.loc[table.index[row], column] = value
    return tables | {name: table.infer_objects()}


def test_violations_are_noticed(finished):
    tables = finished[2]
    fork, signs, trap, counts = (tables[name] for name in ("fork", "signs", "trap", "bound_counts"))
    row = int(np.flatnonzero(fork["objective"] == "full_kl")[-1])
    cross = int(np.flatnonzero(counts["objective"] == "cross_entropy")[0])
    rest = (trap["start"] == "expert") & (trap["objective"] == "full_kl")
    endless = int(np.flatnonzero(tables["frontier"]["clip"] == np.inf)[0])
    for name, column, value, where, message in (
        ("fork", "residual", 1e-9, 0, "training has not ended"),
        ("fork", "residual", float("nan"), 0, "training has not ended"),
        ("fork", "p", 0.91, 0, "claim 10a: k = 1, local: training ended at p = 0.91"),
        ("fork", "return", 0.2, row, "the longer the branch"),
        ("signs", "sign", "?", 5, f"{signs['instance'][5]}, {signs['objective'][5]}: the sign is ?"),
        ("trap", "long", 0.59, int(np.flatnonzero(rest)[-1]), "full KL leaves the expert"),
        ("trap", "long", 0.59, int(np.flatnonzero(trap["objective"] == "full_ce")[-1]), "full_ce ends at 0.59"),
        ("length", "length", 9.0, -1, "ends at length 9.0"),
        ("bound_counts", "below_bound", 1, 0, "claim 18: 1 of 4000 rates of forward_kl"),
        ("bound_counts", "below_bound", 1, cross, None),
        ("bound_counts", "below_bound", float("nan"), 0, "claim 18: nan of 4000 rates of forward_kl"),
        ("leak_rates", "value", float("nan"), 0, "a compatible class (hidden state) lowers the return"),
        ("hints", "promised_rate", float("nan"), 0, "claim 19: hidden_trace, forward_kl"),
        ("leak_rates", "worst_excess", 1e-6, 3, "claim 17: the error exceeds the bound"),
        ("leak_rates", "value", 0.01, 0, "a compatible class (hidden state) lowers the return"),
        ("hints", "rate", 0.1, 0, "claim 19: hidden_trace, forward_kl"),
        ("frontier", "lost", 0.3, 1, "claim 15: risky_fork_2, weighted, clip 1.0: bias"),
        ("frontier", "bias", 0.001, endless, "without a clip"),
        ("frontier", "drawn_rate", 9.0, 0, "the drawn rate is off"),
        ("frontier", "drawn_deviation", 9.0, 0, "the drawn variance is off"),
    ):
        said = verdicts.violated(planted(tables, name, column, value, where))
        assert (said == []) if message is None else any(message in line for line in said), (name, column, said)
    for name in tables:
        assert verdicts.violated(tables | {name: tables[name][:0]}) == [f"there is nothing in the table {name}"]


def test_finished_training_is_found_again(finished, monkeypatch):
    out, _, tables = finished
    args = argparse.Namespace(out=out, jobs=1, quick=True, seed=0, seeds=1)

    def train_again(*_):
        raise AssertionError("trained again")

    with monkeypatch.context() as patch:
        patch.setattr(updates, "exponential_step", train_again)
        again = command.trained(args)
        with pytest.raises(AssertionError, match="trained again"):
            training.fork_end(2, "local")  # a setting that no quick run has
    for name, table in again.items():
        pd.testing.assert_frame_equal(table, tables[name], rtol=1e-11, atol=1e-14, check_dtype=False)


def test_a_piece_is_the_same_wherever_it_runs(tmp_path):
    args = argparse.Namespace(out=tmp_path, jobs=2)
    todo = [("hidden state", 0.1, 50, 0, 0), ("two parameters", 0.1, 50, 0, 1)]
    for found, task in zip(harness.run_tasks(random_problems.leak_block, todo, args, ""), todo, strict=True):
        pd.testing.assert_frame_equal(found, random_problems.leak_block(*task), check_exact=True)
    first, second = (frontier.frontier("risky_fork_2", 1000, seed) for seed in (0, 1))
    assert (first["deviation"] == second["deviation"]).all()
    assert (first["drawn_rate"] != second["drawn_rate"]).any()
