"""Bad input to objectives and updates: one clear `ValueError`, naming the place."""

import numpy as np
import pytest

from distil_theory import number_systems as ns
from distil_theory import objectives, updates
from distil_theory.divergences import FORWARD_KL, NEYMAN, REVERSE_KL
from distil_theory.spec import Bandit

MDP = Bandit([[1.0, 0.0], [0.0, 1.0]], [0.5, 0.5])
ALIASED = Bandit([[1.0, 0.0], [0.0, 1.0]], [0.5, 0.5], [0, 0])
HALF = np.full((1, 2, 2), 0.5)
SURE = np.array([[[0.5, 0.5], [1.0, 0.0]]])
MIXED = np.array([[[0.5, 0.5], [0.25, 0.75]]])


@pytest.mark.parametrize(
    "call",
    [
        objectives.improvement_rate,
        objectives.local_gradient,
        objectives.pooled_score,
        updates.direction,
        lambda *args: updates.proximal_step(*args, 1.0),
    ],
)
def test_missing_support_and_wrong_shapes(call):
    for d in (REVERSE_KL, NEYMAN):
        with pytest.raises(ValueError, match=rf"expert is 0 at h=0, s=1, a=1: {d.name} has"):
            call(MDP, HALF, SURE, d)
    with pytest.raises(ValueError, match="student is 0 at h=0, s=1, a=1: a softmax student"):
        call(MDP, SURE, HALF, FORWARD_KL)
    with pytest.raises(ValueError, match="student at h=0, s=1 differs from another state with observation 0"):
        call(ALIASED, MIXED, HALF, FORWARD_KL)
    with pytest.raises(ValueError, match="student has shape"):
        call(MDP, HALF[:, :1], HALF, FORWARD_KL)
    with pytest.raises(ValueError, match="expert has shape"):
        call(MDP, HALF, HALF[:, :, :1], FORWARD_KL)
    with pytest.raises(ValueError, match=r"expert at h=0, s=0 sums to 0\.9"):
        call(MDP, HALF, HALF - [0.1, 0.0], FORWARD_KL)
    assert np.isfinite(call(ALIASED, HALF, MIXED, REVERSE_KL)).all()  # the expert sees the state


def test_unknown_geometry():
    for call in (objectives.improvement_rate, updates.direction):
        with pytest.raises(ValueError, match="unknown geometry 'riemann': choose from natural, euclidean, proximal"):
            call(MDP, HALF, HALF, FORWARD_KL, "riemann")


@pytest.mark.parametrize("eta", [0, 0.0, -1.0, np.array([1.0, 0.0]), np.nan])
def test_eta_must_be_positive(eta):
    for d in (FORWARD_KL, REVERSE_KL):
        with pytest.raises(ValueError, match="eta must be positive"):
            updates.proximal_step(MDP, HALF, HALF, d, eta)


def test_numerical_proximal_step_refuses_other_numbers():
    pi = ns.convert(HALF, "rational")
    with pytest.raises(TypeError, match="proximal step of neyman_chi2 is solved numerically"):
        updates.proximal_step(MDP.convert("rational"), pi, pi, NEYMAN, 1)


def test_weight_of_an_unreachable_state_is_zero():
    mdp = Bandit([[1.0, 0.0], [0.0, 1.0]], [1.0, 0.0])
    np.testing.assert_array_equal(objectives.occupancy_ratio(mdp, HALF, MIXED), [[1.0, 0.0]])
