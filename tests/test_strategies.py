"""The strategies keep their promises, and the hard examples can be found."""

import flint
import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from distil_theory import number_systems as ns
from distil_theory import solve
from distil_theory.strategies import bandits, mdps, pairs, policies, simplex

QUICK = settings(max_examples=1000, database=None, phases=[Phase.generate], derandomize=True, deadline=None)
SHRUNK = settings(max_examples=1000, database=None, derandomize=True, deadline=None)
THOUSANDTH = flint.fmpq(1, 1000)


@given(st.data(), st.integers(1, 20), st.booleans())
def test_simplex(data, size, positive):
    p = data.draw(simplex(size, positive=positive))
    assert p.shape == (size,)
    assert {type(x) for x in p} == {flint.fmpq}
    assert p.sum() == 1
    assert (p > 0).all() if positive else (p >= 0).all()
    assert max(int(x.q) for x in p) <= max(1000, 100 * size)


@given(simplex(3, denominator=5).filter(lambda p: p.min() > flint.fmpq(1, 100)))
def test_the_denominator_is_respected(p):
    assert any((p * d == [int(x) for x in p * d]).all() for d in range(3, 6))


@pytest.mark.parametrize(
    ("positive", "wanted"),
    [
        (True, lambda p: THOUSANDTH in p),
        (True, lambda p: p.tolist() == [flint.fmpq(1, 4), flint.fmpq(1, 2), flint.fmpq(1, 4)]),
        (True, lambda p: p.argmax() == 1 and p.min() == THOUSANDTH),
        (False, lambda p: (p == 0).sum() == 1),
        (False, lambda p: p.max() == 1),
        (False, lambda p: 0 in p and THOUSANDTH in p),
    ],
)
def test_wanted_vectors_are_found(positive, wanted):
    assert wanted(find(simplex(3, positive=positive), wanted, settings=QUICK))


def test_examples_shrink_to_what_a_hand_can_check():
    assert find(simplex(3), lambda p: True, settings=SHRUNK).tolist() == [flint.fmpq(1, 3)] * 3
    # "the expert is better" shrinks to a problem with a single reward that is not zero
    pair = find(
        pairs(bandits(actions=3)),
        lambda t: solve.expected_return(t.mdp, t.expert) > solve.expected_return(t.mdp, t.student),
        settings=SHRUNK,
    )
    assert (pair.mdp.reward != 0).sum() == 1
    assert max(int(x.q) for x in [*pair.student.flat, *pair.expert.flat]) <= 12


@pytest.mark.parametrize(("size", "denominator"), [(0, 3), (3, 2)])
def test_simplex_refuses(size, denominator):
    with pytest.raises(ValueError, match="simplex needs 1 <= size <= denominator"):
        find(simplex(size, denominator=denominator), lambda p: True)


@given(pairs(mdps(states=st.integers(2, 4), aliased=True)))
def test_pairs_have_a_student_that_sees_observations(pair):
    mdp, student, expert = pair
    assert mdp.aliased
    for p in pair[1:]:
        assert p.shape == mdp.shape
        assert ns.name(p) == "rational"
        assert (p.sum(axis=2) == 1).all()
    assert (student > 0).all()
    assert (expert >= 0).all()
    first = [list(mdp.observation).index(o) for o in mdp.observation]
    assert (student == student[:, first]).all()


def test_wanted_pairs_are_found():
    aliased = pairs(mdps(states=2, aliased=True))
    assert find(aliased, lambda t: (t.expert[:, 0] != t.expert[:, 1]).any(), settings=QUICK)
    assert find(pairs(), lambda t: (t.expert == 0).any(), settings=QUICK)
    assert find(pairs(), lambda t: (t.expert / t.student).max() > 100, settings=QUICK)
    with pytest.raises(NoSuchExample):
        find(pairs(positive=True), lambda t: (t.expert == 0).any(), settings=settings(QUICK, max_examples=100))


@given(mdps(states=3, actions=2, horizon=4), bandits(actions=4), bandits(contexts=st.integers(2, 3)))
def test_sizes(mdp, bandit, contextual):
    assert mdp.shape == (4, 3, 2)
    assert not mdp.aliased
    assert bandit.shape == (1, 1, 4)
    assert contextual.shape[:2] in {(1, 2), (1, 3)}
    for m in (mdp, bandit, contextual):
        assert ns.name(m.reward) == "rational"
        assert abs(m.reward).max() <= 1


@pytest.mark.parametrize(
    "wanted",
    [
        lambda m: m.stationary,
        lambda m: m.shape[0] > 1 and not m.stationary and (m.transition[0] != m.transition[1]).any(),
        lambda m: m.shape[1] > 1 and (m.transition == 1).any() and (m.initial == 1).any(),  # deterministic rows
        lambda m: m.shape == (1, 1, 1),
        lambda m: (solve.occupancy(m, np.full(m.shape, flint.fmpq(1, m.shape[2])))[-1] == 0).any(),  # unreachable
        lambda m: (solve.optimal(m).q == 0).sum() == 0,
    ],
)
def test_wanted_mdps_are_found(wanted):
    assert wanted(find(mdps(), wanted, settings=QUICK))


def test_aliasing_needs_two_states():
    with pytest.raises(ValueError, match="aliasing needs two states at least, not 1"):
        find(mdps(states=1, aliased=True), lambda m: True)


@given(st.data(), mdps(states=st.integers(2, 3), aliased=True))
def test_policies_may_see_the_state_or_not(data, mdp):
    pi = data.draw(policies(mdp, positive=False, observable=True))
    for o in range(mdp.observations):
        same = pi[:, mdp.observation == o]
        assert (same == same[:, :1]).all()
