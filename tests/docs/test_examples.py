"""The cells of the pages that teach run, and say what the text beside them says."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def run(page):
    cells = re.findall(r"```\{code-cell\} python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    scope = {"__name__": "cells"}
    for cell in cells:
        exec(compile(cell, page, "exec"), scope)
    return cells, scope


def test_your_own_in_twenty_lines(capsys):
    cells, _ = run("your_own.md")
    said = capsys.readouterr().out
    assert all(len([line for line in cell.splitlines() if line.strip()]) <= 20 for cell in cells)
    assert max(len(line) for cell in cells for line in cell.splitlines()) < 90  # what a page shows
    assert "dJ/d eta of a small step: -47/5120" in said
    assert "the expert is better by 1/10\nthrough the cap the reward changes at the rate -37/400" in said
    losses = re.findall(r"smallest rate is (\S+)", said)
    assert float(losses[0]) > -1e-9
    assert float(losses[1]) < -0.1
    assert float(re.search(r"loses (\S+) per unit", said)[1]) > 0.1


def test_how_to_add_a_claim(capsys):
    cells, scope = run("add_a_claim.md")
    assert max(len(line) for cell in cells for line in cell.splitlines()) < 90
    said = capsys.readouterr().out
    assert scope["on_the_line"]()
    assert re.search(r"^proved, 1\d\d,\d{3} tried", said, re.MULTILINE)
    assert said.rstrip().endswith("FAILED")
