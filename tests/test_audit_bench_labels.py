"""The labels of the audit bench against exact divergences and correct twins; nothing here uses the auditor."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from tests.audit_bench import faulty, labels, measure, misweighted, probes, table, twins  # noqa: E402  # they need torch
from tests.audit_bench.cases import Case, canonical, same, truth  # noqa: E402
from tests.audit_bench.composed import COMPOSED, compose  # noqa: E402
from tests.audit_bench.correct import kl_masked_mean, reverse_log_target, symmetric  # noqa: E402
from tests.audit_bench.named import NAMED  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")  # one case is what it warns of
ALL = (*NAMED, *COMPOSED)
cases = pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)


def test_the_bench_is_as_large_as_promised():
    assert len(NAMED) >= 40
    assert len(COMPOSED) == 200
    assert len({case.name for case in ALL}) == len(ALL)
    assert 80 <= sum(not case.truth.faults for case in COMPOSED) <= 120


def test_the_same_number_composes_the_same_loss():
    assert (compose(17).name, compose(17).truth) == (COMPOSED[17].name, COMPOSED[17].truth)


@cases
def test_divergence_reduction_temperature_and_value(case):
    assert labels.wrong_gradient(case) == ""
    assert labels.wrong_value(case) == ""
    assert twins.wrong_support(case) == ""


@cases
def test_faults(case):
    found, said = measure.measured(case), case.truth.faults
    assert found - case.truth.tolerated <= said, "a fault without a label"
    assert said & measure.MEASURED <= found, "a label without its fault"
    assert twins.wrong_fault(case) == ""
    if case.truth.stop_gradient is not None:
        assert case.truth.stop_gradient == ("teacher_gradient" not in found)


@pytest.mark.parametrize(
    "case", [c for c in ALL if "mask_nan" in c.truth.warnings | c.truth.unwarned], ids=lambda case: case.name
)
def test_nan_at_a_masked_position_poisons_the_sum_where_it_is_said_to(case):
    at = probes.probe(40)
    at.student[at.mask == 0] = float("nan")
    assert bool(probes.cost(case, at).isnan().any()) == ("mask_nan" in case.truth.warnings)


def test_a_loss_that_upcasts_is_right_in_half_precision():
    (case,) = [c for c in ALL if "half_precision" in c.truth.unwarned]
    at = probes.probe(41, dtype=torch.bfloat16)
    exact = probes.cost(case, at.with_(student=at.student.double(), teacher=at.teacher.double()))
    assert probes.cost(case, at).item() == pytest.approx(exact.item(), rel=1e-3)


RIGHT = truth("forward_kl", "token_mean")


@pytest.mark.parametrize(
    ("loss", "wrong"),
    [
        (kl_masked_mean, truth("reverse_kl", "token_mean")),
        (kl_masked_mean, truth("forward_kl", "token_sum")),
        (kl_masked_mean, truth("forward_kl", "padded_mean")),
        (kl_masked_mean, truth("forward_kl", "token_mean", temperature=2.0)),
        (kl_masked_mean, truth("zero", "token_mean")),
        (kl_masked_mean, truth("none", "token_mean")),
        (kl_masked_mean, truth("forward_kl", "token_mean", value="cross_entropy")),
        (faulty.logit_mixture, truth("f_divergence", "token_mean")),
        (symmetric, truth("alpha(0.5)", "token_mean")),
        (faulty.truncated_forward, truth(None, "token_mean", support="tail_dropped", top_k=4)),
        (faulty.truncated_forward, truth(None, "token_mean", support="tail_bucket", top_k=3)),
    ],
)
def test_wrong_labels_are_noticed(loss, wrong):
    case = Case("wrong", loss, wrong)
    assert labels.wrong_gradient(case) or labels.wrong_value(case) or twins.wrong_support(case)


@pytest.mark.parametrize(
    ("loss", "code"),
    [
        (misweighted.teacher_attached, "teacher_gradient"),
        (misweighted.fused_backward_of_the_other, "gradient_not_of_value"),
        (misweighted.weights_detached, "zero_loss"),
        (faulty.truncated_forward, "negative"),
        (faulty.epsilon_in_the_log, "dead_zone"),
        (faulty.special_ends, "parameter_jump"),
        (misweighted.padded_mean, "padding_dependent"),
        (faulty.log_of_softmax, "overflow"),
        (faulty.plain_log_target, "nan_at_zero"),
        (misweighted.mask_forgotten, "mask_ignored"),
        (misweighted.mask_sliced, "mask_shifted"),
        (misweighted.student_masked_only, "mask_leak"),
    ],
)
def test_each_measurement_sees_its_fault_and_not_in_a_correct_loss(loss, code):
    assert code in measure.measured(Case("faulty", loss, RIGHT, twin=kl_masked_mean))
    assert not measure.measured(Case("right", kl_masked_mean, RIGHT))


def test_expectations_and_twins_are_compared():
    met = Case("met", kl_masked_mean, truth("forward_kl", "token_mean", "not_expected"), expect="forward_kl")
    unmet = Case("unmet", kl_masked_mean, RIGHT, expect="reverse_kl")
    equal = Case("equal", kl_masked_mean, truth("forward_kl", "token_mean", "overflow"), twin=kl_masked_mean)
    assert all(twins.wrong_fault(case) for case in (met, unmet, equal, replace(equal, twin=None)))
    assert twins.wrong_fault(replace(equal, twin=reverse_log_target)) == ""


def test_names_of_reports_are_compared_by_what_they_mean():
    assert same("generalized_js(0.5)", "jensen_shannon")
    assert same("alpha(0.302)", ("none", "alpha(0.3)"))
    assert not same("alpha(0.4)", "alpha(0.3)")
    assert not same(None, "none")
    assert canonical("alpha(-1.0)") == "neyman_chi2"


def perfect(case):
    """The report that a perfect auditor would give."""
    names = {name: getattr(case.truth, name) for name in table.FIELDS}
    return SimpleNamespace(
        **{k: v[0] if isinstance(v, tuple) else v for k, v in names.items()}, faults=case.truth.faults
    )


def test_the_table_has_no_fault_with_a_perfect_auditor_and_counts_those_of_a_bad_one():
    by_loss = {case.loss: case for case in ALL}
    rows = table.run(lambda loss, **_: perfect(by_loss[loss]), COMPOSED)
    assert set(rows.verdict) == {"right", "named"}
    assert table.share(rows, "fault", ("named", "missed")) == 1
    assert "all right" in table.text(rows)

    blind = truth("forward_kl", "token_mean", "overflow")
    rows = table.run(lambda loss, **_: perfect(Case("", loss, blind)), COMPOSED)
    assert table.by_fault(rows).loc["overflow", "falsely accused"] == sum(not c.truth.faults for c in COMPOSED)
    assert table.share(rows, "fault", ("named", "missed")) < 0.1
    assert table.confusion(rows, "divergence").loc["hellinger", "forward_kl"] > 0

    def fails(loss, **_):
        raise RuntimeError("no")

    rows = table.run(fails, COMPOSED[:2])
    assert list(rows.kind) == ["error", "error"]
    assert table.share(rows, "fault", ("named", "missed")) == 0
