"""Policies the solver refuses, with the place in the message."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from distil_theory import solve
from distil_theory.spec import TabularMDP, stack

HAND = TabularMDP([[[1, 0], ["1/2", "1/2"]], [[0, 1], [0, 1]]], [[0, 0], [1, "1/2"]], initial=[1, 0], horizon=2)
HALF = np.full((2, 2, 2), Fraction(1, 2))


def spoilt(index, value):
    pi = np.full((2, 2, 2), 0.5)
    pi[index] = value
    return pi


BAD = [
    (spoilt((1, 0), [0.5, 0.6]), r"policy at h=1, s=0 sums to 1\.1 over a, not to 1"),
    (spoilt((1, 0), [-1, 2]), r"policy has the negative probability -1\.0 at h=1, s=0, a=0"),
    (spoilt((0, 1, 1), np.nan), "policy is nan at h=0, s=1, a=1"),
    (spoilt((0, 1, 1), np.inf), "policy is inf at h=0, s=1, a=1"),
    (torch.as_tensor(spoilt((1, 1), [1, 1])), "policy at h=1, s=1 sums to 2.0 over a"),
    (np.full((2, 2), 0.5), r"policy has shape \(2, 2\): expected 3 axes \(h, s, a\)"),
    (np.full((3, 2, 2), 0.5), "policy has shape .*axis h should have length 2"),
    (np.full((2, 2, 3), 1 / 3), "policy has shape .*axis a should have length 2"),
    (np.full((2, 2, 2, 0), 0.5), "policy is empty: axis batch"),
    (np.full((2, 2, 2, 2), 0.4), "policy at h=0, s=0, batch=0 sums to 0.8"),
    (HALF.astype(object) * 0 + 0.5 + 0j, "not an array of numbers"),
    ([[["a", "b"]]], "not an array of numbers"),
]


@pytest.mark.parametrize(("pi", "message"), BAD, ids=[message[:30] for _, message in BAD])
@pytest.mark.parametrize("function", [solve.values, solve.occupancy, solve.expected_return, solve.advantage])
def test_bad_policies(function, pi, message):
    mdp = HAND.convert("torch" if isinstance(pi, torch.Tensor) else "float64")
    with pytest.raises(ValueError, match=message):
        function(mdp, pi)


def test_policies_of_another_system_or_batch():
    with pytest.raises(ValueError, match="number systems float64 and rational are mixed"):
        solve.values(HAND, spoilt((0, 0), [0.5, 0.5]))
    with pytest.raises(ValueError, match=r"policy has batch shape \(3,\), the MDPs have \(2,\)"):
        solve.values(stack([HAND, HAND]), np.ones((2, 2, 2, 3)) / 2)


@pytest.mark.parametrize("pi", [HALF, torch.full((2, 2, 2), 0.5)], ids=["rational", "torch"])
def test_exact_policies_do_not_meet_a_float_mdp_with_whole_rewards(pi):
    mdp = TabularMDP([[[1, 0], [0.5, 0.5]], [[0, 1], [0, 1]]], [[0, 0], [1, 2]], [1, 0], 2)
    with pytest.raises(ValueError, match=r"number systems .* are mixed"):
        solve.values(mdp, pi)


def test_float32_does_not_meet_float64():
    mdp = HAND.convert("torch")
    with pytest.raises(ValueError, match="float32"):
        solve.values(TabularMDP(mdp.transition[0].float(), mdp.reward[0], mdp.initial, 2), torch.full((2, 2, 2), 0.5))
