"""Effective rollouts from token moments are exact where ratios are independent; each look is seen to warn."""

import numpy as np
import pytest

from distil_theory.diagnosis import rates, trust
from distil_theory.diagnosis.bootstrap import Intervals
from distil_theory.diagnosis.rates import Column
from distil_theory.diagnosis.tally import Tally
from distil_theory.divergences import CATALOGUE, FORWARD_KL, HELLINGER, NEYMAN, PEARSON, alpha, skewed_js
from tests.diagnosis.games import coins

GROWTH = {FORWARD_KL: (1,), HELLINGER: (0.5,), PEARSON: (2,), NEYMAN: (-1,), alpha(0.25): (0.25,)}


@pytest.mark.parametrize("divergence", [*CATALOGUE, alpha(0.25), skewed_js(2)], ids=lambda d: d.name)
def test_powers_by_which_scores_grow(divergence):
    wanted = next((v for d, v in GROWTH.items() if d.name == divergence.name), ())
    assert trust.exponents(divergence) == pytest.approx(wanted)


def test_effective_rollouts_are_exact_for_independent_ratios():
    block, steps = coins(5000, 4, 6, seed=3), 6
    plan = rates.columns(block)
    tally = Tally(plan)
    tally.add(block)

    def mean(power):  # of u^power
        return 2**power / 3 + 2 / 3 * 2**-power

    for k, column in enumerate(plan):
        powers = trust.exponents(column.divergence) if column.level == "sequence" else ()
        exact = min((20_000 * (mean(2 * a) ** 2 / mean(4 * a)) ** steps for a in powers), default=np.inf)
        assert tally.estimates().trust.expected[k] == pytest.approx(exact, rel=0.05)


def judged(carrying=100.0, expected=100.0, checks=(0.0, 0.0, 0.0)):
    plan = [Column("local", FORWARD_KL), Column("sequence", FORWARD_KL), Column("sequence", NEYMAN)]
    one = np.ones(3)
    own = Intervals(one, one, one, one, one * carrying)
    return trust.judge(own, Intervals(np.array(checks), one, one, one, one), one * expected, plan, 50)


def test_each_look_warns():
    assert not judged().warned.any()
    assert judged(carrying=trust.CARRYING - 0.1).warned.all()
    assert judged(expected=trust.EXPECTED - 0.1).warned.all()
    above, below, missed = (judged(checks=x) for x in ((4.1, 0, 0), (0, -4.1, 0), (0, 0, -4.1)))
    assert above.above
    assert above.warned.all()
    assert below.below
    assert below.warned.all()
    # Lambda's mean is short: what grows with Lambda is warned of, nothing else is
    assert missed.warned.tolist() == [False, True, False]
    assert not judged(checks=(-9, 9, 9)).warned.any()  # what rare weights can explain
