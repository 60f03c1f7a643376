"""Claims 8, 8b, 8c, 16b: margins by hand, attacks that reach the curves, and false variants that they refute."""

import numpy as np
import pytest

from distil_theory import instances, objectives, solve
from distil_theory.claims import ascents, every_state, horizon_curve, local_improver, safe_horizon, verify
from distil_theory.divergences import FORWARD_KL
from distil_theory.horizon import HorizonCurve
from distil_theory.horizon_tree import tree

CHAPTERS = (local_improver, horizon_curve, safe_horizon, every_state)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.CLAIM.slug)
def test_the_claim_stands_with_other_draws(chapter):
    verdict = verify(chapter.CLAIM, 3000, seed=3)
    assert verdict.verdict == "proved"
    assert verdict.failed_steps == ()


def test_local_improver_by_hand():
    _, mdp, student, expert, _ = instances.horizon_chain(2, "1/2", "1/2", "1/4").convert("float64")
    # V on the path 1/2, off it 1/4: J = 3/8; g = 1/4 - 3/8 = -1/8, then off the path 1 - 1/4, with probability 1/2
    assert solve.expected_return(mdp, student) == 3 / 8
    assert local_improver.drift(mdp, student, expert)[0, 0] == -1 / 8
    rate = -1 / 8 + 1 / 2 * 3 / 4
    any_expert, late, improver = local_improver.slacks(mdp, student, expert)
    assert any_expert == pytest.approx(rate + 2 * 3 / 8)
    assert late == pytest.approx(rate + 3 / 8)
    assert improver == pytest.approx(3 / 8)  # the fork is left to the student


def test_an_improver_is_the_expert_where_that_is_better():
    _, mdp, student, expert, _ = instances.risky_fork().convert("float64")
    mended = local_improver.improved(mdp, student, expert, range(2))
    assert (mended[0, 0] == student[0, 0]).all()
    assert (mended[1] == expert[1]).all()
    only_late = local_improver.improved(mdp, student, expert, (1,))
    assert (only_late == expert).all()


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_fold_is_the_solver_on_a_tree(steps):
    rng, nodes = np.random.default_rng(steps), 2**steps - 1
    x = np.array([rng.uniform(*ends) for ends in ascents.box(steps, 0.2, 3.0)])
    rate, better = ascents.fold(x, steps)
    levels = [slice(2**h - 1, 2 ** (h + 1) - 1) for h in range(steps)]
    ratio = [np.stack([x[:nodes][here], x[nodes:][here]], axis=1) for here in levels]
    chance = [(1 - u[:, 1]) / (u[:, 0] - u[:, 1]) for u in ratio]
    mdp, *pair = tree([np.stack([p, 1 - p], axis=1) for p in chance], ratio, x[2 * nodes :])
    values = [solve.values(mdp, policy)[0] for policy in pair]
    assert rate == pytest.approx(float(objectives.improvement_rate(mdp, *pair, FORWARD_KL)), abs=1e-12)
    wanted = [(values[1] - values[0])[h, : 2**h] for h in range(steps)]
    np.testing.assert_allclose(better, np.concatenate(wanted), atol=1e-12)
    value, slope = ascents.with_slope(lambda y: ascents.fold(y, steps)[0])
    away = 1e-6 * np.eye(len(x))
    central = [(value(x + e) - value(x - e)) / 2e-6 for e in away]
    np.testing.assert_allclose(slope(x), central, atol=1e-8)


def test_the_attacks_reach_the_curves():
    for chapter in (horizon_curve, safe_horizon):
        found = chapter.CLAIM.attack(chapter.margin, 2000, 0)
        assert -1e-9 < found.margin < 1e-9
        assert sum(m < 1e-6 for m in found.margins) >= 4
    found = every_state.attack(every_state.margin, 6000, 0)
    assert sum(m < 2 * every_state.CLOSE for m in found.margins) >= 3


def test_a_slightly_lower_curve_is_refuted():
    def lower(share):
        def margin(mdp, student, expert):
            rows = zip(*ascents.least_and_most(student, expert), *horizon_curve.rate_and_gap(mdp, student, expert),
                       strict=True)  # fmt: skip
            out = []
            for low, high, rate, gap in rows:
                curve = HorizonCurve(mdp.shape[0], low, high)
                loss = curve.loss(min(max(gap, 0), curve.most))
                out.append(share * loss + rate if gap >= 0 and loss > 0.01 else 1.0)
            return np.array(out)

        return margin

    assert ascents.attack(lower(0.99), 4000, 0).margin < -1e-4
    assert ascents.attack(lower(1), 4000, 0).margin > -1e-9


def test_the_linear_programme_by_hand():
    cost, rows = every_state.programme(2, 0.0, 4.0)
    # labels mm, mM, Mm, MM with chances 9, 3, 3, 1 of 16, S = -2, 2, 2, 6 and Lambda = 0, 0, 0, 16
    np.testing.assert_allclose(cost, np.array([-18, 6, 6, 6]) / 16)
    np.testing.assert_allclose(rows[0], np.array([-9, -3, -3, 15]) / 16)
    np.testing.assert_allclose(rows[1:], [[-3 / 4, 3 / 4, 0, 0], [0, 0, -3 / 4, 3 / 4]])
