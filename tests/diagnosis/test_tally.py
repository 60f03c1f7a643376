"""One pass over many logs: intervals cover the truth, pieces are as good as the whole, and what is heavy is said."""

import numpy as np
import pytest

from distil_theory.diagnosis import rates
from distil_theory.diagnosis.tally import Tally
from tests.diagnosis.games import coins, truth


@pytest.mark.parametrize("form", ["sampled", "full", "top"])
def test_intervals_of_many_logs_cover(form):
    block = coins(400 * 150, 4, 2, seed=5, form=form)
    plan = rates.columns(block)
    tally = Tally(plan, logs=400, ratios=(0.5, 2), replicates=399)
    tally.add(block)
    found = tally.estimates()
    known = [k for k, c in enumerate(plan) if c.level in ("local", "sequence") and not c.end]
    checked = 0
    for k in known:
        if found.trust.warned[:, k].mean() < 0.2:
            target = truth(plan[k], 2)
            covered = (found.rates.low[:, k] <= target) & (target <= found.rates.high[:, k])
            assert 0.92 < covered.mean() < 0.98, plan[k]  # three standard errors of 400 logs around 0.95
            checked += 1
    assert checked >= (8 if form != "full" else 14)
    for k, column in enumerate(plan):
        if column.end == "low":
            target = truth(column, 2)
            inside = (found.rates.low[:, k] <= target) & (target <= found.rates.high[:, k + 1])
            assert inside.mean() > 0.94
            assert (found.rates.value[:, k] <= found.rates.value[:, k + 1] + 1e-12).all()


def test_pieces_are_as_good_as_the_whole():
    block = coins(300, 4, 3)
    plan = rates.columns(block)
    whole, parts = Tally(plan), Tally(plan)
    whole.add(block)
    for first in range(0, 1200, 400):
        parts.add(block.cut(first, first + 400))
    one, many = whole.estimates(), parts.estimates()
    for field in ("value", "standard_error", "carrying"):
        np.testing.assert_allclose(getattr(one.rates, field), getattr(many.rates, field), rtol=1e-9)
    np.testing.assert_allclose(one.trust.expected, many.trust.expected, rtol=1e-9)


def test_weights_that_the_log_cannot_have_seen_are_heavy():
    block = coins(100 * 50, 4, 12, low=0.3, high=8, slope=0.3)
    plan = rates.columns(block)
    tally = Tally(plan, logs=50)
    tally.add(block)
    heavy = dict(zip([c.name for c in plan], tally.estimates().trust.heavy.mean(axis=0), strict=True))
    assert heavy["sequence/forward_kl"] == heavy["sequence/pearson_chi2"] == 1
    assert heavy["local/forward_kl"] < 0.5
