"""Claim 19: the answer trees against the token games, slacks by hand, and what is refuted outside the class."""

import math

import numpy as np
import pytest

from distil_theory import number_systems as ns
from distil_theory import objectives, solve
from distil_theory.claims import answer_sets, truthful_sets, verify
from distil_theory.divergences import FORWARD_KL, NEYMAN, PEARSON, REVERSE_KL, TOTAL_VARIATION
from distil_theory.instances.token_sum import token_sum


def test_the_claim_stands_with_other_draws():
    assert verify(truthful_sets.CLAIM, 3000, seed=3).verdict == "proved"


def test_one_token_by_hand():
    # P(C) = 3/4, J = 1/4: forward KL improves by J (1/P - 1)
    parts = [[["1/4", "1/2", "1/4"]], [1, 0, 0], [[1, 1, 0]], [1]]
    mdp, judged, pi = answer_sets.written(*(ns.convert(x, "float64") for x in parts))
    for trust in (0.5, 0.9):
        wanted = trust * (1 / 3 - math.log(4 / 3)) / 4
        assert answer_sets.slack(mdp, judged, pi, np.array(trust), FORWARD_KL) == pytest.approx(wanted, abs=1e-14)
    # reverse KL: Cov(R, log u'), u' = (1 + 1/6, 1/2) at a trust of one half
    rate = 3 / 16 * (math.log(7 / 6) - math.log(1 / 2)) - 1 / 8 * (math.log(7 / 6) - math.log(1 / 2))
    wanted = rate - 0.5 * math.log(4 / 3) / 4
    assert answer_sets.slack(mdp, judged, pi, np.array(0.5), REVERSE_KL) == pytest.approx(wanted, abs=1e-14)


def test_rare_way_by_hand():
    mdp, pi, star = answer_sets.exactly(*answer_sets.RARE, "1")
    p, s = ns.convert("1/10", "rational")[()], ns.convert("4/5", "rational")[()]
    v = p * s + 1 - p
    assert objectives.improvement_rate(mdp, pi, star, FORWARD_KL) == p * (1 - s) * (1 - (1 - p) * s / v)
    assert objectives.improvement_rate(mdp, pi, star, PEARSON) == p * s * ((1 - s) / s**2 - (1 - p) * (1 - s**2) / v**2)
    assert objectives.improvement_rate(mdp, pi, star, TOTAL_VARIATION) == p * s * (p - s)
    assert solve.expected_return(mdp, star) == p * s / v


def test_the_tree_is_the_token_game():
    game = token_sum(2, 1, [(1, 1)], "trace")
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.ones(2), game.tree.size)
    student = game.policy(lambda _, prefix: rows[game.tree.node(prefix)])
    agree = np.array(game.agree[0], dtype=float)
    parts = rows, game.right[0].astype(float), agree, np.array(game.law[0], dtype=float)
    mdp, judged, pi = answer_sets.written(*parts)
    assert mdp.aliased
    assert solve.expected_return(mdp, pi) == pytest.approx(solve.expected_return(game.mdp, student))
    for divergence in truthful_sets.TRIED:
        ours = answer_sets.slack(mdp, judged, pi, np.array(0.8), divergence)
        theirs = answer_sets.slack(game.mdp, game.judged, student, np.array(0.8), divergence)
        assert ours == pytest.approx(theirs, abs=1e-13)


@pytest.mark.parametrize("divergence", [PEARSON, NEYMAN, TOTAL_VARIATION], ids=lambda d: d.name)
def test_the_attack_refutes_what_is_outside_the_class(divergence):
    def margin(*parts):
        mdp, judged, pi = answer_sets.written(*parts[:4])
        star = answer_sets.taught(judged, pi, parts[4])
        return objectives.improvement_rate(mdp, pi, star, divergence) / solve.expected_return(mdp, pi)

    assert answer_sets.attack(margin, 20_000, 0).margin < -1e-3


def test_the_attack_refutes_feedback_that_excludes_right_answers():
    def margin(student, paid, agree, law, trust):
        return truthful_sets.margin(student, paid, np.roll(agree, 1, axis=1), law, trust)

    assert answer_sets.attack(margin, 2000, 0).margin < -0.1
