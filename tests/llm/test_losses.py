"""The torch losses against the core's exact definitions: values and gradients, in two precisions, and at limits."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from distil_theory import Bandit, divergences, objectives
from distil_theory.divergences import BY_NAME, CROSS_ENTROPY, FORWARD_KL, HELLINGER, JENSEN_SHANNON, REVERSE_KL
from distil_theory.llm import layout, losses, sampled
from distil_theory.llm.losses import token_cost

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
SMOOTH = [d for d in divergences.CATALOGUE if d.name != "total_variation"]
FAMILIES = [
    (losses.generalized_js(beta, convention), divergences.generalized_js(beta, convention))
    for beta in (0, "1/10", 0.5, 0.9, 1)
    for convention in ("special_cased", "continuous")
] + [(losses.skewed_js(beta), divergences.skewed_js(beta)) for beta in (0.1, 1, 8)]
PAIRS = [(d, d) for d in (*SMOOTH, CROSS_ENTROPY, divergences.alpha(0.3), divergences.TOTAL_VARIATION)] + FAMILIES
precisions = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float32", "float64"])


def logits(dtype, seed=0, shape=(4, 3, 5), spread=1.5):
    """Student and teacher, representable in float32, so that both precisions mean the same numbers."""
    rng = np.random.default_rng(seed)
    made = (torch.tensor(rng.normal(size=shape) * spread, dtype=torch.float32) for _ in range(2))
    return [x.to(dtype) for x in made]


def tables(*many):
    """As core policies `(1, 1, A, N)` in float64, one bandit per token."""
    return [torch.softmax(x.double(), -1).flatten(0, 1).T[None, None].detach().numpy() for x in many]


def gradient(cost, x):
    return torch.autograd.grad(cost.sum(), x)[0]


def error(found, exact):
    exact = torch.as_tensor(exact)
    return float((found.detach().double() - exact).norm() / exact.norm())


@precisions
@pytest.mark.parametrize(("ours", "core"), PAIRS, ids=lambda d: d.name)
def test_costs_and_gradients_are_the_cores(ours, core, dtype):
    student, teacher = logits(dtype)
    student.requires_grad_()
    pi, star = tables(student, teacher)
    cost = token_cost(student, teacher, ours)
    assert cost.shape == student.shape[:2]
    assert cost.dtype == dtype
    assert error(cost.flatten(), core.value(star, pi, axis=2)[0, 0]) < TOLERANCE[dtype]
    exact = objectives.loss_gradient(Bandit(np.zeros(5)), pi, star, core)[0, 0].T.reshape(student.shape)
    assert error(gradient(cost, student), exact) < TOLERANCE[dtype]


@precisions
@pytest.mark.parametrize("objective", [*SMOOTH, CROSS_ENTROPY, losses.skewed_js(0.5)], ids=lambda d: d.name)
def test_where_the_two_agree_nothing_moves(objective, dtype):
    student, _ = logits(dtype)
    student.requires_grad_()
    cost = token_cost(student, student.detach() + 3, objective)  # logits are known up to a constant
    if objective is CROSS_ENTROPY:
        entropy = -(torch.softmax(student, -1) * torch.log_softmax(student, -1)).sum(-1)
        torch.testing.assert_close(cost, entropy)
    else:
        assert cost.abs().max() < TOLERANCE[dtype]
    assert gradient(cost, student).abs().max() < TOLERANCE[dtype]


def test_the_teacher_is_a_constant_unless_asked():
    student, teacher = (x.requires_grad_() for x in logits(torch.float64))
    token_cost(student, teacher, REVERSE_KL).sum().backward()
    assert teacher.grad is None
    token_cost(student, teacher, REVERSE_KL, teacher_gradient=True).sum().backward()
    p, q = torch.softmax(teacher, -1), torch.softmax(student, -1)
    torch.testing.assert_close(teacher.grad, (p - q).detach())  # d/d teacher of -sum q log p


@pytest.mark.parametrize("convention", ["special_cased", "continuous"])
def test_the_two_conventions_at_the_ends(convention):
    student, teacher = logits(torch.float64)
    ends = [token_cost(student, teacher, losses.generalized_js(b, convention)) for b in (0, 1)]
    near = [token_cost(student, teacher, losses.generalized_js(b, convention)) for b in (1e-6, 1 - 1e-6)]
    for end, close, kl in zip(ends, near, (FORWARD_KL, REVERSE_KL), strict=True):
        torch.testing.assert_close(end, token_cost(student, teacher, kl))
        if convention == "continuous":
            torch.testing.assert_close(close, end, rtol=1e-4, atol=0)
        else:
            assert (close < 1e-4 * end).all()  # it jumps


@pytest.mark.parametrize("objective", [*BY_NAME.values(), CROSS_ENTROPY, losses.skewed_js(1)], ids=lambda d: d.name)
def test_far_apart_nothing_is_nan(objective):
    student = torch.tensor([[[0.0, -60.0, 30.0]], [[40.0, 0.0, -40.0]]], requires_grad=True)
    cost = token_cost(student, torch.tensor([[[-50.0, 0.0, 10.0]], [[-40.0, 0.0, 40.0]]]), objective)
    grad = gradient(cost, student)
    assert torch.isfinite(cost).all()
    assert torch.isfinite(grad).all()
    assert (cost >= 0).all()


def test_impossible_tokens_of_the_teacher():
    student, teacher = logits(torch.float64)
    teacher[..., 2] = -float("inf")
    student.requires_grad_()
    pi, star = tables(student, teacher)
    for objective in (FORWARD_KL, CROSS_ENTROPY, JENSEN_SHANNON, HELLINGER, BY_NAME["pearson_chi2"]):
        cost = token_cost(student, teacher, objective)
        assert error(cost.flatten(), objective.value(star, pi, axis=2)[0, 0]) < 1e-10
        exact = objectives.loss_gradient(Bandit(np.zeros(5)), pi, star, objective)[0, 0].T.reshape(student.shape)
        assert error(gradient(cost, student), exact) < 1e-10
    with pytest.raises(ValueError, match=r"batch=0, token=0, vocab=2 are -inf: reverse_kl .* full support"):
        token_cost(student, teacher, REVERSE_KL)


def test_half_precision_is_computed_in_float32():
    student, teacher = (x.bfloat16() for x in logits(torch.float32))
    cost = token_cost(student, teacher, FORWARD_KL)
    assert cost.dtype == torch.float32
    torch.testing.assert_close(cost, token_cost(student.float(), teacher.float(), FORWARD_KL))


# --- top-k
# ----------------------------------------------------------------------------------------------------------------


@precisions
@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("objective", [*SMOOTH, CROSS_ENTROPY], ids=lambda d: d.name)
def test_top_k_is_the_divergence_of_the_buckets(objective, k, dtype):
    student, teacher = logits(dtype)
    student.requires_grad_()
    pi, star = tables(student, teacher)
    order = np.argsort(-star, axis=2, kind="stable")
    bucketed = []
    for x in (pi, star):
        x = np.take_along_axis(x, order, axis=2)
        bucketed.append(x if k == 5 else np.concatenate([x[:, :, :k], x[:, :, k:].sum(axis=2, keepdims=True)], axis=2))
    cost = token_cost(*losses.top_k(student, teacher, k), objective)
    assert error(cost.flatten(), objective.value(bucketed[1], bucketed[0], axis=2)[0, 0]) < TOLERANCE[dtype]
    # chain rule: within the tail every token moves in proportion to its share
    score = objective.h(bucketed[1] / bucketed[0])
    spread = np.concatenate([score[:, :, :k], np.repeat(score[:, :, k:], 5 - k, axis=2)], axis=2)
    spread = np.take_along_axis(spread, np.argsort(order, axis=2), axis=2)
    exact = -pi * (spread - (pi * spread).sum(axis=2, keepdims=True))
    assert error(gradient(cost, student), exact[0, 0].T.reshape(student.shape)) < TOLERANCE[dtype]


def test_top_k_grows_with_k_to_the_whole():
    student, teacher = logits(torch.float64)
    for objective in SMOOTH:
        costs = [token_cost(*losses.top_k(student, teacher, k), objective) for k in range(1, 6)]
        for less, more in pairwise(costs):
            assert (less <= more + 1e-12).all()
        torch.testing.assert_close(costs[-1], token_cost(student, teacher, objective))


def test_a_teacher_that_shows_k_tokens():
    student, teacher = logits(torch.float64)
    for k in (2, 5):
        shown, ids = torch.log_softmax(teacher, -1).topk(k, dim=-1)
        for ours, whole in zip(losses.shown(student, ids, shown), losses.top_k(student, teacher, k), strict=True):
            torch.testing.assert_close(ours, whole)
    certain = torch.zeros(4, 3, 1, dtype=torch.float64)
    tail = losses.shown(student, ids[..., :1], certain)[1][..., 1]
    torch.testing.assert_close(tail, 0 * tail + np.log(torch.finfo(torch.float64).eps))


# --- sampled tokens: exact expectations over the vocabulary
# -------------------------------------------------------------------------------------------------------------


def expected(form, law, student, teacher):
    """`E_{y ~ law}` of the value and of the gradient of a form of `log q(y)` and `log p(y)`."""
    value, grad = 0, 0
    for y in range(student.shape[-1]):
        x = student.detach().requires_grad_()
        ids = torch.full(x.shape[:2], y)
        cost = form(sampled.log_prob(x, ids), sampled.log_prob(teacher, ids))
        weight = law[..., y].detach()
        value = value + weight * cost.detach()
        grad = grad + gradient(weight * cost, x)
    return value, grad


def exactly(objective, student, teacher):
    x = student.detach().requires_grad_()
    cost = token_cost(x, teacher, objective)
    return cost.detach(), gradient(cost, x)


@pytest.mark.parametrize(
    ("estimator", "value_of", "gradient_of"),
    [("k1", REVERSE_KL, None), ("k2", None, REVERSE_KL), ("k3", REVERSE_KL, FORWARD_KL)],
)
def test_what_k1_k2_k3_are_unbiased_for(estimator, value_of, gradient_of):
    student, teacher = logits(torch.float64)
    law = torch.softmax(student, -1)
    value, grad = expected(lambda q, p: sampled.reverse_kl(q, p, estimator), law, student, teacher)
    if value_of:
        torch.testing.assert_close(value, exactly(value_of, student, teacher)[0])
    else:
        assert (abs(value - exactly(REVERSE_KL, student, teacher)[0]) > 1e-3).any()
    if gradient_of:
        torch.testing.assert_close(grad, exactly(gradient_of, student, teacher)[1])
    else:
        assert grad.abs().max() < 1e-12


@precisions
@pytest.mark.parametrize(
    "objective", [*SMOOTH, losses.generalized_js(0.2), divergences.alpha(0.4)], ids=lambda d: d.name
)
def test_the_general_sampled_form_is_unbiased(objective, dtype):
    student, teacher = logits(dtype)
    law = torch.softmax(student, -1)
    found = expected(lambda q, p: sampled.divergence(q, p, objective), law, student, teacher)
    for ours, exact in zip(found, exactly(objective, student.double(), teacher.double()), strict=True):
        assert error(ours, exact) < 10 * TOLERANCE[dtype]  # ratios are formed here
    same = sampled.log_prob(student.requires_grad_(), torch.zeros(4, 3, dtype=torch.long))
    still = sampled.divergence(same, same.detach(), objective)
    assert gradient(still, student).abs().max() < TOLERANCE[dtype]


def test_a_teachers_token_is_unbiased_for_the_cross_entropy():
    student, teacher = logits(torch.float64)
    law = torch.softmax(teacher, -1)
    value, grad = expected(lambda q, p: -q, law, student, teacher)
    torch.testing.assert_close(value, exactly(CROSS_ENTROPY, student, teacher)[0])
    torch.testing.assert_close(grad, exactly(FORWARD_KL, student, teacher)[1])
    labels = torch.tensor([[1, 2, 0]] * 4)
    torch.testing.assert_close(sampled.cross_entropy(student, labels), -sampled.log_prob(student, labels))


# --- layout and errors
# -------------------------------------------------------------------------------------------------------------


def test_layout_goes_there_and_back():
    x = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)  # (H, S, A, B)
    tokens = layout.to_tokens(x)
    assert tokens.shape == (15, 2, 4)
    assert torch.equal(tokens[1 * 5 + 2], x[:, 1, :, 2])
    assert torch.equal(layout.to_core(tokens, (5,)), x)
    assert torch.equal(layout.to_core(layout.to_tokens(x[..., 0])), x[..., 0])
    assert torch.equal(layout.to_core(layout.to_tokens(x[..., 0, 0])), x[..., 0, 0])
    for bad in (lambda: layout.to_tokens(x[0, 0, 0]), lambda: layout.to_core(x), lambda: layout.to_core(tokens, (4,))):
        with pytest.raises(ValueError, match=r"axes|do not fill"):
            bad()


def spoiled(at, value):
    x = logits(torch.float64)[0]
    x[at] = value
    return x


GOOD, OTHER = logits(torch.float64)
INF = float("inf")
IDS = torch.tensor([[0, 1, 2]] * 4)
BAD = {
    "student logits must be a tensor": lambda: token_cost(np.zeros((1, 2, 3)), OTHER),
    "student logits must hold floating": lambda: token_cost(torch.ones(1, 2, 3, dtype=torch.long), OTHER),
    r"student logits has shape \(3, 5\)": lambda: token_cost(GOOD[0], OTHER),
    "none of them empty": lambda: token_cost(GOOD[:0], OTHER[:0]),
    "student logits at batch=1, token=2, vocab=0 is nan": lambda: token_cost(spoiled((1, 2, 0), np.nan), OTHER),
    "student logits at batch=1, token=2, vocab=0 is -inf": lambda: token_cost(spoiled((1, 2, 0), -INF), OTHER),
    r"teacher logits has shape \(2, 3, 5\)": lambda: token_cost(GOOD, OTHER[:2]),
    r"teacher logits has shape \(4, 3, 3\)": lambda: token_cost(GOOD, OTHER[..., :3]),
    "teacher logits is torch.float32 on cpu": lambda: token_cost(GOOD, OTHER.float()),
    "teacher logits at batch=0, token=1, vocab=4 are nan": lambda: token_cost(GOOD, spoiled((0, 1, 4), np.nan)),
    "teacher logits at batch=0, token=1, vocab=4 are inf": lambda: token_cost(GOOD, spoiled((0, 1, 4), INF)),
    "teacher logits at batch=0, token=1 are all -inf": lambda: token_cost(GOOD, spoiled((0, 1), -INF)),
    "divergence must be an FDivergence": lambda: token_cost(GOOD, OTHER, "reverse_kl"),
    "k must be a whole number in 1..5, not 6": lambda: losses.top_k(GOOD, OTHER, 6),
    "k must be a whole number in 1..5, not 0": lambda: losses.top_k(GOOD, OTHER, 0),
    "do not fit": lambda: losses.shown(GOOD, IDS, OTHER[..., 0:1]),
    "out of range 0..4": lambda: losses.shown(GOOD, IDS[..., None] + 3, -OTHER[..., 0:1].abs()),
    "name a token twice": lambda: losses.shown(GOOD, 0 * IDS[..., None].repeat(1, 1, 2), -3 - OTHER[..., :2].abs()),
    "sum to 2.* expected at most one": lambda: losses.shown(GOOD, IDS[..., None], 0 * OTHER[..., :1] + np.log(2)),
    "sum to nan": lambda: losses.shown(GOOD, IDS[..., None], 0 * OTHER[..., :1] + np.nan),
    "tokens must be a tensor of whole numbers": lambda: sampled.log_prob(GOOD, GOOD[..., 0]),
    "tokens at batch=0, token=2 is 5": lambda: sampled.log_prob(GOOD, torch.tensor([[0, 0, 5]] * 4)),
    "tokens has shape": lambda: sampled.cross_entropy(GOOD, torch.zeros(4, 2, dtype=torch.long)),
    "unknown estimator 'k4'": lambda: sampled.reverse_kl(GOOD[..., 0], OTHER[..., 0], "k4"),
    "teacher log-probability at batch=1, token=0 is nan": lambda: sampled.divergence(
        GOOD[..., 0], spoiled((1, 0, 0), np.nan)[..., 0], REVERSE_KL
    ),
    "generalized_js beta must lie in": lambda: losses.generalized_js(2),
    "unknown convention": lambda: losses.generalized_js(0.5, "trl"),
    "skewed_js beta must be positive": lambda: losses.skewed_js(0),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_has_one_clear_error(message):
    with pytest.raises(ValueError, match=message):
        BAD[message]()
