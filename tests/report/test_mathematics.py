"""Formulas on screen and on paper: nothing is lost between LaTeX, MathML and Typst."""

import html
import re
from io import BytesIO
from xml.etree import ElementTree

import pytest
import typst
from fontTools.ttLib import TTFont

from distil_theory.claims import CLAIMS
from distil_theory.claims.latex import broken
from distil_theory.report import fonts
from distil_theory.report.mathematics import display, inline, mathml, prose_html, prose_typst
from distil_theory.report.mathematics import typst as in_typst

STATEMENTS = [broken(claim.statement) for claim in CLAIMS]
PROSE = [
    text for claim in CLAIMS for text in (claim.title, claim.scope, *claim.without, *(s.says for s in claim.steps))
]


@pytest.mark.parametrize(
    ("latex", "expected"),
    [
        (r"\frac{a}{2}", "frac(a, 2)"),
        (r"\tfrac12", "inline(frac(1, 2))"),
        (r"x_h^2", "attach(x, b: h, t: 2)"),
        (r"f''(u)", r"attach(f, tr: #math.primes(2))\(u\)"),
        (r"\pi'_h", "attach(π, b: h, tr: #math.primes(1))"),
        (r"\hat h", "hat(h)"),
        (r"\sqrt{1-x}", "sqrt(1\\\u2212x)"),
        (r"\mathrm{Cov}(r)", r'upright("Cov")\(r\)'),
        (r"\log u", 'op("log", limits: #false)u'),
        (r"a b \; \text{ or } c", 'a b#h(0.2777778em);" or "c'),
        (r"2/\allowbreak 3", r'2 class("normal", \/)3'),
        (r"\big[x", r"lr(size: #1.2em, \[)x"),
    ],
)
def test_typst_of_a_formula(latex, expected):
    assert in_typst(mathml(latex)) == expected


def test_lines_and_limits():
    assert in_typst(mathml(r"a, \\ b", True)) == r"a\, \ b"
    assert in_typst(mathml(r"\max_p p", True)) == 'attach(op("max", limits: #true), b: p)p'


def test_every_sign_of_the_ledger_reaches_the_screen_and_the_paper():
    """Typst reads every formula, and what it is given has the letters and digits of the MathML."""
    pages = [display(latex) for latex in STATEMENTS] + [prose_typst(text) for text in PROSE]
    assert typst.compile("\n\n".join(pages).encode(), format="pdf").startswith(b"%PDF")
    for latex in STATEMENTS:
        words = {*re.findall(r"\w+", " ".join(ElementTree.fromstring(_xml(latex)).itertext()))}
        assert words - {"\u02c6", "\u02c7"} <= {*re.findall(r"\w+", display(latex))}
        for sign in "=()[]{}|/+\u2212∑∏≤≥⟨⟩":
            assert display(latex).count(f"\\{sign}") == _xml(latex).count(f">{sign}</mo>"), sign


def _xml(latex):
    return re.sub(r"&(?!amp;|lt;|gt;)\w+;", lambda found: html.unescape(found[0]), mathml(latex, True))


def test_what_no_counterpart_is_known_of_is_refused():
    with pytest.raises(ValueError, match="no Typst for <menclose>"):
        in_typst("<math><menclose><mi>x</mi></menclose></math>")
    with pytest.raises(ValueError, match=r"\\nonsense"):
        mathml(r"\nonsense x")


def test_prose():
    assert prose_html("a < b: `u^2`") == f"a &lt; b: {mathml('u^{2}')}"
    assert prose_html("`h_f` of `reverse_kl` in `spec.Bandit`").count("<code>") == 2
    assert prose_html("a ` left over") == "a  left over"
    assert prose_html("`log 3 = 1.1`").count("<code>") == 0
    assert prose_html("`x^a^b`") == "<code>x^a^b</code>"  # no LaTeX: as it was written
    assert prose_typst('50 % "#x" \\') == r'#"50 % \"#x\" \\";'
    assert inline("") == ""


def test_the_font_draws_what_is_on_the_page():
    page = "<p>\u2603 " + mathml(r"\sum_h \sqrt{\pi_h}") + "</p>"
    assert fonts.characters(page) == "hπ∑"
    made = TTFont(BytesIO(fonts.math_font(fonts.characters(page))))
    assert {*"hπ∑√", "\U0001d70b"} <= {chr(code) for code in made.getBestCmap()}
    assert "MATH" in made
    assert "\u2603" not in map(chr, made.getBestCmap())
