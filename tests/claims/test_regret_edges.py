"""The chapters of claim 11 where a bound is an equality, and where a link is broken on purpose."""

import numpy as np
import pytest

from distil_theory import number_systems as ns
from distil_theory import solve
from distil_theory.claims import compounding_errors, hellinger_regret, return_regret, rollouts
from distil_theory.online import bounds
from distil_theory.spec import TabularMDP

BATCH = rollouts.draw(np.random.default_rng(5), (3, 2, 2), 40)
MDP = TabularMDP(*BATCH[:3], batch_ndim=1)


def q(text):
    return ns.convert(text, "rational")


@pytest.mark.parametrize("chapter", [return_regret, hellinger_regret, compounding_errors])
@pytest.mark.parametrize(
    "parts",
    [
        ("nothing to gain", [[["1"], ["1"]]], [["0", "0"]], ["1"], [[["1/2", "1/2"]]], [[["1/3", "2/3"]]]),
        ("nothing to learn", [[["1"], ["1"]]], [["0", "1"]], ["1"], [[["1/2", "1/2"]]], [[["1/2", "1/2"]]]),
        (
            "another student where nobody goes",
            [[["1", "0"], ["1", "0"]], [["0", "1"], ["0", "1"]]],
            [["0", "1"], ["0", "1"]],
            ["1", "0"],
            [[["1/2", "1/2"], ["1/2", "1/2"]]],
            [[["1/2", "1/2"], ["1/3", "2/3"]]],
        ),
    ],
    ids=lambda parts: parts[0],
)
def test_equality_is_no_refutation(chapter, parts):
    p, r, *rest = (q(x) for x in parts[1:])
    exact = p[None], r[None], *rest
    floats = [ns.convert(x, "float64")[..., None] for x in exact]
    assert chapter.holds_exactly(*exact)
    assert chapter.margin(TabularMDP(*floats[:3], batch_ndim=1), *floats[3:])[0] == pytest.approx(0, abs=1e-15)


def test_a_broken_link_is_refuted_exactly(monkeypatch):
    gap = solve.expected_return(MDP, BATCH[4]) - solve.expected_return(MDP, BATCH[3])
    parts = [ns.convert(x[..., gap.argmax()], "rational") for x in BATCH]
    assert hellinger_regret.holds_exactly(*parts)
    good = hellinger_regret.one_round
    for name in ("labels", "states"):
        with monkeypatch.context() as patch:
            patch.setattr(
                hellinger_regret, "one_round", lambda *a, n=name: good(*a)._replace(**{n: 1 + good(*a).squares})
            )
            assert not hellinger_regret.holds_exactly(*parts)
    with monkeypatch.context() as patch:
        patch.setattr(hellinger_regret, "one_round", lambda *a: good(*a)._replace(squares=good(*a).squares / 1000))
        assert not hellinger_regret.holds_exactly(*parts)
    with monkeypatch.context() as patch:
        patch.setattr(bounds, "recoverability", lambda *_: 0)
        assert not hellinger_regret.holds_exactly(*parts)


def test_rounding_of_a_tiny_divergence_is_no_nan():
    # KL = 2e-18, which floats cannot tell from a number below zero
    student, expert = np.full((1, 1, 2, 1), 0.5), np.array([0.5 + 1e-9, 0.5 - 1e-9]).reshape(1, 1, 2, 1)
    mdp = TabularMDP(np.ones((1, 1, 2, 1, 1)), np.array([0.0, 1]).reshape(1, 1, 2, 1), np.ones((1, 1)), batch_ndim=1)
    for pair in ((student, expert), (expert, student)):
        for chapter in (return_regret, compounding_errors):
            assert abs(chapter.margin(mdp, *pair)[0]) < 1e-8
