"""The page about diagnoses shows true output."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from distil_theory.__main__ import main
from distil_theory.diagnosis import sources

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def examples():
    spec = importlib.util.spec_from_file_location("diagnose_examples", DOCS / "diagnose_examples.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def rounded(text):
    """Measured numbers to two digits: other processors round otherwise."""
    return re.sub(r"[-+]?\d+\.\d+", lambda m: f"{float(m[0]):.1e}", text)


def test_the_page_shows_what_a_diagnosis_finds(examples):
    page = examples.PAGE.read_text(encoding="utf-8")
    for name, text in examples.parts().items():
        assert rounded(examples.put(page, name, text)) == rounded(page), f"run python docs/diagnose_examples.py: {name}"


def test_every_column_and_option_is_explained(examples, capsys):
    page = examples.PAGE.read_text(encoding="utf-8")
    assert not [name for name in sources.KNOWN if f"`{name}`" not in page]
    with pytest.raises(SystemExit):
        main(["diagnose", "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help", "--seed", "--columns"}
    assert not [name for name in options if f"`{name}" not in page and f" {name}" not in page]
