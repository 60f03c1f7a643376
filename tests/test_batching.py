"""Cutting a batch into pieces changes no number, and every function that is cut says so here."""

import numpy as np
import pytest

from distil_theory import TabularMDP, batching, objectives, solve, updates
from distil_theory.batching import compact, in_pieces
from distil_theory.divergences import JENSEN_SHANNON


def problem(batch, policy_batch=None, observation=None, horizon=None, seed=0):
    """A random MDP batch with student and expert; `horizon` makes it stationary."""
    rng = np.random.default_rng(seed)
    steps, states, actions = horizon or 3, 4, 3

    def rows(n, *lead):
        return np.moveaxis(rng.dirichlet(np.ones(n), lead), -1, len(lead) - extra)

    extra = len(batch)
    lead = () if horizon else (steps,)
    p = rows(states, *lead, states, actions, *batch)
    mdp = TabularMDP(
        p, rng.normal(size=(*lead, states, actions, *batch)), rows(states, *batch), horizon, observation, extra
    )
    extra = len(batch if policy_batch is None else policy_batch)
    seen = range(states) if observation is None else observation
    pi, star = (rows(actions, steps, states, *(batch if policy_batch is None else policy_batch)) for _ in range(2))
    return mdp, pi[:, list(seen)], star


def everything(mdp, pi, star):
    weight = np.linspace(0.5, 2, 12).reshape(3, 4)
    v, _ = solve.values(mdp, pi)
    weights = weight.reshape(3, 4, *[1] * (v.ndim - 2)) + np.arange(v[0, 0].size).reshape(v.shape[2:])
    return [
        *solve.values(mdp, pi),
        solve.occupancy(mdp, pi),
        objectives.return_gradient(mdp, pi),
        objectives.loss_gradient(mdp, pi, star, JENSEN_SHANNON, weight),
        objectives.loss_gradient(mdp, pi, star, JENSEN_SHANNON, weights),
        objectives.pooled_score(mdp, pi, star, JENSEN_SHANNON),
        *(objectives.improvement_rate(mdp, pi, star, JENSEN_SHANNON, g, weight) for g in ("natural", "euclidean")),
        *(updates.direction(mdp, pi, star, JENSEN_SHANNON, g) for g in ("natural", "euclidean")),
        *objectives.evaluate(mdp, pi, star, JENSEN_SHANNON, weight),
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"batch": (37,)},
        {"batch": (2,)},  # shorter than the axes of states and actions, which must not be taken for it
        {"batch": (37,), "horizon": 3},
        {"batch": (37,), "observation": [0, 1, 1, 0]},
        {"batch": (2, 19)},
        {"batch": (19, 2)},
        {"batch": (), "policy_batch": (23,)},
        {"batch": (23,), "policy_batch": ()},
    ],
    ids=str,
)
def test_pieces_change_no_number(settings, monkeypatch):
    arguments = problem(**settings)
    whole = everything(*arguments)
    cuts = []
    monkeypatch.setattr(batching, "compact", lambda x: cuts.append(x.shape) or compact(x))
    for piece in (1, 5000):  # one instance at a time; a few at a time with a rest
        monkeypatch.setattr(batching, "PIECE", piece)
        for together, apart in zip(whole, everything(*arguments), strict=True):
            assert together.shape == apart.shape
            np.testing.assert_allclose(apart, together, rtol=1e-12, atol=1e-14)
    assert cuts


def test_evaluate_is_the_separate_functions():
    mdp, pi, star = problem((11,))
    got = objectives.evaluate(mdp, pi, star, JENSEN_SHANNON)
    v, q = solve.values(mdp, pi)
    apart = {
        "v": v,
        "q": q,
        "occupancy": solve.occupancy(mdp, pi),
        "return_gradient": objectives.return_gradient(mdp, pi),
        "loss_gradient": objectives.loss_gradient(mdp, pi, star, JENSEN_SHANNON),
    }
    for field, expected in apart.items():
        np.testing.assert_allclose(getattr(got, field), expected, rtol=1e-12, atol=1e-15)


def test_each_piece_is_one_block_and_repeated_axes_stay_views(monkeypatch):
    monkeypatch.setattr(batching, "PIECE", 8 * 10 * 4)
    x = np.broadcast_to(np.arange(2.0 * 25).reshape(1, 2, 25), (5, 2, 25))
    y = np.arange(2.0 * 25).reshape(2, 25)
    shared = np.ones((5, 2))
    pieces = []

    def kernel(x, y, shared):
        pieces.append(x)
        assert y.flags.c_contiguous
        assert x.strides[0] == 0
        return (x * y * shared[..., None]).sum(axis=0)

    np.testing.assert_array_equal(in_pieces(kernel, (x, 2), (y, 1), (shared, 2)), 5 * y * y)
    assert [piece.shape[-1] for piece in pieces] == [10, 10, 5]  # 4 doubles each: the repeated axis counts once


def test_support_errors_name_the_place_in_the_whole_batch(monkeypatch):
    monkeypatch.setattr(batching, "PIECE", 1)
    mdp, pi, star = problem((9,))
    star[1, 2, :, 7] = [0, 0.5, 0.5]
    from distil_theory.divergences import REVERSE_KL

    with pytest.raises(ValueError, match="expert is 0 at h=1, s=2, a=0, batch=7"):
        objectives.evaluate(mdp, pi, star, REVERSE_KL)
