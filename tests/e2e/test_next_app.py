"""The Next app in front of a whole stack: the journey of whoever builds a frontend on `@leadfleet/client`."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from infra.sample_town import DIRECTORY_URL
from tests.e2e.next_app import NextApp
from tests.stacks import Client

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


async def test_a_task_is_started_and_its_leads_come(app: NextApp, client: Client) -> None:
    task = await app.start(DIRECTORY_URL, platform="directory")
    await app.ended()
    found = (await client.status(task))["total_results"]
    assert found > 50
    await expect(app.page.get_by_text(f"{found} leads", exact=True).first).to_be_visible()
    assert await app.violations() == []
