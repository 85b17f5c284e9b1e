"""Chromium for the page tests, and a page that fails its test on any console error, policy violation or request elsewhere.

The browser is given back after each file: Playwright's loop would be in the way of asynchronous tests elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from double import Double, example
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from watched import NOW, PATIENCE_MS, Watched

NOTE = Path(__file__).resolve().parents[2] / "build" / "browser.path"


expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = Path(NOTE.read_text("utf-8").strip()) if NOTE.exists() else Path()
    if not program.is_file():
        pytest.fail("no browser for the page tests: run tests/web/browser/setup.sh (`make test` does)", pytrace=False)
    environment: dict[str, str | float | bool] = dict(os.environ)
    if (program.parent / "fonts.conf").exists():  # the npm one brings its own libraries and fonts
        environment |= {
            "LD_LIBRARY_PATH": str(program.parent / "lib"),
            "FONTCONFIG_FILE": str(program.parent / "fonts.conf"),
        }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, env=environment)
        yield browser
        browser.close()


@pytest.fixture
def double() -> Iterator[Double]:
    server = Double(example())
    yield server
    server.close()


@pytest.fixture
def settings() -> dict[str, Any]:
    """What a test wants of its browser window; overridden by parametrisation."""
    return {}


@pytest.fixture
def watched(chromium: Browser, double: Double, settings: dict[str, Any]) -> Iterator[Watched]:
    context: BrowserContext = chromium.new_context(
        **{
            "viewport": {"width": 1280, "height": 860},
            "reduced_motion": "reduce",
            "locale": "en-GB",
            "timezone_id": "UTC",
        }
        | settings
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.clock.install(time=datetime.fromtimestamp(NOW, UTC))
    watched = Watched(page, double.url)
    yield watched
    context.close()
    watched.check()


@pytest.fixture
def page(watched: Watched) -> Page:
    return watched.page
