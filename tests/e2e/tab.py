"""A browser's tab that is watched for faults, and what tests of every frontend ask of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.async_api import ConsoleMessage, Page, Request, expect

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"

PATIENCE_MS = 180_000
"""Of whatever is waited for: ten times of what it takes on two busy cores. A test that passes waits no longer."""

_AXE_RUN = "() => axe.run(document, {resultTypes: ['violations']})"
_SERIOUS = {"serious", "critical"}


class Tab:
    """``faults`` are errors of the page, and requests to others than ``url`` and ``friends``."""

    def __init__(self, page: Page, url: str, *friends: str) -> None:
        self.page, self.url = page, url
        self.faults: list[str] = []
        self._refusals = 0
        self._losses = False
        self._own = tuple(known for each in (url, *friends) for known in (each, each.replace("http", "ws", 1)))
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        page.on("pageerror", lambda error: self.faults.append(f"{error}"))
        page.on("console", self._heard)
        page.on("request", self._asked)

    async def violations(self) -> list[str]:
        """What axe finds serious in the page as it is."""
        assert AXE.exists(), "axe-core is not installed: `make e2e` does it"
        if not await self.page.evaluate("() => 'axe' in window"):
            await self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found: dict[str, Any] = await self.page.evaluate(_AXE_RUN)
        return [
            f"{each['id']}: {node['target']} {node['failureSummary']}"
            for each in found["violations"]
            if each["impact"] in _SERIOUS
            for node in each["nodes"]
        ]

    def expects_refusals(self, count: int) -> None:
        """So many calls will be refused, each of which the browser logs as an error."""
        self._refusals += count

    def expects_losses(self) -> None:
        """The replica will go away: calls and sockets that fail are no faults from here on."""
        self._losses = True

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        if "the server responded with a status of 4" in message.text and self._refusals:
            self._refusals -= 1
        elif not (self._losses and re.search(r"net::ERR_|WebSocket connection to|status of 503", message.text)):
            self.faults.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((*self._own, "blob:")) and not request.is_navigation_request():
            self.faults.append(f"a request to {request.url}")
