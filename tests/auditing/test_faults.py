"""Every code is found where it is, and not next to it."""

import pytest
import torch

from distil_theory import audit
from tests.auditing.faulty import CASES, bounded, forward, reverse

EXPECTED = {"mixture_of_logs": "jensen_shannon"}
"""Where a code is one only against an expectation."""


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("case", CASES)
def test_a_code_is_found_where_it_is_and_not_next_to_it(case):
    code = case.split()[0]
    expect = EXPECTED.get(case)
    guilty, innocent = (audit(loss, expect=expect) for loss in CASES[case])
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


@pytest.mark.parametrize("name", ["generalized_js(0.50)", "jensen_shannon"])
def test_an_expectation_has_every_name_of_its_divergence(name):
    assert "not_expected" not in audit(bounded, expect=name).faults
    assert "not_expected" in audit(reverse, expect=name).faults
    with pytest.raises(ValueError, match="unknown divergence"):
        audit(reverse, expect="alpha(x)")


def test_a_loss_of_the_wrong_sign_is_not_what_was_expected():
    ascent = audit(lambda student, teacher: -reverse(student, teacher), expect="reverse_kl")
    assert {"negative", "not_expected"} <= ascent.faults
    assert ascent.divergence == "reverse_kl"


def test_sums_of_both_kls_are_named_and_not_accused():
    for a, b in ((1, 1), (0.5, 0.5), (0.21, 0.21), (0.7, 0.1)):

        def weighted(student, teacher, a=a, b=b):
            return a * forward(student, teacher) + b * reverse(student, teacher)

        found = audit(weighted)
        assert (found.ok, found.divergence) == (True, "f_divergence"), str(found)
        assert any("averages log-probabilities" in sentence for sentence in found.findings)
        assert audit(weighted, expect="f_divergence").ok
        assert audit(weighted, expect="generalized_js(0.3)").faults == {"mixture_of_logs", "not_expected"}


def test_the_logarithm_of_an_affinity_is_no_mixture():
    def chernoff(student, teacher, w=0.3):
        return -(w * teacher.detach().log_softmax(-1) + (1 - w) * student.log_softmax(-1)).logsumexp(-1)

    found = audit(chernoff)
    assert (found.ok, found.divergence) == (True, "none"), str(found)
    assert "Chernoff's distance" in found.findings[0]


def test_a_constant_divisor_hides_the_square_of_the_temperature():
    def warm(student, teacher, size, T=2.0):
        return T**2 * reverse(student / T, teacher / T).sum() / size

    def divided(student, teacher):
        return warm(student, teacher, 1000)

    def by_batch(student, teacher):
        return warm(student, teacher, len(student))

    hidden, seen = audit(divided), audit(by_batch)
    assert (hidden.reduction, hidden.temperature, hidden.temperature_squared) == ("fixed", 2, None)
    assert "temperature_unscaled" not in hidden.warnings
    assert "hides it" in str(hidden)
    assert (seen.reduction, seen.temperature_squared) == ("batch_mean", True)


def test_the_student_against_its_own_copy_learns_nothing():
    found = audit(lambda student, teacher: reverse(student, student.detach()))
    assert (found.divergence, found.faults) == ("zero", {"zero_loss"})


def test_a_value_that_may_be_infinite_is_not_blamed_for_it():
    def straight_through(student, teacher):
        value, (log_p, log_q) = reverse(student, teacher), (x.log_softmax(-1) / 2 for x in (teacher.detach(), student))
        other = (log_p.exp() - log_q.exp()).square().sum(-1)
        return value.detach() + other - other.detach()

    found = audit(straight_through)
    assert (found.divergence, found.value, found.faults) == ("hellinger", "reverse_kl", {"gradient_not_of_value"})


def test_a_clipped_advantage_is_another_divergence():
    def clipped(student, teacher, labels):
        log_q, log_p = (x.log_softmax(-1).gather(-1, labels[..., None])[..., 0] for x in (student, teacher))
        return -(log_p - log_q).detach().clamp(-1, 1) * log_q

    found = audit(clipped, expect="reverse_kl")
    assert (found.divergence, found.estimator) == ("f_divergence", "policy_gradient")
    assert "not_expected" in found.faults
    assert "dead_zone" not in found.faults


def test_nan_at_a_masked_position_of_a_cost_per_token():
    def times(student, teacher, mask):
        return reverse(student, teacher) * mask

    def where(student, teacher, mask):
        return torch.where(mask == 1, reverse(student, teacher), 0.0)

    assert "mask_nan" in audit(times).warnings
    assert "mask_nan" not in audit(where).warnings


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
