"""The documentation site: built whole, once; warnings stop it; nothing on it is fetched, no link leads nowhere."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from fontTools.ttLib import TTFont

from distil_theory.claims import CLAIMS
from distil_theory.report.fonts import characters

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
VERIFIED = ("two_actions", "teaching")
ASSETS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data", "embed": "src"}


class Page(HTMLParser):
    """What a page loads, where it leads, and the names in it."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.leads, self.names = [], [], set()
        self.feed(text)
        self.loads += [link for style in re.findall(r"<style.*?</style>", text, re.DOTALL) for link in loaded(style)]

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.names |= {found[key] for key in ("id", "name") if key in found}
        if tag in ASSETS and ASSETS[tag] in found:
            self.loads.append(found[ASSETS[tag]])
        if tag == "link" and found.get("rel") not in ("next", "prev", "index", "search", "genindex"):
            self.loads.append(found["href"])
        if tag == "a" and "href" in found:
            self.leads.append(found["href"])


def loaded(css):
    """Everything that a style sheet loads."""
    return [a or b for a, b in re.findall(r"url\(\s*['\"]?([^)'\"]+)|@import\s+['\"]([^'\"]+)", css)]


def outside(links):
    """Those that need a network."""
    return [link for link in links if re.match(r"(?:[a-z]+:)?//", link) and not link.startswith("data:")]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    row = {"verdict": "proved", "decided_exactly": 3, "instances": 44960, "worst_margin": -1e-11, "seconds": 0.2}
    told = {"claims": [row | {"slug": slug} for slug in VERIFIED], "seed": 0, "instances_drawn": 20000}
    (out / "ledger.json").write_text(json.dumps(told))
    settings = ["-D", "nb_execution_mode=off", "-D", f"ledger_json={out / 'ledger.json'}"]
    command = f"{sys.executable} -m sphinx -q -W --keep-going -c docs".split()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, *settings, ".", str(out / "html")], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "html"


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def chapter(site, slug):
    return (site / f"docs/generated/claims/{slug}.html").read_text(encoding="utf-8")


def test_what_a_page_loads_is_seen():
    spoiled = '<script src="https://cdn/x.js"></script><link rel="stylesheet" href="//cdn/x.css"><img src="a.png">'
    spoiled += (
        "<style>@import 'http://x/y.css'; p { background: url(https://x/z.png) }</style><a href='https://arxiv.org'>"
    )
    found = outside(Page(spoiled).loads)
    assert found == ["https://cdn/x.js", "//cdn/x.css", "http://x/y.css", "https://x/z.png"]


def test_nothing_is_fetched(site, pages):
    assert len(pages) > 100
    assert {path.name: outside(page.loads) for path, page in pages.items() if outside(page.loads)} == {}
    sheets = list(site.rglob("*.css"))
    assert len(sheets) > 3
    assert {path.name: outside(loaded(path.read_text())) for path in sheets if outside(loaded(path.read_text()))} == {}


def test_every_asset_and_every_link_inside_exists(site, pages):
    dead = []
    for path, page in pages.items():
        for link in (*page.loads, *page.leads):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or not link:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not there.exists() or (
                parts.fragment and there in pages and unquote(parts.fragment) not in pages[there].names
            ):
                dead.append((path.name, link))
    assert dead == []


def test_each_claim_has_a_chapter_with_all_its_parts(site):
    for claim in CLAIMS:
        text = chapter(site, claim.slug)
        body = text.partition("<article")[2].partition("</article>")[0]
        assert re.search(
            r'class="statement[^"]*">\s*(<div class="math-wrapper[^"]*">\s*)?<div class="formula"><math', body
        ), claim.slug
        steps = body.partition("The steps that the computer checks")[2].partition("The picture that shows it")[0]
        assert steps.count('class="soft"') == len(claim.steps)
        assert f'alt="{claim.panel}"' in body
        for how in claim.without.values():
            assert not how.endswith(".json") or f"distil_theory/certificates/{how}" in body
        prose = re.sub(r"<pre>.*?</pre>|<code.*?</code>", "", body, flags=re.DOTALL)
        assert not re.search(r"`|\\frac|\\sum|system-message|:math:", prose), claim.slug


def test_verdicts_are_those_of_the_run_and_nothing_else(site):
    for claim in CLAIMS:
        said = re.search(r'<span class="(proved|unverified|FAILED|supported)">', chapter(site, claim.slug))[1]
        assert said == ("proved" if claim.slug in VERIFIED else "unverified")
    assert "44,960 instances tried, worst margin -1.0e-11" in chapter(site, "teaching")
    table = (site / "docs/generated/claims/index.html").read_text(encoding="utf-8")
    assert table.count('class="unverified"') == len(CLAIMS) - len(VERIFIED)


def test_every_picture_hangs_in_the_gallery(site):
    shown = "".join(path.read_text(encoding="utf-8") for path in site.glob("docs/generated/gallery/*.html"))
    for manifest in (ROOT / "figures").glob("*.json"):
        pictures = [name for name in json.loads(manifest.read_text())["files"] if name.endswith(".png")]
        panels = [name for name in pictures if name != f"{manifest.stem}.png"] or pictures
        assert [name for name in panels if f'alt="{name}"' not in shown] == []


def test_the_theory_is_written_in_mathematics(site):
    text = (site / "THEORY.html").read_text(encoding="utf-8")
    assert text.count("<math") > 300
    assert "<math" in (site / "docs/generated/claims/natural_step.html").read_text(encoding="utf-8")


def test_the_font_of_the_formulas_has_their_signs(site, pages):
    used = {sign for path in pages for sign in characters(path.read_text(encoding="utf-8"))}
    drawn = set(map(chr, TTFont(BytesIO((site / "_static/math.woff").read_bytes())).getBestCmap()))
    assert {sign for sign in used - drawn if sign.strip() and sign not in "\u2061\u00a0"} == set()


def test_the_interface_names_every_public_function(site):
    text = (site / "docs/generated/api/distil_theory.updates.html").read_text(encoding="utf-8")
    for name in ("direction", "exponential_step", "proximal_step"):
        assert f'id="distil_theory.updates.{name}"' in text
    for path in (ROOT / "distil_theory").glob("*.py"):
        name = f"distil_theory.{path.stem}"
        assert path.stem.startswith("_") or (site / f"docs/generated/api/{name}.html").is_file(), name


def test_the_front_door_leads_in(site):
    assert "url=docs/index.html" in (site / "index.html").read_text(encoding="utf-8")
    assert (site / "docs" / "index.html").is_file()
