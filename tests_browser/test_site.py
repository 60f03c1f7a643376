"""The documentation, opened from the disk as a reader does who has no network."""

from pathlib import Path

import pytest

from .conftest import looks_right

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "build" / "site"
CHAPTERS = "docs/generated/claims"
PAGES = {  # what must be there: formulas, pictures, words
    "index.html": ("", "", "better teacher"),
    "docs/index.html": ("", "img", "better teacher"),
    "THEORY.html": ("math", "", "characterisation theorem"),
    "docs/reading.html": ("", "", "The abstract"),
    f"{CHAPTERS}/forward_gap.html": ("math", "img", "closes the gap"),
    f"{CHAPTERS}/safe_steps.html": ("math", "img", "safe-step theorem"),
    "docs/generated/gallery/index.html": ("", "img", "monotonicity"),
    "docs/notebooks/class.html": ("math", "img", "Exercise 6: waiting for your answer."),
    "docs/notebooks/class_solutions.html": ("math", "", "Exercise 6: right."),
    "docs/notebooks/review.html": ("math", "", "my_review: gap +, rate -"),
}


@pytest.fixture(scope="session")
def site():
    """The built site; not to have built it is a failure."""
    assert (SITE / "index.html").exists(), f"{SITE} is missing: run `make docs` first"
    return SITE


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_the_site_is_complete(page, site, name):
    page.goto((site / name).as_uri())
    looks_right(page, *PAGES[name])


def test_the_site_is_searched_without_a_network(page, site):
    page.goto(f"{(site / 'search.html').as_uri()}?q=covariance")
    page.locator("#search-results li a").first.wait_for()
    assert page.locator("#search-results li a").count() > 2


def test_the_site_has_a_page_for_every_claim(page, site):
    from distil_theory.claims import CLAIMS

    page.goto((site / CHAPTERS / "index.html").as_uri())
    linked = page.locator("article a").evaluate_all("all => all.map(a => new URL(a.href).pathname)")
    assert {f"{claim.slug}.html" for claim in CLAIMS} <= {Path(link).name for link in linked}
