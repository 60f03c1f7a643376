"""The counts behind the failure rates against a slow loop that shares no code with them; ties; what is promised."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from experiments import harness, sequential_curves, sequential_failures, sequential_search
from experiments import sequential_sweeps as sweeps
from experiments.sequential_failures import Family, Objective, Teacher, count, draw

H = {
    "forward_kl": lambda u: u,
    "cross_entropy": lambda u: u,
    "reverse_kl": np.log,
    "jensen_shannon": lambda u: np.log(1 + u) / 2,
    "hellinger": np.sqrt,
    "pearson_chi2": lambda u: u**2,
}
F = {
    "forward_kl": lambda p, q: (q * np.log(q / p)).sum(),
    "cross_entropy": lambda p, q: -(q * np.log(p)).sum(),
    "reverse_kl": lambda p, q: (p * np.log(p / q)).sum(),
    "pearson_chi2": lambda p, q: ((q - p) ** 2 / p).sum(),
}


def slow_values(P, r, pi):
    V, Q = np.zeros(P.shape[1]), []
    for h in reversed(range(len(P))):
        Q.insert(0, r[h] + P[h] @ V)
        V = (pi[h] * Q[0]).sum(axis=1)
    return np.array(Q), V


def slow_occupancy(P, rho, pi):
    d = [rho]
    for h in range(len(P) - 1):
        d.append(np.einsum("s,sa,sat->t", d[-1], pi[h], P[h]))
    return np.array(d)


def slow_expert(teacher, P, r, rho, pi, other, seen):
    dial, Q = float(teacher.dial), slow_values(P, r, pi)[0]

    def bayes(pi, evidence):
        if not teacher.privileged:
            d = slow_occupancy(P, rho, pi)
            evidence = evidence.copy()
            for h, o in product(range(len(P)), set(seen)):
                group = seen == o
                evidence[h, group] = d[h, group] @ evidence[h, group] / d[h, group].sum()
        joint = pi * evidence
        return joint / joint.sum(axis=2, keepdims=True)

    if teacher.kind == "random":
        return other
    if teacher.kind == "noisy":
        return bayes(pi, (1 - dial) * Q + dial * (1 - Q))
    if teacher.kind == "overconfident":
        x = pi * (bayes(pi, Q) / pi) ** (1 + dial)
        return x / x.sum(axis=2, keepdims=True)
    if teacher.kind == "lagging":
        old = (1 - dial) * pi + dial * other
        return bayes(old, slow_values(P, r, old)[0])
    V, policy = np.zeros(P.shape[1]), []
    for h in reversed(range(len(P))):
        weights = np.exp((r[h] + P[h] @ V) / dial)
        policy.insert(0, weights / weights.sum(axis=1, keepdims=True))
        V = dial * np.log(weights.sum(axis=1))
    return np.array(policy)


def slow_counts(todo, teacher, family, n, seed):
    """`COUNTS` one MDP at a time: central differences of the return along a direction written down once more."""
    problem = draw(family, n, seed, 0)
    counts = np.zeros((len(todo), 4), dtype=int)
    for i in range(n):
        P, r, rho = (x[..., i] for x in (problem.mdp.transition, problem.mdp.reward, problem.mdp.initial))
        pi, other, seen = problem.student[..., i], problem.other[..., i], problem.mdp.observation

        if teacher.kind == "random" and rho @ slow_values(P, r, other)[1] < rho @ slow_values(P, r, pi)[1]:
            r = np.concatenate([r[:-1], 1 - r[-1:]])
        star = slow_expert(teacher, P, r, rho, pi, other, seen)
        d, gap = slow_occupancy(P, rho, pi), rho @ (slow_values(P, r, star)[1] - slow_values(P, r, pi)[1])
        for k, objective in enumerate(todo):
            x = H[objective.divergence](star / pi)
            if objective.part == "weighted":
                x = x * (slow_occupancy(P, rho, star) / d)[:, :, None]
            if objective.part == "full":
                costs = [
                    [F[objective.divergence](*rows) for rows in zip(*step, strict=True)]
                    for step in zip(pi, star, strict=True)
                ]
                c = np.repeat(np.array(costs)[:, :, None], pi.shape[2], axis=2)
                x = x - (slow_values(P, c, pi)[0] - c)
            move = np.zeros(pi.shape)
            for h, o in product(range(len(P)), set(seen)):
                group = seen == o
                mean = d[h, group] @ x[h, group] / d[h, group].sum()
                if objective.geometry == "euclidean":
                    p = pi[h, group][0]
                    mean = d[h, group].sum() * p * (mean - p @ mean)
                move[h, group] = mean - mean.mean()
            move /= abs(move).max()
            returns = []
            for e in (-1e-5, 1e-5):
                tilted = pi * np.exp(e * move)
                returns.append(rho @ slow_values(P, r, tilted / tilted.sum(axis=2, keepdims=True))[1])
            lowered = returns[1] < returns[0]
            counts[k] += np.array([gap > 0, gap > 0 and lowered, lowered, False])
    return counts


CASES = [
    (Teacher("random"), Family(3, 4, 3, 4)),
    (Teacher("random"), Family(1, 3, 3, 3)),
    (Teacher("soft_optimal", "0.3"), Family(3, 3, 2, 3)),
    (Teacher("noisy", "0.45"), Family(3, 4, 3, 4, 4)),
    (Teacher("noisy", "0"), Family(2, 4, 3, 1, 4)),
    (Teacher("noisy", "0.1", False), Family(2, 4, 3, 2, 4)),
    (Teacher("overconfident", "2"), Family(2, 4, 3, 1, 2)),
    (Teacher("overconfident", "-0.5", False), Family(2, 4, 3, 2, 4)),
    (Teacher("lagging", "1"), Family(3, 4, 3, 4)),
    (Teacher("lagging", "0.25"), Family(2, 4, 3, 4)),
]
TODO = [
    Objective("forward_kl"),
    Objective("reverse_kl"),
    Objective("hellinger"),
    Objective("jensen_shannon", "local", "euclidean"),
    Objective("pearson_chi2", "weighted"),
    Objective("reverse_kl", "full"),
    Objective("cross_entropy", "full"),
]


@pytest.mark.parametrize(("teacher", "family"), CASES)
def test_teachers_against_a_slow_loop(teacher, family):
    problem = draw(family, 4, 2, 0)
    fast = sequential_failures.expert_of(teacher, problem)
    for i in range(4):
        arrays = (problem.mdp.transition, problem.mdp.reward, problem.mdp.initial, problem.student, problem.other)
        slow = slow_expert(teacher, *(x[..., i] for x in arrays), problem.mdp.observation)
        np.testing.assert_allclose(fast[..., i], slow, rtol=1e-9)


@pytest.mark.parametrize(("teacher", "family"), CASES)
def test_counts_against_a_slow_loop(teacher, family):
    n = 60
    (fast,) = count(TODO, [teacher], family, n, 3, 0)
    slow = slow_counts(TODO, teacher, family, n, 3)
    np.testing.assert_array_equal(fast, slow)


def test_draws_depend_on_seed_block_and_family_only():
    family = Family(2, 4, 3, 2, 4)
    first, again = (draw(family, 3, 1, 0) for _ in range(2))
    others = [draw(family, 3, 2, 0), draw(family, 3, 1, 1), draw(family._replace(rare=1), 3, 1, 0)]
    for k, x in enumerate((first.mdp.transition, first.student, first.other)):
        y = (again.mdp.transition, again.student, again.other)[k]
        np.testing.assert_array_equal(x, y)
        for other in others:
            assert not np.allclose(x, (other.mdp.transition, other.student, other.other)[k])
    assert sorted(set(first.mdp.observation)) == [0, 1]
    assert first.mdp.reward[0].max() == 0
    plenty = draw(family, 500, 1, 0)
    assert plenty.mdp.reward[-1].mean() == pytest.approx(1 / 5, abs=0.02)  # of a fourth power
    maps = {tuple(draw(family, 1, seed, 0).mdp.observation) for seed in range(40)}
    assert len(maps) > 8


def test_the_slow_loop_meets_failures():
    """Otherwise the comparison would compare zeros."""
    for teacher, family in ((Teacher("random"), Family(3, 4, 3, 4)), (Teacher("noisy", "0"), Family(2, 4, 3, 1, 4))):
        (counts,) = count(TODO, [teacher], family, 60, 3, 0)
        assert (counts[1:, 1] > 0).all()


def test_ties_are_decided_exactly_and_what_is_left_is_counted():
    todo, family = [Objective("forward_kl"), Objective("jensen_shannon", "full")], Family(2, 3, 2, 3)
    half, (nearly,) = [Teacher("noisy", "0.5")], [Teacher("noisy", "0.49999999999999")]
    np.testing.assert_array_equal(count(todo, half, family, 5, 0, 0), [[[0, 0, 0, 0]] * 2])  # expert = student
    more = count(todo, half, family, sequential_failures.EXACT + 30, 0, 0)
    np.testing.assert_array_equal(more, [[[0, 0, 0, 60]] * 2])  # 30 gaps, 30 rates: undecided, and no failures
    (counts,) = count(todo, [nearly], family, 5, 0, 0)
    np.testing.assert_array_equal(counts[0], [5, 0, 0, 0])  # claim 9, though floats see rates of 1e-15


def test_exact_signs_agree_with_floats_where_those_are_clear():
    for teacher in (Teacher("random"), Teacher("overconfident", "1", False), Teacher("soft_optimal", "0.5")):
        problem = draw(Family(2, 3, 2, 2), 3, 5, 0)
        expert = sequential_failures.expert_of(teacher, problem)
        values, _ = sequential_failures.rates(TODO, problem, expert)
        for k, objective in enumerate(TODO):
            for i in range(3):
                assert sequential_failures.exact_sign(teacher, objective, problem, i) == np.sign(values[k, i])


def test_what_is_promised():
    def said(teacher, objective=TODO[1], family=sweeps.BASE):
        row = pd.DataFrame([(*family, *teacher, *objective)], columns=sweeps.KEYS)
        return sweeps.promise(next(row.itertuples()))

    alike = Family(4, 5, 3, 1)
    assert said(Teacher("random"), Objective("forward_kl", "weighted")) == "2: never"
    assert said(Teacher("random"), Objective("forward_kl"), Family(1, 5, 3, 5)) == "2: never"
    assert said(Teacher("random"), Objective("cross_entropy", "full"), Family(1, 5, 3, 5)) == "2: never"
    assert (
        said(Teacher("noisy", "0.49")) == said(Teacher("overconfident", "4")) == said(Teacher("lagging")) == "9: never"
    )
    assert said(Teacher("noisy", "0.1", False), family=alike) == "9: never"
    assert said(Teacher("noisy", "0.6")) == "9: always"
    assert said(Teacher("noisy"), Objective("forward_kl", "local", "euclidean")) == "9: never"
    for nothing in (
        said(Teacher("random")),
        said(Teacher("random"), Objective("forward_kl")),
        said(Teacher("random"), Objective("forward_kl", "weighted"), alike),
        said(Teacher("noisy", "0.1"), family=alike),
        said(Teacher("noisy", "0.5")),
        said(Teacher("noisy"), Objective("reverse_kl", "local", "euclidean")),
        said(Teacher("noisy"), Objective("forward_kl", "full")),
        said(Teacher("lagging", "0.5")),
        said(Teacher("overconfident", "1"), Objective("forward_kl", "local", "euclidean")),
    ):
        assert nothing == ""


def small(out, jobs):
    args = harness.command_line("sequential_monotonicity", "", ["--out", str(out), "--jobs", str(jobs), "--seeds", "2"])
    cells = [
        ([Teacher("random"), Teacher("noisy", "0.4")], Family(2, 3, 2, 3)),
        ([Teacher("noisy")], Family(2, 3, 2, 1)),
    ]
    parts = {
        "table": sweeps.table(TODO[:3], cells, 100, args, "small"),
        "marks": sequential_curves.marks(4, 20, args),
        "band": sequential_curves.band(200, 3, 10, args),
    }
    return [
        harness.save_table(part, out / f"{name}.csv") is not None and out / f"{name}.csv"
        for name, part in parts.items()
    ]


def test_the_same_numbers_for_any_number_of_jobs_and_found_again(tmp_path, monkeypatch):
    one, two = small(tmp_path / "one", 1), small(tmp_path / "two", 2)
    for first, second in zip(one, two, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name
    assert pd.read_csv(one[0])["n"].eq(200).all()  # both seeds
    before = [path.read_bytes() for path in one]
    monkeypatch.setattr(sequential_failures, "draw", None)  # new work would fail
    monkeypatch.setattr(sequential_search, "random_pairs", None)
    assert [path.read_bytes() for path in small(tmp_path / "one", 1)] == before


def test_ascents_meet_their_constraints():
    found = sequential_search.ascend("everywhere", 3, 0.5, 2.0, np.array([0.3, 1.0, 3.0]), 50, [1])
    assert found.least.min() >= 0
    assert (found.low >= 0.5 - 1e-12).all()
    assert (found.high <= 2 + 1e-12).all()
    pairs = sequential_search.random_pairs(3, 4, 3, 0.7, 1.5, 500, [1])
    assert 0.7 - 1e-12 <= pairs.low.min() < 0.72
    assert 1.48 < pairs.high.max() <= 1.5 + 1e-12


def test_a_rate_that_is_no_number_is_no_success():
    """Exact arithmetic is asked about it; what it leaves open is counted."""
    found, undecided = sequential_failures.signs(np.array([np.nan, 1.0, np.nan]), 1e-12, {0: -1, 2: None}.__getitem__)
    assert (found.tolist(), undecided) == ([-1, 1, 0], 1)
