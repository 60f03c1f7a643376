"""What the checker can be made to do: an end in sight for every file, and what the library writes is understood."""

from __future__ import annotations

import ast
import json
import random
import subprocess
import sys
from fractions import Fraction
from time import process_time
from typing import Any

import numpy as np
import pytest
from flint import arb, ctx, fmpq

from distil_theory import certify, checker
from distil_theory.characterise import characterise
from distil_theory.gallery import GALLERY
from distil_theory.misleading import Counterexample
from distil_theory.spec import Bandit

FILES = sorted(GALLERY.glob("*.json"))

# --- an end in sight -------------------------------------------------------------------------------------------------


def simplex(rng: random.Random, n: int, digits: int) -> list[str]:
    whole = rng.randrange(10 ** (digits - 1), 10**digits) | 1
    parts = [rng.randrange(1, whole // n) for _ in range(n - 1)]
    return [str(Fraction(part, whole)) for part in [*parts, whole - sum(parts)]]


def large(horizon: int, states: int, actions: int, digits: int, **changes: Any) -> bytes:
    """A certificate with different denominators everywhere; equal rewards, so that the signs are those of zeros."""
    rng = random.Random(0)

    def table(width: int, *shape: int) -> Any:
        return [table(width, *shape[1:]) for _ in range(shape[0])] if shape else simplex(rng, width, digits)

    contents = json.loads(FILES[0].read_text()) | {
        "divergence": "-log(u)", "geometry": "natural", "eta": None, "asserts": [{"quantity": "rate", "sign": "-"}],
        "student": table(actions, horizon, states), "expert": table(actions, horizon, states),
        "mdp": {"horizon": horizon, "observation": list(range(states)), "initial": simplex(rng, states, digits),
                "transition": table(states, horizon, states, actions),
                "reward": [[["1/3"] * actions] * states] * horizon},
    }  # fmt: skip
    if features := changes.pop("features", 0):
        shape = features, horizon, states, actions
        contents["features"] = np.array(rng.choices("01", k=int(np.prod(shape)))).reshape(shape).tolist()
    return json.dumps(contents | changes, separators=(",", ":")).encode()


BOTH = [{"quantity": "rate", "sign": "-"}, {"quantity": "change", "sign": "-"}]
LARGE = {
    "features": lambda: large(1, 1, 30, 450, features=29),
    "features of many steps": lambda: large(16, 1, 2, 60, features=31),
    "many features": lambda: large(1, 1, 2, 400, features=500),
    "a long horizon": lambda: large(400, 1, 2, 30, eta="1", asserts=BOTH, objective="weighted"),
    "many states": lambda: large(16, 16, 2, 5, eta="1", asserts=BOTH, objective="full", divergence="u ** 3 - 1"),
    "many actions": lambda: large(1, 1, 1500, 40, eta="1", asserts=BOTH, objective="full", divergence="1 / u - u"),
    "powers": lambda: large(
        1,
        1,
        400,
        100,
        objective="full",
        divergence=" + ".join(f"(u + {k}) ** (-99) - {k + 1} ** (-99)" for k in range(6)),
    ),
    "many logarithms": lambda: large(1, 1, 400, 100, objective="full", divergence=" + ".join(["log(u)"] * 19)),
    "proximal": lambda: large(1, 1, 800, 60, eta="1", asserts=BOTH, geometry="proximal", divergence="u * log(u)"),
    "observations": lambda: large(1, 1, 2, 5).replace(
        b'"observation":[0]', b'"observation":[%b]' % b",".join(b"%d" % i for i in range(35_000))
    ),
}


@pytest.mark.parametrize("name", LARGE)
def test_every_file_comes_to_an_end(name):
    data = LARGE[name]()
    assert len(data) <= checker.FILE
    start = process_time()
    with pytest.raises(checker.Refused):
        checker.check(data)
    assert process_time() - start < 10


def test_the_work_is_bounded():
    data = large(1, 1, 3000, 8, divergence="u * log(u) + " * 2 + "0 * log(u + 1)")
    with pytest.raises(checker.Refused, match="more than 100000 characters of f"):
        checker.check(data)


def test_tall_rationals_become_balls_that_hold_them():
    with ctx.workprec(64):
        tall = fmpq(3**6000, 2**9500)
        assert isinstance(checker.lean(tall), arb)
        assert checker.lean(tall).contains(tall)
        assert isinstance(checker.lean(fmpq(3**5000, 2**8000)), fmpq)
        assert isinstance(checker.dot([tall, -tall], [tall, tall]), arb)
        assert checker.dot([tall, -tall], [tall, tall]).contains(0)


@pytest.mark.parametrize(("horizon", "verified"), [(3, True), (100, False)])
def test_what_balls_cannot_tell_from_zero_is_not_zero(horizon, verified):
    contents = json.loads(large(horizon, 1, 2, 60, asserts=[{"quantity": "gap", "sign": "0"}]))
    contents |= {"expert": contents["student"]}
    contents["mdp"]["reward"] = contents["student"]
    data = json.dumps(contents).encode()
    if verified:
        assert checker.check(data) == "forward_limits: gap 0"
    else:  # the return is no longer a rational of 8192 bits
        with pytest.raises(checker.Refused, match="4096 bits leave a sign undecided"):
            checker.check(data)


# --- what the library writes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "1000 * sqrt((u - 1) ** 2)",
        "((u - 1) ** 2) ** (1 / 2)",
        "abs(sqrt(2) * u - sqrt(2))",
        "(sqrt(2) * u - sqrt(2)) ** 2",
        "abs(u - 1) ** (3 / 2)",
    ],
)
def test_what_happens_at_the_ratio_one_does_not_matter(text):
    example = characterise(text)
    assert isinstance(example, Counterexample)
    student, expert = example.student[None, None], example.expert[None, None]
    asserts = {"gap": "+", "rate": "-"}
    contents = certify.certificate(Bandit(example.reward), student, expert, text, "natural", None, asserts, "x", "x")
    assert checker.check(certify.text(contents).encode()) == "x: gap +, rate -"


@pytest.mark.parametrize("text", ["sqrt((u - 1) ** 2)", "((u - 1) ** 2) ** (1 / 4)", "sqrt((u - 1) ** 2) ** 2"])
def test_without_a_derivative_there_is_no_rate(text):
    contents = json.loads((GALLERY / "teaching_reverse_kl.json").read_text()) | {"divergence": text}
    contents["student"], contents["expert"] = [[["1/3", "1/3", "1/3"]]], [[["1/6", "1/3", "1/2"]]]  # a ratio is 1
    with pytest.raises(checker.Refused, match="h is not known to be finite"):
        checker.check(json.dumps(contents).encode())


def test_powers_of_balls_around_zero():
    for n in (2, 3, 7):
        y = checker.power(arb(0, 1), fmpq(n))
        assert y.contains(arb(1))
        assert y.contains(arb(0))
        assert y.is_finite()
    assert checker.power(fmpq(-2, 3), fmpq(-3)) == fmpq(-27, 8)
    assert checker.power(fmpq(0), fmpq(0)) == 1
    with ctx.workprec(64):
        assert checker.power(fmpq(2), fmpq(10**6)).contains(arb(2) ** 10**6)


def test_the_absolute_value_of_a_ball_around_zero():
    for ball in (arb(0, 1), arb(0, 0.25)):
        value, slope = checker.function("abs", ball)
        assert value.contains(ball.abs_upper())
        assert slope.contains(-1)
        assert slope.contains(1)
        assert slope.abs_upper() < 1.1
    assert checker.function("abs", arb(2, 1))[1] == 1
    assert checker.function("abs", arb(-2, 1))[1] == -1


@pytest.mark.parametrize(
    ("text", "found"),
    [("(u - 1) ** 0", (1, 0, -1)), ("(u - 1) ** 1", (0, 1, 1)), ("(u - 1) ** (3 / 2)", (0, 0, 0))],
)
def test_powers_of_zero_and_their_derivatives(text, found):
    assert checker.derivative(ast.parse(text, mode="eval").body, fmpq(1)) == found


def test_what_is_no_zero_at_one_is_seen_by_many_bits():
    """`log 2 - log(2 + 10^-300)` at 1: 512 bits would not do."""
    data = json.loads(FILES[0].read_text()) | {"divergence": "-log(u) + log(2) - log(2 + 10 ** (-300))"}
    with pytest.raises(checker.Refused, match=r"^f\(1\) is -5\.0000e-301, not 0$"):
        checker.check(json.dumps(data).encode())


def test_a_reader_that_has_seen_enough():
    command = f"{sys.executable} {checker.__file__} {' '.join(map(str, FILES * 20))} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
