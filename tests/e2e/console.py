"""The console as a person uses it: by labels, roles and keys, never by the inside of the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.async_api import ConsoleMessage, Locator, Page, Request, expect

PROBES = (Path(__file__).parent / "probes.js").read_text(encoding="utf-8")
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"

PATIENCE_MS = 90_000
"""For what waits for a browser of the fleet; on busy cores a Chrome takes long to come up."""

_AXE_RUN = "() => axe.run(document, {resultTypes: ['violations']})"
_SERIOUS = {"serious", "critical"}


class Console:
    """A tab that shows the console of ``url``. ``faults`` are errors of the page and requests to other hosts."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.faults: list[str] = []
        self._refusals = 1  # nobody is signed in yet, which the first call is told
        self._losses = False
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        page.on("pageerror", lambda error: self.faults.append(f"{error}"))
        page.on("console", self._heard)
        page.on("request", self._asked)

    async def sign_in(self, key: str) -> None:
        await self.page.goto(self.url)
        await self.page.get_by_label("API key").fill(key)
        await self.page.keyboard.press("Enter")
        await expect(self.page.get_by_role("heading", name="Tasks", exact=True)).to_be_visible(timeout=PATIENCE_MS)

    async def go(self, place: str) -> None:
        """Open a view from the navigation."""
        await self.page.get_by_role("navigation", name="Console").get_by_role("link", name=place).click()
        await expect(self.page.get_by_role("heading", name=place, exact=True)).to_be_focused()

    async def open_task(self, task: str) -> None:
        await self.page.goto(f"{self.url}/console#/tasks/{task}")
        await expect(self.page.get_by_text(task)).to_be_visible(timeout=PATIENCE_MS)

    async def start(self, *addresses: str, platform: str = "website") -> str:
        """Start a task with the form, and return its id once its view is open."""
        page = self.page
        await self.go("Tasks")
        await page.get_by_role("link", name="New task").click()
        await page.get_by_label("Web addresses").fill("\n".join(addresses))
        boxes = page.get_by_role("group", name="What they are").get_by_role("checkbox")
        await expect(boxes.first).to_be_visible()
        for box in await boxes.all():
            await box.set_checked(await box.get_attribute("value") == platform)
        await page.get_by_role("button", name="Start task").click()
        await page.wait_for_url("**#/tasks/tsk_*")
        return page.url.rpartition("/")[2]

    def state(self, word: str) -> Locator:
        """The badge that says a task's state."""
        return self.page.locator(".task-line .badge").get_by_text(word, exact=True)

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

    async def probe(self, name: str, argument: Any = None) -> Any:
        """What a function of ``probes.js`` tells of the page."""
        return await self.page.evaluate(f"(argument) => ({PROBES}).{name}(argument)", argument)

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
        elif not (self._losses and re.search(r"net::ERR_|WebSocket connection to", message.text)):
            self.faults.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        own = (self.url, self.url.replace("http", "ws", 1), "blob:")
        if not request.url.startswith(own) and not request.is_navigation_request():
            self.faults.append(f"a request to {request.url}")
