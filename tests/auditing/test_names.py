"""What an audit names: divergences, reductions, estimators, temperatures, through losses written elsewhere."""

import json
import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from distil_theory import Bandit, audit, instances, objectives
from distil_theory import divergences as core
from distil_theory.llm import losses, reductions, sampled
from tests.auditing.compose import REDUCTIONS, reduce
from tests.auditing.faulty import forward, reverse

NAMED = [(d, d.name) for d in core.CATALOGUE]
FAMILIES = [
    (losses.generalized_js(0.1), "generalized_js(0.1)", 1),
    (losses.generalized_js(0.7, "continuous"), "generalized_js(0.7)", 1 / 0.21),
    (losses.skewed_js(1), "jensen_shannon", 4),
    (losses.skewed_js(3), "generalized_js(0.75)", 1 / 0.1875),
    (core.alpha(0.5), "hellinger", 2),
    (core.alpha(2), "pearson_chi2", 0.5),
    (core.alpha(1.5), "alpha(1.5)", 1),
    (core.alpha(-0.5), "alpha(-0.5)", 1),
]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("precision", [torch.float64, torch.float32])
@pytest.mark.parametrize(("objective", "name"), NAMED, ids=lambda x: x if isinstance(x, str) else "")
def test_each_divergence_of_the_catalogue_is_named_with_scale_1(objective, name, precision):
    found = audit(lambda student, teacher: losses.token_cost(student.to(precision), teacher.to(precision), objective))
    assert (found.divergence, found.value, found.reduction, found.support) == (name, name, "none", "full")
    assert (found.scale, found.value_scale) == (pytest.approx(1, rel=1e-3), pytest.approx(1, rel=1e-3))
    assert found.ok, str(found)


@pytest.mark.parametrize(("objective", "name", "scale"), FAMILIES, ids=lambda x: x if isinstance(x, str) else "")
def test_families_are_named_by_their_parameter(objective, name, scale):
    found = audit(lambda student, teacher: losses.token_cost(student, teacher, objective).mean())
    assert (found.divergence, found.value, found.reduction) == (name, name, "token_mean")
    assert found.scale == pytest.approx(scale, rel=1e-4)
    assert found.faults <= {"overflow", "nan_at_zero"}  # alpha: the general formula forms the ratio


def test_a_cross_entropy_has_the_gradient_of_forward_kl():
    found = audit(losses.token_cost)
    assert (found.divergence, found.value, found.faults) == ("forward_kl", "cross_entropy", frozenset())


@pytest.mark.parametrize("how", [*REDUCTIONS, "sequence_sum"])
def test_reductions_are_named(how):
    def loss(student, teacher, mask):
        c = forward(student, teacher)
        return ((c * mask).sum(1) / mask.sum(1)).sum() if how == "sequence_sum" else reduce(how, c, mask)

    assert audit(loss).reduction == ("other" if how == "sequence_sum" else how)


def test_the_reductions_of_the_library():
    for how, name in (("token_sum", "batch_mean"), ("token_mean", "token_mean")):
        found = audit(lambda student, teacher, mask, how=how: reductions.reduce(forward(student, teacher), mask, how))
        assert (found.reduction, found.faults) == (name, frozenset())


@pytest.mark.parametrize(("T", "squared"), [(2.0, True), (2.0, False), (0.7, True), (4.0, False)])
def test_temperatures(T, squared):
    found = audit(lambda student, teacher: (T**2 if squared else 1) * reverse(student / T, teacher / T).sum())
    assert (found.temperature, found.temperature_squared, found.divergence) == (T, squared, "reverse_kl")
    assert ("temperature_unscaled" in found.warnings) == (not squared)
    assert found.reduction == "token_sum"


def test_top_k_with_a_bucket_is_the_divergence_of_buckets():
    def loss(student, teacher):
        return losses.token_cost(*losses.top_k(student, teacher, 3), core.REVERSE_KL)

    found = audit(loss)
    assert (found.divergence, found.support, found.top_k, found.faults) == ("reverse_kl", "tail_bucket", 3, set())


def test_a_large_k_is_found_in_a_large_vocabulary():
    def loss(student, teacher):
        ids = teacher.topk(min(50, teacher.shape[-1]), -1).indices
        return forward(student.gather(-1, ids), teacher.gather(-1, ids))

    assert (audit(loss).support, audit(loss).top_k) == ("renormalised", 50)


def _log_ratio(student, teacher, labels):
    return sampled.log_prob(student, labels), sampled.log_prob(teacher, labels).detach()


ESTIMATORS = {
    "k1": (lambda q, p: q - p, "zero", "reverse_kl", {"zero_loss"}),
    "k2": (lambda q, p: (q - p) ** 2 / 2, "reverse_kl", "none", set()),
    "k3": (lambda q, p: torch.expm1(p - q) + q - p, "forward_kl", "reverse_kl", set()),
    "nll": (lambda q, p: -q, "zero", "none", set()),
    "policy_gradient": (lambda q, p: (q - p).detach() * q, "reverse_kl", "none", {"gradient_not_of_value"}),
    "other": (lambda q, p: (q - p) ** 4, "f_divergence", "none", set()),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_and_their_expectations(name):
    cost, divergence, value, faults = ESTIMATORS[name]
    found = audit(lambda student, teacher, labels: cost(*_log_ratio(student, teacher, labels)))
    assert (found.estimator, found.support) == (name, "sampled")
    assert (found.divergence, found.value, found.faults) == (divergence, value, faults)


def test_numpy_losses():
    def loss(student, teacher, mask):
        log_p, log_q = log_softmax(teacher, -1), log_softmax(student, -1)
        return (np.exp(log_q) * (log_q - log_p)).sum(-1)[mask == 1].sum() / len(mask)

    found = audit(loss)
    assert (found.divergence, found.value, found.reduction, found.ok) == (
        "reverse_kl",
        "reverse_kl",
        "batch_mean",
        True,
    )
    assert found.stop_gradient


def test_labels_of_minus_100_are_a_mask():
    def loss(student, teacher, labels):
        return forward(student, teacher)[labels != -100].mean()

    found = audit(loss)
    assert (found.reduction, found.support, found.faults) == ("token_mean", "full", frozenset())
    assert any("-100" in sentence for sentence in found.findings)


def test_a_softmax_over_the_wrong_axis_is_said_to_be_one():
    def loss(student, teacher):
        log_p, log_q = teacher.detach().log_softmax(1), student.log_softmax(1)
        return (log_p.exp() * (log_p - log_q)).sum(-1).mean()

    found = audit(loss)
    assert found.divergence == "none"
    assert any("wrong axis" in sentence for sentence in found.findings)


@pytest.mark.parametrize("objective", core.CATALOGUE, ids=lambda d: d.name)
def test_the_rate_through_the_loss_is_that_of_the_core(objective):
    _, mdp, student, expert, _ = instances.teaching_bandit()
    reward, student, expert = (np.array(x, dtype=float) for x in (mdp.reward, student, expert))
    exact = float(objectives.improvement_rate(Bandit(reward.ravel()), student, expert, objective))
    found = audit(lambda student, teacher: losses.token_cost(student, teacher, objective).mean())
    assert found.claims[0]["rate"] == pytest.approx(exact, rel=1e-6)
    assert found.claims[-1]["holds"] == (objective is core.FORWARD_KL)
    if objective is not core.FORWARD_KL:
        assert found.claims[-1]["falls_on"], "each other divergence has a certificate that falls through the loss"


def test_a_report_is_json_text_and_a_picture(tmp_path):
    found = audit(CURVE)
    text = json.dumps(found.as_dict(), allow_nan=False)
    assert json.loads(text)["divergence"] == "f_divergence"
    assert math.isnan(found.scale)
    assert json.loads(text)["scale"] is None
    assert "f_divergence" in str(found)
    assert found.figure(tmp_path / "h.png").stat().st_size > 10_000
    assert audit(reverse).figure(tmp_path / "r.png").exists()


def CURVE(student, teacher):  # noqa: N802
    """KL to a mixture: an f-divergence that has no name here."""
    log_p, log_q = teacher.detach().log_softmax(-1), student.log_softmax(-1)
    return (log_p.exp() * (log_p - torch.logaddexp(log_p + np.log(0.1), log_q + np.log(0.9)))).sum(-1).mean()


def test_the_fitted_curve_is_the_h_that_it_should_be():
    found = audit(CURVE)
    log_u, h = found.points
    u = np.exp(log_u)
    exact = 0.9 * u / (0.1 * u + 0.9)  # u f' - f of f = u log(u / (0.1 u + 0.9))
    middle = abs(log_u) < 2
    scale = np.polyfit(exact[middle], h[middle], 1)
    assert np.allclose(np.polyval(scale, exact[middle]), h[middle], atol=0.02 * np.ptp(h[middle]))


BAD = [
    (3, "must be a function"),
    (lambda: None, "takes no student logits"),
    (lambda student, teacher, weight: None, "needs a value for 'weight'"),
    (lambda student, teacher: student.sum(-1).flatten(), "expected a scalar or"),
    (lambda student, teacher: 1 / 0, "ZeroDivisionError"),
    (lambda student, teacher: (student, teacher), "returned tuple"),
    (lambda student, teacher: (student * torch.rand(1)).sum(), "two values for the same logits"),
]


@pytest.mark.parametrize(("loss", "words"), BAD)
def test_bad_losses_are_refused_in_one_clear_sentence(loss, words):
    with pytest.raises(ValueError, match=words):
        audit(loss)


def test_a_wrapper_that_hides_its_arguments_and_a_module_can_be_audited():
    def wrapped(*arguments):
        return reverse(*arguments)

    class Module(torch.nn.Module):
        def forward(self, teacher_logits, student_logits, mask=None, strength=1.0):
            return strength * (reverse(student_logits, teacher_logits) * mask).sum() / mask.sum()

    assert audit(wrapped, expect="reverse_kl").ok
    found = audit(Module(), expect="reverse_kl", expect_reduction="token_mean", parameters={"strength": 2})
    assert (found.ok, found.scale) == (True, pytest.approx(2))


def test_bad_names_are_refused():
    with pytest.raises(ValueError, match="unknown divergence 'kl'"):
        audit(forward, expect="kl")
    with pytest.raises(ValueError, match="unknown reduction 'mean'"):
        audit(forward, expect_reduction="mean")
    with pytest.raises(ValueError, match="has no parameter 'beta'"):
        audit(forward, parameters={"beta": 1.0})
