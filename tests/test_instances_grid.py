"""The imitation gap of the privileged grid: exact numbers, closed forms, and where training ends."""

import numpy as np
import pytest

from distil_theory import experts, instances, objectives, solve, updates
from distil_theory import number_systems as ns
from distil_theory.aliasing import visible
from distil_theory.divergences import BY_NAME, FORWARD_KL
from distil_theory.instances.grid import CELLS, EAST, NORTH, SOUTH, WEST


def q(text):
    return ns.convert([text], "rational")[0]


def earns(case, policy):
    return solve.expected_return(case.mdp, policy)


def rate(case, expert=None, **options):
    return objectives.improvement_rate(
        case.mdp, case.student, case.expert if expert is None else expert, FORWARD_KL, **options
    )


def walker(case, steps):
    """A policy that takes these actions, by what it sees and regardless of the time."""
    seen = [case.names.seen[o] for o in case.mdp.observation]
    rows = np.eye(4, dtype=int)[[steps.get(view, NORTH) for view in seen]]
    return ns.convert(np.broadcast_to(rows, (*case.mdp.shape[:2], 4)), "rational")


@pytest.fixture(scope="module")
def grid():
    return instances.privileged_grid()


def test_the_world_by_hand(grid):
    mdp, names = grid.mdp, grid.names
    assert mdp.shape == (4, 16, 4)
    assert mdp.observations == 13
    place = names.states.index
    start = [place(f"start, the {side} bridge holds") for side in ("west", "east")]
    assert [mdp.initial[s] for s in start] == [q("1/2")] * 2
    west, east = start
    for s, a, after in (
        (west, WEST, "west foot, the west bridge holds"),
        (east, WEST, "west foot, the east bridge holds"),
        (east, SOUTH, "sign, the sign said east"),
        (east, NORTH, "start, the east bridge holds"),
        (place("sign, the sign said east"), NORTH, "start, the sign said east"),
        (place("start, the sign said east"), EAST, "east foot, the sign said east"),
        (place("east foot, the sign said east"), NORTH, "north bank"),
        (place("west foot, the east bridge holds"), NORTH, "river"),
        (place("river"), NORTH, "river"),
    ):
        assert (mdp.transition[:, s, a, place(after)] == 1).all()
    paid = np.argwhere(mdp.reward != 0)
    assert {(names.states[s].partition(" foot")[0], NORTH) for _, s, a in paid} == {("west", NORTH), ("east", NORTH)}
    for _, s, a in paid:
        assert a == NORTH
        assert f"{names.states[s].partition(' foot')[0]} bridge holds" in names.states[s] or "said" in names.states[s]
    assert (mdp.reward[mdp.reward != 0] == 1).all()
    # the student confuses exactly the two hidden bridges of an unread sign
    for o in range(mdp.observations):
        group = np.flatnonzero(mdp.observation == o)
        assert len(group) == (2 if names.seen[o] in CELLS[:3] else 1)


def test_who_earns_what(grid):
    assert earns(grid, grid.expert) == 1
    # slips of 1/100 each: south is meant with 1/2, so taken with 49/100, then three right steps of 97/100
    assert earns(grid, grid.student) == q("34918351/50000000")
    best_blind = walker(
        grid,
        {
            **{"start": SOUTH, "start, the sign said west": WEST, "start, the sign said east": EAST},
            **{"west foot, the sign said east": EAST, "east foot, the sign said west": WEST},
        },
    )
    assert earns(grid, best_blind) == 1  # no policy earns more, whatever it sees
    guess = walker(grid, {"start": WEST})
    assert earns(grid, guess) == q("1/2")


def test_the_local_step_forgets_to_look(grid):
    assert rate(grid) == q("-5581077/25000000")
    direction = updates.direction(grid.mdp, grid.student, grid.expert, FORWARD_KL)
    velocity = (visible(grid.mdp, grid.student) * direction)[0, grid.names.seen.index("start")]
    assert velocity[SOUTH] == q("-49/100")  # pi (u - 1) = pi* - pi
    assert velocity[WEST] == velocity[EAST] == q("1/4")


def test_prefix_weights_make_it_cloning(grid):
    weight = objectives.occupancy_ratio(grid.mdp, grid.student, grid.expert)
    assert rate(grid, weight=weight) == q("1/2") - earns(grid, grid.student) < 0
    cloned = experts.observed(grid.mdp, grid.expert, grid.expert)
    assert earns(grid, cloned) == q("1/2")


def test_where_local_training_ends(grid):
    end = experts.observed(grid.mdp, grid.expert, grid.student)
    assert earns(grid, end) == q("3/8")
    assert (experts.observed(grid.mdp, grid.expert, end) == end).all()  # at rest
    north, *_ = end[1, grid.names.states.index("west foot, the west bridge holds")]
    assert north == q("1/2")
    for horizon, earned in ((5, "3/8"), (6, "7/16"), (7, "7/16"), (8, "15/32")):
        longer = instances.privileged_grid(horizon)
        assert earns(longer, experts.observed(longer.mdp, longer.expert, longer.student)) == q(earned)
        assert rate(longer) < 0
    # every step there mixes in the expert as it is seen
    floats = grid.convert("float64")
    student = floats.student
    for _ in range(60):
        student = updates.proximal_step(floats.mdp, student, floats.expert, FORWARD_KL, 1)
    np.testing.assert_allclose(earns(floats, student), 3 / 8, rtol=0, atol=1e-12)


def full_end():
    """The closed form of the module: `L`, the probability of looking at the start, that of `north` at a foot."""
    m = 2 * np.log(2)
    low = (-(2 * m - 2) + np.sqrt((2 * m - 2) ** 2 + 8 * m)) / 4
    ahead = (np.log(2 * low) + np.log(2 * low + 2 * m)) / 2 + m / (2 * low + 2 * m)
    return ahead, 1 - 1 / ahead, 1 / (2 * low)


def test_looking_ahead_looks_a_little(grid):
    ahead, look, north = full_end()
    assert (ahead, look) == pytest.approx((1.183, 0.155), abs=5e-4)
    floats = grid.convert("float64")
    assert 0 < rate(floats, part="full") < 0.02
    student = floats.student
    for _ in range(400):  # natural steps downhill, kept inside the simplex
        move = updates.direction(floats.mdp, student, floats.expert, FORWARD_KL, part="full")
        student = np.maximum(updates.exponential_step(floats.mdp, student, move, 0.1), 1e-12)
        student /= student.sum(axis=2, keepdims=True)
    index = grid.names.states.index
    start, foot = index("start, the west bridge holds"), index("west foot, the west bridge holds")
    np.testing.assert_allclose(student[0, start, [SOUTH, WEST]], [look, (1 - look) / 2], rtol=0, atol=1e-4)
    np.testing.assert_allclose(student[1, foot, [NORTH, EAST]], [north, 1 - north], rtol=0, atol=1e-4)
    loss = objectives.loss(floats.mdp, student, floats.expert, FORWARD_KL)
    np.testing.assert_allclose(loss, np.log(2 / (1 - look)) + (1 - look) * ahead, rtol=0, atol=1e-6)
    # who crosses at once wins half of the time, who turns back once more has only one more try, of north 1/2
    earned = look + (1 - look) * (north / 2 + (1 - north) / 4)
    np.testing.assert_allclose(earns(floats, student), earned, rtol=0, atol=1e-4)
    assert earned == pytest.approx(0.526, abs=5e-4)
    # downhill in every direction: no mixture with another policy has a lower loss
    rng = np.random.default_rng(0)
    for _ in range(20):
        other = rng.dirichlet(np.ones(4), (4, grid.mdp.observations))[:, grid.mdp.observation]
        mixed = 0.99 * student + 0.01 * other
        assert objectives.loss(floats.mdp, mixed, floats.expert, FORWARD_KL) > loss


def test_a_teacher_without_its_privilege_repairs_it(grid):
    humble = experts.success_conditioned(grid.mdp, grid.student, privileged=False)
    assert rate(grid, humble) > q("1/10")
    floats = grid.convert("float64")
    student = floats.student
    for _ in range(200):
        teacher = experts.success_conditioned(floats.mdp, student, privileged=False)
        better = updates.proximal_step(floats.mdp, student, teacher, FORWARD_KL, 1)
        assert earns(floats, better) >= earns(floats, student) - 1e-12
        student = better
    assert earns(floats, student) > 0.999


def test_every_divergence_forgets_to_look(grid):
    floats = grid.convert("float64")
    for name, divergence in BY_NAME.items():
        if not divergence.needs_expert_support:
            value = objectives.improvement_rate(floats.mdp, floats.student, floats.expert, divergence)
            assert value < 0, name


def test_parameters(grid):
    eager = instances.privileged_grid(look="99/100", slip="1/1000")
    assert earns(eager, eager.student) > q("98/100")
    assert rate(eager) < rate(grid)  # the more it looks, the more there is to lose
    for settings, message in (
        ({"horizon": 3}, "horizon must be a whole number >= 4"),
        ({"look": 1}, "look must lie strictly between 0 and 1"),
        ({"slip": 0.1}, "slip must be an exact number"),
    ):
        with pytest.raises(ValueError, match=message):
            instances.privileged_grid(**settings)


def test_the_map_fits_the_names(grid):
    world = grid.world
    for s, name in enumerate(grid.names.states):
        i, j = world.places[s]
        assert world.rows[i][j] in "*~.!"
        told = "said" in name
        assert world.told[s] == told
        if world.holds[s] is not None:
            side = ("west", None, "east")[world.holds[s]]
            assert f"the {side} bridge holds" in name or f"the sign said {side}" in name
            assert world.rows[1][world.holds[s]] == "="
