"""Random losses, whose faults are known from how they were made: none is accused wrongly, nearly all are named."""

import pytest
import torch

from distil_theory import audit
from tests.auditing.compose import compose

SEEDS = range(60)
AMBIGUOUS = {"temperature_unscaled"}
"""T^2 = 4 cannot be told from a weight of 4, nor 1/2 T^2 from 2."""
UNPLANNED = {"half_precision", "mask_nan"}
"""Warnings about precision and NaN, which were not part of the plan."""


@pytest.fixture(scope="module")
def audited():
    torch.set_num_threads(1)
    made = [compose(seed) for seed in SEEDS]
    return [(one, audit(one.loss)) for one in made]


def test_no_correct_loss_is_accused(audited):
    correct = [(one, found) for one, found in audited if not one.faults]
    assert len(correct) > 5
    for one, found in correct:
        assert found.faults | found.warnings <= AMBIGUOUS | UNPLANNED, f"{one.text}\n{found}"


def test_nearly_all_faults_are_named(audited):
    planted = [(one, code, found) for one, found in audited for code in one.faults - AMBIGUOUS]
    assert len(planted) > 60
    missed = [f"{code} in {one.text}" for one, code, found in planted if code not in found.faults | found.warnings]
    assert len(missed) <= 0.02 * len(planted), missed


@pytest.mark.parametrize("what", ["divergence", "value", "reduction", "support"])
def test_nearly_all_names_are_right(audited, what):
    wrong = [one.text for one, found in audited if getattr(one, what) != getattr(found, what)]
    assert len(wrong) <= 0.04 * len(audited), wrong
