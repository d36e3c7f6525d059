"""The console as a person uses it: by labels, roles and keys, never by the inside of the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.e2e.tab import PATIENCE_MS, Tab

PROBES = (Path(__file__).parent / "probes.js").read_text(encoding="utf-8")


class Console(Tab):
    """A tab that shows the console of ``url``."""

    def __init__(self, page: Page, url: str) -> None:
        super().__init__(page, url)
        self.expects_refusals(1)  # nobody is signed in yet, which the first call is told

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

    @property
    def take(self) -> Locator:
        """The button that asks for the wheel."""
        return self.page.get_by_role("button", name="Take the wheel")

    @property
    def at_the_wheel(self) -> Locator:
        """What says so."""
        return self.page.get_by_role("status").get_by_text("You have the wheel")

    async def point_at_picture(self, x: float, y: float) -> None:
        """Where the picture has this point, in fractions of it."""
        picture = await self.page.locator(".live-boxes").bounding_box()
        assert picture is not None
        await self.page.mouse.move(picture["x"] + x * picture["width"], picture["y"] + y * picture["height"])

    async def click_picture(self, x: float, y: float) -> None:
        await self.point_at_picture(x, y)
        await self.page.mouse.down()
        await self.page.mouse.up()

    async def probe(self, name: str, argument: Any = None) -> Any:
        """What a function of ``probes.js`` tells of the page."""
        return await self.page.evaluate(f"(argument) => ({PROBES}).{name}(argument)", argument)
