"""One function, five number systems: each agrees with the standard library on numbers a person can check."""

import math
import subprocess
import sys
from fractions import Fraction

import flint
import numpy as np
import pytest
import sympy
import torch

from distil_theory import number_systems as ns

EXACT = ["rational", "ball", "symbolic"]


def floats(x):
    """Any array as plain numpy floats, by a route of its own."""
    if isinstance(x, torch.Tensor):
        return x.detach().numpy()
    x = np.asarray(x)

    def one(e):
        return int(e.p) / int(e.q) if isinstance(e, flint.fmpq) else float(e)

    return x if x.dtype != object else np.array([one(e) for e in x.flat]).reshape(x.shape)


@pytest.mark.parametrize("kind", ns.NAMES)
def test_convert_and_name(kind):
    x = ns.convert([["1/3", 2], [0.5, Fraction(-3, 4)]], kind)
    assert ns.name(x) == kind
    assert tuple(x.shape) == (2, 2)
    np.testing.assert_allclose(floats(x), [[1 / 3, 2], [0.5, -0.75]], rtol=1e-15)
    assert ns.name(x[0, 0]) == kind


@pytest.mark.parametrize("kind", ns.NAMES)
@pytest.mark.parametrize("to", ns.NAMES)
def test_every_exact_conversion_round_trips(kind, to):
    x = ns.convert([0.1, -2.0, 3.5], kind)
    if kind == "ball" and to in ("rational", "symbolic"):
        with pytest.raises(TypeError, match="not a rational number"):
            ns.convert(x, to)
    else:
        assert floats(ns.convert(x, to)).tolist() == [0.1, -2.0, 3.5]


def test_floats_become_the_rational_they_are_and_strings_the_rational_they_say():
    assert ns.convert([0.1], "rational")[0] == flint.fmpq(3602879701896397, 2**55)
    assert ns.convert(["0.1"], "rational")[0] == flint.fmpq(1, 10)
    assert ns.convert([0.1], "symbolic")[0] == sympy.Rational(3602879701896397, 2**55)
    assert ns.convert(sympy.Rational(1, 7), "rational").item() == flint.fmpq(1, 7)


def test_the_first_symbolic_conversion_is_silent():
    code = "from distil_theory import number_systems as ns; ns.convert([0.5], 'symbolic')"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_convert_refuses():
    with pytest.raises(ValueError, match="unknown number system 'decimal'"):
        ns.convert([1], "decimal")
    with pytest.raises(TypeError, match=r"sqrt\(2\) is not a rational number"):
        ns.convert([sympy.sqrt(2)], "rational")
    with pytest.raises(TypeError):
        ns.convert([None], "rational")


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_convert_refuses_what_has_no_exact_value(value):
    with pytest.raises(TypeError):
        ns.convert([value], "rational")


def test_asarray_finds_the_system():
    assert ns.asarray([1, 0]).dtype == np.float64
    assert ns.asarray([True, 2]).tolist() == [1.0, 2.0]
    assert ns.name(ns.asarray([1, "1/2", 0])) == "rational"
    assert ns.name(ns.asarray([Fraction(1, 2), flint.arb(1)])) == "ball"
    assert ns.name(ns.asarray([Fraction(1, 2), sympy.Symbol("x"), 1])) == "symbolic"
    assert ns.asarray(torch.tensor([1, 2])).dtype == torch.float64
    assert ns.asarray(torch.ones(2, dtype=torch.float32)).dtype == torch.float32


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([0.5, Fraction(1, 2)], "floats and exact numbers are mixed"),
        ([0.5, sympy.Symbol("x")], "floats and exact numbers are mixed"),
        ([1, None], "not an array of numbers: None"),
        ([1j], "not an array of numbers: 1j"),
        (["half"], "not an array of numbers: .*half"),
        (["1/0"], "not an array of numbers"),
        ([[1, 2], [3]], "not a rectangular array"),
        ([flint.arb(1), sympy.Symbol("x")], "not an array of numbers"),
    ],
)
def test_asarray_refuses(entries, message):
    with pytest.raises(ValueError, match=message):
        ns.asarray(entries)


def test_name_refuses_other_things():
    with pytest.raises(TypeError, match="dict belongs to none of the number systems"):
        ns.name({})


def test_common_lets_exact_things_follow_and_refuses_the_rest():
    half, whole = ns.convert(["1/2"], "rational"), np.array([3.0])
    assert [ns.name(a) for a in ns.common(half, whole)] == ["rational"] * 2
    assert [ns.name(a) for a in ns.common(half, ns.convert([1], "ball"))] == ["ball"] * 2
    assert [ns.name(a) for a in ns.common(half, ns.convert([1], "symbolic"))] == ["symbolic"] * 2
    single = torch.ones(1, dtype=torch.float32)
    assert ns.common(single, whole)[1].dtype == torch.float32
    for other in (np.array([0.5]), np.array([np.inf]), torch.ones(1)):
        with pytest.raises(ValueError, match="are mixed; say which you mean"):
            ns.common(half, other)
    with pytest.raises(ValueError, match=r"symbolic and ball|ball and symbolic"):
        ns.common(ns.convert([1], "ball"), ns.convert([1], "symbolic"))


@pytest.mark.parametrize("kind", ["float64", "ball", "symbolic", "torch"])
@pytest.mark.parametrize("function", ["log", "exp", "sqrt"])
def test_elementary_functions(kind, function):
    x = ns.convert(["1/2", 1, 3], kind)
    y = getattr(ns, function)(x)
    assert ns.name(y) == kind
    np.testing.assert_allclose(floats(y), [getattr(math, function)(e) for e in (0.5, 1, 3)], rtol=1e-14)


def test_balls_are_enclosures_at_the_working_precision():
    with ns.precision(300):
        b = ns.log(ns.convert([3], "ball"))[0]
        assert b.rad() < flint.arb("1e-80")
        assert b.exp().contains(3)


def test_rationals_stay_rational():
    assert ns.log(ns.convert([1], "rational"))[0] == 0
    assert ns.exp(ns.convert([0], "rational"))[0] == 1
    assert ns.sqrt(ns.convert(["4/9"], "rational"))[0] == flint.fmpq(2, 3)
    assert ns.power(ns.convert(["4/9"], "rational"), Fraction(-3, 2))[0] == flint.fmpq(27, 8)
    for call in (ns.log, ns.exp, ns.sqrt, lambda q: ns.power(q, Fraction(1, 3))):
        with pytest.raises(TypeError, match="is not rational; convert to 'ball'"):
            call(ns.convert([2], "rational"))


@pytest.mark.parametrize("kind", ns.NAMES)
def test_sign_iszero_isnegative_isfinite(kind):
    x = ns.convert([-2, 0, "1/5"], kind)
    assert floats(ns.sign(x)).tolist() == [-1, 0, 1]
    assert np.asarray(ns.iszero(x)).tolist() == [False, True, False]
    assert np.asarray(ns.isnegative(x)).tolist() == [True, False, False]
    assert np.asarray(ns.isfinite(x)).all()


def test_only_known_facts_count():
    fuzzy = np.array([flint.arb(0, 1)], dtype=object)
    x, y = sympy.symbols("x y")
    assert not ns.iszero(fuzzy)[0]
    assert not ns.isnegative(fuzzy)[0]
    assert ns.sign(fuzzy)[0].contains(-1)
    assert ns.sign(fuzzy)[0].contains(1)
    assert ns.iszero(np.array([(x + y) ** 2 - x**2 - 2 * x * y - y**2, x], dtype=object)).tolist() == [True, False]
    assert ns.isnegative(np.array([x, sympy.Symbol("n", negative=True)], dtype=object)).tolist() == [False, True]
    for bad in ([np.nan, np.inf], torch.tensor([np.nan, np.inf]), [flint.arb("nan"), flint.arb.pos_inf()]):
        assert not np.asarray(ns.isfinite(ns.asarray(bad))).any()
    assert not ns.isfinite(np.array([sympy.oo], dtype=object)).any()


@pytest.mark.parametrize("kind", ns.NAMES)
def test_power_xlogx_at_zero(kind):
    x = ns.convert([0, 1, 4], kind)
    assert floats(ns.power(x, 2)).tolist() == [0, 1, 16]
    assert floats(ns.power(x, 0)).tolist() == [1, 1, 1]
    np.testing.assert_allclose(floats(ns.power(x, 0.5)), [0, 1, 2], rtol=1e-15)
    assert floats(ns.xlogx(x[:2])).tolist() == [0, 0]
    if kind != "rational":
        np.testing.assert_allclose(floats(ns.xlogx(x)), [0, 0, 4 * math.log(4)], rtol=1e-15)


@pytest.mark.parametrize("kind", ["float64", "ball", "torch"])
def test_infinities_where_the_system_has_them(kind):
    x = ns.convert([0], kind)
    assert floats(ns.power(x, Fraction(-1, 2)))[0] == math.inf or not ns.isfinite(ns.power(x, Fraction(-1, 2))).any()
    assert ns.log(x)[0] == -math.inf if kind != "ball" else ns.log(x)[0] == flint.arb.neg_inf()


def test_symbolic_zero_to_a_negative_power():
    assert ns.power(ns.convert([0], "symbolic"), -1)[0] == sympy.oo


@pytest.mark.parametrize("kind", ns.NAMES)
def test_amax_where_stack_broadcast(kind):
    x, y = ns.convert([[1, 5], [3, 2]], kind), ns.convert([[0, 0], [9, 9]], kind)
    assert floats(ns.amax(x, 0)).tolist() == [3, 5]
    assert floats(ns.amax(x, 1)).tolist() == [5, 3]
    assert floats(ns.where(ns.iszero(y), x, y)).tolist() == [[1, 5], [9, 9]]
    assert floats(ns.stack([x, y], axis=-1))[1].tolist() == [[3, 9], [2, 9]]
    wide = ns.broadcast_to(x[None], (4, 2, 2))
    assert tuple(wide.shape) == (4, 2, 2)
    assert floats(wide)[3].tolist() == [[1, 5], [3, 2]]


@pytest.mark.parametrize("kind", ns.NAMES)
@pytest.mark.parametrize(("p_batch", "v_batch"), [((), ()), ((), (2,)), ((2,), (2,)), ((2, 1), (2, 3))])
def test_contract_is_the_expected_next_value(kind, p_batch, v_batch):
    rng = np.random.default_rng(0)
    p, v = (rng.integers(-4, 5, shape).astype(float) for shape in ((2, 3, 2, *p_batch), (2, *v_batch)))
    wide = p.reshape(p.shape + (1,) * (v.ndim + 2 - p.ndim))
    want = sum(wide[:, :, k] * v[k] for k in range(2))
    np.testing.assert_allclose(floats(ns.contract(ns.convert(p, kind), ns.convert(v, kind))), want)


@pytest.mark.parametrize("kind", ns.NAMES)
def test_greater(kind):
    a, b = ns.convert([1, 2, 3], kind), ns.convert([2, 2, "1/3"], kind)
    assert np.asarray(ns.greater(a, b, "it")).tolist() == [False, False, True]


def test_greater_raises_where_the_order_is_unknown():
    x, y = (np.array([sympy.Symbol(n)], dtype=object) for n in "xy")
    with pytest.raises(ValueError, match="the winner is undecided: the sign"):
        ns.greater(x, y, "the winner")
    a, b = (np.array([flint.arb(m, 0.1)], dtype=object) for m in (1, 1.05))
    with pytest.raises(ValueError, match=r"the winner is undecided: the balls .* overlap"):
        ns.greater(a, b, "the winner")
