"""Whoever has had the wheel for as long as one may is told so in words, and may take it again."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from infra.sample_town import site_url
from infra.sample_town.workshop_sites import CLOCK_LABEL
from infra.stack.options import Options
from tests.e2e.console import Console
from tests.e2e.next_app import NextApp
from tests.stacks import Client, client_of

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

LIMIT_S = 8
CLOCK = site_url(CLOCK_LABEL)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory, app_port: int) -> AsyncIterator[Client]:
    settings = {
        "LEADFLEET_ALLOWED_ORIGINS": f"http://127.0.0.1:{app_port}",
        "LEADFLEET_CONTROL_LIMIT": str(LIMIT_S),
    }
    options = Options(state=tmp_path_factory.mktemp("stack"), slots=1, town=True, settings=settings)
    async with client_of(options) as client:
        yield client


async def test_the_console_says_that_the_time_is_over(console: Console, client: Client) -> None:
    task = await console.start(*[CLOCK] * 50)
    over = console.page.get_by_text(f"The wheel may be held for {LIMIT_S} s at a time. The unit goes on")
    await _hold_to_the_end(console.page, console.take, console.at_the_wheel, over)
    await client.post(f"/api/scraper/stop/{task}")


async def test_the_next_app_says_that_the_time_is_over(app: NextApp, client: Client) -> None:
    task = await app.start(*[CLOCK] * 50)
    held = app.wheel.get_by_text("You have the wheel")
    over = app.wheel.get_by_text("Your time at the wheel is over. The task goes on")
    await _hold_to_the_end(app.page, app.take, held, over)
    await client.post(f"/api/scraper/stop/{task}")


async def _hold_to_the_end(page: Page, take: Locator, held: Locator, over: Locator) -> None:
    """Twice: at the end the button is back, has the focus as before, and works."""
    for _ in range(2):
        await take.press("Enter")
        await expect(held).to_be_visible()
        await expect(over).to_be_hidden()
        await expect(page.get_by_role("textbox", name="gives the wheel back")).to_be_focused()
        await expect(over).to_be_visible()
        await expect(held).to_be_hidden()
        await expect(take).to_be_focused()
