"""The pictures of `docs/explorer.md`: `python -m tests_browser.pictures`."""

from pathlib import Path

from distil_theory.explorer import server
from tests_browser.conftest import SIZE, chromium, serving, settle

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main() -> None:
    """One picture per tab."""
    with serving(server.serve()) as address, chromium() as browser:
        page = browser.new_page(viewport=SIZE)
        page.goto(address)
        for tab in ("one", "many"):
            page.locator(f"#tab-{tab}").click()
            settle(page)
            page.screenshot(path=DOCS / f"explorer_{tab}.png")


if __name__ == "__main__":
    main()
