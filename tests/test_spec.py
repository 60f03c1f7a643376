"""Specs: what they hold, what they refuse (and that the message names the place), and batches."""

from fractions import Fraction

import flint
import gymnasium
import numpy as np
import pytest
import sympy
import torch

from distil_theory import number_systems as ns
from distil_theory import solve
from distil_theory.spec import Bandit, TabularMDP, stack

P = np.array([[[1, 0], [0.5, 0.5], [0.25, 0.75]], [[0, 1], [1, 0], [0.5, 0.5]]])  # (S=2, A=3, S'=2)
R = np.array([[0, 1, 2], [3, 4, 5.5]])
RHO = np.array([0.5, 0.5])
PI = np.full((2, 2, 3), 1 / 3)


def changed(array, index, value):
    array = np.array(array, dtype=float)
    array[index] = value
    return array


def test_shapes_and_views():
    m = TabularMDP(P, R, RHO, horizon=np.int64(4))
    assert m.shape == (4, 2, 3)
    assert m.transition.shape == (4, 2, 3, 2)
    assert m.batch_shape == ()
    assert (m.horizon, m.observations, m.aliased, m.stationary) == (4, 2, False, True)
    assert m.transition.strides[0] == 0  # repeated by view
    for field in (m.transition, m.reward, m.initial, m.observation):
        with pytest.raises(ValueError, match="read-only"):
            field[0] = 0
    with pytest.raises(AttributeError):
        m.reward = R


def test_tiled_is_not_stationary_and_aliased_is():
    tiled = TabularMDP(np.tile(P, (4, 1, 1, 1)), np.tile(R, (4, 1, 1)), RHO, observation=[0, 0])
    assert tiled.shape == (4, 2, 3)
    assert not tiled.stationary
    assert (tiled.aliased, tiled.observations) == (True, 1)


def test_bandits():
    b = Bandit([1, "1/2", 0])
    assert b.shape == (1, 1, 3)
    assert ns.name(b.transition) == ns.name(b.initial) == "rational"
    assert b.initial.tolist() == [1]
    c = Bandit([[1, 0.5], [0, 0], [2, 2]], [0.5, 0.25, 0.25], [0, 1, 1])
    assert c.shape == (1, 3, 2)
    assert c.aliased
    batch = Bandit(np.arange(6.0).reshape(3, 2), batch_ndim=1)
    assert (batch.shape, batch.batch_shape) == ((1, 1, 3), (2,))
    assert solve.expected_return(batch, np.full((1, 1, 3), 1 / 3)) == pytest.approx([2, 3])


@pytest.mark.parametrize("kind", ns.NAMES)
def test_convert(kind):
    assert sympy.__version__  # imported before, see test_the_first_symbolic_conversion_is_silent
    m = TabularMDP(P, R, RHO, 3, [0, 0]).convert(kind)
    assert {ns.name(x) for x in (m.transition, m.reward, m.initial)} == {kind}
    assert m.shape == (3, 2, 3)
    assert m.stationary
    assert m.aliased
    assert np.array_equal(ns.convert(m.convert("float64").transition, "float64")[2], P)
    assert Bandit(R, RHO).convert(kind).shape == (1, 2, 3)


S = dict(transition=P, reward=R, initial=RHO, horizon=2)  # a sound stationary spec, spoilt in one field below
BAD = [
    (dict(transition=changed(P, (1, 2), [0.5, 0.4])), r"transition at s=1, a=2 sums to 0\.9 over s', not to 1"),
    (
        dict(transition=changed(P, (0, 1), [1.5, -0.5])),
        r"transition has the negative probability -0\.5 at s=0, a=1, s'=1",
    ),
    (dict(transition=changed(P, (0, 1, 0), np.nan)), "transition is nan at s=0, a=1, s'=0"),
    (dict(transition=changed(P, (0, 1, 0), np.inf)), "transition is inf at s=0, a=1, s'=0"),
    (dict(transition=torch.as_tensor(P)), "float64 and torch are mixed"),
    (dict(transition=P[:, :, :1]), "transition has shape .*axis s' should have length 2"),
    (dict(transition=P[None]), r"transition \(horizon given: no leading step axis\) has shape \(1, 2, 3, 2\)"),
    (dict(horizon=None), r"transition \(no horizon given: leading step axis\) has shape \(2, 3, 2\): expected 4 axes"),
    (dict(transition=P[None], horizon=None), r"reward \(no horizon given: leading step axis\) has shape \(2, 3\)"),
    (dict(transition=P[None], reward=np.stack([R, R]), horizon=None), "reward .* axis h should have length 1"),
    (dict(reward=R[None]), r"reward \(horizon given: no leading step axis\) has shape \(1, 2, 3\)"),
    (dict(reward=R[:, :2]), "reward .*axis a should have length 3"),
    (dict(reward=changed(R, (1, 2), np.nan)), "reward is nan at s=1, a=2"),
    (dict(reward=changed(R, (0, 1), -np.inf)), "reward is -inf at s=0, a=1"),
    (dict(reward=3), r"reward .* has shape \(\): expected 2 axes"),
    (dict(reward=[[0, 1, 2], [3, 4]]), "not a rectangular array"),
    (dict(reward=[[0, 1, None], [3, 4, 5]]), "not an array of numbers: None"),
    (dict(reward=[[0, 1, 0.5], [3, 4, Fraction(1, 3)]]), "floats and exact numbers are mixed"),
    (dict(reward=[[0, 1, Fraction(1, 2)], [3, 4, 5]]), "float64 and rational are mixed"),
    (dict(initial=[0.5, 0.4]), r"initial sums to 0\.9 over s, not to 1"),
    (dict(initial=[1.5, -0.5]), r"initial has the negative probability -0\.5 at s=1"),
    (dict(initial=[1, 0, 0]), "initial has shape .*axis s should have length 2"),
    (dict(initial=[np.nan, 1]), "initial is nan at s=0"),
    (dict(transition=np.zeros((0, 3, 0)), reward=np.zeros((0, 3)), initial=[]), "transition .*is empty: axis s"),
    (dict(transition=np.zeros((2, 0, 2)), reward=np.zeros((2, 0))), "transition .*is empty: axis a"),
    (dict(batch_ndim=1), r"transition .* has shape \(2, 3, 2\): expected 4 axes \(s, a, s', batch\)"),
    *[(dict(horizon=h), "horizon must be a whole number >= 1, not ") for h in (0, -1, 2.0, True, "2", Fraction(2))],
    *[(dict(batch_ndim=n), "batch_ndim must be a whole number >= 0, not ") for n in (-1, 1.0, False)],
    (dict(observation=[0, 2]), "observation of s=1 is 2: out of range 0..1"),
    (dict(observation=[-1, 0]), "observation of s=0 is -1: out of range"),
    (dict(observation=[1, 1]), "without gaps: no state is seen as 0"),
    *[(dict(observation=o), "observation must map each of the 2 states") for o in ([0.0, 1.0], [True, False], [0], 0)],
]


@pytest.mark.parametrize(("spoilt", "message"), BAD, ids=lambda x: "" if isinstance(x, str) else "-".join(x))
def test_bad_specs(spoilt, message):
    TabularMDP(**S)
    with pytest.raises(ValueError, match=message):
        TabularMDP(**S | spoilt)


def test_bad_exact_specs():
    exact = ns.convert(P, "rational")
    exact[1, 2, 0] += flint.fmpq(1, 10**30)  # a float could not see it
    with pytest.raises(ValueError, match=r"transition at s=1, a=2 sums to 10+1/10+ over s'"):
        TabularMDP(exact, R.astype(int), [1, 0], 2)
    with pytest.raises(ValueError, match="transition at s=1, a=2 sums to"):
        TabularMDP(
            ns.convert(exact, "ball") + ns.convert(changed(P * 0, (1, 2, 0), 1e-9), "ball"), [[0] * 3] * 2, [1, 0], 2
        )
    with pytest.raises(ValueError, match=r"transition at s=0, a=0 sums to 1\.001"):
        TabularMDP(torch.as_tensor(P, dtype=torch.float32) * 1.001, R.astype(int), [1, 0], 2)


def test_places_name_the_step_and_the_batch():
    p = np.tile(P, (3, 1, 1, 1))
    with pytest.raises(ValueError, match=r"transition at h=2, s=1, a=0 sums to 1.5"):
        TabularMDP(changed(p, (2, 1, 0), [0.5, 1]), np.tile(R, (3, 1, 1)), RHO)
    p, r, rho = np.stack([P, P], -1), np.stack([R, R], -1), np.stack([RHO, RHO], -1)
    with pytest.raises(ValueError, match="transition at s=0, a=0, batch=1 sums to 2"):
        TabularMDP(changed(p, (0, 0, slice(None), 1), [1, 1]), r, rho, 2, batch_ndim=1)
    with pytest.raises(ValueError, match="reward is nan at s=1, a=0, batch=1"):
        TabularMDP(p, changed(r, (1, 0, 1), np.nan), rho, 2, batch_ndim=1)
    with pytest.raises(ValueError, match=r"initial .*axis batch should have length 2"):
        TabularMDP(p, r, rho[:, :1], 2, batch_ndim=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1, 0]],), r"reward has shape \(1, 2\): expected 1 axes \(a\)"),
        (([1, 0], [1]), r"reward has shape \(2,\): expected 2 axes \(s, a\)"),
        (([],), "reward is empty: axis a"),
        (([1, np.inf],), "reward is inf at h=0, s=0, a=1"),
        (([[1, 0], [0, 1]], [0.5, 0.6]), r"initial sums to 1\.1"),
        (([[1, 0.5], [0, 1]], [Fraction(1, 2)] * 2), "float64 and rational are mixed"),
        (([[1, 0], [0, 1]], [0.5, 0.5], [0, 5]), "observation of s=1 is 5"),
    ],
)
def test_bad_bandits(arguments, message):
    with pytest.raises(ValueError, match=message):
        Bandit(*arguments)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_bandit_names_its_bad_first_reward(value):
    with pytest.raises(ValueError, match=r"reward is (nan|inf) at h=0, s=0, a=0"):
        Bandit([value, 1])


def test_bad_stacks():
    m = TabularMDP(**S)
    with pytest.raises(ValueError, match="stack of an empty list"):
        stack([])
    with pytest.raises(ValueError, match=r"spec 1 has .H, S, A. .*3, 2, 3"):
        stack([m, TabularMDP(**S | dict(horizon=3))])
    with pytest.raises(ValueError, match="spec 2 has observation map"):
        stack([m, m, TabularMDP(**S, observation=[0, 0])])
    with pytest.raises(ValueError, match="spec 1 is rational, spec 0 is float64"):
        stack([m, m.convert("rational")])


def test_from_gymnasium_refuses():
    with pytest.raises(ValueError, match="has no table `P`"):
        TabularMDP.from_gymnasium("CartPole-v1", 3)
    with pytest.raises(ValueError, match="horizon must be a whole number >= 1, not 0"):
        TabularMDP.from_gymnasium("FrozenLake-v1", 0)
    env = gymnasium.make("FrozenLake-v1").unwrapped
    env.P[2][1] = env.P[2][1][:2]
    with pytest.raises(ValueError, match=r"transition at s=2, a=1 sums to 0\.6"):
        TabularMDP.from_gymnasium(env, 3)


def test_from_gymnasium_merges_successors_and_absorbs_ends():
    m = TabularMDP.from_gymnasium("FrozenLake-v1", 5)  # slippery 4x4; state 14 is left of the goal
    assert m.shape == (5, 17, 4)
    # action 2 (right) slips to down (stays, at the border), right (the goal: +1, over) or up (state 10)
    want = np.zeros(17)
    want[[14, 16, 10]] = 1 / 3
    np.testing.assert_allclose(m.transition[0, 14, 2], want)
    assert m.reward[0, 14, 2] == pytest.approx(1 / 3)
    # from the corner 0, left slips to up and left (both stay) and down
    assert m.transition[0, 0, 0, 0] == pytest.approx(2 / 3)
    assert m.transition[0, 16, :, 16].tolist() == [1] * 4
    assert m.initial.tolist() == [1] + [0] * 16


@pytest.mark.parametrize(
    "way", [lambda m: m.convert("rational").convert("float64"), lambda m: stack([m])], ids=["convert", "stack"]
)
def test_repeated_transitions_do_not_repeat_the_rewards(way):
    r = np.stack([R, 2 * R])
    m = TabularMDP(np.broadcast_to(P, (2, *P.shape)), r, RHO)
    np.testing.assert_array_equal(np.reshape(way(m).reward, r.shape), r)


def test_a_spec_does_not_change_with_the_array_it_was_made_from():
    p = P.copy()
    m = TabularMDP(p, R, RHO, 2)
    p[0, 0] = 5
    assert m.transition.sum(axis=-1).tolist() == np.ones((2, 2, 3)).tolist()


def test_a_spec_owns_its_numbers_whatever_it_was_made_from():
    half = np.full((2, 2, 2), 0.5)
    repeated = TabularMDP(np.broadcast_to(half, (3, 2, 2, 2)), np.zeros((3, 2, 2)), [0.5, 0.5])
    rewards = np.array([1.0, 0.0])
    view = rewards.view()
    view.flags.writeable = False
    tensor = torch.tensor([1.0, 0.0], dtype=torch.float64)
    bandits = Bandit(view), Bandit(tensor)
    half[:], rewards[:], tensor[:] = 3, 9, 9
    assert (repeated.transition == 0.5).all()
    assert repeated.transition.strides[0] == 0  # and it did not grow
    for bandit in bandits:
        assert bandit.reward[0, 0].tolist() == [1.0, 0.0]
    leaf = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    solve.expected_return(Bandit(leaf), torch.full((1, 1, 2), 0.5, dtype=torch.float64)).backward()
    assert leaf.grad.tolist() == [0.5, 0.5]  # a copy keeps the gradient


@pytest.mark.parametrize("specs", [None, [], [1, 2], Bandit([1, 0])])
def test_stack_takes_specs(specs):
    with pytest.raises(ValueError, match="stack"):
        stack(specs)


def test_a_broken_gymnasium_table_is_named():
    class Broken:
        initial_state_distrib = np.array([1.0, 0.0])
        unwrapped = property(lambda self: self)

        def __init__(self, row, actions=1):
            self.P = {0: {0: row}, 1: {a: [(1.0, 1, 0.0, False)] for a in range(actions)}}

    for successor in (-1, 2):
        with pytest.raises(ValueError, match=f"s=0, a=0 to {successor}"):
            TabularMDP.from_gymnasium(Broken([(1.0, successor, 0.0, False)]), 2)
    with pytest.raises(ValueError, match="2 actions at s=1"):
        TabularMDP.from_gymnasium(Broken([(1.0, 1, 0.0, False)], actions=2), 2)
    with pytest.raises(ValueError, match="no table"):
        TabularMDP.from_gymnasium(None, 2)
