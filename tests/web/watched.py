"""What page tests share: the time they play at, where screenshots go, and a page that remembers what went wrong in it."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

NOW = 1_790_000_640  # half a minute after the example's newest block
PATIENCE_MS = 30_000  # for a machine that is busy; nothing here takes a second on a quiet one
SHOTS = Path(__file__).resolve().parents[2] / "build" / "web"


class Watched:
    """A page with what went wrong in it."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.problems: list[str] = []
        self.allowed: list[str] = []  # parts of console messages that this test brings about itself
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self._note("error", str(error)))
        page.on("request", lambda request: None if request.url.startswith(origin) else self._note("error", request.url))

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.problems.append(text)

    def check(self) -> None:
        assert [text for text in self.problems if not any(part in text for part in self.allowed)] == []
