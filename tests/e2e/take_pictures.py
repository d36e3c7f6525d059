"""``python -m tests.e2e.take_pictures FOLDER``: the pictures of docs/, of the frontends in front of a whole stack.

The sample town is scraped by two slots, and what is seen is what a visitor of the console and of the Next app sees.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.async_api import Browser, Page, ViewportSize, async_playwright, expect

from browser_node.chrome_binary import find_chrome
from browser_node.sandbox import probe
from control_plane.models import MAX_QUERIES
from infra.sample_town import site_urls
from infra.stack.options import Options
from tests.e2e.console import Console
from tests.e2e.next_app import NextApp, NextServer, build
from tests.e2e.pictures import patch
from tests.e2e.tab import PATIENCE_MS
from tests.stacks import Client, client_of
from tests.support import free_port, wait_until

WIDE, PHONE = ViewportSize(width=1440, height=900), ViewportSize(width=390, height=844)
APP_BOX = "#16a34a"
LEADS_FIRST = 6
"""Leads that a picture of a running task shows."""

log = logging.getLogger("pictures")


async def main(folder: Path) -> None:
    app_port = free_port()
    chrome = find_chrome()
    assert chrome is not None, "pictures need a Chrome; `leadfleet doctor` says how to get one"
    async with contextlib.AsyncExitStack() as running:
        state = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="leadfleet-pictures-")))
        settings = {"LEADFLEET_ALLOWED_ORIGINS": f"http://127.0.0.1:{app_port}"}
        options = Options(state=state, nodes=1, slots=2, town=True, settings=settings)
        client = await running.enter_async_context(client_of(options))
        server = NextServer(build(), app_port, client.stack.url, state)
        server.start()
        running.callback(server.stop)
        playwright = await running.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=chrome.path, chromium_sandbox=probe().works)
        running.push_async_callback(browser.close)
        await of_console(browser, client, folder)
        await of_app(browser, client, server, folder)


async def of_console(browser: Browser, client: Client, folder: Path) -> None:
    async with tab(browser, WIDE) as page:
        console = Console(page, client.stack.url)
        await console.sign_in(client.stack.api_key)
        task = await console.start(*site_urls()[:MAX_QUERIES])
        leads = page.get_by_role("list", name="Leads, newest first").get_by_role("listitem")
        await expect(leads.nth(LEADS_FIRST)).to_be_visible(timeout=PATIENCE_MS)
        boxes = page.locator(".live-boxes > :visible")

        async def boxed() -> bool:
            return await boxes.count() > 0

        await take_when(page, boxed, folder / "console-task.png")
        await console.take.click()
        await expect(console.at_the_wheel).to_be_visible(timeout=PATIENCE_MS)
        await take(page, folder / "console-wheel.png")
        await page.keyboard.press("Control+Shift+Enter")
        await expect(console.take).to_be_visible()

        await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        await take_when(page, boxed, folder / "console-dark.png")
        await page.set_viewport_size(PHONE)
        await take_when(page, boxed, folder / "console-phone.png")
        await page.emulate_media(color_scheme="light", reduced_motion="reduce")
        await page.set_viewport_size(WIDE)
        await client.ended(task)
        await console.go("Leads")
        await page.get_by_label("Has a phone").check()
        await expect(page.locator(".loading:visible")).to_have_count(0)
        await take(page, folder / "console-leads.png")


async def of_app(browser: Browser, client: Client, server: NextServer, folder: Path) -> None:
    async with tab(browser, WIDE) as page:
        app = NextApp(page, server.url, client.stack.url)
        await app.sign_in(client.stack.api_key)
        task = await app.start(*site_urls()[:MAX_QUERIES])
        await expect(app.leads.nth(LEADS_FIRST)).to_be_visible(timeout=PATIENCE_MS)

        async def boxed() -> bool:
            shown = Image.open(io.BytesIO(await app.picture())).convert("RGB")
            return patch(shown, APP_BOX, near=4) is not None  # drawn on the picture, not a part of the JPEG

        await take_when(page, boxed, folder / "next-app-task.png")
        await page.set_viewport_size(PHONE)
        await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        await take_when(page, boxed, folder / "next-app-phone.png")
        await client.post(f"/api/scraper/stop/{task}")


@contextlib.asynccontextmanager
async def tab(browser: Browser, viewport: ViewportSize) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport=viewport, reduced_motion="reduce", color_scheme="light")
    yield await context.new_page()
    await context.close()


async def take(page: Page, path: Path) -> None:
    await page.screenshot(path=path)
    log.info("%s", path)


async def take_when(page: Page, seen: Callable[[], Awaitable[Any]], path: Path) -> None:
    """Take a picture on which something is ``seen`` that may be gone again: it must be there before and after."""

    async def taken() -> bool:
        if not await seen():
            return False
        await page.screenshot(path=path)
        return bool(await seen())

    await wait_until(taken, PATIENCE_MS / 1000, f"what {path.name} is to show")
    log.info("%s", path)


if __name__ == "__main__":
    logging.basicConfig(format="· %(message)s")
    log.setLevel(logging.INFO)
    into = Path(sys.argv[1])
    into.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(into))
