"""A whole stack with two slots, the sample town and a gated site, and a real Chromium in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from browser_node.chrome_binary import find_chrome
from browser_node.sandbox import probe
from infra.stack.options import Options
from tests.door import Door, door_site
from tests.e2e.console import Console
from tests.e2e.next_app import NextApp, NextServer, build
from tests.e2e.tab import PATIENCE_MS
from tests.stacks import Client, Gate, client_of, gated_site
from tests.support import free_port


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gate() -> AsyncIterator[Gate]:
    async with gated_site() as gate:
        yield gate


@pytest.fixture(scope="module")
def app_port() -> int:
    """Where the Next app will listen: the control plane must know before it starts."""
    return free_port()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door() -> AsyncIterator[Door]:
    async with door_site() as door:
        yield door


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(
    tmp_path_factory: pytest.TempPathFactory, gate: Gate, door: Door, app_port: int
) -> AsyncIterator[Client]:
    allowed = (f"*.gate.test=127.0.0.1:{gate.port}", f"*.door.test=127.0.0.1:{door.port}")
    state = tmp_path_factory.mktemp("stack")
    settings = {"LEADFLEET_ALLOWED_ORIGINS": f"http://127.0.0.1:{app_port}"}
    options = Options(state=state, nodes=0, slots=2, town=True, egress_allow=allowed, settings=settings)
    async with client_of(options) as client:
        await client.stack.add_node("node-1")  # comes up beside the first tests: a Chrome takes long on busy cores
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    chrome = find_chrome()
    assert chrome is not None, "these tests need a Chrome; `leadfleet doctor` says how to get one"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chrome.path, chromium_sandbox=probe().works, timeout=PATIENCE_MS
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    """A tab with cookies of its own, 1440 x 900; its parameter is the device pixel ratio."""
    density = getattr(request, "param", 1)
    viewport = ViewportSize(width=1440, height=900)
    context = await browser.new_context(viewport=viewport, device_scale_factor=density, reduced_motion="reduce")
    yield await context.new_page()
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def console(page: Page, client: Client) -> AsyncIterator[Console]:
    """The console, signed in. A test fails when the page had an error, broke its own policy, or asked another host."""
    console = Console(page, client.stack.url)
    await console.sign_in(client.stack.api_key)
    yield console
    assert console.faults == []


@pytest.fixture(scope="session")
def built_app() -> Path:
    return build()


@pytest.fixture(scope="module")
def app_server(
    built_app: Path, client: Client, app_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NextServer]:
    """The Next app, served as in production, in front of the stack."""
    server = NextServer(built_app, app_port, client.stack.url, tmp_path_factory.mktemp("next-app"))
    server.start()
    yield server
    server.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def app(page: Page, client: Client, app_server: NextServer) -> AsyncIterator[NextApp]:
    """The Next app, signed in. A test fails when the page had an error or asked a host that it should not."""
    app = NextApp(page, app_server.url, client.stack.url)
    await app.sign_in(client.stack.api_key)
    yield app
    assert app.faults == []
