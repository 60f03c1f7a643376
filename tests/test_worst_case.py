"""Claim 14: the tight worst-case curve."""

import numpy as np
import pytest
from scipy.optimize import brentq

from distil_theory import instances, objectives, updates
from distil_theory.divergences import (
    CATALOGUE,
    FORWARD_KL,
    HELLINGER,
    JENSEN_SHANNON,
    NEYMAN,
    PEARSON,
    REVERSE_KL,
    TOTAL_VARIATION,
    alpha,
    skewed_js,
)
from distil_theory.envelope import Envelope
from distil_theory.solve import expected_return
from distil_theory.spec import Bandit
from distil_theory.worst_case import Curve, largest_gap, safe_gap, worst_loss

ALL = [*CATALOGUE, alpha(0.3), alpha(3), skewed_js(0.2)]
SETTINGS = [(1e-4, 0.1, 4), (0.02, 0.05, 3), (0.2, 0.2, 2.5), (0.15, 0.5, 1.4), (0.6923, 0.1, 4)]
by_name = pytest.mark.parametrize("divergence", ALL, ids=lambda d: d.name)


def lift(worst):
    return Bandit(worst.reward), worst.student[None, None], worst.expert[None, None]


@by_name
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_bandit_attains_the_curve(divergence, setting):
    gap, low, high = setting
    if gap > largest_gap(low, high):
        gap = largest_gap(low, high)
    worst = worst_loss(divergence, gap, low, high)
    bandit, pi, star = lift(worst)
    ratio = worst.expert / worst.student
    assert worst.student.sum() == pytest.approx(1, abs=1e-12)
    assert worst.expert.sum() == pytest.approx(1, abs=1e-12)
    assert (ratio >= low - 1e-12).all()
    assert (ratio <= high + 1e-12).all()
    assert worst.reward @ (worst.expert - worst.student) == pytest.approx(gap, abs=1e-12)
    assert -objectives.improvement_rate(bandit, pi, star, divergence) == pytest.approx(worst.loss, abs=1e-10)


@by_name
@pytest.mark.parametrize("eta", [0.3, 1.0, 2.0])
def test_a_finite_step_of_the_bandit_attains_the_curve(divergence, eta):
    worst = worst_loss(divergence, 0.05, 0.1, 3, eta)
    bandit, pi, star = lift(worst)
    new = updates.exponential_step(bandit, pi, updates.direction(bandit, pi, star, divergence), eta)
    assert expected_return(bandit, pi) - expected_return(bandit, new) == pytest.approx(worst.loss, abs=1e-10)


@by_name
@pytest.mark.parametrize("eta", [None, 0.7])
def test_no_random_bandit_is_worse(divergence, eta):
    rng = np.random.default_rng(1)
    low, high, n, actions = 0.1, 3.0, 4000, 4
    student = rng.dirichlet(np.full(actions, 0.6), n)
    ratio = low + (high - low) * rng.beta(0.3, 0.3, (n, actions))
    ratio[:, 0] = (1 - (student * ratio)[:, 1:].sum(axis=1)) / student[:, 0]
    keep = (ratio[:, 0] >= low) & (ratio[:, 0] <= high) & (student > 1e-6).all(axis=1)
    reward = rng.integers(0, 2, (n, actions)).astype(float)
    gap = (reward * student * (ratio - 1)).sum(axis=1)
    keep &= gap > 0.01
    assert keep.sum() > 200
    bounds = Curve(divergence, low, high, eta).loss(gap[keep][:200])
    for r, pi, u, bound in zip(reward[keep], student[keep], ratio[keep], bounds, strict=False):
        score = divergence.h(u)
        weight = score if eta is None else np.exp(eta * (score - score.max()))
        change = pi @ ((r - pi @ r) * weight) / (1 if eta is None else pi @ weight)
        assert -change <= bound + 1e-7


def test_by_hand():
    # a vanishing gap: p = 1/2, and the loss is [h(1) - chord(1)] / 4
    chord = np.log(0.1) + (1 - 0.1) / (4 - 0.1) * np.log(40)
    assert worst_loss(REVERSE_KL, 1e-9, 0.1, 4).loss == pytest.approx(-chord / 4, rel=1e-6)
    assert worst_loss(FORWARD_KL, 0.1, 0.1, 4).loss == pytest.approx(-0.1, abs=1e-14)
    # the largest gap: only p = (1-m)/(M-m) is left, with ratios M on the right answers and m on the wrong ones
    p = 0.9 / 3.9
    assert worst_loss(REVERSE_KL, largest_gap(0.1, 4), 0.1, 4).loss == pytest.approx(-p * (1 - p) * np.log(40))
    # (M-1)(1-m)/(M-m)
    assert largest_gap(0, 2) == 0.5


@pytest.mark.parametrize("divergence", [REVERSE_KL, JENSEN_SHANNON, HELLINGER], ids=lambda d: d.name)
def test_concave_h_has_a_three_action_worst_case_like_the_teaching_instance(divergence):
    worst = worst_loss(divergence, 1 / 300, 0.03, 1.98)  # gap and ratios of the teaching instance
    assert len(worst.student) == 3
    assert sorted(worst.reward) == [0, 1, 1]
    rewarded = np.sort((worst.expert / worst.student)[worst.reward == 1])
    np.testing.assert_allclose(rewarded, [0.03, 1.98], atol=1e-12)
    _, mdp, pi, star, _ = instances.teaching_bandit().convert("float64")
    taught = -objectives.improvement_rate(mdp, pi, star, divergence)
    assert 0 < taught <= worst.loss
    assert taught > 0.7 * worst.loss  # the generic worst case, nearly


def test_zero_ratios():
    for divergence in (REVERSE_KL, NEYMAN):
        assert worst_loss(divergence, 0.1, 0, 4).loss == np.inf
        assert safe_gap(divergence, 0, 4) == largest_gap(0, 4)
    assert 0 < worst_loss(JENSEN_SHANNON, 0.1, 0, 4).loss < np.inf


@by_name
def test_the_safe_gap_is_where_the_curve_crosses_zero(divergence):
    gap = safe_gap(divergence, 0.2, 3)
    if divergence is FORWARD_KL:
        assert gap == 0
        return
    assert 0 < gap < largest_gap(0.2, 3)
    assert worst_loss(divergence, gap * 0.99, 0.2, 3).loss > 0 > worst_loss(divergence, gap * 1.01, 0.2, 3).loss


def test_safe_steps_of_claim_7d():
    for divergence, eta in ((REVERSE_KL, 1.0), (JENSEN_SHANNON, 2.0)):
        assert worst_loss(divergence, 0.01, 0.05, 5, eta).loss < 0
        assert worst_loss(divergence, 0.01, 0.05, 5, eta * 1.3).loss > 0
        assert worst_loss(divergence, 0.01, 0.05, 5, eta * 0.7).loss > 0


def test_envelope_of_a_function_that_is_neither_convex_nor_concave():
    wave = Envelope(lambda u: -np.cos(4 * u), 0.1, 4)
    x = np.linspace(0.1, 4, 5001)
    assert (wave(x) <= -np.cos(4 * x) + 1e-5).all()
    assert (np.diff(wave(x), 2) >= -1e-7).all()
    assert wave(np.array([np.pi / 2]))[0] == pytest.approx(-1, abs=1e-5)
    points = wave.support(2.0)
    assert sum(w * x for x, w in points) == pytest.approx(2.0)


def test_total_variation_cannot_be_excused_by_a_small_range():
    assert worst_loss(TOTAL_VARIATION, 1e-6, 0.99, 1.01).loss == pytest.approx(1 / 4, abs=1e-3)
    assert worst_loss(PEARSON, 1e-6, 0.99, 1.01).loss < 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.1, 1.0, 2.0), "0 <= m < 1 < M"),
        ((0.1, -0.1, 2.0), "0 <= m < 1 < M"),
        ((0.1, 0.5, np.inf), "0 <= m < 1 < M"),
        ((0.1, np.nan, 2.0), "0 <= m < 1 < M"),
        ((0.0, 0.5, 2.0), "gap must lie in"),
        ((0.4, 0.5, 2.0), "gap must lie in"),
        ((0.1, 0.5, 2.0, 0.0), "eta must be positive"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        worst_loss(REVERSE_KL, *arguments)


@by_name
@pytest.mark.parametrize("eta", [None, 0.7])
def test_many_gaps_at_once(divergence, eta):
    curve = Curve(divergence, 0.1, 4, eta)
    gaps = np.linspace(0, curve.most, 7)[1:].reshape(2, 3)
    losses = curve.loss(gaps)
    assert losses.shape == (2, 3)
    np.testing.assert_allclose(losses, [[curve.worst(gap).loss for gap in row] for row in gaps], rtol=0, atol=1e-12)
    assert curve.loss(0.1).shape == ()


def test_the_ends():
    # m -> 0: like log(1/m) for reverse KL, like 1/m for Neyman, bounded for the others
    for divergence, growth in (
        (REVERSE_KL, np.log(1e3)),
        (NEYMAN, None),
        (JENSEN_SHANNON, 0),
        (HELLINGER, 0),
        (PEARSON, 0),
    ):
        near, nearer = (float(Curve(divergence, m, 4).loss(0.05)) for m in (1e-6, 1e-9))
        if growth is None:
            assert nearer / near == pytest.approx(1000, rel=0.01)
        else:  # p (1-p) [chord falls by growth (M - a)/(M - m)] at p near 1/2
            assert nearer - near == pytest.approx(0.18 * growth, rel=0.2, abs=2e-4)
    # M -> inf: concave scores are bounded, Pearson grows like M/4
    for divergence in (REVERSE_KL, JENSEN_SHANNON, HELLINGER, NEYMAN):
        big, bigger = (float(Curve(divergence, 0.1, high).loss(0.05)) for high in (1e4, 1e6))
        assert bigger == pytest.approx(big, rel=0.05)
    assert float(Curve(PEARSON, 0.1, 1e6).loss(0.05)) / 1e6 == pytest.approx(
        float(Curve(PEARSON, 0.1, 1e5).loss(0.05)) / 1e5, rel=1e-3
    )
    # the largest gap leaves one bandit: ratios M and m
    for divergence in ALL:
        curve = Curve(divergence, 0.1, 4)
        p, h = 0.9 / 3.9, divergence.h(np.array([0.1, 4.0]))
        assert float(curve.loss(curve.most)) == pytest.approx(-p * (1 - p) * (h[1] - h[0]), rel=1e-9)


def test_a_chord_touches_the_curve_where_calculus_says():
    # K = exp(eta (sqrt u - 1)) is concave up to sqrt u = 1/eta, then convex: the chord from m touches at t with
    # K(t) - K(m) = K'(t) (t - m)
    eta, low, high = 0.7, 0.02, 10.0
    envelope = Envelope(lambda u: np.exp(eta * (np.sqrt(u) - 1)), low, high)

    def k(u):
        return np.exp(eta * (np.sqrt(u) - 1))

    touch = brentq(lambda t: k(t) - k(low) - k(t) * eta / (2 * np.sqrt(t)) * (t - low), 1 / eta**2, high, xtol=1e-15)
    for t in (0.5, 2.0, touch * 0.999):
        assert float(envelope(np.array([t]))[0]) == pytest.approx(
            k(low) + (k(touch) - k(low)) * (t - low) / (touch - low), rel=1e-11
        )
    assert float(envelope(np.array([8.0]))[0]) == k(8.0)
    (a, _), (b, _) = envelope.support(1.0)
    assert (a, b) == (low, pytest.approx(touch, abs=1e-4))


@by_name
def test_the_safe_gap_is_a_zero_of_the_curve_for_many_ranges(divergence):
    for low, high in ((0.01, 1.5), (0.3, 20), (0.9, 1.1)):
        curve = Curve(divergence, low, high)
        gap = curve.safe_gap()
        if divergence is FORWARD_KL:
            assert gap == 0
        else:
            assert abs(curve.loss(gap)) < 1e-8 * max(1, abs(divergence.h(np.array([low, high]))).max())


def test_the_curve_refuses_what_no_bandit_has():
    curve = Curve(REVERSE_KL, 0.1, 4)
    for gaps in ([0.1, 0.8], [0.0, 0.1], [np.nan]):
        with pytest.raises(ValueError, match="gap must lie in"):
            curve.loss(np.array(gaps))
    with pytest.raises(ValueError, match="divergence must be an FDivergence"):
        Curve("reverse_kl", 0.1, 4)
    infinite = Curve(REVERSE_KL, 0, 4)
    assert infinite.loss(np.array([0.1, 0.2])).tolist() == [np.inf, np.inf]
    assert infinite.worst(0.1).student.shape == (0,)


def test_finite_steps_never_end_in_nan_and_bandits_attain_what_is_said():
    rng, refused = np.random.default_rng(0), 0
    for _ in range(300):
        divergence = CATALOGUE[rng.integers(len(CATALOGUE))]
        low, high = rng.choice([0.0, 0.01, 0.1, 0.9]), rng.choice([1.1, 4.0, 30.0, 100.0])
        gap, eta = rng.choice([1e-4, 0.01, 0.5, 1.0]) * largest_gap(low, high), rng.choice([0.1, 0.7, 2.0, 5.0])
        if eta * (divergence.h(np.array([high])) - divergence.h(np.ones(1)))[0] > 600:
            with pytest.raises(ValueError, match="too large"):
                worst_loss(divergence, gap, low, high, eta)
            refused += 1
            continue
        worst = worst_loss(divergence, gap, low, high, eta)  # raises if its bandit misses the loss
        assert np.isfinite(worst.loss)
        assert len(worst.student) >= 3 or worst.loss < 0  # two actions are safe: claim 4
    assert refused < 60


def test_extreme_ranges():
    # found by a linear program over atoms (reward, ratio)
    assert Curve(NEYMAN, 0.1, 1e6, 0.5).loss(0.5 * largest_gap(0.1, 1e6)) > 0.45933
    assert Curve(NEYMAN, 1e-8, 1e6, 0.5).loss(0.999 * largest_gap(1e-8, 1e6)) > -0.0028
    assert safe_gap(NEYMAN, 1e-8, 1e6) == pytest.approx(0.99999879, abs=1e-8)
    # ratios next to one: h(1) = -1 must not drown log u
    assert safe_gap(REVERSE_KL, 0.9999, 1.0001) == pytest.approx(1.25e-9, rel=1e-3)
    assert Curve(REVERSE_KL, 0.9999, 1.0001).loss(1e-12) == pytest.approx(1.249e-9, rel=1e-3)
    # the kink of total variation, in a small finite step
    assert Curve(TOTAL_VARIATION, 0.1, 4, 1e-7).loss(0.01) / 1e-7 == pytest.approx(0.2427929, rel=1e-5)
    # at the largest gap with m = 0 only wrong answers are abandoned
    assert Curve(REVERSE_KL, 0, 4).loss(largest_gap(0, 4)) == -np.inf


def test_samples_that_nearly_coincide_do_not_bend_the_hull():
    # K is concave up to u = 1/eta^2, then convex: the concave envelope ends in one chord
    for eta in (0.7, 1.0, 1.3):
        curve = Curve(HELLINGER, 0.1, 4, eta)
        u = np.linspace(0.1, 4, 4001)
        for envelope, sign in ((curve.below, 1), (curve.above, -1)):
            values = envelope(u)
            assert (values <= sign * curve.score(u) + 1e-15).all()
            assert np.diff(values, 2).min() > -1e-13
        assert np.count_nonzero(np.diff(curve.above.x) > 0.1) == 1
    # 4 actions lose this much at eta = 1: found by the search
    assert Curve(HELLINGER, 0.1, 4, 1.0).loss(0.05) == pytest.approx(-0.0152077312797, rel=1e-9)
