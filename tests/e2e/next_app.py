"""The Next app as a person uses it, and the server that serves it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from playwright.async_api import Locator, expect

from tests.e2e.tab import PATIENCE_MS, Tab
from tests.servers import ServerProcess
from tests.support import REPOSITORY

FOLDER = REPOSITORY / "e2e" / "next-app"
BUILD_TIMEOUT_S = 900  # 20 s on two idle cores, minutes on busy ones
TELEMETRY_OFF = {"NEXT_TELEMETRY_DISABLED": "1"}


def build() -> Path:
    """Build the app for production, and return its folder."""
    assert (FOLDER / "node_modules").is_dir(), "the app's packages are not installed: `make e2e` does it"
    command = ["npm", "run", "--silent", "build"]
    built = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
    assert built.returncode == 0, built.stdout + built.stderr
    return FOLDER


class NextServer(ServerProcess):
    """``next start``. ``api`` is where both the app and its visitors' browsers reach the control plane."""

    def __init__(self, folder: Path, port: int, api: str, directory: Path) -> None:
        node = shutil.which("node")
        assert node is not None, "these tests need Node 20 or newer"
        program = folder / "node_modules" / "next" / "dist" / "bin" / "next"
        command = [node, str(program), "start", str(folder), "--port", str(port), "--hostname", "127.0.0.1"]
        environment = {"LEADFLEET_URL": api, **TELEMETRY_OFF}
        super().__init__(command, port, directory / "next.log", environment=environment)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class NextApp(Tab):
    """A tab that shows the app at ``url``. Its one friend is the control plane, from which it streams."""

    async def sign_in(self, key: str) -> None:
        await self.page.goto(self.url)
        await self.page.get_by_label("API key").fill(key)
        await self.page.keyboard.press("Enter")
        await expect(self.page.get_by_role("heading", name="Find leads")).to_be_visible()

    async def start(self, *queries: str, platform: str = "website") -> str:
        """Start a task with the form, and return its id once its page is open."""
        page = self.page
        await page.goto(self.url)
        await page.get_by_label("Web addresses").fill("\n".join(queries))
        await page.get_by_label("What they are").select_option(platform)
        await page.get_by_role("button", name="Start").click()
        await page.wait_for_url("**/tasks/tsk_*")
        return page.url.rpartition("/")[2]

    def state(self, word: str) -> Locator:
        """The badge that says the task's state."""
        return self.page.locator("[data-state]").get_by_text(word, exact=True)

    @property
    def connection(self) -> Locator:
        """What the page says of its stream of events."""
        return self.page.get_by_role("status", name="Connection")

    @property
    def log(self) -> Locator:
        """The lines of the log, newest first."""
        return self.page.get_by_role("list", name="Log").get_by_role("listitem")

    @property
    def wheel(self) -> Locator:
        """What the page says of who steers."""
        return self.page.get_by_role("status", name="Wheel")

    @property
    def take(self) -> Locator:
        """The button that asks for the wheel."""
        return self.page.get_by_role("button", name="Take the wheel")

    @property
    def leads(self) -> Locator:
        """The rows of the table that are near to be seen."""
        return self.page.get_by_role("table").locator("tbody tr[aria-rowindex]")

    @property
    def canvas(self) -> Locator:
        """The live view."""
        return self.page.get_by_role("img", name="The task's browser")

    async def picture(self) -> bytes:
        """What the live view shows, as PNG."""
        return await self.canvas.screenshot()

    async def click_picture(self, x: float, y: float) -> None:
        """Where the picture has this point, in fractions of it: the stage has its shape."""
        place = await self.canvas.bounding_box()
        assert place is not None
        await self.page.mouse.click(place["x"] + x * place["width"], place["y"] + y * place["height"])

    async def messages(self) -> list[str]:
        """What the log says, oldest first."""
        return (await self.log.locator("span").all_inner_texts())[::-1]

    async def names(self) -> list[str]:
        """Of the leads whose rows are near to be seen."""
        return await self.leads.get_by_role("rowheader").all_inner_texts()

    async def ended(self, state: str = "completed") -> None:
        """The page says so; how long a task takes is `Client.ended`'s to wait for."""
        await expect(self.state(state)).to_be_visible(timeout=PATIENCE_MS)
