"""The gallery, verified by two programs that share no code; and their verdicts on ten thousand mutations of it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distil_theory import __main__ as command
from distil_theory import certify, checker, gallery, instances
from distil_theory import number_systems as ns
from distil_theory.certify import DIVERGENCES, GENERATORS, Case
from distil_theory.claims import CLAIMS
from distil_theory.gallery import GALLERY
from distil_theory.spec import Bandit, TabularMDP

pytestmark = pytest.mark.long

FILES = sorted(GALLERY.glob("*.json"))
NAMES = {text: name for name, text in GENERATORS.items()}
MUTATIONS = 10_000


def contents(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


# --- the gallery -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_both_routes_verify_the_gallery(path):
    assert checker.check(path.read_bytes())
    assert truth(contents(path)) is True


def test_the_gallery_is_what_the_command_writes(tmp_path, capsys):
    assert gallery.main(["--check"]) == 0
    assert gallery.main(["--out", str(tmp_path), "--check"]) == 1  # nothing there
    assert not list(tmp_path.iterdir())
    assert gallery.main(["--out", str(tmp_path)]) == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {x.name: x.read_bytes() for x in FILES}
    first = tmp_path / FILES[0].name
    first.write_text(first.read_text().replace("better", "worse"))
    (tmp_path / "stray.json").write_text("{}")
    assert gallery.main(["--out", str(tmp_path), "--check"]) == 1
    assert f"differs: {first}" in (out := capsys.readouterr().out)
    assert "not of the gallery" in out
    assert "worse" in first.read_text()


def test_the_gallery_says_what_the_theory_says():
    what = {
        path.stem: (c["claim"], "".join(x["sign"] for x in c["asserts"])) for path in FILES for c in [contents(path)]
    }
    for name in ("reverse_kl", "jensen_shannon", "hellinger"):
        assert what[f"teaching_{name}"] == ("teaching", "+-")
    assert what["teaching_forward_kl"] == ("teaching", "++")
    assert what["euclidean"] == what["restricted"] == what["aliased"] == ("forward_limits", "+-")
    assert what["long_step_forward_kl"] == ("natural_step", "++-")
    assert {claim for claim, _ in what.values()} <= {claim.slug for claim in CLAIMS}
    assert what["chance_ahead"] == ("truthful_lookahead", "+-")
    assert what["weighted"] == ("prefix_weights", "++")
    assert len([name for name in what if name.startswith("smallest")]) == 6
    assert what["efficiency_sharp"] == ("rare_success", "++0")
    assert what["plain_policy_gradient"] == ("best_direction", "++-")


def test_an_unexpected_sign_stops_the_writing():
    entry = next(gallery.gallery())
    with pytest.raises(ValueError, match=r"state_weights: expected the signs \+\+, found .*'rate': '-'"):
        entry._replace(signs="++").contents()


def test_the_texts_are_the_divergences():
    u = ns.convert(["1/3", "1", "9/4"], "ball")
    for name, text in GENERATORS.items():
        for x in u:
            f = checker.derivative(checker.generator(text), ns.convert(x.str(radius=False), "rational").item())
            difference = DIVERGENCES[name].h(np.array([x])) - DIVERGENCES[name].h(u[1:2]) - f[2]
            at_one = checker.derivative(checker.generator(text), ns.convert("1", "rational").item())[2]
            assert abs(difference[0] + at_one) < 1e-12  # h is known up to a constant


def test_signs_of_zero_and_of_what_nobody_decides():
    teaching = instances.teaching_bandit()
    case = Case(teaching.mdp, teaching.student, teaching.student, DIVERGENCES["reverse_kl"])
    assert certify.signs(case) == {"gap": "0", "rate": "0"}
    flat = Bandit(["1/3"] * 3)
    case = Case(flat, teaching.student, teaching.expert, DIVERGENCES["reverse_kl"])
    assert certify.signs(case) == {"gap": "0", "rate": "?"}


def test_there_is_no_efficiency_without_anything_to_gain():
    teaching, flat = instances.teaching_bandit(), Bandit(["1/3"] * 3)
    case = Case(flat, teaching.student, teaching.expert, DIVERGENCES["forward_kl"], level=0)
    with pytest.raises(ValueError, match="no efficiency: the policy gradient is zero"):
        certify.signs(case)
    case = case._replace(mdp=teaching.mdp, expert=teaching.student)
    with pytest.raises(ValueError, match="no efficiency: the direction moves nothing"):
        certify.signs(case)


def test_features_of_another_geometry_are_refused():
    teaching = instances.teaching_bandit()
    case = Case(teaching.mdp, teaching.student, teaching.expert, DIVERGENCES["forward_kl"], "euclidean", None, [[]])
    with pytest.raises(ValueError, match="natural steps, not euclidean"):
        certify.signs(case)


@pytest.mark.parametrize("module", ["distil_theory", "distil_theory.gallery"])
def test_the_commands(module):
    arguments = ["check", *map(str, FILES[:2])] if module == "distil_theory" else ["--check"]
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_dispatches(tmp_path, capsys):
    assert command.main(["check", str(FILES[0])]) == 0
    assert command.main(["check", str(FILES[0]), str(tmp_path)]) == 1
    assert "refused: [Errno 21]" in capsys.readouterr().out
    for wrong in ([], ["check"], ["prove"]):
        with pytest.raises(SystemExit, match="2"):
            command.main(wrong)


# --- mutations -------------------------------------------------------------------------------------------------------


def truth(c: dict[str, Any]) -> bool | set[str]:
    """Whether an undamaged certificate is true, by the exact solver of the library; or what that could not decide."""
    asserts = {item["quantity"]: item["sign"] for item in c["asserts"]}
    if (c["eta"] is not None) != ("change" in asserts) or Fraction(c["eta"] or 1) <= 0:
        return False  # by the rules of the format
    if ("efficiency" in c) != ("efficiency" in asserts):
        return False
    try:
        mdp = TabularMDP(
            *(ns.convert(c["mdp"][key], "rational") for key in ("transition", "reward", "initial")),
            observation=c["mdp"]["observation"],
        )
        eta = None if c["eta"] is None else ns.convert(c["eta"], "rational")[()]
        features = [ns.convert(x, "rational") for x in c.get("features", ())]
        pi, star = (ns.convert(c[who], "rational") for who in ("student", "expert"))
        divergence, objective = DIVERGENCES[NAMES[c["divergence"]]], c.get("objective", "local")
        level = ns.convert(c["efficiency"], "rational")[()] if "efficiency" in c else None
        found = certify.signs(Case(mdp, pi, star, divergence, c["geometry"], eta, features, objective, level))
    except ValueError:
        return False
    except TypeError:  # a proximal step without a closed form
        return False
    wrong = [name for name, sign in asserts.items() if found[name] not in (sign, "?")]
    return False if wrong else {name for name in asserts if found[name] == "?"} or True


def rows(x: Any) -> list[list[str]]:
    """The innermost lists."""
    return [x] if isinstance(x[0], str) else [row for y in x for row in rows(y)]


def move_mass(c, rng):
    row = rng.choice(rows(c[rng.choice(["student", "expert"])]) + rows(c["mdp"]["transition"]))
    if len(row) > 1:
        a, b = rng.sample(range(len(row)), 2)
        part = Fraction(row[a]) * Fraction(rng.choice(["1/2", "1/3", "9/10", "1", "1/100"]))
        row[a], row[b] = str(Fraction(row[a]) - part), str(Fraction(row[b]) + part)


def change_number(c, rng):
    row = rng.choice([*rows(c["student"]), *rows(c["expert"]), *rows(c["mdp"]["reward"]), rows(c["mdp"]["initial"])[0]])
    row[rng.randrange(len(row))] = str(Fraction(rng.randint(-6, 12), rng.randint(1, 12)))


def change_reward(c, rng):
    row = rng.choice(rows(c["mdp"]["reward"]))
    row[rng.randrange(len(row))] = str(Fraction(rng.randint(-6, 12), rng.randint(1, 12)))


def negate_rewards(c, rng):
    for row in rows(c["mdp"]["reward"]):
        row[:] = [str(-Fraction(x)) for x in row]


def permute(c, rng):
    rng.shuffle(rng.choice([*rows(c["student"]), *rows(c["expert"]), *rows(c["mdp"]["reward"])]))


def flip_sign(c, rng):
    rng.choice(c["asserts"])["sign"] = rng.choice("+-0")


def drop_assertion(c, rng):
    if len(c["asserts"]) > 1:
        c["asserts"].pop(rng.randrange(len(c["asserts"])))


def swap_divergence(c, rng):
    c["divergence"] = rng.choice(list(GENERATORS.values()))


def swap_geometry(c, rng):
    c["geometry"] = rng.choice(["natural", "euclidean", "proximal"])


def change_eta(c, rng):
    c["eta"] = rng.choice([None, "0", "-1", *(str(Fraction(rng.randint(1, 40), rng.randint(1, 9))) for _ in range(9))])
    c["asserts"] = [item for item in c["asserts"] if item["quantity"] != "change"]
    if rng.random() < 0.9:
        c["asserts"].append({"quantity": "change", "sign": rng.choice("+-")})


def imitate(c, rng):
    c["expert"] = json.loads(json.dumps(c["student"]))
    for item in c["asserts"]:
        item["sign"] = rng.choice("000+-")


def change_observation(c, rng):
    seen = c["mdp"]["observation"]
    seen[rng.randrange(len(seen))] = rng.randrange(len(seen))


def change_features(c, rng):
    width = len(c["student"][0][0])
    shape = [len(c["student"]), len(set(c["mdp"]["observation"])), width]
    c["features"] = [
        [[[str(rng.randint(-2, 2)) for _ in range(shape[2])] for _ in range(shape[1])] for _ in range(shape[0])]
        for _ in range(rng.randint(1, 3))
    ]


def swap_objective(c, rng):
    c["objective"] = rng.choice(["weighted", "full", "full cross-entropy"])
    if rng.random() < 0.3:
        del c["objective"]


def change_level(c, rng):
    """Claim an efficiency, or another one, or none."""
    c["asserts"] = [item for item in c["asserts"] if item["quantity"] != "efficiency"]
    c["efficiency"] = str(Fraction(rng.randint(-4, 4), rng.randint(1, 40)))
    if rng.random() < 0.9:
        c["asserts"].append({"quantity": "efficiency", "sign": rng.choice("+-")})


MEANING: list[Callable[[dict[str, Any], random.Random], None]] = [
    *(move_mass, change_number, change_reward, negate_rewards, permute, flip_sign, drop_assertion, swap_divergence),
    *(swap_geometry, change_eta, imitate, change_observation, change_features),
    *(swap_objective, change_level),
]


def spoil_number(c, rng):
    row = rng.choice(rows(c[rng.choice(["student", "expert"])]) + rows(c["mdp"]["reward"]))
    i = rng.randrange(len(row))
    row[i] = rng.choice(
        [f"+{row[i]}", f"0{row[i]}", f"{row[i]} ", f"{row[i]}/1", "2/4", "0.5", "1e0", "-0", "nan", 0.5, 1, None]
    )


def spoil_shape(c, rng):
    place = rng.choice([c["student"], c["expert"], c["mdp"]["reward"], c["mdp"]["transition"], c["mdp"]["initial"]])
    rng.choice([place.clear, lambda: place.append(place[0]), lambda: place.insert(0, [place[0]])])()


def spoil_key(c, rng):
    where = rng.choice([c, c["mdp"], c["asserts"][0]])
    key = rng.choice([key for key in where if key not in ("features", "objective")])
    kept = where.pop(key)
    if rng.random() < 0.5:
        where[key + "s"] = kept


def spoil_header(c, rng):
    spoilt = {
        "format": ["distil"],
        "version": [2, "1", True],
        "claim": ["Claim 5"],
        "statement": [""],
        "geometry": ["l2"],
    }
    spoilt |= {"eta": [1, "1/0"], "asserts": [[]], "divergence": ["u*log(u)", "u"], "mdp": [[]], "student": [None]}
    key = rng.choice(list(spoilt))
    c[key] = rng.choice(spoilt[key])


def spoil_text(c, rng):
    """Damage to the file rather than to what it says: returns the bytes."""
    data = certify.text(c).encode()
    cut = rng.randrange(1, len(data) - 2)
    return rng.choice([data[:cut], data + b"}", b"\xff" + data, data.replace(b'"mdp":', b'"eta": null,\n"mdp":'), b""])


DAMAGE: list[Callable[[dict[str, Any], random.Random], Any]] = [
    *(spoil_number, spoil_shape, spoil_key, spoil_header, spoil_text)
]


def verdict(data: bytes) -> bool:
    try:
        return bool(checker.check(data))
    except checker.Refused:
        return False


def drawn(rng: random.Random) -> dict[str, Any]:
    """A certificate on three steps and three states, two of which look alike: the gallery is smaller than that."""

    def simplex(*shape: int) -> Any:
        weights = np.array([rng.choice([1, 2, 40]) for _ in range(int(np.prod(shape)))]).reshape(shape)
        return ns.convert(weights, "rational") / ns.convert(weights.sum(axis=-1, keepdims=True), "rational")

    reward = ns.convert([[[rng.randint(-3, 3) for _ in range(2)] for _ in range(3)] for _ in range(3)], "rational")
    mdp = TabularMDP(simplex(3, 3, 2, 3), reward, simplex(3), observation=[0, 1, 0])
    student, expert = simplex(3, 2, 2)[:, [0, 1, 0]], simplex(3, 3, 2)
    found = certify.signs(Case(mdp, student, expert, DIVERGENCES["pearson_chi2"]))
    return certify.certificate(mdp, student, expert, "(u - 1) ** 2", "natural", None, found, "drawn", "drawn")


def test_both_routes_agree_on_three_steps():
    rng = random.Random(1)
    for _ in range(300):
        assert checker.check(certify.text(drawn(rng)).encode())


@pytest.mark.timeout(900)  # against hanging only: minutes of one processor, which may be shared
def test_mutations():
    rng = random.Random(0)
    originals = [*map(contents, FILES), *(drawn(rng) for _ in range(8))]
    seen: Counter[str] = Counter()
    for _ in range(MUTATIONS):
        c = json.loads(json.dumps(rng.choice(originals)))
        if rng.random() < 0.2:
            spoil = rng.choice(DAMAGE)
            data = spoil(c, rng)
            data = certify.text(c).encode() if data is None else data
            assert not verdict(data), (spoil.__name__, data.decode(errors="replace"))
            seen["damaged"] += 1
            continue
        changes = rng.choices(MEANING, k=rng.choice([1, 1, 2]))
        for change in changes:
            change(c, rng)
        true, accepted = truth(c), verdict(certify.text(c).encode())
        where = [change.__name__ for change in changes], certify.text(c)
        if isinstance(true, set):  # the value is zero, or nearly: nobody may claim another sign
            assert not accepted or all(item["sign"] == "0" for item in c["asserts"] if item["quantity"] in true), where
        else:
            assert accepted == true, where
        seen[str(true) if isinstance(true, bool) else "undecided"] += 1
    assert seen["True"] > 2000, seen
    assert seen["False"] > 2000, seen
    assert seen["undecided"] < 0.02 * MUTATIONS, seen
