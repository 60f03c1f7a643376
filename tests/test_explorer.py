"""The explorer computes with the library, names what is wrong with a request, and its promises are kept."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from distil_theory import Bandit, TabularMDP, checker, objectives, solve
from distil_theory import number_systems as ns
from distil_theory.certify import OBJECTIVES, Case, signs
from distil_theory.divergences import BY_NAME, CATALOGUE, FORWARD_KL, REVERSE_KL, TOTAL_VARIATION
from distil_theory.explorer import exporting, looking, presets, rulings
from distil_theory.explorer.reading import Asked, Faults, read
from distil_theory.grammar import TEXT
from distil_theory.instances import exact_instance
from distil_theory.point import GEOMETRIES

LARGE = ("privileged_grid", "hidden_trace", "tested_program", "shown_program", "unfamiliar_program")
SAFE = ("compounding_chain", "unforgiving_chain", "hidden_trace", "tested_program")


def asking(name, **more):
    return {"preset": name, **presets.settings(name)._asdict(), "end": "4", **more}


def asked_of(mdp, student, expert, divergence=FORWARD_KL, eta="1"):
    """A request about an instance that is no preset."""
    instance = exact_instance("mine", mdp, [student], [expert], "nothing")
    case = Case(*instance[1:4], divergence, eta=ns.convert(eta, "rational")[()])
    return Asked(instance, case, TEXT[divergence.name], 4.0, True, "mine")


def rulings_kept(asked):
    """Both rulings, once the signs have been found to agree with what they promise."""
    found = looking.signs_of(asked.case)
    said = rulings.ruling(asked, found["gap"]), rulings.step_ruling(asked, found["gap"])
    for ruling, quantity in zip(said, ("rate", "change"), strict=True):
        admitted = {"gap": (found["gap"], "~"), "+": "+0~", "": "+-0~?"}[ruling.promise]
        assert found[quantity] in admitted, (asked.preset, asked.case[3:], ruling, found)
    return said


@pytest.mark.parametrize("name", presets.BY_NAME)
def test_what_the_ledger_promises_holds_of_every_instance_and_step(name):
    for geometry in GEOMETRIES:
        for objective in OBJECTIVES:
            for divergence in ["forward_kl"] if name in LARGE else BY_NAME:
                step = {"divergence": divergence, "geometry": geometry, "objective": objective}
                for eta in ["1/50"] if name in LARGE else ["1/50", "1", "2"]:
                    try:
                        asked = read(asking(name) | step | {"eta": eta})
                    except Faults:
                        continue  # what the library refuses, such as reverse KL to an expert with zeros
                    rulings_kept(asked)


def own(generator, eta):
    return {"divergence": "own", "generator": generator, "eta": eta}


SUPPORT = {"rows": {"expert:1,1": ["9", "1"]}}
RULED = [  # preset, settings, and the claims on a small step and on this one, with what they promise
    ("teaching_bandit", {}, ("only_forward_kl", ""), ("safe_steps", "")),
    ("teaching_bandit", {"eta": "1"}, ("only_forward_kl", ""), ("safe_steps", "gap")),
    ("teaching_bandit", {"divergence": "jensen_shannon", "eta": "2"}, ("only_forward_kl", ""), ("safe_steps", "gap")),
    ("teaching_bandit", {"divergence": "forward_kl", "eta": "1/100"}, ("forward_gap", "gap"), ("natural_step", "+")),
    ("teaching_bandit", {"divergence": "forward_kl", "eta": "2"}, ("forward_gap", "gap"), ("natural_step", "")),
    ("teaching_bandit", own("u * log(u)", "1/2"), ("forward_gap", "gap"), ("natural_step", "")),
    ("teaching_bandit", own("3 * u * log(u) + u - 1", "1/200"), ("forward_gap", "gap"), ("natural_step", "+")),
    ("teaching_bandit", own("-2 * log(u)", "1/2"), ("only_forward_kl", ""), ("safe_steps", "gap")),
    ("teaching_bandit", own("-2 * log(u)", "1"), ("only_forward_kl", ""), ("safe_steps", "")),
    ("teaching_bandit", own("3 * (u - 1)", "1"), ("covariance_rate", "+"), ("covariance_rate", "+")),
    (
        "risky_fork",
        {"rows": {"expert:1,1": ["9", "1"]}} | own("-log(u)", "1"),
        ("only_forward_kl", ""),
        ("safe_steps", "gap"),
    ),
    (
        "teaching_bandit",
        {"divergence": "forward_kl", "geometry": "proximal", "eta": "9"},
        ("forward_gap", "gap"),
        ("proximal_mixture", "gap"),
    ),
    ("euclidean_bandit", {}, ("forward_limits", ""), ("", "")),
    ("aliased_contexts", {}, ("forward_limits", ""), ("", "")),
    ("success_euclidean", {"divergence": "forward_kl"}, ("success_conditioned", "+"), ("", "")),
    ("risky_fork", {}, ("local_improver", ""), ("", "")),
    ("risky_fork", {"objective": "weighted"}, ("prefix_weights", "gap"), ("", "")),
    ("entropy_ahead", {"objective": "full"}, ("truthful_lookahead", "+"), ("", "")),
    ("entropy_ahead", {"objective": "full cross-entropy"}, ("future_aware", ""), ("", "")),
    ("chance_ahead", {}, ("chance_lookahead", ""), ("", "")),
    ("rare_way", {"divergence": "forward_kl"}, ("local_improver", ""), ("", "")),
    ("hidden_trace", {}, ("truthful_sets", "+"), ("", "")),
    ("hidden_trace", {"rows": {"reward:0,0": ["0", "0"]}}, ("forward_limits", ""), ("", "")),
]


@pytest.mark.parametrize(("name", "more", "small", "step"), RULED)
def test_the_strongest_claim_that_speaks_of_a_step_is_named(name, more, small, step):
    assert [(r.slug, r.promise) for r in rulings_kept(read(asking(name, **more)))] == [small, step]


def test_claims_that_no_preset_needs():
    two = asked_of(Bandit(["1", "0"]), [["1/3", "2/3"]], [["1/2", "1/2"]], TOTAL_VARIATION)
    assert rulings_kept(two)[0].slug == "two_actions"
    rows = [[["1/3", "1/3", "1/3"]]] * 2, [[["3/5", "1/10", "3/10"]]] * 2
    mdp = TabularMDP(np.ones((1, 3, 1)), np.array([["1", "1/2", "0"]], dtype=object), np.ones(1), 2)
    instance = exact_instance("mine", mdp.convert("rational"), *rows, "nothing")
    case = Case(*instance[1:4], FORWARD_KL, eta=ns.convert("1", "rational")[()])
    assert rulings_kept(Asked(instance, case, "u * log(u)", 4.0, True, "mine"))[0][:2] == ("+", "local_improver")
    same = asked_of(Bandit(["1", "1/2", "0"]), [["1/3", "1/3", "1/3"]], [["1/3", "1/3", "1/3"]], REVERSE_KL)
    assert rulings_kept(same)[0].slug == "covariance_rate"


@pytest.mark.parametrize("preset", presets.catalogue(), ids=lambda preset: preset["name"])
def test_every_preset_shows_what_it_is_for(preset):
    name, found = preset["name"], looking.look({"preset": preset["name"], **preset["settings"]})
    json.dumps(found, allow_nan=False)
    if name.startswith("certificate:"):
        wanted = {item["quantity"]: item["sign"] for item in presets.certificates()[name[12:]]["asserts"]}
        wanted.pop("efficiency", None)  # of claim 21: the page does not show it
        assert found["signs"] | wanted == found["signs"]
        assert found["nearest"]["distance"] == 0
    elif name in SAFE:
        assert found["signs"]["rate"] == "+"
    else:
        assert found["signs"] == {"gap": "+", "rate": "-", "change": "-"}
    chosen = next(curve for curve in found["curves"] if curve["chosen"])
    assert chosen["sign"] == found["signs"]["rate"]
    assert chosen["values"][0] == pytest.approx(found["returns"]["student"]["value"])
    assert sum(row["share"] for row in found["rows"] if row["first"]) == pytest.approx(found["rate"]["value"])


def test_numbers_are_those_of_the_library():
    rows = {"student:0,0": ["2", "1", "1"], "expert:0,0": ["1", "0.5", "1/2"], "reward:0,0": ["0", "1/4", "1"]}
    step = {"divergence": "forward_kl", "geometry": "euclidean", "eta": "3/4"}
    found = looking.look(asking("teaching_bandit", rows=rows) | step)
    bandit, pi, star = Bandit([0.0, 0.25, 1.0]), np.array([[[0.5, 0.25, 0.25]]]), np.array([[[0.5, 0.25, 0.25]]])
    assert found["rate"] == {"exact": "0", "value": 0.0}
    found = looking.look(asking("teaching_bandit", rows=rows | {"expert:0,0": ["1", "1", "2"]}) | step)
    star = np.array([[[0.25, 0.25, 0.5]]])
    rate = objectives.improvement_rate(bandit, pi, star, FORWARD_KL, "euclidean")
    assert found["rate"]["value"] == pytest.approx(float(rate))
    assert found["returns"]["gap"]["value"] == pytest.approx(float(solve.expected_return(bandit, star)) - 0.3125)
    move = pi * (star / pi - 1)
    new = pi * np.exp(0.75 * move) / (pi * np.exp(0.75 * move)).sum()
    assert found["change"] == pytest.approx(float((new - pi)[0, 0] @ [0.0, 0.25, 1.0]))
    assert found["triangle"]["now"] == pytest.approx(new[0, 0].tolist())


def test_the_arrows_are_the_derivative_of_the_step():
    found = looking.look(asking("teaching_bandit", divergence="own", generator="u * log(u) + (u - 1) ** 2"))["triangle"]
    case = looking.in_floats(read(asking("teaching_bandit")).case)
    for divergence in CATALOGUE:
        slope = (looking.moved(case._replace(divergence=divergence), np.array([1e-7])) - case.student[..., None]) / 1e-7
        assert found["velocity"][divergence.name] == pytest.approx(slope[0, 0, :, 0].tolist(), rel=1e-4, abs=1e-6)
    both = np.array(found["velocity"]["forward_kl"]) + found["velocity"]["pearson_chi2"]
    assert found["velocity"]["own"] == pytest.approx(both.tolist())
    assert found["uphill"] == pytest.approx([1 / 9, 1 / 9, -2 / 9])


def test_the_shading_is_the_exact_sign_of_each_cell():
    for shade, eta in (("small", "1/2"), ("step", "1"), ("step", "1/2")):
        found = looking.look(asking("teaching_bandit", eta=eta, shade=shade))["triangle"]["zones"]
        cells = looking.cells()
        assert len(found) == cells.shape[1] == looking.FINE**2
        assert cells.sum(axis=0) == pytest.approx(1)
        for k in range(0, len(found), 97):
            row = ns.convert(cells[:, k], "rational")
            case = read(asking("teaching_bandit", eta=eta)).case._replace(expert=(row / row.sum())[None, None])
            sign = signs(case)
            harmed = sign["change" if shade == "step" else "rate"] == "-"
            assert found[k] == ("n" if sign["gap"] != "+" else "l" if harmed else "r")
        assert ("l" in found) == (shade == "small" or eta != "1")  # claim 7d: the one safe step of reverse KL


FAULTS = [
    ({"preset": "nothing"}, "preset", "there is no preset"),
    ({"preset": "certificate:../../x"}, "preset", "there is no certificate"),
    ({"rows": {"student:0,0": ["1", "abc", "1"]}}, "student:0,0:1", "not 'abc'"),
    ({"rows": {"student:0,0": ["1", "", "1"]}}, "student:0,0:1", "not nothing"),
    ({"rows": {"student:0,0": ["1", "0", "1"]}}, "student:0,0:1", "positive probability"),
    ({"rows": {"expert:0,0": ["1", "-1", "1"]}}, "expert:0,0:1", "negative"),
    ({"rows": {"expert:0,0": ["0", "0", "0"]}}, "expert:0,0:0", "all weights are 0"),
    ({"rows": {"reward:0,0": ["1/0", "0", "0"]}}, "reward:0,0:0", "divides by zero"),
    ({"rows": {"reward:0,0": ["1e9", "0", "0"]}}, "reward:0,0:0", "not '1e9'"),
    ({"rows": {"reward:0,0": ["٣", "0", "0"]}}, "reward:0,0:0", "write a number"),
    ({"rows": {"reward:0,0": ["1", "0"]}}, "preset", "does not fit"),
    ({"rows": {"reward:7,0": ["1", "0", "0"]}}, "preset", "does not fit"),
    ({"rows": {"expert:0,0": ["1", "0", "0"]}}, "divergence", "full support"),
    ({"divergence": "nothing"}, "divergence", "unknown divergence"),
    ({"divergence": "own", "generator": "u * u"}, "generator", "f(1) must be 0"),
    ({"divergence": "own", "generator": "log(u"}, "generator", "is no expression"),
    ({"divergence": "own", "generator": "1 - u * u"}, "generator", "not convex"),
    ({"geometry": "round"}, "geometry", "unknown geometry"),
    ({"objective": "weighted", "geometry": "proximal"}, "objective", "natural or Euclidean"),
    ({"eta": "0"}, "eta", "positive"),
    ({"eta": "1001"}, "eta", "at most"),
    ({"end": "x"}, "end", "end of the curves"),
]


@pytest.mark.parametrize(("more", "field", "words"), FAULTS)
def test_a_fault_names_its_field(more, field, words):
    with pytest.raises(Faults, match=re.escape(words)) as fault:
        looking.look(asking("teaching_bandit") | more)
    assert field in fault.value.found


def test_all_faults_are_told_at_once():
    rows = {"student:0,0": ["a", "b", "1"], "reward:0,0": ["c", "0", "0"]}
    with pytest.raises(Faults) as fault:
        read(asking("teaching_bandit", rows=rows, eta="d", geometry="e"))
    assert set(fault.value.found) == {"student:0,0:0", "student:0,0:1", "reward:0,0:0", "eta", "geometry"}


PARAMETERS = [({"horizon": "13"}, "1 to 12"), ({"delta": "2"}, "between 0 and 1"), ({"size": "2"}, "no parameter")]


@pytest.mark.parametrize(("parameters", "words"), PARAMETERS)
def test_a_parameter_that_does_not_fit_is_refused(parameters, words):
    with pytest.raises(Faults, match=words) as fault:
        read(asking("horizon_chain", parameters=parameters))
    assert list(fault.value.found) == ["preset" if "size" in parameters else f"parameter {next(iter(parameters))}"]


def test_parameters_and_rows_change_the_instance():
    chain = read(asking("horizon_chain", parameters={"horizon": "3", "delta": "1/5"}))
    assert chain.case.mdp.shape[0] == 3
    fork = read(asking("aliased_fork", rows={"student:1,1": ["3", "1"]})).case
    assert {str(x) for x in fork.student[1, 1:5, 0]} == {"3/4"}  # all that look alike
    assert presets.make("aliased_fork").student[1, 1, 0] != fork.student[1, 1, 0]


def test_a_state_that_looks_like_others_is_described_once():
    found = looking.look(asking("aliased_fork"))["rows"]
    firsts = [(row["h"], row["o"]) for row in found if row["first"]]
    assert len(firsts) == len(set(firsts)) == len({(row["h"], row["o"]) for row in found})


def test_the_nearest_certificate_knows_renamed_answers():
    rows = {"student:0,0": ["1", "1", "1"], "expert:0,0": ["33", "1", "66"], "reward:0,0": ["0", "2", "2"]}
    found = looking.look(asking("teaching_bandit", rows=rows))["nearest"]
    assert (found["name"], found["distance"], found["same"]) == ("teaching_reverse_kl", 0, True)
    moved = looking.look(asking("teaching_bandit", rows=rows | {"expert:0,0": ["34", "2", "64"]}))["nearest"]
    assert moved["distance"] == pytest.approx(0.02)
    assert looking.look(asking("hidden_trace"))["nearest"] == {}


EXPORTED = ["teaching_bandit", "euclidean_bandit", "risky_fork", "aliased_fork", "entropy_trap", "hidden_trace"]


@pytest.mark.parametrize("name", EXPORTED)
def test_an_exported_certificate_is_verified(name, tmp_path):
    found = exporting.export(asking(name))
    assert found["verdict"].startswith("verified: ")
    file = tmp_path / "mine.json"
    file.write_text(found["certificate"], encoding="utf-8")
    assert checker.main([str(file)]) == 0
    contents = json.loads(found["certificate"])
    contents["asserts"][1]["sign"] = {"+": "-", "-": "+"}[contents["asserts"][1]["sign"]]
    file.write_text(json.dumps(contents), encoding="utf-8")
    assert checker.main([str(file)]) == 1


def test_a_step_without_closed_form_is_exported_without_its_size():
    found = exporting.export(asking("teaching_bandit", geometry="proximal"))
    assert json.loads(found["certificate"])["eta"] is None
    assert found["verdict"].startswith("verified: ")


def pytest_says(folder, text):
    file = folder / "test_mine.py"
    file.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(file)]
    return subprocess.run(command, capture_output=True, text=True).stdout


def test_an_exported_example_runs_and_without_its_mark_it_fails(tmp_path):
    harms = exporting.export(asking("risky_fork"))["example"]
    assert "1 passed" in pytest_says(tmp_path, harms)
    unmarked = re.sub(r"\.xfail\(.*?\)$", "", harms, flags=re.MULTILINE)
    assert unmarked != harms
    assert "1 failed" in pytest_says(tmp_path, unmarked)
    assert "1 passed" in pytest_says(tmp_path, exporting.export(asking("hidden_trace"))["example"])


def test_the_demonstrations_of_the_page_on_the_explorer():
    def seen(name, **more):
        return looking.look(asking(name, **more))

    signs_of = {curve["name"]: curve["sign"] for curve in seen("teaching_bandit")["curves"]}
    falling = {"reverse_kl", "jensen_shannon", "hellinger", "neyman_chi2"}
    assert {name for name, sign in signs_of.items() if sign == "-"} == falling
    assert seen("teaching_bandit", divergence="forward_kl")["rate"]["exact"] == "1/300"
    for student in (["1", "1", "1"], ["4", "2", "1"], ["1", "98", "1"]):
        found = seen("teaching_bandit", divergence="forward_kl", rows={"student:0,0": student})
        assert "l" not in found["triangle"]["zones"]
    zones = [seen("teaching_bandit", eta=eta, shade="step")["triangle"]["zones"] for eta in ("9/10", "1")]
    assert ["l" in zone for zone in zones] == [True, False]
    assert seen("euclidean_bandit")["signs"]["rate"] == "-"
    assert seen("euclidean_bandit", geometry="natural")["rate"]["exact"] == "1/8"
    for weights, rate in ((["4", "6"], "-11/200"), (["5", "5"], "1/40")):
        assert seen("risky_fork", rows={"student:1,1": weights})["rate"]["exact"] == rate
    assert seen("risky_fork", objective="weighted")["rate"]["exact"] == "47/100"
    chains = [seen("horizon_chain", parameters={"horizon": str(h)})["rate"]["value"] for h in (2, 3, 4, 5)]
    assert [round(rate, 3) for rate in chains] == [-0.897, -1.792, -2.686, -3.578]
