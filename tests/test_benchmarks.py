"""The benchmark measures what it says: contenders agree, and a wrong one stops it; nothing here looks at a clock."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import bandits, floor, mdps, scaling, single, timing
from benchmarks.settings import QUICK
from benchmarks.timing import Contender, DisagreementError

ROOT = Path(__file__).resolve().parents[1]
TINY = replace(QUICK, mdps=7, looped=3, mdp_shape=(4, 5, 3), mdp_rounds=2, bandits=500, bandit_rounds=2)


def all_results(everyone):
    return {name: contender.read(contender.run()) for name, contender in everyone.items()}


@pytest.mark.parametrize("divergence", mdps.DIVERGENCES)
def test_all_mdp_contenders_agree_on_all_five_quantities(divergence):
    results = all_results(mdps.contenders(TINY, divergence))
    assert len(results) == 5
    timing.check_agreement(results, mdps.QUANTITIES)
    for v, q, d, policy, local in results.values():
        assert v.shape[:2] == d.shape[:2] == (4, 5)
        assert q.shape[:3] == policy.shape[:3] == local.shape[:3] == (4, 5, 3)
        for quantity in (v, q, d, policy, local):
            assert abs(quantity).max() > 1e-3  # they do not agree on nothing
    assert {name: result[0].shape[-1] for name, result in results.items() if "loop" in name} == {
        "quantecon, loop": 3, "pymdptoolbox, loop": 3,
    }  # fmt: skip


def test_torch_program_agrees_before_it_is_compiled(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    for divergence in mdps.DIVERGENCES:
        everyone = mdps.contenders(TINY, divergence, compiled=True)
        timing.check_agreement(all_results(everyone), mdps.QUANTITIES)
        assert "torch.compile" in everyone


@pytest.mark.parametrize("broken", ["batched_numpy", "_complete"])
@pytest.mark.parametrize("quantity", range(5))
def test_a_wrong_mdp_contender_stops_the_benchmark(monkeypatch, broken, quantity):
    original = getattr(mdps, broken)

    def slightly_wrong(result):
        return tuple(x + 1e-9 * (k == quantity) for k, x in enumerate(result))

    def batched(*args):
        contender = original(*args)
        return contender._replace(run=lambda: slightly_wrong(contender.run()))

    wrong = batched if broken == "batched_numpy" else lambda *args: slightly_wrong(original(*args))
    monkeypatch.setattr(mdps, broken, wrong)
    with pytest.raises(DisagreementError, match=rf"^{mdps.QUANTITIES[quantity]}: .* differs from distil_theory"):
        mdps.measure(TINY, 1e10)


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        (np.full((2, 4), np.nan), "x: b differs from a by nan"),
        (np.zeros((3, 4)), r"x: b has shape \(3, 4\), a \(2, 4\)"),
    ],
)
def test_neither_nan_nor_another_shape_agrees(theirs, message):
    with pytest.raises(DisagreementError, match=message):
        timing.check_agreement({"a": [np.zeros((2, 4))], "b": [theirs]}, ["x"])


def test_fewer_instances_are_compared_with_the_first():
    timing.check_agreement({"a": [np.arange(5.0)], "b": [np.arange(3.0)]}, ["x"])
    with pytest.raises(DisagreementError):
        timing.check_agreement({"a": [np.arange(5.0)], "b": [np.arange(1, 4.0)]}, ["x"])


@pytest.mark.parametrize("names", bandits.WORKLOADS.values(), ids=list(bandits.WORKLOADS))
def test_all_count_the_same_given_bandits(names):
    data = bandits.draw(4, 4000, 0)
    everyone = bandits.given(data, names)
    counts = {name: contender.run().tolist() for name, contender in everyone.items()}
    assert len(counts) == 5
    assert bandits.check_counts(everyone, np.zeros(len(names), int)).sum() == 0
    ours = dict(zip(names, counts["distil_theory"], strict=True))
    assert ours["reverse_kl"] > 0
    assert ours.get("forward_kl", 0) == 0  # a theorem


def test_a_wrong_count_stops_the_benchmark_unless_there_are_as_many_near_ties():
    right, wrong = Contender(lambda: np.array([5, 7]), 100), Contender(lambda: np.array([5, 8]), 100)
    with pytest.raises(DisagreementError, match=r"peer counts \[5 8\] failures, distil_theory \[5 7\]"):
        bandits.check_counts({"distil_theory": right, "peer": wrong}, np.array([1, 0]))
    assert bandits.check_counts({"distil_theory": right, "peer": wrong}, np.array([0, 1])).tolist() == [0, 1]


def test_a_wrong_formula_of_a_peer_is_found_on_given_and_on_generated_bandits(monkeypatch):
    monkeypatch.setitem(bandits.H, "reverse_kl", lambda u: -u)
    with pytest.raises(DisagreementError, match=r"numpy, transcribed counts .* failures"):
        bandits.measure(TINY, 1e10)
    monkeypatch.setattr(bandits, "check_counts", lambda everyone, allowed: allowed)
    with pytest.raises(DisagreementError, match="five standard errors"):
        bandits.measure(TINY, 1e10)


def test_near_ties_are_found():
    student = np.array([[0.5, 0.25, 0.25], [0.2, 0.3, 0.5]])
    reward = np.array([[0.3, 0.3, 0.3], [1.0, 0.5, 0.2]])
    assert bandits.undecided((reward, student, student[:, ::-1]), ["reverse_kl"]).tolist() == [1]


def test_generated_bandits_have_better_experts_and_the_same_failure_rates():
    reward, student, expert = bandits.draw(4, 1000, 3)
    assert 400 < len(reward) < 600
    assert ((reward * (expert - student)).sum(axis=1) > 0).all()
    everyone = bandits.generated(4, 20_000, ["reverse_kl"])
    bandits.check_rates(everyone)
    ours = everyone["distil_theory"]
    everyone["distil_theory"] = ours._replace(run=lambda: ours.run() * 1.5)
    with pytest.raises(DisagreementError, match="five standard errors"):
        bandits.check_rates(everyone)


def test_time_of_generated_bandits_is_per_bandit_kept():
    everyone = bandits.generated(4, 1000, ["reverse_kl"], seed=1)
    assert everyone["numpy, batch first"].n == len(bandits.draw(4, 2000, 1)[0])
    assert everyone["distil_theory"].n == 1000


def test_one_large_mdp_everyone_agrees():
    everyone, sizes = single.contenders((5, 30, 3))
    timing.check_agreement(all_results(everyone), ("v", "q"))
    assert list(sizes) == list(everyone)
    assert sizes["distil_theory"] == 4 * 30 * 3 * 30 * 8


def test_a_wrong_contender_on_one_large_mdp_stops_the_benchmark(monkeypatch):
    everyone, sizes = single.contenders((5, 30, 3))
    ours = everyone["distil_theory"]
    everyone["numpy, einsum"] = ours._replace(run=lambda: (ours.run()[0], ours.run()[1] + 1e-9))
    monkeypatch.setattr(single, "contenders", lambda shape: (everyone, sizes))
    with pytest.raises(DisagreementError, match="q: numpy, einsum differs"):
        single.measure(TINY, 1e10)


def test_every_round_runs_everyone_once_and_rotates_the_starter():
    calls = []
    seconds = timing.interleave({name: lambda name=name: calls.append(name) for name in "abc"}, 4)
    assert "".join(calls) == "abcbcacababc"
    assert {name: len(x) for name, x in seconds.items()} == {"a": 4, "b": 4, "c": 4}


def test_seconds_go_to_the_one_who_took_them():
    now = [0.0]
    takes = {"a": 1.0, "b": 10.0}

    def work(name):
        now[0] += takes[name]

    seconds = timing.interleave({name: lambda name=name: work(name) for name in takes}, 3, clock=lambda: now[0])
    assert {name: x.tolist() for name, x in seconds.items()} == {"a": [1] * 3, "b": [10] * 3}


def rows_of(monkeypatch, seconds, n, floor):
    monkeypatch.setattr(timing, "interleave", lambda runs, rounds: {k: np.array(v) for k, v in seconds.items()})
    everyone = {name: Contender(lambda: None, n[name]) for name in seconds}
    rows = timing.race("bench", "work", everyone, len(seconds["ours"]), floor)
    return {(row.contender, row.metric): row for row in rows}


def test_ratios_are_medians_of_ratios_within_a_round(monkeypatch):
    # the machine is ten times slower in the second round: the ratio of medians would be 2.5
    seconds = {"ours": [1.0, 10.0, 2.0], "peer": [2.0, 40.0, 5.0]}
    rows = rows_of(monkeypatch, seconds, {"ours": 10, "peer": 5}, 0.05)
    ratio = rows["peer", "ratio"]  # per instance: 0.4/0.1, 8/1, 1/0.2
    assert (ratio.value, ratio.lower, ratio.upper) == pytest.approx((5, 4.5, 6.5))
    assert (ratio.unit, ratio.n, ratio.rounds) == ("1", 5, 3)
    assert rows["ours", "ratio"].value == 1
    time = rows["peer", "time"]
    assert (time.value, time.lower, time.upper) == pytest.approx((1, 0.7, 4.5))
    assert rows["peer", "fastest"].value == pytest.approx(0.4)
    assert rows["peer", "above_floor"].value == pytest.approx(20)
    assert rows["floor", "time"].value == 0.05


def test_the_floor_may_be_a_contender(monkeypatch):
    rows = rows_of(monkeypatch, {"ours": [4.0, 8.0], "alone": [2.0, 2.0]}, {"ours": 1, "alone": 1}, "alone")
    assert rows["ours", "above_floor"].value == 3
    assert ("floor", "time") not in rows


@pytest.mark.parametrize("power", [0.5, 1, 2])
def test_growth_exponent_of_a_power_law(power):
    sizes = np.array([5, 10, 40, 80])
    assert timing.growth_exponent(sizes, 3e-6 * sizes**power) == pytest.approx(power)


def test_compulsory_bytes_are_those_of_the_arrays():
    horizon, states, actions = TINY.mdp_shape
    arrays = mdps.batch_last(mdps.problems(6, states, actions), horizon)
    everyone = mdps.contenders(replace(TINY, mdps=6), "forward_kl")
    outputs = everyone["distil_theory"].run()
    assert mdps.bytes_per_mdp(TINY.mdp_shape) * 6 == sum(x.nbytes for x in (*arrays, *outputs))


def test_ours_gets_full_time_dependent_policies():
    *_, student, expert = mdps.batch_last(mdps.problems(6, 5, 3), 4)
    for policy in (student, expert):
        assert policy.shape == (4, 5, 3, 6)
        assert policy.flags.c_contiguous
        assert 0 not in policy.strides


def test_bandwidth_is_that_of_the_best_stream(monkeypatch):
    seconds = {"read": [1.0], "copy": [1.0], "scale": [4.0]}
    monkeypatch.setattr(floor, "interleave", lambda runs, rounds: {k: np.array(seconds[k]) for k in runs})
    rows = floor.measure(QUICK)
    assert {row.contender: row.value for row in rows} == {"read": 2**22, "copy": 2**23, "scale": 2**21}
    assert floor.bandwidth(rows) == 2**23


def test_scaling_holds_the_other_axes(monkeypatch):
    seen = []
    monkeypatch.setattr(scaling, "_evaluation", lambda sizes: seen.append(sizes) or (lambda: None))
    rows = scaling.measure(QUICK)
    base = {"H": 5, "S": 5, "A": 3, "B": 10_000}
    assert seen[:2] == [base | {"S": 5, "B": 50}, base | {"S": 10, "B": 50}]
    assert seen[-2:] == [base | {"B": 100}, base | {"B": 200}]
    assert {row.workload: row.value for row in rows if row.contender == "theory"} == {"S": 2, "A": 1, "H": 1, "B": 1}
