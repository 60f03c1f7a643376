"""The benchmark of the estimators: noise is exact where every rollout is listed, and a sample's elsewhere."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import estimators as benchmark
from benchmarks import report
from benchmarks.settings import QUICK
from distil_theory import estimators, objectives, trajectories
from distil_theory.divergences import CROSS_ENTROPY


@pytest.mark.parametrize("kind", benchmark.KINDS)
def test_the_noise_of_a_listed_horizon_is_the_trace_of_the_covariance(kind):
    options = benchmark.KINDS[kind]
    mdp, student, expert = benchmark.problem(2)
    every = trajectories.enumerate_all(mdp)
    g = estimators.samples(mdp, student, expert, CROSS_ENTROPY, every, **options)
    mean, covariance = estimators.moments(g, trajectories.probability(mdp, student, every))
    np.testing.assert_allclose(
        mean,
        objectives.loss_gradient(mdp, student, expert, CROSS_ENTROPY, part=options.get("part", "full")),
        atol=1e-13,
    )
    noise, listed = benchmark.noise(2, 10, False, options)
    assert listed
    assert noise == pytest.approx(np.trace(covariance) / (mean**2).sum(), rel=1e-10)


def test_a_sampled_noise_comes_near_and_a_black_box_is_noisier():
    exact, listed = benchmark.noise(2, 1, False, {})
    black_box, _ = benchmark.noise(2, 1, True, {})
    assert listed
    assert black_box > exact
    long, listed = benchmark.noise(8, 4000, False, {"baseline": "state"})
    assert not listed
    assert long < benchmark.noise(8, 4000, False, {})[0] / 3  # what a baseline is for


def test_rows_and_table():
    rows = benchmark.measure(QUICK)
    (table,) = report.tables(pd.DataFrame(rows))
    assert [column.header for column in table.columns][:4] == [
        "horizon",
        "exact local",
        "exact full",
        "from 200 rollouts",
    ]
    assert table.row_count == len(QUICK.estimator_horizons)
    assert all(row.value > 0 for row in rows)
