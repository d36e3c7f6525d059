"""One Chrome, one extraction worker and one site for the tests of a module; Playwright binds them to its loop."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Playwright, async_playwright

from browser_node.chrome_binary import find_chrome
from browser_node.scraping.extractor import ProcessExtractor
from browser_node.scraping.politeness import HostPoliteness
from browser_node.scraping.robots import RobotsCache
from browser_node.scraping.types import Services
from tests.integration.scraping.support import Bench, Site, loopback_http


async def launch(playwright: Playwright, port: int) -> Browser:
    """The machine's Chrome, for which every ``*.test`` host is the loopback ``port``."""
    chrome = find_chrome()
    assert chrome is not None, "no Chrome on this machine: run `make chromium`"
    sandbox = [] if os.geteuid() else ["--no-sandbox"]
    return await playwright.chromium.launch(
        executable_path=str(chrome.path),
        args=[*sandbox, f"--host-resolver-rules=MAP *.test 127.0.0.1:{port}"],
    )


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared() -> AsyncIterator[Bench]:
    async with Site().serve() as site, async_playwright() as playwright, ProcessExtractor() as extractor:
        browser = await launch(playwright, site.port)
        async with loopback_http(site.port) as http:
            yield Bench(
                browser,
                Services(extractor, HostPoliteness(is_ours=lambda _: True), RobotsCache(), http),
                site,
            )
        await browser.close()


@pytest.fixture
def bench(shared: Bench) -> Bench:
    """The shared Chrome with a site that has no pages yet."""
    shared.site.pages.clear()
    shared.site.asked.clear()
    shared.stage.shown.clear()
    return shared
