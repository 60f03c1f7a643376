"""The largest that the checker reads, and what it says, word for word."""

import ast
import json
from fractions import Fraction

import pytest

from distil_theory import checker
from tests.test_checker_refusals import GOOD, changed, refused


def test_the_longest_file_text_and_number_that_are_read():
    assert checker.check(GOOD.encode().ljust(256 * 1024))
    for length in (200, 201):
        text = f"-log(u) + 0 * {'1' * (length - 14)}"
        if length == 200:
            assert checker.check(changed("divergence", to=text))
        else:
            refused(changed("divergence", to=text), "divergence of the certificate")
    assert checker.array("1" * 1000, (), "x") == int("1" * 1000)
    with pytest.raises(checker.Refused, match="at most 1000 characters"):
        checker.array("1" * 1001, (), "x")


def test_the_most_ratios_that_are_read():
    text = f"-log(u) + 0 * {'1' * 186}"  # 200 characters
    for ratios in (500, 501):
        n = sum(range(2, ratios + 2))
        case = {
            "student": [[[f"1/{ratios}"] * ratios]],
            "expert": [[[str(Fraction(k, n)) for k in range(2, ratios + 2)]]],
        }
        case |= {"mdp": json.loads(GOOD)["mdp"] | {"reward": [[["0"] * ratios]], "transition": [[[["1"]] * ratios]]}}
        data = json.dumps(json.loads(GOOD) | case | {"divergence": text}).encode()
        if ratios == 500:
            assert len(checker.read(data).ratios) == 500
        else:
            refused(data, "^more than 100000 characters of f")


def test_the_most_features_that_are_read():
    """Two steps and two observations of two actions: 8 numbers each."""
    mdp = {"horizon": 2, "observation": [0, 1], "initial": ["1/2", "1/2"], "reward": [[["0", "1"]] * 2] * 2}
    mdp["transition"] = [[[["1", "0"]] * 2] * 2] * 2
    case = {"student": [[["1/2", "1/2"]] * 2] * 2, "expert": [[["1/3", "2/3"]] * 2] * 2, "mdp": mdp}
    for features in (125, 126):
        case["features"] = [[[["0", "1"]] * 2] * 2] * features
        data = json.dumps(json.loads(GOOD) | case).encode()
        if features == 125:
            assert len(checker.read(data).features) == 125
        else:
            refused(data, "^features have more than 1000 numbers")


@pytest.mark.parametrize("around", ["-({})", "({}) + 1", "1 + ({})", "abs({})"])
def test_the_deepest_expression_that_is_read(around):
    def nested(levels):
        text = "u"
        for _ in range(levels):
            text = around.format(text)
        return checker.derivative(ast.parse(text, mode="eval").body, checker.ZERO)

    assert len(nested(3)) == len(nested(19)) == 3
    with pytest.raises(checker.Refused, match="deeper than 20"):
        nested(20)


def test_the_words_of_a_verdict(tmp_path, capsys):
    assert checker.check(GOOD.encode()) == "teaching: gap +, rate -"
    false = GOOD.replace('"sign": "+"', '"sign": "-"').encode()
    refused(false, r"^false: gap is 0\.0033333, not of sign '-'$")
    for name, data in (("good", GOOD.encode()), ("false", false)):
        (tmp_path / name).write_bytes(data)
    assert checker.main([str(tmp_path / "good")]) == 0
    assert checker.main([str(tmp_path / "good"), str(tmp_path / "false")]) == 1
    good, bad = (
        f"{tmp_path}/good: verified: teaching: gap +, rate -",
        f"{tmp_path}/false: refused: false: gap is 0.0033333",
    )
    assert capsys.readouterr().out == f"{good}\n{good}\n{bad}, not of sign '-'\n"
