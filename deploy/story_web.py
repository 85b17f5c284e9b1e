"""The story's people at their dashboards: a real Chromium, pages served by `commonweight dashboard`, acts signed there, pictures kept.

Each person's dashboard is a process of its own that signs with that person's keystore. A page that writes an error to its console, or
asks anything of another host, stops the story.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.protocol.errors import SetupError

NOTE = Path("build/browser.path")
START_SECONDS = 120.0
ACT_MS = 300_000.0
"""Longest wait for something to appear on a page, on a busy machine."""
WINDOW = {"width": 1440, "height": 900}


@dataclass(slots=True)
class Desks:
    """Open dashboards by person, and the pictures taken of them.

    Attributes:
        browser: Playwright's Chromium.
        folder: where pictures go.
        shots: names of the pictures so far.
    """

    browser: Any
    folder: Path
    shots: list[str] = field(default_factory=list)
    _pages: dict[Path, Any] = field(default_factory=dict)
    _problems: list[str] = field(default_factory=list)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def page(self, config: Path, section: str) -> Any:
        """A person's page, opened the first time, at a section (``Members``, ``Governance`` …).

        Raises:
            SetupError: the dashboard does not start, or one of the pages reported an error.
        """
        if config not in self._pages:
            url = await self._stack.enter_async_context(_dashboard(config))
            context = await self.browser.new_context(viewport=WINDOW, reduced_motion="reduce", locale="en-GB")
            self._stack.push_async_callback(context.close)
            context.set_default_timeout(ACT_MS)
            page = await context.new_page()
            origin = url.split("#", maxsplit=1)[0]
            page.on("console", lambda message: self._note(message.type, message.text))
            page.on("pageerror", lambda error: self._note("error", str(error)))
            page.on(
                "request", lambda asked: self._note("error", asked.url) if not asked.url.startswith(origin) else None
            )
            await page.goto(url)
            await page.locator("#main h1").wait_for()
            self._pages[config] = page
        page = self._pages[config]
        await page.get_by_role("navigation", name="Sections").get_by_role("link", name=section).click()
        await page.locator("#main h1", has_text=section).wait_for()
        self.check()
        return page

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self._problems.append(text)

    def check(self) -> None:
        """Stop if a page went wrong.

        Raises:
            SetupError: a page reported an error since it was opened.
        """
        if self._problems:
            raise SetupError(
                f"A dashboard's page reported: {self._problems[0][:300]}", hint="See the browser's console."
            )

    async def shot(self, page: Any, name: str) -> None:
        """Keep a picture of the whole page as ``NAME.png``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        await page.evaluate("() => scrollTo(0, 0)")  # else what sticks to the window's edge stands in the middle
        await page.screenshot(path=self.folder / f"{name}.png", full_page=True)
        self.shots.append(f"{name}.png")

    async def review(self, config: Path, application: int, reason: str) -> dict[str, Any]:
        """Approve an application on the page of a seat; what the dialogue said of the transaction."""
        page = await self.page(config, "Members")
        card = page.get_by_role("article", name=f"Application {application}", exact=True)
        await card.wait_for()
        await self.shot(page, "application")
        await card.get_by_role("button", name="Approve").click()
        return await self._confirm(page, "Approve", reason)

    async def vote(self, config: Path, proposal: int, reason: str) -> dict[str, Any]:
        """Vote for a proposal on a member's page."""
        page = await self.page(config, "Governance")
        await page.get_by_role("button", name=re.compile(rf"^For: proposal {proposal},")).click()
        said = await self._confirm(page, "Vote for", reason)
        await (
            page.get_by_role("article", name=f"Proposal {proposal}", exact=True).get_by_text("You voted for").wait_for()
        )
        await self.shot(page, "vote")
        return said

    async def _confirm(self, page: Any, label: str, reason: str) -> dict[str, Any]:
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("textbox").fill(reason)
        await dialog.get_by_role("button", name=label, exact=True).click()
        await dialog.get_by_text("Done.").wait_for()
        said = " ".join((await dialog.inner_text()).split())
        await dialog.get_by_role("button", name="Close").last.click()
        self.check()
        return {"page": said[:300]}

    async def close(self) -> None:
        """End dashboards and windows."""
        await self._stack.aclose()


@asynccontextmanager
async def desks(folder: Path) -> AsyncIterator[Desks]:
    """A browser and no desk yet.

    Raises:
        SetupError: no browser is there.
    """
    from playwright.async_api import async_playwright  # noqa: PLC0415 - a development package

    program, environment = _browser()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, env=environment)
        opened = Desks(browser, folder)
        try:
            yield opened
        finally:
            await opened.close()
            await browser.close()


def _browser() -> tuple[Path, dict[str, str | float | bool]]:
    program = Path(NOTE.read_text("utf-8").strip()) if NOTE.is_file() else Path()
    if not program.is_file():
        raise SetupError("No browser was found.", hint="`make story` finds or installs one; or leave it out: WEB=0.")
    environment: dict[str, str | float | bool] = dict(os.environ)
    if (program.parent / "fonts.conf").exists():  # the npm one brings its own libraries and fonts
        environment |= {
            "LD_LIBRARY_PATH": str(program.parent / "lib"),
            "FONTCONFIG_FILE": str(program.parent / "fonts.conf"),
        }
    return program, environment


@asynccontextmanager
async def _dashboard(config: Path) -> AsyncIterator[str]:
    """`commonweight dashboard --sign` of one person; its address with the token."""
    words = ("dashboard", "--sign", "--port", "0", "--no-open", "--json", "--exit-with-parent", "--config", str(config))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "node.cli", *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout is not None, "its output is piped"
    try:
        text = ""
        async with asyncio.timeout(START_SECONDS):
            while line := (await process.stdout.readline()).decode():
                text += line
                if line.rstrip().endswith("}"):
                    break
        if not text:
            raise SetupError(f"The dashboard of {config} did not start.", hint="Try `commonweight dashboard` there.")
        yield str(json.loads(text)["url"])
    except TimeoutError as error:
        raise SetupError(f"The dashboard of {config} did not start within {START_SECONDS:.0f} s.") from error
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
