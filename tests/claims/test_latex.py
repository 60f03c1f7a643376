"""The ledger as a LaTeX document: checked here without LaTeX, by reading it as LaTeX would."""

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distil_theory.claims import CLAIMS, Step, Verdict
from distil_theory.claims.latex import document, formula, prose

KNOWN = (
    r"\\(?:le|ge|to|in|log|exp|max|min|sum|operatorname|sqrt|langle|rangle|wedge|sim|setminus|allowbreak|,|[{}$&#%_]|"
)
KNOWN += "varepsilon|nabla|infty|int|prod|hat|check|prime|"
KNOWN += "alpha|beta|chi|delta|eta|lambda|mu|phi|pi|psi|rho|tau|theta|gamma|Delta|Lambda)"


def written(claims=CLAIMS, failed=()):
    names = [[name for name in claim.without.values() if name.endswith(".json")] for claim in claims]
    verdicts = [Verdict(c.slug, "proved", failed, 1234567, 1e-12, 1, None, 1.0) for c in claims]
    return document(claims, verdicts, [dict.fromkeys(some, "") for some in names])


def balanced(text):
    """Depth of the braces that LaTeX counts, never negative and zero in the end; as many dollars open as close."""
    bare, depth = re.sub(r"\\.", "", text), 0
    for c in bare:
        depth += (c == "{") - (c == "}")
        if depth < 0:
            return False
    return depth == 0 and bare.count("$") % 2 == 0


def text_mode(latex):
    """What is left without commands, formulas and displays."""
    body = latex.partition(r"\begin{document}")[2]
    body = re.sub(r"\\begin\{gather\*\}.*?\\end\{gather\*\}", "", body, flags=re.DOTALL)
    body = re.sub(r"\\begin\{longtable\}.*?\\endhead", "", body, flags=re.DOTALL)
    return re.sub(r"(?<!\\)\$.*?(?<!\\)\$", "", body)


def test_braces_and_dollars_match_in_every_line():
    lines = written().splitlines()
    assert len(lines) > 300
    assert [line for line in lines if not balanced(line)] == []


def test_nothing_special_is_left_in_text():
    rows = [line for line in text_mode(written()).splitlines() if r"\\" in line]
    assert len(rows) == len(CLAIMS)  # of the table
    assert all(len(re.findall(r"(?<!\\)&", row)) == 7 for row in rows)
    rest = "\n".join(line for line in text_mode(written()).splitlines() if r"\\" not in line)
    assert re.findall(r"(?<!\\)[_^&%#~`<>|]|->|[a-z]\*(?!\{)", rest) == []


def test_every_step_and_every_need_is_there():
    items = [line for line in written().splitlines() if line.startswith(r"\item")]
    assert len(items) == sum(len(claim.steps) + len(claim.without) for claim in CLAIMS)
    for claim in CLAIMS:
        assert rf"\subsection*{{{claim.number}. {prose(claim.title)}}}" in written()
        assert all(rf"\item {prose(step.says.removesuffix('.'))}." in items for step in claim.steps)


def test_the_ledger_writes_its_mathematics_as_mathematics():
    """No step of the ledger has a formula outside its backticks."""
    for claim in CLAIMS:
        for text in [claim.title, claim.scope, *claim.without, *(step.says for step in claim.steps)]:
            words = "".join(text.split("`")[::2])
            assert text.count("`") % 2 == 0
            assert not re.search(
                r"[=<>^|+/]|\*|[a-z]\(|\b[B-Zb-z]\b(?!')", re.sub(r"\(([abc])\)|\w+_\w+|'s", "", words)
            ), text


@pytest.mark.parametrize(
    ("plain", "latex"),
    [
        ("E_{pi*} A >= 0", r"E_{\pi ^*}\,A \ge 0"),
        ("(1-a)^(h+1) d_{h+1}", r"(1-a)^{h+1}\,d_{h+1}"),
        ("M^-H", "M^{-H}"),
        ("E_pi' [A_h]", r"E_{\pi '}\,[A_{h}]"),
        ("F <= 1/(6 sqrt 3)", r"F \le 1/(6\,\sqrt{3})"),
        ("sqrt(x (1-x))", r"\sqrt{x\,(1-x)}"),
        ("Cov(r, u) / 12", r"\operatorname{Cov}(r, u) / 12"),
        ("2/3", r"2/\allowbreak 3"),
        ("-<psi, w(u-1)>", r"-\langle \psi , w(u-1)\rangle"),
        ("S < 0, r1 > chi2", r"S < 0, r_{1} > \chi^2"),
        ("1[z in C]/P(C)", r"1[z \in C]/P(C)"),
        ("alpha in {0, 1}", r"\alpha \in \{0, 1\}"),
        ("a% & #_", r"a\% \& \#\_"),
        ("V*' - V*''", r"V^{*\prime } - V^{*\prime \prime }"),
        ("prod_{j<k} <a, b>", r"\prod _{j<k} \langle a, b\rangle"),
        ("x^(", "x^{}"),
    ],
)
def test_formulas(plain, latex):
    assert formula(plain) == latex


def test_prose():
    assert prose("50 % of reverse_kl: `u^2`, any {f}") == r"50 \% of reverse\_kl: $u^{2}$, any \{f\}"
    assert prose("one ` is left") == "one  is left"
    assert prose("`a` and ` more") == "$a$ and  more"


@given(st.text(alphabet="ab*'^_(){}[]<>=-/\\$%&#~` 12\npisqrt.,", max_size=40))
def test_whatever_a_user_writes_his_document_has_matching_braces(text):
    claim = dataclasses.replace(
        CLAIMS[4],
        steps=(Step(text, lambda: True, "x"),),
        title=text,
        scope=text,
        assumptions=(text,),
        without={text: text},
    )
    shown = written((claim,))
    assert balanced(shown)
    for inside in re.findall(r"(?<!\\)\$(.*?)(?<!\\)\$", shown, flags=re.DOTALL):
        assert "\\" not in re.sub(KNOWN, "", inside)
        assert not re.search(r"[\^_](?!\{|\*)", re.sub(r"\\.", "", inside)), inside


def test_a_step_that_fails_is_said_to():
    claim = CLAIMS[1]
    shown = written((claim,), failed=(claim.steps[0].says,))
    assert shown.count("does not hold") == 1
    assert f" {len(claim.steps) - 1}/{len(claim.steps)} " in shown
    certified = dataclasses.replace(claim, assumptions=("x",), without={"x": "a_b.json"})
    verdict = Verdict(claim.slug, "FAILED", (), 1, 0.0, 0, None, 0.0)
    assert r"\texttt{a\_b.json} \textbf{(50 \% wrong)}" in document(
        [certified], [verdict], [{"a_b.json": "50 % wrong"}]
    )
