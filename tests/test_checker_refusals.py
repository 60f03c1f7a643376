"""Every kind of malformed certificate is refused with a reason, and nothing ever raises anything else."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from distil_theory import checker
from distil_theory.gallery import GALLERY

GOOD = (GALLERY / "teaching_reverse_kl.json").read_text(encoding="utf-8")
FINITE = (GALLERY / "safe_step_reverse_kl.json").read_text(encoding="utf-8")
TWO_STATES = (GALLERY / "aliased.json").read_text(encoding="utf-8")
RESTRICTED = (GALLERY / "restricted.json").read_text(encoding="utf-8")
EFFICIENT = (GALLERY / "efficiency_sharp.json").read_text(encoding="utf-8")


def changed(*path: Any, to: Any, base: str = GOOD) -> bytes:
    """A certificate with the entry at `path` replaced; `...` removes it."""
    contents = json.loads(base)
    place = contents
    for key in path[:-1]:
        place = place[key]
    if to is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return json.dumps(contents).encode()


def refused(data: bytes, reason: str) -> None:
    with pytest.raises(checker.Refused, match=reason):
        checker.check(data)


@pytest.mark.parametrize("base", [GOOD, FINITE, TWO_STATES, RESTRICTED, EFFICIENT])
def test_what_the_others_are_made_of_is_verified(base):
    assert checker.check(base.encode())


FILES = {
    "empty": (b"", "not JSON"),
    "blank": (b" \n", "not JSON"),
    "truncated": (GOOD[:-3].encode(), "not JSON"),
    "followed": (GOOD.encode() + b"{}", "not JSON.*Extra data"),
    "not UTF-8": (b"\xff" + GOOD.encode(), "not JSON in UTF-8"),
    "UTF-16": (GOOD.encode("utf-16"), "not JSON in UTF-8"),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD.encode(), "not JSON"),
    "large": (GOOD.encode() + b" " * (256 * 1024), "more than 262144 bytes"),
    "deep": (b"[" * 200_000, "nested too deeply"),
    "a list": (b"[]", "the certificate is not an object"),
    "a text": (b'"certificate"', "the certificate is not an object"),
    "a key twice": (GOOD.replace('"eta": null', '"eta": null, "eta": null').encode(), "a key occurs twice"),
    "an inner key twice": (GOOD.replace('"horizon": 1', '"horizon": 1, "horizon": 1').encode(), "a key occurs twice"),
    "NaN": (GOOD.replace('"eta": null', '"eta": NaN').encode(), "NaN is no small integer"),
    "infinity": (GOOD.replace('"eta": null', '"eta": -Infinity').encode(), "-Infinity is no small integer"),
    "a float": (GOOD.replace('"1/100"', "0.01").encode(), "0.01 is no small integer"),
    "a float version": (GOOD.replace('"version": 1', '"version": 1.0').encode(), "1.0 is no small integer"),
    "a large integer": (GOOD.replace('"version": 1', '"version": ' + "1" * 9999).encode(), "is no small integer"),
    "a negative zero": (GOOD.replace('"observation": [0]', '"observation": [-0]').encode(), "-0 is no small integer"),
}


@pytest.mark.parametrize(("data", "reason"), FILES.values(), ids=FILES)
def test_files(data, reason):
    refused(data, reason)


@pytest.mark.parametrize(
    "key", ["format", "version", "claim", "divergence", "eta", "mdp", "student", "expert", "asserts"]
)
def test_missing_and_unknown_keys(key):
    refused(changed(key, to=...), f"missing or unknown key '{key}'")
    refused(changed(key + "s", to="x"), f"missing or unknown key '{key}s'")


@pytest.mark.parametrize("key", ["horizon", "transition", "reward", "initial", "observation"])
def test_missing_and_unknown_keys_of_the_problem(key):
    refused(changed("mdp", key, to=...), f"mdp: missing or unknown key '{key}'")
    refused(changed("mdp", "discount", to="1"), "mdp: missing or unknown key 'discount'")


HEADER = [
    ("format", "distil_theory certificat", "format of the certificate"),
    ("format", "distil_theory certificate\n", "format of the certificate"),
    ("version", 2, "version is not 1"),
    ("version", "1", "version is not 1"),
    ("version", True, "version is not 1"),
    ("claim", "", "claim of the certificate"),
    ("claim", "Claim 5", "claim of the certificate"),
    ("claim", "../x", "claim of the certificate"),
    ("statement", "", "statement of the certificate"),
    ("statement", "x" * 1001, "statement of the certificate"),
    ("statement", "two\nlines", "statement of the certificate"),
    ("statement", 5, "statement of the certificate"),
    ("geometry", "fisher", "geometry of the certificate"),
    ("geometry", ["natural"], "geometry of the certificate"),
    ("eta", "1", "eta is a number where a change"),
    ("mdp", [], "mdp is not an object"),
    ("asserts", [], "at least one"),
    ("asserts", {}, "at least one"),
    ("asserts", ["gap"], "an assertion is not an object"),
    ("asserts", [{"quantity": "gap"}], "an assertion: missing or unknown key 'sign'"),
    ("asserts", [{"quantity": "gap", "sign": "+", "why": "x"}], "an assertion: missing or unknown key 'why'"),
    ("asserts", [{"quantity": "regret", "sign": "+"}], "quantity of an assertion"),
    ("asserts", [{"quantity": "gap", "sign": ">"}], "sign of an assertion"),
    ("asserts", [{"quantity": "gap", "sign": 1}], "sign of an assertion"),
    ("asserts", [{"quantity": "gap", "sign": "+"}] * 2, "repeats a quantity"),
    ("asserts", [{"quantity": "change", "sign": "+"}], "eta is a number where a change"),
    ("asserts", [{"quantity": "efficiency", "sign": "+"}], "efficiency is a number where an efficiency"),
    ("efficiency", "1/2", "efficiency is a number where an efficiency"),
]


@pytest.mark.parametrize(("key", "value", "reason"), HEADER)
def test_header(key, value, reason):
    refused(changed(key, to=value), reason)


NUMBERS = [
    "+1/3",
    "01/3",
    "1/03",
    "2/6",
    "1/1",
    "3/1",
    "-0",
    "0/1",
    "0/3",
    "1/0",
    "1/-3",
    "1.0",
    "1e0",
    " 1",
    "1 ",
    "1\n",
]
NUMBERS += ["", "-", "/", "1/3/3", "1_0", "\u0661/\u0663", "nan", "inf", "1" * 1001]


@pytest.mark.parametrize("number", [*NUMBERS, 1, True, None, ["1"], {}])
def test_numbers(number):
    for path in (("student", 0, 0, 0), ("expert", 0, 0, 2), ("mdp", "reward", 0, 0, 1), ("mdp", "initial", 0)):
        refused(changed(*path, to=number), r"is not a canonical rational|is no small integer")
    refused(changed("eta", to=["1"] if number is None else number, base=FINITE), "eta is not a canonical rational")


@pytest.mark.parametrize("eta", ["0", "-1", "-1/2"])
def test_step_sizes(eta):
    refused(changed("eta", to=eta, base=FINITE), "eta is not positive")


third = ["1/3", "1/3", "1/3"]
PROBLEM = [
    (("mdp", "horizon"), 0, "horizon is not a positive"),
    (("mdp", "horizon"), "1", "horizon is not a positive"),
    (("mdp", "horizon"), 2, "student is not a list of 2"),
    (("mdp", "horizon"), True, "horizon is not a positive"),
    (("mdp", "observation"), [], "observation is no list"),
    (("mdp", "observation"), [1], "observation is no list"),
    (("mdp", "observation"), ["0"], "observation is no list"),
    (("mdp", "observation"), [False], "observation is no list"),
    (("mdp", "observation"), "0", "observation is no list"),
    (("mdp", "observation"), [0, 0], "is not a list of 2"),
    (("student",), [], "student is not a list of 1"),
    (("student",), [[]], "list of 1"),
    (("student",), [[[]]], "list of some"),
    (("student",), [[third], [third]], "student is not a list of 1"),
    (("student",), [[third[:2]]], "student.*no distribution|is not a list of 2"),
    (("student",), "1/3", "student is not a list"),
    (("expert",), [[["1"]]], r"expert\[0\]\[0\] is not a list of 3"),
    (("mdp", "reward"), [[["1", "0"]]], r"reward\[0\]\[0\] is not a list of 3"),
    (("mdp", "transition"), [[[["1"], ["1"]]]], r"transition\[0\]\[0\] is not a list of 3"),
    (("mdp", "transition"), [[[["1"], ["1"], ["1/2"]]]], r"transition\[0\]\[0\]\[2\] is no distribution"),
    (("mdp", "initial"), ["1/2"], "initial is no distribution"),
    (("mdp", "initial"), {"0": "1"}, "initial is not a list"),
    (("student",), [[["1/3", "1/3", "1/2"]]], r"student\[0\]\[0\] is no distribution"),
    (("student",), [[["1/2", "-1/2", "1"]]], r"student\[0\]\[0\] is no distribution"),
    (("expert",), [[["3/2", "-1/2", "0"]]], r"expert\[0\]\[0\] is no distribution"),
    (("student",), [[["1/2", "1/2", "0"]]], "student has a zero"),
    (("expert",), [[["1/2", "1/2", "0"]]], r"expert needs full support"),
    (("features",), [[[["1", "0"]]]], r"features\[0\]\[0\]\[0\] is not a list of 3"),
    (("features",), [], "features is not a list of some"),
    (("features",), [[[["1", "0", "1/3"]]]] * 334, "more than 1000 numbers"),
]


@pytest.mark.parametrize(("path", "value", "reason"), PROBLEM)
def test_problem(path, value, reason):
    refused(changed(*path, to=value), reason)


def test_what_goes_together():
    refused(changed("student", 0, 0, to=["1/3", "2/3"], base=TWO_STATES), "differs in states that look alike")
    refused(changed("geometry", to="euclidean", base=RESTRICTED), "features need the natural geometry")
    refused(changed("geometry", to="proximal", base=FINITE), r"closed form for u \* log\(u\) only")
    for bad in ([0, 2], [0, True]):
        refused(changed("mdp", "observation", to=bad, base=TWO_STATES), "observation is no list")
    neyman = changed("divergence", to="1 / u + u - 2").decode()
    refused(changed("expert", 0, 0, to=["1/2", "1/2", "0"], base=neyman), "divides by zero")


GRAMMAR = {
    "": "divergence of the certificate",
    "u*log(u)": r"not canonical: write 'u \* log\(u\)'",
    "u  * log(u)": "not canonical",
    "(-log(u))": "not canonical",
    "0x0 * u": "not canonical",
    "1_0 * (u - 1)": "not canonical",
    "u *": "not an expression",
    "u\x00": "not an expression",
    "u - 1 if u else u": "not an expression|not canonical|not in the grammar",
    "x - 1": "contains 'x'",
    "\uff55 - 1": "not canonical",
    "u - 1.0": "contains '1.0'",
    "u - True": "contains 'True'",
    "u - 'a'": "contains",
    "u - 1j": "contains '1j'",
    "+u - 1": r"contains '\+u'",
    "u // 1 - 1": "contains",
    "u % 1": "contains",
    "u @ u": "contains",
    "u < 1": "contains",
    "[u - 1]": "contains",
    "(lambda: u)()": "contains",
    "log(u, 2)": "contains",
    "log(x=u)": "contains",
    "log(*u)": "contains",
    "u.real": "contains",
    "math.log(u)": "contains",
    "sin(u)": "contains",
    "__import__('os')": "contains",
    "log": "contains 'log'",
    "u ** u - 1": "not a rational constant",
    "u ** log(1)": "not a rational constant",
    "2 ** 2 ** u - 4": "not a rational constant",
    "u ** 2 ** (1 / 2) - 1": "not a rational constant",
    "u": r"f\(1\) is 1",
    "u - 2": r"f\(1\) is -1",
    "log(2 * u)": r"f\(1\) is 0.69315",
    "1 / (u - 1)": "divides by zero",
    "log(u - 1)": r"f\(1\) is \[\+/- inf\]",
    "log(u - 1) - log(u - 1)": r"f\(1\) is nan",
    "log(u - 2)": "log of a negative",
    "sqrt(u - 1)": "sqrt of a negative",
    "(u - 2) ** (1 / 2)": "root of a negative",
    "(u - 1) ** (1 / 2)": "root of a negative",
    "sqrt(abs(log(u + 1) - log(2)))": "undecided",
    "exp(log(2)) - 2 + 10 ** (-19) + u * log(u)": r"f\(1\) is 1.0000e-19",
    "u * log(u) + 1 / 10 ** 1200": r"f\(1\) is 1.0000e-1200",
    "-" * 25 + "u + 1": "deeper than 20",
    "-" * 198 + "u": "not an expression|deeper than 20",
    "(" * 99 + "u" + ")" * 99: "not canonical|not an expression",
    "u - 1 + " + "0 + " * 60 + "0": "divergence of the certificate",
}


@pytest.mark.parametrize(("text", "reason"), GRAMMAR.items())
def test_grammar(text, reason):
    refused(changed("divergence", to=text), reason)


@pytest.mark.parametrize("text", [5, None, ["u - 1"], {"f": "u - 1"}, "\ud800"])
def test_a_divergence_that_is_no_text(text):
    refused(changed("divergence", to=text), "divergence")


@pytest.mark.parametrize(
    "text",
    [
        "9 ** 9 ** 9 ** 9 * (u - 1)",
        "u ** 9 ** 9 ** 9 - 1",
        "((((u ** 64) ** 64) ** 64) ** 64) ** 64 - 1",
        "exp(exp(exp(exp(exp(exp(9 * u)))))) * (u - 1)",
        "u ** (1 / 99999999999999999999) - 1",
        "u ** -99999999999999999999 - 1",
    ],
)
def test_enormous_numbers_end(text):
    try:
        checker.check(changed("divergence", to=text))
    except checker.Refused as reason:
        assert str(reason)  # noqa: PT017  # either verdict will do, but it must come


def test_undecided_signs_are_refused():
    # h = log u with u = (4, 1/4, 1), dJ/d theta = (2/5, 2/5, -4/5): the rate is 0, but no number of bits can tell
    contents = json.loads(GOOD) | {"student": [[["1/10", "2/5", "1/2"]]], "expert": [[["2/5", "1/10", "1/2"]]]}
    contents["mdp"]["reward"] = [[["4", "1", "-8/5"]]]
    for sign in "+-0":
        contents["asserts"] = [{"quantity": "rate", "sign": sign}]
        refused(json.dumps(contents).encode(), "4096 bits leave a sign undecided")
    contents["asserts"] = [{"quantity": "gap", "sign": "+"}]  # nobody asks for the rate
    assert checker.check(json.dumps(contents).encode())


def test_the_command_never_ends_in_a_traceback(tmp_path, capsys):
    names = {"a\nb.json": b"{}", "ünï.json": b"\x00", "good.json": GOOD.encode()}
    for name, data in names.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "large.json").write_bytes(GOOD.encode() + b" " * 256 * 1024)
    odd = ["", "none", "large.json", "a\0b", "\udcff.json"]
    paths = [str(tmp_path / name) for name in [*names, *odd]]
    assert checker.main(paths) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(paths)
    assert [": verified: " in line for line in lines] == [path.endswith("good.json") for path in paths]
    assert all(": refused: " in line for line in lines if "verified" not in line)
    assert "".join(lines).isascii()


def test_damaged_bytes_are_refused_with_a_reason():
    rng = random.Random(0)
    same = 0
    for _ in range(2000):
        data = bytearray(rng.choice([GOOD, FINITE, TWO_STATES, RESTRICTED]).encode())
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] = rng.choice(b'0123456789-/"[]{},: u\n\xc3\x00')
        try:
            checker.check(bytes(data))
            same += 1
        except checker.Refused as reason:
            assert str(reason)  # noqa: PT017  # anything else is an error of the test
    assert same < 1000


def test_objectives_that_do_not_go_with_the_rest():
    base = json.loads(GOOD)
    for objective in ("weighted", "full"):
        proximal = base | {"objective": objective, "geometry": "proximal"}
        refused(json.dumps(proximal).encode(), "an objective other than the local one is not proximal")
    entropy = base | {"objective": "full cross-entropy"}
    refused(json.dumps(entropy).encode(), r"cross-entropy goes with the divergence u \* log\(u\)")
    assert checker.read(json.dumps(entropy | {"divergence": "u * log(u)"}).encode()).objective == "full cross-entropy"
    refused(json.dumps(base | {"objective": "local"}).encode(), "objective of the certificate is not of the form")


def test_efficiencies():
    refused(changed("efficiency", to=..., base=EFFICIENT), "efficiency is a number where an efficiency")
    for wrong in (None, 1, "18/50", ["9/25"]):
        refused(changed("efficiency", to=wrong, base=EFFICIENT), "efficiency is not a canonical rational")
    for other in ("359/1000", "361/1000", "-9/25"):
        refused(changed("efficiency", to=other, base=EFFICIENT), "false: efficiency is .*, not of sign '0'")
    student = json.loads(EFFICIENT)["student"]
    refused(changed("expert", to=student, base=EFFICIENT), "no efficiency: nothing moves, or nothing can be gained")
    flat = [[["1/2", "1/2"]] * 2]
    refused(changed("mdp", "reward", to=flat, base=EFFICIENT), "no efficiency: nothing moves")
