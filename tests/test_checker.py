"""The checker alone in the world, and its derivatives against those of sympy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sympy
from flint import arb, ctx, fmpq

from distil_theory import checker
from distil_theory.certify import GENERATORS
from distil_theory.gallery import GALLERY

ROOT = Path(__file__).parents[1]
FILES = sorted(GALLERY.glob("*.json"))


# --- alone -----------------------------------------------------------------------------------------------------------


def test_it_imports_the_standard_library_and_flint_only():
    tree = ast.parse(Path(checker.__file__).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    assert {name.partition(".")[0] for name in names} <= {*sys.stdlib_module_names, "flint"}
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not calls & {"eval", "exec", "compile", "__import__"}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Runs a copy of the checker in a folder where everything else that it could lean on fails to import."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "checker.py").write_bytes(Path(checker.__file__).read_bytes())
    for name in ("numpy", "scipy", "sympy", "distil_theory"):
        (folder / f"{name}.py").write_text("raise ImportError('blocked')")

    def run(*paths: Any) -> subprocess.CompletedProcess:
        command = [sys.executable, str(folder / "checker.py"), *map(str, paths)]
        return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)

    return run


def test_it_runs_alone(alone):
    done = alone(*FILES)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == len(FILES)
    for path, line in zip(FILES, lines, strict=True):
        assert line.startswith(f"{path}: verified: ")


def test_a_false_one_among_true_ones_fails(alone, tmp_path):
    false = tmp_path / "false.json"
    false.write_text(FILES[0].read_text().replace('"sign": "+"', '"sign": "-"', 1))
    done = alone(FILES[0], false, tmp_path / "none.json")
    assert (done.returncode, done.stderr) == (1, "")
    verified, refused, missing = done.stdout.splitlines()
    assert "verified" in verified
    assert "refused: false: gap is" in refused
    assert "refused: [Errno 2]" in missing
    assert alone().returncode == 1


# --- h = u f' - f against sympy --------------------------------------------------------------------------------------

EXPRESSIONS = [
    *GENERATORS.values(),
    "(1 - u) ** 2 / u",
    "u * log(u) - u + 1",
    "log(u) * u / 2",
    "u ** (3 / 2) - 1",
    "(u ** (1 / 3) - 1 - (u - 1) / 3) / (1 / 3 * (-2 / 3))",
    "u ** (-1) - 1",
    "(3 * u * log(u) - (3 * u + 1) * log((3 * u + 1) / 4)) / 4",
    "exp(u) - exp(1)",
    "exp(-u) * u - exp(-1)",
    "sqrt(1 + u ** 2) - sqrt(2)",
    "u * exp(sqrt(u)) - exp(1)",
    "(u - 1) ** 4 / (1 + u) ** 3",
    "log(1 + (u - 1) ** 2)",
    "abs(u ** 2 - 1) + (u - 1) ** 2",
    "-(u ** 2 * log(u) ** 2)",
    "u ** 100 - 1",
    "2 ** (1 / 2) * (u - 1)",
    "u ** 0 - 1 + 0 ** 2",
    "(u - 1) / (u * log(u) + 2)",
    "sqrt(u) * log(u)",
    "u * ((u - 1) / (u ** 2 + 2))",
    "exp((u - 1) / (u + 1)) - 1",
    "u ** 1 - 1",
]


def h_by_sympy(text: str, u: Any) -> Any:
    x = sympy.symbols("u", positive=True)
    f = sympy.sympify(text, locals={"u": x, "abs": sympy.Abs}, rational=True)
    h = x * sympy.diff(f, x) - f
    return h.subs(x, u) if u else sympy.limit(h, x, 0, "+")


@pytest.mark.parametrize("text", EXPRESSIONS)
@pytest.mark.parametrize("u", ["1/7", "1", "3/2", "9/4", "17"])
def test_h_agrees_with_sympy(text, u):
    if "abs" in text and u == "1":
        pytest.skip("a kink: tested below")
    with ctx.workprec(200):
        h = checker.derivative(checker.generator(text), fmpq(*map(int, (u + "/1").split("/")[:2])))[2]
        expected = arb(str(sympy.N(h_by_sympy(text, sympy.Rational(u)), 50)))
        assert abs(arb(h) - expected) < arb(10) ** -40 * (1 + abs(expected))


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_h_at_zero_is_the_limit_from_above(text):
    limit = h_by_sympy(text.replace("abs(u - 1)", "(1 - u)").replace("abs(u ** 2 - 1)", "(1 - u ** 2)"), 0)
    try:
        h = checker.derivative(checker.generator(text), fmpq(0))[2]
    except checker.Refused:
        h = arb("nan")
    if limit.is_finite:
        assert abs(arb(h) - arb(str(sympy.N(limit, 30)))) < arb(10) ** -15
    else:
        assert not arb(h).is_finite()


@pytest.mark.parametrize(
    "text",
    ["1 / log(u) * u / u", "1 / log(u) * log(u)", "u / (1 / log(u))", "log(u) ** 2", "exp(-1 / u)", "u * log(u) / u"],
)
def test_what_cannot_be_followed_to_zero_is_not_guessed(text):
    tree = ast.parse(text, mode="eval").body
    try:
        h = checker.derivative(tree, fmpq(0))[2]
    except checker.Refused:
        return
    assert not arb(h).is_finite()


def test_exact_where_it_can_be():
    three_halves = fmpq(3, 2)
    for text, h in {
        "u * log(u)": three_halves,
        "u * log(u) - u + 1": three_halves - 1,
        "abs(u - 1) / 2": fmpq(1, 2),
    }.items():
        found = checker.derivative(checker.generator(text), three_halves)[2]
        assert isinstance(found, fmpq)
        assert found == h
    assert checker.derivative(checker.generator("abs(u - 1) / 2"), fmpq(1))[2] == 0  # the middle of the kink
    assert checker.derivative(checker.generator("(sqrt(u) - 1) ** 2"), fmpq(9, 4))[2] == fmpq(1, 2)
    assert isinstance(checker.derivative(checker.generator("-log(u)"), fmpq(1))[0], fmpq)
    for text in ("exp(u - 1) - 1", "sqrt(u) - 1", "log(u)", "u ** (1 / 2) - 1", "u ** (-1) - 1"):
        assert isinstance(checker.derivative(checker.generator(text), fmpq(1))[0], fmpq), text
    assert checker.power(fmpq(4, 9), fmpq(1, 2)) == fmpq(2, 3)


@pytest.mark.parametrize("text", ["exp(log(u))", "abs(log(u))", "sqrt(-log(u))", "log(-log(u))", "1 / log(u)"])
def test_nothing_is_made_of_what_is_infinite_at_zero(text):
    with pytest.raises(checker.Refused, match="something infinite"):
        checker.derivative(ast.parse(text, mode="eval").body, fmpq(0))


def test_a_ball_that_touches_zero_has_no_sign():
    for ball in (arb(0.5, 0.5), arb(-0.5, 0.5), arb(0, 1), arb("nan")):
        with pytest.raises(checker.Undecided):
            checker.sign(ball)
    assert [checker.sign(x) for x in (arb(1, 0.5), arb(-1, 0.5), arb(0), fmpq(0), fmpq(1, 9))] == [1, -1, 0, 0, 1]
