"""Thirty wrong formulas, planted one at a time in a copy of the library: a named check of the ledger catches each."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import distil_theory

PACKAGE = Path(distil_theory.__file__).parent
MARGIN = "margin"
PROGRAM = """
import json, sys
from distil_theory.claims import CLAIMS, verify
claim = next(c for c in CLAIMS if c.slug == sys.argv[1])
verdict = verify(claim, 2000)
print(json.dumps({"verdict": verdict.verdict, "steps": list(verdict.failed_steps), "margin": verdict.worst_margin}))
"""
ERRORS = [
    # what is wrong, file, right, wrong, claim, the check that catches it (the beginning of a step, or the margin)
    ("off by one in h", "solve.py", "ns.contract(p[h], v[h + 1]))\n        v[h] = (pi",
     "ns.contract(p[h], v[steps - 1]))\n        v[h] = (pi", "performance_difference", MARGIN),
    ("a lost factor in V", "solve.py", "v[h] = (pi[h] * q[h]).sum(axis=1)\n    return ns.stack(v), ns.stack(q)",
     "v[h] = (pi[h] * q[h]).sum(axis=1) / 2\n    return ns.stack(v), ns.stack(q)", "performance_difference", "the code"),
    ("policy of the first step everywhere", "solve.py", "flow = d[h][:, None] * pi[h]", "flow = d[h][:, None] * pi[-1]",
     "performance_difference", "occupancies"),
    ("transition of the first step everywhere", "solve.py", "align(p[h], flow.ndim - 2, 3)", "align(p[0], flow.ndim - 2, 3)",
     "performance_difference", MARGIN),
    ("return of the last step", "solve.py", "(align(rho, v.ndim - 2, 1) * v[0])", "(align(rho, v.ndim - 2, 1) * v[-1])",
     "performance_difference", "the code"),
    ("advantage with a flipped sign", "solve.py", "return q - v[:, :, None]", "return q + v[:, :, None]",
     "performance_difference", "the code"),
    ("a covariance that is not centred", "point.py", "centred = x - (p * x).sum(axis=axis, keepdims=True)", "centred = x",
     "covariance_rate", "Euclidean step"),
    ("KL direction swapped", "point.py", "divergence.h(self.star / self.pi)", "divergence.h(self.pi / self.star)",
     "forward_gap", "the code, on generic bandits"),
    ("occupancy dropped from the local gradient", "point.py", "self.flow * (mean[:, :, None] - self.score)",
     "self.pi * (mean[:, :, None] - self.score)", "covariance_rate", "the local gradient"),
    ("local gradient with a flipped sign", "point.py", "self.flow * (mean[:, :, None] - self.score)",
     "self.flow * (self.score - mean[:, :, None])", "covariance_rate", "the local gradient"),
    ("action values for advantages", "point.py", "self.flow * (q - v[:, :, None])", "self.flow * q",
     "covariance_rate", "the policy gradient"),
    ("hidden state ignored", "point.py", "if not self.mdp.aliased:\n            return visible",
     "if True:\n            return visible", "forward_limits", "(c)"),
    ("Euclidean for natural", "point.py", 'if geometry == "euclidean":', 'if geometry != "euclidean":',
     "forward_gap", "the code, on generic bandits"),
    ("state weight ignored", "point.py", "if self.weight is None", "if True", "forward_gap", "the code, on the generic MDP"),
    ("state weight upside down", "objectives.py", "theirs / ns.where(never, ours * 0 + 1, ours)",
     "ours / ns.where(never, ours * 0 + 1, theirs)", "forward_gap", "the code, on the generic MDP"),
    ("states not weighted by occupancy", "point.py", "return (seen * terms)", "return (terms + seen * 0)",
     "covariance_rate", MARGIN),
    ("a step in the wrong direction", "updates.py", "ns.exp(move)\n", "ns.exp(-move)\n", "natural_step", "J' and J''"),
    ("student and expert exchanged", "updates.py", "(old + eta * pool(mdp, given * star)) / (1 + eta)",
     "(eta * old + pool(mdp, given * star)) / (1 + eta)", "proximal_mixture", "the code"),
    ("1 + eta forgotten", "updates.py", "(old + eta * pool(mdp, given * star)) / (1 + eta)",
     "(old + eta * pool(mdp, given * star))", "proximal_mixture", "the code"),
    ("projection away from the class", "updates.py", "moved = moved + along(phi, size, step_direction)",
     "moved = moved - along(phi, size, step_direction)", "forward_limits", "(b)"),
    ("h of another divergence", "divergences.py", "lambda u: u, None, \"forward KL\"", "lambda u: u**2, None, \"forward KL\"",
     "forward_gap", "the term of an action"),
    ("h with a flipped sign", "divergences.py", "lambda u: ns.log(u) - 1", "lambda u: 1 - ns.log(u)", "teaching", "the rate of reverse_kl"),
    ("a lost half of Jensen-Shannon", "divergences.py", "lambda u: ns.log((u + 1) / 2) / 2", "lambda u: ns.log((u + 1) / 2)",
     "safe_steps", "The library's reverse KL"),
    ("a decreasing score", "divergences.py", "lambda u: ns.sqrt(u) - 1", "lambda u: 1 - ns.sqrt(u)", "two_actions", MARGIN),
    ("total variation upside down", "divergences.py", "lambda u: ns.sign(u - 1) / 2", "lambda u: -ns.sign(u - 1) / 2",
     "two_actions", MARGIN),
    ("the skew of skewed JS", "divergences.py", "_mixture(b / (1 + b), f\"skewed", "_mixture(1 / (1 + b), f\"skewed",
     "safe_steps", "The library's reverse KL"),
    ("a step size forgotten", "prevalence.py", "exponent = ns.scale(score, self.eta)", "exponent = score", "safe_steps", MARGIN),
    ("probabilities forgotten in the gradient", "prevalence.py", "        advantage *= self.student\n", "",
     "only_forward_kl", MARGIN),
    ("envelopes exchanged", "worst_case.py", "return self.below(a), -self.above(b)", "return -self.above(a), self.below(b)",
     "worst_loss", "the returned bandit"),
    ("p for p (1 - p)", "worst_case.py", "return p * (1 - p) * (unrewarded - rewarded) / size",
     "return p * (unrewarded - rewarded) / size", "worst_loss", "the returned bandit"),
    ("another expert to teach with", "instances/__init__.py", '"1/100", "66/100", "33/100"', '"1/100", "33/100", "66/100"', "teaching", "J* - J"),
]  # fmt: skip


def run(folder, slug):
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, slug], capture_output=True, text=True, env=environment, cwd=folder, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("file", "right", "wrong", "slug", "check"), [e[1:] for e in ERRORS], ids=[e[0] for e in ERRORS]
)
def test_a_planted_error_is_caught_by_its_check(tmp_path, file, right, wrong, slug, check):
    shutil.copytree(PACKAGE, tmp_path / "distil_theory", ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path / "distil_theory" / file
    source = target.read_text(encoding="utf-8")
    assert source.count(right) == 1, f"{file} has {right!r} {source.count(right)} times"
    target.write_text(source.replace(right, wrong), encoding="utf-8")
    found = run(tmp_path, slug)
    assert found["verdict"] == "FAILED"
    if check == MARGIN:
        assert found["margin"] < -1e-6
    else:
        assert any(step.startswith(check) for step in found["steps"]), found


def test_without_an_error_the_copy_stands(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "distil_theory", ignore=shutil.ignore_patterns("__pycache__"))
    for slug in sorted({error[4] for error in ERRORS}):
        assert run(tmp_path, slug)["verdict"] != "FAILED", slug


def test_there_are_enough():
    assert len({error[0] for error in ERRORS}) == len(ERRORS) >= 25
