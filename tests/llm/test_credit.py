"""Looking ahead, baselines, weights, reductions: against the core's estimators and their exact expectations."""

import numpy as np
import pytest
import torch

from distil_theory import estimators, objectives, trajectories
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL, HELLINGER, JENSEN_SHANNON, REVERSE_KL
from distil_theory.llm import credit, layout, losses, reductions, sampled
from tests.problems import random_pair

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
INF = float("inf")
precisions = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float32", "float64"])


class Case:
    """An unaliased random MDP, a student given by a torch leaf of logits `(H,S,A)`, and every rollout."""

    def __init__(self, dtype=torch.float64, steps=3, seed=3):
        self.mdp, theta, self.star = random_pair(steps, aliased=False, seed=seed, actions=2)
        theta = theta[:, np.asarray(self.mdp.observation)].astype(np.float32).astype(float)
        self.star = self.star.astype(np.float32).astype(float)
        self.star = self.star / self.star.sum(axis=2, keepdims=True)
        self.pi = np.exp(theta) / np.exp(theta).sum(axis=2, keepdims=True)
        self.theta = torch.tensor(theta, dtype=dtype, requires_grad=True)
        self.every = trajectories.enumerate_all(self.mdp)
        self.p = torch.tensor(trajectories.probability(self.mdp, self.pi, self.every), dtype=dtype)
        self.student = layout.along(self.theta, self.every)
        self.teacher = layout.along(torch.tensor(np.log(self.star), dtype=dtype), self.every)
        self.actions = layout.written(self.every)
        self.log_q, self.log_p = (sampled.log_prob(x, self.actions) for x in (self.student, self.teacher))

    def exact(self, objective, part, weight=None):
        g = objectives.loss_gradient(self.mdp, self.pi, self.star, objective, weight, part)
        return g[:, np.asarray(self.mdp.observation)]

    def expected(self, costs, **options):
        """`E grad` of the loss of a batch that is one rollout, over all rollouts."""
        terms = [
            credit.distillation_loss(
                costs[n : n + 1],
                self.log_q[n : n + 1],
                **{k: v[n : n + 1] if isinstance(v, torch.Tensor) else v for k, v in options.items()},
            )
            for n in range(len(costs))
        ]
        return torch.autograd.grad((self.p * torch.stack(terms)).sum(), self.theta, retain_graph=True)[0]


def error(found, exact):
    exact = torch.as_tensor(exact)
    return float((found.double() - exact).norm() / exact.norm())


@precisions
@pytest.mark.parametrize("part", ["local", "future", "full"])
@pytest.mark.parametrize("objective", [FORWARD_KL, CROSS_ENTROPY, REVERSE_KL, JENSEN_SHANNON, HELLINGER])
def test_expected_gradients_are_the_cores(objective, part, dtype):
    case = Case(dtype)
    costs = losses.token_cost(case.student, case.teacher, objective)
    assert error(case.expected(costs, part=part), case.exact(objective, part)) < TOLERANCE[dtype]


def test_the_gradient_of_each_rollout_is_the_cores_estimate():
    case = Case()
    values = torch.tensor(np.random.default_rng(0).normal(size=case.mdp.shape[:2]))
    at = layout.to_tokens(values[torch.arange(3)[:, None], torch.as_tensor(case.every.states)])
    for objective, part, kind, clip in (
        (CROSS_ENTROPY, "full", "none", None),
        (REVERSE_KL, "full", at, None),
        (FORWARD_KL, "local", "none", INF),
        (FORWARD_KL, "full", at, 1.2),
    ):
        theirs = estimators.samples(
            *(case.mdp, case.pi, case.star, objective, case.every, part),
            "none" if isinstance(kind, str) else values.numpy(),
            clip,
        )[:, np.asarray(case.mdp.observation)]
        costs = losses.token_cost(case.student, case.teacher, objective)
        weights = None if clip is None else credit.prefix_weights(case.log_q, case.log_p, clip=clip)
        for n in range(0, len(case.every), 29):
            one = slice(n, n + 1)
            loss = credit.distillation_loss(
                costs[one],
                case.log_q[one],
                part=part,
                kind=kind if isinstance(kind, str) else kind[one],
                weights=None if weights is None else weights[one],
            )
            ours = torch.autograd.grad(loss, case.theta, retain_graph=True)[0]
            torch.testing.assert_close(ours, torch.as_tensor(theirs[..., n]), rtol=1e-10, atol=1e-12)


@precisions
@pytest.mark.parametrize("clip", [0.7, 1.5, INF])
def test_prefix_weights_are_the_cores(clip, dtype):
    case = Case(dtype)
    ours = credit.prefix_weights(case.log_q, case.log_p, clip=clip)
    theirs = estimators.prefix_weights(case.mdp, case.pi, case.star, case.every, clip)
    assert error(layout.to_core(ours), theirs) < TOLERANCE[dtype]
    assert not ours.requires_grad
    costs = losses.token_cost(case.student, case.teacher, CROSS_ENTROPY)
    weight = estimators.mean_weight(case.mdp, case.pi, case.star, clip)
    if clip == INF:
        np.testing.assert_allclose(weight, objectives.occupancy_ratio(case.mdp, case.pi, case.star), rtol=1e-10)
    found = case.expected(costs, weights=ours)
    assert error(found, case.exact(CROSS_ENTROPY, "local", weight)) < TOLERANCE[dtype]


def test_where_the_teacher_is_the_student_weights_are_one():
    case = Case()
    assert (credit.prefix_weights(case.log_q, case.log_q.detach()) == 1).all()
    impossible = case.log_p.clone()
    impossible[:, 0] = -INF
    weights = credit.prefix_weights(case.log_q, impossible)
    assert (weights[:, 0] == 1).all()
    assert (weights[:, 1:] == 0).all()


@pytest.mark.parametrize("kind", ["position", "group"])
def test_leaving_oneself_out_keeps_the_mean(kind):
    """Every ordered pair of rollouts is a batch: the mean over all of them, each with its probability."""
    case = Case(steps=2, seed=5)
    costs = losses.token_cost(case.student, case.teacher, CROSS_ENTROPY)
    n = len(costs)
    for groups in ([0, 0],) if kind == "position" else ([0, 0], [0, 1]):
        total = 0
        for i in range(n):
            for j in range(n):
                both = [i, j]
                loss = credit.distillation_loss(
                    costs[both], case.log_q[both], part="full", kind=kind, groups=torch.tensor(groups)
                )
                total = total + case.p[i] * case.p[j] * loss
        found = torch.autograd.grad(total, case.theta, retain_graph=True)[0]
        assert error(found, case.exact(CROSS_ENTROPY, "full")) < 1e-10


def test_baselines_by_hand():
    later = torch.tensor([[3.0, 1.0], [5.0, 7.0], [1.0, 100.0]])
    mask = torch.tensor([[1, 1], [1, 1], [1, 0]])
    position = credit.baseline(later, "position", mask)
    assert position.tolist() == [[3, 7], [2, 1], [4, 4]]
    group = credit.baseline(later, "group", mask, torch.tensor([7, 7, 8]))
    assert group.tolist() == [[5, 7], [3, 1], [0, 0]]
    assert credit.baseline(later, "none", mask).tolist() == [[0, 0]] * 3
    assert torch.equal(credit.baseline(later, later, mask), later)


def test_costs_to_go_by_hand():
    costs = torch.tensor([[1.0, 2.0, 4.0, 8.0], [16.0, 32.0, np.nan, np.nan]], requires_grad=True)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]], dtype=torch.bool)
    later = credit.to_go(costs, mask)
    assert later.tolist() == [[14, 12, 8, 0], [32, 0, 0, 0]]
    assert not later.requires_grad
    assert credit.to_go(costs, mask, 0.5).tolist() == [[1 + 1 + 1, 2 + 2, 4, 0], [16, 0, 0, 0]]
    torch.testing.assert_close(credit.to_go(costs, mask, 1 - 1e-7), later)
    assert (credit.to_go(costs, mask, 0) == 0).all()
    assert (credit.to_go(costs[:, :1]) == 0).all()  # H = 1: nothing is ahead


def test_masked_tokens_change_nothing():
    """A batch in which some texts are shorter, against each text alone, cut to its length."""
    case = Case()
    rows, lengths = [0, 40, 100, 133], [3, 1, 2, 3]
    mask = torch.tensor([[h < n for h in range(3)] for n in lengths])
    costs = losses.token_cost(case.student, case.teacher, FORWARD_KL)[rows]
    log_q, log_p = case.log_q[rows], case.log_p[rows]
    for part in ("local", "full"):
        weights = credit.prefix_weights(log_q, log_p, mask, 2.0)
        together = credit.distillation_loss(costs, log_q, mask, part=part, weights=weights)
        mean = credit.distillation_loss(costs, log_q, mask, part=part, weights=weights, reduction="token_mean")
        alone = sum(
            credit.distillation_loss(
                costs[[i], :n],
                log_q[[i], :n],
                part=part,
                weights=credit.prefix_weights(log_q[[i], :n], log_p[[i], :n], clip=2.0),
            )
            for i, n in enumerate(lengths)
        )
        gradients = [
            torch.autograd.grad(x, case.theta, retain_graph=True)[0] for x in (together * 4, mean * sum(lengths), alone)
        ]
        torch.testing.assert_close(gradients[0], gradients[2])
        torch.testing.assert_close(gradients[1], gradients[2])


def test_reductions_by_hand():
    x = torch.tensor([[1.0, 2.0], [5.0, np.nan]])
    mask = torch.tensor([[1, 1], [1, 0]])
    assert reductions.reduce(x, mask).item() == 4
    assert reductions.reduce(x, mask, "token_mean").item() == pytest.approx(8 / 3)
    # with sequences of one length the two are proportional
    assert reductions.reduce(x[:1]) == 2 * reductions.reduce(x[:1], how="token_mean")


X = torch.ones(2, 3)
BAD = {
    "cost must be a tensor": lambda: credit.to_go([[1.0]]),
    r"cost has shape \(3,\)": lambda: credit.to_go(X[0]),
    "cost at batch=1, token=2 is nan": lambda: reductions.reduce(torch.tensor([[1.0, 1, 1], [1, 1, np.nan]])),
    "mask is all zero": lambda: reductions.reduce(X, 0 * X),
    "mask has an entry that is neither 0 nor 1": lambda: reductions.reduce(X, 2 * X),
    "mask must be a tensor": lambda: reductions.reduce(X, [[1, 1, 1]] * 2),
    r"mask has shape \(2, 2\)": lambda: reductions.reduce(X, X[:, :2]),
    "unknown reduction 'mean'": lambda: reductions.reduce(X, how="mean"),
    r"discount must lie in \[0, 1\], not 1.1": lambda: credit.to_go(X, discount=1.1),
    r"discount must lie in \[0, 1\], not nan": lambda: credit.to_go(X, discount=np.nan),
    "unknown baseline 'mean'": lambda: credit.baseline(X, "mean"),
    r"baseline 'group' needs groups of shape \(2,\), not none": lambda: credit.baseline(X, "group"),
    r"baseline 'group' needs groups of shape \(2,\), not \(3,\)": lambda: credit.baseline(
        X, "group", groups=torch.zeros(3)
    ),
    r"baseline has shape \(1, 3\)": lambda: credit.baseline(X, X[:1]),
    "baseline at batch=0, token=0 is nan": lambda: credit.baseline(X, X * np.nan),
    "clip must be positive, not 0": lambda: credit.prefix_weights(X, X, clip=0),
    "the log ratio teacher/student at batch=0, token=0 is nan": lambda: credit.prefix_weights(X, X * np.nan),
    "unknown part of the gradient": lambda: credit.distillation_loss(X, part="past"),
    "looks ahead: it needs log_probs": lambda: credit.distillation_loss(X, part="full"),
    r"weights has shape \(2, 1\)": lambda: credit.distillation_loss(X, weights=X[:, :1]),
    "cost-to-go has shape": lambda: credit.future_term(X, X[:1], X),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_has_one_clear_error(message):
    with pytest.raises(ValueError, match=message):
        BAD[message]()
