"""The ledger is complete, its verdicts are computed, and a false claim does not get one."""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from distil_theory import falsify
from distil_theory import number_systems as ns
from distil_theory.claims import CLAIMS, Claim, Step, ledger, missing_parts, verify
from distil_theory.prevalence import Bandits, exact_sign, small_step

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
FIGURES = [path.name for path in (ROOT / "figures").iterdir()]
SHIPPED = [path.name for path in (ROOT / "distil_theory" / "certificates").glob("*.json")]


def options(*arguments):
    parser = argparse.ArgumentParser()
    ledger.add_arguments(parser)
    return parser.parse_args(list(arguments))


def rate(name):
    def margin(reward, student, expert):
        bandits = Bandits(reward, student, expert)
        return (bandits.gradient * small_step(name, "natural").motion(bandits)).sum(axis=0)

    return margin


def claimed(name, **changes):
    """The claim that a small natural step of a divergence never harms."""
    parts = {
        "slug": "own", "number": "0", "title": "t", "statement": "s", "assumptions": (), "source": "ours", "scope": "-",
        "steps": (), "margin": rate(name), "without": {}, "panel": "monotonicity.png",
        "holds_exactly": lambda *bandit: exact_sign(small_step(name, "natural"), *bandit) >= 0,
    }  # fmt: skip
    return Claim(**(parts | changes))


def test_every_claim_has_every_part():
    numbers = "0 0 1 2 3 4 5 6 7a 7b 7c 7d 8 8b 8c 9 10 11 11b 11c 11d 11e 12a 12b 12b 12c 12d "
    numbers += "14 15 16 16b 17 18 18b 19 21 21b 21c 21d"
    assert [claim.number for claim in CLAIMS] == numbers.split()
    assert len({claim.slug for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert missing_parts(claim, SHIPPED, FIGURES) == [], claim.slug
        section = claim.number.rstrip("abcde")
        assert f"\n## {section}. " in (ROOT / "THEORY.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "lacks"),
    [
        ({"statement": " "}, "statement"),
        ({"source": "folklore"}, "source 'folklore'"),
        ({"steps": ()}, "steps"),
        ({"steps": (Step("a", lambda: True, ""),)}, "what breaks step 'a'"),
        ({"assumptions": ("full moon",)}, "what happens without 'full moon'"),
        ({"without": {"x": "nowhere.json"}}, "certificate nowhere.json"),
        ({"panel": "nowhere.png"}, "panel 'nowhere.png'"),
    ],
)
def test_a_lacking_part_is_named(changes, lacks):
    whole = claimed("forward_kl", steps=(Step("a", lambda: True, "b"),))
    assert missing_parts(whole, SHIPPED, FIGURES) == []
    assert missing_parts(dataclasses.replace(whole, **changes), SHIPPED, FIGURES) == [lacks]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.slug)
def test_every_claim_stands(claim):
    verdict = verify(claim, 5000, seed=1)
    assert verdict.failed_steps == ()
    expected = f"proved modulo {claim.lemma}" if claim.lemma else "proved"
    assert verdict.verdict == expected
    assert verdict.instances >= 1
    assert verdict.worst_margin > -1e-6


def test_no_claim_but_the_curve_cites_a_lemma():
    assert [claim.slug for claim in CLAIMS if claim.lemma] == ["worst_loss"]


def test_verdicts_are_computed():
    good, bad = Step("good", lambda: True, "x"), Step("bad", lambda: False, "x")
    crash = Step("crash", lambda: 1 / 0, "x")
    truthy = Step("truthy", lambda: "yes", "x")  # only True is true
    assert verify(claimed("forward_kl"), 2000).verdict == "supported"  # no derivation: never more than that
    assert verify(claimed("forward_kl", steps=(good,)), 2000).verdict == "proved"
    assert verify(claimed("forward_kl", steps=(good,), lemma="Jensen"), 2000).verdict == "proved modulo Jensen"
    for step in (bad, crash, truthy):
        failed = verify(claimed("forward_kl", steps=(good, step)), 2000)
        assert failed.verdict == "FAILED"
        assert failed.failed_steps == (step.says,)
        assert not failed.good


@pytest.mark.parametrize("name", ["reverse_kl", "jensen_shannon", "hellinger", "pearson_chi2", "total_variation"])
def test_a_false_claim_fails_with_the_instance_that_refutes_it(name):
    verdict = verify(claimed(name, steps=(Step("said to be proved", lambda: True, "x"),)), 2000)
    assert verdict.verdict == "FAILED"
    assert verdict.decided
    reward, student, expert = verdict.worst_instance
    assert reward @ (expert - student) > 0
    assert verdict.worst_margin < -1e-3
    assert rate(name)(*(x[:, None] for x in verdict.worst_instance))[0] == pytest.approx(verdict.worst_margin)


def test_margins_near_zero_are_decided_exactly_and_not_only_the_worst():
    def flat(margin):
        return lambda reward, student, expert: np.full(reward.shape[1], margin)

    never = {"holds_exactly": lambda *_: False}
    assert verify(claimed("forward_kl", margin=flat(1e-6), **never), 2000).verdict == "supported"
    refuted = verify(claimed("forward_kl", margin=flat(1e-12), **never), 2000)
    assert refuted.verdict == "FAILED"
    assert refuted.decided == falsify.KEPT
    asked = []

    def only_the_tenth_is_wrong(*instance):
        asked.append(instance)
        return len(asked) != 10

    verdict = verify(claimed("forward_kl", margin=flat(1e-12), holds_exactly=only_the_tenth_is_wrong), 2000)
    assert verdict.verdict == "FAILED"
    assert len(asked) == 10
    assert all((ns.convert(x, "rational") == y).all() for x, y in zip(verdict.worst_instance, asked[-1], strict=True))


@pytest.mark.parametrize("value", [-1e-3, np.nan, np.inf, -np.inf])
def test_a_margin_that_no_rounding_explains_fails_whatever_exact_arithmetic_says(value):
    def margin(reward, student, expert):
        return np.full(reward.shape[1], value)

    assert verify(claimed("forward_kl", margin=margin, holds_exactly=lambda *_: True), 2000).verdict == "FAILED"


def test_what_could_not_be_tried_does_not_stand():
    def broken(*_):
        raise ZeroDivisionError

    assert verify(claimed("forward_kl", attack=broken), 2000).verdict == "FAILED"
    assert verify(claimed("forward_kl", attack=lambda *_: falsify.Found(0, (), ())), 2000).verdict == "FAILED"


def test_searches_are_merged_by_margin():
    one = falsify.smallest(np.array([3.0, np.nan, 1.0]), 3, np.arange(3), np.arange(6).reshape(2, 3))
    assert one.margins == (-np.inf, 1.0, 3.0)
    assert [int(instance[0]) for instance in one.instances] == [1, 2, 0]
    assert one.instances[1][1].tolist() == [2, 5]
    both = falsify.merge([one, falsify.Found(5, (2.0,), ((np.array(7),),))])
    assert both.tried == 8
    assert both.margins == (-np.inf, 1.0, 2.0, 3.0)
    assert int(both.instances[2][0]) == 7
    assert both.margin == -np.inf
    assert falsify.merge([falsify.Found(2, (), ())]).instance == ()


def test_the_falsifier_finds_what_random_draws_do_not():
    # negative only where the expert nearly abandons an action: a corner of 1e-4 of the instances, or less
    def margin(reward, student, expert):
        return (expert / student).min(axis=0) - 1e-6

    rng = np.random.default_rng(0)
    drawn = margin(*falsify.unpack(np.log(rng.standard_exponential((3, 3, 20_000)))))
    assert drawn.min() > 0
    found = falsify.bandits(margin, 3000, 0, sizes=(3,))
    assert found.margin < 0
    reward, student, expert = found.instance
    assert reward @ (expert - student) > 0
    assert found.tried > 3000


def test_nan_is_no_excuse():
    nan = falsify.bandits(lambda r, p, q: np.where(r[0] > 0.5, np.nan, 1.0), 300, 0, sizes=(2,))
    assert nan.margin == -np.inf


def test_descent_goes_downhill():
    def margin(reward, student, expert):
        return ((student - np.array([[0.2], [0.3], [0.5]])) ** 2).sum(axis=0)

    one = falsify.bandits(margin, 300, 0, sizes=(3,))
    assert one.margin < 1e-9
    np.testing.assert_allclose(one.instance[1], [0.2, 0.3, 0.5], atol=1e-4)


def test_the_longest_start_first_and_the_order_stays(monkeypatch):
    started = []

    def run(function, tasks, **_):
        started.extend(slug for slug, *_ in tasks)
        return [f"{task}" for task in tasks]

    slugs = [claim.slug for claim in CLAIMS]
    assert set(ledger.LONG) <= set(slugs)
    monkeypatch.setattr(ledger, "run", run)
    for asked in (slugs, slugs[::-1], ["teaching", ledger.LONG[1], "teaching"]):
        started.clear()
        assert ledger.verify_all(asked, 7, 3, 1) == [f"{(slug, 7, 3)}" for slug in asked]
        assert sorted(started) == sorted(set(asked))
        long = [slug for slug in ledger.LONG if slug in asked]
        assert started[: len(long)] == long


def test_json_and_latex(tmp_path):
    files = ["--json", str(tmp_path / "l.json"), "--latex", str(tmp_path / "l.tex")]
    assert ledger.main(options("two_actions", "teaching", "--quick", "--jobs", "1", *files)) == 0
    rows = json.loads((tmp_path / "l.json").read_text())["claims"]
    assert [row["slug"] for row in rows] == ["two_actions", "teaching"]
    for row in rows:
        assert {"slug", "source", "verdict", "scope", "instances", "worst_margin", "certificates"} <= set(row)
        assert row["verdict"] == "proved"
        assert all(c["verified"] for c in row["certificates"])
    text = (tmp_path / "l.tex").read_text()
    assert text.count(r"\begin{gather*}") == 2
    assert r"|A| = 2" in text


def test_the_command_as_a_user_runs_it(tmp_path):
    command = [sys.executable, "-m", "distil_theory", "verify", "teaching", "two_actions", "--quick"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "150"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "proved" in done.stdout
    assert "three actions suffice to mislead" in done.stdout
    assert list(tmp_path.iterdir()) == []


OWN = """
from tests_own import claimed
CLAIM = claimed({name!r})
"""


def test_your_own_claim(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tests_own", argparse.Namespace(claimed=claimed))
    for name, status in (("forward_kl", 0), ("reverse_kl", 1)):
        file = tmp_path / f"{name}.py"
        file.write_text(OWN.format(name=name))
        assert ledger.main(options("--quick", "--claim", str(file))) == status
    assert "FAILED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no such file"),
        ("x = 1", "defines no CLAIM"),
        ("CLAIM = 3", "defines no CLAIM"),
        ("import nowhere_to_be_found", "ModuleNotFoundError"),
        ("def f(:", "SyntaxError"),
    ],
)
def test_a_bad_claim_file_is_one_line(tmp_path, capsys, text, message):
    file = tmp_path / "own.py"
    if text is not None:
        file.write_text(text)
    assert ledger.main(options("--claim", str(file))) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_bad_arguments(capsys):
    assert ledger.main(options("claim_99")) == 2
    assert "unknown claim 'claim_99'" in capsys.readouterr().err
    for bad in (("--seed", "-1"), ("--jobs", "0")):
        assert ledger.main(options(*bad)) == 2


def test_a_refused_certificate_fails_the_ledger(monkeypatch):
    def refuse(data):
        raise ledger.checker.Refused("forged")

    monkeypatch.setattr(ledger.checker, "check", refuse)
    assert ledger.main(options("two_actions", "--quick", "--jobs", "1")) == 1
    assert set(ledger.certificates(next(c for c in CLAIMS if c.slug == "two_actions")).values()) == {"forged"}


def test_margins_by_hand():
    chapter = {claim.slug: claim for claim in CLAIMS}
    bandit = [np.array(x)[:, None] for x in ([1.0, 0.0], [0.5, 0.5], [0.75, 0.25])]
    # gap 1/4 = Cov(r, u): p (1-p) (u1 - u2) = 1/4 * 1
    assert chapter["only_forward_kl"].margin(*bandit)[0] == pytest.approx(0.25)
    # Cov(r, K)/max K for reverse KL at 1 (K = u): 1/4 / (3/2); for JS at 2 (K = (1+u)/2): 1/8 / (5/4) = 0.1, and so on
    assert chapter["safe_steps"].margin(*bandit)[0] == pytest.approx(min(1 / 6, 0.1, 0.25 / 3 / (7 / 6), 0.2 / (7 / 5)))
    # forward KL: (1/2, 1/2) e^{eta u}, u = (3/2, 1/2), U = R = 1: slack sigmoid(eta) - 1/2 - eta/4 + eta^2/(12 sqrt 3)
    slack = [1 / (1 + np.exp(-x)) - 0.5 - x / 4 + x**2 / (12 * np.sqrt(3)) for x in (0.1, 1.0, 5.0)]
    assert chapter["natural_step"].margin(*bandit)[0] == pytest.approx(min(slack))
    # total variation has the smallest rate relative to its size: natural 1/4 * 1 / (1/2) = 1/2, Euclidean half of that
    assert chapter["two_actions"].margin(*bandit)[0] <= 0.25


WHOLE = """
from distil_theory.claims import Claim, Step
from distil_theory.divergences import FORWARD_KL
import numpy as np
CLAIM = Claim(
    slug="own", number="0", title="t", statement="s", assumptions={assumptions}, source="ours", scope="-",
    steps=(Step("one", lambda: True, "b"),), margin=lambda r, p, q: np.ones(r.shape[1]), holds_exactly=lambda *_: True,
    without={without}, panel="none.png",
)
"""


@pytest.mark.parametrize(
    ("assumptions", "without", "reason"),
    [
        ('("full moon",)', "{}", "own: lacks what happens without 'full moon'"),
        ('("full moon",)', '{"full moon": "gone.json"}', "own: lacks certificate gone.json"),
    ],
)
def test_a_claim_that_lacks_a_part_does_not_stand(tmp_path, capsys, assumptions, without, reason):
    file = tmp_path / "own.py"
    file.write_text(WHOLE.format(assumptions=assumptions, without=without))
    assert ledger.main(options("--quick", "--claim", str(file))) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "FAILED" in out
    assert reason in out


def test_a_whole_claim_of_ones_own_stands(tmp_path, capsys):
    file = tmp_path / "own.py"
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass Own:\n    x: int\n"
    file.write_text(text + WHOLE.format(assumptions="()", without="{}"))
    assert ledger.main(options("--quick", "--claim", str(file))) == 0
    assert "near zero" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["teaching", "--json", "{}/none/x.json"], "cannot write"),
        (["teaching", "--latex", "{}"], "Is a directory"),
        (["teaching", "--claim", "{}/own.py"], "not both"),
        (["--claim", "{}/exits.py"], "exits.py: SystemExit: 5"),
    ],
)
def test_bad_arguments_are_named_before_any_work(tmp_path, capsys, monkeypatch, arguments, reason):
    (tmp_path / "exits.py").write_text("raise SystemExit(5)\n")
    monkeypatch.setattr(ledger, "run", lambda *_, **__: pytest.fail("the work began"))
    assert ledger.main(options("--quick", *(x.format(tmp_path) for x in arguments))) == 2
    assert reason in capsys.readouterr().err
