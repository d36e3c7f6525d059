"""Five thousand leads in the Next app, made by nodes that have no Chrome and told through the real store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from fleet.keys import Keys
from infra.bench.fake_nodes import FakeNodes, Habits
from infra.sample_town import DIRECTORY_URL
from infra.stack.options import Options
from tests.e2e.next_app import NextApp
from tests.stacks import Client, client_of

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

PAGES, LEADS_A_PAGE = 50, 100
LEADS = PAGES * LEADS_A_PAGE

ROWS = 60
"""More than a table of this height has in sight and keeps ready beside it, at any place."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory, app_port: int) -> AsyncIterator[Client]:
    settings = {"LEADFLEET_ALLOWED_ORIGINS": f"http://127.0.0.1:{app_port}"}
    options = Options(state=tmp_path_factory.mktemp("stack"), nodes=0, town=True, settings=settings)
    habits = Habits(pages=PAGES, page_s=0.05, logs=1, leads=LEADS_A_PAGE)
    keys = Keys(options.fleet)
    async with client_of(options) as client, FakeNodes(client.stack.redis_url, keys, ["fake-1"], habits=habits):
        yield client


async def test_a_table_of_5000_leads_holds_the_rows_in_sight(app: NextApp, client: Client) -> None:
    page = app.page
    task = await app.start(DIRECTORY_URL, platform="directory")
    await client.ended(task)
    await app.ended()
    await expect(page.get_by_text(f"{LEADS:,} leads", exact=True).first).to_be_visible()
    events = await client.events(task)
    names = [event["data"]["display_name"] for event in events if event["type"] == "result"]
    assert len(names) == LEADS
    table = page.get_by_role("table")
    await expect(table).to_have_attribute("aria-rowcount", f"{LEADS + 1}")
    assert (await app.names())[:8] == names[:8]
    assert await app.leads.count() < ROWS

    await page.get_by_role("region", name="Table of leads").focus()
    await page.keyboard.press("End")
    await expect(page.get_by_role("rowheader", name=names[-1])).to_be_visible()
    shown = await app.names()
    assert shown == names[-len(shown) :]
    assert len(shown) < ROWS
    assert await app.violations() == []

    await page.reload()
    await expect(table).to_have_attribute("aria-rowcount", f"{LEADS + 1}")
    assert (await app.names())[:8] == names[:8]
