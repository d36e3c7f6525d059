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
from fleet.messages import Goodbye, Register, Run, SlotChange, UnitEnd
from fleet.model import Outcome, SlotState
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


async def ready(control: FakeControl, boot_is_not: str = "") -> str:
    """Wait until a registration's slot is offered; its boot."""
    offered = await control.hear(SlotChange, lambda m: m.state == SlotState.FREE and m.boot != boot_is_not)
    return offered.boot


async def test_what_chrome_and_the_agent_ask_for_is_the_units_and_each_unit_has_its_own_share(
    start_node: StartNode, control: FakeControl, process: Process, site: Site
) -> None:
    control.egress_key = node_key(SECRET, NODE)
    await start_node(spend, egress_proxy=f"127.0.0.1:{process.port}", node_id=NODE)
    await ready(control)
    orders = []
    for path in ("first", "second"):  # 700 KB each: with one share for both the second one would not fit
        orders.append(await control.run(NODE, f"http://www.site.test/{path}"))
        assert (await control.ended(orders[-1])).outcome == Outcome.COMPLETED

    def seen() -> list[dict[str, Any]] | None:
        lines = [line for line in process.lines if line.get("host") == "www.site.test"]
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
    # more than tabs, so that some are asked for when the others have used up the share
    paths = ("/contact", "/about", "/imprint", "/team", "/kontakt", "/impressum")
    site.pages["/"] = "<h1>home</h1>" + "".join(f'<a href="{path}">{path[1:]}</a>' for path in paths)
    site.pages |= {path: f"<h1>{path}</h1><!-- {BODY} -->" for path in paths}
    await start_node(run_unit, open_services, egress_allow=site.allowance, egress_unit_mb=1)
    order = await control.run(NODE, "http://www.site.test/")
    await control.ended(order, 60)
    spent = "the unit has moved as many bytes as it may"
    log = [(line["message"], line.get("code")) for line in log_of(control, order)]
    told = [message for message, code in log if code == "egress_cap" and message.startswith("the egress proxy cut")]
    assert told == [f"the egress proxy cut or refused a connection: {spent}"], "once"
    left_out = [message for message, code in log if code == "egress_cap" and message.startswith("Left out a page: ")]
    assert left_out
    assert all(message.endswith(f" was not reached: {spent}") for message in left_out)


async def test_a_site_that_speaks_in_the_proxys_name_is_believed_nothing(
    start_node: StartNode, control: FakeControl, site: Site
) -> None:
    await start_node(run_unit, open_services, egress_allow=site.allowance)
    order = await control.run(NODE, "http://www.site.test/pretends", options={"respect_robots": False})
    end = await control.ended(order, 60)
    assert (end.outcome, end.error) == (Outcome.FAILED, "http_404")


async def test_a_tenant_learns_no_address_of_ours(start_node: StartNode, control: FakeControl) -> None:
    await start_node(run_unit, open_services)
    for scheme in ("http", "https"):
        order = await control.run(NODE, f"{scheme}://localhost:8443/", options={"respect_robots": False})
        end = await control.ended(order, 60)
        assert end.error == "refused_address"
        assert end.detail.endswith(" was not reached: it is not a web site on the public Internet")


# A further proxy that has to know the node.


async def test_a_node_that_is_not_known_takes_no_units_and_asks_for_its_key_again(
    start_node: StartNode, control: FakeControl, process: Process
) -> None:
    control.egress_key = node_key("the secret of another proxy", NODE)
    await start_node(run_unit, open_services, egress_proxy=f"127.0.0.1:{process.port}", node_id=NODE)
    (first,) = control.of(Register)
    assert [slot["port"] for slot in first.slots] == [0], "a slot without a way out is not offered"
    await control.hear(Goodbye)
    assert control.of(SlotChange) == []
    order = await control.run(NODE, "https://www.site.test/", boot=first.boot)  # one that was on its way
    control.egress_key = node_key(SECRET, NODE)
    boot = await ready(control)
    assert boot != first.boot
    assert not [end for end in control.of(UnitEnd) if end.unit == order.unit and end.outcome == Outcome.FAILED]


async def test_units_go_back_at_no_cost_when_the_proxys_secret_has_changed(
    start_node: StartNode, control: FakeControl, process: Process, site: Site
) -> None:
    control.egress_key = node_key(SECRET, NODE)
    await start_node(run_unit, open_services, egress_proxy=f"127.0.0.1:{process.port}", node_id=NODE)
    before = await ready(control)
    secret = "the secret that came after it"
    await process.stop()
    after = await Process.start(bind=f"127.0.0.1:{process.port}", allow=site.allowance, secret=secret)
    try:
        control.egress_key = node_key(secret, NODE)
        order = await control.run(NODE, "http://www.site.test/")
        assert (await control.ended(order, 60)).outcome == Outcome.RETURNED
        goodbye = await control.hear(Goodbye)
        assert (goodbye.boot, goodbye.reason) == (before, "the egress proxy does not know this node, or is away")
        boot = await ready(control, before)
        again = await control.run(NODE, "http://www.site.test/", boot=boot)
        assert (await control.ended(again, 60)).outcome == Outcome.COMPLETED
    finally:
        await after.stop()


async def test_units_go_back_at_no_cost_while_the_proxy_is_away(
    start_node: StartNode, control: FakeControl, process: Process, site: Site
) -> None:
    control.egress_key = node_key(SECRET, NODE)
    await start_node(run_unit, open_services, egress_proxy=f"127.0.0.1:{process.port}", node_id=NODE)
    before = await ready(control)
    await process.stop()
    order = await control.run(NODE, "http://www.site.test/")
    assert (await control.ended(order, 60)).outcome == Outcome.RETURNED
    await control.hear(Register, lambda m: m.boot != before)
    assert not [m for m in control.of(SlotChange) if m.boot != before], "nobody gets out yet"
    back = await Process.start(bind=f"127.0.0.1:{process.port}", allow=site.allowance, secret=SECRET)
    try:
        boot = await ready(control, before)
        again = await control.run(NODE, "http://www.site.test/", boot=boot)
        assert (await control.ended(again, 60)).outcome == Outcome.COMPLETED
    finally:
        await back.stop()
