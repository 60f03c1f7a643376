"""Where training on the exact objective ends: stationary, the least of all, and the expert for forward KL."""

import numpy as np
import pytest
from scipy.optimize import minimize

from distil_theory import instances, lookahead, objectives
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL, REVERSE_KL
from distil_theory.spec import Bandit
from tests.problems import policy, random_pair


@pytest.mark.parametrize("batch", [0, 4])
def test_it_is_stationary_and_of_forward_kl_the_expert(batch):
    mdp, _, expert = random_pair(4, False, batch)
    best = lookahead.minimiser(mdp, expert)
    np.testing.assert_allclose(best.sum(axis=2), 1, atol=1e-14)
    gradient = objectives.loss_gradient(mdp, best, expert, CROSS_ENTROPY, part="full")
    np.testing.assert_allclose(gradient, 0, atol=1e-13)
    assert abs(best - expert).max() > 0.01
    np.testing.assert_allclose(best[-1], expert[-1], atol=1e-14)  # nothing comes later
    np.testing.assert_allclose(lookahead.minimiser(mdp, expert, FORWARD_KL), expert, atol=1e-13)


def test_a_numerical_minimisation_ends_there():
    mdp, logits, expert = random_pair(2, False)

    def loss(x):
        pi = policy(mdp, x.reshape(logits.shape))
        gradient = objectives.loss_gradient(mdp, pi, expert, CROSS_ENTROPY, part="full")
        return float(objectives.loss(mdp, pi, expert, CROSS_ENTROPY)), gradient.ravel()

    found = minimize(loss, logits.ravel(), jac=True, method="BFGS", options={"gtol": 1e-9})
    best = lookahead.minimiser(mdp, expert)
    np.testing.assert_allclose(policy(mdp, found.x.reshape(logits.shape)), best, atol=1e-6)
    assert objectives.loss(mdp, best, expert, CROSS_ENTROPY) == pytest.approx(found.fun, rel=1e-12)


def test_the_entropy_trap_by_hand():
    # after `long` log 2 is still to pay, after `short` the entropy of (99, 1)/100
    trap = instances.entropy_trap().convert("float64")
    best = lookahead.minimiser(trap.mdp, trap.expert)
    long, short = np.log(2), -(0.99 * np.log(0.99) + 0.01 * np.log(0.01))
    p = best[0, 0, 0]
    assert 0.6 / p - long == pytest.approx(0.4 / (1 - p) - short, rel=1e-12)
    assert p < 0.5 < trap.expert[0, 0, 0] == 0.6


def test_bad_input_is_named():
    mdp, _, expert = random_pair(2, False)
    with pytest.raises(ValueError, match="that of cross-entropy and forward KL, not of reverse_kl"):
        lookahead.minimiser(mdp, expert, REVERSE_KL)
    with pytest.raises(ValueError, match="the student is aliased"):
        lookahead.minimiser(random_pair(2, True)[0], expert)
    with pytest.raises(ValueError, match=r"expert is 0 at h=0, s=0, a=1: the minimum must lie inside the simplex"):
        lookahead.minimiser(Bandit([1.0, 0.0]), [[[1.0, 0.0]]])
    with pytest.raises(TypeError, match="convert to 'float64' first"):
        lookahead.minimiser(Bandit(["1", "0"]), [[["1/2", "1/2"]]])
