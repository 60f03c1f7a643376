"""The referee report as a user gets it: complete, self-contained, never half."""

import base64
import html
import json
import re
import shlex
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from xml.etree import ElementTree

import pytest

from distil_theory.__main__ import main
from distil_theory.claims import CLAIMS, ledger
from distil_theory.report import command

SLUGS = ("two_actions", "natural_step", "teaching")
CHOSEN = [claim for claim in CLAIMS if claim.slug in SLUGS]


def run(out, *more):
    return main(["report", "--quick", "--jobs", "1", "--out", str(out), *more])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "deep" / "down"
    assert run(out, *SLUGS) == 0
    return out


class Tags(HTMLParser):
    """Every tag with its attributes; unclosed ones in `open`."""

    VOID = ("meta", "link", "img", "br", "hr", "input")

    def __init__(self, page):
        super().__init__()
        self.all, self.open = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.all.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.all.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tags(page):
    return Tags(page)


def test_nothing_is_fetched(page, tags):
    for tag, attributes in tags.all:
        for name in ("src", "href", "data", "srcset", "poster"):
            assert attributes.get(name, "#").startswith(("data:", "#")), (tag, attributes)
    assert not re.search(r"url\((?!\"data:)|@import|https?:", re.sub(r"base64,[^\")]*", "", page).split("</style>")[0])
    assert "data:,math-font" not in page


def test_the_page_is_well_formed_and_its_links_lead_somewhere(page, tags):
    assert tags.open == []
    names = [attributes["id"] for _, attributes in tags.all if "id" in attributes]
    assert len(names) == len(set(names))
    links = [attributes["href"][1:] for tag, attributes in tags.all if tag == "a" and attributes["href"][0] == "#"]
    assert len(links) >= len(SLUGS) + 7
    assert set(links) <= set(names)
    for formula in re.findall(r"<math.*?</math>", page, re.DOTALL):
        ElementTree.fromstring(re.sub(r"&(?!amp;|lt;|gt;)\w+;", lambda found: html.unescape(found[0]), formula))


def test_each_claim_is_there_with_every_step_and_its_picture(page):
    assert len(re.findall(r"<section id=", page)) == len(SLUGS)
    assert page.count('<div class="statement"><math') == len(SLUGS)
    for claim in CHOSEN:
        chapter = page.partition(f'<section id="{claim.slug}">')[2].partition("</section>")[0]
        assert 'class="verdict long proved">proved<' in chapter
        assert len(re.findall(r"<li>", chapter)) == len(claim.steps) + len(claim.without)
        assert [name for name in claim.without.values() if name.endswith(".json") and name not in chapter] == []
        inside = re.search(r'src="data:image/png;base64,([^"]*)"', chapter)[1]
        assert base64.b64decode(inside) == (command.FIGURES / claim.panel).read_bytes()
        assert f"drawn by <code>python -m experiments.{claim.panel.split('_')[0]} --seed 0" in chapter


def test_what_a_reader_needs_to_repeat_it_is_said(page):
    top = page.partition("<header>")[2].partition("</header>")[0]
    for word in ("seed 0", "20,000 asked for", "python-flint", "Python", "seconds", "3 claims", "3 proved"):
        assert word in top
    assert "supported" not in top


def test_the_certificates_and_their_commands_work(folder, page, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    named = {name for claim in CHOSEN for name in claim.without.values() if name.endswith(".json")}
    assert {path.name for path in folder.glob("certificates/*")} == named
    saved = dict(re.findall(r'download="([^"]*)" href="data:application/json;base64,([^"]*)"', page))
    assert set(saved) == named
    for name, content in saved.items():
        assert base64.b64decode(content) == (folder / "certificates" / name).read_bytes()
        said = f"python -m distil_theory check certificates/{name}"
        assert f'data-copy="{said}"' in page
        assert main(shlex.split(said)[3:]) == 0
    assert capsys.readouterr().out.count("verified") == len(named)
    assert compile((folder / "checker.py").read_text(encoding="utf-8"), "checker.py", "exec")


def test_the_verdicts_for_programs(folder):
    rows = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert [row["slug"] for row in rows["claims"]] == list(SLUGS)
    assert rows["seed"] == 0


def test_the_paper(folder):
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF")
    assert not list(folder.rglob(".unfinished*"))


OWN = r"""
from distil_theory.claims import Claim, Step
import numpy as np
CLAIM = Claim(
    slug="own", number="99", title="a <b> & `c`", statement={statement!r}, assumptions=("full moon",), source="ours",
    scope="none", steps=(Step("two and two", lambda: {holds}, "five"),), margin=lambda r, p, q: np.ones(r.shape[1]),
    holds_exactly=lambda *_: True, without={{"full moon": {instead!r}}}, panel="none.png",
)
"""


def own(tmp_path, statement=r"x \le 1", holds=True, instead="a sentence"):
    file = tmp_path / "own.py"
    file.write_text(OWN.format(statement=statement, holds=holds, instead=instead))
    return "--claim", str(file)


@pytest.mark.parametrize(
    ("claim", "status", "says"),
    [
        ({}, 0, ["is not on this machine", "a &lt;b&gt; &amp; <math>", "full moon: a sentence"]),
        ({"holds": False}, 1, ["Not everything stands", 'class="broken"', "This step does not hold.", "1 FAILED"]),
        ({"instead": "gone.json"}, 1, ["Not everything stands", "not verified", "It lacks certificate gone.json"]),
    ],
)
def test_your_own_claim(tmp_path, claim, status, says):
    assert run(tmp_path / "out", *own(tmp_path, **claim)) == status
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert Tags(page).open == []
    assert [word for word in says if word not in page] == []
    assert ("FAILED" in page.split("</style>")[1].partition("What a verdict means")[0]) == bool(status)
    assert (tmp_path / "out" / "report.pdf").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "unknown claim 'nonsense'"),
        (["--seed", "-1"], "--seed must not be negative"),
        (["--figures", "/nowhere"], "--figures /nowhere: there is no such folder"),
        (["--claim", "/nowhere.py"], "there is no such file"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(tmp_path, capsys, arguments, message):
    assert run(tmp_path / "out", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_statement_that_is_no_latex_is_said_before_any_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ledger, "examine", None)
    assert run(tmp_path / "out", *own(tmp_path, statement=r"\nonsense")) == 2
    assert r"\nonsense" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert run(tmp_path / "file", "teaching") == 2
    assert f"cannot write {tmp_path / 'file'}" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_without_typst_there_is_a_page_and_one_message(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "typst" else find_spec(name))
    monkeypatch.setitem(sys.modules, "typst", None)
    assert run(tmp_path, "teaching") == 0
    assert capsys.readouterr().out.count("no PDF without the package typst: pip install typst") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "certificates",
        "checker.py",
        "report.html",
        "report.json",
    ]


def test_without_its_packages_it_says_how_to_get_them(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert run(tmp_path / "out", "teaching") == 2
    assert "pip install 'distil-theory[report]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_pictures_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "FIGURES", tmp_path / "none")
    assert run(tmp_path, "teaching") == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "monotonicity_simplex.png</code>, is not on this machine" in page
    assert "<img" not in page


def test_an_old_report_stays_whole_if_a_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    (tmp_path / "report.html").write_text("old")

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space"):
        run(tmp_path, "teaching")
    assert (tmp_path / "report.html").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()].count("report.html") == len(list(tmp_path.glob("*report*")))
    assert not list(tmp_path.rglob(".unfinished*"))
