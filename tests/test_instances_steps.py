"""Forks and chains: closed forms in rationals, limits, and the objective written anew by hand."""

import numpy as np
import pytest

from distil_theory import experts, instances, objectives, solve, updates
from distil_theory import number_systems as ns
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL


def q(x):
    out = ns.convert(x, "rational")
    return out if out.ndim else out[()]


def rate(case, divergence=FORWARD_KL, part="local", student=None):
    student = case.student if student is None else student
    return objectives.improvement_rate(case.mdp, student, case.expert, divergence, part=part)


def is_ball_around(ball, value):
    assert ball.rad() < 1e-30
    return (ball - value).contains(0)


# --- claim 8 ----------------------------------------------------------------------------------------------------------

CHAINS = [(h, d, e, s) for h in range(2, 7) for d, e, s in (("1/10", "1/1000", "1/500"), ("1/3", "1/4", "1/5"))]


@pytest.mark.parametrize(("horizon", "delta", "leave", "succeed"), CHAINS)
def test_horizon_chain_closed_forms(horizon, delta, leave, succeed):
    case = instances.horizon_chain(horizon, delta, leave, succeed)
    delta, leave, succeed = q([delta, leave, succeed])
    x = (1 - leave) ** (horizon - 1)
    assert case.gap == delta + (1 - x) * (1 - delta - succeed) >= delta
    assert rate(case) == -(horizon - 1) * x * (1 - delta - succeed) + (1 - x) * (1 - succeed)
    v, better = (solve.values(case.mdp, pi)[0] for pi in (case.student, case.expert))
    assert (better >= v).all()
    weight = objectives.occupancy_ratio(case.mdp, case.student, case.expert)
    repaired = objectives.improvement_rate(case.mdp, case.student, case.expert, FORWARD_KL, weight=weight)
    assert repaired == case.gap


@pytest.mark.parametrize(("horizon", "delta", "leave", "succeed"), CHAINS)
def test_better_somewhere_closed_forms(horizon, delta, leave, succeed):
    case = instances.better_somewhere(horizon, delta, leave, succeed)
    delta, leave, succeed = q([delta, leave, succeed])
    x, c = (1 - leave) ** (horizon - 1), (1 - leave) * (1 - delta)
    assert case.gap == 1 - x * c - (1 - x) * succeed
    assert rate(case) == -(horizon - 1) * x * (c - succeed) - x * c + (1 - x) * (1 - succeed)
    worse = solve.values(case.mdp, case.expert)[0] < solve.values(case.mdp, case.student)[0]
    assert np.argwhere(worse).tolist() == [[horizon - 1, 0]]


@pytest.mark.parametrize("horizon", range(2, 7))
@pytest.mark.parametrize("delta", ["1/100", "1/10", "9/10"])
def test_the_chains_attain_the_bounds_of_claim_8(horizon, delta):
    for make, steps in ((instances.horizon_chain, horizon - 1), (instances.better_somewhere, horizon)):
        previous = None
        for digits in (2, 4, 6):
            rare = q(f"1/{10**digits}") * q("1/10")
            case = make(horizon, delta, rare, rare)
            returns = 1 - case.gap  # the expert earns 1
            assert returns == solve.expected_return(case.mdp, case.student)
            excess = rate(case) + steps * returns
            assert excess >= 0
            far = max(excess, rate(case) + steps * (1 - q(delta)), case.gap - q(delta))
            assert far < rare * 30 * horizon
            assert previous is None or far < previous / 50
            previous = far


def test_bad_chains():
    for arguments, message in (
        ((1,), "horizon must be a whole number >= 2"),
        ((4, 0.1), "delta must be an exact number"),
        ((4, "1/10", 0), "leave must lie strictly between 0 and 1"),
        ((4, "1/10", "1/2", "9/10"), "succeed must lie strictly between 0 and 9/10"),
    ):
        for make in (instances.horizon_chain, instances.better_somewhere):
            with pytest.raises(ValueError, match=message):
                make(*arguments)


# --- claim 10 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "expert", "p"), [(1, "9/10", "1/2"), (3, "9/10", "1/3"), (4, "3/5", "9/10")])
def test_aliased_fork_returns_and_loss(k, expert, p):
    case = instances.aliased_fork(k, expert, p, "1/5")
    expert, p = q([expert, p])
    sure = q("9/10")
    assert solve.expected_return(case.mdp, case.student) == p / 2**k + (1 - p) * sure
    assert solve.expected_return(case.mdp, case.expert) == expert + (1 - expert) * sure
    # what the student can see of the expert is a fair coin
    guess = experts.observed(case.mdp, case.expert, case.student)[1:, 1:5]
    assert (guess == q("1/2")).all()
    # the local step sees the fork alone: A = (2^-k, 9/10) - J under the expert
    assert rate(case) == (expert - p) * (q(1) / 2**k - sure)
    with ns.precision(200):
        ball, share, chance = case.convert("ball"), *ns.convert([expert, p], "ball")
        log2, idle = (ns.log(ns.convert(2, "ball")[()]), ns.convert("1/5", "ball")[()])
        fork = ns.xlogx(share) + ns.xlogx(1 - share) - share * ns.log(chance) - (1 - share) * ns.log(1 - chance)
        rest = -ns.xlogx(idle) - ns.xlogx(1 - idle)
        entropy = -ns.xlogx(share) - ns.xlogx(1 - share)
        args = (ball.mdp, ball.student, ball.expert)
        assert is_ball_around(objectives.loss(*args, FORWARD_KL), fork + chance * k * log2)
        full = fork + entropy + chance * k * log2 + (1 - chance) * k * rest
        assert is_ball_around(objectives.loss(*args, CROSS_ENTROPY), full)


def best_p(k, expert, price):
    """Root in (0,1) of `-q/p + (1-q)/(1-p) + k price`, a quadratic."""
    c = k * price
    return ((1 + c) - np.sqrt((1 + c) ** 2 - 4 * c * expert)) / (2 * c)


@pytest.mark.parametrize("k", [1, 3, 8])
def test_aliased_fork_where_training_ends(k):
    entropy = -0.01 * np.log(0.01) - 0.99 * np.log(0.99)
    for divergence, idle, price in (
        (FORWARD_KL, "1/2", np.log(2)),
        (CROSS_ENTROPY, "1/100", np.log(2) - entropy),
    ):
        p = best_p(k, 0.9, price)
        assert -0.9 / p + 0.1 / (1 - p) + k * price == pytest.approx(0, abs=1e-12)
        at_rest = instances.aliased_fork(k, p="9/10", idle=idle).convert("float64")
        local = objectives.loss_gradient(at_rest.mdp, at_rest.student, at_rest.expert, divergence)
        np.testing.assert_allclose(local, 0, atol=1e-15)
        best = instances.aliased_fork(k, p=q(str(p)), idle=idle).convert("float64")
        full = objectives.loss_gradient(best.mdp, best.student, best.expert, divergence, part="full")
        np.testing.assert_allclose(full, 0, atol=1e-14)
        earned = [solve.expected_return(x.mdp, x.student) for x in (at_rest, best)]
        assert earned[1] > earned[0]
        if k == 8:
            assert earned[1] - earned[0] > 0.6
    # the default, with cross-entropy: after R the expert tosses coins too, and nothing is gained by going there
    coins = instances.aliased_fork(k, p="9/10").convert("float64")
    full = objectives.loss_gradient(coins.mdp, coins.student, coins.expert, CROSS_ENTROPY, part="full")
    np.testing.assert_allclose(full, 0, atol=1e-15)


def test_aliased_fork_by_hand():
    fork = instances.aliased_fork()
    assert fork.gap == q("191/400")  # 99/100 - (1/16 + 9/20)
    assert rate(fork) == q("-31/100")
    assert fork.mdp.observations == 3
    with ns.precision(200):
        ball = fork.convert("ball")
        # Cov(Q, Q^c) = 1/4 (1/8 - 9/10)(3 log 2): looking ahead turns the sign
        value = rate(ball, part="full")
        assert is_ball_around(value, q("-31/100") + q("93/160") * ns.log(ns.convert(2, "ball")[()]))
        assert value > 0
    for arguments, message in (
        ({"k": 0}, "k must be a whole number >= 1"),
        ({"q": 1}, "q must lie strictly between 0 and 1"),
        ({"p": 0.5}, "p must be an exact number"),
        ({"idle": 0}, "idle must lie strictly"),
    ):
        with pytest.raises(ValueError, match=message):
            instances.aliased_fork(**arguments)


def loses(case, divergence, part, student=None):
    """Whether a small natural step really lowers the return, in floats."""
    case = case.convert("float64")
    student = case.student if student is None else ns.convert(student, "float64")
    move = updates.direction(case.mdp, student, case.expert, divergence, part=part)
    new = updates.exponential_step(case.mdp, student, move, 1e-3)
    return solve.expected_return(case.mdp, new) < solve.expected_return(case.mdp, student) - 1e-6


def test_spurious_disagreement():
    case = instances.spurious_disagreement()
    assert rate(case) == case.gap == q("1/10")
    with ns.precision(200):
        ball = case.convert("ball")
        log = {n: ns.log(ns.convert(n, "ball")[()]) for n in (2, 9, 10)}
        # after left KL = 8/10 log 9 and CE = 9/10 log 10 + 1/10 log(10/9); after right 0 and log 2; Cov = 1/4 of it
        kl, ce = q("8/10") * log[9], q("9/10") * log[10] + q("1/10") * (log[10] - log[9]) - log[2]
        for divergence, ahead in ((FORWARD_KL, kl), (CROSS_ENTROPY, ce)):
            value = rate(ball, divergence, "full")
            assert is_ball_around(value, q("1/10") - ahead / 4)
            assert value < 0
            assert loses(case, divergence, "full")
            assert not loses(case, divergence, "local")


def test_entropy_trap():
    case = instances.entropy_trap()
    assert rate(case) == case.gap == q("1/10")
    with ns.precision(200):
        ball = case.convert("ball")
        short = ns.convert(["99/100", "1/100"], "ball")
        price = ns.log(ns.convert(2, "ball")[()]) + ns.xlogx(short).sum()
        assert is_ball_around(rate(ball, CROSS_ENTROPY, "full"), q("1/10") - price / 4)
        assert is_ball_around(rate(ball, FORWARD_KL, "full"), q("1/10"))
        # from the expert itself: pi (1 - pi) = 6/25
        assert is_ball_around(rate(ball, CROSS_ENTROPY, "full", ball.expert), -price * q("6/25"))
        args = (ball.mdp, ball.expert, ball.expert)
        still = objectives.loss_gradient(*args, FORWARD_KL, part="full")
        assert all(is_ball_around(x, 0) for x in still.flat)
        moved = objectives.loss_gradient(*args, CROSS_ENTROPY, part="full")
        assert moved[0, 0, 0] > 0  # downhill, the long answer loses
        assert all(is_ball_around(x, 0) for x in moved[1].flat)
    assert loses(case, CROSS_ENTROPY, "full")
    assert loses(case, CROSS_ENTROPY, "full", case.expert)
    for divergence, part in ((FORWARD_KL, "full"), (FORWARD_KL, "local"), (CROSS_ENTROPY, "local")):
        assert not loses(case, divergence, part)


# --- claim 11 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("horizon", [1, 2, 3, 10])
@pytest.mark.parametrize("error", ["1/100", "1/3"])
def test_compounding_chain_closed_forms(horizon, error):
    cloned, own = (instances.compounding_chain(horizon, error, off) for off in (None, error))
    error = q(error)
    assert solve.expected_return(cloned.mdp, cloned.expert) == horizon
    assert cloned.gap == sum((1 - (1 - 2 * error) ** h) / 2 for h in range(1, horizon + 1))
    assert own.gap == error * horizon
    # on the expert's own states the clone errs as rarely as the other student does everywhere
    d = solve.occupancy(cloned.mdp, cloned.expert)
    assert ((d[:, :, None] * abs(cloned.student - cloned.expert)).sum(axis=(1, 2)) / 2 == error).all()
    d = solve.occupancy(own.mdp, own.student)
    assert ((d[:, :, None] * abs(own.student - own.expert)).sum(axis=(1, 2)) / 2 == error).all()
    # recoverability: one mistake costs one
    action_values = solve.values(cloned.mdp, cloned.expert)[1]
    assert (abs(action_values[:, :, 0] - action_values[:, :, 1]) == 1).all()


def test_cloning_pays_the_square_of_the_horizon():
    gaps = [instances.compounding_chain(h, "1/1000000").gap * 10**6 for h in (8, 16, 32)]
    for gap, h in zip(gaps, (8, 16, 32), strict=True):
        assert abs(gap - q(h * (h + 1)) / 2) < q("1/50")
    with pytest.raises(ValueError, match="error must lie strictly between 0 and 1/2"):
        instances.compounding_chain(10, "1/2")
    with pytest.raises(ValueError, match="off_path must be an exact"):
        instances.compounding_chain(10, "1/3", 0.5)
    with pytest.raises(ValueError, match="horizon must be a whole number >= 1"):
        instances.compounding_chain(0)
