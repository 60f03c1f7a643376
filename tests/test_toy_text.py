"""FrozenLake, CliffWalking and Taxi go through every float64 function, in less than 2 GiB."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from distil_theory import TabularMDP, estimators, experts, lookahead, objectives, solve, trajectories, updates
from distil_theory.divergences import CATALOGUE, CROSS_ENTROPY, FORWARD_KL, REVERSE_KL

mdp = TabularMDP.from_gymnasium(sys.argv[1], horizon=10)
H, S, A = mdp.shape
rng = np.random.default_rng(0)
student = rng.dirichlet(np.ones(A), (H, S))
best = solve.optimal(mdp)
top = float((mdp.initial * best.v[0]).sum())
expert = 0.9 * best.policy + 0.1 / A
gap = solve.expected_return(mdp, expert) - solve.expected_return(mdp, student)
assert gap > 0
assert abs(solve.expected_return(mdp, experts.optimal(mdp)) - top) < 1e-12
weight = objectives.occupancy_ratio(mdp, student, expert)
closes = objectives.improvement_rate(mdp, student, expert, FORWARD_KL, weight=weight)
assert abs(closes - gap) < 1e-9 * max(1, abs(gap)), (closes, gap)  # claim 2
for divergence in (*CATALOGUE, CROSS_ENTROPY):
    for part in ("local", "future", "full"):
        found = objectives.evaluate(mdp, student, expert, divergence, part=part)
        for geometry in ("natural", "euclidean"):
            rate = objectives.improvement_rate(mdp, student, expert, divergence, geometry, part=part)
            move = updates.direction(mdp, student, expert, divergence, geometry, part=part)
            along = updates.first_order_change(mdp, student, move)
            assert abs(along - rate) <= 1e-9 * max(1, abs(rate)), (divergence.name, part, geometry)
    new = updates.exponential_step(mdp, student, move, 1e-3)
    assert np.allclose(new.sum(axis=2), 1)
one = updates.project(mdp, student, move, [rng.normal(size=(H, S, A)) for _ in range(3)])
assert np.isfinite(one).all()
for divergence in (FORWARD_KL, REVERSE_KL):
    assert np.allclose(updates.proximal_step(mdp, student, expert, divergence, 0.5).sum(axis=2), 1)
soft = experts.soft_optimal(mdp, 0.1)
assert solve.expected_return(mdp, student) < solve.expected_return(mdp, soft) <= top + 1e-9
if mdp.reward.min() >= 0:
    truthful = experts.success_conditioned(mdp, student)
    assert objectives.improvement_rate(mdp, student, truthful, FORWARD_KL) >= 0  # claim 9
experts.collapsed(expert, 0.5), experts.ema(student, expert, 0.5), experts.overconfident(expert, student, 1)
rest = lookahead.minimiser(mdp, expert)
assert objectives.loss(mdp, rest, expert, CROSS_ENTROPY) <= objectives.loss(mdp, student, expert, CROSS_ENTROPY)
drawn = trajectories.sample(mdp, student, 200, rng, expert)
assert np.isfinite(trajectories.returns(mdp, drawn)).all()
if H * S * A <= 10_000:
    estimators.moments(estimators.samples(mdp, student, expert, CROSS_ENTROPY, drawn))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize("name", ["FrozenLake-v1", "CliffWalking-v1", "Taxi-v4"])
def test_every_float_function_in_two_gibibytes(name):
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", PROGRAM, name], capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2 * 2**20  # KiB
