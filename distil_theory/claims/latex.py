r"""The ledger as a LaTeX document: how each claim stands, what it says, what it needs, how it is derived.

Statements of claims are LaTeX. All else is prose for the screen, in which mathematics stands between backticks, in the
plain spelling of this project: `E_{pi*} A >= 0`, `(1-a)^(h+1) d_{h+1}`, `-sum q log p`. `formula` reads that spelling:
`pi*` is a star, `x^(h+1)` and `x_{h+1}` are an exponent and an index, `sqrt(x)` is a root, a name longer than two
letters stands upright unless it is Greek, and `<`, `>` without a space inside are the brackets of an inner product.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from distil_theory.claims.claim import Claim, Verdict

SPECIAL = {c: rf"\{c}" for c in "{}$&#_%"} | {"\\": r"\textbackslash{}", "^": r"\^{}", "~": r"\~{}"}
"""In text."""
SIGNS = {c: rf"\{c}" for c in "{}$&#%_"} | {"\\": r"\setminus ", "^": r"\wedge ", "~": r"\sim "}
SIGNS |= {"<=": r"\le ", ">=": r"\ge ", "->": r"\to ", "<(": r"\langle ", ">)": r"\rangle "}
"""In a formula."""
OPERATORS = ("exp", "in", "log", "max", "min", "sum")
GREEK = (
    "alpha",
    "beta",
    "chi",
    "delta",
    "eta",
    "gamma",
    "lambda",
    "mu",
    "phi",
    "pi",
    "psi",
    "rho",
    "tau",
    "theta",
    "Delta",
    "Lambda",
)
NAMES = {x: rf"\{x} " for x in GREEK + OPERATORS} | {"lam": r"\lambda ", "chi2": r"\chi^2", "deta": r"d\eta "}
NAMES |= {"eps": r"\varepsilon ", "grad": r"\nabla ", "inf": r"\infty ", "int": r"\int ", "prod": r"\prod "}
NAMES |= {"hhat": r"\hat h", "hcheck": r"\check h"}
TOKEN = re.compile(r"<=|>=|->|[A-Za-z]+\d*\*?|\d+|'+|\s+|.", re.DOTALL)
CLOSING = {"{": "}", "(": ")"}
HEAD = r"""\documentclass{article}
\usepackage[a4paper, margin=25mm]{geometry}
\usepackage{amsmath, amssymb, array, longtable}
\setlength{\parindent}{0pt}
\setlength{\parskip}{4pt}
\begin{document}
\raggedright
\section*{The claims ledger}
"""
FAILED = r" \textbf{This step does not hold.}"


def prose(text: str) -> str:
    """Text with formulas between backticks; one that is left over says nothing."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        parts[-2:] = ["".join(parts[-2:])]
    return "".join(f"${formula(part)}$" if i % 2 else _plain(part) for i, part in enumerate(parts))


def _plain(text: str) -> str:
    return "".join(SPECIAL.get(c, c) for c in text)


def formula(text: str) -> str:
    """A formula in LaTeX, without the dollars; whatever the text, its braces match."""
    return re.sub(r"\s+", " ", _read(TOKEN.findall(text.strip()))).strip()


def _read(tokens: Sequence[str]) -> str:
    out, i = "", 0
    while i < len(tokens):
        sign, i = tokens[i], i + 1
        if sign in ("^", "_") and i < len(tokens):
            group, i = _group(tokens, i)
            out += f"{sign}{{{_read(group)}}}"
        elif sign == "sqrt" and i + 1 < len(tokens):
            group, i = _group(tokens, i + tokens[i].isspace())
            out += rf"\sqrt{{{_read(group)}}}"
        elif sign == "<" and ">" in tokens[i:] and not tokens[i].isspace():
            out += SIGNS["<("]
        elif sign == ">" and i > 1 and not tokens[i - 2].isspace():
            out += SIGNS[">)"]
        elif sign == "/" and 1 < i < len(tokens) and tokens[i - 2].isdigit() and tokens[i].isdigit():
            out += r"/\allowbreak "
        elif sign[0].isalpha() and sign.endswith("*") and i < len(tokens) and tokens[i].startswith("'"):
            out += _name(sign[:-1]) + "^{*" + len(tokens[i]) * r"\prime " + "}"  # one exponent, not two
            i += 1
        elif sign[0].isalpha():
            out += _name(sign)
        elif sign.isspace() and 1 < i < len(tokens) and _operand(tokens[i - 2], ")]}'") and _operand(tokens[i], "(["):
            out += r"\,"
        else:
            out += SIGNS.get(sign, sign)
    return out


def _group(tokens: Sequence[str], i: int) -> tuple[Sequence[str], int]:
    """The tokens of an exponent, index or radicand that begins at `i`, and where it ends."""
    opening, closing = tokens[i], CLOSING.get(tokens[i])
    if closing is None:
        end = i + 1 + (opening == "-")
        while end < len(tokens) and tokens[end].startswith("'"):
            end += 1
        return tokens[i:end], end
    depth = 0
    for end in range(i, len(tokens)):
        depth += (tokens[end] == opening) - (tokens[end] == closing)
        if depth == 0:
            return tokens[i + 1 : end], end + 1
    return tokens[i + 1 :], len(tokens)


def _operand(token: str, brackets: str) -> bool:
    """Whether a factor of a product begins or ends with it."""
    return token[0] in brackets or (token[0].isalnum() and token not in OPERATORS)


def _name(token: str) -> str:
    star = "^*" if token.endswith("*") else ""
    token = token.removesuffix("*")
    if token in NAMES:
        return NAMES[token] + star
    letters = token.rstrip("0123456789")
    shown = letters if len(letters) < 3 else rf"\operatorname{{{letters}}}"
    return shown + (f"_{{{token[len(letters) :]}}}" if letters != token else "") + star


def document(claims: Sequence[Claim], verdicts: Sequence[Verdict], checked: Sequence[Mapping[str, str]]) -> str:
    """The whole ledger, ready for `pdflatex`.

    Args:
        claims: of any number.
        verdicts: on each.
        checked: for each the certificates that it names, and why one is not verified (empty if it is).
    """
    rows, chapters = [], []
    for claim, verdict, found in zip(claims, verdicts, checked, strict=True):
        steps = f"{len(claim.steps) - len(verdict.failed_steps)}/{len(claim.steps)}"
        verified = f"{sum(not why for why in found.values())}/{len(found)}" if found else "--"
        margin = rf"{verdict.worst_margin:.0e}" + ("*" if verdict.decided and verdict.good else "")
        tried = f"{verdict.instances:,}".replace(",", r"\,")
        title = f"{_plain(claim.number)} & {prose(claim.title)} & {_plain(claim.source)}"
        rows.append(rf"{title} & {steps} & {tried} & {margin} & {verified} & {_plain(verdict.verdict)} \\")
        chapters.append(_chapter(claim, verdict, found))
    table = [
        r"\begin{longtable}{@{}l>{\raggedright}p{52mm}lrrrr>{\raggedright\arraybackslash}p{22mm}@{}}",
        r"& claim & source & steps & tried & margin & cert. & verdict \\ \hline \endhead",
        *rows,
        r"\end{longtable}",
        r"* near zero: decided in exact arithmetic.",
    ]
    return "\n".join([HEAD, *table, *chapters, r"\end{document}", ""])


def _chapter(claim: Claim, verdict: Verdict, found: Mapping[str, str]) -> str:
    lines = [
        rf"\subsection*{{{_plain(claim.number)}. {prose(claim.title)}}}",
        rf"\textit{{{_plain(verdict.verdict)}; {_plain(claim.source)}.}}",
        rf"\begin{{gather*}} {broken(claim.statement)} \end{{gather*}}",
        rf"\textbf{{Scope:}} {prose(claim.scope)}.",
    ]
    if claim.without:
        needs = [rf"\item {prose(what)}. Without it: {_instead(how, found)}." for what, how in claim.without.items()]
        lines += _list("Needs", "itemize", needs)
    if claim.steps:
        steps = [
            rf"\item {prose(step.says.removesuffix('.'))}." + (FAILED if step.says in verdict.failed_steps else "")
            for step in claim.steps
        ]
        lines += _list("Derivation", "enumerate", steps)
    return "\n".join(lines)


def _list(heading: str, kind: str, items: Sequence[str]) -> list[str]:
    start = rf"\begin{{{kind}}}\setlength{{\itemsep}}{{0pt}}"
    return ["", rf"\textbf{{{heading}}}\nopagebreak", start, *items, rf"\end{{{kind}}}"]


def broken(statement: str) -> str:
    """A statement on as many lines as it has parts."""
    return re.sub(r",\s*\\quad\s*", r", \\\\ ", statement)


def _instead(how: str, found: Mapping[str, str]) -> str:
    """What happens without an assumption: a certificate, or a sentence."""
    if not how.endswith(".json"):
        return prose(how)
    return rf"\texttt{{{_plain(how)}}}" + (rf" \textbf{{({_plain(found[how])})}}" if found.get(how) else "")
