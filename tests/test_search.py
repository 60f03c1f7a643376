"""The search reaches claim 14's curve and never passes it; it is feasible, seeded and resumable."""

import numpy as np
import pytest

from distil_theory import parallel, search
from distil_theory.divergences import CATALOGUE, FORWARD_KL, NEYMAN, REVERSE_KL, TOTAL_VARIATION, alpha
from distil_theory.objectives import improvement_rate
from distil_theory.search import Setting, natural_loss, worst_bandit, worst_bandits
from distil_theory.spec import Bandit
from distil_theory.worst_case import Curve, largest_gap

pytestmark = pytest.mark.long

RANGES = [(0.5, 1.4), (0.2, 2.5), (0.1, 4.0), (0.02, 10.0), (0.0, 4.0)]
SHARES = [0.01, 0.2, 0.6, 1.0]
ROUNDING = 1e-9


def settings(divergence):
    for low, high in RANGES:
        m = 1e-3 if low == 0 and divergence.needs_expert_support else low
        yield from ((share * largest_gap(m, high), m, high) for share in SHARES)


def check_feasible(bandit, gap, low, high):
    ratio = bandit.expert / bandit.student
    assert bandit.student.sum() == pytest.approx(1, abs=1e-12)
    assert bandit.expert.sum() == pytest.approx(1, abs=1e-12)
    assert (bandit.student > 0).all()
    assert (ratio >= low * (1 - 1e-12)).all()
    assert (ratio <= high * (1 + 1e-12)).all()
    assert (bandit.reward >= 0).all()
    assert (bandit.reward <= 1).all()
    assert bandit.reward @ (bandit.expert - bandit.student) >= gap - 1e-12


@pytest.mark.parametrize("eta", [None, 0.7])
@pytest.mark.parametrize("divergence", CATALOGUE, ids=lambda d: d.name)
def test_twenty_settings_reach_the_curve_and_never_pass_it(divergence, eta):
    for gap, low, high in settings(divergence):
        curve = Curve(divergence, low, high, eta)
        best = -np.inf
        for actions in (4, 6):  # at most two ratios per reward: four actions suffice, more give more ways up
            found = worst_bandit(divergence, gap, low, high, eta, actions=actions)
            check_feasible(found, gap, low, high)
            assert found.loss <= curve.loss(gap * (1 - 1e-12)) + ROUNDING * abs(curve.loss(gap))
            best = max(best, found.loss)
            if best >= curve.loss(gap) - 1e-6 * abs(curve.loss(gap)):
                break
        assert best >= curve.loss(gap) - 1e-4 * abs(curve.loss(gap)), (gap, low, high)


def test_three_actions_suffice_for_concave_and_convex_scores_but_not_for_total_variation():
    for divergence in (REVERSE_KL, alpha(2), alpha(0.5)):
        found = worst_bandit(divergence, 0.05, 0.1, 4, actions=3)
        assert found.loss == pytest.approx(float(Curve(divergence, 0.1, 4).loss(0.05)), rel=1e-6)
    bound = float(Curve(TOTAL_VARIATION, 0.1, 4).loss(0.05))
    assert worst_bandit(TOTAL_VARIATION, 0.05, 0.1, 4, actions=3).loss < 0.9 * bound
    assert worst_bandit(TOTAL_VARIATION, 0.05, 0.1, 4, actions=4).loss == pytest.approx(bound, rel=1e-4)


@pytest.mark.parametrize("eta", [None, 0.4])
def test_the_loss_is_that_of_the_library(eta):
    rng = np.random.default_rng(0)
    student, expert = (rng.dirichlet(np.ones(4), 50).T for _ in range(2))
    reward = rng.random((4, 50))
    got = natural_loss(REVERSE_KL.h, eta, reward, student, expert / student)
    if eta is None:
        mdp = Bandit(reward, batch_ndim=1)
        np.testing.assert_allclose(got, -improvement_rate(mdp, student[None, None], expert[None, None], REVERSE_KL))
    else:
        new = student ** (1 - eta) * expert**eta  # pi exp(eta log u)
        np.testing.assert_allclose(got, (reward * (student - new / new.sum(axis=0))).sum(axis=0))


def test_every_random_start_is_feasible():
    rng = np.random.default_rng(3)
    for gap, low, high in settings(FORWARD_KL):
        points = search._feasible(*search._random(rng, 4, 2000, gap, low, high), gap, low, high)
        reward, student, ratio = points
        np.testing.assert_allclose(student.sum(axis=0), 1, rtol=1e-12)
        np.testing.assert_allclose((student * ratio).sum(axis=0), 1, rtol=1e-9)
        assert ((ratio >= low) & (ratio <= high)).all()
        assert ((reward * student * (ratio - 1)).sum(axis=0) >= gap - 1e-12).all()
        assert (reward.min(), reward.max()) == (0, 1)


def test_seeds():
    first, again = (worst_bandit(NEYMAN, 0.1, 0.1, 3, 0.7, actions=3, seed=s, starts=500, ascents=1) for s in (1, 1))
    other = worst_bandit(NEYMAN, 0.1, 0.1, 3, 0.7, actions=3, seed=2, starts=500, ascents=1)
    np.testing.assert_array_equal(first.student, again.student)
    assert not np.array_equal(first.student, other.student)


def test_finished_settings_are_found_again_and_jobs_change_nothing(tmp_path, monkeypatch):
    todo = [Setting("reverse_kl", gap, 0.2, 3, None, 3) for gap in (0.05, 0.1, 0.2)]
    first = worst_bandits(todo[:2], jobs=2, cache=tmp_path)
    searches = []
    monkeypatch.setattr(search, "worst_bandit", lambda *args, **kw: searches.append(args) or worst_bandit(*args, **kw))
    resumed = worst_bandits(todo, jobs=1, cache=tmp_path)
    assert [args[1] for args in searches] == [0.2]  # only the new one
    for a, b in zip(first, resumed, strict=False):
        assert a.loss == b.loss
        np.testing.assert_array_equal(a.expert, b.expert)


def test_results_of_other_code_are_not_found_again(tmp_path, monkeypatch):
    todo = [Setting("reverse_kl", 0.05, 0.2, 3, None, 3)]
    worst_bandits(todo, jobs=1, cache=tmp_path)
    searches = []
    monkeypatch.setattr(search, "worst_bandit", lambda *args, **kw: searches.append(args) or worst_bandit(*args, **kw))
    monkeypatch.setattr(parallel, "code_fingerprint", lambda *folders: "another")
    worst_bandits(todo, jobs=1, cache=tmp_path)
    assert len(searches) == 1


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ((REVERSE_KL, 0.1, 0.0, 4), {}, "no worst bandit"),
        ((REVERSE_KL, 0.0, 0.1, 4), {}, "gap must lie in"),
        ((REVERSE_KL, 0.9, 0.1, 4), {}, "gap must lie in"),
        ((REVERSE_KL, 0.1, 1.0, 4), {}, "0 <= m < 1 < M"),
        ((REVERSE_KL, 0.1, 0.1, 4, -1.0), {}, "eta must be positive"),
        ((REVERSE_KL, 0.1, 0.1, 4), {"actions": 1}, "actions must be a whole number >= 2"),
        ((REVERSE_KL, 0.1, 0.1, 4), {"starts": 0}, "starts must be"),
        ((REVERSE_KL, 0.1, 0.1, 4), {"ascents": 0}, "ascents must be"),
        ((REVERSE_KL, 0.1, 0.1, 4), {"seed": -1}, "seed must be"),
        (("reverse", 0.1, 0.1, 4), {}, "unknown divergence 'reverse'"),
        ((1, 0.1, 0.1, 4), {}, "divergence must be an FDivergence"),
    ],
)
def test_bad_input_is_named(arguments, keywords, message):
    with pytest.raises(ValueError, match=message):
        worst_bandit(*arguments, **keywords)
