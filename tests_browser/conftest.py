"""A real Chromium without a network: `make test-browser`. Nothing here may be skipped."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
SIZE = {"width": 1280, "height": 720}
skipped = []


def pytest_sessionstart():
    """One clear message if there is no browser, before anything runs."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        pytest.exit("make test-browser needs playwright: pip install 'distil-theory[browser]'", returncode=2)
    if not CHROMIUM or not os.access(CHROMIUM, os.X_OK):
        where = CHROMIUM or "no `chromium` on the PATH"
        pytest.exit(
            f"make test-browser needs Chromium ({where}): apt-get install chromium, or set CHROMIUM", returncode=2
        )


def pytest_runtest_logreport(report):
    """Remember what was not run."""
    if report.skipped:
        skipped.append(report.nodeid)


def pytest_sessionfinish(session):
    """A browser test that was skipped has not passed."""
    if skipped:
        print(f"\nskipped, so not passed: {', '.join(skipped)}")
        session.exitstatus = 1


@contextmanager
def chromium():
    """A running browser; its profile is a new, empty folder."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@contextmanager
def serving(server):
    """The address of a server that runs meanwhile."""
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="session")
def browser():
    """One browser for all tests."""
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser):
    """A fresh page. The test fails at the end if anything was asked of the network, or if the console complained."""
    context = browser.new_context(viewport=SIZE, accept_downloads=True)
    strays, complaints = [], []

    def gate(route):
        address = urlsplit(route.request.url)
        if address.scheme in ("file", "data", "blob") or address.hostname in ("127.0.0.1", "localhost"):
            route.continue_()
        else:
            strays.append(route.request.url)
            route.abort()

    context.route("**/*", gate)
    opened = context.new_page()
    opened.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
    opened.complaints = complaints
    yield opened
    context.close()
    assert not strays, f"asked of the network: {strays}"
    assert not complaints, f"the console says: {complaints}"


@pytest.fixture(scope="session")
def served():
    """The explorer, as `python -m distil_theory explore` serves it."""
    from distil_theory.explorer import server

    with serving(server.serve()) as address:
        yield address


@pytest.fixture
def explorer(page, served):
    """The explorer's page, its first answer drawn."""
    page.goto(served)
    settle(page)
    return page


def settle(page):
    """Wait until the page has its answer."""
    page.locator('body[data-busy="false"]').wait_for(timeout=20_000)


def looks_right(page, formulas, pictures, words):
    """Formulas have a size, pictures have arrived, the words are there."""
    page.locator("body", has_text=words).wait_for(timeout=20_000)  # the first page of the site leads to another
    if formulas:
        sizes = page.locator("math").evaluate_all("all => all.map(x => x.getBoundingClientRect()).filter(x => x.width)")
        assert sizes
        assert all(size["width"] > 3 and size["height"] > 3 for size in sizes)
    for image in page.locator("img").all():
        assert image.evaluate("async x => { x.loading = 'eager'; await x.decode(); return x.naturalWidth }") > 0
    assert page.locator("img").count() or not pictures
