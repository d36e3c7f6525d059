"""A node and its way out: units are told apart, hear of their caps, and go on through a proxy of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from playwright.async_api import BrowserContext

from browser_node.scraping.runner import run_unit
from browser_node.scraping.services import open_services
from browser_node.scraping.types import Services, UnitResult
from fleet.credentials import node_key
from fleet.messages import Run
from fleet.model import Outcome
from tests.fakes.fake_control import FakeControl
from tests.integration.browser_node.conftest import NODE, Site, StartNode
from tests.integration.egress.process import SECRET, Process
from tests.support import wait_until

BODY = "x" * 700_000


@pytest.fixture
async def process(site: Site) -> AsyncIterator[Process]:
    process = await Process.start(allow=site.allowance, secret=SECRET, unit_mb="1")
    yield process
    await process.stop()


async def spend(order: Run, context: BrowserContext, out: Any, stage: Any, services: Services, *_: Any) -> UnitResult:
    """Ask for the page from Chrome, and once more, with a large body, from the agent."""
    await context.pages[0].goto(order.query)
    proxy = services.proxy_url
    async with aiohttp.ClientSession() as http, http.post(order.query, data=BODY, proxy=proxy) as answer:
        return UnitResult(Outcome.COMPLETED if answer.status == 200 else Outcome.FAILED)


def log_of(control: FakeControl, order: Run) -> list[dict[str, Any]]:
    return [event["data"] for batch in control.batches(order) for event in batch.events if event["kind"] == "log"]


async def test_what_chrome_and_the_agent_ask_for_is_the_units_and_each_unit_has_its_own_share(
    start_node: StartNode, control: FakeControl, process: Process, site: Site
) -> None:
    control.egress_key = node_key(SECRET, NODE)
    await start_node(spend, egress_proxy=f"127.0.0.1:{process.port}", node_id=NODE)
    orders = []
    for path in ("first", "second"):  # 700 KB each: with one share for both the second one would not fit
        orders.append(await control.run(NODE, f"http://www.site.test/{path}"))
        assert (await control.ended(orders[-1])).outcome == Outcome.COMPLETED

    def seen() -> list[dict[str, Any]] | None:
        # Chrome asks for a page's icon when it likes, and behind the end of its unit that is nobody's
        lines = [line for line in process.lines if line.get("host") == "www.site.test" and line["unit"] != "-"]
        return lines if len(lines) >= 4 else None

    lines = await wait_until(seen, description="two connections of each unit")
    assert lines is not None
    assert {(line["node"], line["unit"], line["fence"]) for line in lines} == {
        (NODE, order.unit, order.fence) for order in orders
    }
    assert not [header for header in site.headers if "Proxy-Authorization" in header]


async def test_a_unit_that_meets_its_cap_says_so_and_does_not_hang(
    start_node: StartNode, control: FakeControl, site: Site
) -> None:
    site.pages["/"] = '<h1>home</h1><a href="/contact">Contact</a><img src="/large">'
    site.pages["/large"] = BODY * 2
    await start_node(run_unit, open_services, egress_allow=site.allowance, egress_unit_mb=1)
    order = await control.run(NODE, "http://www.site.test/")
    await control.ended(order, 60)
    spent = "cap: the unit has moved 1 MB"
    log = [(line["message"], line.get("code")) for line in log_of(control, order)]
    assert (f"the egress proxy cut or refused a connection: {spent}", "egress_cap") in log
    assert (f"Left out a page: http://www.site.test/contact was not reached: {spent}", "egress_cap") in log


async def test_a_node_without_its_key_fails_its_units_in_words(
    start_node: StartNode, control: FakeControl, process: Process
) -> None:
    await start_node(run_unit, open_services, egress_proxy=f"127.0.0.1:{process.port}", node_id=NODE)
    order = await control.run(NODE, "https://www.site.test/", options={"respect_robots": False})
    end = await control.ended(order, 60)
    assert end.outcome == Outcome.FAILED
    assert "the egress proxy does not know this node: no Proxy-Authorization was sent" in end.detail
