"""The page about diagnoses shows true output."""

import re

import pytest

from distil_theory.__main__ import main
from distil_theory.diagnosis import sources
from tests import pages


@pytest.fixture(scope="module")
def examples():
    return pages.script("diagnose_examples")


def test_the_page_shows_what_a_diagnosis_finds(examples):
    pages.assert_true(examples, examples.parts())


def test_every_column_and_option_is_explained(examples, capsys):
    page = examples.PAGE.read_text(encoding="utf-8")
    assert not [name for name in sources.KNOWN if f"`{name}`" not in page]
    with pytest.raises(SystemExit):
        main(["diagnose", "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help", "--seed", "--columns"}
    assert not [name for name in options if f"`{name}" not in page and f" {name}" not in page]
