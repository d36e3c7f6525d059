"""A whole stack with two slots, the sample town and a gated site, and a real Chromium in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from browser_node.chrome import sandbox_possible
from browser_node.chrome_binary import find_chrome
from infra.stack.options import Options
from tests.door import Door, door_site
from tests.e2e.console import Console
from tests.stacks import Client, Gate, client_of, gated_site


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gate() -> AsyncIterator[Gate]:
    async with gated_site() as gate:
        yield gate


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door() -> AsyncIterator[Door]:
    async with door_site() as door:
        yield door


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory, gate: Gate, door: Door) -> AsyncIterator[Client]:
    allowed = (f"*.gate.test=127.0.0.1:{gate.port}", f"*.door.test=127.0.0.1:{door.port}")
    state = tmp_path_factory.mktemp("stack")
    async with client_of(Options(state=state, nodes=0, slots=2, town=True, egress_allow=allowed)) as client:
        await client.stack.add_node("node-1")  # comes up beside the first tests: a Chrome takes long on busy cores
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    chrome = find_chrome()
    assert chrome is not None, "these tests need a Chrome; `leadfleet doctor` says how to get one"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chrome.path, chromium_sandbox=sandbox_possible())
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A tab with cookies of its own, 1440 x 900."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    yield await context.new_page()
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def console(page: Page, client: Client) -> AsyncIterator[Console]:
    """The console, signed in. A test fails when the page had an error, broke its own policy, or asked another host."""
    console = Console(page, client.stack.url)
    await console.sign_in(client.stack.api_key)
    yield console
    assert console.faults == []
