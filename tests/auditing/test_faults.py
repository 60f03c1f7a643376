"""Every code is found where it is, and not next to it."""

import pytest
import torch

from distil_theory import audit
from tests.auditing.faulty import CASES, bounded, forward, reverse


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("case", CASES)
def test_a_code_is_found_where_it_is_and_not_next_to_it(case):
    code = case.split()[0]
    guilty, innocent = (audit(loss) for loss in CASES[case])
    assert code in guilty.faults | guilty.warnings, str(guilty)
    assert code not in innocent.faults | innocent.warnings, str(innocent)
    assert any(sentence.startswith(code) for sentence in guilty.findings)


def test_what_was_expected_and_what_was_not():
    assert audit(reverse, expect="reverse_kl").ok
    wrong = audit(reverse, expect="forward_kl")
    assert wrong.faults == {"not_expected"}
    assert "forward_kl was expected, found reverse_kl" in wrong.findings[-1]
    assert audit(CASES["negative"][1], expect="cross_entropy").ok
    assert not audit(forward, expect="cross_entropy").ok


def test_an_expected_reduction_turns_a_warning_into_a_fault():
    element_mean = CASES["element_mean"][0]
    assert audit(element_mean).ok
    assert audit(element_mean, expect_reduction="token_mean").faults == {"element_mean", "not_expected"}
    assert audit(CASES["mask_ignored"][1], expect_reduction="token_mean").ok


@pytest.mark.parametrize("seed", [1, 2])
def test_other_random_logits_find_the_same(seed):
    for case in ("dead_zone", "tail_dropped", "overflow"):
        guilty = CASES[case][0]
        assert audit(guilty, seed=seed).faults == audit(guilty).faults
    assert audit(forward, seed=seed).ok
    assert audit(bounded, seed=seed).divergence == "jensen_shannon"
